"""The matching engine: a dense price-time-priority book in ticks and lots that writes down all that happens.

Sides are 0 bid, 1 ask here; `2 * side - 1` points away from the touch. The functions work on one `Book`.
Neither side is ever emptied: its last order is neither cancelled nor executed.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sources.schema import CANCELLED, EXECUTED, PLACED

Integers = NDArray[np.int64]

NOBODY, LARGE, GENUINE = -1, 0, 1  # role of an order: of the flow, an episode's large order, its actor's other order

# columns of a written row; the best prices and sizes are those after it
TIME, MESSAGE, ORDER, ACTION, SIDE, TICK, LOTS, LEVEL, BID, BID_LOTS, ASK, ASK_LOTS = range(12)
COLUMNS = 12

# places of `Book.counters`
ROWS, MESSAGES, ORDERS, CLOCK, HEAP, RETURNS, LAST_SIGN, EMITTING = range(8)


class Book(NamedTuple):
    """lots, head, tail: (2, window) per level. tick to expiry: per order. live, best, gone: per side (gone: permille
    of the orders that stay away). heap_*: the next expiries. returns: (n, 5) orders withdrawn for now, as (side, ticks
    from the value, lots, life left, threshold). filled to first: per episode."""

    lots: Integers
    head: Integers
    tail: Integers
    tick: Integers
    left: Integers
    side: Integers
    following: Integers
    previous: Integers
    expiry: Integers
    reserve: Integers
    shown: Integers
    owner: Integers
    role: Integers
    threshold: Integers
    live: Integers
    best: Integers
    gone: Integers
    heap_time: Integers
    heap_order: Integers
    returns: Integers
    filled: Integers
    opposite: Integers
    placed: Integers
    ended: Integers
    first: Integers
    counters: Integers
    rows: Integers


def empty_book(window: int, orders: int, rows: int, episodes: int) -> Book:
    """A book without orders, with room for so many levels, orders, rows and episodes."""

    def whole(*shape: int, value: int = 0) -> Integers:
        return np.full(shape, value, dtype=np.int64)

    def unset(*shape: int) -> Integers:
        return np.empty(shape, dtype=np.int64)

    return Book(
        lots=whole(2, window),
        head=whole(2, window, value=-1),
        tail=whole(2, window, value=-1),
        tick=unset(orders),
        left=unset(orders),
        side=unset(orders),
        following=unset(orders),
        previous=unset(orders),
        expiry=unset(orders),
        reserve=unset(orders),
        shown=unset(orders),
        owner=unset(orders),
        role=unset(orders),
        threshold=unset(orders),
        live=whole(2),
        best=whole(2),
        gone=whole(2),
        heap_time=unset(2 * orders),
        heap_order=unset(2 * orders),
        returns=unset(orders, 5),
        filled=whole(episodes),
        opposite=whole(episodes),
        placed=whole(episodes),
        ended=whole(episodes, value=-1),
        first=whole(episodes, value=-1),
        counters=whole(8),
        rows=unset(rows, COLUMNS),
    )


@njit(cache=True)
def begin(b, time):  # type: ignore[no-untyped-def]
    """Start a message: no earlier than the one before."""
    b.counters[CLOCK] = max(b.counters[CLOCK], time)
    b.counters[MESSAGES] += 1


@njit(cache=True)
def _write(b, order, action, lots):  # type: ignore[no-untyped-def]
    if b.counters[EMITTING] == 0:
        return
    row = b.rows[b.counters[ROWS]]
    side, tick = b.side[order], b.tick[order]
    row[TIME], row[MESSAGE], row[ORDER], row[ACTION] = b.counters[CLOCK], b.counters[MESSAGES], order, action
    row[SIDE], row[TICK], row[LOTS], row[LEVEL] = side, tick, lots, b.lots[side, tick]
    row[BID], row[BID_LOTS] = b.best[0], b.lots[0, b.best[0]]
    row[ASK], row[ASK_LOTS] = b.best[1], b.lots[1, b.best[1]]
    b.counters[ROWS] += 1


@njit(cache=True)
def write_opening(b):  # type: ignore[no-untyped-def]
    """Every resting order as placed, in the order of the queues: one message."""
    begin(b, 0)
    b.counters[EMITTING] = 1
    for side in range(2):
        away = 2 * side - 1
        tick = b.best[side]
        while 0 <= tick < b.lots.shape[1]:
            total = np.int64(0)
            order = b.head[side, tick]
            while order >= 0:
                total += b.left[order]
                _write(b, order, PLACED, b.left[order])
                b.rows[b.counters[ROWS] - 1, LEVEL] = total
                order = b.following[order]
            tick += away


@njit(cache=True)
def push(b, time, order):  # type: ignore[no-untyped-def]
    """Remember an expiry: a binary heap by (time, order)."""
    at = b.counters[HEAP]
    b.counters[HEAP] += 1
    while at > 0:
        above = (at - 1) // 2
        if b.heap_time[above] < time or (b.heap_time[above] == time and b.heap_order[above] <= order):
            break
        b.heap_time[at], b.heap_order[at] = b.heap_time[above], b.heap_order[above]
        at = above
    b.heap_time[at], b.heap_order[at] = time, order


@njit(cache=True)
def pop(b):  # type: ignore[no-untyped-def]
    """The order with the earliest expiry, taken from the heap."""
    found = b.heap_order[0]
    b.counters[HEAP] -= 1
    size = b.counters[HEAP]
    time, order = b.heap_time[size], b.heap_order[size]
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        right = below + 1
        if right < size and (
            b.heap_time[right] < b.heap_time[below]
            or (b.heap_time[right] == b.heap_time[below] and b.heap_order[right] < b.heap_order[below])
        ):
            below = right
        if time < b.heap_time[below] or (time == b.heap_time[below] and order < b.heap_order[below]):
            break
        b.heap_time[at], b.heap_order[at] = b.heap_time[below], b.heap_order[below]
        at = below
    b.heap_time[at], b.heap_order[at] = time, order
    return found


@njit(cache=True)
def add(b, side, tick, lots, life, reserve, owner, role, threshold):  # type: ignore[no-untyped-def]
    """Place an order at the end of its queue; a life of 0 never expires. Returns its number."""
    order = b.counters[ORDERS]
    b.counters[ORDERS] += 1
    b.tick[order], b.left[order], b.side[order] = tick, lots, side
    b.reserve[order], b.shown[order] = reserve, lots
    b.owner[order], b.role[order], b.threshold[order] = owner, role, threshold
    last = b.tail[side, tick]
    b.previous[order], b.following[order] = last, -1
    if last >= 0:
        b.following[last] = order
    else:
        b.head[side, tick] = order
    b.tail[side, tick] = order
    b.lots[side, tick] += lots
    if b.live[side] == 0 or (b.best[side] - tick) * (2 * side - 1) > 0:
        b.best[side] = tick
    b.live[side] += 1
    b.expiry[order] = b.counters[CLOCK] + life if life > 0 else -1
    if life > 0:
        push(b, b.expiry[order], order)
    if owner >= 0 and role == LARGE:
        b.placed[owner] += lots
        if b.first[owner] < 0:
            b.first[owner] = b.counters[CLOCK]
    _write(b, order, PLACED, lots)
    return order


@njit(cache=True)
def _reduce(b, order, lots):  # type: ignore[no-untyped-def]
    """Take lots from an order, and the order from the book if nothing is left."""
    side, tick = b.side[order], b.tick[order]
    b.left[order] -= lots
    b.lots[side, tick] -= lots
    if b.left[order] > 0:
        return
    before, after = b.previous[order], b.following[order]
    if before >= 0:
        b.following[before] = after
    else:
        b.head[side, tick] = after
    if after >= 0:
        b.previous[after] = before
    else:
        b.tail[side, tick] = before
    b.live[side] -= 1
    if b.live[side] > 0:
        while b.lots[side, b.best[side]] == 0:
            b.best[side] += 2 * side - 1


@njit(cache=True)
def cancel(b, order, lots):  # type: ignore[no-untyped-def]
    """Cancel lots of an order; False where it is the last of its side."""
    if lots == b.left[order] and b.live[b.side[order]] == 1:
        return False
    _reduce(b, order, lots)
    if b.owner[order] >= 0 and b.role[order] == LARGE:
        b.ended[b.owner[order]] = b.counters[CLOCK]
    _write(b, order, CANCELLED, lots)
    return True


@njit(cache=True)
def take(b, side, lots, limit, episode):  # type: ignore[no-untyped-def]
    """Execute against the resting orders of a side up to the price `limit`; returns the lots that were executed.

    `episode`: whose actor trades, or -1. An iceberg that is used up shows its next part at the end of the queue.
    """
    wanted = lots
    away = 2 * side - 1
    while lots > 0 and (b.best[side] - limit) * away <= 0:
        order = b.head[side, b.best[side]]
        part = min(lots, b.left[order])
        if part == b.left[order] and b.live[side] == 1:
            break
        _reduce(b, order, part)
        lots -= part
        owner = b.owner[order]
        if owner >= 0:
            if b.role[order] == LARGE:
                b.filled[owner] += part
                b.ended[owner] = b.counters[CLOCK]
            else:
                b.opposite[owner] += part
        _write(b, order, EXECUTED, part)
        if b.left[order] == 0 and b.reserve[order] > 0:
            shown = min(b.reserve[order], b.shown[order])
            life = max(b.expiry[order] - b.counters[CLOCK], 1_000_000)
            add(b, side, b.tick[order], shown, life, b.reserve[order] - shown, -1, NOBODY, b.threshold[order])
    if episode >= 0:
        b.opposite[episode] += wanted - lots
    return wanted - lots
