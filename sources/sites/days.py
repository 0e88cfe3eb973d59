"""Days as lists of sites write them: ISO 8601, a month's name, or a source's own format, two-digit years among them."""

import re

import polars as pl

from sources.clocks import UNPARSABLE, read_clock

SPELLED = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y")
"""Formats that name the month, so that no day can be taken for one."""


def read_days(
    column: pl.Series, *, timezone: str, time_format: str | None = None, first_year: int = 1950
) -> pl.DataFrame:
    """A column of days or moments as columns time (timestamp[ns, UTC]), whole_day (bool) and problem (text).

    Text is what `time_format` says, else ISO 8601, else one of SPELLED, cell by cell: none of them can be taken for
    another. A two-digit year (%y) is the one of its hundred from `first_year` on: 62 is 1962 from 1950.

    Missing values: an empty cell has no time and no problem; one that cannot be read has problem `unparsable_time` or
    `clock_change`, as `sources.clocks.read_clock`. Raises DataError for a column type that holds no clock.
    """
    if column.dtype != pl.String:
        found = read_clock(column, timezone=timezone, time_format=time_format)
        empty = column.is_null()
    else:
        column = column.str.strip_chars()
        empty = column.fill_null("") == ""
        found = read_clock(column, timezone=timezone)
        for form in (*((time_format,) if time_format else ()), *SPELLED):
            left = found["time"].is_null() & ~empty
            if not left.any():
                break
            text, own = column.set(~left, None), form
            if form is not None and "%y" in form:
                text, own = _in_century(text, form, first_year), None
            more = read_clock(text, timezone=timezone, time_format=own)
            found = _first_read(found, more)
    return found.with_columns(
        whole_day=pl.col("whole_day").fill_null(False), problem=pl.when(~empty).then(pl.col("problem"))
    )


def _first_read(found: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """What the first reading could not read, of the second; of two problems the one that says more."""
    taken = found["time"].is_null() & more["time"].is_not_null()
    changed = more["problem"].is_not_null() & (more["problem"] != UNPARSABLE)
    return pl.DataFrame(
        {
            "time": found["time"].zip_with(~taken, more["time"]),
            "whole_day": found["whole_day"].zip_with(~taken, more["whole_day"]),
            "problem": found["problem"].zip_with(~(taken | changed.fill_null(False)), more["problem"]),
        }
    )


def _in_century(text: pl.Series, time_format: str, first_year: int) -> pl.Series:
    """ISO 8601 of days with two-digit years."""
    clock = re.search(r"%[HIMSTRXcs]", time_format) is not None
    local = text.str.to_datetime(time_format, strict=False) if clock else text.str.to_date(time_format, strict=False)
    year = first_year + (pl.col("day").dt.year() - first_year) % 100
    rest = "-%m-%dT%H:%M:%S" if clock else "-%m-%d"
    return (
        pl.DataFrame({"day": local})
        .select(year.cast(pl.String).str.zfill(4) + pl.col("day").dt.strftime(rest))
        .to_series()
    )
