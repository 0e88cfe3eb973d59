"""What rows of metrics say against themselves and each other."""

import polars as pl

OTHER_SENSOR = "other_sensor"
UNKNOWN_VINTAGE, MIXED_SENSORS = "unknown_vintage", "mixed_sensors"
NOTES = {
    UNKNOWN_VINTAGE: "rows say that they supersede a vintage of which no row of their series is there: is a delivery "
    "missing?",
    MIXED_SENSORS: "series are of more than one sensor, whose values follow each other as if they were of one; make a "
    "source of each, e.g. only: {sensor: Sentinel-2}",
}
"""What is told of rows that are kept."""
_SERIES = ("entity", "site", "metric")


def row_problems() -> list[tuple[str, pl.Expr]]:
    """Reasons, and which rows they hold for."""
    shares = [pl.col(name) for name in ("cloud_frac", "valid_frac")]
    numbers = [pl.col(name) for name in ("std", "n_obs", "gsd")]
    return [
        ("not_finite", pl.any_horizontal(~number.is_finite() for number in (*shares, *numbers))),
        ("negative_std", pl.col("std") < 0),
        ("share_outside_0_1", pl.any_horizontal(~share.is_between(0, 1) for share in shares)),
        ("negative_n_obs", pl.col("n_obs") < 0),
        ("gsd_not_positive", pl.col("gsd") <= 0),
    ]


def other_sensor(rows: pl.DataFrame, good: pl.Expr) -> pl.Series:
    """Whether a row is of another sensor than the row of its key that was known first.

    Two sensors that see one site at one time are two observations, and neither is a revision of the other. Which one
    stays is told by rows no later than the row judged; a row that names no sensor may be of any.
    """
    key = [*_SERIES, "event_time"]
    told = rows.filter(good & pl.col("sensor").is_not_null())
    if told["sensor"].n_unique() < 2:
        return pl.repeat(False, rows.height, eager=True)
    first = told.sort("known_time", maintain_order=True).unique(key, keep="first", maintain_order=True)
    joined = rows.join(first.select(*key, _first="sensor"), on=key, how="left", maintain_order="left")
    return joined.select((pl.col("sensor") != pl.col("_first")).fill_null(False)).to_series()


def notes(rows: pl.DataFrame) -> dict[str, int]:
    """Of the good rows of an entity, how many rows or series each of NOTES holds for."""
    told = rows.filter(pl.col("supersedes").is_not_null())
    named = rows.select(*_SERIES, supersedes="vintage").unique()
    unknown = told.join(named, on=[*_SERIES, "supersedes"], how="anti")
    sensors = rows.filter(pl.col("sensor").is_not_null()).group_by(_SERIES).agg(pl.col("sensor").n_unique())
    return {UNKNOWN_VINTAGE: unknown.height, MIXED_SENSORS: sensors.filter(pl.col("sensor") > 1).height}
