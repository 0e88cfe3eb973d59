"""Calls of the kernels of the best level, and of the book rebuilt from level-2 updates."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels.book import best, rebuild

NARROW = ("_weighted_mid_cuda",)


def works(data: Data) -> list[Work]:
    rng, rows = data.rng("updates"), data.rows
    side = rng.choice(np.array([-1, 1], np.int8), rows)
    ticks = np.where(side > 0, 500 - rng.geometric(0.1, rows), 500 + rng.geometric(0.1, rows)).clip(0).astype(np.int64)
    size = rng.integers(0, 50, rows).astype(data.dtype)
    return [
        Work(best.imbalance, (data.quotes[1], data.quotes[3]), {"levels": 3}),
        Work(best.weighted_mid, data.quotes, {}),
        Work(best.order_flow_imbalance, (*data.quotes, data.offsets), {}),
        Work(best.best_level, (*data.quotes, data.offsets), {}),
        Work(rebuild.rebuild, (side, ticks, size, data.offsets), {"levels": 4}),
    ]
