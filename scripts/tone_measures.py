"""How good tones are: measures by class, correlations and calibration, with intervals by resampling texts.

Texts that are nearly equal are one observation: a resample draws whole clusters of texts with replacement (the cluster
bootstrap; Davison and Hinkley 1997, 3.8). Every measure is a function of sums over clusters, so a resample costs one
row of a matrix product, and all models of a set see the same resamples, which makes differences paired. Intervals are
the 2.5 % and 97.5 % percentiles.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from gpu_kernels.errors import DataError
from sentiment.embedded import TONES

NEARLY_EQUAL = 0.6
ECE_BINS, CURVE_BINS = 15, 10
FLOOR_DRAWS = 200
Interval = list[float]
"""value, low, high"""


def clusters(texts: Sequence[str], threshold: float = NEARLY_EQUAL) -> np.ndarray:
    """(N,) int: the cluster of each text; texts of which a chain of pairs is nearly equal share one.

    Nearly equal: Jaccard similarity of the sets of words of at least `threshold`, every figure being one and the same
    word. A text without words is a cluster of its own.
    """
    count = CountVectorizer(
        binary=True,
        dtype=np.float32,
        token_pattern=r"\w+",
        preprocessor=lambda text: re.sub(r"\d[\d.,]*", "0", text.lower()),
    )
    try:
        matrix = count.fit_transform(texts)
    except ValueError:  # no words at all
        return np.arange(len(texts))
    size = np.asarray(matrix.sum(axis=1)).ravel()
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    for start in range(0, len(texts), 1000):
        common = (matrix[start : start + 1000] @ matrix.T).tocoo()
        row = common.row + start
        near = common.data >= threshold * (size[row] + size[common.col] - common.data)
        rows.append(row[near])
        columns.append(common.col[near])
    pairs = np.concatenate(rows), np.concatenate(columns)
    graph = coo_matrix((np.ones(len(pairs[0]), np.bool_), pairs), (len(texts), len(texts)))
    return connected_components(graph, directed=False)[1]


@dataclass(frozen=True)
class Resamples:
    """Draws of clusters: `weights` (resamples, clusters), how often each is in, and the `cluster` of each text."""

    cluster: np.ndarray
    weights: np.ndarray

    @classmethod
    def draw(cls, cluster: np.ndarray, count: int, seed: int) -> "Resamples":
        if not len(cluster):
            raise DataError("a set without texts", allowed="at least one text")
        size = int(cluster.max()) + 1
        weights = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=count)
        return cls(cluster, weights.astype(np.float64))

    def estimate(self, rows: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """`measure` of the sums of `rows` (N, F), over all texts and over each resample (first axis)."""
        totals = np.zeros((self.weights.shape[1], rows.shape[1]))
        np.add.at(totals, self.cluster, rows)
        return measure(totals.sum(axis=0)[None])[0], measure(self.weights @ totals)

    def interval(self, rows: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> Interval:
        return bounds(*self.estimate(rows, measure))


def bounds(value: Any, resampled: np.ndarray) -> Interval:
    """[value, 2.5 %, 97.5 %]; resamples in which the measure is not defined are left out."""
    defined = resampled[np.isfinite(resampled)]
    low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (np.nan, np.nan)
    return [round(float(number), 4) for number in (value, low, high)]


# --- tones ------------------------------------------------------------------------------------------------------------


def confusion_rows(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """(N, 9): a one at 3 * truth + guess."""
    return np.eye(9)[3 * np.asarray(truth) + np.asarray(guess)]


def accuracy(sums: np.ndarray) -> np.ndarray:
    return sums[:, [0, 4, 8]].sum(axis=1) / sums.sum(axis=1)


def by_tone(sums: np.ndarray) -> np.ndarray:
    """(R, 3, 3): precision, recall and F1 of each tone; 0 where nothing was guessed so, or nothing is so."""
    table = sums.reshape(-1, 3, 3)
    hit = np.diagonal(table, axis1=1, axis2=2)
    true, guessed = table.sum(axis=2), table.sum(axis=1)
    parts = [
        hit / np.maximum(guessed, 1e-12),
        hit / np.maximum(true, 1e-12),
        2 * hit / np.maximum(true + guessed, 1e-12),
    ]
    return np.stack(parts, axis=1)


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """The mean of the three tones' F1."""
    return by_tone(sums)[:, 2].mean(axis=1)


MEASURES = {"accuracy": accuracy, "macro_f1": macro_f1}


def tone_measures(truth: np.ndarray, guess: np.ndarray, resamples: Resamples) -> dict[str, Any]:
    """Accuracy, macro-F1, and each tone's precision, recall and F1, with intervals; confusion: rows are the truth."""
    rows = confusion_rows(truth, guess)
    each = resamples.estimate(rows, by_tone)
    return {
        **{name: resamples.interval(rows, measure) for name, measure in MEASURES.items()},
        "by_tone": {
            tone: {
                name: bounds(each[0][part, k], each[1][:, part, k])
                for part, name in enumerate(("precision", "recall", "f1"))
            }
            for k, tone in enumerate(TONES)
        },
        "confusion": rows.sum(axis=0).astype(int).reshape(3, 3).tolist(),
    }


def differences(truth: np.ndarray, guess: np.ndarray, rival: np.ndarray, resamples: Resamples) -> dict[str, Interval]:
    """`guess` minus `rival`, in each measure, by resamples of the same texts."""
    found = {}
    for name, measure in MEASURES.items():
        ours = resamples.estimate(confusion_rows(truth, guess), measure)
        theirs = resamples.estimate(confusion_rows(truth, rival), measure)
        found[name] = bounds(ours[0] - theirs[0], ours[1] - theirs[1])
    return found


# --- scores against a continuous label --------------------------------------------------------------------------------


def _pearson(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = sums.T
    spread = (n * xx - x * x) * (n * yy - y * y)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-9, (n * xy - x * y) / np.sqrt(np.maximum(spread, 0)), np.nan)


def _cosine(sums: np.ndarray) -> np.ndarray:
    _, _, _, xx, yy, xy = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(xx * yy > 0, xy / np.sqrt(xx * yy), np.nan)


def agreement(scores: np.ndarray, values: np.ndarray, resamples: Resamples) -> dict[str, Interval]:
    """Pearson's correlation and the cosine (SemEval-2017 task 5's own measure) of scores and a continuous label."""
    x, y = np.asarray(scores, np.float64), np.asarray(values, np.float64)
    rows = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    return {"correlation": resamples.interval(rows, _pearson), "cosine": resamples.interval(rows, _cosine)}


# --- calibration ------------------------------------------------------------------------------------------------------


def _bin_rows(chance: np.ndarray, came: np.ndarray, bins: int) -> np.ndarray:
    """(N, 3 * bins): of each text, in its bin of equal width, one, the probability, and whether it came true."""
    at = np.minimum((chance * bins).astype(int), bins - 1)
    rows = np.zeros((len(chance), 3, bins))
    rows[np.arange(len(chance)), :, at] = np.stack([np.ones_like(chance), chance, came], axis=1)
    return rows.reshape(len(chance), -1)


def _expected_error(sums: np.ndarray) -> np.ndarray:
    n, chance, came = np.moveaxis(sums.reshape(len(sums), 3, -1), 1, 0)
    return np.abs(chance - came).sum(axis=1) / n.sum(axis=1)


def _frequencies(sums: np.ndarray) -> np.ndarray:
    n, chance, came = np.moveaxis(sums.reshape(len(sums), 3, -1), 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([chance / n, came / n], axis=1)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 1] / sums[:, 0]


def _curve(chance: np.ndarray, came: np.ndarray, resamples: Resamples) -> list[dict[str, Any]]:
    rows = _bin_rows(chance, came, CURVE_BINS)
    here, there = resamples.estimate(rows, _frequencies)
    count = rows.sum(axis=0)[:CURVE_BINS]
    return [
        {
            "texts": int(count[k]),
            "probability": round(float(here[0, k]), 4),
            "frequency": bounds(here[1, k], there[:, 1, k]),
        }
        for k in range(CURVE_BINS)
        if count[k]
    ]


def calibration(truth: np.ndarray, probabilities: np.ndarray, resamples: Resamples, seed: int) -> dict[str, Any]:
    """How far probabilities can be taken at their word.

    ece            expected calibration error of the likeliest tone, 15 bins of equal width (Guo et al. 2017)
    ece_floor      the mean of that measure were the probabilities exact: it is never 0 on finitely many texts
    overconfident  mean probability of the likeliest tone minus its share of hits
    brier          mean squared distance of the three probabilities from the truth (Brier 1950), in [0, 2];
                   brier_shares the same for the set's own shares of tones as a forecast
    curves         ten bins of equal width: of the likeliest tone, and of each tone's own probability
    """
    # rounded probabilities need not sum to 1
    chance = probabilities / probabilities.sum(axis=1, keepdims=True)
    sure, hit = chance.max(axis=1), (chance.argmax(axis=1) == truth).astype(np.float64)
    is_tone = np.eye(3)[truth]
    ones = np.ones(len(truth))
    draw = np.random.default_rng(seed)
    floor = [
        _expected_error(
            _bin_rows(sure, (draw.random(len(sure)) < sure).astype(np.float64), ECE_BINS).sum(axis=0)[None]
        )[0]
        for _ in range(FLOOR_DRAWS)
    ]
    shares = is_tone.mean(axis=0)
    return {
        "ece": resamples.interval(_bin_rows(sure, hit, ECE_BINS), _expected_error),
        "ece_floor": round(float(np.mean(floor)), 4),
        "overconfident": resamples.interval(np.stack([ones, sure - hit], axis=1), _ratio),
        "brier": resamples.interval(np.stack([ones, ((chance - is_tone) ** 2).sum(axis=1)], axis=1), _ratio),
        "brier_shares": round(float(((shares - is_tone) ** 2).sum(axis=1).mean()), 4),
        "curves": {
            "likeliest": _curve(sure, hit, resamples),
            **{tone: _curve(chance[:, k], is_tone[:, k], resamples) for k, tone in enumerate(TONES)},
        },
    }
