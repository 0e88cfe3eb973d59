"""Ten state and flow features of a ten-level book, against Polars' streaming engine and pandas on the same columns.

Peers get clean books (no missing level), so their formulas need none of the care that ours take; their frames hold the
same memory as our arrays. One dtype at a time: 10 M rows of float64 are 3.2 GB.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from typing import Any

import numba
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.book import fused

LEVELS = fused.LEVELS
SIDES = ("bid", "bid_size", "ask", "ask_size")
_WEIGHT = 0.1


def books(rows: int, dtype: str) -> tuple[np.ndarray, ...]:
    """bid price, bid size, ask price, ask size, each (10, rows); ticks of 1/64, which a float32 holds exactly."""
    rng = np.random.default_rng(7)
    tick = 10_000 + np.cumsum(rng.integers(-1, 2, rows, dtype=np.int8), dtype=np.int64)
    wide = rng.integers(1, 3, rows, dtype=np.int8)
    out = tuple(np.empty((LEVELS, rows), dtype) for _ in SIDES)
    for level in range(LEVELS):
        out[0][level], out[2][level] = (tick - level) / 64, (tick + wide + level) / 64
        out[1][level], out[3][level] = (rng.integers(1, 500, rows, dtype=np.int16) for _ in range(2))
    return out


def columns_of(arrays: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    return {f"{side}_{level}": array[level] for side, array in zip(SIDES, arrays, strict=True) for level in range(10)}


def total(parts: list[Any]) -> Any:
    return reduce(add, parts)


def polars_features(frame: pl.DataFrame) -> Outputs:
    """Shared parts named in steps, so that the optimiser need not find them; the first row is compared with itself."""
    dtype = frame.schema["bid_0"]
    bid, bid_size, ask, ask_size = ([pl.col(f"{side}_{level}") for level in range(LEVELS)] for side in SIDES)
    nothing, weight = pl.lit(0, dtype=dtype), pl.lit(_WEIGHT, dtype=dtype)

    def before(column: pl.Expr) -> pl.Expr:
        return column.shift(1, fill_value=pl.lit(frame[column.meta.output_name()][0], dtype=dtype))

    def flow(level: int) -> pl.Expr:
        b, x, a, y = bid[level], bid_size[level], ask[level], ask_size[level]
        return (
            pl.when(b >= before(b)).then(x).otherwise(nothing)
            - pl.when(b <= before(b)).then(before(x)).otherwise(nothing)
            - pl.when(a <= before(a)).then(y).otherwise(nothing)
            + pl.when(a >= before(a)).then(before(y)).otherwise(nothing)
        )

    mid, spread = pl.col("mid"), pl.col("spread")
    bids, asks, bids_5, asks_5 = (pl.col(name) for name in ("bids", "asks", "bids_5", "asks_5"))
    near_bids, near_asks = pl.col("near_bids"), pl.col("near_asks")
    out = (
        frame.lazy()
        .with_columns(
            mid=(bid[0] + ask[0]) * 0.5,
            spread=ask[0] - bid[0],
            bids_5=total(bid_size[:5]),
            asks_5=total(ask_size[:5]),
            best_flow=flow(0),
        )
        .with_columns(
            bids=total([bids_5, *bid_size[5:]]),
            asks=total([asks_5, *ask_size[5:]]),
            near_bids=total([bid_size[k] / (mid - bid[k]) for k in range(LEVELS)]),
            near_asks=total([ask_size[k] / (ask[k] - mid) for k in range(LEVELS)]),
        )
        .select(
            spread=spread,
            gap=spread * (bid_size[0] / (bid_size[0] + ask_size[0]) - 0.5),
            imbalance_1=(bid_size[0] - ask_size[0]) / (bid_size[0] + ask_size[0]),
            imbalance_5=(bids_5 - asks_5) / (bids_5 + asks_5),
            imbalance_10=(bids - asks) / (bids + asks),
            depth=bids + asks,
            pressure=(near_bids - near_asks) / (near_bids + near_asks),
            distance=total(
                [bid_size[k] * (mid - bid[k]) + ask_size[k] * (ask[k] - mid) for k in range(LEVELS)],
            )
            / (bids + asks),
            flow=pl.col("best_flow"),
            weighted=total([pl.col("best_flow") * weight, *(flow(k) * weight for k in range(1, LEVELS))]),
        )
        .collect(engine="streaming")
    )
    return tuple(out[name].to_numpy() for name in out.columns)


def pandas_features(frame: pd.DataFrame) -> Outputs:
    bid, bid_size, ask, ask_size = ([frame[f"{side}_{level}"] for level in range(LEVELS)] for side in SIDES)

    def flow(level: int) -> Any:
        b, x, a, y = bid[level], bid_size[level], ask[level], ask_size[level]
        was_b, was_x, was_a, was_y = (column.shift() for column in (b, x, a, y))
        change = (
            x.where(b >= was_b, 0.0)
            - was_x.where(b <= was_b, 0.0)
            - y.where(a <= was_a, 0.0)
            + was_y.where(a >= was_a, 0.0)
        )
        change.iloc[0] = 0.0
        return change

    mid, spread = (bid[0] + ask[0]) * 0.5, ask[0] - bid[0]
    bids_5, asks_5 = total(bid_size[:5]), total(ask_size[:5])
    bids, asks = total([bids_5, *bid_size[5:]]), total([asks_5, *ask_size[5:]])
    near_bids = total([bid_size[k] / (mid - bid[k]) for k in range(LEVELS)])
    near_asks = total([ask_size[k] / (ask[k] - mid) for k in range(LEVELS)])
    far = total([bid_size[k] * (mid - bid[k]) + ask_size[k] * (ask[k] - mid) for k in range(LEVELS)])
    depth, best_flow = bids + asks, flow(0)
    out = (
        spread,
        spread * (bid_size[0] / (bid_size[0] + ask_size[0]) - 0.5),
        (bid_size[0] - ask_size[0]) / (bid_size[0] + ask_size[0]),
        (bids_5 - asks_5) / (bids_5 + asks_5),
        (bids - asks) / depth,
        depth,
        (near_bids - near_asks) / (near_bids + near_asks),
        far / depth,
        best_flow,
        total([best_flow * _WEIGHT, *(flow(k) * _WEIGHT for k in range(1, LEVELS))]),
    )
    return tuple(column.to_numpy() for column in out)


def on_threads(count: int, run: Callable[[], np.ndarray]) -> Outputs:
    """The run on so many threads of ours (Polars takes all there are); the number is put back."""
    usual = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        return tuple(run())
    finally:
        numba.set_num_threads(usual)


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 200_000 if quick else 10_000_000
    offsets = np.array([0, rows])
    for dtype in ("float32", "float64"):
        arrays = books(rows, dtype)
        columns = columns_of(arrays)
        polars = pl.from_arrow(pa.table({name: pa.array(column) for name, column in columns.items()}))
        pandas = pd.DataFrame({name: pd.Series(column, copy=False) for name, column in columns.items()}, copy=False)
        out = np.empty((len(fused.TEN_FEATURES), rows), dtype)
        held: dict[str, Any] = {"arrays": arrays, "polars": polars, "pandas": pandas, "out": out}
        del arrays, columns, polars, pandas, out

        def ours(held: dict[str, Any] = held) -> np.ndarray:
            return fused.ten_features(*held["arrays"], offsets, out=held["out"])

        threads = sorted({1, numba.get_num_threads()})
        for count in threads:
            peers: dict[str, Callable[[], Outputs]] = {
                "Polars streaming": lambda held=held: polars_features(held["polars"]),
                "pandas": lambda held=held: pandas_features(held["pandas"]),
            }
            if count > 1:
                del peers["pandas"]
            yield Comparison(
                f"ten features of ten levels, {count} thread{'s' * (count > 1)}",
                rows,
                dtype,
                (4 * LEVELS + len(fused.TEN_FEATURES)) * rows * np.dtype(dtype).itemsize,
                lambda ours=ours, count=count: on_threads(count, ours),
                peers,
                # peers add up float32 in float32, and ten flows of up to 500 cancel
                tolerance=1e-4 if dtype == "float32" else 1e-9,
            )
        # the next dtype's books come after these are gone
        held.clear()
