"""Calls of the technical indicators."""

import numpy as np

from benchmarks.works.data import Data, Work, with_gaps
from gpu_kernels.technical import strength, true_range


class Prices:
    """Bars whose columns have gaps of their own, and volumes of which some are 0."""

    def __init__(self, data: Data) -> None:
        rng, close = data.rng("bars"), data.close.astype(np.float64)
        rows = data.rows
        self.close = data.close
        self.open, self.high, self.low = (
            with_gaps(rng, close * factor).astype(data.dtype)
            for factor in (
                1 + 1e-3 * rng.normal(size=rows),
                1 + 2e-3 * rng.random(rows),
                1 - 2e-3 * rng.random(rows),
            )
        )
        self.volume = with_gaps(rng, rng.integers(0, 50, rows)).astype(data.dtype)


def works(data: Data) -> list[Work]:
    bars, offsets = Prices(data), data.offsets
    close, whole = (bars.close, offsets), (bars.high, bars.low, bars.close, offsets)
    return [
        Work(strength.relative_strength_index, close, {"window": 5}),
        Work(strength.relative_strength_index, close, {"window": 1}),
        Work(strength.chande_momentum_oscillator, close, {"window": 5}),
        Work(true_range.true_range, whole, {}),
        Work(true_range.average_true_range, whole, {"window": 5}),
        Work(true_range.normalised_average_true_range, whole, {"window": 2}),
    ]
