"""The rules of bars on the smallest case: wicks, stamps, contracts, and what is missing."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from vendor_files import bars_entry, lean_zip, minute_rows, table_entry, thinkorswim

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.lake import IngestResult, ingest, read

HEADER = "entity,event_time,open,high,low,close,volume"


def table(tmp_path: Path, lines: list[str], **options: object) -> IngestResult:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join([HEADER, *lines]))
    entry = table_entry("bar", path, delay="1s", **options)
    return ingest("bars", parse_source("bars", entry), calendar="XNYS", lake=tmp_path / "lake")


def five_minutes(after: int, days: tuple[int, ...] = (5, 6, 7, 8)) -> list[str]:
    """Days of five-minute bars, each named so many minutes after its start."""
    return [
        f"A,{datetime(2015, 1, day, 14, 30) + timedelta(minutes=5 * k + after):%Y-%m-%dT%H:%M:%S},10,11,9,10,5"
        for day in days
        for k in range(78)
    ]


@pytest.mark.parametrize(
    ("bar", "long"),
    [
        ("100,101,99.5,100.5", False),
        ("100,102,99.5,100.5", True),
        ("100,100.9,98.9,100.5", True),
        ("90,100.5,89.9,100.5", False),  # a long body is no wick
    ],
)
def test_wicks(tmp_path: Path, bar: str, long: bool) -> None:
    lines = [f"A,2015-01-05T15:00:00,{bar},5", "A,2015-01-05T15:01:00,100,100,100,100,5"]
    found = table(tmp_path, lines, max_wick=0.01).counts
    assert found["quarantined"] == ({"long_wick": 1} if long else {})
    assert table(tmp_path, lines).counts["used"] == 2


def test_stamps_between_start_and_end(tmp_path: Path) -> None:
    found = table(tmp_path, five_minutes(3), bar="5min", stamp_after="3min", volume_unit=100)
    rows = read(found.folder)
    assert found.counts["used"] == rows.height == 4 * 78
    assert rows["event_time"][0] == datetime(2015, 1, 5, 14, 35, tzinfo=UTC)
    assert rows["known_time"][0] == datetime(2015, 1, 5, 14, 35, 1, tzinfo=UTC)
    assert rows["volume"][0] == 500
    with pytest.raises(DataError, match="write `bar: 5min` and `stamp_after: 3min`"):
        table(tmp_path, five_minutes(3))
    with pytest.raises(DataError, match="write `bar: 5min` and `stamp_after: 3min`"):
        table(tmp_path, five_minutes(3), bar="5min", stamp_after="4min")


def test_stamps_at_the_end_with_a_length(tmp_path: Path) -> None:
    rows = read(table(tmp_path, five_minutes(5), bar="5min", stamp_after="5min").folder)
    assert rows["event_time"].to_list() == read(table(tmp_path, five_minutes(5)).folder)["event_time"].to_list()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"stamp_after": "4min"}, "stamp_after is 4min with no `bar`"),
        ({"bar": "5min", "stamp_after": "6min"}, "stamp_after is 6min with bar 5min"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        table(tmp_path, five_minutes(4), **options)


def test_what_needs_an_entity_or_another_table(tmp_path: Path) -> None:
    for options, told in (
        ({"files": "x.csv"}, "write files: {NAME: ...}, or entity: NAME"),
        ({"files": {"A": "x", "B": "y"}, "metrics": {"m": "Close"}}, "`metrics` are of one entity"),
        ({"files": {"A": "x"}, "metrics": {"m": "Close"}, "max_jump": 0.1}, "`max_jump` and `extended_hours`"),
        ({"files": {"A": "x"}, "metrics": {"m": "Close"}, "max_wick": 0.1}, "`max_wick` is for tables bar"),
    ):
        with pytest.raises(ConfigError, match=told):
            parse_source("x", bars_entry(**options))  # type: ignore[arg-type]


def test_bars_that_are_missing_are_told(tmp_path: Path) -> None:
    days = [minute_rows("01/05/2015", "08:30", 390), minute_rows("01/06/2015", "09:30", 330)]
    days += [minute_rows("01/08/2015", "08:30", 300), minute_rows("01/09/2015", "08:31", 388)]
    thinkorswim(tmp_path / "a.csv", [row for day in days for row in day])
    entry = bars_entry({"A": str(tmp_path / "a.csv")})
    found = ingest("bars", parse_source("bars", entry), calendar="XNYS", lake=tmp_path, end=date(2015, 1, 9))
    assert found.warnings == [
        "source bars: 1 of 5 sessions of an entity have no bar (A 2015-01-07)",
        "source bars: 1 of 5 sessions of an entity begin late: their first bars are missing (A 2015-01-06)",
        "source bars: 1 of 5 sessions of an entity end early: their last bars are missing (A 2015-01-08)",
    ]


def contracts(folder: Path, days: dict[str, dict[str, int]]) -> None:
    """LEAN days in which each contract has two bars of the given volume, at 15:00 UTC."""
    for day, volumes in days.items():
        members = {
            f"{day}_es_minute_trade_{month}.csv": [f"{54_000_000 + k * 60_000},10,10,10,10,{volume}" for k in (0, 1)]
            # the later contract stands first in the zip
            for month, volume in sorted(volumes.items(), reverse=True)
        }
        lean_zip(folder / "es" / f"{day}_trade.zip", members)


def front_of(folder: Path, **options: object) -> dict[date, float]:
    entry = {"kind": "lean_zip", "files": str(folder / "es/*_trade.zip"), "security": "future", "contract": "front"}
    entry |= {"resolution": "minute", "data": "trade", "timezone": "UTC", "delay": "1s", "max_age": "1d"}
    entry["quarantine_limit"] = 0.5
    found = ingest("es", parse_source("es", entry), calendar="CMES", lake=folder, **options)  # type: ignore[arg-type]
    rows = read(found.folder)
    assert set(rows["entity"]) == {"ES"}
    assert rows.group_by("session").len()["len"].to_list() == [2] * rows["session"].n_unique()
    return dict(rows.group_by("session").agg(pl.col("volume").first()).sort("session").iter_rows())


def test_the_front_contract_of_the_day_after(tmp_path: Path) -> None:
    days = {
        "20151207": {"201512": 90, "201603": 10},
        "20151208": {"201512": 40, "201603": 60},
        "20151209": {"201512": 70, "201603": 31},
        "20151210": {"201512": 11, "201603": 12},
    }
    contracts(tmp_path, days)
    # of the first day none is known; the roll of the 9th is not taken back on the 10th
    expected = {date(2015, 12, 8): 40, date(2015, 12, 9): 31, date(2015, 12, 10): 12}
    assert front_of(tmp_path) == expected
    # what comes later changes nothing, and what was before the window is known
    assert front_of(tmp_path, end=date(2015, 12, 9)) == dict(list(expected.items())[:2])
    assert front_of(tmp_path, start=date(2015, 12, 9), entities=["ES"]) == dict(list(expected.items())[1:])


def test_a_bar_that_is_told_twice_was_traded_once(tmp_path: Path) -> None:
    contracts(tmp_path, {day: {"201512": 60, "201603": 40} for day in ("20151207", "20151208")})
    lines = [f"{54_000_000 + k * 60_000},10,10,10,10" for k in (0, 1)]
    members = {
        "20151207_es_minute_trade_201603.csv": [f"{line},40" for line in lines for _ in range(2)],
        "20151207_es_minute_trade_201512.csv": [f"{line},60" for line in lines],
    }
    lean_zip(tmp_path / "es" / "20151207_trade.zip", members)
    assert front_of(tmp_path) == {date(2015, 12, 8): 60}


def test_front_is_for_bars_of_futures() -> None:
    entry = {"kind": "lean_zip", "files": "x", "security": "equity", "resolution": "minute", "data": "trade"}
    with pytest.raises(ConfigError, match="`contract: front` is for bars of futures"):
        parse_source("x", entry | {"timezone": "UTC", "delay": "1s", "max_age": "1d", "contract": "front"})
