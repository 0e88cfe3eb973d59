"""Trades: aggressor, spreads, bars, flow and VPIN, against what a user of Polars or pandas would write."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.trade import aggressor, arrivals, bars, flow, impact, spreads, vpin

SECOND = 10**9


def market(rows: int) -> dict[str, Any]:
    """Trades at or near the quotes of one path, one quote for each trade, on a clock of milliseconds."""
    rng = np.random.default_rng(6)
    bid = 10_000 + np.cumsum(rng.integers(-1, 2, rows))
    ask = bid + rng.integers(1, 3, rows)
    quote_time = np.cumsum(rng.integers(1, 5, rows)) * 10**6
    time = quote_time + rng.integers(0, 3, rows) * 10**6
    time = np.maximum.accumulate(time)
    side = rng.choice(np.array([-1, 1], np.int8), rows)
    price = np.where(side > 0, ask, bid)
    lots = rng.geometric(0.05, rows).astype(np.int64)
    return {
        "time": time,
        "price": price,
        "side": side,
        "lots": lots,
        "quote_time": quote_time,
        "bid": bid,
        "ask": ask,
        "offsets": np.array([0, rows]),
    }


def polars_lee_ready(trades: pl.DataFrame, quotes: pl.DataFrame) -> Outputs:
    twice, total = 2 * pl.col("price"), pl.col("bid") + pl.col("ask")
    tick = pl.col("price").diff().sign()
    tick = pl.when(tick != 0).then(tick).forward_fill().fill_null(0)
    joined = trades.lazy().join_asof(quotes.lazy(), on="time", strategy="backward", allow_exact_matches=False)
    by_quote = (twice - total).sign().fill_null(0)
    out = joined.select(side=pl.when(by_quote != 0).then(by_quote).otherwise(tick))
    return (out.collect()["side"].to_numpy(),)


def polars_time_bars(frame: pl.DataFrame, interval_ns: int) -> Outputs:
    price, lots = pl.col("price"), pl.col("lots")
    out = (
        frame.lazy()
        .group_by(bar=pl.col("time") // interval_ns, maintain_order=True)
        .agg(
            open=price.first(),
            high=price.max(),
            low=price.min(),
            close=price.last(),
            vwap=(price * lots).sum() / lots.sum(),
            volume=lots.sum(),
            signed=(lots * pl.col("side")).sum(),
        )
        .collect()
    )
    return tuple(out[name].to_numpy() for name in ("open", "high", "low", "close", "vwap", "volume", "signed"))


def pandas_time_bars(frame: pd.DataFrame, interval_ns: int) -> Outputs:
    work = frame.assign(value=frame["price"] * frame["lots"], signed=frame["lots"] * frame["side"])
    groups = work.groupby(work["time"] // interval_ns, sort=False)
    prices = groups["price"].agg(["first", "max", "min", "last"])
    sums = groups[["value", "lots", "signed"]].sum()
    vwap = sums["value"] / sums["lots"]
    return (*(prices[name].to_numpy() for name in prices), *map(np.asarray, (vwap, sums["lots"], sums["signed"])))


def time_bars(data: dict[str, Any], interval_ns: int) -> Outputs:
    ends = bars.time_ends(data["time"], data["offsets"], 2**60, interval_ns)
    columns = (data["price"], data["lots"], data["side"], data["time"], data["time"], data["offsets"])
    return bars.aggregate(*columns, *ends, interval_ns=interval_ns)[:7]


def volume_bars(data: dict[str, Any], threshold: int) -> Outputs:
    ends = bars.volume_ends(data["lots"], data["offsets"], threshold)
    columns = (data["price"], data["lots"], data["side"], data["time"], data["time"], data["offsets"])
    return bars.aggregate(*columns, *ends)[:7]


def polars_flow(frame: pl.DataFrame, window_ns: int) -> Outputs:
    signed = pl.col("lots") * pl.col("side")
    rolled = frame.lazy().rolling(index_column="time", period=f"{window_ns}i")
    out = rolled.agg(balance=signed.sum() / pl.col("lots").sum()).collect()
    return (out["balance"].to_numpy(),)


def pandas_flow(frame: pd.DataFrame, window_ns: int) -> Outputs:
    timed = frame.set_index(pd.to_datetime(frame["time"]))
    rolled = pd.DataFrame({"signed": timed["lots"] * timed["side"], "lots": timed["lots"]}).rolling(f"{window_ns}ns")
    total = rolled.sum()
    return (np.asarray(total["signed"] / total["lots"]),)


def ties_last(time: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of rows at one time, the last has seen them all: what a decision at that time sees."""
    return values[np.searchsorted(time, time, "right") - 1]


def pandas_kyle(mid: pd.Series, volume: pd.Series, window: int) -> Outputs:
    change = mid.diff()
    x = volume.where(change.notna())
    return (np.asarray(change.rolling(window).cov(x) / x.rolling(window).var()),)


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 200_000 if quick else 2_000_000
    data = market(rows)
    offsets, quotes = data["offsets"], (data["quote_time"], data["bid"], data["ask"], data["offsets"])
    time, price, side, lots = data["time"], data["price"], data["side"], data["lots"]
    untold, columns = np.zeros(rows, np.int8), {"time": time, "price": price, "lots": lots, "side": side}
    polars, pandas = pl.DataFrame(columns).set_sorted("time"), pd.DataFrame(columns)
    book = pl.DataFrame({"time": data["quote_time"], "bid": data["bid"], "ask": data["ask"]}).set_sorted("time")
    yield Comparison(
        "side by quote and tick rule",
        rows,
        "int64",
        rows * 42,
        lambda: aggressor.lee_ready(time, price, untold, offsets, *quotes)[:1],
        {"Polars join_asof": lambda: polars_lee_ready(polars, book)},
    )
    yield Comparison(
        "quoted, effective, realised spread, impact",
        rows,
        "int64",
        rows * 81,
        lambda: spreads.spreads(time, price, side, offsets, *quotes, 2**60, horizon_ns=SECOND),
    )
    yield Comparison(
        "bars of one second",
        rows,
        "int64",
        rows * 25,
        lambda: time_bars(data, SECOND),
        {"Polars": lambda: polars_time_bars(polars, SECOND), "pandas": lambda: pandas_time_bars(pandas, SECOND)},
    )
    yield Comparison("bars of 2,000 lots", rows, "int64", rows * 25, lambda: volume_bars(data, 2000))
    yield Comparison(
        "trade imbalance by lots, 1 s",
        rows,
        "int64",
        rows * 33,
        lambda: flow.trade_imbalance(time, side, lots, offsets, time, offsets, window_ns=SECOND)[1:],
        {
            "Polars rolling": lambda: (ties_last(time, polars_flow(polars, SECOND)[0]),),
            "pandas rolling": lambda: (ties_last(time, pandas_flow(pandas, SECOND)[0]),),
        },
    )
    yield Comparison(
        "VPIN of 50 buckets, sides told",
        rows,
        "int64",
        rows * 25,
        lambda: vpin.vpin(lots, side, offsets, 5000, 50),
    )
    closes = price[: rows // 4].astype(np.float64)
    yield Comparison(
        "bulk volume weights, 50 changes",
        len(closes),
        "float64",
        len(closes) * 16,
        lambda: (vpin.bulk_weight(closes, np.array([0, len(closes)]), 50),),
        {"SciPy and Polars": lambda: scipy_bulk(closes)},
        tolerance=1e-7,
    )
    signed = (lots * side)[: rows // 4].astype(np.float64)
    yield Comparison(
        "Kyle's lambda of 60 intervals",
        len(closes),
        "float64",
        len(closes) * 24,
        lambda: (impact.kyle_lambda(closes, signed, np.array([0, len(closes)]), 60),),
        {"pandas": lambda: pandas_kyle(pd.Series(closes), pd.Series(signed), 60)},
        tolerance=1e-7,
    )
    arrival = (time, price, side, offsets, time, data["bid"], data["ask"], offsets)
    yield Comparison(
        "arrival asymmetry, 10 ticks in 3 bands",
        rows,
        "int64",
        rows * 73,
        lambda: (arrivals.arrival_asymmetry(*arrival, bands=(1, 3, 10), half_life_ns=SECOND)[3],),
    )


def scipy_bulk(close: np.ndarray) -> Outputs:
    from scipy import special

    series = pl.Series(close).diff()
    deviation = series.rolling_std(50).shift()
    z = (series / deviation).to_numpy()
    return (special.erf(z / np.sqrt(2.0)),)
