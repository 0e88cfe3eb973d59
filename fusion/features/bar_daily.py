"""Features of daily bars, one a session: momentum, reversal, risk and trading over weeks and months. The group `daily`.

All are ratios of prices, ratios of volumes, or returns over money traded, in which the later dividends and splits that
adjusted prices hold cancel (sources.readers.daily_file). Windows count the entity's own bars.
"""

from collections.abc import Callable

import numpy as np

from fusion.asof import nanoseconds, segment_offsets
from fusion.features.bar_names import BarFeature
from fusion.features.bar_price import one_bar_returns
from fusion.features.bar_rows import Array, BarRows, Int64s
from fusion.features.ticks import BPS, ratio
from gpu_kernels import price, rolling
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.volatility import covariance

_RETURN = "bar_return_1"
_MILLION = 1e6


def lagged(values: Array, offsets: Int64s, lag: int) -> Array:
    """The value `lag` rows before, in the segment; missing at its first rows."""
    found = np.full(len(values), np.nan)
    if lag < len(values):
        found[lag:] = values[:-lag]
    position = np.arange(len(values)) - np.repeat(offsets[:-1], np.diff(offsets))
    found[position < lag] = np.nan
    return found


def _logarithm(values: Array) -> Array:
    """ln of what is above 0, else missing."""
    logged: Array = np.log(values, out=np.full(len(values), np.nan), where=values > 0)
    return logged


def _momentum(rows: BarRows, bars: int, skip: int) -> Array:
    earlier = price.log_return(rows.column("close"), rows.offsets, bars - skip)
    return rows.take(lagged(earlier, rows.offsets, skip) * BPS)


def _reversal(rows: BarRows, bars: int) -> Array:
    return rows.take(price.log_return(rows.column("close"), rows.offsets, bars) * -BPS)


def _volatility(rows: BarRows, bars: int) -> Array:
    return rows.take(rolling.std(rows.once(one_bar_returns), rows.offsets, bars) * BPS)


def _volume_surprise(rows: BarRows, bars: int) -> Array:
    volume = rows.column("volume")
    usual = lagged(rolling.mean(volume, rows.offsets, bars), rows.offsets, 1)
    return rows.take(_logarithm(ratio(volume, usual)))


def _high_distance(rows: BarRows, bars: int) -> Array:
    highest = rolling.maximum(rows.column("high"), rows.offsets, bars)
    return rows.take(_logarithm(ratio(rows.column("close"), highest)) * BPS)


def _overnight(rows: BarRows, bars: int) -> Array:
    gap = _logarithm(ratio(rows.column("open"), lagged(rows.column("close"), rows.offsets, 1)))
    return rows.take(rolling.mean(gap, rows.offsets, bars) * (bars * BPS))


def _intraday(rows: BarRows, bars: int) -> Array:
    inside = _logarithm(ratio(rows.column("close"), rows.column("open")))
    return rows.take(rolling.mean(inside, rows.offsets, bars) * (bars * BPS))


def _amihud(rows: BarRows, bars: int) -> Array:
    traded = rows.column("close") * rows.column("volume")
    impact = ratio(np.abs(rows.once(one_bar_returns)), traded)
    return rows.take(rolling.mean(impact, rows.offsets, bars) * (BPS * _MILLION))


def _with_peers(rows: BarRows, bars: int) -> covariance.Covariance:
    """Of the entity's return and the mean return of all entities, at the last <bars> decisions, half of which have both
    at least."""
    own = price.log_return(rows.column("close"), rows.offsets, 1)
    mine = rows.take(own * BPS)
    mean = rows.peers(_RETURN, mine).mean(nanoseconds(rows.grid["decision_time"]))
    offsets = segment_offsets(rows.grid.select("entity"))
    return covariance.rolling_covariance(mean, mine, offsets, bars, min_periods=max(2, bars // 2))


def _beta(rows: BarRows, bars: int) -> Array:
    return _where_seen(rows, rows.once(_with_peers, bars).beta)


def _idiosyncratic(rows: BarRows, bars: int) -> Array:
    found = rows.once(_with_peers, bars)
    left = ratio(np.maximum(found.variance_y * (1 - found.correlation**2), 0.0), found.variance_y)
    return _where_seen(rows, np.sqrt(left))


def _where_seen(rows: BarRows, values: Array) -> Array:
    return np.where(rows.index >= 0, values, np.nan)


def _shorter(bars: int, skip: int) -> str:
    return "" if skip < bars else f"what is left out, {skip} bars, is not shorter than the window, {bars}"


def _two(bars: int) -> str:
    return "" if bars > 1 else "it needs 2 bars or more"


def _feature(
    name: str,
    unit: str,
    meaning: str,
    first: str,
    source: str,
    formula: Callable[..., Array],
    standard: tuple[tuple[int, ...], ...],
    check: Callable[..., str] | None = None,
    own: str | None = None,
) -> BarFeature:
    missing = f"before the entity's bar {first}, or no bar known within max_age"
    spec = FeatureSpec(f"bar_{name}", "bar", unit, "each session", f"daily bars: {meaning}", missing, source)
    return BarFeature(spec, formula, standard, check=check, own=own)


_MORE = "<bars> + 1"
_HALF = "that gives half of the <bars> decisions a return of the entity and of another one"
FEATURES: tuple[BarFeature, ...] = (
    _feature(
        "momentum_<bars>_<skip>", "bps", "log return over the last <bars> bars but the last <skip>; 252 and 21 are the "
        "literature's 12-1 months", _MORE, "Jegadeesh, Titman 1993", _momentum, ((252, 21), (126, 21), (63, 5)),
        _shorter,
    ),
    _feature(
        "reversal_<bars>", "bps", "minus the log return over the last <bars> bars", _MORE,
        "Jegadeesh 1990; Lehmann 1990", _reversal, ((1,), (5,), (21,)),
    ),
    _feature(
        "volatility_<bars>", "bps", "standard deviation of the last <bars> one-bar log returns, over <bars> - 1", _MORE,
        "Ang, Hodrick, Xing, Zhang 2006, of total returns", _volatility, ((21,), (63,)), _two,
    ),
    _feature(
        "volume_surprise_<bars>", "1", "ln(volume / mean volume of the <bars> bars before)",
        f"{_MORE}, or without volume", "after Gervais, Kaniel, Mingelgrin 2001", _volume_surprise, ((21,), (63,)),
    ),
    _feature(
        "high_distance_<bars>", "bps", "ln(close / highest high of the last <bars> bars)", "<bars>",
        "George, Hwang 2004", _high_distance, ((252,), (63,)),
    ),
    _feature(
        "overnight_<bars>", "bps", "sum of ln(open / close of the bar before) over the last <bars> bars", _MORE,
        "Lou, Polk, Skouras 2019", _overnight, ((21,),),
    ),
    _feature(
        "intraday_<bars>", "bps", "sum of ln(close / open) over the last <bars> bars", "<bars>",
        "Lou, Polk, Skouras 2019", _intraday, ((21,),),
    ),
    _feature(
        "amihud_<bars>", "bps a million traded", "mean of |one-bar log return| / (close times volume) over the last "
        "<bars> bars", f"{_MORE}, or a bar of them without volume", "Amihud 2002", _amihud, ((21,),),
    ),
    _feature(
        "beta_<bars>", "1", "beta of the one-bar returns to their mean over the run's entities (itself among them), "
        "over the last <bars> decisions, means taken as 0", _HALF, "definition", _beta, ((63,),), _two, _RETURN,
    ),
    _feature(
        "idiosyncratic_share_<bars>", "1", "deviation of the one-bar returns that the same mean does not explain, over "
        "their deviation, over the last <bars> decisions", _HALF, "after Ang, Hodrick, Xing, Zhang 2006",
        _idiosyncratic, ((63,),), _two, _RETURN,
    ),
)  # fmt: skip
