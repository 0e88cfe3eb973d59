"""Calls of the kernels of order events."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels.orders import event, replay


def events(data: Data, name: str, orders: int) -> tuple[np.ndarray, ...]:
    """Events of a few orders at a few levels, so that queues are long and every problem comes up: time, order, action,
    side, price_ticks, lots, offsets."""
    rng, rows = data.rng(name), data.rows
    kind = rng.choice(7, rows, p=[0.002, 0.03, 0.008, 0.45, 0.11, 0.2, 0.2]).astype(np.int8)
    order = rng.integers(0, orders, rows) * 2**40
    order[rng.random(rows) < 0.05] = event.UNNAMED_ORDER
    # an order keeps its level mostly
    ticks = 500 + order % 3 + (order >> 40) % 5 + (rng.random(rows) < 0.1)
    side = np.where((order >> 40) % 2, 1, -1) * np.where(rng.random(rows) < 0.02, -1, 1)
    lots = rng.integers(0, 30, rows)
    bad = rng.random(rows) < 0.01
    side[bad], ticks[bad], lots[bad] = 0, -1, -5
    return data.time_ns, order, kind, side.astype(np.int8), ticks, lots, data.offsets


def works(data: Data) -> list[Work]:
    return [
        Work(replay.replay, events(data, "orders", 9), {}),
        Work(replay.replay, events(data, "more_orders", max(9, data.rows // 3)), {"starts_empty": False}),
    ]
