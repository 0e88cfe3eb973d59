"""When what leaves a price level came there, read from level-2 updates, which name no orders.

A level remembers its two latest large increases. A later fall of about an increase's size, of which trades explain
little, is taken for the same order leaving again. Several orders of one size at one level are mistaken for each other.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.hash_table import EMPTY, places_for, slot
from gpu_kernels.segments import check_sorted
from gpu_kernels.trade.cancels import LEVELS
from gpu_kernels.trade.columns import small_column

TOLERANCE = 0.25
"""How far a fall may be from the size of the increase that it undoes, as a share of it."""

_SNAPSHOT, _GAP = 1, 2
_NONE = np.int64(-1)
_FIELDS = 6
_LOTS, _EPOCH, _ROWS, _LEFT = 0, 1, 2, 4


@body
def _remember(book, place, row, time, row_time, lots, memory_ns):
    """Keep an increase in the slot that is free, too old, or holds less; one smaller than both is not kept."""
    chosen, least = -1, lots
    for k in range(2):
        left = book[_LEFT + k, place]
        if left > 0 and row_time - time[book[_ROWS + k, place]] > memory_ns:
            left = 0
        if left <= least:
            chosen, least = k, left
    if chosen >= 0:
        book[_ROWS + chosen, place], book[_LEFT + chosen, place] = row, lots


@body
def _undo(book, place, resting, cancelled, executed):
    """(row of the increase that a fall takes from or -1, lots of it cancelled, lots of it executed)."""
    chosen, nearest = -1, 0.0
    for k in range(2):
        left = book[_LEFT + k, place]
        distance = abs(np.float64(cancelled - left))
        if left > 0 and distance <= TOLERANCE * np.float64(left) and (chosen < 0 or distance < nearest):
            chosen, nearest = k, distance
    if chosen >= 0:
        origin, gone = book[_ROWS + chosen, place], min(cancelled, book[_LEFT + chosen, place])
        book[_LEFT + chosen, place] = 0
        traded = np.int64(0)
    else:
        origin, gone, traded = _NONE, np.int64(0), np.int64(0)
    for k in range(2):
        # what is left of an increase cannot be more than what rests
        over = book[_LEFT + k, place] - resting
        if over > 0:
            book[_LEFT + k, place] = resting
            if origin < 0:
                origin, traded = book[_ROWS + k, place], min(over, executed)
                gone = over - traded
    return origin, gone, traded


@body
def _step(keys, book, used, epoch, opening, row, time, tick, is_bid, lots, cancelled, executed, memory_ns):
    """One update of a level: (lots placed, row that the fall takes from or -1, lots of it cancelled, executed).
    `book` (6, places): lots resting, epoch, rows of two increases, what is left of them."""
    key = 2 * tick + (1 if is_bid else 0)
    place = slot(keys, key)
    if keys[place] != key:
        used[0] += 1
    if keys[place] != key or book[_EPOCH, place] != epoch:
        keys[place] = key
        for field in range(book.shape[0]):
            book[field, place] = 0
        book[_EPOCH, place] = epoch
    before = book[_LOTS, place]
    book[_LOTS, place] = lots
    placed, origin, gone, traded = np.int64(0), _NONE, np.int64(0), np.int64(0)
    if lots > before and not opening:
        placed = lots - before
        _remember(book, place, row, time, time[row], placed, memory_ns)
    elif lots < before:
        origin, gone, traded = _undo(book, place, lots, cancelled, executed)
    return placed, origin, gone, traded


@body
def _segment(
    time, tick, lots, side, action, cancelled, executed, start, stop, memory_ns, keys, book, used, placed, origin, left
):
    keys[:] = EMPTY
    used[0] = 0
    epoch, known, limit = np.int64(0), True, keys.shape[0] // 2
    opened = time[start] if start < stop else np.int64(0)
    for row in range(start, stop):
        placed[row], origin[row], left[0, row], left[1, row] = 0, _NONE, 0, 0
        if action[row] == _GAP:
            known = False
        elif action[row] == _SNAPSHOT:
            epoch, known, opened = epoch + 1, True, time[row]
        if known and action[row] != _GAP and tick[row] >= 0 and lots[row] >= 0 and used[0] < limit:
            placed[row], origin[row], left[0, row], left[1, row] = _step(
                keys,
                book,
                used,
                epoch,
                time[row] == opened,
                row,
                time,
                tick[row],
                side[row] > 0,
                lots[row],
                cancelled[row],
                executed[row],
                memory_ns,
            )


@cpu_loop
def _origins_cpu(
    time, tick, lots, cancelled, executed, side, action, offsets, memory_ns, places, used, placed, origin, left
):
    for s in prange(offsets.shape[0] - 1):
        keys, book = np.empty(places[s], np.int64), np.empty((_FIELDS, places[s]), np.int64)
        begin, end = offsets[s], offsets[s + 1]
        _segment(
            time, tick, lots, side, action, cancelled, executed, begin, end, memory_ns, keys, book, used[s], placed,
            origin, left,
        )  # fmt: skip


@cuda.jit
def _origins_cuda(
    time, tick, lots, cancelled, executed, side, action, offsets, memory_ns, begins, keys, book, used, placed, origin,
    left,
):  # fmt: skip
    s = cuda.grid(1)
    if s < offsets.shape[0] - 1:
        first, last = begins[s], begins[s + 1]
        begin, end = offsets[s], offsets[s + 1]
        _segment(
            time, tick, lots, side, action, cancelled, executed, begin, end, memory_ns, keys[first:last],
            book[:, first:last], used[s], placed, origin, left,
        )  # fmt: skip


def level_origins(
    time: Array,
    price_ticks: Array,
    lots: Array,
    cancelled: Array,
    executed: Array,
    side: Array,
    action: Array,
    offsets: Array,
    *,
    memory_ns: int,
    levels: int = LEVELS,
) -> tuple[Array, Array, Array]:
    """What each level-2 update places, and which earlier rise of its level it undoes: the life of an order, guessed.

    A rise of a level's size is placed by this row. A fall takes from the increase, one of two remembered, whose size is
    within a quarter of the lots cancelled (the nearest of them); else from one that is now larger than what rests, the
    executed part first.
    time, price_ticks, lots   (n,) int64 of book updates: ns never falling in a segment, ticks of at least 0, the size
                          now resting there
    cancelled, executed   (n,) int64: how a fall splits, from `trade.cancels.inferred_cancels` of the same rows
    side, action          (n,) int8 or int64 as in the table `book_update`: +1 bid, -1 ask; 0 sets the level, 1 after
                          emptying the book, 2 messages were lost: nothing is read until the next 1
    memory_ns             an increase that is older gives way to any new one; levels, the most price levels a segment
                          may name
    returns               placed (n,) int64 lots; origin (n,) int64, the row that placed what this row takes away, or
                          -1; gone (2, n) int64 lots of it: cancelled, executed

    Rows at the time of the segment's first or of a snapshot tell what was there before: they place nothing. One row
    takes from one increase; where it ends two at once, the second is not told.
    Missing values: updates whose ticks or lots are below 0 are left out (0, -1, 0).
    Raises: ArgumentError (also where a segment names more than `levels` levels), DeviceError.
    """
    memory_ns = positive("memory_ns", memory_ns, maximum=2**61)
    levels = positive("levels", levels, maximum=2**30)
    table = {"time": time, "price_ticks": price_ticks, "lots": lots, "cancelled": cancelled, "executed": executed}
    rows = Rows(offsets, times=table)
    check_sorted("time", rows, rows.columns[0])
    small = (small_column("side", side, rows), small_column("action", action, rows))
    placed, origin = (rows.empty(rows.count, np.int64) for _ in range(2))
    gone = rows.empty((2, rows.count), np.int64)
    if rows.count == 0:
        return placed, origin, gone
    places = places_for(np.minimum(np.diff(rows.host_offsets), levels))
    used = to_side(np.zeros((rows.segments, 1), np.int64), like=rows.offsets)
    shared = (*rows.columns, *small, rows.offsets, memory_ns)
    if rows.device:
        begins = np.concatenate([[0], np.cumsum(places)]).astype(np.int64)
        keys, book = rows.empty(int(begins[-1]), np.int64), rows.empty((_FIELDS, int(begins[-1])), np.int64)
        _origins_cuda[grid_of(rows.segments)](
            *shared, to_side(begins, like=rows.offsets), keys, book, used, placed, origin, gone
        )
    else:
        on_cpu(_origins_cpu, rows.count, rows.segments)(*shared, places, used, placed, origin, gone)
    if (full := to_host(used)[:, 0] >= places // 2).any():
        raise ArgumentError(
            f"segment {int(full.argmax())} names more price levels than levels={levels}",
            allowed="levels, or fewer",
            hint="raise levels (112 bytes each)",
        )
    return placed, origin, gone
