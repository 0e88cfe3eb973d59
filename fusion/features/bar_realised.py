"""Features of bars: realised measures of the session so far, over its last bars. The group `realised`."""

from collections.abc import Callable

import numpy as np

from fusion.features.bar_names import BarFeature
from fusion.features.bar_price import one_bar_returns
from fusion.features.bar_rows import Array, BarRows, warm
from fusion.features.ticks import BPS, ratio
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.volatility import ewma, ranges, realised

# place of each estimator in what range_variances gives
_GARMAN_KLASS, _ROGERS_SATCHELL, _YANG_ZHANG = 1, 2, 3


def _measures(rows: BarRows, bars: int, across: bool) -> realised.RealisedMeasures:
    # a session's first bar has no return: across sessions it is stepped over
    return realised.rolling_measures(rows.once(one_bar_returns), rows.segments(across=across), bars)


def _measure(name: str, scale: float) -> Callable[..., Array]:
    return lambda rows, bars, across: rows.take(getattr(rows.once(_measures, bars, across), name) * scale)


def _jump_share(rows: BarRows, bars: int, *, across: bool) -> Array:
    found = rows.once(_measures, bars, across)
    return rows.take(ratio(np.maximum(found.variance - found.bipower, 0.0), found.variance))


def _ranges(rows: BarRows, bars: int, across: bool) -> Array:
    opening, high, low, close = (rows.column(name) for name in ("open", "high", "low", "close"))
    return ranges.range_variances(opening, high, low, close, rows.segments(across=across), bars)


def _range(place: int) -> Callable[..., Array]:
    return lambda rows, bars, across: rows.take(rows.once(_ranges, bars, across)[place] * BPS**2)


def _ewma(rows: BarRows, bars: int, *, across: bool) -> Array:
    offsets = rows.segments(across=across)
    variance = ewma.ewma_variance(rows.once(one_bar_returns), offsets, half_life=bars, warm_up=min(bars, 10))
    return rows.take(variance * BPS**2)


def _of_returns(
    name: str, unit: str, meaning: str, source: str, formula: Callable[..., Array], least: int = 1
) -> BarFeature:
    spec = FeatureSpec(f"bar_{name}_<bars>", "bar", unit, "each bar", meaning, warm("<bars> + 1"), source)

    def check(bars: int) -> str:
        return "" if bars >= least else f"it is made of {least} returns or more"

    return BarFeature(spec, formula, ((30,),), across=True, check=check)


def _of_ranges(name: str, meaning: str, source: str, place: int, least: int) -> BarFeature:
    missing = warm("<bars>" if place != _YANG_ZHANG else "<bars> + 1")
    spec = FeatureSpec(f"bar_{name}_<bars>", "bar", "bps^2", "each bar", meaning, missing, source)

    def check(bars: int) -> str:
        return "" if bars >= least else f"it is made of {least} bars or more"

    return BarFeature(spec, _range(place), ((30,),), across=True, check=check)


_SUM = "of the last <bars> one-bar log returns of the session, in the variant of gpu_kernels.volatility.realised"
FEATURES: tuple[BarFeature, ...] = (
    _of_returns(
        "bipower", "bps^2", f"bipower variation {_SUM}", "Barndorff-Nielsen, Shephard 2004",
        _measure("bipower", BPS**2), 2,
    ),
    _of_returns(
        "min_rv", "bps^2", f"MinRV {_SUM}", "Andersen, Dobrev, Schaumburg 2012", _measure("min_rv", BPS**2), 2
    ),
    _of_returns(
        "med_rv", "bps^2", f"MedRV {_SUM}", "Andersen, Dobrev, Schaumburg 2012", _measure("med_rv", BPS**2), 3
    ),
    _of_returns(
        "semivariance_up", "bps^2", f"sum of the squares of those above 0, {_SUM}",
        "Barndorff-Nielsen, Kinnebrock, Shephard 2010", _measure("semivariance_up", BPS**2),
    ),
    _of_returns(
        "semivariance_down", "bps^2", f"sum of the squares of those below 0, {_SUM}",
        "Barndorff-Nielsen, Kinnebrock, Shephard 2010", _measure("semivariance_down", BPS**2),
    ),
    _of_returns(
        "tripower_quarticity", "bps^4", f"tripower quarticity {_SUM}", "Barndorff-Nielsen, Shephard 2004",
        _measure("tripower_quarticity", BPS**4), 3,
    ),
    _of_returns(
        "realised_skewness", "1", f"realised skewness {_SUM}", "Amaya, Christoffersen, Jacobs, Vasquez 2015",
        _measure("skewness", 1.0),
    ),
    _of_returns(
        "realised_kurtosis", "1", f"realised kurtosis {_SUM}; 3 is not taken off",
        "Amaya, Christoffersen, Jacobs, Vasquez 2015", _measure("kurtosis", 1.0),
    ),
    _of_returns(
        "jump_share", "1", f"max(1 - bipower variation / realised variance, 0) {_SUM}", "Huang, Tauchen 2005",
        _jump_share, 2,
    ),
    _of_ranges(
        "garman_klass", "Garman and Klass's variance per bar (practical) over <bars> bars", "Garman, Klass 1980",
        _GARMAN_KLASS, 1,
    ),
    _of_ranges(
        "rogers_satchell", "Rogers and Satchell's variance per bar over <bars> bars", "Rogers, Satchell 1991",
        _ROGERS_SATCHELL, 1,
    ),
    _of_ranges(
        "yang_zhang", "Yang and Zhang's variance per bar over <bars> bars, gaps between bars of the session in it, and "
        "across sessions those over the night",
        "Yang, Zhang 2000", _YANG_ZHANG, 3,
    ),
    BarFeature(
        FeatureSpec(
            "bar_ewma_variance_<bars>", "bar", "bps^2", "each bar",
            "exponentially weighted mean of squared one-bar returns, half-life <bars> returns; across sessions it goes "
            "on from the session before, without a return over the night",
            "before 10 returns (<bars> where that is less), or no bar known within max_age",
            "RiskMetrics 1996",
        ),
        _ewma,
        ((30,),),
        across=True,
    ),
)  # fmt: skip
