"""News and posts: one row an item in, one row an (item, entity) out."""

import hashlib
from collections.abc import Iterator

import polars as pl

from sources.config import ENTITY_DELIMITER, NewsFile
from sources.files import InputFile
from sources.readers.batch import (
    OTHER_KIND,
    RawBatch,
    canonical,
    entity_column,
    first_problem,
    missing_entity,
    wanted_rows,
)
from sources.readers.news_clocks import CLOCKS, news_clocks
from sources.readers.records import find_columns, records
from sources.schema import UNNAMED

MISSING_TEXT = "missing_text"
_SEPARATOR = "\x1f"


def read(source: NewsFile, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Items of one file; an item that names several entities gives one row for each. Items of kinds that the source
    does not want are counted as `other_kind`."""
    for frame in records(file.path, source):
        columns = find_columns(frame, file.path, source, ("text",), (*CLOCKS, "entity", "item"))
        wanted = _as_text(frame, columns.get("entity")).filter(wanted_rows(frame, source.only, file.path))
        clocks = news_clocks(wanted, columns, source, calendar, file.path)
        event, known = clocks.rows["event_time"], clocks.rows["known_time"]
        text = wanted[columns["text"]].cast(pl.String).str.strip_chars()
        missing = pl.select(pl.when(text.fill_null("") == "").then(pl.lit(MISSING_TEXT))).to_series()
        item = _identifiers(event, text, wanted[columns["item"]] if "item" in columns else None)
        rows = (
            wanted.select("_line")
            .with_columns(
                _entities(wanted, file, source, columns.get("entity")),
                event,
                known,
                item.alias("item"),
                text.alias("text"),
                first_problem(wanted["_problem"], clocks.rows["problem"], missing).alias("_problem"),
            )
            .explode("entity")
        )
        rows = rows.with_columns(first_problem(rows["_problem"], missing_entity(rows["entity"])).alias("_problem"))
        yield RawBatch(canonical(rows, "news", index), {OTHER_KIND: frame.height - wanted.height}, clocks.notes)


def _as_text(frame: pl.DataFrame, entity: str | None) -> pl.DataFrame:
    """The columns of lists, but for entities', as text. In JSON one list makes a column one of lists, and a later row
    must not change what an earlier one says."""
    lists = pl.selectors.by_dtype(pl.List(pl.String)) - pl.selectors.by_name(entity or "", require_all=False)
    return frame.with_columns(lists.list.join("\n"))


def _entities(frame: pl.DataFrame, file: InputFile, source: NewsFile, column: str | None) -> pl.Series:
    """Lists of the entities of each item, each once; an item that names none has a list of one null, or of UNNAMED
    where its text may still tell."""
    nobody = pl.lit([UNNAMED if source.link else None], dtype=pl.List(pl.String))
    if source.link and file.entity is None and column is None:
        return frame.with_columns(nobody.alias("entity"))["entity"]
    if file.entity is None and column is not None and frame[column].dtype == pl.List:
        # as text would be split, since a row without a list is text in another file, or was before a list came
        text = frame[column].cast(pl.List(pl.String)).list.join(_SEPARATOR)
    else:
        text = entity_column(frame, file, column)
    unique = tickers(text, source.entity_delimiter)
    return (
        pl.DataFrame({"entity": unique})
        .select(pl.when(pl.col("entity").list.len() > 0).then("entity").otherwise(nobody))["entity"]
        .alias("entity")
    )


def tickers(named: pl.Series, delimiter: str = ENTITY_DELIMITER) -> pl.Series:
    """The tickers of each item, each once, of strings that hold them between `delimiter`s, or of lists of such."""
    if isinstance(named.dtype, pl.List):
        named = named.list.join(_SEPARATOR)
    lists = named.str.replace_all(delimiter, _SEPARATOR).str.split(_SEPARATOR)
    cleaned = lists.list.eval(pl.element().str.strip_chars(" $").filter(pl.element().str.strip_chars(" $") != ""))
    return cleaned.list.unique(maintain_order=True)


def _identifiers(time: pl.Series, text: pl.Series, told: pl.Series | None) -> pl.Series:
    """The identifier that the file tells of each item, else sha256 of its time and text: the same item named for
    another entity has the same one."""
    nanoseconds = time.to_physical().to_list()
    names = [None] * len(time) if told is None else told.cast(pl.String).str.strip_chars().to_list()
    found = [
        name or hashlib.sha256(f"{at} {words}".encode()).hexdigest()[:16]
        for name, at, words in zip(names, nanoseconds, text.to_list(), strict=True)
    ]
    return pl.Series("item", found, dtype=pl.String)
