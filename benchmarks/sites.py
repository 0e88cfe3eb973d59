"""Features of car parks by store: same-store change over the year, against a loop over decisions in pandas."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.harness import Comparison, Outputs
from fusion.features import site
from fusion.features.site_names import SITE_GROUPS, names_of
from sources.schema import TIME
from sources.site_rules import MatchingRules

HOUR = 3600 * 10**9
DAY = 24 * HOUR
MAX_AGE = 45 * DAY
RULES = MatchingRules(shrink=0)


def observed(sites: int, weeks: int, decisions: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(metric, site, grid): one picture a week of each store at its own weekday, delivered one to five days later, one
    in ten revised; decisions on working days up to the end."""
    rng = np.random.default_rng(9)
    name = np.repeat(np.arange(sites), weeks)
    event = (np.tile(np.arange(weeks), sites) * 7 + np.repeat(rng.integers(0, 7, sites), weeks)) * DAY + 15 * HOUR
    known = event + rng.integers(1, 6, len(event)) * DAY
    revised = rng.random(len(event)) < 0.1
    name, event = np.concatenate([name, name[revised]]), np.concatenate([event, event[revised]])
    known = np.concatenate([known, known[revised] + 20 * DAY])
    order = np.argsort(known, kind="stable")
    rows = pl.DataFrame(
        {
            "site": name[order].astype(str),
            "event_time": event[order],
            "known_time": known[order],
            "value": rng.normal(0.5, 0.1, len(order)),
        }
    )
    stores = pl.DataFrame({"site": np.arange(sites).astype(str)}).with_columns(
        entity=pl.lit("SHOP"),
        event_time=pl.lit(-900 * DAY),
        known_time=pl.lit(-800 * DAY),
        valid_to=pl.lit(None, dtype=pl.Int64).cast(TIME),
        region=pl.lit("R"),
        longitude=pl.lit(0.0),
    )
    at = np.linspace(weeks * 7 - decisions * 1.4, weeks * 7, decisions).astype(np.int64) * DAY + 20 * HOUR
    grid = pl.DataFrame({"decision_time": at}).with_columns(entity=pl.lit("SHOP"))
    told = {"entity": pl.lit(""), "metric": pl.lit("fill"), "std": pl.lit(None, pl.Float64), "valid_frac": pl.lit(1.0)}
    clocks = pl.col("event_time", "known_time").cast(TIME)
    return (
        rows.with_columns(clocks, **told),
        stores.with_columns(clocks),
        grid.with_columns(pl.col("decision_time").cast(TIME)),
    )


def pandas_loop(rows: pd.DataFrame, at: np.ndarray) -> Outputs:
    """Median change and number of stores, decision by decision: vintages by drop_duplicates, the year by merge_asof."""
    changes, counts = np.full(len(at), np.nan), np.zeros(len(at))
    for place, decision in enumerate(at):
        known = rows[rows["known"] <= decision].drop_duplicates(["site", "event"], keep="last").sort_values("event")
        latest = known.drop_duplicates("site", keep="last")
        latest = latest[decision - latest["event"] <= MAX_AGE].assign(target=lambda now: now["event"] - 364 * DAY)
        both = pd.merge_asof(
            latest.sort_values("target"),
            known,
            left_on="target",
            right_on="event",
            by="site",
            direction="nearest",
            tolerance=7 * DAY,
        )
        change = (both["value_x"] - both["value_y"]).dropna()
        changes[place], counts[place] = change.median(), len(change)
    return changes, counts


def comparisons(quick: bool) -> Iterator[Comparison]:
    sites, weeks, decisions = (40, 120, 20) if quick else (300, 300, 120)
    tables = observed(sites, weeks, decisions)
    rows = tables[0].select(
        "site", event=pl.col("event_time").dt.epoch("ns"), known=pl.col("known_time").dt.epoch("ns")
    )
    frame, at = rows.with_columns(tables[0]["value"]).to_pandas(), tables[2]["decision_time"].dt.epoch("ns").to_numpy()
    wanted = ["site_yoy_fill", "site_count_fill"]

    def ours() -> Outputs:
        found = site.compute(*tables, wanted, MAX_AGE, RULES)
        return tuple(found[name] for name in wanted)

    yield Comparison(
        f"change over the year of {sites} stores x {weeks} weeks at {decisions} decisions",
        sites * decisions,
        "float64",
        tables[0].height * 32 + decisions * 24,
        ours,
        {"pandas, decision by decision": lambda: pandas_loop(frame, at)},
    )
    sites, weeks, decisions = (40, 120, 20) if quick else (3_000, 500, 2_500)
    large, every = observed(sites, weeks, decisions), names_of(SITE_GROUPS, "fill")

    def whole() -> Outputs:
        return tuple(site.compute(*large, every, MAX_AGE, RULES).values())

    yield Comparison(
        f"all features of {sites:,} stores x {weeks} weeks at {decisions:,} decisions",
        sites * decisions,
        "float64",
        large[0].height * 40 + decisions * 64,
        whole,
    )
