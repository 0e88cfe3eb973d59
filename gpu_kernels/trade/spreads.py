"""What a trade cost against the quotes around it: effective and realised spread, price impact, and how far large
trades print from the quote."""

import math
from typing import Any

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.rolling import time_sum
from gpu_kernels.segments import segment_of
from gpu_kernels.trade.columns import per_segment, small_column

_GRID = 1048576.0
"""Steps of a basis point to which spreads are rounded, 2**20: sums and differences of them are exact in float64."""


@body
def _mid(bid, ask, at):
    """Mid of the quote at a position; NaN where there is none, or it is crossed or not above 0."""
    if at < 0:
        return np.nan
    low, high = np.float64(bid[at]), np.float64(ask[at])
    return 0.5 * (low + high) if low <= high and low + high > 0.0 else np.nan


@body
def _bps(difference, mid):
    """difference / mid in basis points, on the grid."""
    return math.floor(difference / mid * (10_000.0 * _GRID) + 0.5) / _GRID


@body
def _spread_row(price, side, before, after, bid, ask, is_known, row):
    """(quoted, effective, realised, impact) of one trade."""
    mid = _mid(bid, ask, before[row])
    if math.isnan(mid):
        return np.nan, np.nan, np.nan, np.nan
    at, paid, way = before[row], np.float64(price[row]), np.float64(side[row])
    quoted = _bps(np.float64(ask[at]) - np.float64(bid[at]), mid)
    if way == 0.0 or math.isnan(paid):
        return quoted, np.nan, np.nan, np.nan
    effective = _bps(2.0 * way * (paid - mid), mid)
    later = _mid(bid, ask, after[row]) if is_known else np.nan
    if math.isnan(later):
        return quoted, effective, np.nan, np.nan
    realised = _bps(2.0 * way * (paid - later), mid)
    return quoted, effective, realised, effective - realised


@cpu_loop
def _spreads_cpu(
    time, price, side, before, after, bid, ask, offsets, until, horizon, quoted, effective, realised, impact, known
):
    for segment in prange(offsets.shape[0] - 1):
        for row in range(offsets[segment], offsets[segment + 1]):
            known[row] = time[row] + horizon
            is_known = known[row] <= until[segment]
            quoted[row], effective[row], realised[row], impact[row] = _spread_row(
                price, side, before, after, bid, ask, is_known, row
            )


@cuda.jit
def _spreads_cuda(
    time, price, side, before, after, bid, ask, offsets, until, horizon, quoted, effective, realised, impact, known
):
    row = cuda.grid(1)
    if row < known.shape[0]:
        known[row] = time[row] + horizon
        is_known = known[row] <= until[segment_of(offsets, row)]
        quoted[row], effective[row], realised[row], impact[row] = _spread_row(
            price, side, before, after, bid, ask, is_known, row
        )


@body
def _large_row(price, size, threshold, before, bid, ask, row):
    """(size * deviation from the mid in bps, size) of a large trade; zeros of any other."""
    mid, traded, paid = _mid(bid, ask, before[row]), np.float64(size[row]), np.float64(price[row])
    if traded >= np.float64(threshold[row]) and traded > 0.0 and not (math.isnan(mid) or math.isnan(paid)):
        return traded * ((paid - mid) / mid * 10_000.0), traded
    return 0.0, 0.0


@cpu_loop
def _large_cpu(price, size, threshold, before, bid, ask, weighted, traded):
    for row in prange(traded.shape[0]):
        weighted[row], traded[row] = _large_row(price, size, threshold, before, bid, ask, row)


@cuda.jit
def _large_cuda(price, size, threshold, before, bid, ask, weighted, traded):
    row = cuda.grid(1)
    if row < traded.shape[0]:
        weighted[row], traded[row] = _large_row(price, size, threshold, before, bid, ask, row)


@body
def _ratio(above, below):
    return above / below if below > 0.0 else np.nan


@cpu_loop
def _ratio_cpu(above, below, out):
    for row in prange(out.shape[0]):
        out[row] = _ratio(above[row], below[row])


@cuda.jit
def _ratio_cuda(above, below, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _ratio(above[row], below[row])


@body
def _insert(ordered, count, value):
    place = count
    while place > 0 and ordered[place - 1] > value:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = value


@body
def _remove(ordered, count, value):
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    for place in range(low, count - 1):
        ordered[place] = ordered[place + 1]


@body
def _quantile(ordered, quantile):
    """Linear between the two values around the quantile, as NumPy's default."""
    place = quantile * (ordered.shape[0] - 1)
    low = min(np.int64(math.floor(place)), ordered.shape[0] - 1)
    high = min(low + 1, ordered.shape[0] - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@body
def _threshold_segment(size, start, stop, quantile, recent, ordered, out):
    window, seen = recent.shape[0], 0
    for row in range(start, stop):
        out[row] = _quantile(ordered, quantile) if seen >= window else np.nan
        value = np.float64(size[row])
        if not math.isnan(value):
            slot = seen % window
            if seen >= window:
                _remove(ordered, window, recent[slot])
            recent[slot] = value
            _insert(ordered, min(seen, window - 1), value)
            seen += 1


@cpu_loop
def _threshold_cpu(size, offsets, window, quantile, out):
    for segment in prange(offsets.shape[0] - 1):
        recent, ordered = np.empty(window), np.empty(window)
        _threshold_segment(size, offsets[segment], offsets[segment + 1], quantile, recent, ordered, out)


@cuda.jit
def _threshold_cuda(size, offsets, quantile, scratch, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop = offsets[segment], offsets[segment + 1]
        _threshold_segment(size, start, stop, quantile, scratch[segment, 0], scratch[segment, 1], out)


def spreads(
    time: Array,
    price: Array,
    side: Array,
    offsets: Array,
    quote_time: Array,
    bid_price: Array,
    ask_price: Array,
    quote_offsets: Array,
    until: Any,
    *,
    horizon_ns: int,
    lag_ns: int = 0,
) -> tuple[Array, Array, Array, Array, Array]:
    """Quoted, effective and realised spread and price impact of each trade, in basis points of the mid m before it:

    quoted = (ask - bid) / m;  effective = 2 side (price - m) / m;  realised = 2 side (price - m') / m;
    impact = effective - realised, that is 2 side (m' - m) / m, with m' the mid `horizon_ns` after the trade.
    m is of the last quote with quote_time < time - lag_ns, strictly (see `lee_ready`); m' of the last quote with
    quote_time <= time + horizon_ns. All are rounded to 2**-20 bps, so effective = realised + impact holds exactly
    (where the output is float32, to its rounding).
    time, price   (n,) int64 ns never falling in a segment; float32, float64 or int64 ticks
    side          (n,) int8 or int64, +1 buyer was the aggressor, -1 seller, 0 unknown
    quote_time, bid_price, ask_price   (m,), in the unit of `price`; segment s of the trades looks at segment s
    until         int64 ns: up to when the segment's quotes are known, one number or an array (S,)
    horizon_ns    at least 0; lag_ns at least 0
    returns       quoted, effective, realised, impact (n,), signed; known_time (n,) int64 = time + horizon_ns: a trade's
                  realised spread and impact may not be used before, its quoted and effective spread may at `time`

    Missing values: NaN where no quote came before the trade, or it is crossed, or has a NaN price; effective, realised
    and impact also where the side is 0 or the price NaN; realised and impact also where known_time is after `until`, or
    the later quote is missing.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Huang and Stoll (1996), "Dealer versus auction markets".
    """
    horizon_ns = positive("horizon_ns", horizon_ns, minimum=0, maximum=2**61)
    lag_ns = positive("lag_ns", lag_ns, minimum=0, maximum=2**61)
    rows = Rows(offsets, values={"price": price}, times={"time": time})
    price, time = rows.columns
    side = small_column("side", side, rows)
    quotes = Rows(quote_offsets, values={"bid_price": bid_price, "ask_price": ask_price}, offsets_name="quote_offsets")
    ends = per_segment("until", until, rows, np.int64)
    before = last_index(quote_time, quotes.offsets, time, rows.offsets, lag_ns=lag_ns + 1)
    after = last_index(quote_time, quotes.offsets, time, rows.offsets, lag_ns=-horizon_ns)
    dtype = float_dtype(price, *quotes.columns)
    out = [rows.empty(rows.count, dtype) for _ in range(4)]
    known = rows.empty(rows.count, np.int64)
    arrays = (time, price, side, before, after, *quotes.columns, rows.offsets, ends, horizon_ns, *out, known)
    if rows.count and rows.device:
        _spreads_cuda[grid_of(rows.count)](*arrays)
    elif rows.count:
        on_cpu(_spreads_cpu, rows.count, rows.segments)(*arrays)
    return out[0], out[1], out[2], out[3], known


def size_threshold(size: Array, offsets: Array, window: int, quantile: float) -> Array:
    """What counts as a large trade, from the past alone: the quantile of the `window` sizes before each trade, linear
    between neighbours.

    size      (n,) float32, float64 or int64; offsets (S + 1,)
    window    in trades, at least 1; time grows with it, as the window is kept in order
    quantile  0 to 1
    returns   (n,) in the unit of the sizes

    Missing values: NaN sizes are left out; NaN until `window` sizes of the segment came before.
    Raises: ArgumentError, DeviceError.
    """
    window = positive("window", window)
    if not 0.0 <= quantile <= 1.0:
        raise ArgumentError(f"quantile is {quantile!r}", allowed="0 to 1")
    rows = Rows(offsets, values={"size": size})
    (size,) = rows.columns
    out = rows.empty(rows.count, float_dtype(size))
    if rows.count and rows.device:
        scratch = rows.empty((rows.segments, 2, window), np.float64)
        _threshold_cuda[grid_of(rows.segments)](size, rows.offsets, float(quantile), scratch, out)
    elif rows.count:
        on_cpu(_threshold_cpu, rows.count, rows.segments)(size, rows.offsets, window, float(quantile), out)
    return out


def large_trade_deviation(
    time: Array,
    price: Array,
    size: Array,
    threshold: Array,
    offsets: Array,
    quote_time: Array,
    bid_price: Array,
    ask_price: Array,
    quote_offsets: Array,
    *,
    window_ns: int,
    lag_ns: int = 0,
) -> Array:
    """How far the volume-weighted price of large trades lies from the quotes that they met: the mean of
    (price - m) / m in basis points, weighted by size, over the trades with size >= threshold and a time in
    (t - window_ns, t]; m is the mid of the last quote strictly before each trade (see `spreads`).

    time, price, size   (n,) of trades; the times never fall in a segment
    threshold           (n,) in the unit of `size`, known before each trade: `size_threshold`, or a column of one number
    quote_time, bid_price, ask_price, quote_offsets, lag_ns   as in `spreads`
    returns             (n,) at each trade's time, above 0 where large trades bought; of trades at one time, the last
                        has them all

    Missing values: a trade with a NaN price, size, threshold or quote is not large. NaN where the window holds no large
    trade.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    lag_ns = positive("lag_ns", lag_ns, minimum=0, maximum=2**61)
    table = {"price": price, "size": size, "threshold": threshold}
    rows = Rows(offsets, values=table, times={"time": time})
    quotes = Rows(quote_offsets, values={"bid_price": bid_price, "ask_price": ask_price}, offsets_name="quote_offsets")
    before = last_index(quote_time, quotes.offsets, time, rows.offsets, lag_ns=lag_ns + 1)
    weighted, traded = (rows.empty(rows.count, np.float64) for _ in range(2))
    arrays = (*rows.columns[:3], before, *quotes.columns, weighted, traded)
    if rows.count and rows.device:
        _large_cuda[grid_of(rows.count)](*arrays)
    elif rows.count:
        on_cpu(_large_cpu, rows.count)(*arrays)
    above, below = (time_sum(time, part, offsets, window_ns) for part in (weighted, traded))
    out = rows.empty(rows.count, float_dtype(*rows.columns[:3], *quotes.columns))
    if rows.count and rows.device:
        _ratio_cuda[grid_of(rows.count)](above, below, out)
    elif rows.count:
        on_cpu(_ratio_cpu, rows.count)(above, below, out)
    return out
