"""Moving median and quantile over rows.

The values of a window are kept sorted; a row takes one out and puts one in. A quantile is one of them or lies between
two, so it depends on the rows of the window alone, whatever came before. On the CPU all places are rewritten at once by
vector instructions, which up to some hundred rows is faster than to look for the two that change. On CUDA a thread goes
along a stretch of rows and shifts what lies between.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels._vector import ORDERED_GROUP, replace_in_order
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, float_dtype, grid_of, on_cpu, positive, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import tile_rows

_HALOS = 8
"""A tile is at least as many times as long as what is sorted again before it."""

_CUDA_TILE_ROWS, _CUDA_THREADS = 256, 1 << 15
"""Rows that a thread goes along at a time, and threads, each with a sorted window in device memory."""


@body
def _between(low, high, share):
    return low if share == 0.0 or low == high else (1.0 - share) * low + share * high


@cpu_loop
def _quantile_cpu(values, offsets, tiles, tile, window, min_periods, probability, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, count = max(offsets[segment], first - window + 1), 0
        groups = (min(window, last - start) + ORDERED_GROUP - 1) // ORDERED_GROUP
        ordered = np.full((groups + 1) * ORDERED_GROUP, np.inf)
        for row in range(start, last):
            leaving, entering = np.inf, np.float64(values[row])
            if row - window >= start:
                value = np.float64(values[row - window])
                if not math.isnan(value):
                    leaving = value
                    count -= 1
            here = not math.isnan(entering)
            count += 1 if here else 0
            replace_in_order(ordered, groups, leaving, entering if here else np.inf)
            if row >= first:
                if count >= min_periods:
                    place = probability * (count - 1)
                    low = int(place)
                    out[row] = _between(ordered[low], ordered[low + 1], place - low)
                else:
                    out[row] = np.nan


@body
def take_out(ordered, lane, count, value):
    """One value less in the `count` rising ones of a lane of a window; it is there."""
    place = 0
    while ordered[place, lane] < value:
        place += 1
    for i in range(place, count - 1):
        ordered[i, lane] = ordered[i + 1, lane]


@body
def put_in(ordered, lane, count, value):
    """One value more in the `count` rising ones of a lane of a window."""
    place = count
    while place > 0 and ordered[place - 1, lane] > value:
        ordered[place, lane] = ordered[place - 1, lane]
        place -= 1
    ordered[place, lane] = value


@cuda.jit
def _quantile_cuda(values, offsets, tiles, tile, window, min_periods, probability, ordered, out):
    lane = cuda.grid(1)
    if lane < ordered.shape[1]:
        for unit in range(lane, tiles[-1], ordered.shape[1]):
            segment, first, last = tile_rows(unit, tiles, offsets, tile)
            start, count = max(offsets[segment], first - window + 1), 0
            for row in range(start, last):
                if row - window >= start:
                    value = np.float64(values[row - window])
                    if not math.isnan(value):
                        take_out(ordered, lane, count, value)
                        count -= 1
                value = np.float64(values[row])
                if not math.isnan(value):
                    put_in(ordered, lane, count, value)
                    count += 1
                if row >= first:
                    if count >= min_periods:
                        place = probability * (count - 1)
                        low = int(place)
                        high = min(low + 1, count - 1)
                        out[row] = _between(ordered[low, lane], ordered[high, lane], place - low)
                    else:
                        out[row] = np.nan


def quantile(
    values: Array, offsets: Array, window: int, probability: float, *, min_periods: int | None = None
) -> Array:
    """Quantile of the last `window` rows of the segment, this one included: of the count values in order from place 0,
    that at place probability * (count - 1), and between two of them the line through both.

    values   (n,) float32, float64 or int64; offsets (S + 1,)
    window   rows, at least 1; the work for a row grows with it
    probability   0 (lowest) to 1 (highest)
    min_periods   how many values a window must hold, 1 to window; default: window
    returns  (n,) in the unit of `values`

    Missing values: NaN rows are left out. NaN where fewer than `min_periods` values are in the window. An infinity is
    the lowest or highest value; between infinities of both signs lies NaN.
    Raises: ArgumentError, DeviceError.
    Source: Hyndman and Fan (1996), "Sample quantiles in statistical packages", definition 7, which is NumPy's default.
    """
    window = positive("window", window)
    min_periods = window if min_periods is None else positive("min_periods", min_periods, maximum=window)
    if not 0.0 <= probability <= 1.0:
        raise ArgumentError(f"probability is {probability!r}", allowed="a number, 0 to 1")
    rows = Rows(offsets, values={"values": values})
    (values,) = rows.columns
    out, probability = rows.empty(rows.count, float_dtype(values)), float(probability)
    if rows.count and rows.device:
        tile = min(max(_CUDA_TILE_ROWS, window), rows.count)
        tiles = rows.tiles(tile)
        ordered = rows.empty((min(window, rows.count), min(int(tiles[-1]), _CUDA_THREADS)), np.float64)
        _quantile_cuda[grid_of(ordered.shape[1])](
            values, rows.offsets, to_side(tiles, like=values), tile, window, min_periods, probability, ordered, out
        )
    elif rows.count:
        tile = min(max(TILE_ROWS, _HALOS * window), rows.count)
        on_cpu(_quantile_cpu, rows.count)(
            values, rows.offsets, rows.tiles(tile), tile, window, min_periods, probability, out
        )
    return out


def median(values: Array, offsets: Array, window: int, *, min_periods: int | None = None) -> Array:
    """Median of the last `window` rows of the segment, this one included: the middle value, or the mean of the middle
    two. `quantile` at 0.5: shapes, units, parameters, missing values and errors as there.

    Missing values: NaN rows are left out. NaN where fewer than `min_periods` values are in the window.
    Raises: ArgumentError, DeviceError.
    Source: Tukey (1977), "Exploratory Data Analysis", running medians.
    """
    return quantile(values, offsets, window, 0.5, min_periods=min_periods)
