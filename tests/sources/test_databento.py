"""Databento's files, written here by databento-dbn: orders, trades, quotes, books, and files as bad as they come."""

import datetime as dt
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import polars as pl
import pyarrow as pa
import pytest

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.describe import describe
from sources.files import input_files, open_member
from sources.lake import ingest
from sources.lake import read as read_lake
from sources.readers import READERS, databento_file
from sources.readers.live_orders import LiveOrders
from sources.readers.snapshots import BookDifferences
from sources.schema import CANCELLED, CHANGED, EXECUTED, PLACED, SET, SNAPSHOT

START = 1_700_000_000_000_000_000
LAST, SNAP = 128, 32 + 8
ES, NQ = 7, 8
ACTIONS = {
    "A": dbn.Action.ADD,
    "C": dbn.Action.CANCEL,
    "M": dbn.Action.MODIFY,
    "T": dbn.Action.TRADE,
    "F": dbn.Action.FILL,
    "R": dbn.Action.CLEAR,
    "N": dbn.Action.NONE,
}
SIDES = {"B": dbn.Side.BID, "A": dbn.Side.ASK, "N": dbn.Side.NONE}
EVENT = ["line", "order", "action", "side", "price", "size", "last"]


@dataclass
class Span:
    start_date: dt.date
    end_date: dt.date
    symbol: str


@dataclass
class Mapping:
    raw_symbol: str
    intervals: list[Span]


def metadata(schema: Any, names: dict[str, int]) -> bytes:
    days = dt.date(2023, 11, 14), dt.date(2023, 11, 20)
    return dbn.Metadata(
        dataset="GLBX.MDP3",
        start=START,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=schema,
        symbols=list(names),
        mappings=[Mapping(name, [Span(*days, str(number))]) for name, number in names.items()],
    ).encode()


def order(
    at: int, what: str, number: int, price: float | None, size: int, flags: int = LAST, instrument: int = ES
) -> bytes:
    """One mbo record; `what` is its action and side, as AB: add, bid. It happened a microsecond before its receipt."""
    fixed = dbn.UNDEF_PRICE if price is None else round(price * 1e9)
    stamp = START + at * 10**6
    action, side = ACTIONS[what[0]], SIDES[what[1]]
    return bytes(dbn.MBOMsg(1, instrument, stamp - 1000, number, fixed, size, action, side, stamp, flags=flags))


def write(path: Path, *records: bytes, schema: Any = dbn.Schema.MBO, names: dict[str, int] | None = None) -> Path:
    data = metadata(schema, names or {"ESH4": ES}) + b"".join(records)
    path.write_bytes(pa.compress(data, "zstd", asbytes=True) if path.suffix == ".zst" else data)
    return path


def entry(path: Path, **options: Any) -> dict[str, Any]:
    return {"kind": "databento_dbn", "files": str(path), "max_age": "1min", "data": "order"} | options


def read(path: Path, **options: Any) -> tuple[pl.DataFrame, Counter[str]]:
    source, ignored, parts = parse_source("mine", entry(path, **options)), Counter[str](), []
    for index, file in enumerate(input_files(source, {})):
        for batch in READERS[source.kind](source, file, index, "24/7"):
            parts.append(batch.rows)
            ignored.update(batch.ignored)
    return pl.concat(parts), +ignored


class TestOrders:
    def test_placed_changed_cancelled(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "x.mbo.dbn.zst",
            order(0, "AB", 1, 4800.25, 5, 0),
            order(0, "AA", 2, 4800.50, 7),
            order(1, "MB", 1, 4800.00, 6),
            order(2, "CB", 1, 4800.00, 4),
            order(3, "CB", 1, 4800.00, 2),
        )
        rows, ignored = read(path)
        assert rows.select(EVENT).rows() == [
            (1, 1, PLACED, 1, 4800.25, 5.0, False),
            (2, 2, PLACED, -1, 4800.5, 7.0, True),
            (3, 1, CHANGED, 1, 4800.0, 6.0, True),
            (4, 1, CANCELLED, 1, 4800.0, 4.0, True),
            (5, 1, CANCELLED, 1, 4800.0, 2.0, True),
        ]
        assert rows["entity"].unique().to_list() == ["ESH4"]
        assert rows["known_time"].dt.epoch("ns")[2] == START + 10**6
        assert (rows["known_time"] - rows["event_time"]).dt.total_nanoseconds().unique().to_list() == [1000]
        assert rows["problem"].null_count() == rows.height
        assert not ignored

    def test_an_execution_is_where_the_book_changes(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "x.dbn",
            order(0, "AA", 1, 10, 5),
            order(0, "AA", 2, 10, 3),
            order(1, "TB", 9, 10, 7, 0),
            order(1, "FA", 1, 10, 5, 0),
            order(1, "FA", 2, 10, 2, 0),
            order(1, "CA", 1, 10, 5, 0),
            order(1, "MA", 2, 10, 1),
            order(2, "CA", 2, 10, 1),
        )
        rows, ignored = read(path)
        assert rows.select(EVENT).rows()[2:] == [
            (6, 1, EXECUTED, -1, 10.0, 5.0, False),
            (7, 2, EXECUTED, -1, 10.0, 2.0, True),
            (8, 2, CANCELLED, -1, 10.0, 1.0, True),
        ]
        assert ignored == {"trade_record": 1, "fill_record": 2}

    def test_executed_and_something_else(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "x.dbn",
            order(0, "AA", 1, 10, 5, 0),  # executed in part, the rest cancelled
            order(0, "AA", 2, 10, 3, 0),  # an iceberg shows again
            order(0, "AA", 3, 10, 9, 0),  # executed and moved
            order(0, "AA", 4, 10, 1),  # filled beyond what it showed
            order(1, "FA", 1, 10, 2, 0),
            order(1, "FA", 2, 10, 3, 0),
            order(1, "FA", 3, 10, 4, 0),
            order(1, "FA", 4, 10, 8, 0),
            order(1, "FA", 99, 10, 8, 0),  # never added
            order(1, "CA", 1, 10, 5, 0),
            order(1, "MA", 2, 10, 3, 0),
            order(1, "MA", 3, 11, 5, 0),
            order(1, "CA", 4, 10, 1),
            order(2, "MA", 98, 10, 1),  # older than the file
        )
        rows, _ = read(path)
        assert rows.select(EVENT).rows()[4:] == [
            (10, 1, EXECUTED, -1, 10.0, 2.0, False),
            (10, 1, CANCELLED, -1, 10.0, 3.0, False),
            (11, 2, EXECUTED, -1, 10.0, 3.0, False),
            (11, 2, PLACED, -1, 10.0, 3.0, False),
            (12, 3, EXECUTED, -1, 10.0, 4.0, False),
            (12, 3, CHANGED, -1, 11.0, 5.0, False),
            (13, 4, EXECUTED, -1, 10.0, 1.0, True),
            (14, 98, CHANGED, -1, 10.0, 1.0, True),
        ]
        assert rows["sequence"].is_sorted()
        assert rows["sequence"].n_unique() == rows.height

    def test_a_fill_counts_in_its_own_message_only(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "x.dbn",
            order(0, "AA", 1, 10, 5),
            order(1, "FA", 1, 10, 2),
            order(2, "CA", 1, 10, 5),
        )
        assert read(path)[0]["action"].to_list() == [PLACED, CANCELLED]

    def test_snapshots_and_clears(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "x.dbn",
            order(0, "RN", 0, None, 0, SNAP),
            order(0, "AB", 1, 10, 1, SNAP),
            order(0, "AB", 2, 10, 1, SNAP),
            order(1, "AB", 3, 10, 1),
            order(2, "RN", 0, None, 0),
            order(3, "CB", 3, 10, 1),
            order(4, "AB", 4, 10, 1),
            order(5, "AB", 5, 10, 1, SNAP),
            order(5, "AB", 6, 10, 1, SNAP),
        )
        rows, ignored = read(path)
        assert rows["action"].to_list() == [SNAPSHOT, PLACED, PLACED, CANCELLED, SNAPSHOT, SNAPSHOT, PLACED]
        assert ignored == {"clear_record": 2}
        # a snapshot's records are about the snapshot, however old their orders are
        late = (rows["known_time"] - rows["event_time"]).dt.total_nanoseconds().to_list()
        assert late == [0, 0, 1000, 1000, 1000, 0, 0]

    def test_several_instruments(self, tmp_path: Path) -> None:
        names = {"ESH4": ES, "NQH4": NQ}
        path = write(
            tmp_path / "x.dbn",
            order(0, "AB", 1, 10, 5),
            order(0, "AB", 1, 20, 6, instrument=NQ),
            order(1, "FB", 1, 10, 5, 0),
            order(1, "CB", 1, 20, 6, instrument=NQ),
            order(1, "CB", 1, 10, 5),
            order(2, "AB", 3, 10, 5, instrument=99),
            names=names,
        )
        rows, _ = read(path)
        assert rows.select("entity", "action", "problem").rows() == [
            ("ESH4", PLACED, None),
            ("NQH4", PLACED, None),
            ("NQH4", CANCELLED, None),
            ("ESH4", EXECUTED, None),
            (None, None, "missing_entity"),
        ]
        with pytest.raises(DataError, match="holds 2 instruments, ESH4, NQH4"):
            read(path, entity="ES")
        assert read(write(tmp_path / "y.dbn", order(0, "AB", 1, 10, 5)), entity="ES")[0]["entity"].to_list() == ["ES"]

    def test_damaged_records(self, tmp_path: Path) -> None:
        undefined = bytes(
            dbn.MBOMsg(1, ES, dbn.UNDEF_TIMESTAMP, 1, 10**10, 1, ACTIONS["A"], SIDES["B"], START, flags=LAST)
        )
        odd = bytearray(order(0, "AB", 4, 10, 1))
        odd[38] = ord("?")
        path = write(
            tmp_path / "x.dbn",
            order(0, "AN", 1, 10, 5),
            order(0, "AB", 2, None, 5),
            undefined,
            bytes(odd),
            order(0, "AB", 2**63 + 5, 1e9, 2**32 - 1),
        )
        rows, _ = read(path)
        assert rows["problem"].to_list() == [
            "unparsable_side",
            "undefined_price",
            "unparsable_time",
            "unknown_action",
            None,
        ]
        assert rows.row(-1, named=True)["price"] == 1e9
        source = parse_source("mine", entry(path, quarantine_limit=1.0))
        result = ingest("mine", source, calendar="24/7", lake=tmp_path / "lake")
        assert result.counts["read"] == 5
        assert result.counts["used"] == 1
        raw = pl.read_parquet(result.quarantine)["raw"].to_list()
        assert len(raw) == 4
        assert '"action": "?"' in raw[3]

    @pytest.mark.parametrize("records", [1, 2, 3, 5])
    def test_any_cut_into_batches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int) -> None:
        rows = [
            order(0, "RN", 0, None, 0, SNAP),
            order(0, "AA", 1, 10, 5, SNAP),
            order(0, "AA", 2, 10, 3, SNAP),
            bytes(dbn.SystemMsg(START, "heartbeat")),
            order(1, "AA", 5, 10, 3, instrument=NQ),
            order(1, "TB", 9, 10, 7, 0),
            order(1, "FA", 1, 10, 5, 0),
            order(1, "FA", 2, 10, 2, 0),
            order(1, "FA", 5, 10, 2, 0, instrument=NQ),
            order(1, "CA", 1, 10, 5, 0),
            order(1, "MA", 5, 10, 1, 0, instrument=NQ),
            bytes(dbn.SystemMsg(START, "heartbeat")),
            order(1, "MA", 2, 10, 1),
            order(2, "RN", 0, None, 0, 0),
            order(2, "AA", 7, 10, 5),
        ]
        path = write(tmp_path / "x.dbn.zst", *rows, names={"ESH4": ES, "NQH4": NQ})
        whole, ignored = read(path)
        assert ignored["other_record"] == 2
        monkeypatch.setattr(databento_file, "_RECORDS", records)
        cut, cut_ignored = read(path)
        assert cut.equals(whole)
        assert cut_ignored == ignored

    def test_later_records_change_nothing_earlier(self, tmp_path: Path) -> None:
        records = [
            order(0, "AA", 1, 10, 5),
            order(1, "FA", 1, 10, 2, 0),
            order(1, "MA", 1, 10, 3),
            order(2, "RN", 0, None, 0),
            order(3, "AB", 2, 9, 3),
            order(4, "AB", 3, 9, 3, SNAP),
        ]
        whole, _ = read(write(tmp_path / "x.dbn", *records))
        for count in range(1, len(records)):
            cut, _ = read(write(tmp_path / "y.dbn", *records[:count]))
            assert cut.equals(whole.filter(pl.col("line") <= count))


def mbp(at: int, what: str, bid: float | None, ask: float | None, sizes: tuple[int, int], flags: int = LAST) -> bytes:
    fixed = [dbn.UNDEF_PRICE if price is None else round(price * 1e9) for price in (bid, ask)]
    pair = dbn.BidAskPair(bid_px=fixed[0], ask_px=fixed[1], bid_sz=sizes[0], ask_sz=sizes[1])
    stamp = START + at * 10**6
    action, side = ACTIONS[what[0]], SIDES[what[1]]
    return bytes(dbn.MBP1Msg(1, ES, stamp, 10**10, 3, action, side, 0, stamp, flags=flags, levels=pair))


class TestTop:
    RECORDS = (
        mbp(0, "AB", 9.5, 10.0, (3, 4)),
        mbp(1, "TB", 9.5, 10.0, (3, 4), 0),
        mbp(1, "CA", 9.5, 10.0, (3, 1)),
        mbp(2, "CA", 9.5, None, (3, 0)),
        mbp(3, "TN", 9.5, 10.5, (3, 2)),
    )

    def test_quotes(self, tmp_path: Path) -> None:
        rows, ignored = read(write(tmp_path / "x.dbn", *self.RECORDS, schema=dbn.Schema.MBP_1), data="quote")
        assert rows.select("line", "bid_price", "bid_size", "ask_price", "ask_size").rows() == [
            (1, 9.5, 3.0, 10.0, 4.0),
            (3, 9.5, 3.0, 10.0, 1.0),
            (5, 9.5, 3.0, 10.5, 2.0),
        ]
        assert ignored == {"inside_message": 1, "one_sided_quote": 1}

    def test_trades(self, tmp_path: Path) -> None:
        rows, ignored = read(write(tmp_path / "x.dbn", *self.RECORDS, schema=dbn.Schema.MBP_1), data="trade")
        assert rows.select("line", "price", "size", "side").rows() == [(2, 10.0, 3.0, 1), (5, 10.0, 3.0, 0)]
        assert ignored == {"no_trade": 3}

    @pytest.mark.parametrize("records", [1, 2, 100])
    def test_book(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int) -> None:
        monkeypatch.setattr(databento_file, "_RECORDS", records)
        rows, ignored = read(write(tmp_path / "x.dbn", *self.RECORDS, schema=dbn.Schema.MBP_1), data="book")
        assert rows.select("line", "action", "side", "price", "size", "last").rows() == [
            (1, SNAPSHOT, 1, 9.5, 3.0, False),
            (1, SET, -1, 10.0, 4.0, True),
            (3, SET, -1, 10.0, 1.0, True),
            (4, SET, -1, 10.0, 0.0, True),
            (5, SET, -1, 10.5, 2.0, True),
        ]
        assert ignored == {"inside_message": 1}


def test_ten_levels(tmp_path: Path) -> None:
    def record(at: int, *levels: tuple[float, float]) -> bytes:
        pairs = [
            dbn.BidAskPair(bid_px=round(bid * 1e9), ask_px=round(ask * 1e9), bid_sz=1, ask_sz=2) for bid, ask in levels
        ]
        pairs += [dbn.BidAskPair(bid_px=dbn.UNDEF_PRICE, ask_px=dbn.UNDEF_PRICE)] * (10 - len(pairs))
        stamp = START + at
        add, bid = ACTIONS["A"], SIDES["B"]
        return bytes(dbn.MBP10Msg(1, ES, stamp, 10**9, 1, add, bid, 0, stamp, flags=LAST, levels=pairs))

    path = write(tmp_path / "x.dbn", record(0, (9, 10), (8, 11)), record(1, (8, 10), (7, 12)), schema=dbn.Schema.MBP_10)
    rows, _ = read(path, data="book")
    assert rows.filter(pl.col("line") == 2).select("side", "price", "size", "last").rows() == [
        (1, 9.0, 0.0, False),
        (-1, 11.0, 0.0, False),
        (1, 7.0, 1.0, False),
        (-1, 12.0, 2.0, True),
    ]


def test_books_by_difference_rebuild_the_books() -> None:
    """Applying the changes gives each book, however the books are cut into calls."""
    import random

    random.seed(5)
    books = {
        ("AB"[number % 2], number): {
            (side, 10 - side * level): float(random.randint(1, 3))
            for side in (1, -1)
            for level in range(4)
            if random.random() < 0.6
        }
        for number in range(60)
    }
    rows = [
        (entity, number, side, float(price), size)
        for (entity, number), book in books.items()
        for (side, price), size in (book or {(1, None): None}).items()  # type: ignore[dict-item]
        if price is not None
    ]
    schema = {"entity": pl.String, "book": pl.Int64, "side": pl.Int8, "price": pl.Float64, "size": pl.Float64}
    levels = pl.DataFrame(rows, schema=schema, orient="row")
    empty = [(entity, number, 1, None, None) for (entity, number), book in books.items() if not book]
    levels = pl.concat([levels, pl.DataFrame(empty, schema=schema, orient="row")]).sort("book", maintain_order=True)
    results = []
    for step in (1, 7, 60):
        differences = BookDifferences()
        parts = [
            differences.changes(levels.filter(pl.col("book").is_between(start, start + step - 1)))
            for start in range(0, 60, step)
        ]
        results.append(pl.concat(parts).sort("book", "part"))
    assert all(result.equals(results[0]) for result in results)
    now: dict[str, dict[tuple[int, float], float]] = {"A": {}, "B": {}}
    begun = []
    for (entity, number), book in books.items():
        for side, price, size, action in (
            results[0].filter(pl.col("book") == number).select("side", "price", "size", "action").iter_rows()
        ):
            begun += [entity] if action == SNAPSHOT else []
            now[entity] |= {(side, price): size}
            if size == 0:
                del now[entity][side, price]
        assert now[entity] == {(side, float(price)): size for (side, price), size in book.items()}
    assert begun == ["A", "B"]


def test_orders_that_are_gone_are_forgotten() -> None:
    live = LiveOrders(("order",))
    number = pl.int_range(1000, eager=True)
    rows = pl.DataFrame({"order": number // 2, "price": 1.0, "sets": (number + 1) % 2, "takes": None})
    assert live.before(rows)["size_before"].to_list() == [None, 1] * 500
    assert len(live) == 0


class TestBadFiles:
    def good(self, path: Path) -> bytes:
        return write(path / "good.dbn", *(order(at, "AB", at, 10, 1) for at in range(99))).read_bytes()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda data: b"", "is empty"),
            (lambda data: b"DB", "is no DBN file"),
            (lambda data: b"nonsense" * 9, "is no DBN file"),
            (lambda data: data[:100], "header is damaged"),
            (lambda data: data[:8] + b"\xff" * 40 + data[48:], "header is damaged"),
            (lambda data: data[:3] + b"\x63" + data[4:], "header is damaged"),
            (lambda data: data[:-13], "is truncated: it ends inside record 99"),
            (lambda data: data + b"\0" * 56, "is damaged: record 100 has 0 bytes"),
            (lambda data: pa.compress(data, "zstd", asbytes=True)[:-20], "truncated or damaged"),
            (lambda data: pa.compress(b"", "zstd", asbytes=True), "is empty"),
        ],
    )
    def test_one_line_that_names_the_file(self, tmp_path: Path, change: Any, words: str) -> None:
        (tmp_path / "x.dbn").write_bytes(change(self.good(tmp_path)))
        with pytest.raises(DataError) as error:
            read(tmp_path / "x.dbn")
        assert words in str(error.value)
        assert "x.dbn" in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_schema_that_has_no_such_data(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.dbn", order(0, "AB", 1, 10, 5))
        with pytest.raises(DataError, match=r"is of schema mbo, which holds no quotes; allowed: for data: quote"):
            read(path, data="quote")

    def test_without_the_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "x.dbn", order(0, "AB", 1, 10, 5))
        monkeypatch.setitem(sys.modules, "databento_dbn", None)
        with pytest.raises(ConfigError, match=r"pip install -e '\.\[databento\]'"):
            read(path)

    def test_describe(self, tmp_path: Path) -> None:
        facts = describe(write(tmp_path / "x.dbn.zst", order(0, "AB", 1, 10, 5)))
        assert facts["source"]["kind"] == "databento_dbn"
        assert facts["file"]["symbols"] == ["ESH4"]
        assert facts["file"]["schema"] == "mbo"


@pytest.mark.data
def test_real_orders_leave_what_the_records_leave(data_root: Path, tmp_path: Path) -> None:
    """An own walk through the records, by Databento's decoder and rules, leaves the same orders at every message."""
    path = data_root / "market/databento_es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"
    rows, ignored = read(path)
    assert ignored == {"trade_record": 2_973, "fill_record": 6_371}
    assert rows["problem"].null_count() == rows.height
    counts = dict(rows["action"].value_counts().iter_rows())
    assert counts == {SNAPSHOT: 1, PLACED: 29_298, CHANGED: 11_266, CANCELLED: 12_670, EXECUTED: 6_307}
    assert rows["sequence"].is_sorted()
    decoder = dbn.DBNDecoder()
    with open_member(path) as stream:
        decoder.write(stream.read())
    theirs: dict[int, tuple[float, int]] = {}
    ours: dict[int, tuple[float, int]] = {}
    events = rows.select("line", "order", "action", "price", "size").rows()
    place, line, unknown = 0, 0, 0
    for record in decoder.decode():
        if not isinstance(record, dbn.MBOMsg):
            continue
        line += 1
        if record.action in {"A", "M"}:
            theirs[record.order_id] = (record.price / 1e9, record.size)
        elif record.action == "C":
            price, size = theirs.pop(record.order_id)
            if size > record.size:
                theirs[record.order_id] = (price, size - record.size)
        while place < len(events) and events[place][0] <= line:
            _, number, action, price, size = events[place]
            place += 1
            if action in {SNAPSHOT, PLACED, CHANGED}:
                ours[number] = (price, int(size))
            else:
                unknown += number not in ours
                price, left = ours.pop(number)
                if left > size:
                    ours[number] = (price, int(left - size))
                assert left >= size
        if record.action in {"A", "M", "C"}:
            assert ours.get(record.order_id) == theirs.get(record.order_id)
    assert line == 68_792
    assert unknown == 0
    assert ours == theirs
    source = parse_source("orders", entry(path))
    result = ingest("orders", source, calendar="24/7", lake=tmp_path)
    assert result.counts["quarantined"] == {}
    assert read_lake(result.folder).height == rows.height


@pytest.mark.data
def test_real_trades_and_quotes(data_root: Path) -> None:
    folder = data_root / "market/databento_es"
    trades, _ = read(folder / "esh4-glbx-mdp3-20231225.mbo.dbn.zst", data="trade")
    assert (trades.height, trades["size"].sum()) == (2_973, 9_892)
    assert (trades["price"].min(), trades["price"].max()) == (4800.25, 4811.75)
    top = folder / "futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
    quotes, ignored = read(top, data="quote")
    assert quotes.height + sum(ignored.values()) == 2_288
    assert ((quotes["ask_price"] - quotes["bid_price"]) / 0.25).is_between(1, 2).all()
    assert read(top, data="trade")[0].height == 120
