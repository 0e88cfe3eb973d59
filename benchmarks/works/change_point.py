"""Calls of the detector of changes."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels import change_point


def works(data: Data) -> list[Work]:
    rng = data.rng("change_point")
    level = np.cumsum(
        np.where(rng.random((2, data.rows)) < 0.03, rng.normal(scale=4.0, size=(2, data.rows)), 0.0), axis=1
    )
    values = level + rng.normal(size=(2, data.rows))
    values[rng.random(values.shape) < 0.02] = np.nan
    values[rng.random(values.shape) < 0.005] = np.inf
    law = {"hazard": 0.02, "weight": 0.5, "shape": 1.5}
    one, two = np.array([0.5]), np.array([1.0, 0.5])
    return [
        Work(
            change_point.run_lengths,
            (values, np.array([0.0, 1.0]), two, data.offsets),
            law | {"within": 5, "hypotheses": 64},
        ),
        # so few that runs are given up
        Work(
            change_point.run_lengths, (values[:1], np.zeros(1), one, data.offsets), law | {"within": 1, "hypotheses": 7}
        ),
    ]
