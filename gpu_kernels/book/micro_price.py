"""Stoikov's micro-price, applied: mid-price plus the adjustment that a fitted model gives to the state of the touch.

The model is fitted on past rows by `book.micro_price_fit`; here is only the look-up.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import imbalance_of, level_major, mid_of, spread_of
from gpu_kernels.dispatch import Array, empty, float_dtype, grid_of, on_cpu, to_side
from gpu_kernels.errors import ArgumentError


@body
def state_of(bid, bid_size, ask, ask_size, tick, spreads, buckets):
    """(row, column) of the adjustment: spread in ticks less 1, wider ones in the last row; bucket of the imbalance.
    (-1, -1) where the touch is missing, locked or crossed.

    Rounding to the nearest bucket, ties to even, is an odd function: a book and its mirror image get mirrored buckets.
    """
    wide = np.float64(spread_of(bid, bid_size, ask, ask_size)) / tick
    if not wide > 0.5:
        return -1, -1
    half = buckets // 2
    lean = imbalance_of(np.float64(bid_size), np.float64(ask_size)) * (0.5 * buckets)
    bucket = half + min(max(round(lean), -half), half)
    return min(round(wide), spreads) - 1, bucket


@body
def _micro_price(bid, bid_size, ask, ask_size, adjustment, tick):
    row, bucket = state_of(bid, bid_size, ask, ask_size, tick, adjustment.shape[0], adjustment.shape[1])
    return np.nan if row < 0 else mid_of(bid, bid_size, ask, ask_size) + tick * adjustment[row, bucket]


@cpu_loop
def _micro_price_cpu(bid, bid_size, ask, ask_size, adjustment, tick, out):
    for row in prange(out.shape[0]):
        out[row] = _micro_price(bid[row], bid_size[row], ask[row], ask_size[row], adjustment, tick)


@cuda.jit
def _micro_price_cuda(bid, bid_size, ask, ask_size, adjustment, tick, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _micro_price(bid[row], bid_size[row], ask[row], ask_size[row], adjustment, tick)


def micro_price(
    bid_price: Array,
    bid_size: Array,
    ask_price: Array,
    ask_size: Array,
    *,
    adjustment: Array,
    tick: float = 1.0,
) -> Array:
    """Micro-price: where the mid-price is expected to settle, given the spread and the imbalance of the touch.

    mid + tick x adjustment[min(spread in ticks, rows) - 1, bucket], the bucket being the nearest of an odd number over
    the imbalance (bid_size - ask_size) / (bid_size + ask_size).
    books       (L, n) or (n,) float32, float64 or int64; only level 0 is read
    adjustment  (spreads, buckets) in host memory, in ticks: `micro_price_fit.MicroPrice.adjustment`
    tick        the price step in the unit of the prices; 1 for prices in ticks
    returns     (n,) in the unit of the prices

    Missing values: NaN where a side is missing, the book is locked or crossed, or the fit had not seen the state.
    Raises: ArgumentError, DeviceError.
    Source: Stoikov (2018), "The micro-price: a high-frequency estimator of future prices".
    """
    device, books = level_major(bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    adjustment = np.array(adjustment, np.float64)
    if adjustment.ndim != 2 or adjustment.shape[0] < 1 or adjustment.shape[1] % 2 != 1:
        raise ArgumentError(f"adjustment has shape {adjustment.shape}", allowed="(spreads, an odd number of buckets)")
    if not 0 < tick < np.inf:
        raise ArgumentError(f"tick is {tick!r}", allowed="a finite number above 0")
    best, rows = [book[0] for book in books], int(books[0].shape[1])
    out = empty(rows, float_dtype(*books), like=books[0])
    adjustment = to_side(adjustment, like=books[0])
    if rows and device:
        _micro_price_cuda[grid_of(rows)](*best, adjustment, float(tick), out)
    elif rows:
        on_cpu(_micro_price_cpu, rows)(*best, adjustment, float(tick), out)
    return out
