"""Information coefficients: correlations of a score with a return inside segments (sessions)."""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fusion.threads import single_thread
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# rows from which a second thread pays
_WORTH_THREADS = 50_000


def rank_correlation(x: Floats, y: Floats, offsets: Integers, *, min_rows: int = 3) -> tuple[Floats, Integers]:
    """Spearman's rank correlation of x and y inside each segment: the rank information coefficient.

    Pearson's correlation of the average ranks, ranked among the rows where both are finite. x, y: (rows,) float64 in
    any unit; offsets: int64 rising from 0 to rows. Returns (correlation, rows used), one per segment.

    Missing values: rows where x or y is not finite are left out; NaN where fewer than min_rows remain or either is
    constant.
    Raises ArgumentError when lengths or offsets do not fit. Source: Spearman (1904).
    """
    return _correlated(*_checked(x, y, offsets), min_rows, True)


def correlation(x: Floats, y: Floats, offsets: Integers, *, min_rows: int = 3) -> tuple[Floats, Integers]:
    """Pearson's correlation of x and y inside each segment; everything else as in `rank_correlation`."""
    return _correlated(*_checked(x, y, offsets), min_rows, False)


def ranks(values: Floats) -> Floats:
    """Twice the average rank of each finite value, so that every rank is a whole number; NaN where not finite."""
    ranked: Floats = _ranks(np.asarray(values, dtype=np.float64))
    return ranked


def _checked(x: Floats, y: Floats, offsets: Integers) -> tuple[Floats, Floats, Integers]:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    offsets = np.asarray(offsets, dtype=np.int64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ArgumentError(f"x has shape {x.shape} and y {y.shape}", allowed="two vectors of one length")
    ends = (offsets[0], offsets[-1]) if offsets.ndim == 1 and len(offsets) else None
    if ends != (0, len(x)) or np.any(np.diff(offsets) < 0):
        raise ArgumentError(f"offsets do not cover {len(x)} rows", allowed=f"int64 rising from 0 to {len(x)}")
    return x, y, offsets


def _correlated(x: Floats, y: Floats, offsets: Integers, min_rows: int, ranked: bool) -> tuple[Floats, Integers]:
    with single_thread(when=len(x) < _WORTH_THREADS):
        found: tuple[Floats, Integers] = _by_segment(x, y, offsets, min_rows, ranked)
    return found


@njit(cache=True)
def _ranks(values):  # type: ignore[no-untyped-def]
    # doubled average ranks are whole numbers below 2^53, so that sums over them are exact in any order
    ranked = np.full(len(values), np.nan)
    order = np.argsort(values, kind="mergesort")
    finite = np.empty(len(values), dtype=np.int64)
    n = 0
    for i in range(len(order)):
        if np.isfinite(values[order[i]]):
            finite[n] = order[i]
            n += 1
    first = 0
    while first < n:
        last = first
        while last + 1 < n and values[finite[last + 1]] == values[finite[first]]:
            last += 1
        for i in range(first, last + 1):
            ranked[finite[i]] = first + last + 2
        first = last + 1
    return ranked


@njit(cache=True)
def _pearson(x, y):  # type: ignore[no-untyped-def]
    n = len(x)
    # scaled by the largest value, so that squares neither overflow nor vanish
    scale_x, scale_y = np.max(np.abs(x)), np.max(np.abs(y))
    if scale_x == 0.0 or scale_y == 0.0 or np.all(x == x[0]) or np.all(y == y[0]):
        return np.nan
    mean_x, mean_y = 0.0, 0.0
    for i in range(n):
        mean_x += x[i] / scale_x
        mean_y += y[i] / scale_y
    mean_x, mean_y = mean_x / n, mean_y / n
    xx, yy, xy = 0.0, 0.0, 0.0
    for i in range(n):
        a, b = x[i] / scale_x - mean_x, y[i] / scale_y - mean_y
        xx += a * a
        yy += b * b
        xy += a * b
    if xx == 0.0 or yy == 0.0:
        return np.nan
    return min(1.0, max(-1.0, xy / np.sqrt(xx * yy)))


@njit(parallel=True, cache=True)
def _by_segment(x, y, offsets, min_rows, ranked):  # type: ignore[no-untyped-def]
    segments = len(offsets) - 1
    values, counts = np.full(segments, np.nan), np.zeros(segments, dtype=np.int64)
    for s in prange(segments):
        a, b = x[offsets[s] : offsets[s + 1]], y[offsets[s] : offsets[s + 1]]
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
        counts[s] = len(a)
        if len(a) >= max(min_rows, 2):
            values[s] = _pearson(_ranks(a), _ranks(b)) if ranked else _pearson(a, b)
    return values, counts
