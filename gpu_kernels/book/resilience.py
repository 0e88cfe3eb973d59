"""Resilience: how much of what a trade took from the book is back, and how long that took.

What is watched is the caller's: the size at the touch of one side, the depth within some basis points, or the spread
with its sign changed, so that a fall is always the harm. One thread per segment: an episode begins where it begins.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.segments import check_sorted

# what `step` keeps: level of the row before, level before the trade, lowest level since, share recovered at the
# horizon, seconds of the last whole recovery, seconds since the trade; and the times of the trade and whether an
# episode is open, and whether its share at the horizon is still to be taken
_NUMBERS, _MARKS = 5, 3
_LAST, _BEFORE, _LOWEST, _SHARE, _SECONDS = range(_NUMBERS)
_STARTED, _OPEN, _AWAITED = range(_MARKS)


@body
def start(numbers, marks):
    """The state at a segment's start: nothing known."""
    for i in range(numbers.shape[0]):
        numbers[i] = np.nan
    for i in range(marks.shape[0]):
        marks[i] = 0


@body
def _share(numbers, level):
    return (level - numbers[_LOWEST]) / (numbers[_BEFORE] - numbers[_LOWEST])


@body
def step(numbers, marks, time, level, is_trade, horizon_ns):
    """One row of the book: updates the state (`start`) and returns (share recovered now, share recovered at the
    horizon, seconds that the last whole recovery took)."""
    if marks[_AWAITED] != 0 and time > marks[_STARTED] + horizon_ns:
        # the horizon lies before this row: what the row before left is what stood then
        numbers[_SHARE] = 1.0 if marks[_OPEN] == 0 else _share(numbers, numbers[_LAST])
        marks[_AWAITED] = 0
    if math.isnan(level):
        numbers[_LAST] = np.nan
        return np.nan, numbers[_SHARE], numbers[_SECONDS]
    began = marks[_OPEN] != 0 and time <= marks[_STARTED] + horizon_ns
    if is_trade and level < numbers[_LAST] and not began:
        numbers[_BEFORE], numbers[_LOWEST] = numbers[_LAST], level
        marks[_STARTED], marks[_OPEN], marks[_AWAITED] = time, 1, 1
    numbers[_LAST] = level
    if math.isnan(numbers[_BEFORE]):
        return np.nan, np.nan, np.nan
    if marks[_OPEN] != 0:
        numbers[_LOWEST] = min(numbers[_LOWEST], level)
        if level >= numbers[_BEFORE]:
            marks[_OPEN] = 0
            numbers[_SECONDS] = np.float64(time - marks[_STARTED]) * 1e-9
    return (1.0 if marks[_OPEN] == 0 else _share(numbers, level)), numbers[_SHARE], numbers[_SECONDS]


@body
def _segment(time, level, trade, first, last, horizon_ns, numbers, marks, now, later, seconds):
    start(numbers, marks)
    for row in range(first, last):
        now[row], later[row], seconds[row] = step(
            numbers, marks, time[row], np.float64(level[row]), trade[row] > 0, horizon_ns
        )


@cpu_loop
def _resilience_cpu(time, level, trade, offsets, horizon_ns, now, later, seconds):
    for segment in prange(offsets.shape[0] - 1):
        numbers, marks = np.empty(_NUMBERS), np.empty(_MARKS, np.int64)
        _segment(
            time, level, trade, offsets[segment], offsets[segment + 1], horizon_ns, numbers, marks, now, later, seconds
        )


@cuda.jit
def _resilience_cuda(time, level, trade, offsets, horizon_ns, now, later, seconds):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        numbers, marks = cuda.local.array(_NUMBERS, np.float64), cuda.local.array(_MARKS, np.int64)
        _segment(
            time, level, trade, offsets[segment], offsets[segment + 1], horizon_ns, numbers, marks, now, later, seconds
        )


def resilience(
    time: Array, level: Array, trade: Array, offsets: Array, *, horizon_ns: int
) -> tuple[Array, Array, Array]:
    """Share of a trade's harm that is repaired now, and at a horizon; and how long the last whole repair took.

    An episode begins with a trade whose row has a lower level than the row before it: that one's level is `before`. A
    trade within `horizon_ns` of an open episode's beginning belongs to it, a later one begins the next. The share is
    (level - lowest) / (before - lowest), `lowest` since the beginning; with level >= before the episode is over and the
    share 1 until the next begins. An episode that the next one cuts short before its horizon has no share there.
    time     (n,) int64 nanoseconds, never falling within a segment; offsets (S + 1,)
    level    (n,) float32, float64 or int64: depth after the row's change (or minus the spread)
    trade    (n,) float32, float64 or int64: above 0 where a trade made the row, on the side that is watched
    returns  share now; share as it stood `horizon_ns` after the last trade that is as old, up to 1; seconds that the
             last whole recovery took; each (n,)

    Missing values: NaN before the first episode (the second: before one is `horizon_ns` old; the third: before one is
    over); the first is NaN where the level is. A trade after an unknown level begins no episode; a share at the horizon
    is NaN where the level then was.
    Raises: ArgumentError (also where `time` falls), DeviceError.
    Source: after Large (2007), "Measuring the resiliency of an electronic limit order book", which fits intensities;
    this is the plain share, measured from past rows alone.
    """
    horizon_ns = positive("horizon_ns", horizon_ns, maximum=2**62)
    rows = Rows(offsets, values={"level": level, "trade": trade}, times={"time": time})
    level, trade, time = rows.columns
    check_sorted("time", rows, time)
    now, later, seconds = (rows.empty(rows.count, float_dtype(level)) for _ in range(3))
    shared = (time, level, trade, rows.offsets, horizon_ns, now, later, seconds)
    if rows.count and rows.device:
        _resilience_cuda[grid_of(rows.segments)](*shared)
    elif rows.count:
        on_cpu(_resilience_cpu, rows.count, rows.segments)(*shared)
    return now, later, seconds
