"""Books told whole, N levels a side at a time, as the levels that changed since the book before."""

import polars as pl

from sources.schema import SET, SNAPSHOT

_BOOK = ["entity", "book"]
_LEVEL = ["entity", "side", "price"]


class BookDifferences:
    """The last book of each entity, by past rows only; it carries from one batch of books to the next."""

    def __init__(self) -> None:
        self._before: pl.DataFrame | None = None

    def changes(self, levels: pl.DataFrame) -> pl.DataFrame:
        """Rows of `book_update`: entity, book, side, price, size, action, last, and part (their place in the book).

        levels  entity, book (a number that rises within the entity, over calls too), side (+1, -1), price and size of
                each level of each book; one row for each book without levels, with a null price

        The first book of an entity begins with action 1. A level that the book no longer shows, which may only lie
        beyond its N-th, gets size 0. A book equal to the one before gives no row. Any cut into calls gives the same.

        Missing values: none but the price of a book without levels.
        """
        levels = levels.select(*_BOOK, "side", "price", "size").unique(
            [*_BOOK, "side", "price"], keep="first", maintain_order=True
        )
        every = levels if self._before is None else pl.concat([self._before, levels], how="vertical_relaxed")
        books = (
            every.select(_BOOK)
            .unique(maintain_order=True)
            .with_columns(_number=pl.int_range(pl.len()).over("entity"), _next=pl.col("book").shift(-1).over("entity"))
        )
        every = every.join(books, on=_BOOK, how="left", maintain_order="left")
        known = every.filter(pl.col("price").is_not_null())
        shown_before = pl.col("_number") == pl.col("_number").shift(1).over(_LEVEL) + 1
        same = shown_before & (pl.col("size") == pl.col("size").shift(1).over(_LEVEL))
        shown_after = pl.col("_number").shift(-1).over(_LEVEL) == pl.col("_number") + 1
        known = known.with_columns(_same=same.fill_null(False), _stays=shown_after.fill_null(False))
        new = known.filter(~pl.col("_same"))
        gone = known.filter(~pl.col("_stays") & pl.col("_next").is_not_null())
        gone = gone.with_columns(book="_next", _number=pl.col("_number") + 1, size=pl.lit(0.0))
        rows = pl.concat([gone.with_columns(_gone=True), new.with_columns(_gone=False)])
        if self._before is not None:  # the book before is told already
            rows = rows.join(self._before.select(_BOOK).unique(), on=_BOOK, how="anti")
            first = rows.join(self._before.select("entity").unique(), on="entity", how="anti")["entity"].unique()
        else:
            first = rows["entity"].unique()
        rows = rows.sort("entity", "book", "_gone", "side", "price", descending=[False, False, True, True, False])
        part = pl.int_range(pl.len()).over(_BOOK)
        begins = pl.col("entity").is_in(first.implode()) & (pl.col("_number") == 0) & (part == 0)
        latest = every.filter(pl.col("book") == pl.col("book").max().over("entity"))
        self._before = latest.select(*_BOOK, "side", "price", "size")
        return rows.select(
            *_BOOK,
            "side",
            "price",
            "size",
            action=pl.when(begins).then(SNAPSHOT).otherwise(SET),
            last=part == pl.len().over(_BOOK) - 1,
            part=part,
        )
