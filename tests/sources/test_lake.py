"""Ingest into the lake and reading it back: counts, quarantine, reuse, and nothing half written."""

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from vendor_files import bars_entry, minute_rows, table_entry, thinkorswim

from gpu_kernels.errors import ConfigError, DataError, QuarantineError
from sources.config import parse_source
from sources.lake import IngestResult, batches, ingest, read
from sources.schema import TABLES

DAY = "01/02/2015"


def run(tmp_path: Path, entry: dict[str, Any], **options: Any) -> IngestResult:
    settings: dict[str, Any] = {"calendar": "XNYS", "lake": tmp_path / "lake", "variables": {"HERE": str(tmp_path)}}
    return ingest("mine", parse_source("mine", entry), **(settings | options))


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def adds_up(result: IngestResult) -> bool:
    counts = result.counts
    parts = [
        counts["used"],
        counts["duplicate_of_overlap"],
        *counts["quarantined"].values(),
        *counts["ignored"].values(),
    ]
    return sum(parts) == counts["read"]


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """Two overlapping exports of A with dirt, and one of B."""
    rows = minute_rows(DAY, "08:30", 20)
    dirty = [*rows[:10], rows[9], "01/02/2015, 08:99, 1, 1, 1, 1, 1", *rows[10:]]
    thinkorswim(tmp_path / "a-12.30.2015.csv.gz", dirty)
    thinkorswim(
        tmp_path / "a-01.15.2015.csv.gz", [*minute_rows(DAY, "08:45", 10, price=100.15), *minute_rows(DAY, "20:00", 1)]
    )
    thinkorswim(tmp_path / "b-01.15.2015.csv", minute_rows("01/05/2015", "08:30", 15))
    return tmp_path


BARS = bars_entry({"A": "${HERE}/a-*", "B": "${HERE}/b-*"})


def test_counts_rows_and_quarantine(exports: Path) -> None:
    result = run(exports, BARS)
    assert result.counts == {
        "read": 48,
        "used": 40,
        "quarantined": {"exact_duplicate": 1, "outside_session": 1, "unparsable_time": 1},
        "duplicate_of_overlap": 5,
        "ignored": {},
    }
    assert adds_up(result)
    rows = read(result.folder)
    assert rows.schema == TABLES["bar"].schema
    assert rows.group_by("entity").len().sort("entity").rows() == [("A", 25), ("B", 15)]
    assert rows.equals(rows.sort("entity", "known_time", "event_time"))
    bad = pl.read_parquet(result.quarantine)
    assert bad.columns == ["source", "table", "reason", "file", "line", "raw"]
    assert bad.filter(pl.col("reason") == "unparsable_time").select("line", "raw").row(0) == (
        13,
        "01/02/2015, 08:99, 1, 1, 1, 1, 1",
    )
    assert set(bad["source"]) == {"mine"}
    assert sorted(str(path.relative_to(result.folder)) for path in result.folder.rglob("entity=*/*")) == [
        "entity=A/year=2015.parquet",
        "entity=B/year=2015.parquet",
    ]
    assert [item["bytes"] > 0 and len(item["sha256"]) == 64 for item in result.inputs] == [True] * 3


def test_twice_gives_the_same_bytes_and_the_second_is_reused(exports: Path) -> None:
    first = run(exports, BARS)
    again = run(exports, BARS)
    assert (first.reused, again.reused) == (False, True)
    assert again.counts == first.counts
    assert again.key == first.key
    elsewhere = run(exports, BARS, lake=exports / "other")
    assert not elsewhere.reused
    assert tree(elsewhere.folder) == tree(first.folder)


def test_what_changes_the_key(exports: Path) -> None:
    key = run(exports, BARS).key
    assert run(exports, BARS, entities=["A"]).key != key
    assert run(exports, BARS, start=date(2015, 1, 5)).key != key
    assert run(exports, {**BARS, "max_jump": 0.5}).key != key
    assert run(exports, {**BARS, "max_age": "1h", "quarantine_limit": 0.9}).key == key
    thinkorswim(exports / "b-01.15.2015.csv", minute_rows("01/05/2015", "08:30", 14))
    assert run(exports, BARS).key != key


def test_other_code_makes_another_folder(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(exports, BARS)
    monkeypatch.setattr("sources.lake._code_version", lambda: "another version")
    assert run(exports, BARS).key != first.key


def test_files_of_entities_nobody_asked_for_are_not_opened(exports: Path) -> None:
    (exports / "b-01.15.2015.csv").write_bytes(b"\x00broken")
    result = run(exports, BARS, entities=["A"])
    assert [Path(item["path"]).name[0] for item in result.inputs] == ["a", "a"]
    with pytest.raises(DataError, match=r"b-01\.15\.2015\.csv"):
        run(exports, BARS)


def test_window_cuts_streams(exports: Path) -> None:
    result = run(exports, BARS, start=date(2015, 1, 5), end=date(2015, 1, 5))
    # the row of Friday night is after Friday's close: it belongs to Monday, which it is too early for
    assert result.counts["ignored"] == {"outside_window": 31}
    assert result.counts["quarantined"] == {"outside_session": 1, "unparsable_time": 1}
    assert result.counts["used"] == 15
    assert adds_up(result)
    assert [said.split(":")[1] for said in result.warnings] == [" 1 of 1 sessions of an entity end early"]
    assert run(exports, BARS, entities=["A", "B", "C"]).warnings[0] == "source mine has no usable row of C"


def test_history_before_the_window_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "entity,metric,event_time,known_time,value\nUS,m,2014-01-02,2014-01-03,1\nUS,m,2015-01-02,2015-01-03,2\n"
    )
    result = run(tmp_path, table_entry("metric", path), start=date(2015, 1, 1), end=date(2015, 1, 31), entities=["A"])
    assert read(result.folder)["value"].to_list() == [1.0, 2.0]
    cut = datetime(2014, 6, 1, tzinfo=UTC)
    assert read(result.folder, known_until=cut)["value"].to_list() == [1.0]


def test_reading_a_part(exports: Path) -> None:
    folder = run(exports, BARS).folder
    assert set(read(folder, entities=["B"])["entity"]) == {"B"}
    assert read(folder, start=date(2015, 1, 3)).height == 15
    assert read(folder, end=date(2015, 1, 3)).height == 25
    assert read(folder, entities=["nobody"]).schema == TABLES["bar"].schema
    cut = datetime(2015, 1, 2, 14, 40, 1, tzinfo=UTC)
    assert read(folder, known_until=cut).height == 10
    with pytest.raises(DataError, match="holds no finished ingest"):
        read(exports)


def test_reading_in_batches(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.runs.ROW_GROUP", 10)
    folder = run(exports, BARS).folder
    frames = list(batches(folder))
    assert [frame.height for frame in frames] == [10, 10, 5, 10, 5]
    assert pl.concat(frames).equals(read(folder))
    assert pl.concat(batches(folder, entities=["B"], start=date(2015, 1, 3))).equals(read(folder, entities=["B"]))
    assert list(batches(folder, entities=["nobody"])) == []
    with pytest.raises(DataError, match="holds no finished ingest"):
        next(batches(exports))


def test_vintages_of_one_instant_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    rows = "".join(f"US,m,2015-01-02,2015-01-03T10:00Z,{value}\n" for value in (3, 1, 2))
    path.write_text("entity,metric,event_time,known_time,value\n" + rows)
    entry = table_entry("metric", path, columns={"known_time": "known_time"})
    assert read(run(tmp_path, entry).folder)["value"].to_list() == [3.0, 1.0, 2.0]


def test_strange_entity_names(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("entity,metric,event_time,value\nBRK/B,m,2015-01-02,1\n^VIX é=..,m,2015-01-02,2\n")
    folder = run(tmp_path, table_entry("metric", path, delay="1s")).folder
    assert read(folder, entities=["BRK/B"])["value"].to_list() == [1.0]
    assert read(folder, entities=["^VIX é=.."])["value"].to_list() == [2.0]
    assert all(path.parent == folder for path in folder.rglob("entity=*.parquet"))


def test_news_lies_by_month_of_known_time(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text(
        "event_time,entity,text\n2015-01-31T23:59:58Z,A,x\n2015-01-02T10:00:00Z,A,y\n2015-01-02T10:00:00Z,B,y\n"
    )
    entry = {"kind": "news_file", "files": str(path), "timezone": "UTC", "max_age": "1d", "delay": "5s"}
    result = run(tmp_path, entry, entities=["A"])
    assert [path.stem for path in sorted(result.folder.rglob("month=*"))] == ["month=2015-01", "month=2015-02"]
    assert read(result.folder)["text"].to_list() == ["y", "x"]
    assert result.counts["ignored"] == {"other_entity": 1}


class TestLimits:
    def test_above_the_limit(self, exports: Path) -> None:
        with pytest.raises(QuarantineError) as error:
            run(exports, {**BARS, "quarantine_limit": 0.01})
        text = str(error.value)
        assert "3 of 48 rows (6.25%) were set aside: exact_duplicate 1" in text
        kept = Path(text.rsplit("see ", maxsplit=1)[1])
        assert pl.read_parquet(kept).height == 3
        # the answer is the same the second time, and a higher limit finds the work done
        with pytest.raises(QuarantineError):
            run(exports, {**BARS, "quarantine_limit": 0.01})
        assert run(exports, BARS).reused

    def test_nothing_usable(self, exports: Path) -> None:
        with pytest.raises(DataError, match="none of its 48 rows can be used"):
            run(exports, BARS, start=date(2016, 1, 4), end=date(2016, 1, 5))

    def test_header_only(self, tmp_path: Path) -> None:
        thinkorswim(tmp_path / "a.csv", [])
        with pytest.raises(DataError, match="hold no rows"):
            run(tmp_path, bars_entry({"A": "${HERE}/a.csv"}))

    def test_unset_variable(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="SIMULATED"):
            run(tmp_path, bars_entry({"A": "${SIMULATED}/a.csv"}), variables={})


def test_a_failed_ingest_leaves_nothing(exports: Path) -> None:
    whole = (exports / "a-12.30.2015.csv.gz").read_bytes()
    (exports / "a-12.30.2015.csv.gz").write_bytes(whole[:-10])
    with pytest.raises(DataError, match="truncated or damaged"):
        run(exports, BARS)
    assert not any((exports / "lake").rglob("*.*"))


def test_an_unfinished_folder_is_not_used(exports: Path) -> None:
    result = run(exports, BARS)
    before = tree(result.folder)
    (result.folder / "ingest.json").unlink()
    with pytest.raises(DataError, match="no finished ingest"):
        read(result.folder)
    again = run(exports, BARS)
    assert not again.reused
    assert tree(again.folder) == before


def test_conflicting_parquet_rows_show_their_cells(tmp_path: Path) -> None:
    when = datetime(2015, 1, 2, 15, tzinfo=UTC)
    frame = pl.DataFrame({"entity": "A", "metric": "m", "event_time": [when] * 2, "value": [1.0, float("nan")]})
    frame.write_parquet(tmp_path / "m.parquet")
    bad = pl.read_parquet(run(tmp_path, table_entry("metric", tmp_path / "m.parquet", delay="1s")).quarantine)
    assert bad.select("reason", "line").row(0) == ("not_finite", 2)
    assert json.loads(bad["raw"][0])["entity"] == "A"


def test_calendar_kind_without_events_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("event_time,name\n2015-01-09 13:30:00,Jobs\n")
    entry = {"kind": "calendar_file", "files": "${HERE}/c.csv", "timezone": "UTC", "entity": "US", "announced": "7d"}
    result = run(tmp_path, {**entry, "kinds": {"nfp": ["Jobs"], "cpi": ["CPI"]}})
    assert result.warnings == ["source mine has no event of kind cpi"]


def test_progress_is_told_in_bytes_read(exports: Path) -> None:
    told: list[tuple[str, float | None]] = []
    run(exports, BARS, progress=lambda what, share: told.append((what, share)))
    names = ("a-01.15.2015.csv.gz", "a-12.30.2015.csv.gz", "b-01.15.2015.csv")
    sizes = [(exports / name).stat().st_size for name in names]
    assert [what for what, _ in told] == [f"read {name}" for name in names for _ in range(2)]
    begins = [sum(sizes[:place]) / sum(sizes) for place in range(3)]
    assert [share for _, share in told] == [
        share for begin, end in zip(begins, [*begins[1:], 1.0], strict=True) for share in (begin, end)
    ]
