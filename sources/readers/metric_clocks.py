"""The four clocks of a metric: when its period began and ended, when it was known, and when it was written down."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from gpu_kernels.errors import ConfigError
from sources.clocks import known_after, next_midnight, read_clock, to_utc
from sources.readers.batch import first_problem
from sources.readers.lag_rule import known_by_rule
from sources.schema import TIME
from sources.table_options import MetricOptions

END_BEFORE_EVENT = "end_before_event"
KNOWN_BEFORE_END = "known_before_end"
INGESTED_BEFORE_KNOWN = "ingested_before_known"
BACKFILLED = "backfilled"
NOTES = {
    BACKFILLED: "rows were written down more than `backfill_after` after their known_time: history that was filled in "
    "later, which nobody may have had at the time. `backfill: as_ingested` counts them as known from then on"
}
"""What is told of rows that are kept."""
_EVERY = {"day": "1d", "month": "1mo", "quarter": "1q", "year": "1y"}


@dataclass(frozen=True, slots=True)
class MetricClocks:
    """Of each row event_end, known_time, ingested_time and problem; and how many rows each of NOTES holds for."""

    rows: pl.DataFrame
    notes: dict[str, int]


def metric_clocks(
    frame: pl.DataFrame, columns: dict[str, str], event: pl.DataFrame, source: MetricOptions, calendar: str, path: Path
) -> MetricClocks:
    """The clocks of rows whose event_time was read as `event` (a result of sources.clocks.read_clock).

    A clock that names only a day counts as that day's end, and contradicts another one only if all of the day does.
    Missing values: event_end and ingested_time are null where a row lacks them.
    Raises ConfigError where nothing tells known_time.
    """
    end = _span(frame, columns.get("event_end"), source)
    if source.period is not None:
        own = pl.Series(_end_of_period(event["time"], source.period, source.timezone))
        end = end.with_columns(pl.col("first", "last").fill_null(own))
    ingested = _span(frame, columns.get("ingested_time"), source)
    known = _known(frame, columns, event, end["last"], source, calendar, path)
    clocks = pl.DataFrame(
        {
            "event": event["time"],
            "end_first": end["first"],
            "end": end["last"],
            "known_first": known["first"],
            "known": known["last"],
            "ingested": ingested["last"],
        }
    )
    told = "known_time" in columns  # a rule may well be later than what was written down: it is meant to be safe
    contradicted = [
        (END_BEFORE_EVENT, pl.col("end") < pl.col("event")),
        (KNOWN_BEFORE_END, (pl.col("known") < pl.col("end_first")) & (not source.nowcast)),
        (INGESTED_BEFORE_KNOWN, (pl.col("ingested") < pl.col("known_first")) & told),
    ]
    problem = clocks.select(
        pl.coalesce(*(pl.when(where).then(pl.lit(reason)) for reason, where in contradicted))
    ).to_series()
    late = pl.col("ingested") - pl.col("known") > pl.duration(nanoseconds=source.backfill_after)
    if source.backfill == "as_ingested":
        notes = {}
        clocks = clocks.with_columns(pl.max_horizontal("known", "ingested").alias("known"))
    else:
        notes = {BACKFILLED: clocks.filter(late).height}
    rows = clocks.select(event_end="end", known_time="known", ingested_time="ingested")
    problems = first_problem(known["problem"], end["problem"], ingested["problem"], problem)
    return MetricClocks(rows.with_columns(problems), notes)


def _span(frame: pl.DataFrame, column: str | None, source: MetricOptions) -> pl.DataFrame:
    """A clock that a row may lack, as the first and last moment that it may mean, and its problem."""
    cells = pl.Series([None], dtype=TIME).new_from_index(0, frame.height) if column is None else frame[column]
    if cells.dtype == pl.String:
        cells = cells.str.strip_chars()
        cells = cells.set(cells == "", None)
    if cells.null_count() == len(cells):
        cells = pl.Series([None], dtype=TIME).new_from_index(0, len(cells))
    clock = read_clock(cells, timezone=source.timezone, time_format=source.time_format)
    return _moments(clock, source).with_columns(pl.when(pl.lit(cells.is_not_null())).then("problem").alias("problem"))


def _moments(clock: pl.DataFrame, source: MetricOptions) -> pl.DataFrame:
    last = pl.when("whole_day").then(next_midnight(pl.col("time"), source.timezone)).otherwise("time")
    return clock.select(first="time", last=last, problem="problem")


def _end_of_period(time: pl.Series, period: str, timezone: str) -> pl.Series:
    every = _EVERY[period]
    local = pl.col("time").dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    end = to_utc(local.dt.truncate(every).dt.offset_by(every), timezone)
    return pl.DataFrame({"time": time}).select(end).to_series()


def _known(
    frame: pl.DataFrame,
    columns: dict[str, str],
    event: pl.DataFrame,
    end: pl.Series,
    source: MetricOptions,
    calendar: str,
    path: Path,
) -> pl.DataFrame:
    """Like `_span`, of known_time; `end` is that of the row's period, where it has one."""
    if "known_time" in columns:
        if source.known is not None:
            raise ConfigError(
                f"{path} has a column known_time, and its source a lag rule (`known`)",
                hint="take out the rule; or map known_time to another column",
            )
        clock = read_clock(frame[columns["known_time"]], timezone=source.timezone, time_format=source.time_format)
        return _moments(clock, source)
    over = pl.DataFrame({"end": end, "event": event["time"], "whole_day": event["whole_day"]})
    if source.known is not None:
        # the last day of a period that ends at midnight is the one before
        last = over.select(pl.coalesce(pl.col("end") - pl.duration(nanoseconds=1), "event")).to_series()
        known = known_by_rule(last, source.known, source.timezone, calendar)
    elif source.delay is not None:
        clock = over.select(pl.coalesce("end", "event").alias("time"), pl.col("whole_day") & pl.col("end").is_null())
        known = known_after(clock, source.delay, source.timezone)
    else:
        raise ConfigError(
            f"{path} has no column known_time, and its source has neither a lag rule nor a delay",
            hint="map one (columns: {known_time: <column>}), or write the lag rule (known: {days: 1, time: '09:00'}) "
            "or the delay from event to receipt (delay: 2d)",
        )
    return pl.DataFrame({"first": known, "last": known, "problem": event["problem"]})
