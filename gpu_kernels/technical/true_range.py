"""True range and its averages, from highs, lows and closes."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.recursion import TILE, average_step, average_tile, is_zero, wilder

_AVERAGE, _RELATIVE, _PLAIN = range(3)


@body
def range_of(high, low, before):
    """True range: how far a bar reaches, the close before it included."""
    return max(high - low, abs(high - before), abs(low - before))


@body
def _share(average, close):
    return 0.0 if is_zero(close) else 100.0 * average / close


@body
def _tile(high, low, close, first, last, window, kind, average, terms, spare, out):
    """One tile of a segment's columns: the average after it, and how many bars may be missing. Bar i has the i-th true
    range, the first has none."""
    begin, missing = (1 if first == 0 else 0), 0
    now, target = terms[: last - first], out[first:last]
    ranges = target[begin:] if kind == _PLAIN else now[begin:]
    top, bottom, before = high[first + begin : last], low[first + begin : last], close[first + begin - 1 : last - 1]
    for i in range(ranges.shape[0]):
        ranges[i] = range_of(top[i], bottom[i], before[i])
        missing += suspect(top[i] + bottom[i] + before[i])
    if kind == _PLAIN:
        target[:begin] = np.nan
        return average, missing
    average = average_tile(now, first, 1, average, wilder(window), spare, target)
    if kind == _RELATIVE:
        price = close[first:last]
        for i in range(target.shape[0]):
            target[i] = target[i] if np.isnan(target[i]) else _share(target[i], price[i])
    return average, missing


@cpu_loop
def _true_range_cpu(high, low, close, offsets, window, kind, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        top, bottom, price, target = high[start:stop], low[start:stop], close[start:stop], out[0, start:stop]
        terms, spare, average = np.empty(TILE), np.empty(TILE), 0.0
        for first in range(0, stop - start, TILE):
            last = min(first + TILE, stop - start)
            average, found = _tile(top, bottom, price, first, last, window, kind, average, terms, spare, target)
            missing += found
        if start < stop:
            missing += suspect(top[0] + bottom[0]) + suspect(price[-1])
    return missing


@cuda.jit
def _true_range_cuda(high, low, close, offsets, window, kind, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, average, rule = offsets[segment], 0.0, wilder(window)
        for row in range(start, offsets[segment + 1]):
            shown = np.nan
            if row > start:
                value = range_of(high[row], low[row], close[row - 1])
                average = average_step(average, row - start, value, rule)
                if kind == _PLAIN:
                    shown = value
                elif row - start >= window:
                    shown = _share(average, close[row]) if kind == _RELATIVE else average
            out[0, row] = shown


def _true_ranges(high: Array, low: Array, close: Array, offsets: Array, window: int, kind: int) -> Array:
    bars = Bars(offsets, {"high": high, "low": low, "close": close})
    return bars.step_over(lambda rows: (rows.launch(1, _true_range_cpu, _true_range_cuda, window, kind)[0],))[0]


def true_range(high: Array, low: Array, close: Array, offsets: Array) -> Array:
    """True range: max(high - low, |high - close before|, |low - close before|).

    high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,)
    returns            (n,) in the unit of the prices

    Missing values: NaN at a segment's first bar. A bar with a NaN gives NaN and is stepped over: the next true range is
    measured from the last close that was there.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's TRANGE.
    """
    return _true_ranges(high, low, close, offsets, 1, _PLAIN)


def average_true_range(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Average true range: Wilder's average of the true range (see `true_range`).

    The first average is the mean of the first `window` true ranges; then it is (average (window - 1) + new) / window.
    high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 1
    returns            (n,) in the unit of the prices

    Missing values: NaN at the first `window` bars of a segment. A bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's ATR.
    """
    return _true_ranges(high, low, close, offsets, positive("window", window), _AVERAGE)


def normalised_average_true_range(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Average true range in per cent of the bar's close: 100 * average true range / close.

    Arrays and `window` as in `average_true_range`; returns (n,) in per cent, 0 where close is 0.

    Missing values: as `average_true_range`.
    Raises: ArgumentError, DeviceError.
    Source: Forman (2006), Technical Analysis of Stocks & Commodities, May; TA-Lib's NATR, except that TA-Lib leaves a
    window of 1 undivided.
    """
    return _true_ranges(high, low, close, offsets, positive("window", window), _RELATIVE)
