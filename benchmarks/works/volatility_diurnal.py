"""Calls of the kernels of the time of day and of events."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels.volatility import diurnal, diurnal_fourier

SLOTS = 14


def sessions(data: Data) -> tuple[np.ndarray, ...]:
    """proxy, slot, offsets, lengths, day_class, entities: wild rows, rows of no slot, short sessions, some that teach
    nothing; an entity of a few, one of none, one
    of the most."""
    rng, rows, segments = data.rng("diurnal"), data.rows, data.segments
    slot = rng.integers(-1, SLOTS + 1, rows)
    proxy = (1.0 + (slot - SLOTS / 2) ** 2) * rng.normal(size=rows) ** 2
    proxy *= np.where(rng.random(rows) < 0.03, 50.0, 1.0)
    proxy[rng.random(rows) < 0.03] = np.nan
    proxy[rng.random(rows) < 0.05] = 0.0
    proxy[rng.random(rows) < 0.01] = -1.0
    lengths = np.where(np.arange(segments) % 4 == 3, SLOTS - 5, SLOTS)
    day_class = np.arange(segments) % 3 - (np.arange(segments) % 5 == 4)
    few = segments // 4
    return proxy.astype(data.dtype), slot, data.offsets, lengths, day_class, np.array([0, few, few, segments])


def works(data: Data) -> list[Work]:
    rng = data.rng("patterns")
    table = sessions(data)
    _, slot, offsets, lengths, _, _ = table
    known = rng.uniform(0.2, 4.0, (data.segments, SLOTS))
    known[rng.random(known.shape) < 0.05] = np.nan
    days = {"slots": SLOTS, "classes": 3, "minimum_sessions": 1, "close_slots": 4}
    curve = {**days, "pairs": 2, "half_life": 8.0, "class_shrinkage": 2.0}
    return [
        Work(diurnal.pattern, table, {**days, "half_life": 3.0, "class_shrinkage": 2.0, "smoothing": 2}),
        Work(diurnal.pattern, table, {**days, "half_life": np.inf, "cut": np.inf}),
        Work(diurnal.factor, (slot, offsets, lengths, known), {}),
        Work(diurnal.factor, (slot, offsets, lengths, known), {"ahead": 3}),
        Work(diurnal.deseasonalised, (data.values, slot, offsets, lengths, known), {}),
        Work(diurnal_fourier.pattern, table, curve),
        Work(diurnal_fourier.pattern, table, {**curve, "response": "square"}),
    ]
