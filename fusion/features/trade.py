"""Features of trades: who was the aggressor, how much, and against which price.

The aggressor is the feed's own word; where it has none, Lee and Ready's rule against the quotes of the source that the
config names (`quotes`), and the tick rule without one.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds
from fusion.features.ticks import BPS, Array, Ticks, built, ratio
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.trade import aggressor

_LEE = "Lee, Ready 1991"


def _spec(name: str, unit: str, meaning: str, source: str = "definition") -> FeatureSpec:
    return FeatureSpec(name, "trade", unit, "each trade", meaning, "no trade known within max_age", source)


FEATURES: tuple[FeatureSpec, ...] = (
    _spec("trade_imbalance_<time>", "1", "decayed size bought less that sold by aggressors, over both", _LEE),
    _spec("trade_count_imbalance_<time>", "1", "the same of the number of trades", _LEE),
    _spec("trade_rate_<time>", "1/s", "log(1 + trades a second), decayed"),
    _spec("trade_vwap_gap_<time>", "bps", "last price over the decayed volume-weighted mean price, minus 1"),
    _spec("trade_told_<time>", "1", "decayed share of the size whose side the feed itself tells"),
)


def sides(ticks: Ticks, quotes: pl.DataFrame | None) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """The aggressor's side of each trade, and the rule that told it (`gpu_kernels.trade.aggressor.RULES`).

    quotes   a stream in order of the same entities, or None
    """
    told = ticks.rows["side"].to_numpy()
    if quotes is None:
        none = np.zeros(0)
        quoted = (none.astype(np.int64), none, none, np.zeros(len(ticks.offsets), np.int64))
    else:
        rows, offsets = ticks.in_segments(quotes)
        bid, ask = (rows[name].cast(pl.Float64).to_numpy() for name in ("bid_price", "ask_price"))
        quoted = (nanoseconds(rows["known_time"]), bid, ask, offsets)
    return aggressor.lee_ready(ticks.time, ticks.column("price"), told, ticks.offsets, *quoted)


def compute(
    stream: pl.DataFrame,
    grid: pl.DataFrame,
    wanted: list[str],
    max_age_ns: int,
    *,
    continuous: bool,
    quotes: pl.DataFrame | None = None,
) -> dict[str, Array]:
    """The wanted columns at each decision, and `trade_age` in minutes.

    `stream`, and `quotes` where there are any, are in order (sources.stream.in_order). A trade whose side no rule tells
    counts in sums of size and not in those of signed size. Missing values: see the specs.
    """
    ticks = Ticks.of(stream, grid, max_age_ns, continuous=continuous)
    price, size = ticks.column("price"), ticks.column("size")
    side, rule = sides(ticks, quotes)
    one = np.ones(len(price))

    def share(part: Array, whole: Array, half_life: int) -> Array:
        return ratio(ticks.decayed(part, half_life), ticks.decayed(whole, half_life))

    def rate(half_life: int) -> Array:
        # a decayed count of a steady stream is rate * half-life / ln 2
        logarithm: Array = np.log1p(ticks.decayed(one, half_life) / (half_life / np.log(2) / 1e9))
        return logarithm

    columns = built(
        wanted,
        {},
        {
            "trade_imbalance": lambda time: share(side * size, size, time),
            "trade_count_imbalance": lambda time: share(side * one, one, time),
            "trade_rate": rate,
            "trade_vwap_gap": lambda time: (ratio(ticks.take(price), share(price * size, size, time)) - 1) * BPS,
            "trade_told": lambda time: share(np.where(rule == aggressor.FEED, size, 0.0), size, time),
        },
    )
    return columns | {"trade_age": ticks.aligned.age}
