"""Features of bars: oscillators, trend and direction of technical analysis, as TA-Lib makes them. Part of the group
`technical`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fusion.features.bar_names import BarFeature
from fusion.features.bar_rows import Array, BarRows, warm
from fusion.features.bar_technical import at_least, technical
from fusion.features.ticks import BPS, ratio
from gpu_kernels import rolling
from gpu_kernels.technical import (
    aroon,
    bar_price,
    channel,
    directional,
    flow,
    parabolic,
    stochastic,
    trend,
    volume,
)

_BARS = ("high", "low", "close")


def _prices(rows: BarRows, names: tuple[str, ...] = _BARS) -> list[Array]:
    return [rows.column(name) for name in names]


def _of(kernel: Callable[..., Any], names: tuple[str, ...] = _BARS) -> Callable[..., Array]:
    """The values of a kernel of (columns, offsets, windows)."""

    def formula(rows: BarRows, *windows: int, across: bool) -> Array:
        return rows.take(kernel(*_prices(rows, names), rows.segments(across=across), *windows))

    return formula


def _macd(rows: BarRows, fast: int, slow: int, signal: int, across: bool) -> tuple[Array, ...]:
    close = rows.column("close")
    lines = trend.moving_average_convergence_divergence(close, rows.segments(across=across), fast, slow, signal)
    return tuple(ratio(line, close) * BPS for line in lines)


def _macd_line(place: int) -> Callable[..., Array]:
    return lambda rows, fast, slow, signal, across: rows.take(rows.once(_macd, fast, slow, signal, across)[place])


def _stochastic(rows: BarRows, bars: int, slow: int, signal: int, across: bool) -> tuple[Array, Array]:
    high, low, close = _prices(rows)
    return stochastic.stochastic(high, low, close, rows.segments(across=across), bars, slow, signal)


def _stochastic_line(place: int) -> Callable[..., Array]:
    return lambda rows, bars, slow, signal, across: rows.take(rows.once(_stochastic, bars, slow, signal, across)[place])


def _stochastic_rsi(rows: BarRows, strength: int, bars: int, signal: int, *, across: bool) -> Array:
    close = rows.column("close")
    return rows.take(stochastic.stochastic_strength(close, rows.segments(across=across), strength, bars, signal)[0])


def _chaikin(rows: BarRows, fast: int, slow: int, *, across: bool) -> Array:
    (high, low, close), traded, offsets = _prices(rows), rows.column("volume"), rows.segments(across=across)
    line = volume.accumulation_distribution_oscillator(high, low, close, traded, offsets, fast, slow)
    return rows.take(ratio(line, rolling.mean(traded, offsets, max(fast, slow))))


def _parabolic_gap(rows: BarRows, *, across: bool) -> Array:
    high, low, close = _prices(rows)
    stop = parabolic.parabolic_stop_and_reverse(high, low, rows.segments(across=across))
    return rows.take((ratio(close, np.maximum(stop, 0.0)) - 1) * BPS)


def _slower(fast: int, slow: int, *_: int) -> str:
    return at_least(2)(fast, slow) or ("" if fast < slow else "the fast window is shorter than the slow one")


_MACD = "exponential means of the close, of <fast> and <slow> bars, over the close"
_APPEL = "Appel 1979; TA-Lib's MACD"
_SIGNAL = warm("<slow> + <signal> - 1")
_WILDER = "Wilder 1978"
_NEXT = warm("<bars> + 1")
FEATURES: tuple[BarFeature, ...] = (
    technical(
        "macd_<fast>_<slow>_<signal>", "bps", f"difference of {_MACD}", _SIGNAL, _APPEL, _macd_line(0), ((12, 26, 9),),
        _slower,
    ),
    technical(
        "macd_histogram_<fast>_<slow>_<signal>", "bps",
        f"difference of {_MACD}, less its exponential mean of <signal> bars", _SIGNAL, _APPEL, _macd_line(2),
        ((12, 26, 9),), _slower,
    ),
    technical(
        "ppo_<fast>_<slow>", "per cent", "100 (fast - slow) / slow of exponential means of the close", warm("<slow>"),
        "TA-Lib's PPO", _of(trend.percentage_price_oscillator, ("close",)), (), _slower,
    ),
    technical(
        "trix_<bars>", "per cent", "change from bar to bar of a triple exponential mean of the close",
        warm("3 <bars> - 1"), "Hutson 1983; TA-Lib's TRIX", _of(trend.triple_exponential_rate, ("close",)), (),
    ),
    technical(
        "adx_<bars>", "1", "average directional index, in 0..100", warm("2 <bars>"), _WILDER,
        _of(directional.average_directional_index), ((14,),), at_least(2),
    ),
    technical(
        "adxr_<bars>", "1", "mean of the average directional index and of that <bars> - 1 bars before",
        warm("3 <bars> - 1"), _WILDER, _of(directional.average_directional_index_rating), (), at_least(2),
    ),
    technical(
        "plus_di_<bars>", "per cent", "plus directional indicator", _NEXT, _WILDER,
        _of(directional.plus_directional_indicator), ((14,),), at_least(2),
    ),
    technical(
        "minus_di_<bars>", "per cent", "minus directional indicator", _NEXT, _WILDER,
        _of(directional.minus_directional_indicator), ((14,),), at_least(2),
    ),
    technical(
        "stochastic_<bars>_<slow>_<signal>", "1", "slow stochastic oscillator %K, in 0..100",
        warm("<bars> + <slow> + <signal> - 2"), "Lane 1984; TA-Lib's STOCH", _stochastic_line(0), ((14, 3, 3),),
    ),
    technical(
        "stochastic_signal_<bars>_<slow>_<signal>", "1", "its %D: the mean of %K over <signal> bars",
        warm("<bars> + <slow> + <signal> - 2"), "Lane 1984; TA-Lib's STOCH", _stochastic_line(1), (),
    ),
    technical(
        "stochastic_rsi_<strength>_<bars>_<signal>", "1",
        "stochastic oscillator %K over <bars> bars of the relative strength index of <strength> bars, in 0..100",
        warm("<strength> + <bars> + <signal> - 1"), "Chande, Kroll 1994; TA-Lib's STOCHRSI", _stochastic_rsi, (),
    ),
    technical(
        "williams_r_<bars>", "1", "Williams' %R of <bars> bars, in -100..0", warm("<bars>"), "TA-Lib's WILLR",
        _of(stochastic.williams_percent_range), ((14,),),
    ),
    technical(
        "cci_<bars>", "1", "commodity channel index of <bars> bars", warm("<bars>"), "Lambert 1980; TA-Lib's CCI",
        _of(channel.commodity_channel_index), ((20,),), at_least(2),
    ),
    technical(
        "aroon_<bars>", "1", "Aroon oscillator: up less down of <bars> bars, in -100..100", _NEXT,
        "Chande 1995; TA-Lib's AROONOSC", _of(aroon.aroon_oscillator, ("high", "low")), ((25,),),
    ),
    technical(
        "ultimate_<short>_<middle>_<long>", "1", "Williams' ultimate oscillator of three windows, in 0..100",
        warm("<long> + 1"), "Williams 1985; TA-Lib's ULTOSC", _of(flow.ultimate_oscillator), ((7, 14, 28),),
    ),
    technical(
        "mfi_<bars>", "1", "money flow index of <bars> bars, in 0..100", _NEXT,
        "Quong, Soudack 1989; TA-Lib's MFI", _of(flow.money_flow_index, (*_BARS, "volume")), ((14,),), at_least(2),
    ),
    technical(
        "balance_of_power", "1", "(close - open) / (high - low) of the bar; 0 without a range",
        "no bar known within max_age", "TA-Lib's BOP",
        _of(bar_price.balance_of_power, ("open", *_BARS)), ((),),
    ),
    technical(
        "chaikin_<fast>_<slow>", "1",
        "Chaikin's oscillator over the mean volume of as many bars as the longer window has", warm("<slow>"),
        "Achelis 1995; TA-Lib's ADOSC", _chaikin, ((3, 10),), at_least(2),
    ),
    technical(
        "parabolic_gap", "bps", "close / parabolic stop (0.02 to 0.2) - 1: above 0 in a rise", warm("2"), _WILDER,
        _parabolic_gap, ((),),
    ),
)  # fmt: skip
