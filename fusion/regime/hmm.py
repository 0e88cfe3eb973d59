"""A Gaussian hidden Markov model of the regime, fitted by EM.

    z_t | z_{t-1} ~ transition[z_{t-1}, .]      x_t | z_t = k ~ Normal(mean_k, covariance_k)

Source: Hamilton (1989); the smoother is Kim's (1994); EM is Baum-Welch (1970).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit

from fusion.regime.config import RegimeConfig
from fusion.regime.model import Floats, RegimeModel, complete_rows, input_problem
from fusion.threads import single_thread
from fusion.walk_forward import Refit
from gpu_kernels import hmm


@dataclass(frozen=True, kw_only=True)
class HiddenMarkovModel(RegimeModel):
    """start (K,), transition (K, K), mean (K, D), covariance (K, D, D), in input units; empty where there is a problem.

    States are ordered by the mean of the first input, lowest first, so that a state's number means the same thing in
    every refit.
    """

    kind: ClassVar[str] = "hmm"

    start: Floats
    transition: Floats
    mean: Floats
    covariance: Floats
    log_likelihood: float = float("nan")
    iterations: int = 0

    @property
    def states(self) -> int:
        return len(self.start)

    def filter(self, x: Floats) -> Floats:
        emission = _log_emission(x, self.mean, *_whitening(self.covariance))
        return _filtered(emission, self.start, self.transition)[0]

    def describe_states(self) -> list[dict[str, Any]]:
        """expected_observations = 1 / (1 - transition[k, k])."""
        deviation = np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))
        return [
            {
                "mean": dict(zip(self.inputs, self.mean[k].tolist(), strict=True)),
                "standard_deviation": dict(zip(self.inputs, deviation[k].tolist(), strict=True)),
                "expected_observations": 1.0 / max(1.0 - float(self.transition[k, k]), 1e-12),
            }
            for k in range(self.states)
        ]

    @classmethod
    def _parameters(cls, stored: dict[str, Any]) -> dict[str, Any]:
        names = ("start", "transition", "mean", "covariance")
        arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in names}
        k, d = len(arrays["start"]), len(stored["inputs"])
        shapes = {"start": (k,), "transition": (k, k), "mean": (k, d), "covariance": (k, d, d)}
        if k and any(arrays[name].shape != shape for name, shape in shapes.items()):
            raise ValueError("arrays of different sizes")
        likelihood = stored["log_likelihood"]
        return arrays | {
            "log_likelihood": float("nan") if likelihood is None else float(likelihood),
            "iterations": int(stored["iterations"]),
        }


def fit(
    x: Floats, refit: Refit, inputs: tuple[str, ...], config: RegimeConfig, previous: RegimeModel | None
) -> HiddenMarkovModel:
    """Baum-Welch from one start: states are the quantile groups of the first input."""
    k, d = config.states, x.shape[1]
    complete = x[complete_rows(x)]
    problem = input_problem(x, inputs, k, refit.session)
    if problem is not None:
        return HiddenMarkovModel(
            refit_session=refit.session,
            refit_time=refit.refit_time,
            inputs=inputs,
            observations=len(complete),
            problem=problem,
            start=np.zeros(0),
            transition=np.zeros((0, 0)),
            mean=np.zeros((0, d)),
            covariance=np.zeros((0, d, d)),
        )

    centre, scale = complete.mean(axis=0), complete.std(axis=0)
    x = np.ascontiguousarray(np.where(complete_rows(x)[:, None], (x - centre) / scale, np.nan))
    seen = x[~np.isnan(x[:, 0])]
    groups = np.empty(len(seen), dtype=np.int64)
    groups[np.argsort(seen[:, 0], kind="stable")] = np.arange(len(seen)) * k // len(seen)
    mean, covariance = _moments(np.eye(k)[groups], seen, np.zeros((k, d)), np.tile(np.eye(d), (k, 1, 1)))
    covariance = _constrained(covariance, config)
    start, transition = np.full(k, 1 / k), np.full((k, k), 0.1 / (k - 1))
    np.fill_diagonal(transition, 0.9)

    before, step = -np.inf, 0
    while True:
        emission = _log_emission(x, mean, *_whitening(covariance))
        filtered, likelihood = _filtered(emission, start, transition)
        if step == config.iterations or likelihood - before < config.tolerance * len(seen):
            break
        before, step = likelihood, step + 1
        smoothed, moves = _smooth(filtered, transition)
        start = smoothed[0].copy()
        left = moves.sum(axis=1, keepdims=True)
        transition = np.where(left > 0, moves / np.where(left > 0, left, 1.0), transition)
        mean, covariance = _moments(smoothed, x, mean, covariance)
        covariance = _constrained(covariance, config)

    order = np.argsort(mean[:, 0], kind="stable")
    return HiddenMarkovModel(
        refit_session=refit.session,
        refit_time=refit.refit_time,
        inputs=inputs,
        start=start[order],
        transition=transition[np.ix_(order, order)],
        mean=mean[order] * scale + centre,
        covariance=covariance[order] * np.outer(scale, scale),
        observations=len(complete),
        log_likelihood=likelihood - len(complete) * float(np.log(scale).sum()),
        iterations=step,
    )


def _filtered(emission: Floats, start: Floats, transition: Floats) -> tuple[Floats, float]:
    """Probabilities and log likelihood of one series, which has nothing to share among threads."""
    with single_thread():
        filtered, likelihood = hmm.forward_filter(emission, start, transition, np.array([0, len(emission)]))
    return filtered, float(likelihood[0])


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


def _whitening(covariance: Floats) -> tuple[Floats, Floats]:
    """Inverse Cholesky factors (K, D, D), and the log of each density's constant (K,)."""
    if len(covariance) == 0:
        return covariance, np.zeros(0)
    factor = np.linalg.cholesky(covariance)
    constant = -np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1) - 0.5 * factor.shape[1] * np.log(2 * np.pi)
    return np.linalg.inv(factor), constant


@njit(cache=True)
def _log_emission(x, mean, whitening, constant):  # type: ignore[no-untyped-def]
    # one row at a time: a row's bits must not depend on how many follow, which a BLAS call would not promise
    rows, d, states = x.shape[0], x.shape[1], mean.shape[0]
    log = np.full((rows, states), np.nan)
    for t in range(rows):
        missing = False
        for j in range(d):
            missing |= not np.isfinite(x[t, j])
        if missing:
            continue
        for k in range(states):
            square = 0.0
            for i in range(d):
                z = 0.0
                for j in range(i + 1):
                    z += whitening[k, i, j] * (x[t, j] - mean[k, j])
                square += z * z
            log[t, k] = constant[k] - 0.5 * square
    return log


@njit(cache=True)
def _smooth(filtered, transition):  # type: ignore[no-untyped-def]
    # Kim's smoother: P(z_t = i, z_{t+1} = j | all x) = filtered_i P_ij smoothed_j / (filtered P)_j
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
