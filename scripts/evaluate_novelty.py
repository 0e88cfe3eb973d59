"""How well repeats are told from new items, by words and by sentence embeddings.

    python scripts/evaluate_novelty.py [--data FOLDER]

Two sets of pairs (an earlier item, a later one), each labelled by reading:

pairs    tests/sentiment/repeat_pairs.tsv: 60 paraphrases, and 60 pairs of one company and topic of which the second is
         news; written for this, the hard cases on purpose. One half chose APART, REPEAT with other tweets, and the
         thresholds called "best" here (largest F1); the other half is reported.
tweets   tests/sentiment/repeat_tweets.tsv: of 1,200 tweets of eight tickers (stocknet, read from FOLDER), pairs of a
         tweet and what is most like it by either measure, drawn by strata of the cosine. Identical texts, which any
         rule finds, are left out, and so are templates that say nothing. Each pair counts for those of its stratum.

precision   share of the pairs called repeats that are; recall   share of the repeats that are called so; with 95 %
intervals of a bootstrap over pairs. "guarded" is what sentiment.repeats does: pairs of other tone or other numbers are
no repeats.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Console
from rich.table import Table

from sentiment import repeats
from sentiment.embedding import SCALE, Embedder
from sentiment.score import score
from sentiment.text import clean, words

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "sentiment"
TWEETS = "news/stocknet/tweets.csv.gz"
DRAWS = 2_000

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def written_pairs(part: str) -> pl.DataFrame:
    """earlier, later, repeat, weight of one half of the written pairs."""
    pairs = pl.read_csv(FOLDER / "repeat_pairs.tsv", separator="\t", quote_char=None)
    repeat = pl.col("kind") == "repeat"
    return pairs.filter(pl.col("part") == part).select("earlier", "later", repeat=repeat, weight=pl.lit(1.0))


def tweet_pairs(data: Path) -> pl.DataFrame:
    """The same of the tweets whose labels are kept by the hashes of their texts."""
    labels = pl.read_csv(FOLDER / "repeat_tweets.tsv", separator="\t").filter(pl.col("kind") != "template")
    tweets = pl.read_csv(data / TWEETS).filter(pl.col("ticker").is_in(labels["ticker"].unique().to_list()))
    texts = {hashlib.sha256(text.encode()).hexdigest()[:16]: text for text in tweets["text"].unique().to_list()}
    return labels.select(
        earlier=pl.col("earlier").replace_strict(texts),
        later=pl.col("later").replace_strict(texts),
        repeat=pl.col("kind") == "repeat",
        weight=pl.col("pairs") / pl.col("taken"),
    )


def similarities(pairs: pl.DataFrame, embedder: Embedder) -> dict[str, Floats]:
    """How alike the texts of each pair are by each measure, plain and as sentiment.repeats guards it."""
    every = pairs.height
    items = pl.DataFrame(
        {
            "entity": [str(row) for row in range(every)] * 2,
            "item": ["earlier"] * every + ["later"] * every,
            "known_time": pl.Series([0] * every + [1] * every).cast(pl.Datetime("ns", "UTC")),
            "text": [*pairs["earlier"], *pairs["later"]],
        }
    )
    items = items.with_columns(score=score(items["text"])["score"])
    vectors = embedder.embed([clean(text) for text in items["text"]]) / SCALE
    sets = [words(text) for text in items["text"]]
    plain = {
        "embedding": np.einsum("ij,ij->i", vectors[:every], vectors[every:]),
        "words": np.array([len(a & b) / len(a | b) for a, b in zip(sets[:every], sets[every:], strict=True)]),
    }
    found = {}
    for measure in repeats.MEASURES:
        found[measure] = plain[measure]
        guarded = repeats.compare(items, measure=measure, embedder=embedder)["novelty"][every:]
        found[f"{measure}, guarded"] = 1.0 - guarded.to_numpy()
    return found


def rates(called: Bools, repeat: Bools, weight: Floats) -> tuple[float, float]:
    """Precision and recall; NaN where there is nothing to divide by."""
    right = float(weight[called & repeat].sum())
    told, there = float(weight[called].sum()), float(weight[repeat].sum())
    return right / told if told else np.nan, right / there if there else np.nan


def best_threshold(similar: Floats, repeat: Bools) -> float:
    """Of the similarities that occur, the threshold with the largest F1."""

    def f1(threshold: float) -> float:
        called = similar >= threshold
        return float(2 * (called & repeat).sum() / (called.sum() + repeat.sum()))

    return max(np.unique(similar).tolist(), key=f1)


def interval(called: Bools, repeat: Bools, weight: Floats) -> list[str]:
    """Precision and recall, each with its 95 % interval, in words."""
    rng = np.random.default_rng(0)
    drawn = np.array(
        [rates(called[i], repeat[i], weight[i]) for i in rng.integers(len(called), size=(DRAWS, len(called)))]
    )
    shown = []
    for value, draws in zip(rates(called, repeat, weight), drawn.T, strict=True):
        low, high = np.nanquantile(draws, [0.025, 0.975]) if not np.isnan(draws).all() else (np.nan, np.nan)
        shown.append("none called" if np.isnan(value) else f"{value:.2f} ({low:.2f}-{high:.2f})")
    return shown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("TRIFUSE_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of the data sets; default TRIFUSE_DATA")
    options = parser.parse_args(arguments)
    embedder = Embedder()
    development, reported = written_pairs("development"), written_pairs("reported")
    chosen_by = similarities(development, embedder)
    wanted = (development["repeat"].to_numpy(), development["weight"].to_numpy())
    thresholds = {name: best_threshold(values, wanted[0]) for name, values in chosen_by.items()}
    sets = [("pairs, development", development, chosen_by), ("pairs, reported", reported, None)]
    if (options.data / TWEETS).is_file():
        sets.append(("tweets", tweet_pairs(options.data), None))
    else:
        print(f"no {TWEETS} in {options.data}: tweets are left out", file=sys.stderr)
    table = Table()
    for name in ("set", "repeats / pairs", "measure", "threshold", "precision", "recall"):
        table.add_column(name)
    for name, pairs, known in sets:
        found = known or similarities(pairs, embedder)
        repeat, weight = pairs["repeat"].to_numpy(), pairs["weight"].to_numpy()
        for measure, values in found.items():
            for what, threshold in (("", repeats.REPEAT), ("best ", thresholds[measure])):
                row = interval(values >= threshold, repeat, weight)
                table.add_row(name, f"{repeat.sum()} / {len(repeat)}", measure, f"{what}{threshold:.2f}", *row)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
