"""Where in its interval a bar's stamp lies: at the start, at the end, or, of bars named by their last minute, between.

Read wrongly, every bar is known too early or too late by the same time, which no later check can see.
"""

import numpy as np
import polars as pl

from gpu_kernels.errors import DataError
from sources.durations import format_duration
from sources.schema import TIME
from sources.sessions import assign_session

# fewer say too little about where the stamps of a session begin and end
_SESSIONS = 3
_MOST = 0.9


def at_edges(times: pl.Series, trading: pl.DataFrame) -> tuple[int, int, int]:
    """Sessions that hold any of the times, those with one exactly at the open, and those with one at the close.

    A moment that closes one session and opens the next, as at midnight of a 24/7 market, counts as a close only.
    """
    held = assign_session(times, trading, "tick")
    found = (
        pl.DataFrame({"time": times.cast(TIME), "session": held})
        .drop_nulls()
        .unique()
        .join(trading, on="session")
        .group_by("session")
        .agg(
            open=((pl.col("time") == pl.col("open")) & ~pl.col("open").is_in(trading["close"].implode())).any(),
            close=pl.col("time").is_in(trading["close"].implode()).any(),
        )
    )
    return found.height, int(found["open"].sum()), int(found["close"].sum())


def look_like_starts(held: int, at_open: int, at_close: int) -> bool:
    """Whether stamps with these counts of `at_edges` are the starts of bars: at most opens, and at hardly any close."""
    return at_open > held / 2 and at_close < held / 10


def after_start(times: pl.Series, trading: pl.DataFrame) -> tuple[int, int] | None:
    """(spacing, how long after a bar's start its stamp lies) in nanoseconds, of stamps strictly between start and end.

    Told where nearly all stamps lie at one phase of an even spacing counted from the open, and most sessions' first and
    last bars then fill their session exactly. None otherwise.
    """
    frame = pl.DataFrame({"time": times.cast(TIME), "session": assign_session(times, trading, "tick")})
    frame = frame.drop_nulls().unique().sort("time").join(trading, on="session", maintain_order="left")
    steps = frame.select(pl.col("time").diff().over("session").cast(pl.Int64).drop_nulls())["time"]
    if steps.is_empty() or frame["session"].n_unique() < _SESSIONS:
        return None
    spacing = int(steps.median())  # type: ignore[arg-type]
    phase = frame.select((pl.col("time") - pl.col("open")).cast(pl.Int64) % spacing).to_series().to_numpy()
    values, counts = np.unique(phase, return_counts=True)
    after = int(values[np.argmax(counts)])
    if after == 0 or counts.max() < _MOST * frame.height or (steps == spacing).mean() < _MOST:  # type: ignore[operator]
        return None
    edges = frame.group_by("session").agg(
        fills=(pl.col("time").min() - pl.col("open").first() == pl.duration(nanoseconds=after))
        & (pl.col("close").first() - pl.col("time").max() == pl.duration(nanoseconds=spacing - after))
    )
    return (spacing, after) if edges["fills"].mean() > 0.5 else None  # type: ignore[operator]


def doubt_ends(times: pl.Series, trading: pl.DataFrame, entity_steps: pl.Series) -> None:
    """Raises DataError where times that a config reads as the ENDS of bars look like another place in them: all bars
    would be known too early.

    entity_steps  nanoseconds from each bar to the next one of its entity and session
    """
    held, at_open, at_close = at_edges(times, trading)
    if held < _SESSIONS:
        return
    if look_like_starts(held, at_open, at_close):
        typical = entity_steps.filter(entity_steps > 0).median()
        spacing = "1min" if typical is None else format_duration(int(typical))  # type: ignore[arg-type]
        raise DataError(
            f"stamps look like bar STARTS ({at_open} of {held} sessions have one at the open, {at_close} at the close)",
            allowed="event_time at the bar's END",
            hint=f"write `bar: {spacing}` (the spacing of the bars) so that stamps are read as starts, "
            "or `extended_hours: true` if rows at the open are meant",
        )
    if (between := after_start(times, trading)) is not None:
        raise _named_between(*between, "event_time at the bar's END")


def doubt_place(ends: pl.Series, trading: pl.DataFrame, bar: int, stamp_after: int) -> None:
    """Raises DataError where stamps that a config reads as lying `stamp_after` the starts of bars look like another
    place strictly between start and end. `ends` are the bars' ends as they were read."""
    found = after_start((ends.cast(TIME).to_physical() - (bar - stamp_after)).cast(TIME), trading)
    if found is not None and found != (bar, stamp_after):
        raise _named_between(*found, f"bars of {format_duration(bar)} named {format_duration(stamp_after)} after them")


def _named_between(spacing: int, after: int, allowed: str) -> DataError:
    told, named = format_duration(spacing), format_duration(after)
    return DataError(
        f"stamps look like those of bars of {told} named {named} after their starts, as by their last minute",
        allowed=f"what the source says: {allowed}",
        hint=f"write `bar: {told}` and `stamp_after: {named}`",
    )
