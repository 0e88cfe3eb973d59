"""Jumps: whether a session had any (Barndorff-Nielsen and Shephard), and which bars are one, as is known at the bar
(Lee and Mykland) or at the end of the session (Mancini)."""

import math
from typing import Literal, NamedTuple

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import (
    TILE_ROWS,
    Array,
    Rows,
    column,
    common_device,
    empty,
    float_dtype,
    grid_of,
    on_cpu,
    positive,
)
from gpu_kernels.doubling import window_sums
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows

THETA = {
    "bipower": math.pi**2 / 4.0 + math.pi - 3.0,
    "min_rv": 3.809878101115808,
    "med_rv": 2.9589642192730725,
}
"""Asymptotic variance of √N (estimate - integrated variance) / √(integrated quarticity), for normal returns. The paper
rounds those of min_rv and med_rv to 3.81 and 2.96; they are the variance and twice the covariances of the terms."""

_FORMS = {"linear": 0, "log": 1, "ratio": 2}


class JumpTest(NamedTuple):
    """Each as long as the measures that were tested. See `bns_test`."""

    statistic: Array
    p_value: Array
    jump: Array
    continuous: Array


class JumpSplit(NamedTuple):
    """Each (n,). See `threshold_split`."""

    jump: Array
    continuous: Array


class JumpBars(NamedTuple):
    """Each (n,). See `lee_mykland`."""

    statistic: Array
    volatility: Array
    jump: Array
    continuous: Array


@body
def _bns(number, variance, robust, quarticity, theta, form, maximum, sides, alpha):
    """(statistic, p-value, jump, continuous) of one session."""
    spread = max(quarticity, robust * robust) if maximum else quarticity
    if not (number > 0 and variance > 0.0 and robust > 0.0 and spread > 0.0 and spread < np.inf):
        return np.nan, np.nan, np.nan, np.nan
    scale = math.sqrt((theta - 2.0) / number * spread)
    if form == 0:
        distance = variance - robust
    elif form == 1:
        distance = robust * math.log(variance / robust)
    else:
        distance = robust * (1.0 - robust / variance)
    statistic = distance / scale
    tail = abs(statistic) if sides == 2 else statistic
    p_value = 0.5 * sides * math.erfc(tail / math.sqrt(2.0))
    jump = max(variance - robust, 0.0) if p_value < alpha else 0.0
    return statistic, p_value, jump, variance - jump


@cpu_loop
def _bns_cpu(number, variance, robust, quarticity, theta, form, maximum, sides, alpha, out):
    for row in prange(out.shape[1]):
        out[0, row], out[1, row], out[2, row], out[3, row] = _bns(
            np.float64(number[row]),
            np.float64(variance[row]),
            np.float64(robust[row]),
            np.float64(quarticity[row]),
            theta,
            form,
            maximum,
            sides,
            alpha,
        )


@cuda.jit
def _bns_cuda(number, variance, robust, quarticity, theta, form, maximum, sides, alpha, out):
    row = cuda.grid(1)
    if row < out.shape[1]:
        out[0, row], out[1, row], out[2, row], out[3, row] = _bns(
            np.float64(number[row]),
            np.float64(variance[row]),
            np.float64(robust[row]),
            np.float64(quarticity[row]),
            theta,
            form,
            maximum,
            sides,
            alpha,
        )


@body
def _scaled(returns, periodicity, divided, row):
    """The return over its time of day's factor; NaN where either is missing."""
    factor = np.float64(periodicity[row]) if divided else 1.0
    return np.float64(returns[row]) / factor if 0.0 < factor < np.inf else np.nan


@body
def _split_row(returns, periodicity, divided, limit, row, out):
    """Writes a bar's jump and continuous part: a jump where its scaled return is larger than the limit."""
    value, scaled = np.float64(returns[row]), _scaled(returns, periodicity, divided, row)
    known = not (math.isnan(scaled) or math.isnan(limit))
    jump = (value if abs(scaled) > limit else 0.0) if known else np.nan
    out[0, row], out[1, row] = jump, value - jump


@body
def _limit(number, robust, multiple, rate):
    return multiple * math.sqrt(robust) * number ** (-rate) if number > 0 and robust >= 0.0 else np.nan


@cpu_loop
def _split_cpu(returns, periodicity, divided, offsets, number, robust, multiple, rate, out):
    for segment in prange(offsets.shape[0] - 1):
        limit = _limit(np.float64(number[segment]), np.float64(robust[segment]), multiple, rate)
        for row in range(offsets[segment], offsets[segment + 1]):
            _split_row(returns, periodicity, divided, limit, row, out)


@cuda.jit
def _split_cuda(returns, periodicity, divided, offsets, number, robust, multiple, rate, out):
    row = cuda.grid(1)
    if row < returns.shape[0]:
        segment = segment_of(offsets, row)
        limit = _limit(np.float64(number[segment]), np.float64(robust[segment]), multiple, rate)
        _split_row(returns, periodicity, divided, limit, row, out)


@body
def _start_of(returns, periodicity, divided, start, row, count):
    """The row of the `count`-th return back from `row`, which counts; `start` where fewer are there."""
    left, first = count, row + 1
    while left > 0 and first > start:
        first -= 1
        left -= 0 if math.isnan(_scaled(returns, periodicity, divided, first)) else 1
    return first


@body
def _judge(value, factor, pairs, divisor, threshold, row, out):
    """Writes a bar's test, from its return, its factor and the sum of products |x||x'| of its window."""
    volatility = math.sqrt(0.5 * math.pi * pairs / divisor)
    statistic = value / factor / volatility if volatility > 0.0 else np.nan
    jump = value if abs(statistic) > threshold else 0.0
    if math.isnan(statistic):
        jump = np.nan
    out[0, row], out[1, row], out[2, row], out[3, row] = statistic, volatility * factor, jump, value - jump


@cpu_loop
def _lee_mykland_cpu(returns, periodicity, divided, offsets, tiles, tile, window, included, threshold, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        begin = _start_of(returns, periodicity, divided, offsets[segment], first - 1, window)
        pairs, before, seen, present = np.zeros(last - begin), 0.0, 0, 0
        for row in range(begin, last):
            scaled = _scaled(returns, periodicity, divided, row)
            if not math.isnan(scaled):
                pairs[seen] = abs(scaled) * before
                before = abs(scaled)
                seen += 1
                present += 1 if row < first else 0
        sums = window_sums(pairs[:seen], window - 2 + included, 0)
        for row in range(first, last):
            scaled = _scaled(returns, periodicity, divided, row)
            out[0, row], out[1, row], out[2, row], out[3, row] = np.nan, np.nan, np.nan, np.nan
            if not math.isnan(scaled):
                if present >= window - 1:
                    total = sums[present - 1 + included]
                    factor = np.float64(periodicity[row]) if divided else 1.0
                    _judge(np.float64(returns[row]), factor, total, window - 2.0, threshold, row, out)
                present += 1


@cuda.jit
def _lee_mykland_cuda(returns, periodicity, divided, offsets, window, included, threshold, out):
    row = cuda.grid(1)
    if row < returns.shape[0]:
        out[0, row], out[1, row], out[2, row], out[3, row] = np.nan, np.nan, np.nan, np.nan
        scaled = _scaled(returns, periodicity, divided, row)
        if not math.isnan(scaled):
            begin = _start_of(returns, periodicity, divided, offsets[segment_of(offsets, row)], row, window)
            total, before, seen = 0.0, 0.0, 0
            for i in range(begin, row + included):
                value = _scaled(returns, periodicity, divided, i)
                if not math.isnan(value):
                    total += abs(value) * before
                    before = abs(value)
                    seen += 1
            if seen == window - 1 + included:
                factor = np.float64(periodicity[row]) if divided else 1.0
                _judge(np.float64(returns[row]), factor, total, window - 2.0, threshold, row, out)


def bns_test(
    observations: Array,
    variance: Array,
    robust: Array,
    quarticity: Array,
    *,
    estimator: Literal["bipower", "min_rv", "med_rv"] = "bipower",
    form: Literal["linear", "log", "ratio"] = "ratio",
    maximum: bool = True,
    two_sided: bool = False,
    alpha: float = 0.001,
    theta: float | None = None,
) -> JumpTest:
    """Whether there was a jump, from realised measures, and the split of the variance into jump and continuous part.

    With N returns, RV the variance, IV the robust variance, IQ the robust quarticity and V = IQ, or max(IQ, IV²) with
    the maximum adjustment:
    linear  (RV - IV) / √((theta - 2) / N V);  log  ln(RV / IV) / √((theta - 2) / N V / IV²);
    ratio   (1 - IV / RV) / √((theta - 2) / N V / IV²)
    each standard normal where there is no jump. p = P(Z > statistic), or P(|Z| > |statistic|) where two-sided.
    jump = max(RV - IV, 0) where p < alpha, else 0; continuous = RV - jump.

    observations, variance, robust, quarticity   (m,) of `realised.session_measures` or `rolling_measures`: its
                 observations, its variance, the measure that `estimator` names, and a quarticity: any but the plain
                 one, which jumps move
    estimator    which measure `robust` is, for theta (`THETA`); `theta` above 2 takes its place
    alpha        0 to 1; 1 makes every positive difference a jump, as in HAR-J
    returns      JumpTest of (m,) arrays; statistic and p_value pure numbers, the others in the unit of variance

    R's BNSJumpTest has two-sided p-values, the rounded theta of 3.81 and 2.96, finite_sample="highfrequency", and no
    maximum unless asked. Its ratio form is this one, and its linear form is but for two things that are not offered
    here: with `max` it puts max(1, IQ / IV²) for V, which lacks the unit of IQ; with `logTransform`, IQ for IQ / IV².

    Missing values: NaN where a measure is NaN, N, RV, IV or V is not above 0, or V is infinite.
    Raises: ArgumentError, DeviceError.
    Source: Barndorff-Nielsen and Shephard (2006), "Econometrics of testing for jumps in financial economics using
    bipower variation"; Huang and Tauchen (2005), "The relative contribution of jumps to total price variance" (log,
    ratio, maximum); Andersen, Bollerslev and Diebold (2007), "Roughing it up" (split by significance).
    """
    if estimator not in THETA:
        raise ArgumentError(f"estimator is {estimator!r}", allowed=", ".join(THETA))
    if form not in _FORMS:
        raise ArgumentError(f"form is {form!r}", allowed=", ".join(_FORMS))
    if not 0.0 <= alpha <= 1.0:
        raise ArgumentError(f"alpha is {alpha!r}", allowed="0 to 1")
    theta = THETA[estimator] if theta is None else float(theta)
    if not 2.0 < theta < math.inf:
        raise ArgumentError(f"theta is {theta!r}", allowed="above 2, the variance of the realised variance itself")
    given = {"observations": observations, "variance": variance, "robust": robust, "quarticity": quarticity}
    device = common_device(**given)
    measures = [column(name, array) for name, array in given.items()]
    count = len(measures[0])
    if {len(array) for array in measures} != {count}:
        shown = ", ".join(f"{name} {len(array)}" for name, array in zip(given, measures, strict=True))
        raise ArgumentError(f"arrays of unequal length: {shown}", allowed="one length for all")
    out = empty((4, count), float_dtype(*measures[1:]), like=measures[0])
    arguments = (*measures, theta, _FORMS[form], bool(maximum), 2 if two_sided else 1, float(alpha), out)
    if count and device:
        _bns_cuda[grid_of(count)](*arguments)
    elif count:
        on_cpu(_bns_cpu, count)(*arguments)
    return JumpTest(*(out[k] for k in range(4)))


def threshold_split(
    returns: Array,
    offsets: Array,
    observations: Array,
    robust: Array,
    periodicity: Array | None = None,
    *,
    multiple: float = 3.0,
    rate: float = 0.49,
) -> JumpSplit:
    """Which bars of a session are a jump, once the session is over: those whose return, over its factor of the time of
    day, is larger than multiple √robust N^-rate.

    returns        (n,) float32, float64 or int64; offsets (S + 1,), a segment being a session
    observations, robust   (S,) of `realised.session_measures`: N and a robust variance, such as its bipower
    periodicity    (n,) factor of the time of day, a volatility whose square has mean 1 over the session; default: 1
    multiple, rate above 0; 0 to 0.5: at 0.5 the limit is `multiple` standard deviations of a return
    returns        JumpSplit of (n,) arrays: jump, the return where it is one, else 0; continuous = return - jump. The
                   variance of the continuous part in `session_measures` is the truncated realised variance, that of
                   the jumps the jump variation

    This is R's rThresholdCov, whose bipower has no finite-sample factor and whose N counts a first return of 0. A
    value of a bar depends on its whole session, so it is known at the session's end; `lee_mykland` knows at the bar.

    Missing values: NaN where the return is, where the factor is NaN, infinite or not above 0, or where N is 0 or the
    robust variance NaN or below 0.
    Raises: ArgumentError, DeviceError.
    Source: Mancini (2009), "Non-parametric threshold estimation for models with stochastic diffusion coefficient and
    jumps"; Jacod and Todorov (2009) for the numbers; Bollerslev and Todorov (2011) for the time of day.
    """
    if not 0.0 < multiple < math.inf:
        raise ArgumentError(f"multiple is {multiple!r}", allowed="above 0")
    if not 0.0 <= rate <= 0.5:
        raise ArgumentError(f"rate is {rate!r}", allowed="0 to 0.5")
    divided = periodicity is not None
    rows = Rows(offsets, values={"returns": returns} | ({"periodicity": periodicity} if divided else {}))
    common_device(offsets=rows.offsets, observations=observations, robust=robust)
    measures = [column("observations", observations), column("robust", robust)]
    if {len(array) for array in measures} != {rows.segments}:
        shown = f"observations {len(measures[0])}, robust {len(measures[1])}"
        raise ArgumentError(f"{shown} for {rows.segments} segments", allowed="one of each for each segment")
    out = rows.empty((2, rows.count), float_dtype(rows.columns[0]))
    arguments = (
        rows.columns[0], rows.columns[-1], divided, rows.offsets, *measures, float(multiple), float(rate), out
    )  # fmt: skip
    if rows.count and rows.device:
        _split_cuda[grid_of(rows.count)](*arguments)
    elif rows.count:
        on_cpu(_split_cpu, rows.count, rows.segments)(*arguments)
    return JumpSplit(out[0], out[1])


def gumbel_threshold(observations: int, alpha: float) -> float:
    """The size that the largest of `observations` independent standard normals exceeds, in absolute value, with chance
    alpha, by the limit for many of them: C - S ln(-ln(1 - alpha)), C = √(2 ln n) - (ln pi + ln ln n) / (2 √(2 ln n)),
    S = 1 / √(2 ln n).

    observations  at least 3; alpha above 0 and below 1
    Raises: ArgumentError.
    Source: Lee and Mykland (2008), lemma 1, with the constant c = √(2 / pi) moved from C and S into the statistic.
    """
    count = positive("observations", observations, minimum=3)
    if not 0.0 < alpha < 1.0:
        raise ArgumentError(f"alpha is {alpha!r}", allowed="above 0 and below 1")
    root = math.sqrt(2.0 * math.log(count))
    centre = root - (math.log(math.pi) + math.log(math.log(count))) / (2.0 * root)
    return centre - math.log(-math.log1p(-alpha)) / root


def lee_mykland(
    returns: Array,
    offsets: Array,
    periodicity: Array | None = None,
    *,
    observations: int,
    window: int | None = None,
    alpha: float = 0.01,
    include_tested: bool = False,
) -> JumpBars:
    """Which bars are a jump: each return over the volatility of the bars before it, against the largest that so many
    bars would show without one.

    With x the returns over their factor of the time of day, s² = pi/2 / (K - 2) sum |x||x'| over the products of
    neighbours among the K - 1 returns before the tested one, K being the window. statistic = x / s, standard normal
    where there is no jump and K is large; a jump where |statistic| > `gumbel_threshold(observations, alpha)`, so of
    either sign. No mean is taken off (the paper's theorem 1). The paper leaves out pi/2, so that its statistic is
    √(pi/2) times this one, and so is its threshold: the bars found are the same.

    returns        (n,) float32, float64 or int64; offsets (S + 1,): a segment may be all sessions of an entity, as the
                   window may be longer than one; overnight returns must then be NaN, as `session_returns` leaves them
    periodicity    (n,) factor of the time of day by which returns are divided first, a volatility (not a variance),
                   above 0; it must be known before the bar
    observations   n: how many bars together have the chance alpha of a false alarm, e.g. the bars of a day; at least 3
    window         K in returns, at least 3; default: the paper's √(252 observations), rounded up, observations being
                   the bars of a day
    include_tested whether the tested return is in its own window, as in R's intradayJumpTest unless dontIncludeLast: s²
                   then sums the K - 1 products of the last K returns, still over K - 2, and hides part of a jump
    returns        JumpBars of (n,) arrays: statistic; volatility of the bar, s times its factor; jump, the return
                   where it is one, else 0; continuous = return - jump

    R's package also restarts the window each day and takes the whole sample for `observations` unless told.

    Missing values: a return that is NaN, or whose factor is NaN, infinite or not above 0, is stepped over and gives
    NaN. NaN until K - 1 returns came before it in the segment; and, but for the volatility, where s is 0.
    Raises: ArgumentError, DeviceError.
    Source: Lee and Mykland (2008), "Jumps in financial markets: a new nonparametric test and jump dynamics"; Boudt,
    Croux and Laurent (2011), "Robust estimation of intraweek periodicity in volatility and jump detection" (factor).
    """
    threshold = gumbel_threshold(observations, alpha)
    window = math.ceil(math.sqrt(252.0 * observations)) if window is None else positive("window", window, minimum=3)
    divided = periodicity is not None
    rows = Rows(offsets, values={"returns": returns} | ({"periodicity": periodicity} if divided else {}))
    returns, factor = rows.columns[0], rows.columns[-1]
    out = rows.empty((4, rows.count), float_dtype(returns))
    rest = (window, 1 if include_tested else 0, threshold, out)
    if rows.count and rows.device:
        _lee_mykland_cuda[grid_of(rows.count)](returns, factor, divided, rows.offsets, *rest)
    elif rows.count:
        on_cpu(_lee_mykland_cpu, rows.count)(returns, factor, divided, rows.offsets, rows.tiles(), TILE_ROWS, *rest)
    return JumpBars(*(out[k] for k in range(4)))
