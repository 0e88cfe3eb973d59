"""Measures of volatility over one long series of minutes, and over its sessions."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.volatility import ranges

WINDOW = 30
K = 0.34 / (1.34 + (WINDOW + 1) / (WINDOW - 1))


def minute_bars(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-4, size=rows)))
    opening = np.append(100.0, close[:-1]) * (1 + 2e-5 * rng.normal(size=rows))
    high = np.maximum(opening, close) * (1 + 1e-4 * rng.random(rows))
    return {
        "open": opening,
        "high": high,
        "low": np.minimum(opening, close) * (1 - 1e-4 * rng.random(rows)),
        "close": close,
    }


def polars_ranges(frame: pl.LazyFrame, engine: str) -> Outputs:
    opening, high, low, close = (pl.col(name) for name in ("open", "high", "low", "close"))
    u, d, c, g, satchell = (pl.col(name) for name in ("u", "d", "c", "g", "satchell"))
    span = (u - d) ** 2
    logs = frame.select(
        u=(high / opening).log(), d=(low / opening).log(), c=(close / opening).log(), g=(opening / close.shift(1)).log()
    ).with_columns(satchell=(u * (u - c) + d * (d - c)).rolling_mean(WINDOW))
    found = logs.select(
        parkinson=span.rolling_mean(WINDOW) / (4 * math.log(2)),
        garman_klass=(0.5 * span - (2 * math.log(2) - 1) * c**2).rolling_mean(WINDOW),
        rogers_satchell=satchell,
        yang_zhang=g.rolling_var(WINDOW) + K * c.rolling_var(WINDOW) + (1 - K) * satchell,
    ).collect(engine=engine)  # type: ignore[call-overload]
    return tuple(column.to_numpy() for column in found.iter_columns())


def pandas_ranges(bars: pd.DataFrame) -> Outputs:
    u, d, c = (np.log(bars[name] / bars["open"]) for name in ("high", "low", "close"))
    g = np.log(bars["open"] / bars["close"].shift(1))
    span, satchell = (u - d) ** 2, (u * (u - c) + d * (d - c)).rolling(WINDOW).mean()
    return (
        (span.rolling(WINDOW).mean() / (4 * math.log(2))).to_numpy(),
        (0.5 * span - (2 * math.log(2) - 1) * c**2).rolling(WINDOW).mean().to_numpy(),
        satchell.to_numpy(),
        (g.rolling(WINDOW).var() + K * c.rolling(WINDOW).var() + (1 - K) * satchell).to_numpy(),
    )


def ranges_of(bars: dict[str, np.ndarray], offsets: np.ndarray) -> Outputs:
    return tuple(ranges.range_variances(*bars.values(), offsets, WINDOW))


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 400_000 if quick else 4_000_000
    bars, offsets = minute_bars(rows), np.array([0, rows])
    lazy, frame = pl.LazyFrame(bars), pd.DataFrame(bars)
    yield Comparison(
        f"four range variances, {WINDOW} bars",
        rows,
        "float64",
        64 * rows,
        lambda: ranges_of(bars, offsets),
        {
            "Polars": lambda: polars_ranges(lazy, "in-memory"),
            "Polars streaming": lambda: polars_ranges(lazy, "streaming"),
            "pandas": lambda: pandas_ranges(frame),
        },
        # variances of 1e-8, of which ten digits count
        tolerance=1e-18,
    )
