"""Realised kernels: the variance of returns and their autocovariances, weighted so that noise cancels."""

import math
from typing import Any, Literal, get_args

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.trade.columns import per_segment
from gpu_kernels.volatility.lanes import LANES, dot
from gpu_kernels.volatility.path import Path

Kernel = Literal[
    "parzen", "bartlett", "second", "epanechnikov", "cubic", "fifth", "sixth", "seventh", "eighth", "rectangular",
    "tukey_hanning", "modified_tukey_hanning",
]  # fmt: skip
_KERNELS = {name: number for number, name in enumerate(get_args(Kernel))}
_PARZEN, _TUKEY_HANNING = _KERNELS["parzen"], _KERNELS["tukey_hanning"]

_POLYNOMIALS = np.array(
    [
        [1, 0, -6, 6, 0, 0, 0, 0, 0],
        [1, -1, 0, 0, 0, 0, 0, 0, 0],
        [1, -2, 1, 0, 0, 0, 0, 0, 0],
        [1, 0, -1, 0, 0, 0, 0, 0, 0],
        [1, 0, -3, 2, 0, 0, 0, 0, 0],
        [1, 0, 0, -10, 15, -6, 0, 0, 0],
        [1, 0, 0, 0, -15, 24, -10, 0, 0],
        [1, 0, 0, 0, 0, -21, 35, -15, 0],
        [1, 0, 0, 0, 0, 0, -28, 48, -21],
        [1, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.float64,
)
"""Factors of 1, x, x², ... of the kernels in their order, up to the two that are sines; Parzen's up to x = 1/2."""


@body
def _weight(x, kernel):
    left = 1.0 - x
    if kernel >= _TUKEY_HANNING:
        return math.sin(math.pi / 2.0 * (left if kernel == _TUKEY_HANNING else left * left)) ** 2
    if kernel == _PARZEN and x > 0.5:
        return 2.0 * left * left * left
    weight = 0.0
    for power in range(8, -1, -1):
        weight = weight * x + _POLYNOMIALS[kernel, power]
    return weight


@body
def _mean_price(prices, first, last):
    total = 0.0
    for i in range(first, last):
        total += prices[i]
    return total / (last - first)


@body
def _jitter(changes, prices, start, begin, n, jitter):
    """Makes the mean of the first `jitter` prices the session's first, and that of the last ones its last. Returns
    where the returns now begin and end."""
    first, last = start + jitter - 1, start + n - jitter + 1
    if jitter > 1:
        changes[first] = prices[begin + jitter] - _mean_price(prices, begin, begin + jitter)
        ended = _mean_price(prices, begin + n - jitter + 1, begin + n + 1)
        changes[last - 1] = ended - prices[begin + n - jitter]
    return first, last


@body
def _kernel_segment(changes, prices, start, begin, n, bandwidth, kernel, flat_top, adjusted, jitter, lanes):
    if n < 2 * jitter or bandwidth < 0:
        return np.nan
    first, last = _jitter(changes, prices, start, begin, n, jitter)
    total = dot(changes, first, last, 0, lanes)
    size = np.float64(last - first)
    for lag in range(1, min(bandwidth, last - first - 1) + 1):
        x = (lag - 1.0) / bandwidth if flat_top else lag / (bandwidth + 1.0)
        scale = size / (size - lag) if adjusted else 1.0
        total += 2.0 * _weight(x, kernel) * scale * dot(changes, first + lag, last, lag, lanes)
    return total


@cpu_loop
def _kernel_cpu(changes, prices, offsets, counts, bandwidth, kernel, flat_top, adjusted, jitter, out):
    for s in prange(out.shape[0]):
        begin, lanes = offsets[s] + s, np.empty(LANES)
        out[s] = _kernel_segment(
            changes, prices, offsets[s], begin, counts[s], bandwidth[s], kernel, flat_top, adjusted, jitter, lanes
        )


@cuda.jit
def _kernel_cuda(changes, prices, offsets, counts, bandwidth, kernel, flat_top, adjusted, jitter, out):
    s = cuda.grid(1)
    if s < out.shape[0]:
        begin, lanes = offsets[s] + s, cuda.local.array(1, np.float64)
        out[s] = _kernel_segment(
            changes, prices, offsets[s], begin, counts[s], bandwidth[s], kernel, flat_top, adjusted, jitter, lanes
        )


def realised_kernel(
    returns: Array,
    offsets: Array,
    bandwidth: Any,
    *,
    kernel: Kernel = "parzen",
    flat_top: bool = False,
    adjusted: bool = False,
    jitter: int = 2,
) -> Array:
    """Realised kernel of each session: g(0) + 2 sum over h = 1 to H of k(x) g(h), with g(h) the sum of r(i) r(i - h).

    returns    (n,) float32 or float64 log returns, the finest there are; offsets (S + 1,), a segment being a session
    bandwidth  H, at least 0 (0 gives RV): a number, or an array (S,) such as `noise.noise_measures(...).bandwidth`,
               which is the rule of 2009 for Parzen's kernel that is not flat at the top. Lags go no further than the
               returns do.
    kernel     k: "parzen" (never negative), "bartlett" 1 - x, "second" 1 - 2x + x², "epanechnikov" 1 - x², "cubic",
               "fifth" to "eighth", "tukey_hanning" sin²(pi/2 (1 - x)), "modified_tukey_hanning" sin²(pi/2 (1 - x)²),
               "rectangular" 1. All as in the paper of 2008; highfrequency's code has 1 - 2x³ for "second".
    flat_top   False: x = h / (H + 1), the paper of 2009, never below 0 with Parzen's; True: x = (h - 1) / H, the paper
               of 2008, which may fall below 0
    adjusted   g(h) times n / (n - h), for the products that a higher lag lacks
    jitter     how many prices at each end are averaged into the first and the last, 1 for none; 2 is the paper's of
               2009, of which its consistency depends. The session's returns become 2 (jitter - 1) fewer.
    returns    (S,) variance per session

    rKernelCov of R's highfrequency is flat_top=True, adjusted=True, jitter=1; its defaults kernel="rectangular" and
    bandwidth 1 make it Zhou's estimator (1996).
    Missing values: a return that is NaN or infinite is stepped over. NaN where there are fewer than 2 x `jitter`, or
    the bandwidth is below 0.
    Raises: ArgumentError, DeviceError.
    Source: Barndorff-Nielsen, Hansen, Lunde and Shephard (2008), "Designing realized kernels to measure the ex post
    variation of equity prices in the presence of noise"; (2009), "Realized kernels in practice: trades and quotes".
    """
    if kernel not in _KERNELS:
        raise ArgumentError(f"kernel is {kernel!r}", allowed=", ".join(_KERNELS))
    jitter = positive("jitter", jitter)
    if np.ndim(bandwidth) == 0:
        bandwidth = positive("bandwidth", bandwidth, minimum=0)
    path = Path(returns, offsets)
    segments = path.rows.segments
    lags = per_segment("bandwidth", bandwidth, path.rows, np.int64)
    out = path.rows.empty(segments, path.dtype)
    shared = (lags, _KERNELS[kernel], bool(flat_top), bool(adjusted), jitter, out)
    if segments and path.rows.device:
        _kernel_cuda[grid_of(segments)](path.changes, path.prices, path.offsets, path.counts, *shared)
    elif segments:
        loop = on_cpu(_kernel_cpu, path.rows.count * 8, segments)
        loop(path.changes, path.prices, path.offsets, path.counts, *shared)
    return out
