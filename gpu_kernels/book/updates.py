"""Whether rows are level-2 updates of a book, and what of a segment's book is known before it is rebuilt."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.rebuild_state import GAP
from gpu_kernels.book.window import NO_RANK
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, to_host
from gpu_kernels.errors import ArgumentError


@body
def _is_update(side, tick, quantity, action):
    # written so that NaN is none, and without branches
    known = (side == 1) | (side == -1)
    return (
        known
        & (tick >= 0)
        & (tick < NO_RANK)
        & (quantity >= 0.0)
        & (quantity < np.inf)
        & (action >= 0)
        & (action <= GAP)
    )


@body
def _survey(side, price_ticks, size, action, start, stop):
    """The first row that is no update of a book, or `stop`; lowest and highest tick and the number of bids."""
    bad, told = stop, action.shape[0] > 0
    lowest, highest, bids = np.int64(NO_RANK), np.int64(-1), 0
    first = np.uint64(start)
    for place in range(stop - start):
        # unsigned, so that no index may count from the end, and the loop becomes vector code
        row = first + np.uint64(place)
        tick, way = price_ticks[row], side[row]
        good = _is_update(way, tick, np.float64(size[row]), np.int64(action[row]) if told else 0)
        bad = min(bad, stop if good else start + place)
        lowest, highest = min(lowest, tick), max(highest, tick)
        bids += way == 1
    return bad, lowest, highest, bids


@cpu_loop
def _survey_cpu(side, price_ticks, size, action, offsets, found):
    for segment in prange(offsets.shape[0] - 1):
        bad, lowest, highest, bids = _survey(side, price_ticks, size, action, offsets[segment], offsets[segment + 1])
        found[0, segment], found[1, segment], found[2, segment], found[3, segment] = bad, lowest, highest, bids


@cuda.jit
def _survey_cuda(side, price_ticks, size, action, offsets, found):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        bad, lowest, highest, bids = _survey(side, price_ticks, size, action, offsets[segment], offsets[segment + 1])
        found[0, segment], found[1, segment], found[2, segment], found[3, segment] = bad, lowest, highest, bids


def surveyed(rows: Rows, side: Array, action: Array) -> tuple[Array, Array]:
    """Of each segment what `_survey` finds, on the side of the input, and its ticks from lowest to highest (host)."""
    size, price_ticks = rows.columns
    found = rows.empty((4, rows.segments), np.int64)
    if rows.device:
        _survey_cuda[grid_of(rows.segments)](side, price_ticks, size, action, rows.offsets, found)
    else:
        on_cpu(_survey_cpu, rows.count, rows.segments)(side, price_ticks, size, action, rows.offsets, found)
    bad, lowest, highest, _ = to_host(found)
    broken = np.flatnonzero(bad < rows.host_offsets[1:])
    if len(broken):
        row = int(bad[broken[0]])
        names = {"side": side, "price_ticks": price_ticks, "size": size} | ({"action": action} if len(action) else {})
        shown = ", ".join(f"{name} {to_host(array[row : row + 1])[0].item()}" for name, array in names.items())
        raise ArgumentError(
            f"update {row} has {shown}",
            allowed="side 1 (bid) or -1 (ask), price_ticks from 0 to 2**62 - 1, a finite size of at least 0, "
            "action 0, 1 or 2",
            hint="set such rows aside before rebuilding",
        )
    return found, np.maximum(highest - lowest + 1, 1)
