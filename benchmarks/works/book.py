"""Calls of the kernels of the best level, and of the book rebuilt from level-2 updates."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels.book import best, rebuild, rebuild_state

NARROW = ("_weighted_mid_cuda",)


def works(data: Data) -> list[Work]:
    rng, rows = data.rng("updates"), data.rows
    side = rng.choice(np.array([-1, 1], np.int8), rows)
    ticks = np.where(side > 0, 500 - rng.geometric(0.1, rows), 500 + rng.geometric(0.1, rows)).clip(0).astype(np.int64)
    size = rng.integers(0, 50, rows).astype(data.dtype)
    ticks[rng.random(rows) < 0.05] += 5_000
    updates = (side, ticks, size, data.offsets)
    action = rng.choice(
        np.array([rebuild_state.SET, rebuild_state.SNAPSHOT, rebuild_state.GAP], np.int8), rows, p=(0.9, 0.06, 0.04)
    )
    return [
        Work(best.imbalance, (data.quotes[1], data.quotes[3]), {"levels": 3}),
        Work(best.weighted_mid, data.quotes, {}),
        Work(best.order_flow_imbalance, (*data.quotes, data.offsets), {}),
        Work(best.best_level, (*data.quotes, data.offsets), {}),
        Work(rebuild.rebuild, updates, {"levels": 4}),
        Work(
            rebuild.rebuild,
            (*updates, action, rng.random(rows) < 0.5),
            {"levels": 2, "starts_empty": False, "depth_ticks": 1},
            ("action", "last"),
        ),
        Work(rebuild.rebuild, (*updates, np.sort(rng.integers(0, rows, rows // 3))), {"levels": 1}, ("at",)),
    ]
