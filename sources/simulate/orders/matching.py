"""The matching engine: a dense price-time-priority book in ticks and lots that writes down all that happens.

Sides are 0 bid, 1 ask here; `2 * side - 1` points away from the touch. The functions work on one `Book`.
Neither side is ever emptied: its last order is neither cancelled nor executed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sources.schema import CANCELLED, EXECUTED, PLACED
from sources.simulate.orders.compiled import step

Integers = NDArray[np.int64]

NOBODY, LARGE, GENUINE = -1, 0, 1  # role of an order: of the flow, an episode's large order, its actor's other order

# columns of a written row; the best prices and sizes are those after it
TIME, MESSAGE, ORDER, ACTION, SIDE, TICK, LOTS, LEVEL, BID, BID_LOTS, ASK, ASK_LOTS = range(12)
COLUMNS = 12

# places of `Book.counters`
ROWS, MESSAGES, ORDERS, CLOCK, HEAP, RETURNS, LAST_SIGN, EMITTING = range(8)

# of `Book.levels`, `Book.sides`, and the columns of `Book.orders` and `Book.episodes`
DEPTH, HEAD, TAIL = range(3)
LIVE, BEST, GONE = range(3)
PRICE, LEFT, WAY, NEXT, PREVIOUS, EXPIRY, RESERVE, SHOWN, OWNER, ROLE, THRESHOLD = range(11)
FILLED, OPPOSITE, LAID, ENDED, FIRST = range(5)


class Book(NamedTuple):
    """The state of a session. Few arrays with many columns: each array of a tuple costs Numba compile time.

    levels    (3, 2, window) by side and tick: lots, first and last order of the queue
    orders    (n, 11) by order: tick, lots left, side, next and previous in the queue, expiry, reserve, lots shown at
              first, episode that owns it, role, threshold
    sides     (3, 2): resting orders, best tick, and how many permille of the orders stay away
    heap      (2 n, 2): next expiries as (time, order)
    returns   (n, 5): orders withdrawn for now, as (side, ticks from the value, lots, life left, threshold)
    episodes  (episodes, 5): lots filled, traded on the other side, placed; time of the last end and the first placement
    counters  see above; rows: what happened, by the columns above
    """

    levels: Integers
    orders: Integers
    sides: Integers
    heap: Integers
    returns: Integers
    episodes: Integers
    counters: Integers
    rows: Integers


def empty_book(window: int, orders: int, rows: int, episodes: int) -> Book:
    """A book without orders, with room for so many levels, orders, rows and episodes."""
    levels = np.zeros((3, 2, window), dtype=np.int64)
    levels[HEAD:] = -1
    per_episode = np.zeros((episodes, 5), dtype=np.int64)
    per_episode[:, ENDED:] = -1
    return Book(
        levels=levels,
        orders=np.empty((orders, 11), dtype=np.int64),
        sides=np.zeros((3, 2), dtype=np.int64),
        heap=np.empty((2 * orders, 2), dtype=np.int64),
        returns=np.empty((orders, 5), dtype=np.int64),
        episodes=per_episode,
        counters=np.zeros(8, dtype=np.int64),
        rows=np.empty((rows, COLUMNS), dtype=np.int64),
    )


@step
def begin(b, time):  # type: ignore[no-untyped-def]
    """Start a message: no earlier than the one before."""
    b.counters[CLOCK] = max(b.counters[CLOCK], time)
    b.counters[MESSAGES] += 1


@step
def _write(b, order, action, lots):  # type: ignore[no-untyped-def]
    if b.counters[EMITTING] == 0:
        return
    row = b.rows[b.counters[ROWS]]
    side, tick = b.orders[order, WAY], b.orders[order, PRICE]
    row[TIME], row[MESSAGE], row[ORDER], row[ACTION] = b.counters[CLOCK], b.counters[MESSAGES], order, action
    row[SIDE], row[TICK], row[LOTS], row[LEVEL] = side, tick, lots, b.levels[DEPTH, side, tick]
    row[BID], row[BID_LOTS] = b.sides[BEST, 0], b.levels[DEPTH, 0, b.sides[BEST, 0]]
    row[ASK], row[ASK_LOTS] = b.sides[BEST, 1], b.levels[DEPTH, 1, b.sides[BEST, 1]]
    b.counters[ROWS] += 1


@step
def write_opening(b):  # type: ignore[no-untyped-def]
    """Every resting order as placed, in the order of the queues: one message."""
    begin(b, 0)
    b.counters[EMITTING] = 1
    for side in range(2):
        away = 2 * side - 1
        tick = b.sides[BEST, side]
        while 0 <= tick < b.levels.shape[2]:
            total = np.int64(0)
            order = b.levels[HEAD, side, tick]
            while order >= 0:
                total += b.orders[order, LEFT]
                _write(b, order, PLACED, b.orders[order, LEFT])
                b.rows[b.counters[ROWS] - 1, LEVEL] = total
                order = b.orders[order, NEXT]
            tick += away


@step
def push(b, time, order):  # type: ignore[no-untyped-def]
    """Remember an expiry: a binary heap by (time, order)."""
    at = b.counters[HEAP]
    b.counters[HEAP] += 1
    while at > 0:
        above = (at - 1) // 2
        if b.heap[above, 0] < time or (b.heap[above, 0] == time and b.heap[above, 1] <= order):
            break
        b.heap[at, 0], b.heap[at, 1] = b.heap[above, 0], b.heap[above, 1]
        at = above
    b.heap[at, 0], b.heap[at, 1] = time, order


@step
def pop(b):  # type: ignore[no-untyped-def]
    """The order with the earliest expiry, taken from the heap."""
    found = b.heap[0, 1]
    b.counters[HEAP] -= 1
    size = b.counters[HEAP]
    time, order = b.heap[size, 0], b.heap[size, 1]
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        right = below + 1
        if right < size and (
            b.heap[right, 0] < b.heap[below, 0]
            or (b.heap[right, 0] == b.heap[below, 0] and b.heap[right, 1] < b.heap[below, 1])
        ):
            below = right
        if time < b.heap[below, 0] or (time == b.heap[below, 0] and order < b.heap[below, 1]):
            break
        b.heap[at, 0], b.heap[at, 1] = b.heap[below, 0], b.heap[below, 1]
        at = below
    b.heap[at, 0], b.heap[at, 1] = time, order
    return found


@step
def add(b, side, tick, lots, life, reserve, owner, role, threshold):  # type: ignore[no-untyped-def]
    """Place an order at the end of its queue; a life of 0 never expires. Returns its number."""
    order = b.counters[ORDERS]
    b.counters[ORDERS] += 1
    b.orders[order, PRICE], b.orders[order, LEFT], b.orders[order, WAY] = tick, lots, side
    b.orders[order, RESERVE], b.orders[order, SHOWN] = reserve, lots
    b.orders[order, OWNER], b.orders[order, ROLE], b.orders[order, THRESHOLD] = owner, role, threshold
    last = b.levels[TAIL, side, tick]
    b.orders[order, PREVIOUS], b.orders[order, NEXT] = last, -1
    if last >= 0:
        b.orders[last, NEXT] = order
    else:
        b.levels[HEAD, side, tick] = order
    b.levels[TAIL, side, tick] = order
    b.levels[DEPTH, side, tick] += lots
    if b.sides[LIVE, side] == 0 or (b.sides[BEST, side] - tick) * (2 * side - 1) > 0:
        b.sides[BEST, side] = tick
    b.sides[LIVE, side] += 1
    b.orders[order, EXPIRY] = b.counters[CLOCK] + life if life > 0 else -1
    if life > 0:
        push(b, b.orders[order, EXPIRY], order)
    if owner >= 0 and role == LARGE:
        b.episodes[owner, LAID] += lots
        if b.episodes[owner, FIRST] < 0:
            b.episodes[owner, FIRST] = b.counters[CLOCK]
    _write(b, order, PLACED, lots)
    return order


@step
def _reduce(b, order, lots):  # type: ignore[no-untyped-def]
    """Take lots from an order, and the order from the book if nothing is left."""
    side, tick = b.orders[order, WAY], b.orders[order, PRICE]
    b.orders[order, LEFT] -= lots
    b.levels[DEPTH, side, tick] -= lots
    if b.orders[order, LEFT] > 0:
        return
    before, after = b.orders[order, PREVIOUS], b.orders[order, NEXT]
    if before >= 0:
        b.orders[before, NEXT] = after
    else:
        b.levels[HEAD, side, tick] = after
    if after >= 0:
        b.orders[after, PREVIOUS] = before
    else:
        b.levels[TAIL, side, tick] = before
    b.sides[LIVE, side] -= 1
    if b.sides[LIVE, side] > 0:
        while b.levels[DEPTH, side, b.sides[BEST, side]] == 0:
            b.sides[BEST, side] += 2 * side - 1


@step
def cancel(b, order, lots):  # type: ignore[no-untyped-def]
    """Cancel lots of an order; False where it is the last of its side."""
    if lots == b.orders[order, LEFT] and b.sides[LIVE, b.orders[order, WAY]] == 1:
        return False
    _reduce(b, order, lots)
    if b.orders[order, OWNER] >= 0 and b.orders[order, ROLE] == LARGE:
        b.episodes[b.orders[order, OWNER], ENDED] = b.counters[CLOCK]
    _write(b, order, CANCELLED, lots)
    return True


@step
def take(b, side, lots, limit, episode):  # type: ignore[no-untyped-def]
    """Execute against the resting orders of a side up to the price `limit`; returns the lots that were executed.

    `episode`: whose actor trades, or -1. An iceberg that is used up shows its next part at the end of the queue.
    """
    wanted = lots
    away = 2 * side - 1
    while lots > 0 and (b.sides[BEST, side] - limit) * away <= 0:
        order = b.levels[HEAD, side, b.sides[BEST, side]]
        part = min(lots, b.orders[order, LEFT])
        if part == b.orders[order, LEFT] and b.sides[LIVE, side] == 1:
            break
        _reduce(b, order, part)
        lots -= part
        owner = b.orders[order, OWNER]
        if owner >= 0:
            if b.orders[order, ROLE] == LARGE:
                b.episodes[owner, FILLED] += part
                b.episodes[owner, ENDED] = b.counters[CLOCK]
            else:
                b.episodes[owner, OPPOSITE] += part
        _write(b, order, EXECUTED, part)
        if b.orders[order, LEFT] == 0 and b.orders[order, RESERVE] > 0:
            shown = min(b.orders[order, RESERVE], b.orders[order, SHOWN])
            life = max(b.orders[order, EXPIRY] - b.counters[CLOCK], 1_000_000)
            add(
                b,
                side,
                b.orders[order, PRICE],
                shown,
                life,
                b.orders[order, RESERVE] - shown,
                -1,
                NOBODY,
                b.orders[order, THRESHOLD],
            )
    if episode >= 0:
        b.episodes[episode, OPPOSITE] += wanted - lots
    return wanted - lots
