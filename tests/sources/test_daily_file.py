"""Daily bars: sessions' closes as their clock, adjustment, and rows that are no bars."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.lake import IngestResult, ingest, read

HEADER = "Date,Open,High,Low,Close,Adj Close,Volume"
ROWS = [
    "2014-11-26,99,101,98,100,80,1000",
    "2014-11-28,100,102,99,101,80.8,2000",
    "2014-12-01,101,103,100,102,102,3000",
]


def entry(path: Path, **options: Any) -> dict[str, Any]:
    found = {"kind": "daily_file", "files": str(path), "entity": "ACME", "timezone": "America/New_York"}
    return found | {"delay": "15min", "max_age": "1d", "adjusted": "Adj Close", "quarantine_limit": 1.0} | options


def ingested(
    tmp_path: Path, rows: list[str], header: str = HEADER, **options: Any
) -> tuple[IngestResult, pl.DataFrame]:
    path = tmp_path / "acme.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    result = ingest("bars", parse_source("bars", entry(path, **options)), calendar="XNYS", lake=tmp_path / "lake")
    return result, read(result.folder)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def test_a_bar_ends_with_its_session_half_days_early(tmp_path: Path) -> None:
    _, bars = ingested(tmp_path, ROWS)
    assert bars["event_time"].to_list() == [at(2014, 11, 26, 21), at(2014, 11, 28, 18), at(2014, 12, 1, 21)]
    assert bars["known_time"].to_list() == [
        at(2014, 11, 26, 21, 15), at(2014, 11, 28, 18, 15), at(2014, 12, 1, 21, 15),
    ]  # fmt: skip
    assert bars["session"].dt.to_string().to_list() == ["2014-11-26", "2014-11-28", "2014-12-01"]


def test_prices_are_brought_to_the_adjusted_close_and_money_stays(tmp_path: Path) -> None:
    _, bars = ingested(tmp_path, ROWS)
    assert bars["close"].to_numpy() == pytest.approx([80, 80.8, 102])
    assert bars["open"].to_numpy() == pytest.approx([99 * 0.8, 100 * 0.8, 101])
    assert (bars["close"] * bars["volume"]).to_numpy() == pytest.approx([100 * 1000, 101 * 2000, 102 * 3000])


def test_without_an_adjusted_column_prices_are_as_quoted(tmp_path: Path) -> None:
    _, bars = ingested(tmp_path, ROWS, adjusted=None)
    assert bars["close"].to_list() == [100, 101, 102]
    assert bars["volume"].to_list() == [1000, 2000, 3000]


def test_days_without_a_session_and_bad_rows_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    bad = [
        "2014-11-27,1,1,1,1,1,1",  # Thanksgiving
        "2014-11-29,1,1,1,1,1,1",  # a Saturday
        "2014-12-02,1,1,1,1,0,1",
        "2014-12-03,1,1,1,,1,1",
        "2014-12-04,1,1,1,nan,1,1",
        "soon,1,1,1,1,1,1",
    ]
    result, bars = ingested(tmp_path, [*ROWS, *bad])
    assert bars.height == 3
    assert result.counts["quarantined"] == {
        "no_session": 2,
        "not_finite": 2,
        "unparsable_number": 1,
        "unparsable_time": 1,
    }


def test_a_date_may_carry_the_time_of_the_local_midnight(tmp_path: Path) -> None:
    _, bars = ingested(tmp_path, ["2014-11-28 00:00:00-05:00,100,102,99,101,80.8,2000"])
    assert bars["event_time"].to_list() == [at(2014, 11, 28, 18)]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'Adj Close' for adjusted"):
        ingested(tmp_path, ["2014-11-28,100,102,99,101,2000"], header="Date,Open,High,Low,Close,Volume")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"max_age": "36h"}, "whole days"),
        ({"max_age": 0}, "whole days"),
        ({"columns": {"known_time": "x"}}, "known `delay` after"),
        ({"max_jump": 0.2}, "max_jump"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, option: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_source("bars", entry(tmp_path / "x.csv", **option))


@pytest.mark.data
def test_real_files_keep_every_total_return(data_root: Path, tmp_path: Path) -> None:
    folder = data_root / "market/retail_daily_yahoo_2014_2023"
    found = entry(folder / "{entity}.csv.gz") | {"quarantine_limit": 0.0}
    del found["entity"]
    result = ingest("bars", parse_source("bars", found), calendar="XNYS", lake=tmp_path, entities=["WMT", "BIG"])
    bars = read(result.folder)
    assert bars.group_by("entity").len().sort("entity").rows() == [("BIG", 2516), ("WMT", 2516)]
    quoted = pl.read_csv(folder / "WMT.csv.gz")["Adj Close"].to_numpy()
    mine = bars.filter(pl.col("entity") == "WMT").sort("event_time")["close"].to_numpy()
    assert np.diff(np.log(mine)) == pytest.approx(np.diff(np.log(quoted)), abs=1e-14)
