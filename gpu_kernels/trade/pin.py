"""The probability of informed trading, from counts of buys and sells per day: likelihood and state of each day.

A day is one of six kinds: no news, good news or bad news, each without or with a shock to the order flow of both
sides. Buys and sells are independent Poisson counts given the kind. The PIN model has no shocks (theta and theta_news
0); so one formula serves both. Parameters, in this order:

    alpha       probability of news                       epsilon_b, epsilon_s  uninformed buys, sells per day
    delta       probability that news is bad              mu_b, mu_s            informed buys (good), sells (bad news)
    theta       probability of a shock without news       shock_b, shock_s      buys, sells that a shock adds
    theta_news  probability of a shock on a day of news

Sums are of logarithms scaled by the largest term, so any count that fits a float64 is safe: exp(-rate) * rate**count,
which leaves its range at a few hundred trades a day, is never formed.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, grid_of, on_cpu, to_host
from gpu_kernels.errors import ArgumentError

PARAMETERS = (
    "alpha",
    "delta",
    "theta",
    "theta_news",
    "epsilon_b",
    "epsilon_s",
    "mu_b",
    "mu_s",
    "shock_b",
    "shock_s",
)
PROBABILITIES = 4
"""The first four parameters are probabilities, the rest are trades per day."""

KINDS = ("none", "none_shock", "good", "good_shock", "bad", "bad_shock")
"""Kinds of day: kind // 2 is the news (0 none, 1 good, 2 bad), kind % 2 the shock."""

_INT64 = (np.dtype(np.int64),)
_FLOAT64 = (np.dtype(np.float64),)


_PRIOR, _BUYS, _SELLS, _LOG_BUYS, _LOG_SELLS, _STATE, _BUY_SLOPE, _SELL_SLOPE, _WEIGHT = range(9)
"""Rows of the scratch of one set of parameters, a column per kind of day: log prior, rates and their logarithms, then
a day's posterior, and its sums over days with the derivatives of the Poisson terms by the rates."""


@body
def _prepare(parameters, scratch):
    for kind in range(6):
        news, shock = kind // 2, kind % 2
        theta = parameters[2] if news == 0 else parameters[3]
        chance = theta if shock == 1 else 1.0 - theta
        if news == 0:
            chance *= 1.0 - parameters[0]
        else:
            chance *= parameters[0] * (parameters[1] if news == 2 else 1.0 - parameters[1])
        scratch[_PRIOR, kind] = math.log(chance) if chance > 0.0 else -np.inf
        for side in range(2):
            rate = parameters[4 + side] + (parameters[6 + side] if news == 1 + side else 0.0)
            rate += parameters[8 + side] if shock == 1 else 0.0
            scratch[_BUYS + side, kind] = rate
            scratch[_LOG_BUYS + side, kind] = math.log(rate) if rate > 0.0 else -np.inf
            scratch[_BUY_SLOPE + side, kind] = 0.0
        scratch[_WEIGHT, kind] = 0.0


@body
def _times(count, log_rate):
    # 0 trades at rate 0 are certain, where the product would be NaN
    return count * log_rate if count > 0.0 else 0.0


@body
def _day(buys, sells, scratch):
    """The log-likelihood of one day; the scratch receives the posterior probability of each kind. A day that cannot
    happen has the prior probabilities and -inf."""
    top = -np.inf
    for kind in range(6):
        rates = scratch[_BUYS, kind] + scratch[_SELLS, kind]
        logs = _times(buys, scratch[_LOG_BUYS, kind]) + _times(sells, scratch[_LOG_SELLS, kind])
        scratch[_STATE, kind] = scratch[_PRIOR, kind] + logs - rates
        top = max(top, scratch[_STATE, kind])
    if top == -np.inf:
        for kind in range(6):
            scratch[_STATE, kind] = math.exp(scratch[_PRIOR, kind])
        return top
    total = 0.0
    for kind in range(6):
        # far below the largest term it is 0, and so it is where it cannot happen
        below = scratch[_STATE, kind] - top
        scratch[_STATE, kind] = math.exp(below) if below > -745.0 else 0.0
        total += scratch[_STATE, kind]
    for kind in range(6):
        scratch[_STATE, kind] /= total
    return top + math.log(total) - math.lgamma(buys + 1.0) - math.lgamma(sells + 1.0)


@body
def _is_seen(buys, sells):
    # written so that NaN is not seen
    return 0.0 <= buys < np.inf and 0.0 <= sells < np.inf


@body
def _add_day(buys, sells, scratch):
    for kind in range(6):
        weight = scratch[_STATE, kind]
        if weight > 0.0:
            scratch[_WEIGHT, kind] += weight
            if scratch[_BUYS, kind] > 0.0:
                scratch[_BUY_SLOPE, kind] += weight * (buys / scratch[_BUYS, kind] - 1.0)
            if scratch[_SELLS, kind] > 0.0:
                scratch[_SELL_SLOPE, kind] += weight * (sells / scratch[_SELLS, kind] - 1.0)


@body
def _score(parameters, scratch, gradient):
    """The derivatives by the log-odds of the probabilities and the logarithms of the rates: finite wherever the
    parameters lie, which the derivatives by the parameters themselves are not."""
    gradient[:] = 0.0
    for kind in range(6):
        news, shock, weight = kind // 2, kind % 2, scratch[_WEIGHT, kind]
        gradient[0] += weight * ((1.0 if news > 0 else 0.0) - parameters[0])
        if news > 0:
            gradient[1] += weight * ((1.0 if news == 2 else 0.0) - parameters[1])
        theta = 2 if news == 0 else 3
        gradient[theta] += weight * (shock - parameters[theta])
        for side in range(2):
            slope = scratch[_BUY_SLOPE + side, kind]
            gradient[4 + side] += slope * parameters[4 + side]
            if news == 1 + side:
                gradient[6 + side] += slope * parameters[6 + side]
            if shock == 1:
                gradient[8 + side] += slope * parameters[8 + side]


@body
def _likelihood_segment(buys, sells, first, last, parameters, scratch, gradient):
    _prepare(parameters, scratch)
    value = 0.0
    for row in range(first, last):
        buy, sell = np.float64(buys[row]), np.float64(sells[row])
        if _is_seen(buy, sell):
            day = _day(buy, sell, scratch)
            value += day
            if day > -np.inf:
                _add_day(buy, sell, scratch)
    _score(parameters, scratch, gradient)
    return value


@cpu_loop
def _likelihood_cpu(buys, sells, offsets, segment, parameters, value, gradient):
    for fit in prange(segment.shape[0]):
        first, last = offsets[segment[fit]], offsets[segment[fit] + 1]
        value[fit] = _likelihood_segment(buys, sells, first, last, parameters[fit], np.empty((9, 6)), gradient[fit])


@cuda.jit
def _likelihood_cuda(buys, sells, offsets, segment, parameters, scratch, value, gradient):
    fit = cuda.grid(1)
    if fit < segment.shape[0]:
        first, last = offsets[segment[fit]], offsets[segment[fit] + 1]
        value[fit] = _likelihood_segment(buys, sells, first, last, parameters[fit], scratch[fit], gradient[fit])


@body
def _posterior_segment(buys, sells, first, last, parameters, scratch, out):
    _prepare(parameters, scratch)
    for row in range(first, last):
        buy, sell = np.float64(buys[row]), np.float64(sells[row])
        is_seen = _is_seen(buy, sell)
        if is_seen:
            _day(buy, sell, scratch)
        for kind in range(6):
            out[kind, row] = scratch[_STATE, kind] if is_seen else np.nan


@cpu_loop
def _posterior_cpu(buys, sells, offsets, parameters, out):
    for segment in prange(offsets.shape[0] - 1):
        first, last = offsets[segment], offsets[segment + 1]
        _posterior_segment(buys, sells, first, last, parameters[segment], np.empty((9, 6)), out)


@cuda.jit
def _posterior_cuda(buys, sells, offsets, parameters, scratch, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        first, last = offsets[segment], offsets[segment + 1]
        _posterior_segment(buys, sells, first, last, parameters[segment], scratch[segment], out)


def _checked(rows: Rows, count: int, parameters: Array) -> Array:
    common_device(offsets=rows.offsets, parameters=parameters)
    parameters = column("parameters", parameters, _FLOAT64, ndim=2)
    if tuple(parameters.shape) != (count, len(PARAMETERS)):
        raise ArgumentError(f"parameters are {tuple(parameters.shape)}", allowed=f"({count}, {len(PARAMETERS)})")
    host = to_host(parameters)
    good = np.isfinite(host) & (host >= 0.0)
    good[:, :PROBABILITIES] &= host[:, :PROBABILITIES] <= 1.0
    if not good.all():
        at, which = np.argwhere(~good)[0].tolist()
        raise ArgumentError(
            f"{PARAMETERS[which]} is {host[at, which]} in row {at}", allowed="probabilities of 0 to 1, rates 0 or more"
        )
    return parameters


def log_likelihood(buys: Array, sells: Array, offsets: Array, segment: Array, parameters: Array) -> tuple[Array, Array]:
    """Log-likelihood, with its gradient, of the days of a segment under each of P sets of parameters.

    sum over days of ln sum over kinds of P(kind) Poisson(buys; rate) Poisson(sells; rate), the factorials included.
    buys, sells   (n,) float32, float64 or int64, trades per day; offsets (S + 1,): a segment is one stock's window
    segment       (P,) int64, the segment that each set is tried on: many starting points of many segments in one call
    parameters    (P, 10) float64 in the order of `PARAMETERS`
    returns       (P,) float64 and (P, 10) float64: derivatives by the log-odds of the four probabilities and by the
                  logarithms of the six rates; always float64

    Missing values: a day with a NaN, infinite or negative count is not seen and adds nothing. A day that the
    parameters hold impossible gives -inf, and adds nothing to the gradient.
    Raises: ArgumentError, DeviceError.
    Source: Easley, Kiefer, O'Hara and Paperman (1996), "Liquidity, information, and infrequently traded stocks";
    Duarte and Young (2009), "Why is PIN priced?"; Lin and Ke (2011), "A computing bias in estimating the probability of
    informed trading".
    """
    rows = Rows(offsets, values={"buys": buys, "sells": sells})
    common_device(offsets=rows.offsets, segment=segment)
    segment = column("segment", segment, _INT64)
    fits, chosen = len(segment), to_host(segment)
    if fits and not (chosen.min() >= 0 and chosen.max() < rows.segments):
        raise ArgumentError(f"segment spans {chosen.min()} to {chosen.max()}", allowed=f"0 to {rows.segments - 1}")
    parameters = _checked(rows, fits, parameters)
    value = rows.empty(fits, np.float64)
    gradient = rows.empty((fits, len(PARAMETERS)), np.float64)
    shared = (*rows.columns, rows.offsets, segment, parameters)
    if fits and rows.device:
        scratch = rows.empty((fits, 9, len(KINDS)), np.float64)
        _likelihood_cuda[grid_of(fits)](*shared, scratch, value, gradient)
    elif fits:
        # a day takes some ten exponentials and logarithms: worth more than a row of other loops
        work = 16 * int(np.diff(rows.host_offsets)[chosen].sum())
        on_cpu(_likelihood_cpu, work, fits)(*shared, value, gradient)
    return value, gradient


def day_probabilities(buys: Array, sells: Array, offsets: Array, parameters: Array) -> Array:
    """Probability that each day was of each of the six `KINDS`, given its counts and its segment's parameters.

    P(kind | counts) is proportional to P(kind) Poisson(buys; rate) Poisson(sells; rate).
    buys, sells, offsets   as in `log_likelihood`; parameters (S, 10) float64: for use at the end of the day they must
                           come from days before it
    returns   (6, n) float64, each day summing to 1

    Missing values: NaN for a day with a NaN, infinite or negative count; the prior for a day that the parameters hold
    impossible.
    Raises: ArgumentError, DeviceError.
    Source: Easley, Kiefer, O'Hara and Paperman (1996); Duarte and Young (2009).
    """
    rows = Rows(offsets, values={"buys": buys, "sells": sells})
    parameters = _checked(rows, rows.segments, parameters)
    out = rows.empty((len(KINDS), rows.count), np.float64)
    shared = (*rows.columns, rows.offsets, parameters)
    if rows.count and rows.device:
        scratch = rows.empty((rows.segments, 9, len(KINDS)), np.float64)
        _posterior_cuda[grid_of(rows.segments)](*shared, scratch, out)
    elif rows.count:
        on_cpu(_posterior_cpu, 16 * rows.count, rows.segments)(*shared, out)
    return out
