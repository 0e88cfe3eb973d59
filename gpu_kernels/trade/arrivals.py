"""Arrival rates of buys and sells within price levels: on which side of each distance from the mid they come faster.

Every price level keeps two counts that fade with a half-life. A segment's levels lie in a ring of `memory_ticks` slots,
tick modulo the ring; so a level is forgotten when an arrival comes that many ticks away from it (or a multiple), which
no distance asked for reaches. Counts are kept as of one moment, the segment's origin: an arrival counts more the later
it comes, and ratios need no fading. The origin moves on before the numbers grow too large.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, positive, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.trade.columns import small_column

MEMORY_TICKS = 4096
"""Default slots of a segment's ring."""

_NO_TICK = np.int64(-(2**63))


# half-lives from the origin after which it moves: 2 ** 512 times any number of arrivals is still a float64
_FARTHEST = 512


@body
def _arrive(ticks, counts, origin, tick, side, time, half_life):
    """One arrival counted, each 2 ** (its age at the origin / half_life); returns the origin, which may have moved."""
    passed = (time - origin) // half_life
    if passed > _FARTHEST:
        fading = 2.0 ** -np.float64(passed)
        for slot in range(ticks.shape[0]):
            counts[0, slot] *= fading
            counts[1, slot] *= fading
        origin += passed * half_life
    slot = tick % ticks.shape[0]
    if ticks[slot] != tick:
        ticks[slot], counts[0, slot], counts[1, slot] = tick, 0.0, 0.0
    counts[0 if side > 0 else 1, slot] += 2.0 ** (np.float64(time - origin) / half_life)
    return origin


@body
def _balance(bought, sold):
    return (bought - sold) / (bought + sold) if bought + sold > 0.0 else np.nan


@body
def _counted(ticks, counts, first, last, bought, sold):
    """The counts of the levels first to last added."""
    slot = first % ticks.shape[0]
    for tick in range(first, last + 1):
        if ticks[slot] == tick:
            bought += counts[0, slot]
            sold += counts[1, slot]
        slot = slot + 1 if slot + 1 < ticks.shape[0] else 0
    return bought, sold


@body
def _asymmetry(ticks, counts, bid, ask, bands, out, at):
    """Asymmetry of each band around the mid of bid and ask, then that of all together."""
    every_bought, every_sold = 0.0, 0.0
    # distances in half ticks, since a mid may lie between two ticks; the first band has none inside it
    centre = bid + ask
    inner_lowest, inner_highest = (centre + 1) // 2, (centre + 1) // 2 - 1
    for band in range(bands.shape[0]):
        lowest, highest = -((2 * bands[band] - centre) // 2), (centre + 2 * bands[band]) // 2
        bought, sold = _counted(ticks, counts, lowest, inner_lowest - 1, 0.0, 0.0)
        bought, sold = _counted(ticks, counts, inner_highest + 1, highest, bought, sold)
        out[band, at] = _balance(bought, sold)
        every_bought += bought
        every_sold += sold
        inner_lowest, inner_highest = lowest, highest
    out[bands.shape[0], at] = _balance(every_bought, every_sold)


@body
def _arrivals_segment(time, tick, side, start, begin, end, last, bid, ask, bands, half_life, ticks, counts, out):
    ticks[:] = _NO_TICK
    arrival, origin = start, np.int64(0)
    for i in range(begin, end):
        while arrival <= last[i]:
            if arrival == start:
                origin = time[arrival]
            if side[arrival] != 0:
                origin = _arrive(ticks, counts, origin, tick[arrival], side[arrival], time[arrival], half_life)
            arrival += 1
        if 0 < bid[i] <= ask[i]:
            _asymmetry(ticks, counts, bid[i], ask[i], bands, out, i)
        else:
            out[:, i] = np.nan


@cpu_loop
def _arrivals_cpu(time, tick, side, offsets, last, bid, ask, at_offsets, bands, half_life, memory, out):
    for s in prange(offsets.shape[0] - 1):
        ticks, counts = np.empty(memory, np.int64), np.empty((2, memory))
        begin, end = at_offsets[s], at_offsets[s + 1]
        _arrivals_segment(
            time, tick, side, offsets[s], begin, end, last, bid, ask, bands, half_life, ticks, counts, out
        )


@cuda.jit
def _arrivals_cuda(time, tick, side, offsets, last, bid, ask, at_offsets, bands, half_life, ticks, counts, out):
    s = cuda.grid(1)
    if s < offsets.shape[0] - 1:
        begin, end = at_offsets[s], at_offsets[s + 1]
        _arrivals_segment(
            time, tick, side, offsets[s], begin, end, last, bid, ask, bands, half_life, ticks[s], counts[s], out
        )


def arrival_asymmetry(
    time: Array,
    price_ticks: Array,
    side: Array,
    offsets: Array,
    at: Array,
    bid_ticks: Array,
    ask_ticks: Array,
    at_offsets: Array,
    *,
    bands: tuple[int, ...],
    half_life_ns: int,
    memory_ticks: int = MEMORY_TICKS,
) -> Array:
    """Arrival-rate asymmetry within price levels, (b - s) / (b + s) for each band of distance from the mid: b and s are
    the arrivals of buys and of sells at the band's price levels up to t, each counted 2 ** -(age / half_life_ns).

    An exponentially decayed count is a rate up to the factor ln 2 / half_life, which the ratio does not need. Band j
    holds the levels with bands[j - 1] < |price - mid| <= bands[j] in ticks, the first from 0 on; the mid is that of
    t, so a level changes its band as the market moves and keeps its history. Arrivals are trades by aggressor, or new
    orders by the side on which they rest.
    time, price_ticks   (n,) int64 ns never falling in a segment; int64 ticks; side (n,) int8 or int64, +1, -1 or 0
    at, bid_ticks, ask_ticks   (m,) int64 decisions, never falling in a segment, and the best quotes known at each;
                        segment s of the decisions looks at segment s of the arrivals with time <= t
    bands               rising whole ticks, the first at least 0; half_life_ns at least 1
    memory_ticks        more than 2 * bands[-1] + 1: a level is forgotten when an arrival comes a multiple of it away
    returns             (len(bands) + 1, m) float64, -1 (only sells) to 1 (only buys); the last row is of all bands

    Missing values: NaN where a band has seen no arrival, and where the quote is crossed or not above 0. Side 0 is left
    out. What is more than some 1000 half-lives older than the newest arrival may be forgotten.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    edges = np.array([positive("bands", edge, minimum=0, maximum=2**31) for edge in bands], np.int64)
    if len(edges) == 0 or (np.diff(edges) <= 0).any():
        raise ArgumentError(f"bands is {tuple(bands)!r}", allowed="rising whole numbers of ticks, at least one")
    half_life = positive("half_life_ns", half_life_ns)
    memory = positive("memory_ticks", memory_ticks, minimum=2 * int(edges[-1]) + 2, maximum=2**31)
    rows = Rows(offsets, times={"time": time, "price_ticks": price_ticks})
    sides = small_column("side", side, rows)
    table = {"at": at, "bid_ticks": bid_ticks, "ask_ticks": ask_ticks}
    decisions = Rows(at_offsets, times=table, offsets_name="at_offsets")
    last = last_index(time, rows.offsets, at, at_offsets)
    out = decisions.empty((len(edges) + 1, decisions.count), np.float64)
    if decisions.count == 0:
        return out
    _, bid, ask = decisions.columns
    bounds = (rows.offsets, last, bid, ask, decisions.offsets, to_side(edges, like=rows.offsets), half_life)
    if rows.device:
        rings = [rows.empty((rows.segments, *shape, memory), dtype) for shape, dtype in _RING]
        _arrivals_cuda[grid_of(rows.segments)](*rows.columns, sides, *bounds, *rings, out)
    else:
        on_cpu(_arrivals_cpu, decisions.count, rows.segments)(*rows.columns, sides, *bounds, memory, out)
    return out


_RING: tuple[tuple[tuple[int, ...], type], ...] = (((), np.int64), ((2,), np.float64))
