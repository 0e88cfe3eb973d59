"""Derived series as vendors publish them, read by their columns: counts from satellites, night lights, mobility."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from sources.config import parse_source
from sources.lake import IngestResult, ingest, read

pytestmark = pytest.mark.data
LAG = {"days": 2, "time": "00:00"}


def ingested(data_root: Path, tmp_path: Path, file: str, **options: Any) -> tuple[IngestResult, pl.DataFrame]:
    entry = {"kind": "table_file", "table": "metric", "timezone": "UTC", "max_age": "30d", "quarantine_limit": 0.5}
    entry |= {"files": str(data_root / "alt/series" / file)} | options
    if entry["kind"] == "series_file":
        del entry["table"]
    result = ingest("x", parse_source("x", entry), calendar="XNYS", lake=tmp_path)
    return result, read(result.folder)


def test_cars_at_a_plant_seen_by_radar(data_root: Path, tmp_path: Path) -> None:
    columns = {"event_time": "Time", "value": "Measurement Value", "unit": "Y axis", "sensor": "EO Sensor"}
    result, rows = ingested(
        data_root, tmp_path, "eodash_jaxa_car_count_beijing.csv",
        columns=columns | {"site": "AOI_ID"}, constants={"metric": "new_cars", "quality": "transcribed"}, known=LAG,
    )  # fmt: skip
    assert result.counts["used"] == result.counts["read"] == rows.height == 22
    assert result.warnings == []
    assert rows.select("entity", "site", "metric", "unit", "quality", "sensor").unique().row(0) == (
        *("", "be", "new_cars", "Density per pixel", "transcribed", "ALOS-2"),
    )
    first = rows.row(0, named=True)
    assert (first["value"], first["event_time"]) == (0.6228956229, datetime(2019, 12, 10, tzinfo=UTC))
    assert first["known_time"] == datetime(2019, 12, 12, tzinfo=UTC)


class TestShips:
    FILE = "eodash_e1_dunkirk_ships_subset.csv"
    OPTIONS: ClassVar[dict[str, Any]] = {
        "columns": {"event_time": "Time", "value": "Measurement Value", "sensor": "EO Sensor"},
        "constants": {"site": "dunkirk", "metric": "ships"},
        "known": LAG,
    }

    def test_two_sensors_in_one_series_are_told(self, data_root: Path, tmp_path: Path) -> None:
        result, rows = ingested(data_root, tmp_path, self.FILE, **self.OPTIONS)
        assert rows.height == 19
        (said,) = result.warnings
        assert "1 series are of more than one sensor" in said

    def test_a_source_of_each(self, data_root: Path, tmp_path: Path) -> None:
        day = datetime(2020, 4, 10, tzinfo=UTC)
        found = {}
        for sensor in ("Pleiades", "Sentinel-2"):
            _, rows = ingested(data_root, tmp_path, self.FILE, **self.OPTIONS, only={"EO Sensor": sensor})
            found[sensor] = rows.filter(pl.col("event_time").dt.truncate("1d") == day)["value"].to_list()
        assert found == {"Pleiades": [6.0], "Sentinel-2": [3.0]}

    def test_by_the_day_they_conflict(self, data_root: Path, tmp_path: Path) -> None:
        by_day = tmp_path / "by_day.csv"
        pl.read_csv(data_root / "alt/series" / self.FILE).with_columns(pl.col("Time").str.head(10)).write_csv(by_day)
        result, rows = ingested(tmp_path, tmp_path, str(by_day), **self.OPTIONS | {"quarantine_limit": 0.1})
        # one rule makes both known at once: the row that stands first in the file stays
        assert result.counts["quarantined"] == {"other_sensor": 1}
        assert rows.filter(pl.col("event_time") == datetime(2020, 4, 10, tzinfo=UTC))["value"].to_list() == [6.0]


class TestNightLights:
    FILE = "viirs_india_districts_monthly_tidy.csv"
    OPTIONS: ClassVar[dict[str, Any]] = {
        "columns": {"event_time": "month", "value": "radiance_mean"},
        "constants": {"metric": "radiance", "unit": "nW/cm2/sr", "sensor": "VIIRS"},
        "period": "month",
        "known": {"days": 25, "time": "00:00"},
        "timezone": "Asia/Kolkata",
    }

    def test_months_of_districts_are_known_after_they_ended(self, data_root: Path, tmp_path: Path) -> None:
        options = self.OPTIONS | {"columns": {**self.OPTIONS["columns"], "site": "censuscode"}}
        result, rows = ingested(data_root, tmp_path, self.FILE, **options)
        assert result.counts["used"] == result.counts["read"] == 15_384
        assert rows["site"].n_unique() == 641
        assert (rows["value"] < 0).sum() == 15
        assert (rows["known_time"] - rows["event_end"]).unique().to_list() == [pl.select(pl.duration(days=24)).item()]
        assert (rows["event_end"] > rows["event_time"]).all()

    def test_names_that_two_states_share_conflict_and_are_told_apart_with_the_state(
        self, data_root: Path, tmp_path: Path
    ) -> None:
        columns = self.OPTIONS["columns"]
        result, _ = ingested(
            data_root, tmp_path, self.FILE, **self.OPTIONS | {"columns": {**columns, "site": "district"}}
        )
        raw = pl.read_csv(data_root / "alt/series" / self.FILE)
        assert result.counts["quarantined"] == {
            "conflicting_duplicate": raw.height - raw.select("district", "month").n_unique()
        }
        both = {**columns, "site": ["state", "district"]}
        result, rows = ingested(data_root, tmp_path, self.FILE, **self.OPTIONS | {"columns": both})
        assert result.counts["quarantined"] == {}
        assert "Maharashtra Aurangabad" in rows["site"].to_list()


def test_mobility_by_state_whose_days_are_three_columns(data_root: Path, tmp_path: Path) -> None:
    names = ("retail_and_recreation", "grocery_and_pharmacy", "parks", "transit_stations", "workplaces", "residential")
    result, rows = ingested(
        data_root, tmp_path, "google_mobility_state_daily.csv", kind="series_file",
        columns={"event_time": ["year", "month", "day"], "entity": "statefips"},
        metrics={name: f"gps_{name}" for name in names}, known={"days": 3, "time": "12:00"},
    )  # fmt: skip
    raw = pl.read_csv(data_root / "alt/series/google_mobility_state_daily.csv", infer_schema=False)
    dots = sum(int((raw[f"gps_{name}"] == ".").sum()) for name in names)
    assert result.counts["read"] == 49_215 * len(names)
    assert result.counts["ignored"] == {"no_value": dots}
    assert result.counts["used"] == 49_215 * len(names) - dots
    assert rows["entity"].n_unique() == 51
    texas = rows.filter((pl.col("entity") == "48") & (pl.col("metric") == "parks")).sort("event_time")
    assert texas["event_time"][-1] == datetime(2022, 10, 15, tzinfo=UTC)
    want = raw.filter((pl.col("statefips") == "48") & (pl.col("gps_parks") != "."))["gps_parks"].cast(pl.Float64)
    assert texas["value"].to_list() == want.to_list()


@pytest.mark.parametrize(
    ("file", "rows", "vintages"),
    [
        ("oi_affinity_national_spend_all_vintages.csv.gz", 45_782, 150),
        ("oi_gps_retail_national_vintages.csv.gz", 1_330, 255),
    ],
)
def test_logs_of_vintages(data_root: Path, tmp_path: Path, file: str, rows: int, vintages: int) -> None:
    columns = {"event_time": "event_date", "known_time": "available_time", "metric": "series", "vintage": "commit"}
    result, found = ingested(data_root, tmp_path, file, columns=columns, entity="US")
    assert result.counts["used"] == result.counts["read"] == rows
    assert found["known_time"].n_unique() == vintages
    assert result.warnings == []
