"""Car parks whose truth is known: how near the same-store change over the year comes to it, by the number of stores.

Each chain's fill moves by a path of its own; each of its stores has a level, a season and, year by year, a way of its
own. A store is seen once a week at its own weekday, through clouds half of the time, with an error that is told; a
picture is delivered after five days, and one in ten is corrected two days later.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.features import site
from gpu_kernels.durations import DAY
from sources.schema import TIME
from sources.site_rules import MatchingRules

WEEK, HOUR = 7 * DAY, DAY // 24
YEAR = 52
MOVES, BETWEEN, NOISE, CLOUDS, WRONG = 0.03, 0.05, (0.03, 0.12), 0.5, 0.3
"""Of the chains' change over a year, and of stores around it: standard deviation; errors of pictures; share of weeks
without one; by how much a first print that is corrected was too high."""


@dataclass(frozen=True)
class Chains:
    """metric and site tables, stores and true change over the year by (chain, week from the second year on)."""

    metrics: pl.DataFrame
    stores: pl.DataFrame
    sizes: dict[str, int]
    truth: dict[str, NDArray[np.float64]]

    @property
    def grid(self) -> pl.DataFrame:
        """A decision for each true change: seven days after the week's last picture, when it has been delivered."""
        weeks = len(next(iter(self.truth.values())))
        at = (YEAR + np.arange(weeks)) * WEEK + 12 * DAY
        each = [pl.DataFrame({"decision_time": at}).with_columns(entity=pl.lit(name)) for name in self.sizes]
        return pl.concat(each).with_columns(pl.col("decision_time").cast(TIME))


def simulate(sizes: Sequence[int], *, weeks: int = 3 * YEAR, seed: int = 1) -> Chains:
    """One chain of each size."""
    rng = np.random.default_rng(seed)
    held, truth, names = [], {}, {}
    for number, size in enumerate(sizes):
        name = f"chain{number:03d}"
        # a smooth path whose change over a year has the standard deviation MOVES
        steps = rng.normal(0, MOVES / np.sqrt(YEAR), weeks)
        path = np.cumsum(steps)
        truth[name], names[name] = (path[YEAR:] - path[:-YEAR]), size
        own = rng.normal(0, BETWEEN / np.sqrt(2), (size, -(-weeks // YEAR)))[:, np.arange(weeks) // YEAR]
        season = 0.1 * np.sin(2 * np.pi * (np.arange(weeks) + rng.uniform(0, YEAR, (size, 1))) / YEAR)
        error = rng.choice(NOISE, (size, 1))
        seen = rng.uniform(0.3, 0.6, (size, 1)) + season + path + own + error * rng.normal(size=(size, weeks))
        event = np.arange(weeks) * WEEK + rng.integers(0, 7, (size, 1)) * DAY + 15 * HOUR
        stores = np.array([f"{name}s{store}" for store in range(size)])[:, None]
        clear = rng.random(seen.shape) >= CLOUDS
        columns = [np.broadcast_to(part, seen.shape)[clear] for part in (stores, event, seen, error)]
        first = pl.DataFrame(dict(zip(("site", "event_time", "value", "std"), columns, strict=True)))
        first = first.with_columns(known_time=pl.col("event_time") + 5 * DAY)
        again = pl.Series(rng.random(first.height) < 0.1)
        wrong = pl.col("value") + pl.when(again).then(WRONG).otherwise(0.0)
        held += [first.with_columns(wrong), first.filter(again).with_columns(pl.col("known_time") + 2 * DAY)]
    rows = pl.concat(held).sort("known_time", maintain_order=True).with_columns(pl.col("^.*_time$").cast(TIME))
    chain = pl.col("site").str.slice(0, 8).alias("entity")
    stores_of = rows.select("site").unique().sort("site").with_columns(chain, region=pl.lit(None, pl.String))
    long_ago = pl.lit(-900 * DAY).cast(TIME)
    stores_of = stores_of.with_columns(event_time=long_ago, known_time=long_ago, longitude=pl.lit(0.0))
    stores_of = stores_of.with_columns(valid_to=pl.lit(None, TIME))
    told = {"entity": pl.lit(""), "metric": pl.lit("fill"), "valid_frac": pl.lit(None, pl.Float64)}
    return Chains(rows.with_columns(**told), stores_of, names, truth)


def estimates(chains: Chains, shrink: float) -> dict[str, NDArray[np.float64]]:
    """`site_yoy_fill` of each chain at the grid's decisions."""
    rules, grid = MatchingRules(shrink=shrink), chains.grid
    found = site.compute(chains.metrics, chains.stores, grid, ["site_yoy_fill"], 21 * DAY, rules)["site_yoy_fill"]
    return {name: found[(grid["entity"] == name).to_numpy()] for name in chains.sizes}


def errors(chains: Chains, shrinks: Sequence[float]) -> pl.DataFrame:
    """stores, share (of decisions with an estimate), truth (root mean square of the true change, which is the error of
    saying nothing), and for each k of `shrinks` the root mean square error `error_<k>`, over the chains of one size."""
    found = {shrink: estimates(chains, shrink) for shrink in shrinks}
    rows = []
    for size in sorted(set(chains.sizes.values())):
        names = [name for name, stores in chains.sizes.items() if stores == size]
        truth = np.concatenate([chains.truth[name] for name in names])
        told = {shrink: np.concatenate([each[name] for name in names]) for shrink, each in found.items()}
        there = np.isfinite(next(iter(told.values())))
        off = {f"error_{k:g}": float(np.sqrt(np.mean((v - truth)[there] ** 2))) for k, v in told.items()}
        silent = float(np.sqrt(np.mean(truth[there] ** 2)))
        rows.append({"stores": size, "share": float(there.mean()), "truth": silent} | off)
    return pl.DataFrame(rows)
