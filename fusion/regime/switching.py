"""Regimes as the states of a Markov-switching autoregression, whose mathematics are in `autoregression.py`.

A persistent input (a level, a spread) goes from state to state in a hidden Markov model because it wanders; here its
wandering is the autoregression's, and a state is a change of level, persistence or spread.

Source: Hamilton (1989), "A new approach to the economic analysis of nonstationary time series and the business cycle";
Hamilton (1990), "Analysis of time series subject to changes in regime".
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from fusion.regime import em, identity
from fusion.regime.autoregression import Parameters, filtered, stationary
from fusion.regime.autoregression import fit as fit_parameters
from fusion.regime.config import RegimeConfig
from fusion.regime.model import Floats, RegimeModel, common_fields, complete_rows, input_problem
from fusion.regime.occupancy import Occupancy, nothing, occupancy
from fusion.walk_forward import Refit

_LOWEST_VARIANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class SwitchingModel(RegimeModel):
    """transition (K, K), level (K, D), autoregression (K, p, D), variance (K, D), in input units, as
    `autoregression.py` has them; memory: how many recent states the density of a row depends on.

    Where the states are not `matched`, state 0 has the lowest level of the first input; the lowest variance where
    levels are common, the lowest sum of coefficients where variances are, too.

    Missing values: a row that lacks an input, the p rows after it, and the first p rows are no observations: the
    probabilities are the predicted ones, before the first observation those of the stationary law.
    """

    kind: ClassVar[str] = "switching"

    form: Literal["mean", "intercept"]
    memory: int
    transition: Floats
    level: Floats
    autoregression: Floats
    variance: Floats
    past: Occupancy
    log_likelihood: float = float("nan")
    iterations: int = 0

    @property
    def states(self) -> int:
        return len(self.transition)

    @property
    def parameters(self) -> Parameters:
        return Parameters(self.transition, self.level, self.autoregression, self.variance)

    def filter(self, x: Floats) -> Floats:
        return filtered(x, self.parameters, self.form, self.memory)[0]

    def describe_states(self) -> list[dict[str, Any]]:
        """level, autoregression and residual_deviation by input; what the inputs were in the refit's past; and
        expected_observations = 1 / (1 - transition[k, k])."""
        return [
            found
            | {
                "level": dict(zip(self.inputs, self.level[k].tolist(), strict=True)),
                "autoregression": dict(zip(self.inputs, self.autoregression[k].T.tolist(), strict=True)),
                "residual_deviation": dict(zip(self.inputs, np.sqrt(self.variance[k]).tolist(), strict=True)),
                "expected_observations": 1.0 / max(1.0 - float(self.transition[k, k]), 1e-12),
            }
            for k, found in enumerate(self.past.describe(self.inputs))
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return super().to_dict() | {"past": self.past.to_dict()}

    @classmethod
    def _parameters(cls, stored: dict[str, Any]) -> dict[str, Any]:
        names = ("transition", "level", "autoregression", "variance")
        arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in names}
        k, d, memory = len(arrays["transition"]), len(stored["inputs"]), int(stored["memory"])
        if k:
            order = arrays["autoregression"].shape[1]
            shapes = {"transition": (k, k), "level": (k, d), "autoregression": (k, order, d), "variance": (k, d)}
            if any(arrays[name].shape != shape for name, shape in shapes.items()) or memory not in (1, order + 1):
                raise ValueError("arrays of different sizes")
        if stored["form"] not in ("mean", "intercept"):
            raise ValueError(f"form {stored['form']!r}")
        likelihood = stored["log_likelihood"]
        return arrays | {
            "form": stored["form"],
            "memory": memory,
            "past": Occupancy.from_dict(stored["past"], k, d),
            "log_likelihood": float("nan") if likelihood is None else float(likelihood),
            "iterations": int(stored["iterations"]),
        }


def fit(
    x: Floats, refit: Refit, inputs: tuple[str, ...], config: RegimeConfig, previous: RegimeModel | None
) -> SwitchingModel:
    """EM from three starts; states keep their numbers by what the inputs were in them (`identity.py`)."""
    k, asked, d = config.state_range[1], config.switching, len(inputs)
    complete = complete_rows(x)
    common = common_fields(x, refit, inputs) | {"form": asked.form, "memory": asked.memory(k)}
    problem = input_problem(x, inputs, k, refit.session)
    # rows that are there with all their lags; of fewer rows than lags there are none
    rows = max(len(x) - asked.order, 0)
    whole = [complete[lag : lag + rows] for lag in range(asked.order + 1)]
    usable = int(np.all(whole, axis=0).sum()) if rows else 0
    if problem is None and usable < 10 * k:
        problem = f"{usable} observations with {asked.order} lags before {refit.session}; {10 * k} are needed"
    if problem is not None:
        empty = np.zeros((0, 0)), np.zeros((0, d)), np.zeros((0, asked.order, d)), np.zeros((0, d))
        none = Parameters(*empty)
        return SwitchingModel(**common, **none._asdict(), problem=problem, past=nothing(d))
    centre, scale = x[complete].mean(axis=0), x[complete].std(axis=0)
    floor = max(config.variance_floor, _LOWEST_VARIANCE)
    found = fit_parameters(
        (x - centre) / scale, k, asked, floor=floor, iterations=config.iterations, tolerance=config.tolerance
    )
    p = found.parameters.scaled(centre, scale, asked.form)
    p = p.ordered(_natural_order(p))
    past = occupancy(x, filtered(x, p, asked.form, asked.memory(k))[0])
    before = previous if isinstance(previous, SwitchingModel) and previous.states == k else None
    matched = before is not None and bool(np.isfinite([before.past.mean[:, 0], past.mean[:, 0]]).all())
    if before is not None and matched:
        order = identity.order_by_match(_as_normals(p, past), _as_normals(before.parameters, before.past))
        p, past = p.ordered(order), past.ordered(order)
    return SwitchingModel(
        **common,
        **p._asdict(),
        past=past,
        matched=matched,
        log_likelihood=found.log_likelihood - usable * float(np.log(scale).sum()),
        iterations=found.iterations,
    )


def _natural_order(p: Parameters) -> np.ndarray:
    for values in (p.level[:, 0], p.variance[:, 0], p.autoregression[:, :, 0].sum(axis=1)):
        if np.ptp(values) > 0:
            return np.argsort(values, kind="stable")
    return np.arange(len(p.level))


def _as_normals(p: Parameters, past: Occupancy) -> em.Parameters:
    """The states as the normal laws of what the inputs were in them."""
    variance = np.maximum(past.deviation**2, 1e-300)
    covariance = np.eye(variance.shape[1]) * variance[:, None, :]
    return em.Parameters(stationary(p.transition), p.transition, past.mean, covariance)
