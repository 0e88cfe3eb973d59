"""The state of a shown book at each row: its touch, and how its sizes lie around the mid-price.

Books, missing levels and the shared formulas: see `book.levels`. Imbalance and the weighted mid are in `book.best`,
all of it in one pass in `book.fused`.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import (
    imbalance_of,
    level_major,
    level_weights,
    mean_distance_of,
    mid_of,
    near_and_far,
    pressure_of,
    spread_of,
    weighted_gap_of,
)
from gpu_kernels.dispatch import Array, empty, float_dtype, grid_of, on_cpu, to_side
from gpu_kernels.errors import ArgumentError


@cpu_loop
def _touch_cpu(bid, bid_size, ask, ask_size, spreads, mids, gaps):
    for row in prange(spreads.shape[0]):
        spreads[row] = spread_of(bid[row], bid_size[row], ask[row], ask_size[row])
        mids[row] = mid_of(bid[row], bid_size[row], ask[row], ask_size[row])
        gaps[row] = weighted_gap_of(bid[row], bid_size[row], ask[row], ask_size[row])


@cuda.jit
def _touch_cuda(bid, bid_size, ask, ask_size, spreads, mids, gaps):
    row = cuda.grid(1)
    if row < spreads.shape[0]:
        spreads[row] = spread_of(bid[row], bid_size[row], ask[row], ask_size[row])
        mids[row] = mid_of(bid[row], bid_size[row], ask[row], ask_size[row])
        gaps[row] = weighted_gap_of(bid[row], bid_size[row], ask[row], ask_size[row])


@body
def shape_sums(bid, bid_size, ask, ask_size, mid, row):
    """Of all levels of a row: size of the bids and of the asks, and the sums of `near_and_far`."""
    bids, asks, difference, total, weighted = 0.0, 0.0, 0.0, 0.0, 0.0
    for level in range(bid.shape[0]):
        near_difference, near_total, far = near_and_far(
            bid[level, row], bid_size[level, row], ask[level, row], ask_size[level, row], mid
        )
        bids += np.float64(bid_size[level, row])
        asks += np.float64(ask_size[level, row])
        difference += near_difference
        total += near_total
        weighted += far
    return bids, asks, difference, total, weighted


@body
def _shape_row(bid, bid_size, ask, ask_size, row):
    touch = bid[0, row], bid_size[0, row], ask[0, row], ask_size[0, row]
    mid, spread = mid_of(*touch), spread_of(*touch)
    bids, asks, difference, total, weighted = shape_sums(bid, bid_size, ask, ask_size, mid, row)
    return bids + asks, pressure_of(spread, difference, total), mean_distance_of(spread, weighted, bids + asks)


@cpu_loop
def _shape_cpu(bid, bid_size, ask, ask_size, depths, pressures, distances):
    for row in prange(depths.shape[0]):
        depths[row], pressures[row], distances[row] = _shape_row(bid, bid_size, ask, ask_size, row)


@cuda.jit
def _shape_cuda(bid, bid_size, ask, ask_size, depths, pressures, distances):
    row = cuda.grid(1)
    if row < depths.shape[0]:
        depths[row], pressures[row], distances[row] = _shape_row(bid, bid_size, ask, ask_size, row)


@body
def _weighted_depth(size, weights, row):
    total = 0.0
    for level in range(weights.shape[0]):
        total += weights[level] * np.float64(size[level, row])
    return total


@cpu_loop
def _weighted_imbalance_cpu(bid_size, ask_size, weights, out):
    for row in prange(out.shape[0]):
        out[row] = imbalance_of(_weighted_depth(bid_size, weights, row), _weighted_depth(ask_size, weights, row))


@cuda.jit
def _weighted_imbalance_cuda(bid_size, ask_size, weights, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = imbalance_of(_weighted_depth(bid_size, weights, row), _weighted_depth(ask_size, weights, row))


def touch(bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array) -> tuple[Array, Array, Array]:
    """Spread, mid-price, and weighted mid minus mid, of the best level.

    spread = ask - bid; mid = (bid + ask) / 2; gap = spread (bid_size / (bid_size + ask_size) - 1/2). The gap is not
    taken as a difference of two prices, which in float32 would leave few digits of it.
    all      (L, n) or (n,) float32, float64 or int64; only level 0 is read
    returns  three times (n,) in the unit of the prices

    Missing values: NaN where a side is missing or a price is NaN.
    Raises: ArgumentError, DeviceError.
    Source: definition; Gatheral and Oomen (2010), "Zero-intelligence realized variance estimation", for the gap.
    """
    device, books = level_major(bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    best, rows = [book[0] for book in books], int(books[0].shape[1])
    spreads, mids, gaps = (empty(rows, float_dtype(*books), like=books[0]) for _ in range(3))
    if rows and device:
        _touch_cuda[grid_of(rows)](*best, spreads, mids, gaps)
    elif rows:
        on_cpu(_touch_cpu, rows)(*best, spreads, mids, gaps)
    return spreads, mids, gaps


def shape(bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array) -> tuple[Array, Array, Array]:
    """Depth, pressure and mean distance of the shown book.

    depth = sum of all sizes; pressure = (B - A) / (B + A) with B, A the sums of size / |price - mid| over the levels of
    a side, so that what rests close counts most: from -1 (only asks) to 1 (only bids); mean distance = sum of size
    |price - mid| over depth, which is large where the book is thin at the touch and steep behind it.
    all      (L, n) or (n,) float32, float64 or int64, every level read
    returns  three times (n,): unit of the sizes, 1, unit of the prices; summed in float64

    Missing values: depth is NaN where a size is NaN; the others also where a side is missing, a price of a level that
    holds something is NaN, or the book is locked or crossed. A level of size 0 adds nothing and its price is not read.
    Raises: ArgumentError, DeviceError.
    Source: Cao, Hansch and Wang (2009), "The information content of an open limit-order book", weighs deeper levels by
    their distance; the inverse distance follows practice.
    """
    device, books = level_major(bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    rows = int(books[0].shape[1])
    outputs = [empty(rows, float_dtype(*books), like=books[0]) for _ in range(3)]
    if rows and device:
        _shape_cuda[grid_of(rows)](*books, *outputs)
    elif rows:
        on_cpu(_shape_cpu, rows)(*books, *outputs)
    return outputs[0], outputs[1], outputs[2]


def weighted_imbalance(bid_size: Array, ask_size: Array, *, weights: Array) -> Array:
    """Imbalance of the sizes weighted by level: (B - A) / (B + A), B and A the sums of weight x size of a side.

    bid_size, ask_size   (L, n) or, for one level, (n,) float32, float64 or int64
    weights              (k,) in host memory, k at most L, none below 0: see `levels.exponential_weights` and
                         `levels.linear_weights`
    returns              (n,), -1 (only asks) to 1 (only bids); summed in float64

    Missing values: NaN where a size is NaN, or both sides sum to 0.
    Raises: ArgumentError, DeviceError.
    Source: Cartea, Donnelly and Jaimungal (2018), "Enhancing trading strategies with order book signals".
    """
    device, (bid_size, ask_size) = level_major(bid_size=bid_size, ask_size=ask_size)
    weights = level_weights(weights, int(bid_size.shape[0]))
    if (weights < 0).any():
        raise ArgumentError(f"weights are {weights.tolist()}", allowed="weights of at least 0")
    rows = int(bid_size.shape[1])
    out = empty(rows, float_dtype(bid_size, ask_size), like=bid_size)
    weights = to_side(weights, like=bid_size)
    if rows and device:
        _weighted_imbalance_cuda[grid_of(rows)](bid_size, ask_size, weights, out)
    elif rows:
        on_cpu(_weighted_imbalance_cpu, rows)(bid_size, ask_size, weights, out)
    return out
