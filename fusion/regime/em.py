"""Fitting a Gaussian hidden Markov model: EM (Baum-Welch 1970; Kim's smoother, 1994) from several fixed starts.

EM climbs to the nearest hill. So it sets out from several groupings of the observations, goes a few steps from each,
and on to the end from the likeliest (Biernacki, Celeux & Govaert 2003). Nothing is drawn at random.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion.regime.config import RegimeConfig
from fusion.regime.model import Floats, complete_rows
from fusion.threads import single_thread
from gpu_kernels import hmm

_SHORT = 15  # EM steps from each start
_LONGER = 2  # starts that are followed to the end


class Parameters(NamedTuple):
    """start (K,), transition (K, K), mean (K, D), covariance (K, D, D)."""

    start: Floats
    transition: Floats
    mean: Floats
    covariance: Floats

    def ordered(self, order: NDArray[np.int64]) -> "Parameters":
        """Its states renumbered: state k is the one that was order[k]."""
        return Parameters(
            self.start[order], self.transition[np.ix_(order, order)], self.mean[order], self.covariance[order]
        )

    def scaled(self, centre: Floats, scale: Floats) -> "Parameters":
        """The same states for inputs `x * scale + centre`."""
        return self._replace(mean=self.mean * scale + centre, covariance=self.covariance * np.outer(scale, scale))


class Fitted(NamedTuple):
    parameters: Parameters
    log_likelihood: float
    iterations: int


def filtered(x: Floats, p: Parameters) -> tuple[Floats, Floats]:
    """(T, K) filtered probabilities of one series, and (T,) the log density of each row given the rows before it."""
    one = np.ascontiguousarray(x, dtype=np.float64), p.mean[None], p.covariance[None], p.start[None], p.transition[None]
    with single_thread():  # one series has nothing to share among threads
        return hmm.gaussian_filter(*one, np.zeros(1, dtype=np.int64), np.array([0, len(x)]))


def fit(x: Floats, states: int, config: RegimeConfig, warm: Parameters | None = None) -> Fitted:
    """The likeliest parameters found for all rows of x, in input units; states in no order. `warm`: a further start.

    x (T, D): at least 10 complete rows a state, no input constant. Rows with a missing input are no observations.
    """
    complete = x[complete_rows(x)]
    centre, scale = complete.mean(axis=0), complete.std(axis=0)
    z = np.ascontiguousarray(np.where(complete_rows(x)[:, None], (x - centre) / scale, np.nan))
    starts = [_start(z, groups, states, config) for groups in _groupings(z[~np.isnan(z[:, 0])], states)]
    if warm is not None and len(warm.start) == states:
        there = warm.scaled(-centre / scale, 1 / scale)
        starts.append(there._replace(covariance=_constrained(there.covariance, config)))
    steps = min(_SHORT, config.iterations)
    tried = sorted((_climb(z, start, config, steps) for start in starts), key=lambda one: -one.log_likelihood)
    ends = [_climb(z, one.parameters, config, config.iterations - steps) for one in tried[:_LONGER]]
    best = max(ends, key=lambda one: one.log_likelihood)
    unscaled = best.log_likelihood - len(complete) * float(np.log(scale).sum())
    return Fitted(best.parameters.scaled(centre, scale), unscaled, best.iterations + steps)


def _climb(x: Floats, p: Parameters, config: RegimeConfig, most: int) -> Fitted:
    """EM until a step gains less than the tolerance, `most` steps at most."""
    seen, before, step = int((~np.isnan(x[:, 0])).sum()), -np.inf, 0
    while True:
        probability, density = filtered(x, p)
        likelihood = float(density.sum())
        if step == most or likelihood - before < config.tolerance * seen:
            return Fitted(p, likelihood, step)
        before, step = likelihood, step + 1
        smoothed, moves = smooth(probability, p.transition)
        left = moves.sum(axis=1, keepdims=True)
        transition = np.where(left > 0, moves / np.where(left > 0, left, 1.0), p.transition)
        mean, covariance = _moments(smoothed, x, p.mean, p.covariance)
        p = Parameters(smoothed[0].copy(), transition, mean, _constrained(covariance, config))


def _groupings(z: Floats, states: int) -> Iterator[NDArray[np.int64]]:
    """Ways to part complete, standardised rows into groups to set out from."""
    yield _quantile_groups(z[:, 0], states)
    if z.shape[1] > 1:
        _, vectors = np.linalg.eigh(np.einsum("ti,tj->ij", z, z))
        yield _quantile_groups(np.einsum("ti,i->t", z, vectors[:, -1]), states)
    yield _quantile_groups(np.einsum("ti,ti->t", z, z), states)  # states that differ in how far the inputs stray
    yield _nearest_groups(z, states)
    # states that differ in how far they stray for a while
    yield _quantile_groups(np.convolve(np.einsum("ti,ti->t", z, z), np.full(9, 1 / 9), mode="same"), states)


def _quantile_groups(values: Floats, states: int) -> NDArray[np.int64]:
    groups = np.empty(len(values), dtype=np.int64)
    groups[np.argsort(values, kind="stable")] = np.arange(len(values)) * states // len(values)
    return groups


def _nearest_groups(z: Floats, states: int) -> NDArray[np.int64]:
    """Lloyd's k-means from the row nearest the centre and those farthest from what is taken already."""
    square = np.einsum("ti,ti->t", z, z)
    centres = z[[int(np.argmin(square))]]
    for _ in range(states - 1):
        centres = np.concatenate([centres, z[[int(np.argmax(_square_distances(z, centres).min(axis=1)))]]])
    groups: NDArray[np.int64] = np.argmin(_square_distances(z, centres), axis=1)
    for _ in range(30):
        for k in range(states):
            if (groups == k).any():
                centres[k] = z[groups == k].mean(axis=0)
        moved = np.argmin(_square_distances(z, centres), axis=1)
        if np.array_equal(moved, groups):
            break
        groups = moved
    return groups


def _square_distances(z: Floats, centres: Floats) -> Floats:
    return np.stack([np.einsum("ti,ti->t", z - centre, z - centre) for centre in centres], axis=1)


def _start(z: Floats, groups: NDArray[np.int64], states: int, config: RegimeConfig) -> Parameters:
    seen, d = z[~np.isnan(z[:, 0])], z.shape[1]
    mean, covariance = _moments(np.eye(states)[groups], seen, np.zeros((states, d)), np.tile(np.eye(d), (states, 1, 1)))
    transition = np.full((states, states), 0.1 / (states - 1))
    np.fill_diagonal(transition, 0.9)
    return Parameters(np.full(states, 1 / states), transition, mean, _constrained(covariance, config))


def _constrained(covariance: Floats, config: RegimeConfig) -> Floats:
    """Diagonal where asked for, and no variance below the floor in any direction (inputs have variance 1 here)."""
    if config.covariance == "diagonal":
        variance = np.maximum(np.diagonal(covariance, axis1=1, axis2=2), config.variance_floor)
        return np.eye(covariance.shape[1]) * variance[:, None, :]
    values, vectors = np.linalg.eigh(covariance)
    if values.min() >= config.variance_floor:
        return covariance
    floored: Floats = np.einsum("kij,kj,klj->kil", vectors, np.maximum(values, config.variance_floor), vectors)
    return floored


@njit(cache=True)
def smooth(filtered, transition):  # type: ignore[no-untyped-def]
    # Kim's smoother, for the fit alone: P(z_t = i, z_{t+1} = j | all x) = filtered_i P_ij smoothed_j / (filtered P)_j
    rows, states = filtered.shape
    smoothed, moves = filtered.copy(), np.zeros((states, states))
    for t in range(rows - 2, -1, -1):
        for i in range(states):
            smoothed[t, i] = 0.0
        for j in range(states):
            predicted = 0.0
            for i in range(states):
                predicted += filtered[t, i] * transition[i, j]
            if predicted > 0.0:
                for i in range(states):
                    both = filtered[t, i] * transition[i, j] * smoothed[t + 1, j] / predicted
                    smoothed[t, i] += both
                    moves[i, j] += both
    return smoothed, moves


@njit(cache=True)
def _moments(weights, x, old_mean, old_covariance):  # type: ignore[no-untyped-def]
    # weighted mean and covariance of each state; a state that holds less than one observation keeps what it had
    rows, d, states = x.shape[0], x.shape[1], weights.shape[1]
    mean, covariance = old_mean.copy(), old_covariance.copy()
    for k in range(states):
        total, first, second = 0.0, np.zeros(d), np.zeros((d, d))
        for t in range(rows):
            if not np.isnan(x[t, 0]):
                total += weights[t, k]
                for i in range(d):
                    first[i] += weights[t, k] * x[t, i]
        if total < 1.0:
            continue
        mean[k] = first / total
        for t in range(rows):
            if not np.isnan(x[t, 0]):
                for i in range(d):
                    for j in range(d):
                        second[i, j] += weights[t, k] * (x[t, i] - mean[k, i]) * (x[t, j] - mean[k, j])
        covariance[k] = second / total
    return mean, covariance
