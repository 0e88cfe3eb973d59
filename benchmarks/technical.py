"""Technical indicators over one long series, on one thread, and over many sessions of 390 minutes, against TA-Lib."""

from collections.abc import Callable, Iterator

import numpy as np
import talib

from benchmarks.bars import SESSION, per_session
from benchmarks.harness import Comparison, Outputs
from benchmarks.ten_features import on_threads
from gpu_kernels.technical import (
    aroon,
    averages,
    channel,
    directional,
    extremes,
    flow,
    momentum,
    parabolic,
    regression,
    statistics,
    stochastic,
    strength,
    trend,
    true_range,
    volume,
)


def outputs(answer: object) -> Outputs:
    return answer if isinstance(answer, tuple) else (np.asarray(answer),)


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 400_000 if quick else 4_000_000
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-4, size=rows)))
    high, low = close * (1 + 1e-4 * rng.random(rows)), close * (1 - 1e-4 * rng.random(rows))
    traded = rng.integers(1, 1000, rows).astype(np.float64)
    offsets, sessions = np.array([0, rows]), np.append(np.arange(0, rows, SESSION), rows)

    def against(name: str, columns: int, ours: Callable[[], object], theirs: Callable[[], object]) -> Comparison:
        peers = {"TA-Lib": lambda: outputs(theirs())}
        return Comparison(name, rows, "float64", 8 * columns * rows, lambda: outputs(ours()), peers)

    spread, bars, all_four = (high, low), (high, low, close), (high, low, close, traded)
    works: list[tuple[str, tuple[np.ndarray, ...], Callable[..., object], Callable[..., object], int]] = [
        ("rsi 14", (close,), strength.relative_strength_index, talib.RSI, 1),
        ("atr 14", bars, true_range.average_true_range, talib.ATR, 1),
        ("macd 12, 26, 9", (close,), trend.moving_average_convergence_divergence, talib.MACD, 3),
        ("price oscillator 12, 26, per cent", (close,), trend.percentage_price_oscillator, talib.PPO, 1),
        ("trix 30", (close,), trend.triple_exponential_rate, talib.TRIX, 1),
        ("rate of change 10", (close,), momentum.rate_of_change, talib.ROC, 1),
        ("adx 14", bars, directional.average_directional_index, talib.ADX, 1),
        ("plus di 14", bars, directional.plus_directional_indicator, talib.PLUS_DI, 1),
        ("williams %R 14", bars, stochastic.williams_percent_range, talib.WILLR, 1),
        ("stochastic 5, 3, 3", bars, stochastic.stochastic, talib.STOCH, 2),
        ("aroon 14", spread, aroon.aroon, talib.AROON, 2),
        ("cci 14", bars, channel.commodity_channel_index, talib.CCI, 1),
        ("mfi 14", all_four, flow.money_flow_index, talib.MFI, 1),
        ("ultimate oscillator 7, 14, 28", bars, flow.ultimate_oscillator, talib.ULTOSC, 1),
        ("on-balance volume", (close, traded), volume.on_balance_volume, talib.OBV, 1),
        ("accumulation and distribution", all_four, volume.accumulation_distribution, talib.AD, 1),
        ("parabolic stop and reverse", spread, parabolic.parabolic_stop_and_reverse, talib.SAR, 1),
    ]
    works += [
        ("weighted average 30", (close,), regression.weighted_moving_average, talib.WMA, 1),
        ("double exponential average 30", (close,), averages.double_exponential_moving_average, talib.DEMA, 1),
        ("triple exponential average 30", (close,), averages.triple_exponential_moving_average, talib.TEMA, 1),
        ("T3 5", (close,), averages.tillson_moving_average, talib.T3, 1),
        ("triangular average 30", (close,), averages.triangular_moving_average, talib.TRIMA, 1),
        ("Kaufman's average 30", (close,), averages.kaufman_moving_average, talib.KAMA, 1),
        ("linear regression 14", (close,), regression.linear_regression, talib.LINEARREG, 1),
        ("standard deviation 5", (close,), statistics.standard_deviation, talib.STDDEV, 1),
        ("Bollinger bands 5", (close,), statistics.bollinger_bands, talib.BBANDS, 3),
        ("midpoint 14", (close,), extremes.midpoint, talib.MIDPOINT, 1),
        ("correlation 30", spread, statistics.correlation, talib.CORREL, 1),
    ]
    for name, columns, function, peer, made in works:
        yield against(
            name,
            len(columns) + made,
            lambda function=function, columns=columns: on_threads(1, lambda: outputs(function(*columns, offsets))),
            lambda peer=peer, columns=columns: peer(*columns),
        )
    yield against(
        "rsi 14, sessions of 390",
        2,
        lambda: strength.relative_strength_index(close, sessions),
        lambda: per_session(talib.RSI, close),
    )
    yield against(
        "adx 14, sessions of 390",
        4,
        lambda: directional.average_directional_index(*bars, sessions),
        lambda: per_session(talib.ADX, *bars),
    )
