"""How well detected intervals agree with the planted truth: pure functions of two tables.

truth      entity, session, kind, is_decoy, start, end, strength: `SimulatedOrders.truth`
detected   entity, session, start, end, score: intervals (start = end: a moment), higher scores surer
bounds     entity, session, open, close: `session_bounds`

A detection hits an episode when at least half of it lies between the episode's start and `slack` after its end (a
detector may need the end to be sure). So one alarm that lasts all day hits nothing, and many short ones inside a long
episode all do.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gpu_kernels.errors import ArgumentError
from sources.schema import TIME
from sources.simulate.draws import Stream, uniform, words
from sources.simulate.orders.config import NS, OrderSimulation

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

INSIDE = 0.5  # share of a detection that must lie in an episode
STRENGTHS = (0.0, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, float("inf"))
_KEYS = ("entity", "session")
_HOUR = 3600 * NS


@dataclass(frozen=True)
class Judgement:
    """How a detector did.

    precision             share of the detections that hit an episode of the wanted kinds; NaN without detections
    recall                share of those episodes that were hit; NaN without episodes
    average_precision     sum over score thresholds of precision times the recall gained; a detection that hits only
                          episodes already found by a surer one counts neither for nor against
    false_alarms_per_hour detections that hit no wanted episode, per hour of session
    detected_share        share of the sessions' time that lies in detections
    chance_recall         mean recall of the wanted episodes' own intervals, shifted at random: the floor for a detector
                          that knows how many there are and how long they last
    chance_recall_high    its 97.5 % quantile
    own_chance_recall     mean recall of the detections, shifted at random: what their number and length alone gain
    by_strength           kind, strength_from, strength_to, episodes, found, recall
    decoys                kind, decoys, hit, share; hit by a detection that hit no wanted episode (an order that stays
                          all day has some inside it)
    curve                 score, precision, recall: at each threshold, falling
    """

    precision: float
    recall: float
    average_precision: float
    false_alarms_per_hour: float
    detected_share: float
    chance_recall: float
    chance_recall_high: float
    own_chance_recall: float
    by_strength: pl.DataFrame
    decoys: pl.DataFrame
    curve: pl.DataFrame


def session_bounds(config: OrderSimulation) -> pl.DataFrame:
    """entity, session, open, close of every market and session of a config."""
    rows = [
        (market.entity, session, opened, opened + round(config.duration * NS))
        for market in config.markets
        for session, opened in config.days()
    ]
    schema = {"entity": pl.String(), "session": pl.Date(), "open": pl.Int64(), "close": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("open", "close").cast(TIME))


def judge(
    truth: pl.DataFrame,
    detected: pl.DataFrame,
    bounds: pl.DataFrame,
    kinds: Collection[str],
    *,
    slack: timedelta = timedelta(seconds=1),
    strengths: Sequence[float] = STRENGTHS,
    draws: int = 200,
    seed: int = 0,
) -> Judgement:
    """Judge the detections of episodes of some kinds, e.g. ("spoof", "layering"); see `Judgement`.

    Episodes of other planted kinds count as false alarms where they are hit, as decoys do. `strengths` are the edges of
    the bins of `by_strength` (from <= strength < to); `draws` the random shifts.
    Missing values: none are allowed; a NaN score raises.
    Raises ArgumentError for missing columns, an end before its start, a NaN score, a session without bounds.
    """
    _check("truth", truth, {"entity", "session", "kind", "is_decoy", "start", "end", "strength"}, bounds)
    _check("detected", detected, {"entity", "session", "start", "end", "score"}, bounds)
    wanted = truth.filter(pl.col("kind").is_in(list(kinds)))
    decoys = truth.filter(pl.col("is_decoy"))
    late = round(slack.total_seconds() * NS)
    score = detected["score"].cast(pl.Float64).to_numpy()
    if np.isnan(score).any():
        raise ArgumentError("a score is NaN", allowed="numbers", hint="drop such detections first")
    pairs = _pairs(wanted, detected, late)
    right, found = _marks(pairs, detected.height, wanted.height)
    wrong = detected.filter(pl.Series(~right, dtype=pl.Boolean))
    decoy_hit = _marks(_pairs(decoys, wrong, late), wrong.height, decoys.height)[1]
    curve, average = _curve(pairs, score, wanted.height)
    length = float((bounds["close"] - bounds["open"]).dt.total_nanoseconds().sum())
    chance = chance_recall(wanted, wanted, bounds, slack=slack, draws=draws, seed=seed)
    own = chance_recall(wanted, detected, bounds, slack=slack, draws=draws, seed=seed)
    return Judgement(
        precision=_share(right),
        recall=_share(found),
        average_precision=average,
        false_alarms_per_hour=float((~right).sum()) / (length / _HOUR),
        detected_share=_covered(detected) / length,
        chance_recall=float(np.mean(chance)) if len(chance) else float("nan"),
        chance_recall_high=float(np.quantile(chance, 0.975)) if len(chance) else float("nan"),
        own_chance_recall=float(np.mean(own)) if len(own) else float("nan"),
        by_strength=_by_strength(wanted, found, strengths),
        decoys=decoys.select("kind")
        .with_columns(hit=pl.Series(decoy_hit))
        .group_by("kind")
        .agg(decoys=pl.len(), hit=pl.col("hit").sum(), share=pl.col("hit").mean())
        .sort("kind"),
        curve=curve,
    )


def chance_recall(
    truth: pl.DataFrame,
    intervals: pl.DataFrame,
    bounds: pl.DataFrame,
    *,
    slack: timedelta = timedelta(seconds=1),
    draws: int = 200,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Recall of `truth` by `intervals` that are shifted round within their session, all by one random amount, for each
    draw: (draws,); empty without episodes. An interval that runs over the close goes on at the open.

    Intervals outside their session's bounds are cut to them. Missing values: none.
    """
    if truth.is_empty():
        return np.empty(0)
    late = round(slack.total_seconds() * NS)
    limits = bounds.select(*_KEYS, "open", "close")
    placed = intervals.select(*_KEYS, "start", "end").join(limits, on=_KEYS, how="inner", maintain_order="left")
    opened, closed, start, end = (placed[name].to_physical().to_numpy() for name in ("open", "close", "start", "end"))
    length = closed - opened
    first = np.clip(start - opened, 0, length)
    last = np.clip(end - opened, first, length)
    # one amount a session, however many intervals it holds
    group = placed.select(pl.struct(_KEYS).rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    groups = int(group.max()) + 1 if len(group) else 0
    found = np.empty(draws)
    for draw in range(draws):
        amount = uniform(words(seed, Stream.ORDERS, 2_000, draw, count=max(groups, 1)))
        moved = first + (amount[group] * length).astype(np.int64) if groups else first
        moved_start, moved_end = moved % np.maximum(length, 1), moved % np.maximum(length, 1) + (last - first)
        over = moved_end > length
        head = placed.select(_KEYS).with_columns(
            start=pl.Series(opened + moved_start).cast(TIME),
            end=pl.Series(opened + np.minimum(moved_end, length)).cast(TIME),
        )
        rest = placed.select(_KEYS).with_columns(
            start=pl.Series(opened).cast(TIME), end=pl.Series(opened + np.maximum(moved_end - length, 0)).cast(TIME)
        )
        shifted = pl.concat([head, rest.filter(pl.Series(over, dtype=pl.Boolean))])
        found[draw] = _share(_marks(_pairs(truth, shifted, late), shifted.height, truth.height)[1])
    return found


def _check(name: str, table: pl.DataFrame, needed: set[str], bounds: pl.DataFrame) -> None:
    if missing := sorted(needed - set(table.columns)):
        raise ArgumentError(f"{name} has no column {missing[0]}", allowed=", ".join(sorted(needed)))
    if nulls := [column for column in sorted(needed) if table[column].null_count()]:
        raise ArgumentError(f"{name} has nulls in {nulls[0]}", allowed="no missing values")
    if (table["end"] < table["start"]).any():
        raise ArgumentError(f"{name} has an interval that ends before it starts", allowed="start <= end")
    outside = table.join(bounds, on=_KEYS, how="anti")
    if outside.height:
        raise ArgumentError(
            f"{name} has rows of {outside['entity'][0]} in {outside['session'][0]}, which bounds lacks",
            allowed="sessions of `bounds`",
        )


def _share(marks: Booleans) -> float:
    return float(marks.mean()) if len(marks) else float("nan")


def _pairs(truth: pl.DataFrame, detected: pl.DataFrame, late: int) -> Integers:
    """(pairs, 2): each (detection, episode) where the first hits the second."""
    episodes = truth.select(*_KEYS, a="start", b="end").with_row_index("episode")
    marks = detected.select(*_KEYS, "start", "end").with_row_index("detection")
    joined = marks.join(episodes, on=_KEYS, how="inner")
    start, end, a, b = (joined[name].to_physical().to_numpy() for name in ("start", "end", "a", "b"))
    common = np.minimum(end, b + late) - np.maximum(start, a)
    hit = (common >= 0) & (common >= INSIDE * (end - start))
    chosen = joined.filter(pl.Series(hit, dtype=pl.Boolean)).select("detection", "episode").cast(pl.Int64)
    return chosen.to_numpy().reshape(-1, 2)


def _marks(pairs: Integers, detections: int, episodes: int) -> tuple[Booleans, Booleans]:
    """(which detections hit something, which episodes were hit)."""
    right, found = np.zeros(detections, dtype=np.bool_), np.zeros(episodes, dtype=np.bool_)
    right[pairs[:, 0]] = True
    found[pairs[:, 1]] = True
    return right, found


def _curve(pairs: Integers, score: NDArray[np.float64], episodes: int) -> tuple[pl.DataFrame, float]:
    """Precision and recall at each score as threshold, and the average precision."""
    hits: dict[int, list[int]] = {}
    for detection, episode in pairs.tolist():
        hits.setdefault(detection, []).append(episode)
    found: set[int] = set()
    right, wrong, average, before = 0, 0, 0.0, 0.0
    points: list[tuple[float, float, float]] = []
    order = np.argsort(-score, kind="stable").tolist()
    at = 0
    while at < len(order):
        threshold, known = float(score[order[at]]), frozenset(found)
        while at < len(order) and score[order[at]] == threshold:  # ties are one step
            hit = hits.get(order[at])
            wrong += hit is None
            right += hit is not None and not known.issuperset(hit)
            found.update(hit or ())
            at += 1
        precision = right / (right + wrong) if right + wrong else float("nan")
        recall = len(found) / episodes if episodes else float("nan")
        if recall > before:
            average += precision * (recall - before)
            before = recall
        points.append((threshold, precision, recall))
    schema = {"score": pl.Float64(), "precision": pl.Float64(), "recall": pl.Float64()}
    return pl.DataFrame(points, schema=schema, orient="row"), average if episodes else float("nan")


def _covered(detected: pl.DataFrame) -> float:
    """Nanoseconds in at least one detection."""
    total = 0
    for group in detected.sort("start").partition_by(_KEYS):
        start, end = group["start"].to_physical().to_numpy(), group["end"].to_physical().to_numpy()
        reach = np.maximum.accumulate(end)
        free_from = np.append(start[:1], np.maximum(start[1:], reach[:-1]))
        total += int(np.maximum(end - free_from, 0).sum())
    return float(total)


def _by_strength(wanted: pl.DataFrame, found: Booleans, edges: Sequence[float]) -> pl.DataFrame:
    bins = np.searchsorted(np.array(edges), wanted["strength"].to_numpy(), side="right") - 1
    rows = wanted.select("kind").with_columns(bin=pl.Series(bins, dtype=pl.Int64), hit=pl.Series(found))
    table = rows.group_by("kind", "bin").agg(episodes=pl.len(), found=pl.col("hit").sum(), recall=pl.col("hit").mean())
    lower = pl.Series([*edges, float("inf")], dtype=pl.Float64)
    return table.sort("kind", "bin").select(
        "kind",
        strength_from=lower.gather(table.sort("kind", "bin")["bin"].clip(0)),
        strength_to=lower.gather(table.sort("kind", "bin")["bin"] + 1),
        episodes="episodes",
        found="found",
        recall="recall",
    )
