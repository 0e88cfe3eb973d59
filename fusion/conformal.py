"""Prediction intervals of the return that a score forecasts, from the errors of decisions whose returns are settled.

    score -+ q_u sigma_i          q_u the smallest q with  F(q) >= (1 - alpha_u) (1 + 1 / n)

**Settled.** Session u knows the decisions that `fusion.settlement` says; nothing else enters its intervals.

**sigma_i**, the error that is expected of decision i, is v_i m_u: v_i a volatility known at the decision and m_u the
entity's mean of |error| / v over its settled decisions of the same time of day (`slot` of its session), a session's
weight halving every `half_life` sessions. Where there is no v_i it is the same mean of |error|. A slot of an entity
with fewer than `min_sessions` settled sessions has the mean of all entities in it, one without any that of all slots.

**F** is the distribution of |error| / sigma over out-of-sample decisions settled at the last refit, in the last
`window` sessions; each session weighs the same and shares its weight among its decisions, since those of one session
are not independent; n is the number of sessions, 1 / n the place of the one yet to come (Lee, Barber & Willett 2023).
It is the entity's own where that has `min_rows` decisions in `min_sessions` sessions, else that of all. With
`by_regime` a decision weighs sum_k p_k(then) p_k(now), which is a mixture of one distribution for each regime.

**alpha_u** goes after the level, so that the coverage comes back to it in the long run whatever drifts:

    alpha_u = alpha_(u-1) + adaptation (alpha - share missed of what settled at u)

(Gibbs & Candes 2021, a session being a step). Theirs gives an infinite interval below 0; here the largest past error is
the limit.

Source: Vovk, Gammerman & Shafer (2005) and Lei et al. (2018) for split conformal intervals scaled by a spread. The
VARIANT: calibrated on walk-forward forecasts, symmetric, in normalised errors. A distribution of more than 1,000 points
is kept as its 1,000 quantiles, rounded up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fusion.settlement import Settlement, floats, session_weights
from gpu_kernels.errors import DataError
from sources.durations import Duration

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_POINTS = 1000
# before a session has this many settled ones behind it, nobody knows how large errors are
_LEAST = 3
SETTLED: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "entity": pl.String(),
    "slot": pl.Int64(),
    "rows": pl.Float64(),
    "error": pl.Float64(),
    "scaled_rows": pl.Float64(),
    "scaled_error": pl.Float64(),
    "judged": pl.Float64(),
    "missed": pl.Float64(),
}


class IntervalConfig(BaseModel):
    """Settings of the intervals, `low` and `high` of each signal.

    level         share of returns that should lie inside
    window        last sessions whose errors count
    min_sessions  settled out-of-sample sessions before there is an interval
    min_rows      decisions of an entity before it has a distribution of its own
    slot          length of a time of day, from the session's open
    half_life     sessions in which what an entity's errors weigh in their mean halves
    adaptation    step of the level by session; 0: none
    by_regime     weigh past errors by how likely the regime of now was then
    volatility    the feature that errors are divided by (the root of it where its name says variance); auto: the first
                  that there is of expected, realised, weighted variances; none: the entity's past errors alone
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    window: Annotated[int, Field(ge=5)] = 250
    min_sessions: Annotated[int, Field(ge=5)] = 10
    min_rows: Annotated[int, Field(ge=20)] = 500
    slot: Annotated[Duration, Field(ge=10**9)] = 30 * 60 * 10**9
    half_life: Annotated[float, Field(gt=0)] = 20.0
    adaptation: Annotated[float, Field(ge=0, le=1)] = 0.05
    by_regime: bool = False
    volatility: str = "auto"


@dataclass(frozen=True)
class Curve:
    """The distribution of normalised errors of one entity (or of all) at one refit.

    points    (n,) rising
    mass      (regimes, n) weight of each; (1, n) where regimes do not count
    sessions  (regimes,) effective number of sessions
    """

    points: Floats
    mass: Floats
    sessions: Floats

    def quantile(self, level: float, weights: Floats | None = None) -> float:
        """The smallest point with at least the level below or at it, raised by 1 + 1 / n; at most the largest point."""
        weights = np.ones(len(self.mass)) if weights is None else weights
        # einsum adds in an order that no BLAS can change
        share = np.cumsum(np.einsum("k,kn->n", weights, self.mass))
        n = float((weights * self.sessions).sum() / weights.sum())
        wanted = level * (1 + 1 / n) * share[-1]
        # a share that rounding put just below the level is the level
        place = int(np.searchsorted(share, wanted * (1 - 1e-12), "left"))
        return float(self.points[min(place, len(self.points) - 1)])


Cell = tuple[str, int]
"""An entity and a slot of its session."""
Settled = dict[Cell, tuple[float, ...]]
"""Of each cell: rows and the sum of their errors, the same over volatility, intervals judged and missed."""
Curves = dict[tuple[date, str | None], Curve]
"""By refit and entity; None: of all entities."""


@dataclass(frozen=True)
class ConformalState:
    """What intervals are made of: the curves of each refit, and what settled at each session (`SETTLED`), which tells
    how large errors are and how many intervals missed. With both, later sessions go on as a longer run's would."""

    curves: Curves
    settled: pl.DataFrame


def intervals(
    decisions: pl.DataFrame,
    settles: Settlement,
    refits: Sequence[date],
    config: IntervalConfig,
    stored: ConformalState | None = None,
) -> tuple[pl.DataFrame, ConformalState]:
    """low, high and expected_error (of return units) of each decision, and what they are made of.

    decisions   entity, session, score, volatility; with by_regime `probability_0`..; all decisions since the first
                refit, sorted by (entity, decision_time)
    refits      sessions at which models were refitted, in order
    stored      state of an earlier run: its curves and what settled in its sessions stay as they were

    Missing values: null where there is no score, and before `min_sessions` sessions have settled at a refit;
    expected_error is null before 3 have. A volatility that is missing or not above 0 is none.
    """
    walk = _Walk(decisions, settles, refits, config, stored)
    walk.run()
    half = np.where(np.isfinite(walk.quantile), walk.quantile * walk.sigma, np.nan)
    score = walk.score
    columns = {"low": score - half, "high": score + half, "expected_error": walk.sigma}
    frame = pl.DataFrame(columns).with_columns(pl.all().fill_nan(None))
    return frame, ConformalState(walk.curves, walk.record())


class _Walk:
    """One pass over the sessions: settle, learn, say."""

    def __init__(
        self,
        decisions: pl.DataFrame,
        settles: Settlement,
        refits: Sequence[date],
        config: IntervalConfig,
        stored: ConformalState | None,
    ) -> None:
        self.config, self.days = config, settles.days
        told = [] if stored is None else stored.settled["entity"].to_list()
        self.names = sorted({*decisions["entity"].to_list(), *told})
        place = {name: number for number, name in enumerate(self.names)}
        self.entity = np.array([place[name] for name in decisions["entity"].to_list()], dtype=np.int64)
        self.score = floats(decisions["score"])
        volatility = floats(decisions["volatility"])
        self.volatility = np.where(volatility > 0, volatility, np.nan)
        self.error = np.abs(settles.value - self.score)
        self.session, self.settled = settles.session, settles.settled
        self.slot = settles.elapsed // config.slot
        self.regimes = _regimes(decisions) if config.by_regime else None
        self.refits = {int(p): day for p, day in _places(self.days, refits)}
        self.stored = stored
        self.sigma = np.full(decisions.height, np.nan)
        self.quantile = np.full(decisions.height, np.nan)
        self.curves: Curves = {}
        self.rows: list[tuple[object, ...]] = []

    def run(self) -> None:
        said, past = _by_value(self.session, len(self.days)), _by_value(self.settled, len(self.days) + 1)
        before, last = _recorded(self.stored, self.days)
        usual, alpha, sessions = _UsualErrors(self.config), 1 - self.config.level, 0
        current: dict[str | None, Curve] = {}
        for u in range(len(self.days)):
            found = before.get(u, {}) if u <= last else self._settle(past[u])
            self.rows += [(self.days[u], *cell, *found[cell]) for cell in sorted(found)]
            usual.add(found)
            sessions += bool(found)
            judged = sum(found[cell][4] for cell in sorted(found))
            missed = sum(found[cell][5] for cell in sorted(found))
            if judged:
                alpha += self.config.adaptation * ((1 - self.config.level) - missed / judged)
            if u in self.refits:
                current = self._curves_of(self.refits[u], u)
            if len(said[u]) and sessions >= _LEAST:
                self._say(said[u], usual, alpha, current)

    def _cells(self, rows: Integers) -> list[tuple[Cell, Integers]]:
        """The rows of each entity and slot, in order."""
        if not len(rows):
            return []
        order = rows[np.lexsort((self.slot[rows], self.entity[rows]))]
        changes = (np.diff(self.slot[order]) != 0) | (np.diff(self.entity[order]) != 0)
        parts = np.split(order, np.flatnonzero(changes) + 1)
        return [((self.names[self.entity[part[0]]], int(self.slot[part[0]])), part) for part in parts]

    def _settle(self, rows: Integers) -> Settled:
        found: Settled = {}
        for cell, mine in self._cells(rows[np.isfinite(self.error[rows])]):
            error, v = self.error[mine], self.volatility[mine]
            scaled = error[np.isfinite(v)] / v[np.isfinite(v)]
            half = self.quantile[mine] * self.sigma[mine]
            judged = np.isfinite(half)
            missed = np.count_nonzero(error[judged] > half[judged])
            sums = (len(mine), error.sum(), len(scaled), scaled.sum(), np.count_nonzero(judged), missed)
            found[cell] = tuple(float(value) for value in sums)
        return found

    def _say(self, rows: Integers, usual: "_UsualErrors", alpha: float, current: Mapping[str | None, Curve]) -> None:
        for cell, mine in self._cells(rows):
            plain, ratio = usual.of(cell)
            scaled = self.volatility[mine] * ratio
            sigma = np.where(np.isfinite(scaled), scaled, plain)
            self.sigma[mine] = np.where(sigma > 0, sigma, np.nan)
            curve = current.get(cell[0], current.get(None))
            if curve is None:
                continue
            if self.regimes is None:
                self.quantile[mine] = curve.quantile(1 - alpha)
                continue
            known: dict[tuple[float, ...], float] = {}
            for row in mine:
                key = tuple(self.regimes[row].tolist())
                if key not in known:
                    known[key] = curve.quantile(1 - alpha, self._usable(curve, self.regimes[row]))
                self.quantile[row] = known[key]

    def _usable(self, curve: Curve, weights: Floats | None) -> Floats | None:
        """The regimes' weights, none where too few sessions were like now."""
        if weights is None or not np.isfinite(weights).all() or weights.sum() <= 0:
            return None
        enough = (weights * curve.sessions).sum() / weights.sum() >= self.config.min_sessions
        return weights if enough else None

    def _curves_of(self, refit: date, u: int) -> dict[str | None, Curve]:
        if self.stored is not None:
            kept = {name: curve for (day, name), curve in self.stored.curves.items() if day == refit}
            if kept:
                self.curves |= {(refit, name): curve for name, curve in kept.items()}
                return kept
        with np.errstate(invalid="ignore"):
            z = self.error / self.sigma
        used = (self.settled <= u) & (self.session >= u - self.config.window) & np.isfinite(z)
        made: dict[str | None, Curve] = {}
        for number, name in [(-1, None), *enumerate(self.names)]:
            rows = np.flatnonzero(used if number < 0 else used & (self.entity == number))
            if number >= 0 and len(rows) < self.config.min_rows:
                continue
            if len(np.unique(self.session[rows])) < self.config.min_sessions:
                continue
            weights = None if self.regimes is None else self.regimes[rows]
            made[name] = curve_of(z[rows], self.session[rows], weights)
        self.curves |= {(refit, name): curve for name, curve in made.items()}
        return made

    def record(self) -> pl.DataFrame:
        schema = SETTLED | {"session": self.days.dtype}
        return pl.DataFrame(self.rows, schema=schema, orient="row")


class _UsualErrors:
    """Mean errors of what settled, plain and over volatility: of an entity's slot, of a slot, of all.

    Each has sums of its own, added in one order, so that their bits do not depend on who else is there."""

    def __init__(self, config: IntervalConfig) -> None:
        self._decay, self._enough = 0.5 ** (1 / config.half_life), config.min_sessions
        self._sums: dict[object, Floats] = {}

    def add(self, found: Settled) -> None:
        """What settled at one session."""
        for sums in self._sums.values():
            sums[:4] *= self._decay
        told = set()
        for cell in sorted(found):
            for key in (cell, cell[1], None):
                sums = self._sums.setdefault(key, np.zeros(5))
                sums[:4] += found[cell][:4]
                sums[4] += key not in told
                told.add(key)

    def of(self, cell: Cell) -> tuple[float, float]:
        """Mean error, and mean error over volatility; NaN where there is none."""
        keys = [key for key in (cell, cell[1]) if key in self._sums and self._sums[key][4] >= self._enough]
        chosen = [self._sums[key] for key in (*keys, cell[1], None) if key in self._sums]
        plain = next((sums[1] / sums[0] for sums in chosen if sums[0] > 0), np.nan)
        ratio = next((sums[3] / sums[2] for sums in chosen if sums[2] > 0), np.nan)
        return float(plain), float(ratio)


def curve_of(z: Floats, session: Integers, regimes: Floats | None = None) -> Curve:
    """The distribution of normalised errors z, each session weighing 1 in all, and of it each regime's part.

    Missing values: a row without probabilities counts for every regime the same.
    """
    weights = session_weights(session)
    parts = weights[None, :] if regimes is None else weights * np.where(np.isfinite(regimes), regimes, 1.0).T
    order = np.argsort(z, kind="stable")
    points, mass = z[order], parts[:, order]
    effective = np.empty(len(parts))
    _, place = np.unique(session, return_inverse=True)
    for k, part in enumerate(parts):
        per_session = np.bincount(place, weights=part)
        square = float((per_session**2).sum())
        effective[k] = float(per_session.sum()) ** 2 / square if square > 0 else 0.0
    if len(points) > _POINTS:
        share = np.cumsum(weights[order])
        step = np.minimum(np.ceil(share / share[-1] * _POINTS), _POINTS).astype(np.int64)
        ends = np.append(np.flatnonzero(np.diff(step)), len(points) - 1)
        starts = np.concatenate([[0], ends[:-1] + 1])
        points, mass = points[ends], np.add.reduceat(mass, starts, axis=1)
    return Curve(points, mass, effective)


def _regimes(decisions: pl.DataFrame) -> Floats:
    """(rows, regimes)"""
    names = [name for name in decisions.columns if name.startswith("probability_") and name[12:].isdigit()]
    if not names:
        raise DataError("decisions hold no probability of a regime", allowed="probability_0 and so on")
    return decisions.select(pl.col(names).cast(pl.Float64).fill_null(np.nan)).to_numpy()


def _places(days: pl.Series, wanted: Sequence[date]) -> list[tuple[int, date]]:
    found = {day: place for place, day in enumerate(days.to_list())}
    return [(found[day], day) for day in wanted if day in found]


def _by_value(values: Integers, count: int) -> list[Integers]:
    """For each of 0 .. count - 1 the rows that hold it, in their order."""
    order = np.argsort(values, kind="stable")
    edges = np.searchsorted(values[order], np.arange(count + 1))
    return [order[a:b] for a, b in pairwise(edges)]


def _recorded(stored: ConformalState | None, days: pl.Series) -> tuple[dict[int, Settled], int]:
    """What settled by session, and the position of the last session that it tells of; -1: none."""
    if stored is None:
        return {}, -1
    place = {day: p for p, day in enumerate(days.to_list())}
    found: dict[int, Settled] = {}
    for session, entity, slot, *values in stored.settled.iter_rows():
        if session in place:
            found.setdefault(place[session], {})[entity, slot] = tuple(values)
    return found, max(found, default=-1)
