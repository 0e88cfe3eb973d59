"""Ten features of a ten-level book in one pass: each of the forty columns is read from memory once.

The CPU loop takes a tile of rows two levels at a time, so that only eight columns and the row sums of the tile are at
work, and each inner loop runs over rows that lie side by side: vector code, out of the cache. Two levels halve the
traffic of the sums; more would need more registers than there are. The row before is carried from row to row, not read
again, and the sums lie on cache lines, since vectors that cross them cost twice.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import (
    best_flow,
    book_rows,
    imbalance_of,
    is_missing,
    level_flow,
    level_weights,
    mean_distance_of,
    mid_of,
    near_and_far,
    pressure_of,
    spread_of,
    weighted_gap_of,
)
from gpu_kernels.dispatch import Array, float_dtype, grid_of, is_on_device, on_cpu, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows

LEVELS = 10
TEN_FEATURES = (
    "spread",
    "weighted_mid_gap",
    "imbalance_1",
    "imbalance_5",
    "imbalance_10",
    "depth",
    "pressure",
    "mean_distance",
    "order_flow_imbalance",
    "weighted_flow",
)
"""What the rows of `ten_features` hold."""

TILE = 4096
"""Rows of a tile: its sums fit the second-level cache, and its runs of memory are long enough to be fetched ahead."""


@body
def _aligned(rows, columns):
    """An uninitialised float64 array that begins on a cache line of 64 bytes, as do its rows of 8 k columns."""
    room = np.empty(rows * columns + 7)
    first = (-(room.ctypes.data >> 3)) & 7
    return room[first : first + rows * columns].reshape(rows, columns)


@body
def _level(bid, bid_size, ask, ask_size, level, first, last):
    return bid[level, first:last], bid_size[level, first:last], ask[level, first:last], ask_size[level, first:last]


@body
def _row(bid, bid_size, ask, ask_size, level, row):
    return bid[level, row], bid_size[level, row], ask[level, row], ask_size[level, row]


@body
def _touch(touch, was, spread, gap, imbalance, mid, best, gone):
    """Features of the best level, and its flow; `gone` is what a row's flow is added to, NaN where the touch is missing
    there or on the row before."""
    bid, bid_size, ask, ask_size = touch
    for i in range(mid.shape[0]):
        now = bid[i], bid_size[i], ask[i], ask_size[i]
        spread[i] = spread_of(*now)
        gap[i] = weighted_gap_of(*now)
        imbalance[i] = imbalance_of(np.float64(now[1]), np.float64(now[3]))
        mid[i] = mid_of(*now)
        best[i] = best_flow(*now, *was)
        gone[i] = np.nan if is_missing(*now) | is_missing(*was) else 0.0
        was = now


@body
def _weighted(now, was, weight, counts):
    # a weight of 0 would not keep an unknown size of a level that has none out of the sum
    return weight * np.float64(level_flow(*now, *was)) if counts else 0.0


@body
def _add_two(upper, upper_was, lower, lower_was, weights, counts, mid, bids, asks, difference, total, weighted, flow):
    """Two levels added to the sums of a tile, the upper one first; `was` is the row before the tile."""
    bid, bid_size, ask, ask_size = upper
    lower_bid, lower_bid_size, lower_ask, lower_ask_size = lower
    for i in range(mid.shape[0]):
        now = bid[i], bid_size[i], ask[i], ask_size[i]
        then = lower_bid[i], lower_bid_size[i], lower_ask[i], lower_ask_size[i]
        near, both, far = near_and_far(*now, mid[i])
        lower_near, lower_both, lower_far = near_and_far(*then, mid[i])
        bids[i] = bids[i] + np.float64(now[1]) + np.float64(then[1])
        asks[i] = asks[i] + np.float64(now[3]) + np.float64(then[3])
        difference[i] = difference[i] + near + lower_near
        total[i] = total[i] + both + lower_both
        weighted[i] = weighted[i] + far + lower_far
        change = _weighted(now, upper_was, weights[0], counts[0])
        flow[i] = flow[i] + change + _weighted(then, lower_was, weights[1], counts[1])
        upper_was, lower_was = now, then


@body
def _five_levels(bids, asks, bid_size, ask_size, out):
    """Imbalance of the sums and one level more."""
    for i in range(out.shape[0]):
        out[i] = imbalance_of(bids[i] + np.float64(bid_size[i]), asks[i] + np.float64(ask_size[i]))


@body
def _shapes(bids, asks, difference, total, weighted, flow, gone, spread, imbalance, depth, pressure, distance, flows):
    for i in range(depth.shape[0]):
        imbalance[i] = imbalance_of(bids[i], asks[i])
        depth[i] = bids[i] + asks[i]
        pressure[i] = pressure_of(spread[i], difference[i], total[i])
        distance[i] = mean_distance_of(spread[i], weighted[i], bids[i] + asks[i])
        flows[i] = gone[i] + flow[i]


@body
def _tile(books, weights, weighted_levels, segment_start, first, last, out):
    rows = last - first
    sums = _aligned(8, TILE)
    sums[:6] = 0.0
    bids, asks, difference, total = sums[0, :rows], sums[1, :rows], sums[2, :rows], sums[3, :rows]
    weighted, flow, mid, gone = sums[4, :rows], sums[5, :rows], sums[6, :rows], sums[7, :rows]
    # a first row is compared with itself, which is no change of the touch
    before = max(first - 1, segment_start)
    spread = out[0, first:last]
    touch, was = _level(*books, 0, first, last), _row(*books, 0, before)
    _touch(touch, was, spread, out[1, first:last], out[2, first:last], mid, out[8, first:last], gone)
    for level in range(0, LEVELS, 2):
        upper, lower = _level(*books, level, first, last), _level(*books, level + 1, first, last)
        if level == 4:
            _five_levels(bids, asks, upper[1], upper[3], out[3, first:last])
        _add_two(
            upper,
            _row(*books, level, before),
            lower,
            _row(*books, level + 1, before),
            (weights[level], weights[level + 1]),
            (level < weighted_levels, level + 1 < weighted_levels),
            mid,
            bids,
            asks,
            difference,
            total,
            weighted,
            flow,
        )
    if first == segment_start:
        flow[0] = 0.0
    _shapes(
        bids,
        asks,
        difference,
        total,
        weighted,
        flow,
        gone,
        spread,
        out[4, first:last],
        out[5, first:last],
        out[6, first:last],
        out[7, first:last],
        out[9, first:last],
    )


@cpu_loop
def _ten_cpu(bid, bid_size, ask, ask_size, weights, weighted_levels, offsets, tiles, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, TILE)
        _tile((bid, bid_size, ask, ask_size), weights, weighted_levels, offsets[segment], first, last, out)


@cuda.jit
def _ten_cuda(bid, bid_size, ask, ask_size, weights, offsets, out):
    row = cuda.grid(1)
    if row < out.shape[1]:
        best = bid[0, row], bid_size[0, row], ask[0, row], ask_size[0, row]
        spread, mid = spread_of(*best), mid_of(*best)
        is_first = offsets[segment_of(offsets, row)] == row
        before = row if is_first else row - 1
        bids, asks, difference, total, weighted, flow = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for level in range(LEVELS):
            here = bid[level, row], bid_size[level, row], ask[level, row], ask_size[level, row]
            near_difference, near_total, far = near_and_far(*here, mid)
            bids += np.float64(here[1])
            asks += np.float64(here[3])
            difference += near_difference
            total += near_total
            weighted += far
            if level == 4:
                out[3, row] = imbalance_of(bids, asks)
            if level < weights.shape[0] and not is_first:
                change = level_flow(
                    *here, bid[level, before], bid_size[level, before], ask[level, before], ask_size[level, before]
                )
                flow += weights[level] * np.float64(change)
        out[0, row], out[1, row] = spread, weighted_gap_of(*best)
        out[2, row], out[4, row] = imbalance_of(np.float64(best[1]), np.float64(best[3])), imbalance_of(bids, asks)
        out[5, row] = bids + asks
        out[6, row], out[7, row] = (
            pressure_of(spread, difference, total),
            mean_distance_of(spread, weighted, bids + asks),
        )
        # the touch of a first row is compared with itself, which is no change; an unknown deeper size would be one
        was = bid[0, before], bid_size[0, before], ask[0, before], ask_size[0, before]
        out[8, row] = best_flow(*best, *was)
        out[9, row] = np.nan if is_missing(*best) or is_missing(*was) else flow


def ten_features(
    bid_price: Array,
    bid_size: Array,
    ask_price: Array,
    ask_size: Array,
    offsets: Array,
    *,
    weights: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Ten features of the best ten levels, in the order of `TEN_FEATURES`, bit for bit as the single functions give
    them where the four books have one dtype.

    spread, weighted mid minus mid (`state.touch`); imbalance of 1, 5 and 10 levels (`best.imbalance`); depth, pressure
    and mean distance (`state.shape` of ten levels); order-flow imbalance (`best.order_flow_imbalance`) and the weighted
    one of the levels (`flow.weighted_flow`).
    books    (L, n), L at least 10, float32, float64 or int64; offsets (S + 1,)
    weights  (k,) in host memory, k at most 10, of the levels' flows; a tenth each if not given
    out      (10, n) of the type returned, to be written again and again without asking the system for memory
    returns  (10, n), float32 where all books are, else float64

    Missing values: as the single functions.
    Raises: ArgumentError, DeviceError.
    Source: as the single functions.
    """
    rows, books = book_rows(offsets, bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    if int(books[0].shape[0]) < LEVELS:
        raise ArgumentError(f"books of {books[0].shape[0]} levels", allowed=f"{LEVELS} levels or more")
    weights = level_weights(np.full(LEVELS, 1 / LEVELS) if weights is None else weights, LEVELS)
    dtype, shape = float_dtype(*books), (len(TEN_FEATURES), rows.count)
    if out is None:
        out = rows.empty(shape, dtype)
    elif out.dtype != dtype or tuple(out.shape) != shape or is_on_device(out) != rows.device:
        raise ArgumentError(
            f"out is {out.dtype} {tuple(out.shape)}", allowed=f"{dtype} {shape} on the side of the books"
        )
    if rows.count and rows.device:
        _ten_cuda[grid_of(rows.count)](*books, to_side(weights, like=books[0]), rows.offsets, out)
    elif rows.count:
        every = np.zeros(LEVELS)
        every[: len(weights)] = weights
        on_cpu(_ten_cpu, rows.count)(*books, every, len(weights), rows.offsets, rows.tiles(TILE), out)
    return out
