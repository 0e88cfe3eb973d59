"""The sets that the text models are evaluated on: texts, tones, and a continuous label where the set has one.

| set | what | licence |
|---|---|---|
| PhraseBank | sentences of news on Nordic companies, 5 to 8 annotators each (Malo et al. 2014) | CC BY-NC-SA 3.0 |
| FiQA | headlines and posts, a score in [-1, 1] for each company named (Maia et al. 2018) | unclear |
| SemEval | headlines of SemEval-2017 task 5 (Cortis et al. 2017), a score in [-1, 1] for one company | unclear |
| tweets | twitter_fin's tweets that no training of ours has seen | card: MIT |

A score becomes a tone by a cut at -0.2 and 0.2; a FiQA text of several companies has their mean. None of these texts is
in this project, and the adapter is trained on none of them (scripts/train_adapter.py).
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tone_corpora import Labelled, read_fiqa, read_phrasebank, read_semeval, read_tweets, split, unlike
from train_adapter import HOLD_OUT_PERCENT, TWEETS

from gpu_kernels.errors import DataError
from sentiment.embedded import TONES

FIQA, SEMEVAL = "news/fiqa/fiqa_3class.json", "news/fiqa/SemEval2017Task5Headlines.json"
VALIDATION = "news/twitter_fin/sent_valid.csv"
LEVELS = ("50", "66", "75", "All")
PROBES = Path(__file__).resolve().parent.parent / "tests" / "sentiment" / "tone_probes.tsv"


@dataclass(frozen=True)
class EvaluationSet:
    """Texts with a tone (0 negative, 1 neutral, 2 positive) and perhaps a value in [-1, 1]."""

    name: str
    texts: list[str]
    tones: np.ndarray
    values: np.ndarray | None = None

    def sample(self, count: int, seed: int) -> "EvaluationSet":
        """At most so many texts, drawn without replacement."""
        if count >= len(self.texts):
            return self
        kept = np.sort(np.random.default_rng(seed).permutation(len(self.texts))[:count])
        values = None if self.values is None else self.values[kept]
        return EvaluationSet(self.name, [self.texts[i] for i in kept], self.tones[kept], values)


def of(name: str, pairs: Labelled, values: Sequence[float] | None = None) -> EvaluationSet:
    if not pairs:
        raise DataError(f"the set {name} is empty", allowed="at least one text")
    tones = np.array([tone for _, tone in pairs])
    return EvaluationSet(name, [text for text, _ in pairs], tones, None if values is None else np.array(values))


def phrasebank(level: str) -> str:
    return f"news/fpb/Sentences_{level}Agree.txt"


def read_sets(data: Path) -> list[EvaluationSet]:
    """All of them, in the order of the page.

    Tweets: those that the adapter's training holds out, less those nearly equal to one that it learns from; and, where
    the file is there, twitter_fin's own validation file, less what is nearly equal to any of its training file.
    Raises DataError, one line, where a file is missing.
    """

    def file(name: str) -> Path:
        if not (data / name).is_file():
            raise DataError(f"no file {data / name}", hint="name the folder of the data by --data or TRIFUSE_DATA")
        return data / name

    found = [of(f"PhraseBank {level}Agree", read_phrasebank(file(phrasebank(level)))) for level in LEVELS]
    rows, pairs = json.loads(file(FIQA).read_text()), read_fiqa(file(FIQA))
    for kind in ("headline", "post"):
        at = [i for i, row in enumerate(rows) if row["kind"] == kind]
        found.append(of(f"FiQA {kind}s", [pairs[i] for i in at], [rows[i]["score"] for i in at]))
    values = [row["sentiment"] for row in json.loads(file(SEMEVAL).read_text())]
    found.append(of("SemEval headlines", read_semeval(file(SEMEVAL)), values))
    kept, held_out = training_tweets(file(TWEETS).parents[2])
    found.append(of("tweets held out", held_out))
    if (data / VALIDATION).is_file():
        found.append(of("tweets, validation file", unlike(read_tweets(data / VALIDATION), kept + held_out)))
    return found


@functools.cache
def training_tweets(data: Path) -> tuple[Labelled, Labelled]:
    """The tweets that the adapter learns from, and those held out."""
    return split(read_tweets(data / TWEETS), HOLD_OUT_PERCENT, "hold-out")


def read_levels(data: Path) -> dict[str, str]:
    """Of each PhraseBank sentence, the largest share of annotators who are known to agree: 50, 66, 75 or All."""
    return {text: level for level in LEVELS for text, _ in read_phrasebank(data / phrasebank(level))}


@dataclass(frozen=True)
class Probe:
    """A hand-written sentence of a kind, and its tone."""

    kind: str
    tone: int
    text: str


def read_probes(path: Path = PROBES) -> list[Probe]:
    """The lines `kind<tab>tone<tab>text` of a file; lines that start with # are comments.

    Raises DataError, one line, on a line that is not so, an unknown tone, or a text that comes twice.
    """
    found: list[Probe] = []
    seen: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.split("\t")
        if len(parts) != 3 or parts[1] not in TONES or parts[2] in seen or not parts[2].strip():
            raise DataError(
                f"{path.name}:{number}: {line[:60]!r}",
                allowed=f"kind, tone ({', '.join(TONES)}), a new text; tabs between",
            )
        seen.add(parts[2])
        found.append(Probe(parts[0], TONES.index(parts[1]), parts[2]))
    return found
