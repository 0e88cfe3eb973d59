"""The queue of orders at a price level: a chain of orders, first come first, as the bodies that replay calls.

An order is a row of `orders`, a level a row of `levels`, both int64, so that what an event touches of one lies in one
line of the cache. What rests at a level of orders that no event names (`UNNAMED`) is older than all named ones and
stands before them.
"""

import numpy as np

from gpu_kernels._jit import step_body

ORDER_FIELDS, LEVEL_FIELDS = 6, 7

# of an order: its level, lots that rest, when it was placed, the order before it and after it (-1: none), epoch
LEVEL, LOTS, SINCE, BEFORE, AFTER, ORDER_EPOCH = range(ORDER_FIELDS)
# of a level: lots that rest in all, number of orders, first and last of them, lots of unnamed orders, epoch, and
# 2 * tick, plus 1 for a bid
TOTAL, COUNT, FIRST, LAST, UNNAMED, LEVEL_EPOCH, KEY = range(LEVEL_FIELDS)

_NONE = np.int64(-1)


@step_body
def append(orders, levels, number, level):
    """Put an order behind all others of a level; returns lots and orders ahead of it."""
    ahead, count, last = levels[level, TOTAL], levels[level, COUNT], levels[level, LAST]
    orders[number, LEVEL], orders[number, BEFORE], orders[number, AFTER] = level, last, _NONE
    if last >= 0:
        orders[last, AFTER] = number
    else:
        levels[level, FIRST] = number
    levels[level, LAST] = number
    levels[level, COUNT] = count + 1
    levels[level, TOTAL] = ahead + orders[number, LOTS]
    return ahead, count


@step_body
def remove(orders, levels, number):
    """Take an order, with what is left of it, out of its level."""
    level, before, after = orders[number, LEVEL], orders[number, BEFORE], orders[number, AFTER]
    if before >= 0:
        orders[before, AFTER] = after
    else:
        levels[level, FIRST] = after
    if after >= 0:
        orders[after, BEFORE] = before
    else:
        levels[level, LAST] = before
    levels[level, COUNT] -= 1
    levels[level, TOTAL] -= orders[number, LOTS]


@step_body
def shrink(orders, levels, number, lots):
    """Take lots from an order, which keeps its place, or goes where nothing is left of it."""
    orders[number, LOTS] -= lots
    levels[orders[number, LEVEL], TOTAL] -= lots
    if orders[number, LOTS] == 0:
        remove(orders, levels, number)


@step_body
def ahead_of(orders, levels, number):
    """Lots and orders ahead of an order in its level. Walks to both ends at once and stops at the nearer one: what is
    executed stands at the front and most of what is cancelled at the back."""
    level, front, back = orders[number, LEVEL], orders[number, BEFORE], orders[number, AFTER]
    lots_before, lots_after, steps = np.int64(0), np.int64(0), np.int64(0)
    while front >= 0 and back >= 0:
        lots_before += orders[front, LOTS]
        lots_after += orders[back, LOTS]
        front, back = orders[front, BEFORE], orders[back, AFTER]
        steps += 1
    if front < 0:
        return levels[level, UNNAMED] + lots_before, steps
    return levels[level, TOTAL] - lots_after - orders[number, LOTS], levels[level, COUNT] - steps - 1
