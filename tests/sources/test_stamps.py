"""Starts or ends: stamps of futures whose sessions touch, told by the breaks inside the data."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from test_lake import run
from vendor_files import table_entry

from gpu_kernels.errors import DataError, QuarantineError
from sources.config import parse_source
from sources.describe import describe
from sources.files import input_files
from sources.preview import preview
from sources.quality import Window
from sources.sessions import sessions_around
from sources.stamps import doubt_ends, evidence

CHICAGO = ZoneInfo("America/Chicago")
HEAD = "Date,Open,High,Low,Close,Volume"


def minutes(days: list[date], *, step: int, halt: bool, weekend: bool = True) -> Iterator[datetime]:
    """Starts of the bars of the sessions that end on the days: 17:00 to 16:00 Chicago, a halt from 15:15 to 15:30."""
    for day in days:
        at = datetime(day.year, day.month, day.day, 17, tzinfo=CHICAGO) - timedelta(days=1)
        close = at.replace(tzinfo=None) + timedelta(hours=23)
        wall = at.replace(tzinfo=None)
        while wall < close:
            if not (halt and (15, 15) <= (wall.hour, wall.minute) < (15, 30)):
                yield wall
            wall += timedelta(minutes=step)


WEEK = [date(2015, 1, day) for day in (6, 7, 8, 9, 12)]


def stamps(*, late: int, step: int = 1, halt: bool = True, days: list[date] = WEEK) -> pl.Series:
    found = [wall + timedelta(minutes=late) for wall in minutes(days, step=step, halt=halt)]
    wall = pl.Series("time", found, dtype=pl.Datetime("ns"))
    return wall.dt.replace_time_zone("America/Chicago").dt.convert_time_zone("UTC")


def trading(calendar: str = "CMES") -> pl.DataFrame:
    return sessions_around(calendar, WEEK[0], WEEK[-1])


@pytest.mark.parametrize("step", [1, 5])
@pytest.mark.parametrize("halt", [True, False])
@pytest.mark.parametrize("days", [WEEK, WEEK[:4]])
def test_sessions_that_touch_are_told_by_their_breaks(step: int, halt: bool, days: list[date]) -> None:
    starts, ends = (stamps(late=late, step=step, halt=halt, days=days) for late in (0, step))
    assert evidence(starts, trading()).place == "starts"
    assert evidence(ends, trading()).place == "ends"
    with pytest.raises(DataError, match=rf"bar STARTS .* write `bar: {step}min`"):
        doubt_ends(starts, trading(), starts.diff().cast(pl.Int64).drop_nulls())
    assert doubt_ends(ends, trading(), ends.diff().cast(pl.Int64).drop_nulls()) is None


def test_a_market_without_breaks_is_warned_of_and_not_refused() -> None:
    times = pl.datetime_range(datetime(2015, 1, 5), datetime(2015, 1, 10), "1m", eager=True, time_unit="ns")
    # outages come once, and at a quarter of an hour by chance
    times = times.filter(~times.is_between(datetime(2015, 1, 6, 3), datetime(2015, 1, 6, 4), closed="left"))
    times = times.dt.replace_time_zone("UTC")
    assert evidence(times, trading("24/7")).place is None
    said = doubt_ends(times, trading("24/7"), times.diff().cast(pl.Int64).drop_nulls())
    assert said is not None
    assert "if the vendor says starts, write `bar: 1min`" in said


def test_stamps_on_both_sides_of_a_break_are_undecided() -> None:
    both = pl.concat([stamps(late=0), stamps(late=1)]).unique().sort()
    assert evidence(both, trading()).place is None


def test_bars_without_a_usual_step_raise_no_question() -> None:
    times = stamps(late=1)
    # of every so many trades: the steps grow all the time
    chosen = times.gather([number * (number + 1) // 2 for number in range(100)])
    assert doubt_ends(chosen, trading(), chosen.diff().cast(pl.Int64).drop_nulls()) is None


def es_file(path: Path, late: int, time_format: str = "%Y-%m-%d %H:%M") -> Path:
    rows = [
        f"{(wall + timedelta(minutes=late)).strftime(time_format)},{opens},2001,1999,{4000 - opens},10"
        for number, wall in enumerate(minutes(WEEK, step=1, halt=True))
        for opens in [2000.5 if number % 2 else 1999.5]
    ]
    path.write_text("\n".join([HEAD, *rows, ""]))
    return path


COLUMNS = {"event_time": "Date"} | {name.lower(): name for name in HEAD.split(",")[1:]}
ENTRY = {"columns": COLUMNS, "entity": "ES", "timezone": "America/Chicago", "delay": "1s", "max_age": "10min"}


def test_e_mini_minutes_stamped_at_their_starts_are_refused(tmp_path: Path) -> None:
    wrong = table_entry("bar", es_file(tmp_path / "starts.csv", 0), **ENTRY)
    with pytest.raises(DataError, match=r"bar STARTS .* write `bar: 1min`"):
        run(tmp_path, wrong, calendar="CMES", lake=tmp_path / "wrong")
    said = run(tmp_path, {**wrong, "bar": "1min"}, calendar="CMES", lake=tmp_path / "starts").warnings
    ends = table_entry("bar", es_file(tmp_path / "ends.csv", 1), **ENTRY)
    said += run(tmp_path, ends, calendar="CMES", lake=tmp_path / "ends").warnings
    assert not [line for line in said if "do not tell" in line]


def test_ingest_warns_where_nobody_can_tell(tmp_path: Path) -> None:
    entry = table_entry("bar", es_file(tmp_path / "x.csv", 0), **ENTRY)
    # the same minutes of a market that is said never to close, of one day only
    text = (tmp_path / "x.csv").read_text().split("\n")
    (tmp_path / "x.csv").write_text("\n".join([*text[:600], ""]))
    [said] = [line for line in run(tmp_path, entry, calendar="24/7").warnings if "do not tell" in line]
    assert "write `bar: 1min`" in said


def test_describe_knows_futures(tmp_path: Path) -> None:
    found = describe(es_file(tmp_path / "starts.csv", 0))
    assert "\n  bar: 1min " in found["source"]["yaml"]
    assert "timezone: America/Chicago" in found["source"]["yaml"]
    assert found["warnings"] == []
    found = describe(es_file(tmp_path / "ends.csv", 1))
    assert "\n  # bar: 1min " in found["source"]["yaml"]
    assert found["warnings"] == []


def test_describe_asks_where_nobody_can_tell(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [f"2015-01-0{day} {hour:02d}:{minute:02d}" for day in (3, 4) for hour in range(24) for minute in range(60)]
    path.write_text("\n".join([HEAD, *(f"{time},1,2,1,2,10" for time in rows), ""]))
    [said] = describe(path)["warnings"]
    assert "starts or the ends" in said


def test_check_says_what_the_first_rows_tell(tmp_path: Path) -> None:
    def said(late: int, calendar: str = "CMES", **options: str) -> list[str]:
        path = es_file(tmp_path / "x.csv", late, "%m/%d/%Y %H:%M")
        entry = table_entry("bar", path, **{**ENTRY, "time_format": "%m/%d/%Y %H:%M"}, **options)
        source = parse_source("mine", entry)
        return preview("mine", source, input_files(source, {}), Window(calendar))

    with pytest.raises(DataError, match=r"bar STARTS .* write `bar: 1min`"):
        said(0)
    assert said(1) == said(0, bar="1min") == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("01/14/2015 17:00", "'01/14/2015 17:00' is no clock of ISO 8601; write time_format: '%m/%d/%Y %H:%M'$"),
        ("01/04/2015 17:00", "write time_format: '%m/%d/%Y %H:%M', or '%d/%m/%Y %H:%M' if the day comes first$"),
        ("20150104 170000", "write time_format: '%Y%m%d %H%M%S'$"),
        ("1420210800000", "write time_format: 'epoch_ms'$"),
        ("noon", "'noon' is no clock of ISO 8601; write the time_format"),
    ],
)
def test_clocks_that_cannot_be_read_name_their_format(tmp_path: Path, value: str, words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join([HEAD, *[f"{value},1,2,1,2,10"] * 3, ""]))
    entry = table_entry("bar", path, **ENTRY)
    source = parse_source("mine", entry)
    with pytest.raises(DataError, match=words):
        preview("mine", source, input_files(source, {}), Window("CMES"))
    for limit in (0.5, 1):
        with pytest.raises((DataError, QuarantineError), match=words):
            run(tmp_path, {**entry, "quarantine_limit": limit}, calendar="CMES")
