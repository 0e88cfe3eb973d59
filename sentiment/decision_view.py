"""Streams of items looked at from decisions: what the features' formulas are written in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from gpu_kernels.attention import attention
from gpu_kernels.decay import count_within, last_index
from gpu_kernels.decayed_moments import decayed_moments
from gpu_kernels.errors import DataError
from gpu_kernels.window_moments import window_moments
from sentiment.item_stream import Floats, Int64s, Stream, require, segments

NEGATIVE_SCORE = -0.2
ATTENTION_SESSIONS, ATTENTION_MINIMUM = 20, 10
_NEVER = 2**62


@dataclass(frozen=True)
class Sessions:
    """Opens and closes in order, and `cutoff`: items known less than that before a close count for the next session."""

    opens: Int64s
    closes: Int64s
    weekend: Int64s
    cutoff: int = 0

    @classmethod
    def of(cls, sessions: pl.DataFrame, cutoff_ns: int) -> "Sessions":
        """From a table with session (a date), open and close, in order. Raises DataError where it is not in order."""
        for name in ("session", "open", "close"):
            if name not in sessions.columns or sessions[name].null_count():
                raise DataError(f"sessions without {name}", allowed="session, open and close of each")
        require(
            sessions.rename({"open": "event_time", "close": "known_time"}), ("event_time", "known_time"), "sessions"
        )
        if sessions.is_empty():
            raise DataError("no sessions", hint="give those from two months before the first decision on")
        opens, closes = (sessions[name].dt.epoch("ns").to_numpy() for name in ("open", "close"))
        if (opens >= closes).any() or (closes[:-1] > opens[1:]).any():
            raise DataError("sessions that overlap, or are not in order", allowed="open < close <= the next open")
        weekend = (sessions["session"].dt.weekday() >= 6).cast(pl.Int64).to_numpy()
        return cls(opens, closes, weekend, cutoff_ns)

    def at(self, moments: Int64s) -> Int64s:
        """The last session that opened by each moment; -1: none."""
        return np.searchsorted(self.opens, moments, side="right") - 1

    def counted_from(self, moments: Int64s) -> Int64s:
        """When an item counts for its session: as it is known, or, after hours, when the next session opens."""
        session = self.at(moments)
        inside = (session >= 0) & (moments <= self.closes[np.maximum(session, 0)] - self.cutoff)
        following = np.append(self.opens, _NEVER)[session + 1]
        return np.where(inside, moments, following)


@dataclass(frozen=True)
class Placed:
    """A grid's decisions by (segment, time), and how to bring a column of them back to the grid's rows."""

    at: Int64s
    offsets: Int64s
    back: Int64s

    @classmethod
    def own(cls, grid: pl.DataFrame, keys: Sequence[str]) -> "Placed":
        """Each entity a segment."""
        decision = grid["decision_time"].dt.epoch("ns").to_numpy()
        # the sort by segment is stable, so sorting by time first orders the decisions within each segment
        by_time = np.argsort(decision, kind="stable")
        rows, offsets = segments(grid["entity"][by_time], grid.height, keys)
        back = np.empty(grid.height, np.int64)
        back[by_time[rows]] = np.arange(grid.height)
        return cls(decision[by_time[rows]], offsets, back)

    @classmethod
    def shared(cls, grid: pl.DataFrame) -> "Placed":
        """One segment, each time once: what all entities share."""
        at, back = np.unique(grid["decision_time"].dt.epoch("ns").to_numpy(), return_inverse=True)
        return cls(at, np.array([0, len(at)], np.int64), back.reshape(-1))


@dataclass
class View:
    """One stream for each segment of decisions. Columns are of the decisions, in their order.

    half_lives   weighting -> the half-lives, in ns, of which it will be asked: all are made in one pass
    """

    stream: Stream
    placed: Placed
    sessions: Sessions | None = None
    max_age: int | None = None
    half_lives: Mapping[str, Sequence[int]] = field(default_factory=dict)
    _made: dict[Any, Any] = field(default_factory=dict)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @property
    def at(self) -> Int64s:
        return self.placed.at

    # items, which count once whatever their versions

    @property
    def _items(self) -> tuple[Int64s, Int64s]:
        return self.stream.since[self.stream.first], self.stream.first_offsets

    def seen(self) -> Int64s:
        """Position after the last item known at each decision, of all items of all streams."""

        def find() -> Int64s:
            found = last_index(*self._items, self.at, self.placed.offsets)
            return np.where(found < 0, self.begin(), found + 1)

        found: Int64s = self.once("seen", find)
        return found

    def begin(self) -> Int64s:
        """Position of the first item of each decision's stream."""
        return np.repeat(self.stream.first_offsets[:-1], np.diff(self.placed.offsets))

    def first_time(self) -> Int64s:
        """When the first item came; far ahead where none has."""
        time = np.append(self._items[0], _NEVER)
        return np.where(self.seen() > self.begin(), time[np.minimum(self.begin(), len(time) - 1)], _NEVER)

    def count(self, window: int, *, before: int = 0, scored: bool = False) -> Int64s:
        """Items known in (t - before - window, t - before]; `scored`: those that had a score when they first came."""
        time, offsets = self._items
        if scored:
            has = ~np.isnan(self.stream.score[self.stream.first])
            offsets = np.concatenate([[0], np.cumsum(has)])[offsets].astype(np.int64)
            time = time[has]

        def make() -> Int64s:
            return count_within(time, offsets, self.at - before, self.placed.offsets, window)

        counted: Int64s = self.once(("count", window, before, scored), make)
        return counted

    def latest(self, back: int = 0) -> Int64s:
        """Row of the version, as known at each decision, of the latest item (`back` before it); -1: there is none."""

        def find() -> Int64s:
            item = self.seen() - 1 - back
            there = item >= self.begin()
            row = np.where(there, np.append(self.stream.first, 0)[np.where(there, item, 0)], -1)
            if len(self.stream.later) == 0:
                return row
            while True:
                newer = np.where(row >= 0, self.stream.later[row], -1)
                known = (newer >= 0) & (self.stream.time[newer] <= self.at)
                if not known.any():
                    return row
                row = np.where(known, newer, row)

        found: Int64s = self.once(("latest", back), find)
        return found

    def of_latest(self, values: Floats | Int64s, back: int = 0) -> Floats:
        """A column of the stream's rows at the latest item; NaN where there is none."""
        row = self.latest(back)
        return np.where(row >= 0, np.append(values, 0)[row], np.nan)

    def age(self, back: int = 0) -> Floats:
        """Nanoseconds since the latest item was first known."""
        row = self.latest(back)
        return np.where(row >= 0, self.at - np.append(self.stream.since, 0)[row], np.nan)

    # tones

    def decayed(self, weighting: str, half_life: int, *, before: int = 0) -> Floats:
        """(3, decisions): total weight, mean and deviation at t - before, of what was known then."""
        wanted = self.half_lives.get(weighting, ())
        times = tuple(dict.fromkeys((*wanted, half_life))) if before == 0 else (half_life,)

        def make() -> Floats:
            s, at = self.stream, self.at - before
            weight, value = s.weighted(weighting)
            rows = (s.time, s.since, s.earlier, s.later, weight, value, s.offsets)
            return decayed_moments(*rows, at, self.placed.offsets, half_lives_ns=times)

        found: Floats = self.once(("decayed", weighting, times, before), make)[:, times.index(half_life)]
        return found

    def span(self, key: Any, after: Int64s, at: Int64s) -> tuple[Int64s, Floats]:
        """Items and scored items, and the six moments, of (after, at], as known at `at`."""

        def make() -> tuple[Int64s, Floats]:
            s = self.stream
            rows = (s.time, s.since, s.later, *s.weighted("tone"), s.offsets)
            return window_moments(*rows, after, at, self.placed.offsets, below=NEGATIVE_SCORE)

        found: tuple[Int64s, Floats] = self.once(("span", key), make)
        return found

    def window(self, window: int) -> tuple[Int64s, Floats]:
        """`span` of (t - window, t]."""
        return self.span(window, self.at - window, self.at)

    # sessions

    @property
    def calendar(self) -> Sessions:
        assert self.sessions is not None  # the caller's own check
        return self.sessions

    def session(self) -> Int64s:
        found: Int64s = self.once("session", lambda: self.calendar.at(self.at))
        return found

    def of_session(self, *, until_open: bool) -> tuple[Int64s, Floats]:
        """`span` of what counts for the session of each decision: since the close before it, up to now or its open.
        NaN, and -1 for the counts, where no session opened by then has a close before it."""
        session, calendar = self.session(), self.calendar
        there = session > 0
        # rising from decision to decision also where there is no session, as the kernel asks
        starts = np.where(there, np.append(0, calendar.closes)[session] - calendar.cutoff, self.at)
        own = np.maximum(session, 0)
        ends = calendar.opens[own] if until_open else np.minimum(self.at, calendar.closes[own] - calendar.cutoff)
        ends = np.where(session >= 0, ends, self.at)
        counts, moments = self.span(("session", until_open), starts, ends)
        return np.where(there, counts, -1), np.where(there, moments, np.nan)

    def attention(self, window: int) -> Floats:
        """z-score of the items of (t - window, t] by the time of day, after-hours items counting from the next open."""
        calendar, (time, offsets) = self.calendar, self._items
        found: Floats = attention(
            calendar.counted_from(time),
            offsets,
            self.at,
            self.session(),
            self.placed.offsets,
            calendar.opens,
            calendar.closes,
            calendar.weekend,
            window_ns=window,
            sessions=ATTENTION_SESSIONS,
            minimum=ATTENTION_MINIMUM,
        )
        return found
