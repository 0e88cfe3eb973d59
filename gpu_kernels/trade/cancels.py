"""Cancels read from level-2 updates: what left a price level and was not traded there.

A segment's levels lie in a table of open addresses, so that prices far apart cost nothing.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.hash_table import EMPTY, places_for, slot
from gpu_kernels.trade.columns import small_column

LEVELS = 1 << 17
"""Default limit on the price levels that a segment names: 131,072 of them take 10 MiB while the segment is read."""

_SNAPSHOT, _GAP = 1, 2


@body
def _level(keys, book, used, tick, is_bid, epoch):
    """Place of a level, made where it is new, emptied where it is older than the last snapshot. `book` (4, places):
    lots resting, lots traded and not yet seen to leave, time of the last such trade, epoch."""
    key = 2 * tick + (1 if is_bid else 0)
    place = slot(keys, key)
    if keys[place] != key:
        used[0] += 1
    if keys[place] != key or book[3, place] != epoch:
        keys[place] = key
        book[0, place], book[1, place], book[2, place], book[3, place] = 0, 0, 0, epoch
    return place


@body
def _trade_step(keys, book, used, epoch, time, tick, aggressor, lots):
    """A trade takes from the side that it hit: bids where a seller began it."""
    if aggressor != 0 and lots > 0 and tick >= 0:
        place = _level(keys, book, used, tick, aggressor < 0, epoch)
        book[1, place] += lots
        book[2, place] = time


@body
def _update_step(keys, book, used, epoch, time, tick, is_bid, lots, patience_ns):
    """(lots cancelled, lots executed) that an update of a level shows."""
    place = _level(keys, book, used, tick, is_bid, epoch)
    left = max(book[0, place] - lots, 0)
    traded = book[1, place] if time - book[2, place] <= patience_ns else 0
    executed = min(left, traded)
    book[0, place], book[1, place] = lots, traded - executed
    return left - executed, executed


@body
def _cancels_segment(
    time,
    tick,
    lots,
    side,
    action,
    start,
    stop,
    trade_time,
    trade_tick,
    trade_lots,
    aggressor,
    trade,
    last,
    patience_ns,
    keys,
    book,
    used,
    cancelled,
    executed,
):
    keys[:] = EMPTY
    epoch, known, limit = np.int64(0), True, keys.shape[0] // 2
    for row in range(start, stop):
        cancelled[row], executed[row] = 0, 0
        while trade <= last[row] and used[0] < limit:
            quantity, by = trade_lots[trade], aggressor[trade]
            _trade_step(keys, book, used, epoch, trade_time[trade], trade_tick[trade], by, quantity)
            trade += 1
        if action[row] == _GAP:
            known = False
        elif action[row] == _SNAPSHOT:
            epoch, known = epoch + 1, True
        if known and action[row] != _GAP and tick[row] >= 0 and lots[row] >= 0 and used[0] < limit:
            cancelled[row], executed[row] = _update_step(
                keys, book, used, epoch, time[row], tick[row], side[row] > 0, lots[row], patience_ns
            )


@cpu_loop
def _cancels_cpu(
    time,
    tick,
    lots,
    side,
    action,
    offsets,
    trade_time,
    trade_tick,
    trade_lots,
    aggressor,
    trade_offsets,
    last,
    patience_ns,
    places,
    used,
    cancelled,
    executed,
):
    for s in prange(offsets.shape[0] - 1):
        keys, book = np.empty(places[s], np.int64), np.empty((4, places[s]), np.int64)
        _cancels_segment(
            time,
            tick,
            lots,
            side,
            action,
            offsets[s],
            offsets[s + 1],
            trade_time,
            trade_tick,
            trade_lots,
            aggressor,
            trade_offsets[s],
            last,
            patience_ns,
            keys,
            book,
            used[s],
            cancelled,
            executed,
        )


@cuda.jit
def _cancels_cuda(
    time,
    tick,
    lots,
    side,
    action,
    offsets,
    trade_time,
    trade_tick,
    trade_lots,
    aggressor,
    trade_offsets,
    last,
    patience_ns,
    begins,
    keys,
    book,
    used,
    cancelled,
    executed,
):
    s = cuda.grid(1)
    if s < offsets.shape[0] - 1:
        _cancels_segment(
            time,
            tick,
            lots,
            side,
            action,
            offsets[s],
            offsets[s + 1],
            trade_time,
            trade_tick,
            trade_lots,
            aggressor,
            trade_offsets[s],
            last,
            patience_ns,
            keys[begins[s] : begins[s + 1]],
            book[:, begins[s] : begins[s + 1]],
            used[s],
            cancelled,
            executed,
        )


def inferred_cancels(
    time: Array,
    price_ticks: Array,
    lots: Array,
    side: Array,
    action: Array,
    offsets: Array,
    trade_time: Array,
    trade_ticks: Array,
    trade_lots: Array,
    aggressor: Array,
    trade_offsets: Array,
    *,
    patience_ns: int,
    levels: int = LEVELS,
) -> tuple[Array, Array]:
    """Lots that each level-2 update shows to have been cancelled, and to have been executed: by how much the level's
    size fell, split into what trades at that level explain and the rest.

    A trade with trade_time <= time is set against the next falls of the level that it hit, for `patience_ns` after it.
    Where a feed tells a trade after the update that it caused, the update's fall counts as cancelled; and size that
    came and went between two updates is not seen, so this is a lower bound on cancels in between.
    time, price_ticks, lots   (n,) int64 of book updates: ns never falling in a segment, ticks of at least 0, the size
                          now resting there
    side, action          (n,) int8 or int64 as in the table `book_update`: +1 bid, -1 ask; 0 sets the level, 1 after
                          emptying the book, 2 messages were lost: nothing is read until the next 1
    trade_time, trade_ticks, trade_lots, aggressor   (m,) as above; +1 buyer, -1 seller, 0 (left out)
    patience_ns           at least 0; levels, the most price levels a segment may name
    returns               cancelled, executed (n,) int64 lots, known at each update

    Missing values: updates whose ticks or lots are below 0 are left out (0 and 0).
    Raises: ArgumentError (also where a time falls, the segments differ in number, or a segment names more than `levels`
    levels), DeviceError.
    """
    patience_ns = positive("patience_ns", patience_ns, minimum=0, maximum=2**61)
    levels = positive("levels", levels, maximum=2**30)
    rows = Rows(offsets, times={"time": time, "price_ticks": price_ticks, "lots": lots})
    sides, actions = small_column("side", side, rows), small_column("action", action, rows)
    table = {"trade_time": trade_time, "trade_ticks": trade_ticks, "trade_lots": trade_lots}
    trades = Rows(trade_offsets, times=table, offsets_name="trade_offsets")
    by = small_column("aggressor", aggressor, trades)
    last = last_index(trades.columns[0], trades.offsets, rows.columns[0], rows.offsets)
    cancelled, executed = (rows.empty(rows.count, np.int64) for _ in range(2))
    if rows.count == 0:
        return cancelled, executed
    named = np.diff(rows.host_offsets) + np.diff(trades.host_offsets)
    places = places_for(np.minimum(named, levels))  # one more than `levels`, so that the limit is seen to be passed
    used = to_side(np.zeros((rows.segments, 1), np.int64), like=rows.offsets)
    shared = (*rows.columns, sides, actions, rows.offsets, *trades.columns, by, trades.offsets, last, patience_ns)
    if rows.device:
        begins = np.concatenate([[0], np.cumsum(places)]).astype(np.int64)
        keys, book = rows.empty(int(begins[-1]), np.int64), rows.empty((4, int(begins[-1])), np.int64)
        found = (to_side(begins, like=rows.offsets), keys, book, used, cancelled, executed)
        _cancels_cuda[grid_of(rows.segments)](*shared, *found)
    else:
        on_cpu(_cancels_cpu, rows.count, rows.segments)(*shared, places, used, cancelled, executed)
    if (full := to_host(used)[:, 0] >= places // 2).any():
        raise ArgumentError(
            f"segment {int(full.argmax())} names more price levels than levels={levels}",
            allowed="levels, or fewer",
            hint="raise levels (80 bytes each)",
        )
    return cancelled, executed
