"""Which features a regime may use: rank IC on the training window, false discoveries controlled, every decision kept.

For each refit and regime, a feature's information coefficient is its rank correlation with the primary forward return
over all rows of the training window, each weighted by its session's filtered probability of the regime, and its t
statistic is clustered by session, and allows for labels that span several. `fusion.correlation` has the formulas, and
says why no mean is taken in a session. The p-values of all features and regimes of one refit go through
Benjamini-Hochberg.

Source: Grinold (1989) for the IC; Benjamini & Hochberg (1995).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import stats

from fusion.correlation import Moments, PooledIC, order, rank_moments, ranks
from fusion.horizon import Horizon, overlap
from fusion.overlap import least_sessions
from fusion.regime import RegimePath, at
from fusion.target import KEYS, end_column, return_column
from fusion.walk_forward import Refit
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

LEDGER: dict[str, pl.DataType] = {
    "refit_session": pl.Date(),
    "regime": pl.Int64(),
    "feature": pl.String(),
    "ic": pl.Float64(),
    "t_stat": pl.Float64(),
    "p_value": pl.Float64(),
    "q_value": pl.Float64(),
    "sessions": pl.Float64(),
    "coverage": pl.Float64(),
    "kept": pl.Boolean(),
    "significant": pl.Boolean(),
    "position": pl.Int64(),
    "reason": pl.String(),
}
# rows that redundancy is measured on: every n-th of the window, at most this many
_REDUNDANCY_ROWS = 20_000


class SelectionConfig(BaseModel):
    """How features are chosen.

    max_features           most features of one regime
    min_features           the best so many are kept although not significant (the ledger says so)
    false_discovery_rate   level of Benjamini-Hochberg over the features and regimes of one refit
    max_rank_correlation   a feature closer than this to a better kept one is redundant
    min_sessions           least sum of the sessions' weights, their expected number, for a t statistic
    min_rows               least rows of the window for a rank IC
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_features: Annotated[int, Field(ge=1)] = 12
    min_features: Annotated[int, Field(ge=0)] = 0
    false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    max_rank_correlation: Annotated[float, Field(gt=0, le=1)] = 0.9
    min_sessions: Annotated[float, Field(ge=2)] = 5.0
    min_rows: Annotated[int, Field(ge=3)] = 10

    @model_validator(mode="after")
    def _consistent(self) -> "SelectionConfig":
        if self.min_features > self.max_features:
            raise ValueError(f"min_features {self.min_features} is above max_features {self.max_features}")
        return self


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

    A session counts for a refit when all its labels were known before the refit's cutoff; ranks and means are those of
    the rows of such sessions and of no others. Columns of the result: see `LEDGER`; `sessions` is the effective number,
    `coverage` the share of the window's labelled rows where the feature is present, `position` the order among the
    kept, 1 the best.

    Missing values: rows without feature or label are left out of its IC; scores are null where they are undefined, and
    such a feature is never kept.
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
    table = _Sessions.of(features, labels, names, primary)
    # a feature is sorted once and its order walked at each refit; a later step may update the sums instead
    orders = [order(table.column(name)) for name in names]
    y_order = order(table.y)
    found = []
    for refit in refits:
        window = table.window(refit)
        scores = _scored(table, window, table.weights(regimes, refit), orders, y_order, config, overlap(primary))
        found.append(_AtRefit(refit, table, window, scores))
    return Measured(names, table.days.dtype, regimes.states, found, config, overlap(primary))


@dataclass(frozen=True)
class Measured:
    """Scores of every feature at every refit: none depends on which others are candidates.

    What does depend on them comes after: false discoveries, redundancy, how many are kept.
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
        config, rows = self.config, []
        for at_refit in self.refits:
            scores = at_refit.scores.of(places)
            ic = scores.ic
            q_values = np.full(ic.p.shape, np.nan)
            tested = np.isfinite(ic.p)
            if tested.any():
                q_values[tested] = stats.false_discovery_control(ic.p[tested], method="bh")
            # where nothing can be kept, nothing can be redundant
            compared = config.min_features > 0 or bool((q_values <= config.false_discovery_rate).any())
            nothing = np.zeros((len(names), len(names)))
            similarity = at_refit.similarity[np.ix_(places, places)] if compared else nothing
            for k in range(self.states):
                kept, reasons = _choose(names, scores, k, q_values[k], similarity, config, self.spanned)
                for f, name in enumerate(names):
                    position = kept.index(f) + 1 if f in kept else None
                    q = q_values[k, f]
                    scores_of = (ic.ic[k, f], ic.t[k, f], ic.p[k, f], q, ic.sessions[k, f], scores.coverage[f])
                    verdict = (position is not None, bool(q <= config.false_discovery_rate), position, reasons[f])
                    rows.append((at_refit.refit.session, k, name, *scores_of, *verdict))
        return pl.DataFrame(rows, schema=LEDGER | {"refit_session": self.day}, orient="row").with_columns(
            pl.col(pl.Float64).fill_nan(None)
        )


def candidates(features: pl.DataFrame) -> list[str]:
    """The feature columns of a table of decisions. Raises DataError where one is not numeric."""
    names = [name for name in features.columns if name not in KEYS]
    wrong = [name for name in names if not features.schema[name].is_numeric()]
    if wrong:
        raise DataError(f"feature {wrong[0]} is {features.schema[wrong[0]]}", allowed="numbers")
    return names


def labelled(features: pl.DataFrame, labels: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """features with the label `columns`, same rows and order. Raises DataError where their decisions differ."""
    for name, frame, needed in (("features", features, KEYS), ("labels", labels, (*KEYS, *columns))):
        missing = [column for column in needed if column not in frame.columns]
        if missing:
            raise DataError(f"{name} lack {', '.join(missing)}", allowed=f"columns {', '.join(needed)}")
        if frame.select(KEYS).is_duplicated().any():
            raise DataError(f"{name} hold a decision twice", allowed="one row per entity and decision_time")
    clash = [column for column in columns if column in features.columns]
    if clash:
        raise DataError(f"the label {clash[0]} is among the features", hint="a label as a feature is a leak")
    joined = features.join(labels.select(*KEYS, *columns), on=KEYS, how="inner", maintain_order="left")
    if not joined.height == features.height == labels.height:
        raise DataError(
            f"features hold {features.height} decisions, labels {labels.height}, {joined.height} in both",
            allowed="the same decisions",
            hint="build both on one grid",
        )
    return joined


@dataclass(frozen=True)
class _Scores:
    """Of one refit: the pooled IC and the expected number of sessions, (regimes, features); coverage, (features,)."""

    ic: PooledIC
    expected: Floats
    coverage: Floats

    def of(self, places: Sequence[int]) -> "_Scores":
        """Those of some of the features."""
        ic = self.ic
        some = [each[:, places] for each in (ic.ic, ic.error, ic.t, ic.p, ic.sessions)]
        return _Scores(PooledIC(*some), self.expected[:, places], self.coverage[places])


def _scored(
    table: "_Sessions",
    window: Booleans,
    weights: Floats,
    orders: list[Integers],
    y_order: Integers,
    config: SelectionConfig,
    spanned: int,
) -> _Scores:
    """weights (regimes, sessions); `spanned`: how many sessions a label spans. A regime with too few sessions for a t
    statistic has its IC and no more."""
    shape = (len(weights), len(table.names))
    ic, error, t, p, n, expected = (np.full(shape, np.nan) for _ in range(6))
    coverage = np.zeros(len(table.names))
    weights = weights[:, window]
    y = np.where(window[table.session], table.y, np.nan)
    total = np.count_nonzero(np.isfinite(y))
    for f, name in enumerate(table.names):
        moments = rank_moments(table.column(name), y, table.offsets, x_order=orders[f], y_order=y_order)
        # only these: sums over more sessions would round differently, even where the others hold nothing
        moments = Moments(moments.sums[:, window])
        found = moments.pooled(weights, min_rows=config.min_rows, overlap=spanned)
        # a regime that never came has tiny weights, whose effective number may yet be large: their sum tells
        expected[:, f] = np.einsum("ks,s->k", weights, (moments.rows > 0).astype(np.float64))
        tested = np.where(expected[:, f] >= _needed(config, spanned), 1.0, np.nan)
        ic[:, f], n[:, f] = found.ic, found.sessions
        error[:, f], t[:, f], p[:, f] = found.error * tested, found.t * tested, found.p * tested
        coverage[f] = moments.rows.sum() / total if total else 0.0
    return _Scores(PooledIC(ic, error, t, p, n), expected, coverage)


def _choose(
    names: list[str],
    scores: _Scores,
    regime: int,
    q: Floats,
    similarity: Floats,
    config: SelectionConfig,
    spanned: int,
) -> tuple[list[int], list[str]]:
    """Best first: the kept features' positions, and a reason for every feature."""
    ic, p = scores.ic.ic[regime], scores.ic.p[regime]
    best = sorted((f for f in range(len(names)) if np.isfinite(p[f])), key=lambda f: (p[f], -abs(ic[f]), names[f]))
    kept: list[int] = []
    expected = scores.expected[regime]
    reasons = [_unscored(scores.coverage[f], ic[f], expected[f], config, spanned) for f in range(len(names))]
    for f in best:
        significant = q[f] <= config.false_discovery_rate
        close = [g for g in kept if abs(similarity[f, g]) > config.max_rank_correlation]
        if not significant and len(kept) >= config.min_features:
            reasons[f] = f"not significant (q {q[f]:.2g} > {config.false_discovery_rate:g})"
        elif close:
            reasons[f] = f"redundant with {names[close[0]]} (rank correlation {similarity[f, close[0]]:.2f})"
        elif len(kept) >= config.max_features:
            reasons[f] = f"significant, but beyond max_features {config.max_features}"
        else:
            kept.append(f)
            reasons[f] = (
                f"significant (q {q[f]:.2g})"
                if significant
                else f"not significant (q {q[f]:.2g}); kept as one of the best {config.min_features} (min_features)"
            )
    return kept, reasons


def _needed(config: SelectionConfig, spanned: int) -> float:
    """Least expected number of sessions for a t statistic of labels that span so many."""
    return max(config.min_sessions, float(least_sessions(spanned)))


def _unscored(coverage: float, ic: float, sessions: float, config: SelectionConfig, spanned: int) -> str:
    if not coverage > 0:
        return "no value in the training window"
    if np.isnan(ic):
        return f"rank IC undefined in this regime (constant, or fewer than {config.min_rows} rows)"
    return f"too few sessions of this regime ({sessions:.1f} expected, {_needed(config, spanned):g} needed)"


@dataclass(frozen=True)
class _Sessions:
    """What all refits share: the rows in the order of sessions, their label and the position of their session."""

    rows: pl.DataFrame
    names: list[str]
    days: pl.Series
    offsets: Integers
    session: Integers
    ends: pl.Series
    y: Floats

    @classmethod
    def of(cls, features: pl.DataFrame, labels: pl.DataFrame, names: list[str], primary: Horizon) -> "_Sessions":
        target, end = return_column(primary), end_column(primary)
        rows = labelled(features, labels, (target, end)).sort("session", "entity", "decision_time")
        sessions = rows.group_by("session", maintain_order=True).agg(pl.len(), pl.col(end).max())
        counts = sessions["len"].to_numpy().astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        session = np.repeat(np.arange(len(counts)), counts)
        return cls(rows, names, sessions["session"], offsets, session, sessions[end], _column(rows, target))

    def column(self, name: str) -> Floats:
        return _column(self.rows, name)

    def window(self, refit: Refit) -> Booleans:
        """(sessions,) whether a refit may see the session's labels, all of them."""
        frame = pl.DataFrame({"session": self.days, "end": self.ends})
        allowed = (pl.col("session") >= refit.train[0]) & (pl.col("end") < refit.cutoff)
        return frame.select(allowed.fill_null(False).alias("allowed"))["allowed"].to_numpy()

    def weights(self, regimes: RegimePath, refit: Refit) -> Floats:
        """(regimes, sessions): mean filtered probability of the session's decisions, by the refit's own parameters."""
        times = self.rows.select("session", "decision_time").unique().sort("decision_time")
        # decisions after the refit take the last probability before it; no window holds them
        probability = at(regimes.training(refit), times["decision_time"])
        day = times.select(pl.col("session").rle_id())["session"].to_numpy()
        count = np.bincount(day, minlength=len(self.days))
        # bincount adds row after row: a session's mean must not depend on how many sessions follow it
        means = [np.bincount(day, weights=column, minlength=len(self.days)) / count for column in probability.T]
        found: Floats = np.nan_to_num(np.stack(means))
        return found

    def similarity(self, window: Booleans) -> Floats:
        """(features, features) rank correlation over the window's rows where both are present; 0 where undefined.

        Ranks are taken among all of a feature's rows, so that one matrix product serves every pair, and what two
        features have in common does not depend on a third.
        """
        f = len(self.names)
        picked = np.flatnonzero(window[self.session])
        if not len(picked) or not f:
            return np.zeros((f, f))
        picked = picked[:: -(-len(picked) // _REDUNDANCY_ROWS)]
        rows = self.rows[picked]
        ranked = np.stack([ranks(_column(rows, name)) for name in self.names], axis=1)
        both = np.isfinite(ranked).astype(np.float64)
        r = np.nan_to_num(ranked)
        # ranks are whole numbers, so that these sums are exact whatever order a BLAS adds them in
        n, x, xx, xy = both.T @ both, r.T @ both, (r * r).T @ both, r.T @ r
        with np.errstate(invalid="ignore", divide="ignore"):
            covariance, variance = n * xy - x * x.T, n * xx - x * x
            found: Floats = np.nan_to_num(covariance / np.sqrt(variance * variance.T), posinf=0.0, neginf=0.0)
        return found


@dataclass(frozen=True)
class _AtRefit:
    """The scores of one refit, and the similarity of its features, which is made when it is first asked for."""

    refit: Refit
    table: _Sessions
    window: Booleans
    scores: _Scores

    @cached_property
    def similarity(self) -> Floats:
        return self.table.similarity(self.window)


def _column(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).to_numpy()
