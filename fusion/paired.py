"""Two scores of the same decisions: the difference of their rank ICs, its interval, its p, and the verdict in words.

    difference = rank IC of one score - rank IC of the other,    over the same rows

with an interval from one set of resamples for both (blocks of sessions where labels span several, `fusion.overlap`),
and a t statistic from the sessions' differences of influence. Many looks find a difference by chance: p-values are
adjusted by Holm's rule, and the verdict is their word:

    added information   p < 1 - confidence after Holm, and the difference is above 0
    took away           the same, below 0
    cannot be told      neither

Source: Holm (1979); Diebold & Mariano (1995) for the t statistic of a difference of two forecasts' losses, here of rank
ICs by their influences.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from fusion.correlation import rank_moments
from fusion.evaluation import EvaluationConfig, quantile_sums
from fusion.horizon import Horizon, overlap
from fusion.overlap import least_sessions, long_run, resamples, stretched

Floats = NDArray[np.float64]

ADDED, TOOK, UNTOLD = "added information", "took away", "cannot be told"
# with fewer sessions a resampled interval says more than the data do
_LEAST = 5


def enough_sessions(count: int, spanned: int) -> bool:
    """Whether so many sessions, with labels that span so many of them, tell anything."""
    return count >= max(least_sessions(spanned), _LEAST)


@dataclass(frozen=True)
class Estimate:
    """A statistic of one score, those of the resamples, and each session's influence on it (none of a spread)."""

    value: float
    drawn: Floats
    influence: Floats

    def less(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.drawn - other.drawn, self.influence - other.influence)


@dataclass(frozen=True)
class PairedSample:
    """The rows over which scores are compared: their return, and their sessions.

    y (rows,) returns, finite; offsets of the sessions; resamples (bootstrap, sessions); `spanned`: how many sessions a
    label spans.
    """

    y: Floats
    offsets: NDArray[np.int64]
    resamples: Floats
    spanned: int
    quantiles: int
    confidence: float

    @classmethod
    def of(cls, y: Floats, sessions: pl.Series, horizon: Horizon, config: EvaluationConfig) -> "PairedSample":
        """`sessions`: that of each row, in order."""
        counts = sessions.rle().struct.field("len").to_numpy() if len(sessions) else np.zeros(0, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        spanned, generator = overlap(horizon), np.random.default_rng(config.seed)
        drawn = resamples(len(offsets) - 1, spanned, config.bootstrap, generator)
        return cls(y, offsets, drawn, spanned, config.quantiles, config.confidence)

    @property
    def sessions(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def enough(self) -> bool:
        return enough_sessions(self.sessions, self.spanned)

    def ic(self, x: Floats) -> Estimate:
        """The rank IC; 0 with all that belongs to it where the score never differs."""
        moments = rank_moments(x, self.y, self.offsets)
        value = float(np.nan_to_num(moments.correlation(np.ones(self.sessions))))
        drawn = np.nan_to_num(moments.correlation(self.resamples)) if self.enough else np.zeros(0)
        return Estimate(value, drawn, moments.influences())

    def spread(self, x: Floats) -> Estimate:
        """Top minus bottom quantile in bps; 0 of a score that never differs. Its influences are not made."""
        sums, counts = quantile_sums(x, self.y, self.offsets, self.quantiles)
        weights = np.concatenate([np.ones((1, self.sessions)), self.resamples])
        with np.errstate(invalid="ignore", divide="ignore"):
            # einsum adds in an order that no BLAS can change
            means = [np.einsum("bs,s->b", weights, sums[k]) / np.einsum("bs,s->b", weights, counts[k]) for k in (-1, 0)]
            found = np.nan_to_num(means[0] - means[1])
        return Estimate(float(found[0]), found[1:], np.zeros(0))

    def interval(self, of: Estimate) -> tuple[float, float]:
        """Percentile interval at `confidence`; NaN with too few sessions, or of a difference that is always 0."""
        if not self.enough or of.value == 0 == np.ptp(of.drawn):
            return np.nan, np.nan
        tail = (1 - self.confidence) / 2
        low, high = (float(end) for end in np.quantile(of.drawn, [tail, 1 - tail]))
        shape = {"sessions": self.sessions, "overlap": self.spanned}
        return stretched(of.value, low, high, **shape, confidence=self.confidence)

    def t_test(self, of: Estimate) -> tuple[float, float]:
        """t and the two-sided p of a difference of two rank ICs, of the difference of their influences."""
        n, influence = self.sessions, of.influence
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
        t = of.value / np.sqrt(variance)
        return float(t), float(2 * stats.t.sf(abs(t), freedom))


def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values: over those by rising p, the running maximum of (number left) times p, at most 1.

    Missing values: a NaN stays one and is no look."""
    found = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    found[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return found


def word(difference: float, p_holm: object, *, level: float, looks: int, sessions: object) -> tuple[str, str]:
    """The verdict and its reason, of a difference and its p after so many looks."""
    if not isinstance(p_holm, float) or not np.isfinite(p_holm):
        return UNTOLD, f"{sessions} sessions are too few to tell"
    told = f"p {p_holm:.2g} after {looks} look{'' if looks == 1 else 's'} (Holm)"
    if p_holm < level:
        return (ADDED if difference > 0 else TOOK), told
    return UNTOLD, told


def neutral(scores: Floats) -> Floats:
    """Scores with the median for those that are missing; a constant where all are."""
    known = np.isfinite(scores)
    return np.where(known, scores, np.median(scores[known]) if known.any() else 0.0)


def numbers(column: pl.Series) -> Floats:
    """A column as float64, NaN where it is not finite."""
    values = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)
