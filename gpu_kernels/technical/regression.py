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
_ONE = np.uint64(1)


def _coefficients(window: int, kind: int) -> tuple[float, float, float]:
    """Those of a value of the window, of the sum of all values less that one, and of that sum with weights 1 (oldest)
    to window (newest)."""
    if kind == _WEIGHTED:
        return 1.0, 0.0, 2.0 / (window * (window + 1.0))
    weighted = 12.0 / (window * (window * window - 1.0))
    alone = -0.5 * (window + 1.0) * weighted
    if kind in (_SLOPE, _ANGLE):
        return 0.0, alone, weighted
    # bars from the middle of the window to where the line is read
    ahead = {_INTERCEPT: -0.5 * (window - 1.0), _VALUE: 0.5 * (window - 1.0), _FORECAST: 0.5 * (window + 1.0)}[kind]
    return 1.0, 1.0 / window + ahead * alone, ahead * weighted


@body
def _degrees(slope):
    return math.atan(slope) * (180.0 / math.pi)


@body
def _tails(rows, end, last, width, totals, weighted):
    """For each place of the block that ends with row `end`, the sums from there on of the values less the last one,
    alone and with weights 1 on."""
    total, double = 0.0, 0.0
    for j in range(width):
        total += rows[end - j] - last
        double += total
        totals[width - _ONE - j], weighted[width - _ONE - j] = total, double


@body
def _heads(rows, base, totals, weighted):
    """For each row of a block, the sums up to it of the values less the first one, alone and with weights 1 on."""
    total, placed, place = 0.0, 0.0, 0.0
    for j in range(rows.shape[0]):
        value = rows[j] - base
        place += 1.0
        total += value
        placed += place * value
        totals[j], weighted[j] = total, placed


@body
def _blocks(rows, window, before, tails, at_base, alone, with_weights, out):
    """The figures of the windows. `tails` are those of the block before, less its last value `before`; a block's sums
    are chains of additions, and what is made of them is not, so the loops are two."""
    stop, width = rows.shape[0], min(window, rows.shape[0])
    totals, weighted, heads, placed = tails[0], tails[1], np.empty(width), np.empty(width)
    for block in range(0, stop, window):
        base, count = rows[block], min(width, stop - block)
        _heads(rows[block : block + count], base, heads, placed)
        shift, older_totals, older_weighted = before - base, totals[1 : count + 1], weighted[1 : count + 1]
        target = out[block : block + count]
        for j in range(target.shape[0]):
            older = np.float64(window - 1 - j)
            total = older_totals[j] + older * shift + heads[j]
            inside = older_weighted[j] + 0.5 * (older * (older + 1.0)) * shift + (heads[j] * older + placed[j])
            target[j] = at_base * base + alone * total + with_weights * inside
        if block + window < stop:
            before = rows[block + window - 1]
            _tails(rows, np.uint64(block + window - 1), before, np.uint64(window), totals, weighted)


@cpu_loop
def _line_cpu(close, offsets, tiles, tile, window, at_base, alone, with_weights, angle, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, rows, target, found = max(offsets[segment], first - window), close[first:last], out[0, first:last], 0
        tails, before = np.zeros((2, min(window, last - start) + 1)), 0.0
        if start < first:
            before = close[first - 1]
            _tails(close, np.uint64(first - 1), before, np.uint64(window), tails[0], tails[1])
        _blocks(rows, window, before, tails, at_base, alone, with_weights, target)
        for i in range(rows.shape[0]):
            found += suspect(rows[i])
        missing += found
        if angle:
            for i in range(target.shape[0]):
                target[i] = _degrees(target[i])
        for i in range(min(window - 1, last - first) if start == first else 0):
            target[i] = np.nan
    return missing


@cuda.jit
def _line_cuda(close, offsets, window, at_base, alone, with_weights, angle, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        oldest, base, total, weighted = row - window + 1, close[row], 0.0, 0.0
        figure = np.nan
        if oldest >= offsets[segment_of(offsets, row)]:
            for place in range(window):
                value = close[oldest + place] - base
                total += value
                weighted += (place + 1.0) * value
            figure = at_base * base + alone * total + with_weights * weighted
        out[0, row] = _degrees(figure) if angle else figure


def _lines(close: Array, offsets: Array, window: int, kind: int) -> Array:
    window = positive("window", window, minimum=1 if kind == _WEIGHTED else 2)
    parameters = window, *_coefficients(window, kind), kind == _ANGLE
    bars = Bars(offsets, {"close": close})
    return bars.step_over(lambda rows: (rows.launch(1, _line_cpu, _line_cuda, *parameters, tile=tile_of(window))[0],))[
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
