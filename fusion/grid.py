"""The decision grid: when signals are made, per entity and session."""

import polars as pl

from fusion.config import DecisionConfig
from gpu_kernels.errors import ConfigError
from sources.schema import TIME


def decision_grid(entities: list[str], sessions: pl.DataFrame, config: DecisionConfig) -> pl.DataFrame:
    """One row per (entity, decision): entity, session, decision_time, sorted by (entity, decision_time).

    decision_time = open + first + k * step + delay for k = 0, 1, ... while open + first + k * step <= close - last,
    so early closes shorten the day and no decision ever stands in another session. `sessions` has session, open, close.
    With `daily` there is one decision a session, so long before or after its open or close.
    The grid depends on the calendar alone, never on the data.
    Raises ConfigError where a daily decision lies before the session before has closed, or after the next one's.
    """
    times = _once(sessions, config) if config.daily is not None else _every_step(sessions, config)
    names = pl.DataFrame({"entity": sorted(set(entities))}, schema={"entity": pl.String})
    return names.join(times, how="cross").select("entity", "session", "decision_time").sort("entity", "decision_time")


def _once(sessions: pl.DataFrame, config: DecisionConfig) -> pl.DataFrame:
    edge, after = config.once
    times = sessions.sort("open").select(
        "session", "open", "close", decision_time=(pl.col(edge) + pl.duration(nanoseconds=after)).cast(TIME)
    )
    before, next_open = pl.col("close").shift(1), pl.col("open").shift(-1) - pl.duration(nanoseconds=config.lead)
    wrong = times.filter(
        (pl.col("decision_time") <= before) | (pl.col("decision_time") >= next_open)
        if edge == "open"
        else (pl.col("decision_time") <= pl.col("open")) | (pl.col("decision_time") >= next_open)
    )
    if wrong.height:
        session, moment = wrong.row(0, named=True)["session"], wrong.row(0, named=True)["decision_time"]
        raise ConfigError(
            f"decisions.daily {config.daily!r} puts the decision of {session} at {moment:%Y-%m-%d %H:%M} UTC, which is "
            "in another session",
            allowed="a moment after the session before has closed and before the next one opens",
        )
    return times.select("session", "decision_time")


def _every_step(sessions: pl.DataFrame, config: DecisionConfig) -> pl.DataFrame:
    return (
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
