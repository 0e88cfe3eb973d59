"""The state of a book from level-2 updates, and its one step: what a batch runs and a live path calls, row by row."""

import numpy as np

from gpu_kernels._jit import body, step_body
from gpu_kernels.book.window import COUNT, FAR_BEGIN, NO_RANK, clear, levels_from, rests, set_level, settle

MISSING_TICK = -1
"""Price of a level that is not there, or of which nobody knows."""

SET, SNAPSHOT, GAP = 0, 1, 2
"""What a row does: sets its level; the same after emptying the book; tells that messages were lost before it."""

TOUCHED, TOUCHES, KNOWN, FILLED = range(6, 10)
"""Of `head`, after those of `window`: since the levels shown were brought up to the book, the best rank among or before
them that was set, and how many were; whether the book is known; up to which row the buffer was filled."""
HEAD = 10


@body
def start_of(bits, head, ranks, quantities, starts_empty, bids):
    """The state before the first row of a segment that has `bids` rows of bids."""
    for way in range(2):
        head[way, FAR_BEGIN] = bids if way == 1 else 0
        head[way, TOUCHED], head[way, TOUCHES], head[way, KNOWN] = NO_RANK, 0, np.int64(starts_empty)
        clear(bits, head, way)
        for level in range(ranks.shape[1]):
            ranks[way, level], quantities[way, level] = NO_RANK, 0.0 if starts_empty else np.nan


@body
def begin_again(bits, head, ranks, quantities, action):
    """What a snapshot or a gap does before its own level."""
    for way in range(2):
        clear(bits, head, way)
        head[way, KNOWN] = np.int64(action == SNAPSHOT)
        head[way, TOUCHED], head[way, TOUCHES] = -NO_RANK if action == SNAPSHOT else NO_RANK, 2
        for level in range(0 if action == SNAPSHOT else ranks.shape[1]):
            ranks[way, level], quantities[way, level] = NO_RANK, np.nan


@step_body
def apply(sizes, bits, far_ranks, far_sizes, head, ranks, way, tick, quantity):
    """A level set in a book that is known."""
    rank = tick if way == 1 else -tick
    set_level(sizes, bits, far_ranks, far_sizes, head, way, rank, quantity)
    if rank <= ranks[way, ranks.shape[1] - 1]:
        head[way, TOUCHED] = min(head[way, TOUCHED], rank)
        head[way, TOUCHES] += 1


@step_body
def show(sizes, bits, far_ranks, far_sizes, head, ranks, quantities, way):
    """Bring the levels shown of a side up to the book, from the first that may have changed on."""
    levels, rank, one = ranks.shape[1], head[way, TOUCHED], head[way, TOUCHES] == 1
    head[way, TOUCHED], head[way, TOUCHES] = NO_RANK, 0
    found = 0
    while found < levels and ranks[way, found] < rank:
        found += 1
    settle(sizes, bits, far_ranks, far_sizes, head, way)
    if one and head[way, COUNT] >= levels:
        # one level came, went or changed its size, and all levels to show are in the window
        if rests(bits, head, way, rank):
            if ranks[way, found] != rank:
                for level in range(levels - 1, found, -1):
                    ranks[way, level], quantities[way, level] = ranks[way, level - 1], quantities[way, level - 1]
                ranks[way, found] = rank
            quantities[way, found] = sizes[way, rank & (sizes.shape[1] - 1)]
            found = levels
        elif ranks[way, found] == rank:
            for level in range(found, levels - 1):
                ranks[way, level], quantities[way, level] = ranks[way, level + 1], quantities[way, level + 1]
            found = levels - 1
    levels_from(sizes, bits, far_ranks, far_sizes, head, way, found, ranks, quantities)


@body
def step(sizes, bits, far_ranks, far_sizes, head, ranks, quantities, action, is_bid, tick, quantity, last):
    """One row of a segment. State: the book (see `window`), and the last whole one, by ranks and quantities
    (2, levels), which change where `last` says that the row ends its message, and at a gap."""
    if action != SET:
        begin_again(bits, head, ranks, quantities, action)
    if head[0, KNOWN] != 0:
        apply(sizes, bits, far_ranks, far_sizes, head, ranks, 0 if is_bid else 1, tick, quantity)
        if last:
            for way in range(2):
                if head[way, TOUCHED] < NO_RANK:
                    show(sizes, bits, far_ranks, far_sizes, head, ranks, quantities, way)


@body
def write(ranks, quantities, way, ticks, sizes, place):
    """The levels shown of a side to a column of the output."""
    for level in range(ranks.shape[1]):
        rank = ranks[way, level]
        ticks[level, place] = MISSING_TICK if rank == NO_RANK else abs(rank)
        sizes[level, place] = quantities[way, level]
