"""Features of the best bid and offer."""

import numpy as np
import polars as pl

from fusion.features.ticks import BPS, Array, Ticks, built, ratio
from gpu_kernels.book import best
from gpu_kernels.spec import FeatureSpec

_CONT = "Cont, Kukanov, Stoikov 2014"


def _spec(name: str, unit: str, meaning: str, source: str = "definition") -> FeatureSpec:
    return FeatureSpec(name, "quote", unit, "each quote", meaning, "no quote known within max_age", source)


FEATURES: tuple[FeatureSpec, ...] = (
    _spec("quote_spread", "bps", "(ask - bid) / mid"),
    _spec("quote_imbalance", "1", "(bid size - ask size) / (bid size + ask size)", _CONT),
    _spec("quote_microprice_gap", "bps", "size-weighted mid over mid, minus 1", "Gatheral, Oomen 2010"),
    _spec("quote_return_<time>", "bps", "log of the mid over that of the quote known so long before"),
    _spec("quote_volatility_<time>", "bps", "root of the decayed sum of squared log changes of the mid"),
    _spec("quote_flow_<time>", "1", "decayed order-flow imbalance over the mean best size", _CONT),
    _spec("quote_rate_<time>", "1/s", "log(1 + quotes a second), decayed"),
)


def compute(
    stream: pl.DataFrame, grid: pl.DataFrame, wanted: list[str], max_age_ns: int, *, continuous: bool
) -> dict[str, Array]:
    """The wanted columns at each decision, and `quote_age` in minutes.

    `stream` is in order (sources.stream.in_order). Missing values: see the specs; a return is missing too where no
    quote is that old.
    """
    ticks = Ticks.of(stream, grid, max_age_ns, continuous=continuous)
    bid, bid_size, ask, ask_size = (ticks.column(name) for name in ("bid_price", "bid_size", "ask_price", "ask_size"))
    mid = (bid + ask) / 2
    logs = np.log(mid)

    def volatility(half_life: int) -> Array:
        change = np.diff(logs, prepend=np.nan)
        change[ticks.offsets[:-1][np.diff(ticks.offsets) > 0]] = np.nan
        deviation: Array = np.sqrt(ticks.decayed(change * change, half_life)) * BPS
        return deviation

    def flow(half_life: int) -> Array:
        events = best.order_flow_imbalance(bid, bid_size, ask, ask_size, ticks.offsets)
        count = ticks.decayed(np.ones(len(bid)), half_life)
        mean_size = ratio(ticks.decayed((bid_size + ask_size) / 2, half_life), count)
        return ratio(ticks.decayed(events, half_life), mean_size)

    def rate(half_life: int) -> Array:
        # a decayed count of a steady stream is rate * half-life / ln 2
        seconds = half_life / np.log(2) / 1e9
        logarithm: Array = np.log1p(ticks.decayed(np.ones(len(bid)), half_life) / seconds)
        return logarithm

    columns = built(
        wanted,
        {
            "quote_spread": lambda: ticks.take((ask - bid) / mid) * BPS,
            "quote_imbalance": lambda: ticks.take(best.imbalance(bid_size, ask_size)),
            "quote_microprice_gap": lambda: ticks.take(best.weighted_mid(bid, bid_size, ask, ask_size) / mid - 1) * BPS,
        },
        {
            "quote_return": lambda back: (ticks.take(logs) - ticks.before(logs, back)) * BPS,
            "quote_volatility": volatility,
            "quote_flow": flow,
            "quote_rate": rate,
        },
    )
    return columns | {"quote_age": ticks.aligned.age}
