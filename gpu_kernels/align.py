"""The as-of rule for vintages: which row of a table a decision at time t may use."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import (
    TILE_ROWS,
    VALUE_DTYPES,
    Array,
    Rows,
    column,
    common_device,
    empty,
    float_dtype,
    grid_of,
    on_cpu,
    positive,
)
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_same_segments, check_sorted, segment_of, tile_rows, upper_bound

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_MINUTE = 60 * 10**9


@body
def _better(event_time, best, row):
    """The row to use once `row` has become known: the later event, and of one event the later vintage."""
    return row if best < 0 or event_time[row] >= event_time[best] else best


@body
def _best_segment(event_time, start, stop, best):
    row_now = -1
    for row in range(start, stop):
        row_now = _better(event_time, row_now, row)
        best[row] = row_now


@body
def _best_known(event_time, best, start, known, max_age_ns):
    """The best of the rows [start, known) and the last time at which it is young enough; (-1, the first time) where
    there is none."""
    if known == start:
        return np.int64(-1), np.int64(_INT64_MIN)
    row = best[known - 1]
    event = event_time[row]
    return row, event + max_age_ns if event <= _INT64_MAX - max_age_ns else np.int64(_INT64_MAX)


@cpu_loop
def _best_cpu(event_time, offsets, best):
    for segment in prange(offsets.shape[0] - 1):
        _best_segment(event_time, offsets[segment], offsets[segment + 1], best)


@cpu_loop
def _gather_map_cpu(
    known_time, event_time, best, offsets, decision_time, decision_offsets, tiles, tile, max_age_ns, out
):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, decision_offsets, tile)
        start, stop = offsets[segment], offsets[segment + 1]
        # one search, then a merge: the decisions of a tile walk forward through the rows
        known = upper_bound(known_time, start, stop, decision_time[first])
        row, last_use = _best_known(event_time, best, start, known, max_age_ns)
        for decision in range(first, last):
            now = decision_time[decision]
            if known < stop and known_time[known] <= now:
                while known < stop and known_time[known] <= now:
                    known += 1
                row, last_use = _best_known(event_time, best, start, known, max_age_ns)
            out[decision] = row if now <= last_use else -1


@cuda.jit
def _best_cuda(event_time, offsets, best):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _best_segment(event_time, offsets[segment], offsets[segment + 1], best)


@cuda.jit
def _gather_map_cuda(known_time, event_time, best, offsets, decision_time, decision_offsets, max_age_ns, out):
    decision = cuda.grid(1)
    if decision < out.shape[0]:
        segment = segment_of(decision_offsets, decision)
        start, stop = offsets[segment], offsets[segment + 1]
        now = decision_time[decision]
        known = upper_bound(known_time, start, stop, now)
        row, last_use = _best_known(event_time, best, start, known, max_age_ns)
        out[decision] = row if now <= last_use else -1


@body
def _taken(values, index):
    return values[index] if 0 <= index < values.shape[0] else np.nan


@body
def _minutes(now, then):
    return (now - then) / np.float64(_MINUTE)


@body
def _age_row(known_time, event_time, decision_time, index, i, age, since):
    row = index[i]
    if 0 <= row < event_time.shape[0]:
        age[i] = _minutes(decision_time[i], event_time[row])
        since[i] = _minutes(decision_time[i], known_time[row])
    else:
        age[i] = np.nan
        since[i] = np.nan


@cpu_loop
def _take_cpu(values, index, out):
    outside = np.int64(0)
    for i in prange(out.shape[0]):
        out[i] = _taken(values, index[i])
        outside += 0 if -1 <= index[i] < values.shape[0] else 1
    return outside


@cpu_loop
def _ages_cpu(known_time, event_time, decision_time, index, age, since):
    outside = np.int64(0)
    for i in prange(index.shape[0]):
        _age_row(known_time, event_time, decision_time, index, i, age, since)
        outside += 0 if -1 <= index[i] < event_time.shape[0] else 1
    return outside


@cuda.jit
def _take_cuda(values, index, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        out[i] = _taken(values, index[i])


@cuda.jit
def _ages_cuda(known_time, event_time, decision_time, index, age, since):
    i = cuda.grid(1)
    if i < index.shape[0]:
        _age_row(known_time, event_time, decision_time, index, i, age, since)


def gather_map(
    known_time: Array,
    event_time: Array,
    offsets: Array,
    decision_time: Array,
    decision_offsets: Array,
    max_age_ns: int,
) -> Array:
    """The row that each decision may use under the as-of rule; segment s of the decisions is served by segment s of
    the rows.

    At t: of the rows with known_time <= t, of each event_time the latest vintage, of those the latest event_time; none
    if t - event_time > max_age_ns. A row dated after t (a forecast) is used like any other once it is known.

    known_time, event_time   (n,) int64 ns; known_time never falls in a segment, and of equal times the later row is the
                             later vintage; offsets (S + 1,)
    decision_time            (m,) int64 ns, never falling in a segment; decision_offsets (S + 1,)
    max_age_ns               at least 0; 2**63 - 1 for no limit
    returns                  (m,) int64 positions in the rows

    Missing values: -1 where no row is known yet or the best one is too old; `take` turns it into NaN.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    max_age_ns = positive("max_age_ns", max_age_ns, minimum=0, maximum=2**63 - 1)
    rows = Rows(offsets, times={"known_time": known_time, "event_time": event_time})
    decisions = Rows(decision_offsets, times={"decision_time": decision_time}, offsets_name="decision_offsets")
    known_time, event_time = rows.columns
    (decision_time,) = decisions.columns
    check_same_segments(rows, decisions)
    check_sorted("known_time", rows, known_time)
    check_sorted("decision_time", decisions, decision_time)
    best = rows.empty(rows.count, np.int64)
    out = decisions.empty(decisions.count, np.int64)
    if decisions.count == 0:
        return out
    shared = (known_time, event_time, best, rows.offsets, decision_time, decisions.offsets)
    if rows.device:
        _best_cuda[grid_of(rows.segments)](event_time, rows.offsets, best)
        _gather_map_cuda[grid_of(decisions.count)](*shared, max_age_ns, out)
    else:
        on_cpu(_best_cpu, rows.count, rows.segments)(event_time, rows.offsets, best)
        on_cpu(_gather_map_cpu, decisions.count)(*shared, decisions.tiles(), TILE_ROWS, max_age_ns, out)
    return out


def take(values: Array, index: Array) -> Array:
    """values[index], for the positions that `gather_map` and `decay.last_index` give.

    values   (n,) float32, float64 or int64; index (m,) int64, each -1 or below n
    returns  (m,) in the unit of `values`; integers as float64

    Missing values: NaN where the index is -1, and where the value is.
    Raises: ArgumentError, on the host also for an index below -1 or not below n (on a GPU, where a check would wait for
    the device, that gives NaN); DeviceError.
    """
    device = common_device(values=values, index=index)
    values = column("values", values, VALUE_DTYPES)
    index = column("index", index, (np.dtype(np.int64),))
    out = empty(len(index), float_dtype(values), like=values)
    if len(index) == 0:
        return out
    if device:
        _take_cuda[grid_of(len(index))](values, index, out)
    else:
        _none_outside(on_cpu(_take_cpu, len(index))(values, index, out), index, len(values))
    return out


def ages(known_time: Array, event_time: Array, decision_time: Array, index: Array) -> tuple[Array, Array]:
    """How old what a decision uses is, and how long it has been known: (age, known since), in minutes.

        age         = decision_time - event_time[index]        since what the row is about
        known since = decision_time - known_time[index]        since it could first be acted on

    known_time, event_time   (n,) int64 ns, the rows of `gather_map`
    decision_time, index     (m,) int64 ns and positions as `gather_map` gives them
    returns                  two (m,) float64; an age is below 0 where the row is dated later (a forecast)

    Missing values: NaN where the index is -1.
    Raises: ArgumentError where lengths differ, and as `take`; DeviceError.
    """
    whole = (np.dtype(np.int64),)
    common_device(known_time=known_time, event_time=event_time, decision_time=decision_time, index=index)
    named = {"known_time": known_time, "event_time": event_time, "decision_time": decision_time, "index": index}
    known_time, event_time, decision_time, index = (column(name, values, whole) for name, values in named.items())
    if len(known_time) != len(event_time) or len(decision_time) != len(index):
        raise ArgumentError(
            f"{len(known_time)} known and {len(event_time)} event times, {len(decision_time)} decisions and "
            f"{len(index)} positions",
            allowed="one event time a known time, one position a decision",
        )
    age, since = (empty(len(index), np.dtype(np.float64), like=index) for _ in range(2))
    if len(index) == 0:
        return age, since
    arrays = (known_time, event_time, decision_time, index, age, since)
    if common_device(index=index):
        _ages_cuda[grid_of(len(index))](*arrays)
    else:
        _none_outside(on_cpu(_ages_cpu, len(index))(*arrays), index, len(event_time))
    return age, since


def _none_outside(outside: int, index: Array, count: int) -> None:
    if outside:
        lowest, highest = int(index.min()), int(index.max())
        raise ArgumentError(f"index spans {lowest} to {highest}", allowed=f"-1 to {count - 1}, the rows of values")
