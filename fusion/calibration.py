"""The probability that the return will be above 0, given the score, as it came true in settled decisions.

    P(return > 0) = g(x),   x = score / expected error of the decision (`fusion.conformal`)

so that the same forecast says less where errors are large. g never falls. It is fitted anew at each refit on the
out-of-sample decisions that have settled by then (`fusion.settlement`), in the last `window` sessions, each of which
weighs the same, and stands until the next refit.

    logistic   g(x) = 1 / (1 + exp(-a - b x)), b >= 0, by Newton's method. x is cut at 5 deviations, and outcomes count
               as (n_up + 1) / (n_up + 2) and 1 / (n_down + 2), as if a little were unknown (Platt 1999)
    isotonic   the step function with the least weighted squared error that never falls (pool adjacent violators,
               Ayer et al. 1955), straight between the middles of its steps: nothing of the shape is assumed, for which
               it needs many more decisions

Source: Platt (1999), variant with b >= 0 and sessions as weights; Zadrozny & Elkan (2002) for isotonic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fusion.settlement import Settlement, floats, session_weights

Floats = NDArray[np.float64]

_CUT = 5.0
_STEPS = 100


class ProbabilityConfig(BaseModel):
    """Settings of `probability_up`.

    method        logistic: two parameters; isotonic: any shape that does not fall
    window        last sessions that count
    min_sessions  settled out-of-sample sessions before there is a probability
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["logistic", "isotonic"] = "logistic"
    window: Annotated[int, Field(ge=5)] = 250
    min_sessions: Annotated[int, Field(ge=5)] = 10


@dataclass(frozen=True)
class Calibrator:
    """g of one refit: straight lines through (x, logit) points, level beyond the outer ones.

    A logistic curve is a straight line of logits, so two points hold it; an isotonic one has a point for each step.
    """

    refit_session: date
    method: str
    x: Floats
    logit: Floats

    def probability(self, x: Floats) -> Floats:
        """g of each x; NaN where x is."""
        found: Floats = 1 / (1 + np.exp(-_between(x, self.x, self.logit)))
        return found


def probabilities(
    decisions: pl.DataFrame,
    settles: Settlement,
    refits: Sequence[date],
    config: ProbabilityConfig,
    stored: Sequence[Calibrator] = (),
) -> tuple[pl.Series, list[Calibrator]]:
    """`probability_up` of each decision, and the calibrators of the refits that have one.

    decisions  session, score, expected_error, in any order
    stored     calibrators of an earlier run, used as they are

    Missing values: null where score or expected_error are, and until `min_sessions` sessions have settled at a refit.
    A refit at which all outcomes are the same, or all scores, has the plain share as its probability.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        x = floats(decisions["score"]) / floats(decisions["expected_error"])
    x = np.where(np.isfinite(x), x, np.nan)
    place = {day: number for number, day in enumerate(settles.days.to_list())}
    starts = [(place[day], day) for day in refits if day in place]
    ready = {calibrator.refit_session: calibrator for calibrator in stored}
    made: list[Calibrator] = []
    found = np.full(len(x), np.nan)
    for number, (u, day) in enumerate(starts):
        until = starts[number + 1][0] if number + 1 < len(starts) else len(settles.days)
        if day not in ready:
            known = np.isfinite(x) & (settles.settled <= u) & (settles.session >= u - config.window)
            if len(np.unique(settles.session[known])) < config.min_sessions:
                continue
            weights = session_weights(settles.session[known])
            ready[day] = fit(day, x[known], settles.value[known] > 0, weights, config.method)
        made.append(ready[day])
        mine = (settles.session >= u) & (settles.session < until)
        found[mine] = ready[day].probability(x[mine])
    return pl.Series("probability_up", found).fill_nan(None), made


def fit(day: date, x: Floats, up: NDArray[np.bool_], weights: Floats, method: str) -> Calibrator:
    """g from (rows,) x, outcomes and weights."""
    weights = weights / weights.sum() * len(weights)
    return _isotonic(day, x, up, weights) if method == "isotonic" else _logistic(day, x, up, weights)


def _logistic(day: date, x: Floats, up: NDArray[np.bool_], weights: Floats) -> Calibrator:
    total = float(weights.sum())
    rises = float(weights[up].sum())
    target = np.where(up, (rises + 1) / (rises + 2), 1 / (total - rises + 2))
    middle = float((weights * x).sum() / total)
    spread = float(np.sqrt((weights * (x - middle) ** 2).sum() / total))
    base = float((weights * target).sum() / total)
    a, b = float(np.log(base / (1 - base))), 0.0
    if spread > 1e-12 * max(abs(middle), 1e-300):
        z = np.clip((x - middle) / spread, -_CUT, _CUT)
        a, b = _newton(z, target, weights, a)
        if b <= 0:  # the best curve that does not fall is level
            a, b = float(np.log(base / (1 - base))), 0.0
    else:
        spread = 1.0
    ends = np.array([-_CUT, _CUT])
    return Calibrator(day, "logistic", middle + spread * ends, a + b * ends)


def _newton(z: Floats, target: Floats, weights: Floats, a: float) -> tuple[float, float]:
    """The weighted maximum of the likelihood of 1 / (1 + exp(-a - b z)); concave, so that halved steps get there."""
    b = 0.0

    def loss(a: float, b: float) -> float:
        line = a + b * z
        return float((weights * (np.logaddexp(0, line) - target * line)).sum())

    value = loss(a, b)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(a + b * z)))
        slope, curve = weights * (p - target), weights * p * (1 - p)
        g0, g1 = float(slope.sum()), float((slope * z).sum())
        h00, h01, h11 = float(curve.sum()), float((curve * z).sum()), float((curve * z * z).sum())
        determinant = h00 * h11 - h01 * h01
        if not determinant > 1e-12 * h00 * h11:
            break
        da, db = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        step = 1.0
        while step > 1e-6 and loss(a - step * da, b - step * db) > value:
            step /= 2
        after = loss(a - step * da, b - step * db)
        if not after < value:
            break
        a, b, gained, value = a - step * da, b - step * db, value - after, after
        if gained < 1e-12 * abs(value):
            break
    return a, b


def _isotonic(day: date, x: Floats, up: NDArray[np.bool_], weights: Floats) -> Calibrator:
    from sklearn.isotonic import isotonic_regression  # here, because it takes a second and few need it

    points, place = np.unique(x, return_inverse=True)
    mass = np.bincount(place, weights=weights)
    share = np.bincount(place, weights=weights * up) / mass
    level = isotonic_regression(share, sample_weight=mass)
    starts = np.flatnonzero(np.diff(level, prepend=-1.0) > 0)
    ends = np.append(starts[1:], len(points)) - 1
    within = np.add.reduceat(mass, starts)
    # a step of n rows that all went one way says n + 1 of n + 2, not always
    p = (level[starts] * within + 1) / (within + 2)
    p = np.maximum.accumulate(p)
    return Calibrator(day, "isotonic", (points[starts] + points[ends]) / 2, np.log(p / (1 - p)))


def _between(x: Floats, points: Floats, values: Floats) -> Floats:
    """Linear between the points and level beyond; each row by itself, so that its bits depend on no other."""
    if len(points) == 1:
        return np.where(np.isfinite(x), values[0], np.nan)
    inside = np.clip(x, points[0], points[-1])
    left = np.clip(np.searchsorted(points, inside, "right") - 1, 0, len(points) - 2)
    width = points[left + 1] - points[left]
    found: Floats = values[left] + (values[left + 1] - values[left]) * ((inside - points[left]) / width)
    return found
