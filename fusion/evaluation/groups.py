"""What decisions are grouped by."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds
from fusion.evaluation.config import EvaluationConfig
from fusion.regime import at
from fusion.target import KEYS
from gpu_kernels.errors import DataError

_NAMED = ("regime", "entity", "hour", "volatility", "flags", "sector")
_EVENT = "event "


def grouped(
    rows: pl.DataFrame,
    probabilities: pl.DataFrame | None,
    config: EvaluationConfig,
    *,
    volatility: pl.DataFrame | None,
    events: pl.DataFrame | None,
    timezone: str,
) -> pl.DataFrame:
    """rows with the names of their groups: regime, hour, volatility, flags, sector (`entity` is there), and one column
    for each event window."""
    flags = pl.col("flags").replace("", "none") if "flags" in rows.columns else pl.lit(None, dtype=pl.String)
    sector = pl.col("entity").replace_strict(config.sectors, default=None, return_dtype=pl.String)
    rows = rows.with_columns(flags.alias("flags"), sector.alias("sector"))
    if events is not None and config.event_window is not None:
        rows = rows.with_columns(_windows(rows, events, config.event_window))
    regime = pl.Series("regime", [None] * rows.height, dtype=pl.String)
    if probabilities is not None:
        chance = at(probabilities, rows["decision_time"])
        known = np.isfinite(chance).all(axis=1)
        likeliest = np.where(known, np.argmax(np.nan_to_num(chance), axis=1), -1)
        regime = pl.Series("regime", likeliest).replace(-1, None).cast(pl.String)
    rows = rows.with_columns(
        regime, pl.col("decision_time").dt.convert_time_zone(timezone).dt.strftime("%H").alias("hour")
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


def groups_of(rows: pl.DataFrame) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """group_kind, group, and which of the rows are in it. Event windows may share rows; other kinds do not."""
    for kind in _NAMED:
        for group in rows[kind].drop_nulls().unique().sort():
            yield kind, group, (rows[kind] == group).fill_null(False).to_numpy()
    for name in rows.columns:
        if name.startswith(_EVENT):
            yield "event", name.removeprefix(_EVENT), rows[name].to_numpy()


def _windows(rows: pl.DataFrame, events: pl.DataFrame, window: int) -> list[pl.Series]:
    """For each kind of event which decisions come before one, event_time - window <= t < event_time, or after one,
    event_time <= t <= event_time + window; and which are in no window.

    An event counts where its schedule was known at the decision. One of an entity of the rows counts for that entity,
    one of a market or region for all.
    """
    missing = [name for name in ("entity", "kind", "event_time", "known_time") if name not in events.columns]
    if missing:
        raise DataError(f"events lack {', '.join(missing)}", allowed="entity, kind, event_time, known_time")
    decisions = nanoseconds(rows["decision_time"])
    place = np.argsort(decisions, kind="stable")
    times, entities = decisions[place], set(rows["entity"].unique())
    near: dict[str, NDArray[np.bool_]] = {}
    for kind in events["kind"].drop_nulls().unique().sort():
        near |= {f"{kind} {side}": np.zeros(rows.height, np.bool_) for side in ("before", "after")}
    own = {name: (rows["entity"] == name).to_numpy() for name in entities & set(events["entity"].unique())}
    ordered = events.filter(pl.col("kind").is_not_null(), pl.col("event_time").is_not_null())
    columns = ordered.select("kind", "entity", pl.col("event_time", "known_time").dt.epoch("ns"))
    for kind, entity, at_ns, known_ns in columns.iter_rows():
        edges = np.searchsorted(times, [at_ns - window, at_ns, at_ns + window + 1])
        for side, first, last in (("before", *edges[:2]), ("after", *edges[1:])):
            found = place[first:last]
            found = found[decisions[found] >= known_ns]
            near[f"{kind} {side}"][found[own[entity][found]] if entity in own else found] = True
    near = {name: mask for name, mask in near.items() if mask.any()}
    if near:
        near["none"] = ~np.any(list(near.values()), axis=0)
    return [pl.Series(_EVENT + name, mask) for name, mask in near.items()]
