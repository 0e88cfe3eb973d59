"""Counts of sites by ticker and region: each equals what the slow answer counts, at every time."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_rows import DAYS, FACTS, SCHEMA, day, row, slow_sites_at, table
from test_site_file import DOLLAR_TREE, WALMART, real

from gpu_kernels.errors import ArgumentError
from sources.schema import TIME
from sources.sites import sites_at, store_steps, store_weights


def slow_counts(rows: pl.DataFrame, time: datetime) -> Counter[tuple[str, str | None]]:
    return Counter((entity, one["region"]) for (entity, _), one in slow_sites_at(rows, time).items())


@settings(max_examples=150, deadline=None)
@given(st.lists(FACTS, max_size=14))
def test_weights_equal_the_slow_count_at_every_time(drawn: list[dict[str, Any]]) -> None:
    rows = table(*drawn)
    times = [day(number / 2) for number in range(-1, 44)]
    found = store_weights(rows, pl.Series(times, dtype=TIME))
    got = {(entity, region, time): (sites, total) for entity, region, time, sites, total in found.iter_rows()}
    wanted = {}
    for time in times:
        counts = slow_counts(rows, time)
        for (entity, region), sites in counts.items():
            total = sum(count for (name, _), count in counts.items() if name == entity)
            wanted[entity, region, time] = (sites, total)
    assert got == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(FACTS, max_size=14), DAYS)
def test_rows_known_later_change_no_weight(drawn: list[dict[str, Any]], cut: int) -> None:
    rows = table(*drawn)
    times = pl.Series([day(number / 2) for number in range(2 * cut + 1)], dtype=TIME)
    known = rows.filter(pl.col("known_time") <= day(cut))
    assert store_weights(known, times).equals(store_weights(rows, times))


def test_steps_are_where_something_changes() -> None:
    rows = table(row("1", 0, 1), row("2", 0, 1), row("1", 0, 9, ends=5), row("3", 4, 4, region="US-OH"))
    assert store_steps(rows).rows() == [
        ("AAA", "US-OH", day(4), 1),
        ("AAA", "US-TX", day(1), 2),
        ("AAA", "US-TX", day(9), 1),
    ]


def test_nothing_known_is_no_row() -> None:
    times = pl.Series([day(0)], dtype=TIME)
    assert store_weights(pl.DataFrame(schema=SCHEMA), times).is_empty()
    assert store_weights(table(row("1", 0, 1)), times).is_empty()


def test_times_without_a_zone_are_refused() -> None:
    with pytest.raises(ArgumentError, match="decision_times"):
        store_weights(table(), pl.Series([datetime(2020, 1, 1)]))


@pytest.mark.data
class TestRealLists:
    def test_walmart_by_state(self, data_root: Path, tmp_path: Path) -> None:
        _, rows = real(data_root, tmp_path, WALMART)
        times = pl.Series([datetime(year, 7, 1, tzinfo=UTC) for year in range(1962, 2008)], dtype=TIME)
        found = store_weights(rows, times)
        for time in times:
            at = sites_at(rows, time).group_by("region").len().sort("region")
            own = found.filter(pl.col("decision_time") == time)
            assert own.select("region", sites="sites").rows() == at.rows()
        assert found.filter(pl.col("decision_time") == times[-1])["sites"].sum() == 2992

    def test_dollar_tree_between_and_after_its_snapshots(self, data_root: Path, tmp_path: Path) -> None:
        _, rows = real(data_root, tmp_path, DOLLAR_TREE)
        times = pl.Series([datetime(2024, month, 7, tzinfo=UTC) for month in (3, 4, 6)], dtype=TIME)
        found = store_weights(rows, times).unique("decision_time").sort("decision_time")
        assert found.select(pl.col("decision_time").dt.month(), "total").rows() == [(4, 8159), (6, 8352)]
