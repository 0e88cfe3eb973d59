"""Order events replayed: what was left of each order, where it stood in its queue, and the level-2 updates that follow.

The levels of the book are not made here: `book.rebuild` makes them of the updates. One thread per segment: an event
means nothing without those before it.
"""

from typing import NamedTuple

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import cpu_loop, prange, step_body
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.hash_table import EMPTY, places_for
from gpu_kernels.orders.event import (
    ACTION,
    BOOK_FIELDS,
    FULL,
    KNOWN,
    MOVE_FIELDS,
    MOVE_KEY,
    MOVE_TOTAL,
    OLD_KEY,
    OLD_TOTAL,
    SET,
    SHOWN,
    TOLD_FIELDS,
    step,
)
from gpu_kernels.orders.queue import LEVEL_FIELDS, ORDER_FIELDS
from gpu_kernels.segments import check_sorted
from gpu_kernels.trade.columns import small_column

LEVELS = 1 << 17
"""Default limit on the price levels that a segment names: 131,072 of them take 13 MiB while it is replayed."""

PROBLEMS = (
    "fine",
    "unknown_order",
    "took_more_than_rested",
    "already_placed",
    "other_level",
    "in_gap",
    "bad_row",
)
"""Names of the values of `problem`, which `event` numbers."""


class Replay(NamedTuple):
    """Of each event: problem, lots_before, lots_left, age_ns, lots_ahead, orders_ahead. Of each level-2 update: side,
    price_ticks, lots, action, event, whole; segment s has the updates update_offsets[s] to update_offsets[s + 1]."""

    problem: Array
    lots_before: Array
    lots_left: Array
    age_ns: Array
    lots_ahead: Array
    orders_ahead: Array
    side: Array
    price_ticks: Array
    lots: Array
    action: Array
    event: Array
    whole: Array
    update_offsets: Array


@step_body
def _replay_segment(
    time,
    lots,
    tick,
    order,
    side,
    action,
    start,
    stop,
    starts_empty,
    book,
    orders,
    order_keys,
    order_numbers,
    levels,
    level_keys,
    level_numbers,
    problem,
    told,
    moves,
):
    """Returns the number of updates."""
    order_keys[:], level_keys[:], book[:] = EMPTY, EMPTY, 0
    book[SHOWN], book[KNOWN] = -1, 1 if starts_empty else 0
    updates = np.int64(0)
    for row in range(start, stop):
        updates += step(
            book,
            orders,
            order_keys,
            order_numbers,
            levels,
            level_keys,
            level_numbers,
            time[row],
            order[row],
            action[row],
            side[row],
            tick[row],
            lots[row],
            problem,
            told,
            moves,
            row,
        )
    return updates


@cpu_loop
def _replay_cpu(
    time,
    lots,
    tick,
    order,
    side,
    action,
    offsets,
    starts_empty,
    room,
    order_places,
    level_places,
    problem,
    told,
    moves,
    updates,
    full,
):
    for s in prange(offsets.shape[0] - 1):
        start, stop = offsets[s], offsets[s + 1]
        book = np.empty(BOOK_FIELDS, np.int64)
        orders, levels = np.empty((stop - start, ORDER_FIELDS), np.int64), np.empty((room[s], LEVEL_FIELDS), np.int64)
        order_keys, order_numbers = np.empty(order_places[s], np.int64), np.empty(order_places[s], np.int64)
        level_keys, level_numbers = np.empty(level_places[s], np.int64), np.empty(level_places[s], np.int64)
        updates[s] = _replay_segment(
            time,
            lots,
            tick,
            order,
            side,
            action,
            start,
            stop,
            starts_empty,
            book,
            orders,
            order_keys,
            order_numbers,
            levels,
            level_keys,
            level_numbers,
            problem,
            told,
            moves,
        )
        full[s] = book[FULL]


@cuda.jit
def _replay_cuda(
    time,
    lots,
    tick,
    order,
    side,
    action,
    offsets,
    starts_empty,
    begins,
    books,
    orders,
    order_tables,
    levels,
    level_tables,
    problem,
    told,
    moves,
    updates,
):
    """`begins` (3, S + 1): where a segment's order table, level table and levels begin."""
    s = cuda.grid(1)
    if s < offsets.shape[0] - 1:
        start, stop = offsets[s], offsets[s + 1]
        updates[s] = _replay_segment(
            time,
            lots,
            tick,
            order,
            side,
            action,
            start,
            stop,
            starts_empty,
            books[s],
            orders[start:stop],
            order_tables[0, begins[0, s] : begins[0, s + 1]],
            order_tables[1, begins[0, s] : begins[0, s + 1]],
            levels[begins[2, s] : begins[2, s + 1]],
            level_tables[0, begins[1, s] : begins[1, s + 1]],
            level_tables[1, begins[1, s] : begins[1, s + 1]],
            problem,
            told,
            moves,
        )


@step_body
def _write_update(key, total, action, event, whole, side, tick, lots, actions, events, wholes, at):
    side[at], tick[at], lots[at] = 1 if key & 1 else -1, key >> 1, total
    actions[at], events[at], wholes[at] = action, event, whole


@step_body
def _list_segment(moves, start, stop, at, side, tick, lots, actions, events, wholes):
    for row in range(start, stop):
        if moves[row, OLD_KEY] >= 0:
            old, total = moves[row, OLD_KEY], moves[row, OLD_TOTAL]
            _write_update(old, total, SET, row, 0, side, tick, lots, actions, events, wholes, at)
            at += 1
        if moves[row, MOVE_KEY] >= 0:
            key, total, action = moves[row, MOVE_KEY], moves[row, MOVE_TOTAL], moves[row, ACTION]
            _write_update(key, total, action, row, 1, side, tick, lots, actions, events, wholes, at)
            at += 1


@cpu_loop
def _list_cpu(moves, offsets, begins, side, tick, lots, actions, events, wholes):
    for s in prange(offsets.shape[0] - 1):
        _list_segment(moves, offsets[s], offsets[s + 1], begins[s], side, tick, lots, actions, events, wholes)


@cuda.jit
def _list_cuda(moves, offsets, begins, side, tick, lots, actions, events, wholes):
    s = cuda.grid(1)
    if s < offsets.shape[0] - 1:
        _list_segment(moves, offsets[s], offsets[s + 1], begins[s], side, tick, lots, actions, events, wholes)


def replay(
    time: Array,
    order: Array,
    action: Array,
    side: Array,
    price_ticks: Array,
    lots: Array,
    offsets: Array,
    *,
    starts_empty: bool = True,
    levels: int = LEVELS,
) -> Replay:
    """What each order event did to its order and to its price level.

    Events (the table `order_event`):
    time          (n,) int64 ns, never falling in a segment
    order         (n,) int64, the venue's identifiers, or `UNNAMED_ORDER`: lots of orders that no event names
    action        (n,) int8 or int64: 3 placed with `lots`; 4 changed: now rests at price_ticks with `lots`; 5 `lots` of
                  it were cancelled; 6 executed; 1 placed after emptying the book; 2 messages were lost: no event is
                  applied until the next 1
    side          (n,) int8 or int64, 1 bid, -1 ask;  price_ticks, lots  (n,) int64, at least 0 (ticks below 2**61)
    starts_empty  False: the book is unknown before a segment's first 1
    levels        the most price levels that a segment may name

    Returns `Replay`. Of each event (n,), int64 but for int8 `problem`:
    problem       a place in `PROBLEMS`, see below
    lots_before, lots_left   of the order, before and after the event (0: not placed yet, or gone)
    age_ns        time since the order was placed
    lots_ahead, orders_ahead   in the queue of its level. For an order that is placed or goes to the back: where it now
                  stands; otherwise where the event finds it. An order at the front has 0 and 0.
    Of each level-2 update (m,), which `book.rebuild.rebuild` takes as they are:
    side, price_ticks, lots, action   int8, int64, int64, int8 as in the table `book_update`: what now rests at a level
    event, whole  the event (int64) that it comes of; 1 (int8) where it is that event's last update. A message ends
                  where both the update is whole and its event's `last` is true.
    An event has one update, but two where the order moves to another level (the level that it left comes first). One
    that changes no level repeats the update before it, so that a message keeps its end; at a segment's start, where
    there is none to repeat, it has none.

    Queue: price and time. A part executed or cancelled, or a change to a smaller size at the same price, keeps the
    place; a larger size or another price loses it (Nasdaq Rule 4756(a)(3); CME, Binance and others alike). Venues that
    match pro rata, or hide orders, execute orders that are not first: then lots_ahead of an execution is above 0.
    Unnamed lots stand before all named orders of their level, being older, and count in no orders_ahead.

    Problems: unknown_order, no such order rests: what is cancelled or executed comes off the level's unnamed lots as
    far as there are any; a change places the order, its lots coming off the unnamed ones. took_more_than_rested: what
    rested is taken. already_placed: the order is placed anew. other_level: the event names another price or side than
    that where the order rests, which counts. in_gap: the book is unknown. bad_row: side, action, ticks or lots are
    none. None is an error: count them with np.bincount(problem).
    Missing values: -1 where an order's lots, age or place are not known, as of one that came by a change alone.
    Raises: ArgumentError (time falls, more levels than `levels`), DeviceError.
    """
    levels = positive("levels", levels, maximum=2**30)
    rows = Rows(offsets, times={"time": time, "lots": lots, "price_ticks": price_ticks, "order": order})
    sides, actions = small_column("side", side, rows), small_column("action", action, rows)
    check_sorted("time", rows, rows.columns[0])
    problem, told = rows.empty(rows.count, np.int8), rows.empty((TOLD_FIELDS, rows.count), np.int64)
    moves, updates = rows.empty((rows.count, MOVE_FIELDS), np.int64), rows.empty(rows.segments, np.int64)
    counts = np.diff(rows.host_offsets)
    room = np.minimum(counts, levels)
    order_places, level_places = places_for(counts), places_for(room)
    shared = (*rows.columns, sides, actions, rows.offsets, bool(starts_empty))
    if rows.count == 0:
        updates, full = np.zeros(rows.segments, np.int64), np.zeros(1)
    elif rows.device:
        begins = np.zeros((3, rows.segments + 1), np.int64)
        for line, sizes in zip(begins, (order_places, level_places, room), strict=True):
            np.cumsum(sizes, out=line[1:])
        ends = begins[:, -1].tolist()
        books = rows.empty((rows.segments, BOOK_FIELDS), np.int64)
        _replay_cuda[grid_of(rows.segments)](
            *shared,
            to_side(begins, like=rows.offsets),
            books,
            rows.empty((rows.count, ORDER_FIELDS), np.int64),
            rows.empty((2, ends[0]), np.int64),
            rows.empty((ends[2], LEVEL_FIELDS), np.int64),
            rows.empty((2, ends[1]), np.int64),
            problem,
            told,
            moves,
            updates,
        )
        full = to_host(books)[:, FULL]
    else:
        full = np.zeros(rows.segments, np.int64)
        tables = (room, order_places, level_places)
        on_cpu(_replay_cpu, rows.count, rows.segments)(*shared, *tables, problem, told, moves, updates, full)
    if full.any():
        raise ArgumentError(
            f"segment {int(full.argmax())} names more price levels than levels={levels}",
            allowed="levels, or fewer",
            hint="raise levels (100 bytes each)",
        )
    columns = (told[field] for field in range(TOLD_FIELDS))
    return Replay(problem, *columns, *_updates(rows, moves, to_host(updates)))


def _updates(rows: Rows, moves: Array, counts: Array) -> tuple[Array, ...]:
    """The updates of all events in one list, and where each segment's begin."""
    offsets = np.zeros(rows.segments + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    begins, total = to_side(offsets, like=rows.offsets), int(offsets[-1])
    side, tick, lots = rows.empty(total, np.int8), rows.empty(total, np.int64), rows.empty(total, np.int64)
    actions, events, whole = rows.empty(total, np.int8), rows.empty(total, np.int64), rows.empty(total, np.int8)
    listed = (side, tick, lots, actions, events, whole)
    if total and rows.device:
        _list_cuda[grid_of(rows.segments)](moves, rows.offsets, begins, *listed)
    elif total:
        on_cpu(_list_cpu, rows.count, rows.segments)(moves, rows.offsets, begins, *listed)
    return *listed, begins
