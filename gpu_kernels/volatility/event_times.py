"""Scheduled events of several types: how far the next one of each is, and how long ago the last one was."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_same_segments, check_sorted, segment_of, tile_rows, upper_bound

_MINUTES = 1.0 / 60e9


@body
def _around(event_time, known_time, first, last, at):
    """Minutes to the next and since the last of the events first..last of one type that are known at `at`."""
    place = upper_bound(event_time, first, last, at)
    before, after = place - 1, place
    while before >= first and known_time[before] > at:
        before -= 1
    while after < last and known_time[after] > at:
        after += 1
    until = np.float64(event_time[after] - at) * _MINUTES if after < last else np.nan
    since = np.float64(at - event_time[before]) * _MINUTES if before >= first else np.nan
    return until, since


@cpu_loop
def _around_cpu(time, offsets, tiles, tile, event_time, known_time, groups, until, since):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for kind in range(until.shape[0]):
            group = segment * until.shape[0] + kind
            for row in range(first, last):
                until[kind, row], since[kind, row] = _around(
                    event_time, known_time, groups[group], groups[group + 1], time[row]
                )


@cuda.jit
def _around_cuda(time, offsets, event_time, known_time, groups, until, since):
    row = cuda.grid(1)
    if row < time.shape[0]:
        segment = segment_of(offsets, row)
        for kind in range(until.shape[0]):
            group = segment * until.shape[0] + kind
            until[kind, row], since[kind, row] = _around(
                event_time, known_time, groups[group], groups[group + 1], time[row]
            )


def checked_events(
    rows: Rows, event_type: Array, event_time: Array, known_time: Array, event_offsets: Array, types: int
) -> Rows:
    """The checked events, for as many segments as the rows have; ArgumentError, DeviceError."""
    times = {"event_type": event_type, "event_time": event_time, "known_time": known_time}
    events = Rows(event_offsets, times=times, offsets_name="event_offsets")
    check_same_segments(rows, events)
    check_sorted("event_time", events, events.columns[1])
    kinds = to_host(events.columns[0])
    if len(kinds) and not (kinds.min() >= 0 and kinds.max() < types):
        raise ArgumentError(
            f"event_type spans {kinds.min()} to {kinds.max()}", allowed=f"0 to types - 1, which is {types - 1}"
        )
    return events


def around(
    time: Array,
    offsets: Array,
    event_type: Array,
    event_time: Array,
    known_time: Array,
    event_offsets: Array,
    *,
    types: int,
) -> tuple[Array, Array]:
    """Minutes from each row to the next event of each type, and since the last one.

    An event counts for a row at t if known_time <= t: a schedule is known ahead, a cancelled or unscheduled meeting is
    not. Segment s of the rows (an entity) looks at segment s of the events.

    time         (n,) int64 ns, never falling in a segment; offsets (S + 1,)
    event_type   (m,) int64, 0 to types - 1; event_time (m,) int64 ns, never falling in a segment; known_time (m,) int64
                 ns, when the time of the event became known; event_offsets (S + 1,)
    returns      until, since (types, n) float64, minutes: `until` > 0 of the first event later than t, `since` >= 0 of
                 the last one at or before t

    Missing values: NaN where no such event is known.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    kinds = positive("types", types, maximum=10_000)
    rows = Rows(offsets, times={"time": time})
    check_sorted("time", rows, rows.columns[0])
    events = checked_events(rows, event_type, event_time, known_time, event_offsets, kinds)
    until, since = (rows.empty((kinds, rows.count), np.float64) for _ in range(2))
    if rows.count == 0:
        return until, since
    kind, *clocks = (to_host(column) for column in events.columns)
    group = np.repeat(np.arange(events.segments), np.diff(events.host_offsets)) * kinds + kind
    order = np.argsort(group, kind="stable")
    groups = np.searchsorted(group[order], np.arange(events.segments * kinds + 1))
    tables = [to_side(array, like=rows.offsets) for array in (*(clock[order] for clock in clocks), groups)]
    if rows.device:
        _around_cuda[grid_of(rows.count)](rows.columns[0], rows.offsets, *tables, until, since)
    else:
        on_cpu(_around_cpu, rows.count)(rows.columns[0], rows.offsets, rows.tiles(), TILE_ROWS, *tables, until, since)
    return until, since
