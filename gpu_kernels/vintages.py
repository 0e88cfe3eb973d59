"""What a series of revised values looked like at a decision: its latest value, first print, change and surprise."""

import math
from typing import NamedTuple

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.segments import check_same_segments, check_sorted

_INT64_MIN = -(2**63)


class History(NamedTuple):
    """Of each decision, in the unit of the values but for `surprise`, which is in standard deviations."""

    value: Array
    first: Array
    change: Array
    mean_revision: Array
    surprise: Array


@body
def _learn(row, start, place, value, current, first):
    """The row's value takes the place of its event's earlier vintages; the first that there is stays beside it."""
    event = start + place[row]
    current[event] = value[row]
    if math.isnan(first[event]):
        first[event] = value[row]


@body
def _squares(event, start, current, window, mean):
    """Sum of squared deviations from the mean over the `window` values before `event`."""
    squares, found, other = 0.0, 0, event - 1
    while found < window and other >= start:
        if not math.isnan(current[other]):
            away = np.float64(current[other]) - mean
            squares += away * away
            found += 1
        other -= 1
    return squares


@body
def _tell(event, start, current, first, back, window, decision, out):
    """What is known at a decision whose latest event is `event`; events before it without a known value are none."""
    value = np.float64(current[event])
    if math.isnan(value):
        return
    out[0, decision], out[1, decision] = value, first[event]
    revised, total, found, nearest, alike = value - np.float64(first[event]), 0.0, 0, np.nan, True
    if window == 1:
        out[3, decision] = revised
    other = event - 1
    while found < max(back, window) and other >= start:
        if not math.isnan(current[other]):
            before = np.float64(current[other])
            found += 1
            if found == back:
                out[2, decision] = value - before
            if found < window:
                revised += before - np.float64(first[other])
                if found == window - 1:
                    out[3, decision] = revised / window
            if found == 1:
                nearest = before
            if found <= window:
                total += before
                alike = alike and before == nearest
        other -= 1
    if found >= window > 1 and not alike:
        mean = total / window
        deviation = math.sqrt(_squares(event, start, current, window, mean) / (window - 1))
        out[4, decision] = (value - mean) / deviation


@body
def _history_segment(
    known_time,
    event_time,
    place,
    value,
    start,
    stop,
    decision_time,
    first_decision,
    last_decision,
    max_age_ns,
    back,
    window,
    current,
    first,
    out,
):
    for row in range(start, stop):
        current[row], first[row] = np.nan, np.nan
    known, newest = start, -1
    for decision in range(first_decision, last_decision):
        at = decision_time[decision]
        while known < stop and known_time[known] <= at:
            _learn(known, start, place, value, current, first)
            if newest < 0 or place[known] >= place[newest]:
                newest = known
            known += 1
        for k in range(out.shape[0]):
            out[k, decision] = np.nan
        oldest = at - max_age_ns if at >= _INT64_MIN + max_age_ns else _INT64_MIN
        if newest >= 0 and event_time[newest] >= oldest:
            _tell(start + place[newest], start, current, first, back, window, decision, out)


@cpu_loop
def _history_cpu(
    known_time,
    event_time,
    place,
    value,
    offsets,
    decision_time,
    decision_offsets,
    max_age_ns,
    back,
    window,
    current,
    first,
    out,
):
    for segment in prange(offsets.shape[0] - 1):
        _history_segment(
            known_time,
            event_time,
            place,
            value,
            offsets[segment],
            offsets[segment + 1],
            decision_time,
            decision_offsets[segment],
            decision_offsets[segment + 1],
            max_age_ns,
            back,
            window,
            current,
            first,
            out,
        )


@cuda.jit
def _history_cuda(
    known_time,
    event_time,
    place,
    value,
    offsets,
    decision_time,
    decision_offsets,
    max_age_ns,
    back,
    window,
    current,
    first,
    out,
):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _history_segment(
            known_time,
            event_time,
            place,
            value,
            offsets[segment],
            offsets[segment + 1],
            decision_time,
            decision_offsets[segment],
            decision_offsets[segment + 1],
            max_age_ns,
            back,
            window,
            current,
            first,
            out,
        )


def _places(event_time: Array, offsets: Array) -> Array:
    """Of each row the place of its event among the events of its segment in order of time, rows of one event sharing
    it. Later rows move places but not their order, which is all that the loop looks at."""
    segment = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((event_time, segment))
    new = np.empty(len(order), np.int64)
    new[:1] = 0
    new[1:] = (np.diff(event_time[order]) != 0) | (np.diff(segment[order]) != 0)
    rank = np.cumsum(new)
    place = np.empty(len(order), np.int64)
    # a segment's first row in this order has the lowest rank of the segment
    begins = offsets[:-1].clip(max=max(len(order) - 1, 0))
    place[order] = rank - (rank[begins][segment[order]] if len(order) else 0)
    return place


def history(
    known_time: Array,
    event_time: Array,
    value: Array,
    offsets: Array,
    decision_time: Array,
    decision_offsets: Array,
    *,
    max_age_ns: int,
    back: int = 1,
    window: int = 1,
) -> History:
    """The latest value of a revised series at each decision, and what it is compared with, all as known then.

    At t, of the rows with known_time <= t: of each event_time the latest vintage is its known value x and the earliest
    vintage that has a value is its first print p. With the latest event_time as event 0, and the events before it that
    have a known value as events 1, 2, ...:

        value          x_0            as align.gather_map and take give it
        first          p_0
        change         x_0 - x_back
        mean_revision  mean of x_i - p_i over the events 0 to window - 1
        surprise       (x_0 - m) / s, m and s the mean and standard deviation (divisor window - 1) of x_1 ... x_window

    known_time, event_time   (n,) int64 ns; known_time never falls in a segment, and of equal times the later row is the
                             later vintage; offsets (S + 1,)
    value                    (n,) float32, float64 or int64; NaN withdraws the value of its event
    decision_time            (m,) int64 ns, never falling in a segment; decision_offsets (S + 1,)
    max_age_ns               at least 0; 2**63 - 1 for no limit; back, window: at least 1
    returns                  History of (m,) arrays in the unit of `value`, surprise in standard deviations

    One thread a segment: what a decision looks back on is the state that all rows before it made.

    Missing values: all are NaN where no row is known yet, the latest event is withdrawn or older than max_age_ns;
    change and mean_revision also where fewer events are known; surprise also where fewer are, with a window of 1, and
    where they are all equal.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: definition; Croushore and Stark (2001), "A real-time data set for macroeconomists", for vintages.
    """
    max_age_ns = positive("max_age_ns", max_age_ns, minimum=0, maximum=2**63 - 1)
    back, window = positive("back", back), positive("window", window)
    rows = Rows(offsets, values={"value": value}, times={"known_time": known_time, "event_time": event_time})
    decisions = Rows(decision_offsets, times={"decision_time": decision_time}, offsets_name="decision_offsets")
    value, known_time, event_time = rows.columns
    (decision_time,) = decisions.columns
    check_same_segments(rows, decisions)
    check_sorted("known_time", rows, known_time)
    check_sorted("decision_time", decisions, decision_time)
    out = rows.empty((len(History._fields), decisions.count), float_dtype(value))
    if decisions.count == 0:
        return History(*(out[k] for k in range(len(History._fields))))
    place = to_side(_places(to_host(event_time), rows.host_offsets), like=event_time)
    current, first = (rows.empty(rows.count, np.float64) for _ in range(2))
    shared = (known_time, event_time, place, value, rows.offsets, decision_time, decisions.offsets)
    state = (max_age_ns, back, window, current, first, out)
    if rows.device:
        _history_cuda[grid_of(rows.segments)](*shared, *state)
    else:
        on_cpu(_history_cpu, rows.count + decisions.count, rows.segments)(*shared, *state)
    return History(*(out[k] for k in range(len(History._fields))))
