"""Calls of the tests for jumps."""

import numpy as np

from benchmarks.works.data import Data, Work, with_gaps
from gpu_kernels.volatility import jumps


def works(data: Data) -> list[Work]:
    rng, rows = data.rng("jumps"), data.rows
    robust = rng.gamma(3.0, size=rows)
    variance = robust * rng.lognormal(0.1, 0.3, size=rows)
    quarticity = with_gaps(rng, robust**2 * rng.lognormal(0.0, 0.3, size=rows))
    robust[::17] = 0.0
    table = rng.integers(0, 400, rows), *(x.astype(data.dtype) for x in (variance, robust, quarticity))
    spikes = np.where(rng.random(rows) < 0.03, 9.0, 1.0).astype(data.dtype)
    returns, factor = data.values * spikes, with_gaps(rng, 0.5 + rng.random(rows)).astype(data.dtype)
    numbers = np.diff(data.offsets) // 2
    robusts = (with_gaps(rng, rng.gamma(3.0, size=data.segments)) * numbers).astype(data.dtype)
    return [
        Work(jumps.bns_test, table, {"alpha": 0.05}),
        Work(jumps.bns_test, table, {"form": "log", "estimator": "min_rv", "maximum": False, "alpha": 0.2}),
        Work(jumps.bns_test, table, {"form": "linear", "estimator": "med_rv", "two_sided": True, "alpha": 1.0}),
        Work(jumps.lee_mykland, (returns, data.offsets), {"observations": 30, "window": 12, "alpha": 0.05}),
        Work(jumps.lee_mykland, (returns, data.offsets, factor), {"observations": 10, "window": 3}, ("periodicity",)),
        Work(
            jumps.lee_mykland,
            (returns, data.offsets, factor),
            {"observations": 3, "window": 20, "include_tested": True, "alpha": 0.5},
            ("periodicity",),
        ),
        Work(jumps.lee_mykland, (returns, data.offsets), {"observations": 5}),
        Work(jumps.threshold_split, (returns, data.offsets, numbers, robusts), {"multiple": 2.0}),
        Work(
            jumps.threshold_split,
            (returns, data.offsets, numbers, robusts, factor),
            {"rate": 0.5},
            ("periodicity",),
        ),
    ]
