"""When news was known: three clocks of which any may be missing, days without a time, and stamps that cannot be."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gpu_kernels.errors import ConfigError, DataError, QuarantineError
from sources.config import NewsFile, parse_source
from sources.describe import describe
from sources.files import InputFile
from sources.lake import IngestResult, ingest, read
from sources.readers.news_clocks import NO_RECEIPT, OUT_OF_ORDER, UNDATED, news_clocks
from sources.readers.news_file import read as read_news

NEWS = {"kind": "news_file", "files": "n.csv", "timezone": "UTC", "max_age": "3d", "delay": "5s"}
RECEIVED = {**NEWS, "delay": None, "columns": {"received": "received"}}


def at(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[misc, arg-type]


def clocks(entry: dict[str, Any], now: datetime | None = None, **cells: str | None) -> tuple[Any, Any, str | None]:
    """event_time, known_time and problem of one item whose clocks are `cells`."""
    source = parse_source("mine", entry)
    assert isinstance(source, NewsFile)
    frame = pl.DataFrame({name: [cell] for name, cell in cells.items()}, schema=dict.fromkeys(cells, pl.String))
    found = news_clocks(frame, {name: name for name in cells}, source, "XNYS", Path("n.csv"), now)
    return found.rows.row(0)


class TestLatestClock:
    """known_time is the latest clock that a row has, plus the delay; event_time the first that it has."""

    EVENT, PUBLISHED, RECEIVED = "2015-01-02T15:00:00Z", "2015-01-02T15:00:30Z", "2015-01-02T15:02:00Z"

    def test_of_three(self) -> None:
        found = clocks(NEWS, event_time=self.EVENT, published=self.PUBLISHED, received=self.RECEIVED)
        assert found == (at(2015, 1, 2, 15), at(2015, 1, 2, 15, 2, 5), None)

    @pytest.mark.parametrize("blank", [None, "", "  "])
    def test_a_blank_cell_falls_back(self, blank: str | None) -> None:
        found = clocks(NEWS, event_time=self.EVENT, published=self.PUBLISHED, received=blank)
        assert found == (at(2015, 1, 2, 15), at(2015, 1, 2, 15, 0, 35), None)
        found = clocks(NEWS, event_time=blank, published=blank, received=self.RECEIVED)
        assert found == (at(2015, 1, 2, 15, 2), at(2015, 1, 2, 15, 2, 5), None)

    def test_published_alone(self) -> None:
        assert clocks(NEWS, published=self.PUBLISHED)[:2] == (at(2015, 1, 2, 15, 0, 30), at(2015, 1, 2, 15, 0, 35))

    def test_without_a_delay_a_row_needs_its_receipt(self) -> None:
        assert clocks(RECEIVED, published=self.PUBLISHED, received=self.RECEIVED)[1:] == (at(2015, 1, 2, 15, 2), None)
        assert clocks(RECEIVED, published=self.PUBLISHED, received=None)[2] == NO_RECEIPT

    def test_a_clock_that_cannot_be_read_is_not_passed_over(self) -> None:
        found = clocks(NEWS, event_time=self.EVENT, published="soon", received=self.RECEIVED)
        assert found[2] == "unparsable_time"

    def test_no_clock(self) -> None:
        assert clocks(NEWS, event_time=None, published="", received=None)[2] == UNDATED
        with pytest.raises(DataError, match=r"has no clock; its columns are: text; allowed: one or more of event_time"):
            news_clocks(pl.DataFrame({"text": ["x"]}), {}, parse_source("n", NEWS), "XNYS", Path("n.csv"))  # type: ignore[arg-type]


class TestImpossible:
    def test_received_before_it_was_published(self) -> None:
        assert clocks(NEWS, published="2015-01-02T15:02:00Z", received="2015-01-02T15:00:59Z")[2] == OUT_OF_ORDER
        # two clocks that nobody set alike: the later one counts
        found = clocks(NEWS, published="2015-01-02T15:02:00Z", received="2015-01-02T15:01:00Z")
        assert found[1:] == (at(2015, 1, 2, 15, 2, 5), None)
        wide = {**NEWS, "clock_tolerance": "2min"}
        assert clocks(wide, published="2015-01-02T15:02:00Z", received="2015-01-02T15:00:59Z")[2] is None

    def test_about_something_after_its_receipt(self) -> None:
        assert clocks(NEWS, event_time="2015-01-03T15:00:00Z", received="2015-01-02T15:00:00Z")[2] == OUT_OF_ORDER

    def test_a_day_is_as_early_and_as_late_as_it_can_be(self) -> None:
        assert clocks(NEWS, published="2015-01-02", received="2015-01-02T00:00:00Z")[2] is None
        assert clocks(NEWS, published="2015-01-02T23:59:00Z", received="2015-01-02")[2] is None
        assert clocks(NEWS, published="2015-01-02", received="2015-01-01T23:58:00Z")[2] == OUT_OF_ORDER

    def test_stamped_ahead_of_the_present(self) -> None:
        now = at(2015, 1, 2, 15)
        assert clocks(NEWS, now, published="2015-01-03T15:00:01Z")[2] == "stamp_in_future"
        assert clocks(NEWS, now, published="2015-01-03T15:00:00Z")[2] is None


class TestDayOnly:
    """2015-01-02 is a Friday; New York is five hours behind UTC."""

    DAY = "2015-01-02"

    @pytest.mark.parametrize(
        ("date_only", "known"),
        [
            ("end_of_day", at(2015, 1, 3, 5, 0, 5)),
            ("next_open", at(2015, 1, 5, 14, 30, 5)),
            ("14:15", at(2015, 1, 2, 19, 15, 5)),
        ],
    )
    def test_rule(self, date_only: str, known: datetime) -> None:
        entry = {**NEWS, "timezone": "America/New_York", "date_only": date_only}
        assert clocks(entry, event_time=self.DAY) == (at(2015, 1, 2, 5), known, None)

    def test_default_is_the_end_of_the_day(self) -> None:
        assert clocks({**NEWS, "timezone": "Asia/Tokyo"}, published=self.DAY)[1] == at(2015, 1, 2, 15, 0, 5)

    def test_next_open_skips_a_holiday(self) -> None:
        entry = {**NEWS, "timezone": "America/New_York", "date_only": "next_open"}
        assert clocks(entry, published="2015-07-02")[1] == at(2015, 7, 6, 13, 30, 5)

    def test_a_later_clock_with_a_time_tells(self) -> None:
        found = clocks(NEWS, published=self.DAY, received="2015-01-02T15:00:00Z")
        assert found[1] == at(2015, 1, 2, 15, 0, 5)

    def test_an_earlier_clock_with_a_time_does_not(self) -> None:
        found = clocks(NEWS, event_time="2015-01-02T09:00:00Z", published=self.DAY)
        assert found[1] == at(2015, 1, 3, 0, 0, 5)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**NEWS, "delay": None}, "no known_time: give columns.received, or delay"),
        ({**NEWS, "columns": {"known_time": "t"}}, "the clocks of news are event_time, published and received"),
        ({**NEWS, "date_only": 840}, 'in quotes such as "14:00"'),
        ({**NEWS, "date_only": "24:00"}, "is not end_of_day, next_open, or a time of day"),
    ],
)
def test_config_mistakes(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_source("mine", entry)
    assert words in str(error.value)


def ingested(folder: Path, items: list[dict[str, Any]], **options: Any) -> IngestResult:
    path = folder / "n.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    window = {name: options.pop(name) for name in ("entities",) if name in options}
    entry = {**NEWS, "files": str(path), "quarantine_limit": 1, **options}
    return ingest("n", parse_source("n", entry), calendar="XNYS", lake=folder / "lake", **window)


class TestInTheLake:
    def test_late_revised_duplicated_and_undated(self, tmp_path: Path) -> None:
        first = {"item": "1", "entity": "A", "published": "2015-01-02T15:00:00Z", "received": "2015-01-02T15:00:01Z"}
        items = [
            {**first, "text": "A buys B"},
            # late: three days after its publication
            {**first, "item": "2", "received": "2015-01-05T15:00:00Z", "text": "A opened a shop"},
            # revised: the same item with another text, later
            {**first, "received": "2015-01-02T15:10:00Z", "text": "Correction: A does not buy B"},
            # duplicated: the very same row again, and another text for the same moment
            {**first, "text": "A buys B"},
            {**first, "text": "A sells B"},
            # undated
            {**first, "published": None, "received": None, "text": "A dreams"},
        ]
        result = ingested(tmp_path, items)
        rows = read(result.folder)
        assert rows.select("item", "text").rows() == [
            ("1", "A buys B"),
            ("1", "Correction: A does not buy B"),
            ("2", "A opened a shop"),
        ]
        assert rows["known_time"].to_list() == [
            at(2015, 1, 2, 15, 0, 6),
            at(2015, 1, 2, 15, 10, 5),
            at(2015, 1, 5, 15, 0, 5),
        ]
        assert result.counts["quarantined"] == {"conflicting_duplicate": 1, "exact_duplicate": 1, UNDATED: 1}
        bad = pl.read_parquet(result.quarantine)
        assert bad.sort("line").select("line", "reason").rows() == [
            (4, "exact_duplicate"),
            (5, "conflicting_duplicate"),
            (6, UNDATED),
        ]

    @pytest.mark.parametrize(
        "later",
        [
            {"item": "9"},
            {"entity": ["C", "D E"]},
            {"text": ["z"]},
            {"published": ["2015-01-05T15:00:00Z"]},
            {"item": ["9", "8"], "received": [], "text": 7},
        ],
    )
    def test_what_a_later_row_holds_changes_no_earlier_one(self, tmp_path: Path, later: dict[str, Any]) -> None:
        first = {"entity": "A, B", "published": "2015-01-02T15:00:00Z", "text": "x"}
        rows = read(ingested(tmp_path, [first]).folder)
        assert rows["entity"].to_list() == ["A", "B"]
        both = read(
            ingested(tmp_path, [first, {**first, "published": "2015-01-05T15:00:00Z", "text": "y", **later}]).folder
        )
        moment = pl.col("known_time") < at(2015, 1, 5)
        assert both.filter(moment).sort("entity").equals(rows)
        assert both.height > rows.height

    def test_an_item_without_an_identifier_among_others(self, tmp_path: Path) -> None:
        first = {"entity": "A", "published": "2015-01-02T15:00:00Z", "text": "x"}
        items = [{**first, "item": item} for item in (None, "1", " ", "2")]
        result = ingested(tmp_path, items)
        assert result.counts["quarantined"] == {"exact_duplicate": 1}
        assert set(read(result.folder)["item"]) > {"1", "2"}

    def test_rows_without_a_receipt_are_told(self, tmp_path: Path) -> None:
        item = {"entity": "A", "published": "2015-01-02T15:00:00Z", "received": None, "text": "x"}
        result = ingested(tmp_path, [item, {**item, "received": "2015-01-02T15:00:09Z", "text": "y"}])
        assert result.warnings == [
            "source n: 1 items have no time of receipt: they count as known `delay` after the latest other clock"
        ]

    def test_a_file_whose_clocks_are_all_blank_is_refused(self, tmp_path: Path) -> None:
        items = [{"entity": "A", "published": None, "text": text} for text in "xy"]
        with pytest.raises(DataError, match="none of its 2 rows has a clock"):
            ingested(tmp_path, items)
        with pytest.raises(QuarantineError, match="undated 1"):
            ingested(tmp_path, [*items[:1], {**items[1], "published": "2015-01-02"}], quarantine_limit=0.1)

    def test_news_of_a_market_reaches_entities_that_it_does_not_name(self, tmp_path: Path) -> None:
        items = [{"published": "2015-01-02T15:00:00Z", "text": "rates"}]
        result = ingested(tmp_path, items, entity="US", entities=["A"])
        assert read(result.folder)["entity"].to_list() == ["US"]
        assert not result.warnings

    def test_only_the_kinds_asked_for(self, tmp_path: Path) -> None:
        items = [
            {"entity": "A", "published": "2015-01-02", "kind": kind, "text": kind} for kind in ("note", "statement")
        ]
        result = ingested(tmp_path, items, only={"kind": ["statement"]})
        assert read(result.folder)["text"].to_list() == ["statement"]
        assert result.counts["ignored"] == {"other_kind": 1}
        with pytest.raises(
            DataError, match="no column 'sort' of `only`; its columns are: entity, published, kind, text"
        ):
            ingested(tmp_path, items, only={"sort": ["statement"]})


def test_fomc_statements_are_known_when_they_are_released(data_root: Path) -> None:
    entry = {
        **{"kind": "news_file", "files": "x", "timezone": "America/New_York", "entity": "US", "max_age": "90d"},
        **{"columns": {"published": "date"}, "date_only": "14:00", "delay": "0s", "only": {"kind": ["statement"]}},
    }
    source = parse_source("fomc", entry)
    assert isinstance(source, NewsFile)
    file = InputFile(data_root / "news" / "fomc" / "fomc_statements.jsonl", "US")
    rows = pl.concat(batch.rows for batch in read_news(source, file, 0, "XNYS"))
    assert rows.height == 160
    assert rows["problem"].null_count() == 160
    # 14:00 in New York, in winter and in summer
    assert set(rows["known_time"].dt.strftime("%H:%M")) == {"19:00", "18:00"}


def guessed(tmp_path: Path, header: str, row: str) -> dict[str, Any]:
    path = tmp_path / "n.csv"
    text = "a headline of some length about the company"
    path.write_text("\n".join([f"{header},ticker,headline", *[f"{row},A,{text} {n}" for n in range(3)], ""]))
    found: dict[str, Any] = describe(path)
    return found


class TestGuess:
    def test_published_and_received(self, tmp_path: Path) -> None:
        found = guessed(tmp_path, "published_at,received", "2015-01-02T15:00:00Z,2015-01-02T15:00:04Z")
        text = found["source"]["yaml"]
        assert "published: published_at" in text
        assert "received: received" in text
        assert "delay" not in text

    def test_three(self, tmp_path: Path) -> None:
        row = "2015-01-02T14:00:00Z,2015-01-02T15:00:00Z,2015-01-02T15:00:04Z"
        text = guessed(tmp_path, "created_at,pub_date,crawled_at", row)["source"]["yaml"]
        for line in ("event_time: created_at", "published: pub_date", "received: crawled_at"):
            assert line in text

    def test_days(self, tmp_path: Path) -> None:
        text = guessed(tmp_path, "date", "2015-01-02")["source"]["yaml"]
        assert "date_only: end_of_day  # check" in text
        assert "delay: 5s  # check" in text

    def test_clocks_of_different_formats(self, tmp_path: Path) -> None:
        found = guessed(tmp_path, "pub_date,crawled_at", "01/02/2015 15:00:00,2015-01-02T15:00:04Z")
        assert "pub_date" not in found["source"]["yaml"]
        assert "different formats" in found["warnings"][-1]
