"""A simulated chain of two states, its model, and Bayes' rule in the open."""

import math
from datetime import UTC, datetime

import numpy as np
import polars as pl
from planted import session_table

from fusion.regime.hmm import HiddenMarkovModel

NOW = datetime(2020, 1, 6, 14, 30, tzinfo=UTC)
TRANSITION = np.array([[0.97, 0.03], [0.08, 0.92]])
MEAN = np.array([[-1.0, 0.0], [1.5, 2.0]])
COVARIANCE = np.array([[[1.0, 0.3], [0.3, 0.5]], [[2.0, -0.5], [-0.5, 1.0]]])


def simulated(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = np.zeros(rows, dtype=np.int64)
    for t in range(1, rows):
        z[t] = rng.random() < TRANSITION[z[t - 1], 1]
    x = np.stack([rng.multivariate_normal(MEAN[k], COVARIANCE[k]) for k in z])
    return z, x


def model(mean=MEAN, covariance=COVARIANCE, transition=TRANSITION, start=(0.5, 0.5)) -> HiddenMarkovModel:
    names = tuple(f"x{i}" for i in range(mean.shape[1]))
    return HiddenMarkovModel(
        refit_session=NOW.date(),
        refit_time=NOW,
        inputs=names,
        start=np.array(start),
        transition=transition,
        mean=mean,
        covariance=covariance,
    )


def daily(x: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One observation a session, just before its open."""
    sessions = session_table(len(x))
    frame = sessions.select("session", (pl.col("open") - pl.duration(nanoseconds=1)).alias("time"))
    return sessions, frame.with_columns(pl.Series(f"x{i}", x[:, i]) for i in range(x.shape[1]))


def naive_filter(x, parameters):
    """Bayes' rule with densities in the open."""
    out, predicted = [], parameters.start
    for row in x:
        weight = predicted.copy()
        if np.isfinite(row).all():
            for k in range(len(weight)):
                d = row - parameters.mean[k]
                inverse = np.linalg.inv(parameters.covariance[k])
                norm = math.sqrt((2 * math.pi) ** len(row) * np.linalg.det(parameters.covariance[k]))
                weight[k] *= math.exp(-0.5 * d @ inverse @ d) / norm
        weight = weight / weight.sum()
        out.append(weight)
        predicted = weight @ parameters.transition
    return np.array(out)
