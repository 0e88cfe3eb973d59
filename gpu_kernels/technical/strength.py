"""Relative strength index and Chande's momentum oscillator: Wilder's averages of rises and falls against each other."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.recursion import TILE, average_step, average_tile, is_zero, wilder


@body
def _strength(gain, loss, against):
    # a price that does not move has strength 0
    total = gain + loss
    return 0.0 if is_zero(total) else 100.0 * (gain - against * loss) / total


@body
def _tile(close, first, last, window, against, gain, loss, buffers, out):
    """One tile of a segment: both averages after it, and how many bars may be missing. Bar i has the i-th change, the
    first has none."""
    begin, missing, rows = (1 if first == 0 else 0), 0, last - first
    gains, losses, spare, target = buffers[0, :rows], buffers[1, :rows], buffers[2], out[first:last]
    now, before = close[first + begin : last], close[first + begin - 1 : last - 1]
    rises, falls = gains[begin:], losses[begin:]
    for i in range(rises.shape[0]):
        change = now[i] - before[i]
        rises[i], falls[i] = max(change, 0.0), max(-change, 0.0)
        missing += suspect(change)
    gain = average_tile(gains, first, 1, gain, wilder(window), spare, gains)
    loss = average_tile(losses, first, 1, loss, wilder(window), spare, losses)
    for i in range(rows):
        target[i] = _strength(gains[i], losses[i], against)
    return gain, loss, missing


@cpu_loop
def _strength_cpu(close, offsets, window, against, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        price, target = close[start:stop], out[0, start:stop]
        buffers, gain, loss = np.empty((3, TILE)), 0.0, 0.0
        for first in range(0, stop - start, TILE):
            last = min(first + TILE, stop - start)
            gain, loss, found = _tile(price, first, last, window, against, gain, loss, buffers, target)
            missing += found
        if start + 1 == stop:
            missing += suspect(price[0])
    return missing


@cuda.jit
def _strength_cuda(close, offsets, window, against, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, gain, loss, rule = offsets[segment], 0.0, 0.0, wilder(window)
        for row in range(start, offsets[segment + 1]):
            if row > start:
                change = close[row] - close[row - 1]
                gain = average_step(gain, row - start, max(change, 0.0), rule)
                loss = average_step(loss, row - start, max(-change, 0.0), rule)
            out[0, row] = _strength(gain, loss, against) if row - start >= window else np.nan


def _strengths(close: Array, offsets: Array, window: int, against: float) -> Array:
    window = positive("window", window)
    bars = Bars(offsets, {"close": close})
    return bars.step_over(lambda rows: (rows.launch(1, _strength_cpu, _strength_cuda, window, against)[0],))[0]


def relative_strength_index(close: Array, offsets: Array, window: int = 14) -> Array:
    """Wilder's relative strength index: 100 * gain / (gain + loss), each Wilder's average of the rises and falls of
    close.

    The first average is the mean of the first `window` changes; then average = (average (window - 1) + new) / window.
    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in changes, at least 1
    returns  (n,), 0 to 100; 0 where gain + loss is

    Missing values: NaN at the first `window` rows of a segment. A NaN close gives NaN and is stepped over: the next
    change is measured from the last close that was there.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's RSI.
    """
    return _strengths(close, offsets, window, 0.0)


def chande_momentum_oscillator(close: Array, offsets: Array, window: int = 14) -> Array:
    """Chande's momentum oscillator: 100 * (gain - loss) / (gain + loss), the averages being Wilder's as in
    `relative_strength_index`, where Chande himself takes plain sums.

    Arrays and `window` as in `relative_strength_index`; returns (n,), -100 to 100; 0 where gain + loss is.

    Missing values: as `relative_strength_index`.
    Raises: ArgumentError, DeviceError.
    Source: Chande and Kroll (1994), "The New Technical Trader"; TA-Lib's CMO.
    """
    return _strengths(close, offsets, window, 1.0)
