"""Ingest in batches: the same lake for any size of batch, memory that does not grow with the file, and broken files."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from test_binance import LINES, LOCAL, change, line, source_of
from test_lake import adds_up, run, tree
from vendor_files import table_entry

from gpu_kernels.errors import DataError
from sources import runs
from sources.config import Source, parse_source
from sources.files import input_files
from sources.lake import IngestResult, ingest, ingest_all, read
from sources.quality import Window, check
from sources.readers import READERS, RawBatch, binance_raw
from sources.schema import TABLES

SIZES = (1, 3, 10, 10**6)


def contents(result: IngestResult) -> dict[str, pl.DataFrame]:
    paths = sorted(result.folder.rglob("*.parquet"))
    return {path.relative_to(result.folder).as_posix(): pl.read_parquet(path) for path in paths}


@pytest.fixture
def in_batches_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Source, int], None]:
    """Makes the reader of a source give batches of so many rows, and runs and their merges small."""
    for name, value in (("ROW_GROUP", 4), ("_BUFFERED_ROWS", 9), ("_OPEN_FILES", 2), ("_MERGED_AT_ONCE", 2)):
        monkeypatch.setattr(runs, name, value)
    readers = dict(READERS)

    def set_size(source: Source, size: int) -> None:
        def chopped(*arguments: Any, **more: Any) -> Iterator[RawBatch]:
            for batch in readers[source.kind](*arguments, **more):
                for at in range(0, max(batch.rows.height, 1), size):
                    yield RawBatch(batch.rows.slice(at, size), batch.ignored if at == 0 else {})

        monkeypatch.setitem(READERS, source.kind, chopped)

    return set_size


def from_the_whole(source: Source, window: Window) -> tuple[pl.DataFrame, list[tuple[int, str]], dict[str, int]]:
    """The rows that all batches checked at once give, sorted as the lake is, the lines set aside and the rest."""
    carried: dict[str, Any] = {}
    more = {"carried": carried} if source.kind == "binance_raw" else {}
    batches = [
        batch
        for index, file in enumerate(input_files(source, {}))
        for batch in READERS[source.kind](source, file, index, window.calendar, **more)
    ]
    found = check(pl.concat([batch.rows for batch in batches]), source, window)
    rows = found.good.sort("entity", "known_time", "event_time", maintain_order=True)
    bad = found.bad.sort("file", "line", maintain_order=True).select("line", "reason")
    return rows.select(*TABLES[source.table].schema), bad.rows(), dict(found.ignored)


def dirty_log(path: Path) -> Path:
    """A Binance log with changes, quotes and trades: damaged, repeated, late and empty lines among them; two days."""

    def quote(second: float, bid: str, at: float) -> str:
        data = {"e": "bookTicker", "u": 1, "s": "B", "b": bid, "B": "1", "a": "101", "A": "2"}
        return line(second, {"stream": "b@bookTicker", "data": data | clocks(at)})

    def trade(second: float, price: str, at: float, **more: Any) -> str:
        data = {"e": "trade", "s": "B", "t": 1, "p": price, "q": "2", "X": "MARKET", "m": True}
        return line(second, {"stream": "b@trade", "data": data | clocks(at) | more})

    def clocks(at: float) -> dict[str, int]:
        return {"E": LOCAL // 10**6 + int(at * 1000), "T": LOCAL // 10**6 + int(at * 1000)}

    lines = [*LINES, "", "!!", LINES[3].replace('"102"', '"NaN"')]
    for number in range(40):
        at = 10 + number * 0.25
        late = at - 3 if number % 11 == 5 else at
        lines += [quote(at, f"{99 + number % 2}", late), quote(at, "99", late), trade(at, "100", late)]
        lines += [change(at, 30 + number, 30 + number, 29 + number, [["98", "1"]], []), trade(at, "nan", at)]
    lines += [
        quote(30, "102", 30),
        quote(30, "nan", 30),
        trade(31, "170", 31),
        trade(31.5, "100", 31.5),
        trade(32, "100", 32, X="NA"),
    ]
    lines += [trade(at, "100", at) for at in range(5 * 3600, 7 * 3600, 999)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("data", ["book", "quote", "trade"])
def test_any_batches_give_the_lake_of_the_whole(
    tmp_path: Path, data: str, in_batches_of: Callable[[Source, int], None]
) -> None:
    path = dirty_log(tmp_path / "b.log")
    jump = {} if data == "book" else {"max_jump": 0.3}
    source = source_of(data, str(path), entity="B", quarantine_limit=1.0, **jump)
    rows, bad, _ = from_the_whole(source, Window("24/7"))
    reasons = {reason for _, reason in bad}
    assert {"unparsable_json", "unparsable_local_time"} <= reasons
    assert data != "trade" or "price_jump" in reasons
    assert data != "quote" or "crossed_quote" in reasons
    made = []
    for size in SIZES:
        in_batches_of(source, size)
        result = ingest("x", source, calendar="24/7", lake=tmp_path / str(size))
        assert adds_up(result)
        assert read(result.folder).equals(rows)
        assert sorted(pl.read_parquet(result.quarantine).select("line", "reason").rows()) == sorted(bad)
        made.append((contents(result), {**result.counts}))
        assert not [found for found in result.folder.rglob("*") if found.name.startswith(".")]
    assert all(counts == made[0][1] for _, counts in made)
    for found, _ in made:
        assert found.keys() == made[0][0].keys()
        assert all(frame.equals(made[0][0][name]) for name, frame in found.items())
    if data == "trade":
        assert len(made[0][0]) == 3  # two days and the quarantine


def test_tables_of_one_log_are_made_of_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = dirty_log(tmp_path / "b.log"), list[Path]()
    blocks = binance_raw.blocks

    def counted(path: Path) -> Iterator[bytes]:
        opened.append(path)
        return blocks(path)

    monkeypatch.setattr(binance_raw, "blocks", counted)
    sources: dict[str, Source] = {
        data: source_of(data, str(path), entity="B", quarantine_limit=1.0) for data in ("quote", "book", "trade")
    }
    options: dict[str, Any] = {"calendar": "24/7", "progress": lambda _what, share: shares.append(share)}
    shares: list[float] = []
    together = ingest_all(sources, lake=tmp_path / "one", **options)
    assert opened == [path]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    for name, source in sources.items():
        apart = ingest(name, source, lake=tmp_path / "two", **options)
        assert tree(together[name].folder) == tree(apart.folder)
    assert len(opened) == 4
    # what is there already is not made again
    again = ingest_all({**sources, "more": source_of("book", str(path), entity="B")}, lake=tmp_path / "two", **options)
    assert [again[name].reused for name in (*sources, "more")] == [True, True, True, False]


ROWS = ["event_time,known_time,entity,price,size,side"]


def at(second: float, known: float, entity: str = "A", price: str = "5") -> str:
    clock = [f"2024-01-02T15:{int(each) // 60:02d}:{each % 60:06.3f}Z" for each in (second, known)]
    return f"{clock[0]},{clock[1]},{entity},{price},1,1"


def test_rows_that_are_late_across_batches_are_sorted(
    tmp_path: Path, in_batches_of: Callable[[Source, int], None]
) -> None:
    """A file in the order of the exchange, whose receipts go back: nothing is set aside, all is sorted by receipt."""
    rows = [at(number, number + 200 - 7 * (number % 5), "AB"[number % 2]) for number in range(60)]
    rows += [at(60, 61, price="9"), at(61, 61, price="8"), at(61, 61, price="7"), at(5, 7)]
    (tmp_path / "t.csv").write_text("\n".join([*ROWS, *rows]))
    entry = table_entry("trade", tmp_path / "t.csv", columns={"known_time": "known_time"})
    found = []
    for size in SIZES:
        source = parse_source("t", entry)
        in_batches_of(source, size)
        result = run(tmp_path, entry, lake=tmp_path / str(size))
        found.append(contents(result))
        assert result.counts["quarantined"] == {"time_goes_back": 1}
    stored = read(result.folder)
    assert stored.equals(stored.sort("entity", "known_time", "event_time", maintain_order=True))
    assert stored.filter(pl.col("known_time").dt.minute() == 1)["price"].to_list() == [9.0, 8.0, 7.0]
    for each in found:
        assert all(frame.equals(found[0][name]) for name, frame in each.items())


@pytest.mark.parametrize("overlap", [True, False])
def test_several_files_give_the_lake_of_the_whole(
    tmp_path: Path, overlap: bool, in_batches_of: Callable[[Source, int], None]
) -> None:
    """Names that lie about the order, shared rows, rows of one file twice, ties between files, and a jump."""
    rows = [at(number // 2, number // 2 + number % 3, price=f"{5 + number % 2}") for number in range(40)]
    rows[7] = rows[6]
    rows[30] = at(15, 16, price="50")
    split = [rows[24 if overlap else 26 :], rows[:12], rows[8 if overlap else 12 : 26]]
    if overlap:
        # a row of its own at the time of one that another file has, which was exported earlier and is read later
        split[0] = [*split[0][:2], at(12, 13, price="7"), *split[0][2:], *split[2][-3:]]
    for name, part in zip("abc", split, strict=True):
        (tmp_path / f"{name}.csv").write_text("\n".join([*ROWS, *part]))
    entry = table_entry("trade", tmp_path / "*.csv", columns={"known_time": "known_time"}, max_jump=0.5)
    source = parse_source("t", entry)
    expected, bad, ignored = from_the_whole(source, Window("XNYS"))
    assert ignored == ({"duplicate_of_overlap": 7} if overlap else {})
    assert "price_jump" in {reason for _, reason in bad}
    whole = []
    monkey = pytest.MonkeyPatch()
    monkey.setattr("sources.part.check", lambda *arguments: whole.append(1) or check(*arguments))
    for size in SIZES:
        in_batches_of(source, size)
        result = run(tmp_path, entry, lake=tmp_path / str(size))
        assert adds_up(result)
        assert result.counts["duplicate_of_overlap"] == ignored.get("duplicate_of_overlap", 0)
        assert read(result.folder).equals(expected)
        assert sorted(pl.read_parquet(result.quarantine).select("line", "reason").rows()) == sorted(bad)
    monkey.undo()
    assert not whole, "ticks were judged all at once"


def test_a_book_whose_sequence_does_not_rise_is_judged_whole(tmp_path: Path) -> None:
    header = "event_time,known_time,entity,sequence,side,price,size"
    rows = [f"2024-01-02T15:00:0{number}Z,2024-01-02T15:00:0{number}Z,A,{number},1,5,1" for number in (1, 2, 2, 3)]
    (tmp_path / "b.csv").write_text("\n".join([header, *rows]))
    entry = table_entry("book_update", tmp_path / "b.csv", columns={"known_time": "known_time"})
    result = run(tmp_path, entry)
    assert result.counts["quarantined"] == {"exact_duplicate": 1}
    assert read(result.folder)["sequence"].to_list() == [1, 2, 3]


class TestBrokenFiles:
    def entry(self, path: Path) -> Any:
        return source_of("trade", str(path), entity="B", quarantine_limit=1.0)

    def test_cut_off_in_the_middle(self, tmp_path: Path) -> None:
        whole = gzip.compress(dirty_log(tmp_path / "b.log").read_bytes() * 400)
        (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=r"cut\.gz is truncated or damaged") as error:
            ingest("x", self.entry(tmp_path / "cut.gz"), calendar="24/7", lake=tmp_path / "lake")
        assert len(str(error.value).splitlines()) == 1
        assert not [path for path in (tmp_path / "lake").rglob("*") if path.is_file() or path.name.startswith(".")]

    def test_stopped_in_the_middle(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path, readers = dirty_log(tmp_path / "b.log"), dict(READERS)

        def stopped(*arguments: Any, **more: Any) -> Iterator[RawBatch]:
            yield from readers["binance_raw"](*arguments, **more)
            assert list((tmp_path / "lake").rglob("*.run")), "nothing was written yet"
            raise KeyboardInterrupt

        monkeypatch.setattr(runs, "ROW_GROUP", 4)
        monkeypatch.setitem(READERS, "binance_raw", stopped)
        with pytest.raises(KeyboardInterrupt):
            ingest("x", self.entry(path), calendar="24/7", lake=tmp_path / "lake")
        assert not [found for found in (tmp_path / "lake").rglob("*") if found.is_file()]
        monkeypatch.undo()
        assert not ingest("x", self.entry(path), calendar="24/7", lake=tmp_path / "lake").reused

    def test_empty(self, tmp_path: Path) -> None:
        for name, content in (("0.log", b""), ("0.gz", gzip.compress(b""))):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(DataError, match="is empty"):
                ingest("x", self.entry(tmp_path / name), calendar="24/7", lake=tmp_path / "lake")

    def test_a_line_longer_than_a_block(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = dirty_log(tmp_path / "b.log")
        before = ingest("x", self.entry(path), calendar="24/7", lake=tmp_path / "one")
        levels = json.dumps([["98", "1"]] * 3000).replace(" ", "")
        huge = change(60 * 60 * 8, 1, 1, 0, [], []).replace('"b":[]', f'"b":{levels}')
        path.write_text(path.read_text() + huge + "\n" + "x" * 50_000 + "\n")
        monkeypatch.setattr("sources.files.blocks.__kwdefaults__", {"quoted": False, "size": 1000})
        after = ingest("x", self.entry(path), calendar="24/7", lake=tmp_path / "two")
        assert after.counts["used"] == before.counts["used"]
        bad = pl.read_parquet(after.quarantine)
        assert bad.height == pl.read_parquet(before.quarantine).height + 1
        assert bad["raw"].str.len_chars().max() == 500
        monkeypatch.setattr("sources.files._LONGEST_LINE", 40_000)
        with pytest.raises(DataError, match="has a line of more than"):
            ingest("x", self.entry(path), calendar="24/7", lake=tmp_path / "three")


MEASURED = """
import resource, sys
from pathlib import Path
from sources.config import parse_source
from sources.lake import ingest
entry = {"kind": "binance_raw", "market": "usdm", "data": "quote", "files": sys.argv[1], "entity": "B", "max_age": "1d"}
result = ingest("x", parse_source("x", entry), calendar="24/7", lake=Path(sys.argv[2]))
print(result.counts["used"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Peak memory over a file and one of four times as many lines: all their rows at once took more than their text."""
    text = (
        '{clock}000000 {{"stream":"b@bookTicker","data":{{"e":"bookTicker","u":{number},"s":"B","b":"{price}.1",'
        '"B":"{size}.5","a":"{price}.2","A":"{size}.25","T":{clock},"E":{clock}}}}}\n'
    )
    found = []
    for lines in (150_000, 600_000):
        path = tmp_path / f"{lines}.log"
        with open(path, "w") as out:
            for number in range(lines):
                clock = LOCAL // 10**6 + number
                out.write(text.format(clock=clock, number=number, price=100 + number % 97, size=number % 89))
        command = [sys.executable, "-c", MEASURED, str(path), str(tmp_path / f"lake-{lines}")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        used, peak = map(int, done.stdout.split())
        assert used == lines
        found.append((path.stat().st_size / 2**20, peak))
    (size, peak), (large, high) = found
    assert high - peak < 0.5 * (large - size), found
