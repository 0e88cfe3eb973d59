"""The forward filter of a hidden Markov model: state probabilities that use the past and the present, never the
future."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, empty, grid_of, on_cpu, to_host
from gpu_kernels.errors import ArgumentError


@body
def _predicted(filtered, transition, row, state):
    """Probability of `state` before this row is seen."""
    total = 0.0
    for origin in range(transition.shape[0]):
        total += filtered[row - 1, origin] * transition[origin, state]
    return total


@body
def _filter_row(log_emission, row, filtered):
    """Turn the predicted probabilities in filtered[row] into filtered ones; returns the row's log likelihood. A row
    with a NaN, and one that the model holds impossible, leaves them as predicted."""
    states = filtered.shape[1]
    top = -np.inf
    for state in range(states):
        if math.isnan(log_emission[row, state]):
            return 0.0
        if filtered[row, state] > 0.0:
            top = max(top, math.log(filtered[row, state]) + log_emission[row, state])
    if math.isinf(top):
        return top
    total = 0.0
    for state in range(states):
        if filtered[row, state] > 0.0:
            filtered[row, state] = math.exp(math.log(filtered[row, state]) + log_emission[row, state] - top)
        total += filtered[row, state]
    for state in range(states):
        filtered[row, state] /= total
    return top + math.log(total)


@body
def _filter_segment(log_emission, start, transition, first, last, filtered):
    likelihood = 0.0
    for row in range(first, last):
        for state in range(start.shape[0]):
            filtered[row, state] = start[state] if row == first else _predicted(filtered, transition, row, state)
        likelihood += _filter_row(log_emission, row, filtered)
    return likelihood


@cpu_loop
def _filter_cpu(log_emission, start, transition, offsets, filtered, likelihood):
    for segment in prange(offsets.shape[0] - 1):
        first, last = offsets[segment], offsets[segment + 1]
        likelihood[segment] = _filter_segment(log_emission, start, transition, first, last, filtered)


@cuda.jit
def _filter_cuda(log_emission, start, transition, offsets, filtered, likelihood):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        first, last = offsets[segment], offsets[segment + 1]
        likelihood[segment] = _filter_segment(log_emission, start, transition, first, last, filtered)


def _check_probabilities(name: str, rows: Array) -> None:
    if not (np.all(rows >= 0.0) and np.allclose(rows.sum(axis=-1), 1.0, rtol=0.0, atol=1e-6)):
        raise ArgumentError(f"{name} is {rows.tolist()}", allowed="probabilities, each row summing to 1")


def forward_filter(log_emission: Array, start: Array, transition: Array, offsets: Array) -> tuple[Array, Array]:
    """Filtered state probabilities P(state at row | rows up to it) and each segment's log likelihood.

    p(row) is proportional to exp(log_emission[row]) * (p(row - 1) @ transition), p of a segment's first row to
    exp(log_emission) * start; scaled by the largest term before summing, so no emission is too small.
    log_emission   (T, K) float64, natural log of the density of the row's observation in each state; offsets (S + 1,)
    start          (K,) float64; transition (K, K) float64, transition[i, j] = P(j next | i now)
    returns        (T, K) float64, (S,) float64

    Missing values: a row with a NaN is an observation not made: its probabilities are the predicted ones and it adds
    nothing to the likelihood. A row that every reachable state gives zero density (-inf) does the same, with
    likelihood -inf.
    Raises: ArgumentError, DeviceError.
    Source: Hamilton (1989), "A new approach to the economic analysis of nonstationary time series".
    """
    common_device(log_emission=log_emission, start=start, transition=transition, offsets=offsets)
    double = (np.dtype(np.float64),)
    log_emission = column("log_emission", log_emission, double, ndim=2)
    start, transition = column("start", start, double), column("transition", transition, double, ndim=2)
    count, states = int(log_emission.shape[0]), int(log_emission.shape[1])
    if tuple(start.shape) != (states,) or tuple(transition.shape) != (states, states) or states == 0:
        raise ArgumentError(
            f"log_emission has {states} states, start {tuple(start.shape)}, transition {tuple(transition.shape)}",
            allowed="(T, K), (K,), (K, K) with K of at least 1",
        )
    _check_probabilities("start", to_host(start))
    _check_probabilities("transition", to_host(transition))
    rows = Rows(offsets, count=count)
    filtered = empty((count, states), np.float64, like=log_emission)
    likelihood = empty(rows.segments, np.float64, like=log_emission)
    if rows.segments and rows.device:
        _filter_cuda[grid_of(rows.segments)](log_emission, start, transition, rows.offsets, filtered, likelihood)
    elif rows.segments:
        on_cpu(_filter_cpu, rows.count, rows.segments)(
            log_emission, start, transition, rows.offsets, filtered, likelihood
        )
    return filtered, likelihood
