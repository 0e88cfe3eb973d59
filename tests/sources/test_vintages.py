"""Vintages of metrics: views, first prints, revisions and rewritten history, by hand, by property and on real logs."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources import vintages
from sources.config import parse_source
from sources.lake import ingest, read
from sources.schema import TIME

DAY = datetime(2020, 1, 1, tzinfo=UTC)
SCHEMA = {"entity": pl.String(), "site": pl.String(), "metric": pl.String(), "event_time": TIME, "known_time": TIME}


def table(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """(event day, known day, value), or (entity, site, event day, known day, value)."""
    full = [row if len(row) == 5 else ("A", "", *row) for row in rows]
    told = [(e, s, "m", DAY + timedelta(event), DAY + timedelta(known), value) for e, s, event, known, value in full]
    return pl.DataFrame(told, schema=SCHEMA | {"value": pl.Float64()}, orient="row")


LOG = table((0, 1, 1.0), (1, 2, 5.0), (0, 3, 1.5), (1, 4, None), (0, 5, 1.25), (2, 5, 7.0), (2, 5, 8.0))


class TestByHand:
    @pytest.mark.parametrize(
        ("day", "values"),
        [
            (0, {}),
            (1, {0: 1.0}),
            (2, {0: 1.0, 1: 5.0}),
            (3, {0: 1.5, 1: 5.0}),
            (4, {0: 1.5}),
            (5, {0: 1.25, 2: 8.0}),
        ],
    )
    def test_view(self, day: int, values: dict[int, float]) -> None:
        found = vintages.view(LOG, DAY + timedelta(day))
        assert dict(found.select((pl.col("event_time") - DAY).dt.total_days(), "value").iter_rows()) == values

    def test_first_prints_and_latest(self) -> None:
        assert vintages.first_prints(LOG)["value"].to_list() == [1.0, 5.0, 7.0]
        assert vintages.latest(LOG)["value"].to_list() == [1.25, 8.0]

    def test_revisions(self) -> None:
        found = vintages.revisions(LOG)
        assert found.select("first", "last", "revision", "vintages", "days_to_settle").rows() == [
            (1.0, 1.25, 0.25, 3, 4.0),
            (7.0, 8.0, 1.0, 2, 0.0),
        ]
        # with this tolerance all vintages of the first event agree
        assert vintages.revisions(LOG, tolerance=0.25)["days_to_settle"].to_list() == [0.0, 0.0]

    def test_a_value_that_comes_back_settles_when_it_does(self) -> None:
        log = table((0, 1, 1.0), (0, 2, 2.0), (0, 3, 1.0), (1, 1, 1.0), (1, 2, None), (1, 4, 1.0))
        assert vintages.revisions(log)["days_to_settle"].to_list() == [2.0, 3.0]

    def test_summary(self) -> None:
        log = pl.concat([LOG, table(("B", "", 0, 1, None))])
        found = vintages.summary(log)
        told = ("entity", "facts", "vintages", "revised", "mean_size", "days_to_settle")
        assert found.select(told).rows() == [("A", 2, 5, 1.0, 0.625, 2.0), ("B", 0, 1, None, None, None)]
        assert found["last_known"].to_list() == [DAY + timedelta(5), DAY + timedelta(1)]

    def test_what_was_still_to_come_by_age(self) -> None:
        found = vintages.revision_by_age(LOG, [timedelta(0), timedelta(1), timedelta(2), timedelta(4), timedelta(5)])
        days = (pl.col("event_time") - DAY).dt.total_days(), pl.col("age").dt.total_days()
        assert found.select(*days, "away").rows() == [
            *((0, 0, -0.25), (0, 1, -0.25), (0, 2, 0.25), (0, 4, 0.0)),  # its fifth day is after the log's end
            (2, 0, 0.0),
        ]

    def test_sites_and_entities_are_apart(self) -> None:
        log = table(("A", "", 0, 1, 1.0), ("A", "s", 0, 2, 2.0), ("B", "", 0, 3, 3.0))
        assert vintages.latest(log)["value"].to_list() == [1.0, 2.0, 3.0]

    def test_no_rows(self) -> None:
        for found in (
            vintages.latest(LOG.clear()),
            vintages.first_prints(LOG.clear()),
            vintages.revisions(LOG.clear()),
        ):
            assert found.is_empty()


class TestRewrittenHistory:
    def test_an_appended_log_rewrites_nothing(self) -> None:
        assert vintages.rewritten(LOG.head(4), LOG).is_empty()

    def test_what_is_gone_changed_and_inserted(self) -> None:
        later = table(
            (0, 1, 1.0), (0, 3, 1.75), (1, 3, 9.0), (1, 4, None), (0, 5, 1.25), (2, 5, 7.0), (2, 5, 8.0), (3, 6, 1.0)
        )
        found = vintages.rewritten(LOG, later)
        told = found.select((pl.col("event_time") - DAY).dt.total_days(), "what", "before", "after").rows()
        assert told == [
            (0, "changed", [1.5], [1.75]),
            (1, "gone", [5.0], None),
            (1, "inserted", None, [9.0]),
        ]

    def test_a_withdrawal_that_is_taken_back(self) -> None:
        later = table((0, 1, 1.0), (1, 2, 5.0), (0, 3, 1.5), (1, 4, 4.0))
        assert vintages.rewritten(LOG.head(4), later)["what"].to_list() == ["changed"]

    def test_a_new_series_rewrites_nothing(self) -> None:
        assert vintages.rewritten(LOG, pl.concat([LOG, table(("B", "", 0, 0, 1.0))])).is_empty()


rows_drawn = st.lists(
    st.tuples(
        st.sampled_from(["A", "B"]),
        st.sampled_from(["", "s"]),
        st.integers(0, 4),
        st.integers(0, 9),
        st.one_of(st.none(), st.floats(-2, 2)),
    ),
    max_size=14,
)


@settings(deadline=None)
@given(rows_drawn, st.integers(0, 9), st.randoms(use_true_random=False))
def test_rows_known_later_change_no_view_in_whatever_order_they_come(rows: list[Any], day: int, random: Any) -> None:
    known = [row for row in rows if row[3] <= day]
    later = [row for row in rows if row[3] > day]
    at = DAY + timedelta(day)
    wanted = vintages.view(table(*known), at)
    # rows of one fact and known_time are vintages in the order of the file; all else may come in any order
    mixed = list(later)
    for row in known:
        mixed.insert(random.randint(0, len(mixed)), row)
    kept = [row for row in mixed if row[3] <= day]
    if kept == known or not _tied(known):
        assert vintages.view(table(*mixed), at).equals(wanted)
    assert vintages.view(table(*known, *later), at).equals(wanted)
    assert vintages.view(table(*later, *known), at).equals(wanted)


def _tied(rows: list[Any]) -> bool:
    facts = [row[:4] for row in rows]
    return len(set(facts)) < len(facts)


class TestReingest:
    ENTRY: ClassVar[dict[str, Any]] = {"kind": "table_file", "table": "metric", "timezone": "UTC", "max_age": "1d"}

    def ingest(self, tmp_path: Path, *lines: str, **options: Any) -> list[str]:
        path = tmp_path / "log.csv"
        path.write_text("entity,metric,event_time,known_time,value\n" + "".join(f"{line}\n" for line in lines))
        entry = self.ENTRY | {"files": str(path)} | options
        return ingest("log", parse_source("log", entry), calendar="XNYS", lake=tmp_path / "lake").warnings

    FIRST = ("A,m,2020-01-01,2020-01-02,1", "A,m,2020-01-02,2020-01-03,2")

    def test_a_delivery_that_appends_says_nothing(self, tmp_path: Path) -> None:
        assert self.ingest(tmp_path, *self.FIRST) == []
        assert self.ingest(tmp_path, *self.FIRST, "A,m,2020-01-01,2020-01-04,3") == []

    @pytest.mark.parametrize(
        ("lines", "words"),
        [
            (FIRST[:1], "1 rows are gone"),
            ((FIRST[0], "A,m,2020-01-02,2020-01-03,2.5"), "1 have other values"),
            ((*FIRST, "A,m,2020-01-02,2020-01-02T12:00:00Z,9"), "1 are new though known before the last"),
        ],
    )
    def test_a_delivery_that_rewrites_history_is_told(self, tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
        self.ingest(tmp_path, *self.FIRST)
        (said,) = self.ingest(tmp_path, *lines)
        assert "history was rewritten" in said
        assert words in said
        # told again where the folder is found made
        assert self.ingest(tmp_path, *lines) == [said]

    def test_the_last_delivery_is_the_one_that_counts(self, tmp_path: Path) -> None:
        self.ingest(tmp_path, *self.FIRST)
        assert len(self.ingest(tmp_path, *self.FIRST[:1])) == 1
        assert self.ingest(tmp_path, *self.FIRST[:1], "A,m,2020-01-02,2020-01-05,4") == []

    def test_with_other_settings_nothing_is_compared(self, tmp_path: Path) -> None:
        self.ingest(tmp_path, *self.FIRST)
        assert self.ingest(tmp_path, self.FIRST[0], timezone="America/New_York") == []


SPEND = "oi_affinity_national_spend_all_vintages.csv.gz"
MOBILITY = "oi_gps_retail_national_vintages.csv.gz"


def replayed(path: Path) -> Iterator[tuple[datetime, dict[str, float], dict[str, float]]]:
    """(time, the series as then published, the first prints so far) after each commit of a log, in plain Python."""
    commits: dict[str, list[tuple[str, float]]] = defaultdict(list)
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(lines):
            commits[row["available_time"]].append((row["event_date"], float(row["value"])))
    published: dict[str, float] = {}
    first: dict[str, float] = {}
    for when in sorted(commits, key=datetime.fromisoformat):
        for event, value in commits[when]:
            published[event] = value
            first.setdefault(event, value)
        yield datetime.fromisoformat(when), dict(published), dict(first)


def series(rows: pl.DataFrame) -> dict[str, float]:
    return dict(rows.select(pl.col("event_time").dt.strftime("%Y-%m-%d"), "value").iter_rows())


@pytest.mark.data
@pytest.mark.parametrize(("file", "commits", "revised"), [(SPEND, 150, 149), (MOBILITY, 255, 250)])
def test_every_published_vintage_of_a_real_log_is_the_view_of_its_time(
    data_root: Path, tmp_path: Path, file: str, commits: int, revised: int
) -> None:
    path = data_root / "alt/series" / file
    columns = {"event_time": "event_date", "known_time": "available_time", "metric": "series", "vintage": "commit"}
    entry = TestReingest.ENTRY | {"files": str(path), "columns": columns, "entity": "US"}
    rows = read(ingest("log", parse_source("log", entry), calendar="XNYS", lake=tmp_path).folder)
    states = list(replayed(path))
    assert len(states) == commits
    moment = timedelta(microseconds=1)
    before: dict[str, float] = {}
    differ = 0
    for when, published, first in states:
        # exactly, at the moment of the commit, just before it and just after it
        assert series(vintages.view(rows, when)) == published
        assert series(vintages.view(rows, when - moment)) == before
        assert series(vintages.view(rows, when + moment)) == published
        known = rows.filter(pl.col("known_time") <= when)
        assert series(vintages.first_prints(known)) == first
        differ += first != published
        before = published
    assert series(vintages.latest(rows)) == before
    # first prints and latest vintages differ after all but the first commits
    assert differ == revised
