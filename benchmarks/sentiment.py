"""Scoring of real headlines of Reuters (`TRIFUSE_DATA`) against transformers' own pipeline with the same model.

The pipeline gets what the embedded model reads, cleaned beforehand at no cost to it, and the classifier as transformers
loads it: once as one calls it (a list of texts, batch_size=1), once in batches of 32. Labels are compared first; all
must be equal. Work without a peer: the same in bfloat16, and texts that the cache knows.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.harness import Comparison, Outputs
from sentiment.cache import TONE, TextCache
from sentiment.embedded import TONES
from sentiment.text import clean

REAL = "news/headlines_dated/reuters_headlines.csv.gz"


def headlines(count: int) -> list[str] | None:
    """Distinct headlines drawn from the file; None where it is not there."""
    path = Path(os.environ.get("TRIFUSE_DATA", "../shared/data")) / REAL
    if not path.is_file():
        return None
    frame = pl.read_csv(path, has_header=False, new_columns=["date", "text"])
    texts = frame["text"].drop_nulls().unique(maintain_order=True)
    texts = texts.filter(texts.map_elements(lambda text: bool(clean(text)), pl.Boolean))
    return texts.sample(count, seed=5).to_list()


def best_of(scores: pl.DataFrame) -> np.ndarray:
    """The most likely of the three tones of each row."""
    return scores.select(TONES).to_numpy().argmax(1)


def comparisons(quick: bool) -> Iterator[Comparison]:
    count = 200 if quick else 5_000
    texts = headlines(count)
    if texts is None:
        sys.stderr.write(f"sentiment: skipped, no {REAL} in TRIFUSE_DATA\n")
        return
    from sentiment.score import Scorer

    moved = sum(len(text) for text in texts) + 8 * len(TONES) * count
    exact = Scorer(precision="float32")
    peers = pipelines(texts)
    for precision in ("float32", "bfloat16"):
        scorer = exact if precision == "float32" else Scorer(precision=precision)
        if precision != "float32":
            unequal = int((best_of(scorer.score(texts)) != best_of(exact.score(texts))).sum())
            name, others = f"labels of headlines, {unequal} of them not float32's", {}
        else:
            name, others = "labels of headlines, none unequal", peers

        def ours(scorer: Scorer = scorer) -> Outputs:
            return (best_of(scorer.score(texts)),)

        yield Comparison(name, count, precision, moved, ours, others)
    yield from cached(texts, 2_000 if quick else 200_000)


def pipelines(texts: list[str]) -> dict[str, Any]:
    """The peers: each gives the labels as numbers of TONES."""
    import transformers

    from sentiment import embedded

    tokenizer, classifier = embedded.load("cpu")
    pipe = transformers.pipeline("text-classification", model=classifier, tokenizer=tokenizer, device="cpu")
    read = [clean(text) for text in texts]

    def labels(**options: int) -> Outputs:
        return (np.array([TONES.index(answer["label"]) for answer in pipe(read, **options)]),)

    return {"pipeline, as called": labels, "pipeline, batches of 32": lambda: labels(batch_size=32)}


def cached(texts: list[str], count: int) -> Iterator[Comparison]:
    """Texts of which each is in the cache: nothing is scored."""
    from sentiment.score import Scorer

    many = [f"{texts[k % len(texts)]} {k}" for k in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.sqlite"
        scorer = Scorer(precision="float32", cache=path)
        with TextCache(path, scorer.sha256) as cache:
            cache.put(many, np.array([(0.2, 0.3, 0.5, False, 1)] * count, TONE))
        moved = sum(len(text) for text in many) + TONE.itemsize * count
        yield Comparison(
            "rescoring what the cache knows", count, "float32", moved, lambda: (best_of(scorer.score(many)),)
        )
