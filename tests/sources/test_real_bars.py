"""Real bars and their quirks, as the provenance of each set tells them: what is read, counted, set aside and said."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from gpu_kernels.errors import DataError, QuarantineError
from sources.config import parse_source
from sources.describe import describe
from sources.lake import IngestResult, ingest, read

pytestmark = pytest.mark.data
SPY_5MIN = {"bar": "5min", "stamp_after": "4min", "volume_unit": 100}


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def ingested(entry: dict[str, Any], calendar: str, lake: Path) -> tuple[IngestResult, pl.DataFrame]:
    result = ingest("bars", parse_source("bars", entry), calendar=calendar, lake=lake)
    return result, read(result.folder)


def etf(data_root: Path, **options: Any) -> dict[str, Any]:
    entry = {"kind": "thinkorswim_csv", "timezone": "America/Chicago", "bar": "1min", "delay": "1s"}
    folder = data_root / "market/us_etf_1min_2014_2015"
    files = {name.upper(): str(folder / f"{name}-*.csv.gz") for name in ("spy", "qqq", "iwm", "dia")}
    return entry | {"max_age": "10min", "files": files} | options


def spy_5min(data_root: Path, **options: Any) -> dict[str, Any]:
    file = data_root / "market/spy_5min_2018_2020/spy.csv.gz"
    entry = {"kind": "table_file", "table": "bar", "files": str(file), "entity": "SPY", "timezone": "UTC"}
    entry |= {"columns": {"event_time": "epoch_s"}, "time_format": "epoch_s", "delay": "1s", "max_age": "10min"}
    return entry | options


def es_bars(data_root: Path, name: str) -> dict[str, Any]:
    file = data_root / f"market/es_infobars_2015_2016/{name}_bars.csv.gz"
    entry = {"kind": "table_file", "table": "bar", "files": str(file), "entity": "ES", "timezone": "UTC"}
    return entry | {"columns": {"event_time": "date_time", "volume": "cum_vol"}, "delay": "1s", "max_age": "1h"}


def lean_es(data_root: Path, **options: Any) -> dict[str, Any]:
    entry = {"kind": "lean_zip", "files": str(data_root / "market/lean/future/cme/minute/es/*_trade.zip")}
    entry |= {"security": "future", "resolution": "minute", "data": "trade", "timezone": "UTC", "delay": "1s"}
    return entry | {"max_age": "10min"} | options


class TestMinuteBarsOfFourFunds:
    def test_counts_and_what_is_missing(self, data_root: Path, tmp_path: Path) -> None:
        result, rows = ingested(etf(data_root), "XNYS", tmp_path)
        assert result.counts == {
            "read": 332_448,
            "used": 234_572,
            # post-close rows of two half days; minutes whose volume two files tell differently
            "quarantined": {"outside_session": 406, "conflicting_overlap": 35},
            "duplicate_of_overlap": 97_435,
            "ignored": {},
        }
        bad = pl.read_parquet(result.quarantine).filter(pl.col("reason") == "conflicting_overlap")
        assert bad["file"].str.contains("/spy-").sum() == 14
        spy = rows.filter(pl.col("entity") == "SPY")
        assert spy["session"].n_unique() == 153
        assert spy.select("event_time").is_duplicated().sum() == 0
        # the names spy-12.xx.2015 are of December 2014
        assert spy["session"].min() == date(2014, 11, 19)
        lengths = dict(spy.group_by("session").len().iter_rows())
        assert lengths.pop(date(2014, 11, 28)) == lengths.pop(date(2014, 12, 24)) == 210
        assert set(lengths.values()) == {390}
        # a stamp of 08:30 in Chicago is the bar from 9:30 to 9:31 in New York
        assert spy["event_time"].min() == at(2014, 11, 19, 14, 31)
        assert result.warnings == [
            "source bars: 1 entities have no earlier bar (QQQ 2014-12-01)",
            "source bars: 8 of 613 sessions of an entity have no bar (DIA 2014-12-15, DIA 2014-12-31, "
            "IWM 2014-12-15, ...)",
        ]

    def test_tick_and_trin_are_metrics(self, data_root: Path, tmp_path: Path) -> None:
        folder = data_root / "market/us_etf_1min_2014_2015"
        with pytest.raises(QuarantineError, match=r"non_positive_price 50860.*is no price, and is read as a metric"):
            ingested(etf(data_root, files={"TICK": str(folder / "tick-*.csv.gz")}), "XNYS", tmp_path)
        entry = etf(data_root, files=str(folder / "tick-*.csv.gz"), entity="US", metrics={"nyse_tick": "Close"})
        result, rows = ingested(entry, "XNYS", tmp_path)
        assert result.table == "metric"
        assert result.counts["read"] == 79_781
        assert result.counts["quarantined"] == {"conflicting_overlap": 72}
        assert rows["value"].min() < 0 < rows["value"].max()  # type: ignore[operator]
        first = rows.filter(pl.col("event_time") == at(2015, 1, 2, 14, 31))
        assert first.select("entity", "metric", "known_time", "value").rows() == [
            ("US", "nyse_tick", at(2015, 1, 2, 14, 31, 1), 653.0)
        ]
        entry = etf(data_root, files={"US": str(folder / "trin-*.csv.gz")}, metrics={"high": "High", "low": "Low"})
        wide = ingested(entry, "XNYS", tmp_path)[1].pivot("metric", index="event_time", values="value")
        assert (wide["high"] >= wide["low"]).all()


class TestFiveMinuteBarsNamedByTheirLastMinute:
    def test_clocks_units_and_what_is_missing(self, data_root: Path, tmp_path: Path) -> None:
        result, rows = ingested(spy_5min(data_root, **SPY_5MIN), "XNYS", tmp_path)
        assert result.counts["used"] == result.counts["read"] == 58_020
        # 09:34 covers 09:30:00 to 09:34:59 and is known at 09:35
        assert rows["event_time"][0] == at(2018, 1, 2, 14, 35)
        assert rows["known_time"][0] == at(2018, 1, 2, 14, 35, 1)
        assert rows["volume"][0] == 2_517_900
        lengths = dict(rows.group_by("session").len()["len"].value_counts().iter_rows())
        assert lengths[42] == 8
        assert lengths[66] == 55
        assert result.warnings == [
            "source bars: 55 of 756 sessions of an entity begin late: their first bars are missing (SPY 2018-03-12, "
            "SPY 2018-03-13, SPY 2018-03-14, ...)",
            "source bars: 6 bars have no volume, so their prices are earlier ones (SPY 2019-01-23, SPY 2020-03-18, "
            "SPY 2020-12-07)",
        ]

    @pytest.mark.parametrize("options", [{}, {"bar": "5min"}, {"bar": "5min", "stamp_after": "5min"}])
    def test_another_reading_of_the_stamps_is_refused(
        self, data_root: Path, tmp_path: Path, options: dict[str, str]
    ) -> None:
        with pytest.raises(DataError, match="write `bar: 5min` and `stamp_after: 4min`"):
            ingested(spy_5min(data_root, **options), "XNYS", tmp_path)

    def test_bars_without_volume_can_be_left_out(self, data_root: Path, tmp_path: Path) -> None:
        result, rows = ingested(spy_5min(data_root, no_volume="leave_out", **SPY_5MIN), "XNYS", tmp_path)
        assert result.counts["ignored"] == {"no_volume": 6}
        assert rows["volume"].min() > 0  # type: ignore[operator]


class TestInformationBars:
    @pytest.mark.parametrize(("name", "read_rows", "outside"), [("tick", 41_123, 8), ("dollar", 24_079, 6)])
    def test_sessions_hold_them(self, data_root: Path, tmp_path: Path, name: str, read_rows: int, outside: int) -> None:
        result, rows = ingested(es_bars(data_root, name), "CMES", tmp_path)
        assert result.counts["read"] == read_rows
        # Good Friday's short session is a holiday of exchange_calendars, and half days end a quarter of an hour early
        assert result.counts["quarantined"] == {"outside_session": outside}
        days = pl.read_parquet(result.quarantine)["raw"].str.slice(0, 10).unique().to_list()
        assert set(days) <= {"2015-04-03", "2015-11-27", "2015-12-24", "2016-11-25"}
        assert result.warnings == []
        assert rows["event_time"].is_sorted()
        assert rows["event_time"].dt.nanosecond().max() > 0  # type: ignore[operator]

    def test_a_roll_lies_between_sessions(self, data_root: Path, tmp_path: Path) -> None:
        # of the front contract, unadjusted: the jumps of the rolls are among the steps between sessions only
        _, rows = ingested(es_bars(data_root, "tick"), "CMES", tmp_path)
        step = rows.with_columns(step=(pl.col("open") / pl.col("close").shift(1)).log().abs())
        between = pl.col("session") != pl.col("session").shift(1)
        within = step.filter(~between)["step"]
        assert within.max() < 0.003  # type: ignore[operator]
        assert step.filter(between)["step"].max() > 0.005  # type: ignore[operator]


class TestMinuteBarsOfAFuture:
    def test_the_bar_with_the_range_of_a_day(self, data_root: Path, tmp_path: Path) -> None:
        result, rows = ingested(lean_es(data_root, max_wick=0.01), "CMES", tmp_path)
        bad = pl.read_parquet(result.quarantine)
        assert bad["reason"].to_list() == ["long_wick"] * 3
        assert [raw.split(",")[0] for raw in bad["raw"]] == ["73800000", "77400000", "77400000"]
        assert "77400000,1804.25,1806.75,1760.75,1804.5,1400" in bad["raw"].to_list()
        # the minute of the FOMC, as wide as a minute can be, stays
        fed = rows.filter((pl.col("event_time") == at(2013, 12, 18, 19, 1)) & (pl.col("entity") == "ES-201403"))
        assert (fed["high"] - fed["low"]).to_list() == [12.25]

    def test_the_front_contract_is_chosen_by_the_volume_known_before(self, data_root: Path, tmp_path: Path) -> None:
        each = ingested(lean_es(data_root), "CMES", tmp_path)[1]
        result, front = ingested(lean_es(data_root, contract="front"), "CMES", tmp_path)
        assert front["entity"].unique().to_list() == ["ES"]
        assert result.counts["used"] + result.counts["ignored"]["other_contract"] == each.height
        contract = front.join(each, on=["event_time", "close", "volume", "high", "low"], suffix="_each")
        of_session = contract.group_by("session").agg(pl.col("entity_each").mode().first()).sort("session")
        chosen = dict(of_session.iter_rows())
        assert date(2013, 10, 7) not in chosen, "nothing was known before the first session"
        # March was traded most from the 18th on, which is known from the 19th on
        assert chosen[date(2013, 12, 18)] == "ES-201312"
        assert chosen[date(2013, 12, 19)] == chosen[date(2013, 12, 20)] == "ES-201403"
        assert date(2020, 1, 6) not in chosen, "the contract of 2013 is not traded any more"


class TestDescribe:
    @pytest.mark.parametrize(
        ("file", "calendar"),
        [
            ("market/es_infobars_2015_2016/volume_bars.csv.gz", "CMES"),
            ("market/spy_5min_2018_2020/spy.csv.gz", "XNYS"),
            ("market/us_etf_1min_2014_2015/tick-01.15.2015.csv.gz", "XNYS"),
            ("market/us_etf_1min_2014_2015/VIX10-02.06.2015.csv.gz", "XNYS"),
            ("market/us_etf_1min_2014_2015/dia-01.15.2015.csv.gz", "XNYS"),
        ],
    )
    def test_what_it_proposes_works(self, data_root: Path, tmp_path: Path, file: str, calendar: str) -> None:
        [(name, entry)] = yaml.safe_load(describe(data_root / file)["source"]["yaml"]).items()
        result = ingest(name, parse_source(name, entry), calendar=calendar, lake=tmp_path)
        assert result.counts["used"] > 0.99 * result.counts["read"]

    def test_a_day_of_a_future(self, data_root: Path, tmp_path: Path) -> None:
        facts = describe(data_root / "market/lean/future/cme/minute/es/20131218_trade.zip")
        [(name, entry)] = yaml.safe_load(facts["source"]["yaml"]).items()
        result = ingest(name, parse_source(name, entry), calendar="CMES", lake=tmp_path)
        assert result.counts["used"] > 16_000
