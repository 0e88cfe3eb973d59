"""`in_order` against the rule written as a loop."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kernels.errors import ArgumentError
from sources.schema import TIME
from sources.stream import in_order

NOON = datetime(2015, 1, 2, 12, tzinfo=UTC)
ROWS = st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 6), st.integers(0, 6)), max_size=25)


def table_of(rows: list[tuple[str, int, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "entity": pl.Series([row[0] for row in rows], dtype=pl.String),
            "event_time": pl.Series([NOON + timedelta(seconds=row[1]) for row in rows], dtype=TIME),
            "known_time": pl.Series([NOON + timedelta(seconds=row[1] + row[2]) for row in rows], dtype=TIME),
            "number": pl.Series(range(len(rows)), dtype=pl.Int64),
        }
    )


def naive_in_order(table: pl.DataFrame, name: str) -> tuple[list[int], int]:
    rows = sorted(table.iter_rows(named=True), key=lambda row: (row["entity"], row["known_time"], row["event_time"]))
    seen: dict[str, datetime] = {}
    kept = []
    for row in rows:
        last = seen.get(row["entity"])
        if last is None or row["event_time"] > last or (name != "bar" and row["event_time"] == last):
            kept.append(row["number"])
            seen[row["entity"]] = row["event_time"]
    return kept, len(rows) - len(kept)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from(["bar", "trade", "quote"]))
def test_equals_loop(rows: list[tuple[str, int, int]], name: str) -> None:
    table = table_of(rows)
    kept, late = in_order(table, name)
    assert (kept["number"].to_list(), late) == naive_in_order(table, name)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(0, 12), st.sampled_from(["bar", "trade"]))
def test_cutting_the_future_changes_nothing_before(rows: list[tuple[str, int, int]], second: int, name: str) -> None:
    table, cut = table_of(rows), NOON + timedelta(seconds=second)
    known = pl.col("known_time") <= cut
    assert in_order(table.filter(known), name)[0].equals(in_order(table, name)[0].filter(known))


BOOK_ROWS = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(0, 1), st.integers(0, 6), st.integers(0, 6), st.integers(0, 9)),
    max_size=25,
)


def book_of(rows: list[tuple[str, int, int, int, int]]) -> pl.DataFrame:
    """Rows of (entity, days after the first, seconds of event_time, seconds until known, sequence)."""
    table = table_of([(entity, second, delay) for entity, _, second, delay, _ in rows])
    days = [NOON.date() + timedelta(days=row[1]) for row in rows]
    return table.with_columns(
        (pl.col(clock) + pl.Series([timedelta(days=row[1]) for row in rows], dtype=pl.Duration("ns"))).alias(clock)
        for clock in ("event_time", "known_time")
    ).with_columns(session=pl.Series(days, dtype=pl.Date), sequence=pl.Series([row[4] for row in rows], dtype=pl.Int64))


@settings(max_examples=300, deadline=None)
@given(BOOK_ROWS)
def test_a_books_order_is_its_sequence(rows: list[tuple[str, int, int, int, int]]) -> None:
    table = book_of(rows)
    ordered = sorted(
        table.iter_rows(named=True), key=lambda r: (r["entity"], r["session"], r["known_time"], r["sequence"])
    )
    highest: dict[object, int] = {}
    wanted = []
    for row in ordered:
        place = (row["entity"], row["session"])
        if row["sequence"] > highest.get(place, -1):
            highest[place] = row["sequence"]
            wanted.append(row["sequence"])
    kept, late = in_order(table, "book_update")
    assert (kept["sequence"].to_list(), late) == (wanted, len(rows) - len(wanted))


@settings(max_examples=150, deadline=None)
@given(BOOK_ROWS, st.integers(0, 100_000))
def test_cutting_the_future_of_a_book_changes_nothing_before(
    rows: list[tuple[str, int, int, int, int]], second: int
) -> None:
    table, known = book_of(rows), pl.col("known_time") <= NOON + timedelta(seconds=second)
    cut, full = in_order(table.filter(known), "order_event")[0], in_order(table, "order_event")[0].filter(known)
    # of rows equal in all but `number` any may be kept
    assert cut.drop("number").equals(full.drop("number"))


def test_table_that_is_no_stream() -> None:
    with pytest.raises(ArgumentError, match="metric"):
        in_order(table_of([]), "metric")
