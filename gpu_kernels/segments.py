"""Where a row or a tile of rows lies among the segments, and whether each segment's clock runs forward."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, common_device, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError

_FAR = 2**62


@body
def upper_bound(sorted_values, start, stop, value):
    """First position in [start, stop) whose value is greater than `value`; `stop` where there is none."""
    while start < stop:
        middle = (start + stop) // 2
        if sorted_values[middle] <= value:
            start = middle + 1
        else:
            stop = middle
    return start


@body
def segment_of(offsets, row):
    """The segment that holds `row`. Of equal offsets the last counts, so empty segments are stepped over."""
    return upper_bound(offsets, 0, offsets.shape[0], row) - 1


@body
def tile_rows(tile, tiles, offsets, length):
    """(segment, first row, end row) of a tile of `length` rows, counted from its segment's first row."""
    segment = segment_of(tiles, tile)
    first = offsets[segment] + (tile - tiles[segment]) * length
    return segment, first, min(first + length, offsets[segment + 1])


@body
def first_looked_at(time, start, row, window, capacity, limit, either):
    """First of the rows before `row` that it is compared with, `row` itself where there is none: those at most `window`
    older, or the last `capacity`, whichever reach further back (`either`) or less far; at most `limit`."""
    recent = row - capacity
    within = upper_bound(time, start, row, time[row] - window - 1)
    first = min(recent, within) if either else max(recent, within)
    return max(start, first, row - limit)


def looked_at(window_ns: int | None, capacity: int | None, limit: int, *, either: bool) -> tuple[int, int, int]:
    """window, capacity and limit for `first_looked_at`, checked; a rule that is None never decides there."""
    if window_ns is None and capacity is None:
        raise ArgumentError("window_ns and capacity are None", allowed="at least one of them")
    if not (0 <= (window_ns or 0) <= _FAR and 1 <= (1 if capacity is None else capacity) <= _FAR):
        raise ArgumentError(f"window_ns={window_ns}, capacity={capacity}", allowed="window_ns >= 0 and capacity >= 1")
    unused = 0 if either else _FAR
    window = unused - 1 if window_ns is None else int(window_ns)
    return window, unused if capacity is None else int(capacity), positive("limit", limit, maximum=_FAR)


@body
def _falls(time, offsets, row):
    """Whether `row` is earlier than the row before it in its segment."""
    return row > 0 and time[row] < time[row - 1] and offsets[segment_of(offsets, row)] != row


@cpu_loop
def _falls_cpu(time, offsets):
    first = time.shape[0]
    for row in prange(time.shape[0]):
        # the offsets are looked up only where the clock steps back, which a segment's start may do
        if row > 0 and time[row] < time[row - 1] and _falls(time, offsets, row):
            first = min(first, row)
    return first


@cuda.jit
def _falls_cuda(time, offsets, first):
    row = cuda.grid(1)
    if row < time.shape[0] and _falls(time, offsets, row):
        cuda.atomic.min(first, 0, row)


def check_sorted(name: str, rows: Rows, time: Array) -> None:
    """Raise ArgumentError unless `time` never falls within a segment."""
    if rows.count == 0:
        return
    if rows.device:
        found = to_side(np.array([rows.count], np.int64), like=time)
        _falls_cuda[grid_of(rows.count)](time, rows.offsets, found)
        first = int(to_host(found)[0])
    else:
        first = int(on_cpu(_falls_cpu, rows.count)(time, rows.offsets))
    if first < rows.count:
        before, after = to_host(time[first - 1 : first + 1]).tolist()
        raise ArgumentError(
            f"{name} falls from {before} to {after} at row {first}",
            allowed=f"{name} sorted within each segment",
            hint="sort the rows by (segment, time) before the call",
        )


def check_same_segments(rows: Rows, decisions: Rows) -> None:
    """Raise unless both tables have one number of segments and lie on one side."""
    common_device(rows=rows.offsets, decisions=decisions.offsets)
    if rows.segments != decisions.segments:
        raise ArgumentError(
            f"{rows.segments} segments of rows for {decisions.segments} segments of decisions",
            allowed="one segment of rows, possibly empty, for each segment of decisions",
        )


def check_positions(name: str, positions: Array, count: int, of: str) -> None:
    """Raise ArgumentError unless each position is -1 (none) or one of 0 to count - 1: others would be read out of
    bounds."""
    host = to_host(positions)
    if len(host) and not (host.min() >= -1 and host.max() < count):
        raise ArgumentError(f"{name} spans {host.min()} to {host.max()}", allowed=f"-1 to {count - 1}, {of}")
