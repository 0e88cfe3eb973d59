"""The forward filter of a hidden Markov model: state probabilities that use the past and the present, never the
future."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, empty, grid_of, on_cpu, to_host, to_side
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


@body
def _log_density(x, row, mean, whitening, constant, state):
    """Of the row's observation in a state: log Normal(mean, covariance), whitening being the inverse Cholesky factor of
    the covariance. NaN where an input is missing."""
    square = 0.0
    for i in range(x.shape[1]):
        if not math.isfinite(x[row, i]):
            return math.nan
        z = 0.0
        for j in range(i + 1):
            z += whitening[state, i, j] * (x[row, j] - mean[state, j])
        square += z * z
    return constant[state] - 0.5 * square


@body
def _gaussian_segment(x, mean, whitening, constant, start, transition, first, last, work, filtered, density):
    for row in range(first, last):
        for state in range(start.shape[0]):
            work[row, state] = _log_density(x, row, mean, whitening, constant, state)
            filtered[row, state] = start[state] if row == first else _predicted(filtered, transition, row, state)
        density[row] = _filter_row(work, row, filtered)


@cpu_loop
def _gaussian_cpu(x, mean, whitening, constant, start, transition, model, offsets, work, filtered, density):
    for segment in prange(offsets.shape[0] - 1):
        m = model[segment]
        _gaussian_segment(
            x,
            mean[m],
            whitening[m],
            constant[m],
            start[m],
            transition[m],
            offsets[segment],
            offsets[segment + 1],
            work,
            filtered,
            density,
        )


@cuda.jit
def _gaussian_cuda(x, mean, whitening, constant, start, transition, model, offsets, work, filtered, density):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        m = model[segment]
        _gaussian_segment(
            x,
            mean[m],
            whitening[m],
            constant[m],
            start[m],
            transition[m],
            offsets[segment],
            offsets[segment + 1],
            work,
            filtered,
            density,
        )


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


def gaussian_filter(
    x: Array, mean: Array, covariance: Array, start: Array, transition: Array, model: Array, offsets: Array
) -> tuple[Array, Array]:
    """Filtered state probabilities of many series at once, each by the Gaussian hidden Markov model that it names, and
    the log predictive density of each row.

    As `forward_filter`, with log_emission[row, k] = log Normal(x[row]; mean[k], covariance[k]). A segment is a series.
    x            (T, D) float64
    mean         (M, K, D), covariance (M, K, D, D) symmetric positive definite, start (M, K), transition (M, K, K):
                 the M models, float64
    model        (S,) int64: the model of each segment; offsets (S + 1,)
    returns      (T, K) float64 probabilities, (T,) float64 log p(x[row] | rows of the segment before it)

    Missing values: a row with a missing (NaN or infinite) input only predicts, and its density's logarithm is 0, so
    that a segment's sum is its log likelihood. A row impossible in every reachable state does the same with -inf.
    Raises: ArgumentError (a covariance that is not positive definite among others), DeviceError.
    Source: Hamilton (1989), "A new approach to the economic analysis of nonstationary time series".
    """
    common_device(
        x=x, mean=mean, covariance=covariance, start=start, transition=transition, model=model, offsets=offsets
    )
    double = (np.dtype(np.float64),)
    x, model = column("x", x, double, ndim=2), column("model", model, (np.dtype(np.int64),))
    given = {"mean": mean, "covariance": covariance, "start": start, "transition": transition}
    host = {name: np.asarray(to_host(array)) for name, array in given.items()}
    wrong = [name for name, array in host.items() if array.dtype != np.float64]
    models, states = host["start"].shape if host["start"].ndim == 2 else (0, 0)
    d = int(x.shape[1])
    shapes = {
        "mean": (models, states, d),
        "covariance": (models, states, d, d),
        "start": (models, states),
        "transition": (models, states, states),
    }
    wrong += [name for name, shape in shapes.items() if host[name].shape != shape]
    if wrong or states == 0 or d == 0:
        got = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in host.items())
        raise ArgumentError(f"x has {d} inputs, {got}", allowed="float64 (M, K, D), (M, K, D, D), (M, K), (M, K, K)")
    _check_probabilities("start", host["start"])
    _check_probabilities("transition", host["transition"])
    count = int(x.shape[0])
    rows = Rows(offsets, count=count)
    named = np.asarray(to_host(model))
    if len(named) != rows.segments or (len(named) and not (named.min() >= 0 and named.max() < models)):
        raise ArgumentError(
            f"model names {len(named)} segments' models", allowed=f"{rows.segments} numbers from 0 to {models - 1}"
        )
    try:
        factor = np.linalg.cholesky(host["covariance"])
    except np.linalg.LinAlgError:
        raise ArgumentError("a covariance is not positive definite", hint="give each state a least variance") from None
    whitening = np.linalg.inv(factor)
    constant = -np.log(np.diagonal(factor, axis1=2, axis2=3)).sum(axis=2) - 0.5 * d * np.log(2.0 * np.pi)
    parameters = [
        to_side(np.ascontiguousarray(array), like=x)
        for array in (host["mean"], whitening, constant, host["start"], host["transition"])
    ]
    work, filtered = empty((count, states), np.float64, like=x), empty((count, states), np.float64, like=x)
    density = empty(count, np.float64, like=x)
    if rows.segments and rows.device:
        _gaussian_cuda[grid_of(rows.segments)](x, *parameters, model, rows.offsets, work, filtered, density)
    elif rows.segments:
        on_cpu(_gaussian_cpu, rows.count, rows.segments)(x, *parameters, model, rows.offsets, work, filtered, density)
    return filtered, density
