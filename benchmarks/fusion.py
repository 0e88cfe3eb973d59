"""Alignment: the as-of rule against Polars, on data where a plain as-of join is right, and on data where it is not."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.harness import Comparison
from gpu_kernels import align

SECOND = 10**9
Integers = NDArray[np.int64]


def comparisons(quick: bool) -> Iterator[Comparison]:
    decisions, rows, entities = (200_000, 50_000, 50) if quick else (10_000_000, 1_000_000, 100)
    rng = np.random.default_rng(4)
    known = np.concatenate([np.cumsum(rng.integers(1, 20, rows // entities)) * SECOND for _ in range(entities)])
    at = np.concatenate([np.cumsum(rng.integers(0, 3, decisions // entities)) * SECOND for _ in range(entities)])
    value = rng.normal(size=rows)
    offsets, at_offsets = (np.arange(entities + 1) * (count // entities) for count in (rows, decisions))
    entity = np.arange(entities, dtype=np.int32)
    left = pl.DataFrame({"entity": np.repeat(entity, decisions // entities), "time": at})
    left = left.with_columns(pl.col("time").set_sorted())
    keys = np.repeat(entity, rows // entities)
    size = f"{decisions:,} decisions to {rows:,} rows of {entities} entities"

    # no revisions and no late rows: the row known last is also the latest event, so a plain as-of join is right here
    plain = _table(keys, known, known, value)
    young = 15 * SECOND

    def polars() -> tuple[np.ndarray, ...]:
        joined = left.join_asof(plain, on="time", by="entity", tolerance=young, check_sortedness=False)
        return (joined["value"].to_numpy(),)

    yield Comparison(
        f"align {size}, without revisions",
        decisions,
        "float64",
        decisions * 24 + rows * 24,
        lambda: (align.take(value, align.gather_map(known, known, offsets, at, at_offsets, young)),),
        {"Polars join_asof": polars},
    )

    # two rows in five come late, some of them revisions: a plain join would be wrong, so Polars is told the rule
    event = (known - rng.choice([5, 5, 5, 60, 300], rows) * SECOND).astype(np.int64)
    late = _table(keys, known, event, value)
    old = 120 * SECOND

    def ours() -> tuple[np.ndarray, ...]:
        index = align.gather_map(known, event, offsets, at, at_offsets, old)
        return align.take(value, index), *align.ages(known, event, at, index)

    def told() -> tuple[np.ndarray, ...]:
        best = late.filter(pl.col("event") >= pl.col("event").cum_max().over("entity"))
        joined = left.join_asof(
            best.with_columns(pl.col("time").set_sorted(), known=pl.col("time")),
            on="time",
            by="entity",
            check_sortedness=False,
        )
        fresh = joined.select(
            pl.when(pl.col("time") - pl.col("event") <= old).then(column).alias(str(place))
            for place, column in enumerate(
                ("value", (pl.col("time") - pl.col("event")) / 60e9, (pl.col("time") - pl.col("known")) / 60e9)
            )
        )
        return tuple(fresh[name].to_numpy() for name in fresh.columns)

    yield Comparison(
        f"align {size}, revised and late rows; value, age, known since",
        decisions,
        "float64",
        decisions * 48 + rows * 32,
        ours,
        {"Polars, told the rule": told},
    )


def _table(keys: NDArray[np.int32], known: Integers, event: Integers, value: NDArray[np.float64]) -> pl.DataFrame:
    table = pl.DataFrame({"entity": keys, "time": known, "event": event, "value": value})
    return table.with_columns(pl.col("time").set_sorted())
