"""Liquidity droughts: depth, spread and replenishment of a book against what is usual at this time of day.

One thread per entity: its sessions are read one after the other, because each is judged by those before it. State,
baseline and step: `book.drought_state`.
"""

from collections.abc import Sequence

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.drought_state import (
    BUCKET_NS,
    MARKS,
    MEASURES,
    NUMBERS,
    open_session,
    settings_of,
    start,
    step,
)
from gpu_kernels.dispatch import Array, Rows, common_device, float_dtype, grid_of, on_cpu, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_sorted


@body
def _entity(
    entity, time, measures, offsets, entities, opens, settings, numbers, marks, profile, flag, depth, age, index
):
    start(numbers, marks, profile)
    for session in range(entities[entity], entities[entity + 1]):
        open_session(numbers, marks, profile, settings)
        for row in range(offsets[session], offsets[session + 1]):
            flag[row], depth[row], age[row], index[row] = step(
                numbers,
                marks,
                profile,
                settings,
                opens[session],
                time[row],
                np.float64(measures[0][row]),
                np.float64(measures[1][row]),
                np.float64(measures[2][row]),
                np.float64(measures[3][row]),
                np.float64(measures[4][row]),
            )


@cpu_loop
def _drought_cpu(
    time,
    bids,
    asks,
    spread,
    bids_arrived,
    asks_arrived,
    offsets,
    entities,
    opens,
    settings,
    numbers,
    marks,
    profiles,
    flag,
    depth,
    age,
    index,
):
    for entity in prange(entities.shape[0] - 1):
        _entity(
            entity,
            time,
            (bids, asks, spread, bids_arrived, asks_arrived),
            offsets,
            entities,
            opens,
            settings,
            numbers[entity],
            marks[entity],
            profiles[entity],
            flag,
            depth,
            age,
            index,
        )


@cuda.jit
def _drought_cuda(
    time,
    bids,
    asks,
    spread,
    bids_arrived,
    asks_arrived,
    offsets,
    entities,
    opens,
    settings,
    numbers,
    marks,
    profiles,
    flag,
    depth,
    age,
    index,
):
    entity = cuda.grid(1)
    if entity < entities.shape[0] - 1:
        _entity(
            entity,
            time,
            (bids, asks, spread, bids_arrived, asks_arrived),
            offsets,
            entities,
            opens,
            settings,
            numbers[entity],
            marks[entity],
            profiles[entity],
            flag,
            depth,
            age,
            index,
        )


def drought(
    time: Array,
    bid_depth: Array,
    ask_depth: Array,
    spread: Array,
    bid_arrived: Array,
    ask_arrived: Array,
    offsets: Array,
    opens: Array,
    entities: Array,
    *,
    clock_seconds: float = 0.5,
    bucket_seconds: float = 900.0,
    smoothing_seconds: float = 2.0,
    replenishment_seconds: float = 5.0,
    warm_up_seconds: float = 300.0,
    adapt_seconds: float = 1800.0,
    shrinkage: float = 1.0,
    memory: int = 20,
    weights: Sequence[float] = (1.0, 1.0, 1.0),
    enter: float = 2.0,
    leave: float = 1.0,
    gate: float = 0.25,
    hold_seconds: float = 3.0,
    release_seconds: float = 3.0,
) -> tuple[Array, Array, Array, Array]:
    """Whether the book is in a liquidity drought, how deep it is, how old, and the index that decides.

    A drought is thin on both sides, has a wide spread, and is not refilled. Every `clock_seconds`, the means since the
    last tick of both depths, of the spread, and of the size that arrived per second on both sides are smoothed
    exponentially; z is the logarithm of each less its baseline (see `book.drought_state`), over its usual absolute
    deviation.
    index = weighted mean of min(-z_bid_depth, -z_ask_depth), z_spread and min(-z_bid_arrived, -z_ask_arrived), but no
    more than the least of them while that is below `gate`. A drought begins when index >= enter for `hold_seconds`, its
    onset being the first such tick, and ends when index < leave for `release_seconds`.
    time       (n,) int64 ns, never falling within a session
    measures   bid_depth, ask_depth, spread, bid_arrived, ask_arrived (n,): of `liquidity.near_touch`, one row for each
               state of the whole book
    offsets    (S + 1,) rows of each session; opens (S,) int64 ns, from which a session's time of day is counted
    entities   (E + 1,) sessions of each entity, in the order of time: [0, S] for one entity

    clock_seconds           how often the book is judged; a gap in the book that is shorter weighs by its length
    bucket_seconds          length of a bucket of the time of day
    smoothing_seconds       time constant for depths and spread; replenishment_seconds: for what arrives
    warm_up_seconds         of an entity's first session, in which nothing is called a drought
    adapt_seconds           time constant of today's level and of the usual deviations
    shrinkage, memory       see `book.drought_state`; a session weighs at least 1 / memory
    weights                 of depth, spread and replenishment; 0 leaves one out
    enter, leave, gate      in usual absolute deviations; gate <= leave <= enter
    returns    drought 0 or 1; share of the usual depth near the touch that the fuller side lacks, 0 outside; seconds
               since the onset, 0 outside; index; each (n,), as of the last tick at or before the row

    Missing values: all NaN where the book is unknown (a depth of NaN), until twice the longer time constant after it is
    known again, and while an entity warms up; a drought that is open then ends. A spread of NaN beside known depths
    (an empty side) leaves the last one standing; NaN arrived counts as nothing.
    Raises: ArgumentError (also where `time` falls), DeviceError.
    Source: thin, wide and slow to refill are the three dimensions of Kyle (1985), "Continuous auctions and insider
    trading", and the resilience of Foucault, Kadan and Kandel (2005), "Limit order book as a market for liquidity";
    that all of them vary with the time of day: Biais, Hillion and Spatt (1995); that gaps in the book, not volume,
    make large price changes: Farmer, Gillemot, Lillo, Mike and Sen (2004). The thresholds are ours
    (docs/detectors.md).
    """
    settings = settings_of(
        clock_seconds=clock_seconds,
        bucket_seconds=bucket_seconds,
        smoothing_seconds=smoothing_seconds,
        replenishment_seconds=replenishment_seconds,
        warm_up_seconds=warm_up_seconds,
        adapt_seconds=adapt_seconds,
        shrinkage=shrinkage,
        memory=memory,
        weights=weights,
        enter=enter,
        leave=leave,
        gate=gate,
        hold_seconds=hold_seconds,
        release_seconds=release_seconds,
    )
    values = {
        "bid_depth": bid_depth,
        "ask_depth": ask_depth,
        "spread": spread,
        "bid_arrived": bid_arrived,
        "ask_arrived": ask_arrived,
    }
    rows = Rows(offsets, values=values, times={"time": time})
    time, measures = rows.columns[-1], rows.columns[:-1]
    check_sorted("time", rows, time)
    sessions = Rows(entities, times={"opens": opens}, offsets_name="entities")
    common_device(time=time, opens=opens)
    if sessions.count != rows.segments:
        raise ArgumentError(f"opens has {sessions.count} times for {rows.segments} sessions", allowed="one a session")
    outputs = [rows.empty(rows.count, float_dtype(*measures)) for _ in range(4)]
    if rows.count == 0:
        return tuple(outputs)  # type: ignore[return-value]
    buckets = _buckets(rows, time, sessions, settings[BUCKET_NS])
    shared = (time, *measures, rows.offsets, sessions.offsets, sessions.columns[0])
    # in memory, not in registers: a thread that held it all would need more than 200
    state = (
        rows.empty((sessions.segments, NUMBERS), np.float64),
        rows.empty((sessions.segments, MARKS), np.int64),
        rows.empty((sessions.segments, buckets, MEASURES + 1), np.float64),
    )
    if rows.device:
        _drought_cuda[grid_of(sessions.segments)](*shared, to_side(settings, like=time), *state, *outputs)
    else:
        on_cpu(_drought_cpu, rows.count, sessions.segments)(*shared, settings, *state, *outputs)
    return tuple(outputs)  # type: ignore[return-value]


def _buckets(rows: Rows, time: Array, sessions: Rows, length: float) -> int:
    """How many buckets the longest session reaches into."""
    filled = np.flatnonzero(np.diff(rows.host_offsets))
    opens, last = to_host(sessions.columns[0])[filled], rows.host_offsets[1:][filled] - 1
    ends = np.array([to_host(time[row : row + 1])[0] for row in last])
    first = np.array([to_host(time[row : row + 1])[0] for row in rows.host_offsets[:-1][filled]])
    if (first < opens).any():
        session = int(filled[np.flatnonzero(first < opens)[0]])
        raise ArgumentError(f"session {session} has a row before it opens", allowed="rows from `opens` on")
    spans = ends - opens
    if spans.max() > 7 * 86_400 * 10**9:
        raise ArgumentError(
            f"session {int(filled[spans.argmax()])} lasts {spans.max() / 86_400e9:.1f} days",
            allowed="7 days or less",
            hint="cut it into days: a time of day means nothing otherwise",
        )
    return int(spans.max() // int(length)) + 1
