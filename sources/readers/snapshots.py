"""Books told whole, N levels a side at a time, as the levels that changed since the book before."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from sources.schema import SET, SNAPSHOT

Array = NDArray[Any]
_SCHEMA = {
    "entity": pl.String(),
    "book": pl.Int64(),
    "side": pl.Int8(),
    "price": pl.Float64(),
    "size": pl.Float64(),
    "action": pl.Int32(),
    "last": pl.Boolean(),
    "part": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class _Book:
    """The latest book of an entity, bids before asks, low prices first; and whether any row of it was told."""

    side: Array
    price: Array
    size: Array
    begun: bool


_NONE = _Book(np.empty(0, np.int8), np.empty(0), np.empty(0), begun=False)


class BookDifferences:
    """The last book of each entity, by past rows only; it carries from one batch of books to the next."""

    def __init__(self) -> None:
        self._latest: dict[str, _Book] = {}

    def changes(self, levels: pl.DataFrame) -> pl.DataFrame:
        """Rows of `book_update`: entity, book, side, price, size, action, last, and part (their place in the book).

        levels  entity, book (a number that rises within the entity, over calls too), side (+1, -1), price and size of
                each level of each book; one row for each book without levels, with a null price

        The first row of an entity has action 1. A level that the book no longer shows, which may only lie beyond its
        N-th, gets size 0, before the levels that are new or of another size. Of a level that a book tells twice the
        first counts. A book equal to the one before gives no row. Any cut into calls gives the same.

        Missing values: none but the price of a book without levels.
        """
        told = []
        for (entity,), part in levels.partition_by("entity", as_dict=True, maintain_order=True).items():
            # a null price sorts first and becomes NaN
            rows = part.sort("book", "side", "price", descending=[False, True, False], maintain_order=True)
            before = self._latest.get(entity, _NONE)
            book, side, price, size, (last_side, last_price, last_size) = _differences(
                rows["book"].cast(pl.Int64).to_numpy(),
                rows["side"].cast(pl.Int8).to_numpy(),
                rows["price"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
                rows["size"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
                before.side,
                before.price,
                before.size,
            )
            told.append(_rows(entity, book, side, price, size, begun=before.begun))
            self._latest[entity] = _Book(last_side, last_price, last_size, before.begun or len(book) > 0)
        return pl.concat(told) if told else pl.DataFrame(schema=_SCHEMA)


def _rows(entity: str, book: Array, side: Array, price: Array, size: Array, *, begun: bool) -> pl.DataFrame:
    begins = np.append(True, book[1:] != book[:-1])[: len(book)]
    place = np.arange(len(book))
    action = np.full(len(book), SET, np.int32)
    if not begun:
        action[:1] = SNAPSHOT
    columns = {"book": book, "side": side, "price": price, "size": size, "action": action}
    columns |= {"last": np.append(begins[1:], True)[: len(book)]}
    columns |= {"part": place - np.maximum.accumulate(np.where(begins, place, 0))}
    return pl.DataFrame(columns).select(pl.lit(entity).alias("entity"), pl.all()).cast(_SCHEMA)  # type: ignore[arg-type]


@njit(cache=True, nogil=True)
def _differences(book, side, price, size, side_before, price_before, size_before):
    """book, side, price and size of each change, and the last book's (side, price, size).

    Levels are sorted by book, side (bids first) and price. Two walks over each book and the one before: levels gone,
    then levels new or changed.
    """
    rows, most = len(price), len(price_before) + 2 * len(price)
    books, sides = np.empty(most, np.int64), np.empty(most, np.int8)
    prices, sizes = np.empty(most), np.empty(most)
    told, start = 0, 0
    while start < rows:
        stop = start
        while stop < rows and book[stop] == book[start]:
            stop += 1
        # the book's own levels, without those told twice and the empty book's stand-in
        kept = 0
        sides_now, prices_now, sizes_now = (
            np.empty(stop - start, np.int8),
            np.empty(stop - start),
            np.empty(stop - start),
        )
        for row in range(start, stop):
            again = kept > 0 and side[row] == sides_now[kept - 1] and price[row] == prices_now[kept - 1]
            if not again and not np.isnan(price[row]):
                sides_now[kept], prices_now[kept], sizes_now[kept] = side[row], price[row], size[row]
                kept += 1
        sides_now, prices_now, sizes_now = sides_now[:kept], prices_now[:kept], sizes_now[:kept]
        at = 0
        for old in range(len(price_before)):
            while at < kept and _first(sides_now[at], prices_now[at], side_before[old], price_before[old]):
                at += 1
            if at == kept or sides_now[at] != side_before[old] or prices_now[at] != price_before[old]:
                books[told], sides[told] = book[start], side_before[old]
                prices[told], sizes[told] = price_before[old], 0.0
                told += 1
        at = 0
        for new in range(kept):
            while at < len(price_before) and _first(side_before[at], price_before[at], sides_now[new], prices_now[new]):
                at += 1
            shown = at < len(price_before) and side_before[at] == sides_now[new] and price_before[at] == prices_now[new]
            if not shown or size_before[at] != sizes_now[new]:
                books[told], sides[told] = book[start], sides_now[new]
                prices[told], sizes[told] = prices_now[new], sizes_now[new]
                told += 1
        side_before, price_before, size_before = sides_now, prices_now, sizes_now
        start = stop
    return books[:told], sides[:told], prices[:told], sizes[:told], (side_before, price_before, size_before)


@njit(cache=True, nogil=True)
def _first(side, price, other_side, other_price):
    """Whether a level stands before another: bids before asks, low prices before high ones."""
    return side > other_side or (side == other_side and price < other_price)
