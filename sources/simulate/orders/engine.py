"""The loop of a session: order flow from outside, expiries, and the actions of episodes, in the order of time.

An arrival's draws are words of a counter-based stream, indexed by the arrival, so that arrival k is the same whatever
the book looks like when it comes: what the state changes is only what becomes of it.
"""

import numpy as np

from sources.simulate.orders.compiled import loop, step
from sources.simulate.orders.episodes import CANCEL, FINISH, HIT, MEET, PLACE, REFILL, SWEEP, WITHDRAW, WORK
from sources.simulate.orders.flow import GRID, QUANTILES, WARM_UP, chance, word
from sources.simulate.orders.matching import (
    BEST,
    CLOCK,
    DEPTH,
    EMITTING,
    EXPIRY,
    GENUINE,
    GONE,
    HEAD,
    HEAP,
    LARGE,
    LAST_SIGN,
    LEFT,
    LIVE,
    NEXT,
    NOBODY,
    OPPOSITE,
    ORDERS,
    OWNER,
    PREVIOUS,
    PRICE,
    RETURNS,
    ROLE,
    ROWS,
    TAIL,
    THRESHOLD,
    WAY,
    add,
    begin,
    cancel,
    pop,
    push,
    take,
    write_opening,
)

DONE, FULL = 0, 1
REQUOTES = 0.15  # share of the arrivals that cancel quotes which the value has nearly overtaken
PULL = 1.5  # ticks by which a spoof of ten typical levels moves the value its way, with effects
OVERSHOOT = 0.7  # share of it by which the value ends up on the other side once the spoof is gone
PULL_TIME = 1.5  # seconds in which the value follows
_NEARLY, _PULLED = 0.15, 5  # ticks before it has; orders cancelled at a time
_MASK = np.uint64(QUANTILES - 1)
_SAME_SIGN = 0.7  # of a market order as of the one before: large orders are split
_AT_BEST = 0.85  # market orders that take no more than the best level
_DEEPEST = 5  # ticks that the others may walk
_PARTIAL = 20  # one in so many expiries cancels half first
REACTION = 500_000  # ns in which a spoofer leaves when the price reaches its orders
_STEP = 20_000  # least ns between messages of one burst
_MANY = np.int64(1) << 40


@step
def _limit_order(b, key, k, value, lives, distances, sizes, icebergs, unit):  # type: ignore[no-untyped-def]
    """An arriving limit order: it joins, improves or lies behind its side's best price, never on the wrong side of the
    value, never across the spread."""
    mid = 0.5 * (b.sides[BEST, 0] + b.sides[BEST, 1])
    side = 0 if chance(word(key, 8 * k + 1)) < 0.5 + min(0.35, max(-0.35, 0.4 * (value - mid))) else 1
    other = word(key, 8 * k + 6)
    threshold = np.int64((other >> np.uint64(20)) % np.uint64(1000))
    if threshold < b.sides[GONE, side]:
        return
    away = 2 * side - 1
    life_at = word(key, 8 * k + 3) & _MASK
    distance = distances[word(key, 8 * k + 2) & _MASK]
    if life_at < QUANTILES // 5:  # what flickers does so at the touch
        distance %= 2
    inside = word(key, 8 * k + 4)
    spread = b.sides[BEST, 1] - b.sides[BEST, 0]
    if distance == 0 and spread > 1 and chance(inside) * 1000.0 < 0.6 * (1000 - b.sides[GONE, side] // 2):
        distance = -1 - np.int64((inside & np.uint64(0xFFFF)) % np.uint64(spread - 1))
    tick = b.sides[BEST, side] + away * distance
    if side == 0:
        tick = min(tick, np.int64(np.floor(value)), b.sides[BEST, 1] - 1)
    else:
        tick = max(tick, np.int64(np.ceil(value)), b.sides[BEST, 0] + 1)
    if not 0 < tick < b.levels.shape[2] - 1:
        return
    lots = sizes[word(key, 8 * k + 5) & _MASK]
    if (other & np.uint64(0xFF)) % np.uint64(10) < np.uint64(3):  # people like round numbers
        lots = max(unit, (lots + unit // 2) // unit * unit)
    reserve = 0
    if chance(word(key, 8 * k + 7)) < icebergs:
        reserve = lots * (2 + np.int64((other >> np.uint64(8)) % np.uint64(5)))
    add(b, side, tick, lots, lives[life_at], reserve, -1, NOBODY, threshold)


@step
def _market_order(b, key, k, value, sizes):  # type: ignore[no-untyped-def]
    """An arriving market order: mostly of the last one's sign, else leaning to the value and the larger best size."""
    if chance(word(key, 8 * k + 4)) * 1000.0 < 0.8 * max(b.sides[GONE, 0], b.sides[GONE, 1]):
        return
    sign = b.counters[LAST_SIGN]
    if chance(word(key, 8 * k + 1)) >= _SAME_SIGN:
        bid, ask = b.levels[DEPTH, 0, b.sides[BEST, 0]], b.levels[DEPTH, 1, b.sides[BEST, 1]]
        lean = 0.5 * (value - 0.5 * (b.sides[BEST, 0] + b.sides[BEST, 1])) + 0.15 * (bid - ask) / np.float64(bid + ask)
        sign = 1 if chance(word(key, 8 * k + 2)) < 0.5 + min(0.45, max(-0.45, lean)) else -1
    b.counters[LAST_SIGN] = sign
    side = 1 if sign > 0 else 0
    lots = sizes[word(key, 8 * k + 5) & _MASK]
    if chance(word(key, 8 * k + 3)) < _AT_BEST:
        lots = min(lots, b.levels[DEPTH, side, b.sides[BEST, side]])
    take(b, side, lots, b.sides[BEST, side] + (2 * side - 1) * _DEEPEST, -1)


@step
def _requote(b, value):  # type: ignore[no-untyped-def]
    """Cancel the newest orders of a best price that the value has overtaken."""
    if value > b.sides[BEST, 1] - _NEARLY:
        side = 1
    elif value < b.sides[BEST, 0] + _NEARLY:
        side = 0
    else:
        return
    for _ in range(_PULLED):
        tick = b.sides[BEST, side]
        order = b.levels[TAIL, side, tick]
        if b.orders[order, OWNER] >= 0 or (value - tick) * (2 * side - 1) < -_NEARLY:
            return
        if not cancel(b, order, b.orders[order, LEFT]):
            return
        begin(b, b.counters[CLOCK] + _STEP)


@step
def _expire(b, key, lives):  # type: ignore[no-untyped-def]
    """The order whose time has come leaves the book, now and then in two halves."""
    time, order = b.heap[0, 0], pop(b)
    if b.orders[order, LEFT] == 0 or b.orders[order, EXPIRY] != time:
        return
    begin(b, time)
    drawn = word(key, order)
    half = b.orders[order, LEFT] // 2
    again = b.counters[CLOCK] + lives[(drawn >> np.uint64(30)) & _MASK]
    if half > 0 and drawn % np.uint64(_PARTIAL) == 0:
        cancel(b, order, half)
    elif cancel(b, order, b.orders[order, LEFT]):
        return
    b.orders[order, EXPIRY] = again
    push(b, again, order)


@step
def _withdraw(b, key, side, value):  # type: ignore[no-untyped-def]
    """Cancel the orders whose threshold lies below the side's share that is gone, from the touch outwards."""
    away = 2 * side - 1
    tick = b.sides[BEST, side]
    while 0 <= tick < b.levels.shape[2]:
        order = b.levels[HEAD, side, tick]
        while order >= 0:
            after = b.orders[order, NEXT]
            left = b.orders[order, LEFT]
            if b.orders[order, OWNER] < 0 and b.orders[order, THRESHOLD] < b.sides[GONE, side]:
                begin(b, b.counters[CLOCK] + _STEP + np.int64(word(key, order) % np.uint64(4 * _STEP)))
                life = b.orders[order, EXPIRY] - b.counters[CLOCK]
                if cancel(b, order, left):
                    off = np.int64(abs(value - tick))
                    row = b.returns[b.counters[RETURNS]]
                    row[0], row[1], row[2], row[3], row[4] = side, off, left, life, b.orders[order, THRESHOLD]
                    b.counters[RETURNS] += 1
            order = after
        tick += away


@step
def _beside(b, side, value, off):  # type: ignore[no-untyped-def]
    """The tick `off` ticks from the value on a side, not across the spread."""
    if side == 0:
        return max(min(np.int64(np.floor(value)) - off, b.sides[BEST, 1] - 1), 1)
    return min(max(np.int64(np.ceil(value)) + off, b.sides[BEST, 0] + 1), b.levels.shape[2] - 2)


@step
def _return(b, value):  # type: ignore[no-untyped-def]
    """Place again what was withdrawn and is wanted back, as far from the value as it was."""
    for at in range(b.counters[RETURNS]):
        side, off, lots, life, threshold = b.returns[at]
        if lots > 0 and threshold >= b.sides[GONE, side]:
            begin(b, b.counters[CLOCK] + _STEP)
            add(b, side, _beside(b, side, value, off), lots, max(life, 2_000_000_000), 0, -1, NOBODY, threshold)
            b.returns[at, 2] = 0
    if b.sides[GONE, 0] == 0 and b.sides[GONE, 1] == 0:
        b.counters[RETURNS] = 0


@step
def _owned(b, since, episode, role):  # type: ignore[no-untyped-def]
    """The first resting order of an episode and role, or -1."""
    for order in range(max(since, 0), b.counters[ORDERS]):
        if b.orders[order, OWNER] == episode and b.orders[order, ROLE] == role and b.orders[order, LEFT] > 0:
            return order
    return -1


@step
def _leave(b, since, episode, role):  # type: ignore[no-untyped-def]
    """Cancel what rests of an episode's orders of a role; returns the lots."""
    total = np.int64(0)
    order = _owned(b, since, episode, role)
    while order >= 0:
        begin(b, b.counters[CLOCK] + _STEP)
        left = b.orders[order, LEFT]
        if not cancel(b, order, left):
            break
        total += left
        order = _owned(b, order, episode, role)
    return total


@step
def _hit(b, sign, lots, episode):  # type: ignore[no-untyped-def]
    """The actor's own market order: the best level, and a second one if it must."""
    side = 1 if sign > 0 else 0
    take(b, side, lots, b.sides[BEST, side] + 2 * (2 * side - 1), episode)


@step
def _meet(b, order, last):  # type: ignore[no-untyped-def]
    """Execute everything up to the end of an order, if it lies within two ticks of the touch (`last`: wherever)."""
    side, tick = b.orders[order, WAY], b.orders[order, PRICE]
    away = 2 * side - 1
    if not last and (tick - b.sides[BEST, side]) * away > 2:
        return
    while b.orders[order, LEFT] > 0:
        ahead = b.levels[DEPTH, side, b.sides[BEST, side]]
        if b.sides[BEST, side] == tick:
            before = b.orders[order, PREVIOUS]
            ahead = b.orders[order, LEFT]
            while before >= 0:
                ahead += b.orders[before, LEFT]
                before = b.orders[before, PREVIOUS]
        if take(b, side, ahead, tick, -1) == 0:
            return


@step
def _refill(b, key, side, value, levels, lots, lives):  # type: ignore[no-untyped-def]
    """One order on each of the first levels beside the value."""
    for level in range(levels):
        begin(b, b.counters[CLOCK] + _STEP)
        drawn = word(key, b.counters[ORDERS])
        size = max(1, lots * (500 + np.int64(drawn % np.uint64(1000))) // 1000)
        life = lives[(drawn >> np.uint64(30)) & _MASK]
        threshold = np.int64((drawn >> np.uint64(48)) % np.uint64(1000))
        add(b, side, _beside(b, side, value, level), size, life, 0, -1, NOBODY, threshold)


@loop
def run(  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915
    b, key, times, values, base, duration, tables, shares, unit, actions, since, spoofing, strengths, effects, typical
):
    """Play one session into `b`. Returns DONE, or FULL where its arrays were too short: give it longer ones.

    times      arrivals, ns after the open; values: the latent value every GRID ns, `base`: tick of the window's start
    tables     lives, distances, lots of limit and of market orders; shares: of market orders and of icebergs
    since      int64 (episodes,): the number of its first order; spoofing: whether it is a spoof; strengths as planned
    typical    float64 (1 + episodes,): running mean size of a level, and its value at the start of each episode
    """
    lives, distances, limit_sizes, market_sizes = tables
    market_share, icebergs = shares
    steady = word(key, -1)
    flow, order_key = word(key, -2), word(key, -3)
    b.counters[CLOCK], b.counters[LAST_SIGN] = -WARM_UP, 1
    middle = np.int64(np.floor(values[0])) - base
    for level in range(60):
        for side in range(2):
            life = 1_000_000_000 * (20 + 10 * level)
            threshold = np.int64(word(steady, 2 * level + side) % np.uint64(1000))
            add(b, side, middle + side + (2 * side - 1) * level, unit * 4, life, 0, -1, NOBODY, threshold)
    shift, target, shifted = 0.0, 0.0, np.int64(0)
    active, urgent = -1, _MANY * 4096
    pull, nearest = 0.0, np.int64(0)
    k, a = 0, 0
    while True:
        arrival = times[k] if k < len(times) else duration
        action = actions[a, 0] if a < len(actions) else duration
        expiry = b.heap[0, 0] if b.counters[HEAP] > 0 else duration
        now = min(arrival, action, expiry, urgent)
        if b.counters[EMITTING] == 0 and now >= 0:
            write_opening(b)
        if now >= duration:
            return DONE
        live = b.sides[LIVE, 0] + b.sides[LIVE, 1]
        if b.counters[ORDERS] + 2 * live + 1000 > len(b.orders) or b.counters[ROWS] + 4 * live + 4000 > len(b.rows):
            return FULL
        value = values[max(now, 0) // GRID] - base
        if now > shifted:
            shift = target + (shift - target) * np.exp(-(now - shifted) * (1e-9 / PULL_TIME))
            shifted = now
        value += shift

        if now == urgent:  # the price has come to the spoof: out of it at once
            begin(b, now)
            sign = 2 * b.orders[since[active], WAY] - 1
            if b.episodes[active, OPPOSITE] == 0:
                _hit(b, sign, max(1, np.int64(0.3 * typical[0])), active)
            _leave(b, since[active], active, GENUINE)
            _leave(b, since[active], active, LARGE)
            target -= pull * (1 + OVERSHOOT)
            active, urgent = -1, _MANY * 4096
        elif now == expiry:
            _expire(b, order_key, lives)
        elif now == action:
            _, code, episode, sign, first, second = actions[a]
            a += 1
            side = 0 if sign > 0 else 1
            lots = max(1, np.int64(second * typical[0]) // 1000)
            if code != WITHDRAW and typical[1 + episode] == 0:
                typical[1 + episode] = typical[0]
            over = spoofing[episode] and since[episode] >= 0 and active != episode
            if over:
                continue
            begin(b, now)
            if code == PLACE:
                tick = min(max(b.sides[BEST, side] + (2 * side - 1) * first, 1), b.levels.shape[2] - 2)
                order = add(b, side, tick, lots, 0, 0, episode, LARGE, 1000)
                if since[episode] < 0:
                    since[episode] = order
                    nearest = tick
                    if spoofing[episode]:
                        active = episode
                        pull = sign * PULL * min(2.0, strengths[episode] / 10.0) if effects else 0.0
                        target += pull
                nearest = max(nearest, tick) if side == 0 else min(nearest, tick)
            elif code == HIT:
                _hit(b, sign, lots, episode)
            elif code == WORK:
                add(b, side, b.sides[BEST, side], lots, 0, 0, episode, GENUINE, 1000)
            elif code == FINISH:
                # what rests was placed by the sign's side; the rest is taken from the other one
                rest = _leave(b, since[episode], episode, GENUINE)
                if rest > 0 or b.episodes[episode, OPPOSITE] == 0:
                    begin(b, b.counters[CLOCK] + _STEP)
                    _hit(b, sign, max(rest, 1), episode)
            elif code == CANCEL:
                _leave(b, since[episode], episode, LARGE)
                if spoofing[episode]:
                    target -= pull * (1 + OVERSHOOT)
                    active, urgent = -1, _MANY * 4096
            elif code == MEET:
                order = _owned(b, since[episode], episode, LARGE)
                if order >= 0:
                    _meet(b, order, first < 0)
            elif code == SWEEP:
                side = 1 if sign > 0 else 0
                take(b, side, _MANY, b.sides[BEST, side] + (2 * side - 1) * (first - 1), -1)
            elif code == REFILL:
                _refill(b, order_key, side, value, first, lots, lives)
            elif code == WITHDRAW:
                rises = False
                for way in range(2):
                    if sign == 0 or way == side:
                        rises = first > b.sides[GONE, way]
                        b.sides[GONE, way] = first
                        if typical[1 + episode] == 0:
                            typical[1 + episode] = typical[0]
                        if rises:
                            _withdraw(b, order_key, way, value)
                if not rises:
                    _return(b, value)
        else:
            begin(b, now)
            kind = chance(word(flow, 8 * k))
            if kind < market_share:
                _market_order(b, flow, k, value, market_sizes)
            elif kind < market_share + REQUOTES:
                _requote(b, value)
            else:
                _limit_order(b, flow, k, value, lives, distances, limit_sizes, icebergs, unit)
            k += 1
            if b.sides[GONE, 0] == 0 and b.sides[GONE, 1] == 0:
                total = np.int64(0)
                for level in range(5):
                    total += (
                        b.levels[DEPTH, 0, max(b.sides[BEST, 0] - level, 0)]
                        + b.levels[DEPTH, 1, min(b.sides[BEST, 1] + level, b.levels.shape[2] - 1)]
                    )
                weight = 1.0 / min(k, 2000)
                typical[0] += weight * (0.1 * total - typical[0])
        if active >= 0 and urgent > duration:
            side = b.orders[since[active], WAY]
            if (b.sides[BEST, side] - nearest) * (2 * side - 1) >= 0:
                urgent = b.counters[CLOCK] + REACTION
