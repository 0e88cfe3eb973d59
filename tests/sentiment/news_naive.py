"""Slow, obvious definitions of the news features: one decision at a time, all items looked at."""

import math
import re
from itertools import groupby

import polars as pl

MINUTE, HOUR, DAY = 60 * 10**9, 3600 * 10**9, 86_400 * 10**9
UNITS = {"min": MINUTE, "h": HOUR, "d": DAY}


def word_set(text: str | None) -> set[str]:
    text = re.sub(r"https?://\S+|www\.\S+|\bURL\b|\bAT_USER\b|(?<!\w)@\w+", " ", text or "")
    text = re.sub(r"^\s*rt\b\s*:?", " ", text, flags=re.IGNORECASE)
    return set(re.findall(r"\w+", text.lower()))


def overlap(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 1.0


def discount(novelty: float) -> float:
    """1 from 0.3 on, 0.1 up to 0.1, a smooth step between."""
    u = min(1.0, max(0.0, (novelty - 0.1) / 0.2))
    return 0.1 + 0.9 * (3 * u**2 - 2 * u**3)


def novelty(texts: list[str | None], time: list[int], window: int, capacity: int) -> list[float]:
    found, sets = [], [word_set(text) for text in texts]
    for i in range(len(texts)):
        similar = [0.0]
        for j in range(max(0, i - capacity), i):
            if time[i] - time[j] <= window:
                similar.append(overlap(sets[i], sets[j]))
        found.append(1 - max(similar))
    return found


def sorted_rows(items: pl.DataFrame) -> list[dict]:
    """Rows with times in ns, in order of arrival."""
    known, event = (items[name].dt.epoch("ns") for name in ("known_time", "event_time"))
    rows = [
        {**row, "known": k, "event": e, "score": math.nan if row["score"] is None else row["score"]}
        for row, k, e in zip(items.to_dicts(), known, event, strict=True)
    ]
    for row in rows:
        row["relevance"] = 1.0 if row.get("relevance") is None else row["relevance"]
        row["novelty"] = math.nan if row.get("novelty") is None else row["novelty"]
    rows.sort(key=lambda row: (row["known"], row["event"], row["item"], row["entity"], row["text"] or "", row["score"]))
    last = {(row["entity"], row["item"], row["known"]): row for row in rows}
    return [row for row in rows if last[row["entity"], row["item"], row["known"]] is row]


def pooled(rows: list[dict]) -> list[dict]:
    """Each item once: its rows of one time made one."""
    merged = []
    for _, group in groupby(
        sorted(rows, key=lambda row: (row["known"], row["item"])), lambda r: (r["known"], r["item"])
    ):
        same = sorted(group, key=lambda row: (row["event"], row["entity"]))
        told = [row["novelty"] for row in same if not math.isnan(row["novelty"])]
        scored = [row for row in same if not math.isnan(row["score"]) and row["relevance"] > 0]
        total = sum(row["relevance"] for row in scored)
        score = sum(row["relevance"] * row["score"] for row in scored) / total if scored else math.nan
        score = same[0]["score"] if len(same) == 1 else score
        more = {"score": score, "novelty": min(told, default=math.nan)}
        merged.append({**same[0], "relevance": max(row["relevance"] for row in same), **more})
    return sorted(merged, key=lambda row: (row["known"], row["event"], row["item"], row["entity"]))


class Seen:
    """The items of one stream that are known at t, in order of arrival, each as its newest version says."""

    def __init__(self, rows: list[dict], t: int) -> None:
        items: dict[str, dict] = {}
        for row in rows:
            if row["known"] > t:
                continue
            old = items.get(row["item"])
            own = {"since": row["known"], "new": row["words"] if math.isnan(row["novelty"]) else row["novelty"]}
            first = {"first_score": row["score"]}
            kept = own | first if old is None else {key: old[key] for key in ("since", "new", "first_score")}
            items[row["item"]] = {**row, **kept}
        self.t, self.items = t, list(items.values())
        for item in self.items:
            item["weight"] = item["relevance"] * discount(item["new"])

    def within(self, after: int, upto: int) -> list[dict]:
        return [item for item in self.items if after < item["since"] <= upto]

    def decayed(self, half_life: int, weight: str = "tone", value: str = "score") -> tuple[float, float, float]:
        weights, values = [], []
        for item in self.items:
            w = {"tone": item["weight"], "novel": item["relevance"] * item["new"], "novelty": item["relevance"]}[weight]
            if w > 0 and not math.isnan(item[value]):
                weights.append(w * 2 ** (-(self.t - item["since"]) / half_life))
                values.append(item[value])
        total = sum(weights)
        if total < 2**-10:
            return math.nan, math.nan, math.nan
        mean = sum(w * v for w, v in zip(weights, values, strict=True)) / total
        spread = sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True)) / total
        return total, mean, math.sqrt(spread)


def scored(items: list[dict]) -> list[dict]:
    return [item for item in items if not math.isnan(item["score"]) and item["weight"] > 0]


def mean_score(items: list[dict]) -> float:
    used = scored(items)
    return sum(i["weight"] * i["score"] for i in used) / sum(i["weight"] for i in used) if used else math.nan


def unfaded(rows: list[dict], t: int, half_life: int) -> tuple[float, float]:
    """Decayed mean and deviation at t, however faded."""
    items = scored(Seen(rows, t).items)
    if not items:
        return math.nan, math.nan
    newest = max(i["since"] for i in items)
    weights = [i["weight"] * 2 ** (-(newest - i["since"]) / half_life) for i in items]
    mean = sum(w * i["score"] for w, i in zip(weights, items, strict=True)) / sum(weights)
    spread = sum(w * (i["score"] - mean) ** 2 for w, i in zip(weights, items, strict=True)) / sum(weights)
    return mean, math.sqrt(spread)


def attention(rows: list[dict], t: int, window: int, sessions: list[tuple], cutoff: int) -> float:
    now = [k for k, (_, opened, _) in enumerate(sessions) if opened <= t][-1:]
    items = Seen(rows, t).items
    if not now or not items or t > sessions[now[0]][2]:
        return math.nan
    counted = []
    for item in items:
        inside = any(opened <= item["since"] <= closed - cutoff for _, opened, closed in sessions)
        later = [opened for _, opened, _ in sessions if opened > item["since"]]
        counted.append(item["since"] if inside else min(later, default=2**62))
    offset = t - sessions[now[0]][1]
    weekend = sessions[now[0]][0].weekday() >= 5
    usual = []
    for day, opened, closed in sessions[: now[0]]:
        at = opened + offset
        if (day.weekday() >= 5) == weekend and at <= closed and at - window >= counted[0]:
            usual.append(sum(at - window < c <= at for c in counted))
    usual = usual[-20:]
    if len(usual) < 10:
        return math.nan
    mean = sum(usual) / len(usual)
    variance = max(sum((c - mean) ** 2 for c in usual) / (len(usual) - 1), mean, 1 / len(usual))
    return (sum(t - window < c <= t for c in counted) - mean) / math.sqrt(variance)


def feature(  # noqa: PLR0911, PLR0912
    name: str, rows: list[dict], t: int, sessions: list[tuple], max_age: int, cutoff: int
) -> float:
    """One feature of one stream; `sessions` are (day, open, close) in ns."""
    words = name.removeprefix("news_").removeprefix("market_").split("_")
    times = [int(re.match(r"\d+", w)[0]) * UNITS[re.sub(r"\d+", "", w)] for w in words if re.fullmatch(r"\d+\w+", w)]
    stem = "_".join(w for w in words if not re.fullmatch(r"\d+\w+", w))
    seen = Seen(rows, t)
    items = seen.items
    one, two = (items[-1] if items else None), (items[-2] if len(items) > 1 else None)
    fresh = one is not None and t - one["since"] <= max_age
    past = [s for s in sessions if s[1] <= t]
    if stem in {"tone", "tone_sum", "dispersion"}:
        total, mean, spread = seen.decayed(times[0])
        return {"tone": mean, "tone_sum": total * mean, "dispersion": spread}[stem]
    if stem in {"novel_tone", "novelty"} and times:
        return (
            seen.decayed(times[0], "novel")[1] if stem == "novel_tone" else seen.decayed(times[0], "novelty", "new")[1]
        )
    if stem == "tone_change":
        return seen.decayed(times[0])[1] - seen.decayed(times[1])[1]
    if stem == "surprise":
        before = Seen(rows, t - times[0])
        usual = [i for i in before.within(t - times[0] - times[1], t) if not math.isnan(i["first_score"])]
        mean, spread = unfaded(rows, t - times[0], times[1])
        return (seen.decayed(times[0])[1] - mean) / spread if len(usual) >= 10 and spread >= 0.01 else math.nan
    if stem in {"window_tone", "lowest", "highest", "share_negative", "scored", "count"}:
        inside = seen.within(t - times[0], t)
        used = scored(inside)
        if stem == "count":
            return len(inside)
        if stem == "scored":
            return len(used)
        if not used:
            return math.nan
        low = sum(i["weight"] for i in used if i["score"] < -0.2) / sum(i["weight"] for i in used)
        scores = [i["score"] for i in used]
        found = {"window_tone": mean_score(inside), "lowest": min(scores), "highest": max(scores)}
        return (found | {"share_negative": low})[stem]
    if stem in {"last_tone", "statement_tone"}:
        return one["score"] if fresh else math.nan
    if stem in {"last_change", "statement_change"}:
        near = two is not None and (stem == "statement_change" or one["since"] - two["since"] <= max_age)
        return one["score"] - two["score"] if fresh and near else math.nan
    if stem in {"minutes_since", "statement_days"}:
        return (t - one["since"]) / (MINUTE if stem == "minutes_since" else DAY) if fresh else math.nan
    if stem == "novelty":
        return one["new"] if fresh else math.nan
    if stem == "attention":
        return attention(rows, t, times[0], sessions, cutoff)
    if stem == "attention_ratio":
        short, before = times[0], times[1] - times[0]
        if not items or min(t - short - items[0]["since"], before) < before / 6:
            return math.nan
        passed = min(t - short - items[0]["since"], before)
        usual = len(seen.within(t - times[1], t - short)) / (passed / short)
        return math.log((1 + len(seen.within(t - short, t))) / (1 + usual))
    if stem in {"session_count", "session_tone", "overnight_count", "overnight_tone"}:
        if len(past) < 2:
            return math.nan
        upto = past[-1][1] if stem.startswith("overnight") else min(t, past[-1][2] - cutoff)
        inside = Seen(rows, upto).within(past[-2][2] - cutoff, upto)
        return float(len(inside)) if stem.endswith("count") else mean_score(inside)
    raise AssertionError(name)


def news_features(
    names: list[str],
    items: pl.DataFrame,
    grid: pl.DataFrame,
    sessions: pl.DataFrame,
    *,
    max_age: int,
    cutoff: int = 0,
    shared: str | None = None,
) -> list[list[float]]:
    """Rows of the grid, columns of the names."""
    rows = sorted_rows(items)
    streams = {entity: [row for row in rows if row["entity"] == entity] for entity in (*grid["entity"], shared)}
    streams["all"] = pooled(rows)
    for stream in streams.values():
        # of each item by those before it in its stream
        sets = [word_set(row["text"]) for row in stream]
        for i, row in enumerate(stream):
            before = [j for j in range(i) if i - j <= 10 or row["known"] - stream[j]["known"] <= DAY]
            row["words"] = 1 - max((overlap(sets[i], sets[j]) for j in before), default=0.0)
    days = [
        (day, opened, closed)
        for day, opened, closed in zip(
            sessions["session"], sessions["open"].dt.epoch("ns"), sessions["close"].dt.epoch("ns"), strict=True
        )
    ]
    found = []
    for entity, t in zip(grid["entity"], grid["decision_time"].dt.epoch("ns"), strict=True):
        own, everybody = streams[shared or entity], streams["all"]
        found.append(
            [feature(n, everybody if n.startswith("news_market_") else own, t, days, max_age, cutoff) for n in names]
        )
    return found
