"""Alignment: the as-of rule for vintages against a plain as-of join, on data where both rules agree."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from benchmarks.harness import Comparison
from gpu_kernels import align

SECOND = 10**9


def comparisons(quick: bool) -> Iterator[Comparison]:
    decisions, rows, entities = (200_000, 50_000, 50) if quick else (4_000_000, 1_000_000, 500)
    rng = np.random.default_rng(4)
    # no revisions and no late rows: the row known last is also the latest event, so a plain as-of join is right here
    known = np.concatenate([np.cumsum(rng.integers(1, 20, rows // entities)) * SECOND for _ in range(entities)])
    at = np.concatenate([np.cumsum(rng.integers(0, 5, decisions // entities)) * SECOND for _ in range(entities)])
    value, max_age = rng.normal(size=rows), 15 * SECOND
    offsets = np.arange(entities + 1) * (rows // entities)
    at_offsets = np.arange(entities + 1) * (decisions // entities)
    entity = np.arange(entities, dtype=np.int32)
    left = pl.DataFrame({"entity": np.repeat(entity, decisions // entities), "time": at})
    right = pl.DataFrame({"entity": np.repeat(entity, rows // entities), "time": known, "value": value})
    left, right = left.with_columns(pl.col("time").set_sorted()), right.with_columns(pl.col("time").set_sorted())

    def polars() -> tuple[np.ndarray]:
        joined = left.join_asof(right, on="time", by="entity", tolerance=max_age, check_sortedness=False)
        return (joined["value"].to_numpy(),)

    yield Comparison(
        f"align to {rows:,} rows of {entities} entities, without revisions",
        decisions,
        "float64",
        decisions * 24 + rows * 24,
        lambda: (align.take(value, align.gather_map(known, known, offsets, at, at_offsets, max_age)),),
        {"Polars join_asof": polars},
    )
