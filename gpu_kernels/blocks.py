"""Moving sums, moments and extremes of a tile by blocks: the loops behind the CPU path of `rolling`.

A segment is cut, from its first row on, into blocks as long as the window. A window is then the tail of one block and
the head of the next: both are summed up row by row, so a row costs two steps and a merge whatever the window, and
nothing is ever subtracted (van Herk 1992; Gil and Werman 1993). A row takes the same steps wherever its tile begins,
and later rows change no bit of it.

A tile begins with a block, and the block before it, its halo, is gone through again. `tails` and `next_tails` hold for
each place of a block what lies from there to its end (behind the last place, nothing), of the block before and of this
one. The loops get them from outside: to swap arrays of one's own means to count references. Indices are unsigned: to
know a signed one for not negative would cost more than the step.
"""

import math

import numpy as np

from gpu_kernels._jit import body
from gpu_kernels._vector import quotient
from gpu_kernels.dispatch import TILE_ROWS

_ZERO, _ONE, _LINE = np.uint64(0), np.uint64(1), np.uint64(8)
_LEAST_BLOCKS = 8
"""Blocks of a tile, at least, so that going through the one before it again costs little."""

_LONG = np.uint64(32)
"""Rows of a block from which on the next one is fetched ahead: from its end backwards it would come slowly."""


def tile_of(window: int) -> int:
    """Rows of a tile: whole blocks, or more than any table has."""
    return min(window * max(TILE_ROWS // window, _LEAST_BLOCKS), 2**62)


@body
def merge_moments(count, mean, square, other_count, other_mean, other_square):
    """Moments of two neighbouring sets together (Chan, Golub and LeVeque 1983): count, mean, sum of squared
    deviations."""
    both = count + other_count
    share = other_count / both if both > 0.0 else 0.0
    shift = other_mean - mean
    return both, mean + shift * share, square + other_square + shift * (shift * (count * share))


@body
def filled(values, start, stop, sign, missing_value):
    """sign times the value as float64, `missing_value` for NaN."""
    source, terms = values[start:stop], np.empty(stop - start)
    for i in range(source.shape[0]):
        value = np.float64(source[i])
        terms[i] = missing_value if math.isnan(value) else sign * value
    return terms


@body
def presence(values, start, stop):
    """1 for each value, 0 for NaN."""
    source, present = values[start:stop], np.empty(stop - start)
    for i in range(source.shape[0]):
        present[i] = 0.0 if math.isnan(np.float64(source[i])) else 1.0
    return present


@body
def _fetch(rows, start, stop):
    """Reads a row of each cache line, forwards, as the machine foresees; says whether one is NaN."""
    found = False
    while start < stop:
        found |= math.isnan(np.float64(rows[start]))
        start += _LINE
    return found


@body
def _sum_blocks(rows, window, alone, scale, tails, next_tails, out):
    """out = the sum of the last `window` rows, `alone`, or times `scale` over `window`, which holds where each value is
    finite. False where one may be not."""
    stop, width, block, finite = np.uint64(rows.shape[0]), np.uint64(window), _ZERO, True
    divisor = np.float64(window)
    reciprocal = 1.0 / divisor
    while block + width <= stop:
        head, tail, end = 0.0, 0.0, block + width - _ONE
        if width >= _LONG:
            finite &= not _fetch(rows, block + width, min(block + width + width, stop))
        for j in range(width):
            head += np.float64(rows[block + j])
            total = tails[j + _ONE] + head
            out[block + j] = total if alone else quotient(scale * total, divisor, reciprocal)
            tail += np.float64(rows[end - j])
            next_tails[width - _ONE - j] = tail
        finite &= head - head == 0.0
        tails, next_tails = next_tails, tails
        block += width
    head = 0.0
    for j in range(stop - block):
        head += np.float64(rows[block + j])
        total = tails[j + _ONE] + head
        out[block + j] = total if alone else quotient(scale * total, divisor, reciprocal)
    return finite and head - head == 0.0


@body
def window_sums(rows, halo, window, alone, scale, out):
    """`_sum_blocks` of the rows from `halo` on."""
    size = min(window, rows.shape[0])
    tails, next_tails = np.zeros(size + 1), np.zeros(size + 1)
    tail = 0.0
    for back in range(halo - 1, -1, -1):
        tail += np.float64(rows[back])
        tails[back] = tail
    return _sum_blocks(rows[halo:], window, alone, scale, tails, next_tails, out) and tail - tail == 0.0


@body
def window_counts(values, start, halo, stop, window):
    """How many values the window of each row from start + halo on holds."""
    counts = np.empty(stop - start - halo)
    window_sums(presence(values, start, stop), halo, window, True, 1.0, counts)
    return counts


@body
def higher(one, other):
    """The higher one; the other where the one is NaN."""
    return one if one > other else other


@body
def _highest_blocks(rows, window, sign, tails, next_tails, out):
    """out = the highest sign * value of the last `window` rows, NaN left out."""
    stop, width, block = np.uint64(rows.shape[0]), np.uint64(window), _ZERO
    while block + width <= stop:
        head, tail, end = -np.inf, -np.inf, block + width - _ONE
        for j in range(width):
            head = higher(sign * np.float64(rows[block + j]), head)
            out[block + j] = higher(tails[j + _ONE], head)
            tail = higher(sign * np.float64(rows[end - j]), tail)
            next_tails[width - _ONE - j] = tail
        tails, next_tails = next_tails, tails
        block += width
    head = -np.inf
    for j in range(stop - block):
        head = higher(sign * np.float64(rows[block + j]), head)
        out[block + j] = higher(tails[j + _ONE], head)


@body
def window_highest(rows, halo, window, sign, out):
    """`_highest_blocks` of the rows from `halo` on. False where one is NaN."""
    size, missing = min(window, rows.shape[0]), 0
    for i in range(rows.shape[0]):
        missing += 1 if math.isnan(np.float64(rows[i])) else 0
    tails, next_tails = np.full(size + 1, -np.inf), np.full(size + 1, -np.inf)
    tail = -np.inf
    for back in range(halo - 1, -1, -1):
        tail = higher(sign * np.float64(rows[back]), tail)
        tails[back] = tail
    _highest_blocks(rows[halo:], window, sign, tails, next_tails, out)
    return missing == 0


@body
def _add_moment(count, mean, square, value, present, reciprocals):
    """Moments with one more value (Welford 1962), or as they were where `present` is 0."""
    count += present
    shift = present * (value - mean)
    mean += shift * reciprocals[np.uint64(count)]
    return count, mean, square + shift * (value - mean)


@body
def _moment_blocks(rows, present, window, reciprocals, tails, next_tails, out):
    stop, width, block = np.uint64(rows.shape[0]), np.uint64(window), _ZERO
    while block < stop:
        whole, end = block + width <= stop, min(block + width, stop) - _ONE
        count, mean, square = 0.0, 0.0, 0.0
        tail_count, tail_mean, tail_square = 0.0, 0.0, 0.0
        for j in range(end - block + _ONE):
            row, place = block + j, j + _ONE
            count, mean, square = _add_moment(count, mean, square, rows[row], present[row], reciprocals)
            out[0, row], out[1, row], out[2, row] = merge_moments(
                tails[0, place], tails[1, place], tails[2, place], count, mean, square
            )
            if whole:
                row, place = end - j, width - _ONE - j
                tail_count, tail_mean, tail_square = _add_moment(
                    tail_count, tail_mean, tail_square, rows[row], present[row], reciprocals
                )
                next_tails[0, place], next_tails[1, place], next_tails[2, place] = tail_count, tail_mean, tail_square
        tails, next_tails = next_tails, tails
        block += width


@body
def window_moments(values, start, halo, stop, window):
    """(3, rows from start + halo to stop): count, mean and sum of squared deviations of each window, NaN left out."""
    rows, present = filled(values, start, stop, 1.0, 0.0), presence(values, start, stop)
    size = min(window, stop - start)
    tails, next_tails = np.zeros((3, size + 1)), np.zeros((3, size + 1))
    reciprocals = np.zeros(size + 1)
    for i in range(1, size + 1):
        reciprocals[i] = 1.0 / i
    count, mean, square = 0.0, 0.0, 0.0
    for back in range(halo - 1, -1, -1):
        count, mean, square = _add_moment(count, mean, square, rows[back], present[back], reciprocals)
        tails[0, back], tails[1, back], tails[2, back] = count, mean, square
    out = np.empty((3, stop - start - halo))
    _moment_blocks(rows[halo:], present[halo:], window, reciprocals, tails, next_tails, out)
    return out
