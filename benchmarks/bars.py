"""Moving windows over one long series, and over many sessions of 390 minutes."""

from collections.abc import Callable, Iterator
from typing import Any

import bottleneck
import numpy as np
import pandas as pd
import polars as pl
import talib

from benchmarks.harness import Comparison, Outputs
from gpu_kernels import rolling, rolling_quantile

SESSION = 390


def one(array: Any) -> Outputs:
    return (np.asarray(array),)


def per_session(function: Callable[..., Any], *columns: np.ndarray) -> Outputs:
    """What a user of a library without segments writes: a loop over sessions."""
    out = np.empty(len(columns[0]))
    for first in range(0, len(out), SESSION):
        session = slice(first, min(first + SESSION, len(out)))
        out[session] = function(*(column[session] for column in columns))
    return (out,)


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 400_000 if quick else 4_000_000
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-4, size=rows)))
    offsets = np.array([0, rows])
    frame, series = pl.DataFrame({"close": close}), pd.Series(close)
    for window in (20, 390):
        yield Comparison(
            f"rolling mean {window}",
            rows,
            "float64",
            16 * rows,
            lambda w=window: one(rolling.mean(close, offsets, w)),
            {
                "TA-Lib": lambda w=window: one(talib.SMA(close, w)),
                "Polars": lambda w=window: one(frame["close"].rolling_mean(w).to_numpy()),
                "pandas": lambda w=window: one(series.rolling(w).mean()),
            },
        )
    yield Comparison(
        "rolling std 20",
        rows,
        "float64",
        16 * rows,
        lambda: one(rolling.std(close, offsets, 20)),
        {
            "Polars": lambda: one(frame["close"].rolling_std(20).to_numpy()),
            "pandas": lambda: one(series.rolling(20).std()),
        },
        tolerance=1e-6,
    )
    yield Comparison(
        "rolling maximum 20",
        rows,
        "float64",
        16 * rows,
        lambda: one(rolling.maximum(close, offsets, 20)),
        {
            "TA-Lib": lambda: one(talib.MAX(close, 20)),
            "Polars": lambda: one(frame["close"].rolling_max(20).to_numpy()),
            "pandas": lambda: one(series.rolling(20).max()),
        },
    )
    for window in (20, 60, 390):
        yield Comparison(
            f"rolling median {window}",
            rows,
            "float64",
            16 * rows,
            lambda w=window: one(rolling_quantile.median(close, offsets, w)),
            {
                "bottleneck": lambda w=window: one(bottleneck.move_median(close, w)),
                "Polars": lambda w=window: one(frame["close"].rolling_median(w).to_numpy()),
                "pandas": lambda w=window: one(series.rolling(w).median()),
            },
        )
    yield Comparison(
        "ema 20, mean of the first 20",
        rows,
        "float64",
        16 * rows,
        lambda: one(rolling.ema(close, offsets, 20)),
        {"TA-Lib": lambda: one(talib.EMA(close, 20))},
    )
    yield Comparison(
        "ema 20, from the first value",
        rows,
        "float64",
        16 * rows,
        lambda: one(rolling.ema(close, offsets, 20, initial="first")),
        {
            "Polars": lambda: one(frame["close"].ewm_mean(span=20, adjust=False).to_numpy()),
            "pandas": lambda: one(series.ewm(span=20, adjust=False).mean()),
        },
    )
    sessions = np.append(np.arange(0, rows, SESSION), rows)
    keyed = frame.with_columns(session=pl.int_range(rows) // SESSION)
    yield Comparison(
        "rolling mean 20, sessions of 390",
        rows,
        "float64",
        16 * rows,
        lambda: one(rolling.mean(close, sessions, 20)),
        {
            "TA-Lib": lambda: per_session(lambda x: talib.SMA(x, 20), close),
            "Polars": lambda: one(keyed.select(pl.col("close").rolling_mean(20).over("session"))["close"].to_numpy()),
        },
    )
