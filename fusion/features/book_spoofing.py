"""Features of suspected spoofing: its score, and the book without the volume that is likely to vanish."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from fusion.features.book_liquidity import Traded
from fusion.features.book_rows import Book, in_lots
from fusion.features.book_state import spec
from fusion.features.ticks import SECOND, Array, ratio
from gpu_kernels import decay
from gpu_kernels.book import best, flow, origins, rebuild, spoofing
from gpu_kernels.spec import FeatureSpec

HALF_LIFE = 60 * SECOND
"""Of the window score."""
MEMORY = 60 * SECOND
"""How long an increase of a level is remembered, to find the order that leaves it."""

_LEE = "after Lee, Eom, Park 2013; Do, Putnins 2023"
FEATURES: tuple[FeatureSpec, ...] = (
    spec(
        "book_spoofing",
        "1",
        "score of large orders behind the touch that vanished unfilled while others traded against them, decayed with "
        f"a half-life of {HALF_LIFE // SECOND} s; 1: one clear case just now. Flags the decision",
        _LEE,
    ),
    spec(
        "book_clean_imbalance",
        "1",
        "imbalance of all levels shown, where a large order counts only by the chance that it stays",
        _LEE,
    ),
    spec("book_clean_ofi_<time>", "1", "book_ofi_levels of that book", _LEE),
)
NEEDS_TRADES = ("book_spoofing", "book_clean_imbalance", "book_clean_ofi")


class Suspicion:
    """What the detector says of each update, once for all columns."""

    def __init__(self, book: Book, traded: Traded) -> None:
        self.book, self.traded = book, traded

    @cached_property
    def found(self) -> tuple[Array, Array, Array]:
        """Score of each update; cleaned bid and ask sizes in lots, (levels, rows) at the ends of messages."""
        book, traded, updates = self.book, self.traded, self.book.updates
        lots = in_lots(updates.size, book.settings.lot)
        columns = updates.time, updates.ticks, lots, *traded.removals, updates.side, updates.action, updates.offsets
        lives = origins.level_origins(*columns, memory_ns=MEMORY, levels=traded.levels)
        shown = rebuild.rebuild(
            updates.side,
            updates.ticks,
            lots,
            updates.offsets,
            book.settings.levels,
            action=updates.action,
            last=updates.last,
            starts_empty=book.starts_empty,
        )
        rows = updates.time, updates.ticks, *lives, updates.side, *shown, updates.offsets
        score, _, _, bids, asks = spoofing.spoofing(*rows, traded.time, traded.lots, traded.side, traded.offsets)
        ends = updates.ends
        return score, np.ascontiguousarray(bids[:, ends]), np.ascontiguousarray(asks[:, ends])


def plain(suspicion: Suspicion | None) -> dict[str, Callable[[], Array]]:
    """The columns at the decisions. Without trades, none: features that need them are refused."""
    if suspicion is None:
        return {}
    book = suspicion.book

    def score() -> Array:
        rows = book.updates.time, suspicion.found[0], book.updates.offsets
        total = decay.decayed_sum(*rows, book.ticks.at, book.ticks.at_offsets, HALF_LIFE)
        return np.where(book.is_whole, total, np.nan)

    def imbalance() -> Array:
        _, bids, asks = suspicion.found
        values = best.imbalance(bids, asks, levels=len(bids))
        return np.where(book.is_whole, book.ticks.take(values), np.nan)

    return {"book_spoofing": score, "book_clean_imbalance": imbalance}


def formulas(suspicion: Suspicion | None) -> dict[str, Callable[[int], Array]]:
    """The columns at the decisions, by stem, each a function of its <time> in ns."""
    if suspicion is None:
        return {}
    book = suspicion.book

    def order_flow(half_life: int) -> Array:
        _, bids, asks = suspicion.found
        bid, _, ask, _ = book.shown
        flows = flow.level_flows(bid, bids, ask, asks, book.ticks.offsets).mean(axis=0)
        size = (bids.sum(axis=0) + asks.sum(axis=0)) / (2 * len(bids))
        known = np.isfinite(size).astype(np.float64)
        mean = ratio(book.decayed(size, half_life), book.decayed(known, half_life))
        return ratio(book.decayed(flows, half_life), mean)

    return {"book_clean_ofi": order_flow}
