"""Technical indicators over one long series, and over many sessions of 390 minutes, against TA-Lib."""

from collections.abc import Callable, Iterator

import numpy as np
import talib

from benchmarks.bars import SESSION, per_session
from benchmarks.harness import Comparison, Outputs
from gpu_kernels.technical import strength, true_range


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
    yield against(
        "rsi 14, sessions of 390",
        2,
        lambda: strength.relative_strength_index(close, sessions),
        lambda: per_session(lambda x: talib.RSI(x, 14), close),
    )
