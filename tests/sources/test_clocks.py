"""Clocks against the standard library's, on daylight-saving days too."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kernels.errors import DataError
from sources.clocks import known_after, read_clock, read_known

ZONES = ("UTC", "America/New_York", "America/Chicago", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe")


def naive_utc(local: datetime, zone: str) -> datetime | None:
    """The only UTC time that shows `local` on the walls of `zone`; None where there is none or two."""
    info = ZoneInfo(zone)
    candidates = {local.replace(tzinfo=info, fold=fold).astimezone(UTC) for fold in (0, 1)}
    exact = {time for time in candidates if time.astimezone(info).replace(tzinfo=None) == local}
    return exact.pop() if len(exact) == 1 else None


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2030, 1, 1)).map(
        lambda t: t.replace(microsecond=0)
    ),
    st.sampled_from(ZONES),
)
def test_local_time_equals_standard_library(local: datetime, zone: str) -> None:
    row = read_clock(pl.Series([local.isoformat(sep=" ")]), timezone=zone).row(0, named=True)
    assert row["time"] == naive_utc(local, zone)
    assert (row["problem"] is None) == (row["time"] is not None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2014-11-02 01:30:00", "clock_change"),
        ("2014-03-09 02:30:00", "clock_change"),
        ("2014-13-05", "unparsable_time"),
        ("2014-02-30 10:00:00", "unparsable_time"),
        ("x", "unparsable_time"),
        ("", "unparsable_time"),
        (None, "unparsable_time"),
        ("1000-01-01", "unparsable_time"),
        ("9999-12-31T00:00:00Z", "unparsable_time"),
        ("2014-01-02 10:00:00 junk", "unparsable_time"),
        ("2014-01-02T10:00:00+25:00", "unparsable_time"),  # no zone is that far off, nor has an hour 99 minutes
        ("2014-01-02T10:00:00+05:99", "unparsable_time"),
    ],
)
def test_what_cannot_be_told_is_a_problem(text: str | None, problem: str) -> None:
    row = read_clock(pl.Series([text], dtype=pl.String), timezone="America/New_York").row(0, named=True)
    assert row["time"] is None
    assert row["problem"] == problem


@pytest.mark.parametrize(
    ("text", "time_format", "expected"),
    [
        ("2014-05-05T10:00:00Z", None, "2014-05-05 10:00:00"),
        ("2014-05-05 10:00:00+02:00", None, "2014-05-05 08:00:00"),
        ("2014-05-05 10:00:00 -0530", None, "2014-05-05 15:30:00"),
        ("2014-05-05T10:00", None, "2014-05-05 14:00:00"),
        ("05/05/2014 10:00", "%m/%d/%Y %H:%M", "2014-05-05 14:00:00"),
        ("2014-05-05 10:00:00 +0200", "%Y-%m-%d %H:%M:%S %z", "2014-05-05 08:00:00"),
        ("1399284000", "epoch_s", "2014-05-05 10:00:00"),
        ("1399284000000", "epoch_ms", "2014-05-05 10:00:00"),
    ],
)
def test_formats(text: str, time_format: str | None, expected: str) -> None:
    row = read_clock(pl.Series([text]), timezone="America/New_York", time_format=time_format).row(0, named=True)
    assert str(row["time"]) == expected + "+00:00"


def test_nanoseconds_survive() -> None:
    found = read_clock(pl.Series(["2014-05-05T10:00:00.123456789Z", "2014-05-05T10:00:00.5"]), timezone="UTC")
    assert found["time"].dt.nanosecond().to_list() == [123456789, 500_000_000]


def test_epoch_beyond_int64_is_a_problem_and_does_not_wrap() -> None:
    found = read_clock(pl.Series([10**15, 1399284000]), timezone="UTC", time_format="epoch_s")
    assert found["problem"].to_list() == ["unparsable_time", None]


def test_parquet_types() -> None:
    days = read_clock(pl.Series([date(2014, 7, 1)]), timezone="America/New_York").row(0, named=True)
    assert (str(days["time"]), days["whole_day"]) == ("2014-07-01 04:00:00+00:00", True)
    local = read_clock(pl.Series([datetime(2014, 7, 1, 9, 30)]), timezone="America/New_York").row(0, named=True)
    assert str(local["time"]) == "2014-07-01 13:30:00+00:00"
    aware = pl.Series([datetime(2014, 7, 1, 9, 30)]).dt.replace_time_zone("Asia/Tokyo")
    assert str(read_clock(aware, timezone="UTC")["time"][0]) == "2014-07-01 00:30:00+00:00"
    with pytest.raises(DataError, match="not clocks"):
        read_clock(pl.Series([1.5]), timezone="UTC")


def test_a_day_without_time_is_known_at_its_end() -> None:
    clock = read_clock(pl.Series(["2014-11-02", "2014-11-02 12:00:00"]), timezone="America/New_York")
    # the day of the change is 25 hours long
    expected = [datetime(2014, 11, 3, 5, 0, 1, tzinfo=UTC), datetime(2014, 11, 2, 17, 0, 1, tzinfo=UTC)]
    assert known_after(clock, 10**9, "America/New_York").to_list() == expected
    assert clock["time"][1] - clock["time"][0] == timedelta(hours=13)
    known = read_known(pl.Series(["2014-11-02", "bad"]), timezone="America/New_York")
    assert known["time"].to_list() == [datetime(2014, 11, 3, 5, tzinfo=UTC), None]
