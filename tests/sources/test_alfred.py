"""ALFRED's vintages, long and wide, against a replay of what each vintage said."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.lake import IngestResult, ingest, read

Vintages = dict[date, dict[date, float]]


def taken(tmp_path: Path, text: str, **more: Any) -> tuple[pl.DataFrame, IngestResult]:
    (tmp_path / "a.csv").write_text(text)
    entry = {
        "kind": "alfred",
        "files": str(tmp_path / "a.csv"),
        "metrics": {"gdp": "GDP"},
        "timezone": "UTC",
        "time": "12:30",
        "max_age": "400d",
        "quarantine_limit": 1,
    }
    source = parse_source("gdp", entry | more)
    result = ingest("gdp", source, calendar="XNYS", lake=tmp_path / "lake")
    return read(result.folder), result


def drawn(seed: int) -> Vintages:
    """Vintages of two dozen months: each adds a month, revises some, and now and then no longer has one."""
    draw = np.random.default_rng(seed)
    found: Vintages = {}
    said: dict[date, float] = {}
    for place in range(24):
        said[date(2010 + place // 12, place % 12 + 1, 1)] = round(float(draw.normal()), 2)
        for month in [*said]:
            if draw.random() < 0.15:
                said[month] = round(float(draw.normal()), 2)
            elif draw.random() < 0.03:
                del said[month]
        found[date(2010, 2, 1) + timedelta(days=30 * place + int(draw.integers(0, 20)))] = dict(said)
    return found


def long_form(vintages: Vintages) -> str:
    """Ranges of equal values, one line each, as ALFRED joins them."""
    lines, days = ["realtime_start,realtime_end,date,value"], sorted(vintages)
    for month in sorted({month for said in vintages.values() for month in said}):
        begin, held = days[0], vintages[days[0]].get(month)
        for day in [*days[1:], None]:
            value = None if day is None else vintages[day].get(month)
            if day is None or value != held:
                if held is not None:
                    end = "9999-12-31" if day is None else str(day - timedelta(days=1))
                    lines.append(f"{begin},{end},{month},{held}")
                begin, held = day or begin, value
    return "\n".join(lines) + "\n"


def wide_form(vintages: Vintages) -> str:
    days = sorted(vintages)
    lines = ["observation_date," + ",".join(f"GDP_{day:%Y%m%d}" for day in days)]
    for month in sorted({month for said in vintages.values() for month in said}):
        lines.append(f"{month}," + ",".join(str(vintages[day].get(month, ".")) for day in days))
    return "\n".join(lines) + "\n"


def as_known(rows: pl.DataFrame, moment: datetime) -> dict[date, float]:
    """Of each date the last row known, less those that withdraw it."""
    last = {}
    for event, value in (
        rows.filter(pl.col("known_time") <= moment).sort("known_time").select("event_time", "value").iter_rows()
    ):
        last[event.date()] = value
    return {day: value for day, value in last.items() if value is not None}


@pytest.mark.parametrize("form", [long_form, wide_form])
@pytest.mark.parametrize("seed", range(6))
def test_at_each_vintage_the_series_is_what_it_said(tmp_path: Path, form: Any, seed: int) -> None:
    vintages = drawn(seed)
    rows, result = taken(tmp_path, form(vintages))
    assert result.counts["quarantined"] == {}
    assert rows["value"].null_count() > 0
    days = sorted(vintages)
    for day, after in zip(days, [*days[1:], date(2030, 1, 1)], strict=True):
        first = datetime(day.year, day.month, day.day, 12, 30, tzinfo=UTC)
        last = datetime(after.year, after.month, after.day, 12, 29, tzinfo=UTC)
        assert as_known(rows, first) == as_known(rows, last) == vintages[day]
        before = max((earlier for earlier in days if earlier < day), default=None)
        assert as_known(rows, first - timedelta(seconds=1)) == vintages.get(before, {})


def test_both_forms_give_the_same_rows(tmp_path: Path) -> None:
    vintages = drawn(11)
    long, _ = taken(tmp_path, long_form(vintages))
    wide, _ = taken(tmp_path, wide_form(vintages))
    keys = ["event_time", "known_time", "value"]
    assert long.select(keys).sort(keys).equals(wide.select(keys).sort(keys))


def test_the_past_does_not_depend_on_later_vintages(tmp_path: Path) -> None:
    vintages = drawn(3)
    whole, _ = taken(tmp_path, wide_form(vintages))
    cut = sorted(vintages)[14]
    part, _ = taken(tmp_path, wide_form({day: said for day, said in vintages.items() if day <= cut}))
    assert part.equals(whole.filter(pl.col("known_time") <= part["known_time"].max()))


def test_without_realtime_end_a_vintage_lasts_until_the_next(tmp_path: Path) -> None:
    text = "date,realtime_start,value\n2010-01-01,2010-02-01,1\n2010-01-01,2010-03-01,2\n2010-02-01,2010-03-01,5\n"
    rows, _ = taken(tmp_path, text)
    assert rows.select("value", pl.col("known_time").dt.date()).rows() == [
        (1.0, date(2010, 2, 1)),
        (2.0, date(2010, 3, 1)),
        (5.0, date(2010, 3, 1)),
    ]


def test_vintages_that_contradict_each_other(tmp_path: Path) -> None:
    text = (
        "realtime_start,realtime_end,date,value\n"
        "2010-02-01,2010-04-30,2010-01-01,1\n"
        "2010-03-01,2010-05-31,2010-01-01,2\n"  # in force while the one above is
        "2010-04-01,2010-06-30,2010-01-01,1\n"  # says the same as the one in force, and lasts longer
        "2010-07-01,9999-12-31,2010-01-01,3\n"
        "2010-07-01,9999-12-31,2010-01-01,4\n"
        "2010-09-01,2010-08-01,2010-01-01,4\n"
    )
    rows, result = taken(tmp_path, text)
    assert rows["value"].to_list() == [1.0, 3.0]
    set_aside = pl.read_parquet(result.quarantine).select("line", "reason").sort("line").rows()
    assert set_aside == [(3, "overlapping_vintages"), (6, "overlapping_vintages"), (7, "realtime_end_before_start")]


def test_a_range_that_ends_withdraws_its_value(tmp_path: Path) -> None:
    text = (
        "realtime_start,realtime_end,date,value\n"
        "2010-02-01,2010-03-31,2010-01-01,1\n2010-06-01,9999-12-31,2010-01-01,1\n"
        "2010-02-01,2010-03-31,2010-02-01,7\n2010-02-01,9999-12-31,2010-01-15,.\n"
    )
    rows, result = taken(tmp_path, text, time=None, timezone="America/New_York")
    told = rows.select("value", pl.col("known_time").dt.strftime("%m-%d %H:%M")).rows()
    # without a time of day a vintage counts from its day's end; clocks changed in March
    assert told == [
        (1.0, "02-02 05:00"),
        (7.0, "02-02 05:00"),
        (None, "04-02 04:00"),
        (None, "04-02 04:00"),
        (1.0, "06-02 04:00"),
    ]
    assert result.counts["ignored"]["no_value"] == 1


def test_series_and_their_column(tmp_path: Path) -> None:
    text = "sid,date,realtime_start,value\n" + "".join(
        f"{name},2010-01-01,2010-02-01,{value}\n" for name, value in (("GDP", 1), ("CPI", 2), ("X", "x"))
    )
    more = {"columns": {"series": "sid"}, "metrics": {"gdp": "GDP", "prices": "CPI"}}
    rows, result = taken(tmp_path, text, **more)
    assert dict(rows.select("metric", "value").iter_rows()) == {"gdp": 1.0, "prices": 2.0}
    assert result.counts["ignored"]["other_series"] == 1
    with pytest.raises(DataError, match="has no series 'PCE'"):
        taken(tmp_path, text, columns={"series": "sid"}, metrics={"pce": "PCE"})
    with pytest.raises(DataError, match="does not name its series"):
        taken(tmp_path, text, metrics={"gdp": "GDP", "prices": "CPI"})


def test_wide_form_of_several_series_with_bad_cells(tmp_path: Path) -> None:
    text = "DATE,GDP_20100201,CPI_20100201,GDP_20100301\n2010-01-01,1,9,x\n?,1,9,2\n2010-02-01,.,9,.\n"
    rows, result = taken(tmp_path, text, delay="2d")
    # what the second vintage says of January cannot be read, so from then on nothing is known of it
    told = rows.select("value", pl.col("known_time").dt.date()).rows()
    assert told == [(1.0, date(2010, 2, 3)), (None, date(2010, 3, 3))]
    set_aside = pl.read_parquet(result.quarantine).select("line", "reason").sort("line").rows()
    assert set_aside == [(2, "unparsable_number"), (3, "unparsable_time")]
    assert result.counts["ignored"] == {"no_value": 2, "other_series": 3}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("date,value\n2010-01-01,1\n", "neither a column realtime_start nor a vintage GDP_YYYYMMDD"),
        ("realtime_start,value\n2010-01-01,1\n", "no column 'date' for event_time"),
        ("", "is empty"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError) as error:
        taken(tmp_path, text)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"columns": {"known_time": "x"}}, "kind: table_file"),
        ({"entity": None}, "one `entity`"),
        ({"metrics": {}}, "at least 1"),
        ({"metrics": {"a": "GDP", "b": "GDP"}}, "listed twice"),
        ({"time": "25:00"}, "pattern"),
    ],
)
def test_wrong_options(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        taken(tmp_path, "", **more)
    assert words in str(error.value)
