"""Moving averages made of others: of exponential ones (double, triple, Tillson's T3), of means (triangular), and
Kaufman's, whose pace follows the price. The simple and the exponential one themselves are `rolling.mean` and
`rolling.ema`, the weighted one stands in `regression`.
"""

import math

import numpy as np

from gpu_kernels import rolling
from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.blocks import tile_of, window_sums
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.recursion import average_step, exponential, is_zero

_DOUBLE, _TRIPLE, _TILLSON = 2, 3, 6
"""How many exponential averages, each of the one before, an average is made of."""

_SLOWEST, _FASTEST = 2.0 / 31.0, 2.0 / 3.0
"""Weights of the exponential averages of 30 and of 2 bars, between which Kaufman's goes."""


@body
def _tillson_weights(factor):
    square = factor * factor
    cube = square * factor
    return -cube, 3.0 * (square + cube), -6.0 * square - 3.0 * (factor + cube), 1.0 + 3.0 * (factor + square) + cube


@body
def _combined(levels, weights, one, two, three, four, five, six):
    if levels == _DOUBLE:
        return 2.0 * one - two
    if levels == _TRIPLE:
        return 3.0 * one - 3.0 * two + three
    sixth, fifth, fourth, third = weights
    return sixth * six + fifth * five + fourth * four + third * three


@body
def _cascade_segment(close, start, stop, window, levels, factor, out):
    rule, lag, weights = exponential(window), window - 1, _tillson_weights(factor)
    _, _, weight, decay = rule
    one, two, three, four, five, six = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    first = min(start + levels * lag + 1, stop)
    for row in range(start, first):
        # an average has its first term where the one before it has its first value
        seen = row - start + 1
        one = average_step(one, seen, close[row], rule)
        two = average_step(two, seen - lag, one, rule) if seen > lag else 0.0
        three = average_step(three, seen - 2 * lag, two, rule) if seen > 2 * lag else 0.0
        four = average_step(four, seen - 3 * lag, three, rule) if seen > 3 * lag else 0.0
        five = average_step(five, seen - 4 * lag, four, rule) if seen > 4 * lag else 0.0
        six = average_step(six, seen - 5 * lag, five, rule) if seen > 5 * lag else 0.0
        out[row] = _combined(levels, weights, one, two, three, four, five, six) if seen > levels * lag else np.nan
    for row in range(first, stop):
        one = one * decay + close[row] * weight
        two = two * decay + one * weight
        if levels > _DOUBLE:
            three = three * decay + two * weight
        if levels > _TRIPLE:
            four = four * decay + three * weight
            five = five * decay + four * weight
            six = six * decay + five * weight
        out[row] = _combined(levels, weights, one, two, three, four, five, six)


@cpu_loop
def _cascade_cpu(close, offsets, window, levels, factor, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop, found = offsets[segment], offsets[segment + 1], 0
        rows = close[start:stop]
        _cascade_segment(rows, 0, stop - start, window, levels, factor, out[0, start:stop])
        for i in range(rows.shape[0]):
            found += suspect(rows[i])
        missing += found
    return missing


@cuda.jit
def _cascade_cuda(close, offsets, window, levels, factor, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _cascade_segment(close, offsets[segment], offsets[segment + 1], window, levels, factor, out[0])


@body
def _pace(now, before, moved):
    """Kaufman's smoothing constant: what the price has gained over the way it went, between two weights, squared."""
    gained = now - before
    efficiency = 1.0 if moved <= gained or is_zero(moved) else abs(gained / moved)
    pace = efficiency * (_FASTEST - _SLOWEST) + _SLOWEST
    return pace * pace


@cpu_loop
def _pace_cpu(close, offsets, tiles, tile, window, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, rows, found = max(offsets[segment], first - window), close[first:last], 0
        changes, moved = np.zeros(last - start), np.empty(last - first)
        begin = max(start, offsets[segment] + 1)
        now, before, target = close[begin:last], close[begin - 1 : last - 1], changes[begin - start :]
        for i in range(target.shape[0]):
            target[i] = abs(now[i] - before[i])
        window_sums(changes, first - start, window, True, 1.0, moved)
        begin = min(max(first, offsets[segment] + window), last)
        for row in range(first, begin):
            out[0, row] = np.nan
        now, before, way = close[begin:last], close[begin - window : last - window], moved[begin - first :]
        target = out[0, begin:last]
        for i in range(target.shape[0]):
            target[i] = _pace(now[i], before[i], way[i])
        for i in range(rows.shape[0]):
            found += suspect(rows[i])
        missing += found
    return missing


@cuda.jit
def _pace_cuda(close, offsets, window, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        oldest, moved, pace = row - window, 0.0, np.nan
        if oldest >= offsets[segment_of(offsets, row)]:
            for i in range(oldest + 1, row + 1):
                moved += abs(close[i] - close[i - 1])
            pace = _pace(close[row], close[oldest], moved)
        out[0, row] = pace


@body
def _follow_segment(close, pace, start, stop, out):
    """Goes from the close before the first pace towards each close by its pace."""
    average = np.nan
    for row in range(start, stop):
        if not math.isnan(pace[row]):
            average = close[row - 1] if math.isnan(average) else average
            average += pace[row] * (close[row] - average)
        out[row] = average


@cpu_loop
def _follow_cpu(close, pace, offsets, out):
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        _follow_segment(close[start:stop], pace[start:stop], 0, stop - start, out[0, start:stop])
    return 0


@cuda.jit
def _follow_cuda(close, pace, offsets, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _follow_segment(close, pace, offsets[segment], offsets[segment + 1], out[0])


def _cascade(close: Array, offsets: Array, window: int, levels: int, factor: float = 0.0) -> Array:
    window = positive("window", window)
    bars = Bars(offsets, {"close": close})
    return bars.step_over(lambda rows: (rows.launch(1, _cascade_cpu, _cascade_cuda, window, levels, factor)[0],))[0]


def double_exponential_moving_average(close: Array, offsets: Array, window: int = 30) -> Array:
    """Mulloy's double exponential average: 2 E - E(E), E being `rolling.ema` that starts with the mean of its first
    `window` terms.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,) of entities, or of sessions for an average that
             starts anew with each; window in bars, at least 1
    returns  (n,) in the unit of close

    Missing values: NaN at the first 2 (window - 1) bars of a segment. A NaN close gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Mulloy (1994), "Smoothing data with faster moving averages"; TA-Lib's DEMA.
    """
    return _cascade(close, offsets, window, _DOUBLE)


def triple_exponential_moving_average(close: Array, offsets: Array, window: int = 30) -> Array:
    """Mulloy's triple exponential average: 3 E - 3 E(E) + E(E(E)); E, arrays and parameters as in
    `double_exponential_moving_average`.

    Missing values: NaN at the first 3 (window - 1) bars of a segment. A NaN close gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Mulloy (1994), "Smoothing data with less lag"; TA-Lib's TEMA.
    """
    return _cascade(close, offsets, window, _TRIPLE)


def tillson_moving_average(close: Array, offsets: Array, window: int = 5, *, volume_factor: float = 0.7) -> Array:
    """Tillson's T3: with v the volume factor and E(k) the exponential average taken k times over, - v³ E(6)
    + 3 (v² + v³) E(5) - (6 v² + 3 v + 3 v³) E(4) + (1 + 3 v + 3 v² + v³) E(3).

    volume_factor   0 (an exponential average three times over) to 1; the name is Tillson's: no volume comes in
    E, arrays and `window` as in `double_exponential_moving_average`.

    Missing values: NaN at the first 6 (window - 1) bars of a segment. A NaN close gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Tillson (1998), "Smoothing techniques for more accurate signals"; TA-Lib's T3.
    """
    if not 0.0 <= volume_factor <= 1.0:
        raise ArgumentError(f"volume_factor is {volume_factor!r}", allowed="a number, 0 to 1")
    return _cascade(close, offsets, window, _TILLSON, float(volume_factor))


def triangular_moving_average(close: Array, offsets: Array, window: int = 30) -> Array:
    """Triangular moving average: the mean of means, of (window + 1) / 2 bars each where the window is odd, of
    window / 2 and window / 2 + 1 where it is even, so that the weights rise and fall over `window` bars.

    Arrays and parameters as in `double_exponential_moving_average`.

    Missing values: NaN at the first window - 1 bars of a segment. A NaN close gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's TRIMA.
    """
    window = positive("window", window)
    shorter, longer = (window + 1) // 2, window // 2 + 1

    def twice(rows: Bars) -> tuple[Array, ...]:
        (close,), offsets = rows.columns, rows.rows.offsets
        rows.doubt()
        return (rolling.mean(rolling.mean(close, offsets, shorter), offsets, longer),)

    return Bars(offsets, {"close": close}).step_over(twice)[0]


def kaufman_moving_average(close: Array, offsets: Array, window: int = 30) -> Array:
    """Kaufman's adaptive average: y += c² (close - y), c lying between 2 / 31 and 2 / 3 as the efficiency ratio between
    0 and 1, that is |close - close of `window` bars before| / sum of the |changes| between.

    The first is made at bar `window` from the close before it. As in TA-Lib the ratio is 1 where the way is not longer
    than a rise, or is 0. The way is summed over the window, where TA-Lib carries a total.
    Arrays and parameters as in `double_exponential_moving_average`.

    Missing values: NaN at the first `window` bars of a segment. A NaN close gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Kaufman (1995), "Smarter Trading"; TA-Lib's KAMA.
    """
    window = positive("window", window)

    def follow(rows: Bars) -> tuple[Array, ...]:
        (close,) = rows.columns
        pace = rows.launch(1, _pace_cpu, _pace_cuda, window, tile=tile_of(window))[0]
        return (rows.launch(1, _follow_cpu, _follow_cuda, columns=(close, pace))[0],)

    return Bars(offsets, {"close": close}).step_over(follow)[0]
