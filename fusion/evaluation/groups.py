"""What decisions are grouped by."""

import numpy as np
import polars as pl

from fusion.regime import at
from fusion.target import KEYS


def grouped(
    rows: pl.DataFrame, probabilities: pl.DataFrame, volatility: pl.DataFrame | None, timezone: str
) -> pl.DataFrame:
    """rows with the names of their groups: regime, hour, volatility, flags (`entity` is there)."""
    flags = pl.col("flags").replace("", "none") if "flags" in rows.columns else pl.lit(None, dtype=pl.String)
    rows = rows.with_columns(flags.alias("flags"))
    chance = at(probabilities, rows["decision_time"])
    known = np.isfinite(chance).all(axis=1)
    regime = pl.Series("regime", np.where(known, np.argmax(np.nan_to_num(chance), axis=1), -1)).replace(-1, None)
    rows = rows.with_columns(
        regime.cast(pl.String), pl.col("decision_time").dt.convert_time_zone(timezone).dt.strftime("%H").alias("hour")
    )
    if volatility is None:
        return rows.with_columns(pl.lit(None, dtype=pl.String).alias("volatility"))
    relative = pl.col("volatility") / pl.col("volatility").median().over("entity")
    finite = pl.when(pl.col("volatility").is_finite()).then("volatility").alias("volatility")
    means = (
        rows.select(KEYS)
        .join(volatility.select(*KEYS, "volatility"), on=KEYS, how="left", maintain_order="left")
        .with_columns(finite)
        .with_columns(pl.when(relative.is_finite()).then(relative).alias("relative"))
        .group_by("session")
        .agg(pl.col("relative").mean())
        .with_columns(
            pl.when(pl.col("relative") > pl.col("relative").median())
            .then(pl.lit("high"))
            .when(pl.col("relative").is_not_null())
            .then(pl.lit("low"))
            .alias("volatility")
        )
    )
    return rows.join(means.select("session", "volatility"), on="session", how="left", maintain_order="left")
