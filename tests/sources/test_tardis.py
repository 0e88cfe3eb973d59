"""Tardis.dev CSV files: messages, snapshots, reconnects, damage, and real Binance books through the format and back."""

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import yaml
from tardis_files import HEADERS, START, line, snapshot_header, write

from gpu_kernels.errors import DataError, QuarantineError
from sources import files
from sources.config import parse_source
from sources.describe import describe
from sources.files import input_files
from sources.lake import ingest
from sources.lake import read as read_lake
from sources.readers import READERS, tardis_lines
from sources.schema import GAP, SET, SNAPSHOT

BOOK = "incremental_book_L2"
LINES = [
    line(500, "false", "bid", 90, 9),  # buffered before the first snapshot
    line(1_000, "true", "bid", 100, 5),
    line(1_000, "true", "bid", 99, 1),
    line(1_000, "true", "ask", 101, 4),
    line(2_000, "false", "ask", 101, 0),
    line(2_000, "false", "ask", 102, 3),
    line(3_000, "false", "bid", 100, 7),
    line(9_000, "true", "bid", 98, 2),  # the connection was lost
    line(9_000, "true", "ask", 103, 2),
    line(9_500, "false", "bid", 98, 1),
]
TOLD = [
    (3, SNAPSHOT, 1, 100.0, 5.0, False), (4, SET, 1, 99.0, 1.0, False), (5, SET, -1, 101.0, 4.0, True),
    (6, SET, -1, 101.0, 0.0, False), (7, SET, -1, 102.0, 3.0, True), (8, SET, 1, 100.0, 7.0, True),
    (9, GAP, 1, 98.0, 2.0, True), (9, SNAPSHOT, 1, 98.0, 2.0, False), (10, SET, -1, 103.0, 2.0, True),
    (11, SET, 1, 98.0, 1.0, True),
]  # fmt: skip
TRADES = [
    line(1_000, "a1", "buy", 100.5, 0.25),
    line(1_000, "a2", "sell", 100.25, 1),
    line(1_000, "", "unknown", 100, 2),
    line(2_000, "", "unknown", 100, 2),
]
BOOKS = [
    line(1_000, 101, 4, 100, 5, 102, 1, 99, 1),
    line(2_000, 101, 4, 100, 5, 102, 1, 99, 1),
    line(3_000, 101, 3, 99, 1, 103, 1, "", ""),
    line(4_000, 101, 3, 99, 1, 103, 1, 98, 0),
]


def entry(path: Path, data: str = "book", **options: Any) -> dict[str, Any]:
    return {"kind": "tardis_csv", "files": str(path), "data": data, "max_age": "1min"} | options


def read(path: Path, data: str = "book", **options: Any) -> tuple[pl.DataFrame, Counter[str]]:
    source, ignored, parts, carried = parse_source("mine", entry(path, data, **options)), Counter[str](), [], {}
    for index, file in enumerate(input_files(source, {})):
        for batch in READERS[source.kind](source, file, index, "24/7", carried):
            parts.append(batch.rows)
            ignored.update({reason: count for reason, count in batch.ignored.items() if count})
    return pl.concat(parts), ignored


def told(rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    good = rows.filter(pl.col("problem").is_null())
    return good.select("line", "action", "side", "price", "size", "last").rows()


def problems(rows: pl.DataFrame) -> dict[int, str]:
    return dict(rows.filter(pl.col("problem").is_not_null()).select("line", "problem").rows())


def levels_after(rows: pl.DataFrame, depth: int = 10**9) -> dict[int, tuple[dict[float, float], dict[float, float]]]:
    """The best levels of both sides after each message, by known_time, from the definition of book_update."""
    sides: dict[int, dict[float, float]] = {1: {}, -1: {}}
    found = {}
    columns = rows.select(pl.col("known_time").dt.epoch("us"), "action", "side", "price", "size", "last")
    for known, action, side, price, size, last in columns.iter_rows():
        assert action != GAP
        if action == SNAPSHOT:
            sides = {1: {}, -1: {}}
        sides[side].pop(price, None)
        if size > 0:
            sides[side][price] = size
        if last:
            best = (sorted(sides[1], reverse=True)[:depth], sorted(sides[-1])[:depth])
            found[known] = ({p: sides[1][p] for p in best[0]}, {p: sides[-1][p] for p in best[1]})
    return found


class TestLevelChanges:
    def test_messages_snapshots_and_a_reconnect(self, tmp_path: Path) -> None:
        rows, ignored = read(write(tmp_path / "x.csv.gz", BOOK, LINES))
        assert told(rows) == TOLD
        assert rows["sequence"].to_list() == list(range(10))
        assert rows["entity"].unique().to_list() == ["BTCUSDT"]
        assert ignored == {"before_a_snapshot": 1}

    def test_clocks(self, tmp_path: Path) -> None:
        late = line(1_000, "true", "bid", 100, 5, sent=1_500)  # the exchange's clock is ahead
        path = write(tmp_path / "x.csv", BOOK, [late, LINES[4]])
        rows, _ = read(path)
        assert (rows["known_time"].dt.epoch("us") - START).to_list() == [1_000, 2_000]
        assert (rows["event_time"].dt.epoch("us") - START).to_list() == [1_000, 1_000]
        rows, _ = read(path, delay="600us")
        assert (rows["known_time"].dt.epoch("us") - START).to_list() == [1_600, 2_600]
        assert (rows["event_time"].dt.epoch("us") - START).to_list() == [1_500, 1_000]

    @pytest.mark.parametrize("size", [1, 70, 200])
    @pytest.mark.parametrize(
        ("broken", "damage"), [(None, ""), (2, ""), (3, "!"), (5, ""), (5, "!"), (8, ""), (6, LINES[3])]
    )
    def test_any_cut_into_blocks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, broken: int | None, damage: str
    ) -> None:
        lines = [text if place != broken else damage or text + "," for place, text in enumerate(LINES)]
        path = write(tmp_path / "x.csv", BOOK, lines)
        whole = read(path)
        monkeypatch.setattr(files.blocks, "__kwdefaults__", {"quoted": False, "size": size})
        again = read(path)
        order = ["line", "sequence"]
        assert again[0].sort(order).equals(whole[0].sort(order))
        assert again[1] == whole[1]

    def test_a_change_at_the_snapshot_s_time_is_a_message_of_its_own(self, tmp_path: Path) -> None:
        rows, _ = read(write(tmp_path / "x.csv", BOOK, [*LINES[1:4], line(1_000, "false", "ask", 101, 1)]))
        assert rows["last"].to_list() == [False, False, True, True]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (line(2_500, "false", "ask", 102), "wrong_field_count"),
            (line(2_500, "false", "ask", 102, 3, 4), "wrong_field_count"),
            ("binance", "wrong_field_count"),
            (line(2_500, "maybe", "ask", 102, 3), "unparsable_flag"),
            (line(2_500, "", "ask", 102, 3), "missing_value"),
            (line(2_500, "false", "mid", 102, 3), "unparsable_side"),
            (line(2_500, "false", "", 102, 3), "missing_value"),
            (line(2_500, "false", "ask", "1O2", 3), "unparsable_number"),
            (line(2_500, "false", "ask", 102, "3x"), "unparsable_number"),
            (line(2_500, "false", "ask", 102, ""), "missing_value"),
            (line(2_500, "false", "ask", "NaN", 3), "not_finite"),
            (line(2_500, "false", "ask", 102, "inf"), "not_finite"),
            (line(2_500, "false", "ask", 0, 3), "non_positive_price"),
            (line(2_500, "false", "ask", -102, 3), "non_positive_price"),
            (line(2_500, "false", "ask", 102, -3), "negative_size"),
            (line(1_999, "false", "ask", 102, 3), "time_goes_back"),
            ("binance,BTCUSDT,x,1700006402500000,false,ask,102,3", "unparsable_time"),
            ("binance,BTCUSDT,,1700006402500000,false,ask,102,3", "unparsable_time"),
            ("binance,BTCUSDT,1700006402,1700006402,false,ask,102,3", "unparsable_time"),
            ("binance,BTCUSDT,1700006402500000,9999999999999999999999,false,ask,102,3", "unparsable_time"),
            (",,1700006402500000,1700006402500000,false,ask,102,3", "missing_entity"),
        ],
    )
    def test_a_damaged_row_is_set_aside_and_opens_a_gap(self, tmp_path: Path, text: str, reason: str) -> None:
        rows, ignored = read(write(tmp_path / "x.csv", BOOK, [*LINES[:6], text, *LINES[6:], LINES[9]]))
        assert problems(rows) == {8: reason}
        # the change after it is not applied, and the snapshot ends the gap
        assert [row[:2] for row in told(rows)] == [
            *((number, action) for number, action, *_ in TOLD[:5]),
            *((9, GAP), (10, SNAPSHOT), (11, SET), (12, SET), (13, SET)),
        ]
        assert ignored == {"before_a_snapshot": 1}

    def test_changes_in_a_gap_are_left_out(self, tmp_path: Path) -> None:
        bad = line(2_500, "false", "ask", 102, -3)
        later = [line(3_000 + step, "false", "bid", 100, 7) for step in range(4)]
        rows, ignored = read(write(tmp_path / "x.csv", BOOK, [*LINES[:6], bad, *later]))
        assert [row[:2] for row in told(rows)[5:]] == [(9, GAP)]
        assert ignored == {"before_a_snapshot": 1 + 3}

    @pytest.mark.parametrize("place", [1, 2, 3])
    def test_a_snapshot_that_lacks_a_level_is_none(self, tmp_path: Path, place: int) -> None:
        lines = list(LINES)
        lines[place] = lines[place].rpartition(",")[0] + ",x"
        rows, _ = read(write(tmp_path / "x.csv", BOOK, lines))
        assert problems(rows) == {place + 2: "unparsable_number"}
        # rows before the damage can be told, since their message was not yet known to be damaged
        assert [row[:2] for row in told(rows) if row[0] > place + 2][-3:] == [(9, SNAPSHOT), (10, SET), (11, SET)]
        assert not [row for row in told(rows) if place + 2 < row[0] < 9 and row[1] != GAP]

    def test_a_first_row_without_a_symbol(self, tmp_path: Path) -> None:
        lines = ["!", *LINES[2:]]
        rows, _ = read(write(tmp_path / "x.csv", BOOK, lines))
        assert [row[0] for row in told(rows)] == [8, 9, 10]
        assert read(write(tmp_path / "x.csv", BOOK, lines), entity="A")[0].filter(pl.col("line") > 2).height == 3

    def test_days_go_on_and_one_without_its_snapshot_is_unknown(self, tmp_path: Path) -> None:
        day = 86_400_000_000
        write(tmp_path / "b_1.csv.gz", BOOK, LINES[1:7])
        more = [line(day + 1_000, "true", "bid", 100, 5), line(day + 2_000, "false", "bid", 100, 6)]
        write(tmp_path / "b_2.csv.gz", BOOK, more)
        late = [line(2 * day, "false", "bid", 100, 8), line(2 * day + 1, "false", "bid", 100, 9)]
        write(tmp_path / "b_3.csv.gz", BOOK, late)
        rows, ignored = read(tmp_path / "b_*.csv.gz")
        # a day's own snapshot is no reconnect
        assert rows["action"].to_list() == [SNAPSHOT, SET, SET, SET, SET, SET, SNAPSHOT, SET, GAP]
        assert rows["sequence"].to_list() == list(range(9))
        assert rows["file"].to_list() == [0] * 6 + [1] * 2 + [2]
        assert ignored == {"before_a_snapshot": 1}

    def test_a_second_day_whose_first_row_names_nothing(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", BOOK, LINES[1:])
        write(tmp_path / "2.csv", BOOK, ["!", *(line(10_000 + n, "true", "bid", 99 + n, 1) for n in range(3))])
        rows, ignored = read(tmp_path / "?.csv")
        assert rows.filter(pl.col("file") == 1).select("line", "action").rows() == [(2, None), (3, GAP)]
        assert ignored == {"before_a_snapshot": 2}

    def test_several_symbols(self, tmp_path: Path) -> None:
        other = [text.replace("BTCUSDT", "ETHUSDT") for text in LINES]
        lines = [text for pair in zip(LINES, other, strict=True) for text in pair]
        path = write(tmp_path / "x.csv", BOOK, lines)
        rows, _ = read(path)
        for name in ("BTCUSDT", "ETHUSDT"):
            assert [row[1:] for row in told(rows.filter(pl.col("entity") == name))] == [row[1:] for row in TOLD]
        rows, ignored = read(path, symbol="ETHUSDT", entity="ETH")
        assert [row[1:] for row in told(rows)] == [row[1:] for row in TOLD]
        assert rows["entity"].unique().to_list() == ["ETH"]
        assert ignored == {"before_a_snapshot": 1, "other_symbol": 10}
        with pytest.raises(DataError, match="binance ETHUSDT incremental_book_L2 for BTC, which had binance BTCUSDT"):
            read(path, entity="BTC")
        two = write(tmp_path / "y.csv", BOOK, [LINES[1], LINES[2].replace("binance", "bybit")])
        with pytest.raises(DataError, match="holds bybit BTCUSDT"):
            read(two)

    def test_a_day_twice_goes_back(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", BOOK, LINES[1:])
        write(tmp_path / "2.csv", BOOK, LINES[1:])
        source = parse_source("mine", entry(tmp_path / "?.csv"))
        with pytest.raises(QuarantineError, match="time_goes_back 8"):
            ingest("mine", source, calendar="24/7", lake=tmp_path / "lake")


class TestBooksToldWhole:
    def test_differences(self, tmp_path: Path) -> None:
        rows, ignored = read(write(tmp_path / "x.csv.gz", snapshot_header(2), BOOKS))
        assert told(rows) == [
            (2, SNAPSHOT, 1, 99.0, 1.0, False), (2, SET, 1, 100.0, 5.0, False),
            (2, SET, -1, 101.0, 4.0, False), (2, SET, -1, 102.0, 1.0, True),
            (4, SET, 1, 100.0, 0.0, False), (4, SET, -1, 102.0, 0.0, False),
            (4, SET, -1, 101.0, 3.0, False), (4, SET, -1, 103.0, 1.0, True),
        ]  # fmt: skip
        assert ignored == {"unchanged_book": 2}
        assert (rows["known_time"].dt.epoch("us") - START).to_list() == [1_000] * 4 + [3_000] * 4

    @pytest.mark.parametrize("size", [1, 150])
    def test_any_cut_and_several_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        lines = [*BOOKS[:2], BOOKS[2].replace("03000", "01500", 2), *BOOKS[2:]]
        whole = read(write(tmp_path / "x.csv", snapshot_header(2), lines))
        assert problems(whole[0]) == {4: "time_goes_back"}
        write(tmp_path / "1.csv", snapshot_header(2), lines[:2])
        write(tmp_path / "2.csv", snapshot_header(2), lines[2:])
        monkeypatch.setattr(files.blocks, "__kwdefaults__", {"quoted": False, "size": size})
        for pattern in ("x.csv", "?.csv"):
            if pattern == "?.csv":
                (tmp_path / "x.csv").unlink()
            again = read(tmp_path / pattern)
            assert again[0].drop("file", "line").sort("sequence").equals(whole[0].drop("file", "line").sort("sequence"))
            assert again[1] == whole[1]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (line(2_500, 101, 4, 100, 5, 102, 1, 99), "wrong_field_count"),
            (line(2_500, 101, 4, 100, 5, 102, 1, 99, "x"), "unparsable_number"),
            (line(2_500, 101, 4, 100, 5, 102, 1, 99, ""), "missing_value"),
            (line(2_500, 101, "NaN", 100, 5, 102, 1, 99, 1), "not_finite"),
            (line(2_500, 101, 4, 100, 5, -102, 1, 99, 1), "non_positive_price"),
            (line(2_500, 101, 4, 100, -5, 102, 1, 99, 1), "negative_size"),
            (line(1_500, 101, 4, 100, 9, 102, 1, 99, 1), "time_goes_back"),
        ],
    )
    def test_a_damaged_row_loses_nothing_but_itself(self, tmp_path: Path, text: str, reason: str) -> None:
        whole, _ = read(write(tmp_path / "x.csv", snapshot_header(2), BOOKS))
        rows, _ = read(write(tmp_path / "x.csv", snapshot_header(2), [*BOOKS[:2], text, *BOOKS[2:]]))
        assert problems(rows) == {4: reason}
        assert [row[1:] for row in told(rows)] == [row[1:] for row in told(whole)]

    def test_an_empty_book_is_told(self, tmp_path: Path) -> None:
        rows, _ = read(write(tmp_path / "x.csv", snapshot_header(1), [line(1, 2, 3, 1, 4), line(2, "", "", "", "")]))
        assert [row[2:5] for row in told(rows)] == [(1, 1, 4), (-1, 2, 3), (1, 1, 0), (-1, 2, 0)]


class TestTrades:
    def test_sides_and_a_trade_sent_twice(self, tmp_path: Path) -> None:
        lines = [*TRADES, TRADES[0].replace("1700006400001000,a1", "1700006400003000,a1"), TRADES[3]]
        rows, _ = read(write(tmp_path / "x.csv.gz", "trades", lines), "trade")
        assert rows.select("price", "size", "side").rows()[:4] == [
            (100.5, 0.25, 1), (100.25, 1.0, -1), (100.0, 2.0, 0), (100.0, 2.0, 0),
        ]  # fmt: skip
        # without an identifier nobody can tell
        assert problems(rows) == {6: "exact_duplicate"}

    @pytest.mark.parametrize("size", [1, 100])
    def test_any_cut_into_blocks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        path = write(tmp_path / "x.csv", "trades", [*TRADES, TRADES[1], line(3_000, "b", "long", 1, 1)])
        whole = read(path, "trade")
        assert problems(whole[0]) == {6: "exact_duplicate", 7: "unparsable_side"}
        monkeypatch.setattr(files.blocks, "__kwdefaults__", {"quoted": False, "size": size})
        assert read(path, "trade")[0].equals(whole[0])

    def test_ingest_judges_values_and_order(self, tmp_path: Path) -> None:
        bad = [
            line(3_000, "b1", "buy", "NaN", 1),
            line(3_000, "b2", "buy", -1, 1),
            line(3_000, "b3", "buy", 1, -1),
            line(3_000, "b4", "", 1, 1),
            line(1_500, "b5", "buy", 100, 1, sent=400),
            line(3_000, "b6", "buy", 100, ""),
        ]
        path = write(tmp_path / "x.csv.gz", "trades", [*TRADES, *bad])
        source = parse_source("mine", entry(path, "trade", quarantine_limit=1))
        result = ingest("mine", source, calendar="24/7", lake=tmp_path / "lake")
        assert result.counts["quarantined"] == {
            "missing_value": 2, "negative_size": 1, "non_positive_price": 1, "not_finite": 1, "time_goes_back": 1,
        }  # fmt: skip
        assert result.counts["used"] == 4
        assert sorted(pl.read_parquet(result.quarantine)["raw"]) == sorted(bad)
        assert read_lake(result.folder)["side"].to_list() == [1, -1, 0, 0]


def test_quotes(tmp_path: Path) -> None:
    lines = [line(1, 5, 101, 100, 7), line(2, "", "", 100, 7), line(3, 5, 101, 100, "x"), line(4, 5, 99, 100, 7)]
    rows, ignored = read(write(tmp_path / "x.csv", "quotes", lines), "quote")
    assert rows.select("bid_price", "bid_size", "ask_price", "ask_size").row(0) == (100.0, 7.0, 101.0, 5.0)
    assert problems(rows) == {4: "unparsable_number"}
    assert ignored == {"one_sided_quote": 1}
    source = parse_source("mine", entry(tmp_path / "x.csv", "quote", quarantine_limit=1))
    result = ingest("mine", source, calendar="24/7", lake=tmp_path / "lake")
    assert result.counts["quarantined"] == {"crossed_quote": 1, "unparsable_number": 1}


class TestFiles:
    def test_typed_and_text_passes_agree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        numbers = ["0.1", "1e-7", "123456789.123456789", "5e3", "0.30000000000000004", "7", "7.", "00.5"]
        cases = {
            BOOK: [line(n, "False", "bid", value, value) for n, value in enumerate(numbers)],
            "trades": [line(n, "", "buy", value, value) for n, value in enumerate(numbers)],
            "quotes": [line(n, value, value, "", "") for n, value in enumerate(numbers)],
            snapshot_header(1): [line(n, value, value, "", "") for n, value in enumerate(numbers)],
        }
        for header, lines in cases.items():
            found = tardis_lines.layout(HEADERS.get(header, header))
            assert found is not None
            block = ("\n".join(lines) + "\n").encode()
            typed = tardis_lines._typed(block, found, 2)
            assert typed is not None
            assert typed.equals(tardis_lines._as_text(block, found, tmp_path, 2))
            assert typed.height == len(lines)

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
    def test_line_ends_compression_and_column_order(self, tmp_path: Path, end: str) -> None:
        whole, _ = read(write(tmp_path / "a.csv", BOOK, LINES))
        path = write(tmp_path / "b.csv", BOOK, LINES, end=end)
        assert read(path)[0].drop("line").equals(whole.drop("line"))
        data = path.read_bytes()
        with pa.OSFile(str(path), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as stream:
            stream.write(data)
        assert read(path)[0].drop("line").equals(whole.drop("line"))
        turned = [",".join(reversed([*text.split(","), "more"])) for text in LINES]
        header = ",".join(reversed([*HEADERS[BOOK].split(","), "extra"]))
        assert read(write(tmp_path / "c.csv", header, turned))[0].equals(whole)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty"),
            (b"\n".join(text.encode() for text in LINES), "no header of a Tardis file: 'binance,BTCUSDT"),
            (HEADERS[BOOK].replace(",side", "").encode() + b"\n", "no header of a Tardis file"),
            (HEADERS[BOOK].replace("side", "price").encode() + b"\n", "no header of a Tardis file"),
            (b"\xff\xfe\x00" * 50, "no header of a Tardis file"),
            (HEADERS["trades"].encode(), "holds trades, and the source says data: book"),
            (
                gzip.compress("\n".join([HEADERS[BOOK], *LINES[1:] * 99]).encode(), mtime=0)[:-30],
                "truncated or damaged",
            ),
        ],
    )
    def test_bad_files_are_one_line(self, tmp_path: Path, content: bytes, words: str) -> None:
        (tmp_path / "x.csv.gz").write_bytes(content)
        with pytest.raises(DataError) as error:
            read(tmp_path / "x.csv.gz")
        assert words in str(error.value)
        assert "x.csv.gz" in str(error.value)
        assert "\n" not in str(error.value)

    def test_two_data_types_are_no_one_book(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", BOOK, LINES)
        write(tmp_path / "2.csv", snapshot_header(2), BOOKS)
        with pytest.raises(DataError, match="book_snapshot for BTCUSDT, which had binance BTCUSDT incremental"):
            read(tmp_path / "?.csv")

    def test_a_header_alone_is_a_quiet_day(self, tmp_path: Path) -> None:
        write(tmp_path / "1.csv", "trades", [])
        for data, header in (("trade", "trades"), ("book", BOOK), ("book", snapshot_header(5)), ("quote", "quotes")):
            rows, _ = read(write(tmp_path / "1.csv", header, []), data)
            assert rows.is_empty()
            source = parse_source("mine", entry(tmp_path / "1.csv", data))
            with pytest.raises(DataError, match="hold no rows"):
                ingest("mine", source, calendar="24/7", lake=tmp_path / "lake")

    @pytest.mark.parametrize(
        ("header", "lines", "data", "more"),
        [
            (BOOK, LINES, "book", {"data_type": BOOK}),
            ("trades", TRADES, "trade", {"data_type": "trades"}),
            ("quotes", [], "quote", {"data_type": "quotes", "exchange": None, "symbol": None}),
            (snapshot_header(2), BOOKS, "book", {"data_type": "book_snapshot", "levels": 2}),
        ],
    )
    def test_describe(self, tmp_path: Path, header: str, lines: list[str], data: str, more: dict[str, Any]) -> None:
        facts = describe(write(tmp_path / "BTCUSDT.csv.gz", header, lines))
        [(name, found)] = yaml.safe_load(facts["source"]["yaml"]).items()
        assert parse_source(name, found).data == data
        assert facts["file"] == {"exchange": "binance", "symbol": "BTCUSDT"} | more


@pytest.mark.data
@pytest.mark.parametrize(
    ("market", "file"), [("spot", "spot_btcusdt_20240808.gz"), ("coinm", "cm_btcusd_perp_20240808.gz")]
)
def test_real_binance_books_through_the_format_and_back(
    data_root: Path, tmp_path: Path, market: str, file: str
) -> None:
    binance = {"kind": "binance_raw", "market": market, "data": "book", "entity": "B", "max_age": "1s"}
    source = parse_source("b", binance | {"files": str(data_root / "market/binance_l2" / file)})
    [path] = input_files(source, {})
    wanted = pl.concat([batch.rows for batch in READERS["binance_raw"](source, path, 0, "24/7", {})])
    wanted = wanted.filter(pl.col("problem").is_null()).with_columns(
        known=pl.col("known_time").dt.epoch("us"), message=pl.col("last").cum_sum().shift(1, fill_value=0)
    )
    # a snapshot's rows are those of the message that it begins
    wanted = wanted.with_columns(snapshot=(pl.col("action") == SNAPSHOT).any().over("message"))
    lines = wanted.select(
        pl.concat_str(
            pl.lit("binance,B"),
            pl.min_horizontal(pl.col("event_time").dt.epoch("us"), "known"),
            "known",
            pl.when("snapshot").then(pl.lit("true")).otherwise(pl.lit("false")),
            pl.when(pl.col("side") == 1).then(pl.lit("bid")).otherwise(pl.lit("ask")),
            "price",
            "size",
            separator=",",
        )
    ).to_series()
    got, ignored = read(write(tmp_path / "b.csv.gz", BOOK, lines))
    assert wanted.height > 40_000
    assert not ignored
    assert problems(got) == {}
    same = ["sequence", "action", "side", "price", "size"]
    assert got.select(same).equals(wanted.select(same))
    assert (got["known_time"].dt.epoch("us") == wanted["known"]).all()
    # changes that were held back until the snapshot came share its time, and so are one message here
    apart = wanted["known"] != wanted["known"].shift(-1)
    assert got["last"].filter(apart.fill_null(True)).all()
    assert (got["last"] != wanted["last"]).sum() <= (wanted["last"] & ~apart.fill_null(True)).sum() < 50

    # the same books told whole, five levels a side, are rebuilt from their differences
    books = levels_after(got.head(30_000), 5)
    rows = []
    for known, (bids, asks) in books.items():
        sides = [[*side.items(), *[("", "")] * 5][:5] for side in (asks, bids)]
        rows.append(line(known - START, *(value for pair in zip(*sides, strict=True) for two in pair for value in two)))
    told_whole, ignored = read(write(tmp_path / "s.csv.gz", snapshot_header(5), rows))
    again, latest = levels_after(told_whole), None
    for known, book in books.items():
        latest = again.get(known, latest)
        assert latest == book
    same_again = sum(one == two for one, two in zip(books.values(), list(books.values())[1:], strict=False))
    assert ignored["unchanged_book"] == same_again > 0
