"""When the return of a decision has become known, so that what is said later may learn from it.

A decision counts from the first session u at whose cutoff its label was known: label_end before the open of the
session `embargo_sessions` before u. A refit at u learns from the same decisions (`fusion.walk_forward.training_rows`),
and where the data end moves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.target import KEYS
from gpu_kernels.errors import ConfigError, DataError
from sources.schema import TIME

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# of several the first is what errors are divided by
VOLATILITIES = (
    *("bar_expected_variance_", "bar_realised_variance_", "bar_ewma_variance_", "bar_variance_of_", "bar_volatility_"),
    "quote_volatility_",
)


@dataclass(frozen=True)
class Settlement:
    """When each decision's label counts, row for row.

    session, settled  position among `days` of the decision, and of its settlement (their number where that is not yet)
    elapsed           nanoseconds from the session's open to the decision, 0 where it comes before
    value             the label, NaN where there is none
    """

    session: Integers
    settled: Integers
    elapsed: Integers
    value: Floats
    days: pl.Series


def settlement(
    decisions: pl.DataFrame, labels: pl.DataFrame, sessions: pl.DataFrame, columns: tuple[str, str], embargo: int
) -> Settlement:
    """Of each decision when its label settles.

    columns   of the return and of its label_end in `labels`, which holds every decision once
    sessions  session, open: in order, from the run's first

    Missing values: a decision without a label never settles.
    Raises DataError where a decision has no row in labels or its session none in sessions.
    """
    value, end = columns
    joined = decisions.select(KEYS).join(
        labels.select(*KEYS, value, pl.col(end).cast(TIME).alias("_end"), pl.lit(True).alias("_there")),
        on=KEYS,
        how="left",
        maintain_order="left",
    )
    if joined["_there"].null_count() or joined.height != decisions.height:
        raise DataError("labels do not hold each decision once", allowed="one row per decision")
    days = sessions["session"]
    place = decisions.select("session").join(
        sessions.select("session").with_row_index("_place"), on="session", how="left", maintain_order="left"
    )["_place"]
    if place.null_count():
        raise DataError("a decision lies in no session", allowed="decisions of the sessions")
    opens = sessions["open"].cast(TIME).dt.epoch("ns").to_numpy()
    session = place.cast(pl.Int64).to_numpy()
    times = decisions["decision_time"].cast(TIME).dt.epoch("ns").to_numpy()
    elapsed = np.maximum(times - opens[session], 0)
    y = joined[value].cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = np.isfinite(y) & joined["_end"].is_not_null().to_numpy()
    ends = joined["_end"].dt.epoch("ns").fill_null(0).to_numpy()
    settled = np.searchsorted(opens, ends, "right") + embargo
    settled = np.where(known, np.minimum(settled, len(days)), len(days))
    return Settlement(session, settled.astype(np.int64), elapsed, np.where(known, y, np.nan), days)


def session_weights(session: Integers) -> Floats:
    """(rows,) one over the number of rows of the row's session."""
    _, place, count = np.unique(session, return_inverse=True, return_counts=True)
    found: Floats = 1.0 / count[place]
    return found


def volatility_column(columns: Sequence[str], wanted: str) -> str | None:
    """The feature that errors are divided by. Raises ConfigError where the one that is named is not there."""
    if wanted == "none":
        return None
    if wanted != "auto":
        if wanted not in columns:
            raise ConfigError(
                f"model.interval.volatility {wanted!r} is no feature of the run", hint="auto, none, or one"
            )
        return wanted
    return next((name for start in VOLATILITIES for name in columns if name.startswith(start)), None)


def volatility_of(matrix: pl.DataFrame, wanted: str) -> pl.Series:
    """`volatility` of each row: the feature, or its root where the name says variance; null where there is none."""
    name = volatility_column(matrix.columns, wanted)
    if name is None:
        return pl.Series("volatility", [None] * matrix.height, dtype=pl.Float64)
    value = pl.col(name).cast(pl.Float64)
    value = value.sqrt() if "variance" in name else value
    return matrix.select(pl.when(value.is_finite(), value > 0).then(value).alias("volatility"))["volatility"]


def floats(values: pl.Series) -> Floats:
    """A column as float64, NaN where it is null or not finite."""
    found = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return np.where(np.isfinite(found), found, np.nan)
