"""Technical indicators over one long series, and over many sessions of 390 minutes, against TA-Lib."""

from collections.abc import Callable, Iterator

import numpy as np
import talib

from benchmarks.bars import SESSION, per_session
from benchmarks.harness import Comparison, Outputs
from gpu_kernels.technical import averages, extremes, regression, statistics, strength, true_range


def outputs(answer: object) -> Outputs:
    return answer if isinstance(answer, tuple) else (np.asarray(answer),)


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 400_000 if quick else 4_000_000
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-4, size=rows)))
    high, low = close * (1 + 1e-4 * rng.random(rows)), close * (1 - 1e-4 * rng.random(rows))
    offsets, sessions = np.array([0, rows]), np.append(np.arange(0, rows, SESSION), rows)

    def against(name: str, columns: int, ours: Callable[[], object], theirs: Callable[[], object]) -> Comparison:
        peers = {"TA-Lib": lambda: outputs(theirs())}
        return Comparison(name, rows, "float64", 8 * columns * rows, lambda: outputs(ours()), peers)

    bars = high, low, close
    yield against("rsi 14", 2, lambda: strength.relative_strength_index(close, offsets), lambda: talib.RSI(close, 14))
    yield against("atr 14", 4, lambda: true_range.average_true_range(*bars, offsets), lambda: talib.ATR(*bars, 14))
    of_close = {
        "weighted average 30": (regression.weighted_moving_average, talib.WMA, 30),
        "double exponential average 30": (averages.double_exponential_moving_average, talib.DEMA, 30),
        "triple exponential average 30": (averages.triple_exponential_moving_average, talib.TEMA, 30),
        "T3 5": (averages.tillson_moving_average, talib.T3, 5),
        "triangular average 30": (averages.triangular_moving_average, talib.TRIMA, 30),
        "Kaufman's average 30": (averages.kaufman_moving_average, talib.KAMA, 30),
        "linear regression 14": (regression.linear_regression, talib.LINEARREG, 14),
        "standard deviation 20": (statistics.standard_deviation, talib.STDDEV, 20),
        "Bollinger bands 20": (statistics.bollinger_bands, talib.BBANDS, 20),
        "midpoint 14": (extremes.midpoint, talib.MIDPOINT, 14),
    }
    for name, (ours, theirs, window) in of_close.items():
        yield against(
            name,
            4 if "bands" in name else 2,
            lambda ours=ours, window=window: ours(close, offsets, window),
            lambda theirs=theirs, window=window: theirs(close, window),
        )
    yield against(
        "correlation 30",
        3,
        lambda: statistics.correlation(high, low, offsets, 30),
        lambda: talib.CORREL(high, low, 30),
    )
    yield against(
        "rsi 14, sessions of 390",
        2,
        lambda: strength.relative_strength_index(close, sessions),
        lambda: per_session(lambda x: talib.RSI(x, 14), close),
    )
