"""Real vendor files: what is in them is known from their provenance, so the counts are pinned."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from gpu_kernels.errors import DataError
from sources.columns import load_columns
from sources.config import parse_source
from sources.describe import describe
from sources.lake import IngestResult, ingest, read
from sources.stream import in_order

pytestmark = pytest.mark.data
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "tech_news.yaml"


@pytest.fixture(scope="module")
def tech_news(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, IngestResult]:
    config = yaml.safe_load(CONFIG.read_text())
    lake = tmp_path_factory.mktemp("lake")
    return {
        name: ingest(
            name,
            parse_source(name, entry),
            calendar=config["calendar"],
            entities=config["entities"],
            start=config["start"],
            end=config["end"],
            lake=lake,
            variables={"TRIFUSE_DATA": str(data_root)},
        )
        for name, entry in config["sources"].items()
    }


def lean(data_root: Path, tmp_path: Path, files: str, **options: Any) -> IngestResult:
    entry = {"kind": "lean_zip", "files": str(data_root / "market/lean" / files), "timezone": "America/New_York"}
    entry |= {"delay": "1ms", "max_age": "5min", "extended_hours": True}
    calendar = options.pop("calendar", "XNYS")
    return ingest("lean", parse_source("lean", entry | options), calendar=calendar, lake=tmp_path)


def test_overlapping_minute_bars(tech_news: dict[str, IngestResult]) -> None:
    assert tech_news["bars"].counts == {
        "read": 164_171,
        "used": 114_720,
        # one FB file holds ten-minute bars; the rest are post-close rows of half days and disagreeing overlaps
        "quarantined": {"wrong_bar_interval": 780, "outside_session": 311, "conflicting_overlap": 45},
        "duplicate_of_overlap": 48_315,
        "ignored": {},
    }
    rows = read(tech_news["bars"].folder)
    assert rows.select("entity", "event_time").is_duplicated().sum() == 0
    assert rows["session"].min() == date(2014, 11, 19)
    assert date(2014, 12, 15) not in rows["session"].to_list()
    half_days = rows.filter(pl.col("session").is_in([date(2014, 11, 28), date(2014, 12, 24)]))
    assert half_days.group_by("entity", "session").len()["len"].max() == 210
    assert in_order(rows, "bar")[1] == 0
    # the volume of the FOMC's minute, 14:00 New York, jumps: stamps and zone are right
    fed = rows.filter((pl.col("entity") == "AAPL") & (pl.col("session") == date(2015, 3, 18)))
    after = fed.filter(pl.col("event_time") == datetime(2015, 3, 18, 18, 1, tzinfo=UTC))["volume"][0]
    before = fed.filter(pl.col("event_time") <= datetime(2015, 3, 18, 18, tzinfo=UTC)).tail(10)["volume"].mean()
    assert after > 3 * before  # type: ignore[operator]


def test_a_file_whose_name_lies(tech_news: dict[str, IngestResult]) -> None:
    # aapl-12.3.2015 holds November 2014
    rows = read(tech_news["bars"].folder, entities=["AAPL"], end=date(2014, 11, 19))
    assert rows.height == 390
    assert rows["open"][0] == 115.44


def test_tweets_calendar_and_vix(tech_news: dict[str, IngestResult]) -> None:
    tweets, calendar, vix = (tech_news[name] for name in ("tweets", "calendar", "vix"))
    assert tweets.counts["read"] == 106_338
    assert tweets.counts["quarantined"] == {"exact_duplicate": 133}
    assert read(tweets.folder).group_by("entity").len().sort("entity").rows() == [("AAPL", 18_292), ("FB", 10_664)]
    kinds = dict(read(calendar.folder)["kind"].value_counts().iter_rows())
    assert kinds == {"nfp": 108, "fomc": 73, "cpi": 100}
    assert vix.counts["used"] == 9_235
    row = read(vix.folder).filter(pl.col("known_time") == datetime(2015, 1, 2, 21, 30, tzinfo=UTC))
    assert row["value"].to_list() == [17.79]


def test_wrong_timezone_is_caught(data_root: Path, tmp_path: Path) -> None:
    entry = yaml.safe_load(CONFIG.read_text())["sources"]["bars"] | {"timezone": "America/New_York"}
    with pytest.raises(DataError, match="with timezone: America/Chicago"):
        ingest(
            "bars",
            parse_source("bars", entry),
            calendar="XNYS",
            lake=tmp_path,
            variables={"TRIFUSE_DATA": str(data_root)},
        )


def test_columns_of_the_lake(tech_news: dict[str, IngestResult]) -> None:
    paths = sorted((tech_news["bars"].folder / "entity=AAPL").glob("*.parquet"))
    arrays = load_columns(paths, ["event_time", "close"])
    rows = read(tech_news["bars"].folder, entities=["AAPL"])
    np.testing.assert_array_equal(arrays["close"], rows["close"].to_numpy())
    np.testing.assert_array_equal(arrays["event_time"], rows["event_time"].to_physical().to_numpy())


def test_tick_quotes_are_read_as_pairs(data_root: Path, tmp_path: Path) -> None:
    options = {"security": "equity", "resolution": "tick"}
    quotes = lean(data_root, tmp_path, "equity/usa/tick/bac/20131007_quote.zip", data="quote", **options)
    assert quotes.counts["read"] == 476_855
    assert quotes.counts["ignored"]["first_of_pair"] == 238_427
    assert quotes.counts["quarantined"]["unpaired_quote"] == 1
    book = read(quotes.folder)
    assert ((book["ask_price"] - book["bid_price"]) * 100).median() == pytest.approx(1.0)
    trades = lean(data_root, tmp_path, "equity/usa/tick/bac/20131007_trade.zip", data="trade", **options)
    joined = read(trades.folder).join_asof(book, on="event_time", by="entity")
    at_touch = (joined["price"] == joined["bid_price"]) | (joined["price"] == joined["ask_price"])
    assert at_touch.mean() > 0.99  # type: ignore[operator]


def test_minute_bars_and_quotes_of_an_equity(data_root: Path, tmp_path: Path) -> None:
    options = {"security": "equity", "resolution": "minute"}
    bars = lean(data_root, tmp_path, "equity/usa/minute/spy/*_trade.zip", data="trade", **options)
    quotes = lean(data_root, tmp_path, "equity/usa/minute/spy/*_quote.zip", data="quote", **options)
    assert bars.counts["used"] == quotes.counts["used"] == 7 * 390
    joined = read(bars.folder).join(read(quotes.folder), on=["entity", "event_time"])
    middle = (joined["bid_price"] + joined["ask_price"]) / 2
    assert (joined["close"] / middle - 1).abs().max() < 5e-4  # type: ignore[operator]


def test_future_and_crypto(data_root: Path, tmp_path: Path) -> None:
    options = {"resolution": "minute", "data": "trade", "timezone": "UTC", "extended_hours": False}
    future = lean(
        data_root,
        tmp_path,
        "future/cme/minute/es/*_trade.zip",
        security="future",
        calendar="CMES",
        max_jump=0.02,
        **options,
    )
    rows = read(future.folder)
    assert set(rows["entity"]) >= {"ES-201312", "ES-202003"}
    # 2013-12-18 21:30 UTC holds a bogus range of 46 points
    bad = pl.read_parquet(future.quarantine)
    assert future.counts["quarantined"] == {"price_jump": 2}
    assert "20131218_trade.zip!20131218_es_minute_trade_201312.csv" in bad["file"].str.split("/").list.last().to_list()
    crypto = lean(
        data_root, tmp_path, "crypto/coinbase/minute/btcusd/*_trade.zip", security="crypto", calendar="24/7", **options
    )
    assert crypto.counts["used"] == crypto.counts["read"] == 12_423
    assert read(crypto.folder)["close"].max() < 20_000  # type: ignore[operator]


def test_real_vintages(data_root: Path, tmp_path: Path) -> None:
    entry = {
        "kind": "table_file",
        "table": "metric",
        "files": str(data_root / "alt/series/oi_affinity_national_spend_all_vintages.csv.gz"),
        "columns": {"event_time": "event_date", "known_time": "available_time", "metric": "series"},
        "entity": "US",
        "timezone": "UTC",
        "max_age": "30d",
    }
    result = ingest("spend", parse_source("spend", entry), calendar="XNYS", lake=tmp_path)
    assert result.counts["used"] == result.counts["read"] == 45_782
    day = read(result.folder).filter(pl.col("event_time") == datetime(2020, 1, 13, tzinfo=UTC))
    assert day["known_time"].is_sorted()
    assert day["value"][0] == -0.000676


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("market/us_equity_1min_2014_2015/fb-01.15.2015.csv.gz", "thinkorswim_csv"),
        ("macro/vix-daily.csv.gz", "series_file"),
        ("macro/economic_calendar_fxstreet_usd_high_2014_2022.csv.gz", "calendar_file"),
        ("market/lean/equity/usa/tick/bac/20131007_trade.zip", "lean_zip"),
        ("market/lean/future/cme/minute/es/20131218_trade.zip", "lean_zip"),
        ("market/es_infobars_2015_2016/tick_bars.csv.gz", "table_file"),
        ("market/spy_5min_2018_2020/spy.csv.gz", "table_file"),
        ("market/us_etf_1min_2014_2015/tick-01.15.2015.csv.gz", "thinkorswim_csv"),
        ("alt/series/google_mobility_state_daily.csv", "series_file"),
        ("alt/series/oi_affinity_national_spend_all_vintages.csv.gz", "table_file"),
    ],
)
def test_describe_names_the_source(data_root: Path, file: str, kind: str) -> None:
    facts = describe(data_root / file)
    assert facts["source"]["kind"] == kind
    [(name, entry)] = yaml.safe_load(facts["source"]["yaml"]).items()
    assert parse_source(name, entry).kind == kind
