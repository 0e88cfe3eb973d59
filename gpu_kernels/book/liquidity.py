"""Liquidity near the touch, row by row: the size that rests there, the spread, and the size that has just arrived.

What `book.drought` watches. Each side is measured from its own best price, so that a thin side does not make the other
look thin by moving the mid-price. Books and missing levels: see `book.levels`.

The CPU loop takes a tile of rows level by level, so that memory is read in runs and the inner loops are vector code. A
row whose levels near the touch have the prices of the row before is done by that; the others are done one by one,
out of the cache.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import book_rows, spread_of
from gpu_kernels.dispatch import Array, float_dtype, grid_of, on_cpu
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows

_BPS = 1e4
_TILE = 512
"""Rows of a tile: of all its levels for as long as they fit the second-level cache."""

_OPEN, _HOLE, _BEYOND = 0, 1, 2
"""Of a row of a tile: all levels so far rest near the touch, one was not there, or one lay beyond it."""


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
def _more(held, rested):
    # written so that NaN stays
    return 0.0 if held <= rested else held - rested


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
                arrived += _more(held, rested)
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


@body
def _add_level(price, size, was, rested_then, best, above, is_best, direction, bps, state, strange, depth, arrived):
    """One level of a side added to the sums of a tile, and how many rows may have more near the touch. `strange` tells
    rows for which this is not the formula: `_side` would not compare the level with the same one of the row before."""
    going_on = 0
    for i in range(depth.shape[0]):
        held, here, there, rested = np.float64(size[i]), np.float64(price[i]), np.float64(was[i]), rested_then[i]
        first = np.float64(best[i])
        distance, reach = direction * (here - first), abs(first) * bps / _BPS
        rests = held != 0.0
        beyond = rests & (distance > reach)
        counts = rests & (state[i] != _BEYOND) & (not beyond)
        worse = is_best | (direction * (here - np.float64(above[i])) > 0.0)
        same = (state[i] == _OPEN) & (there == here) & (rested != np.float32(0)) & worse
        strange[i] = 1 if counts & (not same) else strange[i]
        state[i] = _BEYOND if beyond else (state[i] if rests else max(state[i], _HOLE))
        held += 0.0 * distance
        depth[i] += held if counts else 0.0
        arrived[i] += _more(held, np.float64(rested)) if counts else 0.0
        going_on += state[i] != _BEYOND
    return going_on


@body
def _tile_side(price, size, direction, bps, first, last, sums, marks, depths, arrivals):
    """Rows of a segment of which each has one before it."""
    depth, arrived = sums[0, : last - first], sums[1, : last - first]
    state, strange = marks[0, : last - first], marks[1, : last - first]
    depth[:], arrived[:], state[:] = 0.0, 0.0, _OPEN
    for i in range(last - first):
        # a best level that is not there is not what the others are measured from
        strange[i] = size[0, first + i] == np.float32(0)
    for level in range(price.shape[0]):
        going_on = _add_level(
            price[level, first:last],
            size[level, first:last],
            price[level, first - 1 : last - 1],
            size[level, first - 1 : last - 1],
            price[0, first:last],
            price[max(level - 1, 0), first:last],
            level == 0,
            direction,
            bps,
            state,
            strange,
            depth,
            arrived,
        )
        if going_on == 0:
            break
    for i in range(last - first):
        if strange[i] != 0:
            depths[first + i], arrivals[first + i] = _side(price, size, direction, bps, first + i, True)
        else:
            depths[first + i], arrivals[first + i] = depth[i], arrived[i]


@cpu_loop
def _near_touch_cpu(bid, bid_size, ask, ask_size, offsets, tiles, bps, bids, asks, spread, bids_arrived, asks_arrived):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, _TILE)
        sums, marks = np.empty((2, _TILE)), np.empty((2, _TILE), np.int64)
        for row in range(first, last):
            spread[row] = spread_of(bid[0, row], bid_size[0, row], ask[0, row], ask_size[0, row])
        if first == offsets[segment]:
            bids[first], bids_arrived[first] = _side(bid, bid_size, -1.0, bps, first, False)
            asks[first], asks_arrived[first] = _side(ask, ask_size, 1.0, bps, first, False)
            first += 1
        _tile_side(bid, bid_size, -1.0, bps, first, last, sums, marks, bids, bids_arrived)
        _tile_side(ask, ask_size, 1.0, bps, first, last, sums, marks, asks, asks_arrived)


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
        on_cpu(_near_touch_cpu, rows.count)(*books, rows.offsets, rows.tiles(_TILE), float(bps), *outputs)
    return tuple(outputs)  # type: ignore[return-value]
