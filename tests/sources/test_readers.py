"""Readers on golden files, and on files as bad as they come."""

import gzip
import hashlib
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from vendor_files import THINKORSWIM_HEADER, bars_entry, lean_zip, minute_rows, table_entry, thinkorswim

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.files import blocks, expand, input_files, raw_lines
from sources.readers import READERS
from sources.readers.records import records


def read(entry: dict[str, Any]) -> tuple[pl.DataFrame, dict[str, int]]:
    source, ignored, parts = parse_source("mine", entry), dict[str, int](), []
    for index, file in enumerate(input_files(source, {})):
        for found in READERS[source.kind](source, file, index, "XNYS"):
            parts.append(found.rows)
            for reason, count in found.ignored.items():
                ignored[reason] = ignored.get(reason, 0) + count
    return pl.concat(parts), ignored


def at(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[misc, arg-type]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


class TestThinkorswim:
    def test_golden(self, tmp_path: Path) -> None:
        path = thinkorswim(tmp_path / "a.csv.gz", ["01/02/2015, 08:30, 111.39, 111.44, 111.2, 111.24, 707284.0"])
        rows, _ = read(bars_entry({"AAPL": str(path)}))
        assert rows.row(0, named=True) == {
            "entity": "AAPL",
            "event_time": at(2015, 1, 2, 14, 31),
            "known_time": at(2015, 1, 2, 14, 31, 1),
            "open": 111.39,
            "high": 111.44,
            "low": 111.2,
            "close": 111.24,
            "volume": 707284.0,
            "file": 0,
            "member": None,
            "line": 2,
            "problem": None,
        }

    def test_rows_that_cannot_be_read_keep_their_line(self, tmp_path: Path) -> None:
        rows = [
            *minute_rows("01/02/2015", "08:30", 1),
            "01/02/2015, 08:31, x, 1, 1, 1, 1",
            "",
            "01/02/2015, 08:32, 1, 1",
            "01/02/2015, 08:33, 1, 1, 1, 1, 1, 1",
            "31/12/2015, 08:34, 1, 1, 1, 1, 1",
            "01/02/2015, 08:35, 1, 1, 1, 1, ",
            *minute_rows("03/08/2015", "02:30", 1),
        ]
        found, _ = read(bars_entry({"A": str(thinkorswim(tmp_path / "a.csv", rows))}))
        assert found.select("line", "problem").rows() == [
            (2, None),
            (3, "unparsable_number"),
            (5, "wrong_field_count"),
            (6, "wrong_field_count"),
            (7, "unparsable_time"),
            (8, "unparsable_number"),
            (9, "clock_change"),
        ]

    def test_both_sides_of_daylight_saving(self, tmp_path: Path) -> None:
        rows = [*minute_rows("03/06/2015", "08:30", 1), *minute_rows("03/09/2015", "08:30", 1)]
        found, _ = read(bars_entry({"A": str(thinkorswim(tmp_path / "a.csv", rows))}))
        assert found["event_time"].to_list() == [at(2015, 3, 6, 14, 31), at(2015, 3, 9, 13, 31)]

    def test_windows_line_ends_and_byte_order_mark(self, tmp_path: Path) -> None:
        text = "\ufeff" + "\r\n".join([THINKORSWIM_HEADER, *minute_rows("01/02/2015", "08:30", 2)]) + "\r\n"
        found, _ = read(bars_entry({"A": str(write(tmp_path / "a.csv", text))}))
        assert found["problem"].to_list() == [None, None]


BAD_FILES = {
    "empty": (b"", "is empty (0 bytes)"),
    "empty gz": (gzip.compress(b""), "is empty (0 bytes)"),
    "truncated gz": (gzip.compress(b"Date, Time\n" * 5000)[:-20], "truncated or damaged"),
    "gz header only": (b"\x1f\x8b", "truncated or damaged"),
    "broken zip": (b"PK\x03\x04 not a zip", "truncated or damaged"),
    "another format": (b"a,b\n1,2\n", "has the columns a, b"),
    "binary": (b"\x00\x01\x02\xff", "is not utf-8"),
    "utf-16": ("Date, Time\n".encode("utf-16"), "is not utf-8"),
    "latin-1": (THINKORSWIM_HEADER.encode() + b"\n01/02/2015, 08:30, caf\xe9, 1, 1, 1, 1\n", "line 2: byte 0xe9"),
    "no header": (b"01/02/2015, 08:30, 1, 1, 1, 1, 1\n", "is not a header"),
    "twice the same column": (b"Date, Date, Open\n1,2,3\n", "is not a header"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_one_line_that_names_it(tmp_path: Path, case: str) -> None:
    content, words = BAD_FILES[case]
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read(bars_entry({"A": str(path)}))
    assert words in str(error.value)
    assert "a.csv" in str(error.value)
    assert "\n" not in str(error.value)


class TestTableFile:
    def test_trades_with_sides_and_mapping(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "t.csv",
            "ts,sym,px,qty,aggressor\n"
            "1420209000000,A,10.5,3,buy\n1420209000001,B,10.6,1,SELL\n1420209000002,,10.6,1,0\n1420209000003,A,1,1,?\n",
        )
        columns = {"event_time": "ts", "entity": "sym", "price": "px", "size": "qty", "side": "aggressor"}
        rows, _ = read(table_entry("trade", path, columns=columns, time_format="epoch_ms", delay="250ms"))
        assert rows["side"].to_list() == [1, -1, 0, 0]
        assert rows["problem"].to_list() == [None, None, "missing_entity", "unparsable_side"]
        assert rows["known_time"][0] == datetime(2015, 1, 2, 14, 30, 0, 250000, tzinfo=UTC)

    def test_bar_start_ends_one_bar_later(self, tmp_path: Path) -> None:
        path = write(tmp_path / "b.csv", "time,open,high,low,close,volume\n2015-01-02T14:30Z,1,1,1,1,1\n")
        entry = table_entry("bar", path, columns={"event_time": "time"}, entity="A", bar="5min", delay="2s")
        rows, _ = read(entry)
        assert rows.select("event_time", "known_time").row(0) == (at(2015, 1, 2, 14, 35), at(2015, 1, 2, 14, 35, 2))

    def test_metric_withdrawn_and_known_on_a_day_only(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "m.csv",
            "entity,metric,event_time,known_time,value\nUS,m,2015-01-01,2015-01-05,\nUS,m,2015-01-01,,2\n",
        )
        rows, _ = read(table_entry("metric", path, timezone="America/New_York"))
        assert rows["value"].to_list() == [None, 2.0]
        # the day's end in New York, since nothing tells the hour
        assert rows["known_time"][0] == at(2015, 1, 6, 5)
        assert rows["problem"].to_list() == [None, "unparsable_time"]

    def test_parquet(self, tmp_path: Path) -> None:
        frame = pl.DataFrame(
            {
                "entity": ["A", "A"],
                "event_time": [at(2015, 1, 2, 15), at(2015, 1, 2, 15)],
                "known_time": [at(2015, 1, 2, 15), None],
                "sequence": [1, 2],
                "side": [1, -1],
                "price": [10, 11],
                "size": [1.0, None],
            }
        )
        frame.write_parquet(tmp_path / "book.parquet")
        rows, _ = read(table_entry("book_update", tmp_path / "book.parquet"))
        assert rows["problem"].to_list() == [None, "unparsable_time"]
        assert rows.row(0, named=True)["price"] == 10.0
        assert rows["line"].to_list() == [1, 2]

    def test_nothing_tells_known_time(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "entity,event_time,price,size\nA,2015-01-02T15:00Z,1,1\n")
        with pytest.raises(ConfigError, match="no column known_time, and its source has no delay"):
            read(table_entry("trade", path))

    def test_missing_column_is_named_with_those_found(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "entity,when,price\nA,2015-01-02T15:00Z,1\n")
        with pytest.raises(DataError) as error:
            read(table_entry("trade", path, delay="1s"))
        assert "no column 'event_time'" in str(error.value)
        assert "entity, when, price" in str(error.value)

    def test_nothing_tells_entity(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "event_time,price,size\n2015-01-02T15:00Z,1,1\n")
        with pytest.raises(DataError, match="does not tell the entity"):
            read(table_entry("trade", path, delay="1s"))

    def test_damaged_parquet(self, tmp_path: Path) -> None:
        pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "x.parquet")
        whole = (tmp_path / "x.parquet").read_bytes()
        (tmp_path / "x.parquet").write_bytes(whole[:-8])
        with pytest.raises(DataError, match="damaged Parquet"):
            read(table_entry("trade", tmp_path / "x.parquet", delay="1s"))

    def test_quoted_fields_and_lines_inside_them(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "m.csv", 'entity,metric,event_time,value\nUS,"a, ""b""\nc",2015-01-01,1\nUS,m,2015-01-02,x\n'
        )
        rows, _ = read(table_entry("metric", path, delay="1d"))
        assert rows["metric"].to_list() == ['a, "b"\nc', "m"]
        assert rows.select("line", "problem").rows() == [(2, None), (4, "unparsable_number")]

    def test_unclosed_quote(self, tmp_path: Path) -> None:
        path = write(tmp_path / "m.csv", 'entity,metric,event_time,value\nUS,"m,2015-01-01,1\nUS,m,2015-01-02,2\n')
        with pytest.raises(DataError, match=r"m\.csv, line 2: .*quote is not closed"):
            read(table_entry("metric", path, delay="1d"))
        rows, _ = read(table_entry("metric", path, delay="1d", quoted=False))
        assert rows["metric"].to_list() == ['"m', "m"]


class TestNews:
    ENTRY: ClassVar = {"kind": "news_file", "timezone": "UTC", "max_age": "1d", "delay": "5s"}

    def test_one_row_for_each_entity(self, tmp_path: Path) -> None:
        items = [
            {"event_time": "2015-01-02T15:00:00Z", "text": "one", "entity": ["AAPL", "FB", "AAPL"]},
            {"event_time": "2015-01-02T15:00:01Z", "text": "two", "entity": "FB"},
            {"event_time": "2015-01-02T15:00:02Z", "text": "three", "entity": []},
            {"event_time": "2015-01-02T15:00:03Z", "text": " ", "entity": ["FB"]},
            {"event_time": 17, "text": "five", "entity": ["FB"]},
        ]
        lines = [json.dumps(item) for item in items]
        path = write(
            tmp_path / "n.jsonl", "\n".join([lines[0], "{broken", "", "[1]", *lines[1:], "[" * 200_000]) + "\n"
        )
        rows, _ = read({**self.ENTRY, "files": str(path)})
        assert rows.select("entity", "text", "line", "problem").rows() == [
            ("AAPL", "one", 1, None),
            ("FB", "one", 1, None),
            (None, None, 2, "unparsable_json"),
            (None, None, 4, "unparsable_json"),
            ("FB", "two", 5, None),
            (None, "three", 6, "missing_entity"),
            ("FB", "", 7, "missing_text"),
            ("FB", "five", 8, "unparsable_time"),
            (None, None, 9, "unparsable_json"),
        ]
        assert rows["item"][0] == rows["item"][1] != rows["item"][4]
        assert rows["known_time"][0] == at(2015, 1, 2, 15, 0, 5)

    def test_delimited_entities_and_own_identifier(self, tmp_path: Path) -> None:
        path = write(tmp_path / "n.csv.gz", "")
        path.write_bytes(gzip.compress(b"id,t,tick,text\n7,2015-01-02 15:00:00,$AAPL; FB|GOOG,hello\n"))
        columns = {"item": "id", "event_time": "t", "entity": "tick"}
        rows, _ = read({**self.ENTRY, "files": str(path), "columns": columns})
        assert rows.select("entity", "item").rows() == [("AAPL", "7"), ("FB", "7"), ("GOOG", "7")]

    def test_identifier_is_of_content_and_stable(self, tmp_path: Path) -> None:
        path = write(tmp_path / "n.csv", "event_time,entity,text\n2015-01-02T15:00:00Z,A,hello\n")
        rows, _ = read({**self.ENTRY, "files": str(path)})
        content = f"{int(at(2015, 1, 2, 15).timestamp())}000000000 hello"
        assert rows["item"].to_list() == [hashlib.sha256(content.encode()).hexdigest()[:16]]

    def test_a_day_only_is_known_at_its_end(self, tmp_path: Path) -> None:
        path = write(tmp_path / "n.csv", "event_time,entity,text\n2015-01-02,A,hello\n")
        rows, _ = read({**self.ENTRY, "files": str(path), "timezone": "America/New_York"})
        assert rows["known_time"].to_list() == [at(2015, 1, 3, 5, 0, 5)]

    def test_json_that_is_not_lines(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is not a JSON object"):
            read({**self.ENTRY, "files": str(write(tmp_path / "n.json", '[\n"a",\n"b"\n]\n'))})


class TestCalendar:
    ENTRY: ClassVar = {"kind": "calendar_file", "timezone": "UTC", "entity": "US", "announced": "7d"}

    def test_kinds(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "c.csv",
            "event_time,name\n2015-01-09 13:30:00,Jobs\n2015-01-10 13:30:00,Speech\n2015-01-16 13:30:00,CPI\n"
            "2015-01-16 13:30:00,Core CPI\nsoon,CPI\n",
        )
        rows, ignored = read({**self.ENTRY, "files": str(path), "kinds": {"nfp": ["Jobs"], "cpi": ["CPI", "Core CPI"]}})
        assert rows.select("kind", "problem").rows() == [("nfp", None), ("cpi", None), ("cpi", "unparsable_time")]
        assert ignored == {"other_kind": 1, "same_event": 1}
        assert rows["known_time"][0] == at(2015, 1, 2, 13, 30)

    def test_what_nobody_had_announced_is_known_when_it_happens(self, tmp_path: Path) -> None:
        path = write(tmp_path / "c.csv", "event_time,name\n2020-03-16 03:00:00,Cut\n2020-04-29 18:00:00,Cut\n")
        more = {"kinds": {"fomc": ["Cut"]}, "unscheduled": ["2020-03-15"], "timezone": "America/New_York"}
        rows, _ = read({**self.ENTRY, "files": str(path), **more, "time_format": "%Y-%m-%d %H:%M:%S"})
        assert rows["known_time"].to_list() == [at(2020, 3, 9, 7), at(2020, 4, 22, 22)]
        rows, _ = read({**self.ENTRY, "files": str(path), **more, "unscheduled": ["2020-03-16"]})
        assert rows["known_time"].to_list() == [at(2020, 3, 16, 7), at(2020, 4, 22, 22)]


class TestSeries:
    ENTRY: ClassVar = {"kind": "series_file", "timezone": "America/New_York", "entity": "US", "max_age": "7d"}

    def rows(self, path: Path, **options: Any) -> tuple[pl.DataFrame, dict[str, int]]:
        text = "DATE,CLOSE,OPEN\n2014-11-26,1.5,.\n2014-11-28,2,3\n2014-11-29,x,\n"
        entry = {**self.ENTRY, "files": str(write(path / "s.csv", text)), "columns": {"event_time": "DATE"}}
        return read({**entry, "metrics": {"close": "CLOSE", "open": "OPEN"}, **options})

    def test_lag_in_days(self, tmp_path: Path) -> None:
        found, ignored = self.rows(tmp_path, known={"days": 0, "time": "16:30"})
        assert found.select("metric", "value", "problem").rows() == [
            ("close", 1.5, None),
            ("close", 2.0, None),
            ("close", None, "unparsable_number"),
            ("open", 3.0, None),
        ]
        assert ignored == {"no_value": 2}
        assert found["event_time"][0] == at(2014, 11, 26, 5)
        assert found["known_time"][0] == at(2014, 11, 26, 21, 30)

    def test_nothing_is_public_before_the_series_is_first_published(self, tmp_path: Path) -> None:
        found, _ = self.rows(tmp_path, known={"days": 0, "time": "16:30", "since": "2014-11-28"})
        days = found.filter(pl.col("metric") == "close")["known_time"].dt.day().to_list()
        assert days == [28, 28, 29]

    def test_constants_are_of_every_row(self, tmp_path: Path) -> None:
        known, told = {"days": 0, "time": "16:30"}, {"unit": "USD", "gsd": 0.3, "licence": "CC0"}
        found, _ = self.rows(tmp_path, known=known, constants=told)
        assert found.select("unit", "gsd", "licence").unique().rows() == [("USD", 0.3, "CC0")]
        with pytest.raises(ConfigError, match=r"constants\.gsd is 'x'"):
            self.rows(tmp_path, known=known, constants={"gsd": "x"})
        for name in ("metric", "value", "known_time", "colour"):
            with pytest.raises(ConfigError, match=rf"constants\.{name}; allowed: site, "):
                self.rows(tmp_path, known=known, constants={name: "x"})

    @pytest.mark.parametrize(
        ("days", "expected"),
        # Wednesday, half-day Friday, Saturday; Thursday 27 was a holiday
        [(0, ["26", "28", "01"]), (1, ["28", "01", "01"]), (2, ["01", "02", "02"])],
    )
    def test_lag_in_sessions(self, tmp_path: Path, days: int, expected: list[str]) -> None:
        found, _ = self.rows(tmp_path, known={"days": days, "time": "09:00", "business": True})
        local = found["known_time"].dt.convert_time_zone("America/New_York")
        assert local.dt.strftime("%d")[:3].to_list() == expected
        assert set(local.dt.hour()) == {9}

    def test_vintages(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "s.csv", "day,seen,CLOSE\n2015-01-02,2015-01-03T10:00Z,1\n2015-01-02,2015-01-09T10:00Z,2\n"
        )
        entry = {**self.ENTRY, "files": str(path), "columns": {"event_time": "day", "known_time": "seen"}}
        found, _ = read({**entry, "metrics": {"c": "CLOSE"}})
        assert found["known_time"].to_list() == [at(2015, 1, 3, 10), at(2015, 1, 9, 10)]


class TestLean:
    def entry(self, path: Path, **options: Any) -> dict[str, Any]:
        base = {
            "kind": "lean_zip",
            "files": str(path),
            "timezone": "America/New_York",
            "delay": "1s",
            "max_age": "1min",
        }
        return base | {"security": "equity", "resolution": "minute", "data": "trade"} | options

    def test_minute_bars_of_an_equity(self, tmp_path: Path) -> None:
        path = lean_zip(
            tmp_path / "spy" / "20131007_trade.zip",
            {"20131007_spy_minute_trade.csv": ["34200000,1674200,1674300,1672500,1672700,3197", "34260000,1,1,1,,5"]},
        )
        rows, _ = read(self.entry(path))
        first = rows.row(0, named=True)
        assert (first["entity"], first["open"], first["volume"]) == ("SPY", 167.42, 3197.0)
        assert (first["event_time"], first["known_time"]) == (at(2013, 10, 7, 13, 31), at(2013, 10, 7, 13, 31, 1))
        assert rows["problem"].to_list() == [None, "unparsable_number"]

    def test_tick_quotes_are_pairs(self, tmp_path: Path) -> None:
        lines = [
            "34200000,0,0,140200,500,Q,1,0",  # an ask alone
            "34200554,138400,700,0,0,P,1,0",
            "34200554,0,0,140100,300,P,1,0",
            "34200600,138500,100,0,0,P,1,0",  # a bid whose ask has another stamp
            "34200601,0,0,140000,100,P,1,0",
            "34200700,138500,100,0,0,P,1,1",  # the vendor doubts it
            "34200700,0,0,140000,100,P,1,0",
        ]
        path = lean_zip(tmp_path / "bac" / "20131007_quote.zip", {"20131007_bac_Quote_Tick.csv": lines})
        rows, ignored = read(self.entry(path, resolution="tick", data="quote"))
        assert rows.select("line", "problem").rows() == [
            (1, "unpaired_quote"),
            (3, None),
            (4, "unpaired_quote"),
            (5, "unpaired_quote"),
            (7, "flagged_by_vendor"),
        ]
        assert ignored == {"first_of_pair": 2}
        assert rows.row(1, named=True)["bid_price"] == 13.84
        assert rows.select("bid_size", "ask_price", "ask_size").row(1) == (700.0, 14.01, 300.0)

    def test_contracts_of_a_future_and_one_sided_quote_bars(self, tmp_path: Path) -> None:
        members = {
            "20131007_es_minute_quote_201312.csv": [
                "0,1,1,1,1676.5,86,1,1,1,1676.75,97",
                "60000,,,,,,1,1,1,1676.75,97",
            ],
            "20131007_es_minute_quote_201403_20140321.csv": ["0,1,1,1,1670.5,86,1,1,1,1670.75,97"],
        }
        path = lean_zip(tmp_path / "es" / "20131007_quote.zip", members)
        rows, ignored = read(self.entry(path, security="future", data="quote", timezone="UTC"))
        assert rows.select("entity", "bid_price", "member").rows() == [
            ("ES-201312", 1676.5, "20131007_es_minute_quote_201312.csv"),
            ("ES-201403", 1670.5, "20131007_es_minute_quote_201403_20140321.csv"),
        ]
        assert ignored == {"one_sided_quote": 1}

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("20131007_trade.zip", {"data": "quote"}, "is not a day of quotes"),
            ("2013-10-07.zip", {}, "is not a day of trades"),
            ("20131307_trade.zip", {}, "is not a date"),
            ("20131007_trade.zip", {"resolution": "tick", "security": "future"}, "names no contract"),
        ],
    )
    def test_not_a_lean_file(self, tmp_path: Path, name: str, options: dict[str, Any], words: str) -> None:
        path = lean_zip(tmp_path / "spy" / name, {"x.csv": ["0,1,1,1,1,1"]})
        with pytest.raises(DataError, match=words):
            read(self.entry(path, **options))

    def test_wrong_layout(self, tmp_path: Path) -> None:
        path = lean_zip(tmp_path / "spy" / "20131007_trade.zip", {"x.csv": ["0,1,1,1,1,1,1,1"]})
        with pytest.raises(DataError, match="has 8 fields in its first line"):
            read(self.entry(path))


class TestFiles:
    def test_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FROM_ENVIRONMENT", "/e")
        monkeypatch.delenv("NOT_SET", raising=False)
        assert expand("${FROM_ENVIRONMENT}/${GIVEN}/x", {"GIVEN": "g"}) == "/e/g/x"
        with pytest.raises(ConfigError, match="NOT_SET"):
            expand("${NOT_SET}/x", {})

    def test_no_file_matches(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no file matches"):
            read(bars_entry({"A": str(tmp_path / "*.csv")}))

    def test_one_file_for_two_entities(self, tmp_path: Path) -> None:
        path = thinkorswim(tmp_path / "a.csv", [])
        with pytest.raises(ConfigError, match="given to both A and B"):
            read(bars_entry({"A": str(path), "B": str(path)}))

    @pytest.mark.parametrize("size", [1, 3, 7, 64, 1000])
    @pytest.mark.parametrize("quoted", [True, False])
    def test_blocks_are_whole_lines_whatever_their_size(self, tmp_path: Path, size: int, quoted: bool) -> None:
        text = b'a,b\n1,"x\ny"\n2,"z ""q"" \n\n"\n3,w'
        path = tmp_path / "x.csv.gz"
        path.write_bytes(gzip.compress(text))
        found = list(blocks(path, quoted=quoted, size=size))
        assert b"".join(found) == text
        assert all(block.endswith(b"\n") for block in found[:-1])
        if quoted:
            assert all(block.count(b'"') % 2 == 0 for block in found)

    def test_small_blocks_give_the_same_rows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path / "m.csv", "a,b\n" + "\n".join(f'{n},"x{n}\n"' if n % 3 else f"{n}," for n in range(50)))
        source = parse_source("m", table_entry("metric", path))
        whole = pl.concat(records(path, source))
        monkeypatch.setattr("sources.files.blocks.__kwdefaults__", {"quoted": False, "size": 11})
        parts = list(records(path, source))
        assert len(parts) > 5
        assert pl.concat(parts).equals(whole)

    def test_raw_lines(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.csv", "one\r\ntwo\n\nfour" + "!" * 1000)
        assert raw_lines(path, None, [1, 3, 4, 9]) == {1: "one", 3: "", 4: "four" + "!" * 496}

    def test_zip_of_several_files_needs_a_member(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("a.csv", "1")
            archive.writestr("b.csv", "2")
        with pytest.raises(DataError, match="holds 2 files"):
            read(bars_entry({"A": str(tmp_path / "x.zip")}))
        assert list(blocks(tmp_path / "x.zip", "b.csv")) == [b"2"]
