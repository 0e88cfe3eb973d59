"""The selection ledger: scores of every feature at every refit and regime, and what was decided."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numba
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from fusion.horizon import Horizon, overlap
from fusion.regime import RegimePath
from fusion.selection.config import SelectionConfig
from fusion.selection.decide import Decision, decide
from fusion.selection.gain import gains
from fusion.selection.grades import Batches, SessionSums, graded, session_sums
from fusion.selection.redundancy import Similarity, sampled_rows
from fusion.selection.scores import Scores, scored
from fusion.selection.table import Sessions, candidates
from fusion.walk_forward import Refit
from sources.schema import TIME

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Grades = NDArray[np.int16]
_A = TypeVar("_A")
_B = TypeVar("_B")

LEDGER: dict[str, pl.DataType] = {
    "refit_session": pl.Date(),
    "refit_time": TIME,
    "regime": pl.Int64(),
    "feature": pl.String(),
    "ic": pl.Float64(),
    "t_stat": pl.Float64(),
    "p_value": pl.Float64(),
    "q_value": pl.Float64(),
    "sessions": pl.Float64(),
    "coverage": pl.Float64(),
    "t_newey_west": pl.Float64(),
    "icir": pl.Float64(),
    "mutual_information": pl.Float64(),
    "stability": pl.Float64(),
    "autocorrelation": pl.Float64(),
    "turnover": pl.Float64(),
    "turnover_cost": pl.Float64(),
    "gain": pl.Float64(),
    "cluster": pl.Int64(),
    "cluster_head": pl.String(),
    "kept_before": pl.Boolean(),
    "kept": pl.Boolean(),
    "significant": pl.Boolean(),
    "position": pl.Int64(),
    "reason": pl.String(),
}


def select(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    regimes: RegimePath,
    refits: Sequence[Refit],
    config: SelectionConfig,
    primary: Horizon,
) -> pl.DataFrame:
    """The selection ledger: one row per refit, regime and feature, kept or not, with its scores and the reason.

    features   entity, session, decision_time and the candidates (numbers, any unit)
    labels     the same decisions with the returns of `fusion.target.forward_returns`
    primary    horizon of the target

    A session counts for a refit when all its labels were known before the refit's cutoff; grades and means are those of
    the rows of such sessions and of no others. Columns of the result: see `LEDGER` and docs/selection.md; `sessions` is
    the effective number, `coverage` the share of the window's labelled rows where the feature is present, `position`
    the order among the kept, 1 the best.

    Missing values: rows without feature or label are left out of its IC; scores are null where they are undefined, and
    a feature without a p-value is never kept.
    Raises DataError when features and labels do not hold the same decisions or a candidate is not numeric.
    """
    return measure(features, labels, regimes, refits, config, primary).ledger()


def measure(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    regimes: RegimePath,
    refits: Sequence[Refit],
    config: SelectionConfig,
    primary: Horizon,
) -> "Measured":
    """The part of `select` that is each feature's own; arguments and errors as there."""
    names = candidates(features)
    table = Sessions.of(features, labels, primary)
    windows = [table.window(refit) for refit in refits]
    batches = Batches.of(np.reshape(windows, (len(refits), len(table.days))).astype(np.bool_))
    rows, first = sampled_rows(table.offsets)
    there = np.isfinite(table.y)
    v = graded(table.y, there, table.offsets, batches)
    previous = _ranked_by_then(table, batches)

    def summed(name: str) -> tuple[SessionSums, Grades]:
        u = graded(table.column(name), there, table.offsets, batches)
        return session_sums(u, v, previous, table.offsets), u[rows]

    sums, samples = [], np.zeros((len(names), len(rows)), dtype=np.int16)
    for f, (each, sample) in enumerate(_threaded(summed, names)):
        sums.append(each)
        samples[f] = sample
    labelled = np.bincount(table.session[there], minlength=len(table.days))
    weights = table.weights(regimes, refits)

    anew = {model.refit_session for model in regimes.models if not model.matched}

    def at(number: int) -> _AtRefit:
        window = np.flatnonzero(windows[number])
        weight = np.ascontiguousarray(weights[number][:, window])
        scores = scored(sums, labelled, window, weight, config, overlap(primary))
        same = refits[number].session not in anew
        return _AtRefit(refits[number], scores, window, weight, first, samples, v[rows], same)

    found = list(_threaded(at, range(len(refits))))
    return Measured(names, table.days.dtype, regimes.states, found, config, overlap(primary))


@dataclass(frozen=True)
class Measured:
    """Scores of every feature at every refit: none depends on which others are candidates.

    What does depend on them comes after: false discoveries, redundancy, how many are kept, and so what is kept longer.
    """

    names: list[str]
    day: pl.DataType
    states: int
    refits: list["_AtRefit"]
    config: SelectionConfig
    spanned: int

    def ledger(self, names: Sequence[str] | None = None) -> pl.DataFrame:
        """`select` on these features alone, in this order; none given: on all. The same to the bit."""
        names = self.names if names is None else list(names)
        places = [self.names.index(name) for name in names]
        before: list[frozenset[str]] = [frozenset()] * self.states
        parts = []
        for at_refit in self.refits:
            if not at_refit.same_regimes:
                before = [frozenset()] * self.states
            scores = at_refit.scores.of(places)
            q_values = np.full(scores.p.shape, np.nan)
            tested = np.isfinite(scores.p)
            if tested.any():
                method: Literal["bh", "by"] = "bh" if self.config.dependence == "positive" else "by"
                q_values[tested] = stats.false_discovery_control(scores.p[tested], method=method)
            for k in range(self.states):
                decision = self._decision(at_refit, names, places, scores, k, q_values[k], before[k])
                gain = at_refit.gains(k, [places[f] for f in decision.kept]) if self.config.gain else None
                parts.append(self._rows(at_refit.refit, k, names, scores, q_values[k], decision, gain, before[k]))
                before[k] = frozenset(names[f] for f in decision.kept)
        schema = LEDGER | {"refit_session": self.day}
        if not parts:
            return pl.DataFrame(schema=schema)
        whole = pl.concat(parts).select(pl.col(name).cast(kind) for name, kind in schema.items())
        return whole.with_columns(pl.col(pl.Float64).fill_nan(None))

    def _decision(
        self,
        at_refit: "_AtRefit",
        names: list[str],
        places: list[int],
        scores: Scores,
        k: int,
        q: Floats,
        before: frozenset[str],
    ) -> Decision:
        similarity = at_refit.similarity(k)

        def among(one: Sequence[int], two: Sequence[int]) -> Floats:
            return similarity.among([places[f] for f in one], [places[f] for f in two])

        return decide(names, scores, k, q, among, before, self.config, self.spanned)

    def _rows(
        self,
        refit: Refit,
        k: int,
        names: list[str],
        scores: Scores,
        q: Floats,
        decision: Decision,
        gain: Floats | None,
        before: frozenset[str],
    ) -> pl.DataFrame:
        features, count = range(len(names)), len(names)
        position = {f: place + 1 for place, f in enumerate(decision.kept)}
        gain_of = {} if gain is None else dict(zip(decision.kept, gain.tolist(), strict=True))
        own = {
            "ic": scores.ic[k],
            "t_stat": scores.t[k],
            "p_value": scores.p[k],
            "q_value": q,
            "sessions": scores.sessions[k],
            "coverage": scores.coverage,
            "t_newey_west": scores.t_newey_west[k],
            "icir": scores.icir[k],
            "mutual_information": scores.mutual_information[k],
            "stability": scores.stability[k],
            "autocorrelation": scores.autocorrelation[k],
            "turnover": scores.turnover[k],
            "turnover_cost": scores.turnover[k] * self.config.cost_bps,
        }
        return pl.DataFrame(
            [
                pl.Series("refit_session", [refit.session] * count, dtype=self.day),
                pl.Series("refit_time", [refit.refit_time] * count, dtype=TIME),
                pl.Series("regime", [k] * count, dtype=pl.Int64),
                pl.Series("feature", names, dtype=pl.String),
                *(pl.Series(name, values, dtype=pl.Float64) for name, values in own.items()),
                pl.Series("gain", [gain_of.get(f) for f in features], dtype=pl.Float64),
                pl.Series("cluster", [decision.cluster.get(f) for f in features], dtype=pl.Int64),
                pl.Series(
                    "cluster_head",
                    [names[decision.head[f]] if f in decision.head else None for f in features],
                    dtype=pl.String,
                ),
                pl.Series("kept_before", [name in before for name in names], dtype=pl.Boolean),
                pl.Series("kept", [f in position for f in features], dtype=pl.Boolean),
                pl.Series("significant", q <= self.config.false_discovery_rate, dtype=pl.Boolean),
                pl.Series("position", [position.get(f) for f in features], dtype=pl.Int64),
                pl.Series("reason", decision.reasons, dtype=pl.String),
            ]
        )


@dataclass(frozen=True)
class _AtRefit:
    """The scores of one refit, and the sample of rows on which its features are compared, by regime.

    same_regimes: whether regime k is what it was at the refit before; if not, nothing was kept in it before.
    """

    refit: Refit
    scores: Scores
    window: Integers
    weights: Floats
    first: Integers
    samples: Grades
    label: Grades
    same_regimes: bool

    def similarity(self, regime: int) -> Similarity:
        return Similarity.of(self.samples, self.first, self.window, self.weights[regime])

    def gains(self, regime: int, kept: Sequence[int]) -> Floats:
        sample = self.similarity(regime)
        return gains(sample, self.label[sample.rows], kept)


def _ranked_by_then(table: Sessions, batches: Batches) -> Integers:
    """`table.previous`, but -1 where that row was ranked after this one: its labels were known later."""
    entered = batches.entered[table.session]
    previous = table.previous
    late = (previous >= 0) & (entered[np.maximum(previous, 0)] > entered)
    return np.where(late, -1, previous).astype(np.int64)


def _threaded(work: Callable[[_A], _B], over: Iterable[_A]) -> Iterator[_B]:
    """Results in order, on as many threads as Numba may use: what is long inside lets other threads run."""
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        yield from pool.map(work, over)
