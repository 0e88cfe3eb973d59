"""Lambert's commodity channel index: how far a price is from its mean, in mean absolute deviations."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, positive
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.gaps import Bars, suspect


@body
def _typical(high, low, close):
    return (high + low + close) / 3.0


@body
def _index(price, mean, deviations, window):
    # within rounding of the mean is at it, as in TA-Lib: the mean of equal prices need not be theirs
    distance, spread, least = price - mean, deviations / window, 1e-14 * abs(mean)
    return distance / (0.015 * spread) if abs(distance) > least and spread > least else 0.0


@body
def _tile(high, low, close, begin, first, last, window, out):
    """Rows first to last of the segment that begins at `begin`: how many of them may be missing. Each row of the window
    is one sweep over the tile, in the order of the bars."""
    start, rows, missing = max(begin, first - window + 1), last - first, 0
    prices, top, bottom, now = np.empty(last - start), high[start:last], low[start:last], close[start:last]
    for i in range(prices.shape[0]):
        prices[i] = _typical(top[i], bottom[i], now[i])
        missing += suspect(prices[i])
    known = min(rows, max(0, begin + window - 1 - first))
    out[:known] = np.nan
    count = rows - known
    means, deviations, oldest = np.zeros(count), np.zeros(count), first + known - window + 1 - start
    for step in range(window):
        part = prices[oldest + step : oldest + step + count]
        for i in range(count):
            means[i] += part[i]
    for i in range(count):
        means[i] /= window
    for step in range(window):
        part = prices[oldest + step : oldest + step + count]
        for i in range(count):
            deviations[i] += abs(part[i] - means[i])
    part, target = prices[prices.shape[0] - count :], out[known:]
    for i in range(count):
        target[i] = _index(part[i], means[i], deviations[i], window)
    return missing


@cpu_loop
def _channel_cpu(high, low, close, offsets, tiles, tile, window, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        missing += _tile(high, low, close, offsets[segment], first, last, window, out[0, first:last])
    return missing


@cuda.jit
def _channel_cuda(high, low, close, offsets, window, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        shown = math.nan
        if row - offsets[segment_of(offsets, row)] >= window - 1:
            mean, deviations = 0.0, 0.0
            for back in range(row - window + 1, row + 1):
                mean += _typical(high[back], low[back], close[back])
            mean /= window
            for back in range(row - window + 1, row + 1):
                deviations += abs(_typical(high[back], low[back], close[back]) - mean)
            shown = _index(_typical(high[row], low[row], close[row]), mean, deviations, window)
        out[0, row] = shown


def commodity_channel_index(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Commodity channel index: (p - mean of p) / (0.015 * mean of |p - mean of p|) over the last `window` bars, p being
    the typical price (high + low + close) / 3.

    high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 2
    returns            (n,), a pure number, usually -200 to 200; 0 where p, or the mean deviation, is within 1e-14
                       of the mean of it

    Missing values: NaN at the first window - 1 bars of a segment. A bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Lambert (1980), "Commodity Channel Index", Commodities, October; TA-Lib's CCI as of version 0.8.
    """
    window = positive("window", window, 2)
    bars = Bars(offsets, {"high": high, "low": low, "close": close})
    tile = max(TILE_ROWS, window)
    return bars.step_over(lambda rows: (rows.launch(1, _channel_cpu, _channel_cuda, window, tile=tile)[0],))[0]
