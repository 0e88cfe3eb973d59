"""Order flow of the whole shown book: the imbalance of each level's changes, and their weighted sum.

Books and missing levels: see `book.levels`; the flow of the best level alone is in `book.best`, sums over intervals in
`book.intervals`, fitted weights in `book.flow_fit`.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import book_rows, is_missing, level_flow, level_weights
from gpu_kernels.dispatch import TILE_ROWS, Array, float_dtype, grid_of, on_cpu, to_side
from gpu_kernels.segments import segment_of, tile_rows


@body
def _gap(bid, bid_size, ask, ask_size, row, is_first):
    """What a row's flow is added to: NaN where the touch is missing at the row or at the one before, else 0."""
    missing = is_missing(bid[0, row], bid_size[0, row], ask[0, row], ask_size[0, row])
    if not is_first:
        missing |= is_missing(bid[0, row - 1], bid_size[0, row - 1], ask[0, row - 1], ask_size[0, row - 1])
    return np.float32(np.nan) if missing else np.float32(0)


@body
def _change(bid, bid_size, ask, ask_size, level, row):
    return level_flow(
        bid[level, row],
        bid_size[level, row],
        ask[level, row],
        ask_size[level, row],
        bid[level, row - 1],
        bid_size[level, row - 1],
        ask[level, row - 1],
        ask_size[level, row - 1],
    )


@body
def _level_row(bid, bid_size, ask, ask_size, level, row, is_first):
    gap = _gap(bid, bid_size, ask, ask_size, row, is_first)
    return gap if is_first else gap + _change(bid, bid_size, ask, ask_size, level, row)


@body
def _weighted_row(bid, bid_size, ask, ask_size, weights, row, is_first):
    total = np.float64(_gap(bid, bid_size, ask, ask_size, row, is_first))
    if not is_first:
        for level in range(weights.shape[0]):
            total += weights[level] * np.float64(_change(bid, bid_size, ask, ask_size, level, row))
    return total


@cpu_loop
def _levels_cpu(bid, bid_size, ask, ask_size, offsets, tiles, tile, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for level in range(out.shape[0]):
            for row in range(first, last):
                out[level, row] = _level_row(bid, bid_size, ask, ask_size, level, row, row == offsets[segment])


@cuda.jit
def _levels_cuda(bid, bid_size, ask, ask_size, offsets, out):
    row = cuda.grid(1)
    if row < out.shape[1]:
        is_first = offsets[segment_of(offsets, row)] == row
        for level in range(out.shape[0]):
            out[level, row] = _level_row(bid, bid_size, ask, ask_size, level, row, is_first)


@cpu_loop
def _weighted_cpu(bid, bid_size, ask, ask_size, weights, offsets, tiles, tile, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            out[row] = _weighted_row(bid, bid_size, ask, ask_size, weights, row, row == offsets[segment])


@cuda.jit
def _weighted_cuda(bid, bid_size, ask, ask_size, weights, offsets, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        is_first = offsets[segment_of(offsets, row)] == row
        out[row] = _weighted_row(bid, bid_size, ask, ask_size, weights, row, is_first)


def level_flows(bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, offsets: Array) -> Array:
    """Multi-level order-flow imbalance: that of each level's change, as `best.order_flow_imbalance` has it of level 0.

    A level that is not there (size 0) lies beyond all prices: size that comes with a new deepest level counts as
    coming, size that goes with it as going.
    books    (L, n) or (n,) float32, float64 or int64; offsets (S + 1,)
    returns  (L, n) in the unit of the sizes; 0 at a segment's first row

    Missing values: all levels are NaN where the best one lacks a side or a price, at this row or at the one before; one
    level where a NaN size enters it. A NaN price of a deeper level is
    neither better nor worse than another: a change from or to it adds nothing.
    Raises: ArgumentError, DeviceError.
    Source: Xu, Gould and Howison (2019), "Multi-level order-flow imbalance in a limit order book".
    """
    rows, books = book_rows(offsets, bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    out = rows.empty((int(books[0].shape[0]), rows.count), float_dtype(*books))
    if rows.count and rows.device:
        _levels_cuda[grid_of(rows.count)](*books, rows.offsets, out)
    elif rows.count:
        on_cpu(_levels_cpu, rows.count)(*books, rows.offsets, rows.tiles(), TILE_ROWS, out)
    return out


def weighted_flow(
    bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, offsets: Array, *, weights: Array
) -> Array:
    """Sum over the levels of weight x order-flow imbalance: with the weights of `flow_fit.fit`, the integrated one.

    books    (L, n) or (n,) float32, float64 or int64; offsets (S + 1,); weights (k,) in host memory, k at most L
    returns  (n,) in the unit of the sizes; 0 at a segment's first row; summed in float64

    Missing values: as `level_flows`, of the levels that have a weight.
    Raises: ArgumentError, DeviceError.
    Source: Cont, Cucuringu and Zhang (2023), "Cross-impact of order flow imbalance in equity markets".
    """
    rows, books = book_rows(offsets, bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    weights = to_side(level_weights(weights, int(books[0].shape[0])), like=books[0])
    out = rows.empty(rows.count, float_dtype(*books))
    if rows.count and rows.device:
        _weighted_cuda[grid_of(rows.count)](*books, weights, rows.offsets, out)
    elif rows.count:
        on_cpu(_weighted_cpu, rows.count)(*books, weights, rows.offsets, rows.tiles(), TILE_ROWS, out)
    return out
