"""How much each kept feature of a regime is used by a small LightGBM fitted on all of them.

    gain = the feature's share of the loss that all splits took away, 50 trees of 7 leaves, on the grades of features
           and label in the rows of `fusion.selection.redundancy`'s sample, weighted by the regime's probability

Trees do not change under a monotone transform, so that grades serve as well as values. One thread and a fixed seed: the
same bits every time. Gain favours features with many distinct values, and noise takes some: it is no test.

Source: Ke et al. (2017).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusion.selection.grades import MISSING
from fusion.selection.redundancy import Similarity

Floats = NDArray[np.float64]

_SETTINGS = {
    "objective": "regression",
    "num_leaves": 7,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}
_TREES = 50
_FEWEST_ROWS = 100


def gains(sample: Similarity, label: NDArray[np.int16], kept: Sequence[int]) -> Floats:
    """(len(kept),) shares that sum to 1, or are all 0 where nothing was split.

    Missing values: a missing feature goes its own way at a split; all NaN with fewer than 100 labelled rows that weigh
    anything.
    """
    used = (label != MISSING) & (sample.weights > 0)
    if np.count_nonzero(used) < _FEWEST_ROWS or not kept:
        return np.full(len(kept), np.nan)
    import lightgbm

    grades = sample.read(kept)[:, used].T
    x = np.where(grades == MISSING, np.nan, grades.astype(np.float64))
    y, w = label[used].astype(np.float64) / -MISSING, sample.weights[used]
    model = lightgbm.train(_SETTINGS, lightgbm.Dataset(x, y, weight=w / w.mean()), _TREES)
    found = np.asarray(model.feature_importance("gain"), dtype=np.float64)
    total = found.sum()
    return found / total if total > 0 else found
