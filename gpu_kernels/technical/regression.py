"""The linearly weighted average and the least-squares line of the last bars.

Both are made of two sums over a window, that of the values and that of the values times their place. The CPU takes them
by blocks (see `gpu_kernels.blocks`), each value measured from one in the same window: from the last of the block before
and from the first of this one. So a row costs the same whatever the window, a series that is large against its moves
loses no digits, and a value that has left the window leaves nothing behind.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.blocks import tile_of
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.gaps import Bars, suspect

_WEIGHTED, _SLOPE, _ANGLE, _INTERCEPT, _VALUE, _FORECAST = range(6)


@body
def _figure(base, total, weighted, window, kind):
    """Of the sum of the values less `base`, and of that with weights 1 (oldest) to window (newest)."""
    if kind == _WEIGHTED:
        return base + 2.0 * weighted / (window * (window + 1.0))
    slope = 12.0 * (weighted - 0.5 * (window + 1.0) * total) / (window * (window * window - 1.0))
    if kind == _SLOPE:
        return slope
    if kind == _ANGLE:
        return math.atan(slope) * (180.0 / math.pi)
    middle = base + total / window
    if kind == _INTERCEPT:
        return middle - slope * (0.5 * (window - 1.0))
    return middle + slope * (0.5 * (window - 1.0 if kind == _VALUE else window + 1.0))


@body
def _tails(rows, begin, width, totals, weighted):
    """For each place of a block, the sums from there to its end of the values less the last one, alone and with weights
    1 on; the last."""
    base, total, double = rows[begin + width - 1], 0.0, 0.0
    for place in range(width - 1, -1, -1):
        total += rows[begin + place] - base
        double += total
        totals[place], weighted[place] = total, double
    return base


@body
def _blocks(rows, begin, width, kind, totals, weighted, out):
    """The blocks of a tile, whose rows begin at `begin`, 0 or `width`: without a block before, its first has none."""
    window = np.float64(width)
    before = _tails(rows, 0, width, totals, weighted) if begin else 0.0
    for block in range(begin, rows.shape[0], width):
        base, total, placed = rows[block], 0.0, 0.0
        for j in range(min(width, rows.shape[0] - block)):
            value = rows[block + j] - base
            total += value
            placed += (j + 1.0) * value
            if block == 0 and j < width - 1:
                out[block - begin + j] = np.nan
            else:
                older, shift = width - 1.0 - j, before - base
                whole = totals[j + 1] + older * shift + total
                inside = weighted[j + 1] + 0.5 * older * (older + 1.0) * shift + (placed + older * total)
                out[block - begin + j] = _figure(base, whole, inside, window, kind)
        if block + width <= rows.shape[0]:
            before = _tails(rows, block, width, totals, weighted)


@cpu_loop
def _line_cpu(close, offsets, tiles, tile, window, kind, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, found = max(offsets[segment], first - window), 0
        width = min(window, last - start + 1)
        totals, weighted = np.zeros(width + 1), np.zeros(width + 1)
        for row in range(first, last):
            found += suspect(close[row])
        missing += found
        _blocks(close[start:last], first - start, width, kind, totals, weighted, out[0, first:last])
    return missing


@cuda.jit
def _line_cuda(close, offsets, window, kind, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        oldest, base, total, weighted = row - window + 1, close[row], 0.0, 0.0
        figure = np.nan
        if oldest >= offsets[segment_of(offsets, row)]:
            for place in range(window):
                value = close[oldest + place] - base
                total += value
                weighted += (place + 1.0) * value
            figure = _figure(base, total, weighted, np.float64(window), kind)
        out[0, row] = figure


def _lines(close: Array, offsets: Array, window: int, kind: int) -> Array:
    window = positive("window", window, minimum=1 if kind == _WEIGHTED else 2)
    bars = Bars(offsets, {"close": close})
    return bars.step_over(lambda rows: (rows.launch(1, _line_cpu, _line_cuda, window, kind, tile=tile_of(window))[0],))[
        0
    ]


def weighted_moving_average(close: Array, offsets: Array, window: int = 30) -> Array:
    """Linearly weighted moving average: the last `window` bars with weights 1 (oldest) to window (newest), over their
    sum window (window + 1) / 2.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,) of entities, or of sessions for an average that
             starts anew with each; window in bars, at least 1
    returns  (n,) in the unit of close

    Missing values: NaN at the first window - 1 bars of a segment. A NaN close gives NaN and is stepped over: it is none
    of the window's bars.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's WMA.
    """
    return _lines(close, offsets, window, _WEIGHTED)


def linear_regression(close: Array, offsets: Array, window: int = 14) -> Array:
    """Value at this bar of the least-squares line through the last `window` closes.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,) of entities or sessions; window in bars, at least 2
    returns  (n,) in the unit of close

    Missing values: NaN at the first window - 1 bars of a segment. A NaN close gives NaN and is stepped over: it is none
    of the window's bars.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's LINEARREG.
    """
    return _lines(close, offsets, window, _VALUE)


def linear_regression_slope(close: Array, offsets: Array, window: int = 14) -> Array:
    """Slope per bar of the line of `linear_regression`; arrays, parameters and errors as there.

    Missing values: as `linear_regression`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's LINEARREG_SLOPE.
    """
    return _lines(close, offsets, window, _SLOPE)


def linear_regression_angle(close: Array, offsets: Array, window: int = 14) -> Array:
    """Angle of the line of `linear_regression` in degrees, -90 to 90: arctan of the slope, one unit of price being as
    long as one bar. Arrays, parameters and errors as there.

    Missing values: as `linear_regression`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's LINEARREG_ANGLE.
    """
    return _lines(close, offsets, window, _ANGLE)


def linear_regression_intercept(close: Array, offsets: Array, window: int = 14) -> Array:
    """Value of the line of `linear_regression` at the window's oldest bar; arrays, parameters and errors as there.

    Missing values: as `linear_regression`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's LINEARREG_INTERCEPT.
    """
    return _lines(close, offsets, window, _INTERCEPT)


def time_series_forecast(close: Array, offsets: Array, window: int = 14) -> Array:
    """Value of the line of `linear_regression` one bar ahead; arrays, parameters and errors as there.

    Missing values: as `linear_regression`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's TSF.
    """
    return _lines(close, offsets, window, _FORECAST)
