"""The order book from level-2 updates: after each update, the best levels of both sides.

A segment's book is a dense array of sizes per side over the ticks that the segment names, so an update is one write.
Both sides count ticks from their best end, bids down from the highest and asks up from the lowest, so one walk serves
both. It runs only for an update within the levels shown, and steps over groups of ticks that hold nothing. One thread
per segment: an update means nothing without the one before it.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError

MISSING_TICK = -1
"""Price of a level that is not there; its size is 0."""

DEPTH_TICKS = 1 << 22
"""Default limit on a segment's span of ticks: 4,194,304 of them take 64 MiB while the segment is rebuilt."""

_GROUP = 64
_BUFFER = 64


@body
def _first_bad(side, price_ticks, size, start, stop):
    """The first row that is no update of a book, or `stop`; and the lowest and highest tick before it."""
    lowest, highest = np.int64(0), np.int64(-1)
    for row in range(start, stop):
        quantity = np.float64(size[row])
        # written so that NaN is bad too
        if not (0.0 <= quantity < np.inf and abs(side[row]) == 1 and price_ticks[row] >= 0):
            return row, lowest, highest
        lowest = price_ticks[row] if row == start else min(lowest, price_ticks[row])
        highest = max(highest, price_ticks[row])
    return stop, lowest, highest


@cpu_loop
def _survey_cpu(side, price_ticks, size, offsets, bad, lowest, highest):
    for segment in prange(offsets.shape[0] - 1):
        bad[segment], lowest[segment], highest[segment] = _first_bad(
            side, price_ticks, size, offsets[segment], offsets[segment + 1]
        )


@cuda.jit
def _survey_cuda(side, price_ticks, size, offsets, bad, lowest, highest):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        bad[segment], lowest[segment], highest[segment] = _first_bad(
            side, price_ticks, size, offsets[segment], offsets[segment + 1]
        )


@body
def _fill_levels(resting, groups, begin, tick_at_0, direction, ticks, sizes):
    """Write the best levels of one side from position `begin` on; returns the positions of the best and the last of
    them, each the length of the book where it is not there."""
    span, levels = resting.shape[0], ticks.shape[0]
    best, found, position = span, 0, begin
    while position < span and found < levels:
        if position % _GROUP == 0 and groups[position // _GROUP] == 0:
            position += _GROUP
        else:
            if resting[position] > 0.0:
                ticks[found] = tick_at_0 + direction * position
                sizes[found] = resting[position]
                best = min(best, position)
                found += 1
            position += 1
    ticks[found:] = MISSING_TICK
    sizes[found:] = 0.0
    return best, position - 1 if found == levels else span


@body
def _step(is_bid, tick, quantity, lowest, highest, resting, groups, ends, ticks, sizes):
    """One update of a segment's book. State, bids in row 0 and asks in row 1: `resting` sizes by position, `groups`
    how many positions of each group hold any, `ends` the positions of the best and the last level shown, `ticks` and
    `sizes` the levels shown."""
    row = 0 if is_bid else 1
    position = highest - tick if is_bid else tick - lowest
    side, side_groups = resting[row], groups[row]
    side_groups[position // _GROUP] += np.int32(quantity > 0.0) - np.int32(side[position] > 0.0)
    side[position] = quantity
    if position <= ends[row, 1]:
        begin = min(ends[row, 0], position)
        tick_at_0, direction = (highest, -1) if is_bid else (lowest, 1)
        ends[row, 0], ends[row, 1] = _fill_levels(
            side, side_groups, begin, tick_at_0, direction, ticks[row], sizes[row]
        )


@body
def _clear(resting, groups, ends, ticks, sizes):
    resting[:] = 0.0
    groups[:] = 0
    ends[:] = resting.shape[1]
    ticks[:] = MISSING_TICK
    sizes[:] = 0.0


@cpu_loop
def _rebuild_cpu(side, price_ticks, size, offsets, lowest, highest, bids, bid_sizes, asks, ask_sizes):
    levels = bids.shape[0]
    for segment in prange(offsets.shape[0] - 1):
        low, high = lowest[segment], highest[segment]
        resting = np.empty((2, high - low + 1))
        groups = np.empty((2, (high - low) // _GROUP + 1), np.int32)
        ends, ticks, sizes = np.empty((2, 2), np.int64), np.empty((2, levels), np.int64), np.empty((2, levels))
        _clear(resting, groups, ends, ticks, sizes)
        # a column of the output touches a cache line per level: gather some rows, then write each level in one run
        tick_rows, size_rows = np.empty((2, levels, _BUFFER), np.int64), np.empty((2, levels, _BUFFER))
        for first in range(offsets[segment], offsets[segment + 1], _BUFFER):
            last = min(first + _BUFFER, offsets[segment + 1])
            for row in range(first, last):
                quantity = np.float64(size[row])
                _step(side[row] > 0, price_ticks[row], quantity, low, high, resting, groups, ends, ticks, sizes)
                for level in range(levels):
                    for way in range(2):
                        tick_rows[way, level, row - first] = ticks[way, level]
                        size_rows[way, level, row - first] = sizes[way, level]
            bids[:, first:last], asks[:, first:last] = tick_rows[0, :, : last - first], tick_rows[1, :, : last - first]
            bid_sizes[:, first:last] = size_rows[0, :, : last - first]
            ask_sizes[:, first:last] = size_rows[1, :, : last - first]


@cuda.jit
def _rebuild_cuda(
    side,
    price_ticks,
    size,
    offsets,
    lowest,
    highest,
    books,
    group_books,
    resting,
    groups,
    ends,
    ticks,
    sizes,
    bids,
    bid_sizes,
    asks,
    ask_sizes,
):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        low, high = lowest[segment], highest[segment]
        book = resting[:, books[segment] : books[segment + 1]]
        book_groups = groups[:, group_books[segment] : group_books[segment + 1]]
        _clear(book, book_groups, ends[segment], ticks[segment], sizes[segment])
        for row in range(offsets[segment], offsets[segment + 1]):
            _step(
                side[row] > 0,
                price_ticks[row],
                np.float64(size[row]),
                low,
                high,
                book,
                book_groups,
                ends[segment],
                ticks[segment],
                sizes[segment],
            )
            for level in range(bids.shape[0]):
                bids[level, row], bid_sizes[level, row] = ticks[segment, 0, level], sizes[segment, 0, level]
                asks[level, row], ask_sizes[level, row] = ticks[segment, 1, level], sizes[segment, 1, level]


def _survey(rows: Rows, side: Array, depth_ticks: int) -> tuple[Array, Array]:
    """Lowest and highest tick of each segment, on the side of the input, once every update has been checked."""
    size, price_ticks = rows.columns
    bad, lowest, highest = (rows.empty(rows.segments, np.int64) for _ in range(3))
    if rows.device:
        _survey_cuda[grid_of(rows.segments)](side, price_ticks, size, rows.offsets, bad, lowest, highest)
    else:
        on_cpu(_survey_cpu, rows.count, rows.segments)(side, price_ticks, size, rows.offsets, bad, lowest, highest)
    broken = np.flatnonzero(to_host(bad) < rows.host_offsets[1:])
    if len(broken):
        row = int(to_host(bad)[broken[0]])
        shown = [to_host(array[row : row + 1])[0].item() for array in (side, price_ticks, size)]
        raise ArgumentError(
            f"update {row} has side {shown[0]}, price_ticks {shown[1]}, size {shown[2]}",
            allowed="side 1 (bid) or -1 (ask), price_ticks of at least 0, a finite size of at least 0",
            hint="set such rows aside before rebuilding",
        )
    spans = to_host(highest) - to_host(lowest) + 1
    if spans.max(initial=0) > depth_ticks:
        segment = int(spans.argmax())
        raise ArgumentError(
            f"segment {segment} spans {spans[segment]} ticks",
            allowed=f"depth_ticks, {depth_ticks}",
            hint="remove stray prices, use a coarser tick, or raise depth_ticks (16 bytes a tick)",
        )
    return lowest, highest


def rebuild(
    side: Array,
    price_ticks: Array,
    size: Array,
    offsets: Array,
    levels: int,
    *,
    depth_ticks: int = DEPTH_TICKS,
) -> tuple[Array, Array, Array, Array]:
    """The best `levels` levels of the book after every level-2 update; the book is empty before a segment's first.

    side          (n,) int8 or int64, 1 bid, -1 ask
    price_ticks   (n,) int64, price of the level in whole ticks, at least 0
    size          (n,) float32, float64 or int64, the total now resting at that price; 0 removes the level
    offsets       (S + 1,); levels at least 1; depth_ticks the widest span of ticks allowed in a segment
    returns       bid price, bid size, ask price, ask size, each level-major (levels, n): int64 ticks and float64 sizes,
                  best level first. Bids and asks are kept apart: a feed that crosses gives a crossed book.

    Missing values: a level that is not there has tick -1 (`MISSING_TICK`) and size 0; `book` reads size 0 as missing.
    Raises: ArgumentError (an update that is none, a span beyond depth_ticks), DeviceError.
    """
    levels = positive("levels", levels)
    depth_ticks = positive("depth_ticks", depth_ticks)
    common_device(side=side, price_ticks=price_ticks)
    side = column("side", side, (np.dtype(np.int8), np.dtype(np.int64)))
    rows = Rows(offsets, values={"size": size}, times={"price_ticks": price_ticks})
    size, price_ticks = rows.columns
    if len(side) != rows.count:
        raise ArgumentError(f"{len(side)} sides for {rows.count} updates", allowed="one length for all")
    bids, asks = (rows.empty((levels, rows.count), np.int64) for _ in range(2))
    bid_sizes, ask_sizes = (rows.empty((levels, rows.count), np.float64) for _ in range(2))
    if rows.count == 0:
        return bids, bid_sizes, asks, ask_sizes
    lowest, highest = _survey(rows, side, depth_ticks)
    shared = (side, price_ticks, size, rows.offsets, lowest, highest)
    if rows.device:
        spans = to_host(highest) - to_host(lowest) + 1
        books, group_books = (np.zeros(rows.segments + 1, np.int64) for _ in range(2))
        np.cumsum(spans, out=books[1:])
        np.cumsum((spans - 1) // _GROUP + 1, out=group_books[1:])
        _rebuild_cuda[grid_of(rows.segments)](
            *shared,
            to_side(books, like=side),
            to_side(group_books, like=side),
            rows.empty((2, int(books[-1])), np.float64),
            rows.empty((2, int(group_books[-1])), np.int32),
            rows.empty((rows.segments, 2, 2), np.int64),
            rows.empty((rows.segments, 2, levels), np.int64),
            rows.empty((rows.segments, 2, levels), np.float64),
            bids,
            bid_sizes,
            asks,
            ask_sizes,
        )
    else:
        on_cpu(_rebuild_cpu, rows.count, rows.segments)(*shared, bids, bid_sizes, asks, ask_sizes)
    return bids, bid_sizes, asks, ask_sizes
