"""Features of bars: returns, volatility and oscillators of the session so far.

Windows count bars of the entity's own session, so a window never holds an overnight gap; it is missing until the
session has enough bars.
"""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import as_of, segment_offsets
from gpu_kernels import price, rolling
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.volatility import ranges, realised
from gpu_kernels.volatility.returns import session_returns

Array = NDArray[np.float64]
BPS = 1e4


def _spec(name: str, unit: str, meaning: str, missing: str, source: str = "definition") -> FeatureSpec:
    return FeatureSpec(name, "bar", unit, "each bar", meaning, missing, source)


def _warm(bars: int) -> str:
    return f"before the session's bar {bars}, or no bar known within max_age"


FEATURES: tuple[FeatureSpec, ...] = (
    *(
        _spec(f"bar_return_{n}", "bps", f"log return of the close over the last {n} bars of the session", _warm(n + 1))
        for n in (1, 5, 15, 30)
    ),
    _spec(
        "bar_relative_return_15",
        "bps",
        "bar_return_15 minus its mean over the entities at the same decision",
        "as bar_return_15, or fewer than two entities have it",
    ),
    _spec(
        "bar_realised_variance_30",
        "bps^2",
        "sum of the last 30 squared one-bar log returns",
        _warm(31),
        "Andersen, Bollerslev, Diebold, Labys 2001",
    ),
    _spec("bar_parkinson_30", "bps^2", "mean of ln(high/low)^2 / (4 ln 2) over 30 bars", _warm(30), "Parkinson 1980"),
    _spec("bar_rsi_14", "1", "relative strength index of the close, 14 bars, in 0..100", _warm(15), "Wilder 1978"),
    _spec("bar_atr_14", "bps", "average true range of 14 bars over the close", _warm(15), "Wilder 1978"),
    _spec("bar_zscore_30", "1", "(close - mean of 30 closes) / their standard deviation", _warm(30)),
    _spec("bar_ema_gap_20", "bps", "close / exponential mean of the close (20 bars) - 1", _warm(20)),
    _spec("bar_range_position_30", "1", "(close - lowest low) / (highest high - lowest low) of 30 bars", _warm(30)),
    _spec("bar_volume_ratio_30", "1", "volume / mean volume of 30 bars", _warm(30)),
)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, missing where the denominator is not positive."""
    quotient: Array = np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
    return quotient


def _formulas(bars: pl.DataFrame, offsets: NDArray[np.int64]) -> dict[str, Callable[[], Array]]:
    high, low, close, volume = (bars[name].to_numpy() for name in ("high", "low", "close", "volume"))

    def zscore() -> Array:
        return _ratio(close - rolling.mean(close, offsets, 30), rolling.std(close, offsets, 30))

    def range_position() -> Array:
        lowest = rolling.minimum(low, offsets, 30)
        return _ratio(close - lowest, rolling.maximum(high, offsets, 30) - lowest)

    def ema_gap() -> Array:
        return (_ratio(close, rolling.ema(close, offsets, 20)) - 1) * BPS

    def realised_variance() -> Array:
        return realised.rolling_measure(session_returns(close, offsets), offsets, 30, "variance") * BPS**2

    def log_return(bars_back: int) -> Callable[[], Array]:
        return lambda: price.log_return(close, offsets, bars_back) * BPS

    return {
        **{f"bar_return_{n}": log_return(n) for n in (1, 5, 15, 30)},
        "bar_parkinson_30": lambda: ranges.parkinson(high, low, offsets, 30) * BPS**2,
        "bar_realised_variance_30": realised_variance,
        "bar_rsi_14": lambda: price.rsi(close, offsets, 14),
        "bar_atr_14": lambda: _ratio(price.atr(high, low, close, offsets, 14), close) * BPS,
        "bar_zscore_30": zscore,
        "bar_ema_gap_20": ema_gap,
        "bar_range_position_30": range_position,
        "bar_volume_ratio_30": lambda: _ratio(volume, rolling.mean(volume, offsets, 30)),
    }


def compute(bars: pl.DataFrame, grid: pl.DataFrame, wanted: list[str], max_age_ns: int) -> dict[str, Array]:
    """The wanted columns at each decision, and `bar_age` in minutes.

    `bars` is a stream in order (sources.stream.in_order), sorted by (entity, event_time).
    Missing values: as each spec says.
    """
    keys = ["entity", "session"]
    aligned = as_of(bars, grid, keys, max_age_ns)
    formulas = _formulas(aligned.rows, segment_offsets(aligned.rows.select(keys)))
    columns = {name: aligned.take(formulas[name]()) for name in wanted if name in formulas}
    if "bar_relative_return_15" in wanted:
        own = aligned.take(formulas["bar_return_15"]())
        columns["bar_relative_return_15"] = _relative(grid, own)
    return columns | {"bar_age": aligned.age}


def _relative(grid: pl.DataFrame, values: Array) -> Array:
    value = pl.col("value")
    frame = grid.select("decision_time").with_columns(pl.Series("value", values).fill_nan(None))
    relative = pl.when(value.count() > 1).then(value - value.mean()).over("decision_time")
    return frame.select(relative.fill_null(np.nan).alias("value"))["value"].to_numpy()
