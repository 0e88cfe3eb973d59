"""News and posts: one row an item in, one row an (item, entity) out."""

import hashlib
from collections.abc import Iterator

import polars as pl

from sources.clocks import known_after, read_clock, read_known
from sources.config import NewsFile
from sources.files import InputFile
from sources.readers.batch import RawBatch, canonical, entity_column, first_problem, missing_entity
from sources.readers.records import find_columns, records

MISSING_TEXT = "missing_text"
_SEPARATOR = "\x1f"


def read(source: NewsFile, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Items of one file; an item that names several entities gives one row for each."""
    for frame in records(file.path, source):
        columns = find_columns(frame, file.path, source, ("event_time", "text"), ("entity", "known_time", "item"))
        event = read_clock(frame[columns["event_time"]], timezone=source.timezone, time_format=source.time_format)
        if "known_time" in columns:
            known = read_known(frame[columns["known_time"]], timezone=source.timezone, time_format=source.time_format)
        else:
            time = known_after(event, source.delay or 0, source.timezone)
            known = pl.DataFrame({"time": time, "problem": event["problem"]})
        text = frame[columns["text"]].cast(pl.String).str.strip_chars()
        missing = pl.select(pl.when(text.fill_null("") == "").then(pl.lit(MISSING_TEXT))).to_series()
        item = frame[columns["item"]].cast(pl.String) if "item" in columns else _identifiers(event["time"], text)
        rows = (
            frame.select("_line")
            .with_columns(
                _entities(frame, file, source, columns.get("entity")),
                event["time"].alias("event_time"),
                known["time"].alias("known_time"),
                item.alias("item"),
                text.alias("text"),
                first_problem(frame["_problem"], event["problem"], known["problem"], missing).alias("_problem"),
            )
            .explode("entity")
        )
        rows = rows.with_columns(first_problem(rows["_problem"], missing_entity(rows["entity"])).alias("_problem"))
        yield RawBatch(canonical(rows, "news", index))


def _entities(frame: pl.DataFrame, file: InputFile, source: NewsFile, column: str | None) -> pl.Series:
    """Lists of the entities of each item, each once; an item that names none has a list of one null."""
    if file.entity is None and column is not None and frame[column].dtype == pl.List:
        lists = frame[column].cast(pl.List(pl.String))
    else:
        text = entity_column(frame, file, column)
        lists = text.str.replace_all(source.entity_delimiter, _SEPARATOR).str.split(_SEPARATOR)
    cleaned = lists.list.eval(pl.element().str.strip_chars(" $").filter(pl.element().str.strip_chars(" $") != ""))
    unique = cleaned.list.unique(maintain_order=True)
    return (
        pl.DataFrame({"entity": unique})
        .select(
            pl.when(pl.col("entity").list.len() > 0).then("entity").otherwise(pl.lit([None], dtype=pl.List(pl.String)))
        )["entity"]
        .alias("entity")
    )


def _identifiers(time: pl.Series, text: pl.Series) -> pl.Series:
    """sha256 of each item's time and text: the same item named for another entity has the same identifier."""
    nanoseconds = time.to_physical().to_list()
    keys = (f"{at} {words}".encode() for at, words in zip(nanoseconds, text.to_list(), strict=True))
    return pl.Series("item", [hashlib.sha256(key).hexdigest()[:16] for key in keys], dtype=pl.String)
