"""One side of a book: sizes by tick in a dense window around its best price, and a sorted list of what rests beyond it.

Levels are named by rank, which rises from the best price to the worst on both sides: an ask's rank is its tick, a bid's
its negative. The window holds the ranks low to low + width - 1, each at the place rank modulo width, so that moving it
moves nothing but the levels that leave and enter; a bit a place says where something rests, and 64 places are looked at
at a time. It is moved where a better price comes, and where the best one has left its first half. Every level further
out is in the far list, in order. So memory and time depend on how many levels there are, not on how far they lie apart.

Bodies take the state of both sides, and `way`, 0 for bids and 1 for asks. (Array by array: a tuple of them would be
counted in and out of every call.)
sizes       (2, width), width a power of two and at least `SMALLEST_WIDTH`; not read where the bit is 0
bits        (2, width / 64) uint64
far_ranks, far_sizes   as long as the updates of both sides: bids from 0 on, asks from `FAR_BEGIN` of theirs on. A level
            that was removed keeps its place with size 0, until most of them are such.
head        (2, `HEAD`) int64, see the names below
"""

import numpy as np

from gpu_kernels._jit import body, lowest_bit, step_body

LOW, BEST, COUNT, FAR_BEGIN, FAR_END, FAR_COUNT = range(6)
"""Of `head`: the window's first rank, a multiple of 64; a rank that none is better than; how many levels rest in the
window; where the side's part of the far list begins and ends; how many levels rest there."""

NO_RANK = 1 << 62
"""Worse than every rank."""

WORD = 64
SMALLEST_WIDTH = 4 * WORD
"""So that a best level a quarter of the window in, rounded to a whole word, lies in its first half."""

_ONE, _ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)


@body
def clear(bits, head, way):
    """Nothing rests on a side."""
    for place in range(bits.shape[1]):
        bits[way, place] = 0
    # whatever comes first is better, and brings the window to it
    head[way, LOW], head[way, BEST] = NO_RANK, NO_RANK
    head[way, COUNT], head[way, FAR_END], head[way, FAR_COUNT] = 0, head[way, FAR_BEGIN], 0


@body
def rests(bits, head, way, rank):
    """Whether something rests at a rank, and in the window."""
    inside = (rank >= head[way, LOW]) and (rank - head[way, LOW] < bits.shape[1] * WORD)
    return inside and (bits[way, (rank >> 6) & (bits.shape[1] - 1)] >> np.uint64(rank & (WORD - 1))) & _ONE != 0


@body
def next_rank(bits, way, rank):
    """The first rank from `rank` on at which something rests in the window, where there is one."""
    last_word = bits.shape[1] - 1
    first = rank & ~np.int64(WORD - 1)
    place = (rank >> 6) & last_word
    word = bits[way, place] & (_ALL << np.uint64(rank & (WORD - 1)))
    while word == 0:
        place = (place + 1) & last_word
        first += WORD
        word = bits[way, place]
    return first + lowest_bit(word)


@body
def far_place(far_ranks, head, way, rank):
    """The first place of the far list whose rank is at least `rank`."""
    start, stop = head[way, FAR_BEGIN], head[way, FAR_END]
    while start < stop:
        middle = (start + stop) // 2
        if far_ranks[middle] < rank:
            start = middle + 1
        else:
            stop = middle
    return start


@body
def _shift_far(far_ranks, far_sizes, head, way, begin, by):
    """Move the far list from place `begin` on by `by` places."""
    end = head[way, FAR_END]
    for step in range(end - begin):
        place = end - 1 - step if by > 0 else begin + step
        far_ranks[place + by], far_sizes[place + by] = far_ranks[place], far_sizes[place]
    head[way, FAR_END] = end + by


@body
def _tidy_far(far_ranks, far_sizes, head, way):
    """Take out the levels that were removed."""
    end = head[way, FAR_BEGIN]
    for place in range(head[way, FAR_BEGIN], head[way, FAR_END]):
        if far_sizes[place] > 0.0:
            far_ranks[end], far_sizes[end] = far_ranks[place], far_sizes[place]
            end += 1
    head[way, FAR_END] = end


@body
def _set_far(far_ranks, far_sizes, head, way, rank, quantity):
    if head[way, FAR_END] - head[way, FAR_BEGIN] > 2 * head[way, FAR_COUNT] + WORD:
        _tidy_far(far_ranks, far_sizes, head, way)
    place = far_place(far_ranks, head, way, rank)
    if place < head[way, FAR_END] and far_ranks[place] == rank:
        head[way, FAR_COUNT] += np.int64(quantity > 0.0) - np.int64(far_sizes[place] > 0.0)
        far_sizes[place] = quantity
    elif quantity > 0.0:
        _shift_far(far_ranks, far_sizes, head, way, place, 1)
        far_ranks[place], far_sizes[place] = rank, quantity
        head[way, FAR_COUNT] += 1


@body
def _move(sizes, bits, far_ranks, far_sizes, head, way, best):
    """Move the window so that a quarter of it lies before `best`, which no level is better than."""
    width = sizes.shape[1]
    mask, last_word = width - 1, bits.shape[1] - 1
    before, low = head[way, LOW], (best - width // 4) & ~np.int64(WORD - 1)
    begin = head[way, FAR_BEGIN]
    head[way, LOW] = low
    if head[way, COUNT] > 0 and low < before:
        # what is now beyond the window goes to the front of the far list, the best first
        leaving, rank = 0, max(before, low + width)
        for word in range(rank, before + width, WORD):
            held = bits[way, (word >> 6) & last_word]
            while held != 0:
                held &= held - _ONE
                leaving += 1
        _shift_far(far_ranks, far_sizes, head, way, begin, leaving)
        for place in range(begin, begin + leaving):
            rank = next_rank(bits, way, rank)
            far_ranks[place], far_sizes[place] = rank, sizes[way, rank & mask]
            bits[way, (rank >> 6) & last_word] ^= _ONE << np.uint64(rank & (WORD - 1))
        head[way, COUNT] -= leaving
        head[way, FAR_COUNT] += leaving
    else:
        end = far_place(far_ranks, head, way, low + width)
        for place in range(begin, end):
            if far_sizes[place] > 0.0:
                rank = far_ranks[place]
                sizes[way, rank & mask] = far_sizes[place]
                bits[way, (rank >> 6) & last_word] |= _ONE << np.uint64(rank & (WORD - 1))
                head[way, COUNT] += 1
                head[way, FAR_COUNT] -= 1
        if end > begin:
            _shift_far(far_ranks, far_sizes, head, way, end, begin - end)


@body
def _set_outside(sizes, bits, far_ranks, far_sizes, head, way, rank, quantity):
    """Of a rank outside the window: whether it lies in the window now that the window was moved to it."""
    if rank < head[way, LOW]:
        if quantity > 0.0:
            _move(sizes, bits, far_ranks, far_sizes, head, way, rank)
            return True
    else:
        _set_far(far_ranks, far_sizes, head, way, rank, quantity)
    return False


@step_body
def set_level(sizes, bits, far_ranks, far_sizes, head, way, rank, quantity):
    """`quantity` is now all that rests at `rank`."""
    width = sizes.shape[1]
    inside = (rank >= head[way, LOW]) and (rank - head[way, LOW] < width)
    if inside or _set_outside(sizes, bits, far_ranks, far_sizes, head, way, rank, quantity):
        sizes[way, rank & (width - 1)] = quantity
        place, bit = (rank >> 6) & (bits.shape[1] - 1), np.uint64(rank & (WORD - 1))
        word, present = bits[way, place], np.uint64(quantity > 0.0)
        head[way, COUNT] += np.int64(present) - np.int64((word >> bit) & _ONE)
        bits[way, place] = (word & ~(_ONE << bit)) | (present << bit)
        head[way, BEST] = min(head[way, BEST], rank if quantity > 0.0 else NO_RANK)


@step_body
def settle(sizes, bits, far_ranks, far_sizes, head, way):
    """Find the best level: `BEST` is then its rank, or NO_RANK, and it lies in the first half of the window."""
    best = np.int64(NO_RANK)
    if head[way, COUNT] > 0:
        best = next_rank(bits, way, head[way, BEST])
    elif head[way, FAR_COUNT] > 0:
        place = head[way, FAR_BEGIN]
        while not far_sizes[place] > 0.0:
            place += 1
        best = far_ranks[place]
    head[way, BEST] = best
    if best < NO_RANK and best - head[way, LOW] >= sizes.shape[1] // 2:
        _move(sizes, bits, far_ranks, far_sizes, head, way, best)


@body
def _levels_outside(far_ranks, far_sizes, head, way, found, ranks, quantities):
    """Fill the levels shown from number `found` on, where the window holds no more."""
    levels = ranks.shape[1]
    if head[way, FAR_COUNT] > 0:
        place = far_place(far_ranks, head, way, ranks[way, found - 1] + 1)
        while found < levels and place < head[way, FAR_END]:
            if far_sizes[place] > 0.0:
                ranks[way, found], quantities[way, found] = far_ranks[place], far_sizes[place]
                found += 1
            place += 1
    for level in range(found, levels):
        ranks[way, level], quantities[way, level] = NO_RANK, 0.0


@step_body
def levels_from(sizes, bits, far_ranks, far_sizes, head, way, found, ranks, quantities):
    """Fill the best levels of a settled side from number `found` on; ranks of NO_RANK and sizes of 0 where there are no
    more."""
    near = min(ranks.shape[1], head[way, COUNT])
    rank = head[way, BEST] if found == 0 else ranks[way, found - 1] + 1
    while found < near:
        rank = next_rank(bits, way, rank)
        ranks[way, found], quantities[way, found] = rank, sizes[way, rank & (sizes.shape[1] - 1)]
        found += 1
        rank += 1
    if found < ranks.shape[1]:
        _levels_outside(far_ranks, far_sizes, head, way, found, ranks, quantities)
