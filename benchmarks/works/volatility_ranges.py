"""Calls of the variances from ranges."""

import numpy as np

from benchmarks.works.data import Data, Work, with_gaps
from gpu_kernels.volatility import ranges


def works(data: Data) -> list[Work]:
    rng = data.rng("ranges")
    close = data.close
    opening = (close * np.exp(rng.normal(scale=1e-3, size=data.rows))).astype(data.dtype)
    # some bars so wide that the logarithm's series ends
    wide = np.where(rng.random(data.rows) < 0.02, 0.3, 1e-3)
    high = with_gaps(rng, np.maximum(opening, close) * (1.0 + wide * rng.random(data.rows))).astype(data.dtype)
    low = (np.minimum(opening, close) * (1.0 - wide * rng.random(data.rows))).astype(data.dtype)
    bars = (opening, high, low, close, data.offsets)
    return [
        *(Work(ranges.range_variances, bars, {"window": window}) for window in (1, 2, 20)),
        Work(ranges.range_variances, bars, {"window": 300, "min_periods": 1, "garman_klass": "full", "ddof": 0}),
        Work(ranges.parkinson, (high, low, data.offsets), {"window": 10}),
        Work(ranges.session_prices, bars, {}),
    ]
