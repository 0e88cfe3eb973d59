"""Forward returns against a loop over definitions; sessions, ages, late bars and wrong tables."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from planted import MINUTE, decisions, session_table
from pydantic import ValidationError

from fusion.target import TargetConfig, end_column, forward_returns, price_stream, return_column
from gpu_kernels.errors import DataError
from sources.schema import TIME

CONFIG = TargetConfig(horizons=("5min", "15min"), primary="15min")
BARS = {
    "entity": pl.String,
    "session": pl.Date,
    "event_time": TIME,
    "known_time": TIME,
    "open": pl.Float64,
    "price": pl.Float64,
}


def random_bars(seed: int, sessions: pl.DataFrame, entities: list[str], gaps: float = 0.3) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for entity in entities:
        price = 100.0
        for day, opened, close in sessions.iter_rows():
            at = opened + timedelta(minutes=1)
            while at <= close:
                price *= math.exp(rng.normal(0, 1e-3))
                delay = timedelta(seconds=float(rng.choice([1, 1, 1, 45, 200])))
                if rng.random() > gaps:
                    rows.append((entity, day, at, at + delay, price, price))
                at += timedelta(minutes=1)
    return pl.DataFrame(rows, schema=BARS, orient="row")


def naive(grid, bars, sessions, horizons, max_age):
    """The docstring, row by row."""
    closes = {day: close for day, _, close in sessions.iter_rows()}
    table = [row for row in bars.iter_rows(named=True) if row["known_time"] - row["event_time"] <= max_age]

    def price(entity, session, time):
        seen = [
            row
            for row in table
            if row["entity"] == entity and row["session"] == session and time - max_age <= row["event_time"] <= time
        ]
        best = max(seen, key=lambda row: row["event_time"], default=None)
        return best if best and best["price"] is not None and best["price"] > 0 else None

    out = []
    for entity, session, at in grid.iter_rows():
        row = [entity, session, at]
        for horizon in horizons:
            end = at + timedelta(microseconds=horizon // 1000)
            first, last = price(entity, session, at), price(entity, session, end)
            if end > closes[session] or first is None or last is None:
                row += [None, None]
            else:
                row += [math.log(last["price"] / first["price"]), max(end, last["known_time"])]
        out.append(row)
    return out


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(seed):
    sessions = session_table(4, minutes=90, early=2)
    bars = random_bars(seed, sessions, ["A", "B"])
    grid = decisions(sessions, ["A", "B"])
    labels = forward_returns(grid, bars, sessions, CONFIG, 3 * MINUTE)
    expected = naive(grid, bars, sessions, CONFIG.horizons, timedelta(minutes=3))
    assert labels.columns[3:] == ["return_5min", "label_end_5min", "return_15min", "label_end_15min"]
    assert labels.schema["label_end_5min"] == TIME
    for row, known in zip(labels.iter_rows(), expected, strict=True):
        assert row[:3] == tuple(known[:3])
        for i in (3, 5):
            assert (row[i] is None) == (known[i] is None) == (row[i + 1] is None) == (known[i + 1] is None)
            if row[i] is not None:
                assert row[i] == pytest.approx(known[i], abs=1e-15)
                assert row[i + 1] == known[i + 1]
    assert 0 < labels["return_15min"].null_count() < labels.height


def test_no_return_crosses_a_session_or_an_early_close():
    sessions = session_table(4, early=2)
    grid = decisions(sessions, ["A"], 1).sort("decision_time")
    # bars of the whole clock, beyond every close, each on its own session
    bars = random_bars(0, sessions, ["A"], gaps=0.0)
    after = bars.with_columns(
        pl.col("event_time", "known_time") + pl.duration(nanoseconds=120 * MINUTE), pl.col("price") * 2
    )
    after = after.join(sessions, on="session").filter(pl.col("event_time") > pl.col("close")).select(bars.columns)
    assert after.height > 100
    labels = forward_returns(grid, pl.concat([bars, after]), sessions, CONFIG, 5 * MINUTE)
    joined = labels.join(sessions, on="session")
    late = pl.col("decision_time") + pl.duration(nanoseconds=15 * MINUTE) > pl.col("close")
    assert joined.filter(late)["return_15min"].null_count() == joined.filter(late).height
    assert joined.filter(~late)["return_15min"].null_count() == 0
    assert joined["return_15min"].abs().max() < 0.1


def test_a_price_is_used_up_to_its_max_age_and_no_longer():
    sessions = session_table(1)
    opened = sessions["open"][0]
    bars = pl.DataFrame(
        [
            ("A", sessions["session"][0], opened + timedelta(minutes=m), opened + timedelta(minutes=m), 1.0, float(c))
            for m, c in ((10, 100), (20, 110))
        ],
        schema=BARS,
        orient="row",
    )
    grid = decisions(sessions, ["A"]).head(1)  # 15 minutes after the open; 5 minutes after the first bar
    config = TargetConfig(horizons=("5min",), primary="5min")
    labels = forward_returns(grid, bars, sessions, config, 5 * MINUTE)
    assert labels["return_5min"][0] == pytest.approx(math.log(1.1))
    assert labels["label_end_5min"][0] == opened + timedelta(minutes=20)
    assert forward_returns(grid, bars, sessions, config, 5 * MINUTE - 1)["return_5min"][0] is None


def test_truncation_changes_no_label_that_was_settled():
    sessions = session_table(3, minutes=90)
    bars = random_bars(7, sessions, ["A", "B"])
    grid = decisions(sessions, ["A", "B"])
    full = forward_returns(grid, bars, sessions, CONFIG, 5 * MINUTE)
    for minutes in (40, 80, 24 * 60 + 33):
        cut = sessions["open"][0] + timedelta(minutes=minutes)
        known = bars.filter(pl.col("known_time") <= pl.lit(cut, dtype=TIME))
        part = forward_returns(grid, known, sessions, CONFIG, 5 * MINUTE)
        settled = pl.col("decision_time") + pl.duration(nanoseconds=20 * MINUTE) <= pl.lit(cut, dtype=TIME)
        assert part.filter(settled).height > 0
        assert part.filter(settled).equals(full.filter(settled))


def test_a_long_max_age_reaches_no_earlier_session():
    sessions = session_table(2)
    late = sessions["open"][1] + timedelta(minutes=40)
    bars = random_bars(0, sessions, ["A"], gaps=0.0)
    bars = bars.filter((pl.col("session") < sessions["session"][1]) | (pl.col("event_time") >= late))
    labels = forward_returns(decisions(sessions, ["A"]), bars, sessions, CONFIG, 3 * 24 * 60 * MINUTE)
    second = labels.filter(pl.col("session") == sessions["session"][1])
    assert second["return_5min"].is_null().to_list() == (second["decision_time"] < late).to_list()


@pytest.mark.parametrize("close", [None, math.nan, 0.0, -1.0, math.inf])
def test_a_price_that_is_no_price_gives_no_label(close):
    sessions = session_table(1)
    bars = random_bars(0, sessions, ["A"], gaps=0.0)
    bad = sessions["open"][0] + timedelta(minutes=20)
    bars = bars.with_columns(pl.when(pl.col("event_time") == bad).then(pl.lit(close)).otherwise("price").alias("price"))
    labels = forward_returns(decisions(sessions, ["A"]), bars, sessions, CONFIG, 5 * MINUTE)
    missing = labels.filter(pl.col("return_5min").is_null())["decision_time"].to_list()
    assert bad in missing
    assert bad - timedelta(minutes=5) in missing
    assert len(missing) == 2
    assert labels["return_5min"].is_nan().sum() == 0


def test_nothing_in_nothing_out():
    sessions = session_table(1)
    bars = random_bars(0, sessions, ["A"])
    empty = forward_returns(decisions(sessions, ["A"]).clear(), bars, sessions, CONFIG, MINUTE)
    assert empty.height == 0
    assert empty.columns[3:] == ["return_5min", "label_end_5min", "return_15min", "label_end_15min"]
    labels = forward_returns(decisions(sessions, ["A"]), bars.clear(), sessions, CONFIG, MINUTE)
    assert labels["return_5min"].null_count() == labels.height > 0


def test_wrong_tables_are_named():
    sessions = session_table(1)
    grid, bars = decisions(sessions, ["A"]), random_bars(0, sessions, ["A"])
    with pytest.raises(DataError, match="prices lacks price"):
        forward_returns(grid, bars.drop("price"), sessions, CONFIG, MINUTE)
    with pytest.raises(DataError, match="decision twice"):
        forward_returns(pl.concat([grid, grid]), bars, sessions, CONFIG, MINUTE)
    other = sessions.with_columns(pl.lit(date(1999, 1, 4)).alias("session"))
    with pytest.raises(DataError, match="not in sessions, first 2020-01-06"):
        forward_returns(grid, bars, other, CONFIG, MINUTE)


def test_config():
    assert return_column(5 * MINUTE) == "return_5min"
    assert end_column(5 * MINUTE) == "label_end_5min"
    for wrong in (
        {"horizons": [], "primary": "5min"},
        {"horizons": ["5min"], "primary": "15min"},
        {"horizons": ["5min", "300s"], "primary": "5min"},
        {"horizons": ["0s"], "primary": "0s"},
        {"horizons": ["5 m"], "primary": "5 m"},
        {"horizons": ["5min"], "primary": "5min", "extra": 1},
    ):
        with pytest.raises(ValidationError):
            TargetConfig.model_validate(wrong)


def test_nanoseconds_are_kept():
    sessions = session_table(1)
    grid = decisions(sessions, ["A"]).head(1).with_columns(pl.col("decision_time") + pl.duration(nanoseconds=1))
    bars = random_bars(0, sessions, ["A"], gaps=0.0).with_columns(pl.col("event_time").alias("known_time"))
    labels = forward_returns(grid, bars, sessions, CONFIG, 5 * MINUTE)
    assert labels["label_end_5min"].dt.epoch("ns")[0] % 1000 == 1


def test_the_price_of_a_quote_is_its_mid_and_of_equal_times_the_last_counts():
    sessions = session_table(1)
    opened = sessions["open"][0]
    moments = [opened, opened + timedelta(minutes=5), opened + timedelta(minutes=5)]
    quotes = pl.DataFrame(
        {
            "entity": ["A"] * 3,
            "session": [sessions["session"][0]] * 3,
            "event_time": pl.Series(moments, dtype=TIME),
            "known_time": pl.Series(moments, dtype=TIME),
            "bid_price": [99.0, 90.0, 100.0],
            "bid_size": [1.0] * 3,
            "ask_price": [101.0, 91.0, 104.0],
            "ask_size": [1.0] * 3,
        }
    )
    prices = price_stream(quotes, "quote")
    assert prices["price"].to_list() == [100.0, 90.5, 102.0]
    grid = pl.DataFrame(
        {"entity": ["A"], "session": [sessions["session"][0]], "decision_time": pl.Series([opened], dtype=TIME)}
    )
    labels = forward_returns(grid, prices, sessions, CONFIG, 15 * MINUTE)
    assert labels["return_5min"].to_list() == [pytest.approx(math.log(102 / 100))]
