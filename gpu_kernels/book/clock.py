"""Rows at which to show a book (`rebuild`'s `at`): at the edges of a time clock, or whenever so much was traded.

The edge rule: an edge sees the last row whose time is at or before it, rows of the edge's own time included; with
`lag_ns` 1, strictly before it. `time` is when the rows were known, so what is shown was known at its edge. An edge is
given only once all its rows are there, so later rows change no earlier edge.
"""

from typing import Any, NamedTuple

import numpy as np

from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, positive, to_host, to_side
from gpu_kernels.segments import check_sorted
from gpu_kernels.trade.bars import volume_ends
from gpu_kernels.trade.columns import per_segment


class Clock(NamedTuple):
    """The edges of each segment at which a book was there.

    at        (m,) int64, the row that each edge sees, never falling
    time      (m,) int64 ns, the edge's own time
    offsets   (S + 1,) int64: segment s has the edges offsets[s] to offsets[s + 1]
    """

    at: Array
    time: Array
    offsets: Array


def time_clock(time: Array, offsets: Array, interval_ns: int, *, until: Any = None, lag_ns: int = 0) -> Clock:
    """Edges at the multiples of interval_ns since the epoch, from a segment's first row on.

    time          (n,) int64 ns never falling in a segment, when each row was known; offsets (S + 1,)
    interval_ns   at least 1
    until         int64 ns, up to when the segment's rows are known: one number or an array (S,). The edges up to it are
                  given, and those before the last row, since a later row has come; None: those alone
    lag_ns        see the edge rule above, at least 0
    returns       `Clock`

    Missing values: an edge that no row of its segment precedes is left out.
    Raises: ArgumentError (also where `time` falls), DeviceError.
    """
    interval_ns = positive("interval_ns", interval_ns, maximum=2**61)
    rows = Rows(offsets, times={"time": time})
    (time,) = rows.columns
    check_sorted("time", rows, time)
    begins, ends = rows.host_offsets[:-1], rows.host_offsets[1:]
    used = begins < ends
    bounds = np.zeros((2, rows.segments), np.int64)
    # a number or two a segment: on a GPU cheaper than a kernel for them
    for segment in np.flatnonzero(used):
        for side, row in enumerate((begins[segment], ends[segment] - 1)):
            bounds[side, segment] = to_host(time[row : row + 1])[0]
    first, last = bounds
    known = last - 1 if until is None else np.maximum(last - 1, to_host(per_segment("until", until, rows, np.int64)))
    lowest = -(-first // interval_ns)
    count = np.where(used, np.maximum(known // interval_ns - lowest + 1, 0), 0)
    edge_offsets = np.zeros(rows.segments + 1, np.int64)
    np.cumsum(count, out=edge_offsets[1:])
    place = np.arange(edge_offsets[-1]) - np.repeat(edge_offsets[:-1], count)
    return _seen(time, rows, (np.repeat(lowest, count) + place) * interval_ns, edge_offsets, lag_ns)


def volume_clock(
    time: Array,
    offsets: Array,
    trade_time: Array,
    trade_size: Array,
    trade_offsets: Array,
    threshold: Any,
    *,
    lag_ns: int = 0,
) -> Clock:
    """Edges at the trades that bring the volume since the edge before to `threshold` or beyond (`bars.volume_ends`).

    time         (n,) int64 ns never falling in a segment, when each row was known; offsets (S + 1,)
    trade_time   (t,) int64 ns, when each trade was known, never falling in a segment
    trade_size   (t,) float32, float64 or int64 lots; trade_offsets (S + 1,), segments of the same number
    threshold    above 0, one number or an array (S,), e.g. from past days (`buckets.bucket_sizes`)
    lag_ns       see the edge rule above, at least 0
    returns      `Clock`; an edge's time is that of its trade

    Missing values: a NaN size counts as 0; an edge that no row of its segment precedes is left out.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    rows = Rows(offsets, times={"time": time})
    trades = Rows(trade_offsets, values={"trade_size": trade_size}, times={"trade_time": trade_time})
    check_sorted("trade_time", trades, trades.columns[1])
    ends, edge_offsets = volume_ends(trade_size, trade_offsets, threshold)
    edges = to_host(trades.columns[1])[to_host(ends)]
    return _seen(rows.columns[0], rows, edges, to_host(edge_offsets), lag_ns)


def _seen(time: Array, rows: Rows, edges: Array, edge_offsets: Array, lag_ns: int) -> Clock:
    """The row that each edge (host) sees, without the edges that see none."""
    lag_ns = positive("lag_ns", lag_ns, minimum=0, maximum=2**62)
    like = rows.offsets
    found = last_index(time, rows.offsets, to_side(edges, like=like), to_side(edge_offsets, like=like), lag_ns=lag_ns)
    at = to_host(found)
    seen = at >= 0
    kept = np.concatenate([[0], np.cumsum(seen)])[edge_offsets]
    return Clock(*(to_side(np.ascontiguousarray(array), like=like) for array in (at[seen], edges[seen], kept)))
