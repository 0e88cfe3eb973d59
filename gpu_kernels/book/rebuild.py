"""The order book from level-2 updates: the best levels of both sides after each update, or on a clock.

A message of the feed may be several rows, of which only the last leaves the book whole; until then the book shown is
the one before the message. One thread per segment: an update means nothing without the one before it.
"""

from typing import Any

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange, step_body, stream_eight
from gpu_kernels.book.rebuild_state import (
    FILLED,
    HEAD,
    KNOWN,
    MISSING_TICK,
    SET,
    TOUCHED,
    apply,
    begin_again,
    show,
    start_of,
    step,
    write,
)
from gpu_kernels.book.updates import surveyed
from gpu_kernels.book.window import (
    NO_RANK,
    SMALLEST_WIDTH,
    WORD,
)
from gpu_kernels.dispatch import Array, Rows, column, common_device, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError

DEPTH_TICKS = 1 << 16
"""Default width of the dense part of a side: 65,536 ticks take half a MiB."""

MOST_DEPTH_TICKS = 1 << 24
"""Wider ones take more than 256 MiB for each segment: a price far off would take all memory."""

_BUFFER = 512

_STREAMED = 1 << 20
"""Numbers of an output from which on it goes past the cache: four of them take 32 MiB."""

_NAMES, _OUTPUTS = ("bids", "bid_sizes", "asks", "ask_sizes"), (np.int64, np.float64, np.int64, np.float64)


@body
def _replay(
    side,
    price_ticks,
    size,
    action,
    last,
    start,
    stop,
    at,
    place,
    end,
    sizes,
    bits,
    far_ranks,
    far_sizes,
    head,
    ranks,
    quantities,
    bids,
    bid_sizes,
    asks,
    ask_sizes,
):
    """A segment's rows, written each, or at the rows `at` alone."""
    every = at.shape[0] == 0
    for row in range(start, stop):
        step(
            sizes,
            bits,
            far_ranks,
            far_sizes,
            head,
            ranks,
            quantities,
            np.int64(action[row]) if action.shape[0] > 0 else SET,
            side[row] > 0,
            price_ticks[row],
            np.float64(size[row]),
            last[row] if last.shape[0] > 0 else True,
        )
        while every or (place < end and at[place] == row):
            column = row if every else place
            write(ranks, quantities, 0, bids, bid_sizes, column)
            write(ranks, quantities, 1, asks, ask_sizes, column)
            place += 1
            if every:
                break
        if place == end and not every:
            return


@step_body
def _fill(head, ranks, quantities, tick_rows, size_rows, way, row):
    """The levels shown of a side to the buffer, up to `row`, from where it was filled before."""
    # unsigned, so that no index may count from the end, and the loops become vector code
    first, count = np.uint64(head[way, FILLED]), np.uint64(row - head[way, FILLED])
    for level in range(ranks.shape[1]):
        rank, quantity = ranks[way, level], quantities[way, level]
        tick = MISSING_TICK if rank == NO_RANK else abs(rank)
        for place in range(count):
            tick_rows[way, level, first + place] = tick
        for place in range(count):
            size_rows[way, level, first + place] = quantity
    head[way, FILLED] = row


@body
def _fill_both(head, ranks, quantities, tick_rows, size_rows, row):
    for way in range(2):
        _fill(head, ranks, quantities, tick_rows, size_rows, way, row)


@body
def _replay_rows(
    side,
    price_ticks,
    size,
    action,
    last,
    start,
    stop,
    sizes,
    bits,
    far_ranks,
    far_sizes,
    head,
    ranks,
    quantities,
    tick_rows,
    size_rows,
):
    """Some rows of a segment into the buffer, by the parts of `step`: what is shown is written before it changes."""
    told, ends, first = action.shape[0] > 0, last.shape[0] > 0, np.uint64(start)
    head[0, FILLED], head[1, FILLED] = 0, 0
    for place in range(stop - start):
        row = first + np.uint64(place)
        if told and action[row] != SET:
            _fill_both(head, ranks, quantities, tick_rows, size_rows, place)
            begin_again(bits, head, ranks, quantities, action[row])
        if head[0, KNOWN] != 0:
            way = 0 if side[row] > 0 else 1
            apply(sizes, bits, far_ranks, far_sizes, head, ranks, way, price_ticks[row], np.float64(size[row]))
            if not ends or last[row]:
                for changed in range(2):
                    if head[changed, TOUCHED] < NO_RANK:
                        _fill(head, ranks, quantities, tick_rows, size_rows, changed, place)
                        show(sizes, bits, far_ranks, far_sizes, head, ranks, quantities, changed)
    _fill_both(head, ranks, quantities, tick_rows, size_rows, stop - start)


@body
def _copy(rows, way, count, out, start, streams):
    """A run of each level to the output, past the cache where that is too small for the output anyway."""
    for level in range(out.shape[0]):
        run, held = out[level, start : start + count], rows[way, level]
        address = run.ctypes.data
        begin = min((-(address >> 3)) & 7, count) if streams and address & 7 == 0 else count
        end = begin + ((count - begin) & ~7)
        for place in range(np.uint64(begin)):
            run[place] = held[place]
        for place in range(begin, end, 8):
            stream_eight(run, place, held, place)
        for place in range(np.uint64(end), np.uint64(count)):
            run[place] = held[place]


@cpu_loop
def _rebuild_cpu(
    side,
    price_ticks,
    size,
    action,
    last,
    offsets,
    found,
    widths,
    starts_empty,
    at,
    at_offsets,
    far_ranks,
    far_sizes,
    bids,
    bid_sizes,
    asks,
    ask_sizes,
):
    levels, streams = bids.shape[0], bids.size > _STREAMED
    for segment in prange(offsets.shape[0] - 1):
        start, stop, width = offsets[segment], offsets[segment + 1], widths[segment]
        resting, bits = np.empty((2, width)), np.empty((2, width // WORD), np.uint64)
        far_rank, far_size, head = far_ranks[start:stop], far_sizes[start:stop], np.empty((2, HEAD), np.int64)
        ranks, quantities = np.empty((2, levels), np.int64), np.empty((2, levels))
        start_of(bits, head, ranks, quantities, starts_empty, found[3, segment])
        if at.shape[0] > 0:
            _replay(
                side,
                price_ticks,
                size,
                action,
                last,
                start,
                stop,
                at,
                at_offsets[segment],
                at_offsets[segment + 1],
                resting,
                bits,
                far_rank,
                far_size,
                head,
                ranks,
                quantities,
                bids,
                bid_sizes,
                asks,
                ask_sizes,
            )
        else:
            # a column of the output touches a cache line per level: gather some rows, then write each level in one run
            tick_rows, size_rows = np.empty((2, levels, _BUFFER), np.int64), np.empty((2, levels, _BUFFER))
            for first in range(start, stop, _BUFFER):
                end = min(first + _BUFFER, stop)
                _replay_rows(
                    side,
                    price_ticks,
                    size,
                    action,
                    last,
                    first,
                    end,
                    resting,
                    bits,
                    far_rank,
                    far_size,
                    head,
                    ranks,
                    quantities,
                    tick_rows,
                    size_rows,
                )
                _copy(tick_rows, 0, end - first, bids, first, streams)
                _copy(size_rows, 0, end - first, bid_sizes, first, streams)
                _copy(tick_rows, 1, end - first, asks, first, streams)
                _copy(size_rows, 1, end - first, ask_sizes, first, streams)


@cuda.jit
def _rebuild_cuda(
    side,
    price_ticks,
    size,
    action,
    last,
    offsets,
    found,
    books,
    starts_empty,
    at,
    at_offsets,
    far_ranks,
    far_sizes,
    resting,
    bits,
    heads,
    ranks,
    quantities,
    bids,
    bid_sizes,
    asks,
    ask_sizes,
):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop, first, end = offsets[segment], offsets[segment + 1], books[segment], books[segment + 1]
        held, head = bits[:, first // WORD : end // WORD], heads[segment]
        rank, quantity = ranks[segment], quantities[segment]
        start_of(held, head, rank, quantity, starts_empty, found[3, segment])
        _replay(
            side,
            price_ticks,
            size,
            action,
            last,
            start,
            stop,
            at,
            at_offsets[segment],
            at_offsets[segment + 1],
            resting[:, first:end],
            held,
            far_ranks[start:stop],
            far_sizes[start:stop],
            head,
            rank,
            quantity,
            bids,
            bid_sizes,
            asks,
            ask_sizes,
        )


def _small(name: str, array: Array | None, dtypes: tuple[type, ...], rows: Rows) -> Array:
    """A column that may be absent, which is one of no rows."""
    if array is None:
        return rows.empty(0, dtypes[0])
    common_device(**{name: array, "offsets": rows.offsets})
    checked = column(name, array, tuple(map(np.dtype, dtypes)))
    if len(checked) != rows.count:
        raise ArgumentError(
            f"arrays of unequal length: {name} {len(checked)}, price_ticks {rows.count}", allowed="one length for all"
        )
    return checked


def _places(at: Array | None, rows: Rows) -> tuple[Array, Array]:
    """The rows to show, and how many of them lie before each segment (on the side of the rows)."""
    if at is None:
        return rows.empty(0, np.int64), to_side(np.zeros(rows.segments + 1, np.int64), like=rows.offsets)
    common_device(at=at, offsets=rows.offsets)
    at = column("at", at, (np.dtype(np.int64),))
    wanted = to_host(at)
    if len(wanted) and not (wanted[0] >= 0 and wanted[-1] < rows.count and (np.diff(wanted) >= 0).all()):
        raise ArgumentError(
            f"at spans {wanted.min()} to {wanted.max()}, rows are {rows.count}",
            allowed="rows that never fall, from 0 to the number of updates less 1",
        )
    return at, to_side(np.searchsorted(wanted, rows.host_offsets).astype(np.int64), like=rows.offsets)


def _outputs(shape: tuple[int, int], rows: Rows) -> tuple[Array, Array, Array, Array]:
    bids, bid_sizes, asks, ask_sizes = (rows.empty(shape, dtype) for dtype in _OUTPUTS)
    return bids, bid_sizes, asks, ask_sizes


def _given(out: tuple[Array, Array, Array, Array], shape: tuple[int, int], rows: Rows) -> Any:
    """The caller's arrays, checked."""
    if len(out) != len(_NAMES):
        raise ArgumentError(f"out has {len(out)} arrays", allowed=f"{len(_NAMES)}: {', '.join(_NAMES)}")
    common_device(**dict(zip(_NAMES, out, strict=True)), offsets=rows.offsets)
    for name, array, dtype in zip(_NAMES, out, _OUTPUTS, strict=True):
        column(name, array, (np.dtype(dtype),), ndim=2)
        if tuple(array.shape) != shape or (not rows.device and not array.flags.writeable):
            raise ArgumentError(
                f"out's {name} is {tuple(array.shape)}", allowed=f"writable arrays of (levels, rows), {shape}"
            )
    if len({id(array) for array in out}) < len(out):
        raise ArgumentError("out holds one array twice", allowed="four arrays, each of its own memory")
    return out


def rebuild(
    side: Array,
    price_ticks: Array,
    size: Array,
    offsets: Array,
    levels: int,
    *,
    action: Array | None = None,
    last: Array | None = None,
    starts_empty: bool = True,
    at: Array | None = None,
    depth_ticks: int = DEPTH_TICKS,
    out: tuple[Array, Array, Array, Array] | None = None,
) -> tuple[Array, Array, Array, Array]:
    """The best `levels` levels of the last whole book after every level-2 update, or after the updates `at`.

    side          (n,) int8 or int64, 1 bid, -1 ask
    price_ticks   (n,) int64, price of the level in whole ticks, at least 0 and below 2**62
    size          (n,) float32, float64 or int64 (exact below 2**53), the total now resting at that price; 0 removes
                  the level
    offsets       (S + 1,); levels at least 1
    action        (n,) int8 or int64: 0 (`SET`) sets the level; 1 (`SNAPSHOT`) the same after emptying the book;
                  2 (`GAP`) messages were lost before this row, which is not applied: from it on until the next snapshot
                  the book is unknown. None: 0
    last          (n,) bool: whether the feed's message ends with the row. The rows before it show the book as it was
                  before the message. None: each row is a message
    starts_empty  whether the book is empty before a segment's first row, or unknown until its first snapshot
    at            (m,) int64 rows, which never fall, at which to show the book, e.g. on a clock. None: each row
    depth_ticks   ticks on each side, around the best price, that are held densely; rounded to a power of two. It moves
                  with the price; what lies beyond it is in a sorted list. The result does not depend on it.
    out           what an earlier call returned for as many rows and levels, to be written over and returned: new memory
                  costs more than the rebuilding
    returns       bid price, bid size, ask price, ask size, each level-major (levels, n or m): int64 ticks and float64
                  sizes, best level first. Bids and asks are kept apart: a feed that crosses gives a crossed book.

    Missing values: a level that is not there has tick -1 (`MISSING_TICK`) and size 0. While the book is unknown all
    ticks are -1 and all sizes NaN.
    Raises: ArgumentError (an update that is none, rows `at` that are none), DeviceError.
    """
    levels = positive("levels", levels)
    depth_ticks = positive("depth_ticks", depth_ticks, maximum=MOST_DEPTH_TICKS)
    common_device(side=side, price_ticks=price_ticks)
    rows = Rows(offsets, values={"size": size}, times={"price_ticks": price_ticks})
    side = _small("side", side, (np.int8, np.int64), rows)
    action = _small("action", action, (np.int8, np.int64), rows)
    last = _small("last", last, (np.bool_,), rows)
    at_rows, at_offsets = _places(at, rows)
    size, price_ticks = rows.columns
    shape = (levels, rows.count if at is None else len(at_rows))
    out = _outputs(shape, rows) if out is None else _given(out, shape, rows)
    if shape[1] == 0:
        return out
    found, spans = surveyed(rows, side, action)
    widths = 1 << np.ceil(np.log2(np.clip(spans, SMALLEST_WIDTH, max(depth_ticks, SMALLEST_WIDTH)))).astype(np.int64)
    far_ranks, far_sizes = rows.empty(rows.count, np.int64), rows.empty(rows.count, np.float64)
    updates, starts_empty = (side, price_ticks, size, action, last), bool(starts_empty)
    if rows.device:
        books = np.zeros(rows.segments + 1, np.int64)
        np.cumsum(widths, out=books[1:])
        _rebuild_cuda[grid_of(rows.segments)](
            *updates,
            rows.offsets,
            found,
            to_side(books, like=side),
            starts_empty,
            at_rows,
            at_offsets,
            far_ranks,
            far_sizes,
            rows.empty((2, int(books[-1])), np.float64),
            rows.empty((2, int(books[-1]) // WORD), np.uint64),
            rows.empty((rows.segments, 2, HEAD), np.int64),
            rows.empty((rows.segments, 2, levels), np.int64),
            rows.empty((rows.segments, 2, levels), np.float64),
            *out,
        )
    else:
        on_cpu(_rebuild_cpu, rows.count, rows.segments)(
            *updates, rows.offsets, found, widths, starts_empty, at_rows, at_offsets, far_ranks, far_sizes, *out
        )
    return out
