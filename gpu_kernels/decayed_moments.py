"""Total weight, mean and spread of a stream of dated items at given times, older items counting less."""

import math
from collections.abc import Sequence

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, column, float_dtype, grid_of, on_cpu, positive, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_positions

# of the half-lives that are summed anew, and of the weight that outweighs what is left out: 2^-68 at most
_REACH, _ENOUGH = 128.0, 2.0**-60
# a total or a spread that is smaller than this share of what it was made of is summed anew
_LEFT_OF_TOTAL, _LEFT_OF_SQUARES = 1e-2, 1e-3


@body
def _weight_at(row, now, since, weight, value, half_life):
    """What a row weighs at `now`; 0 without a value."""
    if row < 0 or math.isnan(value[row]) or not weight[row] > 0.0:
        return 0.0
    return np.float64(weight[row]) * 2.0 ** (-np.float64(now - since[row]) / half_life)


@body
def _add(total, mean, squares, weight, value):
    """(total, mean, sum of weighted squared deviations) with one more value: West 1979."""
    after = total + weight
    shift = value - mean
    return after, mean + shift * (weight / after), squares + weight * shift * shift * (total / after)


@body
def _anew(row, start, time, since, later, weight, value, half_life):
    """The same of all that counts just after `row`, summed from the newest back."""
    total, mean, squares = 0.0, 0.0, 0.0
    for other in range(row, start - 1, -1):
        if total > _ENOUGH and np.float64(time[row] - time[other]) > _REACH * half_life:
            break
        if later[other] < 0 or later[other] > row:
            counts = _weight_at(other, time[row], since, weight, value, half_life)
            if counts > 0.0:
                total, mean, squares = _add(total, mean, squares, counts, np.float64(value[other]))
    return total, mean, squares


@body
def _moments_segment(time, since, earlier, later, weight, value, start, stop, half_life, totals, means, deviations):
    total, mean, squares = 0.0, 0.0, 0.0
    for row in range(start, stop):
        if row > start:
            faded = 2.0 ** (-np.float64(time[row] - time[row - 1]) / half_life)
            total, squares = total * faded, squares * faded
        new = _weight_at(row, time[row], since, weight, value, half_life)
        old = _weight_at(earlier[row], time[row], since, weight, value, half_life)
        if old > 0.0:
            shift = np.float64(value[row]) - mean if new > 0.0 else 0.0
            gone = np.float64(value[earlier[row]]) - mean
            after, parts = total - old + new, squares + new * shift * shift + old * gone * gone
            left, moved = 0.0, 0.0
            if after > _LEFT_OF_TOTAL * (total + new):
                moved = (new * shift - old * gone) / after
                left = squares + new * shift * shift - old * gone * gone - after * moved * moved
            if left > _LEFT_OF_SQUARES * parts:
                total, mean, squares = after, mean + moved, left
            else:
                total, mean, squares = _anew(row, start, time, since, later, weight, value, half_life)
        elif new > 0.0:
            total, mean, squares = _add(total, mean, squares, new, np.float64(value[row]))
        known = total > 0.0
        totals[row] = total
        means[row] = mean if known else np.nan
        deviations[row] = math.sqrt(squares / total) if known else np.nan


@body
def _moments_unit(unit, time, since, earlier, later, weight, value, offsets, half_lives, totals, means, deviations):
    """One segment with one half-life."""
    segments = offsets.shape[0] - 1
    segment, h = unit % segments, unit // segments
    _moments_segment(
        time,
        since,
        earlier,
        later,
        weight,
        value,
        offsets[segment],
        offsets[segment + 1],
        half_lives[h],
        totals[h],
        means[h],
        deviations[h],
    )


@cpu_loop
def _moments_cpu(time, since, earlier, later, weight, value, offsets, half_lives, totals, means, deviations):
    for unit in prange((offsets.shape[0] - 1) * half_lives.shape[0]):
        _moments_unit(unit, time, since, earlier, later, weight, value, offsets, half_lives, totals, means, deviations)


@cuda.jit
def _moments_cuda(time, since, earlier, later, weight, value, offsets, half_lives, totals, means, deviations):
    unit = cuda.grid(1)
    if unit < (offsets.shape[0] - 1) * half_lives.shape[0]:
        _moments_unit(unit, time, since, earlier, later, weight, value, offsets, half_lives, totals, means, deviations)


@body
def _moments_at(time, last, at, half_life, totals, means, deviations):
    """A mean and a deviation stay what they were at the last row: all weights fade alike."""
    if last < 0:
        return 0.0, np.nan, np.nan
    faded = 2.0 ** (-np.float64(at - time[last]) / half_life)
    return totals[last] * faded, means[last], deviations[last]


@cpu_loop
def _at_cpu(time, last, at, half_lives, totals, means, deviations, out):
    for i in prange(at.shape[0]):
        for h in range(half_lives.shape[0]):
            out[0, h, i], out[1, h, i], out[2, h, i] = _moments_at(
                time, last[i], at[i], half_lives[h], totals[h], means[h], deviations[h]
            )


@cuda.jit
def _at_cuda(time, last, at, half_lives, totals, means, deviations, out):
    i = cuda.grid(1)
    if i < at.shape[0]:
        for h in range(half_lives.shape[0]):
            out[0, h, i], out[1, h, i], out[2, h, i] = _moments_at(
                time, last[i], at[i], half_lives[h], totals[h], means[h], deviations[h]
            )


def decayed_moments(
    time: Array,
    since: Array,
    earlier: Array,
    later: Array,
    weight: Array,
    value: Array,
    offsets: Array,
    at: Array,
    at_offsets: Array,
    *,
    half_lives_ns: Sequence[int],
) -> Array:
    """Total weight, mean and deviation of the items known at each t of `at`, an item counting half after a half-life.

        w_i(t)    = weight_i 2^-((t - since_i) / half-life)
        total     = sum w_i        mean = sum w_i value_i / total
        deviation = sqrt(sum w_i (value_i - mean)^2 / total)

    over the rows with time <= t that no other row with time <= t has replaced. The decayed sum of values is total *
    mean. The deviation is the weighted population's: no factor for small samples.

    time      (n,) int64 ns, never falling in a segment: when a row was known; offsets (S + 1,)
    since     (n,) int64 ns, at most `time`: from when it fades. Of a revised item, when its first version was known
    earlier   (n,) int64 position of the row which this one replaces, an earlier one of its segment; -1: none
    later     (n,) int64 position of the row which replaces this one; -1: none. The inverse of `earlier`
    weight, value   (n,) float32, float64 or int64
    at        (m,) int64 ns, never falling in a segment; at_offsets (S + 1,): segment s looks at segment s
    half_lives_ns   one or more, each at least 1
    returns   (3, half-lives, m): total, mean, deviation; the last two in the unit of `value`

    Sums are carried from row to row and never subtracted from where that would cost more than three digits; then they
    are summed anew. One pass serves each half-life, one thread each segment and half-life.

    Missing values: a row whose value is NaN, or whose weight is not above 0, counts nothing, but replaces what it
    replaces. Mean and deviation are NaN, and the total 0, where no row counts.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: D. H. D. West (1979), "Updating mean and variance estimates: an improved method", with decay.
    """
    if len(half_lives_ns) == 0:
        raise ArgumentError("half_lives_ns is empty", allowed="one or more half-lives")
    numbers = np.array([positive("half_lives_ns", each) for each in half_lives_ns], np.float64)
    rows = Rows(
        offsets,
        values={"weight": weight, "value": value},
        times={"time": time, "since": since, "earlier": earlier, "later": later},
    )
    weight, value, time, since, earlier, later = rows.columns
    last = last_index(time, rows.offsets, at, at_offsets)
    check_positions("earlier", earlier, rows.count, "the rows")
    check_positions("later", later, rows.count, "the rows")
    at = column("at", at, (np.dtype(np.int64),))
    half_lives = to_side(numbers, like=time)
    totals, means, deviations = (rows.empty((len(numbers), rows.count), np.float64) for _ in range(3))
    out = rows.empty((3, len(numbers), len(last)), float_dtype(weight, value))
    if len(last) == 0:
        return out
    units = rows.segments * len(numbers)
    shared = (time, since, earlier, later, weight, value, rows.offsets, half_lives, totals, means, deviations)
    decisions = (time, last, at, half_lives, totals, means, deviations, out)
    if rows.device:
        _moments_cuda[grid_of(units)](*shared)
        _at_cuda[grid_of(len(last))](*decisions)
    else:
        on_cpu(_moments_cpu, rows.count * len(numbers), units)(*shared)
        on_cpu(_at_cpu, len(last))(*decisions)
    return out
