"""When what leaves the book came there, from order events (level 3): the row that placed each order."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, to_side
from gpu_kernels.hash_table import EMPTY, places_for, slot
from gpu_kernels.segments import check_sorted
from gpu_kernels.trade.columns import small_column

_SNAPSHOT, _GAP, _PLACED, _CHANGED, _CANCELLED, _EXECUTED = 1, 2, 3, 4, 5, 6
_NONE = np.int64(-1)
_FIELDS = 4
_LEFT, _ROW, _TICK, _EPOCH = range(_FIELDS)


@body
def _step(keys, orders, epoch, opening, row, order, action, tick, lots):
    """One event: (lots placed, row that what it takes away was placed by or -1, lots of it cancelled, executed).
    `orders` (4, places): lots left, row that placed them (-1: they were there before), tick, epoch."""
    place = slot(keys, order)
    if keys[place] != order or orders[_EPOCH, place] != epoch:
        keys[place] = order
        orders[_LEFT, place], orders[_ROW, place], orders[_TICK, place] = 0, _NONE, tick
        orders[_EPOCH, place] = epoch
    left, origin = orders[_LEFT, place], orders[_ROW, place]
    placed, cancelled, executed = np.int64(0), np.int64(0), np.int64(0)
    # nobody knows when an order came that is first heard of by a change
    opening = opening or (action == _CHANGED and left == 0)
    if action == _EXECUTED:
        executed = min(lots, left)
    elif action == _CANCELLED:
        cancelled = min(lots, left)
    elif action == _CHANGED and tick == orders[_TICK, place] and lots <= left:
        # a smaller size keeps its place in the queue; any other change is an order taken away and another one placed
        cancelled = left - lots
    else:
        cancelled, placed = left, lots
        orders[_ROW, place], orders[_TICK, place] = _NONE if opening else row, tick
    orders[_LEFT, place] = left - cancelled - executed + placed
    return 0 if opening else placed, origin, cancelled, executed


@body
def _segment(time, order, tick, lots, action, start, stop, keys, orders, placed, origin, gone):
    keys[:] = EMPTY
    epoch, known = np.int64(0), True
    opened = time[start] if start < stop else np.int64(0)
    for row in range(start, stop):
        placed[row], origin[row], gone[0, row], gone[1, row] = 0, _NONE, 0, 0
        code = action[row]
        if code == _GAP:
            known = False
        elif code == _SNAPSHOT:
            epoch, known, opened = epoch + 1, True, time[row]
        valid = code == _SNAPSHOT or _PLACED <= code <= _EXECUTED
        if known and valid and order[row] >= 0 and tick[row] >= 0 and lots[row] >= 0:
            placed[row], origin[row], gone[0, row], gone[1, row] = _step(
                keys, orders, epoch, time[row] == opened, row, order[row], code, tick[row], lots[row]
            )


@cpu_loop
def _origins_cpu(time, order, tick, lots, action, offsets, places, placed, origin, gone):
    for s in prange(offsets.shape[0] - 1):
        keys, orders = np.empty(places[s], np.int64), np.empty((_FIELDS, places[s]), np.int64)
        _segment(time, order, tick, lots, action, offsets[s], offsets[s + 1], keys, orders, placed, origin, gone)


@cuda.jit
def _origins_cuda(time, order, tick, lots, action, offsets, begins, keys, orders, placed, origin, gone):
    s = cuda.grid(1)
    if s < offsets.shape[0] - 1:
        first, last = begins[s], begins[s + 1]
        _segment(
            time, order, tick, lots, action, offsets[s], offsets[s + 1], keys[first:last], orders[:, first:last],
            placed, origin, gone,
        )  # fmt: skip


def order_origins(
    time: Array, order: Array, price_ticks: Array, lots: Array, action: Array, offsets: Array
) -> tuple[Array, Array, Array]:
    """What each order event places, and which row placed what it takes away.

    An order that moves, or grows, is taken away and another one placed; one that shrinks keeps its origin.
    time, order, price_ticks, lots   (n,) int64 of the table `order_event`: ns never falling in a segment, identifiers
                and ticks of at least 0, the size as the action has it
    action      (n,) int8 or int64: 3 placed, 4 changed, 5 cancelled, 6 executed; 1 placed after emptying the book; 2
                messages were lost: nothing is read until the next 1
    returns     placed (n,) int64 lots; origin (n,) int64, the row that placed what this row takes away, -1 where it
                takes nothing or its order was there before; gone (2, n) int64 lots of it: cancelled, executed

    Rows at the time of the segment's first or of a snapshot tell what was there before: they place nothing.
    Missing values: rows whose order, ticks or lots are below 0 are left out (0, -1, 0), and so is what unknown orders
    would take away.
    Raises: ArgumentError, DeviceError.
    """
    table = {"time": time, "order": order, "price_ticks": price_ticks, "lots": lots}
    rows = Rows(offsets, times=table)
    check_sorted("time", rows, rows.columns[0])
    actions = small_column("action", action, rows)
    placed, origin = (rows.empty(rows.count, np.int64) for _ in range(2))
    gone = rows.empty((2, rows.count), np.int64)
    if rows.count == 0:
        return placed, origin, gone
    places = places_for(np.diff(rows.host_offsets))
    shared = (*rows.columns, actions, rows.offsets)
    if rows.device:
        begins = np.concatenate([[0], np.cumsum(places)]).astype(np.int64)
        keys, orders = rows.empty(int(begins[-1]), np.int64), rows.empty((_FIELDS, int(begins[-1])), np.int64)
        _origins_cuda[grid_of(rows.segments)](
            *shared, to_side(begins, like=rows.offsets), keys, orders, placed, origin, gone
        )
    else:
        on_cpu(_origins_cpu, rows.count, rows.segments)(*shared, places, placed, origin, gone)
    return placed, origin, gone
