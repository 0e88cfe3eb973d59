"""Two and more scales: what subsampled variances of several grids say together, once noise cancels."""

from typing import Any, Literal

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.trade.columns import per_segment
from gpu_kernels.volatility.lanes import LANES
from gpu_kernels.volatility.noise import overlapping_squares
from gpu_kernels.volatility.path import Path

SmallSample = Literal["adjusted", "none", "highfrequency"]
_NONE, _ADJUSTED, _HIGHFREQUENCY, _MANY = 0, 1, 2, 3
_SMALL_SAMPLE = {"none": _NONE, "adjusted": _ADJUSTED, "highfrequency": _HIGHFREQUENCY}


@body
def _two(prices, begin, n, fast, slow, variant, lanes):
    if fast < 1 or slow <= fast or n < slow:
        return np.nan
    size = np.float64(n + 1 if variant == _HIGHFREQUENCY else n)
    ratio = (size - slow + 1.0) / slow / ((size - fast + 1.0) / fast)
    difference = overlapping_squares(prices, begin, n, slow, lanes) / slow
    difference -= ratio * overlapping_squares(prices, begin, n, fast, lanes) / fast
    return difference if variant == _NONE else difference / (1.0 - ratio)


@body
def _many(prices, begin, n, scales, lanes):
    if scales < 2 or n < scales:
        return np.nan
    m, total = np.float64(scales), 0.0
    for i in range(1, scales + 1):
        weight = 12.0 * i / (m * m) * (i / m - 0.5 - 0.5 / m) / (1.0 - 1.0 / (m * m))
        total += weight * overlapping_squares(prices, begin, n, i, lanes) / i
    return total


@body
def _scales(prices, begin, n, fast, slow, variant, lanes):
    if variant == _MANY:
        return _many(prices, begin, n, slow, lanes)
    return _two(prices, begin, n, fast, slow, variant, lanes)


@cpu_loop
def _scales_cpu(prices, offsets, counts, fast, slow, variant, out):
    for s in prange(out.shape[0]):
        out[s] = _scales(prices, offsets[s] + s, counts[s], fast, slow[s], variant, np.empty(LANES))


@cuda.jit
def _scales_cuda(prices, offsets, counts, fast, slow, variant, out):
    s = cuda.grid(1)
    if s < out.shape[0]:
        lanes = cuda.local.array(1, np.float64)
        out[s] = _scales(prices, offsets[s] + s, counts[s], fast, slow[s], variant, lanes)


def _run(returns: Array, offsets: Array, name: str, fast: int, slow: Any, variant: int) -> Array:
    path = Path(returns, offsets)
    segments = path.rows.segments
    wide = per_segment(name, slow, path.rows, np.int64)
    out = path.rows.empty(segments, path.dtype)
    arguments = (path.prices, path.offsets, path.counts, fast, wide, variant, out)
    if segments and path.rows.device:
        _scales_cuda[grid_of(segments)](*arguments)
    elif segments:
        on_cpu(_scales_cpu, path.rows.count * 8, segments)(*arguments)
    return out


def two_scale_variance(
    returns: Array, offsets: Array, slow: Any, *, fast: int = 1, small_sample: SmallSample = "adjusted"
) -> Array:
    """Two-scale realised variance of each session: A(K) - m(K) / m(J) A(J), with A(k) the sum of all squared
    overlapping returns over k steps, divided by k; m(k) = (n - k + 1) / k; K = `slow`, J = `fast`; n returns.

    returns  (n,) float32 or float64 log returns, the finest there are; offsets (S + 1,), a segment being a session
    slow     K, in returns, more than `fast`: a number, or an array (S,) such as `noise.noise_measures(...).slow`
    fast     J, at least 1; 1 is the paper's, more where neighbouring errors depend on each other
    small_sample   "adjusted": divided by 1 - m(K) / m(J), which makes it free of bias in small samples; "none": the
             paper's first form; "highfrequency": adjusted, with the number of prices, n + 1, in place of n, as in
             rTSCov of R's highfrequency for one asset (K = 300, J = 1 there). Its covariances of two assets scale by
             N / ((K - J) m(K)) instead, N being the number of prices.
    returns  (S,) variance per session; it may fall below 0

    Missing values: a return that is NaN or infinite is stepped over. NaN where n < slow or slow <= fast.
    Raises: ArgumentError, DeviceError.
    Source: Zhang, Mykland and Ait-Sahalia (2005), "A tale of two time scales"; J above 1: Ait-Sahalia, Mykland and
    Zhang (2011), "Ultra high frequency volatility estimation with dependent microstructure noise".
    """
    if small_sample not in _SMALL_SAMPLE:
        raise ArgumentError(f"small_sample is {small_sample!r}", allowed='"adjusted", "none" or "highfrequency"')
    fast = positive("fast", fast)
    if np.ndim(slow) == 0:
        slow = positive("slow", slow, minimum=fast + 1)
    return _run(returns, offsets, "slow", fast, slow, _SMALL_SAMPLE[small_sample])


def multi_scale_variance(returns: Array, offsets: Array, scales: Any) -> Array:
    """Multi-scale realised variance of each session: the sum of a(i) A(i) over i = 1 to M = `scales`, A as in
    `two_scale_variance`, a(i) = 12 i / M² (i / M - 1/2 - 1 / 2M) / (1 - 1 / M²). These sum to 1, all a(i) / i to 0.

    returns, offsets   as in `two_scale_variance`
    scales   M, in returns, at least 2: a number, or an array (S,); best of the order of sqrt(n), where the error falls
             by n^(-1/4), against n^(-1/6) of two scales. The time of a call grows with it.
    returns  (S,) variance per session; it may fall below 0. No adjustment is made for small samples.

    Missing values: a return that is NaN or infinite is stepped over. NaN where n < scales or scales < 2.
    Raises: ArgumentError, DeviceError.
    Source: Zhang (2006), "Efficient estimation of stochastic volatility using noisy observations".
    """
    if np.ndim(scales) == 0:
        scales = positive("scales", scales, minimum=2)
    return _run(returns, offsets, "scales", 1, scales, _MANY)
