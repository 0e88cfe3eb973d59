"""Pre-averaging: returns averaged over neighbours, in which noise fades, and the variance that follows from them."""

import math
from typing import Literal

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, grid_of, on_cpu
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.volatility.lanes import LANES, dot
from gpu_kernels.volatility.path import Path

FiniteSample = Literal["adjusted", "none", "highfrequency"]
_NONE, _ADJUSTED, _HIGHFREQUENCY = 0, 1, 2
_FINITE_SAMPLE = {"none": _NONE, "adjusted": _ADJUSTED, "highfrequency": _HIGHFREQUENCY}


@body
def _length(count, theta, exponent, variant):
    """k: how many steps an average spans."""
    size = count + 1 if variant == _HIGHFREQUENCY else count
    return np.int64(math.floor(theta * np.float64(size) ** exponent))


@body
def _triangle(x):
    return min(x, 1.0 - x)


@body
def _averaged(changes, row, k):
    """Sum of g(j / k) r(row + j - 1) over j = 1 to k - 1."""
    total = 0.0
    for j in range(1, k):
        total += _triangle(np.float64(j) / k) * changes[row + j - 1]
    return total


@body
def _add_weighted(weight, source, target):
    for i in range(target.shape[0]):
        target[i] += weight * source[i]


@cpu_loop
def _averaged_cpu(changes, offsets, counts, tiles, tile, theta, exponent, variant, out):
    for unit in prange(tiles[-1]):
        s, first, last = tile_rows(unit, tiles, offsets, tile)
        k = _length(counts[s], theta, exponent, variant)
        last = min(last, offsets[s] + counts[s] - k + 2)
        if k >= 2 and first < last:
            # all rows at once for each j: vector code, and the same additions in the same order as `_averaged`
            target = out[first:last]
            target[:] = 0.0
            for j in range(1, k):
                _add_weighted(_triangle(np.float64(j) / k), changes[first + j - 1 : last + j - 1], target)


@cuda.jit
def _averaged_cuda(changes, offsets, counts, theta, exponent, variant, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        s = segment_of(offsets, row)
        k = _length(counts[s], theta, exponent, variant)
        if k >= 2 and row < offsets[s] + counts[s] - k + 2:
            out[row] = _averaged(changes, row, k)


@body
def _preaveraged(changes, averaged, start, count, theta, exponent, variant, corrected, lanes):
    n, k = np.float64(count), _length(count, theta, exponent, variant)
    # averages of two steps are half returns, in which noise looks as variance does
    if k < (3 if corrected and variant == _ADJUSTED else 2) or count < k:
        return np.nan
    squares, noisy = dot(averaged, start, start + count - k + 2, 0, lanes), 0.0
    if corrected:
        noisy = dot(changes, start, start + count, 0, lanes)
    slope, area = 0.0, 0.0
    for j in range(1, k + 1):
        now, before = _triangle(np.float64(j) / k), _triangle((j - 1.0) / k)
        slope, area = slope + k * (now - before) ** 2, area + now * now / k
    if variant == _ADJUSTED:
        scaled = n / ((n - k + 2.0) * k * area) * squares
        share = slope / (2.0 * k * k * area)
        return (scaled - share * noisy) / (1.0 - share) if corrected else scaled
    if variant == _NONE:
        slope, area = 1.0, 1.0 / 12.0
    else:
        n += 1.0
    return squares / (math.sqrt(n) * theta * area) - slope / (2.0 * theta * theta * area * n) * noisy


@cpu_loop
def _preaveraged_cpu(changes, averaged, offsets, counts, theta, exponent, variant, corrected, out):
    for s in prange(out.shape[0]):
        lanes = np.empty(LANES)
        out[s] = _preaveraged(changes, averaged, offsets[s], counts[s], theta, exponent, variant, corrected, lanes)


@cuda.jit
def _preaveraged_cuda(changes, averaged, offsets, counts, theta, exponent, variant, corrected, out):
    s = cuda.grid(1)
    if s < out.shape[0]:
        lanes = cuda.local.array(1, np.float64)
        out[s] = _preaveraged(changes, averaged, offsets[s], counts[s], theta, exponent, variant, corrected, lanes)


def preaveraged_variance(
    returns: Array,
    offsets: Array,
    *,
    theta: float = 0.8,
    delta: float = 0.0,
    finite_sample: FiniteSample = "adjusted",
    bias_correction: bool = True,
) -> Array:
    """Pre-averaged variance of each session. With n returns r, k = floor(theta n^(1/2 + delta)), g(x) = min(x, 1 - x),
    the averages Y(i) are the sums of g(j / k) r(i + j) over j = 1 to k - 1, i = 0 to n - k + 1, and

    V = n / ((n - k + 2) k p2) sum of Y² - p1 / (2 k² p2) sum of r², divided by 1 - p1 / (2 k² p2),
    p1 = k sum over j = 1 to k of (g(j / k) - g((j - 1) / k))², p2 = sum of g(j / k)² / k.

    returns  (n,) float32 or float64 log returns, the finest there are; offsets (S + 1,), a segment being a session
    theta    how long the averages are, above 0; 0.8 as in highfrequency, 1/3 in the paper of 2009
    delta    0 to below 0.5. Above 0 (0.1, say) averages are so long that noise is gone without a correction, at a
             slower rate: with bias_correction=False (Christensen, Kinnebrock and Podolskij 2010)
    finite_sample   "adjusted": as above, the paper's adjusted form with theta² n written as k², so that it is free of
             bias; "none": the limits p1 = 1 and p2 = 1/12, sum of Y² / (theta sqrt(n) p2) - p1 / (2 theta² n p2) sum of
             r², with theta as given; "highfrequency": that with p1 and p2 of k and n + 1 prices for n, as rMRCov of R's
             highfrequency has it for one asset. The last two need delta 0.
    bias_correction   False leaves out what noise adds (the sum of r², and the divisor)
    returns  (S,) variance per session; it may fall below 0 where corrected

    Missing values: a return that is NaN or infinite is stepped over. NaN where k is above n or below 2 (3 where
    "adjusted" corrects).
    Raises: ArgumentError, DeviceError.
    Source: Jacod, Li, Mykland, Podolskij and Vetter (2009), "Microstructure noise in the continuous case: the
    pre-averaging approach"; Hautsch and Podolskij (2013), "Preaveraging-based estimation of quadratic variation in the
    presence of noise and jumps".
    """
    if finite_sample not in _FINITE_SAMPLE:
        raise ArgumentError(f"finite_sample is {finite_sample!r}", allowed='"adjusted", "none" or "highfrequency"')
    if not 0.0 < theta < np.inf:
        raise ArgumentError(f"theta is {theta!r}", allowed="a number above 0")
    if not 0.0 <= delta < 0.5 or (delta > 0.0 and finite_sample != "adjusted"):
        raise ArgumentError(
            f"delta is {delta!r} with finite_sample {finite_sample!r}",
            allowed='0 to below 0.5, above 0 with "adjusted" alone',
        )
    path = Path(returns, offsets)
    rows = path.rows
    averaged, out = rows.empty(rows.count, np.float64), rows.empty(rows.segments, path.dtype)
    settings = (float(theta), 0.5 + float(delta), _FINITE_SAMPLE[finite_sample])
    arguments = (path.changes, averaged, path.offsets, path.counts, *settings, bool(bias_correction), out)
    if rows.device:
        if rows.count:
            loop = _averaged_cuda[grid_of(rows.count)]
            loop(path.changes, path.offsets, path.counts, *settings, averaged)
        if rows.segments:
            _preaveraged_cuda[grid_of(rows.segments)](*arguments)
    elif rows.segments:
        tiles = (rows.tiles(), TILE_ROWS)
        on_cpu(_averaged_cpu, rows.count * 8)(path.changes, path.offsets, path.counts, *tiles, *settings, averaged)
        on_cpu(_preaveraged_cpu, rows.count, rows.segments)(*arguments)
    return out
