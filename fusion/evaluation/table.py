"""The tables of the evaluation, and the columns that it reads."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gpu_kernels.errors import DataError
from sources.schema import TIME

Floats = NDArray[np.float64]

SCORES = ("score", "score_ridge")
BPS = 1e4
EVALUATION: dict[str, pl.DataType] = {
    "metric": pl.String(),
    "score": pl.String(),
    "horizon": pl.String(),
    "group_kind": pl.String(),
    "group": pl.String(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "count": pl.Int64(),
}
SESSION_IC: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "horizon": pl.String(),
    "score": pl.String(),
    "rank_ic": pl.Float64(),
    "ic": pl.Float64(),
    "rows": pl.Int64(),
}
CROSS_SECTION: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "decision_time": TIME,
    "horizon": pl.String(),
    "score": pl.String(),
    "rank_ic": pl.Float64(),
    "ic": pl.Float64(),
    "entities": pl.Int64(),
}

Measure = tuple[str, str, str, float, float, float, int]
"""metric, group_kind, group, value, low, high, count"""


def score_columns(predictions: pl.DataFrame) -> list[str]:
    scores = [name for name in SCORES if name in predictions.columns]
    if not scores:
        raise DataError("predictions hold no score", allowed=f"a column {' or '.join(SCORES)}")
    return scores


def values_of(rows: pl.DataFrame, name: str) -> Floats:
    """A column as float64, NaN where it is not finite."""
    values = rows[name].cast(pl.Float64).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def session_offsets(rows: pl.DataFrame) -> tuple[pl.Series, NDArray[np.int64]]:
    counts = rows.group_by("session", maintain_order=True).len()
    return counts["session"], np.concatenate([[0], np.cumsum(counts["len"].to_numpy())]).astype(np.int64)
