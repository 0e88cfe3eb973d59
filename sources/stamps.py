"""Where in its interval a bar's stamp lies: at the start, at the end, or, of bars named by their last minute, between.

Read wrongly, every bar is known too early or too late by the same time, which no later check can see.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import polars as pl

from gpu_kernels.durations import format_duration
from gpu_kernels.errors import DataError
from sources.schema import TIME
from sources.sessions import assign_session

# fewer say too little about where the stamps of a session begin and end
_SESSIONS = 3
_MOST = 0.9
_USUAL = 0.5
_QUARTER = 15 * 60 * 10**9


@dataclass(frozen=True, slots=True)
class Evidence:
    """What stamps tell of their place in their bars, besides `after_start`.

    spacing   the usual step in nanoseconds; None where no step is usual, as in tick, volume and dollar bars
    sessions  that hold any of the stamps
    opens, at_open    of those that open after a break: how many, and with a stamp exactly at the open
    closes, at_close  of those that close for a break: how many, and with a stamp exactly at the close
    reopen    a stamp after a gap that most sessions share, where its place is that of a start or of an end
    starts, ends      how many edges of gaps that most sessions share (the stamp before, the stamp after) say so
    """

    spacing: int | None
    sessions: int
    opens: int
    at_open: int
    closes: int
    at_close: int
    reopen: datetime | None
    starts: int
    ends: int

    @property
    def place(self) -> Literal["starts", "ends"] | None:
        """Whether the stamps look like starts or like ends; None where nobody can tell."""
        rare_open = self.at_open < max(self.opens, 1) / 10
        rare_close = self.at_close < max(self.closes, 1) / 10
        edge_starts = self.at_open > self.opens / 2 and rare_close
        edge_ends = self.at_close > self.closes / 2 and rare_open
        starts, ends = edge_starts or self.starts > 0, edge_ends or self.ends > 0
        return None if starts == ends else "starts" if starts else "ends"

    def told(self) -> str:
        """Of stamps that look like starts: why."""
        if self.reopen is None or (self.opens >= _SESSIONS and self.at_open > self.opens / 2):
            return f"{self.at_open} of {self.opens} sessions have one at the open, {self.at_close} at the close"
        return f"most sessions have one exactly where trading begins again after a break, as at {self.reopen}"


def evidence(times: pl.Series, trading: pl.DataFrame) -> Evidence:
    """Of the stamps of bars and the sessions around them.

    A moment that closes one session and opens the next, as at midnight of a 24/7 market or at 17:00 of CMES, says
    nothing. Breaks inside the data do: trading stops and begins at quarters of an hour, so that after one the first
    start lies at a quarter and the first end a bar later, and before it the last start lies a bar before a quarter and
    the last end at it.
    """
    frame = pl.DataFrame({"time": times.cast(TIME), "session": assign_session(times, trading, "tick")})
    frame = frame.drop_nulls().unique().sort("time").join(trading, on="session", maintain_order="left")
    edges = trading.select(
        "session",
        after_break=~pl.col("open").is_in(trading["close"].implode()),
        before_break=~pl.col("close").is_in(trading["open"].implode()),
    )
    found = (
        frame.join(edges, on="session")
        .group_by("session")
        .agg(
            pl.col("after_break", "before_break").first(),
            at_open=(pl.col("time") == pl.col("open")).any(),
            at_close=(pl.col("time") == pl.col("close")).any(),
        )
    )
    first, last = found.filter("after_break")["at_open"], found.filter("before_break")["at_close"]
    step = spacing(frame["time"])
    reopen, starts, ends = _at_breaks(frame, step, found.height)
    counts = (len(first), int(first.sum()), len(last), int(last.sum()))
    return Evidence(step, found.height, *counts, reopen, starts, ends)


def spacing(times: pl.Series) -> int | None:
    """The usual step of clock bars, in nanoseconds; None where no step is usual, as in tick, volume and dollar bars."""
    steps = times.unique().sort().diff().cast(pl.Int64).drop_nulls()
    usual = steps.median()
    if usual is None or (steps == usual).mean() <= _USUAL:  # type: ignore[operator]
        return None
    return int(usual)  # type: ignore[arg-type]


def _at_breaks(frame: pl.DataFrame, step: int | None, sessions: int) -> tuple[datetime | None, int, int]:
    """`reopen`, `starts` and `ends` of Evidence, of stamps with their session and its open in the order of time."""
    if step is None or step >= _QUARTER or _QUARTER % step or sessions < _SESSIONS:
        return None, 0, 0
    rows = frame.select("time", since=(pl.col("time") - pl.col("open")).cast(pl.Int64))
    gap = (pl.col("time").diff().cast(pl.Int64) > _QUARTER).fill_null(False)
    after = _shared(rows.filter(gap), sessions)
    before = _shared(rows.filter(gap.shift(-1, fill_value=False)), sessions)
    phases = [(after, 0, step), (before, _QUARTER - step, 0)]
    starts = sum(time is not None and _phase(time) == start for time, start, _ in phases)
    ends = sum(time is not None and _phase(time) == end for time, _, end in phases)
    reopen = None if after is None or _phase(after) not in {0, step} else after
    return (None if reopen is None else _moment(reopen)), starts, ends


def _shared(rows: pl.DataFrame, sessions: int) -> int | None:
    """The first of the times, in nanoseconds, that lie as long after their session's open as in most sessions."""
    counts = rows["since"].value_counts().sort("count", "since", descending=[True, False])
    if counts.is_empty() or counts["count"][0] <= sessions / 2:
        return None
    return int(rows.filter(pl.col("since") == counts["since"][0])["time"].to_physical()[0])


def _phase(time: int) -> int:
    return time % _QUARTER


def _moment(time: int) -> datetime:
    return datetime.fromtimestamp(time // 10**9, UTC)


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
    step = int(steps.median())  # type: ignore[arg-type]
    phase = frame.select((pl.col("time") - pl.col("open")).cast(pl.Int64) % step).to_series().to_numpy()
    values, counts = np.unique(phase, return_counts=True)
    after = int(values[np.argmax(counts)])
    if after == 0 or counts.max() < _MOST * frame.height or (steps == step).mean() < _MOST:  # type: ignore[operator]
        return None
    edges = frame.group_by("session").agg(
        fills=(pl.col("time").min() - pl.col("open").first() == pl.duration(nanoseconds=after))
        & (pl.col("close").first() - pl.col("time").max() == pl.duration(nanoseconds=step - after))
    )
    return (step, after) if edges["fills"].mean() > 0.5 else None  # type: ignore[operator]


def doubt_ends(times: pl.Series, trading: pl.DataFrame, entity_steps: pl.Series) -> str | None:
    """Raises DataError where times that a config reads as the ENDS of bars look like another place in them: all bars
    would be known too early. Of clock bars returns a sentence where nobody can tell.

    entity_steps  nanoseconds from each bar to the next one of its entity and session
    """
    found = evidence(times, trading)
    typical = entity_steps.filter(entity_steps > 0).median()
    step = "1min" if typical is None else format_duration(int(typical))  # type: ignore[arg-type]
    if found.place == "starts" and found.sessions >= _SESSIONS:
        raise DataError(
            f"stamps look like bar STARTS ({found.told()})",
            allowed="event_time at the bar's END",
            hint=f"write `bar: {step}` (the spacing of the bars) so that stamps are read as starts, "
            "or `extended_hours: true` if rows at the open are meant",
        )
    if (between := after_start(times, trading)) is not None:
        raise _named_between(*between, "event_time at the bar's END")
    if found.place == "ends" or found.spacing is None:
        return None
    return undecided(step)


def doubt_place(ends: pl.Series, trading: pl.DataFrame, bar: int, stamp_after: int) -> None:
    """Raises DataError where stamps that a config reads as lying `stamp_after` the starts of bars look like another
    place strictly between start and end. `ends` are the bars' ends as they were read."""
    found = after_start((ends.cast(TIME).to_physical() - (bar - stamp_after)).cast(TIME), trading)
    if found is not None and found != (bar, stamp_after):
        raise _named_between(*found, f"bars of {format_duration(bar)} named {format_duration(stamp_after)} after them")


def undecided(step: str) -> str:
    """What to say where nobody can tell starts from ends, of bars of that spacing."""
    return (
        "the stamps do not tell whether they are the starts or the ends of bars, and are read as ENDS: if the vendor "
        f"says starts, write `bar: {step}`, else every bar is known {step} too early; `stamp_after: {step}` beside it "
        "states ends"
    )


def _named_between(step: int, after: int, allowed: str) -> DataError:
    told, named = format_duration(step), format_duration(after)
    return DataError(
        f"stamps look like those of bars of {told} named {named} after their starts, as by their last minute",
        allowed=f"what the source says: {allowed}",
        hint=f"write `bar: {told}` and `stamp_after: {named}`",
    )
