"""LEAN's ticks: pairs of quotes in any cut of the file, coins' layouts, filters, and real days of one stock."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from vendor_files import lean_zip

from gpu_kernels.errors import ConfigError, DataError
from sources import files
from sources.config import parse_source
from sources.files import input_files
from sources.lake import IngestResult, ingest
from sources.lake import read as read_lake
from sources.readers import READERS


def entry(files: Path | str, **options: Any) -> dict[str, Any]:
    base = {"kind": "lean_zip", "files": str(files), "timezone": "America/New_York", "delay": "1ms", "max_age": "1min"}
    return base | {"security": "equity", "resolution": "tick", "data": "trade"} | options


def read(path: Path, **options: Any) -> tuple[pl.DataFrame, Counter[str]]:
    source, ignored, parts = parse_source("mine", entry(path, **options)), Counter[str](), []
    for index, file in enumerate(input_files(source, {})):
        for batch in READERS[source.kind](source, file, index, "XNYS"):
            parts.append(batch.rows)
            ignored.update(batch.ignored)
    return pl.concat(parts), ignored


TRADES = [
    "34200000,139400,500,P,20002020,0",
    "34200001,139500,100,D,1,0",
    "34200002,139500,200,D,20,1",
    "34200003,139500,300,B,zz,0",
    "34200004,139600",
]
QUOTES = [
    "34200000,0,0,140200,500,Q,1,0",
    "34200554,138400,700,0,0,P,1,0",
    "34200554,0,0,140100,300,P,1,0",
    "34200600,138500,100,0,0,P,1,0",
    "34200601,138500,100,139900,200,P,1,0",
    "34200602,0,0,0,0,P,1,0",
    "34200700,138600,100,0,0,P,1,0",
    "34200700,0,0,140000,100,P,1,0",
    "34200800,138600,100,0,0,P,1,0",
]


class TestTrades:
    def zip(self, tmp_path: Path) -> Path:
        return lean_zip(tmp_path / "bac" / "20131007_trade.zip", {"20131007_bac_Trade_Tick.csv": TRADES})

    def test_all(self, tmp_path: Path) -> None:
        rows, ignored = read(self.zip(tmp_path))
        assert rows.select("price", "size", "side", "problem").rows() == [
            (13.94, 500.0, 0, None),
            (13.95, 100.0, 0, None),
            (13.95, 200.0, 0, "flagged_by_vendor"),
            (13.95, 300.0, 0, None),
            (13.96, None, 0, "wrong_field_count"),
        ]
        assert not ignored

    def test_flagged_ticks_can_be_kept(self, tmp_path: Path) -> None:
        rows, _ = read(self.zip(tmp_path), suspicious="keep")
        assert rows["problem"].to_list() == [None] * 4 + ["wrong_field_count"]

    @pytest.mark.parametrize(
        ("options", "lines", "ignored"),
        [
            ({"exchanges": ["D"]}, [2, 3, 5], {"other_exchange": 2}),
            ({"exclude_conditions": ["20"]}, [2, 4, 5], {"excluded_condition": 2}),
            ({"exclude_conditions": ["1", "2000"]}, [3, 4, 5], {"excluded_condition": 2}),
            (
                {"exchanges": ["D", "B"], "exclude_conditions": ["21"]},
                [4, 5],
                {"other_exchange": 1, "excluded_condition": 2},
            ),
        ],
    )
    def test_filters(self, tmp_path: Path, options: dict[str, Any], lines: list[int], ignored: dict[str, int]) -> None:
        rows, counts = read(self.zip(tmp_path), **options)
        assert rows["line"].to_list() == lines
        assert +counts == ignored

    @pytest.mark.parametrize(
        "options",
        [
            {"data": "quote", "exchanges": ["P"]},
            {"resolution": "minute", "exclude_conditions": ["1"]},
            {"security": "crypto", "exchanges": ["P"]},
        ],
    )
    def test_filters_that_fit_nothing(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="are for trade ticks"):
            parse_source("mine", entry("x", **options))

    def test_a_condition_is_hexadecimal(self) -> None:
        with pytest.raises(ConfigError, match="exclude_conditions"):
            parse_source("mine", entry("x", exclude_conditions=["xyz"]))


class TestQuotes:
    @pytest.mark.parametrize("size", [2**20, 1, 40, 64])
    def test_pairs_in_any_cut(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        path = lean_zip(tmp_path / "bac" / "20131007_quote.zip", {"20131007_bac_Quote_Tick.csv": QUOTES})
        monkeypatch.setattr(files.blocks, "__kwdefaults__", {"quoted": False, "size": size})
        rows, ignored = read(path, data="quote")
        assert rows.select("line", "bid_price", "ask_price", "problem").rows() == [
            (1, 0.0, 14.02, "unpaired_quote"),
            (3, 13.84, 14.01, None),
            (4, 13.85, 0.0, "unpaired_quote"),
            (5, 13.85, 13.99, None),
            (6, 0.0, 0.0, "unpaired_quote"),
            (8, 13.86, 14.0, None),
            (9, 13.86, 0.0, "unpaired_quote"),
        ]
        assert +ignored == {"first_of_pair": 2}

    def test_coins(self, tmp_path: Path) -> None:
        options = {"security": "crypto", "timezone": "UTC"}
        quotes = lean_zip(
            tmp_path / "btcusd" / "20180404_quote.zip",
            {"x.csv": ["1,7000.01,0.5,7000.02,0.25,0", "2,7000.01,0.5,7000.02,0.25,1", "3,0,0,7000.02,1,0"]},
        )
        rows, _ = read(quotes, data="quote", **options)
        assert rows.select("bid_price", "bid_size", "ask_price", "ask_size", "problem").rows() == [
            (7000.01, 0.5, 7000.02, 0.25, None),
            (7000.01, 0.5, 7000.02, 0.25, "flagged_by_vendor"),
            (0.0, 0.0, 7000.02, 1.0, "unpaired_quote"),
        ]
        trades = lean_zip(tmp_path / "btcusd" / "20180404_trade.zip", {"x.csv": ["1,7000.01,0.00000001,0"]})
        rows, _ = read(trades, **options)
        assert rows.select("entity", "price", "size", "problem").rows() == [("BTCUSD", 7000.01, 1e-8, None)]
        with pytest.raises(DataError, match="has 4 fields in its first line"):
            read(trades)


def test_damaged_zip(tmp_path: Path) -> None:
    path = lean_zip(tmp_path / "bac" / "20131007_trade.zip", {"x.csv": TRADES * 500})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="truncated or damaged"):
        read(path)


@pytest.mark.data
class TestReal:
    DAYS: tuple[str, ...] = ("20131007", "20131009", "20131011")

    def lake(self, data_root: Path, tmp_path: Path, files: str, calendar: str, **options: Any) -> IngestResult:
        source = parse_source("lean", entry(data_root / "market/lean" / files, extended_hours=True, **options))
        return ingest("lean", source, calendar=calendar, lake=tmp_path)

    def test_quotes_are_the_consolidated_best(self, data_root: Path, tmp_path: Path) -> None:
        """Read as pairs they hardly ever cross, are a tick apart, and hold nearly every trade at the bid or ask."""
        for day in self.DAYS:
            folder = f"equity/usa/tick/bac/{day}"
            result = self.lake(data_root, tmp_path, f"{folder}_quote.zip", "XNYS", data="quote")
            quotes = read_lake(result.folder)
            assert result.counts["quarantined"].get("crossed_quote", 0) < 2e-4 * quotes.height
            assert result.counts["quarantined"].get("unpaired_quote", 0) <= 1
            # 1.3 to 3.5 % of them are locked, bid and ask being equal
            spread = ((quotes["ask_price"] - quotes["bid_price"]) * 100).round()
            assert (spread == 1).mean() > 0.96  # type: ignore[operator]
            assert spread.mean() == pytest.approx(1.0, abs=0.035)
            trades = read_lake(self.lake(data_root, tmp_path, f"{folder}_trade.zip", "XNYS").folder)
            joined = trades.drop("entity").join_asof(quotes, on="event_time").drop_nulls("bid_price")
            cents = joined.select((pl.col("price", "bid_price", "ask_price") * 100).round())
            at_touch = ((cents["price"] == cents["bid_price"]) | (cents["price"] == cents["ask_price"])).mean()
            assert 0.9935 <= at_touch <= 0.997  # type: ignore[operator]

    def test_coins_by_the_second(self, data_root: Path, tmp_path: Path) -> None:
        options = {"security": "crypto", "resolution": "second", "timezone": "UTC"}
        result = self.lake(data_root, tmp_path, "crypto/coinbase/second/btcusd/*_trade.zip", "24/7", **options)
        assert result.counts["used"] == result.counts["read"] > 1000
        rows = read_lake(result.folder)
        assert rows["entity"].unique().to_list() == ["BTCUSD"]
        assert rows["close"].is_between(550, 650).all()
