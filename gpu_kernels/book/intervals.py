"""Events summed over the intervals between given edges.

The edge rule: an event belongs to the interval from edge to edge that holds its time, the left edge included and the
right one not. So the sum at an edge is of events strictly before it, and all of it is known there.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import VALUE_DTYPES, Array, Rows, column, common_device, float_dtype, grid_of, on_cpu
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_same_segments, check_sorted, segment_of, upper_bound


@body
def _events(time, offsets, edge, edge_offsets, k):
    """(first, end) of the events of the interval that ends at edge k; (0, -1) at a segment's first edge."""
    segment = segment_of(edge_offsets, k)
    if edge_offsets[segment] == k:
        return 0, -1
    start, stop = offsets[segment], offsets[segment + 1]
    first = upper_bound(time, start, stop, edge[k - 1] - 1)
    return first, upper_bound(time, first, stop, edge[k] - 1)


@body
def _sum(values, first, last):
    total = 0.0 if last >= first else np.nan
    for event in range(first, last):
        total += np.float64(values[event])
    return total


@cpu_loop
def _sums_cpu(time, values, offsets, edge, edge_offsets, sums, counts):
    for k in prange(edge.shape[0]):
        first, last = _events(time, offsets, edge, edge_offsets, k)
        counts[k] = max(last - first, 0)
        for series in range(values.shape[0]):
            sums[series, k] = _sum(values[series], first, last)


@cuda.jit
def _sums_cuda(time, values, offsets, edge, edge_offsets, sums, counts):
    k = cuda.grid(1)
    if k < edge.shape[0]:
        first, last = _events(time, offsets, edge, edge_offsets, k)
        counts[k] = max(last - first, 0)
        for series in range(values.shape[0]):
            sums[series, k] = _sum(values[series], first, last)


def interval_sums(time: Array, values: Array, offsets: Array, edge: Array, edge_offsets: Array) -> tuple[Array, Array]:
    """Sum and number of the events in [edge k-1, edge k), at edge k.

    time     (n,) int64, never falling within a segment; values (n,) or (K, n) float32, float64 or int64; offsets (S +
             1,)
    edge     (m,) int64 in the unit of `time`, never falling within a segment; edge_offsets (S + 1,), one segment of
             edges, possibly empty, for each of events
    returns  sums (m,) or (K, m) in the unit of the values, added up in float64 in the order of the events; counts (m,)
             int64. Without events 0 and 0.

    Missing values: the sum is NaN at a segment's first edge, which ends no interval, and where an event is NaN: a sum
    that lacks an unknown change would be wrong. The count there is 0, and that of all events.
    Raises: ArgumentError (also where a time falls), DeviceError.
    Source: Cont, Kukanov and Stoikov (2014), "The price impact of order book events", section 2.
    """
    common_device(time=time, values=values)
    several = np.ndim(values) == 2
    values = column("values", values, VALUE_DTYPES, ndim=2 if several else 1)
    events = Rows(offsets, times={"time": time})
    edges = Rows(edge_offsets, times={"edge": edge}, offsets_name="edge_offsets")
    check_same_segments(events, edges)
    count = int(values.shape[1 if several else 0])
    if count != events.count:
        raise ArgumentError(f"{count} values for {events.count} times", allowed="one length for both")
    (time,), (edge,) = events.columns, edges.columns
    check_sorted("time", events, time)
    check_sorted("edge", edges, edge)
    values = values if several else values.reshape(1, events.count)
    sums = edges.empty((int(values.shape[0]), edges.count), float_dtype(values))
    counts = edges.empty(edges.count, np.int64)
    shared = (time, values, events.offsets, edge, edges.offsets, sums, counts)
    if edges.count and events.device:
        _sums_cuda[grid_of(edges.count)](*shared)
    elif edges.count:
        on_cpu(_sums_cpu, events.count, edges.count)(*shared)
    return (sums if several else sums.reshape(edges.count)), counts
