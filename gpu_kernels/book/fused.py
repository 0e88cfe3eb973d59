"""Ten features of a ten-level book in one pass: each of the forty columns is read from memory once.

The CPU loop takes a tile of rows level by level, so that only the four columns of a level and the row sums of the tile
are at work at a time, and each inner loop runs over rows that lie side by side: vector code, out of the cache.
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

TILE = 1024
"""Rows of a tile: its sums and a level's columns fit the second-level cache, its runs of memory are long enough to be
fetched ahead."""


@body
def _add_shape(bid, bid_size, ask, ask_size, mid, bids, asks, difference, total, weighted):
    for i in range(mid.shape[0]):
        near_difference, near_total, far = near_and_far(bid[i], bid_size[i], ask[i], ask_size[i], mid[i])
        bids[i] += np.float64(bid_size[i])
        asks[i] += np.float64(ask_size[i])
        difference[i] += near_difference
        total[i] += near_total
        weighted[i] += far


@body
def _add_flow(bid, bid_size, ask, ask_size, bid_before, bid_size_before, ask_before, ask_size_before, weight, flow):
    for i in range(flow.shape[0]):
        change = level_flow(
            bid[i],
            bid_size[i],
            ask[i],
            ask_size[i],
            bid_before[i],
            bid_size_before[i],
            ask_before[i],
            ask_size_before[i],
        )
        flow[i] += weight * np.float64(change)


@body
def _best_flows(
    bid, bid_size, ask, ask_size, bid_before, bid_size_before, ask_before, ask_size_before, best, weighted, flow
):
    """Flow of the best level, and that of all levels where the best is there."""
    for i in range(best.shape[0]):
        best[i] = best_flow(
            bid[i],
            bid_size[i],
            ask[i],
            ask_size[i],
            bid_before[i],
            bid_size_before[i],
            ask_before[i],
            ask_size_before[i],
        )
        missing = is_missing(bid[i], bid_size[i], ask[i], ask_size[i]) | is_missing(
            bid_before[i], bid_size_before[i], ask_before[i], ask_size_before[i]
        )
        weighted[i] = np.nan if missing else flow[i]


@body
def _state(bid, bid_size, ask, ask_size, spread, gap, imbalance, mid):
    for i in range(mid.shape[0]):
        spread[i] = spread_of(bid[i], bid_size[i], ask[i], ask_size[i])
        gap[i] = weighted_gap_of(bid[i], bid_size[i], ask[i], ask_size[i])
        imbalance[i] = imbalance_of(np.float64(bid_size[i]), np.float64(ask_size[i]))
        mid[i] = mid_of(bid[i], bid_size[i], ask[i], ask_size[i])


@body
def _imbalances(bids, asks, out):
    for i in range(out.shape[0]):
        out[i] = imbalance_of(bids[i], asks[i])


@body
def _shapes(bids, asks, difference, total, weighted, spread, depth, pressure, distance):
    for i in range(depth.shape[0]):
        depth[i] = bids[i] + asks[i]
        pressure[i] = pressure_of(spread[i], difference[i], total[i])
        distance[i] = mean_distance_of(spread[i], weighted[i], bids[i] + asks[i])


@body
def _tile_state(bid, bid_size, ask, ask_size, first, last, out):
    sums = np.zeros((6, last - first))
    mid, bids, asks, difference, total, weighted = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    spread = out[0, first:last]
    _state(
        bid[0, first:last],
        bid_size[0, first:last],
        ask[0, first:last],
        ask_size[0, first:last],
        spread,
        out[1, first:last],
        out[2, first:last],
        mid,
    )
    for level in range(LEVELS):
        _add_shape(
            bid[level, first:last],
            bid_size[level, first:last],
            ask[level, first:last],
            ask_size[level, first:last],
            mid,
            bids,
            asks,
            difference,
            total,
            weighted,
        )
        if level == 4:
            _imbalances(bids, asks, out[3, first:last])
    _imbalances(bids, asks, out[4, first:last])
    _shapes(
        bids,
        asks,
        difference,
        total,
        weighted,
        spread,
        out[5, first:last],
        out[6, first:last],
        out[7, first:last],
    )


@body
def _tile_flow(bid, bid_size, ask, ask_size, weights, segment_start, first, last, out):
    if first == segment_start:
        out[8, first] = (
            np.nan if is_missing(bid[0, first], bid_size[0, first], ask[0, first], ask_size[0, first]) else 0.0
        )
        out[9, first] = out[8, first]
        first += 1
    flow = np.zeros(last - first)
    for level in range(weights.shape[0]):
        _add_flow(
            bid[level, first:last],
            bid_size[level, first:last],
            ask[level, first:last],
            ask_size[level, first:last],
            bid[level, first - 1 : last - 1],
            bid_size[level, first - 1 : last - 1],
            ask[level, first - 1 : last - 1],
            ask_size[level, first - 1 : last - 1],
            weights[level],
            flow,
        )
    _best_flows(
        bid[0, first:last],
        bid_size[0, first:last],
        ask[0, first:last],
        ask_size[0, first:last],
        bid[0, first - 1 : last - 1],
        bid_size[0, first - 1 : last - 1],
        ask[0, first - 1 : last - 1],
        ask_size[0, first - 1 : last - 1],
        out[8, first:last],
        out[9, first:last],
        flow,
    )


@cpu_loop
def _ten_cpu(bid, bid_size, ask, ask_size, weights, offsets, tiles, tile, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        _tile_state(bid, bid_size, ask, ask_size, first, last, out)
        _tile_flow(bid, bid_size, ask, ask_size, weights, offsets[segment], first, last, out)


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
    weights = to_side(weights, like=books[0])
    if rows.count and rows.device:
        _ten_cuda[grid_of(rows.count)](*books, weights, rows.offsets, out)
    elif rows.count:
        on_cpu(_ten_cpu, rows.count)(*books, weights, rows.offsets, rows.tiles(TILE), TILE, out)
    return out
