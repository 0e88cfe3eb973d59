"""What each source adds out of sample: the run again without it, and with it and the prices alone.

Selection and models are refitted on the reduced candidates, at the same refits, on the same labels, with the regimes of
the run (which a source that feeds the regimes goes on feeding). What cannot differ is not done twice: a feature's
scores do not depend on the other candidates, and where a refit keeps the same features in a regime, its model is the
same. Each source is judged over its own window: the out-of-sample sessions in which any of its features has a value,
between the first row known of it and the last one plus its max_age; elsewhere it cannot add anything, and would dilute
what it does.

    added = rank IC of all sources - rank IC without this one,    over the same rows

with an interval from one set of resamples for both (blocks of sessions where labels span several, `fusion.overlap`),
and a t statistic from the sessions' differences of influence. Looks at many sources find one that adds by chance:
p-values are adjusted by Holm's rule, and the verdict is their word:

    added information   p < 1 - confidence after Holm, and the difference is above 0
    took away           the same, below 0
    cannot be told      neither; a source none of whose features was ever chosen changes nothing at all

Source: Holm (1979); Diebold & Mariano (1995) for the t statistic of a difference of two forecasts' losses, here of rank
ICs by their influences. Two nested models differ by noise too: a useless source that is chosen costs a little, so the
rule rather misses a small addition than finds one that is not there (Clark & West 2007).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from fusion import model, selection
from fusion.correlation import rank_moments
from fusion.evaluation import quantile_sums
from fusion.horizon import overlap
from fusion.overlap import least_sessions, long_run, resamples, stretched
from fusion.plan import Plan, Progress, silent
from fusion.study import Study
from fusion.target import KEYS, return_column

Floats = NDArray[np.float64]
Sources = frozenset[str]

ADDED, TOOK, UNTOLD = "added information", "took away", "cannot be told"
CONTRIBUTION: dict[str, pl.DataType] = {
    "source": pl.String(),
    "first_session": pl.Date(),
    "last_session": pl.Date(),
    "sessions": pl.Int64(),
    "rows": pl.Int64(),
    "features": pl.Int64(),
    "chosen": pl.Float64(),
    **{
        name: pl.Float64()
        for name in (
            *("ic_all", "ic_without", "added", "added_low", "added_high", "t", "p_value", "p_holm"),
            *("ic_prices", "ic_with_prices", "alone", "alone_low", "alone_high"),
            *("spread_all", "spread_without", "spread_added", "spread_low", "spread_high"),
        )
    },
    "verdict": pl.String(),
    "reason": pl.String(),
}


def contributions(
    plan: Plan, tables: Mapping[str, pl.DataFrame], found: Study, progress: Progress = silent
) -> pl.DataFrame:
    """One row for each source that gives features, the prices' among them: see `CONTRIBUTION`.

    chosen   share of the refits at which a feature of it was kept in any regime
    ic_all .. ic_prices  rank ICs over the source's window: of all sources; without it; of it and the prices; of the
             prices alone. For the source of the prices the last two are its own and 0, the IC of no forecast
    alone    ic_with_prices - ic_prices, with its interval; not part of the verdict
    spread   top minus bottom quantile of the score, bps

    Missing values: a model without a score where another one has one forecasts nothing: it is given the median of its
    scores there, and one without any score has an IC and a spread of 0. No interval and no p with fewer sessions in the
    window than `fusion.overlap.least_sessions` (5 at least).
    """
    config = plan.config
    families = {name: found.matrix.families[name] for name in found.matrix.candidates}
    every: Sources = frozenset(families.values())
    prices: Sources = every & {config.price_source}
    scores = _Models(plan, found, families, progress)
    jobs = [(name, every - {name}, prices | {name}) for name in config.features if name in every]
    scores.make([model for _, without, alone in jobs for model in (without, alone, prices)])
    rows = [
        _compared(plan, tables, found, scores, source, every=every, without=without, alone=alone, prices=prices)
        for source, without, alone in jobs
    ]
    return _judged(rows, 1 - config.evaluation.confidence, list(families.values()))


class _Models:
    """The out-of-sample scores of the run's models on some of the sources, each made once."""

    def __init__(self, plan: Plan, found: Study, families: Mapping[str, str], progress: Progress) -> None:
        self._plan, self._found, self._families, self._progress = plan, found, families, progress
        judged = pl.col("status").is_in(["ok", "no_model"])
        self.signals = found.signals.filter(judged).select(*KEYS, "score").sort("session", "entity", "decision_time")
        self._made: dict[Sources, Floats] = {frozenset(families.values()): _numbers(self.signals["score"])}
        self._made[frozenset()] = np.full(self.signals.height, np.nan)

    def __getitem__(self, sources: Sources) -> Floats:
        return self._made[sources]

    def make(self, wanted: Sequence[Sources]) -> None:
        missing = [sources for sources in dict.fromkeys(wanted) if sources not in self._made]
        if not missing:
            return
        config, found, refits = self._plan.config, self._found, self._found.refits
        self._progress("contribution: scores of the features", None)
        table, primary = found.matrix.frame.select(*KEYS, *self._families), config.predicted.primary
        shared = (table, found.labels, found.regimes)
        measured = selection.measure(*shared, refits, config.selection, primary)
        learned: model.Learned = {
            (fitted.refit_session, k, learner.features): learner
            for fitted in found.models
            for k, learner in enumerate(fitted.learners)
            if learner is not None
        }
        for number, sources in enumerate(missing):
            said = f"contribution: model {number + 1} of {len(missing)}, {len(refits)} refits each"
            self._progress(said, number / len(missing))
            ledger = measured.ledger([name for name, source in self._families.items() if source in sources])
            predicted, _ = model.walk_forward_predict(*shared, ledger, refits, config.model, primary, learned)
            joined = self.signals.select(KEYS).join(predicted, on=KEYS, how="left", maintain_order="left")
            self._made[sources] = _numbers(joined["score"])


@dataclass(frozen=True)
class _Window:
    """The rows over which two scores are compared: their return, and their sessions."""

    y: Floats
    offsets: NDArray[np.int64]
    resamples: Floats
    spanned: int
    quantiles: int
    confidence: float

    @property
    def sessions(self) -> int:
        return len(self.offsets) - 1

    @property
    def enough(self) -> bool:
        return self.sessions >= max(least_sessions(self.spanned), 5)

    def ic(self, x: Floats) -> tuple[float, Floats, Floats]:
        """The rank IC, those of the resamples, and the sessions' influences; all 0 of a score that never differs."""
        moments = rank_moments(x, self.y, self.offsets)
        value = float(np.nan_to_num(moments.correlation(np.ones(self.sessions))))
        drawn = np.nan_to_num(moments.correlation(self.resamples)) if self.enough else np.zeros(0)
        return value, drawn, moments.influences()

    def spread(self, x: Floats) -> tuple[float, Floats]:
        """Top minus bottom quantile in bps, and those of the resamples; 0 of a score that never differs."""
        sums, counts = quantile_sums(x, self.y, self.offsets, self.quantiles)
        weights = np.concatenate([np.ones((1, self.sessions)), self.resamples])
        with np.errstate(invalid="ignore", divide="ignore"):
            # einsum adds in an order that no BLAS can change
            means = [np.einsum("bs,s->b", weights, sums[k]) / np.einsum("bs,s->b", weights, counts[k]) for k in (-1, 0)]
            found = np.nan_to_num(means[0] - means[1])
        return float(found[0]), found[1:]

    def interval(self, value: float, drawn: Floats) -> tuple[float, float]:
        if not self.enough or value == 0 == np.ptp(drawn):
            return np.nan, np.nan
        tail = (1 - self.confidence) / 2
        low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail]))
        shape = {"sessions": self.sessions, "overlap": self.spanned}
        return stretched(value, low, high, **shape, confidence=self.confidence)

    def t_test(self, value: float, influence: Floats) -> tuple[float, float]:
        """t and the two-sided p of a difference of two rank ICs, of the difference of their influences."""
        n = self.sessions
        if not self.enough or not influence.any():
            return np.nan, np.nan
        rows = np.diff(self.offsets).astype(np.float64)
        if self.spanned > 1:
            share = rows / rows.sum()
            variance, freedom = long_run(influence, share, float(1 / (share**2).sum()), self.spanned)
        else:
            variance, freedom = float((influence**2).sum() * n / (n - 1)), n - 1
        if not variance > 0:
            return np.nan, np.nan
        t = value / np.sqrt(variance)
        return float(t), float(2 * stats.t.sf(abs(t), freedom))


def _compared(
    plan: Plan,
    tables: Mapping[str, pl.DataFrame],
    found: Study,
    scores: _Models,
    source: str,
    *,
    every: Sources,
    without: Sources,
    alone: Sources,
    prices: Sources,
) -> dict[str, object]:
    """The row of one source, but for what needs all of them."""
    config = plan.config
    primary = config.predicted.primary
    label = return_column(primary)
    rows = scores.signals.select(KEYS).join(
        found.labels.select(*KEYS, label), on=KEYS, how="left", maintain_order="left"
    )
    y = _numbers(rows[label])
    covered = rows["session"].is_in(_covered(plan, tables[source], found, source).implode()).to_numpy()
    wanted = (every, without, alone, prices if source not in prices else frozenset())
    used = covered & np.isfinite(y) & np.any([np.isfinite(scores[sources]) for sources in wanted], axis=0)
    sessions = rows.filter(pl.Series(used)).group_by("session", maintain_order=True).len()
    offsets = np.concatenate([[0], np.cumsum(sessions["len"].to_numpy())]).astype(np.int64)
    spanned, settings = overlap(primary), config.evaluation
    generator = np.random.default_rng(settings.seed)
    drawn = resamples(len(offsets) - 1, spanned, settings.bootstrap, generator)
    window = _Window(y[used], offsets, drawn, spanned, settings.quantiles, settings.confidence)
    days: list[date] = sessions["session"].to_list()
    kept = found.ledger.filter(pl.col("kept") & pl.col("feature").is_in(_columns(found, source)))["refit_session"]
    row: dict[str, object] = {
        "source": source,
        "first_session": _day(days[0]) if days else None,
        "last_session": _day(days[-1]) if days else None,
        "sessions": window.sessions,
        "rows": int(used.sum()),
        "features": len(_columns(found, source)),
        "chosen": kept.n_unique() / len(found.refits) if found.refits else 0.0,
    }
    if not days:
        return row
    x = [_neutral(scores[sources][used]) for sources in wanted]
    (all_, less, with_prices, base), (wide, narrow) = [window.ic(each) for each in x], [window.spread(e) for e in x[:2]]
    added, alone_, spread = all_[0] - less[0], with_prices[0] - base[0], wide[0] - narrow[0]
    t, p = window.t_test(added, all_[2] - less[2])
    low, high = window.interval(added, all_[1] - less[1])
    alone_low, alone_high = window.interval(alone_, with_prices[1] - base[1])
    spread_low, spread_high = window.interval(spread, wide[1] - narrow[1])
    return row | {
        **{"ic_all": all_[0], "ic_without": less[0], "added": added, "added_low": low, "added_high": high},
        **{"t": t, "p_value": p, "ic_prices": base[0], "ic_with_prices": with_prices[0]},
        **{"alone": alone_, "alone_low": alone_low, "alone_high": alone_high},
        **{"spread_all": wide[0], "spread_without": narrow[0], "spread_added": spread},
        **{"spread_low": spread_low, "spread_high": spread_high},
    }


def _covered(plan: Plan, rows: pl.DataFrame, found: Study, source: str) -> pl.Series:
    """The sessions in which the source has values at all."""
    if rows.is_empty():
        return found.matrix.frame["session"].clear()
    first = rows["known_time"].min()
    last = rows.select(pl.max_horizontal(pl.col("known_time").max(), pl.col("event_time").max())).item()
    reach = pl.lit(last).cast(rows.schema["known_time"]) + pl.duration(nanoseconds=plan.config.sources[source].max_age)
    inside = (pl.col("decision_time") >= pl.lit(first)) & (pl.col("decision_time") <= reach)
    there = pl.any_horizontal(pl.col(name).is_finite() for name in _columns(found, source))
    return found.matrix.frame.filter(inside & there)["session"].unique()


def _columns(found: Study, source: str) -> list[str]:
    return [name for name in found.matrix.candidates if found.matrix.families[name] == source]


def _judged(rows: list[dict[str, object]], level: float, families: list[str]) -> pl.DataFrame:
    """The rows with p-values by Holm over all sources that were looked at, and the verdict in words."""
    frame = pl.DataFrame(rows, schema={name: kind for name, kind in CONTRIBUTION.items() if name in _OF_ONE})
    p = _numbers(frame["p_value"])
    # a source that was never chosen is a look as well: it could have been
    p = np.where(np.isnan(p) & (_numbers(frame["chosen"]) == 0), 1.0, p)
    frame = frame.with_columns(pl.Series("p_holm", holm(p)), *(pl.col(pl.Float64).fill_nan(None),))
    verdicts = [_verdict(row, level, frame.height) for row in frame.iter_rows(named=True)]
    columns = [pl.Series(name, [each[k] for each in verdicts]) for k, name in enumerate(("verdict", "reason"))]
    return frame.with_columns(columns).select(pl.col(name).cast(kind) for name, kind in CONTRIBUTION.items())


_OF_ONE = set(CONTRIBUTION) - {"p_holm", "verdict", "reason"}


def _verdict(row: Mapping[str, object], level: float, looks: int) -> tuple[str, str]:
    if not row["sessions"]:
        return UNTOLD, "no out-of-sample session has a value of it"
    if not row["chosen"] and not row["added"]:
        return UNTOLD, "none of its features was chosen at any refit, so it changed nothing"
    p = row["p_holm"]
    if not isinstance(p, float) or not np.isfinite(p):
        return UNTOLD, f"{row['sessions']} sessions are too few to tell"
    told = f"p {p:.2g} after {looks} looks (Holm)"
    added = row["added"]
    assert isinstance(added, float)
    if p < level:
        return (ADDED if added > 0 else TOOK), told
    return UNTOLD, told


def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values: over those by rising p, the running maximum of (number left) times p, at most 1.

    Missing values: a NaN stays one and is no look."""
    found = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    found[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return found


def _neutral(scores: Floats) -> Floats:
    """Scores with the median for those that are missing; a constant where all are."""
    known = np.isfinite(scores)
    return np.where(known, scores, np.median(scores[known]) if known.any() else 0.0)


def _numbers(column: pl.Series) -> Floats:
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _day(session: date) -> date:
    """The day of a session, or of a block's start."""
    return session if type(session) is date else session.date()  # type: ignore[attr-defined, no-any-return]
