"""What the inputs were while each state held, and how long it lasted: of states whose parameters do not say."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.regime.model import Floats, complete_rows


@dataclass(frozen=True)
class Occupancy:
    """Per state, of the complete rows weighted by the filtered probabilities.

    mean, deviation (K, D); NaN for a state that never held. lasts (K,): expected observations of a stay, 1 / P(left at
    the next observation); infinite where it was never left.
    """

    mean: Floats
    deviation: Floats
    lasts: Floats

    def ordered(self, order: NDArray[np.int64]) -> "Occupancy":
        """Its states renumbered: state k is the one that was order[k]."""
        return Occupancy(self.mean[order], self.deviation[order], self.lasts[order])

    def describe(self, inputs: tuple[str, ...]) -> list[dict[str, Any]]:
        """Per state mean, standard_deviation and expected_observations, as JSON can hold them."""
        return [
            {
                "mean": dict(zip(inputs, _plain(self.mean[k]), strict=True)),
                "standard_deviation": dict(zip(inputs, _plain(self.deviation[k]), strict=True)),
                "expected_observations": _plain(self.lasts[k : k + 1])[0],
            }
            for k in range(len(self.lasts))
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {name: [_plain(row) for row in getattr(self, name)] for name in ("mean", "deviation")} | {
            "lasts": _plain(self.lasts)
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any], states: int, inputs: int) -> "Occupancy":
        """What `to_dict` gave; KeyError, TypeError or ValueError where that is broken."""
        arrays = {name: np.array(stored[name], dtype=np.float64) for name in ("mean", "deviation", "lasts")}
        arrays = {name: array.reshape(states, inputs) for name, array in arrays.items() if name != "lasts"} | {
            "lasts": arrays["lasts"].reshape(states)
        }
        return cls(**arrays)


def occupancy(x: Floats, probabilities: Floats) -> Occupancy:
    """Of the rows x (T, D) and the filtered probabilities (T, K) of their states."""
    complete = complete_rows(x)
    seen, weights = x[complete], probabilities[complete]
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.einsum("tk,td->kd", weights, seen) / total[:, None]
        square = (seen[:, None, :] - mean[None]) ** 2
        deviation = np.sqrt(np.einsum("tk,tkd->kd", weights, square) / total[:, None])
        stays = np.einsum("tk,tk->k", weights[:-1], weights[1:])
        lasts = 1.0 / np.maximum(1.0 - stays / weights[:-1].sum(axis=0), 0.0)
    return Occupancy(mean, deviation, lasts)


def nothing(inputs: int) -> Occupancy:
    """Of no state."""
    return Occupancy(np.zeros((0, inputs)), np.zeros((0, inputs)), np.zeros(0))


def _plain(values: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
