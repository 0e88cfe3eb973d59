"""News features: what the items received so far amount to at each decision, for each entity and for the market.

Items count from known_time, in order of arrival; at decision t only items with known_time <= t are seen. An item's own
numbers (score, novelty, weight) depend on earlier arrivals alone, so later items change nothing: the features are
truncation-invariant by construction.

A near-duplicate (novelty <= 0.2, that is, a Jaccard similarity of at least 0.8 to an earlier item of the same stream)
has weight 0.1 in all sums and means of scores; any other item has weight 1. Counts count every item. An item without a
score (blank text) is counted but says nothing about tone.

The market's stream (prefix `news_market_`) is all entities' items in one, an item that names several entities once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from gpu_kernels.decay import decayed_sum, last_index
from gpu_kernels.errors import DataError
from gpu_kernels.spec import FeatureSpec
from sentiment.novelty import novelty

HOUR = 3600 * 10**9
DAY = 24 * HOUR
MINUTE = 60 * 10**9
HALF_LIVES: Mapping[str, int] = {"1h": HOUR, "6h": 6 * HOUR, "1d": DAY}
COUNT_WINDOWS: Mapping[str, int] = {"1h": HOUR, "24h": DAY}
TONE_WINDOW = DAY
NOVELTY_WINDOW, NOVELTY_CAPACITY = 3 * DAY, 200
DUPLICATE_NOVELTY, DUPLICATE_WEIGHT = 0.2, 0.1
NEGATIVE_SCORE = -0.2
RATE_WINDOW, RATE_MINIMUM = 30 * DAY, 5 * DAY
HISTORY = 60 * DAY  # older items move no feature: longer than every window, and 2^-60 of a sum
_UNIT = 10**9  # scores are summed as whole billionths: integer sums are exact, so prefix differences lose nothing

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

OWN, MARKET = "news_", "news_market_"
"""Prefixes of the features of an entity's own items, and of everybody's."""
REQUIRED = ("entity", "event_time", "known_time", "item", "text", "score")
GRID = ("entity", "decision_time")


def specs(
    half_lives: Mapping[str, int] = HALF_LIVES, windows: Mapping[str, int] = COUNT_WINDOWS
) -> tuple[FeatureSpec, ...]:
    """The features in the order of `news_features`' columns, the entity's and then the market's."""
    return tuple(
        FeatureSpec(prefix + name, "news", unit, "each item", f"{meaning}; items {whose}", missing, source)
        for prefix, whose in ((OWN, "of the entity"), (MARKET, "of all entities"))
        for name, unit, meaning, missing, source in _described(half_lives, windows)
    )


def _described(half_lives: Mapping[str, int], windows: Mapping[str, int]) -> list[tuple[str, str, str, str, str]]:
    never, quiet = "no item was ever received", "no scored item in the last 24 h"
    return [
        *(
            (
                f"score_decay_{name}",
                "1",
                f"sum of weight_i * score_i * 2^-((t - known_time_i) / {name}), weight 0.1 for near-duplicates",
                never,
                "definition",
            )
            for name in half_lives
        ),
        *(
            (f"count_{name}", "items", f"items with known_time in (t - {name}, t]", "never", "definition")
            for name in windows
        ),
        (
            "abnormal_count",
            "1",
            "log((1 + items of the last 24 h) / (1 + items per 24 h in the 29 days before those)), own rate, at t",
            "the first item is less than 6 days old",
            "after Barber and Odean 2008 (abnormal attention), with news counts",
        ),
        ("score_mean_24h", "1", "weighted mean of the scores of the last 24 h", quiet, "definition"),
        (
            "share_negative_24h",
            "1",
            f"weighted share of the last 24 h's scored items with score < {NEGATIVE_SCORE}",
            quiet,
            "definition",
        ),
        (
            "novelty",
            "1",
            "of the latest item: 1 - max Jaccard similarity of words to the (at most 200) items of the 72 h before",
            "no item in the last 72 h",
            "Jaccard 1901; after Tetlock 2011 (stale news)",
        ),
        ("minutes_since_item", "minutes", "t - known_time of the latest item", never, "definition"),
    ]


FEATURES: tuple[FeatureSpec, ...] = specs()


def news_features(
    items: pl.DataFrame,
    grid: pl.DataFrame,
    *,
    half_lives: Mapping[str, int] = HALF_LIVES,
    windows: Mapping[str, int] = COUNT_WINDOWS,
) -> pl.DataFrame:
    """The news features of every decision of a grid.

    items        one row per (entity, item): entity, event_time, known_time, item, text, score; in any order. Items of
                 entities that the grid lacks count for the market. Equal known_time: by event_time, then as given
    grid         entity, decision_time (and whatever else); in any order
    half_lives   name -> nanoseconds of the decayed sums
    windows      name -> nanoseconds of the counts

    Returns the grid's rows in their order, one Float64 column per feature of `specs(half_lives, windows)`.

    Missing values: NaN where `FeatureSpec.missing` says so: no news is missing, not neutral. A null or NaN score is an
    item without tone.
    Raises DataError where a column is missing, a time or an entity is null, or a score lies outside [-1, 1].
    """
    _check(items, REQUIRED, "news items")
    _check(grid, GRID, "decision grid")
    scores = items["score"].cast(pl.Float64).fill_null(np.nan)
    largest = np.abs(np.nan_to_num(scores.to_numpy(), nan=0.0)).max(initial=0.0)
    if largest > 1:
        raise DataError(f"a score of size {largest}", allowed="scores in [-1, 1]")
    items = items.select(*REQUIRED[:-1], scores).sort("known_time", "event_time", maintain_order=True)
    entities = grid["entity"].unique(maintain_order=True).to_list()
    pooled = items.unique(["item", "known_time"], keep="first", maintain_order=True)
    own = _columns(items, "entity", grid, grid["entity"], entities, half_lives, windows)
    market = _columns(pooled, None, grid, None, [None], half_lives, windows)
    names = [spec.name for spec in specs(half_lives, windows)]
    return pl.DataFrame(dict(zip(names, own + market, strict=True)), schema=dict.fromkeys(names, pl.Float64()))


def _check(frame: pl.DataFrame, columns: Sequence[str], what: str) -> None:
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


def _columns(
    items: pl.DataFrame,
    by: str | None,
    grid: pl.DataFrame,
    entity: pl.Series | None,
    entities: Sequence[str | None],
    half_lives: Mapping[str, int],
    windows: Mapping[str, int],
) -> list[Floats]:
    """The features of the streams of `by` (one stream where it is None), scattered back to the grid's rows."""
    item_rows, item_offsets = _segments(None if by is None else items[by], items.height, entities)
    decision = grid["decision_time"].dt.epoch("ns").to_numpy()
    # the sort by segment is stable, so sorting by time first orders the decisions within each segment
    by_time = np.argsort(decision, kind="stable")
    rows, offsets = _segments(None if entity is None else entity[by_time], grid.height, entities)
    rows = by_time[rows]
    stream = _stream(items[item_rows], item_offsets)
    output = []
    for values in _at(stream, decision[rows], offsets, half_lives, windows):
        column = np.empty(grid.height, dtype=np.float64)
        column[rows] = values
        output.append(column)
    return output


def _segments(key: pl.Series | None, height: int, keys: Sequence[str | None]) -> tuple[Int64s, Int64s]:
    """(rows, offsets): the rows of each key in turn, in their order; rows of other keys are left out."""
    if key is None:
        return np.arange(height), np.array([0, height], dtype=np.int64)
    number = key.replace_strict(keys, range(len(keys)), default=len(keys), return_dtype=pl.Int64).to_numpy()
    counts = np.bincount(number, minlength=len(keys) + 1)[: len(keys)]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.argsort(number, kind="stable")[: offsets[-1]], offsets


@dataclass(frozen=True)
class _Stream:
    """Items in order of (segment, arrival) with what is known of each on arrival."""

    time: Int64s
    offsets: Int64s
    score: Floats
    weight: Floats
    novelty: Floats


def _stream(items: pl.DataFrame, offsets: Int64s) -> _Stream:
    time = items["known_time"].dt.epoch("ns").to_numpy()
    new = novelty(items["text"].to_list(), time, offsets, window_ns=NOVELTY_WINDOW, capacity=NOVELTY_CAPACITY)
    weight = np.where(new <= DUPLICATE_NOVELTY, DUPLICATE_WEIGHT, 1.0)
    return _Stream(time, offsets, items["score"].to_numpy(), weight, new)


def _at(
    stream: _Stream, at: Int64s, at_offsets: Int64s, half_lives: Mapping[str, int], windows: Mapping[str, int]
) -> list[Floats]:
    """The features at sorted decisions, in the order of `_described`."""

    def position(time: Int64s) -> Int64s:
        """How many items of the whole table come up to the last one known at `time`; the segment's start where none."""
        found: Int64s = last_index(stream.time, stream.offsets, time, at_offsets)
        return np.where(found < 0, start, found + 1)

    start = np.repeat(stream.offsets[:-1], np.diff(at_offsets))
    now, before = position(at), position(at - TONE_WINDOW)
    ever = now > start
    latest = np.maximum(now - 1, 0)
    scored = ~np.isnan(stream.score)
    weight, tone = np.where(scored, stream.weight, 0.0), np.where(scored, stream.score * stream.weight, 0.0)
    total = _window_sum(weight, before, now)
    decayed = [
        np.where(ever, decayed_sum(stream.time, tone, stream.offsets, at, at_offsets, half_life), np.nan)
        for half_life in half_lives.values()
    ]
    age = np.full(len(at), np.nan)
    age[ever] = at[ever] - stream.time[latest[ever]]
    return [
        *decayed,
        *((now - position(at - window)).astype(np.float64) for window in windows.values()),
        _abnormal_count(stream, at, start, position(at - RATE_WINDOW), before, now),
        _ratio(_window_sum(tone, before, now), total),
        _ratio(_window_sum(np.where(stream.score < NEGATIVE_SCORE, weight, 0.0), before, now), total),
        _pick(stream.novelty, latest, age <= NOVELTY_WINDOW),
        age / MINUTE,
    ]


def _abnormal_count(stream: _Stream, at: Int64s, start: Int64s, month: Int64s, day: Int64s, now: Int64s) -> Floats:
    """log((1 + today) / (1 + usual)), `usual` from the 29 days before the last 24 h, or as many as there were."""
    ever = now > start
    first = np.full(len(at), np.iinfo(np.int64).max // 2)
    first[ever] = stream.time[start[ever]]
    history = np.minimum(at - DAY - first, RATE_WINDOW - DAY)
    enough = history >= RATE_MINIMUM
    output = np.full(len(at), np.nan)
    usual = (day - month)[enough] / (history[enough] / DAY)
    output[enough] = np.log((1 + (now - day)[enough]) / (1 + usual))
    return output


def _window_sum(values: Floats, first: Int64s, stop: Int64s) -> Floats:
    """sum(values[first:stop]) for each pair, exact: the values are counted in billionths."""
    total = np.concatenate([[0], np.cumsum(np.round(values * _UNIT).astype(np.int64))])
    sums: Floats = (total[stop] - total[first]) / _UNIT
    return sums


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio


def _pick(values: Floats, index: Int64s, known: npt.NDArray[np.bool_]) -> Floats:
    output = np.full(len(index), np.nan)
    output[known] = values[index[known]]
    return output
