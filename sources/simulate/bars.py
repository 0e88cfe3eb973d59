"""One-minute bars: open, high, low, close of the mid quote, volume of the trades.

The prices are mids because trades bounce between bid and ask: with closes from the last trade, a minute's return has a
negative rank IC with what follows in a market in which nothing can be predicted, and the run with effects off would
rightly report it (docs/simulated_market.md has the figure).
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.schema import TIME
from sources.simulate.book import LOT
from sources.simulate.config import SimulationConfig
from sources.simulate.draws import Stream, key_of, words
from sources.simulate.effects import STEPS_PER_MINUTE
from sources.simulate.paths import TICKS_PER_DOLLAR, Path

_MINUTE = 60 * 10**9
_SHARE = 10**6


def bar_rows(config: SimulationConfig, path: Path, trades: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """The bars of a path, prices in half ticks: one array a column. `trades` are those of the book's loop.

    kind is 0 on time, 1 late, 2 a revision (a second row of its minute).
    """
    by_minute = path.ticks.reshape(-1, STEPS_PER_MINUTE)
    count = len(by_minute)
    close = by_minute[:, -1]
    opened = np.concatenate([path.ticks[:1], close[:-1]])
    volume = np.zeros(count, dtype=np.int64)
    np.add.at(volume, trades[:, 0] // 60_000, trades[:, 2] * LOT)
    start = path.opened + np.arange(count) * _MINUTE
    drawn = words(config.seed, Stream.DELIVERY, key_of(path.entity.ticker), path.session, count=6 * count).reshape(
        6, count
    )
    received = start + _MINUTE + (300 + drawn[0] % 2200) * 10**6
    late = drawn[1] % _SHARE < round(config.quality.late * _SHARE)
    received = received + np.where(late, 5 * _MINUTE + drawn[2] % (35 * _MINUTE) // 10**6 * 10**6, 0)
    rows = {
        "start": start,
        "received": received,
        "open": 2 * opened + 1,
        "high": 2 * np.maximum(opened, by_minute.max(axis=1)) + 1,
        "low": 2 * np.minimum(opened, by_minute.min(axis=1)) + 1,
        "close": 2 * close + 1,
        "volume": volume,
        "kind": late.astype(np.int64),
    }
    # a revision moves the close by one or two ticks, corrects the volume, and comes 2 to 60 minutes after the first
    again = np.flatnonzero(drawn[3] % _SHARE < round(config.quality.revised * _SHARE))
    revision = {name: values[again] for name, values in rows.items()}
    revision["close"] = revision["close"] + np.array([-4, -2, 2, 4])[drawn[4][again] % 4]
    revision["high"] = np.maximum(revision["high"], revision["close"])
    revision["low"] = np.minimum(revision["low"], revision["close"])
    revision["volume"] = revision["volume"] + LOT * (1 + drawn[4][again] % 7)
    revision["received"] = revision["received"] + 2 * _MINUTE + drawn[5][again] % (58 * _MINUTE) // 10**6 * 10**6
    revision["kind"] = np.full(len(again), 2)
    return {name: np.concatenate([values, revision[name]]) for name, values in rows.items()}


def bar_tables(
    config: SimulationConfig, paths: list[Path], rows: list[dict[str, NDArray[np.int64]]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(the bars as delivered, in order of receipt; the truth: ticker, end_time, received_time, kind of late and revised
    ones)."""
    columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    tickers = np.repeat(
        np.array([path.entity.ticker for path in paths]), np.array([len(part["start"]) for part in rows])
    )
    table = pl.DataFrame(
        {
            "ticker": tickers,
            "start_time": pl.Series(columns["start"]).cast(TIME),
            "end_time": pl.Series(columns["start"] + _MINUTE).cast(TIME),
            "received_time": pl.Series(columns["received"]).cast(TIME),
            **{name: columns[name] / (2.0 * TICKS_PER_DOLLAR) for name in ("open", "high", "low", "close")},
            "volume": columns["volume"],
            "kind": columns["kind"],
        }
    ).sort("received_time", "ticker", "end_time")
    odd = table.filter(pl.col("kind") > 0).select("ticker", "end_time", "received_time", "kind")
    truth = odd.with_columns(pl.col("kind").replace_strict({1: "late", 2: "revised"}, return_dtype=pl.String))
    return table.drop("kind"), truth
