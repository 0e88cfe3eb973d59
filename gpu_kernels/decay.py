"""What a stream of dated items (news, prints) amounts to at given times: decayed sum, count in a window, last item."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, column, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.segments import check_same_segments, check_sorted, segment_of, tile_rows, upper_bound


@body
def _faded(total, elapsed, half_life):
    return total * 2.0 ** (-elapsed / half_life)


@body
def _decay_step(total, before, time, value, half_life):
    """The sum just after an item: what was there, faded since the item before, plus the item."""
    return _faded(total, np.float64(time - before), half_life) + value


@body
def _decay_segment(time, value, start, stop, half_life, sums):
    total = 0.0
    for item in range(start, stop):
        added = np.float64(value[item])
        before = time[item - 1] if item > start else time[item]
        total = _decay_step(total, before, time[item], 0.0 if math.isnan(added) else added, half_life)
        sums[item] = total


@cpu_loop
def _decay_cpu(time, value, offsets, half_life, sums):
    for segment in prange(offsets.shape[0] - 1):
        _decay_segment(time, value, offsets[segment], offsets[segment + 1], half_life, sums)


@cuda.jit
def _decay_cuda(time, value, offsets, half_life, sums):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _decay_segment(time, value, offsets[segment], offsets[segment + 1], half_life, sums)


@body
def _sum_at(time, sums, last, at, half_life):
    return _faded(sums[last], np.float64(at - time[last]), half_life) if last >= 0 else 0.0


@cpu_loop
def _sum_at_cpu(time, sums, last, at, half_life, out):
    for i in prange(out.shape[0]):
        out[i] = _sum_at(time, sums, last[i], at[i], half_life)


@cuda.jit
def _sum_at_cuda(time, sums, last, at, half_life, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        out[i] = _sum_at(time, sums, last[i], at[i], half_life)


@body
def _last_of(start, known):
    return known - 1 if known > start else -1


@cpu_loop
def _last_cpu(time, offsets, at, at_offsets, tiles, tile, lag_ns, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, at_offsets, tile)
        start, stop = offsets[segment], offsets[segment + 1]
        # one search, then a merge
        known = upper_bound(time, start, stop, at[first] - lag_ns)
        for i in range(first, last):
            while known < stop and time[known] <= at[i] - lag_ns:
                known += 1
            out[i] = _last_of(start, known)


@cuda.jit
def _last_cuda(time, offsets, at, at_offsets, lag_ns, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        segment = segment_of(at_offsets, i)
        start, stop = offsets[segment], offsets[segment + 1]
        out[i] = _last_of(start, upper_bound(time, start, stop, at[i] - lag_ns))


@cpu_loop
def _count_cpu(time, offsets, at, at_offsets, tiles, tile, window_ns, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, at_offsets, tile)
        start, stop = offsets[segment], offsets[segment + 1]
        known = upper_bound(time, start, stop, at[first])
        left = upper_bound(time, start, stop, at[first] - window_ns)
        for i in range(first, last):
            while known < stop and time[known] <= at[i]:
                known += 1
            while left < known and time[left] <= at[i] - window_ns:
                left += 1
            out[i] = known - left


@cuda.jit
def _count_cuda(time, offsets, at, at_offsets, window_ns, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        segment = segment_of(at_offsets, i)
        start, stop = offsets[segment], offsets[segment + 1]
        known = upper_bound(time, start, stop, at[i])
        out[i] = known - upper_bound(time, start, known, at[i] - window_ns)


def _sorted_tables(time: Array, offsets: Array, at: Array, at_offsets: Array) -> tuple[Rows, Rows]:
    items = Rows(offsets, times={"time": time})
    decisions = Rows(at_offsets, times={"at": at}, offsets_name="at_offsets")
    check_same_segments(items, decisions)
    check_sorted("time", items, items.columns[0])
    check_sorted("at", decisions, decisions.columns[0])
    return items, decisions


def last_index(time: Array, offsets: Array, at: Array, at_offsets: Array, *, lag_ns: int = 0) -> Array:
    """Position of the last item with time <= t - lag_ns, for each t of `at`; segment s of `at` looks at segment s of
    the items. A lag of 1 asks for items strictly before t; a negative one looks ahead, for what is known later than t.

    time   (n,) int64 ns, never falling in a segment; offsets (S + 1,)
    at     (m,) int64 ns, never falling in a segment; at_offsets (S + 1,)
    returns   (m,) int64 positions in the items

    Missing values: -1 where no item has come yet.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    lag_ns = positive("lag_ns", lag_ns, minimum=-(2**62), maximum=2**62)
    items, decisions = _sorted_tables(time, offsets, at, at_offsets)
    out = decisions.empty(decisions.count, np.int64)
    shared = (items.columns[0], items.offsets, decisions.columns[0], decisions.offsets)
    if decisions.count and items.device:
        _last_cuda[grid_of(decisions.count)](*shared, lag_ns, out)
    elif decisions.count:
        on_cpu(_last_cpu, decisions.count)(*shared, decisions.tiles(), TILE_ROWS, lag_ns, out)
    return out


def count_within(time: Array, offsets: Array, at: Array, at_offsets: Array, window_ns: int) -> Array:
    """How many items have a time in (t - window_ns, t], for each t of `at`. Arrays as in `last_index`.

    window_ns   at least 1
    returns     (m,) int64

    Missing values: none; 0 where no item is in the window.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    window_ns = positive("window_ns", window_ns, maximum=2**62)
    items, decisions = _sorted_tables(time, offsets, at, at_offsets)
    out = decisions.empty(decisions.count, np.int64)
    shared = (items.columns[0], items.offsets, decisions.columns[0], decisions.offsets)
    if decisions.count and items.device:
        _count_cuda[grid_of(decisions.count)](*shared, window_ns, out)
    elif decisions.count:
        on_cpu(_count_cpu, decisions.count)(*shared, decisions.tiles(), TILE_ROWS, window_ns, out)
    return out


def decayed_sum(time: Array, value: Array, offsets: Array, at: Array, at_offsets: Array, half_life_ns: int) -> Array:
    """Sum over the items with time <= t of value * 2 ** -((t - time) / half_life_ns), for each t of `at`.

    time, at, offsets, at_offsets   as in `last_index`
    value          (n,) float32, float64 or int64
    half_life_ns   after which an item counts half; at least 1
    returns        (m,) in the unit of `value`; summed in float64

    Missing values: a NaN value counts as 0; 0 where no item has come yet. An infinity stays.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    half_life = float(positive("half_life_ns", half_life_ns))
    items = Rows(offsets, values={"value": value}, times={"time": time})
    value, time = items.columns
    last = last_index(time, items.offsets, at, at_offsets)
    sums = items.empty(items.count, np.float64)
    out = items.empty(len(last), float_dtype(value))
    if len(last) == 0:
        return out
    if items.device:
        _decay_cuda[grid_of(items.segments)](time, value, items.offsets, half_life, sums)
        _sum_at_cuda[grid_of(len(last))](time, sums, last, at, half_life, out)
    else:
        on_cpu(_decay_cpu, items.count, items.segments)(time, value, items.offsets, half_life, sums)
        on_cpu(_sum_at_cpu, len(last))(time, sums, last, column("at", at, (np.dtype(np.int64),)), half_life, out)
    return out
