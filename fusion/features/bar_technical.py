"""Features of bars: moving averages, bands and volume of technical analysis. Part of the group `technical`.

In units that compare between prices: basis points of the close, or pure numbers. Windows are those of the session,
and with `_across` of all sessions.
"""

from collections.abc import Callable

import numpy as np

from fusion.features.bar_names import BarFeature
from fusion.features.bar_price import one_bar_returns
from fusion.features.bar_rows import Array, BarRows, Int64s, warm
from fusion.features.ticks import BPS, ratio
from gpu_kernels import rolling
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.technical import averages, regression, statistics, strength


def _sma_gap(rows: BarRows, bars: int, *, across: bool) -> Array:
    close = rows.column("close")
    return rows.take((ratio(close, rolling.mean(close, rows.segments(across=across), bars)) - 1) * BPS)


def _bands(rows: BarRows, bars: int, across: bool) -> statistics.Bands:
    return statistics.bollinger_bands(rows.column("close"), rows.segments(across=across), bars)


def _bollinger_position(rows: BarRows, bars: int, *, across: bool) -> Array:
    bands = rows.once(_bands, bars, across)
    return rows.take(ratio(rows.column("close") - bands.middle, bands.upper - bands.middle))


def _bollinger_width(rows: BarRows, bars: int, *, across: bool) -> Array:
    bands = rows.once(_bands, bars, across)
    return rows.take(ratio(bands.upper - bands.lower, bands.middle) * BPS)


def _slope(rows: BarRows, bars: int, *, across: bool) -> Array:
    close = rows.column("close")
    slope = regression.linear_regression_slope(close, rows.segments(across=across), bars)
    return rows.take(ratio(slope, close) * BPS)


def _cmo(rows: BarRows, bars: int, *, across: bool) -> Array:
    return rows.take(strength.chande_momentum_oscillator(rows.column("close"), rows.segments(across=across), bars))


def _balance(rows: BarRows, bars: int, *, across: bool) -> Array:
    volume, offsets = rows.column("volume"), rows.segments(across=across)
    signed = np.sign(rows.once(one_bar_returns)) * volume
    return rows.take(ratio(rolling.mean(signed, offsets, bars), rolling.mean(volume, offsets, bars)))


def technical(
    name: str,
    unit: str,
    meaning: str,
    missing: str,
    source: str,
    formula: Callable[..., Array],
    standard: tuple[tuple[int, ...], ...],
    check: Callable[..., str] | None = None,
) -> BarFeature:
    """A feature whose windows may cross sessions."""
    spec = FeatureSpec(f"bar_{name}", "bar", unit, "each bar", meaning, missing, source)
    return BarFeature(spec, formula, standard, across=True, check=check)


def at_least(least: int) -> Callable[..., str]:
    """A check that no window is shorter."""
    return lambda *bars: "" if min(bars) >= least else f"windows are of {least} bars or more"


def _gap(
    name: str, what: str, average: Callable[[Array, Int64s, int], Array], source: str, first: str, least: int = 1
) -> BarFeature:
    """The close over a moving average of it; by name only, as the averages are much alike."""

    def formula(rows: BarRows, bars: int, *, across: bool) -> Array:
        close = rows.column("close")
        return rows.take((ratio(close, average(close, rows.segments(across=across), bars)) - 1) * BPS)

    meaning = f"close / {what} of the close (<bars> bars) - 1"
    return technical(f"{name}_gap_<bars>", "bps", meaning, warm(first), source, formula, (), at_least(least))


FEATURES: tuple[BarFeature, ...] = (
    technical(
        "sma_gap_<bars>", "bps", "close / mean of the last <bars> closes - 1", warm("<bars>"), "definition", _sma_gap,
        ((20,), (50,)),
    ),
    technical(
        "bollinger_position_<bars>", "1",
        "(close - mean of <bars> closes) / (2 of their standard deviations, divided by <bars>): 1 at the upper band",
        f"{warm('<bars>')}, or the closes are equal", "Bollinger 2001; TA-Lib's BBANDS", _bollinger_position, ((20,),),
        at_least(2),
    ),
    technical(
        "bollinger_width_<bars>", "bps", "distance of the bands, 4 standard deviations, over the mean of <bars> closes",
        warm("<bars>"), "Bollinger 2001; TA-Lib's BBANDS", _bollinger_width, ((20,),), at_least(2),
    ),
    _gap("wma", "linearly weighted mean", regression.weighted_moving_average, "TA-Lib's WMA", "<bars>"),
    _gap("trima", "triangular mean", averages.triangular_moving_average, "TA-Lib's TRIMA", "<bars>"),
    _gap(
        "dema", "double exponential mean", averages.double_exponential_moving_average, "Mulloy 1994; TA-Lib's DEMA",
        "2 <bars> - 1",
    ),
    _gap(
        "tema", "triple exponential mean", averages.triple_exponential_moving_average, "Mulloy 1994; TA-Lib's TEMA",
        "3 <bars> - 2",
    ),
    _gap("t3", "Tillson's mean", averages.tillson_moving_average, "Tillson 1998; TA-Lib's T3", "6 <bars> - 5"),
    _gap(
        "kama", "Kaufman's adaptive mean", averages.kaufman_moving_average, "Kaufman 1995; TA-Lib's KAMA",
        "<bars> + 1",
    ),
    technical(
        "slope_<bars>", "bps", "slope of the least-squares line through <bars> closes, a bar, over the close",
        warm("<bars>"), "TA-Lib's LINEARREG_SLOPE", _slope, ((14,),), at_least(2),
    ),
    technical(
        "cmo_<bars>", "1", "Chande's momentum oscillator of <bars> changes, Wilder's averages, in -100..100",
        warm("<bars> + 1"), "Chande, Kroll 1994; TA-Lib's CMO", _cmo, ((14,),),
    ),
    technical(
        "obv_share_<bars>", "1",
        "change of the on-balance volume over <bars> bars of the session over their volume, in -1..1",
        f"{warm('<bars> + 1')}, or nothing was traded", "Granville 1963", _balance, ((30,),),
    ),
)  # fmt: skip
