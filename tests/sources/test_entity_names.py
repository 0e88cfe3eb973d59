"""What a file calls its entities, renamed by the config or by a file."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.lake import ingest, read

ROWS = "year,month,day,state,away\n2020,2,24,1,.1\n2020,2,24,48,.\n2020,2,25, 48 ,.3\n2020,2,25,99,.4\n2020,2,25,,.5\n"


def entry(tmp_path: Path, **more: Any) -> dict[str, Any]:
    (tmp_path / "m.csv").write_text(ROWS)
    return {
        "kind": "table_file",
        "table": "metric",
        "files": str(tmp_path / "m.csv"),
        "columns": {"event_time": ["year", "month", "day"], "entity": "state", "value": "away"},
        "constants": {"metric": "away"},
        "no_value": ["."],
        "timezone": "America/New_York",
        "known": {"days": 30, "time": "09:00"},
        "max_age": "60d",
        "quarantine_limit": 1,
    } | more


def taken(tmp_path: Path, entry: dict[str, Any]) -> tuple[list[tuple[Any, ...]], dict[str, int], str]:
    result = ingest("mobility", parse_source("mobility", entry), calendar="XNYS", lake=tmp_path / "lake")
    return read(result.folder).select("entity", "value").rows(), result.counts["quarantined"], result.key


def test_names_in_the_config(tmp_path: Path) -> None:
    rows, set_aside, _ = taken(tmp_path, entry(tmp_path, entity_names={1: "US-AL", 48: "US-TX"}))
    assert rows == [("US-AL", 0.1), ("US-TX", 0.3)]
    assert set_aside == {"unknown_entity": 1, "missing_entity": 1}


def test_names_in_a_file_whose_contents_count(tmp_path: Path) -> None:
    names = tmp_path / "states.txt"
    names.write_text("fips,name,abbreviation\n1,Alabama,AL\n48,Texas,TX\n,,\n")
    told = entry(tmp_path, entity_names={"file": str(names), "key": "fips", "name": "abbreviation", "prefix": "US-"})
    rows, set_aside, key = taken(tmp_path, told)
    assert rows == [("US-AL", 0.1), ("US-TX", 0.3)]
    names.write_text("fips,abbreviation\n1,A\n48,T\n99,Z\n")
    rows, set_aside, again = taken(tmp_path, told)
    assert rows == [("US-A", 0.1), ("US-T", 0.3), ("US-Z", 0.4)]
    assert set_aside == {"missing_entity": 1}
    assert again != key


def test_of_daily_series(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("date,place,VIX\n2020-02-24,usa,25\n2020-02-24,mars,1\n")
    told = {"kind": "series_file", "files": str(tmp_path / "s.csv"), "timezone": "UTC", "max_age": "9d"}
    told |= {"columns": {"event_time": "date", "entity": "place"}, "metrics": {"vix": "VIX"}, "quarantine_limit": 1}
    rows, set_aside, _ = taken(tmp_path, told | {"known": {"days": 0, "time": "16:30"}, "entity_names": {"usa": "US"}})
    assert rows == [("US", 25.0)]
    assert set_aside == {"unknown_entity": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fips,abbreviation\n1,AL\n1,TX\n", "line 3: 1 has two names, US-AL and US-TX"),
        ("fips,short\n1,AL\n", "has no column 'abbreviation'; its columns are: fips, short"),
        ("fips,abbreviation\n", "names no entity"),
    ],
)
def test_wrong_files_of_names(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "n.txt").write_text(text)
    names = {"file": str(tmp_path / "n.txt"), "key": "fips", "name": "abbreviation", "prefix": "US-"}
    with pytest.raises(DataError) as error:
        taken(tmp_path, entry(tmp_path, entity_names=names))
    assert words in str(error.value)
    with pytest.raises(DataError, match="cannot be read"):
        taken(tmp_path, entry(tmp_path, entity_names=names | {"file": str(tmp_path / "none.txt")}))


def test_wrong_options(tmp_path: Path) -> None:
    for names in ({"file": "x", "key": "a"}, ["US"], {"1": 2}):
        with pytest.raises(ConfigError, match="entity_names"):
            parse_source("m", entry(tmp_path, entity_names=names))


@pytest.mark.data
def test_real_states(tmp_path: Path, data_root: Path) -> None:
    folder = data_root / "alt/series"
    told = entry(
        tmp_path,
        files=str(folder / "google_mobility_state_daily.csv"),
        columns={"event_time": ["year", "month", "day"], "entity": "statefips", "value": "gps_retail_and_recreation"},
        entity_names={
            "file": str(folder / "oi_geoids_state.csv"),
            "key": "statefips",
            "name": "stateabbrev",
            "prefix": "US-",
        },
        quarantine_limit=0,
    )
    result = ingest("mobility", parse_source("mobility", told), calendar="XNYS", lake=tmp_path / "lake")
    rows = read(result.folder)
    assert rows["entity"].n_unique() == 51
    assert {"US-TX", "US-DC"} <= set(rows["entity"])
    assert rows.filter(pl.col("entity") == "US-AL").sort("event_time")["value"][0] == pytest.approx(0.00286)
