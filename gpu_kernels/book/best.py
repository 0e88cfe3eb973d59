"""What the best level of the book, and its change, say about the next price; and the imbalance of several levels.

Books and missing levels: see `book.levels`.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import best_flow, book_rows, imbalance_of, is_missing, level_major, weighted_mid_of
from gpu_kernels.dispatch import TILE_ROWS, Array, empty, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.segments import segment_of, tile_rows


@body
def _depth(size, levels, row):
    total = np.float64(0.0)
    for level in range(levels):
        total += size[level, row]
    return total


@cpu_loop
def _imbalance_cpu(bid_size, ask_size, levels, out):
    for row in prange(out.shape[0]):
        out[row] = imbalance_of(_depth(bid_size, levels, row), _depth(ask_size, levels, row))


@cuda.jit
def _imbalance_cuda(bid_size, ask_size, levels, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = imbalance_of(_depth(bid_size, levels, row), _depth(ask_size, levels, row))


@cpu_loop
def _weighted_mid_cpu(bid_price, bid_size, ask_price, ask_size, out):
    for row in prange(out.shape[0]):
        out[row] = weighted_mid_of(bid_price[row], bid_size[row], ask_price[row], ask_size[row])


@cuda.jit
def _weighted_mid_cuda(bid_price, bid_size, ask_price, ask_size, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = weighted_mid_of(bid_price[row], bid_size[row], ask_price[row], ask_size[row])


@body
def _flow_row(bid, bid_size, ask, ask_size, row, is_first):
    if is_first:
        return np.float32(np.nan) if is_missing(bid[row], bid_size[row], ask[row], ask_size[row]) else np.float32(0)
    return best_flow(
        bid[row],
        bid_size[row],
        ask[row],
        ask_size[row],
        bid[row - 1],
        bid_size[row - 1],
        ask[row - 1],
        ask_size[row - 1],
    )


@body
def _flow_rows(bid, bid_size, ask, ask_size, segment_start, first, last, out):
    begin = first
    if first == segment_start:
        out[first] = _flow_row(bid, bid_size, ask, ask_size, first, True)
        begin += 1
    now_bid, now_bid_size = bid[begin:last], bid_size[begin:last]
    now_ask, now_ask_size = ask[begin:last], ask_size[begin:last]
    was_bid, was_bid_size = bid[begin - 1 : last - 1], bid_size[begin - 1 : last - 1]
    was_ask, was_ask_size = ask[begin - 1 : last - 1], ask_size[begin - 1 : last - 1]
    target = out[begin:last]
    for i in range(target.shape[0]):
        target[i] = best_flow(
            now_bid[i],
            now_bid_size[i],
            now_ask[i],
            now_ask_size[i],
            was_bid[i],
            was_bid_size[i],
            was_ask[i],
            was_ask_size[i],
        )


@cpu_loop
def _flow_cpu(bid, bid_size, ask, ask_size, offsets, tiles, tile, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        _flow_rows(bid, bid_size, ask, ask_size, offsets[segment], first, last, out)


@cuda.jit
def _flow_cuda(bid, bid_size, ask, ask_size, offsets, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _flow_row(bid, bid_size, ask, ask_size, row, offsets[segment_of(offsets, row)] == row)


@cpu_loop
def _best_level_cpu(bid, bid_size, ask, ask_size, offsets, tiles, tile, imbalances, weighted_mids, flows):
    # one tile through all three: it is read from memory once and stays in the cache
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        _flow_rows(bid, bid_size, ask, ask_size, offsets[segment], first, last, flows)
        now_bid, now_bid_size = bid[first:last], bid_size[first:last]
        now_ask, now_ask_size = ask[first:last], ask_size[first:last]
        imbalance_rows, weighted_rows = imbalances[first:last], weighted_mids[first:last]
        for i in range(imbalance_rows.shape[0]):
            imbalance_rows[i] = imbalance_of(np.float64(now_bid_size[i]), np.float64(now_ask_size[i]))
            weighted_rows[i] = weighted_mid_of(now_bid[i], now_bid_size[i], now_ask[i], now_ask_size[i])


@cuda.jit
def _best_level_cuda(bid, bid_size, ask, ask_size, offsets, imbalances, weighted_mids, flows):
    row = cuda.grid(1)
    if row < flows.shape[0]:
        imbalances[row] = imbalance_of(np.float64(bid_size[row]), np.float64(ask_size[row]))
        weighted_mids[row] = weighted_mid_of(bid[row], bid_size[row], ask[row], ask_size[row])
        flows[row] = _flow_row(bid, bid_size, ask, ask_size, row, offsets[segment_of(offsets, row)] == row)


def imbalance(bid_size: Array, ask_size: Array, levels: int = 1) -> Array:
    """Order-book imbalance: (bid - ask) / (bid + ask), each the size summed over the best `levels` levels.

    bid_size, ask_size   (L, n) or, for one level, (n,) float32, float64 or int64; levels at most L
    returns              (n,), -1 (only asks) to 1 (only bids); summed in float64

    Missing values: NaN where a size is NaN, or both sides sum to 0.
    Raises: ArgumentError, DeviceError.
    Source: Cartea, Jaimungal and Penalva (2015), "Algorithmic and High-Frequency Trading", chapter 3.
    """
    device, (bid_size, ask_size) = level_major(bid_size=bid_size, ask_size=ask_size)
    levels = positive("levels", levels, maximum=int(bid_size.shape[0]))
    out = empty(int(bid_size.shape[1]), float_dtype(bid_size, ask_size), like=bid_size)
    if len(out) and device:
        _imbalance_cuda[grid_of(len(out))](bid_size, ask_size, levels, out)
    elif len(out):
        on_cpu(_imbalance_cpu, len(out))(bid_size, ask_size, levels, out)
    return out


def weighted_mid(bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array) -> Array:
    """Weighted mid-price of the best level: (bid ask_size + ask bid_size) / (bid_size + ask_size).

    A large bid pushes it towards the ask, where the next trade is likelier.
    all      (L, n) or (n,) float32, float64 or int64; only level 0 is read
    returns  (n,) in the unit of the prices

    Missing values: NaN where a side is missing or a price is NaN.
    Raises: ArgumentError, DeviceError.
    Source: Gatheral and Oomen (2010), "Zero-intelligence realized variance estimation".
    """
    device, books = level_major(bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    best = [book[0] for book in books]
    out = empty(int(books[0].shape[1]), float_dtype(*books), like=books[0])
    if len(out) and device:
        _weighted_mid_cuda[grid_of(len(out))](*best, out)
    elif len(out):
        on_cpu(_weighted_mid_cpu, len(out))(*best, out)
    return out


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
    rows, _ = book_rows(offsets, bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    out = rows.empty(rows.count, float_dtype(*rows.columns))
    if rows.count and rows.device:
        _flow_cuda[grid_of(rows.count)](*rows.columns, rows.offsets, out)
    elif rows.count:
        on_cpu(_flow_cpu, rows.count)(*rows.columns, rows.offsets, rows.tiles(), TILE_ROWS, out)
    return out


def best_level(
    bid_price: Array, bid_size: Array, ask_price: Array, ask_size: Array, offsets: Array
) -> tuple[Array, Array, Array]:
    """`imbalance` of level 0, `weighted_mid` and `order_flow_imbalance` in one pass over the columns that they share,
    bit for bit as the three give them. Arrays, missing values and errors as there.
    """
    rows, _ = book_rows(offsets, bid_price=bid_price, bid_size=bid_size, ask_price=ask_price, ask_size=ask_size)
    prices_and_sizes, sizes = float_dtype(*rows.columns), float_dtype(rows.columns[1], rows.columns[3])
    out = [rows.empty(rows.count, dtype) for dtype in (sizes, prices_and_sizes, prices_and_sizes)]
    if rows.count and rows.device:
        _best_level_cuda[grid_of(rows.count)](*rows.columns, rows.offsets, *out)
    elif rows.count:
        on_cpu(_best_level_cpu, rows.count)(*rows.columns, rows.offsets, rows.tiles(), TILE_ROWS, *out)
    return out[0], out[1], out[2]
