"""Variances that see through noise, and covariances of two entities, against what NumPy, pandas and Polars give."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.volatility import covariance, ewma, noise, preaveraging, realised_kernel, scales

SESSION, EVERY, SLOW, BANDWIDTH, JITTER, THETA, WINDOW, DECAY = 390, 5, 10, 12, 2, 0.8, 60, 0.94
PERCENT = 1e4
"""Variances per cent²: as they are, all would lie below the tolerance of the comparison."""


def ours_noise(returns: np.ndarray, offsets: np.ndarray) -> Outputs:
    found = noise.noise_measures(returns, offsets, sparse=EVERY)
    return (
        PERCENT * found.bandi_russell,
        PERCENT * found.oomen,
        PERCENT * noise.subsampled_variance(returns, offsets, EVERY),
        PERCENT * scales.two_scale_variance(returns, offsets, SLOW),
        PERCENT * realised_kernel.realised_kernel(returns, offsets, BANDWIDTH),
        PERCENT * preaveraging.preaveraged_variance(returns, offsets, theta=THETA),
    )


def numpy_noise(returns: np.ndarray, _: np.ndarray) -> Outputs:
    """All sessions at once as a matrix, which they allow as they are equally long and lack nothing."""
    r = returns.reshape(-1, SESSION)
    n = SESSION
    prices = np.concatenate([np.zeros((len(r), 1)), np.cumsum(r, axis=1)], axis=1)

    def overlapping(k: int) -> np.ndarray:
        change = prices[:, k:] - prices[:, :-k]
        return np.einsum("ij,ij->i", change, change)

    variance = overlapping(1)
    ratio = (n - SLOW + 1) / SLOW / n
    inner = prices[:, JITTER:-JITTER]
    ends = prices[:, :JITTER].mean(axis=1, keepdims=True), prices[:, -JITTER:].mean(axis=1, keepdims=True)
    x = np.diff(np.concatenate([ends[0], inner, ends[1]], axis=1), axis=1)
    kernel = np.einsum("ij,ij->i", x, x)
    for lag in range(1, BANDWIDTH + 1):
        u = lag / (BANDWIDTH + 1)
        weight = 1 - 6 * u**2 + 6 * u**3 if u <= 0.5 else 2 * (1 - u) ** 3
        kernel = kernel + 2 * weight * np.einsum("ij,ij->i", x[:, lag:], x[:, :-lag])
    k = int(THETA * np.sqrt(n))
    g = np.minimum(np.arange(k + 1) / k, 1 - np.arange(k + 1) / k)
    averaged = sum(g[j] * r[:, j - 1 : n - k + 1 + j] for j in range(1, k))
    p1, p2 = k * np.sum(np.diff(g) ** 2), np.sum(g**2) / k
    share = p1 / (2 * k * k * p2)
    squares = np.einsum("ij,ij->i", averaged, averaged)
    return tuple(
        PERCENT * found
        for found in (
            variance / (2 * n),
            -np.einsum("ij,ij->i", r[:, 1:], r[:, :-1]) / (n - 1),
            overlapping(EVERY) / EVERY * n / (n - EVERY + 1),
            (overlapping(SLOW) / SLOW - ratio * variance) / (1 - ratio),
            kernel,
            (n / ((n - k + 2) * k * p2) * squares - share * variance) / (1 - share),
        )
    )


def numpy_hayashi_yoshida(time_x: np.ndarray, x: np.ndarray, time_y: np.ndarray, y: np.ndarray) -> Outputs:
    """With sums of y's returns found by two binary searches for each return of x."""
    first = np.maximum(np.searchsorted(time_y, time_x[:-1], "right") - 1, 0)
    last = np.minimum(np.searchsorted(time_y, time_x[1:], "left"), len(time_y) - 1)
    log_x, log_y = np.log(x), np.log(y)
    moved_x, moved_y = np.diff(log_x), np.diff(log_y)
    return (np.array([moved_x @ (log_y[last] - log_y[first]), moved_x @ moved_x, moved_y @ moved_y]),)


def ours_hayashi_yoshida(time_x: np.ndarray, x: np.ndarray, time_y: np.ndarray, y: np.ndarray) -> Outputs:
    found = covariance.hayashi_yoshida(time_x, x, np.array([0, len(x)]), time_y, y, np.array([0, len(y)]))
    return (np.array([found.covariance[0], found.variance_x[0], found.variance_y[0]]),)


def moving_correlation(x: np.ndarray, y: np.ndarray, offsets: np.ndarray) -> Outputs:
    return (covariance.rolling_covariance(x, y, offsets, WINDOW).correlation,)


def polars_correlation(frame: pl.DataFrame) -> Outputs:
    x, y = pl.col("x"), pl.col("y")
    xy, xx, yy = ((a * b).rolling_sum(WINDOW) for a, b in ((x, y), (x, x), (y, y)))
    return (frame.select(xy / (xx * yy).sqrt()).to_series().to_numpy(),)


def pandas_correlation(frame: pd.DataFrame) -> Outputs:
    x, y = frame["x"], frame["y"]
    xy, xx, yy = ((a * b).rolling(WINDOW).sum() for a, b in ((x, y), (x, x), (y, y)))
    return ((xy / np.sqrt(xx * yy)).to_numpy(),)


def comparisons(quick: bool) -> Iterator[Comparison]:
    sessions = 126 if quick else 1260
    rng = np.random.default_rng(3)
    error = rng.normal(scale=2e-4, size=(sessions, SESSION + 1))
    returns = (rng.normal(scale=5e-4, size=(sessions, SESSION)) + np.diff(error, axis=1)).ravel()
    offsets = np.arange(0, len(returns) + 1, SESSION)
    yield Comparison(
        f"noise set, {sessions:,} sessions of {SESSION}",
        len(returns),
        "float64",
        8 * len(returns),
        lambda: ours_noise(returns, offsets),
        {"NumPy": lambda: numpy_noise(returns, offsets)},
    )
    rows = 200_000 if quick else 2_000_000
    x = rng.normal(scale=1e-3, size=rows)
    y = 0.5 * x + rng.normal(scale=1e-3, size=rows)
    whole, table = np.array([0, rows]), pd.DataFrame({"x": x, "y": y})
    frame = pl.DataFrame({"x": x, "y": y})
    yield Comparison(
        f"moving correlation {WINDOW}",
        rows,
        "float64",
        24 * rows,
        lambda: moving_correlation(x, y, whole),
        {"Polars": lambda: polars_correlation(frame), "pandas": lambda: pandas_correlation(table)},
    )
    squares = pd.Series(x**2)
    yield Comparison(
        "exponentially weighted variance",
        rows,
        "float64",
        16 * rows,
        lambda: (PERCENT * ewma.ewma_variance(x, whole, decay=DECAY),),
        {
            "Polars": lambda: (PERCENT * frame.select((pl.col("x") ** 2).ewm_mean(alpha=1 - DECAY))["x"].to_numpy(),),
            "pandas": lambda: (PERCENT * squares.ewm(alpha=1 - DECAY).mean().to_numpy(),),
        },
    )
    time_x, time_y = (np.cumsum(rng.integers(1, 2_000_000, rows)) for _ in range(2))
    price_x, price_y = (100 * np.exp(np.cumsum(moves)) for moves in (x * 1e-2, y * 1e-2))
    yield Comparison(
        "Hayashi-Yoshida, ticks of each",
        rows,
        "float64",
        32 * rows,
        lambda: ours_hayashi_yoshida(time_x, price_x, time_y, price_y),
        {"NumPy": lambda: numpy_hayashi_yoshida(time_x, price_x, time_y, price_y)},
        tolerance=1e-8,
    )
