"""The price of each session is the last one known at its last decision."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl

from fusion.price_path import PRICES, price_path

DAY = date(2024, 1, 2)
PLAN: Any = SimpleNamespace(
    config=SimpleNamespace(price_source="quotes", sources={"quotes": SimpleNamespace(table="quote")})
)


def at(minute: float, day: int = 0) -> datetime:
    return datetime(2024, 1, 2 + day, 15, tzinfo=UTC) + timedelta(minutes=minute)


def quotes(*rows: tuple[str, datetime, datetime, float]) -> dict[str, pl.DataFrame]:
    frame = pl.DataFrame(rows, schema=["entity", "event_time", "known_time", "bid_price"], orient="row")
    times = pl.col("event_time", "known_time").cast(pl.Datetime("ns", "UTC"))
    return {
        "quotes": frame.with_columns(times, ask_price=pl.col("bid_price") + 2, session=pl.col("event_time").dt.date())
    }


DECISIONS = pl.DataFrame(
    [(name, DAY + timedelta(days=day), at(minute, day)) for name in "AB" for day in (0, 1) for minute in (5, 10)],
    schema={"entity": pl.String, "session": pl.Date, "decision_time": pl.Datetime("ns", "UTC")},
    orient="row",
)


def test_what_came_after_the_last_decision_is_not_seen() -> None:
    rows = [
        ("A", at(4), at(4), 10.0),
        ("A", at(9), at(10), 20.0),  # known at the last decision itself
        ("A", at(9.5), at(10.1), 30.0),  # happened before it, known after it
        ("A", at(6, 1), at(6, 1), 40.0),
        ("B", at(8, 1), at(8, 1), -7.0),
    ]
    found = price_path(PLAN, quotes(*rows), DECISIONS)
    assert dict(found.schema) == PRICES
    assert found.rows() == [
        (DAY, "A", 21.0), (DAY, "B", None), (DAY + timedelta(days=1), "A", 41.0), (DAY + timedelta(days=1), "B", None),
    ]  # fmt: skip


def test_an_entity_without_a_new_price_keeps_its_last() -> None:
    found = price_path(PLAN, quotes(("A", at(4), at(4), 10.0)), DECISIONS)
    assert found.filter(pl.col("entity") == "A")["price"].to_list() == [11.0, 11.0]
