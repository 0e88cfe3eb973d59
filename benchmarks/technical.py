"""Technical indicators with TA-Lib's default parameters over one long series, on one thread, and over many sessions of
390 minutes, against TA-Lib."""

from collections.abc import Iterator

import numpy as np
import talib

from benchmarks.bars import SESSION, per_session
from benchmarks.harness import Comparison, Outputs
from benchmarks.ten_features import on_threads
from gpu_kernels.technical.names import TA_LIB


def outputs(answer: object) -> Outputs:
    return answer if isinstance(answer, tuple) else (np.asarray(answer),)


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 400_000 if quick else 4_000_000
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(scale=1e-4, size=rows)))
    bars = {
        "open": np.append(close[:1], close[:-1]),
        "high": close * (1 + 1e-4 * rng.random(rows)),
        "low": close * (1 - 1e-4 * rng.random(rows)),
        "close": close,
        "volume": rng.integers(1, 1000, rows).astype(np.float64),
    }
    offsets, sessions = np.array([0, rows]), np.append(np.arange(0, rows, SESSION), rows)

    def columns(name: str) -> list[np.ndarray]:
        return [bars[column] for column in TA_LIB[name].columns]

    def ours(name: str, offsets: np.ndarray) -> Outputs:
        return outputs(TA_LIB[name].function(*columns(name), offsets, **TA_LIB[name].parameters))

    for name, function in ((name, getattr(talib, name)) for name in TA_LIB):
        made = len(ours(name, offsets))
        yield Comparison(
            name,
            rows,
            "float64",
            8 * (len(columns(name)) + made) * rows,
            lambda name=name: on_threads(1, lambda: ours(name, offsets)),
            {"TA-Lib": lambda name=name, function=function: outputs(function(*columns(name)))},
        )
    for name, function in (("RSI", talib.RSI), ("ADX", talib.ADX)):
        yield Comparison(
            f"{name}, sessions of {SESSION}",
            rows,
            "float64",
            8 * (len(columns(name)) + 1) * rows,
            lambda name=name: ours(name, sessions),
            {"TA-Lib": lambda name=name, function=function: per_session(function, *columns(name))},
        )
