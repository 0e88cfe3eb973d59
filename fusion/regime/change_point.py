"""Regimes by how long ago something changed: online Bayesian change-point detection (`gpu_kernels/change_point.py`).

Regime 1: the level or the spread of the inputs changed within the last observations; regime 0: it did not. The law of a
run's level and spread has four parameters; those that the config does not give are the ones under which the refit's
past was predicted best, one step ahead.

A run's observations are independent: an input that wanders (a level of VIX) is cut into short runs; take its changes.

Source: Adams and MacKay (2007), "Bayesian online changepoint detection".
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fusion.regime.config import RegimeConfig
from fusion.regime.model import Floats, RegimeModel, common_fields, complete_rows, input_problem
from fusion.regime.occupancy import Occupancy, nothing, occupancy
from fusion.regime.options import ChangePointConfig
from fusion.threads import single_thread
from fusion.walk_forward import Refit
from gpu_kernels import change_point

_SEARCH_HYPOTHESES = 64
_SEARCH_STEPS = 150


class Law(NamedTuple):
    """Of runs, for inputs of mean 0 and variance 1: expected_run = 1 / hazard, in observations; weight and shape as
    `change_point.run_lengths` has them; spread, the variance inside a typical run, its scale / shape."""

    expected_run: float
    weight: float
    shape: float
    spread: float


_START = Law(100.0, 0.5, 3.0, 0.5)
_LOWEST = Law(5.0, 1e-3, 0.5, 1e-3)
_HIGHEST = Law(10_000.0, 10.0, 100.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class ChangePointModel(RegimeModel):
    """law (4,) as `Law`; centre, scale (D,): mean and standard deviation of the inputs' past; within, hypotheses: as
    the config has them; log_likelihood of the past, one step ahead, in input units.

    Missing values: a row with a missing input is no observation: the probabilities stay; before the first one it is 0
    for a change.
    """

    kind: ClassVar[str] = "change_point"

    law: Floats
    centre: Floats
    scale: Floats
    within: int
    hypotheses: int
    past: Occupancy
    log_likelihood: float = float("nan")

    @property
    def states(self) -> int:
        return 0 if self.problem is not None else 2

    def filter(self, x: Floats) -> Floats:
        changed = np.nan_to_num(self.run_lengths(x)[0], nan=0.0)
        return np.stack([1.0 - changed, changed], axis=1)

    def run_lengths(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """changed, length, log_predictive (of the standardised inputs), discarded: each (T,)."""
        return _run_lengths((x - self.centre) / self.scale, Law(*self.law.tolist()), self.within, self.hypotheses)

    def describe_states(self) -> list[dict[str, Any]]:
        """name, rule, and what the inputs were in the refit's past."""
        names = ("settled", "changed")
        rules = (f"no change within {self.within} observations", f"a change within {self.within} observations")
        return [
            {"name": name, "rule": rule, **found}
            for name, rule, found in zip(names, rules, self.past.describe(self.inputs), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return super().to_dict() | {"past": self.past.to_dict()}

    @classmethod
    def _parameters(cls, stored: dict[str, Any]) -> dict[str, Any]:
        arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in ("law", "centre", "scale")}
        d = len(stored["inputs"])
        if arrays["law"].shape != (4,) or arrays["centre"].shape != (d,) or arrays["scale"].shape != (d,):
            raise ValueError("arrays of different sizes")
        likelihood = stored["log_likelihood"]
        return arrays | {
            "within": int(stored["within"]),
            "hypotheses": int(stored["hypotheses"]),
            "log_likelihood": float("nan") if likelihood is None else float(likelihood),
            "past": Occupancy.from_dict(stored["past"], 2 if stored["problem"] is None else 0, d),
        }


def fit(
    x: Floats, refit: Refit, inputs: tuple[str, ...], config: RegimeConfig, previous: RegimeModel | None
) -> ChangePointModel:
    """The law of runs under which the past was predicted best, where the config does not give it."""
    asked = config.change_point
    complete = complete_rows(x)
    common = common_fields(x, refit, inputs) | {"within": asked.within, "hypotheses": asked.hypotheses}
    problem = input_problem(x, inputs, 2, refit.session)
    if problem is not None:
        d = len(inputs)
        return ChangePointModel(
            **common, problem=problem, law=np.zeros(4), centre=np.zeros(d), scale=np.ones(d), past=nothing(d)
        )
    centre, scale = x[complete].mean(axis=0), x[complete].std(axis=0)
    standard = (x - centre) / scale
    law = fit_law(standard[complete][-asked.search_rows :], asked)
    changed, _, predictive, _ = _run_lengths(standard, law, asked.within, asked.hypotheses)
    changed = np.nan_to_num(changed, nan=0.0)
    return ChangePointModel(
        **common,
        law=np.array(law),
        centre=centre,
        scale=scale,
        log_likelihood=float(np.nansum(predictive)) - len(x[complete]) * float(np.log(scale).sum()),
        past=occupancy(x, np.stack([1.0 - changed, changed], axis=1)),
    )


def fit_law(x: Floats, asked: ChangePointConfig | None = None) -> Law:
    """The law of greatest predictive likelihood of x (T, D), of which each column has mean 0 and variance about 1.

    By Nelder and Mead in logarithms, inside bounds (an expected run of 5 to 10,000 observations, a weight of 0.001 to
    10, a shape of 0.5 to 100, a spread of 0.001 to 10), from one start, at most 150 likelihoods, each with 64
    hypotheses. What `asked` gives is kept.
    """
    from scipy.optimize import minimize

    asked = asked or ChangePointConfig()
    given = np.array([np.nan if value is None else value for value in (getattr(asked, name) for name in Law._fields)])
    free = np.isnan(given)
    if not free.any():
        return Law(*given.tolist())

    def law_of(point: Floats) -> Law:
        values = given.copy()
        values[free] = np.exp(point)
        return Law(*values.tolist())

    def loss(point: Floats) -> float:
        predictive = _run_lengths(x, law_of(point), 1, _SEARCH_HYPOTHESES)[2]
        return -float(np.nansum(predictive)) / len(x)

    start, low, high = (np.log(np.array(law))[free].ravel() for law in (_START, _LOWEST, _HIGHEST))
    simplex = np.vstack([start, start + np.diag(np.full(len(start), 0.8))])
    options: Any = {"maxfev": _SEARCH_STEPS, "xatol": 0.02, "fatol": 1e-5, "initial_simplex": simplex}
    found = minimize(loss, start, method="Nelder-Mead", bounds=list(zip(low, high, strict=True)), options=options)
    return law_of(np.clip(found.x, low, high))


def _run_lengths(x: Floats, law: Law, within: int, hypotheses: int) -> tuple[Floats, Floats, Floats, Floats]:
    d = x.shape[1]
    with single_thread():
        return change_point.run_lengths(
            np.ascontiguousarray(x.T),
            np.zeros(d),
            np.full(d, law.spread * law.shape),
            np.array([0, len(x)]),
            hazard=1.0 / law.expected_run,
            weight=law.weight,
            shape=law.shape,
            within=within,
            hypotheses=hypotheses,
        )
