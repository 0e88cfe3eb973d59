"""Calls of the kernels of spoofing: what placed what is taken away, the score, the cleaned book."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from gpu_kernels.book import origins as book_origins
from gpu_kernels.book import rebuild, spoofing
from gpu_kernels.orders import origins as order_origins
from gpu_kernels.trade import volume


def works(data: Data) -> list[Work]:
    rng, rows, time, offsets = data.rng("spoofing"), data.rows, data.time_ns, data.offsets
    side = rng.choice(np.array([-1, 1], np.int8), rows)
    ticks = np.where(side > 0, 500 - rng.integers(0, 7, rows), 501 + rng.integers(0, 7, rows)).astype(np.int64)
    lots = np.where(rng.random(rows) < 0.4, 0, rng.choice([5, 9, 60, 400], rows)).astype(np.int64)
    action = rng.choice(np.array([0, 1, 2], np.int8), rows, p=[0.97, 0.015, 0.015])
    fell = rng.integers(0, 60, (2, rows))
    gone = (np.where(rng.random(rows) < 0.5, 400, fell[0]), fell[1])
    events = rng.choice(np.array([1, 2, 3, 4, 5, 6], np.int8), rows, p=[0.02, 0.02, 0.5, 0.06, 0.3, 0.1])
    order = rng.integers(-1, 12, rows)
    bids, bid_sizes, asks, ask_sizes = rebuild.rebuild(side, ticks, lots, offsets, 4)
    sizes = [bid_sizes.astype(data.dtype), ask_sizes.astype(data.dtype)]
    for array in sizes:
        array[:, rng.random(rows) < 0.01] = np.nan
    placed = np.where(rng.random(rows) < 0.6, lots, 0)
    origin = np.maximum(np.arange(rows) - rng.integers(1, 9, rows), -1)
    origin[(origin >= 0) & (side[origin] != side)] = -1
    taken = np.stack([np.where(rng.random(rows) < 0.7, 400, 20), rng.choice([0, 0, 3, 90], rows)])
    trades = (data.decision_time, rng.integers(0, 300, rows), rng.choice(np.array([-1, 0, 1], np.int8), rows))
    books = (bids, sizes[0], asks, sizes[1], offsets)
    arrays = (time, ticks, placed, origin, taken, side, *books, *trades, data.decision_offsets)
    spans = {"min_age_ns": MINUTE, "max_age_ns": 7 * MINUTE, "before_ns": 2 * MINUTE, "half_life_ns": 30 * MINUTE}
    flow = (*trades, data.decision_offsets, time, offsets)
    return [
        Work(volume.aggressor_volume, flow, {"half_life_ns": 20 * MINUTE, "lag_ns": 3 * MINUTE}),
        Work(order_origins.order_origins, (time, order, ticks // 4, lots, events, offsets), {}),
        Work(book_origins.level_origins, (time, ticks, lots, *gone, side, action, offsets), {"memory_ns": 9 * MINUTE}),
        Work(spoofing.spoofing, arrays, {**spans, "together_ns": 2 * MINUTE, "away_ticks": 2}),
        Work(spoofing.spoofing, arrays, {**spans, "together_ns": 0, "away_ticks": 1, "large": 0.1, "opposite": 0.3}),
    ]
