"""Features of trades: what trading costs, and how far it moves the price.

Spreads and the gap of large trades are measured against the quotes of the source that the config names (`quotes`).
"""

from collections.abc import Callable

import numpy as np

from fusion.features.intervals import Intervals
from fusion.features.ticks import BPS, Array, ratio
from fusion.features.trade_rows import Trades
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.trade import impact, spreads

INTERVALS, LEAST = 30, 10
"""Of `trade_kyle_lambda` and its like: how many intervals they look back, and how many of them must tell."""
LARGE_OF, LARGE = 500, 0.95
"""A trade is large from this quantile of so many sizes before it."""

_HUANG, _KYLE, _AMIHUD = "Huang, Stoll 1996", "Kyle 1985; Hasbrouck 2009", "Amihud 2002"
_INTERVAL = f"before {LEAST + 1} intervals, or no trade known within max_age"


def _spec(name: str, unit: str, meaning: str, missing: str, source: str, clock: str = "each trade") -> FeatureSpec:
    return FeatureSpec(name, "trade", unit, clock, meaning, missing, source)


_QUOTED = "before a trade with a side and a quote before it, or no trade known within max_age"
_LATER = "the same, until <time> has gone by"
FEATURES: tuple[FeatureSpec, ...] = (
    _spec(
        "trade_effective_spread_<time>",
        "bps",
        "twice the signed gap of the price to the mid before the trade; mean by decayed size",
        _QUOTED,
        _HUANG,
    ),
    _spec(
        "trade_realised_spread_<time>",
        "bps",
        "the same to the mid <time> after the trade, which is when a trade begins to count; mean by decayed size",
        _LATER,
        _HUANG,
        "each trade, <time> later",
    ),
    _spec(
        "trade_price_impact_<time>",
        "bps",
        "effective less realised spread of the same trades; mean by decayed size",
        _LATER,
        _HUANG,
        "each trade, <time> later",
    ),
    _spec(
        "trade_large_gap_<time>",
        "bps",
        f"gap to the mid before them of trades of the last <time> not below the {LARGE:g} quantile of the {LARGE_OF} "
        "sizes before, mean by size; as of the last trade",
        f"before {LARGE_OF} trades, without a large trade in <time>, or no trade known within max_age",
        "trifuse",
    ),
    _spec(
        "trade_kyle_lambda_<time>",
        "bps per unit of size",
        f"slope of the mid's log change on signed size, of the last {INTERVALS} intervals of <time>",
        _INTERVAL,
        _KYLE,
        "each <time>",
    ),
    _spec(
        "trade_amihud_<time>",
        "bps per million of currency",
        f"mean of |return| over value traded, of the last {INTERVALS} intervals of <time>",
        _INTERVAL,
        _AMIHUD,
        "each <time>",
    ),
    _spec(
        "trade_roll_spread_<time>",
        "bps",
        f"2 sqrt(-covariance) of neighbouring log changes of the last price, of {INTERVALS} intervals of <time>",
        "the same, or the covariance is above 0",
        "Roll 1984",
        "each <time>",
    ),
)
NEEDS_QUOTES = (
    "trade_effective_spread",
    "trade_realised_spread",
    "trade_price_impact",
    "trade_large_gap",
    "trade_kyle_lambda",
)


def formulas(trades: Trades) -> dict[str, Callable[[int], Array]]:
    """The columns at the decisions, by stem, each a function of its <time> in ns."""
    ticks, price, size = trades.ticks, trades.price, trades.size
    lag = trades.settings.quote_lag

    def around(horizon: int) -> tuple[Array, ...]:
        # every value is used from its own known_time on, when all that it needs is known: so no `until`
        columns = ticks.time, price, trades.side, ticks.offsets, *trades.quotes.columns
        return spreads.spreads(*columns, 2**62, horizon_ns=horizon, lag_ns=lag)

    def mean(values: Array, half_life: int, delay: int = 0) -> Array:
        weight = np.where(np.isnan(values), 0.0, size)
        return ratio(
            ticks.decayed(np.where(np.isnan(values), 0.0, values) * weight, half_life, delay),
            ticks.decayed(weight, half_life, delay),
        )

    def large(window: int) -> Array:
        threshold = spreads.size_threshold(size, ticks.offsets, LARGE_OF, LARGE)
        columns = ticks.time, price, size, threshold, ticks.offsets, *trades.quotes.columns
        return ticks.take(spreads.large_trade_deviation(*columns, window_ns=window, lag_ns=lag))

    def kyle(length: int) -> Array:
        intervals, quotes = Intervals.of(ticks, length), trades.quotes
        mid = intervals.at_ends(np.log((quotes.bid + quotes.ask) / 2) * BPS, quotes.time, quotes.offsets)
        signed = intervals.totals(trades.side * size)
        return intervals.take(impact.kyle_lambda(mid, signed, intervals.offsets, INTERVALS, min_periods=LEAST))

    def amihud(length: int) -> Array:
        intervals = Intervals.of(ticks, length)
        close, value = intervals.at_ends(price), intervals.totals(price * size / 1e6)
        return intervals.take(impact.amihud(close, value, intervals.offsets, INTERVALS, min_periods=LEAST)) * BPS

    def roll(length: int) -> Array:
        intervals = Intervals.of(ticks, length)
        close = intervals.at_ends(np.log(price) * BPS)
        return intervals.take(impact.roll_spread(close, intervals.offsets, INTERVALS, min_periods=LEAST))

    return {
        "trade_effective_spread": lambda time: mean(around(time)[1], time),
        "trade_realised_spread": lambda time: mean(around(time)[2], time, time),
        "trade_price_impact": lambda time: mean(around(time)[3], time, time),
        "trade_large_gap": large,
        "trade_kyle_lambda": kyle,
        "trade_amihud": amihud,
        "trade_roll_spread": roll,
    }
