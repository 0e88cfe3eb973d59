"""Ingest entity by entity: the same lake from one process, from several, and after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_lake import BARS, adds_up, exports, run, tree
from vendor_files import table_entry

from gpu_kernels.errors import DataError
from sources.config import parse_source
from sources.files import input_files
from sources.lake import batches, ingest_all, read, size
from sources.quality import Window, check
from sources.readers import READERS
from sources.schema import TABLES

__all__ = ["exports"]
ROOT = Path(__file__).resolve().parent.parent.parent
HEAD = "entity,event_time,open,high,low,close,volume"


def bar_lines(entity: str, days: int, *, start: float = 100.0) -> list[str]:
    lines = []
    for day in range(days):
        for minute in range(31, 60):
            price = start + day + minute / 100
            time_ = f"2024-01-{2 + day:02d}T14:{minute}:00Z"
            lines.append(f"{entity},{time_},{price},{price + 0.02},{price - 0.02},{price + 0.01},{100 + minute}")
    return lines


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join([HEAD, *lines, ""]))


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Files of forty entities, each named after one."""
    for number in range(40):
        lines = bar_lines("?", 3, start=50.0 + number)
        if number % 7 == 0:
            lines[4:4] = [lines[4], "?,never,1,1,1,1,1"]
        write(tmp_path / f"bars_S{number:02d}.csv", lines)
    return tmp_path


ENTRY = {"delay": "1s", "max_age": "1h"}


def entry_of(folder: Path) -> dict[str, Any]:
    return table_entry("bar", folder / "bars_{entity}.csv", **ENTRY, quarantine_limit=0.5)


def test_processes_make_the_same_lake(many: Path) -> None:
    source = {"bars": parse_source("bars", entry_of(many))}
    told: list[float | None] = []
    options: dict[str, Any] = {"calendar": "XNYS", "progress": lambda _what, share: told.append(share)}
    one = ingest_all(source, lake=many / "one", **options)["bars"]
    count = len(told)
    two = ingest_all(source, lake=many / "two", workers=2, **options)["bars"]
    assert tree(one.folder) == tree(two.folder)
    assert one.counts == two.counts
    assert adds_up(two)
    assert two.counts["quarantined"] == {"exact_duplicate": 6, "unparsable_time": 6}
    assert sorted(path.name for path in (many / "two" / "bar").iterdir()) == [two.folder.name]
    assert read(two.folder)["entity"].n_unique() == 40
    assert told[count - 1] == told[-1] == 1.0
    assert told[count:] == sorted(told[count:])  # type: ignore[type-var]


def test_a_bad_file_stops_all_and_leaves_nothing(many: Path) -> None:
    write(many / "bars_S20.csv", [])
    (many / "bars_S20.csv").write_text("not,a,header\n1,2,3\n")
    source = {"bars": parse_source("bars", entry_of(many))}
    with pytest.raises(DataError, match=r"bars_S20\.csv has no column"):
        ingest_all(source, lake=many / "lake", calendar="XNYS", workers=2)
    assert list((many / "lake" / "bar").iterdir()) == []


def test_after_a_kill_the_rest_is_made(many: Path) -> None:
    whole = ingest_all({"bars": parse_source("bars", entry_of(many))}, lake=many / "whole", calendar="XNYS")["bars"]
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom sources.config import parse_source\n"
        "from sources.lake import ingest_all\n"
        "source = {'bars': parse_source('bars', json.loads(sys.argv[1]))}\n"
        "print(ingest_all(source, lake=Path(sys.argv[2]), calendar='XNYS', workers=2)['bars'].folder)"
    )
    command = [sys.executable, "-c", code, _json(entry_of(many)), str(many / "lake")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.PIPE) as dying:
        _until(lambda: list((many / "lake").glob("bar/.*/.parts/[0-9]*")))
        os.killpg(dying.pid, signal.SIGKILL)
    (unfinished,) = (many / "lake" / "bar").iterdir()
    made = {path: path.stat().st_mtime_ns for path in unfinished.glob(".parts/[0-9]*/entity=*/*")}
    assert 0 < len(made) < 40
    (unfinished / ".parts" / ".17.4242").mkdir()  # half written by another one that was killed
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    assert tree(folder) == tree(whole.folder)
    assert list((many / "lake" / "bar").iterdir()) == [folder]
    # what had been made was not made again
    assert {(folder / path.parent.name / path.name).stat().st_mtime_ns for path in made} == set(made.values())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{entity}.csv", {"A.csv": "A", "BRK.B.csv": "BRK.B", "[X].csv": "[X]", "a-1.csv": "a-1"}),
        ("{entity}.*", {"A.csv": "A", "BRK.B.csv": "BRK", "[X].csv": "[X]", "a-1.csv": "a-1", "A.csv.gz": "A"}),
        ("{entity}-?.csv", {"a-1.csv": "a"}),
        ("[ab]{entity}.csv", {"a-1.csv": "-1"}),
        ("**/{entity}/{entity}_*.csv", {"in/C/C_2.csv": "C"}),
    ],
)
def test_entities_in_the_names_of_files(tmp_path: Path, pattern: str, expected: dict[str, str]) -> None:
    (tmp_path / "in" / "C").mkdir(parents=True)
    (tmp_path / "in" / "D").mkdir(parents=True)
    for name in ("A.csv", "BRK.B.csv", "[X].csv", "a-1.csv", "A.csv.gz", "in/C/C_2.csv", "in/D/C_2.csv"):
        (tmp_path / name).touch()
    source = parse_source("mine", table_entry("bar", tmp_path / pattern, **ENTRY))
    found = {str(file.path.relative_to(tmp_path)): file.entity for file in input_files(source, {})}
    assert found == expected
    with pytest.raises(DataError, match="no file matches"):
        input_files(parse_source("mine", table_entry("bar", tmp_path / "in/{entity}/{entity}.csv", **ENTRY)), {})


def test_what_nobody_goes_on_with_is_removed(exports: Path) -> None:
    stale, other = exports / "lake" / "bar" / ".mine-0123456789ab", exports / "lake" / "bar" / ".mine-x-0123456789ab"
    for folder in (stale, other):
        (folder / ".parts" / "0").mkdir(parents=True)
    run(exports, BARS)
    assert not stale.exists()
    assert other.exists()


@pytest.mark.parametrize("in_memory", [10**6, 40])
def test_rows_of_several_entities_in_several_files_are_judged_entity_by_entity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr("sources.part._IN_MEMORY", in_memory * 13)
    monkeypatch.setattr("sources.runs.ROW_GROUP", 30)
    a, b, c = (bar_lines(name, 3, start=price) for name, price in (("A", 100.0), ("B", 50.0), ("C", 20.0)))
    mixed = [line for rows in zip(a, b, c, strict=True) for line in rows]
    mixed[10:10] = ["B,2024-01-02T14:33:00Z,1,2,3,4,5", ",2024-01-02T14:33:00Z,1,1,1,1,1", mixed[9]]
    write(tmp_path / "x.csv", mixed[:150])
    write(tmp_path / "y.csv", [*mixed[120:], "A,2024-01-04T14:59:30Z,300,300,300,300,1"])
    entry = table_entry("bar", tmp_path / "*.csv", **ENTRY, max_jump=0.5, quarantine_limit=0.5)
    source = parse_source("mine", entry)
    rows = pl.concat(
        batch.rows
        for index, file in enumerate(input_files(source, {}))
        for batch in READERS[source.kind](source, file, index, "XNYS")
    )
    expected = check(rows, source, Window("XNYS"))
    result = run(tmp_path, entry)
    good = expected.good.sort("entity", "known_time", "event_time", maintain_order=True)
    assert read(result.folder).equals(good.select(*TABLES["bar"].schema))
    reasons = expected.bad["reason"].value_counts()
    assert result.counts["quarantined"] == dict(reasons.sort("count", "reason", descending=[True, False]).iter_rows())
    assert {"exact_duplicate", "missing_entity", "price_jump", "high_below_low"} == set(reasons["reason"])
    assert result.counts["duplicate_of_overlap"] == expected.ignored["duplicate_of_overlap"] == 30
    assert adds_up(result)


def test_a_parquet_file_is_read_by_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x.csv", [*bar_lines("A", 2), *bar_lines("B", 2)])
    frame = pl.read_csv(tmp_path / "x.csv").with_columns(
        low=pl.when(pl.int_range(pl.len()) == 70).then(-1.0).otherwise("low")
    )
    frame.write_parquet(tmp_path / "[x].parquet", row_group_size=10)
    entry = table_entry("bar", tmp_path / "[[]x].parquet", **ENTRY)
    whole = run(tmp_path, entry)
    heights: list[int] = []
    collect = pl.LazyFrame.collect
    monkeypatch.setattr("sources.readers.records._BLOCK_ROWS", 30)
    monkeypatch.setattr(
        pl.LazyFrame, "collect", lambda self, **more: (heights.append(len(found := collect(self, **more))), found)[1]
    )
    batched = run(tmp_path, entry, lake=tmp_path / "other")
    assert [height for height in heights if height in (30, 26)][:4] == [30, 30, 30, 26]
    assert tree(whole.folder) == tree(batched.folder)
    bad = pl.read_parquet(batched.quarantine)
    assert bad.select("reason", "line").rows() == [("non_positive_price", 71)]
    assert json.loads(bad["raw"][0])["low"] == -1.0


def test_stamps_that_look_like_starts_are_doubted_over_all_entities(tmp_path: Path) -> None:
    # each entity trades on one day only, too few to tell by itself
    lines = [
        f"E{day},2024-01-{day:02d}T14:{minute}:00Z,10,10,10,10,1" for day in (2, 3, 4, 5) for minute in range(30, 59)
    ]
    write(tmp_path / "x.csv", lines)
    with pytest.raises(DataError, match=r"bar STARTS \(4 of 4 sessions .* write `bar: 1min`"):
        run(tmp_path, table_entry("bar", tmp_path / "x.csv", **ENTRY))


def test_years_and_parts_of_them(tmp_path: Path) -> None:
    lines = [f"A,{day}T15:00:00Z,1,1,1,1,1" for day in ("2023-12-28", "2023-12-29", "2024-01-02", "2024-01-03")]
    write(tmp_path / "x.csv", [*lines, *(line.replace("A,", "B,") for line in lines)])
    folder = run(tmp_path, table_entry("bar", tmp_path / "x.csv", **ENTRY)).folder
    assert [path.name for path in sorted(folder.glob("entity=A/*"))] == ["year=2023.parquet", "year=2024.parquet"]
    days: dict[str, Any] = {"start": date(2023, 12, 29), "end": date(2024, 1, 2)}
    expected = [date(2023, 12, 29), date(2024, 1, 2)]
    assert read(folder, entities=["B"], **days)["session"].to_list() == expected
    assert pl.concat(batches(folder, entities=["B"], **days))["session"].to_list() == expected
    assert read(folder, start=date(2024, 1, 3)).height == read(folder, end=date(2023, 12, 28)).height == 2
    assert size(folder, "A") == sum(path.stat().st_size for path in folder.glob("entity=A/*"))
    assert size(folder, "nobody") == 0


def _json(value: object) -> str:
    return json.dumps(value, default=str)


def _until(condition: Callable[[], Any]) -> None:
    for _ in range(30_000):
        if condition():
            return
        time.sleep(0.002)
    raise AssertionError("it never came")
