"""Train the head of the embedded text model, evaluate it, and write it with its record.

    python scripts/train_head.py [--data FOLDER] [--out FOLDER] [--check]

Trained on texts whose licence allows it: the labelled financial tweets of twitter_fin (card: MIT) and sentences of our
own (head_templates.py). Financial PhraseBank (CC BY-NC-SA) and FiQA (licence unclear) are evaluated on
and never trained on, nor is anything chosen by them. Hyperparameters are chosen on a split of the training texts; the
hold-out texts, and the other two corpora, are looked at once, by the head that is written.
"""

import argparse
import csv
import hashlib
import itertools
import json
import os
import platform
import re
import sys
import time
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from head_templates import NEGATIVE, NEUTRAL, POSITIVE, template_sentences
from safetensors.torch import save
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from transformers import AutoTokenizer

from gpu_kernels.errors import DataError, TrifuseError
from sentiment import embedded
from sentiment.model import DEFAULT_MAX_LENGTH, TONES
from sentiment.novelty import novelty
from sentiment.text import clean

SEED = 20
HOLD_OUT_PERCENT, VALIDATION_PERCENT = 15, 20
TEMPLATE_SENTENCES = 3000
GRID = [
    {"hidden": 64, "dropout_in": dropout, "dropout_hidden": 0.3, "weight_decay": decay, "epochs": 20}
    for dropout, decay in itertools.product((0.3, 0.5), (0.05, 0.5))
]
FIXED = {"learning_rate": 1e-3, "batch": 128, "label_smoothing": 0.05, "template_weight": 0.5}
Labelled = list[tuple[str, int]]

# --- corpora ----------------------------------------------------------------------------------------------------------


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
    lines = [line for line in path.read_text(encoding="latin-1").splitlines() if line.strip()]
    return [(text, TONES.index(label.strip())) for text, label in (line.rsplit("@", 1) for line in lines)]


def read_fiqa(path: Path) -> Labelled:
    return [(row["text"], TONES.index(row["label"])) for row in json.loads(path.read_text())]


def split(texts: Labelled, percent: int, salt: str) -> tuple[Labelled, Labelled]:
    """(kept, taken): `percent` of the texts by their own hash, less those nearly equal (>= 0.8) to one that is kept."""

    def is_taken(text: str) -> bool:
        return int(hashlib.sha256(f"{salt} {text}".encode()).hexdigest(), 16) % 100 < percent

    kept = [pair for pair in texts if not is_taken(pair[0])]
    taken = [pair for pair in texts if is_taken(pair[0])]
    every = [text for text, _ in kept + taken]
    new = novelty(every, np.zeros(len(every), np.int64), np.array([0, len(every)]), window_ns=0, capacity=len(every))
    return kept, [pair for pair, value in zip(taken, new[len(kept) :], strict=True) if value > 0.2]


# --- training and evaluation ------------------------------------------------------------------------------------------


def pooled(texts: list[str]) -> torch.Tensor:
    """The encoder's pooled states (N, 2688) of texts, in their order."""
    folder = embedded.encoder_folder()
    encoder, tokenizer = embedded.load_encoder(folder, "cpu"), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(texts, truncation=True, max_length=DEFAULT_MAX_LENGTH)["input_ids"]
    out = torch.empty(len(texts), embedded.WIDTH)
    order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            batch = tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="pt")
            out[rows] = embedded.pooled(encoder, batch["input_ids"], batch["attention_mask"])
    return out


def train(
    states: torch.Tensor, tones: torch.Tensor, weights: torch.Tensor, chosen: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """A two-layer head by AdamW with a one-cycle rate; standardisation is folded into its first layer."""
    torch.manual_seed(SEED)
    mean, deviation = states.mean(0), states.std(0)
    scale = torch.where(deviation > 1e-6, 1 / deviation, 0)  # a state that never moves tells nothing
    standard = (states - mean) * scale
    first = torch.nn.Linear(embedded.WIDTH, chosen["hidden"])
    second = torch.nn.Linear(chosen["hidden"], len(TONES))
    network = torch.nn.Sequential(
        torch.nn.Dropout(chosen["dropout_in"]),
        first,
        torch.nn.GELU(),
        torch.nn.Dropout(chosen["dropout_hidden"]),
        second,
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=chosen["learning_rate"], weight_decay=chosen["weight_decay"])
    batches = -(-len(tones) // chosen["batch"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, chosen["learning_rate"], total_steps=chosen["epochs"] * batches
    )
    loss_of = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=chosen["label_smoothing"])
    for _ in range(chosen["epochs"]):
        for rows in torch.randperm(len(tones)).split(chosen["batch"]):
            optimizer.zero_grad()
            (loss_of(network(standard[rows]), tones[rows]) * weights[rows]).mean().backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        folded = first.weight * scale
        head = {"W1": folded, "b1": first.bias - folded @ mean, "W2": second.weight, "b2": second.bias}
    return {name: tensor.detach().contiguous() for name, tensor in head.items()}


def metrics(truth: list[int], guess: list[int]) -> dict[str, Any]:
    each = f1_score(truth, guess, labels=[0, 1, 2], average=None, zero_division=0)
    return {
        "texts": len(truth),
        "accuracy": round(float(accuracy_score(truth, guess)), 4),
        "macro_f1": round(float(each.mean()), 4),
        "f1": {tone: round(float(value), 4) for tone, value in zip(TONES, each, strict=True)},
    }


def labels_of(head: dict[str, torch.Tensor], states: torch.Tensor) -> list[int]:
    with torch.inference_mode():
        found: list[int] = embedded.apply_head(head, states).argmax(1).tolist()
    return found


def fit(data: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The head and its record."""
    files = {
        "twitter_fin": data / "news/twitter_fin/sent_train.csv",
        "phrasebank_50agree": data / "news/fpb/Sentences_50Agree.txt",
        "phrasebank_allagree": data / "news/fpb/Sentences_AllAgree.txt",
        "fiqa": data / "news/fiqa/fiqa_3class.json",
    }
    for path in files.values():
        if not path.is_file():
            raise DataError(f"no file {path}", hint="name the folder of the data by --data or TRIFUSE_DATA")
    tweets, hold_out = split(read_tweets(files["twitter_fin"]), HOLD_OUT_PERCENT, "hold-out")
    core, validation = split(tweets, VALIDATION_PERCENT, "validation")
    templates = template_sentences(TEMPLATE_SENTENCES, SEED)
    evaluated = {
        "twitter_fin hold-out": hold_out,
        "PhraseBank 50Agree": read_phrasebank(files["phrasebank_50agree"]),
        "PhraseBank AllAgree": read_phrasebank(files["phrasebank_allagree"]),
        "FiQA": read_fiqa(files["fiqa"]),
    }
    parts = {"tweets": tweets, "templates": templates, **evaluated}
    states, tones = {}, {}
    for name, pairs in parts.items():
        print(f"encoding {name}: {len(pairs)} texts", flush=True)
        states[name] = pooled([clean(text) for text, _ in pairs])
        tones[name] = torch.tensor([tone for _, tone in pairs])

    def trained(rows: list[int], chosen: dict[str, Any], with_templates: bool) -> dict[str, torch.Tensor]:
        added = states["templates"] if with_templates else states["templates"][:0]
        weights = torch.cat([torch.ones(len(rows)), torch.full((len(added),), chosen["template_weight"])])
        labels = torch.cat([tones["tweets"][rows], tones["templates"][: len(added)]])
        return train(torch.cat([states["tweets"][rows], added]), labels, weights, chosen)

    torch.set_num_threads(1)  # so that the sums of training do not depend on the machine's number of cores
    position = {text: i for i, (text, _) in enumerate(tweets)}
    core_rows, validation_rows = ([position[text] for text, _ in part] for part in (core, validation))
    trials = []
    for candidate in GRID:
        chosen = {**candidate, **FIXED}
        guess = labels_of(trained(core_rows, chosen, True), states["tweets"][validation_rows])
        trials.append({**candidate, "validation": metrics([tone for _, tone in validation], guess)})
        print(f"{candidate}: {trials[-1]['validation']['macro_f1']:.4f}", flush=True)
    best = GRID[int(np.argmax([trial["validation"]["macro_f1"] for trial in trials]))]
    chosen = {**best, **FIXED}
    every = list(range(len(tweets)))
    head, plain = trained(every, chosen, True), trained(every, chosen, False)

    texts = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    baseline = LogisticRegression(C=10, max_iter=2000)
    baseline.fit(texts.fit_transform([text for text, _ in tweets]), [tone for _, tone in tweets])
    majority = Counter(tone for _, tone in tweets).most_common(1)[0][0]
    results = {}
    for name, pairs in evaluated.items():
        truth = [tone for _, tone in pairs]
        results[name] = {
            "head": metrics(truth, labels_of(head, states[name])),
            "head without templates": metrics(truth, labels_of(plain, states[name])),
            "TF-IDF + logistic, same tweets": metrics(
                truth, baseline.predict(texts.transform([clean(text) for text, _ in pairs])).tolist()
            ),
            "majority": metrics(truth, [majority] * len(truth)),
        }
    record = {
        "encoder": {"package": embedded.PACKAGE, "weights_sha256": embedded.WEIGHTS_SHA256},
        "trained_on": {
            "twitter_fin": {"texts": len(tweets), "tones": _tone_counts(tweets)},
            "templates": {"texts": len(templates), "tones": _tone_counts(templates), "seed": SEED},
        },
        "files": {
            str(path.relative_to(data)): {"sha256": embedded.file_sha256(path), "used_for": used}
            for path, used in zip(files.values(), ("training and hold-out", *["evaluation"] * 3), strict=True)
        },
        "seed": SEED,
        "hyperparameters": chosen,
        "trials": trials,
        "results": results,
        "versions": {name: version(name) for name in ("torch", "transformers", "scikit-learn", "numpy")}
        | {"python": platform.python_version()},
    }
    return head, record


def _tone_counts(pairs: Labelled) -> dict[str, int]:
    counted = Counter(tone for _, tone in pairs)
    return {tone: counted[i] for i, tone in enumerate(TONES)}


def write(head: dict[str, torch.Tensor], record: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    temporary = out / f".head.{os.getpid()}"
    temporary.write_bytes(save(head))
    os.replace(temporary, out / "head.safetensors")
    record["head_sha256"] = embedded.file_sha256(out / "head.safetensors")
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(temporary, out / "record.json")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parent.parent
    default = Path(os.environ.get("TRIFUSE_DATA") or root.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default, help="folder that holds news/ (default: TRIFUSE_DATA)")
    parser.add_argument("--out", type=Path, default=embedded.HEAD_FILE.parent, help="where the head and record go")
    parser.add_argument("--check", action="store_true", help="write nothing; compare with the head there")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        head, record = fit(arguments.data)
        if not arguments.check:
            write(head, record, arguments.out)
        else:
            committed = embedded.load_head(arguments.out / "head.safetensors")
    except TrifuseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for corpus, rows in record["results"].items():
        for name, found in rows.items():
            print(f"{corpus:22} {name:32} accuracy {found['accuracy']:.3f}  macro-F1 {found['macro_f1']:.3f}")
    print(f"{time.monotonic() - started:.0f} s")
    if arguments.check:
        furthest = max(float((head[name] - committed[name]).abs().max()) for name in head)
        print(f"largest difference of a weight from the committed head: {furthest:.2g}")
        return 0 if furthest < 1e-3 else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
