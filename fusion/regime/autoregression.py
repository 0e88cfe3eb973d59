"""The mathematics of a Markov-switching autoregression: densities, the chain of recent states, filter, and EM.

    mean        x_t - m[z_t] = sum_i a_i[z_t] (x_{t-i} - m[z_{t-i}]) + sqrt(v[z_t]) e_t     (Hamilton 1989)
    intercept   x_t = c[z_t] + sum_i a_i[z_t] x_{t-i} + sqrt(v[z_t]) e_t                    (Hamilton 1990)

each input with its own numbers, e_t independent standard normal, z_t a Markov chain that begins in its stationary law.
Level (m or c), autoregression a and variance v may each be common to all states. Where means switch, a row's density
depends on the states of its lags, and the chain that is filtered is that of (z_t, ..., z_{t-p}).

EM's steps are exact for intercepts; the transition's take the stationary beginning into account; with means, level and
autoregression take turns (ECM of Meng & Rubin 1993), which raises the likelihood as well.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion.regime.em import smooth
from fusion.regime.model import Floats
from fusion.regime.options import SwitchingConfig
from fusion.threads import single_thread
from gpu_kernels import hmm

LEAST_TRANSITION = 1e-8
"""So that every state can be left and reached, and the stationary law exists."""

_SHORT = 20  # EM steps from each start


class Parameters(NamedTuple):
    """transition (K, K), level (K, D), autoregression (K, p, D), variance (K, D)."""

    transition: Floats
    level: Floats
    autoregression: Floats
    variance: Floats

    def ordered(self, order: NDArray[np.int64]) -> "Parameters":
        """Its states renumbered: state k is the one that was order[k]."""
        return Parameters(self.transition[np.ix_(order, order)], *(of[order] for of in self[1:]))

    def scaled(self, centre: Floats, scale: Floats, form: str) -> "Parameters":
        """The same states for inputs `x * scale + centre`."""
        level = self.level * scale
        level = level + centre * (1.0 - self.autoregression.sum(axis=1)) if form == "intercept" else level + centre
        return self._replace(level=level, variance=self.variance * scale**2)


class Fitted(NamedTuple):
    parameters: Parameters
    log_likelihood: float
    iterations: int


def stationary(transition: Floats) -> Floats:
    """(K,): the law that the chain keeps."""
    k = len(transition)
    equations = np.vstack([(np.eye(k) - transition).T[:-1], np.ones(k)])
    found = np.maximum(np.linalg.solve(equations, np.append(np.zeros(k - 1), 1.0)), 0.0)
    law: Floats = found / found.sum()
    return law


class Chain(NamedTuple):
    """Of the last m states: past (N, m), the states now, one row ago, ...; start (N,), transition (N, N)."""

    past: NDArray[np.int64]
    start: Floats
    transition: Floats


def chain(transition: Floats, memory: int) -> Chain:
    """N = K ** memory, ordered so that the states of one state now lie together."""
    k = len(transition)
    past = np.stack(np.meshgrid(*[np.arange(k)] * memory, indexing="ij"), axis=-1).reshape(-1, memory)
    start = stationary(transition)[past[:, -1]]
    for lag in range(memory - 1):
        start = start * transition[past[:, lag + 1], past[:, lag]]
    follows = (past[:, None, :-1] == past[None, :, 1:]).all(axis=2)
    moves = np.where(follows, transition[past[:, None, 0], past[None, :, 0]], 0.0)
    return Chain(past, start / start.sum(), moves)


def centres(p: Parameters, past: NDArray[np.int64], form: str) -> Floats:
    """(N, p + 1, D): what is taken off x_t, x_{t-1}, ... in each state of the chain."""
    lags = p.autoregression.shape[1] + 1
    off = np.zeros((len(past), lags, p.level.shape[1]))
    for lag in range(1 if form == "intercept" else lags):
        off[:, lag] = p.level[past[:, min(lag, past.shape[1] - 1)]]
    return off


def filtered(x: Floats, p: Parameters, form: str, memory: int) -> tuple[Floats, Floats, float]:
    """Filtered probabilities of the states (T, K) and of the chain (T, N), and the log likelihood."""
    of, k = chain(p.transition, memory), len(p.level)
    now = of.past[:, 0]
    emission = _log_emission(
        np.ascontiguousarray(x), centres(p, of.past, form), p.autoregression[now], p.variance[now], x.shape[1]
    )
    with single_thread():  # one series has nothing to share among threads
        found, likelihood = hmm.forward_filter(emission, of.start, of.transition, np.array([0, len(x)]))
    states = np.zeros((len(x), k))
    for place, state in enumerate(now.tolist()):
        # one column after the other: the bits of a row must not depend on how many rows there are
        states[:, state] += found[:, place]
    return states, found, float(likelihood[0])


def fit(x: Floats, states: int, config: SwitchingConfig, *, floor: float, iterations: int, tolerance: float) -> Fitted:
    """The likeliest parameters that EM reaches from three starts, x (T, D) having mean 0 and variance 1.

    The starts group the rows by the first input, by its mean over 21 rows, and by how far it strays from an
    autoregression over 21 rows; the likeliest after 20 steps goes on to the end.
    """
    starts = [_start(x, groups, states, config) for groups in _groupings(x[:, 0], states, config.order)]
    tried = [_climb(x, one, config, floor, min(_SHORT, iterations), tolerance) for one in starts]
    best = max(tried, key=lambda one: one.log_likelihood)
    end = _climb(x, best.parameters, config, floor, iterations - best.iterations, tolerance)
    return end._replace(iterations=end.iterations + best.iterations)


def _climb(x: Floats, p: Parameters, config: SwitchingConfig, floor: float, most: int, tolerance: float) -> Fitted:
    memory = config.memory(len(p.level))
    best, step = Fitted(p, -np.inf, 0), 0
    while True:
        _, probabilities, likelihood = filtered(x, p, config.form, memory)
        gained = likelihood - best.log_likelihood
        best = Fitted(p, likelihood, step) if gained > 0 else best
        if step == most or gained < tolerance * len(x):
            return best._replace(iterations=step)
        step += 1
        of = chain(p.transition, memory)
        smoothed, moves = smooth(probabilities, of.transition)
        sums = _sums(np.ascontiguousarray(x), smoothed, p.autoregression.shape[1])
        p = _maximised(p, of.past, sums, config, floor)._replace(
            transition=_next_transition(p.transition, of.past, smoothed[0], moves)
        )


def _next_transition(transition: Floats, past: NDArray[np.int64], first: Floats, moves: Floats) -> Floats:
    """Where expected moves, and the stationary law of the state that the chain began in, are likeliest: one step of the
    fixed point P_ij ~ n_ij + P_ij d(log stationary)/dP_ij."""
    k = len(transition)
    count, began = np.zeros((k, k)), np.zeros(k)
    np.add.at(count, (past[:, None, 0], past[None, :, 0]), moves)
    for lag in range(past.shape[1] - 1):
        np.add.at(count, (past[:, lag + 1], past[:, lag]), first)
    np.add.at(began, past[:, -1], first)
    law = stationary(transition)
    fundamental = np.linalg.inv(np.eye(k) - transition + law[None, :])
    slope = law[:, None] * np.einsum("jk,k->j", fundamental, began / np.maximum(law, 1e-300))[None, :]
    # only differences inside a row matter, as a row sums to 1
    weighted = count + transition * (slope - slope.min(axis=1, keepdims=True))
    total = weighted.sum(axis=1, keepdims=True)
    found = np.maximum(np.where(total > 0, weighted / np.where(total > 0, total, 1.0), transition), LEAST_TRANSITION)
    new: Floats = found / found.sum(axis=1, keepdims=True)
    return new


def _maximised(
    p: Parameters, past: NDArray[np.int64], sums: Floats, config: SwitchingConfig, floor: float
) -> Parameters:
    """Level, autoregression and variance of greatest expected likelihood; sums (N, D, p + 2, p + 2)."""
    level, lags, variance = p.level.copy(), p.autoregression.copy(), p.variance.copy()
    for d in range(level.shape[1]):
        own = sums[:, d]
        if config.form == "mean":
            level[:, d] = _means(own, past, level[:, d], lags[:, :, d], variance[:, d], config)
        level[:, d], lags[:, :, d] = _regressed(own, past, level[:, d], lags[:, :, d], variance[:, d], config)
        variance[:, d] = _variances(own, past, level[:, d], lags[:, :, d], variance[:, d], config, floor)
    return Parameters(p.transition, level, lags, variance)


def _shift(past: NDArray[np.int64], level: Floats, form: str) -> Floats:
    """(p + 2, p + 2) for one state of the chain: (1, x_t, x_{t-1}, ..) with the levels taken off, `past` long."""
    shift = np.eye(len(past) + 1)
    if form == "mean":
        shift[1:, 0] = -level[past]
    return shift


def _lagged(past: NDArray[np.int64], lags: int) -> NDArray[np.int64]:
    """The state at each lag 0..p; where the chain holds only the state now, levels do not differ or lags have none."""
    return past[np.minimum(np.arange(lags + 1), len(past) - 1)]


def _means(
    sums: Floats, past: NDArray[np.int64], level: Floats, lags: Floats, variance: Floats, config: SwitchingConfig
) -> Floats:
    """Weighted least squares of x_t - sum a_i x_{t-i} on the states now and at the lags."""
    k, order = lags.shape
    switch = "level" in config.changes
    matrix, right = np.zeros((k, k)), np.zeros(k)
    for own, states in zip(sums, past, strict=True):
        now = states[0]
        row = np.append(1.0, -lags[now])
        which = np.zeros(k)
        np.add.at(which, _lagged(states, order) if switch else np.zeros(order + 1, np.int64), row)
        matrix += own[0, 0] / variance[now] * np.outer(which, which)
        right += (row * own[0, 1:]).sum() / variance[now] * which
    if switch:
        return _solved(matrix, right, level)
    return np.full(k, right[0] / matrix[0, 0]) if matrix[0, 0] > 0 else level


def _regressed(
    sums: Floats, past: NDArray[np.int64], level: Floats, lags: Floats, variance: Floats, config: SwitchingConfig
) -> tuple[Floats, Floats]:
    """Weighted least squares on the lags; with intercepts on these as well, which belong to the level then."""
    k, order = lags.shape
    levels = 0 if config.form == "mean" else k if "level" in config.changes else 1
    blocks = k if "autoregression" in config.changes else 1
    size = levels + blocks * order
    if size == 0:
        return level, lags
    matrix, right = np.zeros((size, size)), np.zeros(size)
    for own, states in zip(sums, past, strict=True):
        now = states[0]
        shift = _shift(_lagged(states, order), level, config.form)
        moment = np.einsum("ab,bc,dc->ad", shift, own, shift) / variance[now]
        places = np.arange(order) + levels + (now * order if blocks > 1 else 0)
        rows = np.arange(order) + 2
        if levels:
            places, rows = np.append(now if levels > 1 else 0, places), np.append(0, rows)
        matrix[np.ix_(places, places)] += moment[np.ix_(rows, rows)]
        right[places] += moment[rows, 1]
    before = np.concatenate([level[:levels], lags[:blocks].reshape(-1)])
    found = _solved(matrix, right, before)
    lags = np.broadcast_to(found[levels:].reshape(blocks, order), (k, order)).copy()
    return (np.broadcast_to(found[:levels], k).copy() if levels else level), lags


def _variances(
    sums: Floats,
    past: NDArray[np.int64],
    level: Floats,
    lags: Floats,
    variance: Floats,
    config: SwitchingConfig,
    floor: float,
) -> Floats:
    k, order = lags.shape
    square, total = np.zeros(k), np.zeros(k)
    for own, states in zip(sums, past, strict=True):
        now = states[0]
        row = np.concatenate([[-level[now] if config.form == "intercept" else 0.0, 1.0], -lags[now]])
        row = np.einsum("a,ab->b", row, _shift(_lagged(states, order), level, config.form))
        square[now] += np.einsum("a,ab,b->", row, own, row)
        total[now] += own[0, 0]
    if "variance" not in config.changes:
        return np.full(k, max(square.sum() / max(total.sum(), 1.0), floor))
    # a state that holds less than one observation keeps what it had
    return np.maximum(np.where(total >= 1.0, square / np.maximum(total, 1.0), variance), floor)


def _solved(matrix: Floats, right: Floats, before: Floats) -> Floats:
    """The solution, drawn by a hair to what it was, which decides where nothing else does."""
    hair = 1e-10 * max(float(np.trace(matrix)), 1e-300) * np.eye(len(before))
    found: Floats = np.linalg.solve(matrix + hair, right + np.einsum("ij,j->i", hair, before))
    return found


def _groupings(x: Floats, states: int, order: int) -> list[Floats]:
    """(T,) values by whose quantiles rows are grouped; NaN where a value is missing."""
    filled = np.where(np.isfinite(x), x, 0.0)
    left = np.abs(filled)
    if order:
        lagged = np.stack([np.append(np.zeros(lag), filled[: len(x) - lag]) for lag in range(1, order + 1)], axis=1)
        slope = np.linalg.solve(
            np.einsum("ti,tj->ij", lagged, lagged) + 1e-6 * len(x) * np.eye(order), np.einsum("ti,t->i", lagged, filled)
        )
        left = np.abs(filled - np.einsum("ti,i->t", lagged, slope))
    window = np.full(min(21, len(x)), 1.0)
    slow = [np.convolve(values, window, "same")[: len(x)] for values in (filled, left)]
    return [np.where(np.isfinite(x), values, np.nan) for values in (filled, *slow)]


def _start(x: Floats, by: Floats, states: int, config: SwitchingConfig) -> Parameters:
    d, seen = x.shape[1], np.isfinite(x).all(axis=1)
    groups = np.empty(int(seen.sum()), np.int64)
    groups[np.argsort(by[seen], kind="stable")] = np.arange(len(groups)) * states // len(groups)
    mean = np.stack([x[seen][groups == k].mean(axis=0) for k in range(states)])
    variance = np.stack([np.maximum(x[seen][groups == k].var(axis=0), 0.05) for k in range(states)])
    if "level" not in config.changes:
        mean[:] = 0.0
    if "variance" not in config.changes:
        variance[:] = variance.mean(axis=0)
    transition = np.full((states, states), 0.1 / (states - 1))
    np.fill_diagonal(transition, 0.9)
    return Parameters(transition, mean, np.zeros((states, config.order, d)), variance)


@njit(cache=True)
def _whole(x, t, order, inputs):  # type: ignore[no-untyped-def]
    # whether the row and all its lags have all inputs
    for lag in range(order + 1):
        for d in range(inputs):
            if not np.isfinite(x[t - lag, d]):
                return False
    return True


@njit(cache=True)
def _log_emission(x, centre, lags, variance, inputs):  # type: ignore[no-untyped-def]
    # (T, N) log densities; NaN in the first rows, and where the row or one of its lags lacks an input
    rows, states, order = x.shape[0], centre.shape[0], lags.shape[1]
    log = np.full((rows, states), np.nan)
    for t in range(order, rows):
        if not _whole(x, t, order, inputs):
            continue
        for state in range(states):
            total = 0.0
            for d in range(inputs):
                gap = x[t, d] - centre[state, 0, d]
                for lag in range(order):
                    gap -= lags[state, lag, d] * (x[t - 1 - lag, d] - centre[state, lag + 1, d])
                total -= 0.5 * (np.log(2.0 * np.pi * variance[state, d]) + gap * gap / variance[state, d])
            log[t, state] = total
    return log


@njit(cache=True)
def _sums(x, weights, order):  # type: ignore[no-untyped-def]
    # (N, D, p + 2, p + 2): weighted sums of the products of (1, x_t, x_{t-1}, .., x_{t-p}), over the rows that have all
    rows, inputs, states = x.shape[0], x.shape[1], weights.shape[1]
    out, row = np.zeros((states, inputs, order + 2, order + 2)), np.ones(order + 2)
    for t in range(order, rows):
        if not _whole(x, t, order, inputs):
            continue
        for d in range(inputs):
            for lag in range(order + 1):
                row[lag + 1] = x[t - lag, d]
            for state in range(states):
                for i in range(order + 2):
                    for j in range(order + 2):
                        out[state, d, i, j] += weights[t, state] * row[i] * row[j]
    return out
