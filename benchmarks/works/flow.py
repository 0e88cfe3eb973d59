"""Calls of the kernels of order flow, sums over intervals, what follows a trade, and ten features in one pass."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from benchmarks.works.state import deep_books
from gpu_kernels.book import flow, fused, intervals, micro_price, resilience


def works(data: Data) -> list[Work]:
    books = deep_books(data)
    rng = data.rng("flow")
    at = (data.decision_time, data.decision_offsets)
    depth = rng.integers(0, 12, data.rows).astype(data.dtype)
    depth[rng.random(data.rows) < 0.02] = np.nan
    trade = (rng.random(data.rows) < 0.3).astype(data.dtype)
    adjustment = rng.normal(size=(3, 7))
    adjustment[2, 0] = np.nan
    return [
        Work(flow.level_flows, (*books, data.offsets), {}),
        Work(flow.weighted_flow, (*books, data.offsets), {"weights": np.array([0.5, 0.3, 0.2])}),
        Work(fused.ten_features, (*books, data.offsets), {}),
        Work(fused.ten_features, (*books, data.offsets), {"weights": np.array([0.5, 0.25, 0.25])}),
        Work(intervals.interval_sums, (data.time_ns, data.values, data.offsets, *at), {}),
        Work(intervals.interval_sums, (data.time_ns, books[1][:3], data.offsets, *at), {}),
        Work(resilience.resilience, (data.time_ns, depth, trade, data.offsets), {"horizon_ns": 3 * MINUTE}),
        Work(micro_price.micro_price, books, {"adjustment": adjustment, "tick": 1 / 64}),
    ]
