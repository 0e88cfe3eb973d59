"""Prices with volume: on-balance volume, accumulation and distribution, and the oscillator of the latter."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.recursion import TILE, average_step, average_tile


@body
def _signed(volume, change):
    return volume if change > 0.0 else (-volume if change < 0.0 else 0.0)


@body
def _balance_segment(close, volume, flows, out):
    """Tile by tile: signed volumes, which wait for nothing, then their running sum. How many rows may be missing."""
    rows, missing, total = close.shape[0], 0, 0.0
    for first in range(0, rows, TILE):
        price, amount, target = close[first : first + TILE], volume[first : first + TILE], out[first : first + TILE]
        begin = 1 if first == 0 else 0
        before, after, later, signed = close[first + begin - 1 :], price[begin:], amount[begin:], flows[begin:]
        if first == 0:
            flows[0] = amount[0]
            missing += suspect(price[0] + amount[0])
        for i in range(after.shape[0]):
            change = after[i] - before[i]
            signed[i] = _signed(later[i], change)
            missing += suspect(change + later[i])
        for i in range(target.shape[0]):
            total += flows[i]
            target[i] = total
    return missing


@cpu_loop
def _balance_cpu(close, volume, offsets, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        missing += _balance_segment(close[start:stop], volume[start:stop], np.empty(TILE), out[0, start:stop])
    return missing


@cuda.jit
def _balance_cuda(close, volume, offsets, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, total = offsets[segment], 0.0
        for row in range(start, offsets[segment + 1]):
            total += volume[row] if row == start else _signed(volume[row], close[row] - close[row - 1])
            out[0, row] = total


@body
def _flow(high, low, close, volume):
    """The volume times where in its range a bar closed, from -1 at the low to 1 at the high; 0 without a range."""
    span = high - low
    return ((close - low) - (high - close)) / span * volume if span > 0.0 else 0.0


@body
def _from_first(window):
    """The rule of the exponential average that starts with its first term (see `average_step`)."""
    weight = 2.0 / (window + 1.0)
    return 1, 1.0, weight, 1.0 - weight


@body
def _accumulation_segment(high, low, close, volume, fast, slow, buffers, out):
    """The running sum of flows; with windows, the fast less the slow exponential average of it. How many rows may be
    missing."""
    rows, missing, total, quick, tardy, known = close.shape[0], 0, 0.0, 0.0, 0.0, max(fast, slow) - 1
    for first in range(0, rows, TILE):
        target = out[first : first + TILE]
        count = target.shape[0]
        top, bottom, price = high[first : first + count], low[first : first + count], close[first : first + count]
        amount, flows, slows, spare = volume[first : first + count], buffers[0, :count], buffers[1, :count], buffers[2]
        for i in range(count):
            flows[i] = _flow(top[i], bottom[i], price[i], amount[i])
            missing += suspect((top[i] + bottom[i]) + (price[i] + amount[i]))
        for i in range(count):
            total += flows[i]
            target[i] = total
        if slow > 0:
            quick = average_tile(target, first, 0, quick, _from_first(fast), spare, flows)
            tardy = average_tile(target, first, 0, tardy, _from_first(slow), spare, slows)
            for i in range(count):
                target[i] = flows[i] - slows[i]
            target[: min(count, max(0, known - first))] = np.nan
    return missing


@cpu_loop
def _accumulation_cpu(high, low, close, volume, offsets, fast, slow, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        top, bottom, price, amount = high[start:stop], low[start:stop], close[start:stop], volume[start:stop]
        target = out[0, start:stop]
        missing += _accumulation_segment(top, bottom, price, amount, fast, slow, np.empty((3, TILE)), target)
    return missing


@cuda.jit
def _accumulation_cuda(high, low, close, volume, offsets, fast, slow, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, total, quick, tardy = offsets[segment], 0.0, 0.0, 0.0
        for row in range(start, offsets[segment + 1]):
            total += _flow(high[row], low[row], close[row], volume[row])
            shown = total
            if slow > 0:
                quick = average_step(quick, row - start + 1, total, _from_first(fast))
                tardy = average_step(tardy, row - start + 1, total, _from_first(slow))
                shown = quick - tardy if row - start >= max(fast, slow) - 1 else np.nan
            out[0, row] = shown


def on_balance_volume(close: Array, volume: Array, offsets: Array) -> Array:
    """On-balance volume: the running sum of volume, plus where close rises and minus where it falls; the first bar of a
    segment counts as a rise.

    close, volume   (n,) float32, float64 or int64; offsets (S + 1,)
    returns         (n,) in the unit of volume; summed in float64

    Missing values: a bar with a NaN gives NaN and is stepped over: the next change is measured from the last close that
    was there.
    Raises: ArgumentError, DeviceError.
    Source: Granville (1963), "Granville's New Key to Stock Market Profits"; TA-Lib's OBV.
    """
    bars = Bars(offsets, {"close": close, "volume": volume})
    return bars.step_over(lambda rows: (rows.launch(1, _balance_cpu, _balance_cuda)[0],))[0]


def _accumulations(columns: dict[str, Array], offsets: Array, fast: int, slow: int) -> Array:
    bars = Bars(offsets, columns)
    loops = _accumulation_cpu, _accumulation_cuda
    return bars.step_over(lambda rows: (rows.launch(1, *loops, fast, slow)[0],))[0]


def accumulation_distribution(high: Array, low: Array, close: Array, volume: Array, offsets: Array) -> Array:
    """Chaikin's accumulation and distribution line: the running sum of volume * ((close - low) - (high - close)) /
    (high - low); a bar whose high is not above its low adds nothing.

    high, low, close, volume   (n,) float32, float64 or int64; offsets (S + 1,)
    returns                    (n,) in the unit of volume; summed in float64

    Missing values: a bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Chaikin; Achelis (1995), "Technical Analysis from A to Z"; TA-Lib's AD.
    """
    return _accumulations({"high": high, "low": low, "close": close, "volume": volume}, offsets, 0, 0)


def accumulation_distribution_oscillator(
    high: Array, low: Array, close: Array, volume: Array, offsets: Array, fast_window: int = 3, slow_window: int = 10
) -> Array:
    """Chaikin's oscillator: the fast less the slow exponential average of the accumulation and distribution line, which
    both begin with the line's first value; a = 2 / (window + 1).

    Arrays as in `accumulation_distribution`; windows in bars, at least 2, the fast one may be the longer; returns (n,)
    in the unit of volume.

    Missing values: NaN at the first bars of a segment, one fewer than the longer window. A bar with a NaN gives NaN and
    is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Chaikin; Achelis (1995), "Technical Analysis from A to Z"; TA-Lib's ADOSC.
    """
    fast, slow = positive("fast_window", fast_window, 2), positive("slow_window", slow_window, 2)
    return _accumulations({"high": high, "low": low, "close": close, "volume": volume}, offsets, fast, slow)
