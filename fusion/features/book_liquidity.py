"""Features of how liquid the order book is: what comes back after trades, what leaves untraded, and droughts."""

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds
from fusion.features.book_rows import Book, in_lots
from fusion.features.book_state import spec
from fusion.features.ticks import SECOND, Array, counted
from gpu_kernels import decay
from gpu_kernels.book import depth, drought, liquidity, resilience
from gpu_kernels.durations import DAY
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.trade import aggressor, cancels

PATIENCE = SECOND
"""How long after a trade a fall of the level that it hit is taken for its doing."""

_KYLE, _WARM = "after Kyle 1985; Foucault, Kadan, Kandel 2005", ", or before `drought_warm_up` of the first session"
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
    spec(
        "book_drought",
        "1",
        "1 in a liquidity drought: both sides thin within `depth_bps` of their best prices, the spread wide, and not "
        "refilled, against what is usual at this time of day; else 0. Flags the decision",
        _KYLE,
        _WARM,
    ),
    spec("book_drought_depth", "1", "share of the usual depth that the fuller side lacks; 0 outside", _KYLE, _WARM),
    spec("book_drought_age", "s", "time since its onset; 0 outside", _KYLE, _WARM),
)
NEEDS_TRADES = ("book_resilience_bid", "book_resilience_ask", "book_cancel_to_trade")


class Traded:
    """The trades of a book's segments: time, price in ticks, size in lots, aggressor's side (by the feed, else the tick
    rule), and offsets; and what they explain of the book's changes."""

    def __init__(self, book: Book, stream: pl.DataFrame) -> None:
        self.book = book
        rows, self.offsets = book.ticks.in_segments(stream)
        self.time = nanoseconds(rows["known_time"])
        price = rows["price"].to_numpy()
        none = np.zeros(0)
        no_quotes = (none.astype(np.int64), none, none, np.zeros(len(self.offsets), np.int64))
        self.side, _ = aggressor.lee_ready(self.time, price, rows["side"].to_numpy(), self.offsets, *no_quotes)
        self.ticks = counted(price, book.settings.tick, "price", "tick")
        self.lots = in_lots(rows["size"].to_numpy(), book.settings.lot)

    @cached_property
    def levels(self) -> int:
        """Enough price levels for any segment, a price of both sides being two: a limit of memory, which changes no
        value."""
        columns = (self.book.updates.ticks, self.book.updates.offsets), (self.ticks, self.offsets)
        named = [[len(np.unique(ticks[a:b])) for a, b in pairwise(offsets)] for ticks, offsets in columns]
        most: int = max(1, *(updates + trades for updates, trades in zip(*named, strict=True)))
        return 2 * most

    @cached_property
    def removals(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lots that each update of the book shows to have been cancelled, and executed; orders tell it themselves."""
        if self.book.removed is not None:
            return self.book.removed
        updates = self.book.updates
        lots = in_lots(updates.size, self.book.settings.lot)
        columns = updates.time, updates.ticks, lots, updates.side, updates.action, updates.offsets
        trades = self.time, self.ticks, self.lots, self.side, self.offsets
        return cancels.inferred_cancels(*columns, *trades, patience_ns=PATIENCE, levels=self.levels)


def plain(book: Book) -> dict[str, Callable[[], Array]]:
    """The columns at the decisions."""
    cache: list[tuple[Array, ...]] = []

    def state(part: int) -> Callable[[], Array]:
        def formula() -> Array:
            if not cache:
                cache.append(_droughts(book))
            return book.ticks.take(cache[0][part])

        return formula

    return {"book_drought": state(0), "book_drought_depth": state(1), "book_drought_age": state(2)}


def _droughts(book: Book) -> tuple[Array, ...]:
    """In a drought, its depth, its age, the index: of each row."""
    ticks = book.ticks
    measures = liquidity.near_touch(*book.shown, ticks.offsets, bps=book.settings.depth_bps)
    entity = ticks.grid.select(ticks.keys).unique(maintain_order=True)["entity"].to_numpy()
    if "session" in ticks.keys:
        # a day before the first decision: no row of the session is earlier
        offsets, opens, own = ticks.offsets, ticks.at[ticks.at_offsets[:-1]] - DAY, entity
    else:
        day, segment = ticks.time // DAY, np.repeat(np.arange(len(entity)), np.diff(ticks.offsets))
        edges = np.flatnonzero((np.diff(day) != 0) | (np.diff(segment) != 0)) + 1
        starts = np.concatenate([[0], edges]).astype(np.int64)[: len(day)]
        offsets = np.append(starts, len(day))
        opens, own = day[starts] * DAY, entity[segment[starts]]
    entities = np.append(np.flatnonzero(np.append(True, own[1:] != own[:-1])[: len(own)]), len(own))
    warm_up = book.settings.drought_warm_up / SECOND
    return drought.drought(ticks.time, *measures, offsets, opens, entities, warm_up_seconds=warm_up)


def formulas(book: Book, traded: Traded | None) -> dict[str, Callable[[int], Array]]:
    """The columns at the decisions, by stem, each a function of its <time> in ns. Without trades, none: features that
    need them are refused."""
    if traded is None:
        return {}

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
        cancelled, executed = traded.removals
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


def _seen(book: Book, values: Array) -> Array:
    return np.where(book.is_whole, book.ticks.take(values), np.nan)
