"""Features of the order book, rebuilt from level-2 updates to its best five levels at every update."""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import as_of, nanoseconds, segment_offsets
from gpu_kernels import rolling
from gpu_kernels.book import best, rebuild
from gpu_kernels.errors import DataError
from gpu_kernels.spec import FeatureSpec
from sources.schema import SET

Array = NDArray[np.float64]
LEVELS = 5
BPS = 1e4
MINUTE = 60 * 10**9


def _spec(name: str, unit: str, meaning: str, source: str = "definition") -> FeatureSpec:
    missing = "while a side of the book is empty, or no update known within max_age"
    return FeatureSpec(name, "book", unit, "each book update", meaning, missing, source)


_CONT = "Cont, Kukanov, Stoikov 2014"
FEATURES: tuple[FeatureSpec, ...] = (
    _spec("book_spread", "bps", "(best ask - best bid) / mid"),
    _spec("book_imbalance_1", "1", "(bid size - ask size) / (bid size + ask size) at the best level", _CONT),
    _spec("book_imbalance_5", "1", "the same over the sums of the best five levels", "Cao, Hansch, Wang 2009"),
    _spec("book_microprice_gap", "bps", "size-weighted mid over mid, minus 1", "Gatheral, Oomen 2010"),
    _spec("book_depth_5", "1", "log of the size on the best five levels of both sides"),
    _spec("book_ofi_1min", "1", "order-flow imbalance of the last minute over the mean best-level size in it", _CONT),
    _spec("book_ofi_5min", "1", "order-flow imbalance of five minutes over the mean best-level size in them", _CONT),
)


def in_ticks(prices: Array, tick: float) -> NDArray[np.int64]:
    """Prices as whole ticks. The tick comes from the config and not from the prices: a finer price of tomorrow must not
    change today's book. Raises DataError where a price is no multiple of it."""
    ticks = np.round(prices / tick)
    off = np.abs(prices - ticks * tick) > 1e-6 * np.maximum(prices, tick)
    if off.any():
        raise DataError(
            f"{np.count_nonzero(off)} book prices are no multiple of tick {tick:g}, first {prices[off][0]:.10g}",
            hint="write the feed's price step as the source's tick",
        )
    return ticks.astype(np.int64)


def _formulas(updates: pl.DataFrame, offsets: NDArray[np.int64], tick: float) -> dict[str, Callable[[], Array]]:
    ticks = in_ticks(updates["price"].to_numpy(), tick)
    side, size = updates["side"].to_numpy(), updates["size"].to_numpy()
    bid_ticks, bid_size, ask_ticks, ask_size = rebuild.rebuild(side, ticks, size, offsets, LEVELS)
    bid, ask = bid_ticks[0] * tick, ask_ticks[0] * tick
    whole = (bid_size[0] > 0) & (ask_size[0] > 0)
    mid = np.where(whole, (bid + ask) / 2, np.nan)
    time = nanoseconds(updates["known_time"])

    def flow(minutes: int) -> Callable[[], Array]:
        def formula() -> Array:
            events = best.order_flow_imbalance(bid, bid_size[0], ask, ask_size[0], offsets)
            depth = (bid_size[0] + ask_size[0]) / 2
            window = minutes * MINUTE
            count = rolling.time_sum(time, np.ones(len(time)), offsets, window)
            mean_depth = rolling.time_sum(time, depth, offsets, window) / count
            total = rolling.time_sum(time, events, offsets, window)
            missing = np.full(len(total), np.nan)
            ratio: Array = np.divide(total, mean_depth, out=missing, where=(mean_depth > 0) & whole)
            return ratio

        return formula

    def where_whole(values: Array) -> Array:
        return np.where(whole, values, np.nan)

    return {
        "book_spread": lambda: (ask - bid) / mid * BPS,
        "book_imbalance_1": lambda: where_whole(best.imbalance(bid_size, ask_size, levels=1)),
        "book_imbalance_5": lambda: where_whole(best.imbalance(bid_size, ask_size, levels=LEVELS)),
        "book_microprice_gap": lambda: (
            (where_whole(best.weighted_mid(bid, bid_size[0], ask, ask_size[0])) / mid - 1) * BPS
        ),
        "book_depth_5": lambda: where_whole(np.log1p(bid_size.sum(axis=0) + ask_size.sum(axis=0))),
        "book_ofi_1min": flow(1),
        "book_ofi_5min": flow(5),
    }


def compute(
    updates: pl.DataFrame, grid: pl.DataFrame, wanted: list[str], max_age_ns: int, tick: float
) -> dict[str, Array]:
    """The wanted columns at each decision, and `book_age` in minutes.

    `updates` is a stream in order (sources.stream.in_order), sorted by (entity, session, sequence). A decision sees the
    book after the last update known by then. `tick` is the price step. Missing values: see the specs.
    Raises DataError where a price is no multiple of the tick.
    """
    if (updates["action"] != SET).any() or not updates["last"].all():
        raise DataError(
            "the order book has snapshots, gaps or messages of several rows, which book features do not read yet",
            allowed="updates with action 0 and last true",
        )
    keys = ["entity", "session"]
    aligned = as_of(updates, grid, keys, max_age_ns)
    formulas = _formulas(aligned.rows, segment_offsets(aligned.rows.select(keys)), tick)
    return {name: aligned.take(formulas[name]()) for name in wanted} | {"book_age": aligned.age}
