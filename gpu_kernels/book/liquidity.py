"""Liquidity near the touch, row by row: the size that rests there, the spread, and the size that has just arrived.

What `book.drought` watches. Each side is measured from its own best price, so that a thin side does not make the other
look thin by moving the mid-price. Books and missing levels: see `book.levels`.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import book_rows, spread_of
from gpu_kernels.dispatch import Array, float_dtype, grid_of, on_cpu
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of

_BPS = 1e4


@body
def _came_from_nothing(size, row):
    """1 where a row shows that nothing rests behind its last level, 0 where levels may go on there, NaN where nobody
    knows."""
    unknown, whole = 0.0, True
    for level in range(size.shape[0]):
        unknown += 0.0 * np.float64(size[level, row])
        whole = whole and size[level, row] > np.float32(0)
    return unknown + (0.0 if whole else 1.0)


@body
def _side(price, size, direction, bps, row, has_before):
    """(size within reach of the side's best price, size of it that the row before did not have)."""
    levels = price.shape[0]
    depth, arrived, best, reach, before = 0.0, 0.0, np.nan, 0.0, 0
    for level in range(levels):
        held, here = np.float64(size[level, row]), np.float64(price[level, row])
        if held == 0.0:
            continue
        if math.isnan(best):
            best, reach = here, abs(here) * bps / _BPS
        distance = direction * (here - best)
        if distance > reach:
            break
        # a price of NaN makes the sums NaN as a size does
        held += 0.0 * distance
        depth += held
        if has_before:
            while before < levels and (
                size[before, row - 1] == np.float32(0) or direction * (np.float64(price[before, row - 1]) - here) < 0.0
            ):
                before += 1
            if before < levels:
                there, rested = np.float64(price[before, row - 1]), np.float64(size[before, row - 1])
                rested *= 1.0 if there == here else 0.0 * there
                # written so that NaN stays
                arrived += 0.0 if held <= rested else held - rested
            else:
                arrived += held * _came_from_nothing(size, row - 1)
    return depth, arrived if has_before else np.nan


@body
def _near_touch_row(bid, bid_size, ask, ask_size, offsets, bps, row):
    has_before = offsets[segment_of(offsets, row)] != row
    bids, bids_arrived = _side(bid, bid_size, -1.0, bps, row, has_before)
    asks, asks_arrived = _side(ask, ask_size, 1.0, bps, row, has_before)
    spread = spread_of(bid[0, row], bid_size[0, row], ask[0, row], ask_size[0, row])
    return bids, asks, spread, bids_arrived, asks_arrived


@cpu_loop
def _near_touch_cpu(bid, bid_size, ask, ask_size, offsets, bps, bids, asks, spread, bids_arrived, asks_arrived):
    for row in prange(bids.shape[0]):
        bids[row], asks[row], spread[row], bids_arrived[row], asks_arrived[row] = _near_touch_row(
            bid, bid_size, ask, ask_size, offsets, bps, row
        )


@cuda.jit
def _near_touch_cuda(bid, bid_size, ask, ask_size, offsets, bps, bids, asks, spread, bids_arrived, asks_arrived):
    row = cuda.grid(1)
    if row < bids.shape[0]:
        bids[row], asks[row], spread[row], bids_arrived[row], asks_arrived[row] = _near_touch_row(
            bid, bid_size, ask, ask_size, offsets, bps, row
        )


def near_touch(
    bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, offsets: Array, *, bps: float
) -> tuple[Array, Array, Array, Array, Array]:
    """Size near the touch, the spread, and the size that arrived near the touch since the row before.

    depth = sum of the sizes within `bps` basis points of the side's own best price, the edge included;
    arrived = sum over those levels of max(size - size at the same price on the row before, 0). A level that the row
    before could not show, because it lay behind its last, has not arrived.
    books    (L, n) or (n,) float32, float64 or int64, best level first; offsets (S + 1,); bps above 0
    returns  bid depth, ask depth, spread (in the prices' unit), bid arrived, ask arrived; each (n,)

    Missing values: a side without levels has depth 0, and the spread is NaN. A size or price of NaN near the touch
    makes its side's depth NaN, and arrived on this row or the next; arrived is NaN on a segment's first row.
    Raises: ArgumentError, DeviceError.
    Source: definition; arrived is the replenishment of Large (2007), "Measuring the resiliency of an electronic limit
    order book", as a flow instead of an intensity.
    """
    if isinstance(bps, bool) or not (isinstance(bps, int | float | np.number) and 0 < bps < math.inf):
        raise ArgumentError(f"bps is {bps!r}", allowed="a finite number above 0")
    rows, books = book_rows(offsets, bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    outputs = [rows.empty(rows.count, float_dtype(*books)) for _ in range(5)]
    if rows.count and rows.device:
        _near_touch_cuda[grid_of(rows.count)](*books, rows.offsets, float(bps), *outputs)
    elif rows.count:
        on_cpu(_near_touch_cpu, rows.count)(*books, rows.offsets, float(bps), *outputs)
    return tuple(outputs)  # type: ignore[return-value]
