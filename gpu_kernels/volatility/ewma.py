"""Exponentially weighted variance of returns (RiskMetrics), row by row within the segment."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError

_WEIGHTED, _MEAN, _GIVEN = 0, 1, 2


@body
def _step(total, weight, seen, square, decay, initial, warm_up):
    """The sum and its weight, whose quotient is the variance, after one more squared return."""
    if initial == _MEAN and seen <= warm_up:
        return total + square, np.float64(seen)
    if initial == _MEAN and seen == warm_up + 1:
        total, weight = total / weight, 1.0
    if initial == _WEIGHTED:
        weight = decay * weight + (1.0 - decay)
    return decay * total + (1.0 - decay) * square, weight


@body
def _ewma_segment(returns, start, stop, decay, initial, warm_up, given, current, out):
    total, weight, seen = given, 1.0 if initial == _GIVEN else 0.0, 0
    known = np.nan if initial != _GIVEN else given
    for row in range(start, stop):
        if not current:
            out[row] = known
        change = np.float64(returns[row])
        if math.isfinite(change):
            seen += 1
            total, weight = _step(total, weight, seen, change * change, decay, initial, warm_up)
            if initial == _GIVEN or seen >= warm_up:
                known = total / weight
        if current:
            out[row] = known


@cpu_loop
def _ewma_cpu(returns, offsets, decay, initial, warm_up, given, current, out):
    for segment in prange(offsets.shape[0] - 1):
        _ewma_segment(returns, offsets[segment], offsets[segment + 1], decay, initial, warm_up, given, current, out)


@cuda.jit
def _ewma_cuda(returns, offsets, decay, initial, warm_up, given, current, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _ewma_segment(returns, offsets[segment], offsets[segment + 1], decay, initial, warm_up, given, current, out)


def _decay(decay: float | None, half_life: float | None) -> float:
    if (decay is None) == (half_life is None):
        got = "neither decay nor half_life" if decay is None else "both decay and half_life"
        raise ArgumentError(f"{got} given", allowed="one of them", hint="RiskMetrics: decay=0.94 for daily returns")
    if decay is not None:
        if not 0.0 < decay < 1.0:
            raise ArgumentError(f"decay is {decay!r}", allowed="above 0 and below 1")
        return float(decay)
    assert half_life is not None
    if not 0.0 < half_life < np.inf:
        raise ArgumentError(f"half_life is {half_life!r}", allowed="a number of returns above 0")
    return float(0.5 ** (1.0 / half_life))


def ewma_variance(
    returns: Array,
    offsets: Array,
    *,
    decay: float | None = None,
    half_life: float | None = None,
    initial: str | float = "weighted",
    warm_up: int = 1,
    include_current: bool = True,
) -> Array:
    """Exponentially weighted variance about a mean of 0: v = decay v' + (1 - decay) r², v' being that of the return
    before.

    returns    (n,) float32 or float64, one row each; offsets (S + 1,): a segment is an entity where the variance is to
               run on from session to session, else a session
    decay      RiskMetrics' lambda, above 0 and below 1 (0.94 for days, 0.97 for months in 1996); or
    half_life  in returns: decay = 0.5 ** (1 / half_life)
    initial    "weighted": the weights of the returns so far are scaled to sum to 1 (of the squares, pandas'
               ewm(adjust=True)); "mean": the mean of the first `warm_up` squares, then the recursion (warm_up 1: from
               the first square, pandas' adjust=False); or a number not below 0: the variance before the first return
    warm_up    how many returns there must be, at least 1; a given initial variance needs none
    include_current   True: the row's own return is inside, so that the value is the forecast of the next; False: the
               forecast that was made for this return from those before it
    returns    (n,) variance per return, not annualised

    Missing values: a return that is NaN or infinite is stepped over: its row has the variance as it stands. NaN before
    `warm_up` returns are in it.
    Raises: ArgumentError, DeviceError.
    Source: J.P. Morgan/Reuters (1996), "RiskMetrics: Technical Document", 4th edition, section 5.2.
    """
    fading = _decay(decay, half_life)
    warm_up = positive("warm_up", warm_up)
    given = 0.0
    if isinstance(initial, str):
        if initial not in {"weighted", "mean"}:
            raise ArgumentError(f"initial is {initial!r}", allowed='"weighted", "mean" or a variance')
        start = _WEIGHTED if initial == "weighted" else _MEAN
    else:
        start, given = _GIVEN, float(initial)
        if not 0.0 <= given < np.inf:
            raise ArgumentError(f"initial is {initial!r}", allowed='"weighted", "mean" or a variance, 0 or more')
    rows = Rows(offsets, values={"returns": returns})
    (returns,) = rows.columns
    out = rows.empty(rows.count, float_dtype(returns))
    shared = (fading, start, warm_up, given, bool(include_current), out)
    if rows.count and rows.device:
        _ewma_cuda[grid_of(rows.segments)](returns, rows.offsets, *shared)
    elif rows.count:
        on_cpu(_ewma_cpu, rows.count, rows.segments)(returns, rows.offsets, *shared)
    return out
