"""Was it luck? Sharpe ratios that know how many were tried, and the chance that the best of them is not the best.

All of returns by session, in any unit; a Sharpe ratio is mean over deviation of one session's return (times the root
of 252 it is the annual one). With SR the estimate, g3 its returns' skewness, g4 their kurtosis (3: normal), n sessions:

    probabilistic Sharpe ratio   PSR(SR*) = Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2))
    deflated Sharpe ratio        PSR(SR0),  SR0 = sqrt(V) ((1 - c) z(1 - 1/N) + c z(1 - 1/(N e)))
    minimum track record         1 + (1 - g3 SR + (g4 - 1) / 4 SR^2) (z(confidence) / (SR - SR*))^2, rounded up

SR0 is what the best of N trials without any skill is expected to show, V being the variance of the trials' Sharpe
ratios, c Euler's constant, z the normal quantile.

Variant. Mean, deviation, skewness and kurtosis are plain moments of the sample (divided by n), so that the root's
content is exactly the mean square of the Sharpe ratio's influences

    psi_s = u_s - SR / 2 (u_s^2 - 1),   u_s = (r_s - mean) / deviation

Where the returns of neighbouring sessions overlap (labels of h sessions) that mean square is too small, by up to a
factor of h. Their long-run variance takes its place, and Student's t that of Phi (`fusion.overlap`).

**Probability of backtest overfitting**, by combinatorially symmetric cross-validation: sessions are cut into S blocks;
each half of the blocks is in-sample once, the other half out-of-sample. The trial that is best in-sample has rank r
out-of-sample among N (1: worst), w = r / (N + 1), logit = log(w / (1 - w)). The probability is the share of the
C(S, S / 2) splits with a logit below 0: the choice by the past is then below the median of all trials.

Variant. Ties share their mean rank. A logit of 0 (exactly the median, which only odd N can have) does not count, as in
`purgedcv`; the paper's integral up to 0 and R's `pbo` count it: `at_median` tells how many there are. A return that
never changes has a Sharpe ratio of 0. Where returns overlap, in-sample sessions whose returns reach into an
out-of-sample block, or are reached by it, are left out (`fusion.cross_validation`).

Sources: Bailey & Lopez de Prado (2012), The Sharpe ratio efficient frontier; (2014), The deflated Sharpe ratio;
Bailey, Borwein, Lopez de Prado & Zhu (2017), The probability of backtest overfitting; Mertens (2002) for the variance.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fusion.cross_validation import combinatorial_purged
from fusion.overlap import long_run
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]

# a slice whose variance is below this share of its whole column's is constant but for rounding
_CONSTANT = 1e-20
_CHUNK = 256
_FEWEST_TRIALS = 10


@dataclass(frozen=True)
class SharpeRatio:
    """A Sharpe ratio of `sessions` returns, with what its error needs.

    error, freedom  standard error, and degrees of freedom of its t distribution (infinite: normal)
    """

    value: float
    skewness: float
    kurtosis: float
    sessions: int
    error: float
    freedom: float

    def above(self, benchmark: float) -> float:
        """The probabilistic Sharpe ratio: the confidence that the true one is above `benchmark` (per session)."""
        if not self.error > 0:
            return math.nan
        z = (self.value - benchmark) / self.error
        return float(stats.norm.cdf(z) if math.isinf(self.freedom) else stats.t.cdf(z, self.freedom))


def sharpe_ratio(returns: ArrayLike, *, overlap: int = 1) -> SharpeRatio:
    """The Sharpe ratio of returns by session, and its error.

    returns  (sessions,) in their order; their unit does not matter
    overlap  over how many sessions in a row returns have parts in common; 1: none

    Missing values: none allowed; a session without a position earned 0. All but `sessions` is NaN where fewer than 3
    sessions or constant returns have none; error alone where overlapping ones have fewer than 3 `overlap` sessions.
    Raises ArgumentError for values that are not finite, or not of one dimension.
    """
    values = _finite(returns, 1)
    n = len(values)
    if n < 3 or not np.ptp(values) > 0:
        return SharpeRatio(math.nan, math.nan, math.nan, n, math.nan, math.nan)
    mean, deviation = float(values.mean()), float(values.std())
    u = (values - mean) / deviation
    value, skewness, kurtosis = mean / deviation, float((u**3).mean()), float((u**4).mean())
    if overlap > 1:
        # influences on the mean of n returns, each session weighing the same
        influence = (u - value / 2 * (u**2 - 1)) / n
        variance, frequencies = long_run(influence, np.full(n, 1 / n), float(n), overlap)
        freedom = float(frequencies)
    else:
        variance, freedom = _variance(value, skewness, kurtosis) / (n - 1), math.inf
    return SharpeRatio(value, skewness, kurtosis, n, math.sqrt(variance), freedom)


def probabilistic_sharpe(sharpe: float, benchmark: float, sessions: int, skewness: float, kurtosis: float) -> float:
    """PSR(benchmark) of a Sharpe ratio that is told by its moments alone; both per session, kurtosis 3 of a normal.

    Missing values: NaN where a moment is.
    Raises ArgumentError with fewer than 2 sessions, or for moments that no returns have.
    """
    if sessions < 2:
        raise ArgumentError(f"{sessions} sessions", allowed="2 or more")
    error = math.sqrt(_variance(sharpe, skewness, kurtosis) / (sessions - 1))
    return float(stats.norm.cdf((sharpe - benchmark) / error)) if error else math.nan


def expected_maximum_sharpe(variance: float, trials: int) -> float:
    """SR0: the Sharpe ratio that the best of so many trials without skill is expected to show; 0 of a single one.

    variance  of the trials' Sharpe ratios, per session
    Raises ArgumentError for a variance below 0 or no trial.
    """
    if trials < 1 or not variance >= 0 or math.isinf(variance):
        raise ArgumentError(f"{trials} trials of variance {variance}", allowed="1 or more, and 0 or more")
    if trials == 1:
        return 0.0
    common, rare = (float(stats.norm.ppf(1 - 1 / (trials * times))) for times in (1, math.e))
    return math.sqrt(variance) * ((1 - np.euler_gamma) * common + np.euler_gamma * rare)


def deflated_sharpe(
    sharpe: float, sessions: int, skewness: float, kurtosis: float, *, variance: float, trials: int
) -> float:
    """The probabilistic Sharpe ratio against the best of so many trials; arguments as above."""
    benchmark = expected_maximum_sharpe(variance, trials)
    return probabilistic_sharpe(sharpe, benchmark, sessions, skewness, kurtosis)


def minimum_track_record(
    sharpe: float, benchmark: float, skewness: float, kurtosis: float, confidence: float = 0.95
) -> float:
    """How many sessions it takes for PSR(benchmark) to reach the confidence; infinite where sharpe <= benchmark.

    Missing values: NaN where an argument is.
    Raises ArgumentError for a confidence outside of 0..1, or moments that no returns have.
    """
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence {confidence}", allowed="above 0, below 1")
    if math.isnan(sharpe + benchmark + skewness + kurtosis):
        return math.nan
    if sharpe <= benchmark:
        return math.inf
    z = max(float(stats.norm.ppf(confidence)), 0.0)
    sessions = 1 + math.ceil(_variance(sharpe, skewness, kurtosis) * (z / (sharpe - benchmark)) ** 2)
    return float(max(sessions, 2))


def variance_of_trials(sharpes: ArrayLike, *, trials: int, single: float) -> float:
    """V of the deflated Sharpe ratio: the variance (n - 1) of the trials' Sharpe ratios, as far as they are known.

    Variant. Of fewer than ten known ones it is `single`: two or three say next to nothing of a variance, and what one
    of them has in skill would count as luck of all. Where there were more trials than are known it is at least
    `single`, since the others may have been less alike.

    sharpes  (known,) per session; NaN: of a trial that has none, left out
    single   variance of one Sharpe ratio about the true one, its squared error: that of independent trials
    """
    known = np.asarray(sharpes, np.float64)
    known = known[np.isfinite(known)]
    if len(known) < _FEWEST_TRIALS:
        return single
    found = float(known.var(ddof=1))
    return max(found, single) if trials > len(known) else found


@dataclass(frozen=True, eq=False)
class Overfitting:
    """What combinatorially symmetric cross-validation says of a choice among trials.

    probability  of overfitting: share of splits whose best trial in-sample is below the median out-of-sample
    at_median    share of splits with it exactly there
    loss         share of splits with its out-of-sample Sharpe ratio below 0
    slope, intercept  of the line through (in-sample, out-of-sample) Sharpe ratio of the chosen trials: how performance
                 degrades. Below 0: the better it looked, the worse it did
    logits       (splits,)
    chosen       (splits,) which trial was best in-sample
    performance  (splits, 2) its Sharpe ratio in-sample and out-of-sample
    """

    probability: float
    at_median: float
    loss: float
    slope: float
    intercept: float
    logits: Floats
    chosen: NDArray[np.int64]
    performance: Floats


def probability_of_overfitting(returns: ArrayLike, blocks: int = 16, *, overlap: int = 1) -> Overfitting:
    """The probability of backtest overfitting, by all C(blocks, blocks / 2) splits.

    returns  (sessions, trials) the trials' returns over the same sessions, in their order
    blocks   S, even; the first ones have a session more where S does not divide the sessions
    overlap  over how many sessions in a row returns have parts in common; 1: none

    Missing values: none allowed. A split whose in-sample part is purged away counts nowhere; slope and intercept are
    NaN where the in-sample Sharpe ratios are all equal.
    Raises ArgumentError for values that are not finite, fewer than two trials, an odd number of blocks or fewer than 2,
    more blocks than sessions, or where no split is left.
    """
    values = _finite(returns, 2)
    sessions, trials = values.shape
    if trials < 2:
        raise ArgumentError(f"{trials} trials", allowed="2 or more", hint="among one there is nothing to choose")
    if blocks < 2 or blocks % 2:
        raise ArgumentError(f"{blocks} blocks", allowed="an even number, 2 or more")
    if overlap < 1:
        raise ArgumentError(f"overlap {overlap}", allowed="1 or more")
    day = np.arange(sessions)
    splits = combinatorial_purged(day, day + overlap, day, blocks, blocks // 2, closed=False)
    splits = [split for split in splits if len(split.train)]
    if not splits:
        raise ArgumentError(f"overlap {overlap} leaves no session in-sample", hint="take fewer blocks")
    best, after = (_sharpes(values, part) for part in ([s.train for s in splits], [s.test for s in splits]))
    chosen = best.argmax(axis=1)
    own = np.arange(len(splits)), chosen
    rank = stats.rankdata(after, axis=1)[own]
    logits = np.log(rank / (trials + 1 - rank))
    inside, outside = best[own], after[own]
    spread = inside - inside.mean()
    varied = float((spread**2).sum())
    slope = float((spread * (outside - outside.mean())).sum()) / varied if np.ptp(inside) > 0 else math.nan
    return Overfitting(
        probability=float((logits < 0).mean()),
        at_median=float((logits == 0).mean()),
        loss=float((outside < 0).mean()),
        slope=slope,
        intercept=float(outside.mean()) - slope * float(inside.mean()),
        logits=logits,
        chosen=chosen,
        performance=np.stack([inside, outside], axis=1),
    )


def _sharpes(values: Floats, parts: list[NDArray[np.int64]]) -> Floats:
    """(parts, trials) mean over deviation (n - 1) of each part of the sessions; 0 where constant."""
    # about the whole mean, sums of squares lose no digits that matter
    mean = values.mean(axis=0)
    centred = values - mean
    total = (centred**2).mean(axis=0)
    found = np.zeros((len(parts), values.shape[1]))
    for first in range(0, len(parts), _CHUNK):
        some = parts[first : first + _CHUNK]
        member = np.zeros((len(some), len(values)))
        for row, part in enumerate(some):
            member[row, part] = 1.0
        n = member.sum(axis=1)[:, None]
        # einsum adds in an order that no BLAS can change
        sums, squares = (np.einsum("cs,st->ct", member, power) for power in (centred, centred**2))
        variance = np.maximum(squares - sums**2 / n, 0.0) / np.maximum(n - 1, 1)
        varies = (variance > _CONSTANT * total) & (n > 1)
        ratio = (mean + sums / n) / np.sqrt(np.where(varies, variance, 1.0))
        found[first : first + _CHUNK] = np.where(varies, ratio, 0.0)
    return found


def _variance(sharpe: float, skewness: float, kurtosis: float) -> float:
    """Of sqrt(n) times the estimate of a Sharpe ratio of independent returns."""
    found = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if found < 0:
        raise ArgumentError(
            f"skewness {skewness}, kurtosis {kurtosis}", allowed="kurtosis >= 1 + skewness^2, as of any returns"
        )
    return found


def _finite(returns: ArrayLike, dimensions: int) -> Floats:
    values = np.asarray(returns, np.float64)
    if values.ndim != dimensions:
        raise ArgumentError(f"returns of {values.ndim} dimensions", allowed=f"{dimensions}")
    if not np.isfinite(values).all():
        raise ArgumentError(
            f"{int((~np.isfinite(values)).sum())} returns are missing", hint="a session without a position earned 0"
        )
    return values
