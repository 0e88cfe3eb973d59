"""The state of a Hawkes process with exponential kernels, and the one step that moves it: what every kernel of
`hawkes` and `hawkes_likelihood` shares, and what a live path keeps between events."""

import math

import numpy as np

from gpu_kernels._jit import body
from gpu_kernels.dispatch import Array, Rows, column, common_device, to_host
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_sorted

MAXIMUM_KINDS = 4
SECONDS = 1e-9
_KINDS = (np.dtype(np.int8), np.dtype(np.int64))
_FLOAT64 = (np.dtype(np.float64),)


@body
def fade(excitation, ages, waiting, decay, elapsed, rate, factor):
    """Carry one kind's row of the state `elapsed` seconds on. `factor` is exp(-rate * elapsed): decays are often all
    equal, and the exponential is most of the work, so it goes from row to row."""
    for source in range(waiting.shape[0]):
        if decay[source] != rate:
            rate = decay[source]
            factor = math.exp(-rate * elapsed)
        total = excitation[source] + waiting[source]
        ages[source] = (ages[source] + elapsed * total) * factor
        excitation[source] = total * factor
    return rate, factor


@body
def advance(excitation, ages, waiting, decay, elapsed):
    """Carry the state `elapsed` seconds on. `excitation[i, j]` is the sum of exp(-decay_ij age) over the events of
    kind j before the clock, `ages` the same times the age (its derivative by -decay), `waiting[j]` how many events of
    kind j stand at the clock itself."""
    if elapsed > 0.0:
        rate, factor = -1.0, 1.0
        for target in range(waiting.shape[0]):
            rate, factor = fade(excitation[target], ages[target], waiting, decay[target], elapsed, rate, factor)
        waiting[:] = 0.0


@body
def step(excitation, ages, waiting, decay, elapsed, kind):
    """One event, `elapsed` seconds after the clock: the state is then what is known just before it, plus itself."""
    advance(excitation, ages, waiting, decay, elapsed)
    if 0 <= kind < waiting.shape[0]:
        waiting[kind] += 1.0


def checked_events(time: Array, kind: Array, offsets: Array) -> tuple[Rows, Array]:
    """The checked rows, with `time` their only column, and their kinds."""
    common_device(time=time, kind=kind, offsets=offsets)
    rows = Rows(offsets, times={"time": time})
    kind = column("kind", kind, _KINDS)
    if len(kind) != rows.count:
        raise ArgumentError(f"arrays of unequal length: time {rows.count}, kind {len(kind)}", allowed="one length")
    check_sorted("time", rows, rows.columns[0])
    return rows, kind


def checked_parameters(rows: Rows, baseline: Array, branching: Array, decay: Array) -> list[Array]:
    """The parameters of each segment, checked: baseline (S, M), branching and decay (S, M, M)."""
    return _checked(rows, rows.segments, 3, baseline, branching, decay)


def checked_rates(rows: Rows, baseline: Array, branching: Array, decay: Array) -> list[Array]:
    """One kind's parameters, as many sets as there are, checked: baseline (P,), branching and decay (P, M)."""
    return _checked(rows, len(baseline), 2, baseline, branching, decay)


def _checked(rows: Rows, sets: int, ndim: int, baseline: Array, branching: Array, decay: Array) -> list[Array]:
    common_device(offsets=rows.offsets, baseline=baseline, branching=branching, decay=decay)
    checked = [
        column("baseline", baseline, _FLOAT64, ndim=ndim - 1),
        column("branching", branching, _FLOAT64, ndim=ndim),
        column("decay", decay, _FLOAT64, ndim=ndim),
    ]
    kinds = int(tuple(checked[1].shape)[-1])
    shapes = [tuple(array.shape) for array in checked]
    vector = (sets, kinds)[: ndim - 1]
    if shapes != [vector, (*vector, kinds), (*vector, kinds)] or not 1 <= kinds <= MAXIMUM_KINDS:
        shown = (f"({sets},)", f"({sets}, M)", f"({sets}, M, M)")[ndim - 2 : ndim]
        raise ArgumentError(
            f"baseline {shapes[0]}, branching {shapes[1]}, decay {shapes[2]}",
            allowed=f"{shown[0]}, {shown[1]}, {shown[1]} with M of 1 to {MAXIMUM_KINDS}",
        )
    for name, array, least in zip(("baseline", "branching", "decay"), checked, (">", ">=", ">"), strict=True):
        host = to_host(array)
        good = np.isfinite(host) & ((host >= 0.0) if least == ">=" else (host > 0.0))
        if not good.all():
            raise ArgumentError(f"{name} holds {host[~good][0]}", allowed=f"finite numbers {least} 0")
    return checked
