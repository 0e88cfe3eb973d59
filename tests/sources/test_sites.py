"""Sites as of a time: what snapshots tell, whose the sites were, and when each fact was known."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_rows import DAYS, FACTS, SCHEMA, as_dict, day, listing, row, slow_sites_at, table, told

from gpu_kernels.errors import ArgumentError, DataError
from sources.site_options import TickerDays
from sources.sites import by_ticker, sites_at, snapshot_changes
from sources.sites.changes import changes
from sources.sites.coordinates import coordinate_problems
from sources.sites.days import read_days


class TestSitesAt:
    def test_a_closing_is_known_when_it_is_known(self) -> None:
        rows = table(row("1", 0, 1), row("1", 0, 9, ends=5))
        assert [sites_at(rows, day(at)).height for at in (0.5, 1, 5, 8.9, 9)] == [0, 1, 1, 1, 0]

    def test_an_announced_opening_waits_for_its_day(self) -> None:
        rows = table(row("1", 10, 2))
        assert [sites_at(rows, day(at)).height for at in (2, 9.9, 10)] == [0, 0, 1]

    def test_the_end_is_the_first_moment_without_it(self) -> None:
        rows = table(row("1", 0, 0, ends=5))
        assert [sites_at(rows, day(at)).height for at in (4.999, 5)] == [1, 0]

    @settings(max_examples=150, deadline=None)
    @given(st.lists(FACTS, max_size=12), DAYS)
    def test_equals_the_slow_answer(self, drawn: list[dict[str, Any]], at: int) -> None:
        rows = table(*drawn)
        assert as_dict(sites_at(rows, day(at))) == slow_sites_at(rows, day(at))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(FACTS, max_size=12), DAYS)
    def test_rows_known_later_change_nothing(self, drawn: list[dict[str, Any]], at: int) -> None:
        rows = table(*drawn)
        cut = rows.filter(pl.col("known_time") <= day(at))
        assert sites_at(cut, day(at)).equals(sites_at(rows, day(at)))

    def test_a_time_without_zone_is_refused(self) -> None:
        with pytest.raises(ArgumentError, match="time zone"):
            sites_at(table(), datetime(2020, 1, 1))


class TestSnapshotChanges:
    def test_openings_and_closings_are_known_at_the_second_snapshot(self) -> None:
        rows = snapshot_changes(listing(10, {"a": {}, "b": {}}), listing(20, {"b": {}, "c": {}}))
        assert told(rows) == [("a", 10, 10, None), ("b", 10, 10, None), ("a", 10, 20, 20), ("c", 20, 20, None)]
        at = {number: set(sites_at(rows, day(number))["site"]) for number in (9, 10, 15, 19.9, 20)}
        assert at == {9: set(), 10: {"a", "b"}, 15: {"a", "b"}, 19.9: {"a", "b"}, 20: {"b", "c"}}

    def test_a_stated_opening_is_valid_before_it_is_known(self) -> None:
        rows = snapshot_changes(listing(10, {"a": {}}), listing(20, {"a": {}, "c": {"opened": 12}}))
        assert told(rows)[-1] == ("c", 12, 20, None)
        assert sites_at(rows, day(19))["site"].to_list() == ["a"]

    def test_a_move_is_a_vintage_and_a_small_one_is_none(self) -> None:
        first = listing(10, {"a": {}, "b": {}, "c": {}})
        later = listing(20, {"a": {"latitude": 30.0011}, "b": {"longitude": -90.0009}, "c": {"longitude": -89.9}})
        found = changes(first, later)
        assert found.counts["moved"] == 2
        assert told(found.rows)[3:] == [("a", 10, 20, None), ("c", 10, 20, None)]
        assert sites_at(found.rows, day(20))["latitude"].to_list() == [30.0011, 30.0, 30.0]

    def test_a_slow_drift_is_a_move_in_the_end(self) -> None:
        places = [30.0, 30.0006, 30.0012]
        lists = [listing(10 * (n + 1), {"a": {"latitude": place}}) for n, place in enumerate(places)]
        assert told(snapshot_changes(*lists)) == [("a", 10, 10, None), ("a", 10, 30, None)]

    def test_an_id_that_comes_back_is_open_anew(self) -> None:
        with_a, without = {"a": {}, "b": {}}, {"b": {}}
        rows = snapshot_changes(listing(10, with_a), listing(20, without), listing(30, with_a), listing(40, with_a))
        assert told(rows.filter(pl.col("site") == "a")) == [("a", 10, 10, None), ("a", 10, 20, 20), ("a", 30, 30, None)]

    def test_an_id_that_comes_back_with_its_old_opening_was_closed_meanwhile(self) -> None:
        with_a: dict[str, dict[str, Any]] = {"a": {"opened": 3}, "b": {}}
        rows = snapshot_changes(listing(10, with_a), listing(20, {"b": {}}), listing(30, with_a), listing(40, with_a))
        assert told(rows.filter(pl.col("site") == "a")) == [("a", 3, 10, None), ("a", 3, 20, 20), ("a", 30, 30, None)]

    def test_another_opening_day_withdraws_the_first(self) -> None:
        rows = snapshot_changes(listing(10, {"a": {"opened": 3}}), listing(20, {"a": {"opened": 5}}))
        assert told(rows) == [("a", 3, 10, None), ("a", 3, 20, 3), ("a", 5, 20, None)]
        assert sites_at(rows, day(25))["event_time"].to_list() == [day(5)]

    def test_another_region_is_a_vintage(self) -> None:
        found = changes(listing(10, {"a": {"region": None}}), listing(20, {"a": {}}))
        assert (found.counts["corrected"], found.counts["moved"]) == (1, 0)
        assert sites_at(found.rows, day(20))["region"].to_list() == ["US-TX"]

    @settings(max_examples=120, deadline=None)
    @given(st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=1, max_size=6), st.booleans())
    def test_at_each_snapshot_the_sites_are_those_of_the_list(self, lists: list[set[str]], stated: bool) -> None:
        told_opening = {"opened": 1} if stated else {}
        snapshots = [
            listing(10 * (n + 1), {site: told_opening for site in sorted(found)}) for n, found in enumerate(lists)
        ]
        rows = snapshot_changes(*snapshots)
        for number, found in enumerate(lists):
            for at in (10 * (number + 1), 10 * (number + 1) + 9.9):
                assert set(sites_at(rows, day(at))["site"]) == found
        # a prefix of the snapshots gives a prefix of what is known
        cut = snapshot_changes(*snapshots[:-1]) if len(snapshots) > 1 else rows.clear()
        assert told(cut) == told(rows.filter(pl.col("known_time") < day(10 * len(lists))))

    def test_a_truncated_list_is_refused(self) -> None:
        many = listing(10, {str(number): {} for number in range(10)})
        with pytest.raises(DataError, match=r"lacks 7 of the 10 sites.*most_closed"):
            snapshot_changes(many, listing(20, {str(number): {} for number in range(3)}), most_closed=0.5)

    @pytest.mark.parametrize(
        ("lists", "words"),
        [
            ((listing(20, {"a": {}}), listing(10, {"a": {}})), "in order"),
            ((listing(10, {"a": {}}), listing(10, {"a": {}})), "in order"),
            ((table(row("a", 1, 1), row("a", 2, 1)),), "holds 1 sites twice"),
            ((table(row("a", 1, 1), row("b", 2, 2)),), "2 known times"),
            ((table(),), "0 known times"),
            ((listing(10, {"a": {}}).drop("region"),), "without the column 'region'"),
        ],
    )
    def test_wrong_snapshots_are_one_line(self, lists: tuple[pl.DataFrame, ...], words: str) -> None:
        with pytest.raises(ArgumentError, match=words):
            snapshot_changes(*lists)


def ticker(entity: str, first: int | None, last: int | None) -> TickerDays:
    """`last` is the last whole day."""
    return TickerDays(
        entity=entity,
        first=None if first is None else day(first).date(),
        last=None if last is None else day(last).date(),
    )


@st.composite
def stays(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Sites of a brand that open and close again and again; everything is told in its order, now and then late."""
    rows = []
    for site in draw(st.sets(st.sampled_from("ab"), min_size=1)):
        changes = sorted(draw(st.sets(DAYS, min_size=1, max_size=5)))
        known = sorted(draw(st.lists(DAYS, min_size=len(changes), max_size=len(changes), unique=True)))
        for number, (at, told_at) in enumerate(zip(changes, known, strict=True)):
            opened = changes[number - number % 2]
            ends = at if number % 2 else None
            rows.append(row(site, opened, told_at, ends, entity="brand", region=f"US-{number}"))
    return draw(st.permutations(rows))


class TestTickers:
    RENAMED = (ticker("FB", None, 9), ticker("META", 10, None))

    def test_a_rename_ends_one_ticker_and_begins_the_other(self) -> None:
        rows = by_ticker(table(row("1", 2, 3)), self.RENAMED, "UTC")
        assert rows.sort("known_time", "entity").select("entity", "event_time", "known_time", "valid_to").rows() == [
            ("FB", day(2), day(3), None),
            ("FB", day(2), day(10), day(10)),
            ("META", day(10), day(10), None),
        ]
        assert [sites_at(rows, day(at))["entity"].to_list() for at in (3, 9.99, 10, 50)] == [
            ["FB"],
            ["FB"],
            ["META"],
            ["META"],
        ]

    def test_what_is_told_after_a_rename_is_filed_under_both(self) -> None:
        rows = by_ticker(table(row("1", 2, 20)), self.RENAMED, "UTC")
        assert rows.sort("entity").select("entity", "event_time", "known_time", "valid_to").rows() == [
            ("FB", day(2), day(20), day(10)),
            ("META", day(10), day(20), None),
        ]

    def test_a_delisted_ticker_keeps_its_history(self) -> None:
        rows = by_ticker(table(row("1", 2, 3)), (ticker("SHLD", None, 9),), "UTC")
        assert [sites_at(rows, day(at))["entity"].to_list() for at in (3, 9.9, 10)] == [["SHLD"], ["SHLD"], []]

    def test_a_site_that_closed_before_the_ticker_has_no_row_of_it(self) -> None:
        rows = by_ticker(table(row("1", 2, 3), row("1", 2, 6, ends=5)), self.RENAMED, "UTC")
        assert rows["entity"].unique().to_list() == ["FB"]

    def test_an_old_closing_told_after_a_rename_closes_no_later_stay(self) -> None:
        rows = by_ticker(table(row("1", 1, 1), row("1", 5, 6), row("1", 1, 12, ends=3)), self.RENAMED, "UTC")
        assert [sites_at(rows, day(at)).select("entity", "site").rows() for at in (9, 11, 13)] == [
            [("FB", "1")],
            [("META", "1")],
            [("META", "1")],
        ]

    def test_days_are_of_the_time_zone(self) -> None:
        rows = by_ticker(table(row("1", 2, 3)), self.RENAMED, "America/New_York")
        assert rows.filter(pl.col("entity") == "META")["event_time"].item() == datetime(2020, 1, 11, 5, tzinfo=UTC)

    @settings(max_examples=200, deadline=None)
    @given(
        stays(),
        st.sampled_from([(None, 4, 5, None), (2, 4, 7, 9), (None, 20, 21, None), (6, 7, 8, None)]),
        DAYS,
        st.booleans(),
    )
    def test_the_sites_at_a_time_are_the_brands_under_the_ticker_of_the_day(
        self, drawn: list[dict[str, Any]], spans: tuple[Any, ...], at: int, noon: bool
    ) -> None:
        rows, time = table(*drawn), day(at + 0.5 * noon)
        old, new = ticker("OLD", *spans[:2]), ticker("NEW", *spans[2:])
        owner = [one.entity for one in (old, new) if (one.first or date.min) <= time.date() <= (one.last or date.max)]
        found = slow_sites_at(by_ticker(rows, (old, new), "UTC"), time)
        wanted = slow_sites_at(rows, time) if owner else {}
        assert {(site, one["region"]) for (_, site), one in found.items()} == {
            (site, one["region"]) for (_, site), one in wanted.items()
        }
        assert {entity for entity, _ in found} <= set(owner)

    @settings(max_examples=100, deadline=None)
    @given(stays() | st.lists(FACTS.map(lambda one: one | {"entity": "brand"}), max_size=10), DAYS)
    def test_rows_known_later_change_nothing(self, drawn: list[dict[str, Any]], at: int) -> None:
        rows = table(*drawn)
        known = pl.col("known_time") <= day(at)
        full = by_ticker(rows, self.RENAMED, "UTC").filter(known)
        cut = by_ticker(rows.filter(known), self.RENAMED, "UTC").filter(known)
        assert cut.equals(full)


class TestDays:
    def test_spellings(self) -> None:
        text = ["Nov 23, 2010", "November 23, 2010", "23 Nov 2010", "2010-11-23", " 11/23/10 ", "", None, "soon"]
        found = read_days(pl.Series("opened", text), timezone="UTC", time_format="%m/%d/%y")
        assert found["time"].to_list() == [datetime(2010, 11, 23, tzinfo=UTC)] * 5 + [None] * 3
        assert found["problem"].to_list() == [None] * 7 + ["unparsable_time"]
        assert found["whole_day"].to_list()[:5] == [True] * 5

    @pytest.mark.parametrize(
        ("first_year", "wanted"), [(1950, [1962, 2006, 2049, 1950]), (2000, [2062, 2006, 2049, 2050])]
    )
    def test_two_digit_years_are_of_the_hundred_years(self, first_year: int, wanted: list[int]) -> None:
        text = pl.Series(["7/1/62", "1/31/06", "12/31/49", "1/1/50"])
        found = read_days(text, timezone="UTC", time_format="%m/%d/%y", first_year=first_year)
        assert found["time"].dt.year().to_list() == wanted

    def test_day_and_month_are_never_guessed(self) -> None:
        found = read_days(pl.Series(["03/04/2010"]), timezone="UTC")
        assert found["problem"].to_list() == ["unparsable_time"]


def test_coordinates() -> None:
    nan = float("nan")
    pairs = {
        (30.0, -90.0): None,
        (0.0, 0.0): "zero_coordinates",
        (None, -90.0): "missing_coordinates",
        (30.0, nan): "missing_coordinates",
        (-93.3, 44.8): "swapped_coordinates",
        (-83.0, 42.3): None,  # Detroit, swapped, is a place in the Antarctic Ocean
        (91.0, 200.0): "coordinates_out_of_range",
        (float("inf"), 0.0): "coordinates_out_of_range",
    }
    lat, lon = (pl.Series(values, dtype=pl.Float64) for values in zip(*pairs, strict=True))
    assert coordinate_problems(lat, lon).to_list() == list(pairs.values())
    mainland = (-125.0, 24.0, -66.0, 50.0)
    assert coordinate_problems(lat, lon, mainland).to_list()[5] == "swapped_coordinates"
    assert coordinate_problems(pl.Series([51.5]), pl.Series([0.1]), mainland).to_list() == ["outside_bounds"]


def test_schema_of_rows_is_the_tables() -> None:
    rows = by_ticker(snapshot_changes(listing(1, {"a": {}})), TestTickers.RENAMED, "UTC")
    assert dict(rows.schema) == SCHEMA
