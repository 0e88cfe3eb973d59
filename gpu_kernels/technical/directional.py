"""Wilder's directional movement: how much of the ranges lies outside the bar before, upwards and downwards."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.recursion import (
    TILE,
    average_step,
    average_tile,
    average_tile_holding,
    is_zero,
    wilder,
    wilder_sum,
)
from gpu_kernels.technical.true_range import range_of

_PLUS_MOVEMENT, _MINUS_MOVEMENT, _PLUS, _MINUS, _INDEX, _AVERAGE, _RATING = range(7)


@body
def _movements(up, down):
    """The part of a bar outside the one before: the larger of what it rises above and falls below."""
    return (up if up > down and up > 0.0 else 0.0), (down if down > up and down > 0.0 else 0.0)


@body
def _share(movement, span):
    return 0.0 if is_zero(span) else 100.0 * (movement / span)


@body
def _index(plus, minus, span):
    """The directional index of sums of movements and ranges, and whether there is none."""
    up, down = _share(plus, span), _share(minus, span)
    total = up + down
    none = is_zero(total)
    return (0.0 if none else 100.0 * (abs(up - down) / total)), none


@body
def _rate(segment, window):
    """The average index, in place and so from the end, to its mean with that of window - 1 bars before."""
    first = 3 * window - 2
    for row in range(segment.shape[0] - 1, first - 1, -1):
        segment[row] = 0.5 * (segment[row] + segment[row - window + 1])
    segment[:first] = np.nan


@body
def _index_tile(buffers, flat, first, window, kind, index, average, out):
    """From a tile's sums of movements and ranges the index or its average; the state of both after it."""
    rows = out.shape[0]
    pluses, minuses, spans, spare = buffers[0, :rows], buffers[1, :rows], buffers[2, :rows], buffers[3]
    begin, none = min(rows, max(0, window - first)), 0
    for i in range(begin, rows):
        spans[i], flat[i] = _index(pluses[i], minuses[i], spans[i])
        none += 1 if flat[i] else 0
    if kind == _INDEX:
        out[:begin] = np.nan
        for i in range(begin, rows):
            index = index if flat[i] else spans[i]
            out[i] = index
    elif none:
        average = average_tile_holding(spans, flat, first, window, average, wilder(window), spare, out)
    else:
        average = average_tile(spans, first, window, average, wilder(window), spare, out)
    return index, average


@body
def _tile(high, low, close, first, last, window, kind, state, buffers, flat, out):
    """One tile of a segment; gives the state after it (sums of movements and ranges, index, average) and how many bars
    may be missing. Bar i has the i-th movement and range, the first has none."""
    plus_sum, minus_sum, span_sum, index, average = state
    rows, missing = last - first, 0
    pluses, minuses, spans, spare = buffers[0, :rows], buffers[1, :rows], buffers[2, :rows], buffers[3]
    begin = 1 if first == 0 else 0
    top, bottom = high[first + begin : last], low[first + begin : last]
    top_before, bottom_before = high[first + begin - 1 : last - 1], low[first + begin - 1 : last - 1]
    close_before = close[first + begin - 1 : last - 1]
    plus_terms, minus_terms, span_terms = pluses[begin:], minuses[begin:], spans[begin:]
    for i in range(top.shape[0]):
        up, down = top[i] - top_before[i], bottom_before[i] - bottom[i]
        plus_terms[i], minus_terms[i] = _movements(up, down)
        span_terms[i] = range_of(top[i], bottom[i], close_before[i])
        missing += suspect(top[i] + bottom[i] + close_before[i])
    rule = wilder_sum(window)
    if kind not in (_MINUS_MOVEMENT, _MINUS):
        plus_sum = average_tile(pluses, first, 1, plus_sum, rule, spare, pluses)
    if kind not in (_PLUS_MOVEMENT, _PLUS):
        minus_sum = average_tile(minuses, first, 1, minus_sum, rule, spare, minuses)
    if kind > _MINUS_MOVEMENT:
        span_sum = average_tile(spans, first, 1, span_sum, rule, spare, spans)
    if kind <= _MINUS_MOVEMENT:
        out[:] = pluses if kind == _PLUS_MOVEMENT else minuses
    elif kind <= _MINUS:
        begin, shares = min(rows, max(0, window - first)), pluses if kind == _PLUS else minuses
        out[:begin] = np.nan
        for i in range(begin, rows):
            out[i] = _share(shares[i], spans[i])
    else:
        index, average = _index_tile(buffers, flat, first, window, kind, index, average, out)
    return (plus_sum, minus_sum, span_sum, index, average), missing


@cpu_loop
def _directional_cpu(high, low, close, offsets, window, kind, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        top, bottom, price, target = high[start:stop], low[start:stop], close[start:stop], out[0, start:stop]
        buffers, flat = np.empty((4, TILE)), np.empty(TILE, np.bool_)
        state = 0.0, 0.0, 0.0, 0.0, 0.0
        for first in range(0, stop - start, TILE):
            last = min(first + TILE, stop - start)
            rows = target[first:last]
            state, found = _tile(top, bottom, price, first, last, window, kind, state, buffers, flat, rows)
            missing += found
        if start < stop:
            missing += suspect(top[0] + bottom[0]) + suspect(price[-1])
        if kind == _RATING:
            _rate(target, window)
    return missing


@cuda.jit
def _directional_cuda(high, low, close, offsets, window, kind, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop, rule = offsets[segment], offsets[segment + 1], wilder_sum(window)
        plus, minus, span, index, average = 0.0, 0.0, 0.0, 0.0, 0.0
        for row in range(start, stop):
            seen, shown = row - start, np.nan
            if seen > 0:
                up, down = _movements(high[row] - high[row - 1], low[row - 1] - low[row])
                plus, minus = average_step(plus, seen, up, rule), average_step(minus, seen, down, rule)
                span = average_step(span, seen, range_of(high[row], low[row], close[row - 1]), rule)
            if kind <= _MINUS_MOVEMENT:
                if seen >= max(1, window - 1):
                    shown = plus if kind == _PLUS_MOVEMENT else minus
            elif seen >= window:
                if kind <= _MINUS:
                    shown = _share(plus if kind == _PLUS else minus, span)
                else:
                    now, none = _index(plus, minus, span)
                    index = index if none else now
                    terms = seen - window + 1
                    if not none or terms <= window:
                        average = average_step(average, terms, now, wilder(window))
                    shown = index if kind == _INDEX else (average if terms >= window else np.nan)
            out[0, row] = shown
        if kind == _RATING:
            _rate(out[0, start:stop], window)


def _directional(columns: dict[str, Array], offsets: Array, window: int, kind: int, minimum: int = 1) -> Array:
    window = positive("window", window, minimum)
    bars = Bars(offsets, columns)
    return bars.step_over(lambda rows: (rows.launch(1, _directional_cpu, _directional_cuda, window, kind)[0],))[0]


def plus_directional_movement(high: Array, low: Array, offsets: Array, window: int = 14) -> Array:
    """Wilder's sum of upward movements. A bar's is high - high before, where that is above 0 and above low before -
    low, else 0.

    The first value is the sum of window - 1 movements; then sum = sum - sum / window + new.
    high, low   (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 1
    returns     (n,) in the unit of the prices

    Missing values: NaN at the first window - 1 bars of a segment (of a window of 1, at the first). A bar with a NaN
    gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's PLUS_DM.
    """
    return _directional({"high": high, "low": low, "close": low}, offsets, window, _PLUS_MOVEMENT)


def minus_directional_movement(high: Array, low: Array, offsets: Array, window: int = 14) -> Array:
    """Wilder's sum of downward movements. A bar's is low before - low, where that is above 0 and above high - high
    before. Arrays, unit and the first values as in `plus_directional_movement`.

    Missing values: as `plus_directional_movement`.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's MINUS_DM.
    """
    return _directional({"high": high, "low": low, "close": low}, offsets, window, _MINUS_MOVEMENT)


def plus_directional_indicator(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Upward movement in per cent of the range: 100 * Wilder's sum of upward movements / that of true ranges.

    high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 1
    returns            (n,) in per cent, 0 where there is no range

    Missing values: NaN at the first `window` bars of a segment. A bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's PLUS_DI, except that TA-Lib leaves a
    window of 1 in parts of one.
    """
    return _directional({"high": high, "low": low, "close": close}, offsets, window, _PLUS)


def minus_directional_indicator(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Downward movement in per cent of the range, as `plus_directional_indicator`.

    Missing values: as `plus_directional_indicator`.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's MINUS_DI.
    """
    return _directional({"high": high, "low": low, "close": close}, offsets, window, _MINUS)


def directional_index(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Directional movement index: 100 * |plus - minus| / (plus + minus) of the two directional indicators.

    Arrays as in `plus_directional_indicator`; window at least 2; returns (n,), 0 to 100. Where nothing moves (plus +
    minus is 0) it stays as it was, at first 0.

    Missing values: as `plus_directional_indicator`.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's DX.
    """
    return _directional({"high": high, "low": low, "close": close}, offsets, window, _INDEX, 2)


def average_directional_index(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Wilder's average of the directional index: the mean of its first `window` values, then (average (window - 1) +
    new) / window. A bar where nothing moves counts as 0 among the first ones, and later leaves the average as it is.

    Arrays as in `plus_directional_indicator`; window at least 2; returns (n,), 0 to 100.

    Missing values: NaN at the first 2 window - 1 bars of a segment. A bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's ADX.
    """
    return _directional({"high": high, "low": low, "close": close}, offsets, window, _AVERAGE, 2)


def average_directional_index_rating(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Mean of the average directional index and of that of window - 1 bars before.

    Arrays as in `plus_directional_indicator`; window at least 2; returns (n,), 0 to 100.

    Missing values: NaN at the first 3 window - 2 bars of a segment. A bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's ADXR.
    """
    return _directional({"high": high, "low": low, "close": close}, offsets, window, _RATING, 2)
