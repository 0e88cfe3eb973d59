"""The decision grid: when signals are made, per entity and session."""

import polars as pl

from fusion.config import DecisionConfig


def decision_grid(entities: list[str], sessions: pl.DataFrame, config: DecisionConfig) -> pl.DataFrame:
    """One row per (entity, decision): entity, session, decision_time, sorted by (entity, decision_time).

    decision_time = open + first + k * step + delay for k = 0, 1, ... while open + first + k * step <= close - last,
    so early closes shorten the day and no decision ever stands in another session. `sessions` has session, open, close.
    The grid depends on the calendar alone, never on the data.
    """
    times = (
        sessions.with_columns(
            pl.datetime_ranges(
                pl.col("open") + pl.duration(nanoseconds=config.first),
                pl.col("close") - pl.duration(nanoseconds=config.last),
                interval=f"{config.step}ns",
                time_zone="UTC",
            )
            .cast(pl.List(pl.Datetime("ns", "UTC")))
            .alias("decision_time")
        )
        .select("session", "decision_time")
        .explode("decision_time")
        .drop_nulls("decision_time")
        .with_columns(pl.col("decision_time") + pl.duration(nanoseconds=config.delay))
    )
    names = pl.DataFrame({"entity": sorted(set(entities))}, schema={"entity": pl.String})
    return names.join(times, how="cross").select("entity", "session", "decision_time").sort("entity", "decision_time")
