"""Whom news is about, and what of it the model reads: links by the names in the texts, passages and masks."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from fusion.sentiment_config import SentimentConfig
from sentiment.linking import NameTable, link, mask
from sources.schema import UNNAMED


def about(
    rows: pl.DataFrame,
    table: NameTable | None,
    told: SentimentConfig,
    entities: Sequence[str],
    counts: Counter[str],
    *,
    linked: bool,
) -> pl.DataFrame:
    """News rows, each by whom it is about: with `relevance`, and `read`, what the model is to read of it.

    A row that the file files under one of the run's entities is about that one, with relevance 1. Of a linked source
    the names in the text tell of others, with theirs; a row that is about none of the run's entities is of UNNAMED.
    `counts` takes linked and unlinked rows, and links.
    """
    if table is None or not (linked or told.passages or told.mask):
        return rows.with_columns(relevance=pl.lit(1.0), read="text")
    found = link(rows, table, passages=told.passages, mask=told.mask).links.rename({"text": "read"}, strict=False)
    if not (told.passages or told.mask):
        found = found.with_columns(read=pl.lit(None, dtype=pl.String))
    wanted = pl.Series(entities, dtype=pl.String).implode()
    found = found.filter(pl.col("entity").is_in(wanted)).select("row", "entity", "relevance", "read")
    before = rows = rows.with_row_index("row")
    more = found.clear()
    if linked:
        own = pl.when(pl.col("entity").is_in(wanted)).then("entity").otherwise(pl.lit(UNNAMED))
        rows = rows.with_columns(own.alias("entity"))
        more = found.join(rows, on=["row", "entity"], how="anti", maintain_order="left")
        named = pl.col("row").is_in(found["row"].implode())
        rows = rows.filter((pl.col("entity") != UNNAMED) | ~named)
        nobody = rows.filter(pl.col("entity") == UNNAMED).height
        counts.update({"linked": before.height - nobody, "unlinked": nobody, "links": found.height})
    items = rows.join(found.drop("relevance"), on=["row", "entity"], how="left", maintain_order="left")
    items = items.with_columns(relevance=pl.lit(1.0))
    if more.height:
        others = more.join(before.drop("entity"), on="row", how="left", maintain_order="left")
        items = pl.concat([items, others.select(items.columns)])
    if told.mask:
        return items.with_columns(_masked(items, table)).drop("row")
    return items.with_columns(read=pl.coalesce("read", "text")).drop("row")


def _masked(items: pl.DataFrame, table: NameTable) -> pl.Series:
    """The masked passage where the names tell one, else the whole text, masked."""
    days = items["known_time"].cast(pl.Date).to_physical()
    read = []
    for passage, text, entity, day in zip(items["read"], items["text"], items["entity"], days, strict=True):
        if passage is None:
            mentions, _ = table.matcher.find(text, day)
            read.append(mask(text, mentions, about=None if entity == UNNAMED else entity))
        else:
            read.append(passage)
    return pl.Series("read", read, dtype=pl.String)


def once(items: pl.DataFrame) -> pl.DataFrame:
    """An entity's items, each version once: a file may file one item under several entities, each time with the same
    text and so with the same links. What the source itself named goes first."""
    best = items.sort("relevance", descending=True, maintain_order=True)
    best = best.unique(["item", "known_time"], keep="first", maintain_order=True)
    return best.sort("known_time", "event_time", maintain_order=True)
