"""Features of quotes and trades against their definitions, decision by decision."""

import math
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from fusion.features import quote, trade
from fusion.features.ticks import allowed, defaults, half_life_of
from gpu_kernels.durations import parse_duration
from sources.schema import TIME

MIDNIGHT = datetime(2024, 8, 9, tzinfo=UTC)
MAX_AGE = 5 * 10**9
NAMES = ["quote_spread", "quote_imbalance", "quote_microprice_gap"] + [
    f"quote_{stem}_{time}" for stem in ("return", "volatility", "flow", "rate") for time in ("1s", "2500ms", "1min")
]


def moments(rng: np.random.Generator, count: int, start: datetime, spread_ms: int) -> list[datetime]:
    return [start + timedelta(milliseconds=int(step)) for step in np.cumsum(rng.integers(0, spread_ms, count))]


def make_quotes() -> pl.DataFrame:
    """Two entities around midnight, with ties, a pause longer than max_age, and a feed that lags; C has no quote."""
    rng, parts = np.random.default_rng(4), []
    for entity in ("A", "B"):
        times = moments(rng, 300, MIDNIGHT - timedelta(seconds=30), 350)
        times = [time + timedelta(seconds=12 if i > 90 else 0) for i, time in enumerate(times)]
        bid = 100 + np.cumsum(rng.integers(-1, 2, 300)) * 0.5
        parts.append(
            pl.DataFrame(
                {
                    "entity": [entity] * 300,
                    "session": [time.date() for time in times],
                    "event_time": pl.Series(times, dtype=TIME),
                    "known_time": pl.Series([time + timedelta(milliseconds=40) for time in times], dtype=TIME),
                    "bid_price": bid,
                    "bid_size": rng.integers(1, 9, 300).astype(float),
                    "ask_price": bid + 0.5 * rng.integers(1, 3, 300),
                    "ask_size": rng.integers(1, 9, 300).astype(float),
                }
            )
        )
    return pl.concat(parts)


def make_grid() -> pl.DataFrame:
    times = [MIDNIGHT + timedelta(seconds=second) for second in range(-31, 45)]
    rows = [(entity, time.date(), time) for entity in "ABC" for time in times]
    return pl.DataFrame(rows, schema={"entity": pl.String, "session": pl.Date, "decision_time": TIME}, orient="row")


def naive(quotes: pl.DataFrame, entity: str, day: date, at: datetime, *, continuous: bool) -> dict[str, float]:
    rows = [
        row
        for row in quotes.to_dicts()
        if row["entity"] == entity and row["known_time"] <= at and (continuous or row["session"] == day)
    ]
    if not rows or at - rows[-1]["event_time"] > timedelta(microseconds=MAX_AGE // 1000):
        return dict.fromkeys([*NAMES, "quote_age"], math.nan)
    bids, bid_sizes, asks, ask_sizes = (
        [row[name] for row in rows] for name in ("bid_price", "bid_size", "ask_price", "ask_size")
    )
    mids = [(bid + ask) / 2 for bid, ask in zip(bids, asks, strict=True)]
    events = [0.0]
    for i in range(1, len(rows)):
        event = bid_sizes[i] * (bids[i] >= bids[i - 1]) - bid_sizes[i - 1] * (bids[i] <= bids[i - 1])
        event += ask_sizes[i - 1] * (asks[i] >= asks[i - 1]) - ask_sizes[i] * (asks[i] <= asks[i - 1])
        events.append(event)
    micro = (bids[-1] * ask_sizes[-1] + asks[-1] * bid_sizes[-1]) / (bid_sizes[-1] + ask_sizes[-1])
    found = {
        "quote_age": (at - rows[-1]["event_time"]).total_seconds() / 60,
        "quote_spread": 1e4 * (asks[-1] - bids[-1]) / mids[-1],
        "quote_imbalance": (bid_sizes[-1] - ask_sizes[-1]) / (bid_sizes[-1] + ask_sizes[-1]),
        "quote_microprice_gap": 1e4 * (micro / mids[-1] - 1),
    }
    for name in NAMES:
        windowed = half_life_of(name, ["quote_return", "quote_volatility", "quote_flow", "quote_rate"])
        if windowed is None:
            continue
        stem, time = windowed
        age = [(at - row["known_time"]).total_seconds() for row in rows]
        weights = [2 ** -(each / (time / 1e9)) for each in age]
        if stem == "quote_return":
            old = [mid for mid, each in zip(mids, age, strict=True) if each >= time / 1e9]
            found[name] = 1e4 * math.log(mids[-1] / old[-1]) if old else math.nan
        elif stem == "quote_volatility":
            squares = [math.log(b / a) ** 2 for a, b in pairwise(mids)]
            found[name] = 1e4 * math.sqrt(sum(w * s for w, s in zip(weights[1:], squares, strict=True)))
        elif stem == "quote_flow":
            sizes = [(b + a) / 2 for b, a in zip(bid_sizes, ask_sizes, strict=True)]
            mean = sum(w * s for w, s in zip(weights, sizes, strict=True)) / sum(weights)
            found[name] = sum(w * e for w, e in zip(weights, events, strict=True)) / mean
        else:
            found[name] = math.log1p(sum(weights) / (time / 1e9 / math.log(2)))
    return found


@pytest.mark.parametrize("continuous", [True, False])
def test_quote_features_equal_their_definitions(continuous: bool) -> None:
    quotes, grid = make_quotes(), make_grid()
    columns = quote.compute(quotes, grid, NAMES, MAX_AGE, continuous=continuous)
    assert set(columns) == {*NAMES, "quote_age"}
    missing = 0
    for i, (entity, day, at) in enumerate(grid.iter_rows()):
        for name, wanted in naive(quotes, entity, day, at, continuous=continuous).items():
            got = columns[name][i]
            missing += math.isnan(wanted)
            assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True), (name, entity, at)
    assert 0 < missing < len(NAMES) * grid.height * 0.6


def test_what_is_not_known_yet_changes_nothing() -> None:
    quotes, grid = make_quotes(), make_grid()
    full = quote.compute(quotes, grid, NAMES, MAX_AGE, continuous=True)
    for second in (-10, 0, 20):
        cut = MIDNIGHT + timedelta(seconds=second)
        part = quote.compute(quotes.filter(pl.col("known_time") <= cut), grid, NAMES, MAX_AGE, continuous=True)
        before = (grid["decision_time"] <= cut).to_numpy()
        for name in NAMES:
            np.testing.assert_array_equal(full[name][before], part[name][before])


def test_names_with_any_time_are_allowed_and_all_has_three() -> None:
    assert "quote_flow_10s" in defaults(quote.FEATURES)
    assert "quote_spread" in defaults(quote.FEATURES)
    assert len(defaults(quote.FEATURES)) == 3 + 4 * 3
    for name in ("quote_flow_30s", "quote_return_250ms", "quote_spread"):
        assert allowed(quote.FEATURES, name)
    for name in ("quote_flow", "quote_flow_", "quote_flow_0s", "quote_flow_tens", "quote_spread_1s", "trade_flow_1s"):
        assert not allowed(quote.FEATURES, name), name
    assert half_life_of("quote_flow_250ms", ["quote_flow"]) == ("quote_flow", parse_duration("250ms"))


TRADE_NAMES = [
    f"trade_{stem}_{time}"
    for stem in ("imbalance", "count_imbalance", "rate", "vwap_gap", "told")
    for time in ("1s", "2500ms")
]


def make_trades() -> pl.DataFrame:
    """At, above, below and inside the quotes, some of them at a quote's own time; a third without a side."""
    rng, quotes = np.random.default_rng(5), make_quotes()
    picked = quotes[np.sort(rng.integers(0, quotes.height, 300)).tolist()]
    later = pl.Series(rng.integers(0, 2, 300) * rng.integers(0, 400, 300)) * 1_000_000
    offset = pl.Series(rng.choice([0.0, 0.25, 0.5, 1.0], 300))
    return picked.select(
        "entity",
        "session",
        (pl.col("event_time") + later.cast(pl.Duration("ns"))).alias("event_time"),
        (pl.col("known_time") + later.cast(pl.Duration("ns"))).alias("known_time"),
        (pl.col("bid_price") + offset).alias("price"),
        pl.Series("size", rng.integers(1, 9, 300).astype(float)),
        pl.Series("side", rng.integers(-1, 2, 300), dtype=pl.Int8),
    ).sort("entity", "known_time", maintain_order=True)


def naive_side(trades: list[dict], i: int, quotes: list[dict]) -> tuple[int, bool]:
    """(side, whether the feed told it) by the feed, the quote strictly before, or the last change of price."""
    if trades[i]["side"]:
        return trades[i]["side"], True
    price = trades[i]["price"]
    seen = [quote for quote in quotes if quote["known_time"] < trades[i]["known_time"]]
    if seen:
        mid = (seen[-1]["bid_price"] + seen[-1]["ask_price"]) / 2
        if price != mid:
            return (1 if price > mid else -1), False
    earlier = [trade["price"] for trade in trades[: i + 1]]
    moves = [b - a for a, b in pairwise(earlier) if b != a]
    return (0 if not moves else 1 if moves[-1] > 0 else -1), False


@pytest.mark.parametrize("with_quotes", [True, False])
def test_trade_features_equal_their_definitions(with_quotes: bool) -> None:
    trades, quotes, grid = make_trades(), make_quotes(), make_grid()
    columns = trade.compute(trades, grid, TRADE_NAMES, MAX_AGE, continuous=True, quotes=quotes if with_quotes else None)
    scored = 0
    for i, (entity, _, at) in enumerate(grid.iter_rows()):
        own = trades.filter(pl.col("entity") == entity).to_dicts()
        rows = [row for row in own if row["known_time"] <= at]
        if not rows or at - rows[-1]["event_time"] > timedelta(microseconds=MAX_AGE // 1000):
            assert all(math.isnan(columns[name][i]) for name in (*TRADE_NAMES, "trade_age"))
            continue
        scored += 1
        book = quotes.filter(pl.col("entity") == entity).to_dicts() if with_quotes else []
        sides = [naive_side(rows, k, book) for k in range(len(rows))]
        for time in (10**9, 2_500_000_000):
            weights = [2 ** -((at - row["known_time"]).total_seconds() / (time / 1e9)) for row in rows]
            sizes = [weight * row["size"] for weight, row in zip(weights, rows, strict=True)]
            value = sum(size * row["price"] for size, row in zip(sizes, rows, strict=True)) / sum(sizes)
            wanted = {
                "imbalance": sum(size * side for size, (side, _) in zip(sizes, sides, strict=True)) / sum(sizes),
                "count_imbalance": sum(w * side for w, (side, _) in zip(weights, sides, strict=True)) / sum(weights),
                "rate": math.log1p(sum(weights) / (time / 1e9 / math.log(2))),
                "vwap_gap": 1e4 * (rows[-1]["price"] / value - 1),
                "told": sum(size * told for size, (_, told) in zip(sizes, sides, strict=True)) / sum(sizes),
            }
            for stem, number in wanted.items():
                name = f"trade_{stem}_{'1s' if time == 10**9 else '2500ms'}"
                assert columns[name][i] == pytest.approx(number, rel=1e-9, abs=1e-9), (name, entity, at)
    assert scored > 50
