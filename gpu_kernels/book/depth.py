"""What a trade would meet: depth near the mid-price, the slope of the book, the cost of taking a given size.

Books and missing levels: see `book.levels`. Sizes below are those shown: where the book goes on behind its last level,
depth is a lower bound, and a cost that the shown levels cannot meet is NaN.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import level_major, mid_of
from gpu_kernels.dispatch import Array, empty, float_dtype, grid_of, on_cpu
from gpu_kernels.errors import ArgumentError

_BPS = 1e4


@body
def _row_mid(bid, bid_size, ask, ask_size, row):
    return mid_of(bid[0, row], bid_size[0, row], ask[0, row], ask_size[0, row])


@body
def _within(price, size, mid, direction, reach, row):
    """Size of one side within `reach` of the mid; `direction` is +1 above it, -1 below."""
    total = 0.0
    for level in range(price.shape[0]):
        held = np.float64(size[level, row])
        # a price of NaN with a size makes the sum NaN, by both comparisons being false
        distance = 0.0 if held == 0.0 else direction * (np.float64(price[level, row]) - mid)
        total += 0.0 if distance > reach else (held if distance <= reach else np.nan)
    return total


@body
def _within_row(bid, bid_size, ask, ask_size, bps, row):
    mid = _row_mid(bid, bid_size, ask, ask_size, row)
    reach = abs(mid) * bps / _BPS
    return _within(bid, bid_size, mid, -1.0, reach, row), _within(ask, ask_size, mid, 1.0, reach, row)


@cpu_loop
def _within_cpu(bid, bid_size, ask, ask_size, bps, bids, asks):
    for row in prange(bids.shape[0]):
        bids[row], asks[row] = _within_row(bid, bid_size, ask, ask_size, bps, row)


@cuda.jit
def _within_cuda(bid, bid_size, ask, ask_size, bps, bids, asks):
    row = cuda.grid(1)
    if row < bids.shape[0]:
        bids[row], asks[row] = _within_row(bid, bid_size, ask, ask_size, bps, row)


@body
def _side_slope(price, size, mid, lot, row):
    """Mean elasticity of one side's depth to its price, over the levels that hold something."""
    total, count = 0.0, 0
    depth, log_before, price_before = 0.0, 0.0, mid
    for level in range(price.shape[0]):
        held, here = np.float64(size[level, row]), np.float64(price[level, row])
        if held != 0.0:
            depth += held
            log_depth = math.log(depth / lot) if depth > lot else np.nan
            growth = log_depth if count == 0 else log_depth / log_before - 1.0
            total += growth / abs(here / price_before - 1.0)
            log_before, price_before = log_depth, here
            count += 1
    return total / count if count > 0 else np.nan


@body
def _slope_row(bid, bid_size, ask, ask_size, lot, row):
    mid = _row_mid(bid, bid_size, ask, ask_size, row)
    # beyond a locked or crossed touch, no distance means anything
    if not ask[0, row] > bid[0, row]:
        return np.nan
    return 0.5 * (_side_slope(bid, bid_size, mid, lot, row) + _side_slope(ask, ask_size, mid, lot, row))


@cpu_loop
def _slope_cpu(bid, bid_size, ask, ask_size, lot, out):
    for row in prange(out.shape[0]):
        out[row] = _slope_row(bid, bid_size, ask, ask_size, lot, row)


@cuda.jit
def _slope_cuda(bid, bid_size, ask, ask_size, lot, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _slope_row(bid, bid_size, ask, ask_size, lot, row)


@body
def _cost(price, size, mid, direction, wanted, row):
    """Mean distance from the mid, in basis points, at which a side sells or buys `wanted`."""
    left, paid = wanted, 0.0
    for level in range(price.shape[0]):
        held = np.float64(size[level, row])
        # a NaN size is taken too, and makes the rest NaN
        if left > 0.0 and held != 0.0:
            taken = left if held > left else held
            paid += taken * direction * (np.float64(price[level, row]) - mid)
            left -= taken
    return paid / wanted / abs(mid) * _BPS if left <= 0.0 else np.nan


@body
def _cost_row(bid, bid_size, ask, ask_size, wanted, row):
    mid = _row_mid(bid, bid_size, ask, ask_size, row)
    return _cost(ask, ask_size, mid, 1.0, wanted, row), _cost(bid, bid_size, mid, -1.0, wanted, row)


@cpu_loop
def _cost_cpu(bid, bid_size, ask, ask_size, wanted, buys, sells):
    for row in prange(buys.shape[0]):
        buys[row], sells[row] = _cost_row(bid, bid_size, ask, ask_size, wanted, row)


@cuda.jit
def _cost_cuda(bid, bid_size, ask, ask_size, wanted, buys, sells):
    row = cuda.grid(1)
    if row < buys.shape[0]:
        buys[row], sells[row] = _cost_row(bid, bid_size, ask, ask_size, wanted, row)


def _above_zero(name: str, value: float) -> float:
    if isinstance(value, bool) or not (isinstance(value, int | float | np.number) and 0 < value < math.inf):
        raise ArgumentError(f"{name} is {value!r}", allowed="a finite number above 0")
    return float(value)


def depth_within(
    bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, *, bps: float
) -> tuple[Array, Array]:
    """Size of the bids and of the asks whose price is within `bps` basis points of the mid-price, its edge included.

    all      (L, n) or (n,) float32, float64 or int64; bps above 0
    returns  bids (n,), asks (n,), in the unit of the sizes; compared and summed in float64

    Missing values: NaN where a side is missing, or a level that may count has a NaN size or price.
    Raises: ArgumentError, DeviceError.
    Source: definition.
    """
    device, books = level_major(bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    bps, rows = _above_zero("bps", bps), int(books[0].shape[1])
    bids, asks = (empty(rows, float_dtype(*books), like=books[0]) for _ in range(2))
    if rows and device:
        _within_cuda[grid_of(rows)](*books, bps, bids, asks)
    elif rows:
        on_cpu(_within_cpu, rows)(*books, bps, bids, asks)
    return bids, asks


def slope(bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, *, lot: float = 1.0) -> Array:
    """Slope of the order book: how much depth grows, relatively, with the relative distance from the mid-price.

    slope = (bid side + ask side) / 2; a side's is the mean over its N levels of v_1 / |p_1 / mid - 1| and
    (v_k / v_(k-1) - 1) / |p_k / p_(k-1) - 1|, with p_k the price and v_k = log(accumulated size / lot) of level k.
    all      (L, n) or (n,) float32, float64 or int64; levels that hold nothing are not counted
    lot      the unit in which sizes are counted: the published one is a share. More than one of it must rest at the
             touch for the logarithm to mean anything.
    returns  (n,), pure numbers; large where the book is deep close to the mid

    Missing values: NaN where a side is missing, its best size is at most `lot`, a size or its price is NaN, or the book
    is locked or crossed.
    Raises: ArgumentError, DeviceError.
    Source: Naes and Skjeltorp (2006), "Order book characteristics and the volume-volatility relation".
    """
    device, books = level_major(bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    lot, rows = _above_zero("lot", lot), int(books[0].shape[1])
    out = empty(rows, float_dtype(*books), like=books[0])
    if rows and device:
        _slope_cuda[grid_of(rows)](*books, lot, out)
    elif rows:
        on_cpu(_slope_cpu, rows)(*books, lot, out)
    return out


def cost_to_trade(
    bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, *, size: float
) -> tuple[Array, Array]:
    """Cost of buying and of selling `size` at once: volume-weighted price of the levels taken, against the mid-price.

    buy = (mean price of the asks taken - mid) / mid, sell = (mid - mean price of the bids taken) / mid, in basis
    points.
    all      (L, n) or (n,) float32, float64 or int64; size above 0, in the unit of the sizes
    returns  buy (n,), sell (n,) in basis points; at least half the spread

    Missing values: NaN where the shown book holds less than `size`, a side is missing, or a level that is taken has a
    NaN size or price.
    Raises: ArgumentError, DeviceError.
    Source: Irvine, Benston and Kandel (2000), "Liquidity beyond the inside spread" (cost of round trip).
    """
    device, books = level_major(bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    size, rows = _above_zero("size", size), int(books[0].shape[1])
    buys, sells = (empty(rows, float_dtype(*books), like=books[0]) for _ in range(2))
    if rows and device:
        _cost_cuda[grid_of(rows)](*books, size, buys, sells)
    elif rows:
        on_cpu(_cost_cpu, rows)(*books, size, buys, sells)
    return buys, sells
