"""One order event: what it does to its order, to the queue of its level and to the level's total.

The bodies that `replay` calls, for each event of a segment in turn. Orders and levels get numbers in the order of their
first event, by a table of open addresses, so that identifiers and prices may be any.
"""

import numpy as np

from gpu_kernels._jit import step_body
from gpu_kernels.hash_table import slot
from gpu_kernels.orders.queue import (
    COUNT,
    FIRST,
    KEY,
    LAST,
    LEVEL,
    LEVEL_EPOCH,
    LOTS,
    ORDER_EPOCH,
    SINCE,
    TOTAL,
    UNNAMED,
    ahead_of,
    append,
    remove,
    shrink,
)

UNNAMED_ORDER = -(2**63)
"""Stands for orders that no event names one by one, such as those of a level-2 snapshot: many may rest at a level."""

FINE, UNKNOWN_ORDER, TOO_MUCH, ALREADY_PLACED, OTHER_LEVEL, IN_GAP, BAD_ROW = range(7)
SET, SNAPSHOT, GAP, PLACED, CHANGED, CANCELLED, EXECUTED = range(7)
_MOST_TICKS = 2**61
_UNKNOWN_TIME = np.int64(-(2**63))
_NONE = np.int64(-1)

BOOK_FIELDS, TOLD_FIELDS, MOVE_FIELDS = 6, 5, 5
# of a segment's book: snapshots so far, whether it is known, orders and levels numbered, the level of the last update,
# whether a level found no room
EPOCH, KNOWN, ORDERS, LEVELS_USED, SHOWN, FULL = range(BOOK_FIELDS)
# told of an event: lots of its order before and after it, the order's age, lots and orders ahead of it
BEFORE_IT, LEFT, AGE, LOTS_AHEAD, ORDERS_AHEAD = range(TOLD_FIELDS)
# an event's updates: key of the level that it changes, its total; of the level that the order left; the action
MOVE_KEY, MOVE_TOTAL, OLD_KEY, OLD_TOTAL, ACTION = range(MOVE_FIELDS)


@step_body
def _level_of(book, levels, keys, numbers, key):
    """Number of a level, made where it is new, emptied where it is older than the last snapshot; -1: no room."""
    place = slot(keys, key)
    if keys[place] == key:
        level = numbers[place]
        fresh = levels[level, LEVEL_EPOCH] != book[EPOCH]
    else:
        level, fresh = book[LEVELS_USED], True
        if level == levels.shape[0]:
            book[FULL] = 1
            return _NONE
        keys[place], numbers[place], levels[level, KEY] = key, level, key
        book[LEVELS_USED] += 1
    if fresh:
        levels[level, TOTAL], levels[level, COUNT], levels[level, UNNAMED] = 0, 0, 0
        levels[level, FIRST], levels[level, LAST], levels[level, LEVEL_EPOCH] = -1, -1, book[EPOCH]
    return level


@step_body
def _unnamed(levels, level, action, lots, told, row):
    """An event of unnamed orders. Returns the problem."""
    before = levels[level, UNNAMED]
    if action == CHANGED:
        left = lots
    elif action in (CANCELLED, EXECUTED):
        left = max(before - lots, 0)
    else:
        left = before + lots
    levels[level, UNNAMED] = left
    levels[level, TOTAL] += left - before
    told[BEFORE_IT, row], told[LEFT, row], told[LOTS_AHEAD, row], told[ORDERS_AHEAD, row] = before, left, 0, 0
    return TOO_MUCH if action >= CANCELLED and lots > before else FINE


@step_body
def _from_unnamed(levels, level, lots):
    """Take lots of an order that was not known from the level's unnamed ones, as far as there are any."""
    taken = min(levels[level, UNNAMED], lots)
    levels[level, UNNAMED] -= taken
    levels[level, TOTAL] -= taken
    return taken


@step_body
def _take(orders, levels, number, level, lots, told, row):
    """A part of a known order, or all of it, was cancelled or executed. Returns the problem."""
    before, own = orders[number, LOTS], orders[number, LEVEL]
    told[LOTS_AHEAD, row], told[ORDERS_AHEAD, row] = ahead_of(orders, levels, number)
    shrink(orders, levels, number, min(before, lots))
    told[BEFORE_IT, row], told[LEFT, row] = before, orders[number, LOTS]
    if lots > before:
        return TOO_MUCH
    return OTHER_LEVEL if own != level else FINE


@step_body
def _settle(orders, levels, number, level, keeps_place, lots, told, row):
    """A known order now rests at a level with so many lots. Returns the level that it left, or -1."""
    own, before = orders[number, LEVEL], orders[number, LOTS]
    if own == level and lots <= before and keeps_place:
        told[LOTS_AHEAD, row], told[ORDERS_AHEAD, row] = ahead_of(orders, levels, number)
        shrink(orders, levels, number, before - lots)
        return _NONE
    remove(orders, levels, number)
    orders[number, LOTS] = lots
    if lots > 0:
        told[LOTS_AHEAD, row], told[ORDERS_AHEAD, row] = append(orders, levels, number, level)
    return own if own != level else _NONE


@step_body
def _write_moves(book, levels, left, key, action, moves, row):
    """The updates of an event; one that changes no level repeats the last, so that each message keeps its end."""
    shown = book[SHOWN]
    moves[row, OLD_KEY], moves[row, MOVE_KEY], moves[row, MOVE_TOTAL] = -1, -1, 0
    moves[row, ACTION] = action if action in (SNAPSHOT, GAP) else SET
    if left >= 0:
        moves[row, OLD_KEY], moves[row, OLD_TOTAL] = levels[left, KEY], levels[left, TOTAL]
    if shown >= 0:
        moves[row, MOVE_KEY] = levels[shown, KEY]
        moves[row, MOVE_TOTAL] = levels[shown, TOTAL] if levels[shown, LEVEL_EPOCH] == book[EPOCH] else 0
    elif action == GAP:
        moves[row, MOVE_KEY] = key
    return (1 if left >= 0 else 0) + (1 if moves[row, MOVE_KEY] >= 0 else 0)


@step_body
def _new(book, orders, numbers, place, number, levels, level, time, action, lots, told, row):
    """An order that does not rest is placed, or changed without having been seen. Returns its number."""
    if action == CHANGED:
        _from_unnamed(levels, level, lots)
    else:
        told[BEFORE_IT, row] = 0
    told[LEFT, row] = lots
    if lots > 0:
        if number < 0:
            number = book[ORDERS]
            book[ORDERS] += 1
            numbers[place] = number
        orders[number, LOTS], orders[number, ORDER_EPOCH] = lots, book[EPOCH]
        orders[number, SINCE] = _UNKNOWN_TIME if action == CHANGED else time
        told[LOTS_AHEAD, row], told[ORDERS_AHEAD, row] = append(orders, levels, number, level)
    return number


@step_body
def _named(book, orders, keys, numbers, levels, level, time, order, action, lots, told, row):
    """An event of one order. Returns the problem, the level that it changes and the one that the order left (-1)."""
    place = slot(keys, order)
    number = numbers[place] if keys[place] == order else _NONE
    rests = number >= 0 and orders[number, ORDER_EPOCH] == book[EPOCH] and orders[number, LOTS] > 0
    found, changed, left = FINE if rests else UNKNOWN_ORDER, level, _NONE
    if action in (CANCELLED, EXECUTED):
        if rests:
            changed = orders[number, LEVEL]
            found = _take(orders, levels, number, level, lots, told, row)
        elif _from_unnamed(levels, level, lots) == 0:
            changed = _NONE
    elif rests:
        told[BEFORE_IT, row], told[LEFT, row] = orders[number, LOTS], lots
        left = _settle(orders, levels, number, level, action == CHANGED, lots, told, row)
        if lots == 0 and left >= 0:
            changed, left = left, _NONE
        if action != CHANGED:
            orders[number, SINCE], found = time, ALREADY_PLACED
    else:
        number = _new(book, orders, numbers, place, number, levels, level, time, action, lots, told, row)
        if number >= 0:
            keys[place] = order
        found, rests = UNKNOWN_ORDER if action == CHANGED else FINE, lots > 0
    if rests and orders[number, SINCE] != _UNKNOWN_TIME:
        told[AGE, row] = time - orders[number, SINCE]
    return found, changed, left


@step_body
def step(
    book,
    orders,
    order_keys,
    order_numbers,
    levels,
    level_keys,
    level_numbers,
    time,
    order,
    action,
    side,
    tick,
    lots,
    problem,
    told,
    moves,
    row,
):
    """One event of a segment: what is told of it goes to place `row` of `problem` and `told`, its updates to that of
    `moves`. Returns the number of updates, 0 to 2. State: `book` (BOOK_FIELDS,), 0 but for SHOWN -1 and KNOWN 1 where
    the book is known from the start; `orders` and `levels` with a row for each that may come; their keys (EMPTY) and
    numbers."""
    if action == SNAPSHOT:
        book[EPOCH], book[KNOWN] = book[EPOCH] + 1, 1
    elif action == GAP:
        book[KNOWN] = 0
    for field in range(TOLD_FIELDS):
        told[field, row] = -1
    good = abs(side) == 1 and 0 <= tick < _MOST_TICKS and lots >= 0 and SNAPSHOT <= action <= EXECUTED
    key = 2 * tick + (1 if side > 0 else 0) if good else np.int64(1)
    found, changed, left, level = BAD_ROW, _NONE, _NONE, _NONE
    if book[KNOWN] == 0:
        found = IN_GAP
    elif good:
        level = _level_of(book, levels, level_keys, level_numbers, key)
    if level >= 0 and order == UNNAMED_ORDER:
        found, changed = _unnamed(levels, level, action, lots, told, row), level
    elif level >= 0:
        found, changed, left = _named(
            book, orders, order_keys, order_numbers, levels, level, time, order, action, lots, told, row
        )
    problem[row] = found
    if changed >= 0:
        book[SHOWN] = changed
    return _write_moves(book, levels, left, key, action, moves, row)
