"""Trade kernels on real feeds: how often the rules find the side that the exchange tells."""

import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gpu_kernels.trade import aggressor, bars, spreads, vpin

pytestmark = pytest.mark.data

MILLISECOND = 10**6

FEEDS = {
    "spot": ("spot_btcusdt_20240808.gz", 100, 100_000),
    "usdm": ("usdm_btcusdt_20240808.gz", 10, 1_000),
    "coinm": ("cm_btcusd_perp_20240808.gz", 10, 1),
}
"""File, ticks per quote unit, lots per size unit."""


def read(path: Path, ticks: int, lots: int, clock: str) -> dict[str, np.ndarray]:
    """Trades and quotes of one raw file, on the receiver's clock or on the exchange's (spot's quotes have none)."""
    trades, quotes = [], []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            received, _, message = line.partition(" ")
            if '@trade"' not in message and '@bookTicker"' not in message:
                continue
            row = json.loads(message)["data"]
            time = int(received) if clock == "received" else row["T"] * 10**6
            if "p" not in row:
                quotes.append((time, round(float(row["b"]) * ticks), round(float(row["a"]) * ticks)))
            elif float(row["p"]) > 0:
                way = -1 if row["m"] else 1
                trades.append((time, round(float(row["p"]) * ticks), round(float(row["q"]) * lots), way))
    time, price, size, side = (np.array(column, np.int64) for column in zip(*sorted(trades, key=first), strict=True))
    quote_time, bid, ask = (np.array(column, np.int64) for column in zip(*sorted(quotes, key=first), strict=True))
    return {
        "time": time,
        "price": price,
        "lots": size,
        "side": side,
        "quote_time": quote_time,
        "bid": bid,
        "ask": ask,
        "offsets": np.array([0, len(time)]),
        "quote_offsets": np.array([0, len(quote_time)]),
    }


def first(row: tuple[int, ...]) -> int:
    return row[0]


Feed = Callable[[str, str], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def feed(data_root: Path) -> Feed:
    @cache
    def load(market: str, clock: str) -> dict[str, np.ndarray]:
        name, ticks, lots = FEEDS[market]
        return read(data_root / "market" / "binance_l2" / name, ticks, lots, clock)

    return load


def quotes_of(data: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return data["quote_time"], data["bid"], data["ask"], data["quote_offsets"]


def accuracy(data: dict[str, np.ndarray], lag_ns: int) -> float:
    untold = np.zeros(len(data["time"]), np.int8)
    table = (data["time"], data["price"], untold, data["offsets"])
    side, _ = aggressor.lee_ready(*table, *quotes_of(data), lag_ns=lag_ns)
    return float(np.mean(side == data["side"]))


@pytest.mark.parametrize(("market", "least"), [("usdm", 0.998), ("coinm", 1.0)])
def test_on_the_exchanges_clock_no_lag_is_best(feed: Feed, market: str, least: float) -> None:
    """Trades and quotes of one clock: the quote strictly before tells 99.8 % and 100 % of the true sides; each lag
    costs some, and the 5 s of 1991 a third."""
    found = [accuracy(feed(market, "exchange"), lag * MILLISECOND) for lag in (0, 10, 100, 5000)]
    assert found[0] >= least
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.7


def test_where_quotes_arrive_before_the_trades_that_moved_them_a_lag_is_needed(feed: Feed) -> None:
    """Spot's quotes carry no time, and by their receipt come ahead of the trades: without a lag the quote rule is no
    better than a coin, and the tick rule, which needs no quotes, beats it at every lag."""
    spot = feed("spot", "received")
    found = {lag: accuracy(spot, lag * MILLISECOND) for lag in (0, 10, 100)}
    assert found[0] < 0.55 < found[10] < 0.80
    assert 0.94 < found[100] < 0.96
    ticks = float(np.mean(aggressor.tick_rule(spot["price"], spot["offsets"]) == spot["side"]))
    assert 0.96 < ticks < 0.98


@pytest.mark.parametrize(("market", "least", "most"), [("usdm", 0.96, 0.98), ("coinm", 0.83, 0.85)])
def test_tick_rule(feed: Feed, market: str, least: float, most: float) -> None:
    data = feed(market, "exchange")
    assert least < np.mean(aggressor.tick_rule(data["price"], data["offsets"]) == data["side"]) < most


@pytest.mark.parametrize("market", ["usdm", "coinm"])
def test_trades_pay_half_the_spread_and_then_move_the_price(feed: Feed, market: str) -> None:
    data = feed(market, "exchange")
    columns = (data["time"], data["price"], data["side"], data["offsets"], *quotes_of(data))
    until = int(data["quote_time"][-1])
    quoted, effective, realised, impact, known = spreads.spreads(*columns, until, horizon_ns=1000 * MILLISECOND)
    # most trades are at the touch, whose spread is one tick of 0.1 on 61,700
    assert np.nanmedian(effective) == pytest.approx(np.nanmedian(quoted), rel=0.01) == pytest.approx(0.0162, rel=0.02)
    there = ~np.isnan(realised)
    assert there.mean() > 0.99
    assert (known[~there] > until).all()
    np.testing.assert_array_equal(effective[there], realised[there] + impact[there])
    # a market order's fills walk the book, and the mid goes their way
    assert realised[there].mean() < 0 < effective[there].mean() < impact[there].mean()


def test_volume_is_split_without_a_rest(feed: Feed) -> None:
    spot = feed("spot", "received")
    whole = int(spot["lots"].sum())
    vpins, full = vpin.vpin(spot["lots"], spot["side"], spot["offsets"], whole // 100, 20)
    assert full[-1] == 100
    assert np.nanmin(vpins) >= 0
    assert np.nanmax(vpins) <= 1
    ends = bars.volume_ends(spot["lots"], spot["offsets"], whole // 100)
    columns = (spot["price"], spot["lots"], spot["side"], spot["time"], spot["time"], spot["offsets"])
    made = bars.aggregate(*columns, *ends)
    used = int(ends.ends[-1]) + 1
    assert made.volume.sum() == spot["lots"][:used].sum()
    assert made.signed_volume.sum() == (spot["lots"] * spot["side"])[:used].sum()
    assert made.trades.sum() == used
    assert (made.low <= made.vwap).all()
    assert (made.vwap <= made.high).all()
