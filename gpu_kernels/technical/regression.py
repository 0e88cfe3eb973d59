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
def _with_tail(older, shift, tail, tail_weighted, total, placed):
    """The sums of a window of `older` values of the block before, whose tail they are, and of those of this one."""
    return tail + (older * shift + total), tail_weighted + (0.5 * (older + 1.0) * shift + total) * older + placed


@body
def _blocks(rows, window, before, totals, weighted, next_totals, next_weighted, bases, alone, together):
    """For each row a value of its window, the sum of all less that one, and that with weights. `totals` and `weighted`
    are the tails of the block before, less its last value `before`."""
    stop, width, block = np.uint64(rows.shape[0]), np.uint64(window), np.uint64(0)
    while block + width <= stop:
        base, total, placed, place = rows[block], 0.0, 0.0, 0.0
        end, tail, double = block + width - _ONE, 0.0, 0.0
        shift, last = before - base, rows[end]
        for j in range(width):
            value = rows[block + j] - base
            place += 1.0
            total += value
            placed += place * value
            bases[block + j] = base
            alone[block + j], together[block + j] = _with_tail(
                window - place, shift, totals[j + _ONE], weighted[j + _ONE], total, placed
            )
            tail += rows[end - j] - last
            double += tail
            next_totals[width - _ONE - j], next_weighted[width - _ONE - j] = tail, double
        before = last
        totals, next_totals = next_totals, totals
        weighted, next_weighted = next_weighted, weighted
        block += width
    total, placed, place = 0.0, 0.0, 0.0
    for j in range(stop - block):
        base = rows[block]
        value = rows[block + j] - base
        place += 1.0
        total += value
        placed += place * value
        bases[block + j] = base
        alone[block + j], together[block + j] = _with_tail(
            window - place, before - base, totals[j + _ONE], weighted[j + _ONE], total, placed
        )


@cpu_loop
def _line_cpu(close, offsets, tiles, tile, window, at_base, alone, with_weights, angle, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, rows, target, found = max(offsets[segment], first - window), close[first:last], out[0, first:last], 0
        tails, sums = np.zeros((4, min(window, last - start) + 1)), np.empty((3, last - first))
        before, total, double = 0.0, 0.0, 0.0
        if start < first:
            before = close[first - 1]
            for back in range(window - 1, -1, -1):
                total += close[start + back] - before
                double += total
                tails[0, back], tails[1, back] = total, double
        _blocks(rows, window, before, tails[0], tails[1], tails[2], tails[3], sums[0], sums[1], sums[2])
        for i in range(target.shape[0]):
            target[i] = at_base * sums[0, i] + alone * sums[1, i] + with_weights * sums[2, i]
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
