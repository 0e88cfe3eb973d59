"""Any CSV, JSON Lines or Parquet file as any canonical table, by a mapping of columns."""

from collections.abc import Iterator

import polars as pl

from gpu_kernels.errors import ConfigError
from sources.clocks import known_after, read_clock, read_known
from sources.entity_names import renamed
from sources.files import InputFile
from sources.readers.batch import (
    NO_VALUE,
    OTHER_KIND,
    RawBatch,
    canonical,
    entity_column,
    first_problem,
    missing_entity,
    number,
    required,
    wanted_rows,
)
from sources.readers.metric_clocks import metric_clocks
from sources.readers.records import find_columns, records
from sources.schema import TABLES, ColumnSpec
from sources.table_options import CLOCKS, TableFile

UNPARSABLE_SIDE = "unparsable_side"
UNPARSABLE_FLAG = "unparsable_flag"
MISSING_TEXT = "missing_text"
_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")
_BUY, _SELL = ("1", "+1", "1.0", "b", "bid", "buy"), ("-1", "-1.0", "a", "s", "ask", "sell")


def read(source: TableFile, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Rows of one file; those that `only` does not want, or that `no_value` says are empty, are counted.

    Raises DataError for a missing column, ConfigError where nothing tells known_time."""
    table = TABLES[source.table]
    optional = ("entity", "known_time", *(column.name for column in table.columns if not column.needed))
    needed = tuple(
        column.name for column in table.columns if column.name not in {"session", *optional, *source.constants}
    )
    for read in records(file.path, source):
        frame = read.filter(wanted_rows(read, source.only, file.path)) if source.only else read
        ignored = {OTHER_KIND: read.height - frame.height}
        columns = find_columns(frame, file.path, source, needed, optional)
        if source.no_value:
            told = frame.filter(~_says_none(frame[columns["value"]], source.no_value))
            ignored[NO_VALUE] = frame.height - told.height
            frame = told
        event = read_clock(frame[columns["event_time"]], timezone=source.timezone, time_format=source.time_format)
        if source.bar is not None:
            event = event.with_columns(pl.col("time") + pl.duration(nanoseconds=source.bar - source.stamp_after))
        notes: dict[str, int] = {}
        if source.table == "metric":
            found = metric_clocks(frame, columns, event, source, calendar, file.path)
            clocks, notes = found.rows, found.notes
        else:
            clocks = _known(frame, columns, event, source, file)
        values = {
            column.name: _value(frame, columns.get(column.name), column, source.constants.get(column.name))
            for column in table.columns
            if column.name not in {"entity", "session", *CLOCKS}
        }
        if source.volume_unit != 1:
            values["volume"] = values["volume"].with_columns(pl.col("value") * source.volume_unit)
        sites = values["site"]["value"] if {"site"} & {*columns, *source.constants} else None
        entity, nobody = _entity(frame, file, columns.get("entity"), sites, source)
        rows = frame.select("_line").with_columns(
            entity,
            event["time"].alias("event_time"),
            *clocks.drop("problem"),
            *(column["value"].alias(name) for name, column in values.items()),
            first_problem(
                frame["_problem"],
                event["problem"],
                clocks["problem"],
                nobody,
                *(column["problem"] for column in values.values()),
            ).alias("_problem"),
        )
        yield RawBatch(canonical(rows, table.name, index), ignored, notes)


def _says_none(cells: pl.Series, words: list[str]) -> pl.Series:
    return cells.cast(pl.String).str.strip_chars().is_in(words).fill_null(False)


def _known(
    frame: pl.DataFrame, columns: dict[str, str], event: pl.DataFrame, source: TableFile, file: InputFile
) -> pl.DataFrame:
    if "known_time" in columns:
        known = read_known(frame[columns["known_time"]], timezone=source.timezone, time_format=source.time_format)
        return known.rename({"time": "known_time"})
    if source.delay is None:
        raise ConfigError(
            f"{file.path} has no column known_time, and its source has no delay",
            hint="map one (columns: {known_time: <column>}) or state the delay from event to receipt (delay: 1s)",
        )
    return pl.DataFrame({"known_time": known_after(event, source.delay, source.timezone), "problem": event["problem"]})


def _entity(
    frame: pl.DataFrame, file: InputFile, column: str | None, sites: pl.Series | None, source: TableFile
) -> tuple[pl.Series, pl.Series]:
    """The entity of each row, and the problem of those without one. A row of a site may leave it to the site table."""
    if sites is not None and file.entity is None and column is None:
        entity = pl.repeat("", frame.height, eager=True).alias("entity")
    else:
        entity = entity_column(frame, file, column)
    entity, unknown = renamed(entity, source.entity_names)
    nobody = first_problem(unknown, missing_entity(entity))
    if sites is None:
        return entity, nobody
    return entity.fill_null(""), pl.select(pl.when(sites == "").then(nobody).otherwise(unknown)).to_series()


def _value(frame: pl.DataFrame, column: str | None, spec: ColumnSpec, constant: str | None) -> pl.DataFrame:
    """One column of values, as value and problem."""
    if constant is not None:
        return constant_value(spec, constant, frame.height)
    if column is None:
        value = pl.Series([spec.default], dtype=spec.dtype).new_from_index(0, frame.height)
        return pl.DataFrame({"value": value}).with_columns(problem=pl.lit(None, dtype=pl.String))
    if spec.name == "side":
        return _side(frame[column])
    if spec.dtype == pl.Boolean:
        return _flag(frame[column])
    if spec.dtype == pl.String:
        text = frame[column].cast(pl.String).str.strip_chars()
        blank = text.fill_null("") == ""
        missing = pl.select(pl.when(blank & spec.needed).then(pl.lit(MISSING_TEXT))).to_series()
        return pl.DataFrame({"value": text if spec.needed else text.set(blank, spec.default), "problem": missing})
    found = number(frame[column]) if spec.nullable else required(frame[column])
    return found.with_columns(pl.col("value").cast(spec.dtype, strict=False))


def constant_value(spec: ColumnSpec, constant: str, height: int) -> pl.DataFrame:
    """A column that the config tells, as value and problem. Raises ConfigError for what no cell may hold."""
    once = _value(pl.DataFrame({spec.name: [constant]}), spec.name, spec, None)
    if once["problem"][0] is not None:
        raise ConfigError(f"constants.{spec.name} is {constant!r}", allowed=f"what a cell may hold: {spec.meaning}")
    return pl.DataFrame([cell.new_from_index(0, height) for cell in once])


def _flag(column: pl.Series) -> pl.DataFrame:
    text = pl.col("text")
    return pl.DataFrame({"text": column.cast(pl.String).str.strip_chars().str.to_lowercase()}).select(
        value=pl.when(text.is_in(_TRUE)).then(True).when(text.is_in(_FALSE)).then(False),
        problem=pl.when(~text.is_in([*_TRUE, *_FALSE]) | text.is_null()).then(pl.lit(UNPARSABLE_FLAG)),
    )


def _side(column: pl.Series) -> pl.DataFrame:
    if column.dtype.is_numeric():
        value = pl.col(column.name)
        problem = pl.when(~value.is_in([-1, 0, 1]) | value.is_null()).then(pl.lit(UNPARSABLE_SIDE))
        return pl.DataFrame(column).select(value=value.cast(pl.Int8, strict=False), problem=problem)
    text = pl.col("text")
    return pl.DataFrame({"text": column.cast(pl.String).str.strip_chars().str.to_lowercase()}).select(
        value=pl.when(text.is_in(_BUY)).then(1).when(text.is_in(_SELL)).then(-1).otherwise(0).cast(pl.Int8),
        problem=pl.when(~text.is_in([*_BUY, *_SELL, "0", "0.0"]) | text.is_null()).then(pl.lit(UNPARSABLE_SIDE)),
    )
