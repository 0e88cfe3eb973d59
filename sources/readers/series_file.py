"""Daily series, one column each, made known by a lag rule or by a column of vintages."""

from collections.abc import Iterator

import polars as pl

from sources.clocks import read_clock
from sources.config import SeriesFile
from sources.entity_names import renamed
from sources.files import InputFile
from sources.readers.batch import NO_VALUE, RawBatch, canonical, entity_column, first_problem, missing_entity, number
from sources.readers.metric_clocks import metric_clocks
from sources.readers.records import find_columns, records
from sources.readers.table_file import constant_value
from sources.schema import TABLES
from sources.table_options import CLOCKS


def read(source: SeriesFile, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Values of one file, one row for each (day, metric); days without a value are counted as `no_value`."""
    for frame in records(file.path, source):
        spelled = source.model_copy(update={"columns": {**source.columns, **source.metrics}})
        columns = find_columns(frame, file.path, spelled, ("event_time", *source.metrics), ("entity", *CLOCKS))
        event = read_clock(frame[columns["event_time"]], timezone=source.timezone, time_format=source.time_format)
        clocks = metric_clocks(frame, columns, event, source, calendar, file.path)
        entity, unknown = renamed(entity_column(frame, file, columns.get("entity")), source.entity_names)
        nobody = first_problem(unknown, missing_entity(entity))
        problem = first_problem(frame["_problem"], event["problem"], clocks.rows["problem"], nobody)
        common = frame.select("_line").with_columns(
            entity,
            event["time"].alias("event_time"),
            *clocks.rows.drop("problem"),
            *(
                constant_value(column, source.constants[column.name], frame.height)["value"].alias(column.name)
                for column in TABLES["metric"].columns
                if column.name in source.constants
            ),
        )
        series, empty = [], 0
        for metric in source.metrics:
            cells = frame[columns[metric]]
            if cells.dtype == pl.String:
                cells = cells.str.strip_chars().replace(dict.fromkeys(source.no_value))
            value = number(cells)
            rows = common.with_columns(
                pl.lit(metric).alias("metric"),
                value["value"],
                first_problem(problem, value["problem"]).alias("_problem"),
            )
            told = rows.filter(pl.col("value").is_not_null() | pl.col("_problem").is_not_null())
            empty += rows.height - told.height
            series.append(told)
        yield RawBatch(canonical(pl.concat(series), "metric", index), {NO_VALUE: empty}, clocks.notes)
