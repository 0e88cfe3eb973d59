"""Averages that go on from their own last value, y = decay y + weight x: Wilder's and the exponential one.

An average starts as `scale` times the sum of its first `seed` terms. From there on the CPU scans tiles: with z(k) the
decayed sum of the last k terms, z(8) is z(4) plus decay^4 z(4) of four rows earlier, and y = z(8) + decay^8 y of eight
rows earlier, so that a vector of eight rows waits for the one before it, where in plain steps each row waits. On CUDA,
where a thread has a segment, these are taken. The two differ in rounding.
"""

import numpy as np

from gpu_kernels._jit import body
from gpu_kernels._vector import decay_eight

TILE = 512
"""Rows of a scan: several columns and buffers of them fit the first-level cache."""

LANES = 8

NOTHING = 1e-300
"""A spread, a way or an average below is 0. No limit in the unit of a price, such as the 1e-14 of TA-Lib before 0.8: to
an asset that costs 1e-5 that would be a move."""


@body
def exponential(window):
    """(seed, scale, weight, decay) of the exponential average that starts with the mean of its first terms."""
    weight = 2.0 / (window + 1.0)
    return window, 1.0 / window, weight, 1.0 - weight


@body
def wilder(window):
    """(seed, scale, weight, decay) of Wilder's average that starts with the mean of its first terms."""
    weight = 1.0 / window
    return window, weight, weight, 1.0 - weight


@body
def wilder_sum(window):
    """(seed, scale, weight, decay) of Wilder's sum: that of window - 1 terms, then sum - sum / window + term."""
    return window - 1, 1.0, 1.0, 1.0 - 1.0 / window


@body
def average_step(average, seen, value, rule):
    """The average after its `seen`-th term, which is `value`; the plain sum before `seed` terms."""
    seed, scale, weight, decay = rule
    if seen > seed:
        return average * decay + value * weight
    return (average + value) * scale if seen == seed else average + value


@body
def _scan(terms, average, weight, decay, spare, out):
    """out[i] = weight terms[i] + decay out[i - 1], with `average` before the first; `out` may be `terms`."""
    rows, near = terms.shape[0], decay * decay * (decay * decay)
    if rows > LANES:
        second, third, fourth = weight * decay, weight * (decay * decay), weight * (decay * decay * decay)
        now, one, two, three = terms[3:], terms[2 : rows - 1], terms[1 : rows - 2], terms[: rows - 3]
        four = spare[3:rows]
        for i in range(four.shape[0]):
            four[i] = (weight * now[i] + second * one[i]) + (third * two[i] + fourth * three[i])
    for i in range(min(LANES, rows)):
        average = average * decay + terms[i] * weight
        out[i] = average
    whole = rows - rows % LANES
    for i in range(LANES, whole, LANES):
        decay_eight(out, i, spare, 4, near, near * near)
    for i in range(max(LANES, whole), rows):
        out[i] = spare[i] + near * spare[i - 4] + near * near * out[i - LANES]
    return out[rows - 1]


@body
def average_tile(terms, first, skip, average, rule, spare, out):
    """The averages at the rows of a tile, NaN where there is none, and the state after it.

    terms   the tile's, of row `first` of the segment on; the segment's first `skip` rows have no term
    average, rule   what `average_step` gave after the term before the tile, and its rule
    spare   a buffer of TILE rows; `out` may be `terms`
    """
    seed, _, weight, decay = rule
    rows, seen = terms.shape[0], max(0, first - skip)
    row = min(rows, max(0, skip - first))
    out[:row] = np.nan
    while row < rows and seen < seed:
        seen += 1
        average = average_step(average, seen, terms[row], rule)
        out[row] = average if seen == seed else np.nan
        row += 1
    return _scan(terms[row:], average, weight, decay, spare, out[row:]) if row < rows else average


@body
def average_tile_holding(terms, flat, first, skip, average, rule, spare, out):
    """As `average_tile`, but a term that is `flat` leaves the average as it is; among the first ones it counts as 0."""
    seed, _, weight, decay = rule
    rows, seen = terms.shape[0], max(0, first - skip)
    row = min(rows, max(0, skip - first))
    out[:row] = np.nan
    while row < rows and seen < seed:
        seen += 1
        average = average_step(average, seen, 0.0 if flat[row] else terms[row], rule)
        out[row] = average if seen == seed else np.nan
        row += 1
    while row < rows:
        stop = row
        while stop < rows and not flat[stop]:
            stop += 1
        if stop > row:
            average = _scan(terms[row:stop], average, weight, decay, spare, out[row:stop])
        if stop < rows:
            out[stop] = average
        row = stop + 1
    return average


@body
def is_zero(value):
    """Whether it is 0, or what an average that decays has left of something long ago."""
    return -NOTHING < value < NOTHING
