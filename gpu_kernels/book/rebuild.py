"""The order book from level-2 updates: the best levels of both sides after each update, or on a clock.

A message of the feed may be several rows, of which only the last leaves the book whole; until then the book shown is
the one before the message. One thread per segment: an update means nothing without the one before it.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.window import (
    FAR_BEGIN,
    NO_RANK,
    SMALLEST_WIDTH,
    WORD,
    clear,
    levels_from,
    set_level,
    settle,
)
from gpu_kernels.dispatch import Array, Rows, column, common_device, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError

MISSING_TICK = -1
"""Price of a level that is not there, or of which nobody knows."""

SET, SNAPSHOT, GAP = 0, 1, 2
"""What a row does: sets its level; the same after emptying the book; tells that messages were lost before it."""

DEPTH_TICKS = 1 << 16
"""Default width of the dense part of a side: 65,536 ticks take half a MiB."""

_BUFFER = 64
_KNOWN = 2


@body
def _is_update(side, tick, quantity, action):
    # written so that NaN is none
    return (
        (quantity >= 0.0)
        & (quantity < np.inf)
        & (abs(side) == 1)
        & (tick >= 0)
        & (tick < NO_RANK)
        & (action >= 0)
        & (action <= GAP)
    )


@body
def _survey(side, price_ticks, size, action, start, stop):
    """The first row that is no update of a book, or `stop`; of the rows before it the lowest and highest tick and the
    number of bids."""
    lowest, highest, bids, told = np.int64(0), np.int64(-1), 0, action.shape[0] > 0
    for row in range(start, stop):
        tick = price_ticks[row]
        if not _is_update(side[row], tick, np.float64(size[row]), np.int64(action[row]) if told else 0):
            return row, lowest, highest, bids
        lowest = tick if row == start else min(lowest, tick)
        highest = max(highest, tick)
        bids += side[row] > 0
    return stop, lowest, highest, bids


@cpu_loop
def _survey_cpu(side, price_ticks, size, action, offsets, found):
    for segment in prange(offsets.shape[0] - 1):
        bad, lowest, highest, bids = _survey(side, price_ticks, size, action, offsets[segment], offsets[segment + 1])
        found[0, segment], found[1, segment], found[2, segment], found[3, segment] = bad, lowest, highest, bids


@cuda.jit
def _survey_cuda(side, price_ticks, size, action, offsets, found):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        bad, lowest, highest, bids = _survey(side, price_ticks, size, action, offsets[segment], offsets[segment + 1])
        found[0, segment], found[1, segment], found[2, segment], found[3, segment] = bad, lowest, highest, bids


@body
def _start(half, shown, starts_empty, bids):
    """The state before a segment's first row, which has `bids` rows of bids."""
    head = half[4]
    ranks, sizes, touched = shown
    head[0, FAR_BEGIN], head[1, FAR_BEGIN] = 0, bids
    clear(half, 0)
    clear(half, 1)
    touched[0], touched[1], touched[_KNOWN] = NO_RANK, NO_RANK, np.int64(starts_empty)
    ranks[:, :] = NO_RANK
    sizes[:, :] = 0.0 if starts_empty else np.nan


@body
def _refresh(half, way, shown):
    """The levels shown from the first that may have changed on."""
    ranks, sizes, touched = shown
    if touched[way] < NO_RANK:
        settle(half, way)
        found = 0
        while found < ranks.shape[1] and ranks[way, found] < touched[way]:
            found += 1
        levels_from(half, way, found, ranks[way, max(found - 1, 0)], ranks, sizes)
        touched[way] = NO_RANK


@body
def step(half, shown, event):
    """One row of a segment. Event: action, whether it is a bid, tick, size, whether its message ends. State: `half`,
    the book (see `window`); and `shown`, the last whole one: ranks and sizes, (2, levels), and (3,) int64: on each side
    the best rank that has changed since, and whether the book is known."""
    action, is_bid, tick, quantity, last = event
    ranks, sizes, touched = shown
    if action == GAP:
        touched[_KNOWN] = 0
        ranks[:, :] = NO_RANK
        sizes[:, :] = np.nan
    elif action == SNAPSHOT:
        clear(half, 0)
        clear(half, 1)
        touched[0], touched[1], touched[_KNOWN] = -NO_RANK, -NO_RANK, 1
    if touched[_KNOWN] != 0:
        way, rank = (0, -tick) if is_bid else (1, tick)
        set_level(half, way, rank, quantity)
        if rank <= ranks[way, ranks.shape[1] - 1]:
            touched[way] = min(touched[way], rank)
        if last:
            _refresh(half, 0, shown)
            _refresh(half, 1, shown)


@body
def _event(side, price_ticks, size, action, last, row):
    return (
        np.int64(action[row]) if action.shape[0] > 0 else SET,
        side[row] > 0,
        price_ticks[row],
        np.float64(size[row]),
        last[row] if last.shape[0] > 0 else True,
    )


@body
def _write(shown, out, place):
    ranks, sizes, _ = shown
    bids, bid_sizes, asks, ask_sizes = out
    for level in range(ranks.shape[1]):
        bids[level, place] = -ranks[0, level] if ranks[0, level] < NO_RANK else MISSING_TICK
        asks[level, place] = ranks[1, level] if ranks[1, level] < NO_RANK else MISSING_TICK
        bid_sizes[level, place], ask_sizes[level, place] = sizes[0, level], sizes[1, level]


@body
def _replay(updates, rows, at, places, half, shown, out):
    """A segment's rows, written each, or at the rows `at` alone."""
    side, price_ticks, size, action, last = updates
    place, end = places
    every = at.shape[0] == 0
    for row in range(rows[0], rows[1]):
        step(half, shown, _event(side, price_ticks, size, action, last, row))
        if every:
            _write(shown, out, row)
        else:
            while place < end and at[place] == row:
                _write(shown, out, place)
                place += 1
            if place == end:
                return


@cpu_loop
def _rebuild_cpu(updates, offsets, found, widths, starts_empty, at, at_offsets, far_ranks, far_sizes, out):
    side, price_ticks, size, action, last = updates
    bids, bid_sizes, asks, ask_sizes = out
    levels = bids.shape[0]
    for segment in prange(offsets.shape[0] - 1):
        start, stop, width = offsets[segment], offsets[segment + 1], widths[segment]
        half = (
            np.empty((2, width)),
            np.empty((2, width // WORD), np.uint64),
            far_ranks[start:stop],
            far_sizes[start:stop],
            np.empty((2, 6), np.int64),
        )
        shown = (np.empty((2, levels), np.int64), np.empty((2, levels)), np.empty(3, np.int64))
        _start(half, shown, starts_empty, found[3, segment])
        if at.shape[0] > 0:
            places = (at_offsets[segment], at_offsets[segment + 1])
            _replay(updates, (start, stop), at, places, half, shown, out)
        else:
            # a column of the output touches a cache line per level: gather some rows, then write each level in one run
            tick_rows, size_rows = np.empty((2, levels, _BUFFER), np.int64), np.empty((2, levels, _BUFFER))
            buffer = (tick_rows[0], size_rows[0], tick_rows[1], size_rows[1])
            for first in range(start, stop, _BUFFER):
                end = min(first + _BUFFER, stop)
                for row in range(first, end):
                    step(half, shown, _event(side, price_ticks, size, action, last, row))
                    _write(shown, buffer, row - first)
                bids[:, first:end], asks[:, first:end] = tick_rows[0, :, : end - first], tick_rows[1, :, : end - first]
                bid_sizes[:, first:end] = size_rows[0, :, : end - first]
                ask_sizes[:, first:end] = size_rows[1, :, : end - first]


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
    sizes,
    touched,
    bids,
    bid_sizes,
    asks,
    ask_sizes,
):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        rows, book = (offsets[segment], offsets[segment + 1]), (books[segment], books[segment + 1])
        half = (
            resting[:, book[0] : book[1]],
            bits[:, book[0] // WORD : book[1] // WORD],
            far_ranks[rows[0] : rows[1]],
            far_sizes[rows[0] : rows[1]],
            heads[segment],
        )
        shown = (ranks[segment], sizes[segment], touched[segment])
        _start(half, shown, starts_empty, found[3, segment])
        places = (at_offsets[segment], at_offsets[segment + 1])
        updates, out = (side, price_ticks, size, action, last), (bids, bid_sizes, asks, ask_sizes)
        _replay(updates, rows, at, places, half, shown, out)


def _surveyed(rows: Rows, side: Array, action: Array) -> tuple[Array, Array]:
    """Of each segment what `_survey` finds, on the side of the input, and its ticks from lowest to highest (host)."""
    size, price_ticks = rows.columns
    found = rows.empty((4, rows.segments), np.int64)
    if rows.device:
        _survey_cuda[grid_of(rows.segments)](side, price_ticks, size, action, rows.offsets, found)
    else:
        on_cpu(_survey_cpu, rows.count, rows.segments)(side, price_ticks, size, action, rows.offsets, found)
    bad, lowest, highest, _ = to_host(found)
    broken = np.flatnonzero(bad < rows.host_offsets[1:])
    if len(broken):
        row = int(bad[broken[0]])
        names = {"side": side, "price_ticks": price_ticks, "size": size} | ({"action": action} if len(action) else {})
        shown = ", ".join(f"{name} {to_host(array[row : row + 1])[0].item()}" for name, array in names.items())
        raise ArgumentError(
            f"update {row} has {shown}",
            allowed="side 1 (bid) or -1 (ask), price_ticks from 0 to 2**62 - 1, a finite size of at least 0, "
            "action 0, 1 or 2",
            hint="set such rows aside before rebuilding",
        )
    return found, highest - lowest + 1


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
    returns       bid price, bid size, ask price, ask size, each level-major (levels, n or m): int64 ticks and float64
                  sizes, best level first. Bids and asks are kept apart: a feed that crosses gives a crossed book.

    Missing values: a level that is not there has tick -1 (`MISSING_TICK`) and size 0. While the book is unknown all
    ticks are -1 and all sizes NaN.
    Raises: ArgumentError (an update that is none, rows `at` that are none), DeviceError.
    """
    levels = positive("levels", levels)
    depth_ticks = positive("depth_ticks", depth_ticks, maximum=1 << 40)
    common_device(side=side, price_ticks=price_ticks)
    rows = Rows(offsets, values={"size": size}, times={"price_ticks": price_ticks})
    side = _small("side", side, (np.int8, np.int64), rows)
    action = _small("action", action, (np.int8, np.int64), rows)
    last = _small("last", last, (np.bool_,), rows)
    at_rows, at_offsets = _places(at, rows)
    size, price_ticks = rows.columns
    shape = (levels, rows.count if at is None else len(at_rows))
    bids, asks = (rows.empty(shape, np.int64) for _ in range(2))
    bid_sizes, ask_sizes = (rows.empty(shape, np.float64) for _ in range(2))
    out = (bids, bid_sizes, asks, ask_sizes)
    if shape[1] == 0:
        return out
    found, spans = _surveyed(rows, side, action)
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
            rows.empty((rows.segments, 2, 6), np.int64),
            rows.empty((rows.segments, 2, levels), np.int64),
            rows.empty((rows.segments, 2, levels), np.float64),
            rows.empty((rows.segments, 3), np.int64),
            *out,
        )
    else:
        on_cpu(_rebuild_cpu, rows.count, rows.segments)(
            updates, rows.offsets, found, widths, starts_empty, at_rows, at_offsets, far_ranks, far_sizes, out
        )
    return out
