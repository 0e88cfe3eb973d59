"""What every kind of regime model of a refit offers: filtered probabilities, its states in words and figures, JSON."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fusion.walk_forward import Refit, session_of
from gpu_kernels.errors import ModelError

Floats = NDArray[np.float64]

_LARGEST = 1e100


@dataclass(frozen=True, kw_only=True)
class RegimeModel(ABC):
    """A model fitted at one refit on the observations before it. A kind of model is a frozen dataclass of this one.

    kind           class attribute: its name in the config and in the stored model
    inputs         names of the observations' columns, in order
    observations   rows with all inputs that the fit saw
    problem        why there is no model, or None; `filter` is called only where it is None
    matched        whether state k is what state k of the model before was; True for kinds whose states are given
    """

    kind: ClassVar[str]

    refit_session: date
    refit_time: datetime
    inputs: tuple[str, ...]
    observations: int = 0
    problem: str | None = None
    matched: bool = True

    @property
    @abstractmethod
    def states(self) -> int:
        """K; 0 where there is a problem."""

    @abstractmethod
    def filter(self, x: Floats) -> Floats:
        """x (T, D) in input units, from the first observation on -> P(state at row t | rows up to t), (T, K).

        Row t must have the same bits however many rows follow. Missing values: a row with a missing input is no
        observation; it only predicts."""

    @abstractmethod
    def describe_states(self) -> list[dict[str, Any]]:
        """Per state what is to be said of it, as JSON can hold it.

        mean, standard_deviation {input: value} in input units; expected_observations, and name, where the kind has
        them."""

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON can hold it (arrays as lists, NaN as null), and `kind`."""
        return {"kind": self.kind} | {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """What `to_dict` gave. Raises ModelError on anything else."""
        try:
            common = {
                "refit_session": session_of(stored["refit_session"]),
                "refit_time": datetime.fromisoformat(stored["refit_time"]),
                "inputs": tuple(stored["inputs"]),
                "observations": int(stored["observations"]),
                "problem": stored["problem"],
                "matched": bool(stored["matched"]),
            }
            return cls(**common, **cls._parameters(stored))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"stored regime model cannot be read: {error!r}", hint="run `trifuse run` again") from None

    @classmethod
    @abstractmethod
    def _parameters(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """The kind's own fields from their stored form; KeyError, TypeError or ValueError where that is broken."""


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and np.isnan(value):
        return None
    return list(value) if isinstance(value, tuple) else value


def complete_rows(x: Floats) -> NDArray[np.bool_]:
    """(T,) whether all inputs of a row are there."""
    return np.asarray(np.isfinite(x).all(axis=1))


def common_fields(x: Floats, refit: Refit, inputs: tuple[str, ...]) -> dict[str, Any]:
    """What a model of any kind has from its refit and the past x (T, D) that it was fitted on."""
    return {
        "refit_session": refit.session,
        "refit_time": refit.refit_time,
        "inputs": inputs,
        "observations": int(complete_rows(x).sum()),
    }


def input_problem(x: Floats, inputs: tuple[str, ...], states: int, session: date) -> str | None:
    """Why nothing can be fitted to the complete rows of x: fewer than 10 a state, a constant input, or one so far from
    1 that its squares are no numbers; else None."""
    complete = x[complete_rows(x)]
    if len(complete) < 10 * states:
        return f"{len(complete)} observations before {session}; {10 * states} are needed for {states} states"
    for name, values in zip(inputs, complete.T, strict=True):
        low, high = float(values.min()), float(values.max())
        if low == high:
            return f"input {name} is constant before {session}"
        if max(abs(low), abs(high)) > _LARGEST or high - low < 1 / _LARGEST:
            return (
                f"input {name} reaches from {low:.3g} to {high:.3g} before {session}, too far or too near to be fitted"
            )
    return None
