"""Which features a regime may use: rank IC on the training window, false discoveries controlled, every decision kept.

For each refit and regime, a feature's information coefficient is the mean of its per-session rank ICs against the
primary forward return, weighted by the sessions' filtered probability of the regime:

    ic = sum(w_s ic_s) / sum(w_s)        n = sum(w_s)^2 / sum(w_s^2)        t = ic / (s / sqrt(n)),  n - 1 degrees

with s^2 the weighted, unbiased variance of the sessions' ICs. Sessions, not rows, are the sample: inside a session rows
overlap and depend on each other. The p-values of all features and regimes of one refit go through Benjamini-Hochberg.

Source: Grinold (1989) for the IC; Kish (1965) for the effective n; Benjamini & Hochberg (1995).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import stats

from fusion.correlation import rank_correlation, ranks
from fusion.regime import RegimePath, at
from fusion.target import KEYS, end_column, return_column
from fusion.walk_forward import Refit
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]

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
    min_rows               least rows of a session for its rank IC
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
    primary: int,
) -> pl.DataFrame:
    """The selection ledger: one row per refit, regime and feature, kept or not, with its scores and the reason.

    features   entity, session, decision_time and the candidates (numbers, any unit)
    labels     the same decisions with the returns of `fusion.target.forward_returns`
    primary    horizon of the target, nanoseconds

    A session counts for a refit when all its labels were known before the refit's cutoff. Per-session ICs are computed
    once for all refits; a refit only weighs them anew. Columns of the result: see `LEDGER`; `sessions` is the effective
    number, `coverage` the share of the window's labelled rows where the feature is present, `position` the order among
    the kept, 1 the best.

    Missing values: rows without feature or label are left out of its IC; scores are null where they are undefined, and
    such a feature is never kept.
    Raises DataError when features and labels do not hold the same decisions or a candidate is not numeric.
    """
    names = candidates(features)
    table = _Sessions.of(features, labels, names, primary, config.min_rows)
    rows = []
    for refit in refits:
        window = table.window(refit)
        weights = table.weights(regimes, refit)
        scores = [_scores(table.ic[:, window], weights[window, k], config.min_sessions) for k in range(regimes.states)]
        p_values = np.concatenate([score.p for score in scores])
        q_values = np.full(len(p_values), np.nan)
        tested = np.isfinite(p_values)
        if tested.any():
            q_values[tested] = stats.false_discovery_control(p_values[tested], method="bh")
        coverage = table.coverage(window)
        similarity = table.similarity(window)
        for k, score in enumerate(scores):
            q = q_values[k * len(names) : (k + 1) * len(names)]
            kept, reasons = _choose(names, score, q, similarity, coverage, config)
            for f, name in enumerate(names):
                position = kept.index(f) + 1 if f in kept else None
                scores_of = (score.ic[f], score.t[f], score.p[f], q[f], score.n[f], coverage[f])
                verdict = (position is not None, bool(q[f] <= config.false_discovery_rate), position, reasons[f])
                rows.append((refit.session, k, name, *scores_of, *verdict))
    return pl.DataFrame(rows, schema=LEDGER, orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


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
    """Per feature: weighted mean IC, its t and p, the effective number of sessions, and the expected one, sum(w)."""

    ic: Floats
    t: Floats
    p: Floats
    n: Floats
    expected: Floats


def _scores(ic: Floats, weights: Floats, min_sessions: float) -> _Scores:
    """ic (features, sessions), weights (sessions,). A session without an IC has no weight for that feature."""
    w = np.where(np.isfinite(ic), weights, 0.0)
    values = np.where(np.isfinite(ic), ic, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        total, squares = w.sum(axis=1), (w * w).sum(axis=1)
        n = np.where(total > 0, total**2 / squares, 0.0)
        mean = (w * values).sum(axis=1) / total
        spread = (w * (values - mean[:, None]) ** 2).sum(axis=1) / (total - squares / total)
        # equal ICs in all sessions would divide by zero: rounding is the least error they can have
        error = np.sqrt(np.maximum(spread, 1e-24) / n)
        # a regime that never came has tiny weights, whose effective n may yet be large: their sum tells
        t = np.where(total >= min_sessions, mean / error, np.nan)
        p = np.asarray(2 * stats.t.sf(np.abs(t), n - 1))
    return _Scores(mean, t, p, n, total)


def _choose(
    names: list[str],
    score: _Scores,
    q: Floats,
    similarity: Floats,
    coverage: Floats,
    config: SelectionConfig,
) -> tuple[list[int], list[str]]:
    """Best first: the kept features' positions, and a reason for every feature."""
    order = sorted(
        (f for f in range(len(names)) if np.isfinite(score.p[f])),
        key=lambda f: (score.p[f], -abs(score.ic[f]), names[f]),
    )
    kept: list[int] = []
    reasons = [_unscored(coverage[f], score.ic[f], score.expected[f], config) for f in range(len(names))]
    for f in order:
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


def _unscored(coverage: float, ic: float, sessions: float, config: SelectionConfig) -> str:
    if not coverage > 0:
        return "no value in the training window"
    if np.isnan(ic):
        return f"rank IC undefined in every session of this regime (constant, or fewer than {config.min_rows} rows)"
    return f"too few sessions of this regime ({sessions:.1f} expected, {config.min_sessions:g} needed)"


@dataclass(frozen=True)
class _Sessions:
    """What all refits share, in the order of sessions: per-session ICs, counts, and the rows themselves."""

    rows: pl.DataFrame
    names: list[str]
    days: pl.Series
    offsets: NDArray[np.int64]
    ends: pl.Series
    ic: Floats
    present: NDArray[np.int64]
    labelled: NDArray[np.int64]

    @classmethod
    def of(
        cls, features: pl.DataFrame, labels: pl.DataFrame, names: list[str], primary: int, min_rows: int
    ) -> "_Sessions":
        target, end = return_column(primary), end_column(primary)
        rows = labelled(features, labels, (target, end)).sort("session", "entity", "decision_time")
        sessions = rows.group_by("session", maintain_order=True).agg(pl.len(), pl.col(end).max())
        offsets = np.concatenate([[0], np.cumsum(sessions["len"].to_numpy())]).astype(np.int64)
        y = rows[target].to_numpy().astype(np.float64)
        ic = np.full((len(names), sessions.height), np.nan)
        present = np.zeros((len(names), sessions.height), dtype=np.int64)
        for f, name in enumerate(names):
            ic[f], present[f] = rank_correlation(_column(rows, name), y, offsets, min_rows=min_rows)
        counts = np.diff(np.concatenate([[0], np.cumsum(np.isfinite(y))])[offsets])
        return cls(rows, names, sessions["session"], offsets, sessions[end], ic, present, counts)

    def window(self, refit: Refit) -> NDArray[np.int64]:
        """Positions of the sessions whose labels a refit may see, all of them."""
        frame = pl.DataFrame({"session": self.days, "end": self.ends}).with_row_index("position")
        allowed = frame.filter(pl.col("session") >= refit.train[0], pl.col("end") < refit.cutoff)
        return allowed["position"].to_numpy().astype(np.int64)

    def weights(self, regimes: RegimePath, refit: Refit) -> Floats:
        """(sessions, K): mean filtered probability of the session's decisions, by the refit's own parameters."""
        times = self.rows.select("session", "decision_time").unique().sort("decision_time")
        probability = at(regimes.training(refit), times["decision_time"])
        # decisions after the refit take the last probability before it; no window holds them
        frame = times.select("session").with_columns(
            pl.Series(f"{k}", probability[:, k]).fill_nan(None) for k in range(regimes.states)
        )
        means = frame.group_by("session", maintain_order=True).agg(pl.exclude("session").mean())
        found: Floats = np.nan_to_num(means.drop("session").to_numpy())
        return found

    def coverage(self, window: NDArray[np.int64]) -> Floats:
        total = self.labelled[window].sum()
        return self.present[:, window].sum(axis=1) / total if total else np.zeros(len(self.names))

    def similarity(self, window: NDArray[np.int64]) -> Floats:
        """(features, features) rank correlation over the window's rows where both are present; 0 where undefined.

        Ranks are taken among all of a feature's rows, so that one matrix product serves every pair.
        """
        f = len(self.names)
        if not len(window) or not f:
            return np.zeros((f, f))
        picked = np.concatenate([np.arange(self.offsets[s], self.offsets[s + 1]) for s in window])
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


def _column(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].cast(pl.Float64).to_numpy()
