"""Calls of the kernels of dated items: decayed moments, moments of a span, attention."""

from itertools import pairwise

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from gpu_kernels import attention, decayed_moments, window_moments


def versions(rng: np.random.Generator, time: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, ...]:
    """since, earlier, later of rows of which one in four is a newer version of an item before it."""
    since, earlier, later = time.copy(), np.full(len(time), -1), np.full(len(time), -1)
    for first, last in pairwise(offsets.tolist()):
        newest: list[int] = []
        for row in range(first, last):
            if newest and rng.random() < 0.25:
                # mostly of a recent one
                item = max(0, len(newest) - 1 - int(rng.exponential(2.0)))
                earlier[row], since[row] = newest[item], since[newest[item]]
                later[newest[item]] = row
                newest[item] = row
            else:
                newest.append(row)
    return since, earlier, later


def works(data: Data) -> list[Work]:
    rng = data.rng("news")
    since, earlier, later = versions(rng, data.time_ns, data.offsets)
    weight = rng.choice([0.0, 0.1, 0.4, 1.0], data.rows, p=[0.05, 0.25, 0.2, 0.5]).astype(data.dtype)
    at = (data.decision_time, data.decision_offsets)
    after = data.decision_time - rng.choice([3, 25, 300], data.rows) * MINUTE
    fixed = np.maximum.accumulate(data.decision_time // (40 * MINUTE)) * 40 * MINUTE
    # sessions of two minutes in three, some of them half as long
    opens = np.arange(0, max(3, data.rows)) * 3 * MINUTE
    closes = opens + np.where(np.arange(len(opens)) % 7 == 3, 1, 2) * MINUTE
    kinds = np.where(np.arange(len(opens)) % 5 == 4, 1, 0)
    session = np.searchsorted(opens, data.decision_time, side="right") - 1
    items = (data.time_ns, since, earlier, later, weight, data.values, data.offsets)
    spans = (data.time_ns, since, later, weight, data.values, data.offsets)
    sessions = (opens, closes, kinds)
    return [
        Work(decayed_moments.decayed_moments, (*items, *at), {"half_lives_ns": (4 * MINUTE, 90 * MINUTE)}),
        Work(window_moments.window_moments, (*spans, after, *at), {"below": -0.2}),
        Work(window_moments.window_moments, (*spans, fixed - 60 * MINUTE, *at), {"below": 0.5}),
        Work(
            attention.attention,
            (data.time_ns, data.offsets, at[0], session, at[1], *sessions),
            {"window_ns": 2 * MINUTE, "sessions": 4, "minimum": 2},
        ),
    ]
