"""Items in the order in which they were known, stream by stream, with what each weighs and which text it replaced.

A stream is what one entity's features, or the market's, are made of. Rows are ordered by known_time, then by
event_time, item, entity, text and score, so that the order of the table does not matter. Of the rows of one item (of
one stream) that were known at the same time the last one counts. In a file the order does matter: of rows with one item
and known_time but other text the lake keeps the first and sets the others aside as conflicting_duplicate.

A row whose item the stream has seen before is a revision. The item goes on counting once, as old and as new as when its
first version was known; from the revision's known_time on the newer text's tone stands in the older one's place, with
its own relevance. So decisions before the revision see the older text, and an edit makes no news of old news.

An item's own numbers depend on earlier arrivals alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from gpu_kernels.errors import DataError
from sentiment.embedded import TONES
from sentiment.repeats import compare, discount

HOUR = 3600 * 10**9
DAY = 24 * HOUR

REQUIRED = ("entity", "event_time", "known_time", "item", "text", "score")
GRID = ("entity", "decision_time")
_OPTIONAL = ("relevance", "novelty", *TONES)

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


def require(frame: pl.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise DataError where a column is missing, a time is no time, or a time or an entity is null."""
    for column in columns:
        if column not in frame.columns:
            raise DataError(f"{what} without the column {column!r}", allowed=", ".join(columns))
    for column in set(columns) & {"entity", "known_time", "event_time", "decision_time"}:
        if frame[column].null_count():
            raise DataError(
                f"{what}: {frame[column].null_count()} rows without {column}",
                hint="undated items are set aside when they are read",
            )
        if column != "entity" and not isinstance(frame.schema[column], pl.Datetime) and frame.height:
            raise DataError(f"{what}: {column} is {frame.schema[column]}", allowed="a UTC timestamp")


def in_order(items: pl.DataFrame) -> pl.DataFrame:
    """The checked rows in order of arrival, with the columns that features read; NaN where one is missing.

    Raises DataError as `require` does, and for a score outside [-1, 1], a relevance, novelty or probability outside
    [0, 1]. A missing relevance is 1: the source itself named the entity.
    """
    require(items, REQUIRED, "news items")
    numbers = {"score": -1.0} | {name: 0.0 for name in _OPTIONAL if name in items.columns}
    columns = []
    for name, lowest in numbers.items():
        values = items[name].cast(pl.Float64).fill_null(1.0 if name == "relevance" else np.nan)
        found = values.to_numpy()
        wrong = found[(found < lowest) | (found > 1)]
        if len(wrong):
            raise DataError(f"news items: a {name} of {wrong[0]:g}", allowed=f"[{lowest:g}, 1]")
        columns.append(values)
    columns += [
        pl.Series(name, np.full(items.height, 1.0 if name == "relevance" else np.nan))
        for name in _OPTIONAL
        if name not in numbers
    ]
    order = ["known_time", "event_time", "item", "entity", "text", "score"]
    return items.select(REQUIRED[:-1]).with_columns(columns).sort(order, maintain_order=True)


def pooled(items: pl.DataFrame) -> pl.DataFrame:
    """Everybody's items in one stream, each once: of an item that several entities share the score is their mean by
    relevance, the relevance the largest, the novelty the smallest that is told, the text the first."""
    scored, weight = pl.col("score").is_not_nan(), pl.col("relevance")
    means = {name: _mean_by(name) for name in ("score", *TONES)}
    once = items.unique(["entity", "item", "known_time"], keep="last", maintain_order=True)
    alone = pl.len().over("item", "known_time") == 1
    several = once.filter(~alone).with_columns(weight=pl.when(scored).then(weight).otherwise(0.0))
    merged = several.group_by("item", "known_time", maintain_order=True).agg(
        pl.col("entity", "event_time", "text").first(),
        pl.col("relevance").max(),
        pl.col("novelty").fill_nan(None).min().fill_null(np.nan),
        **means,
    )
    together = pl.concat([once.filter(alone), merged.select(once.columns)])
    return together.sort("known_time", "event_time", "item", "entity", maintain_order=True)


def _mean_by(name: str) -> pl.Expr:
    """The mean of a column of scored rows, weighted by `weight`; NaN where none weighs anything."""
    counts = pl.col("weight") > 0
    value = pl.col(name).filter(counts)
    total = pl.col("weight").filter(counts)
    # from the first value on: one value, repeated, is itself
    return (value.first() + ((value - value.first()) * total).sum() / total.sum()).fill_null(np.nan)


def segments(key: pl.Series | None, height: int, keys: Sequence[str | None]) -> tuple[Int64s, Int64s]:
    """(rows, offsets): the rows of each key in turn, in their order; rows of other keys are left out."""
    if key is None:
        return np.arange(height), np.array([0, height], dtype=np.int64)
    number = key.replace_strict(keys, range(len(keys)), default=len(keys), return_dtype=pl.Int64).to_numpy()
    counts = np.bincount(number, minlength=len(keys) + 1)[: len(keys)]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.argsort(number, kind="stable")[: offsets[-1]], offsets


@dataclass(frozen=True)
class Stream:
    """Rows by (segment, arrival), and what is known of each on arrival.

    time, since       when the row was known, and when the first version of its item was
    earlier, later    row of the version that it replaced, and of the one that replaces it; -1: none
    told              novelty that came with the item's first version, else NaN
    confidence        1 - entropy / log 3 of the three probabilities
    said              what novelty by words is made from
    first             rows of first versions, one for each item
    """

    offsets: Int64s
    time: Int64s
    since: Int64s
    earlier: Int64s
    later: Int64s
    score: Floats
    relevance: Floats
    confidence: Floats
    told: Floats
    said: pl.DataFrame
    first: Int64s
    first_offsets: Int64s

    @classmethod
    def of(cls, items: pl.DataFrame, keys: Sequence[str] | None) -> "Stream":
        """The streams of the keys, one after the other; without keys, one of all rows. `items` are in order."""
        chosen, offsets = segments(None if keys is None else items["entity"], items.height, keys or [])
        segment = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        rows = items[chosen].with_columns(_segment=pl.Series(segment))
        rows = rows.unique(["_segment", "item", "known_time"], keep="last", maintain_order=True).with_row_index("_row")
        counts = np.bincount(rows["_segment"].to_numpy(), minlength=len(offsets) - 1)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        row, item = pl.col("_row").cast(pl.Int64), ["_segment", "item"]
        linked = rows.select(
            earlier=row.shift(1).over(item).fill_null(-1),
            later=row.shift(-1).over(item).fill_null(-1),
            since=pl.col("known_time").dt.epoch("ns").first().over(item),
            told=pl.col("novelty").first().over(item),
        )
        first = np.flatnonzero(linked["earlier"].to_numpy() < 0)
        return cls(
            offsets,
            rows["known_time"].dt.epoch("ns").to_numpy(),
            linked["since"].to_numpy(),
            linked["earlier"].to_numpy(),
            linked["later"].to_numpy(),
            rows["score"].to_numpy(),
            rows["relevance"].to_numpy(),
            _confidence(rows),
            linked["told"].to_numpy(),
            rows.select("_segment", "known_time", "event_time", "item", "text"),
            first,
            np.searchsorted(first, offsets).astype(np.int64),
        )

    @cached_property
    def novelty(self) -> Floats:
        """What came with the item, else by its words (sentiment.repeats); a revision's is its first version's."""
        if not np.isnan(self.told).any():
            return self.told
        by_words = compare(self.said, by="_segment", measure="words")["novelty"].to_numpy()
        return np.where(np.isnan(self.told), by_words, self.told)

    def weighted(self, kind: str) -> tuple[Floats, Floats]:
        """(weight, value) of each row: `tone`, `novel` and `confident` weigh scores, `novelty` novelties."""
        if kind == "novelty":
            return self.relevance, self.novelty
        if kind == "novel":
            return self.relevance * self.novelty, self.score
        weight: Floats = self.relevance * discount(self.novelty)
        return weight * self.confidence if kind == "confident" else weight, self.score


def _confidence(rows: pl.DataFrame) -> Floats:
    parts = rows.select(TONES).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(parts > 0, parts * np.log(parts), parts * 0.0)
    confidence: Floats = np.clip(1.0 + terms.sum(axis=1) / np.log(3.0), 0.0, 1.0)
    return confidence
