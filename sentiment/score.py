"""Texts in, tones out: probabilities of negative, neutral and positive, in the order that the texts came in.

A text's result depends on the text alone, not on its neighbours, their order, the size of a call or the number of
threads (`sentiment.batches`). What remains is the seventh digit between kinds of processor in float32; results are
rounded to four decimals so that it does not show (but for a value within 1e-7 of a rounding edge, which may move by
0.0001). `TOLERANCE` says what other precisions change.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from gpu_kernels.errors import ArgumentError, ModelError
from sentiment import batches, long_text
from sentiment import model as models
from sentiment.cache import TONE, TextCache
from sentiment.embedded import TONES
from sentiment.sentences import sentences

SCHEMA = {
    "negative": pl.Float64(),
    "neutral": pl.Float64(),
    "positive": pl.Float64(),
    "score": pl.Float64(),
    "entropy": pl.Float64(),
    "truncated": pl.Boolean(),
    "sentences": pl.Int32(),
    "model": pl.String(),
    "model_sha256": pl.String(),
}
DECIMALS = 4
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.02, "int8": 0.2}
"""Largest difference of a rounded probability of the embedded model from that of plain float32 PyTorch, one text at a
time (measured: sentiment.precision). Between calls of one precision on one machine there is none."""
_WINDOW = 16_384  # texts tokenized and sorted at a time, and their characters: they bound the memory
_WINDOW_CHARACTERS = 1 << 23
_CHARACTERS_PER_TOKEN = 32  # far above what any tokenizer needs; spares it a text of megabytes

Progress = Callable[[float], None]


class Scorer:
    """A loaded model that scores texts.

    Attributes: identifier, model (sentiment.model.TextModel), long, sha256 (of the model and of what is done with long
    texts: all that decides a result), and from_cache, how many texts the cache has answered so far.
    """

    def __init__(
        self,
        model: str | Path = "embedded",
        *,
        cache: Path | None = None,
        labels: Mapping[str, str] | None = None,
        max_length: int | None = None,
        batch_tokens: int | None = None,
        device: str | None = None,
        long: str = "mean",
        precision: str = "auto",
    ) -> None:
        """Load the model; see `sentiment.model.load` for its arguments and errors.

        cache          SQLite file of scores already computed; None for none
        batch_tokens   tokens of one batch, padding included; bounds the memory. Default 256 on a CPU, whose caches it
                       fits, and 32,768 on a GPU
        long           what is done with a text longer than max_length, see `sentiment.long_text`: "mean", "first",
                       "max" or "truncate". The mean is the default because it alone supposes nothing: "first" supposes
                       that the text says first what matters, as news does and filings do not; the "max" of many chunks
                       is larger than that of few even where all say the same, so that long texts look more extreme;
                       and what "truncate" leaves out is gone
        """
        if batch_tokens is not None and batch_tokens < 1:
            raise ArgumentError(f"batch_tokens={batch_tokens}", allowed="at least 1")
        if long not in long_text.LONG:
            raise ArgumentError(f"long={long!r}", allowed=", ".join(long_text.LONG))
        self.model = models.load(model, labels=labels, max_length=max_length, device=device, precision=precision)
        self.long = long
        self.sha256 = hashlib.sha256("\n".join((self.model.sha256, long, long_text.RULES)).encode()).hexdigest()
        self.from_cache = 0
        self._cache = cache
        self._batch_tokens = batch_tokens
        self._before, self._after = batches.special_tokens(self.model.tokenizer)

    @property
    def identifier(self) -> str:
        return self.model.identifier

    def score(self, texts: Sequence[str | None] | pl.Series, *, progress: Progress | None = None) -> pl.DataFrame:
        """Score texts; see `score` of this module. For more texts than fit in memory, call it on some 20,000 at a time:
        the result is the same, and batches are as full."""
        if isinstance(texts, str | bytes):
            raise ArgumentError("texts is one string", allowed="a list or a column of strings", hint="write [text]")
        texts = list(texts)
        distinct = list(dict.fromkeys(text for text in texts if isinstance(text, str)))
        values, hit = np.zeros(len(distinct), TONE), np.zeros(len(distinct), np.bool_)
        with nullcontext() if self._cache is None else TextCache(self._cache, self.sha256) as cache:
            if cache is not None:  # before anything is written: what this call needs cannot be pushed out by itself
                values, hit = cache.get(distinct)
            settled, new = int(hit.sum()), np.flatnonzero(~hit).tolist()
            for done in self._score_new(distinct, new, values):
                if cache is not None:  # batch by batch, so that a killed run goes on from here
                    cache.put([distinct[i] for i in done], values[done])
                settled += len(done)
                if progress is not None:
                    progress(settled / len(distinct))
        if progress is not None:
            progress(1.0)
        at = {text: i for i, text in enumerate(distinct)}
        rows = [at[text] if isinstance(text, str) else len(distinct) for text in texts]
        self.from_cache += int(np.append(hit, False)[rows].sum())
        return self._frame(np.append(values, np.zeros(1, TONE))[rows])

    def _score_new(self, texts: list[str], new: list[int], values: np.ndarray) -> Iterator[list[int]]:
        """Fills `values` at the new texts, as they come, and tells which it filled; blank texts are left out."""
        chunks = 1 if self.long == "truncate" else long_text.MAX_CHUNKS
        longest = _CHARACTERS_PER_TOKEN * self.model.max_length * chunks
        # retweets differ by their links alone: what is scored is the prepared text, once
        places: dict[str, list[int]] = {}
        for i in new:
            if prepared := self._prepare(texts[i][:longest]):
                places.setdefault(prepared, []).append(i)
        for window in _windows(list(places)):
            for batch in self._score_window(window):
                done: list[int] = []
                for text, tones, truncated, begun in batch:
                    for i in places[text]:
                        cut = truncated or (len(texts[i]) > longest and not texts[i][longest:].isspace())
                        values[i] = (*tones, cut, begun)
                        done.append(i)
                yield done

    def _prepare(self, text: str) -> str:
        """Line by line, since lines say where sentences end."""
        if "\n" not in text:
            return self.model.prepare(text)
        return "\n".join(self.model.prepare(line) for line in text.split("\n")).strip()

    def _score_window(self, texts: list[str]) -> Iterator[list[tuple[str, list[float], bool, int]]]:
        """(text, rounded probabilities, truncated, sentences) of the texts that each batch completes."""
        plans = self._plans(texts)
        parts = [(i, k) for i, plan in enumerate(plans) for k in range(len(plan.ids))]
        missing = [len(plan.ids) for plan in plans]
        found = [np.empty((len(plan.ids), 3)) for plan in plans]
        done = batches.run(
            [plans[i].ids[k] for i, k in parts],
            self.model.forward,
            padding=self.model.tokenizer.pad_token_id,
            max_length=self.model.max_length,
            batch_tokens=self._batch_tokens,
            device=self.model.device,
            filled=not self.model.independent,
        )
        for positions, logits in done:
            probabilities = logits.double().softmax(dim=1).numpy()
            if not np.isfinite(probabilities).all():
                raise ModelError(f"{self.identifier} gave numbers that are not finite", hint="its weights are damaged")
            complete = []
            for position, row in zip(positions, probabilities, strict=True):
                i, k = parts[position]
                found[i][k] = row
                missing[i] -= 1
                if not missing[i]:
                    tones = self._together(found[i], plans[i].ids).round(DECIMALS).tolist()
                    complete.append((texts[i], tones, plans[i].truncated, plans[i].sentences))
            if complete:
                yield complete

    def _together(self, probabilities: npt.NDArray[np.float64], ids: list[list[int]]) -> npt.NDArray[np.float64]:
        if len(ids) == 1:
            return np.asarray(probabilities[0])
        special = len(self._before) + len(self._after)
        return long_text.aggregate(probabilities, [len(chunk) - special for chunk in ids], self.long)

    def _plans(self, texts: list[str]) -> list["_Plan"]:
        tokens = batches.tokenize(self.model.tokenizer, texts)
        return [
            _Plan([ids], False, len(sentences(text))) if len(ids) <= self.model.max_length else self._cut(text)
            for text, ids in zip(texts, tokens, strict=True)
        ]

    def _cut(self, text: str) -> "_Plan":
        """What is read of a text that is too long to be read at once."""
        room = self.model.max_length - len(self._before) - len(self._after)
        pieces = batches.tokenize(self.model.tokenizer, sentences(text), special=False)
        if self.long == "truncate":
            chunks, truncated = [long_text.head(pieces, room)], True
        else:
            chunks = long_text.pack(pieces, room)
            truncated = len(chunks) > long_text.MAX_CHUNKS
            chunks = chunks[: long_text.MAX_CHUNKS]
        ids = [[*self._before, *chunk, *self._after] for chunk, _ in chunks]
        return _Plan(ids, truncated, sum(begun for _, begun in chunks))

    def _frame(self, values: np.ndarray) -> pl.DataFrame:
        """A row for each value; nulls where nothing was scored."""
        columns = {name: values[name] for name in TONE.names}  # type: ignore[union-attr]
        columns["score"] = (values["positive"] - values["negative"]).round(DECIMALS)
        columns["entropy"] = entropy(np.stack([values[tone] for tone in TONES], axis=-1)).round(DECIMALS)
        frame = pl.DataFrame(columns).with_columns(pl.col("sentences").cast(pl.Int32))
        frame = frame.select(pl.when(pl.Series(values["sentences"] > 0)).then(pl.all()))
        return frame.with_columns(model=pl.lit(self.identifier), model_sha256=pl.lit(self.sha256)).select(list(SCHEMA))


@dataclass(frozen=True)
class _Plan:
    """How one text is read: the ids of its chunks, special tokens included."""

    ids: list[list[int]]
    truncated: bool
    sentences: int


def score(
    texts: Sequence[str | None] | pl.Series,
    model: str | Path = "embedded",
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    labels: Mapping[str, str] | None = None,
    max_length: int | None = None,
    batch_tokens: int | None = None,
    device: str | None = None,
    long: str = "mean",
    precision: str = "auto",
) -> pl.DataFrame:
    """The tone of each text, one row per text, in the order of the texts.

    negative, neutral, positive   Float64, probabilities, each rounded to four decimals: they sum to 1 within 1e-4
    score                         Float64, positive - negative, in [-1, 1]
    entropy                       Float64, -sum p ln p of the three, natural logarithm, not normalised: 0 (certain) to
                                  ln 3 = 1.0986 (says nothing)
    truncated                     Boolean, the end of the text did not count: it is longer than what is read of it
                                  (`max_length` tokens with long="truncate", else 64 times as many)
    sentences                     Int32, how many sentences were read (sentiment.long_text)
    model, model_sha256           String, the model's name, and the hash of all that decides a result: weights,
                                  tokenizer, labels, max_length, precision, long

    progress   called with the share done, 0 to 1; the other arguments as in `Scorer`.

    Missing values: a text that is null, empty, blank, not a string, or (embedded model) nothing but links, handles and
    cashtags has nulls in every column but the model's; `counts` tells how many.
    A text scored before (in this call or in the cache) is not scored again.
    Raises ArgumentError, DataError (the cache) and ModelError.
    """
    scorer = Scorer(
        model,
        cache=cache,
        labels=labels,
        max_length=max_length,
        batch_tokens=batch_tokens,
        device=device,
        long=long,
        precision=precision,
    )
    return scorer.score(texts, progress=progress)


def counts(scores: pl.DataFrame) -> dict[str, int]:
    """Of a frame of scores: `texts`, `missing` (null, empty or not a string) and `truncated`."""
    return {
        "texts": scores.height,
        "missing": scores["score"].null_count(),
        "truncated": int(scores["truncated"].sum() or 0),
    }


def entropy(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """-sum p ln p over the last axis, with 0 ln 0 = 0. Missing values: NaN where a probability is NaN."""
    logarithms = np.log(np.where(probabilities == 0, 1.0, probabilities))
    return np.asarray(0.0 - (probabilities * logarithms).sum(axis=-1))


def _windows(texts: list[str]) -> Iterator[list[str]]:
    """Runs of texts of bounded number and length."""
    start, characters = 0, 0
    for end, text in enumerate(texts):
        if end > start and (end - start == _WINDOW or characters + len(text) > _WINDOW_CHARACTERS):
            yield texts[start:end]
            start, characters = end, 0
        characters += len(text)
    if texts:
        yield texts[start:]
