"""Where a price lies in the range of the last bars: stochastic oscillators and Williams' %R."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from gpu_kernels import rolling
from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.bar_price import KNOWN, combine
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.strength import relative_strength_index

Average = Literal["simple", "exponential"]
_CHUNK = 2048
"""Rows of a sweep: several columns of them stay in the cache."""

_LEAST_STRENGTH = 1e-10
"""A relative strength that moves less has not moved: while a close stays, rounding alone moves it."""

_AVERAGES: dict[str, Callable[[Array, Array, int], Array]] = {"simple": rolling.mean, "exponential": rolling.ema}


@body
def _position(close, highest, lowest, least, below):
    """The close in per cent of the range above its low, or as a negative number below its high; 0 where the range is no
    wider than `least`."""
    span = highest - lowest
    reached = close - highest if below else close - lowest
    return 100.0 * (reached / span) if abs(span) > least else 0.0


@body
def _sweep(values, one, two, three, sign, out):
    """out[i] = the highest (sign 1) or lowest (sign -1) of values[i] and of one, two and three rows earlier; the first
    `three` rows are left as they are."""
    rows = values.shape[0]
    target, now, first = out[three:rows], values[three:], values[three - one : rows - one]
    second, third = values[three - two : rows - two], values[: max(0, rows - three)]
    if sign > 0.0:
        for i in range(target.shape[0]):
            target[i] = max(max(now[i], first[i]), max(second[i], third[i]))  # noqa: PLW3301
    else:
        for i in range(target.shape[0]):
            target[i] = min(min(now[i], first[i]), min(second[i], third[i]))  # noqa: PLW3301


@body
def _extreme(source, window, sign, one, other):
    """The highest or lowest of the last `window` rows, where there are as many: each sweep makes four windows one, and
    the last lets them overlap. In rows that lie in the cache that is faster than blocks (`gpu_kernels.blocks`)."""
    rows, length = source.shape[0], 1
    values, out, spare = source, one[:rows], other[:rows]
    while 4 * length < window:
        _sweep(values, min(length, rows), min(2 * length, rows), min(3 * length, rows), sign, out)
        values, out, spare = out, spare, out
        length *= 4
    left = min(window - length, rows)
    _sweep(values, min(length, left), min(2 * length, left), left, sign, out)
    return out


@body
def _position_tile(high, low, close, begin, first, last, window, skip, least, below, out):
    """Rows first to last of the segment that begins at `begin`: how many of them may be missing."""
    chunk, missing = max(_CHUNK, window), 0
    buffers = np.empty((4, chunk + window))
    for row in range(first, last, chunk):
        stop, start = min(row + chunk, last), max(begin, row - window + 1)
        highs = _extreme(high[start:stop], window, 1.0, buffers[0], buffers[1])[row - start :]
        lows = _extreme(low[start:stop], window, -1.0, buffers[2], buffers[3])[row - start :]
        top, bottom, price, target = high[row:stop], low[row:stop], close[row:stop], out[row - first : stop - first]
        for i in range(target.shape[0]):
            target[i] = _position(price[i], highs[i], lows[i], least, below)
        for i in range(max(0, begin + skip - row), target.shape[0]):
            missing += suspect(top[i] + bottom[i] + price[i])
        target[: min(target.shape[0], max(0, begin + skip + window - 1 - row))] = np.nan
    return missing


@cpu_loop
def _position_cpu(high, low, close, offsets, tiles, tile, window, skip, least, below, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        target = out[0, first:last]
        missing += _position_tile(high, low, close, offsets[segment], first, last, window, skip, least, below, target)
    return missing


@cuda.jit
def _position_cuda(high, low, close, offsets, window, skip, least, below, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        shown = np.nan
        if row - offsets[segment_of(offsets, row)] >= skip + window - 1:
            highest, lowest = high[row], low[row]
            for back in range(row - window + 1, row):
                highest, lowest = max(highest, high[back]), min(lowest, low[back])
            shown = _position(close[row], highest, lowest, least, below)
        out[0, row] = shown


def _launch(bars: Bars, window: int, *, skip: int = 0, least: float = 0.0, below: bool = False, **given: Any) -> Array:
    """The first `skip` rows of a segment have no price yet."""
    loops = _position_cpu, _position_cuda
    found: Array = bars.launch(1, *loops, window, skip, least, below, tile=max(TILE_ROWS, 8 * window), **given)[0]
    return found


def _average(average: str) -> Callable[[Array, Array, int], Array]:
    if average not in _AVERAGES:
        raise ArgumentError(f"average is {average!r}", allowed='"simple" or "exponential"')
    return _AVERAGES[average]


def williams_percent_range(high: Array, low: Array, close: Array, offsets: Array, window: int = 14) -> Array:
    """Williams' %R: 100 * (close - highest high) / (highest high - lowest low) of the last `window` bars.

    high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 1
    returns            (n,), -100 to 0; 0 where the highest high is the lowest low

    Missing values: NaN at the first window - 1 bars of a segment. A bar with a NaN gives NaN and is stepped over: it is
    none of the `window` bars.
    Raises: ArgumentError, DeviceError.
    Source: Williams (1973), "How I Made One Million Dollars Last Year Trading Commodities"; TA-Lib's WILLR.
    """
    window = positive("window", window)
    bars = Bars(offsets, {"high": high, "low": low, "close": close})
    return bars.step_over(lambda rows: (_launch(rows, window, below=True),))[0]


def stochastic(
    high: Array,
    low: Array,
    close: Array,
    offsets: Array,
    window: int = 5,
    slow_window: int = 3,
    signal_window: int = 3,
    *,
    average: Average = "simple",
) -> tuple[Array, Array]:
    """Slow stochastic oscillator: the moving average over `slow_window` bars of the fast one's %K, and that average's
    own over `signal_window` bars.

    high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,); windows in bars, at least 1
    average            "simple", or "exponential" (that of `rolling.ema`), for both
    returns            slow %K and %D, each (n,), 0 to 100

    Missing values: NaN at the first window + slow_window + signal_window - 3 bars of a segment, in both. A bar with a
    NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Lane (1984), Technical Analysis of Stocks & Commodities, May; TA-Lib's STOCH.
    """
    window, slow = positive("window", window), positive("slow_window", slow_window)
    signal, smooth = positive("signal_window", signal_window), _average(average)
    bars = Bars(offsets, {"high": high, "low": low, "close": close})

    def formula(rows: Bars) -> tuple[Array, ...]:
        index = smooth(_launch(rows, window), rows.rows.offsets, slow)
        line = smooth(index, rows.rows.offsets, signal)
        return combine(rows, (index, line), KNOWN), line

    index, line = bars.step_over(formula)
    return index, line


def stochastic_fast(
    high: Array,
    low: Array,
    close: Array,
    offsets: Array,
    window: int = 5,
    signal_window: int = 3,
    *,
    average: Average = "simple",
) -> tuple[Array, Array]:
    """Fast stochastic oscillator: %K = 100 * (close - lowest low) / (highest high - lowest low) of the last `window`
    bars, 0 without a range; and %D, its moving average over `signal_window` bars.

    Arrays and `average` as in `stochastic`; returns %K and %D, each (n,), 0 to 100.

    Missing values: NaN at the first window + signal_window - 2 bars of a segment, in both. A bar with a NaN gives NaN
    and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Lane (1984), Technical Analysis of Stocks & Commodities, May; TA-Lib's STOCHF.
    """
    window, signal, smooth = positive("window", window), positive("signal_window", signal_window), _average(average)
    bars = Bars(offsets, {"high": high, "low": low, "close": close})

    def formula(rows: Bars) -> tuple[Array, ...]:
        index = _launch(rows, window)
        line = smooth(index, rows.rows.offsets, signal)
        return combine(rows, (index, line), KNOWN), line

    index, line = bars.step_over(formula)
    return index, line


def stochastic_strength(
    close: Array,
    offsets: Array,
    strength_window: int = 14,
    window: int = 5,
    signal_window: int = 3,
    *,
    average: Average = "simple",
) -> tuple[Array, Array]:
    """Stochastic relative strength: the fast stochastic oscillator of the relative strength index of `strength_window`
    changes, which is high, low and close in one. Where that moves by less than 1e-10 in a window, as while the close
    stays, %K is 0; TA-Lib's is there what rounding makes it.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); windows in bars, at least 1; `average` as in
             `stochastic`
    returns  %K and %D, each (n,), 0 to 100

    Missing values: NaN at the first strength_window + window + signal_window - 2 bars of a segment, in both. A NaN
    close gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Chande and Kroll (1994), "The New Technical Trader"; TA-Lib's STOCHRSI.
    """
    skip, window = positive("strength_window", strength_window), positive("window", window)
    signal, smooth = positive("signal_window", signal_window), _average(average)
    bars = Bars(offsets, {"close": close})

    def formula(rows: Bars) -> tuple[Array, ...]:
        own = rows.rows.offsets
        found = relative_strength_index(rows.columns[0], own, skip)
        index = _launch(rows, window, skip=skip, least=_LEAST_STRENGTH, columns=(found, found, found))
        line = smooth(index, own, signal)
        return combine(rows, (index, line), KNOWN), line

    index, line = bars.step_over(formula)
    return index, line
