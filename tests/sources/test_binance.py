"""Binance logs: the rule of the sequence, the clock, damaged lines, and the counts of real files."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gpu_kernels.errors import DataError
from sources.config import BinanceRaw, parse_source
from sources.files import InputFile
from sources.lake import ingest, read
from sources.readers import binance_raw

LOCAL = 1_723_161_255_000_000_000
MS = 1_000_000


def source_of(data: str, files: object = "x", market: str = "usdm", **options: Any) -> BinanceRaw:
    entry = {"kind": "binance_raw", "market": market, "data": data, "files": files, "max_age": "10s"} | options
    found = parse_source("x", entry)
    assert isinstance(found, BinanceRaw)
    return found


def line(second: float, message: dict[str, Any]) -> str:
    return f"{LOCAL + int(second * 1e9)} {json.dumps(message, separators=(',', ':'))}"


def change(second: float, first: int, update: int, before: int, bids: list, asks: list, sent: int = 1) -> str:
    data = {"e": "depthUpdate", "E": LOCAL // MS + int(second * 1000) + sent, "T": LOCAL // MS + int(second * 1000)}
    data |= {"s": "B", "U": first, "u": update, "pu": before, "b": bids, "a": asks}
    return line(second, {"stream": "b@depth@0ms", "data": data})


SNAPSHOT = line(1, {"lastUpdateId": 10, "bids": [["99", "5"], ["98", "1"]], "asks": [["101", "4"]]})
LINES = [
    change(0.1, 3, 5, 2, [["97", "9"]], []),  # in the snapshot already
    change(0.5, 6, 12, 5, [["99", "6"]], []),  # reaches over it
    SNAPSHOT,
    change(2, 13, 15, 12, [], [["101", "0"], ["102", "3"]]),
    change(3, 13, 15, 12, [], [["101", "7"]]),  # again
    change(4, 18, 20, 17, [["99", "8"], ["98", "8"]], []),  # 16 and 17 are lost
    change(5, 21, 22, 20, [["99", "9"]], []),
]


def rows_of(path: Path, data: str = "book", market: str = "usdm") -> tuple[pl.DataFrame, dict[str, int]]:
    batches = list(binance_raw.read(source_of(data, market=market), InputFile(path, "B"), 0, "24/7"))
    ignored: dict[str, int] = {}
    for batch in batches:
        for reason, count in batch.ignored.items():
            ignored[reason] = ignored.get(reason, 0) + count
    return pl.concat([batch.rows for batch in batches]), ignored


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "usdm.log"
    path.write_text("\n".join(LINES) + "\n")
    return path


def test_the_book_follows_the_sequence_rule(log: Path) -> None:
    rows, ignored = rows_of(log)
    told = rows.select("line", "action", "side", "price", "size", "last", "sequence").rows()
    assert told == [
        (3, 1, 1, 99.0, 5.0, False, 0), (3, 0, 1, 98.0, 1.0, False, 1), (3, 0, -1, 101.0, 4.0, True, 2),
        (2, 0, 1, 99.0, 6.0, True, 3),
        (4, 0, -1, 101.0, 0.0, False, 4), (4, 0, -1, 102.0, 3.0, True, 5),
        (6, 2, 1, 99.0, 8.0, True, 6),
    ]  # fmt: skip
    assert ignored == {"other_stream": 0, "older_than_the_book": 1, "before_a_snapshot": 3}
    # the change that was held back is known with the snapshot, and not before it
    assert rows["known_time"][3] == rows["known_time"][0]


def test_a_snapshot_ends_a_gap(log: Path) -> None:
    again = SNAPSHOT.replace('"lastUpdateId":10', '"lastUpdateId":21').replace(
        str(LOCAL + 10**9), str(LOCAL + 6 * 10**9)
    )
    log.write_text("\n".join([*LINES, again]) + "\n")
    rows, _ = rows_of(log)
    # of the two changes since the gap one is in the snapshot, the other goes on from it
    assert rows.filter(pl.col("line") > 5).select("line", "action").rows()[-4:] == [(8, 1), (8, 0), (8, 0), (7, 0)]


def test_spot_counts_its_updates_without_pu(tmp_path: Path) -> None:
    path = tmp_path / "spot.log"
    lines = [SNAPSHOT, change(2, 11, 12, 0, [["99", "1"]], []), change(3, 13, 13, 0, [["99", "2"]], [])]
    text = "\n".join([*lines, change(4, 15, 15, 0, [["99", "3"]], [])])
    path.write_text(text.replace('"pu":0,', ""))
    assert rows_of(path, market="spot")[0]["action"].to_list() == [1, 0, 0, 0, 0, 2]


def test_the_other_markets_log_is_refused(log: Path) -> None:
    with pytest.raises(DataError, match="market: spot; its depth changes have a pu; allowed: market: usdm or coinm"):
        rows_of(log, market="spot")
    log.write_text(re.sub(r'"pu":\d+,', "", log.read_text()))
    assert len(rows_of(log, market="spot")[0]) > 3
    with pytest.raises(DataError, match="market: coinm; its depth changes have no pu; allowed: market: spot"):
        rows_of(log, market="coinm")


def test_a_damaged_change_is_set_aside_and_leaves_a_gap(log: Path) -> None:
    for broken in (LINES[3][:-30], LINES[3].replace('"102"', '"NaN"'), LINES[3].replace('"U":13', '"U":"x"'), "!!"):
        log.write_text("\n".join([*LINES[:3], broken, change(3, 16, 17, 15, [["99", "7"]], [])]) + "\n")
        rows, _ = rows_of(log)
        assert rows.filter(pl.col("problem").is_not_null())["line"].to_list() == [4], broken
        assert rows.filter(pl.col("problem").is_null())["action"].to_list() == [1, 0, 0, 0, 2], broken


def test_the_clock_is_corrected_by_the_past_alone(tmp_path: Path) -> None:
    path = tmp_path / "behind.log"
    # our clock is 30 ms, then seen to be 50 ms, behind the exchange's
    whole = [change(0, 1, 1, 0, [["9", "1"]], [], sent=30), change(1, 2, 2, 1, [["9", "1"]], [], sent=50)]
    trades = [
        line(
            s,
            {
                "stream": "b@trade",
                "data": {"T": LOCAL // MS + int(s * 1000), "p": "9", "q": "2", "m": m, "X": "MARKET"},
            },
        )
        for s, m in ((0.5, True), (2, False))
    ]
    path.write_text("\n".join([whole[0], trades[0], whole[1], trades[1]]) + "\n")
    rows, _ = rows_of(path, "trade")
    ages = (rows["known_time"].dt.epoch("ns") - LOCAL).to_list()
    assert ages == [int(0.5e9) + 30 * MS, int(2e9) + 50 * MS]
    assert rows["side"].to_list() == [-1, 1]
    path.write_text("\n".join([whole[0], trades[0]]) + "\n")
    assert rows_of(path, "trade")[0].equals(rows[:1])


def test_the_book_goes_on_in_the_next_file(tmp_path: Path, log: Path) -> None:
    for cut in range(1, len(LINES)):
        for number, part in enumerate((LINES[:cut], LINES[cut:])):
            (tmp_path / f"part{number}.log").write_text("\n".join(part) + "\n")
        carried: dict[str, Any] = {}
        parts = [
            batch.rows
            for number in range(2)
            for batch in binance_raw.read(
                source_of("book"), InputFile(tmp_path / f"part{number}.log", "B"), number, "24/7", carried
            )
        ]
        names = ["known_time", "event_time", "sequence", "action", "side", "price", "size", "last"]
        assert pl.concat(parts).select(names).equals(rows_of(log)[0].select(names)), cut


def test_blocks_may_end_anywhere(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, ignored = rows_of(log)
    for size in (1, 7, 100, 333):
        monkeypatch.setattr("sources.files._BLOCK", size)
        found, counted = rows_of(log)
        assert found.equals(whole)
        assert counted == ignored


def test_a_gap_or_a_snapshot_without_levels_is_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    lost = change(2, 14, 15, 13, [], [])
    nothing = line(3, {"lastUpdateId": 15, "bids": [], "asks": []})
    path.write_text("\n".join([*LINES[:3], lost, nothing, change(4, 15, 16, 15, [["9", "1"]], [])]) + "\n")
    rows, _ = rows_of(path)
    assert rows.select("action", "side", "price", "size", "last").rows()[-3:] == [
        (2, 1, 99.0, 0.0, True),
        (1, 1, 99.0, 0.0, True),
        (0, 1, 9.0, 1.0, True),
    ]


def test_an_older_snapshot_does_not_turn_the_book_back(log: Path) -> None:
    lines = [*LINES[:4], SNAPSHOT, change(3, 16, 17, 15, [["99", "7"]], [])]
    log.write_text("\n".join(lines) + "\n")
    assert rows_of(log)[0]["action"].to_list() == [1, *[0] * 6]


def test_two_symbols_are_no_book(log: Path) -> None:
    other = LINES[3].replace('"s":"B"', '"s":"ETH"')
    for text in ("\n".join([*LINES, other]), "\n".join([*LINES, other.replace('"ETH"', '"C"')])):
        log.write_text(text)
        with pytest.raises(DataError, match="holds B and"):
            rows_of(log)


def test_a_clock_that_is_a_day_off_is_damage(log: Path) -> None:
    wrong = LINES[3].replace(f'"E":{LOCAL // MS // 1000 + 2}', '"E":9999999999')
    assert wrong != LINES[3]
    log.write_text("\n".join([*LINES[:3], wrong, change(5, 21, 22, 20, [["99", "9"]], [])]) + "\n")
    rows, _ = rows_of(log)
    assert rows["problem"].drop_nulls().to_list() == ["clocks_disagree"]
    assert rows["action"].drop_nulls().to_list() == [1, 0, 0, 0, 2]
    assert rows["known_time"].drop_nulls().max().year == 2024


def test_delay_is_added_to_the_receipt(log: Path) -> None:
    later = binance_raw.read(source_of("book", delay="250ms"), InputFile(log, "B"), 0, "24/7")
    moved = pl.concat([batch.rows for batch in later])["known_time"] - rows_of(log)[0]["known_time"]
    assert moved.unique().dt.total_milliseconds().to_list() == [250]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (gzip.compress(b"x" * 4000, mtime=0)[:30], "truncated or damaged"),
        (b"a,b\n1,2\n", "no Binance log line"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        rows_of(path)


@pytest.mark.data
def test_real_files_have_the_documented_counts_and_no_gap(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "market" / "binance_l2"
    counted = {"spot": (28040, 9757, 3449), "usdm": (66089, 21313, 6547), "coinm": (19136, 2286, 26824)}
    for market, (quotes, trades, changes) in counted.items():
        files = {"BTC": str(folder / f"{'cm' if market == 'coinm' else market}_*.gz")}
        found = {
            data: ingest(data, source_of(data, files, market), calendar="24/7", lake=tmp_path / market)
            for data in ("book", "quote", "trade")
        }
        assert all(not result.counts["quarantined"] for result in found.values())
        assert found["quote"].counts["used"] == quotes
        assert found["trade"].counts["used"] == trades
        book = read(found["book"].folder)
        assert book["action"].value_counts().sort("action").rows() == [(0, book.height - 1), (1, 1)]
        assert book["last"].sum() == changes + 1
        # the local clock was 1.27 s behind
        late = (book["known_time"] - book["event_time"]).dt.total_milliseconds()
        assert late.min() >= 0
        assert late.median() < 50


@pytest.mark.data
@pytest.mark.parametrize("market", ["spot", "usdm", "coinm"])
def test_a_line_cut_out_of_a_real_file_is_one_gap_until_the_next_snapshot(
    data_root: Path, tmp_path: Path, market: str
) -> None:
    [path] = (data_root / "market" / "binance_l2").glob(f"{'cm' if market == 'coinm' else market}_*20240808.gz")
    lines = gzip.decompress(path.read_bytes()).splitlines()
    depth = [number for number, text in enumerate(lines) if b"@depth" in text]
    cut = depth[len(depth) // 2]
    (tmp_path / "cut.log").write_bytes(b"\n".join(lines[:cut] + lines[cut + 1 :]))
    whole, _ = rows_of(path, market=market)
    rows, ignored = rows_of(tmp_path / "cut.log", market=market)
    before = whole.filter(pl.col("line") <= cut)
    assert rows[:-1].drop("line").equals(before.drop("line"))
    assert rows["action"].to_list()[-1] == 2
    assert rows["action"].to_list().count(2) == 1
    # the changes after it wait for a snapshot that never comes
    assert ignored["before_a_snapshot"] >= len(depth) - len(depth) // 2 - 1
