"""What the features of order books share: the book at the end of each message, from level-2 updates or from the orders
that rest in it, looked at from decisions."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds, segment_offsets
from fusion.feature_fit import Fit, fits
from fusion.features.ticks import Array, Ticks, counted, in_segments
from gpu_kernels.book import rebuild
from gpu_kernels.durations import DAY
from gpu_kernels.errors import DataError
from gpu_kernels.orders import origins, replay
from sources.schema import EXECUTED, GAP

Clock = NDArray[np.int64]
Shown = tuple[Clock, Array, Clock, Array]


@dataclass(frozen=True)
class BookSettings:
    """What a config says of an order book; see sources.config.BookOptions and fusion.feature_fit.FitConfig."""

    tick: float
    levels: int = 10
    lot: float = 1e-8
    depth_bps: float = 5.0
    cost_size: float | None = None
    drought_warm_up: int = 300 * 10**9
    spoofing_warm_up: int = 300 * 10**9
    fit_every: int = DAY
    fit_window: int = 5 * DAY


@dataclass(frozen=True)
class Updates:
    """Level-2 updates in the grid's segments, each row as in the table book_update: prices in ticks, sizes in the
    feed's unit. `ends` are the rows after which the book is whole, or known to be lost."""

    time: Clock
    side: NDArray[np.int8]
    ticks: Clock
    size: Array
    action: NDArray[np.int8]
    last: NDArray[np.bool_]
    offsets: Clock

    @cached_property
    def ends(self) -> Clock:
        return np.flatnonzero(self.last | (self.action == GAP))


@dataclass(frozen=True)
class Orders:
    """The order events (table order_event) that a book's updates are replayed from: prices in ticks, sizes in lots.
    `ended` is the event whose last update each update is, or -1."""

    time: Clock
    order: Clock
    ticks: Clock
    lots: Clock
    action: NDArray[np.int8]
    offsets: Clock
    ended: Clock

    @cached_property
    def lives(self) -> tuple[Clock, Clock, Clock]:
        """`orders.origins` by update instead of by event: lots placed, the update that placed what leaves, lots that
        leave (cancelled, executed)."""
        events = self.time, self.order, self.ticks, self.lots, self.action
        placed, origin, gone = origins.order_origins(*events, self.offsets)
        update = np.full(len(self.time), -1)
        ends = np.flatnonzero(self.ended >= 0)
        own = self.ended[ends]
        update[own] = ends
        by_update = np.zeros((3, len(self.ended)), np.int64)
        by_update[:, ends] = placed[own], *gone[:, own]
        placed_by = np.full(len(self.ended), -1)
        placed_by[ends] = np.where(origin[own] >= 0, update[origin[own]], -1)
        return by_update[0], placed_by, by_update[1:]


@dataclass(frozen=True)
class Book:
    """The best levels at the end of each message.

    ticks     its rows are the ends of messages, seen from the decisions
    updates   what it is rebuilt from
    removed   lots that each update's event cancelled, and executed; None where only trades could tell
    orders    the orders behind the updates, where the feed has them
    """

    ticks: Ticks
    updates: Updates
    settings: BookSettings
    starts_empty: bool
    removed: tuple[Clock, Clock] | None = None
    orders: Orders | None = None

    @classmethod
    def of_updates(
        cls, stream: pl.DataFrame, grid: pl.DataFrame, max_age: int, settings: BookSettings, *, continuous: bool
    ) -> "Book":
        """Of a stream of book updates in order (sources.stream.in_order). A book that goes on from session to session
        is unknown before its first snapshot, one of a session begins empty."""
        keys = ["entity"] if continuous else ["entity", "session"]
        if continuous:
            # what was known earlier comes earlier, across midnight too
            stream = stream.sort("entity", "known_time", "session", "sequence")
        rows, offsets = _in_time(stream, grid, keys)
        updates = Updates(
            nanoseconds(rows["known_time"]),
            rows["side"].to_numpy(),
            in_ticks(rows["price"].to_numpy(), settings.tick, rows["action"].to_numpy() == GAP),
            rows["size"].to_numpy(),
            rows["action"].to_numpy(),
            rows["last"].to_numpy(),
            offsets,
        )
        ticks = Ticks.of(rows[updates.ends], grid, max_age, continuous=continuous)
        return cls(ticks, updates, settings, not continuous)

    @classmethod
    def of_orders(
        cls, stream: pl.DataFrame, grid: pl.DataFrame, max_age: int, settings: BookSettings, *, continuous: bool
    ) -> "Book":
        """The same of a stream of order events, replayed to level-2 updates."""
        keys = ["entity"] if continuous else ["entity", "session"]
        if continuous:
            stream = stream.sort("entity", "known_time", "session", "sequence")
        rows, offsets = _in_time(stream, grid, keys)
        time, order = nanoseconds(rows["known_time"]), rows["order"].to_numpy()
        action, last = rows["action"].to_numpy(), rows["last"].to_numpy()
        ticks = in_ticks(rows["price"].to_numpy(), settings.tick, action == GAP)
        lots = in_lots(rows["size"].to_numpy(), settings.lot)
        named = [len(np.unique(ticks[first:stop])) for first, stop in pairwise(offsets)]
        found = replay.replay(
            time,
            order,
            action,
            rows["side"].to_numpy(),
            ticks,
            lots,
            offsets,
            starts_empty=not continuous,
            levels=2 * max(1, *named),
        )
        event = found.event
        updates = Updates(
            time[event],
            found.side,
            found.price_ticks,
            found.lots * settings.lot,
            found.action,
            (found.whole > 0) & last[event],
            found.update_offsets,
        )
        # an event of two updates removes once
        went = np.where(found.whole > 0, np.maximum(found.lots_before - found.lots_left, 0)[event], 0)
        is_executed = action[event] == EXECUTED
        removed = np.where(is_executed, 0, went), np.where(is_executed, went, 0)
        shown = Ticks.of(rows[event[updates.ends]], grid, max_age, continuous=continuous)
        orders = Orders(time, order, ticks, lots, action, offsets, np.where(found.whole > 0, event, -1))
        return cls(shown, updates, settings, not continuous, removed, orders)

    @cached_property
    def shown(self) -> Shown:
        """Bid ticks, bid sizes, ask ticks, ask sizes, each (levels, rows)."""
        updates = self.updates
        return rebuild.rebuild(
            updates.side,
            updates.ticks,
            updates.size,
            updates.offsets,
            self.settings.levels,
            action=updates.action,
            last=updates.last,
            starts_empty=self.starts_empty,
            at=updates.ends,
        )

    @cached_property
    def mid(self) -> Array:
        """In ticks; NaN where the book is unknown or a side of it empty."""
        bid, bid_size, ask, ask_size = (side[0] for side in self.shown)
        return np.where((bid_size > 0) & (ask_size > 0), (bid + ask) / 2, np.nan)

    @cached_property
    def is_whole(self) -> NDArray[np.bool_]:
        """Of each decision: whether the book that it sees has two sides."""
        return ~np.isnan(self.ticks.take(self.mid))

    def decayed(self, values: Array, half_life: int) -> Array:
        """`Ticks.decayed`, missing also while the book is."""
        return np.where(self.is_whole, self.ticks.decayed(values, half_life), np.nan)

    def fits(self) -> Iterator[tuple[Fit, Clock, Clock]]:
        """Each fit that the decisions need, its rows of the past, and the offsets of the segments among these. The
        decisions fit.begin .. fit.end count from the grid's first."""
        settings, ticks = self.settings, self.ticks
        entities = segment_offsets(ticks.grid.select("entity"))
        segments = np.repeat(np.arange(len(ticks.offsets) - 1), np.diff(ticks.offsets))
        for begin, end in pairwise(entities):
            of = np.searchsorted(ticks.at_offsets, [begin, end])
            rows = np.arange(ticks.offsets[of[0]], ticks.offsets[of[1]])
            rows = rows[np.argsort(ticks.time[rows], kind="stable")]
            for fit in fits(ticks.time[rows], ticks.at[begin:end], settings.fit_every, settings.fit_window):
                past = rows[fit.first : fit.stop]
                edges = np.flatnonzero(np.diff(segments[past])) + 1
                offsets = np.concatenate([[0], edges, [len(past)]]).astype(np.int64)
                moved = Fit(fit.moment, fit.first, fit.stop, fit.last, begin + fit.begin, begin + fit.end)
                yield moved, past, offsets


def _in_time(stream: pl.DataFrame, grid: pl.DataFrame, keys: list[str]) -> tuple[pl.DataFrame, Clock]:
    """`in_segments`, without what came more than a day after its session's last decision: none of them sees it, and a
    session that lasts for weeks has no time of day."""
    if "session" in keys:
        ends = grid.group_by(keys).agg(_end=pl.col("decision_time").max() + pl.duration(days=1))
        stream = stream.join(ends, on=keys, how="inner", maintain_order="left")
        stream = stream.filter(pl.col("known_time") <= pl.col("_end")).drop("_end")
    return in_segments(stream, grid, keys)


def in_lots(sizes: Array, lot: float) -> Clock:
    """Whole lots; a size that nobody knows is none. Raises DataError where they are too many to be counted exactly."""
    return counted(sizes, lot, "size", "lot")


def in_ticks(prices: Array, tick: float, is_none: NDArray[np.bool_] | None = None) -> Clock:
    """Prices as whole ticks. The tick comes from the config and not from the prices: a finer price of tomorrow must not
    change today's book. `is_none`: rows that tell no price. Raises DataError where a price is no multiple of it, or too
    many of it to be counted exactly."""
    is_none = np.zeros(len(prices), bool) if is_none is None else is_none
    ticks = counted(np.where(is_none, 0.0, prices), tick, "price", "tick")
    off = (np.abs(prices - ticks * tick) > 1e-6 * np.maximum(prices, tick)) & ~is_none
    if off.any():
        raise DataError(
            f"{np.count_nonzero(off)} book prices are no multiple of tick {tick:g}, first {prices[off][0]:.10g}",
            hint="write the feed's price step as the source's tick",
        )
    return ticks
