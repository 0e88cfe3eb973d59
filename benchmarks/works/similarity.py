"""Calls of the similarity of vectors to earlier ones."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from gpu_kernels.similarity import largest_similarity


def works(data: Data) -> list[Work]:
    rng = data.rng("similarity")
    vectors = np.round(rng.normal(scale=900, size=(data.rows, 12))).astype(np.int16)
    # copies, near copies and vectors of zeros, as texts come
    for row in np.flatnonzero(rng.random(data.rows) < 0.4).tolist():
        vectors[row] = vectors[max(0, row - int(rng.integers(1, 5)))]
        if rng.random() < 0.5:
            vectors[row] += rng.integers(-60, 61, vectors.shape[1]).astype(np.int16)
    vectors[rng.random(data.rows) < 0.1] = 0
    vectors[:1] = -(2**15)
    arrays = (vectors, data.time_ns, data.offsets)
    rules = (
        {"window_ns": 3 * MINUTE, "capacity": 2},
        {"window_ns": 3 * MINUTE, "capacity": 2, "either": False},
        {"window_ns": 0, "capacity": None},
        {"window_ns": None, "capacity": 5, "either": False},
        {"window_ns": 30 * MINUTE, "capacity": 1, "limit": 7},
    )
    value = np.where(rng.random(data.rows) < 0.1, np.nan, rng.uniform(-1, 1, data.rows))
    marks = rng.choice([0, 1, 2, 3, -(2**63)], data.rows)
    opposed = (
        (*arrays, value, marks),
        {"window_ns": 9 * MINUTE, "capacity": 3, "apart": 0.6, "threshold": 0.9},
        ("value", "marks"),
    )
    plain = [Work(largest_similarity, arrays, {**rule, "threshold": 0.9}) for rule in rules]
    return [Work(largest_similarity, *opposed), *plain]
