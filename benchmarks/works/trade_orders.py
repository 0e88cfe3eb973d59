"""Calls of the kernels of arrivals, lives and cancels of orders."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from benchmarks.works.trade import Trades
from gpu_kernels.trade import arrivals, cancels, lives


def works(data: Data) -> list[Work]:
    trades, rng, rows = Trades(data), data.rng("trade_orders"), data.rows
    at = (data.decision_time, data.decision_offsets)
    bid = 500 + rng.integers(-9, 10, rows)
    ask = bid + rng.integers(-1, 4, rows)
    flow = (trades.time, trades.ticks, trades.side, trades.offsets, at[0], bid, ask, at[1])
    age = np.where(rng.random(rows) < 0.1, -1, (10.0 ** rng.uniform(0, 11, rows)).astype(np.int64))
    ends = (trades.time, rng.integers(3, 7, rows).astype(np.int8), age, trades.lots, trades.offsets)
    side = rng.choice(np.array([-1, 1], np.int8), rows)
    action = rng.choice(np.array([0, 1, 2], np.int8), rows, p=[0.97, 0.015, 0.015])
    updates = (data.time_ns, 500 + rng.integers(-3, 4, rows), trades.lots, side, action, data.offsets)
    hits = (data.decision_time, 500 + rng.integers(-3, 4, rows), rng.integers(0, 20, rows), trades.side)
    return [
        Work(arrivals.arrival_asymmetry, flow, {"bands": (1, 4, 9), "half_life_ns": 5 * MINUTE}),
        Work(arrivals.arrival_asymmetry, flow, {"bands": (0, 2), "half_life_ns": MINUTE, "memory_ticks": 7}),
        Work(lives.order_lives, (*ends, *at), {"half_life_ns": 9 * MINUTE}),
        Work(lives.order_lives, (*ends, *at), {"half_life_ns": MINUTE // 9}),
        Work(cancels.inferred_cancels, (*updates, *hits, data.decision_offsets), {"patience_ns": 4 * MINUTE}),
    ]
