"""Features of suspected spoofing: its score, and the book without the volume that is likely to vanish."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fusion.features.book_liquidity import Traded
from fusion.features.book_rows import Book, Clock, in_lots
from fusion.features.book_state import spec
from fusion.features.ticks import SECOND, Array, ratio
from gpu_kernels import decay
from gpu_kernels.book import best, flow, origins, rebuild, spoofing
from gpu_kernels.spec import FeatureSpec

Flags = NDArray[np.bool_]
HALF_LIFE = 60 * SECOND
"""Of the window score."""
USUAL_HALF_LIFE = 20 * 60 * SECOND
"""Of what is usual in a feed."""
USUAL_LAG = HALF_LIFE
"""How old a score has to be to count as usual: a spoof of just now is not."""
MEMORY = 60 * SECOND
"""How long an increase of a level is remembered, to find the order that leaves it."""

_LEE = "after Lee, Eom, Park 2013; Do, Putnins 2023"
FEATURES: tuple[FeatureSpec, ...] = (
    spec(
        "book_spoofing",
        "1",
        "(1 + W) / (1 + U) - 1: W the score of large orders behind the touch that vanished unfilled while others "
        f"traded against them, decayed with a half-life of {HALF_LIFE // SECOND} s; U what is usual of it in this "
        f"feed, of the past (half-life {USUAL_HALF_LIFE // (60 * SECOND)} min). 1: one clear case just now where there "
        "are none, or one more than twice the usual. Flags the decision",
        _LEE,
        ", or before `spoofing_warm_up` of the feed was seen",
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


def excess(
    time: Clock, score: Array, offsets: Clock, at: Clock, at_offsets: Clock, goes_on: Flags, *, warm_up: int
) -> Array:
    """The window score of spoofing over what is usual in the feed, at each decision:

        (1 + W) / (1 + U) - 1,   U = r T

    W is the sum of the scores, each halved per HALF_LIFE of its age, and T the time in which the book was known, faded
    alike. r is the usual rate, score per time known, both faded with USUAL_HALF_LIFE, of what is at least USUAL_LAG
    old. Where such orders are rare, U is nearly 0 and W is left; where they are usual, the result is 0 on average. It
    is 1 from W = 1 + 2 U on: one clear case more than twice the usual.

    time, score   (n,) int64 ns, of `book.spoofing.spoofing`; NaN where the book is unknown from that row on
    offsets, at, at_offsets   as in `gpu_kernels.decay`
    goes_on       (S,) whether a segment is the next session of the segment before it: its usual rate begins with what
                  was known at that one's last decision, and fades in the time of sessions only
    warm_up       ns of (faded) time known that r has to rest on

    Missing values: while less than `warm_up` is known. An unknown book counts as no time, and as no score.
    Source: ours.
    """
    between = np.diff(time, prepend=time[:1])
    first = offsets[:-1][np.diff(offsets) > 0]
    between[first] = 0
    known = ~np.isnan(np.concatenate([[np.nan], score[:-1]])[: len(time)])

    def both(half_life: int, lag: int) -> tuple[Array, Array]:
        # the integral of what fades, over the time before each row
        passed = np.where(known, half_life / np.log(2.0) * -np.expm1(-np.log(2.0) * between / half_life), 0.0)
        found, seen = (
            decay.decayed_sum(time, values, offsets, at - lag, at_offsets, half_life) for values in (score, passed)
        )
        return found, seen

    window, span = both(HALF_LIFE, 0)
    found, seen = (
        _carried(total, at, at_offsets, goes_on, USUAL_HALF_LIFE) for total in both(USUAL_HALF_LIFE, USUAL_LAG)
    )
    usual = np.divide(found, seen, out=np.full(len(at), np.nan), where=seen >= warm_up) * span
    over: Array = (1.0 + window) / (1.0 + usual) - 1.0
    return over


def _carried(total: Array, at: Clock, at_offsets: Clock, goes_on: Flags, half_life: int) -> Array:
    """A faded sum at each decision, with what there was at the last one of the session before."""
    total = total.copy()
    for segment in np.flatnonzero(goes_on & (np.diff(at_offsets) > 0)):
        first, stop = at_offsets[segment], at_offsets[segment + 1]
        total[first:stop] += total[first - 1] * 2.0 ** (-(at[first:stop] - at[first]) / half_life)
    return total


class Suspicion:
    """What the detector says of each update, once for all columns."""

    def __init__(self, book: Book, traded: Traded) -> None:
        self.book, self.traded = book, traded

    @cached_property
    def found(self) -> tuple[Array, Array, Array]:
        """Score of each update; cleaned bid and ask sizes in lots, (levels, rows) at the ends of messages."""
        book, traded, updates = self.book, self.traded, self.book.updates
        lots = in_lots(updates.size, book.settings.lot)
        if book.orders is None:
            columns = updates.time, updates.ticks, lots, *traded.removals, updates.side, updates.action, updates.offsets
            lives = origins.level_origins(*columns, memory_ns=MEMORY, levels=traded.levels)
        else:
            lives = book.orders.lives
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
        ticks, updates = book.ticks, book.updates
        entity = ticks.grid["entity"].to_numpy()[ticks.at_offsets[:-1]]
        goes_on = np.append(False, entity[1:] == entity[:-1])[: len(entity)]
        rows = updates.time, suspicion.found[0], updates.offsets
        over = excess(*rows, ticks.at, ticks.at_offsets, goes_on, warm_up=book.settings.spoofing_warm_up)
        return np.where(book.is_whole, over, np.nan)

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
