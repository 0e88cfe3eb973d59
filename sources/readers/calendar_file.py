"""Calendars of scheduled events."""

from collections.abc import Iterator

import polars as pl

from sources.clocks import read_clock, read_known
from sources.config import CalendarFile
from sources.files import InputFile
from sources.readers.batch import OTHER_KIND, RawBatch, canonical, entity_column, first_problem, missing_entity
from sources.readers.records import find_columns, records

SAME_EVENT = "same_event"


def read(source: CalendarFile, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Events of the kinds asked for; the others are counted as `other_kind`. Several names of one kind at one time are
    one event: the first is kept and the others are counted as `same_event`."""
    kinds = {name: kind for kind, names in source.kinds.items() for name in names}
    for frame in records(file.path, source):
        columns = find_columns(frame, file.path, source, ("event_time", "name"), ("entity", "known_time"))
        event = read_clock(frame[columns["event_time"]], timezone=source.timezone, time_format=source.time_format)
        if "known_time" in columns:
            known = read_known(frame[columns["known_time"]], timezone=source.timezone, time_format=source.time_format)
        else:
            day = pl.col("time").dt.convert_time_zone(source.timezone).dt.date()
            before = pl.when(day.is_in(source.unscheduled)).then(0).otherwise(source.announced or 0)
            known = event.with_columns(pl.col("time") - pl.duration(nanoseconds=before))
        entity = entity_column(frame, file, columns.get("entity"))
        name = frame[columns["name"]].cast(pl.String).str.strip_chars()
        rows = frame.select("_line").with_columns(
            entity,
            event["time"].alias("event_time"),
            known["time"].alias("known_time"),
            name.replace_strict(kinds, default=None, return_dtype=pl.String).alias("kind"),
            name.alias("name"),
            first_problem(frame["_problem"], event["problem"], known["problem"], missing_entity(entity)).alias(
                "_problem"
            ),
        )
        wanted = rows.filter(pl.col("kind").is_not_null() | pl.col("_problem").is_not_null())
        fact = ("entity", "kind", "event_time", "known_time")
        again = pl.col("_problem").is_null() & (pl.col("name") != pl.col("name").first().over(fact))
        kept = wanted.filter(~again)
        yield RawBatch(
            canonical(kept, "event", index),
            {OTHER_KIND: rows.height - wanted.height, SAME_EVENT: wanted.height - kept.height},
        )
