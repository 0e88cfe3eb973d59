"""Texts with a tone, from files of several kinds, and how they are split and kept apart.

A tone is a number: 0 negative, 1 neutral, 2 positive. Texts come as they are in the file; cleaning is the model's.
"""

import csv
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.metrics import accuracy_score, f1_score

from gpu_kernels.errors import DataError
from sentiment.embedded import TONES
from sentiment.model import SYNONYMS
from sentiment.novelty import largest_overlap
from sentiment.text import clean, words

NEGATIVE, NEUTRAL, POSITIVE = range(3)
Labelled = list[tuple[str, int]]


def read_tweets(path: Path) -> Labelled:
    """twitter_fin, cleaned; a text once; texts that were given different labels are left out."""
    tone_of = {"0": NEGATIVE, "1": POSITIVE, "2": NEUTRAL}
    tones: dict[str, set[int]] = defaultdict(set)
    first: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            text = clean(row["text"])
            key = " ".join(re.findall(r"\w+", text.lower()))
            if key:
                first.setdefault(key, text)
                tones[key].add(tone_of[row["label"]])
    return [(text, next(iter(tones[key]))) for key, text in first.items() if len(tones[key]) == 1]


def read_phrasebank(path: Path) -> Labelled:
    """Financial PhraseBank's own format (Malo et al. 2014): Latin-1, one `sentence@tone` a line."""
    lines = [line for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    return [_labelled(*line.rpartition("@")[::2], f"{path}:{number}") for number, line in enumerate(lines, 1)]


def read_fiqa(path: Path) -> Labelled:
    return [(row["text"], TONES.index(row["label"])) for row in json.loads(path.read_text())]


def read_semeval(path: Path) -> Labelled:
    """SemEval-2017 task 5, headlines: a score in [-1, 1], cut at -0.2 and 0.2 as FiQA's is."""
    rows = json.loads(path.read_text())
    return [(row["title"], 1 + (row["sentiment"] > 0.2) - (row["sentiment"] < -0.2)) for row in rows]


def read_table(path: Path, text: str, label: str) -> Labelled:
    """A CSV file's columns `text` and `label`; labels as models name them (negative, bearish, neg, ...)."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := {text, label} - set(rows.fieldnames or []):
            raise DataError(f"{path} has no column {', '.join(sorted(missing))}", allowed=str(rows.fieldnames))
        return [_labelled(row[text], row[label], f"{path}:{rows.line_num}") for row in rows]


def _labelled(text: str, label: str, place: str) -> tuple[str, int]:
    tone = SYNONYMS.get(label.strip().lower())
    if tone is None or not text.strip():
        raise DataError(
            f"{place}: label {label!r} of {text[:40]!r}", allowed="a text, and one of " + ", ".join(SYNONYMS)
        )
    return text.strip(), TONES.index(tone)


def is_taken(text: str, percent: int, salt: str) -> bool:
    """Whether the text's own hash puts it into a part of `percent`."""
    return int(hashlib.sha256(f"{salt} {text}".encode()).hexdigest(), 16) % 100 < percent


def split(texts: Labelled, percent: int, salt: str) -> tuple[Labelled, Labelled]:
    """(kept, taken): `percent` of the texts by their own hash, less those nearly equal (>= 0.8) to one that is kept."""
    kept = [pair for pair in texts if not is_taken(pair[0], percent, salt)]
    return kept, unlike([pair for pair in texts if is_taken(pair[0], percent, salt)], kept)


def folds(texts: Labelled, count: int, salt: str) -> list[tuple[Labelled, Labelled]]:
    """`count` pairs (kept, taken) that take each text once, less those nearly equal to one kept in the same fold."""
    part = [int(hashlib.sha256(f"{salt} {text}".encode()).hexdigest(), 16) % count for text, _ in texts]
    pairs = []
    for fold in range(count):
        kept = [pair for pair, own in zip(texts, part, strict=True) if own != fold]
        pairs.append((kept, unlike([pair for pair, own in zip(texts, part, strict=True) if own == fold], kept)))
    return pairs


def unlike(taken: Labelled, kept: Labelled) -> Labelled:
    """The texts of `taken` that are not nearly equal (Jaccard similarity of words >= 0.8) to one kept or before."""
    every = [text for text, _ in kept + taken]
    largest, _, _ = largest_overlap(
        every,
        np.zeros(len(every), np.int64),
        np.array([0, len(every)]),
        window_ns=0,
        capacity=None,
        limit=max(1, len(every)),
    )
    return [pair for pair, value in zip(taken, largest[len(kept) :], strict=True) if not value >= 0.8]


def largest_similarity(texts: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """(N,): the largest Jaccard similarity of words between each text and any of `others`.

    Every figure counts as one and the same word, so that a copy with other figures is still a copy.
    """
    number: dict[str, int] = {}

    def matrix(rows: Sequence[str]) -> Any:
        sets = [{"0" if word[0].isdigit() else word for word in words(text)} for text in rows]
        columns = [number.setdefault(word, len(number)) for found in sets for word in sorted(found)]
        offsets = np.cumsum([0, *(len(found) for found in sets)])
        return columns, offsets, np.diff(offsets)

    left, right = matrix(texts), matrix(others)
    a, b = (
        scipy.sparse.csr_matrix((np.ones(len(columns), np.float32), columns, offsets), (len(offsets) - 1, len(number)))
        for columns, offsets, _ in (left, right)
    )
    largest = np.zeros(len(texts))
    for start in range(0, len(texts), 500):
        common = (a[start : start + 500] @ b.T).toarray()
        union = left[2][start : start + 500, None] + right[2][None, :] - common
        largest[start : start + 500] = (common / np.maximum(union, 1)).max(axis=1, initial=0)
    return largest


def metrics(truth: list[int], guess: list[int]) -> dict[str, Any]:
    """Accuracy, macro-F1 and each tone's F1."""
    each = f1_score(truth, guess, labels=[0, 1, 2], average=None, zero_division=0)
    return {
        "texts": len(truth),
        "accuracy": round(float(accuracy_score(truth, guess)), 4),
        "macro_f1": round(float(each.mean()), 4),
        "f1": {tone: round(float(value), 4) for tone, value in zip(TONES, each, strict=True)},
    }


def tone_counts(pairs: Labelled) -> dict[str, int]:
    counted = Counter(tone for _, tone in pairs)
    return {tone: counted[k] for k, tone in enumerate(TONES)}
