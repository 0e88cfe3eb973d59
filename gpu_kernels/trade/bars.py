"""Bars from trades: where they end (by the clock, by the number, volume or value of trades, by their imbalance), and
what happened in each.

A trade belongs to one bar: one that is larger than a whole bar ends the bar it falls in and is not split, so that a
bar is known when its last trade is (`vpin` splits trades, as its definition asks). What is left of a segment after its
last full bar is no bar: it is not known yet what that bar will be.
"""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, float_dtype, grid_of, on_cpu, positive, to_host
from gpu_kernels.dispatch import to_side as host_to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_sorted
from gpu_kernels.trade.columns import per_segment, small_column


class Ends(NamedTuple):
    """Where the bars of each segment end.

    ends          (B,) int64, position of each bar's last trade, rising; a bar begins after the one before it, or at its
                  segment's first row
    bar_offsets   (S + 1,) int64: segment s has the bars bar_offsets[s] to bar_offsets[s + 1]
    """

    ends: Array
    bar_offsets: Array


class Bars(NamedTuple):
    """Bars, each array (B,): prices and `vwap` in the unit of the prices, `volume` and `signed_volume` (bought less
    sold) in that of the sizes, number of `trades` int64, times int64 ns."""

    open: Array
    high: Array
    low: Array
    close: Array
    vwap: Array
    volume: Array
    signed_volume: Array
    trades: Array
    start_time: Array
    end_time: Array
    known_time: Array


@body
def _sum_step(total, quantity, threshold):
    """(what the open bar holds after a trade, whether the trade ends it)."""
    total += 0.0 if math.isnan(quantity) else quantity
    return (0.0, True) if total >= threshold else (total, False)


@body
def _sum_segment(price, size, weighted, threshold, start, stop, closes):
    total = 0.0
    for row in range(start, stop):
        quantity = np.float64(size[row])
        if weighted:
            quantity *= np.float64(price[row])
        total, closes[row] = _sum_step(total, quantity, threshold)


@body
def _imbalance_step(state, signed, decay, minimum_trades, maximum_trades):
    """(state, whether the trade ends the bar). State: the open bar's imbalance and number of trades, then the expected
    number of trades and the expected imbalance of a trade."""
    imbalance, trades, expected_trades, expected_imbalance = state
    imbalance += 0.0 if math.isnan(signed) else signed
    trades += 1.0
    reached = abs(imbalance) >= expected_trades * abs(expected_imbalance)
    if trades >= maximum_trades or (trades >= minimum_trades and reached):
        expected_trades += decay * (trades - expected_trades)
        expected_imbalance += decay * (imbalance / trades - expected_imbalance)
        return (0.0, 0.0, expected_trades, expected_imbalance), True
    return (imbalance, trades, expected_trades, expected_imbalance), False


@body
def _imbalance_segment(
    signed, start, stop, expected_trades, expected_imbalance, decay, minimum_trades, maximum_trades, closes
):
    state = (0.0, 0.0, expected_trades, expected_imbalance)
    for row in range(start, stop):
        state, closes[row] = _imbalance_step(state, np.float64(signed[row]), decay, minimum_trades, maximum_trades)


@body
def _ends_interval(time, row, stop, until, interval_ns):
    """Whether `row` is the last trade of its interval, as known at `until`."""
    interval = time[row] // interval_ns
    return time[row + 1] // interval_ns > interval if row + 1 < stop else (interval + 1) * interval_ns <= until


@body
def _time_segment(time, start, stop, until, interval_ns, closes):
    for row in range(start, stop):
        closes[row] = _ends_interval(time, row, stop, until, interval_ns)


@body
def _bar_step(bar, price, size, side):
    """A bar with one more trade. Bar: open, high, low, close, value, volume, signed volume, count."""
    first, high, low, _last, value, volume, signed, count = bar
    if math.isnan(price) or math.isnan(size):
        return bar
    if count == 0:
        first, high, low = price, price, price
    high, low = max(high, price), min(low, price)
    return first, high, low, price, value + price * size, volume + size, signed + side * size, count + 1


@body
def _aggregate(price, size, side, time, known_time, begin, end, interval_ns):
    """A bar over the trades begin..end, then its first and last time and when it is known."""
    bar = (np.nan, np.nan, np.nan, np.nan, 0.0, 0.0, 0.0, 0)
    known = known_time[begin]
    for row in range(begin, end + 1):
        bar = _bar_step(bar, np.float64(price[row]), np.float64(size[row]), np.float64(side[row]))
        known = max(known, known_time[row])
    start, finish = time[begin], time[end]
    if interval_ns > 0:
        start = start // interval_ns * interval_ns
        finish = start + interval_ns
        known = max(known, finish)
    return bar, start, finish, known


@body
def _bar_row(price, size, side, time, known_time, ends, bar, begin, interval_ns, values, count, times):
    made, start, finish, known = _aggregate(price, size, side, time, known_time, begin, ends[bar], interval_ns)
    first, high, low, last, value, volume, signed, trades = made
    values[0, bar], values[1, bar], values[2, bar], values[3, bar] = first, high, low, last
    values[4, bar] = value / volume if volume > 0.0 else np.nan
    values[5, bar], values[6, bar] = volume, signed
    count[bar] = trades
    times[0, bar], times[1, bar], times[2, bar] = start, finish, known


@cpu_loop
def _sum_cpu(price, size, weighted, threshold, offsets, closes):
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        _sum_segment(price, size, weighted, threshold[segment], start, stop, closes)


@cpu_loop
def _imbalance_cpu(signed, offsets, expected_trades, expected_imbalance, decay, minimum, maximum, closes):
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        expected = expected_imbalance[segment]
        _imbalance_segment(signed, start, stop, expected_trades, expected, decay, minimum, maximum, closes)


@cpu_loop
def _time_cpu(time, offsets, until, interval_ns, closes):
    for segment in prange(offsets.shape[0] - 1):
        _time_segment(time, offsets[segment], offsets[segment + 1], until[segment], interval_ns, closes)


@cpu_loop
def _bars_cpu(price, size, side, time, known_time, begins, ends, interval_ns, values, count, times):
    for bar in prange(ends.shape[0]):
        _bar_row(price, size, side, time, known_time, ends, bar, begins[bar], interval_ns, values, count, times)


@cuda.jit
def _sum_cuda(price, size, weighted, threshold, offsets, closes):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop = offsets[segment], offsets[segment + 1]
        _sum_segment(price, size, weighted, threshold[segment], start, stop, closes)


@cuda.jit
def _imbalance_cuda(signed, offsets, expected_trades, expected_imbalance, decay, minimum, maximum, closes):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop = offsets[segment], offsets[segment + 1]
        expected = expected_imbalance[segment]
        _imbalance_segment(signed, start, stop, expected_trades, expected, decay, minimum, maximum, closes)


@cuda.jit
def _time_cuda(time, offsets, until, interval_ns, closes):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _time_segment(time, offsets[segment], offsets[segment + 1], until[segment], interval_ns, closes)


@cuda.jit
def _bars_cuda(price, size, side, time, known_time, begins, ends, interval_ns, values, count, times):
    bar = cuda.grid(1)
    if bar < ends.shape[0]:
        _bar_row(price, size, side, time, known_time, ends, bar, begins[bar], interval_ns, values, count, times)


def _ends(rows: Rows, closes: Array) -> Ends:
    """The rows whose flag is set. The flags, a byte a row, are gathered on the host: how many bars there are decides
    the shapes of what follows."""
    ends = np.flatnonzero(to_host(closes)).astype(np.int64)
    bar_offsets = np.searchsorted(ends, rows.host_offsets).astype(np.int64)
    return Ends(host_to_side(ends, like=rows.offsets), host_to_side(bar_offsets, like=rows.offsets))


def _sum_ends(rows: Rows, price: Array, size: Array, threshold: Any, *, weighted: bool) -> Ends:
    limits = per_segment("threshold", threshold, rows, np.float64)
    if (to_host(limits) <= 0.0).any():
        raise ArgumentError(f"threshold is {to_host(limits).min()}", allowed="numbers above 0")
    closes = rows.empty(rows.count, np.bool_)
    arrays = (price, size, weighted, limits, rows.offsets, closes)
    if rows.count and rows.device:
        _sum_cuda[grid_of(rows.segments)](*arrays)
    elif rows.count:
        on_cpu(_sum_cpu, rows.count, rows.segments)(*arrays)
    return _ends(rows, closes)


def tick_ends(offsets: Array, trades: int) -> Ends:
    """Tick bars: every `trades` trades of a segment make a bar.

    offsets (S + 1,) of the trades; trades at least 1. Returns: see `Ends`.

    Missing values: none; the trades after the last full bar make none.
    Raises: ArgumentError.
    Source: López de Prado (2018), "Advances in Financial Machine Learning", chapter 2.
    """
    trades = positive("trades", trades)
    bounds = to_host(offsets)
    rows = Rows(offsets, count=int(bounds[-1]) if len(bounds) else 0)
    ends = [np.arange(first + trades - 1, last, trades) for first, last in pairwise(bounds)]
    flat = np.concatenate([np.empty(0, np.int64), *ends]).astype(np.int64)
    bar_offsets = np.cumsum([0, *map(len, ends)]).astype(np.int64)
    return Ends(host_to_side(flat, like=rows.offsets), host_to_side(bar_offsets, like=rows.offsets))


def volume_ends(size: Array, offsets: Array, threshold: Any) -> Ends:
    """Volume bars: a bar ends with the trade that brings its volume to `threshold` or beyond; the next begins at 0.

    size        (n,) float32, float64 or int64 lots (exact below 2**53); offsets (S + 1,)
    threshold   above 0, in the unit of the sizes: one number, or an array (S,), e.g. from past days (`bucket_sizes`)
    returns     see `Ends`

    Missing values: a NaN size counts as 0.
    Raises: ArgumentError, DeviceError.
    Source: López de Prado (2018), "Advances in Financial Machine Learning", chapter 2.
    """
    rows = Rows(offsets, values={"size": size})
    return _sum_ends(rows, rows.columns[0], rows.columns[0], threshold, weighted=False)


def dollar_ends(price: Array, size: Array, offsets: Array, threshold: Any) -> Ends:
    """Dollar bars: as `volume_ends`, by the sum of price * size.

    price, size   (n,) float32, float64 or int64; offsets (S + 1,)
    threshold     above 0, in the unit of price * size: one number, or an array (S,)
    returns       see `Ends`

    Missing values: a NaN price or size counts as 0.
    Raises: ArgumentError, DeviceError.
    Source: López de Prado (2018), "Advances in Financial Machine Learning", chapter 2.
    """
    rows = Rows(offsets, values={"price": price, "size": size})
    price, size = rows.columns
    return _sum_ends(rows, price, size, threshold, weighted=True)


def imbalance_ends(
    signed: Array,
    offsets: Array,
    *,
    expected_trades: float,
    expected_imbalance: Any,
    span: int,
    minimum_trades: int = 1,
    maximum_trades: int = 2**31,
) -> Ends:
    """Imbalance bars: a bar ends with the trade that brings |sum of signed| to E[T] |E[b]| or beyond.

    E[T], the expected number of trades of a bar, and E[b], the expected imbalance of a trade, start as given and move
    when a bar ends: E += 2 / (span + 1) * (the bar's own - E), the bar's own being its number of trades, and its
    imbalance per trade.
    signed             (n,) float32, float64 or int64: the side for tick imbalance bars, side * size for volume
                       imbalance bars, side * size * price for dollar imbalance bars; offsets (S + 1,)
    expected_trades    at least 1; expected_imbalance other than 0, in the unit of `signed`: one number or an array
                       (S,), from past days, since they shape a segment's first bars
    span               of the averages, in bars, at least 1
    minimum_trades, maximum_trades   no bar ends before the one nor goes on beyond the other. Not in the source, whose
                       bars shrink to single trades when E[b] nears 0 and never end when it runs away; the defaults
                       leave it as it is.
    returns            see `Ends`

    Missing values: a NaN adds nothing to the imbalance, and counts as a trade.
    Raises: ArgumentError, DeviceError.
    Source: López de Prado (2018), "Advances in Financial Machine Learning", section 2.3.2.1.
    """
    rows = Rows(offsets, values={"signed": signed})
    span = positive("span", span)
    minimum_trades = positive("minimum_trades", minimum_trades)
    maximum_trades = positive("maximum_trades", maximum_trades, minimum=minimum_trades)
    if not 1.0 <= expected_trades < np.inf:
        raise ArgumentError(f"expected_trades is {expected_trades!r}", allowed="a number of at least 1")
    expected = per_segment("expected_imbalance", expected_imbalance, rows, np.float64)
    if (to_host(expected) == 0.0).any():
        raise ArgumentError("expected_imbalance is 0", allowed="numbers other than 0")
    closes = rows.empty(rows.count, np.bool_)
    limits = (float(expected_trades), expected, 2.0 / (span + 1.0), float(minimum_trades), float(maximum_trades))
    arrays = (rows.columns[0], rows.offsets, *limits, closes)
    if rows.count and rows.device:
        _imbalance_cuda[grid_of(rows.segments)](*arrays)
    elif rows.count:
        on_cpu(_imbalance_cpu, rows.count, rows.segments)(*arrays)
    return _ends(rows, closes)


def time_ends(time: Array, offsets: Array, until: Any, interval_ns: int) -> Ends:
    """Time bars: the trades with k interval_ns <= time < (k + 1) interval_ns, counted from time 0, make a bar. An
    interval without a trade has none.

    time      (n,) int64 ns never falling in a segment; offsets (S + 1,)
    until     int64 ns: up to when the segment's trades are known, one number or an array (S,). The last interval is a
              bar only if it ends by then; the others are, since a later trade has come.
    returns   see `Ends`; give `interval_ns` to `aggregate` too, since such a bar is known at its interval's end

    Missing values: none.
    Raises: ArgumentError (also where `time` falls), DeviceError.
    """
    interval_ns = positive("interval_ns", interval_ns, maximum=2**61)
    rows = Rows(offsets, times={"time": time})
    check_sorted("time", rows, rows.columns[0])
    known = per_segment("until", until, rows, np.int64)
    closes = rows.empty(rows.count, np.bool_)
    arrays = (rows.columns[0], rows.offsets, known, interval_ns, closes)
    if rows.count and rows.device:
        _time_cuda[grid_of(rows.segments)](*arrays)
    elif rows.count:
        on_cpu(_time_cpu, rows.count, rows.segments)(*arrays)
    return _ends(rows, closes)


def _begins(ends: Array, bar_offsets: Array, rows: Rows) -> Array:
    """Each bar's first row: one after the end before it, or the first of its segment (host)."""
    bounds = rows.host_offsets
    begins = np.empty(len(ends), np.int64)
    begins[1:] = ends[:-1] + 1
    used = bar_offsets[:-1] < bar_offsets[1:]
    begins[bar_offsets[:-1][used]] = bounds[:-1][used]
    segment = np.repeat(np.arange(rows.segments), np.diff(bar_offsets))
    if (begins > ends).any() or (ends >= bounds[1:][segment]).any() or (ends < bounds[:-1][segment]).any():
        raise ArgumentError("ends fall, or lie outside their segments", allowed="what the *_ends functions give")
    return begins


def aggregate(
    price: Array,
    size: Array,
    side: Array,
    time: Array,
    known_time: Array,
    offsets: Array,
    ends: Array,
    bar_offsets: Array,
    *,
    interval_ns: int = 0,
) -> Bars:
    """Open, high, low, close, vwap, volume, signed volume, number of trades and times of bars.

    price, size        (n,) float32, float64 or int64; side (n,) int8 or int64, +1, -1 or 0 (adds to volume alone)
    time, known_time   (n,) int64 ns, of each trade's event and of when it was known
    ends, bar_offsets  what a `*_ends` function of this module gave for the same rows
    interval_ns        the interval of `time_ends`, whose bars start and end with it and are known at its end at the
                       earliest; 0 for all others, which start, end and are known with their trades
    returns            `Bars`: prices float32 if price and size are, else float64, summed in float64

    Missing values: a trade with a NaN price or size is left out. A bar without any other has 0 trades, volume 0
    and NaN prices; vwap is NaN where the volume is 0.
    Raises: ArgumentError, DeviceError.
    """
    interval_ns = positive("interval_ns", interval_ns, minimum=0, maximum=2**61)
    rows = Rows(offsets, values={"price": price, "size": size}, times={"time": time, "known_time": known_time})
    sides = small_column("side", side, rows)
    common_device(offsets=offsets, ends=ends, bar_offsets=bar_offsets)
    ends = column("ends", ends, (np.dtype(np.int64),))
    bars = Rows(bar_offsets, count=len(ends), offsets_name="bar_offsets")
    if bars.segments != rows.segments:
        raise ArgumentError(f"bars of {bars.segments} segments for {rows.segments}", allowed="the same segments")
    begins = host_to_side(_begins(to_host(ends), bars.host_offsets, rows), like=ends)
    values = rows.empty((7, bars.count), float_dtype(*rows.columns[:2]))
    count, times = rows.empty(bars.count, np.int64), rows.empty((3, bars.count), np.int64)
    prices, sizes, events, knowns = rows.columns
    arrays = (prices, sizes, sides, events, knowns, begins, ends, interval_ns, values, count, times)
    if bars.count and rows.device:
        _bars_cuda[grid_of(bars.count)](*arrays)
    elif bars.count:
        on_cpu(_bars_cpu, rows.count, bars.count)(*arrays)
    made = (*(values[i] for i in range(7)), count, *(times[i] for i in range(3)))
    return Bars._make(made)
