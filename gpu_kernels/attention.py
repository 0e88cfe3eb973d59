"""How unusual a number of items is for the time of day: against the same time of the sessions before."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, column, common_device, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_positions, check_same_segments, check_sorted, segment_of, tile_rows, upper_bound

_INT64 = (np.dtype(np.int64),)


@body
def _counted(time, start, stop, moment, window):
    known = upper_bound(time, start, stop, moment)
    return known - upper_bound(time, start, known, moment - window)


@body
def _attention(time, start, stop, at, session, opens, closes, kinds, window, sessions, minimum):
    if session < 0 or start == stop or at > closes[session]:
        return np.nan
    offset = at - opens[session]
    used, total, squares = np.int64(0), np.int64(0), np.int64(0)
    for past in range(session - 1, -1, -1):
        moment = opens[past] + offset
        if used == sessions or moment - window < time[start]:
            break
        # a session that had closed by then says nothing of this time of day
        if kinds[past] == kinds[session] and moment <= closes[past]:
            count = _counted(time, start, stop, moment, window)
            used, total, squares = used + 1, total + count, squares + count * count
    if used < minimum:
        return np.nan
    n = np.float64(used)
    mean = np.float64(total) / n
    # whole numbers: nothing is lost in the difference
    variance = np.float64(used * squares - total * total) / (n * (n - 1.0))
    floor = max(mean, 1.0 / n)
    return (np.float64(_counted(time, start, stop, at, window)) - mean) / math.sqrt(max(variance, floor))


@cpu_loop
def _attention_cpu(
    time, offsets, at, session, at_offsets, opens, closes, kinds, tiles, tile, window, sessions, minimum, out
):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, at_offsets, tile)
        start, stop = offsets[segment], offsets[segment + 1]
        for i in range(first, last):
            out[i] = _attention(time, start, stop, at[i], session[i], opens, closes, kinds, window, sessions, minimum)


@cuda.jit
def _attention_cuda(time, offsets, at, session, at_offsets, opens, closes, kinds, window, sessions, minimum, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        segment = segment_of(at_offsets, i)
        out[i] = _attention(
            time,
            offsets[segment],
            offsets[segment + 1],
            at[i],
            session[i],
            opens,
            closes,
            kinds,
            window,
            sessions,
            minimum,
        )


def attention(
    time: Array,
    offsets: Array,
    at: Array,
    session: Array,
    at_offsets: Array,
    opens: Array,
    closes: Array,
    kinds: Array,
    *,
    window_ns: int,
    sessions: int,
    minimum: int,
) -> Array:
    """z-score of the number of items in (t - window_ns, t] against those at the same time after the open of the last
    `sessions` sessions before t's.

        z = (n_t - mean) / sqrt(max(s^2, mean, 1 / N))

    with mean and sample variance s^2 (divisor N - 1) of the N counts used. Counts vary at least as much as Poisson's
    do, and where there never was an item as if there had been one in N sessions, so that a first item is no infinity.

    time      (n,) int64 ns of the items, never falling in a segment; offsets (S + 1,)
    at        (m,) int64 ns, never falling in a segment; at_offsets (S + 1,): segment s looks at segment s
    session   (m,) int64 position of each t's session; -1: none
    opens, closes   (D,) int64 ns of the sessions, both rising
    kinds     (D,) int64: a session is compared with those of its kind (weekdays, days of a weekend)
    window_ns, sessions, minimum   at least 1, 2 and 2: `minimum` sessions must be there

    A past session is used where it was still open at that time after its open, so that a half day is no quiet
    afternoon, and where the whole window lies after the segment's first item.

    returns   (m,) float64

    Missing values: NaN where fewer than `minimum` sessions are used, before the first item, outside of all sessions,
    and after the session's close.
    Raises: ArgumentError (also where a time falls, a session is none, or the segments differ in number), DeviceError.
    Source: definition; the floor is the variance of a Poisson count.
    """
    window_ns = positive("window_ns", window_ns, maximum=2**61)
    sessions, minimum = positive("sessions", sessions, 2), positive("minimum", minimum, 2)
    rows = Rows(offsets, times={"time": time})
    decisions = Rows(at_offsets, times={"at": at, "session": session}, offsets_name="at_offsets")
    check_same_segments(rows, decisions)
    check_sorted("time", rows, rows.columns[0])
    check_sorted("at", decisions, decisions.columns[0])
    common_device(time=time, opens=opens, closes=closes, kinds=kinds)
    opens, closes, kinds = (
        column(name, array, _INT64) for name, array in (("opens", opens), ("closes", closes), ("kinds", kinds))
    )
    if not len(opens) == len(closes) == len(kinds):
        raise ArgumentError(f"{len(opens)} opens, {len(closes)} closes, {len(kinds)} kinds", allowed="one of each")
    check_positions("session", decisions.columns[1], len(opens), "the sessions")
    out = decisions.empty(decisions.count, np.float64)
    shared = (rows.columns[0], rows.offsets, *decisions.columns, decisions.offsets, opens, closes, kinds)
    if decisions.count and decisions.device:
        _attention_cuda[grid_of(decisions.count)](*shared, window_ns, sessions, minimum, out)
    elif decisions.count:
        on_cpu(_attention_cpu, decisions.count)(
            *shared, decisions.tiles(), TILE_ROWS, window_ns, sessions, minimum, out
        )
    return out
