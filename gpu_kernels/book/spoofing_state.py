"""What the detector of spoofing keeps, and its one step: what a batch runs and a live path calls, row by row.

The state of a segment: `numbers`, `marks` (start), `open_orders` (the large orders that rest now, in no order), and
`outcomes` (what became of earlier ones). `spoofing` has the formulas in words.
"""

import math

import numpy as np

from gpu_kernels._jit import body

OPEN = 128
"""Large orders that are watched at once in a segment; one more takes the place of the oldest."""

SIZES, DISTANCES, AGES = 3, 3, 4
"""Classes of large orders by size, distance and age: what became of earlier ones is counted apart for each."""

CELLS = SIZES * DISTANCES + 1

# numbers: mean level size faded and its weight, the book's mean level size now; of each side's last group its size and
# the score given
NUMBERS = 7
_SIZE, _SIZE_WEIGHT, _SIZE_NOW, _GROUP, _GIVEN = 0, 1, 2, 3, 5

# marks: orders open, time of the last row, whether there was one, the next time an open order is too old; of each
# side's last group the time of its last cancel, of its first order, and lots traded against it before that
MARKS = 10
_COUNT, _TIME, _SEEN, _NEXT, _GROUP_TIME, _GROUP_BEGAN, _GROUP_TRADED = 0, 1, 2, 3, 4, 6, 8

# open_orders
FIELDS = 9
_ROW, _SIDE, _TICK, _BEGAN, _LEFT, _PLACED, _FILLED, _CELL, _BEFORE = range(FIELDS)

# outcomes[cell, age class]: lots of large orders that reached the age class, and of them those that vanished; the last
# cell holds all
REACHED, VANISHED = 0, 1

# spans, in ns but for the first, in ticks; and limits
SPANS, LIMITS = 5, 4
AWAY, MIN_AGE, MAX_AGE, BEFORE, TOGETHER = range(SPANS)
LARGE, HALF_LIFE, CLEAR, OPPOSITE = range(LIMITS)

_PRIOR_ORDERS = 5.0
_UNFILLED = 0.1
_NEVER = np.int64(2**62)


@body
def start(numbers, marks, outcomes):
    """The state at a segment's start: nothing known, nothing open."""
    numbers[:] = 0.0
    marks[:] = 0
    marks[_NEXT] = _NEVER
    outcomes[:] = 0.0
    _forget(numbers, marks)


@body
def _forget(numbers, marks):
    """Nobody knows the book: what was open is dropped, and so are groups that could go on."""
    marks[_COUNT] = 0
    marks[_NEXT] = _NEVER
    for side in range(2):
        marks[_GROUP_TIME + side] = -_NEVER
        numbers[_GROUP + side], numbers[_GIVEN + side] = 0.0, 0.0
    numbers[_SIZE_NOW] = np.nan


@body
def _elapse(numbers, marks, time, half_life):
    """Time goes on to a row; the book before it held until now."""
    if marks[_SEEN] != 0 and time > marks[_TIME] and not math.isnan(numbers[_SIZE_NOW]):
        fading = math.exp(-math.log(2.0) * np.float64(time - marks[_TIME]) / half_life)
        numbers[_SIZE] = numbers[_SIZE] * fading + numbers[_SIZE_NOW] * (1.0 - fading)
        numbers[_SIZE_WEIGHT] = numbers[_SIZE_WEIGHT] * fading + (1.0 - fading)
    marks[_TIME], marks[_SEEN] = time, 1


@body
def _typical_size(numbers):
    """Mean size of the shown levels over the time before this row; NaN before any time has gone by."""
    return numbers[_SIZE] / numbers[_SIZE_WEIGHT] if numbers[_SIZE_WEIGHT] > 0.0 else np.nan


@body
def _age_class(age, max_age):
    """0 for ages below an eighth of the limit, 1 below a quarter, 2 below a half, else 3."""
    return 0 if 8 * age < max_age else 1 if 4 * age < max_age else 2 if 2 * age < max_age else 3


@body
def _cell(ratio, large, distance, away):
    """Class of size (below 2, below 4 times the limit, above) and distance (the same)."""
    size = 0 if ratio < 2.0 * large else 1 if ratio < 4.0 * large else 2
    far = 0 if distance < 2 * away else 1 if distance < 4 * away else 2
    return size * DISTANCES + far


@body
def _vanish_probability(outcomes, cell, age, scale):
    """Share of the volume of earlier orders of that class, of those that reached that age class, that vanished
    unfilled; drawn towards the share in all classes, and that one towards a half, as if by five orders of `scale`."""
    prior = _PRIOR_ORDERS * scale
    last = outcomes.shape[0] - 1
    every = (outcomes[last, age, VANISHED] + 0.5 * prior) / (outcomes[last, age, REACHED] + prior)
    return (outcomes[cell, age, VANISHED] + every * prior) / (outcomes[cell, age, REACHED] + prior)


@body
def _count_outcome(outcomes, cell, age, lots, vanished):
    """Lots of an order left the watch at an age class: they count in each class that they reached."""
    last = outcomes.shape[0] - 1
    for reached in range(age + 1):
        for where in range(2):
            at = cell if where == 0 else last
            outcomes[at, reached, REACHED] += lots
            if vanished:
                outcomes[at, reached, VANISHED] += lots


@body
def _remove(open_orders, marks, k):
    last = marks[_COUNT] - 1
    for field in range(open_orders.shape[1]):
        open_orders[k, field] = open_orders[last, field]
    marks[_COUNT] = last


@body
def _drop_old(open_orders, marks, outcomes, time, max_age):
    """Orders older than `max_age` stayed: they are no longer suspected."""
    if time <= marks[_NEXT]:
        return
    marks[_NEXT] = _NEVER
    k = 0
    while k < marks[_COUNT]:
        until = open_orders[k, _BEGAN] + max_age
        if time > until:
            _count_outcome(outcomes, open_orders[k, _CELL], AGES - 1, np.float64(open_orders[k, _LEFT]), False)
            _remove(open_orders, marks, k)
        else:
            marks[_NEXT] = min(marks[_NEXT], until)
            k += 1


@body
def _open_order(open_orders, marks, row, side, tick, time, placed, cell, traded, max_age):
    """Watch a large order; `traded` is what was traded against it before."""
    k = marks[_COUNT]
    if k == open_orders.shape[0]:
        k = 0
        for other in range(1, open_orders.shape[0]):
            if open_orders[other, _BEGAN] < open_orders[k, _BEGAN]:
                k = other
    else:
        marks[_COUNT] = k + 1
    open_orders[k, _ROW], open_orders[k, _SIDE], open_orders[k, _TICK] = row, side, tick
    open_orders[k, _BEGAN], open_orders[k, _LEFT], open_orders[k, _PLACED] = time, placed, placed
    open_orders[k, _FILLED], open_orders[k, _CELL] = 0, cell
    open_orders[k, _BEFORE] = traded
    marks[_NEXT] = min(marks[_NEXT], time + max_age)


@body
def _opposite_share(traded, expected):
    """How much more was traded than usual: V / (V + E), E what is expected in that time; 0 without trades."""
    volume = np.float64(traded)
    return volume / (volume + expected) if volume > 0.0 else 0.0


@body
def _cancel(numbers, marks, open_orders, k, time, lots, scale, traded, rate, spans, limits):
    """A watched order vanished: (score, when the first order of its group was placed, size of the group in typical
    level sizes, share of trades against it). Cancels of one side that follow within `together` are one group, whose
    score is given in parts: this row's part is what it adds."""
    side = 0 if open_orders[k, _SIDE] > 0 else 1
    fresh = time - marks[_GROUP_TIME + side] > spans[TOGETHER]
    if fresh:
        numbers[_GROUP + side], numbers[_GIVEN + side] = 0.0, 0.0
    if fresh or open_orders[k, _BEGAN] < marks[_GROUP_BEGAN + side]:
        marks[_GROUP_BEGAN + side], marks[_GROUP_TRADED + side] = open_orders[k, _BEGAN], open_orders[k, _BEFORE]
    marks[_GROUP_TIME + side] = time
    numbers[_GROUP + side] += np.float64(lots) / scale
    began, size = marks[_GROUP_BEGAN + side], numbers[_GROUP + side]
    expected = rate * np.float64(time - began + spans[BEFORE])
    share = _opposite_share(traded - marks[_GROUP_TRADED + side], expected)
    evidence = size * (1.0 - limits[OPPOSITE] + limits[OPPOSITE] * share) / limits[CLEAR]
    added = max(math.log(1.0 + evidence * evidence) / math.log(2.0) - numbers[_GIVEN + side], 0.0)
    numbers[_GIVEN + side] += added
    return added, began, size, share


@body
def _mean_level_size(bid_sizes, ask_sizes, row):
    """Mean size of the levels of a book that hold something; NaN where a size is not known or a side is empty."""
    total, held = 0.0, 0
    for level in range(bid_sizes.shape[0]):
        below, above = np.float64(bid_sizes[level, row]), np.float64(ask_sizes[level, row])
        total += below + above
        held += (1 if below != 0.0 else 0) + (1 if above != 0.0 else 0)
    if not (bid_sizes[0, row] > 0 and ask_sizes[0, row] > 0):
        return np.nan
    return total / np.float64(held)


@body
def _position(ticks, sizes, row, tick):
    """Level at which a price is shown, or -1."""
    for level in range(ticks.shape[0]):
        if ticks[level, row] == tick and sizes[level, row] > 0:
            return level
    return -1


@body
def _take(numbers, marks, open_orders, outcomes, time, origin, cancelled, executed, scale, traded, rate, spans, limits):
    """Lots that leave a watched order, if `origin` is one; as `_cancel`."""
    score, began, size, share = 0.0, np.int64(-1), 0.0, 0.0
    k = 0
    while k < marks[_COUNT] and open_orders[k, _ROW] != origin:
        k += 1
    if k < marks[_COUNT]:
        age = time - open_orders[k, _BEGAN]
        lots = min(cancelled, open_orders[k, _LEFT])
        filled = min(executed, open_orders[k, _LEFT] - lots)
        open_orders[k, _LEFT] -= lots + filled
        open_orders[k, _FILLED] += filled
        cell, at = open_orders[k, _CELL], _age_class(age, spans[MAX_AGE])
        _count_outcome(outcomes, cell, at, np.float64(filled), False)
        _count_outcome(outcomes, cell, at, np.float64(lots), True)
        unfilled = np.float64(open_orders[k, _FILLED]) <= _UNFILLED * np.float64(open_orders[k, _PLACED])
        if lots > 0 and age >= spans[MIN_AGE] and unfilled:
            score, began, size, share = _cancel(
                numbers, marks, open_orders, k, time, lots, scale, traded, rate, spans, limits
            )
        if open_orders[k, _LEFT] <= 0:
            _remove(open_orders, marks, k)
    return score, began, size, share


@body
def step(
    numbers,
    marks,
    open_orders,
    outcomes,
    time,
    row,
    side,
    tick,
    placed,
    origin,
    cancelled,
    executed,
    traded,
    earlier,
    rate,
    bids,
    bid_sizes,
    asks,
    ask_sizes,
    spans,
    limits,
):
    """One row: (score, began, size of the group, share of trades against it). `traded`
    are the lots that the aggressors of the other side have traded so far, `earlier` those until `before_ns` ago, `rate`
    their mean rate: who shows bids wants to sell, so the trades looked for are those that sellers began."""
    _elapse(numbers, marks, time, limits[HALF_LIFE])
    if math.isnan(np.float64(bid_sizes[0, row])) or math.isnan(np.float64(ask_sizes[0, row])):
        _forget(numbers, marks)
        return np.nan, np.int64(-1), np.nan, np.nan
    scale = _typical_size(numbers)
    numbers[_SIZE_NOW] = _mean_level_size(bid_sizes, ask_sizes, row)
    _drop_old(open_orders, marks, outcomes, time, spans[MAX_AGE])
    score, began, size, share = 0.0, np.int64(-1), 0.0, 0.0
    if origin >= 0:
        score, began, size, share = _take(
            numbers, marks, open_orders, outcomes, time, origin, cancelled, executed, scale, traded, rate, spans, limits
        )
    if placed > 0 and np.float64(placed) >= limits[LARGE] * scale:
        ticks, sizes = (bids, bid_sizes) if side > 0 else (asks, ask_sizes)
        level = _position(ticks, sizes, row, tick)
        distance = side * (ticks[0, row] - tick)
        if level > 0 and distance >= spans[AWAY]:
            cell = _cell(np.float64(placed) / scale, limits[LARGE], distance, spans[AWAY])
            _open_order(open_orders, marks, row, side, tick, time, placed, cell, earlier, spans[MAX_AGE])
    return score, began, size, share


@body
def _suspected(numbers, marks, open_orders, outcomes, k, time, max_age):
    """Of open order k: lots that are expected to vanish, given its class and age."""
    age = _age_class(time - open_orders[k, _BEGAN], max_age)
    probability = _vanish_probability(outcomes, open_orders[k, _CELL], age, _typical_size(numbers))
    return np.float64(open_orders[k, _LEFT]) * probability


@body
def clean(
    numbers, marks, open_orders, outcomes, time, row, bids, bid_sizes, asks, ask_sizes, max_age, clean_bids, clean_asks
):
    """Sizes of a row's levels without what is suspected there."""
    for level in range(bids.shape[0]):
        clean_bids[level, row] = np.float64(bid_sizes[level, row])
        clean_asks[level, row] = np.float64(ask_sizes[level, row])
    for k in range(marks[_COUNT]):
        suspected = _suspected(numbers, marks, open_orders, outcomes, k, time, max_age)
        is_bid = open_orders[k, _SIDE] > 0
        ticks, sizes = (bids, clean_bids) if is_bid else (asks, clean_asks)
        level = _position(ticks, sizes, row, open_orders[k, _TICK])
        if level >= 0:
            sizes[level, row] = max(sizes[level, row] - suspected, 0.0)
