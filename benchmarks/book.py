"""Best-level features in one pass, deeper imbalance, and ten features of ten levels."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl

from benchmarks import ten_features
from benchmarks.harness import Comparison, Outputs
from gpu_kernels.book import best

NAMES = ("bid_price", "bid_size", "ask_price", "ask_size")


def polars_features(frame: pl.DataFrame) -> Outputs:
    bid, bid_size, ask, ask_size = (pl.col(name) for name in NAMES)
    total = bid_size + ask_size
    flow = (
        pl.when(bid >= bid.shift()).then(bid_size).otherwise(0.0)
        - pl.when(bid <= bid.shift()).then(bid_size.shift()).otherwise(0.0)
        - pl.when(ask <= ask.shift()).then(ask_size).otherwise(0.0)
        + pl.when(ask >= ask.shift()).then(ask_size.shift()).otherwise(0.0)
    )
    first = pl.int_range(pl.len()) == 0
    out = frame.lazy().select(
        imbalance=(bid_size - ask_size) / total,
        microprice=(bid * ask_size + ask * bid_size) / total,
        flow=pl.when(first).then(0.0).otherwise(flow),
    )
    return tuple(column.to_numpy() for column in out.collect())


def pandas_features(frame: pd.DataFrame) -> Outputs:
    bid, bid_size, ask, ask_size = (frame[name] for name in NAMES)
    before = frame.shift()
    total = bid_size + ask_size
    flow = (
        (bid >= before["bid_price"]) * bid_size
        - (bid <= before["bid_price"]) * before["bid_size"]
        - (ask <= before["ask_price"]) * ask_size
        + (ask >= before["ask_price"]) * before["ask_size"]
    )
    flow.iloc[0] = 0.0
    imbalance, micro = (bid_size - ask_size) / total, (bid * ask_size + ask * bid_size) / total
    return tuple(np.asarray(column) for column in (imbalance, micro, flow))


def quotes(rows: int, levels: int, dtype: str) -> tuple[np.ndarray, ...]:
    """bid price, bid size, ask price, ask size, each (levels, rows)."""
    rng = np.random.default_rng(2)
    tick = 10_000 + np.cumsum(rng.integers(-1, 2, rows))
    depth = np.arange(levels)[:, None]
    bid, ask = (tick - depth) * 0.01, (tick + rng.integers(1, 3, rows) + depth) * 0.01
    sizes = [rng.integers(1, 500, (levels, rows)) for _ in range(2)]
    return tuple(array.astype(dtype) for array in (bid, sizes[0], ask, sizes[1]))


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 200_000 if quick else 4_000_000
    offsets = np.array([0, rows])
    for dtype in ("float32", "float64"):
        books = quotes(rows, 5, dtype)
        columns = {name: array[0] for name, array in zip(NAMES, books, strict=True)}
        polars, pandas = pl.DataFrame(columns), pd.DataFrame(columns)
        yield Comparison(
            "imbalance, microprice, order-flow imbalance",
            rows,
            dtype,
            7 * rows * np.dtype(dtype).itemsize,
            lambda books=books: best.best_level(*books, offsets),
            {
                "Polars": lambda frame=polars: polars_features(frame),
                "pandas": lambda frame=pandas: pandas_features(frame),
            },
            tolerance=1e-6 if dtype == "float32" else 1e-9,
        )
        deep = [pl.DataFrame({f"{i}": level for i, level in enumerate(books[k])}) for k in (1, 3)]
        both = pl.concat([deep[0].rename(lambda n: f"b{n}"), deep[1].rename(lambda n: f"a{n}")], how="horizontal")
        bid, ask = pl.sum_horizontal(r"^b\d$"), pl.sum_horizontal(r"^a\d$")
        yield Comparison(
            "imbalance of 5 levels",
            rows,
            dtype,
            11 * rows * np.dtype(dtype).itemsize,
            lambda books=books: (best.imbalance(books[1], books[3], 5),),
            {"Polars": lambda f=both, b=bid, a=ask: (f.select(x=(b - a) / (b + a))["x"].to_numpy(),)},
            tolerance=1e-6 if dtype == "float32" else 1e-9,
        )
    yield from ten_features.comparisons(quick)
