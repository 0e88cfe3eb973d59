"""Features of bars: returns, ranges and oscillators of the session so far. The group `price`.

Windows count bars of the entity's own session, so a window never holds an overnight gap; it is missing until the
session has enough bars.
"""

from fusion.features.bar_names import BarFeature
from fusion.features.bar_rows import Array, BarRows, warm
from fusion.features.ticks import BPS, ratio
from gpu_kernels import price, rolling
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.technical.strength import relative_strength_index
from gpu_kernels.technical.true_range import average_true_range
from gpu_kernels.volatility import ranges, realised
from gpu_kernels.volatility.returns import session_returns

_RETURN = "bar_return_<bars>"


def one_bar_returns(rows: BarRows) -> Array:
    """Log returns from bar to bar of a session, whose first has none."""
    return session_returns(rows.column("close"), rows.offsets)


def log_return(rows: BarRows, bars: int) -> Array:
    return rows.take(price.log_return(rows.column("close"), rows.offsets, bars) * BPS)


def relative_return(rows: BarRows, bars: int) -> Array:
    return rows.relative(f"bar_return_{bars}", log_return(rows, bars))


def realised_variance(rows: BarRows, bars: int, *, across: bool) -> Array:
    returns = rows.once(one_bar_returns)
    return rows.take(realised.rolling_measure(returns, rows.segments(across=across), bars, "variance") * BPS**2)


def parkinson(rows: BarRows, bars: int, *, across: bool) -> Array:
    high, low = rows.column("high"), rows.column("low")
    return rows.take(ranges.parkinson(high, low, rows.segments(across=across), bars) * BPS**2)


def rsi(rows: BarRows, bars: int, *, across: bool) -> Array:
    return rows.take(relative_strength_index(rows.column("close"), rows.segments(across=across), bars))


def atr(rows: BarRows, bars: int, *, across: bool) -> Array:
    high, low, close = (rows.column(name) for name in ("high", "low", "close"))
    return rows.take(ratio(average_true_range(high, low, close, rows.segments(across=across), bars), close) * BPS)


def zscore(rows: BarRows, bars: int, *, across: bool) -> Array:
    close, offsets = rows.column("close"), rows.segments(across=across)
    return rows.take(ratio(close - rolling.mean(close, offsets, bars), rolling.std(close, offsets, bars)))


def ema_gap(rows: BarRows, bars: int, *, across: bool) -> Array:
    close = rows.column("close")
    return rows.take((ratio(close, rolling.ema(close, rows.segments(across=across), bars)) - 1) * BPS)


def range_position(rows: BarRows, bars: int, *, across: bool) -> Array:
    close, offsets = rows.column("close"), rows.segments(across=across)
    lowest = rolling.minimum(rows.column("low"), offsets, bars)
    return rows.take(ratio(close - lowest, rolling.maximum(rows.column("high"), offsets, bars) - lowest))


def volume_ratio(rows: BarRows, bars: int, *, across: bool) -> Array:
    volume = rows.column("volume")
    return rows.take(ratio(volume, rolling.mean(volume, rows.segments(across=across), bars)))


def _spec(name: str, unit: str, meaning: str, missing: str, source: str = "definition") -> FeatureSpec:
    return FeatureSpec(name, "bar", unit, "each bar", meaning, missing, source)


def _two(bars: int) -> str:
    return "" if bars > 1 else "a deviation needs 2 bars or more"


_MORE = warm("<bars> + 1")
FEATURES: tuple[BarFeature, ...] = (
    BarFeature(
        _spec(_RETURN, "bps", "log return of the close over the last <bars> bars of the session", _MORE),
        log_return,
        ((1,), (5,), (15,), (30,)),
    ),
    BarFeature(
        _spec(
            "bar_relative_return_<bars>",
            "bps",
            "bar_return_<bars> minus its mean over the entities at the same decision",
            "as bar_return_<bars>, or fewer than two entities have it",
        ),
        relative_return,
        ((15,),),
        own=_RETURN,
    ),
    BarFeature(
        _spec(
            "bar_realised_variance_<bars>",
            "bps^2",
            "sum of the last <bars> squared one-bar log returns",
            _MORE,
            "Andersen, Bollerslev, Diebold, Labys 2001",
        ),
        realised_variance,
        ((30,),),
        across=True,
    ),
    BarFeature(
        _spec(
            "bar_parkinson_<bars>",
            "bps^2",
            "mean of ln(high/low)^2 / (4 ln 2) over <bars> bars",
            warm("<bars>"),
            "Parkinson 1980",
        ),
        parkinson,
        ((30,),),
        across=True,
    ),
    BarFeature(
        _spec(
            "bar_rsi_<bars>",
            "1",
            "relative strength index of the close, <bars> bars, in 0..100",
            _MORE,
            "Wilder 1978",
        ),
        rsi,
        ((14,),),
        across=True,
    ),
    BarFeature(
        _spec("bar_atr_<bars>", "bps", "average true range of <bars> bars over the close", _MORE, "Wilder 1978"),
        atr,
        ((14,),),
        across=True,
    ),
    BarFeature(
        _spec("bar_zscore_<bars>", "1", "(close - mean of <bars> closes) / their standard deviation", warm("<bars>")),
        zscore,
        ((30,),),
        across=True,
        check=_two,
    ),
    BarFeature(
        _spec("bar_ema_gap_<bars>", "bps", "close / exponential mean of the close (<bars> bars) - 1", warm("<bars>")),
        ema_gap,
        ((20,),),
        across=True,
    ),
    BarFeature(
        _spec(
            "bar_range_position_<bars>",
            "1",
            "(close - lowest low) / (highest high - lowest low) of <bars> bars",
            warm("<bars>"),
        ),
        range_position,
        ((30,),),
        across=True,
    ),
    BarFeature(
        _spec("bar_volume_ratio_<bars>", "1", "volume / mean volume of <bars> bars", warm("<bars>")),
        volume_ratio,
        ((30,),),
        across=True,
    ),
)
