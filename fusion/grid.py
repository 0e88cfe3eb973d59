"""The decision grid: when signals are made, per entity and session."""

import polars as pl

from fusion.config import DecisionConfig
from sources.schema import TIME


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


def blocks(sessions: pl.DataFrame, length: int | None) -> pl.DataFrame:
    """The sessions cut into blocks of `length` nanoseconds: session (the block's start), open, close.

    The last block of a session may be short, so that no block holds rows of two. Without a length: the sessions.
    """
    if length is None:
        return sessions
    step = pl.duration(nanoseconds=length)
    starts = pl.datetime_ranges("open", "close", interval=f"{length}ns", closed="left", time_zone="UTC")
    return (
        sessions.select("close", open=starts.cast(pl.List(TIME)))
        .explode("open")
        .drop_nulls("open")
        .select(
            session=pl.col("open"), open=pl.col("open"), close=pl.min_horizontal(pl.col("open") + step, pl.col("close"))
        )
    )


def in_periods(rows: pl.DataFrame, periods: pl.DataFrame) -> pl.DataFrame:
    """`rows`, in their order, with `session` replaced by the last period that opened by their decision_time."""
    asked = rows.select("decision_time").with_row_index("_row").sort("decision_time", maintain_order=True)
    starts = periods.select("session", pl.col("open").cast(TIME)).sort("open")
    found = asked.join_asof(starts, left_on="decision_time", right_on="open").sort("_row")
    return rows.with_columns(found["session"])
