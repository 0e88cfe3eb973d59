"""Features of news against what a user of pandas would write: exponential means by time, rolling windows, tables of
past sessions by the time of day. Items have no revisions here, which those know nothing of."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.attention import attention
from gpu_kernels.decayed_moments import decayed_moments
from gpu_kernels.window_moments import window_moments
from sentiment.features import news_features

MINUTE = 60 * 10**9
HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
HALF_LIVES = (HOUR, 6 * HOUR, DAY)
OPEN, SLOTS, STEP = 14 * HOUR + 30 * MINUTE, 76, 5 * MINUTE
SESSIONS, MINIMUM = 20, 10


def flow(entities: int, items: int, days: int) -> dict[str, Any]:
    """Items of entities of very different fame over weekdays and weekends, and decisions each 5 minutes of sessions."""
    rng = np.random.default_rng(8)
    fame = rng.pareto(1.2, entities) + 0.2
    of = np.sort(rng.choice(entities, items, p=fame / fame.sum()))
    offsets = np.searchsorted(of, np.arange(entities + 1)).astype(np.int64)
    # no two items, and no item and decision, at one time: pandas orders ties as it likes
    time = np.unique(rng.integers(0, days * DAY // 10**6, 2 * items)) * 10**6 + 1
    time = time[rng.permutation(len(time))[:items]]
    time = np.concatenate([np.sort(time[first:last]) for first, last in pairwise(offsets)])
    opens = np.arange(days // 7 * 7).reshape(-1, 7)[:, :5].reshape(-1) * DAY + OPEN
    at = (opens[:, None] + STEP * np.arange(1, SLOTS + 1)).reshape(-1)
    return {
        "time": time,
        "score": np.round(rng.uniform(-1, 1, items), 4),
        "weight": np.ones(items),
        "offsets": offsets,
        "entity": of,
        "none": np.full(items, -1),
        "opens": opens,
        "at": np.tile(at, entities),
        "at_offsets": np.arange(entities + 1) * len(at),
        "at_entity": np.repeat(np.arange(entities), len(at)),
    }


def pandas_decayed(items: pd.DataFrame, decisions: pd.DataFrame, back: np.ndarray) -> Outputs:
    """Decayed means at the decisions, which merge_asof wants sorted by time; `back` is their order by entity."""
    found = items[["entity", "time"]].copy()
    for half_life in HALF_LIVES:
        groups = items.groupby("entity", sort=False)[["score", "time"]]
        means = groups.apply(lambda g, h=half_life: g["score"].ewm(halflife=pd.Timedelta(h), times=g["time"]).mean())
        found[str(half_life)] = means.to_numpy()
    joined = pd.merge_asof(decisions, found.sort_values("time"), on="time", by="entity")
    return tuple(joined[str(half_life)].to_numpy()[back] for half_life in HALF_LIVES)


def pandas_window(both: pd.DataFrame, is_decision: np.ndarray) -> Outputs:
    """Number, mean, deviation, lowest and highest of the last day, at items and decisions alike."""
    rolled = both.groupby("entity", sort=False).rolling("1D", on="time", min_periods=1)["score"]
    # a sum of no item is 0, a mean of none is missing
    parts = (rolled.count(), rolled.mean(), rolled.std(ddof=0), rolled.min(), rolled.max())
    return tuple(part.to_numpy()[is_decision] for part in parts)


def pandas_attention(items: pd.DataFrame, data: dict[str, Any]) -> Outputs:
    """z-scores from tables of sessions by slots, entity by entity."""
    out = []
    moments = data["at"][: data["at_offsets"][1]]
    for _, times in items.groupby("entity", sort=False)["ns"]:
        held = times.to_numpy()
        count = np.searchsorted(held, moments, "right") - np.searchsorted(held, moments - HOUR, "right")
        table = pd.DataFrame(count.reshape(-1, SLOTS).astype(np.float64))
        covered = (moments.reshape(-1, SLOTS) - HOUR) >= held[0]
        past = table.where(covered).shift(1).rolling(SESSIONS, min_periods=MINIMUM)
        mean, variance, number = past.mean(), past.var(), past.count()
        spread = np.sqrt(np.maximum(np.maximum(variance, mean), 1 / number))
        out.append(((table - mean) / spread).to_numpy().reshape(-1))
    return (np.concatenate(out),)


def comparisons(quick: bool) -> Iterator[Comparison]:
    data = flow(*((12, 4_000, 140) if quick else (87, 106_000, 728)))
    time, none, offsets = data["time"], data["none"], data["offsets"]
    at, at_offsets, count = data["at"], data["at_offsets"], len(data["at"])
    stamps, moments = time.astype("datetime64[ns]"), at.astype("datetime64[ns]")
    items = pd.DataFrame({"entity": data["entity"], "time": stamps, "ns": time, "score": data["score"]})
    decisions = pd.DataFrame({"entity": data["at_entity"], "time": moments})
    by_time = np.argsort(at, kind="stable")
    back = np.empty(count, np.int64)
    back[by_time] = np.arange(count)
    sorted_decisions = decisions.iloc[by_time]
    rows = (time, time, none, none, data["weight"], data["score"], offsets)
    yield Comparison(
        "decayed means (and weights, deviations), 3 half-lives",
        count,
        "float64",
        count * (8 + 9 * 8) + len(time) * 32,
        lambda: tuple(decayed_moments(*rows, at, at_offsets, half_lives_ns=HALF_LIVES)[1]),
        {"pandas ewm, merge_asof": lambda: pandas_decayed(items, sorted_decisions, back)},
    )
    both = pd.concat([items[["entity", "time", "score"]], decisions]).sort_values(["entity", "time"], kind="stable")
    is_decision = both["score"].isna().to_numpy()

    def window() -> Outputs:
        spans = (time, time, none, data["weight"], data["score"], offsets)
        counts, moments = window_moments(*spans, at - DAY, at, at_offsets, below=-0.2)
        return (counts[1], *moments[1:5])

    yield Comparison(
        "number, mean, deviation, extremes of a day",
        count,
        "float64",
        count * (8 + 8 * 8) + len(time) * 32,
        window,
        {"pandas rolling": lambda: pandas_window(both, is_decision)},
        tolerance=1e-6,
    )
    opens = data["opens"]
    calendar = (opens, opens + SLOTS * STEP, np.zeros(len(opens), np.int64))
    session = np.searchsorted(opens, at, side="right") - 1

    def attended() -> Outputs:
        told = {"window_ns": HOUR, "sessions": SESSIONS, "minimum": MINIMUM}
        return (attention(time, offsets, at, session, at_offsets, *calendar, **told),)

    yield Comparison(
        "attention by time of day",
        count,
        "float64",
        count * 24 + len(time) * 8,
        attended,
        {"pandas tables": lambda: pandas_attention(items, data)},
        tolerance=1e-6,
    )
    frame = pl.DataFrame({"entity": data["entity"], "event_time": stamps, "known_time": stamps}).with_columns(
        pl.col("entity").cast(pl.String),
        pl.col("event_time", "known_time").dt.replace_time_zone("UTC"),
        item=pl.int_range(pl.len()).cast(pl.String),
        text=pl.lit(""),
        score=pl.Series(data["score"]),
        novelty=pl.Series(np.random.default_rng(1).random(len(time))),
    )
    grid = pl.DataFrame({"entity": data["at_entity"], "decision_time": moments}).with_columns(
        pl.col("entity").cast(pl.String), pl.col("decision_time").dt.replace_time_zone("UTC")
    )
    table = pl.DataFrame({"open": calendar[0], "close": calendar[1]}).select(
        session=pl.col("open").cast(pl.Datetime("ns", "UTC")).dt.date(),
        open=pl.col("open").cast(pl.Datetime("ns", "UTC")),
        close=pl.col("close").cast(pl.Datetime("ns", "UTC")),
    )

    def whole() -> Outputs:
        found = news_features(frame, grid, sessions=table, max_age_ns=3 * DAY)
        return tuple(found[name].to_numpy() for name in found.columns)

    yield Comparison("all standard features of tables, novelty given", count, "float64", count * 8 * 45, whole)
