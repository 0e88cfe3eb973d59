"""Calls of the kernels that look at rows from decisions, and of the regime filter."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from gpu_kernels import align, decay, hmm, vintages

NARROW = ("_take_cuda", "_ages_cuda", "_best_cuda", "_gather_map_cuda", "_last_cuda", "_count_cuda", "_falls_cuda")


def works(data: Data) -> list[Work]:
    rng = data.rng("align")
    at = (data.decision_time, data.decision_offsets)
    late = (data.time_ns - rng.integers(0, 5, data.rows) * MINUTE).astype(np.int64)
    emission = rng.normal(size=(data.rows, 3))
    emission[rng.random(data.rows) < 0.05] = np.nan
    transition = np.full((3, 3), 0.05) + np.eye(3) * 0.85
    observed = rng.normal(size=(data.rows, 2))
    observed[rng.random(data.rows) < 0.05, 1] = np.nan
    correlated = np.array([[1.0, 0.4], [0.4, 0.8]]) * np.array([1.0, 2.0, 0.5])[:, None, None]
    two = (  # two models of three states
        np.array([[[-1.0, 0.0], [0.0, 1.0], [1.0, -1.0]], [[0.0, 0.0], [0.5, 0.5], [2.0, 2.0]]]),
        np.stack([correlated, correlated[::-1]]),
        np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]),
        np.stack([transition, transition[::-1]]),
        rng.integers(0, 2, len(data.offsets) - 1),
    )
    return [
        Work(align.gather_map, (data.time_ns, late, data.offsets, *at), {"max_age_ns": 6 * MINUTE}),
        Work(align.take, (data.values, rng.integers(-1, data.rows, data.rows)), {}),
        Work(align.ages, (data.time_ns, late, at[0], rng.integers(-1, data.rows, len(at[0]))), {}),
        Work(
            vintages.history,
            (data.time_ns, late, data.values, data.offsets, *at),
            {"max_age_ns": 6 * MINUTE, "back": 2, "window": 3},
        ),
        Work(decay.last_index, (data.time_ns, data.offsets, *at), {}),
        Work(decay.last_index, (data.time_ns, data.offsets, *at), {"lag_ns": -3 * MINUTE}),
        Work(decay.count_within, (data.time_ns, data.offsets, *at), {"window_ns": 7 * MINUTE}),
        Work(decay.decayed_sum, (data.time_ns, data.values, data.offsets, *at), {"half_life_ns": 9 * MINUTE}),
        Work(hmm.forward_filter, (emission, np.array([0.2, 0.3, 0.5]), transition, data.offsets), {}),
        Work(hmm.gaussian_filter, (observed, *two, data.offsets), {}),
    ]
