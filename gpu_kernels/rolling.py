"""Moving mean, standard deviation, minimum, maximum and exponential average over rows; moving sum over a span of time.

A window never reaches behind its segment's first row, and a value depends on the rows of its window alone: no running
total is carried along, so a huge value leaves no residue behind it, and rows that come later change no bit.

The CPU loops go by blocks as long as the window (`blocks.py`). On CUDA a thread walks its own window, whose rows its
neighbours have just read. The two differ in order and agree to rounding.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.blocks import (
    filled,
    merge_moments,
    tile_of,
    window_counts,
    window_highest,
    window_moments,
    window_sums,
)
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_sorted, segment_of, tile_rows


@body
def _scaled_mean(total, count, min_periods, scale):
    return scale * total / count if count >= min_periods else np.nan


@body
def _deviation(count, square, min_periods, ddof):
    known = count >= min_periods and count > ddof and square < np.inf
    return math.sqrt(square / (count - ddof)) if known else np.nan


@body
def _best(signed, count, min_periods, sign):
    return sign * signed if count >= min_periods else np.nan


@cpu_loop
def _mean_cpu(values, offsets, tiles, tile, window, min_periods, scale, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, target = max(offsets[segment], first - window), out[first:last]
        if window_sums(values[start:last], first - start, window, False, scale, target):
            total, short = 0.0, 0 if start < first else min(window - 1, last - first)
            for i in range(short):
                total += np.float64(values[first + i])
                target[i] = _scaled_mean(total, i + 1, min_periods, scale)
        else:
            terms, sums = filled(values, start, last, 1.0, 0.0), np.empty(last - first)
            window_sums(terms, first - start, window, True, 1.0, sums)
            counts = window_counts(values, start, first - start, last, window)
            for i in range(target.shape[0]):
                target[i] = _scaled_mean(sums[i], counts[i], min_periods, scale)


@cuda.jit
def _mean_cuda(values, offsets, window, min_periods, scale, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        total, count = 0.0, 0
        for i in range(max(offsets[segment_of(offsets, row)], row - window + 1), row + 1):
            value = np.float64(values[i])
            if not math.isnan(value):
                total += value
                count += 1
        out[row] = _scaled_mean(total, count, min_periods, scale)


@cpu_loop
def _std_cpu(values, offsets, tiles, tile, window, min_periods, ddof, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start = max(offsets[segment], first - window)
        moments, target = window_moments(values, start, first - start, last, window), out[first:last]
        for i in range(target.shape[0]):
            target[i] = _deviation(moments[0, i], moments[2, i], min_periods, ddof)


@cuda.jit
def _std_cuda(values, offsets, window, min_periods, ddof, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        count, mean, square = 0.0, 0.0, 0.0
        for i in range(max(offsets[segment_of(offsets, row)], row - window + 1), row + 1):
            value = np.float64(values[i])
            if not math.isnan(value):
                count, mean, square = merge_moments(count, mean, square, 1.0, value, 0.0)
        out[row] = _deviation(count, square, min_periods, ddof)


@cpu_loop
def _extreme_cpu(values, offsets, tiles, tile, window, min_periods, sign, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, target = max(offsets[segment], first - window), out[first:last]
        if window_highest(values[start:last], first - start, window, sign, target):
            if sign < 0.0:
                for i in range(target.shape[0]):
                    target[i] = -target[i]
            for i in range(min(min_periods - 1, last - first) if start == first else 0):
                target[i] = np.nan
        else:
            counts = window_counts(values, start, first - start, last, window)
            for i in range(target.shape[0]):
                target[i] = _best(target[i], counts[i], min_periods, sign)


@cuda.jit
def _extreme_cuda(values, offsets, window, min_periods, sign, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        best, count = -np.inf, 0
        for i in range(max(offsets[segment_of(offsets, row)], row - window + 1), row + 1):
            value = sign * np.float64(values[i])
            if not math.isnan(value):
                best = max(best, value)
                count += 1
        out[row] = _best(best, count, min_periods, sign)


@body
def average_on(values, start, stop, alpha, average, out):
    """Goes on from `average`, y = alpha x + (1 - alpha) y of the row before; a NaN row gives NaN and is stepped over.

    Four rows at a time: each is what the four add up to so far, plus a power of 1 - alpha times the average before
    them. So the processor waits for one product and one sum in four rows. Fewer than four rows, before a NaN or the
    end, take the same steps."""
    keep = 1.0 - alpha
    keep_2 = keep * keep
    keep_3 = keep_2 * keep
    keep_4 = keep_3 * keep
    row = start
    while row < stop:
        if row + 4 <= stop:
            a, b, c, d = values[row], values[row + 1], values[row + 2], values[row + 3]
            if not (math.isnan(a) or math.isnan(b) or math.isnan(c) or math.isnan(d)):
                added = alpha * np.float64(a)
                out[row] = added + keep * average
                added = alpha * np.float64(b) + keep * added
                out[row + 1] = added + keep_2 * average
                added = alpha * np.float64(c) + keep * added
                out[row + 2] = added + keep_3 * average
                added = alpha * np.float64(d) + keep * added
                average = added + keep_4 * average
                out[row + 3] = average
                row += 4
                continue
        added, power, before = 0.0, 1.0, average
        for _ in range(min(4, stop - row)):
            value = np.float64(values[row])
            row += 1
            if math.isnan(value):
                out[row - 1] = np.nan
                break
            added = alpha * value + keep * added
            power *= keep
            average = added + power * before
            out[row - 1] = average


@body
def _ema_segment(values, start, stop, alpha, seed, out):
    row, seen, total = start, 0, 0.0
    while row < stop and seen < seed:
        value = np.float64(values[row])
        out[row] = np.nan
        if not math.isnan(value):
            total += value
            seen += 1
        row += 1
    if seen == seed:
        out[row - 1] = total / seed
        average_on(values, row, stop, alpha, total / seed, out)


@cpu_loop
def _ema_cpu(values, offsets, alpha, seed, out):
    for segment in prange(offsets.shape[0] - 1):
        _ema_segment(values, offsets[segment], offsets[segment + 1], alpha, seed, out)


@cuda.jit
def _ema_cuda(values, offsets, alpha, seed, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _ema_segment(values, offsets[segment], offsets[segment + 1], alpha, seed, out)


@body
def _time_sum_segment(time, values, suffix, start, stop, window_ns, out):
    """Blocks of window_ns are counted from the segment's first time; a window is the tail of one block, kept in
    `suffix`, and the head of the next (van Herk 1992), so nothing is ever subtracted."""
    block, block_time, left, head = start, time[start], start, 0.0
    for row in range(start, stop):
        elapsed = time[row] - block_time
        if elapsed >= window_ns:
            tail = 0.0
            for back in range(row - 1, block - 1, -1):
                value = np.float64(values[back])
                tail += 0.0 if math.isnan(value) else value
                suffix[back] = tail
            block, block_time, head = row, block_time + elapsed // window_ns * window_ns, 0.0
        value = np.float64(values[row])
        head += 0.0 if math.isnan(value) else value
        while time[row] - time[left] >= window_ns:
            left += 1
        out[row] = suffix[left] + head if left < block else head


@cpu_loop
def _time_sum_cpu(time, values, offsets, suffix, window_ns, out):
    for segment in prange(offsets.shape[0] - 1):
        if offsets[segment] < offsets[segment + 1]:
            _time_sum_segment(time, values, suffix, offsets[segment], offsets[segment + 1], window_ns, out)


@cuda.jit
def _time_sum_cuda(time, values, offsets, suffix, window_ns, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1 and offsets[segment] < offsets[segment + 1]:
        _time_sum_segment(time, values, suffix, offsets[segment], offsets[segment + 1], window_ns, out)


def _window(window: int, min_periods: int | None) -> tuple[int, int]:
    window = positive("window", window)
    return window, window if min_periods is None else positive("min_periods", min_periods, maximum=window)


def scaled_mean(
    values: Array,
    offsets: Array,
    window: int,
    *,
    min_periods: int | None = None,
    scale: float = 1.0,
    dtype: npt.DTypeLike | None = None,
) -> Array:
    """`scale` times the moving mean: the one loop behind `mean` and the variances of `price`. Parameters as in `mean`;
    `dtype` is the output's, by default that of the package's rule."""
    window, min_periods = _window(window, min_periods)
    rows = Rows(offsets, values={"values": values})
    (values,) = rows.columns
    out = rows.empty(rows.count, float_dtype(values) if dtype is None else dtype)
    if rows.count and rows.device:
        _mean_cuda[grid_of(rows.count)](values, rows.offsets, window, min_periods, scale, out)
    elif rows.count:
        tile = tile_of(window)
        on_cpu(_mean_cpu, rows.count)(values, rows.offsets, rows.tiles(tile), tile, window, min_periods, scale, out)
    return out


def mean(values: Array, offsets: Array, window: int, *, min_periods: int | None = None) -> Array:
    """Mean of the last `window` rows of the segment, this one included.

    values   (n,) float32, float64 or int64; offsets (S + 1,)
    window   rows, at least 1
    min_periods   how many values a window must hold, 1 to window; default: window
    returns  (n,) in the unit of `values`; summed in float64

    Missing values: NaN rows are left out of sum and count. NaN where fewer than `min_periods` values are in the
    window, as at the first window - 1 rows of a segment by default. An infinity makes each window that holds it
    infinite (or NaN, with both signs).
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's SMA, for windows without NaN.
    """
    return scaled_mean(values, offsets, window, min_periods=min_periods)


def std(values: Array, offsets: Array, window: int, *, min_periods: int | None = None, ddof: int = 1) -> Array:
    """Standard deviation of the last `window` rows of the segment: sqrt(sum of (x - mean)² / (count - ddof)).

    Shapes, units and parameters as in `mean`; `ddof` 1 gives the sample's, 0 the population's. Means and squares are
    merged pairwise, so a series that is large against its spread loses no digits.

    Missing values: NaN rows are left out. NaN where fewer than `min_periods` values, or no more than `ddof`, are in the
    window, and where the squares leave the range of float64, as with an infinity.
    Raises: ArgumentError, DeviceError.
    Source: Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance".
    """
    window, min_periods = _window(window, min_periods)
    ddof = positive("ddof", ddof, minimum=0)
    rows = Rows(offsets, values={"values": values})
    (values,) = rows.columns
    out = rows.empty(rows.count, float_dtype(values))
    if rows.count and rows.device:
        _std_cuda[grid_of(rows.count)](values, rows.offsets, window, min_periods, ddof, out)
    elif rows.count:
        tile = tile_of(window)
        on_cpu(_std_cpu, rows.count)(values, rows.offsets, rows.tiles(tile), tile, window, min_periods, ddof, out)
    return out


def _extreme(values: Array, offsets: Array, window: int, min_periods: int | None, sign: float) -> Array:
    window, min_periods = _window(window, min_periods)
    rows = Rows(offsets, values={"values": values})
    (values,) = rows.columns
    out = rows.empty(rows.count, float_dtype(values))
    if rows.count and rows.device:
        _extreme_cuda[grid_of(rows.count)](values, rows.offsets, window, min_periods, sign, out)
    elif rows.count:
        tile = tile_of(window)
        on_cpu(_extreme_cpu, rows.count)(values, rows.offsets, rows.tiles(tile), tile, window, min_periods, sign, out)
    return out


def minimum(values: Array, offsets: Array, window: int, *, min_periods: int | None = None) -> Array:
    """Lowest of the last `window` rows of the segment. Shapes, units and parameters as in `mean`; integers above 2**53
    round.

    Missing values: NaN rows are left out; NaN where fewer than `min_periods` values are in the window.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's MIN, for windows without NaN.
    """
    return _extreme(values, offsets, window, min_periods, -1.0)


def maximum(values: Array, offsets: Array, window: int, *, min_periods: int | None = None) -> Array:
    """Highest of the last `window` rows of the segment. Shapes, units and parameters as in `mean`; integers above
    2**53 round.

    Missing values: NaN rows are left out; NaN where fewer than `min_periods` values are in the window.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's MAX, for windows without NaN.
    """
    return _extreme(values, offsets, window, min_periods, 1.0)


def ema(values: Array, offsets: Array, window: int, *, initial: Literal["sma", "first"] = "sma") -> Array:
    """Exponential moving average: y = a x + (1 - a) y of the row before, a = 2 / (window + 1), within the segment.

    values   (n,) float32, float64 or int64; offsets (S + 1,)
    window   rows, at least 1
    initial  "sma": the first `window` values give their mean at the last of them, and the average goes on from there
             (TA-Lib's EMA); "first": the average starts at the segment's first value (pandas' ewm(adjust=False))
    returns  (n,) in the unit of `values`; held in float64

    Missing values: a NaN row gives NaN and leaves the average as it is. NaN before the start. An infinity stays.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's EMA.
    """
    window = positive("window", window)
    if initial not in {"sma", "first"}:
        raise ArgumentError(f"initial is {initial!r}", allowed='"sma" or "first"')
    rows = Rows(offsets, values={"values": values})
    (values,) = rows.columns
    out = rows.empty(rows.count, float_dtype(values))
    alpha, seed = 2.0 / (window + 1), window if initial == "sma" else 1
    if rows.count and rows.device:
        _ema_cuda[grid_of(rows.segments)](values, rows.offsets, alpha, seed, out)
    elif rows.count:
        on_cpu(_ema_cpu, rows.count, rows.segments)(values, rows.offsets, alpha, seed, out)
    return out


def time_sum(time: Array, values: Array, offsets: Array, window_ns: int) -> Array:
    """Sum of the values whose time lies in (t - window_ns, t], t being the row's own time, over rows up to this one.

    time     (n,) int64 nanoseconds, never falling within a segment; values (n,) float32, float64 or int64; offsets (S
             + 1,)
    returns  (n,) in the unit of `values`; summed in float64. Of rows at one time, the last has the sum of them all.

    Missing values: NaN counts as 0, so the result is never NaN, unless infinities of both signs meet.
    Raises: ArgumentError (also where `time` falls), DeviceError.
    Source: van Herk (1992), "A fast algorithm for local minimum and maximum filters", with sums in place of extremes.
    """
    window_ns = positive("window_ns", window_ns, maximum=2**62)
    rows = Rows(offsets, values={"values": values}, times={"time": time})
    values, time = rows.columns
    check_sorted("time", rows, time)
    out = rows.empty(rows.count, float_dtype(values))
    suffix = rows.empty(rows.count, np.float64)
    if rows.count and rows.device:
        _time_sum_cuda[grid_of(rows.segments)](time, values, rows.offsets, suffix, window_ns, out)
    elif rows.count:
        on_cpu(_time_sum_cpu, rows.count, rows.segments)(time, values, rows.offsets, suffix, window_ns, out)
    return out
