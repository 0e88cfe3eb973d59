"""Orders that bring orders: a Hawkes process of up to `MAXIMUM_KINDS` kinds of event (buys, sells, cancels) whose
excitation fades exponentially.

    lambda_i(t) = baseline_i + sum over kinds j, events k of kind j with t_k < t, of
                  branching_ij * decay_ij * exp(-decay_ij * (t - t_k))

Everything is a left limit: an event acts strictly after its own time, so events of one stamp do not excite each other.
`branching_ij` is the mean number of events of kind i that one event of kind j brings directly. The process is
stationary where the spectral radius of that matrix is below 1. Rates are per second, times in nanoseconds.

kind      (n,) int8 or int64, 0 to M - 1; a row of another kind is no event of the model: it excites and counts nothing
baseline  (S, M), branching (S, M, M), decay (S, M, M) float64, row s for segment s: baseline and decay above 0,
          branching at least 0. A segment begins with nothing excited.
"""

import math

import numpy as np
from scipy.linalg import expm

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.best import imbalance
from gpu_kernels.dispatch import Array, Rows, empty, grid_of, on_cpu, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_same_segments, check_sorted
from gpu_kernels.trade.hawkes_state import SECONDS, checked_events, checked_parameters, step


@body
def _read(excitation, waiting, constant, weight, decay, elapsed, out):
    """constant_q + sum of weight_qij * excitation_ij, `elapsed` seconds after the clock. The state is left alone, so
    what is asked when cannot change a later answer."""
    for question in range(out.shape[0]):
        out[question] = constant[question]
    rate, factor = -1.0, 1.0
    for target in range(waiting.shape[0]):
        for source in range(waiting.shape[0]):
            if decay[target, source] != rate:
                rate = decay[target, source]
                factor = math.exp(-rate * elapsed)
            faded = (excitation[target, source] + waiting[source]) * factor
            for question in range(out.shape[0]):
                out[question] += weight[question, target, source] * faded


@body
def _read_segment(time, kind, first, last, at, begin, end, constant, weight, decay, state, out):
    excitation, ages, waiting = state[0], state[1], state[2, 0]
    state[:] = 0.0
    row, clock = first, at[begin] if begin < end else 0
    for i in range(begin, end):
        while row < last and time[row] < at[i]:
            elapsed = np.float64(time[row] - clock) * SECONDS if row > first else 0.0
            step(excitation, ages, waiting, decay, elapsed, kind[row])
            clock = time[row]
            row += 1
        elapsed = np.float64(at[i] - clock) * SECONDS if row > first else 0.0
        _read(excitation, waiting, constant, weight, decay, elapsed, out[:, i])


@cpu_loop
def _read_cpu(time, kind, offsets, at, at_offsets, constant, weight, decay, out):
    kinds = decay.shape[1]
    for segment in prange(offsets.shape[0] - 1):
        _read_segment(
            time,
            kind,
            offsets[segment],
            offsets[segment + 1],
            at,
            at_offsets[segment],
            at_offsets[segment + 1],
            constant[segment],
            weight[segment],
            decay[segment],
            np.empty((3, kinds, kinds)),
            out,
        )


@cuda.jit
def _read_cuda(time, kind, offsets, at, at_offsets, constant, weight, decay, states, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _read_segment(
            time,
            kind,
            offsets[segment],
            offsets[segment + 1],
            at,
            at_offsets[segment],
            at_offsets[segment + 1],
            constant[segment],
            weight[segment],
            decay[segment],
            states[segment],
            out,
        )


def _readout(
    time: Array, kind: Array, offsets: Array, at: Array, at_offsets: Array, constant: Array, weight: Array, decay: Array
) -> Array:
    """(Q, m): linear questions asked of the state just before each time of `at`; constant and weight on the host."""
    rows, kind = checked_events(time, kind, offsets)
    decisions = Rows(at_offsets, times={"at": at}, offsets_name="at_offsets")
    check_same_segments(rows, decisions)
    check_sorted("at", decisions, decisions.columns[0])
    out = decisions.empty((int(constant.shape[1]), decisions.count), np.float64)
    shared = (rows.columns[0], kind, rows.offsets, decisions.columns[0], decisions.offsets)
    questions = (to_side(constant, like=rows.offsets), to_side(weight, like=rows.offsets), decay)
    if decisions.count and rows.device:
        kinds = int(decay.shape[1])
        states = empty((rows.segments, 3, kinds, kinds), np.float64, like=rows.offsets)
        _read_cuda[grid_of(rows.segments)](*shared, *questions, states, out)
    elif decisions.count:
        on_cpu(_read_cpu, rows.count + decisions.count, rows.segments)(*shared, *questions, out)
    return out


def intensity(
    time: Array,
    kind: Array,
    offsets: Array,
    at: Array,
    at_offsets: Array,
    baseline: Array,
    branching: Array,
    decay: Array,
) -> Array:
    """Conditional intensity of each kind just before each time t of `at`: what the events strictly before t say.

    time   (n,) int64 ns, never falling in a segment; kind (n,), baseline, branching, decay as the module says
    at     (m,) int64 ns, never falling in a segment, may be the events' own times; at_offsets (S + 1,)
    returns   (M, m) float64, events per second

    Missing values: none; the baseline before the first event.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Hawkes (1971), "Spectra of some self-exciting and mutually exciting point processes"; Bacry, Mastromatteo
    and Muzy (2015), "Hawkes processes in finance".
    """
    rows, _ = checked_events(time, kind, offsets)
    base, pairs, decay = checked_parameters(rows, baseline, branching, decay)
    jumps = to_host(pairs) * to_host(decay)
    kinds = int(base.shape[1])
    weight = np.zeros((rows.segments, kinds, kinds, kinds))
    for target in range(kinds):
        weight[:, target, target] = jumps[:, target]
    return _readout(time, kind, offsets, at, at_offsets, to_host(base), weight, decay)


def intensity_asymmetry(
    time: Array,
    kind: Array,
    offsets: Array,
    at: Array,
    at_offsets: Array,
    baseline: Array,
    branching: Array,
    decay: Array,
) -> Array:
    """(lambda_0 - lambda_1) / (lambda_0 + lambda_1) of `intensity`, kind 0 buys and kind 1 sells: -1 to 1.

    Arrays as in `intensity`, of two kinds or more
    returns   (m,) float64

    Missing values: none.
    Raises: ArgumentError (also where there is one kind only), DeviceError.
    Source: Bacry, Mastromatteo and Muzy (2015), "Hawkes processes in finance".
    """
    rates = intensity(time, kind, offsets, at, at_offsets, baseline, branching, decay)
    if len(rates) < 2:
        raise ArgumentError("the model has 1 kind of event", allowed="2 or more: buys, then sells")
    return imbalance(rates[0], rates[1])


def _expectation(baseline: Array, branching: Array, decay: Array, horizon: float) -> tuple[Array, Array]:
    """(constant (M,), weight (M, M, M)) of the expected counts of the next `horizon` seconds, linear in the state.

    d E[excitation_ij] / ds = -decay_ij E[excitation_ij] + E[lambda_j] is a linear system, so a matrix exponential
    carries it, the counts (the integrals of the intensities) and a constant 1 over the horizon.
    """
    kinds = len(baseline)
    pairs = kinds * kinds
    system = np.zeros((pairs + kinds + 1, pairs + kinds + 1))
    jumps = branching * decay
    for source in range(kinds):
        rate = np.zeros(pairs + kinds + 1)
        rate[source * kinds : (source + 1) * kinds] = jumps[source]
        rate[-1] = baseline[source]
        system[pairs + source] = rate
        for target in range(kinds):
            system[target * kinds + source] = rate
    system[range(pairs), range(pairs)] -= decay.ravel()
    carried = expm(system * horizon)[pairs : pairs + kinds]
    return carried[:, -1], carried[:, :pairs].reshape(kinds, kinds, kinds)


def expected_events(
    time: Array,
    kind: Array,
    offsets: Array,
    at: Array,
    at_offsets: Array,
    baseline: Array,
    branching: Array,
    decay: Array,
    horizon_ns: int,
) -> Array:
    """Expected number of events of each kind in the `horizon_ns` from t on, given those strictly before t.

    Exact, offspring of the coming events included: the expected intensity obeys a linear differential equation.
    Arrays as in `intensity`; horizon_ns at least 1
    returns   (M, m) float64; it may overflow to infinity where the process is not stationary and the horizon long

    Missing values: none.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Dassios and Zhao (2011), "A dynamic contagion process" (moments by the generator).
    """
    if isinstance(horizon_ns, bool) or not isinstance(horizon_ns, int | np.integer) or horizon_ns < 1:
        raise ArgumentError(f"horizon_ns is {horizon_ns!r}", allowed="a whole number, 1 or more")
    rows, _ = checked_events(time, kind, offsets)
    base, pairs, decay = checked_parameters(rows, baseline, branching, decay)
    kinds = int(base.shape[1])
    constant, weight = np.empty((rows.segments, kinds)), np.empty((rows.segments, kinds, kinds, kinds))
    for segment, values in enumerate(zip(to_host(base), to_host(pairs), to_host(decay), strict=True)):
        constant[segment], weight[segment] = _expectation(*values, int(horizon_ns) * SECONDS)
    return _readout(time, kind, offsets, at, at_offsets, constant, weight, decay)
