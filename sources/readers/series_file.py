"""Daily series, one column each, made known by a lag rule or by a column of vintages."""

from collections.abc import Iterator
from datetime import date, time, timedelta

import polars as pl

from sources.clocks import read_clock, read_known, to_utc
from sources.config import SeriesFile
from sources.entity_names import renamed
from sources.files import InputFile
from sources.readers.batch import NO_VALUE, RawBatch, canonical, entity_column, first_problem, missing_entity, number
from sources.readers.records import find_columns, records
from sources.sessions import sessions
from sources.table_options import LagRule


def read(source: SeriesFile, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Values of one file, one row for each (day, metric); days without a value are counted as `no_value`."""
    for frame in records(file.path, source):
        spelled = source.model_copy(update={"columns": {**source.columns, **source.metrics}})
        columns = find_columns(frame, file.path, spelled, ("event_time", *source.metrics), ("entity", "known_time"))
        event = read_clock(frame[columns["event_time"]], timezone=source.timezone, time_format=source.time_format)
        if source.known is None:
            known = read_known(frame[columns["known_time"]], timezone=source.timezone, time_format=source.time_format)
        else:
            published = known_by_rule(event["time"], source.known, source.timezone, calendar)
            known = pl.DataFrame({"time": published, "problem": event["problem"]})
        entity, unknown = renamed(entity_column(frame, file, columns.get("entity")), source.entity_names)
        nobody = first_problem(unknown, missing_entity(entity))
        problem = first_problem(frame["_problem"], event["problem"], known["problem"], nobody)
        common = frame.select("_line").with_columns(
            entity, event["time"].alias("event_time"), known["time"].alias("known_time")
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
        yield RawBatch(canonical(pl.concat(series), "metric", index), {NO_VALUE: empty})


def known_by_rule(event_time: pl.Series, rule: LagRule, timezone: str, calendar: str) -> pl.Series:
    """When each daily value is public: at `rule.time` local time, `rule.days` days (or sessions) after its local day.

    With business days, day d + n is the n-th session after d, and with n = 0 the first session not before d.
    Missing values: null where the event_time is.
    """
    day = event_time.dt.convert_time_zone(timezone).dt.date()
    if rule.business and day.drop_nulls().len():
        published = _sessions_after(day, rule.days, calendar)
    else:
        published = day.dt.offset_by(f"{rule.days}d")
    local = published.dt.combine(time.fromisoformat(rule.time), time_unit="ns")
    return pl.DataFrame({"local": local}).select(to_utc(pl.col("local"), timezone).alias("known_time")).to_series()


def _sessions_after(day: pl.Series, count: int, calendar: str) -> pl.Series:
    first, last = day.min(), day.max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    trading = sessions(calendar, first, last + timedelta(days=15 + 2 * count))["session"]
    # with 0 the day itself counts if it is a session; else the count starts after the day
    place = trading.search_sorted(day, side="left" if count == 0 else "right") + max(count - 1, 0)
    return trading.gather(place.set(day.is_null(), None))
