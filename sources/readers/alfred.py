"""Vintages as ALFRED gives them, long or wide, as rows where what is said of a date changes."""

import re
from collections.abc import Iterator
from datetime import date, time, timedelta
from itertools import groupby
from pathlib import Path

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import UNPARSABLE, next_midnight, read_clock, to_utc
from sources.files import InputFile
from sources.macro.options import Alfred
from sources.readers.batch import RawBatch, canonical, number
from sources.readers.records import find_columns, records

NO_VALUE = "no_value"
UNCHANGED = "unchanged_since_last_vintage"
OTHER_SERIES = "other_series"
OVERLAPPING = "overlapping_vintages"
END_BEFORE_START = "realtime_end_before_start"
_WIDE = re.compile(r"(?P<series>.+)_(?P<day>\d{8})")
_DATES = ("date", "observation_date", "DATE")
_OPEN = date.max
_SAID = ("series", "event", "start", "end", "value", "_line")
# series, date it is about, first and last day of the vintage, value, line
_Said = tuple[str, date, date, date, float | None, int]


def read(source: Alfred, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """What changed in the vintages of one file. A vintage that contradicts another one, the two being in force on one
    day, is set aside: the one that came first stays. Where none is in force, or none that can be read, the value is
    withdrawn. Raises DataError for a file of neither form, or without a series
    that is asked for.
    """
    frame = pl.concat(records(file.path, source), how="diagonal_relaxed")
    named = next((name for name in _DATES if name in frame.columns), "date")
    spelled = source.model_copy(update={"columns": {"event_time": named, **source.columns}})
    said, other = _long(frame, file.path, spelled) if _is_long(frame, source) else _wide(frame, file.path, spelled)
    good = said.filter(pl.col("_problem").is_null())
    rows, ignored = _changes(good.select(_SAID).sort("series", "event", "start", "_line").rows())
    ours = {series: metric for metric, series in source.metrics.items()}
    bad = said.filter(pl.col("_problem").is_not_null())
    changed = pl.concat([rows, bad.select("series", "event", "start", "value", "_line", "_problem")])
    known = _at_local(pl.col("start"), source.time, source.timezone) + pl.duration(nanoseconds=source.delay)
    changed = changed.with_columns(
        entity=pl.lit(source.entity),
        metric=pl.col("series").replace_strict(ours, default=None, return_dtype=pl.String),
        event_time=to_utc(pl.col("event").dt.combine(time(), time_unit="ns"), source.timezone),
        known_time=known,
        vintage=pl.col("start").dt.strftime("%Y-%m-%d"),
    )
    yield RawBatch(canonical(changed, "metric", index), ignored | {OTHER_SERIES: other})


def _at_local(day: pl.Expr, clock: str | None, timezone: str) -> pl.Expr:
    if clock is not None:
        return to_utc(day.dt.combine(time.fromisoformat(clock), time_unit="ns"), timezone)
    noon = to_utc(day.dt.combine(time(12), time_unit="ns"), timezone)
    return next_midnight(noon, timezone)


def _is_long(frame: pl.DataFrame, source: Alfred) -> bool:
    return source.columns.get("realtime_start", "realtime_start") in frame.columns


def _long(frame: pl.DataFrame, path: Path, source: Alfred) -> tuple[pl.DataFrame, int]:
    """Rows of the long form as _SAID and _problem, and how many are of series not asked for."""
    needed, optional = ("event_time", "realtime_start", "value"), ("realtime_end", "series")
    columns = find_columns(frame, path, source, needed, optional)
    frame, other = _asked_for(frame, columns.get("series"), path, source)
    event = _days(frame[columns["event_time"]], source)
    start = _days(frame[columns["realtime_start"]], source)
    end = pl.repeat(_OPEN, frame.height, dtype=pl.Date, eager=True)
    if "realtime_end" in columns:
        cells = frame[columns["realtime_end"]].cast(pl.String).str.strip_chars()
        told = _days(cells.str.replace(r"^9999-.*$", "2261-12-31"), source)
        end = told.set((cells == "") | cells.is_null() | (told >= date(2261, 12, 31)), _OPEN)
    value = _values(frame[columns["value"]], source)
    unreadable = event.is_null() | start.is_null() | end.is_null()
    problem = pl.select(
        pl.coalesce(
            frame["_problem"],
            pl.when(unreadable).then(pl.lit(UNPARSABLE)),
            value["problem"],
            pl.when(end < start).then(pl.lit(END_BEFORE_START)),
        )
    ).to_series()
    series = frame[columns["series"]].str.strip_chars() if "series" in columns else _only(source, frame.height)
    said = pl.DataFrame({"series": series, "event": event, "start": start, "end": end, "value": value["value"]})
    said = said.with_columns(frame["_line"], problem.alias("_problem"))
    return (said if "realtime_end" in columns else _until_the_next(said)), other


def _until_the_next(said: pl.DataFrame) -> pl.DataFrame:
    """`end` is the day before the next vintage of the same date."""
    starts = said.filter(pl.col("_problem").is_null()).select("series", "event", "start").unique().sort(pl.all())
    before = (pl.col("start").shift(-1) - pl.duration(days=1)).over("series", "event").fill_null(_OPEN)
    told = starts.with_columns(before.alias("end"))
    joined = said.drop("end").join(told, on=["series", "event", "start"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("end").fill_null(_OPEN))


def _asked_for(frame: pl.DataFrame, series: str | None, path: Path, source: Alfred) -> tuple[pl.DataFrame, int]:
    if series is None:
        if len(source.metrics) > 1:
            raise DataError(
                f"{path} does not name its series, and `metrics` names {len(source.metrics)}",
                hint="map the column that does (columns: {series: <column>}), or write a source for each file",
            )
        return frame, 0
    names = frame[series].str.strip_chars()
    lacking = [name for name in source.metrics.values() if name not in set(names)]
    if lacking:
        raise DataError(
            f"{path} has no series {lacking[0]!r}; it has {', '.join(names.drop_nulls().unique().sort()[:5])}"
        )
    wanted = names.is_in([*source.metrics.values()]) | frame["_problem"].is_not_null()
    return frame.filter(wanted), int((~wanted).sum())


def _wide(frame: pl.DataFrame, path: Path, source: Alfred) -> tuple[pl.DataFrame, int]:
    """The same of the wide form: each vintage is in force until the next one."""
    dates = find_columns(frame, path, source, ("event_time",))["event_time"]
    vintages: dict[str, list[tuple[date, str]]] = {name: [] for name in source.metrics.values()}
    other = 0
    for column in frame.columns:
        found = _WIDE.fullmatch(column)
        day = None if found is None else pl.Series([found["day"]]).str.to_date("%Y%m%d", strict=False)[0]
        if found is None or day is None:
            continue
        if found["series"] in vintages:
            vintages[found["series"]].append((day, column))
        else:
            other += frame.height
    lacking = [name for name, columns in vintages.items() if not columns]
    if lacking:
        raise DataError(
            f"{path} has neither a column realtime_start nor a vintage {lacking[0]}_YYYYMMDD; its columns are: "
            f"{', '.join(name for name in frame.columns[:8] if not name.startswith('_'))}",
            allowed="ALFRED's vintages, long or wide",
            hint="map the columns of the long form: columns: {event_time: ..., realtime_start: ..., value: ...}",
        )
    event = _days(frame[dates], source)
    parts = []
    for series, columns in vintages.items():
        columns.sort()
        for place, (day, column) in enumerate(columns):
            value = _values(frame[column], source)
            end = columns[place + 1][0] - timedelta(days=1) if place + 1 < len(columns) else _OPEN
            bad = pl.coalesce("_problem", pl.when(pl.lit(event).is_null()).then(pl.lit(UNPARSABLE)), "problem")
            parts.append(
                frame.select("_line", "_problem")
                .with_columns(value["value"], value["problem"], event.alias("event"))
                .with_columns(
                    pl.lit(series).alias("series"),
                    pl.lit(day, dtype=pl.Date).alias("start"),
                    pl.lit(end, dtype=pl.Date).alias("end"),
                    bad.alias("_problem"),
                )
                .select(*_SAID, "_problem")
            )
    said = pl.concat(parts)
    # a line that cannot be read is one line, however many vintages there are
    broken = (pl.col("_problem").is_not_null()) & (pl.col("event").is_null())
    return said.filter(~broken | pl.struct("_line", broken).is_first_distinct()), other


def _only(source: Alfred, height: int) -> pl.Series:
    return pl.repeat(next(iter(source.metrics.values())), height, dtype=pl.String, eager=True)


def _days(column: pl.Series, source: Alfred) -> pl.Series:
    """Dates; null where a cell holds none."""
    if column.dtype == pl.Date:
        return column
    clock = read_clock(column, timezone=source.timezone, time_format=source.time_format)
    local = clock["time"].dt.convert_time_zone(source.timezone).dt.date()
    return local.set(~clock["whole_day"].fill_null(False), None)


def _values(column: pl.Series, source: Alfred) -> pl.DataFrame:
    if column.dtype == pl.String:
        column = column.str.strip_chars().replace(dict.fromkeys(source.no_value))
    return number(column)


def _changes(rows: list[_Said]) -> tuple[pl.DataFrame, dict[str, int]]:
    """Rows in the order of (series, event, start, line) as those where what is said of a date changes, a null where it
    is said no longer, with `_problem` of those that contradict an earlier one; and counts of the others."""
    out: list[tuple[str, date, date, float | None, int, str | None]] = []
    ignored = {NO_VALUE: 0, UNCHANGED: 0}
    last = max((end for _, _, _, end, _, _ in rows), default=_OPEN)
    for (series, event), group in groupby(rows, key=lambda row: row[:2]):
        shown: float | None = None  # what is said now
        until, held, place = date.min, None, 0  # the vintage in force: its last day, value and line
        for _, _, start, end, value, line in group:
            if start <= until:
                if value == held:
                    ignored[UNCHANGED] += 1
                    until = max(until, end)
                else:
                    out.append((series, event, start, value, line, OVERLAPPING))
                continue
            if shown is not None and start > until + timedelta(days=1):
                out.append((series, event, until + timedelta(days=1), None, place, None))
                shown = None
            if value == shown:
                ignored[NO_VALUE if value is None else UNCHANGED] += 1
            else:
                out.append((series, event, start, value, line, None))
            shown, until, held, place = value, end, value, line
        if shown is not None and until < last:
            out.append((series, event, until + timedelta(days=1), None, place, None))
    schema = {
        **{"series": pl.String(), "event": pl.Date(), "start": pl.Date()},
        **{"value": pl.Float64(), "_line": pl.Int64(), "_problem": pl.String()},
    }
    return pl.DataFrame(out, schema=schema, orient="row"), ignored
