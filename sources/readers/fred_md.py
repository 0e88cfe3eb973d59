"""FRED-MD's monthly files: one revised history with publication lags, or vintages."""

import math
import re
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gpu_kernels.errors import ConfigError, DataError
from sources.clocks import to_utc
from sources.files import InputFile, expand
from sources.macro.lags import SeriesLag, known_times, lags_of, packaged, read_table
from sources.macro.options import FredMd, metric_name
from sources.macro.transforms import CODES, by_code, year_on_year
from sources.readers.batch import RawBatch, canonical, number
from sources.readers.records import records

NO_VALUE = "no_value"
UNCHANGED = "unchanged_since_last_vintage"
NOT_IN_VINTAGE = "series_not_in_vintage"
UNPARSABLE_MONTH = "unparsable_month"
SAME_MONTH = "same_month_twice"
NOT_FINITE = "not_finite"
_DATES = "sasdate"
_VINTAGE = re.compile(r"(?<!\d)((?:19|20)\d{2})-(0[1-9]|1[0-2])(?!\d)")
_FIRST, _LAST = date(1900, 1, 1), date(2199, 12, 1)

Array = NDArray[np.float64]


def read(source: FredMd, file: InputFile, index: int, calendar: str, *, carried: dict[str, Any]) -> Iterator[RawBatch]:
    """Values of one file, one row for each (month, series); a month without a value is counted as `no_value`.

    Of several vintages only what differs from the one before is a row, `carried` holding what that said; a value that
    a vintage no longer has is withdrawn. Raises DataError for another layout or vintages that are out of order,
    ConfigError for a series without a lag.
    """
    vintage = vintage_of(file.path)
    if source.vintages == "one" and index:
        raise ConfigError(
            f"{file.path} is a second file of vintages: one, which is the history of one file",
            hint="name one file, or write vintages: each where each file is what was published in its month",
        )
    if source.vintages == "each":
        if vintage is None or vintage <= carried.get("vintage", date.min):
            raise DataError(
                f"{file.path}: vintages come in the order of their months, and its name tells "
                + ("none" if vintage is None else f"{vintage:%Y-%m}, not after {carried['vintage']:%Y-%m}"),
                allowed="names with YYYY-MM, in that order",
            )
        carried["vintage"] = vintage
    lines, codes = _lines(file.path, source)
    present = [name for name in source.names if name in codes]
    if len(present) < len(source.names) and source.vintages == "one":
        raise DataError(
            f"{file.path} has no series {next(name for name in source.names if name not in codes)!r}; it has "
            f"{len(codes)}, such as {', '.join([*codes][:5])}",
            hint="take the names from the file's first line, or a group, or all",
        )
    lags = lags_of(present, source.lags, _table(source)) if source.vintages == "one" else [None] * len(present)
    good = lines.filter(pl.col("_problem").is_null())
    parts = [lines.filter(pl.col("_problem").is_not_null()).with_columns(metric=None, value=None, known_time=None)]
    ignored = {NO_VALUE: 0, UNCHANGED: 0, NOT_IN_VINTAGE: len(source.names) - len(present)}
    for name, lag in zip(present, lags, strict=True):
        metric = pl.lit(metric_name(name, revised=source.vintages == "one")).alias("metric")
        grid, bad = _on_months(good, name, codes[name], source)
        if lag is None:
            seen = carried.setdefault(name, {})
            told, unchanged = _changes(grid, seen)
            ignored[UNCHANGED] += unchanged
            known = known_times(
                pl.Series([vintage] * told.height, dtype=pl.Date), SeriesLag(source.release), source.timezone
            )
        else:
            # a change rests on the months before, one of which may have come later than this month's lag
            public = known_times(grid["month"], lag, source.timezone).cum_max()
            there = grid["value"].is_not_nan()
            told, known = grid.filter(there), public.filter(there)
            ignored[NO_VALUE] += grid.height - told.height
        parts.append(told.with_columns(metric, known.alias("known_time"), _problem=None))
        parts.append(bad.with_columns(metric, value=None, known_time=None))
    rows = pl.concat(parts, how="diagonal_relaxed").with_columns(
        entity=pl.lit(source.entity),
        event_time=_start_of(pl.col("month"), source.timezone),
        event_end=_start_of(pl.col("month").dt.offset_by("1mo"), source.timezone),
        quality=pl.lit("revised" if source.vintages == "one" else None, dtype=pl.String),
        vintage=pl.lit(None if vintage is None else f"{vintage:%Y-%m}", dtype=pl.String),
    )
    yield RawBatch(canonical(rows, "metric", index), ignored)


def vintage_of(path: Path) -> date | None:
    """The month that a file's name tells, e.g. 2026-02-MD.csv; None where it tells none, or several."""
    found = set(_VINTAGE.findall(path.name))
    if len(found) != 1:
        return None
    year, month = found.pop()
    return date(int(year), int(month), 1)


def _table(source: FredMd) -> dict[str, SeriesLag]:
    if source.lag_table == "packaged":
        return packaged()
    return {} if source.lag_table == "none" else read_table(Path(expand(source.lag_table, {})))


def _start_of(day: pl.Expr, timezone: str) -> pl.Expr:
    return to_utc(day.dt.combine(time(), time_unit="ns"), timezone)


def _lines(path: Path, source: FredMd) -> tuple[pl.DataFrame, dict[str, int]]:
    """The lines of months as text, with `month` and what is wrong with them, and the codes of the series."""
    frame = pl.concat(records(path, source), how="diagonal_relaxed")
    cells = [name for name in frame.columns if name not in {"_line", "_problem"}]
    if cells[:1] != [_DATES] or frame.is_empty() or not (frame[_DATES][0] or "").lower().startswith("transform"):
        raise DataError(
            f"{path} is not laid out as FRED-MD is; its first column is {cells[0] if cells else 'none'!r}",
            allowed="a header that begins with sasdate, then the row Transform:",
            hint="other monthly series: kind: series_file or table_file",
        )
    codes: dict[str, int] = {}
    for name in cells[1:]:
        text = (frame[name][0] or "").strip()
        if name in source.names and (not text.isdigit() or int(text) not in CODES):
            raise DataError(f"{path}: the code of {name} is {text!r}", allowed="1 to 7")
        codes[name] = int(text) if text.isdigit() else 1
    # files end in lines of commas
    rows = frame[1:].filter(pl.any_horizontal(pl.col(name).str.strip_chars() != "" for name in cells))
    day = rows[_DATES].str.strip_chars()
    months = day.str.to_date("%m/%d/%Y", strict=False).fill_null(day.str.to_date("%Y-%m-%d", strict=False))
    months = months.dt.truncate("1mo").alias("month")
    rows = rows.with_columns(months.set(~months.is_between(_FIRST, _LAST), None))
    problem = pl.coalesce(
        "_problem",
        pl.when(pl.col("month").is_null()).then(pl.lit(UNPARSABLE_MONTH)),
        pl.when(~pl.col("month").is_first_distinct()).then(pl.lit(SAME_MONTH)),
    )
    return rows.with_columns(_problem=problem), codes


def _on_months(lines: pl.DataFrame, name: str, code: int, source: FredMd) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A series, transformed, at all months from the first to the last (month, value, _line), and the lines whose value
    is none (month, _line, _problem)."""
    found = number(lines[name].str.strip_chars().replace({".": ""}))
    rows = lines.select("month", "_line", "_problem").with_columns(found["value"], cell=found["problem"])
    infinite = pl.when(~pl.col("value").is_finite()).then(pl.lit(NOT_FINITE))
    rows = rows.with_columns(_problem=pl.coalesce("cell", infinite)).drop("cell")
    bad = rows.filter(pl.col("_problem").is_not_null())
    if rows.is_empty():
        return rows.select("month", "value", "_line"), bad.drop("value")
    every = rows.select(pl.date_range(pl.col("month").min(), pl.col("month").max(), "1mo").alias("month"))
    usable = rows.with_columns(value=pl.when(pl.col("_problem").is_null()).then("value"))
    grid = every.join(usable.drop("_problem"), on="month", how="left", maintain_order="left")
    grid = grid.with_columns(pl.col("_line").fill_null(rows["_line"][0]))
    values = grid["value"].fill_null(np.nan).to_numpy()
    if source.transform == "tcode":
        values = by_code(values, code)
    elif source.transform == "yoy":
        values = year_on_year(values, code)
    return grid.select("month", pl.Series("value", values), "_line"), bad.drop("value")


def _changes(grid: pl.DataFrame, seen: dict[date, float]) -> tuple[pl.DataFrame, int]:
    """What a vintage says that the one before did not (null: no longer), and how many values stayed; `seen` is what the
    one before said, and is brought up to date."""
    told = {month: value for month, value in grid.select("month", "value").iter_rows() if not math.isnan(value)}
    lines = dict(grid.select("month", "_line").iter_rows())
    rows: list[tuple[date, float | None, int]] = [
        (month, value, lines[month]) for month, value in told.items() if seen.get(month) != value
    ]
    stayed = len(told) - len(rows)
    rows += [(month, None, lines.get(month, 2)) for month in seen if month not in told]
    seen.clear()
    seen.update(told)
    schema = {"month": pl.Date(), "value": pl.Float64(), "_line": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row"), stayed
