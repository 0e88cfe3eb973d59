"""Features of metric series (macro, satellite-derived): the value as known at the decision, vintage by vintage."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import as_of
from gpu_kernels.spec import FeatureSpec

Array = NDArray[np.float64]

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "metric_<metric>",
        "metric",
        "the series' own",
        "each vintage",
        "value of the latest event_time among the rows known, in its latest vintage",
        "nothing known yet, withdrawn, or older than max_age",
        "trifuse as-of rule",
    ),
)


def compute(
    rows: pl.DataFrame, grid: pl.DataFrame, metrics: list[str], max_age_ns: int, *, market: str | None = None
) -> dict[str, Array]:
    """`metric_<metric>` and `metric_<metric>_age` (minutes since event_time) of each metric.

    Rows go to the entity they name; those of its sites are left to the features of sites. `market` is the one entity of
    a source whose config says so, e.g. US: its rows go to every entity of the grid. That is the config's word and not
    the rows': a row known tomorrow must not decide whom today's rows concern. Missing values: NaN as the spec says.
    """
    columns: dict[str, Array] = {}
    for metric in metrics:
        series = of_entities(rows, metric)
        if market is not None:
            values, age = market_wide(series.filter(pl.col("entity") == market), grid, max_age_ns)
        else:
            aligned = as_of(series, grid, ["entity"], max_age_ns)
            values, age = aligned.take(_values(aligned.rows)), aligned.age
        columns[f"metric_{metric}"], columns[f"metric_{metric}_age"] = values, age
    return columns


def of_entities(rows: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The rows of a metric that are of an entity as a whole and not of one of its sites."""
    return rows.filter((pl.col("metric") == metric) & (pl.col("site") == ""))


def market_wide(series: pl.DataFrame, grid: pl.DataFrame, max_age_ns: int) -> tuple[Array, Array]:
    """One series at every decision of a grid, whatever the decision's entity: (values, age in minutes)."""
    times = grid.select("decision_time").unique().sort("decision_time")
    aligned = as_of(series, times, [], max_age_ns)
    found = times.with_columns(pl.Series("value", aligned.take(_values(aligned.rows))), pl.Series("age", aligned.age))
    joined = grid.select("decision_time").join(found, on="decision_time", how="left", maintain_order="left")
    return joined["value"].to_numpy(), joined["age"].to_numpy()


def _values(rows: pl.DataFrame) -> Array:
    return rows["value"].fill_null(np.nan).to_numpy()
