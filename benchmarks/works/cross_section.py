"""Calls of the correlations across the entities of a decision."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels.cross_section import information_coefficients


def works(data: Data) -> list[Work]:
    rng = data.rng("cross_section")
    # ties of some scores and returns, and holes
    score = rng.normal(size=data.rows).round(1).astype(data.dtype)
    returns = (1e-3 * rng.normal(size=(3, data.rows)).round(2)).astype(data.dtype)
    score[rng.random(data.rows) < 0.1] = np.nan
    returns[rng.random(returns.shape) < 0.1] = np.inf
    returns[2] = 0.5
    arrays = (score, returns, data.offsets)
    return [Work(information_coefficients, arrays, {"min_rows": least}) for least in (2, 5)]
