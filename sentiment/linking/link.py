"""Items in, links out: which entities each item names, how much it is about them, and what was turned down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from gpu_kernels.errors import DataError
from sentiment.linking.masking import mask as mask_names
from sentiment.linking.name_table import NameTable
from sentiment.linking.passages import cut
from sentiment.linking.passages import passages as passages_of
from sentiment.linking.relevance import relevance

REQUIRED = ("item", "known_time", "text")
LINKS = {
    "row": pl.UInt32(),
    "entity": pl.String(),
    "relevance": pl.Float64(),
    "mentions": pl.UInt32(),
    "first_position": pl.UInt32(),
    "name": pl.String(),
}
REJECTED = {
    "row": pl.UInt32(),
    "entity": pl.String(),
    "name": pl.String(),
    "kind": pl.String(),
    "start": pl.UInt32(),
    "written": pl.String(),
    "reason": pl.String(),
}
_DAY = 24 * 3600 * 10**9
_EVERY = 1000

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Linked:
    """What `link` found.

    links      one row per (row of items, entity): row, item, entity, relevance in (0, 1], mentions, first_position
               (words before the first mention), name (the table's, that matched first) and, where asked for, text
    rejected   one row per candidate that the guard turned down: row, item, entity, name, kind, start, written, reason
               (sentiment.linking.guard); the same entity may be linked by another mention
    counts     items, without_text, linked (items that name somebody), unnamed (items with text that name nobody),
               links, and rejected by reason as `rejected_<reason>`
    """

    links: pl.DataFrame
    rejected: pl.DataFrame
    counts: Mapping[str, int]


def link(
    items: pl.DataFrame,
    table: NameTable,
    *,
    passages: bool = False,
    mask: bool = False,
    progress: Progress | None = None,
) -> Linked:
    """The entities that each item names by the names that were valid on the UTC day of its known_time.

    items      item, known_time (timestamp or date, UTC), text; other columns are left alone; rows in any order, each
               judged by itself: links do not depend on other rows
    passages   add `text`: the sentences about the entity (`passages`), the whole text where it names one entity
    mask       add `text` with names replaced (`mask`): "company" for the entity, "another company" for others
    progress   called with the share done, 0 to 1

    Returns frames in the order of items; `row` numbers the rows of items from 0: revisions of an item share its name.
    Join what else a link needs by it: `items.with_row_index("row").join(linked.links.drop("item"), on="row")`.

    Missing values: a null or blank text names nobody and is counted as without_text.
    Raises DataError where a column is missing or of a wrong type, or a known_time is null.
    """
    days = _days(items)
    links: list[tuple[Any, ...]] = []
    rejected: list[tuple[Any, ...]] = []
    matcher, named, blank = table.matcher, 0, 0
    for row, (text, day) in enumerate(zip(items["text"], days, strict=True)):
        if progress is not None and row % _EVERY == 0:
            progress(row / items.height)
        if text is None or not text.strip():
            blank += 1
            continue
        mentions, turned_down = matcher.find(text, day)
        rejected += [(row, r.entity, r.name, r.kind, r.start, text[r.start : r.end], r.reason) for r in turned_down]
        if not mentions:
            continue
        named += 1
        spans = passages_of(text, mentions) if passages else {}
        for about in relevance(mentions, text):
            own: tuple[str, ...] = ()
            if mask:
                own = (mask_names(text, mentions, about=about.entity, spans=spans.get(about.entity)),)
            elif passages:
                own = (cut(text, spans[about.entity]),)
            links.append((row, *about, *own))
    if progress is not None:
        progress(1.0)
    schema = LINKS | ({"text": pl.String()} if passages or mask else {})
    found, lost = pl.DataFrame(links, schema, orient="row"), pl.DataFrame(rejected, REJECTED, orient="row")
    reasons = dict(sorted(lost["reason"].value_counts().iter_rows()))
    counts = {"items": items.height, "without_text": blank, "linked": named}
    counts |= {"unnamed": items.height - blank - named, "links": found.height}
    counts |= {f"rejected_{reason}": count for reason, count in reasons.items()}
    return Linked(_with_item(found, items), _with_item(lost, items), counts)


def _days(items: pl.DataFrame) -> pl.Series:
    """Days since 1970 of known_time."""
    for column in REQUIRED:
        if column not in items.columns:
            raise DataError(f"items without the column {column!r}", allowed=", ".join(REQUIRED))
    if items.schema["text"] not in (pl.String(), pl.Null()):
        raise DataError(f"items: text is {items.schema['text']}", allowed="text")
    time, dtype = items["known_time"], items.schema["known_time"]
    if not isinstance(dtype, pl.Date | pl.Datetime) or (
        isinstance(dtype, pl.Datetime) and dtype.time_zone not in (None, "UTC")
    ):
        raise DataError(f"items: known_time is {dtype}", allowed="a UTC timestamp or a date")
    if time.null_count():
        raise DataError(
            f"items: {time.null_count()} rows without known_time", hint="undated items are set aside when they are read"
        )
    return time.cast(pl.Date).to_physical()


def _with_item(frame: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    frame.insert_column(1, items["item"].gather(frame["row"]))
    return frame
