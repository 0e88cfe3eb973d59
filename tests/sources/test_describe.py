"""`describe`: facts that are true of the file, and YAML that parses."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from vendor_files import bars_entry, lean_zip, minute_rows, thinkorswim

from gpu_kernels.errors import DataError
from sources.config import Source, parse_source
from sources.describe import describe
from sources.lake import ingest


def guessed(facts: dict[str, Any]) -> Source:
    """The source that the pasted YAML makes."""
    json.dumps(facts)
    [(name, entry)] = yaml.safe_load(facts["source"]["yaml"]).items()
    return parse_source(name, entry)


def bars_file(path: Path, header: str, first: int, count: int = 390) -> Path:
    """Minute bars of two companies on 2015-01-02, stamped from `first` minutes after midnight in New York."""
    rows = [header]
    for at in range(first, first + count):
        opens, close = (10.0, 10.5) if at % 2 else (10.5, 10.0)
        for company in ("AA", "BB"):
            rows.append(f"{company},2015-01-02 {at // 60:02d}:{at % 60:02d}:00,{opens},11,9,{close},{at}")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize(
    "header",
    [
        "sym,ts,o,h,l,c,v",
        "secid,ts,px_open,px_high,px_low,px_last,qty",
        "code,ts,open_price,high_price,low_price,close_price,vol",
        "code,ts,first,most,least,final,amount",
    ],
)
def test_bars_by_other_names_or_by_their_values(tmp_path: Path, header: str) -> None:
    facts = describe(bars_file(tmp_path / "My-Bars.csv", header, 9 * 60 + 31))
    source = guessed(facts)
    names = header.split(",")
    fields = ("entity", "event_time", "open", "high", "low", "close", "volume")
    assert (source.table, source.timezone) == ("bar", "America/New_York")
    assert source.columns == dict(zip(fields, names, strict=True))
    assert facts["source"]["yaml"].startswith("my_bars:\n")
    assert {"bar", "columns"} <= set(facts["source"]["check"])


@pytest.mark.parametrize(("first", "line"), [(570, "  bar: 1min "), (571, "  # bar: 1min ")])
def test_bar_line_is_active_where_stamps_look_like_starts(tmp_path: Path, first: int, line: str) -> None:
    facts = describe(bars_file(tmp_path / "b.csv", "symbol,timestamp,open,high,low,close,volume", first))
    assert f"\n{line}       # check: only if a stamp is the bar's START\n" in facts["source"]["yaml"]
    assert guessed(facts).bar == (None if "#" in line else 60 * 10**9)  # type: ignore[union-attr]


def test_dates_of_three_columns(tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text("Year,Month,Day,ticker,visits\n" + "".join(f"2020,2,{day},A,{day}\n" for day in range(1, 20)))
    source = guessed(describe(path))
    assert source.kind == "series_file"
    assert source.columns == {"event_time": ["Year", "Month", "Day"], "entity": "ticker"}
    assert source.metrics == {"visits": "visits"}
    path.write_text("day,visits\n1,2\n")
    assert describe(path)["source"] is None


def test_a_curve_is_no_bar(tmp_path: Path) -> None:
    path = tmp_path / "2015.csv"
    path.write_text("\n".join(["ts,a,b,d,e,f", *(f"2015-01-02 15:{n:02d}:00,1,1.1,1.2,1.3,1.4" for n in range(40))]))
    facts = describe(path)
    assert guessed(facts).kind == "series_file"
    assert facts["source"]["yaml"].startswith("source_2015:\n")


@pytest.mark.parametrize("name", ["story_id", "id", "headline_id"])
def test_news_items_have_their_identifier(tmp_path: Path, name: str) -> None:
    path = tmp_path / "n.csv"
    text = "a headline of some length about the company"
    path.write_text(f"{name},time,ticker,headline\n1,2015-01-02T15:00Z,A,{text}\n2,2015-01-02T15:01Z,A,{text}\n")
    assert guessed(describe(path)).columns["item"] == name


def test_news(tmp_path: Path) -> None:
    path = tmp_path / "n.csv.gz"
    text = "a headline of some length about the company"
    rows = [f"2015-01-02T15:00:0{n}Z,{'AB'[n % 2]},{text}" for n in (0, 1, 2, 2, 9)]
    path.write_bytes(gzip.compress("\n".join(["created_at,ticker,text", *rows, "x,y,z,1"]).encode()))
    facts = describe(path)
    assert (facts["kind"], facts["rows"], facts["duplicates"]) == ("csv", 6, 1)
    assert facts["problems"] == {"wrong_field_count": 1}
    assert facts["entities"] == {"column": "ticker", "distinct": 2, "rows": {"A": 3, "B": 2}}
    clock = facts["columns"][0]
    assert (clock["type"], clock["timezone"], clock["last"]) == ("clock", "in the values", "2015-01-02 15:00:09+00:00")
    assert facts["gaps"]["longest"] == "0:00:08"
    assert facts["gaps"]["longest_entity"] == "B"
    assert guessed(facts).kind == "news_file"


def statements(path: Path, *, days: int) -> Path:
    """Texts `days` apart that name two companies at a time, of two kinds."""
    item = [
        {
            "event_time": str(date(2015, 1, 2) + timedelta(days=days * n)),
            "tickers": "AAA;BBB" if n % 2 else "$AAA",
            "kind": "statement" if n % 3 else "note",
            "text": f"a statement of some length about rates, the number {n}",
        }
        for n in range(12)
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in item))
    return path


@pytest.mark.parametrize(("days", "max_age"), [(1, 3), (43, 90), (400, 365)])
def test_slow_news_is_used_until_the_next_may_come(tmp_path: Path, days: int, max_age: int) -> None:
    facts = describe(statements(tmp_path / "s.jsonl", days=days))
    assert guessed(facts).max_age == max_age * 86_400 * 10**9


def test_news_of_two_companies_and_of_two_kinds(tmp_path: Path) -> None:
    facts = describe(statements(tmp_path / "s.jsonl", days=1))
    assert facts["entities"] == {"column": "tickers", "distinct": 2, "rows": {"AAA": 12, "BBB": 6}}
    source = guessed(facts)
    assert source.columns == {"event_time": "event_time", "entity": "tickers"}
    assert facts["source"]["yaml"].endswith("  # only: {kind: [note, statement]}   # keep those that are wanted\n")
    [(name, entry)] = yaml.safe_load(facts["source"]["yaml"].replace("# only", "only")).items()
    found = ingest(name, parse_source(name, entry), calendar="XNYS", lake=tmp_path / "lake")
    assert found.counts["used"] == 18


def test_news_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("".join(f'2015-01-0{n} 15:00,AAA,"profits rise, says the company {n}"\n' for n in range(1, 9)))
    facts = describe(path)
    assert facts["rows"] == 8
    assert [said for said in facts["warnings"] if "header: [...]" in said]
    source = guessed(facts)
    assert source.columns == {"event_time": "column_1", "text": "column_3"}
    assert source.header == ["column_1", "column_2", "column_3"]


def test_a_header_with_days_in_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("metric,unit,group,kind,2015-01-02,2015-01-03\na,b,c,d,1,2\n")
    assert describe(tmp_path / "w.csv")["rows"] == 1


def test_thinkorswim_finds_its_zone(tmp_path: Path) -> None:
    path = thinkorswim(tmp_path / "a.csv", minute_rows("01/02/2015", "08:30", 390))
    facts = describe(path)
    source = guessed(facts)
    assert (source.kind, source.timezone) == ("thinkorswim_csv", "America/Chicago")
    assert facts["gaps"]["typical"] == "0:01:00"


@pytest.mark.parametrize(
    ("header", "row", "kind", "table"),
    [
        ("symbol,timestamp,open,high,low,close,volume", "A,2015-01-02T15:00Z,1,1,1,1,1", "table_file", "bar"),
        ("symbol,timestamp,price,size", "A,1420210800000,1,1", "table_file", "trade"),
        ("symbol,time,bid_price,bid_size,ask_price,ask_size", "A,2015-01-02T15:00Z,1,1,2,1", "table_file", "quote"),
        (
            "time,sequence,side,price,size,received",
            "2015-01-02T15:00Z,1,1,1,1,2015-01-02T15:00Z",
            "table_file",
            "book_update",
        ),
        ("ticker,metric,date,released,value", "A,m,2015-01-02,2015-01-03,1", "table_file", "metric"),
        ("DATE,OPEN,CLOSE", "2015-01-02,1,2", "series_file", "metric"),
        ("Start,Name,Impact", "01/02/2015 10:00:00,Jobs,HIGH", "calendar_file", "event"),
    ],
)
def test_guess(tmp_path: Path, header: str, row: str, kind: str, table: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{header}\n{row}\n{row}\n")
    if "1420210800000" in row:
        pl.DataFrame({"symbol": ["A"], "timestamp": [1420210800000], "price": [1.0], "size": [1.0]}).write_parquet(path)
    source = guessed(describe(path))
    assert (source.kind, source.table) == (kind, table)


def test_jsonl_with_lists(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    item = {"published": "2015-01-02T15:00:00Z", "tickers": ["A", "B"], "headline": "long enough to be a headline"}
    path.write_text(json.dumps(item) + "\n" + json.dumps(item) + "\n")
    facts = describe(path)
    assert facts["kind"] == "jsonl"
    assert facts["duplicates"] == 1
    assert guessed(facts).columns["entity"] == "tickers"


def test_lean(tmp_path: Path) -> None:
    path = lean_zip(tmp_path / "crypto" / "tick" / "btc" / "20131007_quote.zip", {"x.csv": ["1,2"]})
    facts = describe(path)
    source = guessed(facts)
    assert (facts["kind"], source.kind, source.table) == ("lean_zip", "lean_zip", "quote")
    assert source.security == "crypto"  # type: ignore[union-attr]


def test_nothing_fits(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    facts = describe(tmp_path / "x.csv")
    assert facts["source"] is None
    assert facts["gaps"] is None


def test_lake_and_run_folders(tmp_path: Path) -> None:
    path = thinkorswim(tmp_path / "a.csv", minute_rows("01/02/2015", "08:30", 20))
    source = parse_source("bars", bars_entry({"A": str(path)}))
    result = ingest(
        "bars", source, calendar="XNYS", lake=tmp_path / "lake", start=date(2015, 1, 2), end=date(2015, 1, 2)
    )
    facts = describe(result.folder)
    assert (facts["kind"], facts["table"], facts["rows"]) == ("lake", "bar", 20)
    assert facts["ingest"]["counts"]["used"] == 20
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text('{"name": "x"}')
    pl.DataFrame({"t": [datetime(2015, 1, 2, tzinfo=UTC)]}).write_parquet(run / "signals.parquet")
    facts = describe(run)
    assert facts["manifest"] == {"name": "x"}
    assert facts["tables"]["signals.parquet"]["rows"] == 1
    json.dumps(facts)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "does not exist"), (b"", "is empty"), (b"\x1f\x8b\x08cut", "truncated"), (b"PAR1", "damaged Parquet")],
)
def test_bad_files(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        describe(path)
    with pytest.raises(DataError, match="no known kind"):
        describe(tmp_path)
    for name, other in (("manifest.json", "[1]"), ("manifest.json", "\xff"), ("ingest.json", '{"table": "bar"}')):
        (tmp_path / name).write_text(other, encoding="latin-1")
        with pytest.raises(DataError, match="is not what trifuse writes"):
            describe(tmp_path)


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("headed", [False, True])
def test_files_without_header_and_with_other_delimiters(tmp_path: Path, delimiter: str, headed: bool) -> None:
    path = bars_file(tmp_path / "x.csv", "symbol,time,open,high,low,close,volume", 9 * 60 + 30, 40)
    lines = [line.replace(",", delimiter) for line in path.read_text().splitlines()]
    path.write_text("\n".join([*lines[0 if headed else 1 :], ""]))
    facts = describe(path)
    said = " ".join(facts["warnings"])
    assert ("the file looks ';'-delimited: delimiter: ';'" in said) == (delimiter == ";")
    assert ("the first line is data: the file has no header" in said) == (not headed)
    [(name, entry)] = yaml.safe_load(facts["source"]["yaml"]).items()
    assert entry.get("delimiter", ",") == delimiter
    source = parse_source(name, entry)
    lake = tmp_path / "lake"
    found = ingest(name, source, calendar="XNYS", lake=lake)
    assert (source.table, found.counts["read"], found.counts["used"]) == ("bar", 80, 80)


class TestMacro:
    """As daily series with a lag of days these would be used weeks too early."""

    def test_fred_md(self, tmp_path: Path) -> None:
        path = tmp_path / "2020-01.csv"
        path.write_text(
            "sasdate,UNRATE,MINE,S&P 500\nTransform:,2,1,5\n" + "1/1/2018,4.1,2,2789\n2/1/2018,4.1,2,2705\n"
        )
        source = guessed(describe(path))
        assert source.kind == "fred_md"
        assert source.metrics == ["UNRATE_revised", "SP_500_revised"]  # type: ignore[union-attr]

    @pytest.mark.data
    def test_the_real_one(self, data_root: Path) -> None:
        assert guessed(describe(data_root / "macro/fred_md_2026-02.csv.gz")).series == "all"  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("text", "metrics"),
        [
            ("date,realtime_start,realtime_end,value\n2010-01-01,2010-02-01,9999-12-31,1\n", {"series": "SERIES"}),
            ("series_id,date,realtime_start,value\nGDP,2010-01-01,2010-02-01,1\n", {"gdp": "GDP"}),
            ("observation_date,GDP_20100201,GDP_20100301\n2010-01-01,1,2\n", {"gdp": "GDP"}),
        ],
    )
    def test_alfred(self, tmp_path: Path, text: str, metrics: dict[str, str]) -> None:
        (tmp_path / "v.csv").write_text(text)
        facts = describe(tmp_path / "v.csv")
        assert guessed(facts).kind == "alfred"
        assert guessed(facts).metrics == metrics  # type: ignore[union-attr]
        assert {"time", "max_age"} <= set(facts["source"]["check"])


def test_bars_of_days_are_bars_of_one_a_session_and_the_adjusted_close_is_found(tmp_path: Path) -> None:
    path, rows = tmp_path / "acme.csv", ["Date,Open,High,Low,Close,Adj Close,Volume"]
    days = [date(2019, 1, 2) + timedelta(days=k) for k in range(40)]
    rows += [f"{day},10,11,9,{10 + k % 2},{5 + k % 2},{100 + k}" for k, day in enumerate(days) if day.weekday() < 5]
    path.write_text("\n".join(rows) + "\n")
    facts = describe(path)
    source = guessed(facts)
    assert (source.kind, source.adjusted, source.columns["volume"]) == ("daily_file", "Adj Close", "Volume")  # type: ignore[union-attr]
    assert "stamps" not in str(facts["warnings"])
    path.write_text(path.read_text().replace("Date,Open", "day,Open").replace("Adj Close,Volume", "Other,Vol"))
    named = guessed(describe(path))
    assert (named.kind, named.adjusted) == ("daily_file", None)  # type: ignore[union-attr]
    assert named.columns == {"event_time": "day"} | {k: k.capitalize() for k in ("open", "high", "low", "close")} | {
        "volume": "Vol"
    }


@pytest.mark.parametrize("head", [b"II*\0", b"MM\0*", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_an_image_is_told_as_one(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "lot.tif").write_bytes(head + b'\r"\r\n\x00\xc2' * 20)
    with pytest.raises(DataError, match="is an image, and no table; `trifuse observe CONFIG`"):
        describe(tmp_path / "lot.tif")


def test_a_column_of_nulls_need_not_be_text(tmp_path: Path) -> None:
    day = datetime(2022, 1, 5, tzinfo=UTC)
    rows = {"site": ["1", "2"], "metric": "lot_fill", "event_time": day, "known_time": day, "value": [0.1, 0.2]}
    nothing = {"cloud_frac": pl.Series([None, None], dtype=pl.Float64), "seen": [True, False]}
    pl.DataFrame(rows | nothing).write_parquet(tmp_path / "o.parquet")
    source = guessed(describe(tmp_path / "o.parquet"))
    assert (source.kind, source.table) == ("table_file", "metric")


@pytest.mark.parametrize("name", ["delivered_at", "published", "released_at"])
def test_deliveries_of_a_series_are_its_known_times(tmp_path: Path, name: str) -> None:
    rows = [f"2021-01-{day:02d},{day},2021-02-{day:02d} 09:00" for day in range(3, 25)]
    (tmp_path / "v.csv").write_text("\n".join([f"week_ending,visits,{name}", *rows]))
    found = describe(tmp_path / "v.csv")
    assert guessed(found).columns == {"event_time": "week_ending", "known_time": name}
    assert "known" not in found["source"]["check"]
