"""Bitstamp's order feed: events told from what remains, on small files, damaged ones and the real log."""

import gzip
import json
import lzma
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ConfigError, DataError
from sources import files
from sources.config import parse_source
from sources.describe import describe
from sources.files import input_files
from sources.lake import ingest
from sources.lake import read as read_lake
from sources.readers import READERS
from sources.schema import CANCELLED, CHANGED, EXECUTED, PLACED

HEADER = "id,timestamp,exchange.timestamp,price,volume,action,direction"
EVENT = ["line", "order", "action", "side", "price", "size", "last", "problem"]
REAL = "market/bitstamp_l3_obanalytics"


def entry(path: Path, **options: Any) -> dict[str, Any]:
    return {"kind": "bitstamp_orders", "files": {"BTCUSD": str(path)}, "max_age": "1min"} | options


def read(path: Path, **options: Any) -> tuple[pl.DataFrame, Counter[str]]:
    source = parse_source("mine", entry(path, **options))
    batches = [
        batch
        for index, file in enumerate(input_files(source, {}))
        for batch in READERS[source.kind](source, file, index, "24/7")
    ]
    ignored: Counter[str] = Counter()
    for batch in batches:
        ignored.update(batch.ignored)
    return pl.concat([batch.rows for batch in batches]), +ignored


def table(path: Path, *rows: str) -> Path:
    """orders.csv; a row is `id,milliseconds,price,satoshi,action,direction`."""
    spelled = [",".join([cells[0], f"143043840{cells[1]}", "1430438400000", *cells[2:]]) for cells in map(_cells, rows)]
    path.write_text("\n".join([HEADER, *spelled]) + "\n")
    return path


def _cells(row: str) -> list[str]:
    return row.split(",")


def message(at: int, kind: str, **body: Any) -> str:
    return f"{1430438400000 + at} {kind} {json.dumps(body)}"


def order(at: int, what: str, number: int, amount: str, price: str = "236.47", side: int = 0) -> str:
    return message(at, f"order_{what}", price=price, amount=amount, datetime="1430438400", id=number, order_type=side)


def log(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


class TestWhatHappened:
    def test_life_of_an_order(self, tmp_path: Path) -> None:
        path = table(
            tmp_path / "orders.csv",
            "7,1000,236.47,200000000,created,bid",
            "7,1001,236.47,178855669,changed,bid",
            "7,1002,236.47,0,deleted,bid",
            "8,1003,240.00,100000001,created,ask",
            "8,1004,240.00,100000001,deleted,ask",
        )
        rows, ignored = read(path)
        assert rows.select(EVENT).rows() == [
            (2, 7, PLACED, 1, 236.47, 2.0, True, None),
            (3, 7, EXECUTED, 1, 236.47, 0.21144331, True, None),
            (4, 7, EXECUTED, 1, 236.47, 1.78855669, True, None),
            (5, 8, PLACED, -1, 240.0, 1.00000001, True, None),
            (6, 8, CANCELLED, -1, 240.0, 1.00000001, True, None),
        ]
        assert rows["sequence"].is_sorted()
        assert rows["sequence"].n_unique() == rows.height
        assert (rows["event_time"] == rows["known_time"]).all()
        assert rows["known_time"].dt.epoch("ms")[1] == 1430438401001
        assert not ignored

    def test_an_order_that_moves_and_is_executed_there(self, tmp_path: Path) -> None:
        path = table(
            tmp_path / "orders.csv",
            "7,1000,236.00,500,created,ask",
            "7,1001,235.00,500,changed,ask",
            "7,1002,234.00,200,changed,ask",
            "7,1003,234.00,900,changed,ask",
        )
        rows, _ = read(path)
        assert rows.select(EVENT[2:7]).rows()[1:] == [
            (CHANGED, -1, 235.0, 5e-6, True),
            (CHANGED, -1, 234.0, 5e-6, False),
            (EXECUTED, -1, 234.0, 3e-6, True),
            (CHANGED, -1, 234.0, 9e-6, True),
        ]
        assert rows["sequence"].n_unique() == rows.height

    def test_orders_older_than_the_file(self, tmp_path: Path) -> None:
        path = table(
            tmp_path / "orders.csv",
            "1,1000,236.00,500,changed,ask",
            "2,1001,236.00,500,deleted,ask",
            "3,1002,236.00,0,deleted,ask",
            "1,1003,236.00,100,changed,ask",
        )
        rows, _ = read(path)
        assert rows.select("action", "size", "problem").rows() == [
            (CHANGED, 5e-6, None),
            (CANCELLED, 5e-6, None),
            (EXECUTED, None, "unknown_order"),
            (EXECUTED, 4e-6, None),
        ]

    def test_a_change_that_was_missed_before_a_deletion(self, tmp_path: Path) -> None:
        path = table(tmp_path / "orders.csv", "7,1000,236.00,500,created,ask", "7,1001,236.00,200,deleted,ask")
        rows, _ = read(path)
        assert rows.select(EVENT[2:7]).rows()[1:] == [
            (EXECUTED, -1, 236.0, 3e-6, False),
            (CANCELLED, -1, 236.0, 2e-6, True),
        ]

    def test_repeated_messages(self, tmp_path: Path) -> None:
        path = table(
            tmp_path / "orders.csv",
            "7,1000,236.00,500,created,ask",
            "7,1000,236.00,500,created,ask",
            "7,1001,236.00,500,changed,ask",
            "7,1002,236.00,600,created,ask",
        )
        rows, _ = read(path)
        assert rows.select("action", "problem").rows() == [
            (PLACED, None),
            (None, "exact_duplicate"),
            (None, "nothing_changed"),
            (CHANGED, None),
        ]

    def test_messages_that_changed_places(self, tmp_path: Path) -> None:
        path = table(
            tmp_path / "orders.csv",
            "5,1000,236.00,100,created,ask",
            "6,1001,236.00,500,deleted,ask",
            "6,1002,236.00,500,created,ask",
            "7,1003,236.00,500,created,ask",
            "7,1004,236.00,0,deleted,ask",
            "7,1005,236.00,300,changed,ask",
            "4,1006,236.00,300,changed,ask",
        )
        rows, _ = read(path)
        assert rows.select("order", "action", "problem").rows() == [
            (5, PLACED, None),
            (6, None, "out_of_order_message"),
            (6, None, "out_of_order_message"),
            (7, PLACED, None),
            (7, EXECUTED, None),
            (7, None, "out_of_order_message"),
            (4, CHANGED, None),
        ]

    def test_damaged_rows_leave_the_state_alone(self, tmp_path: Path) -> None:
        path = table(
            tmp_path / "orders.csv",
            "7,1000,236.00,500,created,ask",
            "7,x,236.00,400,changed,ask",
            "7,1001,236.00,NaN,changed,ask",
            "7,1001,236.00,,changed,ask",
            "7,1001,0,400,changed,ask",
            "7,1001,inf,400,changed,ask",
            "7,1001,236.00,-1,changed,ask",
            "7,1001,236.00,99999999999999999999,changed,ask",
            "7,1001,236.00,400,changed,up",
            "x,1001,236.00,400,changed,ask",
            "7,1001,236.00,400,grown,ask",
            "7,1001,236.00,400,changed",
            "7,1002,236.00,300,changed,ask",
        )
        rows, ignored = read(path)
        assert rows["problem"].to_list() == [
            None,
            "unparsable_time",
            "unparsable_number",
            "unparsable_number",
            "non_positive_price",
            "unparsable_number",
            "negative_size",
            "size_too_large",
            "unparsable_message",
            "unparsable_message",
            "unparsable_message",
            "wrong_field_count",
            None,
        ]
        assert rows.row(-1, named=True)["size"] == 2e-6
        assert not ignored


class TestLog:
    LINES = (
        order(0, "created", 11, "2.00000000", side=1),
        order(1, "created", 12, "0.50000000"),
        order(2, "changed", 11, "1.50000000", side=1),
        order(2, "deleted", 12, "0.00000000"),
        message(3, "trade", price=236.47, amount=0.5, id=81),
        order(4, "deleted", 9, "0.00000000"),
        order(5, "changed", 11, "1.25000000", side=1),
        message(6, "trade", price=236.47, amount=0.25, id=82),
        message(7, "order_book", bids=[], asks=[["236.47", "1.25000000"], ["240.00", "7.00000000"]]),
        message(8, "order_book", bids=[], asks=[]),
        message(9, "weather", sun=True),
    )

    def test_orders_of_the_log(self, tmp_path: Path) -> None:
        rows, ignored = read(log(tmp_path / "x.log", *self.LINES))
        assert rows.select("action", "size", "problem").rows() == [
            (PLACED, 2.0, None),
            (PLACED, 0.5, None),
            (EXECUTED, 0.5, None),
            (EXECUTED, 0.5, None),
            (EXECUTED, None, "unknown_order"),
            (EXECUTED, 0.25, None),
        ]
        assert ignored == {"other_message": 5}

    def test_aggressor_is_the_later_order(self, tmp_path: Path) -> None:
        rows, ignored = read(log(tmp_path / "x.log", *self.LINES), data="trade")
        # of the second trade the buyer was older than the file
        assert rows.select("line", "price", "size", "side").rows() == [(5, 236.47, 0.5, 1), (8, 236.47, 0.25, 0)]
        assert ignored == {"other_message": 9}

    def test_books(self, tmp_path: Path) -> None:
        rows, ignored = read(log(tmp_path / "x.log", *self.LINES), data="book")
        assert rows.select("line", "action", "side", "price", "size", "last", "problem").rows() == [
            (9, 1, -1, 236.47, 1.25, False, None),
            (9, 0, -1, 240.0, 7.0, True, None),
            (10, None, None, None, None, True, "empty_book"),
        ]
        assert ignored == {"other_message": 9}

    @pytest.mark.parametrize("data", ["order", "trade", "book"])
    def test_damaged_lines_are_rows_with_a_reason(self, tmp_path: Path, data: str) -> None:
        bad = ["", "nonsense", self.LINES[0][:60], '99 order_book {"bids": [["1"]], "asks": []}', "\xff\xfe"]
        rows, ignored = read(log(tmp_path / "x.log", *self.LINES, *bad), data=data)
        clean, clean_ignored = read(log(tmp_path / "y.log", *self.LINES), data=data)
        reasons = rows.filter(pl.col("line") > len(self.LINES))["problem"].to_list()
        assert reasons == ["unparsable_message"] * (4 if data == "book" else 3)
        assert rows.filter(pl.col("line") <= len(self.LINES)).equals(clean)
        assert ignored["other_message"] == clean_ignored["other_message"] + (data != "book")

    @pytest.mark.parametrize("data", ["order", "trade", "book"])
    @pytest.mark.parametrize("size", [1, 100, 700])
    def test_any_cut_into_batches_gives_the_same_rows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, size: int
    ) -> None:
        path = log(tmp_path / "x.log", *self.LINES, self.LINES[-1], order(9, "created", 11, "3"), *self.LINES[:1] * 3)
        whole, ignored = read(path, data=data)
        monkeypatch.setattr(files.blocks, "__kwdefaults__", {"quoted": False, "size": size})
        assert read(path, data=data)[0].equals(whole)
        assert read(path, data=data)[1] == ignored

    def test_later_lines_change_nothing_earlier(self, tmp_path: Path) -> None:
        for data in ("order", "trade", "book"):
            whole, _ = read(log(tmp_path / "x.log", *self.LINES), data=data)
            for count in range(1, len(self.LINES)):
                cut, _ = read(log(tmp_path / "y.log", *self.LINES[:count]), data=data)
                assert cut.equals(whole.filter(pl.col("line") <= count))


class TestBadFiles:
    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("empty", b"", "is empty"),
            ("empty xz", lzma.compress(b""), "is empty"),
            ("cut xz", lzma.compress("\n".join(TestLog.LINES * 99).encode())[:-40], "truncated or damaged"),
            ("cut gz", gzip.compress("\n".join(TestLog.LINES * 99).encode(), mtime=0)[:-40], "truncated or damaged"),
            ("other table", b"a,b\n1,2\n", "has no column 'id'"),
        ],
    )
    def test_one_line_that_names_the_file(self, tmp_path: Path, name: str, content: bytes, words: str) -> None:
        path = tmp_path / "x.log"
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            read(path)
        assert words in str(error.value)
        assert "x.log" in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_table_holds_no_trades(self, tmp_path: Path) -> None:
        path = table(tmp_path / "orders.csv", "7,1000,236.00,500,created,ask")
        with pytest.raises(DataError, match="holds no trades; trades are in the raw log"):
            read(path, data="trade")

    def test_unknown_data(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"sources\.mine\.\S*data"):
            read(tmp_path / "x", data="quote")


def test_describe(tmp_path: Path) -> None:
    (tmp_path / "orders.csv.xz").write_bytes(
        lzma.compress(table(tmp_path / "o.csv", "7,1000,236.00,500,created,ask").read_bytes())
    )
    (tmp_path / "day.log.xz").write_bytes(lzma.compress(log(tmp_path / "x.log", *TestLog.LINES).read_bytes()))
    for name in ("orders.csv.xz", "day.log.xz"):
        assert describe(tmp_path / name)["source"]["kind"] == "bitstamp_orders"


@pytest.mark.data
def test_real_orders(data_root: Path, tmp_path: Path) -> None:
    for name in ("orders.csv.xz", "2015-05-01.log.xz"):
        source = parse_source("orders", entry(data_root / REAL / name))
        result = ingest("orders", source, calendar="24/7", lake=tmp_path / "lake")
        # 15 messages move an order and execute a part of it, 22 deletions end older orders, 31 changed places
        assert result.counts["read"] - result.counts["ignored"].get("other_message", 0) == 50_414 + 15
        assert result.counts["quarantined"] == {"out_of_order_message": 31, "unknown_order": 22, "exact_duplicate": 1}
        rows = read_lake(result.folder)
        assert dict(rows["action"].value_counts().iter_rows()) == {
            PLACED: 24_889,
            CHANGED: 39,
            CANCELLED: 24_312,
            EXECUTED: 1_135,
        }
        assert rows["sequence"].is_sorted()
        size = rows["size"].to_numpy()
        assert (np.round(size * 1e8) / 1e8 == size).all()


@pytest.mark.data
def test_real_trades_are_the_executions(data_root: Path) -> None:
    path = data_root / REAL / "2015-05-01.log.xz"
    trades, ignored = read(path, data="trade")
    assert trades.height == 575
    assert ignored == {"other_message": 55_425}
    assert trades["problem"].null_count() == 575
    assert dict(trades["side"].value_counts().iter_rows()) == {1: 291, -1: 242, 0: 42}
    orders = read(path)[0].filter(pl.col("action") == EXECUTED, pl.col("problem").is_null())
    # of each trade an execution of its size on one side at least, both where no order is older than the file
    executed = Counter(orders["size"].to_list())
    assert all(executed[size] for size in trades["size"])


@pytest.mark.data
def test_real_books_equal_the_orders(data_root: Path) -> None:
    """The best bid and offer of the orders equal those of the log's own books, once the file's orders have come."""
    path = data_root / REAL / "2015-05-01.log.xz"
    books, ignored = read(path, data="book")
    assert books["line"].n_unique() == 5_011
    assert ignored == {"other_message": 50_989}
    best = (
        books.group_by("line", "side", maintain_order=True)
        .first()
        .pivot("side", index="line", values="price")
        .sort("line")
        .rows()
    )
    events = read(path)[0].filter(pl.col("problem").is_null())
    resting: dict[int, tuple[int, float, float]] = {}
    levels: dict[int, Counter[float]] = {1: Counter(), -1: Counter()}
    equal, place = 0, 0
    rows = events.select("line", "order", "action", "side", "price", "size").rows()
    for line, bid, ask in best:
        while place < len(rows) and rows[place][0] < line:
            _, number, action, side, price, size = rows[place]
            place += 1
            old_side, old_price, old_size = resting.pop(number, (side, price, 0.0))
            left = size if action in {PLACED, CHANGED} else round(old_size - size, 8)
            levels[old_side][old_price] = round(levels[old_side][old_price] - old_size, 8)
            if left > 0:
                resting[number] = (side, price if action in {PLACED, CHANGED} else old_price, left)
                levels[resting[number][0]][resting[number][1]] += left
        now = [{price for price, size in levels[side].items() if size > 1e-9} for side in (1, -1)]
        equal += bool(now[0] and now[1]) and (max(now[0]), min(now[1])) == (bid, ask)
    assert equal / len(best) > 0.98
