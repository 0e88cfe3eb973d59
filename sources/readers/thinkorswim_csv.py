"""thinkorswim-style minute exports: `Date, Time, Open, High, Low, Close, Volume`, stamps at the bar's start.

Indicators such as $TICK and $TRIN come in the same format; `metrics` reads them as series instead of as bars."""

from collections.abc import Iterator

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import known_after, read_clock
from sources.config import ThinkorswimCsv
from sources.files import InputFile
from sources.readers.batch import RawBatch, canonical, entity_column, first_problem, required
from sources.readers.records import records

_HEADER = ["Date", "Time", "Open", "High", "Low", "Close", "Volume"]


def read(source: ThinkorswimCsv, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Bars, or metrics, of one export. Raises DataError where the header is another format's."""
    for frame in records(file.path, source):
        if frame.columns[:-2] != _HEADER:
            raise DataError(
                f"{file.path} has the columns {', '.join(frame.columns[:-2])}",
                allowed=", ".join(_HEADER),
                hint="for another CSV use kind: table_file with columns: {...}",
            )
        stamp = frame["Date"].str.strip_chars() + " " + frame["Time"].str.strip_chars()
        start = read_clock(stamp, timezone=source.timezone, time_format=source.time_format or "%m/%d/%Y %H:%M")
        end = start.with_columns(pl.col("time") + pl.duration(nanoseconds=source.bar))
        clocks = frame.select("_line").with_columns(
            entity_column(frame, file, None),
            end["time"].alias("event_time"),
            known_after(end, source.delay, source.timezone).alias("known_time"),
        )
        problems = frame["_problem"], start["problem"]
        if source.metrics:
            found = [
                _metric(clocks, name, required(frame[column]), problems) for name, column in source.metrics.items()
            ]
            yield RawBatch(canonical(pl.concat(found), "metric", index))
            continue
        numbers = {name.lower(): required(frame[name]) for name in _HEADER[2:]}
        rows = clocks.with_columns(
            *(column["value"].alias(name) for name, column in numbers.items()),
            first_problem(*problems, *(column["problem"] for column in numbers.values())).alias("_problem"),
        )
        yield RawBatch(canonical(rows, "bar", index))


def _metric(clocks: pl.DataFrame, name: str, values: pl.DataFrame, problems: tuple[pl.Series, ...]) -> pl.DataFrame:
    return clocks.with_columns(
        pl.lit(name).alias("metric"),
        values["value"],
        first_problem(*problems, values["problem"]).alias("_problem"),
    )
