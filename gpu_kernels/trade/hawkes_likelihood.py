"""How well a Hawkes process (see `hawkes`) explains events: log-likelihood with its gradient, and residuals.

Both score the events from `start` on; events before it excite and are not scored.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, grid_of, on_cpu, to_host
from gpu_kernels.errors import ArgumentError
from gpu_kernels.trade.hawkes_state import (
    SECONDS,
    advance,
    checked_events,
    checked_parameters,
    checked_rates,
    fade,
    step,
)

_INT64 = (np.dtype(np.int64),)


@body
def _history(time, kind, first, last, start, decay, excitation, ages, waiting, seen):
    """Carry an empty state over the events before `start` to `start` itself; returns the first row not before it."""
    row, clock = first, min(start, time[first]) if first < last else start
    while row < last and time[row] < start:
        step(excitation, ages, waiting, decay, np.float64(time[row] - clock) * SECONDS, kind[row])
        clock = time[row]
        if 0 <= kind[row] < waiting.shape[0]:
            seen[kind[row]] += 1.0
        row += 1
    advance(excitation, ages, waiting, decay, np.float64(start - clock) * SECONDS)
    return row


@body
def _score_event(baseline, branching, decay, excitation, ages, by_branching, by_decay):
    """Intensity of the target just before its event; excitation and ages over the intensity are added up."""
    intensity = baseline
    for source in range(branching.shape[0]):
        intensity += branching[source] * decay[source] * excitation[source]
    inverse = 1.0 / intensity
    for source in range(branching.shape[0]):
        by_branching[source] += excitation[source] * inverse
        by_decay[source] += ages[source] * inverse
    return intensity


@body
def _spend(sign, excitation, ages, waiting, seen, spent, spent_ages):
    """Add `sign` times what the events so far have spent of their excitation by the clock, each 1 - exp(-decay age),
    and its derivative by the decay."""
    for source in range(waiting.shape[0]):
        spent[source] += sign * (seen[source] - (excitation[source] + waiting[source]))
        spent_ages[source] += sign * ages[source]


@body
def _finish(branching, decay, spent, spent_ages, by_branching, by_decay):
    """The excited part of the compensator; the sums of `_score_event` become derivatives of the log-likelihood."""
    value = 0.0
    for source in range(branching.shape[0]):
        scored, aged = by_branching[source], by_decay[source]
        value += branching[source] * spent[source]
        by_branching[source] = decay[source] * scored - spent[source]
        by_decay[source] = branching[source] * (scored - decay[source] * aged - spent_ages[source])
    return value


@body
def _likelihood_segment(
    time, kind, first, last, start, stop, target, baseline, branching, decay, state, by_branching, by_decay
):
    """(log-likelihood, its derivative by the baseline) of the events of `target`."""
    excitation, ages, waiting, seen, spent, spent_ages = state[0], state[1], state[2], state[3], state[4], state[5]
    for source in range(branching.shape[0]):
        for part in range(state.shape[0]):
            state[part, source] = 0.0
        by_branching[source] = 0.0
        by_decay[source] = 0.0
    row, value, by_baseline = first, 0.0, 0.0
    clock = min(start, time[first]) if first < last else start
    # up to `start`, then up to `stop`, in one loop: a second copy of its bodies would cost the GPU's registers
    scored = False
    while clock < stop:
        end = stop if scored else start
        is_event = row < last and time[row] < end
        now = time[row] if is_event else end
        if now > clock:
            fade(excitation, ages, waiting, decay, np.float64(now - clock) * SECONDS, -1.0, 1.0)
            for source in range(waiting.shape[0]):
                waiting[source] = 0.0
        clock = now
        if is_event:
            of = kind[row]
            row += 1
            if scored and of == target:
                rate = _score_event(baseline, branching, decay, excitation, ages, by_branching, by_decay)
                value += math.log(rate)
                by_baseline += 1.0 / rate
            if 0 <= of < waiting.shape[0]:
                waiting[of] += 1.0
                seen[of] += 1.0
        else:
            _spend(1.0 if scored else -1.0, excitation, ages, waiting, seen, spent, spent_ages)
            scored = True
    duration = np.float64(stop - start) * SECONDS
    value -= baseline * duration + _finish(branching, decay, spent, spent_ages, by_branching, by_decay)
    return value, by_baseline - duration


@cpu_loop
def _likelihood_cpu(
    time,
    kind,
    offsets,
    start,
    stop,
    segment,
    target,
    baseline,
    branching,
    decay,
    value,
    by_baseline,
    by_branching,
    by_decay,
):
    for fit in prange(segment.shape[0]):
        of = segment[fit]
        value[fit], by_baseline[fit] = _likelihood_segment(
            time,
            kind,
            offsets[of],
            offsets[of + 1],
            start[of],
            stop[of],
            target[fit],
            baseline[fit],
            branching[fit],
            decay[fit],
            np.empty((6, branching.shape[1])),
            by_branching[fit],
            by_decay[fit],
        )


@cuda.jit
def _likelihood_cuda(
    time,
    kind,
    offsets,
    start,
    stop,
    segment,
    target,
    baseline,
    branching,
    decay,
    states,
    value,
    by_baseline,
    by_branching,
    by_decay,
):
    fit = cuda.grid(1)
    if fit < segment.shape[0]:
        of = segment[fit]
        value[fit], by_baseline[fit] = _likelihood_segment(
            time,
            kind,
            offsets[of],
            offsets[of + 1],
            start[of],
            stop[of],
            target[fit],
            baseline[fit],
            branching[fit],
            decay[fit],
            states[fit],
            by_branching[fit],
            by_decay[fit],
        )


@body
def _accrue(elapsed, baseline, branching, decay, excitation, waiting, accrued):
    """Add to each kind the intensity's integral over the next `elapsed` seconds."""
    for target in range(accrued.shape[0]):
        accrued[target] += baseline[target] * elapsed
        for source in range(accrued.shape[0]):
            total = excitation[target, source] + waiting[source]
            faded = -math.expm1(-decay[target, source] * elapsed)
            accrued[target] += branching[target, source] * total * faded


@body
def _residual_segment(time, kind, first, last, start, baseline, branching, decay, state, out):
    excitation, ages, waiting, accrued = state[0], state[1], state[2, 0], state[3, 0]
    state[:] = 0.0
    scored = _history(time, kind, first, last, start, decay, excitation, ages, waiting, accrued)
    accrued[:] = 0.0
    out[first:scored] = np.nan
    clock = start
    for row in range(scored, last):
        elapsed = np.float64(time[row] - clock) * SECONDS
        _accrue(elapsed, baseline, branching, decay, excitation, waiting, accrued)
        step(excitation, ages, waiting, decay, elapsed, kind[row])
        clock = time[row]
        out[row] = np.nan
        if 0 <= kind[row] < accrued.shape[0]:
            out[row] = accrued[kind[row]]
            accrued[kind[row]] = 0.0


@cpu_loop
def _residual_cpu(time, kind, offsets, start, baseline, branching, decay, out):
    kinds = baseline.shape[1]
    for segment in prange(offsets.shape[0] - 1):
        _residual_segment(
            time,
            kind,
            offsets[segment],
            offsets[segment + 1],
            start[segment],
            baseline[segment],
            branching[segment],
            decay[segment],
            np.empty((4, kinds, kinds)),
            out,
        )


@cuda.jit
def _residual_cuda(time, kind, offsets, start, baseline, branching, decay, states, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _residual_segment(
            time,
            kind,
            offsets[segment],
            offsets[segment + 1],
            start[segment],
            baseline[segment],
            branching[segment],
            decay[segment],
            states[segment],
            out,
        )


def _clocks(rows: Rows, **clocks: Array) -> list[Array]:
    """One int64 stamp per segment for each name."""
    common_device(offsets=rows.offsets, **clocks)
    checked = [column(name, clock, _INT64) for name, clock in clocks.items()]
    for name, clock in zip(clocks, checked, strict=True):
        if len(clock) != rows.segments:
            raise ArgumentError(f"{name} has {len(clock)} stamps for {rows.segments} segments", allowed="one each")
    return checked


def _chosen(rows: Rows, name: str, chosen: Array, count: int, limit: int) -> Array:
    """(count,) int64 numbers of 0 to limit - 1."""
    common_device(offsets=rows.offsets, **{name: chosen})
    chosen = column(name, chosen, _INT64)
    host = to_host(chosen)
    if len(host) != count:
        raise ArgumentError(f"{name} has {len(host)} numbers for {count} sets of parameters", allowed="one each")
    if count and not (host.min() >= 0 and host.max() < limit):
        raise ArgumentError(f"{name} spans {host.min()} to {host.max()}", allowed=f"0 to {limit - 1}")
    return chosen


def log_likelihood(
    time: Array,
    kind: Array,
    offsets: Array,
    start: Array,
    stop: Array,
    segment: Array,
    target: Array,
    baseline: Array,
    branching: Array,
    decay: Array,
) -> tuple[Array, Array, Array, Array]:
    """Log-likelihood, with its gradient, of one kind's events in [start, stop), under each of P sets of parameters.

    sum over events of kind i of ln lambda_i(t-), less the integral of lambda_i over [start, stop], in one pass by the
    recursion of the decayed sums. The log-likelihood of a model is the sum over its kinds, each of which depends on its
    own row of the parameters only. Events before `start` excite and are not scored; those from `stop` on are left.
    time, kind, offsets   as in `hawkes.intensity`
    start, stop   (S,) int64 ns, start before stop
    segment, target   (P,) int64, the segment and the kind i that each set is tried on: many starting points of many
                  segments in one call
    baseline      (P,), branching (P, M), decay (P, M) float64: row i of the model's
    returns       (P,) float64, and its derivatives by baseline, branching and decay in their shapes

    Missing values: none.
    Raises: ArgumentError, DeviceError.
    Source: Ozaki (1979), "Maximum likelihood estimation of Hawkes' self-exciting point processes"; Ogata (1981), "On
    Lewis' simulation method for point processes".
    """
    rows, kind = checked_events(time, kind, offsets)
    start, stop = _clocks(rows, start=start, stop=stop)
    backward = np.flatnonzero(to_host(stop) <= to_host(start))
    if len(backward):
        at = int(backward[0])
        raise ArgumentError(
            f"stop is {to_host(stop)[at]} in segment {at}, start {to_host(start)[at]}", allowed="start before stop"
        )
    parameters = checked_rates(rows, baseline, branching, decay)
    fits, kinds = (int(length) for length in parameters[1].shape)
    segment = _chosen(rows, "segment", segment, fits, rows.segments)
    target = _chosen(rows, "target", target, fits, kinds)
    value, by_baseline = rows.empty(fits, np.float64), rows.empty(fits, np.float64)
    by_branching, by_decay = rows.empty((fits, kinds), np.float64), rows.empty((fits, kinds), np.float64)
    shared = (rows.columns[0], kind, rows.offsets, start, stop, segment, target, *parameters)
    if fits and rows.device:
        states = rows.empty((fits, 6, kinds), np.float64)
        _likelihood_cuda[grid_of(fits)](*shared, states, value, by_baseline, by_branching, by_decay)
    elif fits:
        work = int(np.diff(rows.host_offsets)[segment].sum())
        on_cpu(_likelihood_cpu, work, fits)(*shared, value, by_baseline, by_branching, by_decay)
    return value, by_baseline, by_branching, by_decay


def residuals(
    time: Array, kind: Array, offsets: Array, start: Array, baseline: Array, branching: Array, decay: Array
) -> Array:
    """Time-rescaling residuals: the integral of lambda_kind from the event of that kind before it (or `start`) to each
    event. Under the true model they are independent draws from the exponential distribution of mean 1.

    time, kind, offsets, baseline, branching, decay   as in `intensity`
    start     (S,) int64 ns, from when on events are scored
    returns   (n,) float64

    Missing values: NaN where the row is no event of the model, or lies before `start`.
    Raises: ArgumentError, DeviceError.
    Source: Brown, Barbieri, Ventura, Kass and Frank (2002), "The time-rescaling theorem and its application to neural
    spike train data analysis"; Ogata (1988), "Statistical models for earthquake occurrences".
    """
    rows, kind = checked_events(time, kind, offsets)
    (start,) = _clocks(rows, start=start)
    parameters = checked_parameters(rows, baseline, branching, decay)
    out = rows.empty(rows.count, np.float64)
    shared = (rows.columns[0], kind, rows.offsets, start, *parameters)
    if rows.count and rows.device:
        kinds = int(parameters[0].shape[1])
        states = rows.empty((rows.segments, 4, kinds, kinds), np.float64)
        _residual_cuda[grid_of(rows.segments)](*shared, states, out)
    elif rows.count:
        on_cpu(_residual_cpu, rows.count, rows.segments)(*shared, out)
    return out
