"""Calls of the exponentially weighted variance and of the covariances of two entities."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work, with_gaps
from gpu_kernels.volatility import covariance, ewma, noise, pairs, realised_kernel


def works(data: Data) -> list[Work]:
    rng = data.rng("covariance")
    x = data.values
    y = with_gaps(rng, 0.6 * np.nan_to_num(x) + rng.normal(size=data.rows)).astype(data.dtype)
    rows = len(data.decision_time)
    price = (50.0 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=rows)))).astype(data.dtype)
    # both clocks by the minute, with ties: many intervals begin and end together
    ticks = (data.time_ns, data.close, data.offsets, data.decision_time, price, data.decision_offsets)
    return [
        Work(ewma.ewma_variance, (x, data.offsets), {"decay": 0.94}),
        Work(ewma.ewma_variance, (x, data.offsets), {"half_life": 5, "warm_up": 3, "include_current": False}),
        Work(ewma.ewma_variance, (x, data.offsets), {"decay": 0.8, "initial": "mean", "warm_up": 4}),
        Work(ewma.ewma_variance, (x, data.offsets), {"decay": 0.8, "initial": 0.5, "include_current": False}),
        Work(covariance.session_covariance, (x, y, data.offsets), {}),
        Work(covariance.rolling_covariance, (x, y, data.offsets), {"window": 20}),
        Work(covariance.rolling_covariance, (x, y, data.offsets), {"window": 300, "min_periods": 2}),
        Work(covariance.hayashi_yoshida, ticks, {"every": 3}),
        Work(covariance.hayashi_yoshida, ticks, {"lag_ns": (-MINUTE, 0, MINUTE // 2)}),
        Work(pairs.refresh_returns, ticks, {}),
        Work(
            pairs.polarised_covariance,
            (x, y, data.offsets),
            {"measure": realised_kernel.realised_kernel, "bandwidth": 3, "flat_top": True},
        ),
        Work(pairs.polarised_covariance, (x, y, data.offsets), {"measure": noise.subsampled_variance, "every": 2}),
    ]
