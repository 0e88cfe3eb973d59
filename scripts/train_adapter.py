"""Train the adapter of the embedded text model, and write it with its record.

    python scripts/train_adapter.py [--data FOLDER] [--out FOLDER]     train, write adapter.safetensors and record.json
    python scripts/train_adapter.py --check                            train again and compare with the one there
    python scripts/train_adapter.py --folds 5                          cross-validate on the tweets; into the record
    python scripts/train_adapter.py --look "why"                       evaluate the one there on other corpora; counted
    python scripts/train_adapter.py --train my.csv:text:label more.csv:title:tone bank.txt --out my_model
                                                                       on texts of your own: a plain Hugging Face model

Trained on texts whose licence allows it: the labelled financial tweets of twitter_fin (card: MIT) and sentences of our
own (training_sentences.py). Financial PhraseBank (CC BY-NC-SA), FiQA and SemEval (licence unclear) are evaluated on and
never trained on; sentences of our own that resemble one of theirs are left out. Everything is chosen by the development
part: a tenth of the training tweets and a part of our own patterns. The adapter that is written then learns from both.
`--look` counts in the record each time those corpora, or the tweets held out, are looked at. Your own files are CSV
columns named after colons, or PhraseBank's format (`sentence@label` lines in a .txt file); how you may use what was
trained on them is their licence's matter.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import training_sentences
from adapter_training import Recipe, State, cooled, lighten, logits_of, one_thread, temperature, train
from safetensors.torch import load_file
from tone_corpora import (
    Labelled,
    folds,
    largest_similarity,
    metrics,
    read_fiqa,
    read_phrasebank,
    read_semeval,
    read_table,
    read_tweets,
    split,
    tone_counts,
)
from transformers import AutoTokenizer

from gpu_kernels.errors import ArgumentError, DataError, TrifuseError
from sentiment import embedded, lora
from sentiment.text import clean

HOLD_OUT_PERCENT, DEVELOPMENT_PERCENT = 15, 10
METRIC_SENTENCES = 600  # an epoch
RESEMBLES = 0.6
CHOSEN = Recipe(learning_rate=7e-4, head_learning_rate=7e-4, consistency=1.0, epochs=5)
TWEETS = "news/twitter_fin/sent_train.csv"
READERS = {
    "PhraseBank 50Agree": ("news/fpb/Sentences_50Agree.txt", read_phrasebank),
    "PhraseBank AllAgree": ("news/fpb/Sentences_AllAgree.txt", read_phrasebank),
    "FiQA": ("news/fiqa/fiqa_3class.json", read_fiqa),
    "SemEval": ("news/fiqa/SemEval2017Task5Headlines.json", read_semeval),
}
Epochs = list[list[Labelled]]


def evaluated(data: Path) -> dict[str, Labelled]:
    """The corpora that are evaluated on and never trained on."""
    return {name: reader(existing(data, file)) for name, (file, reader) in READERS.items()}


def existing(data: Path, file: str) -> Path:
    if not (data / file).is_file():
        raise DataError(f"no file {data / file}", hint="name the folder of the data by --data or TRIFUSE_DATA")
    return data / file


# --- training ---------------------------------------------------------------------------------------------------------


def plain_classifier() -> Any:
    """The encoder under a pooler and a classifier that have learnt nothing yet."""
    encoder = load_file(embedded.encoder_folder() / embedded.WEIGHTS)
    hidden = encoder["pooler.dense.bias"].shape[0]
    state = {f"bert.{name}": tensor for name, tensor in encoder.items()}
    head = {"classifier.weight": torch.zeros(lora.TONES, hidden), "classifier.bias": torch.zeros(lora.TONES)}
    return embedded.classifier(state | head)


def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(embedded.encoder_folder(), local_files_only=True)


def trained(epochs: Epochs, recipe: Recipe) -> State:
    """The adapter's tensors, rounded to the float16 that they are kept in."""
    tensors = train(lighten(plain_classifier()), tokenizer(), epochs, recipe)
    return {name: tensor.half() for name, tensor in tensors.items()}


def merged(tensors: State, recipe: Recipe) -> Any:
    adapter = lora.Adapter(
        {name: tensor.float() for name, tensor in tensors.items()}, recipe.alpha / recipe.rank, embedded.WEIGHTS_SHA256
    )
    encoder = load_file(embedded.encoder_folder() / embedded.WEIGHTS)
    return embedded.classifier(lora.merge(encoder, adapter, base_sha256=embedded.WEIGHTS_SHA256)).eval()


def judged(classifier: Any, texts: Labelled) -> tuple[torch.Tensor, dict[str, Any]]:
    """Logits and figures of a classifier on labelled texts, cleaned as the embedded model cleans them."""
    logits = logits_of(classifier, tokenizer(), [clean(text) for text, _ in texts])
    tones = torch.tensor([tone for _, tone in texts])
    found = metrics(tones.tolist(), logits.argmax(1).tolist())
    return logits, found | {"cross_entropy": round(float(torch.nn.functional.cross_entropy(logits, tones)), 4)}


def epochs_of(
    tweets: Labelled, patterns: list[training_sentences.Pattern], recipe: Recipe, others: Sequence[str]
) -> tuple[Epochs, int]:
    """Each epoch's texts, and how many sentences of our own were left out because they resemble one of `others`.

    The tweets come again in every epoch, our own patterns with other names and figures.
    """
    epochs: Epochs = []
    left_out = 0
    for epoch in range(recipe.epochs):
        own = training_sentences.fill(patterns, recipe.sentences, seed=1000 * recipe.seed + epoch)
        own += training_sentences.metric_sentences(METRIC_SENTENCES, seed=1000 * recipe.seed + 500 + epoch)
        own = [(text, tone) for text, tone in ((clean(text), tone) for text, tone in own) if text]
        likeness = largest_similarity([text for text, _ in own], others)
        kept = [pair for pair, value in zip(own, likeness, strict=True) if value < RESEMBLES]
        left_out += len(own) - len(kept)
        epochs.append([tweets, kept])
    return epochs, left_out


def fit(data: Path, recipe: Recipe) -> tuple[State, dict[str, Any]]:
    """The adapter and its record, without any figure of the corpora that are evaluated on."""
    tweets, _ = split(read_tweets(existing(data, TWEETS)), HOLD_OUT_PERCENT, "hold-out")
    core, development = split(tweets, DEVELOPMENT_PERCENT, "validation")
    patterns = training_sentences.read()
    kept, held = training_sentences.split_patterns(patterns, DEVELOPMENT_PERCENT)
    others = [clean(text) for texts in evaluated(data).values() for text, _ in texts]
    parts = {"tweets": development, "patterns": training_sentences.fill(held, 3, seed=recipe.seed)}

    first = merged(trained(epochs_of(core, kept, recipe, others)[0], recipe), recipe)
    figures = {name: judged(first, texts) for name, texts in parts.items()}
    logits = torch.cat([found for found, _ in figures.values()])
    cool = temperature(logits, torch.tensor([tone for texts in parts.values() for _, tone in texts]))
    print(
        f"development: { ({name: found['macro_f1'] for name, (_, found) in figures.items()}) }, temperature {cool:.3f}"
    )

    epochs, left_out = epochs_of(tweets, patterns, recipe, others)
    tensors = cooled(trained(epochs, recipe), cool)
    counts = tone_counts([pair for sources in epochs for pair in sources[1]])
    return tensors, {
        "trained_through": str(embedded.TRAINED_THROUGH),
        "training_data": "twitter_fin (tweets on companies, undated, of 2019 and 2020 by what they name; card: MIT); "
        "sentences of our own with invented names and figures (scripts/training_sentences; Apache-2.0); "
        "the encoder all-MiniLM-L6-v2, published in 2021 (Apache-2.0)",
        "licence": "Apache-2.0",
        "encoder": {"package": embedded.PACKAGE, "weights_sha256": embedded.WEIGHTS_SHA256},
        "trained_on": {
            "twitter_fin": {"texts": len(tweets), "tones": tone_counts(tweets)},
            "own sentences": {
                "patterns": len(patterns),
                "pattern_tones": tone_counts([(pattern.text, pattern.tone) for pattern in patterns]),
                "sentences_in_all_epochs": sum(counts.values()),
                "tones": counts,
                "left_out_as_they_resemble_an_evaluation_sentence": left_out,
            },
        },
        "files": hashes(data),
        "recipe": asdict(recipe),
        "temperature": round(cool, 4),
        "development": {name: found for name, (_, found) in figures.items()},
        "versions": {name: version(name) for name in ("torch", "transformers", "scikit-learn", "numpy")}
        | {"python": platform.python_version()},
    }


def hashes(data: Path) -> dict[str, dict[str, str]]:
    used = {TWEETS: "training, development and hold-out"} | {file: "evaluation" for file, _ in READERS.values()}
    own = sorted(training_sentences.FOLDER.glob("*.tsv"))
    return {
        file: {"sha256": embedded.file_sha256(existing(data, file)), "used_for": use} for file, use in used.items()
    } | {
        f"scripts/training_sentences/{path.name}": {"sha256": embedded.file_sha256(path), "used_for": "training"}
        for path in own
    }


def cross_validate(data: Path, recipe: Recipe, count: int) -> dict[str, Any]:
    """Each tweet's tone from an adapter that has not seen it, nor one nearly equal to it: `count` trainings.

    All tweets of the file take part, the ones held out elsewhere too: nothing is chosen by these figures.
    """
    patterns = training_sentences.read()
    others = [clean(text) for texts in evaluated(data).values() for text, _ in texts]
    truth: list[int] = []
    guess: list[int] = []
    each = []
    for kept, taken in folds(read_tweets(existing(data, TWEETS)), count, "folds"):
        classifier = merged(trained(epochs_of(kept, patterns, recipe, others)[0], recipe), recipe)
        logits, found = judged(classifier, taken)
        truth += [tone for _, tone in taken]
        guess += logits.argmax(1).tolist()
        each.append(found)
        print(
            f"fold {len(each)} of {count}: accuracy {found['accuracy']:.3f}  macro-F1 {found['macro_f1']:.3f}",
            flush=True,
        )
    return {"folds": count, "all": metrics(truth, guess), "each": each}


def look(data: Path, out: Path, note: str) -> dict[str, Any]:
    """Figures of the adapter in `out` on everything that nothing may be chosen by."""
    _, hold_out = split(read_tweets(existing(data, TWEETS)), HOLD_OUT_PERCENT, "hold-out")
    _, classifier = embedded.load("cpu", out / "adapter.safetensors")
    results = {}
    for name, texts in ({"twitter_fin hold-out": hold_out} | evaluated(data)).items():
        results[name] = judged(classifier, texts)[1]
        print(
            f"{name:22} accuracy {results[name]['accuracy']:.3f}  macro-F1 {results[name]['macro_f1']:.3f}", flush=True
        )
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "why": note,
        "adapter_sha256": embedded.file_sha256(out / "adapter.safetensors"),
        "results": results,
    }


# --- texts of your own ------------------------------------------------------------------------------------------------


def read_own(name: str) -> Labelled:
    """FILE.csv:text column:label column, or a file in PhraseBank's format."""
    path, *columns = name.rsplit(":", 2)
    if not Path(path).is_file():
        raise DataError(f"no file {path}", allowed="FILE.csv:TEXT:LABEL, or a file of `sentence@label` lines")
    if len(columns) == 2:
        return read_table(Path(path), *columns)
    if columns:
        raise ArgumentError(f"--train {name}", allowed="FILE.csv:TEXT:LABEL, or a file of `sentence@label` lines")
    return read_phrasebank(Path(path))


def fit_own(files: list[str], out: Path, recipe: Recipe) -> dict[str, Any]:
    """Train on the texts of these files and write a plain Hugging Face model into `out`.

    A tenth of the texts is held out; the temperature is fitted on it and its figures are told.
    """
    texts = list(dict.fromkeys(pair for file in files for pair in read_own(file)))
    core, development = split(texts, DEVELOPMENT_PERCENT, "validation")
    if not core or not development:
        raise DataError(f"{len(texts)} different texts", allowed="some dozens at least, of which a tenth is held out")
    tensors = trained([[core]] * recipe.epochs, recipe)
    logits = logits_of(merged(tensors, recipe), tokenizer(), [text for text, _ in development])
    tones = torch.tensor([tone for _, tone in development])
    classifier = merged(cooled(tensors, temperature(logits, tones)), recipe)
    classifier.save_pretrained(out, safe_serialization=True)
    tokenizer().save_pretrained(out)
    record = {
        "files": {Path(file.split(":")[0]).name: embedded.file_sha256(Path(file.split(":")[0])) for file in files},
        "trained_on": {"texts": len(core), "tones": tone_counts(core)},
        "encoder": {"package": embedded.PACKAGE, "weights_sha256": embedded.WEIGHTS_SHA256},
        "recipe": asdict(recipe),
        "development": metrics(tones.tolist(), logits.argmax(1).tolist()),
    }
    write_json(out / "record.json", record)
    return record


# --- the command ------------------------------------------------------------------------------------------------------


def write_json(path: Path, record: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(temporary, path)


def compare(tensors: State, record: dict[str, Any], out: Path) -> bool:
    """Whether a training gave what is there: the same bits, or (another processor) the same figures within 2 points."""
    there = lora.read(out / "adapter.safetensors").tensors
    furthest = max(float((tensors[name].float() - there[name]).abs().max()) for name in there)
    known = json.loads((out / "record.json").read_text())["development"]
    apart = max(abs(known[name]["macro_f1"] - record["development"][name]["macro_f1"]) for name in known)
    print(f"furthest weight {furthest:.2g} apart; macro-F1 of a development part {apart:.4f} apart")
    return furthest == 0 or apart <= 0.02


def run(arguments: argparse.Namespace) -> bool:
    out: Path = arguments.out
    recorded = out / "record.json"
    if arguments.train:
        if out == embedded.ADAPTER_FILE.parent:
            raise ArgumentError("--train without --out", hint="name a folder of your own: --out my_model")
        held = fit_own(arguments.train, out, CHOSEN)["development"]
        print(f"held out: accuracy {held['accuracy']:.3f}  macro-F1 {held['macro_f1']:.3f}; use it by --model {out}")
        return True
    if arguments.look or arguments.folds:
        existing(out, "record.json")
        found = look(arguments.data, out, arguments.look) if arguments.look else None
        crossed = cross_validate(arguments.data, CHOSEN, arguments.folds) if arguments.folds else None
        record = json.loads(recorded.read_text())  # only now: a training may have written it meanwhile
        if found:
            record.setdefault("looks", []).append(found)
        if crossed:
            record["cross_validation"] = crossed
        write_json(recorded, record)
        return True
    tensors, record = fit(arguments.data, CHOSEN)
    if arguments.check:
        return compare(tensors, record, out)
    out.mkdir(parents=True, exist_ok=True)
    before = json.loads(recorded.read_text()) if recorded.is_file() else {}
    temporary = out / f".adapter.{os.getpid()}"
    lora.write(temporary, tensors, alpha=CHOSEN.alpha, base_sha256=embedded.WEIGHTS_SHA256)
    os.replace(temporary, out / "adapter.safetensors")
    record["adapter_sha256"] = embedded.file_sha256(out / "adapter.safetensors")
    write_json(recorded, record | {key: before[key] for key in ("looks",) if key in before})
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parent.parent
    default = Path(os.environ.get("TRIFUSE_DATA") or root.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default, help="folder that holds news/ (default: TRIFUSE_DATA)")
    parser.add_argument(
        "--out", type=Path, default=embedded.ADAPTER_FILE.parent, help="where the adapter and record lie"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="write nothing; compare with the adapter there")
    action.add_argument("--folds", type=int, metavar="N", help="cross-validate on the tweets by N trainings")
    action.add_argument("--look", metavar="WHY", help="evaluate the adapter there on the corpora nothing is chosen by")
    action.add_argument("--train", nargs="+", metavar="FILE", help="train on these files alone")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        with one_thread():
            same = run(arguments)
    except TrifuseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
