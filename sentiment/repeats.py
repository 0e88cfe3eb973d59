"""Which items say again what the same stream has said before, and how much a repeat still counts.

    novelty_i = 1 - max(0, max_j s_ij)      over the earlier items j that item i is compared with

    measure      s_ij
    embedding    cosine of the sentence embeddings (sentiment.embedding) of the texts without links, handles and
                 cashtags: sees reprints and paraphrases
    words        Jaccard similarity of the sets of words (sentiment.novelty): sees reprints, needs no model

Neither knows opposites ("raises", "cuts") or numbers. So two items whose scores differ by more than 0.6, or which both
name numbers and none that is the same, are no repeats of each other, however alike they look; of the paraphrases of
the development half of tests/sentiment/repeat_pairs.tsv that costs few, and it clears most of the false ones.

Compared are the items of the last 24 hours, and the last ten whenever they came: either suffices. A busy stream repeats
itself by the hour, and ten items reach back a few minutes; in a quiet one last week's item is the one before, and its
repetition is no news (Tetlock 2011 compares with the ten stories before; reactions to stale ones are partly undone).

Items are ordered by known_time, event_time, item and text, and only earlier ones count, so that an item's novelty never
changes once it is known, and the order of the rows does not matter. A row whose item the stream has seen before is a
revision: it is no repeat of itself and no news either, and keeps the numbers of the first version. Later items are
compared with each version.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from gpu_kernels.durations import DAY
from gpu_kernels.errors import ArgumentError, DataError
from gpu_kernels.similarity import largest_similarity
from sentiment.embedding import Embedder, Vectors
from sentiment.novelty import largest_overlap
from sentiment.text import clean

MEASURES = ("embedding", "words")
CAPACITY = 10
LIMIT = 4096
REPEAT = 0.8
"""The similarity from which on an item is a repeat."""
REPEAT_WEIGHT = 0.1
APART = 0.6
"""By how much the scores of an item and its repeat differ at most."""
_NEW, _OLD = 0.3, 0.1
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_BITS = 63
_FOUND = ("novelty", "repeats", "repeat_of")
_ORDER = ("known_time", "event_time", "item", "text", "score")

Floats = npt.NDArray[np.float64]
Progress = Callable[[float], None]


class Embeds(Protocol):
    """What gives texts vectors, as `sentiment.embedding.Embedder` does."""

    def embed(self, texts: Sequence[str | None], *, progress: Progress | None = None) -> Vectors: ...


def compare(
    items: pl.DataFrame,
    *,
    by: str | None = "entity",
    measure: str = "embedding",
    window_ns: int | None = DAY,
    capacity: int | None = CAPACITY,
    either: bool = True,
    limit: int = LIMIT,
    cache: Path | None = None,
    embedder: Embeds | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Each item against the earlier ones of its stream; a row for each row of `items`, in their order.

    items       known_time, item, text, `by`, and where there are any event_time and score; in any order
    by          the column that tells streams apart; None: all rows are one stream, the market's
    measure     "embedding" or "words"
    window_ns, capacity, either, limit   which earlier items count, as in gpu_kernels.similarity.largest_similarity
    cache, embedder   file of embeddings (see Embedder), or what makes them; "embedding" only
    progress    called with the share done, 0 to 1

    novelty     Float64 in [0, 1]; 1 where there is nothing to compare with
    repeats     Int64, how many of the items compared with have a similarity of at least REPEAT
    repeat_of   the item that is most similar, the latest of equals, where it is repeated; else null

    Memory: 768 bytes for each row and for each distinct text; a stream of many millions is better given by the year.

    Missing values: a null or NaN score differs from none. Null, blank and empty texts (links, handles and cashtags
    alone, for "embedding") say nothing: they repeat each other (novelty 0) and nothing else. A text in a language that
    the encoder was not trained on (any but English) is told from others, and its reprints are found; its paraphrases
    mostly are not.
    Raises ArgumentError (also on both rules None), DataError on a missing column or a null time, item or stream, and
    ModelError.
    """
    if measure not in MEASURES:
        raise ArgumentError(f"measure is {measure!r}", allowed=" or ".join(MEASURES))
    rows, offsets = _streams(items, by)
    time = rows["known_time"].cast(pl.Datetime("ns", "UTC")).dt.epoch("ns").to_numpy()
    texts = rows["text"].to_list()
    opposed = {"value": rows["score"].to_numpy(), "marks": _numbers(texts), "apart": APART}
    rule = {
        "window_ns": window_ns,
        "capacity": capacity,
        "either": either,
        "limit": limit,
        "threshold": REPEAT,
        **opposed,
    }
    if measure == "words":
        similarity, nearest, repeats = largest_overlap(texts, time, offsets, **rule)  # type: ignore[arg-type]
    else:
        said = [None if text is None else clean(text) for text in texts]
        vectors = (embedder or Embedder(cache=cache)).embed(said, progress=progress)
        similarity, nearest, repeats = largest_similarity(vectors, time, offsets, **rule)  # type: ignore[arg-type]
    found = rows.select(
        "_place",
        "_stream",
        "item",
        novelty=pl.Series(1.0 - np.clip(np.nan_to_num(similarity, nan=0.0), 0.0, 1.0)),
        repeats=pl.Series(repeats),
        repeat_of=rows["item"].gather(np.maximum(nearest, 0)),
    ).with_columns(repeat_of=pl.when(pl.col("repeats") > 0).then("repeat_of"))
    # a revision keeps what its first version had
    found = found.with_columns(pl.col(_FOUND).first().over("_stream", "item"))
    return found.sort("_place").select(_FOUND)


def discount(novelty: Floats) -> Floats:
    """What an item of this novelty counts in sums and means of tone, against 1 of a new one.

        0.1 + 0.9 u^2 (3 - 2u),   u = (novelty - 0.1) / 0.2 cut to [0, 1]

    so 1 from novelty 0.3 on, 0.1 up to 0.1, and smooth between (0.55 at a similarity of REPEAT), because there is no
    edge at which a paraphrase becomes a new story. Not 0: that something is said again is a little news by itself.
    Where it falls was read off tweets of eight tickers: with a cosine of 0.85 to 1 nearly all pairs said the same
    thing, at 0.75 to 0.8 half, below 0.7 few.

    Missing values: a NaN novelty gives NaN.
    """
    u = np.clip((np.asarray(novelty, np.float64) - _OLD) / (_NEW - _OLD), 0.0, 1.0)
    weight: Floats = REPEAT_WEIGHT + (1.0 - REPEAT_WEIGHT) * u * u * (3.0 - 2.0 * u)
    return weight


def _numbers(texts: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """The numbers that a text names, in digits, as a set of bits: each has one of 63, so that different ones are taken
    for the same now and then, never the other way round."""
    marks = np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts):
        for number in _NUMBER.findall(clean(text or "")):
            digest = hashlib.blake2b(number.replace(",", "").encode(), digest_size=8).digest()
            marks[row] |= 1 << int.from_bytes(digest, "little") % _BITS
    return marks


def _streams(items: pl.DataFrame, by: str | None) -> tuple[pl.DataFrame, npt.NDArray[np.int64]]:
    """The rows stream by stream in order of arrival, with their place in `items`, and the streams' offsets."""
    needed = ["known_time", "item", "text"] + ([] if by is None else [by])
    for column in needed:
        if column not in items.columns:
            raise DataError(f"news items without the column {column!r}", allowed=", ".join(needed))
        if column != "text" and items[column].null_count():
            raise DataError(
                f"news items: {items[column].null_count()} rows without {column}",
                hint="undated items are set aside when they are read",
            )
    if items.height and not isinstance(items.schema["known_time"], pl.Datetime):
        raise DataError(f"news items: known_time is {items.schema['known_time']}", allowed="a UTC timestamp")
    stream = pl.int_range(pl.len()) * 0 if by is None else pl.col(by).rank("dense").cast(pl.Int64) - 1
    score = pl.col("score").cast(pl.Float64).fill_null(np.nan) if "score" in items.columns else pl.lit(np.nan)
    event = pl.col("event_time" if "event_time" in items.columns else "known_time")
    rows = items.select(
        pl.int_range(pl.len()).alias("_place"),
        stream.alias("_stream"),
        pl.col("known_time"),
        event.alias("event_time"),
        pl.col("item", "text"),
        score.alias("score"),
    ).sort("_stream", *_ORDER, maintain_order=True)
    counts = np.bincount(rows["_stream"].to_numpy().astype(np.int64))
    return rows, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
