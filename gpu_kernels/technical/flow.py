"""Sums over windows against each other: the money flow index and the ultimate oscillator."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.blocks import window_sums
from gpu_kernels.dispatch import TILE_ROWS, Array, positive
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.recursion import is_zero
from gpu_kernels.technical.true_range import range_of


@body
def _flow(price, before, volume):
    """The inward and the outward flow of a bar. A change within 1e-14 of the two prices is none, as in TA-Lib."""
    change = price - before
    none = abs(change) <= 1e-14 * (abs(price) + abs(before))
    money = 0.0 if none else price * volume
    return (0.0 if change < 0.0 else money), (money if change < 0.0 else 0.0)


@body
def _typical(high, low, close):
    return (high + low + close) / 3.0


@body
def _share(inward, outward):
    total = inward + outward
    return 100.0 * (inward / total) if total > 0.0 else 0.0


@body
def _money_tile(high, low, close, volume, begin, first, last, window, out):
    """Rows first to last of the segment that begins at `begin`: how many of them may be missing."""
    start, rows, missing = max(begin, first - window), last - first, 0
    inward, outward, sums, others = np.zeros(last - start), np.zeros(last - start), np.empty(rows), np.empty(rows)
    # the segment's first bar has no bar before it, and no flow
    head = max(start, begin + 1)
    into, out_of, amount = inward[head - start :], outward[head - start :], volume[head:last]
    top, bottom, now = high[head:last], low[head:last], close[head:last]
    top_before, bottom_before, before = high[head - 1 : last - 1], low[head - 1 : last - 1], close[head - 1 : last - 1]
    for i in range(amount.shape[0]):
        price = _typical(top[i], bottom[i], now[i])
        then = _typical(top_before[i], bottom_before[i], before[i])
        into[i], out_of[i] = _flow(price, then, amount[i])
        missing += suspect(price + amount[i])
    if first == begin:
        missing += suspect(_typical(high[begin], low[begin], close[begin]) + volume[begin])
    window_sums(inward, first - start, window, True, 1.0, sums)
    window_sums(outward, first - start, window, True, 1.0, others)
    for i in range(rows):
        out[i] = _share(sums[i], others[i])
    out[: min(rows, max(0, begin + window - first))] = np.nan
    return missing


@cpu_loop
def _money_cpu(high, low, close, volume, offsets, tiles, tile, window, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        missing += _money_tile(high, low, close, volume, offsets[segment], first, last, window, out[0, first:last])
    return missing


@cuda.jit
def _money_cuda(high, low, close, volume, offsets, window, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        shown = math.nan
        if row - offsets[segment_of(offsets, row)] >= window:
            inward, outward = 0.0, 0.0
            before = _typical(high[row - window], low[row - window], close[row - window])
            for back in range(row - window + 1, row + 1):
                price = _typical(high[back], low[back], close[back])
                more, less = _flow(price, before, volume[back])
                inward, outward, before = inward + more, outward + less, price
            shown = _share(inward, outward)
        out[0, row] = shown


def money_flow_index(high: Array, low: Array, close: Array, volume: Array, offsets: Array, window: int = 14) -> Array:
    """Money flow index: 100 * inward / (inward + outward) flow of the last `window` bars. A bar's flow is its typical
    price, (high + low + close) / 3, times volume; it is inward where that price has risen, outward where it has fallen.

    high, low, close, volume   (n,) float32, float64 or int64; offsets (S + 1,); window in bars, at least 2
    returns                    (n,), 0 to 100; 0 where nothing flowed

    Missing values: NaN at the first `window` bars of a segment. A bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Quong and Soudack (1989), Technical Analysis of Stocks & Commodities, March; TA-Lib's MFI as of version 0.8,
    in which a price that has moved by rounding alone has not moved.
    """
    window = positive("window", window, 2)
    bars = Bars(offsets, {"high": high, "low": low, "close": close, "volume": volume})
    tile = max(TILE_ROWS, window)
    return bars.step_over(lambda rows: (rows.launch(1, _money_cpu, _money_cuda, window, tile=tile)[0],))[0]


@body
def _pressure(high, low, close, before):
    """Buying pressure and true range."""
    return close - min(low, before), range_of(high, low, before)


@body
def _part(pressure, span, weight):
    return 0.0 if is_zero(span) else weight * (pressure / span)


@body
def _ultimate_tile(high, low, close, begin, first, last, short, middle, long, out):
    """Rows first to last of the segment that begins at `begin`: how many of them may be missing."""
    start, rows, missing = max(begin, first - long), last - first, 0
    pressures, ranges, sums, spans = np.zeros(last - start), np.zeros(last - start), np.empty(rows), np.empty(rows)
    head = max(start, begin + 1)
    own, span = pressures[head - start :], ranges[head - start :]
    top, bottom, now, before = high[head:last], low[head:last], close[head:last], close[head - 1 : last - 1]
    for i in range(own.shape[0]):
        own[i], span[i] = _pressure(top[i], bottom[i], now[i], before[i])
        missing += suspect(top[i] + bottom[i] + now[i])
    if first == begin:
        missing += suspect(high[begin] + low[begin] + close[begin])
    out[:] = 0.0
    for window, weight in ((short, 4.0), (middle, 2.0), (long, 1.0)):
        halo = min(window, first - start)
        window_sums(pressures[first - start - halo :], halo, window, True, 1.0, sums)
        window_sums(ranges[first - start - halo :], halo, window, True, 1.0, spans)
        for i in range(rows):
            out[i] += _part(sums[i], spans[i], weight)
    for i in range(rows):
        out[i] = 100.0 * (out[i] / 7.0)
    out[: min(rows, max(0, begin + long - first))] = np.nan
    return missing


@cpu_loop
def _ultimate_cpu(high, low, close, offsets, tiles, tile, short, middle, long, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        target = out[0, first:last]
        missing += _ultimate_tile(high, low, close, offsets[segment], first, last, short, middle, long, target)
    return missing


@cuda.jit
def _ultimate_cuda(high, low, close, offsets, short, middle, long, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        shown = math.nan
        if row - offsets[segment_of(offsets, row)] >= long:
            sums, span, shown = 0.0, 0.0, 0.0
            for back in range(row, row - long, -1):
                more, wider = _pressure(high[back], low[back], close[back], close[back - 1])
                sums, span = sums + more, span + wider
                seen = row - back + 1
                shown += _part(sums, span, 4.0) if seen == short else 0.0
                shown += _part(sums, span, 2.0) if seen == middle else 0.0
                shown += _part(sums, span, 1.0) if seen == long else 0.0
            shown = 100.0 * (shown / 7.0)
        out[0, row] = shown


def ultimate_oscillator(
    high: Array,
    low: Array,
    close: Array,
    offsets: Array,
    short_window: int = 7,
    middle_window: int = 14,
    long_window: int = 28,
) -> Array:
    """Williams' ultimate oscillator: 100 * (4 short + 2 middle + long) / 7, each the sum over its window of close -
    min(low, close before), over that of the true range; a part whose ranges add up to nothing is 0.

    high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,); windows in bars, at least 1, in any
                       order
    returns            (n,), 0 to 100

    Missing values: NaN at a segment's first bars, as many as the longest window has. A bar with a NaN gives NaN and is
    stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Williams (1985), Technical Analysis of Stocks & Commodities, August; TA-Lib's ULTOSC.
    """
    names = {"short_window": short_window, "middle_window": middle_window, "long_window": long_window}
    windows = sorted(positive(name, window) for name, window in names.items())
    bars = Bars(offsets, {"high": high, "low": low, "close": close})
    loops, tile = (_ultimate_cpu, _ultimate_cuda), max(TILE_ROWS, windows[-1])
    return bars.step_over(lambda rows: (rows.launch(1, *loops, *windows, tile=tile)[0],))[0]
