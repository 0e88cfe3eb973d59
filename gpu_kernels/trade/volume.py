"""What buyers and sellers have traded up to given times, and their mean rates, so that more than usual can be told."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, positive
from gpu_kernels.trade.columns import small_column


@body
def elapse(faded, elapsed, half_life):
    """Fade the traded lots (of buyers, of sellers) and the share of time watched, `elapsed` ns on."""
    fading = math.exp(-math.log(2.0) * np.float64(elapsed) / half_life)
    faded[0] *= fading
    faded[1] *= fading
    faded[2] = faded[2] * fading + (1.0 - fading)


@body
def trade(lots_so_far, faded, lots, aggressor):
    """One trade, once known."""
    if aggressor != 0 and lots > 0:
        side = 0 if aggressor > 0 else 1
        lots_so_far[side] += lots
        faded[side] += np.float64(lots)


@body
def rate(faded, side, half_life):
    """Faded lots over the faded time; 0 before any time has gone by."""
    return faded[side] * math.log(2.0) / (half_life * faded[2]) if faded[2] > 0.0 else 0.0


@body
def _segment(lots, aggressor, at, last, first, end, item, half_life, so_far, faded, total, rates):
    so_far[:] = 0
    faded[:] = 0.0
    for i in range(first, end):
        if i > first:
            elapse(faded, at[i] - at[i - 1], half_life)
        while item <= last[i]:
            trade(so_far, faded, lots[item], aggressor[item])
            item += 1
        for side in range(2):
            total[side, i], rates[side, i] = so_far[side], rate(faded, side, half_life)


@cpu_loop
def _volume_cpu(lots, aggressor, offsets, at, last, at_offsets, half_life, total, rates):
    for s in prange(at_offsets.shape[0] - 1):
        so_far, faded = np.empty(2, np.int64), np.empty(3)
        begin, end, item = at_offsets[s], at_offsets[s + 1], offsets[s]
        _segment(lots, aggressor, at, last, begin, end, item, half_life, so_far, faded, total, rates)


@cuda.jit
def _volume_cuda(lots, aggressor, offsets, at, last, at_offsets, half_life, total, rates):
    s = cuda.grid(1)
    if s < at_offsets.shape[0] - 1:
        so_far, faded = cuda.local.array(2, np.int64), cuda.local.array(3, np.float64)
        begin, end, item = at_offsets[s], at_offsets[s + 1], offsets[s]
        _segment(lots, aggressor, at, last, begin, end, item, half_life, so_far, faded, total, rates)


def aggressor_volume(
    time: Array,
    lots: Array,
    aggressor: Array,
    offsets: Array,
    at: Array,
    at_offsets: Array,
    *,
    half_life_ns: int,
    lag_ns: int = 0,
) -> tuple[Array, Array]:
    """Lots traded up to each time of `at` by aggressors who bought and who sold, and their mean rates.

    The rate is the sum of lots x 2 ** -(age / half_life_ns) over the same weight of all time since the segment's first
    `at`. A trade's age counts from the first `at` that knows it.
    time, lots   (n,) int64: ns never falling in a segment; aggressor (n,) int8 or int64, +1 buyer, -1 seller
    at           (m,) int64 ns, never falling in a segment; trades with time <= t - lag_ns count
    returns      lots (2, m) int64, of buyers and of sellers; rates (2, m) float64 lots a ns

    Missing values: trades with aggressor 0 or lots not above 0 are left out; a rate is 0 before any time has gone by.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    half_life = float(positive("half_life_ns", half_life_ns))
    rows = Rows(offsets, times={"time": time, "lots": lots})
    by = small_column("aggressor", aggressor, rows)
    decisions = Rows(at_offsets, times={"at": at}, offsets_name="at_offsets")
    last = last_index(rows.columns[0], rows.offsets, decisions.columns[0], decisions.offsets, lag_ns=lag_ns)
    total, rates = (decisions.empty((2, decisions.count), kind) for kind in (np.int64, np.float64))
    if decisions.count == 0:
        return total, rates
    shared = (rows.columns[1], by, rows.offsets, decisions.columns[0], last, decisions.offsets, half_life)
    if rows.device:
        _volume_cuda[grid_of(rows.segments)](*shared, total, rates)
    else:
        on_cpu(_volume_cpu, decisions.count, rows.segments)(*shared, total, rates)
    return total, rates
