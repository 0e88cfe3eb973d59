"""Which side began a trade, where the feed does not say: by the quote before it, else by the price before it."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, positive
from gpu_kernels.trade.columns import small_column

FEED, QUOTE_RULE, TICK_RULE, UNKNOWN = 0, 1, 2, 3
RULES = ("feed", "quote rule", "tick rule", "unknown")
"""Names of the codes that `lee_ready` gives beside each side."""


@body
def _tick_step(before, direction, price):
    """(price to compare the next trade with, side of the last change of price) after a trade at `price`."""
    if math.isnan(price):
        return before, direction
    if price > before:
        return price, np.int8(1)
    if price < before:
        return price, np.int8(-1)
    return price, direction


@body
def _quote_side(price, bid, ask):
    """Side by the quote: +1 above its mid, -1 below; 0 at the mid and where there is no quote, or a crossed one."""
    if not bid <= ask:
        return np.int8(0)
    # twice the price against the sum: int64 ticks compare exactly
    twice, total = price + price, bid + ask
    return np.int8(1) if twice > total else np.int8(-1) if twice < total else np.int8(0)


@body
def _tick_segment(price, start, stop, out):
    before, direction = np.nan, np.int8(0)
    for row in range(start, stop):
        value = np.float64(price[row])
        before, direction = _tick_step(before, direction, value)
        out[row] = np.int8(0) if math.isnan(value) else direction


@body
def _lee_ready_step(told, tick_side, quote_side):
    """(side, rule) of one trade: the feed, else the quote, else the tick."""
    if told != 0:
        return np.int8(told), np.int8(FEED)
    if quote_side != 0:
        return quote_side, np.int8(QUOTE_RULE)
    return tick_side, np.int8(TICK_RULE) if tick_side != 0 else np.int8(UNKNOWN)


@body
def _lee_ready_row(price, told, tick_side, quote, bid, ask, row):
    at = quote[row]
    by_quote = _quote_side(np.float64(price[row]), np.float64(bid[at]), np.float64(ask[at])) if at >= 0 else np.int8(0)
    return _lee_ready_step(told[row], tick_side[row], by_quote)


@cpu_loop
def _tick_cpu(price, offsets, out):
    for segment in prange(offsets.shape[0] - 1):
        _tick_segment(price, offsets[segment], offsets[segment + 1], out)


@cpu_loop
def _lee_ready_cpu(price, told, tick_side, quote, bid, ask, side, rule):
    for row in prange(side.shape[0]):
        side[row], rule[row] = _lee_ready_row(price, told, tick_side, quote, bid, ask, row)


@cuda.jit
def _tick_cuda(price, offsets, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _tick_segment(price, offsets[segment], offsets[segment + 1], out)


@cuda.jit
def _lee_ready_cuda(price, told, tick_side, quote, bid, ask, side, rule):
    row = cuda.grid(1)
    if row < side.shape[0]:
        side[row], rule[row] = _lee_ready_row(price, told, tick_side, quote, bid, ask, row)


def tick_rule(price: Array, offsets: Array) -> Array:
    """Side by the tick rule: +1 where the last change of price in the segment was up, -1 where it was down.

    price    (n,) float32, float64 or int64 ticks, of trades in their order; offsets (S + 1,)
    returns  (n,) int8; 0 before the segment's first change of price

    Missing values: a NaN price gives 0 and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Lee and Ready (1991), "Inferring trade direction from intraday data".
    """
    rows = Rows(offsets, values={"price": price})
    out = rows.empty(rows.count, np.int8)
    if rows.count and rows.device:
        _tick_cuda[grid_of(rows.segments)](rows.columns[0], rows.offsets, out)
    elif rows.count:
        on_cpu(_tick_cpu, rows.count, rows.segments)(rows.columns[0], rows.offsets, out)
    return out


def lee_ready(
    time: Array,
    price: Array,
    side: Array,
    offsets: Array,
    quote_time: Array,
    bid_price: Array,
    ask_price: Array,
    quote_offsets: Array,
    *,
    lag_ns: int = 0,
) -> tuple[Array, Array]:
    """The aggressor's side of each trade and the rule that told it: the feed's own side where it has one; else, above
    the mid of the prevailing quote a buy and below it a sell; at the mid, or without a quote, the tick rule.

    The prevailing quote is the segment's last with quote_time < time - lag_ns, strictly: a quote stamped with the
    trade's own time may already show what the trade left. Lee and Ready took a lag of 5 s for the quotes of their time;
    0 is right where trades and quotes come from one clock. Without quotes, pass empty arrays and zero offsets. Pass
    int64 ticks where trades print at the mid: decimal prices as floats miss it by a rounding.
    time, price    (n,) int64 ns never falling in a segment; float32, float64 or int64 ticks
    side           (n,) int8 or int64, +1, -1, or 0 where the feed does not tell
    quote_time, bid_price, ask_price   (m,), prices in the unit of `price`; segment s of the trades looks at segment s
    returns        side (n,) int8, +1, -1 or 0; rule (n,) int8, an index of `RULES`

    Missing values: a quote with a NaN price, or crossed, is no quote, and does not bring back the one before it. Side 0
    and rule 3 where no rule tells, as at a NaN price.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Lee and Ready (1991), "Inferring trade direction from intraday data".
    """
    lag_ns = positive("lag_ns", lag_ns, minimum=0, maximum=2**61)
    rows = Rows(offsets, values={"price": price}, times={"time": time})
    told = small_column("side", side, rows)
    quotes = Rows(quote_offsets, values={"bid_price": bid_price, "ask_price": ask_price}, offsets_name="quote_offsets")
    quote = last_index(quote_time, quotes.offsets, time, rows.offsets, lag_ns=lag_ns + 1)
    tick_side = tick_rule(price, offsets)
    out, rule = rows.empty(rows.count, np.int8), rows.empty(rows.count, np.int8)
    arrays = (rows.columns[0], told, tick_side, quote, *quotes.columns, out, rule)
    if rows.count and rows.device:
        _lee_ready_cuda[grid_of(rows.count)](*arrays)
    elif rows.count:
        on_cpu(_lee_ready_cpu, rows.count)(*arrays)
    return out, rule
