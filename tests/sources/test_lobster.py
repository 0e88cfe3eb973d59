"""LOBSTER message files: golden lines, damaged ones, and the real head of AAPL's day against its orderbook file."""

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import DataError
from sources import files
from sources.config import parse_source
from sources.describe import describe
from sources.files import input_files
from sources.lake import ingest
from sources.lake import read as read_lake
from sources.readers import READERS
from sources.schema import CANCELLED, EXECUTED, PLACED

NAME = "AAPL_2012-06-21_34200000_57600000_message_10.csv"
LINES = (
    "34200.004241176,1,16113575,18,5853300,1",
    "34200.00426064,1,16113584,18,5853200,-1",
    "34200.5,2,16113575,8,5853300,1",
    "34200.5,4,16113575,5,5853300,1",
    "34200.6,5,0,100,5853250,-1",
    "34201,6,-1,900,5853250,-1",
    "34201.000000001,7,0,0,-1,-1",
    "34201.1,3,9007199254740993,13,5853200,-1",
)


def entry(path: Path, **options: Any) -> dict[str, Any]:
    return {"kind": "lobster", "files": str(path), "max_age": "1min", "delay": "1ms"} | options


def write(folder: Path, *lines: str, name: str = NAME) -> Path:
    (folder / name).write_text("\n".join(lines))
    return folder / name


def read(path: Path, **options: Any) -> tuple[pl.DataFrame, Counter[str]]:
    source, ignored, parts = parse_source("mine", entry(path, **options)), Counter[str](), []
    for index, file in enumerate(input_files(source, {})):
        for batch in READERS[source.kind](source, file, index, "XNYS"):
            parts.append(batch.rows)
            ignored.update(batch.ignored)
    return pl.concat(parts), ignored


class TestMessages:
    def test_orders(self, tmp_path: Path) -> None:
        rows, ignored = read(write(tmp_path, *LINES))
        assert rows.row(0, named=True) | {"event_time": 0, "known_time": 0} == {
            "entity": "AAPL",
            "event_time": 0,
            "known_time": 0,
            "sequence": 1,
            "order": 16113575,
            "action": PLACED,
            "side": 1,
            "price": 585.33,
            "size": 18.0,
            "last": True,
            "file": 0,
            "member": None,
            "line": 1,
            "problem": None,
        }
        assert rows.select("line", "order", "action", "side", "size").rows()[1:] == [
            (2, 16113584, PLACED, -1, 18.0),
            (3, 16113575, CANCELLED, 1, 8.0),
            (4, 16113575, EXECUTED, 1, 5.0),
            (8, 9007199254740993, CANCELLED, -1, 13.0),
        ]
        assert ignored == {"hidden_execution": 1, "cross_trade": 1, "trading_halt": 1}

    def test_nanoseconds_are_exact(self, tmp_path: Path) -> None:
        rows, _ = read(write(tmp_path, *LINES))
        midnight = int(datetime(2012, 6, 21, 4, tzinfo=UTC).timestamp()) * 10**9
        since = rows["event_time"].dt.epoch("ns") - midnight
        assert since.to_list() == [34200004241176, 34200004260640, 34200500000000, 34200500000000, 34201100000000]
        assert ((rows["known_time"] - rows["event_time"]).dt.total_nanoseconds() == 10**6).all()

    def test_trades(self, tmp_path: Path) -> None:
        rows, ignored = read(write(tmp_path, *LINES), data="trade")
        # a resting buyer was hit by a seller; a hidden seller was lifted by a buyer; a cross has no aggressor
        assert rows.select("line", "price", "size", "side").rows() == [
            (4, 585.33, 5.0, -1),
            (5, 585.325, 100.0, 1),
            (6, 585.325, 900.0, 0),
        ]
        assert ignored == {"order_placed": 2, "order_cancelled": 2, "trading_halt": 1}

    def test_damaged_lines(self, tmp_path: Path) -> None:
        bad = [
            LINES[0],
            "",
            "34200.1,1,1,1,1",
            "34200.1,9,1,1,1,1",
            "34200.1,x,1,1,1,1",
            "34200.1,1,1,1,1,0",
            "34200.1,1,1,1,NaN,",
            "34200.0123456789,1,1,1,1,1",
            "1e5,1,1,1,1,1",
            "34200.1,1,y,1,1,1",
            "34200.1,1,1,1e400,10000,1",
        ]
        rows, ignored = read(write(tmp_path, *bad))
        assert rows.select("line", "problem").rows() == [
            (1, None),
            (3, "wrong_field_count"),
            (4, "unknown_type"),
            (5, "unparsable_number"),
            (6, "unparsable_side"),
            (7, "unparsable_number"),
            (8, "unparsable_time"),
            (9, "unparsable_time"),
            (10, "unparsable_number"),
            (11, None),
        ]
        assert rows["size"][-1] == float("inf")
        assert not ignored

    def test_out_of_order_duplicated_and_infinite_rows_are_judged_by_ingest(self, tmp_path: Path) -> None:
        huge = "34200.7,1,1,inf,10000,1"
        path = write(tmp_path, *LINES[:5], LINES[0], huge)
        source = parse_source("mine", entry(path, quarantine_limit=1.0))
        result = ingest("mine", source, calendar="XNYS", lake=tmp_path / "lake")
        assert result.counts["quarantined"] == {"not_finite": 1, "time_goes_back": 1}
        assert result.counts["read"] == 7
        assert result.counts["used"] == 4
        assert pl.read_parquet(result.quarantine)["raw"].to_list() == [LINES[0], huge]

    @pytest.mark.parametrize("data", ["order", "trade"])
    @pytest.mark.parametrize("size", [1, 50, 200])
    def test_any_cut_into_batches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, size: int) -> None:
        path = write(tmp_path, *LINES)
        whole = read(path, data=data)
        monkeypatch.setattr(files.blocks, "__kwdefaults__", {"quoted": False, "size": size})
        again = read(path, data=data)
        assert again[0].equals(whole[0])
        assert again[1] == whole[1]


class TestFiles:
    def test_name_and_date_by_config(self, tmp_path: Path) -> None:
        path = write(tmp_path, *LINES, name="messages.csv")
        rows, _ = read(path, entity="MSFT", date="2013-01-02")
        assert rows["entity"].unique().to_list() == ["MSFT"]
        assert rows["event_time"][0].date().isoformat() == "2013-01-02"

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("messages.csv", {}, "does not tell its stock"),
            ("messages.csv", {"entity": "A"}, "does not tell its date"),
            ("AAPL_2012-13-21_0_1_message_10.csv", {}, "2012-13-21 is not a date"),
        ],
    )
    def test_nothing_tells(self, tmp_path: Path, name: str, options: dict[str, str], words: str) -> None:
        with pytest.raises(DataError, match=words):
            read(write(tmp_path, *LINES, name=name), **options)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty"),
            (b"5859400,200,5853300,18", "has 4 fields in its first line"),
            (gzip.compress("\n".join(LINES * 99).encode(), mtime=0)[:-30], "truncated or damaged"),
        ],
    )
    def test_bad_files_are_one_line(self, tmp_path: Path, content: bytes, words: str) -> None:
        (tmp_path / NAME).write_bytes(content)
        with pytest.raises(DataError) as error:
            read(tmp_path / NAME)
        assert words in str(error.value)
        assert NAME in str(error.value)
        assert "\n" not in str(error.value)

    def test_describe(self, tmp_path: Path) -> None:
        facts = describe(write(tmp_path, *LINES))
        assert facts["source"]["kind"] == "lobster"
        assert facts["file"] == {"entity": "AAPL", "date": "2012-06-21", "levels": 10}


@pytest.mark.data
def test_real_head_moves_the_book_as_its_orderbook_file_says(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "market/lobster_aapl_head"
    source = parse_source("orders", entry(folder / NAME))
    result = ingest("orders", source, calendar="XNYS", lake=tmp_path)
    assert result.counts == {
        "read": 999,
        "used": 938,
        "quarantined": {},
        "duplicate_of_overlap": 0,
        "ignored": {"hidden_execution": 61},
    }
    rows = read_lake(result.folder)
    assert dict(rows["action"].value_counts().iter_rows()) == {PLACED: 471, CANCELLED: 369, EXECUTED: 98}
    trades, ignored = read(folder / NAME, data="trade")
    assert trades.height == 98 + 61
    assert ignored == {"order_placed": 471, "order_cancelled": 369}
    # line n of the orderbook is the book after message n: where a message's price stays within the ten levels, the
    # size there changes by the message's
    book = np.loadtxt(folder / NAME.replace("message", "orderbook"), delimiter=",")
    checked = 0
    for line, action, side, price, size in rows.select("sequence", "action", "side", "price", "size").iter_rows():
        if line == 1:
            continue
        levels = [dict(zip(row[1 + side :: 4], row[2 + side :: 4], strict=True)) for row in book[line - 2 : line]]
        ticks = round(price * 10_000)
        edge = max(map(min, levels)) if side == 1 else min(map(max, levels))
        if (ticks > edge) if side == 1 else (ticks < edge):
            change = levels[1].get(ticks, 0) - levels[0].get(ticks, 0)
            assert change == (size if action == PLACED else -size)
            checked += 1
    assert checked > 700
