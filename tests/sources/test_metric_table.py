"""The metric table from vendors' files: what a row may tell of itself, and what it need not."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from vendor_files import table_entry

from gpu_kernels.errors import DataError
from sources.config import parse_source
from sources.lake import IngestResult, ingest, read
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
