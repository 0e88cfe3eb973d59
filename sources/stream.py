"""Streams as a live system would have seen them."""

import polars as pl

from gpu_kernels.errors import ArgumentError
from sources.source_options import BOOKS, STREAMS


def in_order(rows: pl.DataFrame, table: str) -> tuple[pl.DataFrame, int]:
    """The rows of a stream that came in order, and how many did not.

    Rows are ordered by (entity, known_time, event_time), ties as they stand. A bar whose event_time is not later than
    one already seen of its entity is late, or a revision, and is not used; a trade or quote may share its event_time
    with others and is late only if its event_time is earlier. Of a book the feed's own counter tells the order: a row
    whose sequence is not above one already seen in its session is late, whatever its event_time. So whether a row is
    used depends only on rows known no later than itself, which is what makes every rolling value truncation-invariant.

    rows   a canonical table of bars, trades, quotes, book updates or order events
    table  its name

    Missing values: none are allowed in entity and the clocks.
    Raises ArgumentError for a table that is no stream.
    """
    if table not in STREAMS:
        raise ArgumentError(f"table {table!r} is no stream", allowed=", ".join(STREAMS))
    if table in BOOKS:
        ordered = rows.sort("entity", "session", "known_time", "sequence")
        seen = pl.col("sequence").cum_max().shift(1).over("entity", "session")
        kept = ordered.filter(seen.is_null() | (pl.col("sequence") > seen))
        return kept, ordered.height - kept.height
    ordered = rows.sort("entity", "known_time", "event_time", maintain_order=True)
    seen = pl.col("event_time").cum_max().shift(1).over("entity")
    on_time = pl.col("event_time") > seen if table == "bar" else pl.col("event_time") >= seen
    kept = ordered.filter(seen.is_null() | on_time)
    return kept, ordered.height - kept.height
