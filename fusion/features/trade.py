"""Features of trades: who was the aggressor, how much, and against which price; and the list of all of trades.

The aggressor is the feed's own word; where it has none, Lee and Ready's rule against the quotes of the source that the
config names (`quotes`), and the tick rule without one.
"""

import numpy as np
import polars as pl

from fusion.features import trade_cost, trade_flow, trade_models
from fusion.features.ticks import BPS, Array, Ticks, built, ratio
from fusion.features.trade_rows import Trades, TradeSettings
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.trade import aggressor

_LEE = "Lee, Ready 1991"
_SETTINGS = TradeSettings()


def _spec(name: str, unit: str, meaning: str, source: str = "definition") -> FeatureSpec:
    return FeatureSpec(name, "trade", unit, "each trade", meaning, "no trade known within max_age", source)


FEATURES: tuple[FeatureSpec, ...] = (
    _spec("trade_imbalance_<time>", "1", "decayed size bought less that sold by aggressors, over both", _LEE),
    _spec("trade_count_imbalance_<time>", "1", "the same of the number of trades", _LEE),
    _spec("trade_rate_<time>", "1/s", "log(1 + trades a second), decayed"),
    _spec("trade_vwap_gap_<time>", "bps", "last price over the decayed volume-weighted mean price, minus 1"),
    _spec("trade_told_<time>", "1", "decayed share of the size whose side the feed itself tells"),
    *trade_cost.FEATURES,
    *trade_flow.FEATURES,
    *trade_models.FEATURES,
)


def needs(name: str) -> tuple[str, ...]:
    """The options of the source that a feature cannot do without."""
    stem = name.removesuffix("_<time>")
    quotes, tick = (*trade_cost.NEEDS_QUOTES, *trade_flow.NEEDS_QUOTES), trade_flow.NEEDS_TICK
    return (("quotes",) if stem in quotes else ()) + (("tick",) if stem in tick else ())


def compute(
    stream: pl.DataFrame,
    grid: pl.DataFrame,
    wanted: list[str],
    max_age_ns: int,
    *,
    continuous: bool,
    quotes: pl.DataFrame | None = None,
    settings: TradeSettings = _SETTINGS,
) -> dict[str, Array]:
    """The wanted columns at each decision, and `trade_age` in minutes.

    `stream`, and `quotes` where there are any, are in order (sources.stream.in_order). A trade whose side no rule tells
    counts in sums of size and not in those of signed size. Missing values: see the specs.
    """
    ticks = Ticks.of(stream, grid, max_age_ns, continuous=continuous)
    trades = Trades(ticks, stream, quotes, max_age_ns, settings)
    price, size = trades.price, trades.size
    side, rule = trades.sides
    one = np.ones(len(price))

    def share(part: Array, whole: Array, half_life: int) -> Array:
        return ratio(ticks.decayed(part, half_life), ticks.decayed(whole, half_life))

    def rate(half_life: int) -> Array:
        # a decayed count of a steady stream is rate * half-life / ln 2
        logarithm: Array = np.log1p(ticks.decayed(one, half_life) / (half_life / np.log(2) / 1e9))
        return logarithm

    columns = built(
        wanted,
        trade_flow.plain(trades) | trade_models.plain(trades),
        {
            "trade_imbalance": lambda time: share(side * size, size, time),
            "trade_count_imbalance": lambda time: share(side * one, one, time),
            "trade_rate": rate,
            "trade_vwap_gap": lambda time: (ratio(ticks.take(price), share(price * size, size, time)) - 1) * BPS,
            "trade_told": lambda time: share(np.where(rule == aggressor.FEED, size, 0.0), size, time),
            **trade_cost.formulas(trades),
            **trade_flow.formulas(trades),
        },
    )
    return columns | {"trade_age": ticks.aligned.age}
