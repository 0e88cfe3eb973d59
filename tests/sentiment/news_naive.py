"""Slow, obvious definitions of the news features: one decision at a time, all items looked at."""

import math
import re

import polars as pl

HOUR, DAY = 3600 * 10**9, 86_400 * 10**9


def word_set(text: str | None) -> set[str]:
    text = re.sub(r"https?://\S+|www\.\S+|\bURL\b|\bAT_USER\b|(?<!\w)@\w+", " ", text or "")
    text = re.sub(r"^\s*rt\b\s*:?", " ", text, flags=re.IGNORECASE)
    return set(re.findall(r"\w+", text.lower()))


def novelty(texts: list[str | None], time: list[int], window: int, capacity: int) -> list[float]:
    found = []
    for i, text in enumerate(texts):
        similar = [0.0]
        for j in range(max(0, i - capacity), i):
            if time[i] - time[j] <= window:
                a, b = word_set(text), word_set(texts[j])
                similar.append(len(a & b) / len(a | b) if a | b else 1.0)
        found.append(1 - max(similar))
    return found


def stream_features(items: list[dict], t: int) -> list[float]:
    """Of one stream: items (known, score, text) in order of arrival, at time t."""
    seen = [item for item in items if item["known"] <= t]
    new = novelty([item["text"] for item in seen], [item["known"] for item in seen], 3 * DAY, 200)
    weight = [0.1 if value <= 0.2 else 1.0 for value in new]
    toned = [i for i, item in enumerate(seen) if not math.isnan(item["score"])]
    row: list[float] = []
    for half_life in (HOUR, 6 * HOUR, DAY):
        row.append(
            sum(weight[i] * seen[i]["score"] * 2 ** (-(t - seen[i]["known"]) / half_life) for i in toned)
            if seen
            else math.nan
        )
    row += [float(sum(t - w < item["known"] for item in seen)) for w in (HOUR, DAY)]
    if seen and t - DAY - seen[0]["known"] >= 5 * DAY:
        days = min(t - DAY - seen[0]["known"], 29 * DAY) / DAY
        usual = sum(t - 30 * DAY < item["known"] <= t - DAY for item in seen) / days
        row.append(math.log((1 + row[-1]) / (1 + usual)))
    else:
        row.append(math.nan)
    recent = [i for i in toned if seen[i]["known"] > t - DAY]
    total = sum(weight[i] for i in recent)
    row.append(sum(weight[i] * seen[i]["score"] for i in recent) / total if recent else math.nan)
    row.append(sum(weight[i] for i in recent if seen[i]["score"] < -0.2) / total if recent else math.nan)
    row.append(new[-1] if seen and t - seen[-1]["known"] <= 3 * DAY else math.nan)
    row.append((t - seen[-1]["known"]) / (60 * 10**9) if seen else math.nan)
    return row


def news_features(items: pl.DataFrame, grid: pl.DataFrame) -> list[list[float]]:
    """Rows of the grid: the entity's features, then the market's."""
    rows = [
        {
            "entity": row["entity"],
            "item": row["item"],
            "text": row["text"],
            "known": known,
            "event": event,
            "score": math.nan if row["score"] is None else row["score"],
        }
        for row, known, event in zip(
            items.to_dicts(), items["known_time"].dt.epoch("ns"), items["event_time"].dt.epoch("ns"), strict=True
        )
    ]
    rows.sort(key=lambda row: (row["known"], row["event"]))
    pooled, seen = [], set()
    for row in rows:
        if (row["item"], row["known"]) not in seen:
            seen.add((row["item"], row["known"]))
            pooled.append(row)
    return [
        stream_features([row for row in rows if row["entity"] == entity], t) + stream_features(pooled, t)
        for entity, t in zip(grid["entity"], grid["decision_time"].dt.epoch("ns"), strict=True)
    ]
