"""The metric table from vendors' files: what a row may tell of itself, and what it need not."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from vendor_files import table_entry

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.files import input_files
from sources.lake import IngestResult, ingest, read
from sources.preview import preview
from sources.quality import Window
from sources.schema import TABLES


def ingested(tmp_path: Path, entry: dict[str, Any]) -> tuple[IngestResult, pl.DataFrame]:
    result = ingest("x", parse_source("x", entry), calendar="XNYS", lake=tmp_path / "lake")
    return result, read(result.folder)


def at(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[misc, arg-type]


class TestColumns:
    def test_a_row_with_all_columns(self, tmp_path: Path) -> None:
        told = {
            "entity": "WMT",
            "site": "store-7",
            "metric": "lot_fill",
            "event_time": "2020-01-01",
            "event_end": "2020-01-31",
            "known_time": "2020-02-10T12:00:00Z",
            "value": 0.5,
            "unit": "share",
            "std": 0.02,
            "quality": "good",
            "cloud_frac": 0.1,
            "valid_frac": 0.9,
            "n_obs": 3,
            "ingested_time": "2020-02-10T13:00:00Z",
            "vintage": "v2",
            "supersedes": "v1",
            "sensor": "Sentinel-2",
            "gsd": 10,
            "method_version": "1.4",
            "licence": "CC BY 4.0",
        }
        assert list(told) == list(TABLES["metric"].schema)
        pl.DataFrame([told]).write_csv(tmp_path / "m.csv")
        _, rows = ingested(tmp_path, table_entry("metric", tmp_path / "m.csv"))
        assert rows.schema == TABLES["metric"].schema
        clocks = {"event_time": at(2020, 1, 1), "known_time": at(2020, 2, 10, 12), "ingested_time": at(2020, 2, 10, 13)}
        # a period whose end names a day ends with it
        assert rows.row(0, named=True) == told | clocks | {"event_end": at(2020, 2, 1)}

    @pytest.mark.parametrize("form", ["csv", "parquet"])
    def test_blank_cells_are_missing_and_no_problem(self, tmp_path: Path, form: str) -> None:
        optional = [column.name for column in TABLES["metric"].columns if column.optional]
        frame = pl.DataFrame(
            {
                "entity": "A",
                "site": "",
                "metric": "m",
                "event_time": "2020-01-01",
                "known_time": "2020-01-02",
                "value": 1.0,
            }
            | dict.fromkeys(optional)
        )
        path = tmp_path / f"m.{form}"
        frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
        result, rows = ingested(tmp_path, table_entry("metric", path))
        assert result.counts["quarantined"] == {}
        row = rows.row(0, named=True)
        assert row["site"] == ""
        assert all(row[name] is None for name in optional)

    def test_a_site_stands_for_an_entity_that_only_the_site_table_knows(self, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_text(
            "site,metric,event_time,known_time,value\ns1,m,2020-01-01,2020-01-02,1\n,m,2020-01-01,2020-01-02,2\n"
        )
        entry = table_entry("metric", tmp_path / "m.csv")
        result, rows = ingested(tmp_path, entry)
        assert rows.select("entity", "site", "value").rows() == [("", "s1", 1.0)]
        assert result.counts["quarantined"] == {"missing_entity": 1}
        (tmp_path / "n.csv").write_text("metric,event_time,known_time,value\nm,2020-01-01,2020-01-02,1\n")
        with pytest.raises(DataError, match="does not tell the entity"):
            ingested(tmp_path, table_entry("metric", tmp_path / "n.csv"))

    def test_sites_of_one_entity_do_not_share_their_vintages(self, tmp_path: Path) -> None:
        lines = [f"A,{site},m,2020-01-01,2020-01-02,{value}" for value, site in enumerate(("s1", "s2"))]
        (tmp_path / "m.csv").write_text("entity,site,metric,event_time,day,value\n" + "\n".join(lines) + "\n")
        entry = table_entry("metric", tmp_path / "m.csv", delay="1d")
        assert ingested(tmp_path, entry)[1]["value"].to_list() == [0.0, 1.0]


HEAD = (
    "entity,metric,event_time,event_end,known_time,ingested_time,value,std,cloud_frac,valid_frac,n_obs,gsd,supersedes,"
    "vintage,sensor"
)


def file_of(tmp_path: Path, *rows: dict[str, object]) -> Path:
    """A file of HEAD; what a row does not tell is a good value, or blank."""
    names = HEAD.split(",")
    usual = {"entity": "A", "metric": "m", "event_time": "2020-01-01", "known_time": "2020-01-03T12:00:00Z", "value": 1}
    lines = [",".join(str({**usual, **row}.get(name, "")) for name in names) for row in rows]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    return path


class TestRowsSetAside:
    def test_a_list_or_an_object_in_one_line_of_json_is_that_lines_fault(self, tmp_path: Path) -> None:
        good = {"entity": "A", "metric": "m", "event_time": "2020-01-01", "known_time": "2020-01-02", "value": 1}
        odd = [{"value": [1]}, {"event_time": ["2020-01-02"]}, {"known_time": {"day": 1}}]
        lines = [json.dumps({**good, **change}) for change in ({}, *odd)]
        (tmp_path / "m.jsonl").write_text("\n".join(lines))
        result, rows = ingested(tmp_path, table_entry("metric", tmp_path / "m.jsonl") | {"quarantine_limit": 1})
        assert rows["value"].to_list() == [1.0]
        assert result.counts["quarantined"] == {"unparsable_time": 2, "unparsable_number": 1}

    def test_a_column_of_structures_is_refused(self, tmp_path: Path) -> None:
        clocks = {"event_time": ["2020-01-01"], "known_time": ["2020-01-02"]}
        told = {"entity": ["A"], "metric": ["m"], **clocks, "value": [{"mean": 1.0}]}
        pl.DataFrame(told).write_parquet(tmp_path / "m.parquet")
        with pytest.raises(DataError, match="'value' holds Struct"):
            ingested(tmp_path, table_entry("metric", tmp_path / "m.parquet"))

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ({"value": "nan"}, "not_finite"),
            ({"value": "inf"}, "not_finite"),
            ({"value": "many"}, "unparsable_number"),
            ({"std": -0.1}, "negative_std"),
            ({"std": "nan"}, "not_finite"),
            ({"cloud_frac": 1.01}, "share_outside_0_1"),
            ({"valid_frac": -0.01}, "share_outside_0_1"),
            ({"n_obs": -1}, "negative_n_obs"),
            ({"gsd": 0}, "gsd_not_positive"),
            ({"event_end": "2019-12-30"}, "end_before_event"),
            ({"event_end": "2020-01-04"}, "known_before_end"),
            ({"event_end": "2020-01-03T12:00:01Z"}, "known_before_end"),
            ({"known_time": "2019-12-31T23:00Z"}, "known_before_event"),
            ({"ingested_time": "2020-01-03T11:59:59Z"}, "ingested_before_known"),
            ({"ingested_time": "2020-01-02"}, "ingested_before_known"),
            ({"event_end": "someday"}, "unparsable_time"),
            ({"ingested_time": "later"}, "unparsable_time"),
        ],
    )
    def test_each_with_its_reason(self, tmp_path: Path, row: dict[str, object], reason: str) -> None:
        path = file_of(tmp_path, {}, row)
        result, rows = ingested(tmp_path, table_entry("metric", path))
        assert result.counts["quarantined"] == {reason: 1}
        assert rows.height == 1
        assert pl.read_parquet(result.quarantine)["line"].to_list() == [3]

    @pytest.mark.parametrize(
        "row",
        [
            {"std": 0, "cloud_frac": 0, "valid_frac": 1, "n_obs": 0, "gsd": 0.3},
            {"event_end": "2020-01-01"},
            {"event_end": "2020-01-03T12:00:00Z", "ingested_time": "2020-01-03T12:00:00Z"},
            # of clocks that name a day, nobody can tell that they contradict another one inside that day
            {"event_end": "2020-01-03"},
            {"ingested_time": "2020-01-03"},
            {"known_time": "2020-01-03", "ingested_time": "2020-01-03T08:00:00Z"},
            {"known_time": "2020-01-03", "event_end": "2020-01-03T08:00:00Z"},
        ],
    )
    def test_limits_are_allowed(self, tmp_path: Path, row: dict[str, object]) -> None:
        result, _ = ingested(tmp_path, table_entry("metric", file_of(tmp_path, row)))
        assert result.counts["quarantined"] == {}

    def test_a_month_under_way_is_known_where_the_source_says_so(self, tmp_path: Path) -> None:
        path = file_of(tmp_path, {"event_end": "2020-01-31"})
        assert ingested(tmp_path, table_entry("metric", path, nowcast=True))[1].height == 1


class TestBackFilledHistory:
    def test_is_counted_and_told(self, tmp_path: Path) -> None:
        rows = [{"ingested_time": "2020-01-10T12:00:00Z"}, {"ingested_time": "2020-01-10T12:00:01Z", "value": 2}]
        result, found = ingested(tmp_path, table_entry("metric", file_of(tmp_path, *rows)))
        (said,) = result.warnings
        assert "1 rows were written down more than `backfill_after`" in said
        assert found["known_time"].unique().to_list() == [at(2020, 1, 3, 12)]

    def test_counts_from_when_it_was_written_down_where_the_source_says_so(self, tmp_path: Path) -> None:
        rows = [{"ingested_time": "2020-02-10T12:00:00Z"}, {"value": 2}]
        entry = table_entry("metric", file_of(tmp_path, *rows), backfill="as_ingested")
        result, found = ingested(tmp_path, entry)
        assert result.warnings == []
        assert found.select("value", "known_time").rows() == [(2.0, at(2020, 1, 3, 12)), (1.0, at(2020, 2, 10, 12))]


class TestVintagesAndSensors:
    def test_a_vintage_that_supersedes_an_unknown_one_is_told(self, tmp_path: Path) -> None:
        rows = [{"vintage": "v1"}, {"vintage": "v2", "supersedes": "v1", "value": 2}, {"supersedes": "v0", "value": 3}]
        result, found = ingested(tmp_path, table_entry("metric", file_of(tmp_path, *rows)))
        assert found["value"].to_list() == [1.0, 2.0, 3.0]
        (said,) = result.warnings
        assert "1 rows say that they supersede a vintage of which no row" in said

    def test_two_sensors_at_one_time_are_no_revisions_of_each_other(self, tmp_path: Path) -> None:
        rows = [
            {"sensor": "Pleiades", "value": 6, "known_time": "2020-01-05T00:00:00Z"},
            {"sensor": "Sentinel-2", "value": 3, "known_time": "2020-01-04T00:00:00Z"},
            {"sensor": "Sentinel-2", "value": 4, "known_time": "2020-01-06T00:00:00Z"},
            {"value": 5, "known_time": "2020-01-07T00:00:00Z"},
        ]
        result, found = ingested(tmp_path, table_entry("metric", file_of(tmp_path, *rows)))
        # the first that was known stays, and so do its revisions and what names no sensor
        assert found["value"].to_list() == [3.0, 4.0, 5.0]
        assert result.counts["quarantined"] == {"other_sensor": 1}
        assert pl.read_parquet(result.quarantine)["line"].to_list() == [2]

    def test_the_sensor_known_last_does_not_set_aside_the_first(self, tmp_path: Path) -> None:
        rows = [{"sensor": "b", "value": 2, "known_time": "2020-01-06T00:00:00Z"}, {"sensor": "a", "value": 1}]
        _, found = ingested(tmp_path, table_entry("metric", file_of(tmp_path, *rows)) | {"quarantine_limit": 1})
        assert found["value"].to_list() == [1.0]

    @pytest.mark.parametrize("sensor", ["Pleiades", "Sentinel-2"])
    def test_one_of_them_by_only(self, tmp_path: Path, sensor: str) -> None:
        path = file_of(tmp_path, {"sensor": "Pleiades", "value": 6}, {"sensor": "Sentinel-2", "value": 3})
        result, found = ingested(tmp_path, table_entry("metric", path, only={"sensor": sensor}))
        assert found["value"].to_list() == [{"Pleiades": 6.0, "Sentinel-2": 3.0}[sensor]]
        assert result.counts["ignored"] == {"other_kind": 1}
        assert result.warnings == []


class TestConfig:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"constants": {"event_time": "2020"}}, "constants.event_time; allowed: site, metric"),
            ({"constants": {"entity": "A"}}, "the entity of every row is `entity`"),
            ({"constants": {"metric": "m"}, "columns": {"metric": "x"}}, "metric is in `columns` and in `constants`"),
            ({"known": {"days": 1, "time": "09:00"}, "delay": "1d"}, "told by known and by delay"),
            (
                {"known": {"days": 1, "time": "09:00"}, "columns": {"known_time": "x"}},
                "told by known and by columns.known_time",
            ),
            ({"table": "trade", "period": "month"}, "`period` is for table: metric, not for table: trade"),
            ({"columns": {"event_time": []}}, "columns.event_time names no column"),
        ],
    )
    def test_contradictions_are_refused(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            parse_source("x", table_entry("metric", Path("x.csv")) | options)

    def test_a_constant_that_is_no_value_of_its_column(self, tmp_path: Path) -> None:
        entry = table_entry("metric", file_of(tmp_path, {}), constants={"gsd": "ten"})
        with pytest.raises(ConfigError, match=r"constants\.gsd is 'ten'"):
            ingested(tmp_path, entry)

    def test_nothing_tells_when_a_metric_was_known(self, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_text("entity,metric,event_time,value\nA,m,2020-01-01,1\n")
        entry = table_entry("metric", tmp_path / "m.csv")
        with pytest.raises(ConfigError, match="no column known_time, and its source has neither a lag rule"):
            ingested(tmp_path, entry)
        source = parse_source("x", entry)
        with pytest.raises(ConfigError, match="neither a lag rule nor a delay"):
            preview("x", source, input_files(source, {}), Window("XNYS"))

    def test_a_lag_rule_beside_a_column_of_known_times(self, tmp_path: Path) -> None:
        entry = table_entry("metric", file_of(tmp_path, {}), known={"days": 1, "time": "09:00"})
        with pytest.raises(ConfigError, match="has a column known_time, and its source a lag rule"):
            ingested(tmp_path, entry)


class TestKnownByRule:
    def lines(self, tmp_path: Path, *days: str) -> Path:
        path = tmp_path / "d.csv"
        path.write_text("date,x\n" + "".join(f"{day},1\n" for day in days))
        return path

    OPTIONS: ClassVar[dict[str, Any]] = {
        "columns": {"event_time": "date", "value": "x"},
        "constants": {"metric": "m", "unit": "index"},
        "entity": "US",
        "timezone": "America/New_York",
    }

    def test_counts_from_the_last_day_of_the_period(self, tmp_path: Path) -> None:
        path = self.lines(tmp_path, "2020-02-01", "2020-03-31")
        entry = table_entry("metric", path, period="month", known={"days": 10, "time": "08:30"}, **self.OPTIONS)
        _, rows = ingested(tmp_path, entry)
        # whatever day of the month stands for it; New York's midnight, before and after the clocks change
        assert rows["event_end"].to_list() == [at(2020, 3, 1, 5), at(2020, 4, 1, 4)]
        assert rows["known_time"].to_list() == [at(2020, 3, 10, 12, 30), at(2020, 4, 10, 12, 30)]
        assert set(rows["unit"]) == {"index"}

    def test_of_sessions(self, tmp_path: Path) -> None:
        path = self.lines(tmp_path, "2020-02-14")  # a Friday before a holiday
        rule = {"days": 1, "time": "08:30", "business": True}
        _, rows = ingested(tmp_path, table_entry("metric", path, known=rule, **self.OPTIONS))
        assert rows["known_time"].to_list() == [at(2020, 2, 18, 13, 30)]

    def test_a_rule_may_be_later_than_what_was_written_down(self, tmp_path: Path) -> None:
        path = tmp_path / "d.csv"
        path.write_text("date,x,ingested_time\n2020-02-14,1,2020-02-15T12:00:00Z\n")
        entry = table_entry("metric", path, known={"days": 9, "time": "09:00"}, **self.OPTIONS)
        result, rows = ingested(tmp_path, entry)
        assert result.counts["quarantined"] == {}
        assert rows["known_time"].to_list() == [at(2020, 2, 23, 14)]

    def test_a_delay_counts_from_the_end(self, tmp_path: Path) -> None:
        path = self.lines(tmp_path, "2020-02-14")
        entry = table_entry("metric", path, delay="1d", **self.OPTIONS)
        assert ingested(tmp_path, entry)[1]["known_time"].to_list() == [at(2020, 2, 16, 5)]
        _, rows = ingested(tmp_path, entry | {"period": "quarter"})
        assert rows["known_time"].to_list() == [at(2020, 4, 2, 4)]

    def test_of_wide_files(self, tmp_path: Path) -> None:
        path = tmp_path / "wide.csv"
        path.write_text("month,a,b\n2020-02-01,1,2\n2020-03-01,3,.\n")
        entry = {"kind": "series_file", "files": str(path), "timezone": "America/New_York", "max_age": "90d"}
        entry |= {
            "entity": "US",
            "columns": {"event_time": "month"},
            "metrics": {"x": "a", "y": "b"},
            "period": "month",
        }
        _, rows = ingested(tmp_path, entry | {"known": {"days": 10, "time": "08:30"}})
        assert rows.select("metric", "value", "event_end", "known_time").rows() == [
            ("x", 1.0, at(2020, 3, 1, 5), at(2020, 3, 10, 12, 30)),
            ("y", 2.0, at(2020, 3, 1, 5), at(2020, 3, 10, 12, 30)),
            ("x", 3.0, at(2020, 4, 1, 4), at(2020, 4, 10, 12, 30)),
        ]
        assert ingested(tmp_path, entry | {"delay": "2d"})[1]["known_time"][0] == at(2020, 3, 3, 5)
        with pytest.raises(ConfigError, match="exactly one of columns"):
            parse_source("x", entry)

    def test_two_values_of_one_day_conflict(self, tmp_path: Path) -> None:
        path = tmp_path / "d.csv"
        path.write_text("date,x\n2020-02-14,1\n2020-02-14,2\n")
        result, _ = ingested(tmp_path, table_entry("metric", path, known={"days": 1, "time": "09:00"}, **self.OPTIONS))
        assert result.counts["quarantined"] == {"conflicting_duplicate": 1}


class TestClocksOfSeveralColumns:
    @pytest.mark.parametrize(
        ("head", "row", "columns", "options", "expected"),
        [
            ("y,m,d", "2020,2,4", ["y", "m", "d"], {}, at(2020, 2, 4)),
            ("y,m", "2020,11", ["y", "m"], {}, at(2020, 11, 1)),
            ("y,m,d,t", "2020,02,04,09:30", ["y", "m", "d", "t"], {}, at(2020, 2, 4, 9, 30)),
            ("d,t", "2020-02-04,09:30:15", ["d", "t"], {}, at(2020, 2, 4, 9, 30, 15)),
            ("d,t", "04.02.2020,0930", ["d", "t"], {"time_format": "%d.%m.%Y %H%M"}, at(2020, 2, 4, 9, 30)),
        ],
    )
    def test_read_as_one(
        self, tmp_path: Path, head: str, row: str, columns: list[str], options: dict[str, Any], expected: datetime
    ) -> None:
        (tmp_path / "m.csv").write_text(f"{head},value\n{row},1\n")
        entry = table_entry(
            "metric", tmp_path / "m.csv", columns={"event_time": columns}, constants={"metric": "m"}, entity="A",
            delay="1d", **options,
        )  # fmt: skip
        assert ingested(tmp_path, entry)[1]["event_time"].to_list() == [expected]

    def test_of_numbers_in_parquet_and_rows_that_lack_a_part(self, tmp_path: Path) -> None:
        frame = pl.DataFrame(
            {"year": [2020.0, 2020.0, 2020.5, 2020.0], "month": [2, 13, 1, None], "day": 4, "value": 1.0}
        )
        frame.write_parquet(tmp_path / "m.parquet")
        entry = table_entry(
            "metric", tmp_path / "m.parquet", columns={"event_time": ["year", "month", "day"]},
            constants={"metric": "m"}, entity="A", delay="1d",
        )  # fmt: skip
        result, rows = ingested(tmp_path, entry)
        assert rows["event_time"].to_list() == [at(2020, 2, 4)]
        assert result.counts["quarantined"] == {"unparsable_time": 3}

    def test_bars_of_two_columns(self, tmp_path: Path) -> None:
        (tmp_path / "b.csv").write_text("d,t,open,high,low,close,volume\n2015-01-02,09:31,1,1,1,1,1\n")
        entry = table_entry(
            "bar", tmp_path / "b.csv", columns={"event_time": ["d", "t"]}, entity="A", delay="1s",
            timezone="America/New_York",
        )  # fmt: skip
        assert ingested(tmp_path, entry)[1]["event_time"].to_list() == [at(2015, 1, 2, 14, 31)]

    def test_a_part_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_text("year,month,value\n2020,1,1\n")
        entry = table_entry("metric", tmp_path / "m.csv", columns={"event_time": ["year", "month", "day"]}, entity="A")
        with pytest.raises(DataError, match="no column 'day' for event_time; its columns are: year, month, value"):
            ingested(tmp_path, entry)
