"""Texts in, tones out: probabilities of negative, neutral and positive, in the order that the texts came in.

A text's result depends on the text alone, not on its neighbours: it is padded to a length of its own (its number of
tokens rounded up to a multiple of 8), and a batch of a given length always has the same number of rows, the last one
being filled up with copies; matrix products of equal shape add in equal order. What remains is the seventh digit,
between kinds of processor and sizes of batch. Results are rounded to four decimals so that it does not show (but for a
value within 1e-7 of a rounding edge, which may move by 0.0001): far finer than any such model is right.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import polars as pl

from gpu_kernels.errors import ArgumentError, ModelError
from sentiment import model as models
from sentiment.cache import TONE, TextCache

SCHEMA = {
    "negative": pl.Float64(),
    "neutral": pl.Float64(),
    "positive": pl.Float64(),
    "score": pl.Float64(),
    "truncated": pl.Boolean(),
}
DECIMALS = 4
BATCH_TOKENS = {"cpu": 512, "cuda": 32_768}
_PADDING = 8
_WINDOW = 16_384  # texts tokenized and sorted at a time, which bounds the memory
_CHARACTERS_PER_TOKEN = 32  # far above what any tokenizer needs; spares it a text of megabytes

Progress = Callable[[float], None]
Row = tuple[float, float, float, bool]
"""negative, neutral, positive, truncated"""


class Scorer:
    """A loaded model that scores texts.

    Attributes: identifier and sha256 of the model (sentiment.model.TextModel), model itself, and from_cache, how many
    texts the cache has answered so far. Threads are torch's own choice; where other processes keep the cores busy,
    OMP_NUM_THREADS=1 is several times faster, because threads that wait for each other stall.
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
    ) -> None:
        """Load the model; see `sentiment.model.load` for its arguments and errors.

        cache          SQLite file of scores already computed; None for none
        batch_tokens   tokens of one batch, padding included; bounds the memory. Default 512 on a CPU, whose caches it
                       fits, and 32,768 on a GPU
        """
        if batch_tokens is not None and batch_tokens < 1:
            raise ArgumentError(f"batch_tokens={batch_tokens}", allowed="at least 1")
        self.model = models.load(model, labels=labels, max_length=max_length, device=device)
        self._cache = cache
        self.from_cache = 0
        self._batch_tokens = batch_tokens or BATCH_TOKENS["cpu" if self.model.device == "cpu" else "cuda"]

    @property
    def identifier(self) -> str:
        return self.model.identifier

    @property
    def sha256(self) -> str:
        return self.model.sha256

    def score(self, texts: Sequence[str | None] | pl.Series, *, progress: Progress | None = None) -> pl.DataFrame:
        """Score texts; see `score` of this module."""
        if isinstance(texts, str | bytes):
            raise ArgumentError("texts is one string", allowed="a list or a column of strings", hint="write [text]")
        texts = list(texts)
        distinct = list(dict.fromkeys(text for text in texts if isinstance(text, str)))
        values, hit = np.zeros(len(distinct), TONE), np.zeros(len(distinct), np.bool_)
        with nullcontext() if self._cache is None else TextCache(self._cache, self.sha256) as cache:
            if cache is not None:  # before anything is written: what this call needs cannot be pushed out by itself
                values, hit = cache.get(distinct)
            settled = int(hit.sum())
            for done in self._score_new(distinct, np.flatnonzero(~hit).tolist(), values):
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
        return _frame(np.append(values, np.zeros(1, TONE))[rows])

    def _prepare(self, text: str) -> str:
        # a lone surrogate has no UTF-8 and would stop the tokenizer
        return self.model.prepare(text.encode("utf-8", "replace").decode("utf-8"))

    def _score_new(self, texts: list[str], new: list[int], values: np.ndarray) -> Iterator[list[int]]:
        """Fills `values` at the new texts, batch by batch, and tells which it filled; blank texts are left out."""
        longest = _CHARACTERS_PER_TOKEN * self.model.max_length
        # retweets differ by their links alone: what is scored is the prepared text, once
        places: dict[str, list[int]] = {}
        for i in new:
            if prepared := self._prepare(texts[i][:longest]):
                places.setdefault(prepared, []).append(i)
        prepared_texts = list(places)
        for start in range(0, len(prepared_texts), _WINDOW):
            for batch, rows in self._batches(prepared_texts[start : start + _WINDOW]):
                done: list[int] = []
                for text, (*tones, truncated) in zip(batch, rows, strict=True):
                    for i in places[text]:
                        values[i] = (*tones, truncated or len(texts[i]) > longest, 1)
                        done.append(i)
                yield done

    def _batches(self, texts: list[str]) -> Iterator[tuple[list[str], list[Row]]]:
        """Batches of texts of one padded length, longest first, so that memory shows at the start what it will need."""
        tokens, truncated = self._tokenize(texts)
        padded = [-(-len(ids) // _PADDING) * _PADDING for ids in tokens]
        order = sorted(range(len(texts)), key=lambda i: (-padded[i], i))
        for length, group in itertools.groupby(order, key=padded.__getitem__):
            members = list(group)
            size = max(1, self._batch_tokens // length)
            for start in range(0, len(members), size):
                batch = members[start : start + size]
                probabilities = self._probabilities([tokens[i] for i in batch], size, length)
                rows = [(*row, truncated[i]) for i, row in zip(batch, probabilities, strict=True)]
                yield [texts[i] for i in batch], rows

    def _tokenize(self, texts: list[str]) -> tuple[list[list[int]], list[bool]]:
        if not texts:
            return [], []
        tokenizer, limit = self.model.tokenizer, self.model.max_length
        tokens: list[list[int]] = tokenizer(texts, verbose=False)["input_ids"]
        truncated = [len(ids) > limit for ids in tokens]
        for i in itertools.compress(range(len(texts)), truncated):
            tokens[i] = tokenizer(texts[i], truncation=True, max_length=limit)["input_ids"]
        return tokens, truncated

    def _probabilities(self, tokens: list[list[int]], size: int, length: int) -> list[tuple[float, float, float]]:
        import torch

        ids = torch.full((size, length), self.model.tokenizer.pad_token_id, dtype=torch.int64)
        mask = torch.zeros((size, length), dtype=torch.int64)
        for row, token in enumerate(tokens + [tokens[0]] * (size - len(tokens))):
            ids[row, : len(token)] = torch.tensor(token, dtype=torch.int64)
            mask[row, : len(token)] = 1
        with torch.inference_mode():
            logits = self.model.forward(ids.to(self.model.device), mask.to(self.model.device))
            probabilities = logits.double().softmax(dim=1).cpu()
        if not bool(torch.isfinite(probabilities).all()):
            raise ModelError(f"{self.identifier} gave numbers that are not finite", hint="its weights are damaged")
        return [
            (round(row[0], DECIMALS), round(row[1], DECIMALS), round(row[2], DECIMALS))
            for row in probabilities[: len(tokens)].tolist()
        ]


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
) -> pl.DataFrame:
    """The tone of each text, one row per text, in the order of the texts.

    negative, neutral, positive   Float64, probabilities, each rounded to four decimals: they sum to 1 within 1e-4
    score                         Float64, positive - negative, in [-1, 1]
    truncated                     Boolean, the text was longer than the model reads and its end did not count

    progress   called with the share done, 0 to 1; the other arguments as in `Scorer`.

    Missing values: a text that is null, empty, blank, not a string, or (embedded model) nothing but links, handles and
    cashtags has nulls in every column; `counts` tells how many.
    A text scored before (in this call or in the cache) is not scored again.
    Raises ArgumentError, DataError (the cache) and ModelError.
    """
    scorer = Scorer(model, cache=cache, labels=labels, max_length=max_length, batch_tokens=batch_tokens, device=device)
    return scorer.score(texts, progress=progress)


def counts(scores: pl.DataFrame) -> dict[str, int]:
    """Of a frame of scores: `texts`, `missing` (null, empty or not a string) and `truncated`."""
    return {
        "texts": scores.height,
        "missing": scores["score"].null_count(),
        "truncated": int(scores["truncated"].sum() or 0),
    }


def _frame(values: np.ndarray) -> pl.DataFrame:
    """A row for each value; nulls where nothing was scored."""
    scored = pl.Series(values["sentences"] > 0)
    frame = pl.DataFrame({name: values[name] for name in SCHEMA if name != "score"})
    frame = frame.with_columns(score=(pl.col("positive") - pl.col("negative")).round(DECIMALS)).select(list(SCHEMA))
    return frame.select(pl.when(scored).then(pl.all()))
