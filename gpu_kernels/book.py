"""What a snapshot of the order book, and its change, say about the next price.

Memory order is a contract: books are level-major, (levels, rows) and C-contiguous, level 0 the best, so a best-level
feature reads only its own column. A 1-D array is a book of one level. Prices may be floats or int64 ticks.
A side is missing at a row where its size is not above 0 or NaN (`book_rebuild` gives size 0 there).
"""

import math
from typing import Any

import numpy as np
from numba import njit, prange

from gpu_kernels._cuda import cuda
from gpu_kernels.dispatch import (
    TILE_ROWS,
    VALUE_DTYPES,
    Array,
    Rows,
    column,
    common_device,
    empty,
    float_dtype,
    grid_of,
    on_cpu,
    positive,
)
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows


@njit
def _imbalance(bid, ask):
    return (bid - ask) / (bid + ask) if bid + ask > 0 else np.nan


@njit
def _depth(size, levels, row):
    total = np.float64(0.0)
    for level in range(levels):
        total += size[level, row]
    return total


@njit(parallel=True, cache=True, nogil=True)
def _imbalance_cpu(bid_size, ask_size, levels, out):
    for row in prange(out.shape[0]):
        out[row] = _imbalance(_depth(bid_size, levels, row), _depth(ask_size, levels, row))


@cuda.jit
def _imbalance_cuda(bid_size, ask_size, levels, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _imbalance(_depth(bid_size, levels, row), _depth(ask_size, levels, row))


@njit
def _microprice(bid_price, bid_size, ask_price, ask_size):
    # from the bid upwards: the spread is small, so a float32 price loses no digits to the weighting, and the constants
    # are
    # float32 so that nothing widens it to float64
    if bid_size > np.float32(0) and ask_size > np.float32(0):
        return bid_price + (ask_price - bid_price) * (bid_size / (bid_size + ask_size))
    return np.float32(np.nan)


@njit(parallel=True, cache=True, nogil=True)
def _microprice_cpu(bid_price, bid_size, ask_price, ask_size, out):
    for row in prange(out.shape[0]):
        out[row] = _microprice(bid_price[row], bid_size[row], ask_price[row], ask_size[row])


@cuda.jit
def _microprice_cuda(bid_price, bid_size, ask_price, ask_size, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _microprice(bid_price[row], bid_size[row], ask_price[row], ask_size[row])


@njit
def _two_sided(bid_price, bid_size, ask_price, ask_size, row):
    priced = not (math.isnan(bid_price[row]) or math.isnan(ask_price[row]))
    return bid_size[row] > 0 and ask_size[row] > 0 and priced


@njit
def _flow(bid_price, bid_size, ask_price, ask_size, row, is_first):
    """Contribution of the change from the row before to `row`: size added at the bid or taken from the ask counts
    up."""
    if not _two_sided(bid_price, bid_size, ask_price, ask_size, row):
        return np.nan
    if is_first:
        return 0.0
    if not _two_sided(bid_price, bid_size, ask_price, ask_size, row - 1):
        return np.nan
    flow = 0.0
    if bid_price[row] >= bid_price[row - 1]:
        flow += bid_size[row]
    if bid_price[row] <= bid_price[row - 1]:
        flow -= bid_size[row - 1]
    if ask_price[row] <= ask_price[row - 1]:
        flow -= ask_size[row]
    if ask_price[row] >= ask_price[row - 1]:
        flow += ask_size[row - 1]
    return flow


@njit(parallel=True, cache=True, nogil=True)
def _flow_cpu(bid_price, bid_size, ask_price, ask_size, offsets, tiles, tile, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            out[row] = _flow(bid_price, bid_size, ask_price, ask_size, row, row == offsets[segment])


@cuda.jit
def _flow_cuda(bid_price, bid_size, ask_price, ask_size, offsets, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        is_first = offsets[segment_of(offsets, row)] == row
        out[row] = _flow(bid_price, bid_size, ask_price, ask_size, row, is_first)


@njit(parallel=True, cache=True, nogil=True)
def _best_level_cpu(bid_price, bid_size, ask_price, ask_size, offsets, tiles, tile, imbalances, microprices, flows):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            imbalances[row] = _imbalance(np.float64(bid_size[row]), np.float64(ask_size[row]))
            microprices[row] = _microprice(bid_price[row], bid_size[row], ask_price[row], ask_size[row])
            flows[row] = _flow(bid_price, bid_size, ask_price, ask_size, row, row == offsets[segment])


@cuda.jit
def _best_level_cuda(bid_price, bid_size, ask_price, ask_size, offsets, imbalances, microprices, flows):
    row = cuda.grid(1)
    if row < flows.shape[0]:
        imbalances[row] = _imbalance(np.float64(bid_size[row]), np.float64(ask_size[row]))
        microprices[row] = _microprice(bid_price[row], bid_size[row], ask_price[row], ask_size[row])
        is_first = offsets[segment_of(offsets, row)] == row
        flows[row] = _flow(bid_price, bid_size, ask_price, ask_size, row, is_first)


def _level_major(**books: Any) -> tuple[bool, list[Array]]:
    """(on the GPU, the checked books as (levels, rows)), all of one shape."""
    device = common_device(**books)
    arrays = []
    for name, book in books.items():
        checked = column(name, book, VALUE_DTYPES, ndim=2 if np.ndim(book) == 2 else 1)
        arrays.append(checked if checked.ndim == 2 else checked.reshape(1, len(checked)))
    if len({tuple(array.shape) for array in arrays}) > 1:
        shown = ", ".join(f"{name} {tuple(array.shape)}" for name, array in zip(books, arrays, strict=True))
        raise ArgumentError(f"books of unequal shape (levels, rows): {shown}", allowed="one shape for all")
    if arrays[0].shape[0] == 0:
        raise ArgumentError("books of 0 levels", allowed="1 level or more")
    return device, arrays


def imbalance(bid_size: Array, ask_size: Array, levels: int = 1) -> Array:
    """Order-book imbalance: (bid - ask) / (bid + ask), each the size summed over the best `levels` levels.

    bid_size, ask_size   (L, n) or, for one level, (n,) float32, float64 or int64; levels at most L
    returns              (n,), -1 (only asks) to 1 (only bids); summed in float64

    Missing values: NaN where a size is NaN, or both sides sum to 0.
    Raises: ArgumentError, DeviceError.
    Source: Cartea, Jaimungal and Penalva (2015), "Algorithmic and High-Frequency Trading", chapter 3.
    """
    device, (bid_size, ask_size) = _level_major(bid_size=bid_size, ask_size=ask_size)
    levels = positive("levels", levels, maximum=int(bid_size.shape[0]))
    out = empty(int(bid_size.shape[1]), float_dtype(bid_size, ask_size), like=bid_size)
    if len(out) and device:
        _imbalance_cuda[grid_of(len(out))](bid_size, ask_size, levels, out)
    elif len(out):
        on_cpu(_imbalance_cpu, len(out))(bid_size, ask_size, levels, out)
    return out


def microprice(bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array) -> Array:
    """Weighted mid-price of the best level: (bid ask_size + ask bid_size) / (bid_size + ask_size).

    A large bid pushes it towards the ask, where the next trade is likelier.
    all      (L, n) or (n,) float32, float64 or int64; only level 0 is read
    returns  (n,) in the unit of the prices

    Missing values: NaN where a side is missing or a price is NaN.
    Raises: ArgumentError, DeviceError.
    Source: Gatheral and Oomen (2010), "Zero-intelligence realized variance estimation".
    """
    device, books = _level_major(bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    best = [book[0] for book in books]
    out = empty(int(books[0].shape[1]), float_dtype(*books), like=books[0])
    if len(out) and device:
        _microprice_cuda[grid_of(len(out))](*best, out)
    elif len(out):
        on_cpu(_microprice_cpu, len(out))(*best, out)
    return out


def _best_rows(offsets: Array, **books: Any) -> Rows:
    """The best level of the books as the columns of one segmented table."""
    _, arrays = _level_major(**books)
    return Rows(offsets, values={name: book[0] for name, book in zip(books, arrays, strict=True)})


def order_flow_imbalance(bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, offsets: Array) -> Array:
    """Order-flow imbalance of each change of the best quotes; sum it over an interval for the interval's imbalance.

    e = [bid >= bid'] bid_size - [bid <= bid'] bid_size' - [ask <= ask'] ask_size + [ask >= ask'] ask_size', where ' is
    the row before in the segment and [ ] is 1 if true, else 0.
    books    (L, n) or (n,) float32, float64 or int64; only level 0 is read; offsets (S + 1,)
    returns  (n,) in the unit of the sizes; 0 at a segment's first row

    Missing values: NaN where a side is missing or a price is NaN, at this row or at the one before.
    Raises: ArgumentError, DeviceError.
    Source: Cont, Kukanov and Stoikov (2014), "The price impact of order book events".
    """
    rows = _best_rows(offsets, bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    out = rows.empty(rows.count, float_dtype(*rows.columns))
    if rows.count and rows.device:
        _flow_cuda[grid_of(rows.count)](*rows.columns, rows.offsets, out)
    elif rows.count:
        on_cpu(_flow_cpu, rows.count)(*rows.columns, rows.offsets, rows.tiles(), TILE_ROWS, out)
    return out


def best_level(
    bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, offsets: Array
) -> tuple[Array, Array, Array]:
    """`imbalance` of level 0, `microprice` and `order_flow_imbalance` in one pass over the columns that they share,
    bit for bit as the three give them. Arrays, missing values and errors as there.
    """
    rows = _best_rows(offsets, bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    prices_and_sizes, sizes = float_dtype(*rows.columns), float_dtype(rows.columns[1], rows.columns[3])
    out = [rows.empty(rows.count, dtype) for dtype in (sizes, prices_and_sizes, prices_and_sizes)]
    if rows.count and rows.device:
        _best_level_cuda[grid_of(rows.count)](*rows.columns, rows.offsets, *out)
    elif rows.count:
        on_cpu(_best_level_cpu, rows.count)(*rows.columns, rows.offsets, rows.tiles(), TILE_ROWS, *out)
    return out[0], out[1], out[2]
