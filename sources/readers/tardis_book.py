"""Tardis.dev's two kinds of books as `book_update` rows: level changes, and books told whole N levels a side.

Level changes (incremental_book_L2). The rows of one local_timestamp are one message. The first `is_snapshot` row after
one that is none empties the book. In mid-file it means that the connection was lost, so that changes are missing: a GAP
stands before it, and nothing flows over it. When the connection broke no file tells, so up to that row the old book
still stands. At a file's start it means nothing, as every day is begun with a snapshot. Changes before a file's first
snapshot are left out, as Tardis says they must be; so are those after a row that had to be set aside, which opens a
gap too: without it the book is not known, and a book that lacks one level is worse than none.

Books told whole (book_snapshot_N) become the differences of each to the one before, so that a row set aside loses
nothing but itself.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.readers.snapshots import BookDifferences
from sources.readers.tardis_lines import MISSING_VALUE, level_columns
from sources.schema import GAP, SET, SNAPSHOT

NO_SNAPSHOT = "before_a_snapshot"
UNCHANGED = "unchanged_book"
TIME_GOES_BACK = "time_goes_back"
UNPARSABLE_SIDE = "unparsable_side"
_SIDES = {"bid": 1, "ask": -1}
_LINES = 2**40
Array = NDArray[Any]


@dataclass
class Feed:
    """What one entity's book carries from block to block and from file to file.

    rows       told so far
    local      latest local_timestamp
    known      whether the book was known after the last good row
    sound      whether a snapshot was begun and nothing set aside since, in this file
    snapshot   whether the last row of this file is part of a snapshot
    begun      whether this file has had a good row
    pending    the last message, of which the next block may hold more
    """

    rows: int = 0
    local: int = 0
    known: bool = False
    sound: bool = False
    snapshot: bool = False
    begun: bool = False
    pending: pl.DataFrame | None = field(default=None, repr=False)

    def begin_file(self, *, damaged: bool) -> None:
        """`damaged`: rows before may have been of this book's snapshot, whose rest is then of no use."""
        self.sound, self.snapshot, self.begun = False, damaged, False


def judged_update(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of incremental_book_L2 with side as +1 and -1, `size`, and what is wrong with their values."""
    side = pl.col("side").replace_strict(_SIDES, default=None, return_dtype=pl.Int8)
    missing = pl.any_horizontal(pl.col("is_snapshot", "side", "price", "amount").is_null())
    return rows.with_columns(
        side=side,
        size="amount",
        _problem=pl.coalesce(
            "_problem",
            pl.when(missing).then(pl.lit(MISSING_VALUE)),
            pl.when(side.is_null()).then(pl.lit(UNPARSABLE_SIDE)),
            *_bad_numbers(["price"], ["amount"]),
        ),
    )


def judged_book(rows: pl.DataFrame, depth: int) -> pl.DataFrame:
    """Rows of book_snapshot_N with what is wrong with their values. A level may be missing, but not half of it."""
    names = [level_columns(level) for level in range(depth)]
    halves = [pl.col(four[at]).is_null() != pl.col(four[at + 1]).is_null() for four in names for at in (0, 2)]
    prices, sizes = ([four[at] for four in names for at in places] for places in ((0, 2), (1, 3)))
    return rows.with_columns(
        _problem=pl.coalesce(
            "_problem",
            pl.when(pl.any_horizontal(halves)).then(pl.lit(MISSING_VALUE)),
            *_bad_numbers(prices, sizes),
        )
    )


def _bad_numbers(prices: list[str], sizes: list[str]) -> list[pl.Expr]:
    """As the row checks of ingest name them; here, because a book must know which rows it lacks."""
    checks = {
        "not_finite": pl.any_horizontal(~pl.col(name).is_finite() for name in (*prices, *sizes)),
        "non_positive_price": pl.any_horizontal(pl.col(name) <= 0 for name in prices),
        "negative_size": pl.any_horizontal(pl.col(name) < 0 for name in sizes),
    }
    return [pl.when(where).then(pl.lit(reason)) for reason, where in checks.items()]


def _back_in_time(rows: pl.DataFrame, feed: Feed) -> tuple[pl.DataFrame, Array]:
    """Rows whose local_timestamp is earlier than a good one before it set aside; and row by row the latest so far."""
    local = rows["local_timestamp"].fill_null(0).to_numpy()
    good = rows["_problem"].is_null().to_numpy()
    latest = np.maximum.accumulate(np.maximum(np.where(good, local, 0), feed.local))
    back = pl.Series(good & (local < latest))
    marked = rows.with_columns(_problem=pl.when(back).then(pl.lit(TIME_GOES_BACK)).otherwise("_problem"))
    return marked, latest


def updates(rows: pl.DataFrame, feed: Feed, *, end: bool) -> tuple[pl.DataFrame, dict[str, int]]:
    """book_update rows of level changes, and the rows set aside behind them.

    rows  one entity's, as `judged_update` gives them, in the order of the file
    end   the file ends with them, else the last message waits for the next call
    """
    if feed.pending is not None:
        rows = pl.concat([feed.pending, rows])
        feed.pending = None
    if rows.is_empty():
        return rows, {}
    marked, latest = _back_in_time(rows, feed)
    if not end:
        whole = int(np.searchsorted(latest, latest[-1]))
        feed.pending = rows[whole:]
        marked, latest = marked[:whole], latest[:whole]
        if marked.is_empty():
            return marked, {}
    good = marked["_problem"].is_null().to_numpy()
    # a row whose flag cannot be read may be a snapshot's first one, whose rest must not pass for the whole
    snapshot = marked["is_snapshot"].fill_null(True).to_numpy()
    begins = good & snapshot & ~np.append(feed.snapshot, snapshot[:-1])
    sound = _latest(begins, ~good, feed.sound)
    chosen = np.flatnonzero(good)
    known, begin = sound[chosen], begins[chosen]
    known_before = np.append(feed.known, known[:-1])[: len(chosen)]
    in_file = np.arange(len(chosen)) > 0 if not feed.begun else np.ones(len(chosen), bool)
    gap = known_before & (~known | (begin & in_file))
    told = np.repeat(np.arange(len(chosen)), gap.astype(np.int64) + known)
    first = np.append(True, told[1:] != told[:-1])[: len(told)]
    is_gap = gap[told] & first
    action = np.where(is_gap, GAP, np.where(begin[told], SNAPSHOT, SET)).astype(np.int8)
    row = chosen[told]
    message = np.append((latest[row][1:] != latest[row][:-1]) | (snapshot[row][1:] != snapshot[row][:-1]), True)
    numbers = np.arange(feed.rows, feed.rows + len(row))
    out = marked[row].with_columns(
        sequence=pl.Series(numbers), action=pl.Series(action), last=pl.Series(is_gap | message[: len(row)])
    )
    feed.rows += len(row)
    feed.local, feed.sound, feed.snapshot = int(latest[-1]), bool(sound[-1]), bool(snapshot[-1])
    if len(chosen):
        feed.known, feed.begun = bool(known[-1]), True
    bad = marked.filter(pl.col("_problem").is_not_null())
    return pl.concat([out, bad], how="diagonal"), {NO_SNAPSHOT: int((~known & ~gap).sum())}


def _latest(on: Array, off: Array, before: bool) -> Array:
    """Row by row whether the latest of `on` and `off` was an `on`; `before` where there was neither."""
    place = np.maximum.accumulate(np.where(on | off, np.arange(len(on)), -1))
    return np.where(place >= 0, on[place], before)


def whole_books(
    rows: pl.DataFrame, feed: Feed, differences: BookDifferences, index: int, depth: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """book_update rows of books told whole, and the rows set aside behind them.

    rows   one entity's, as `judged_book` gives them, in the order of the file
    index  of the file in its source
    """
    if rows.is_empty():
        return rows, {}
    marked, latest = _back_in_time(rows, feed)
    feed.local = int(latest[-1])
    marked = marked.with_columns(book=index * _LINES + pl.col("_line"))
    good = marked.filter(pl.col("_problem").is_null())
    levels = pl.concat(
        [
            good.select(
                "entity",
                "book",
                side=pl.lit(side, dtype=pl.Int8),
                price=four[at],
                size=four[at + 1],
                level=pl.lit(level),
            )
            for level, four in ((level, level_columns(level)) for level in range(depth))
            for side, at in ((1, 2), (-1, 0))
        ]
    )
    # a level of nothing is no level, and a book without levels is told by its first one
    levels = levels.with_columns(price=pl.when(pl.col("size") > 0).then("price"))
    levels = levels.filter(pl.col("price").is_not_null() | (pl.col("level") == 0)).sort("book", maintain_order=True)
    told = differences.changes(levels).join(
        good.select("book", "event", "known", "_line", "_problem"), on="book", maintain_order="left"
    )
    told = told.with_columns(sequence=pl.int_range(feed.rows, feed.rows + told.height, dtype=pl.Int64))
    feed.rows += told.height
    bad = marked.filter(pl.col("_problem").is_not_null())
    unchanged = good.height - told["book"].n_unique()
    return pl.concat([told, bad.select("entity", "event", "known", "_line", "_problem")], how="diagonal"), {
        UNCHANGED: unchanged
    }
