"""Calls of the kernels of the time of day and of events."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work, cut, with_gaps
from gpu_kernels.volatility import diurnal, diurnal_fourier, event_profile, event_times

SLOTS, TYPES = 14, 3


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


def schedule(data: Data) -> tuple[np.ndarray, ...]:
    """event_type, event_time, known_time, event_offsets: events within the rows' hours, some at one time, some known
    late or never."""
    rng = data.rng("schedule")
    offsets = cut(rng, data.rows // 12 + 1, data.segments)
    count = int(offsets[-1])
    segment = np.repeat(np.arange(data.segments), np.diff(offsets))
    hours = np.maximum(np.diff(data.offsets), 1)[segment] * MINUTE
    time = (rng.random(count) * hours).astype(np.int64) // MINUTE * MINUTE
    time = time[np.lexsort([time, segment])]
    known = time - rng.integers(-5, 60, count) * MINUTE
    known[rng.random(count) < 0.05] = 2**62
    return rng.integers(0, TYPES, count), time, known, offsets


def bars(data: Data) -> tuple[np.ndarray, ...]:
    """start, time, realised, expected, offsets: bars of a minute at most, gaps, wild bars."""
    rng = data.rng("bars")
    before = np.concatenate([np.full(1, -MINUTE), data.time_ns])[: data.rows]
    before[data.offsets[:-1][data.offsets[:-1] < data.rows]] = -MINUTE
    start = np.maximum(before, data.time_ns - MINUTE)
    expected = with_gaps(rng, rng.uniform(0.5, 2.0, data.rows))
    realised = with_gaps(rng, expected * rng.normal(size=data.rows) ** 2)
    realised[rng.random(data.rows) < 0.05] *= 40.0
    return start, data.time_ns, realised.astype(data.dtype), expected.astype(data.dtype), data.offsets


def works(data: Data) -> list[Work]:
    rng = data.rng("patterns")
    table = sessions(data)
    _, slot, offsets, lengths, _, _ = table
    known = rng.uniform(0.2, 4.0, (data.segments, SLOTS))
    known[rng.random(known.shape) < 0.05] = np.nan
    level = np.where(rng.random(data.segments) < 0.2, np.nan, rng.uniform(0.0, 3.0, data.segments))
    days = {"slots": SLOTS, "classes": 3, "minimum_sessions": 1, "close_slots": 4}
    bins = {"types": TYPES, "edges_ns": tuple(MINUTE * edge for edge in (-6, -2, 0, 1, 3, 8))}
    rules = {**bins, "shrinkage": 1.0, "memory": 3, "clip": 5.0}
    curve = {**days, "pairs": 2, "half_life": 8.0, "class_shrinkage": 2.0}
    return [
        Work(diurnal.pattern, table, {**days, "half_life": 3.0, "class_shrinkage": 2.0, "smoothing": 2}),
        Work(diurnal.pattern, table, {**days, "half_life": np.inf, "cut": np.inf}),
        Work(diurnal.factor, (slot, offsets, lengths, known), {}),
        Work(diurnal.factor, (slot, offsets, lengths, known), {"ahead": 3}),
        Work(diurnal.deseasonalised, (data.values, slot, offsets, lengths, known), {}),
        Work(diurnal.relative, (data.values, slot, offsets, lengths, known, level), {}),
        Work(diurnal_fourier.pattern, table, curve),
        Work(diurnal_fourier.pattern, table, {**curve, "response": "square"}),
        Work(event_times.around, (data.time_ns, offsets, *schedule(data)), {"types": TYPES}),
        Work(event_profile.multiplier, (*bars(data), *schedule(data)), {**bins, "horizons_ns": (5 * MINUTE, 10**12)}),
        Work(event_profile.multiplier, (*bars(data), *schedule(data)), {**rules, "surprise": False}),
        Work(event_profile.profile, (*bars(data), *schedule(data)), rules),
    ]
