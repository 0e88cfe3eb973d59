"""Moving averages against each other: MACD, price oscillators, and the rate of change of a triple one."""

from typing import Literal

import numpy as np

from gpu_kernels import rolling
from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.technical.bar_price import DIFFERENCE, PERCENT, combine
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.recursion import TILE, average_step, average_tile, exponential

Average = Literal["simple", "exponential"]


@body
def _against(fast, slow, percent):
    if not percent:
        return fast - slow
    return (fast - slow) / slow * 100.0 if slow != 0.0 else (fast - slow) * 0.0


@cpu_loop
def _difference_cpu(close, offsets, fast, slow, late, percent, signal, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        price, target = close[start:stop], out[:, start:stop]
        buffers, quick, tardy, line, known = np.empty((4, TILE)), 0.0, 0.0, 0.0, slow + signal - 2
        for first in range(0, stop - start, TILE):
            terms = price[first : first + TILE]
            rows = terms.shape[0]
            fasts, slows, spare, signals = buffers[0, :rows], buffers[1, :rows], buffers[2], buffers[3, :rows]
            quick = average_tile(terms, first, late, quick, exponential(fast), spare, fasts)
            tardy = average_tile(terms, first, 0, tardy, exponential(slow), spare, slows)
            found = 0
            for i in range(rows):
                fasts[i] = _against(fasts[i], slows[i], percent)
                found += suspect(terms[i])
            missing += found
            if signal > 1 or out.shape[0] == 3:
                line = average_tile(fasts, first, slow - 1, line, exponential(signal), spare, signals)
                begin = min(rows, max(0, known - first))
                fasts[:begin] = np.nan
                top, middle, bottom = (
                    target[0, first : first + rows],
                    target[1, first : first + rows],
                    target[2, first : first + rows],
                )
                for i in range(rows):
                    top[i], middle[i], bottom[i] = fasts[i], signals[i], fasts[i] - signals[i]
            else:
                target[0, first : first + rows] = fasts
    return missing


@cuda.jit
def _difference_cuda(close, offsets, fast, slow, late, percent, signal, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, quick, tardy, line = offsets[segment], 0.0, 0.0, 0.0
        for row in range(start, offsets[segment + 1]):
            seen = row - start + 1
            if seen > late:
                quick = average_step(quick, seen - late, close[row], exponential(fast))
            tardy = average_step(tardy, seen, close[row], exponential(slow))
            value = _against(quick, tardy, percent) if seen >= slow else np.nan
            if out.shape[0] == 3:
                if seen >= slow:
                    line = average_step(line, seen - slow + 1, value, exponential(signal))
                known = seen >= slow + signal - 1
                out[0, row] = value if known else np.nan
                out[1, row] = line if known else np.nan
                out[2, row] = value - line if known else np.nan
            else:
                out[0, row] = value


@cpu_loop
def _triple_cpu(close, offsets, window, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        price, target = close[start:stop], out[0, start:stop]
        buffers, one, two, three, before, late = np.empty((2, TILE)), 0.0, 0.0, 0.0, np.nan, window - 1
        for first in range(0, stop - start, TILE):
            terms = price[first : first + TILE]
            rows = terms.shape[0]
            averages, spare, shown = buffers[0, :rows], buffers[1], target[first : first + rows]
            found = 0
            for i in range(rows):
                found += suspect(terms[i])
            missing += found
            one = average_tile(terms, first, 0, one, exponential(window), spare, averages)
            two = average_tile(averages, first, late, two, exponential(window), spare, averages)
            three = average_tile(averages, first, 2 * late, three, exponential(window), spare, averages)
            shown[0] = _against(averages[0], before, True)
            for i in range(1, rows):
                shown[i] = _against(averages[i], averages[i - 1], True)
            before = averages[rows - 1]
    return missing


@cuda.jit
def _triple_cuda(close, offsets, window, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, one, two, three, late, rule = offsets[segment], 0.0, 0.0, 0.0, window - 1, exponential(window)
        for row in range(start, offsets[segment + 1]):
            seen, before = row - start + 1, three
            one = average_step(one, seen, close[row], rule)
            if seen > late:
                two = average_step(two, seen - late, one, rule)
            if seen > 2 * late:
                three = average_step(three, seen - 2 * late, two, rule)
            out[0, row] = _against(three, before, True) if seen > 3 * late + 1 else np.nan


def _ordered(fast: int, slow: int, minimum: int) -> tuple[int, int]:
    one, other = positive("fast_window", fast, minimum), positive("slow_window", slow, minimum)
    return min(one, other), max(one, other)


def moving_average_convergence_divergence(
    close: Array, offsets: Array, fast_window: int = 12, slow_window: int = 26, signal_window: int = 9
) -> tuple[Array, Array, Array]:
    """Moving average convergence divergence: the fast less the slow exponential average of close; its own exponential
    average, the signal; and the first less the second, the histogram.

    Each average starts with the mean of its first terms, y = a x + (1 - a) y of the bar before with a = 2 / (window +
    1); the fast one's first terms are the `fast_window` closes up to the first value of the slow one.
    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); windows in bars, at least 2 and the signal's at
             least 1; the shorter of the first two is the fast one
    returns  three (n,) in the unit of close

    Missing values: NaN at the first slow_window + signal_window - 2 bars of a segment, in all three. A NaN close gives
    NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Appel (1979), "The Moving Average Convergence-Divergence Trading Method"; TA-Lib's MACD.
    """
    fast, slow = _ordered(fast_window, slow_window, 2)
    signal = positive("signal_window", signal_window)
    bars = Bars(offsets, {"close": close})
    loops = _difference_cpu, _difference_cuda
    line, average, histogram = bars.step_over(
        lambda rows: tuple(rows.launch(3, *loops, fast, slow, slow - fast, False, signal))
    )
    return line, average, histogram


def _oscillator(close: Array, offsets: Array, fast: int, slow: int, average: Average, *, percent: bool) -> Array:
    fast, slow = _ordered(fast, slow, 2)
    if average not in {"simple", "exponential"}:
        raise ArgumentError(f"average is {average!r}", allowed='"simple" or "exponential"')
    bars = Bars(offsets, {"close": close})

    def formula(rows: Bars) -> tuple[Array, ...]:
        if average == "exponential":
            return (rows.launch(1, _difference_cpu, _difference_cuda, fast, slow, 0, percent, 1)[0],)
        fasts, slows = (rolling.mean(rows.columns[0], rows.rows.offsets, window) for window in (fast, slow))
        rows.doubt()
        return (combine(rows, (fasts, slows), PERCENT if percent else DIFFERENCE),)

    return bars.step_over(formula)[0]


def absolute_price_oscillator(
    close: Array, offsets: Array, fast_window: int = 12, slow_window: int = 26, *, average: Average = "exponential"
) -> Array:
    """Absolute price oscillator: the fast less the slow moving average of close, each from its own first bars on.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); windows in bars, at least 2; the shorter one is
             the fast one
    average  "exponential" (that of `rolling.ema`) or "simple"
    returns  (n,) in the unit of close

    Missing values: NaN at the first slow_window - 1 bars of a segment. A NaN close gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's APO, whose default is the exponential average from version 0.8 on.
    """
    return _oscillator(close, offsets, fast_window, slow_window, average, percent=False)


def percentage_price_oscillator(
    close: Array, offsets: Array, fast_window: int = 12, slow_window: int = 26, *, average: Average = "exponential"
) -> Array:
    """Percentage price oscillator: 100 * (fast - slow) / slow of two moving averages of close.

    Parameters as in `absolute_price_oscillator`; returns (n,) in per cent, 0 where the slow average is 0.

    Missing values: as `absolute_price_oscillator`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's PPO, whose default is the exponential average from version 0.8 on.
    """
    return _oscillator(close, offsets, fast_window, slow_window, average, percent=True)


def triple_exponential_rate(close: Array, offsets: Array, window: int = 30) -> Array:
    """TRIX: the change in per cent, from bar to bar, of the exponential average of the exponential average of the
    exponential average of close.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 1
    returns  (n,) in per cent, 0 where the average before is 0

    Missing values: NaN at the first 3 window - 2 bars of a segment. A NaN close gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Hutson (1983), Technical Analysis of Stocks & Commodities, July; TA-Lib's TRIX.
    """
    window = positive("window", window)
    bars = Bars(offsets, {"close": close})
    return bars.step_over(lambda rows: (rows.launch(1, _triple_cpu, _triple_cuda, window)[0],))[0]
