"""How long orders live and how they end: cancels against trades, and the lives of the cancelled and of the executed.

What lies in the past fades with a half-life. Weights are kept against a reference time that moves forward, so an event
costs one power and no sweep over the bins.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, positive
from gpu_kernels.trade.columns import small_column

CANCELLED, EXECUTED = 5, 6
"""Actions of the canonical table `order_event` that end an order or a part of it."""

NAMES = (
    "cancel_to_trade",
    "cancel_to_trade_lots",
    "mean_life_cancelled",
    "mean_life_executed",
    "mean_life_cancelled_lots",
    "mean_life_executed_lots",
    "median_life_cancelled",
    "median_life_executed",
)
"""The rows of what `order_lives` gives."""

_PER_OCTAVE = 4
_BINS = 56 * _PER_OCTAVE
_RESET = 200.0
"""Half-lives after which the reference time moves: 2**200 is far from the end of float64."""


@body
def _bin(age):
    """Bin of an age in ns: four to an octave from 1 ns on."""
    return min(_BINS - 1, np.int64(_PER_OCTAVE * math.log2(np.float64(max(age, 1)))))


@body
def _end(reference, sums, bins, kind, age, lots, time, half_life):
    """One order, or a part of one, ended (kind 0 cancelled, 1 executed). State: `sums` (2, 4) faded counts, lots, ages,
    ages by lots; `bins` (2, _BINS) faded counts by age. Returns the reference time."""
    if np.float64(time - reference) > _RESET * half_life:
        fading = 2.0 ** (-np.float64(time - reference) / half_life)
        for k in range(2):
            for i in range(sums.shape[1]):
                sums[k, i] *= fading
            for i in range(bins.shape[1]):
                bins[k, i] *= fading
        reference = time
    weight = 2.0 ** (np.float64(time - reference) / half_life)
    sums[kind, 0] += weight
    sums[kind, 1] += weight * lots
    sums[kind, 2] += weight * age
    sums[kind, 3] += weight * age * lots
    bins[kind, _bin(age)] += weight
    return reference


@body
def _ratio(above, below):
    return above / below if below > 0.0 else np.nan


@body
def _median(bins, total):
    """Middle, on the log scale, of the bin that holds half of the weight."""
    if not total > 0.0:
        return np.nan
    seen = 0.0
    for i in range(bins.shape[0]):
        seen += bins[i]
        if 2.0 * seen >= total:
            return 2.0 ** ((i + 0.5) / _PER_OCTAVE)
    return 2.0 ** (bins.shape[0] / _PER_OCTAVE)


@body
def _row(sums, bins, out, at):
    out[0, at], out[1, at] = _ratio(sums[0, 0], sums[1, 0]), _ratio(sums[0, 1], sums[1, 1])
    for kind in range(2):
        out[2 + kind, at] = _ratio(sums[kind, 2], sums[kind, 0])
        out[4 + kind, at] = _ratio(sums[kind, 3], sums[kind, 1])
        out[6 + kind, at] = _median(bins[kind], sums[kind, 0])


@body
def _lives_segment(time, age, lots, action, start, begin, end, last, half_life, sums, bins, out):
    for kind in range(2):
        for i in range(sums.shape[1]):
            sums[kind, i] = 0.0
        for i in range(bins.shape[1]):
            bins[kind, i] = 0.0
    event, reference = start, np.int64(0)
    for i in range(begin, end):
        while event <= last[i]:
            ends = action[event] == CANCELLED or action[event] == EXECUTED
            if event == start:
                reference = time[event]
            if ends and age[event] >= 0 and lots[event] > 0:
                kind = 0 if action[event] == CANCELLED else 1
                lived, quantity = np.float64(age[event]), np.float64(lots[event])
                reference = _end(reference, sums, bins, kind, lived, quantity, time[event], half_life)
            event += 1
        _row(sums, bins, out, i)


@cpu_loop
def _lives_cpu(time, age, lots, action, offsets, last, at_offsets, half_life, out):
    for s in prange(offsets.shape[0] - 1):
        sums, bins = np.empty((2, 4)), np.empty((2, _BINS))
        begin, end = at_offsets[s], at_offsets[s + 1]
        _lives_segment(time, age, lots, action, offsets[s], begin, end, last, half_life, sums, bins, out)


@cuda.jit
def _lives_cuda(time, age, lots, action, offsets, last, at_offsets, half_life, sums, bins, out):
    s = cuda.grid(1)
    if s < offsets.shape[0] - 1:
        begin, end = at_offsets[s], at_offsets[s + 1]
        _lives_segment(time, age, lots, action, offsets[s], begin, end, last, half_life, sums[s], bins[s], out)


def order_lives(
    time: Array,
    action: Array,
    age_ns: Array,
    lots: Array,
    offsets: Array,
    at: Array,
    at_offsets: Array,
    *,
    half_life_ns: int,
) -> Array:
    """Cancel-to-trade ratios and the lives of orders that ended up to t, each end counted 2 ** -(age of the end /
    half_life_ns). The eight rows of the result are `NAMES`:

    cancel_to_trade, .._lots     faded number (lots) of cancels divided by that of executions
    mean_life_{cancelled,executed}, .._lots   faded mean of age_ns, each end counted once, or by its lots
    median_life_{cancelled,executed}          faded median of age_ns, to a quarter of an octave (+-9 %)
    time, age_ns, lots   (n,) int64: of each event, the ns since the order was placed (below 0: not known), the size
                         that the event takes away
    action               (n,) int8 or int64 as in the table `order_event`; only 5 (cancelled) and 6 (executed) count
    at                   (m,) int64 ns, never falling in a segment; segment s looks at segment s's events up to t
    returns              (8, m) float64: ratios are pure numbers, lives in ns

    A part of an order that is executed or cancelled counts as one end. An order still resting has no end yet, so lives
    are those of ended orders alone: short ones come first after a segment's start.
    Missing values: events with an age below 0 or lots not above 0 are left out. NaN where the divisor has seen no
    event, or none but such as have faded to 0 (a thousand half-lives).
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Hasbrouck and Saar (2009), "Technology and liquidity provision: the blurring of traditional definitions".
    """
    half_life = float(positive("half_life_ns", half_life_ns))
    rows = Rows(offsets, times={"time": time, "age_ns": age_ns, "lots": lots})
    actions = small_column("action", action, rows)
    decisions = Rows(at_offsets, times={"at": at}, offsets_name="at_offsets")
    last = last_index(time, rows.offsets, at, at_offsets)
    out = decisions.empty((len(NAMES), decisions.count), np.float64)
    if decisions.count == 0:
        return out
    arrays = (*rows.columns, actions, rows.offsets, last, decisions.offsets, half_life)
    if rows.device:
        sums, bins = (rows.empty((rows.segments, 2, width), np.float64) for width in (4, _BINS))
        _lives_cuda[grid_of(rows.segments)](*arrays, sums, bins, out)
    else:
        on_cpu(_lives_cpu, decisions.count, rows.segments)(*arrays, out)
    return out
