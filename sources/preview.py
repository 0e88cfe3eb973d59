"""What the first rows of a source's files tell before anything is ingested."""

from pathlib import Path

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import read_clock, unreadable
from sources.config import NewsFile, Source
from sources.files import InputFile
from sources.quality import Doubts, Window, in_window
from sources.readers import site_file
from sources.readers.metric_clocks import metric_clocks
from sources.readers.news_clocks import CLOCKS, news_clocks
from sources.readers.records import find_columns, records
from sources.site_options import SiteFile
from sources.sites.geometries import of_geometries
from sources.table_options import CLOCKS as CLOCKS_OF_METRICS
from sources.table_options import TableFile

_KINDS = ("table_file", "daily_file", "series_file", "calendar_file", "news_file")
_ROWS = 100_000


def preview(name: str, source: Source, files: list[InputFile], window: Window) -> list[str]:
    """Sentences about what nobody can tell of the first rows of a source's first file: of bars, whether their stamps
    are starts or ends. Of kinds of files that are not read by columns: none.

    Raises DataError for a file that cannot be read, one without a column of clocks, clocks that none of the first rows
    has in the source's format, and bars whose stamps are not where the source says; ConfigError for metrics of which
    nothing tells when they were known.
    """
    if isinstance(source, SiteFile) and files:
        next(site_file.read(source, files[0], 0, window.calendar), None)
    if source.kind not in _KINDS or not files:
        return []
    path = files[0].path
    frame = next(records(path, source), None)
    if frame is None:
        return []
    if isinstance(source, NewsFile):
        clocks = find_columns(frame, path, source, ("text",), CLOCKS)
        news_clocks(frame.head(_ROWS), clocks, source, window.calendar, path)
        columns = [frame[clocks[clock]] for clock in CLOCKS if clock in clocks]
    else:
        columns = [frame[find_columns(frame, path, source, ("event_time",))["event_time"]]]
    for column in columns:
        if (told := unreadable(column.head(_ROWS), source.time_format)) is not None:
            raise DataError(f"source {name}: {path}: {told}")
    if isinstance(source, TableFile) and source.table == "metric":
        none = frame.head(0)
        found = find_columns(none, path, source, ("event_time",), CLOCKS_OF_METRICS)
        clock = read_clock(none[found["event_time"]], timezone=source.timezone, time_format=source.time_format)
        metric_clocks(none, found, clock, source, window.calendar, path)
    if not isinstance(source, TableFile) or source.table != "bar":
        return []
    column = columns[0].head(_ROWS)
    event = read_clock(column, timezone=source.timezone, time_format=source.time_format)["time"].drop_nulls()
    if event.is_empty():
        return []
    shift = 0 if source.bar is None else source.bar - source.stamp_after
    rows = pl.DataFrame({"event_time": event}).select(
        (pl.col("event_time") + pl.duration(nanoseconds=shift)).cast(event.dtype),
        entity=pl.lit(""),
        reason=pl.lit(None, dtype=pl.String),
        ignore=pl.lit(None, dtype=pl.String),
    )
    doubts = Doubts(source, window)
    doubts.add(in_window(rows.sort("event_time"), source, window))
    return [f"source {name}: {said}" for said in doubts.settle()]


def unreadable_times(source: Source, path: Path) -> str | None:
    """Of a file that `records` reads: `unreadable` of its first rows."""
    if source.kind not in _KINDS and (not isinstance(source, SiteFile) or of_geometries(path)):
        return None
    frame = next(records(path, source), None)
    own = [clock for clock in site_file.CLOCKS if clock in source.columns] if isinstance(source, SiteFile) else None
    for clock in own or (CLOCKS if isinstance(source, NewsFile) else ("event_time",)):
        column = source.column(clock)
        if frame is None or column not in frame.columns:
            continue
        if (told := unreadable(frame[column], source.time_format)) is not None:
            return told
    return None
