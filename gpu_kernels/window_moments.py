"""What the items of a span of time say: how many, their weighted mean and spread, the lowest and the highest."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, float_dtype, grid_of, on_cpu
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_positions, check_same_segments, check_sorted, segment_of, tile_rows, upper_bound


@body
def _summed(since, later, weight, value, left, known, after, below):
    """The sums of the rows [left, known) that are of the span, and the first time at which a span that starts later
    loses a revised row."""
    items, scored = np.int64(0), np.int64(0)
    total, mean, squares, low_weight = 0.0, 0.0, 0.0, 0.0
    lowest, highest, nearest = math.inf, -math.inf, np.int64(2**62)
    for row in range(left, known):
        if since[row] <= after or 0 <= later[row] < known:
            continue
        nearest = min(nearest, since[row])
        items += 1
        counts, one = np.float64(weight[row]), np.float64(value[row])
        if math.isnan(one) or not counts > 0.0:
            continue
        scored += 1
        grown = total + counts
        shift = one - mean
        mean += shift * (counts / grown)
        squares += counts * shift * shift * (total / grown)
        total = grown
        lowest, highest = min(lowest, one), max(highest, one)
        if one < below:
            low_weight += counts
    if scored == 0:
        return items, scored, 0.0, np.nan, np.nan, np.nan, np.nan, np.nan, nearest
    return items, scored, total, mean, math.sqrt(squares / total), lowest, highest, low_weight / total, nearest


@cpu_loop
def _window_cpu(time, since, later, weight, value, offsets, after, at, at_offsets, tiles, tile, below, counts, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, at_offsets, tile)
        start, stop = offsets[segment], offsets[segment + 1]
        left, known, nearest = np.int64(-1), np.int64(-1), np.int64(0)
        for i in range(first, last):
            now = upper_bound(time, start, stop, at[i])
            begin = upper_bound(time, start, now, after[i])
            # news is rarer than decisions: most see the very rows that the one before saw
            same = i > first and now == known and begin == left and after[i - 1] <= after[i] < nearest
            left, known = begin, now
            if same:
                counts[0, i], counts[1, i] = counts[0, i - 1], counts[1, i - 1]
                for k in range(6):
                    out[k, i] = out[k, i - 1]
            else:
                (
                    counts[0, i],
                    counts[1, i],
                    out[0, i],
                    out[1, i],
                    out[2, i],
                    out[3, i],
                    out[4, i],
                    out[5, i],
                    nearest,
                ) = _summed(since, later, weight, value, left, known, after[i], below)


@cuda.jit
def _window_cuda(time, since, later, weight, value, offsets, after, at, at_offsets, below, counts, out):
    i = cuda.grid(1)
    if i < at.shape[0]:
        segment = segment_of(at_offsets, i)
        start, stop = offsets[segment], offsets[segment + 1]
        known = upper_bound(time, start, stop, at[i])
        left = upper_bound(time, start, known, after[i])
        counts[0, i], counts[1, i], out[0, i], out[1, i], out[2, i], out[3, i], out[4, i], out[5, i], _ = _summed(
            since, later, weight, value, left, known, after[i], below
        )


def window_moments(
    time: Array,
    since: Array,
    later: Array,
    weight: Array,
    value: Array,
    offsets: Array,
    after: Array,
    at: Array,
    at_offsets: Array,
    *,
    below: float,
) -> tuple[Array, Array]:
    """Numbers, weighted mean, deviation and extremes of the items of the span (after, at] of each decision: the rows
    with time <= at and since > after that no other row with time <= at has replaced.

    time, since, later, weight, value, offsets, at, at_offsets   as in `decayed_moments.decayed_moments`
    after     (m,) int64 ns: where the span of each decision starts
    below     what `share below` counts as low
    returns   (2, m) int64: items, and those of them that count (a value, and a weight above 0)
              (6, m): total weight, mean, deviation (of the weighted population), lowest, highest, and the share of the
              weight whose value is under `below`

    Each span is summed anew, from its oldest row on: no digits are lost, and nothing depends on older rows. The cost is
    decisions x rows of a span; on a CPU a span that holds the very rows of the one before is not summed again.

    Missing values: a row whose value is NaN, or whose weight is not above 0, is an item that does not count. All but
    the total, which is 0, are NaN where none counts.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    if not math.isfinite(below):
        raise ArgumentError(f"below is {below}", allowed="a finite number")
    rows = Rows(
        offsets, values={"weight": weight, "value": value}, times={"time": time, "since": since, "later": later}
    )
    decisions = Rows(at_offsets, times={"after": after, "at": at}, offsets_name="at_offsets")
    weight, value, time, since, later = rows.columns
    after, at = decisions.columns
    check_same_segments(rows, decisions)
    check_sorted("time", rows, time)
    check_sorted("at", decisions, at)
    check_positions("later", later, rows.count, "the rows")
    counts = decisions.empty((2, decisions.count), np.int64)
    out = decisions.empty((6, decisions.count), float_dtype(weight, value))
    shared = (time, since, later, weight, value, rows.offsets, after, at, decisions.offsets)
    if decisions.count and decisions.device:
        _window_cuda[grid_of(decisions.count)](*shared, float(below), counts, out)
    elif decisions.count:
        on_cpu(_window_cpu, decisions.count)(*shared, decisions.tiles(), TILE_ROWS, float(below), counts, out)
    return counts, out
