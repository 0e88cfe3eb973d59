"""Features of how the order book answers trades and droughts: what comes back, and what leaves untraded."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds
from fusion.features.book_rows import Book
from fusion.features.book_state import spec
from fusion.features.ticks import SECOND, Array
from gpu_kernels import decay
from gpu_kernels.book import depth, resilience
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.trade import aggressor, cancels

PATIENCE = SECOND
"""How long after a trade a fall of the level that it hit is taken for its doing."""

_LARGE = "after Large 2007"
_NO_TRADE = ", or before the first trade on that side that took something is <time> old"
FEATURES: tuple[FeatureSpec, ...] = (
    spec(
        "book_resilience_bid_<time>",
        "1",
        "share of what the last sell that is so old took of the bids within `depth_bps` that was back <time> after it",
        _LARGE,
        _NO_TRADE,
    ),
    spec("book_resilience_ask_<time>", "1", "the same of buys and asks", _LARGE, _NO_TRADE),
    spec(
        "book_cancel_to_trade_<time>",
        "1",
        "log(1 + decayed size cancelled over that traded); of level-2 updates: what a level lost that trades of the "
        "last second do not explain",
        "Hasbrouck, Saar 2013",
        ", or nothing traded",
    ),
)
NEEDS_TRADES = ("book_resilience_bid", "book_resilience_ask", "book_cancel_to_trade")


class Traded:
    """The trades of a book's segments: time, price in ticks, size in lots, aggressor's side (by the feed, else the tick
    rule), and offsets."""

    def __init__(self, book: Book, stream: pl.DataFrame) -> None:
        rows, self.offsets = book.ticks.in_segments(stream)
        self.time = nanoseconds(rows["known_time"])
        price = rows["price"].to_numpy()
        none = np.zeros(0)
        no_quotes = (none.astype(np.int64), none, none, np.zeros(len(self.offsets), np.int64))
        self.side, _ = aggressor.lee_ready(self.time, price, rows["side"].to_numpy(), self.offsets, *no_quotes)
        self.ticks = np.round(price / book.settings.tick).astype(np.int64)
        self.lots = in_lots(rows["size"].to_numpy(), book.settings.lot)

    @property
    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
        return self.time, self.ticks, self.lots, self.side


def in_lots(sizes: Array, lot: float) -> NDArray[np.int64]:
    """Whole lots; a size that nobody knows is none."""
    return np.nan_to_num(np.round(sizes / lot)).astype(np.int64)


def formulas(book: Book, stream: pl.DataFrame | None) -> dict[str, Callable[[int], Array]]:
    """The columns at the decisions, by stem, each a function of its <time> in ns. `stream`: trades in order, or None:
    features that need them are refused without."""
    if stream is None:
        return {}
    traded = Traded(book, stream)

    def recovered(way: int) -> Callable[[int], Array]:
        def formula(horizon: int) -> Array:
            bids, asks = depth.depth_within(*book.shown, bps=book.settings.depth_bps)
            level, hits = (bids, -1) if way > 0 else (asks, 1)
            rows = book.ticks.time, book.ticks.offsets
            own = np.flatnonzero(traded.side == hits)
            inside = np.searchsorted(own, traded.offsets)
            upto = decay.last_index(traded.time[own], inside, *rows) + 1
            before = np.concatenate([[0], upto[:-1]])
            before[rows[1][:-1][np.diff(rows[1]) > 0]] = 0
            hit = ((upto > before) & (upto > 0)).astype(np.float64)
            return _seen(book, resilience.resilience(rows[0], level, hit, rows[1], horizon_ns=horizon)[1])

        return formula

    def cancel_to_trade(half_life: int) -> Array:
        cancelled, executed = removals(book, traded)
        updates = book.updates
        at = book.ticks.at, book.ticks.at_offsets
        gone, met = (
            decay.decayed_sum(updates.time, lots, updates.offsets, *at, half_life) for lots in (cancelled, executed)
        )
        ratio = np.divide(gone, met, out=np.full(len(gone), np.nan), where=met > 0)
        return np.where(book.is_whole, np.log1p(ratio), np.nan)

    return {
        "book_resilience_bid": recovered(1),
        "book_resilience_ask": recovered(-1),
        "book_cancel_to_trade": cancel_to_trade,
    }


def removals(book: Book, traded: Traded) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lots that each update shows to have been cancelled, and executed."""
    updates = book.updates
    return cancels.inferred_cancels(
        updates.time,
        updates.ticks,
        in_lots(updates.size, book.settings.lot),
        updates.side,
        updates.action,
        updates.offsets,
        *traded.columns,
        traded.offsets,
        patience_ns=PATIENCE,
        levels=level_count(book, traded),
    )


def level_count(book: Book, traded: Traded) -> int:
    """Enough price levels for any segment: a limit of memory, which changes no value."""
    columns = (book.updates.ticks, book.updates.offsets), (traded.ticks, traded.offsets)
    named = [[len(np.unique(ticks[a:b])) for a, b in pairwise(offsets)] for ticks, offsets in columns]
    return max(2, *(updates + trades for updates, trades in zip(*named, strict=True)))


def _seen(book: Book, values: Array) -> Array:
    return np.where(book.is_whole, book.ticks.take(values), np.nan)
