"""Spoofing and layering: `book.spoofing` on order events and on level-2 updates, and the same with less to see."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from benchmarks.detectors.frame import LEVELS, Detector, Market
from gpu_kernels.book import rebuild
from gpu_kernels.book.origins import level_origins
from gpu_kernels.book.spoofing import SECOND, spoofing
from gpu_kernels.orders.origins import order_origins
from gpu_kernels.trade.cancels import inferred_cancels

KINDS = ("spoof", "layering")
EDGES = (1.0, 2.0, 5.0, 10.0)
ALARM = 1.0
"""Score of a group of cancels from which it is an alarm: about one clear spoof."""

Origins = Callable[["Feed"], tuple[np.ndarray, ...]]


class Feed:
    """Every row of a market in integers, as the kernels take it."""

    def __init__(self, market: Market) -> None:
        simulated = market.found.config.markets[0]
        events, updates, trades = market.found.order_event, market.found.book_update, market.found.trade

        def ticks(table: pl.DataFrame) -> np.ndarray:
            return (table["price"] * simulated.ticks_per_unit).round().cast(pl.Int64).to_numpy()

        def lots(table: pl.DataFrame) -> np.ndarray:
            return (table["size"] * simulated.lots_per_unit).round().cast(pl.Int64).to_numpy()

        self.market, self.offsets = market, market.update_offsets
        self.time = updates["known_time"].to_physical().to_numpy()
        self.tick, self.side, self.level_lots = ticks(updates), updates["side"].to_numpy(), lots(updates)
        self.order, self.lots, self.action = events["order"].to_numpy(), lots(events), events["action"].to_numpy()
        self.trade_time, self.trade_lots = trades["known_time"].to_physical().to_numpy(), lots(trades)
        self.trade_tick, self.aggressor = ticks(trades), trades["side"].to_numpy()
        # sessions without a trade have an empty segment
        days = updates["session"].unique(maintain_order=True)
        self.trade_offsets = np.append(np.searchsorted(trades["session"], days), len(trades)).astype(np.int64)
        self.books = rebuild.rebuild(self.side, self.tick, self.level_lots, self.offsets, LEVELS)

    def from_orders(self) -> tuple[np.ndarray, ...]:
        return order_origins(self.time, self.order, self.tick, self.lots, self.action, self.offsets)

    def from_levels(self) -> tuple[np.ndarray, ...]:
        table = (self.time, self.tick, self.level_lots)
        side, action = self.side, np.zeros(len(self.side), np.int8)
        trades = (self.trade_time, self.trade_tick, self.trade_lots, self.aggressor, self.trade_offsets)
        split = inferred_cancels(*table, side, action, self.offsets, *trades, patience_ns=SECOND)
        return level_origins(*table, *split, side, action, self.offsets, memory_ns=20 * SECOND)

    def scored(self, origins: tuple[np.ndarray, ...], **parameters: Any) -> tuple[np.ndarray, ...]:
        trades = (self.trade_time, self.trade_lots, self.aggressor, self.trade_offsets)
        return spoofing(self.time, self.tick, *origins, self.side, *self.books, self.offsets, *trades, **parameters)

    def session_of(self, row: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.offsets, row, side="right") - 1


def feed(market: Market) -> Feed:
    """The market's rows, made once."""
    if "feed" not in vars(market):
        vars(market)["feed"] = Feed(market)
    return vars(market)["feed"]


def groups(rows: Feed, score: np.ndarray, began: np.ndarray, alarm: float, together_ns: int) -> pl.DataFrame:
    """The rows' scores as one interval a group: from its first order's placement to its last cancel."""
    row = np.flatnonzero(score > 0)
    row = row[np.lexsort((row, rows.side[row], rows.session_of(row)))]
    time, side, session = rows.time[row], rows.side[row], rows.session_of(row)
    first = np.append(
        True, (np.diff(time) > together_ns) | (np.diff(time) < 0) | (np.diff(side) != 0) | (np.diff(session) != 0)
    )[: len(row)]
    begin = np.flatnonzero(first)
    total = np.add.reduceat(score[row], begin) if len(row) else np.zeros(0)
    start = np.minimum.reduceat(began[row], begin) if len(row) else np.zeros(0, np.int64)
    end = time[np.append(begin[1:], len(row)) - 1] if len(row) else np.zeros(0, np.int64)
    kept = total >= alarm
    return rows.market.intervals(start[kept], end[kept], total[kept], session[begin][kept])


def found(
    market: Market, origins: Callable[[Feed], tuple[np.ndarray, ...]], alarm: float, **parameters: Any
) -> pl.DataFrame:
    rows = feed(market)
    score, began, *_ = rows.scored(origins(rows), **parameters)
    return groups(rows, score, began, alarm, parameters.get("together_ns", SECOND // 10))


def ended(rows: Feed) -> tuple[np.ndarray, ...]:
    """Of each order that was placed: its row, the row that ended it or the session's last, lots, whether cancelled."""
    placed, origin, gone = rows.from_orders()
    row = np.flatnonzero(placed)
    last = rows.offsets[1:][rows.session_of(row)] - 1
    place = np.full(len(placed), -1)
    place[row] = np.arange(len(row))
    takes = np.flatnonzero(origin >= 0)
    taken = np.bincount(place[origin[takes]], gone.sum(axis=0)[takes], len(row))
    until = last.copy()
    np.maximum.at(until, place[origin[takes]], 0)
    whole = taken == placed[row]
    final = np.zeros(len(row), np.int64)
    np.maximum.at(final, place[origin[takes]], takes)
    until[whole] = final[whole]
    return row, until, placed[row], whole


def size_alone(market: Market, ratio: float = 2.0) -> pl.DataFrame:
    """The detector of an hour: any order of some typical level sizes, for as long as it rests."""
    rows = feed(market)
    row, until, lots, _ = ended(rows)
    typical = np.median(np.concatenate([rows.books[1][:5], rows.books[3][:5]]))
    large = lots >= ratio * typical
    row, until, score = row[large], until[large], lots[large] / typical
    return market.intervals(rows.time[row], rows.time[until], score, rows.session_of(row))


def cancels_alone(market: Market, times: float = 4.0, memory: int = 300 * SECOND) -> pl.DataFrame:
    """The detector of another hour: seconds in which one side's orders are cancelled much more often than usual."""
    rows = feed(market)
    _, _, gone = rows.from_orders()
    parts = []
    for session, (first, last) in enumerate(zip(rows.offsets[:-1], rows.offsets[1:], strict=True)):
        for side in (1, -1):
            row = first + np.flatnonzero((gone[0, first:last] > 0) & (rows.side[first:last] == side))
            time = rows.time[row]
            recent = np.arange(1, len(time) + 1) - np.searchsorted(time, time - SECOND, side="right")
            watched = np.clip(time - rows.time[first], SECOND, memory)
            usual = (
                (np.arange(1, len(time) + 1) - np.searchsorted(time, time - memory, side="right")) / watched * SECOND
            )
            many = recent >= times * np.maximum(usual, 1.0)
            score = (recent / usual)[many]
            parts.append(market.intervals(time[many] - SECOND, time[many], score, np.full(many.sum(), session)))
    return pl.concat(parts)


def detectors() -> list[Detector]:
    def of(name: str, origins: Origins, role: str = "ablation", alarm: float = ALARM, **parameters: Any) -> Detector:
        return Detector(name, KINDS, EDGES, lambda market: found(market, origins, alarm, **parameters), role)

    return [
        of("spoofing, level 3", Feed.from_orders, "detector"),
        of("spoofing, level 2", Feed.from_levels, "detector"),
        of("spoofing, level 3, every score", Feed.from_orders, alarm=0.01),
        of("spoofing, level 2, every score", Feed.from_levels, alarm=0.01),
        of("spoofing without the trades", Feed.from_orders, opposite=0.0),
        of("spoofing without the trades, every score", Feed.from_orders, alarm=0.01, opposite=0.0),
        Detector("size alone", KINDS, EDGES, size_alone),
        Detector("cancels alone", KINDS, EDGES, cancels_alone),
    ]
