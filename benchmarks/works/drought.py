"""Calls of the kernels of liquidity near the touch and of its droughts."""

import numpy as np

from benchmarks.works.data import Data, Work
from benchmarks.works.state import deep_books
from gpu_kernels.book import drought, liquidity


def watched(data: Data) -> tuple[np.ndarray, ...]:
    """time, five measures with thin stretches and unknown rows, offsets, opens, entities: a third of the sessions each
    belong to one entity."""
    rng, rows = data.rng("watched"), data.rows
    thin = np.repeat(rng.random(rows // 20 + 1) < 0.3, 20)[:rows]
    share = np.where(thin, 0.2, 1.0)
    sizes = rng.lognormal(3.0, 0.4, (4, rows)) * share
    spread = rng.lognormal(0.0, 0.2, rows) / share
    for column in (*sizes, spread):
        column[rng.random(rows) < 0.01] = np.nan
    columns = [column.astype(data.dtype) for column in (sizes[0], sizes[1], spread, sizes[2], sizes[3])]
    opens = -rng.integers(0, 3 * 10**9, data.segments)
    thirds = [0, data.segments // 3, 2 * (data.segments // 3), data.segments]
    # seconds apart instead of minutes, so that a long segment is still a session
    return data.time_ns // 60, *columns, data.offsets, opens, np.array(thirds)


def works(data: Data) -> list[Work]:
    books = deep_books(data)
    seconds = {
        "clock_seconds": 0.5,
        "bucket_seconds": 8.0,
        "smoothing_seconds": 0.5,
        "replenishment_seconds": 1.0,
        "warm_up_seconds": 10.0,
        "hold_seconds": 1.0,
        "release_seconds": 1.0,
        "enter": 0.6,
        "leave": 0.3,
        "gate": 0.1,
        "memory": 2,
    }
    return [
        Work(liquidity.near_touch, (*books, data.offsets), {"bps": 8.0}),
        Work(liquidity.near_touch, (*(book[:3] for book in books), data.offsets), {"bps": 50.0}),
        Work(drought.drought, watched(data), seconds),
    ]
