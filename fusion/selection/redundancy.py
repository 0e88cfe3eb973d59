"""Which features say the same: clusters by weighted rank correlation.

    distance = 1 - |r|,   r the correlation of two features' grades over a sample of the window's rows where both are
                          present, each weighted by its session's probability of the regime

Average linkage, cut at 1 - max_rank_correlation. The sample has the same rows of a session at every refit, up to 64
evenly spread, thinned to 8,192 rows of a window: the error of a correlation of 0.9 is then 0.003. Grades are cut to 11
bits and weights to 12, so that all sums are whole numbers below 2^53, exact whatever order a BLAS adds them in.

Source: Spearman (1904); Sokal & Michener (1958) for average linkage.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from fusion.selection.grades import MISSING

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_OF_SESSION = 64
_ROWS = 8_192
_GRADE_STEPS = 1 << 10
_WEIGHT_STEPS = 1 << 12


def sampled_rows(offsets: Integers) -> tuple[Integers, Integers]:
    """The sample's rows, and the first of each session among them."""
    counts = np.diff(offsets)
    taken = np.minimum(counts, _OF_SESSION)
    first = np.concatenate([[0], np.cumsum(taken)]).astype(np.int64)
    number = np.arange(first[-1]) - np.repeat(first[:-1], taken)
    spread = (2 * number + 1) * np.repeat(counts, taken) // np.repeat(2 * taken, taken)
    return (np.repeat(offsets[:-1], taken) + spread).astype(np.int64), first


@dataclass(frozen=True)
class Similarity:
    """Rank correlations of features in one regime of one refit, made when they are asked for.

    grades   (features, rows) of the whole sample
    rows     which of them are used
    weights  (those,)
    """

    grades: NDArray[np.int16]
    rows: Integers
    weights: Floats

    @classmethod
    def of(cls, grades: NDArray[np.int16], first: Integers, window: Integers, weights: Floats) -> "Similarity":
        """Of the sessions in the window: first (sessions + 1,) row of each; weights: of those in the window."""
        counts = (first[1:] - first[:-1])[window]
        rows = (
            np.repeat(first[window], counts) + np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        )
        thin = slice(None, None, max(1, -(-len(rows) // _ROWS)))
        return cls(grades, rows[thin].astype(np.int64), np.repeat(weights, counts)[thin])

    def read(self, features: Sequence[int]) -> NDArray[np.int16]:
        """(features, rows)."""
        return self.grades[np.ix_(np.asarray(features, dtype=np.int64), self.rows)]

    def among(self, one: Sequence[int], two: Sequence[int]) -> Floats:
        """(len(one), len(two)) correlations; 0 where undefined."""
        largest = self.weights.max(initial=0.0)
        w = np.round(self.weights / largest * _WEIGHT_STEPS) if largest > 0 else self.weights
        x, x_there = _cut(self.read(one))
        y, y_there = _cut(self.read(two))
        n, xy = _product(x_there, w, y_there), _product(x, w, y)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_x, mean_y = _product(x, w, y_there) / n, _product(x_there, w, y) / n
            square_x, square_y = _product(x * x, w, y_there) / n, _product(x_there, w, y * y) / n
            variance = (square_x - mean_x * mean_x) * (square_y - mean_y * mean_y)
            found: Floats = np.nan_to_num((xy / n - mean_x * mean_y) / np.sqrt(variance), posinf=0.0, neginf=0.0)
        return np.clip(found, -1.0, 1.0)


def _cut(grades: NDArray[np.int16]) -> tuple[Floats, Floats]:
    """Grades as whole numbers of fewer steps, 0 where missing, and which are not missing; one row for all features
    where none is."""
    there = grades != MISSING
    cut = np.where(there, np.round(grades.astype(np.float64) * (_GRADE_STEPS / -MISSING)), 0.0)
    return cut, (there[:1] if there.all() else there).astype(np.float64)


def _product(one: Floats, weights: Floats, two: Floats) -> Floats:
    found: Floats = (one * weights) @ two.T
    return found


def clusters(similarity: Floats, limit: float) -> Integers:
    """The number of each feature's cluster, from 0, in the order of their first features.

    similarity: (features, features) symmetric; features closer than `limit` come together.
    """
    n = len(similarity)
    if n < 2:
        return np.zeros(n, dtype=np.int64)
    distance = 1.0 - np.abs((similarity + similarity.T) / 2)
    np.fill_diagonal(distance, 0.0)
    # a little less than the limit: features exactly so close stay apart, as do copies where the limit is 1
    tree = linkage(squareform(distance, checks=False), method="average")
    number = fcluster(tree, 1.0 - limit - 1e-12, criterion="distance")
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    found: Integers = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    return found
