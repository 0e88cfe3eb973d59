"""Selection and the mixture by regime, judged on markets whose truth is known.

**False discoveries.** Without effects no feature forecasts, so every feature told significant is a false discovery. The
family is one refit: all its features and regimes. Its rate is the share of refits that hold any; under the global null
that is the false discovery rate. Refits of a seed share data: the interval is Student's t over the seeds' own shares.

**Precision and recall**, with effects, per refit and regime in which there was anything to test:

    recall     of the drivers that move prices in the regime, the share of which a kept feature tells
    precision  right / (right + wrong), of the kept features; `followers` are neither: decoys of what moves prices in
               the regime, and what is made of past returns, which a lasting driver has moved

**Mixture against static.** The run's own learner by regime and the same with one regime, selection included; the rank
IC of all decisions after the first refit, and of those by the regime that was likeliest at the session's open. No
score counts as 0, in both.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from fusion import model, regime, selection, walk_forward
from fusion.config import RunConfig
from fusion.correlation import rank_moments
from fusion.regime import RegimePath
from fusion.studies.planted_samples import Sample
from fusion.target import KEYS, return_column

LEVELS = (0.05, 0.01, 0.001, 0.0001)
SESSIONS = (0, 30, 60)
"""Least effective numbers of sessions of the groups by which p-values are counted."""
PAST_RETURNS = ("bar_", "returns_", "volatility_")
REGIMES = ("calm", "stress")
Record = dict[str, Any]


def judge(sample: Sample, config: RunConfig, *, learn: bool = True) -> Record:
    """What one seed shows, as JSON can hold it; `learn` False leaves the models out, which take most of the time."""
    refits = walk_forward.schedule(sample.sessions, config.walk_forward)
    primary = config.predicted.primary
    paths = [regime.filter_regimes(sample.observations, refits, config.regime)]
    if learn:
        static = config.regime.model_copy(update={"states": 1})
        paths.append(regime.filter_regimes(sample.observations, refits, static))
    found: Record = {}
    scores = []
    for path in paths:
        ledger = selection.select(sample.features, sample.labels, path, refits, config.selection, primary)
        if not found:
            found = discoveries(ledger, sample) | found_of(ledger, sample)
        if learn:
            made, _ = model.walk_forward_predict(
                sample.features, sample.labels, path, ledger, refits, config.model, primary
            )
            scores.append(made)
    if learn:
        found["ic"] = compared(scores, sample, paths[0], return_column(primary))
    return found


def discoveries(ledger: pl.DataFrame, sample: Sample) -> Record:
    """Families with anything significant, with anything kept; counts of p below `LEVELS` by kind and sessions."""
    tested = ledger.drop_nulls("p_value").join(sample.kinds, on="feature")
    family = tested.group_by("refit_session").agg(pl.len(), pl.col("significant").sum(), pl.col("kept").sum())
    edge = pl.lit(str(SESSIONS[0]))
    for low in SESSIONS[1:]:
        edge = pl.when(pl.col("sessions") >= low).then(pl.lit(str(low))).otherwise(edge)
    by = tested.with_columns(sessions=edge)
    counts = by.group_by("kind", "sessions").agg(
        pl.len(), *((pl.col("p_value") < level).sum().alias(str(level)) for level in LEVELS)
    )
    return {
        "families": family.height,
        "with_discovery": family.filter(pl.col("significant") > 0).height,
        "with_kept": family.filter(pl.col("kept") > 0).height,
        "p": [list(row) for row in counts.sort("kind", "sessions").rows()],
    }


def found_of(ledger: pl.DataFrame, sample: Sample) -> Record:
    """By regime: right, wrong, followers, of the kept; and by driver in how many refits it was there and was told."""
    tested = ledger.drop_nulls("p_value").join(sample.kinds, on="feature")
    told, drivers, wrong = {}, {}, defaultdict[str, int](int)
    moves = sample.truth["driver"].n_unique() > 0
    for k, name in enumerate(REGIMES):
        here = sample.truth.filter(pl.col("regime") == k)
        active = set(here["feature"])
        kept = tested.filter("kept", pl.col("regime") == k)
        counts = dict.fromkeys(("right", "wrong", "followers"), 0)
        for feature, kind in kept.select("feature", "kind").iter_rows():
            decoys = kind == "decoy" and f"{feature[:-1]}0" in active
            which = "right" if feature in active else "followers" if moves and (decoys or _past(feature)) else "wrong"
            counts[which] += 1
            if which == "wrong":
                wrong[kind] += 1
        told[name] = counts
        sessions = tested.filter(pl.col("regime") == k)["refit_session"].n_unique()
        for (driver,), shown in here.group_by("driver", maintain_order=True):
            hit = kept.filter(pl.col("feature").is_in(shown["feature"].implode()))["refit_session"].n_unique()
            drivers[f"{driver} {name}"] = [hit, sessions]
    return {"found": told, "drivers": drivers, "wrong": dict(wrong)}


def _past(feature: str) -> bool:
    return feature.startswith(PAST_RETURNS)


def compared(scores: Sequence[pl.DataFrame], sample: Sample, path: RegimePath, target: str) -> Record:
    """The rank ICs of mixture and static: {"mixture": {"all": ..., "calm": ..., "stress": ...}, "static": ...}."""
    rows = sample.labels.select(*KEYS, target)
    for name, made in zip(("mixture", "static"), scores, strict=True):
        rows = rows.join(
            made.select(*KEYS, pl.col("score").alias(name), pl.col("refit_session").alias(f"{name}_refit")), on=KEYS
        )
    states = path.probabilities.group_by("session", maintain_order=True).agg(pl.col("regime").first())
    rows = rows.filter(pl.col("mixture_refit").is_not_null()).join(states, on="session").sort("session")
    found: Record = {}
    for name in ("mixture", "static"):
        found[name] = {}
        for group, some in [("all", rows)] + [
            (told, rows.filter(pl.col("regime") == k)) for k, told in enumerate(REGIMES)
        ]:
            found[name][group] = rank_ic(some, name, target)
    return found


def rank_ic(rows: pl.DataFrame, score: str, target: str) -> float | None:
    """None where the score never differs."""
    x = rows[score].fill_null(0.0).to_numpy()
    moments = rank_moments(x, rows[target].to_numpy().astype(np.float64), np.array([0, rows.height]))
    ic = float(moments.correlation(np.ones(1)))
    return None if np.isnan(ic) else ic


def over_seeds(values: Iterable[float]) -> dict[str, float]:
    """Mean of the seeds' values with its 95 % interval by Student's t, and how many there are."""
    v: NDArray[np.float64] = np.asarray(list(values), dtype=np.float64)
    n = len(v)
    half = float(stats.t.ppf(0.975, n - 1) * v.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    mean = float(v.mean()) if n else float("nan")
    return {"mean": mean, "low": mean - half, "high": mean + half, "seeds": n}


def summary(records: Mapping[int, Record]) -> Record:
    """All seeds together: rates with intervals, shares of p, precision and recall, mixture less static."""
    seeds = [record for record in records.values() if record["families"]]
    found: Record = {"seeds": sorted(records), "families": sum(record["families"] for record in seeds)}
    for name in ("with_discovery", "with_kept"):
        found[name] = over_seeds(record[name] / record["families"] for record in seeds)
    found["seeds_with_discovery"] = over_seeds(float(record["with_discovery"] > 0) for record in seeds)
    found["p"] = shares([row for record in seeds for row in record["p"]])
    found["precision"], found["followers"] = {}, {}
    for name in REGIMES:
        told = [record["found"][name] for record in seeds]
        chosen = [each["right"] / (each["right"] + each["wrong"]) for each in told if each["right"] + each["wrong"]]
        found["precision"][name] = over_seeds(chosen)
        followers = [each["followers"] / sum(each.values()) for each in told if sum(each.values())]
        found["followers"][name] = over_seeds(followers)
    drivers = sorted({driver for record in seeds for driver in record["drivers"]})
    found["recall"] = {
        driver: over_seeds(r["drivers"][driver][0] / r["drivers"][driver][1] for r in seeds if r["drivers"][driver][1])
        for driver in drivers
    }
    wrong: dict[str, int] = defaultdict(int)
    for record in seeds:
        for kind, count in record["wrong"].items():
            wrong[kind] += count
    found["wrong"] = dict(sorted(wrong.items()))
    learned = [record["ic"] for record in seeds if "ic" in record]
    if learned:
        found["ic"] = {}
        for group in ("all", *REGIMES):
            pairs = [(each["mixture"][group] or 0.0, each["static"][group] or 0.0) for each in learned]
            found["ic"][group] = {
                "mixture": over_seeds(a for a, _ in pairs),
                "static": over_seeds(b for _, b in pairs),
                "difference": over_seeds(a - b for a, b in pairs),
                "better": float(np.mean([a > b for a, b in pairs])),
            }
    return found


def shares(rows: Sequence[Sequence[Any]]) -> list[Record]:
    """Of the counts of `discoveries`: by kind, by sessions, and of all, how many p and the shares below `LEVELS`."""
    sums: dict[tuple[str, str], NDArray[np.int64]] = {}
    for kind, sessions, *counts in rows:
        for key in (("all", "all"), ("kind", kind), ("sessions", sessions)):
            sums[key] = sums.get(key, np.zeros(len(counts), dtype=np.int64)) + np.array(counts)
    return [
        {
            "by": by,
            "group": group,
            "count": int(n),
            **{str(level): int(c) / int(n) for level, c in zip(LEVELS, below, strict=True)},
        }
        for (by, group), (n, *below) in sorted(sums.items())
    ]
