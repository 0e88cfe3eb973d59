"""What all features of bars share: the stream, its segments, and the bar that each decision sees."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import AsOf, as_of, nanoseconds, segment_offsets
from fusion.features.peers import Sums
from fusion.volatility.settings import VolatilityConfig
from gpu_kernels import align

Array = NDArray[np.float64]
Int64s = NDArray[np.int64]
KEYS = ("entity", "session")
_ROW = "_row"
_EVER = 2**62


@dataclass(frozen=True)
class DailyBars:
    """Of bars that are one a session: when sessions close (ns, rising, from before the first decision on), how long
    after it a bar is due, and how many sessions' bars may be used at a time: 1, the last one that is due."""

    closes: Int64s
    delay: int
    kept: int

    def oldest(self, times: Int64s) -> Int64s:
        """The earliest event_time (ns) that a bar may have at each time. So a weekend makes no bar old, and an entity
        that did not trade in the last session has none."""
        due = np.searchsorted(self.closes + self.delay, times, side="right")
        place = due - self.kept
        none = np.where(place < 0, np.iinfo(np.int64).min, np.iinfo(np.int64).max)
        inside = (place >= 0) & (place < len(self.closes))
        found: Int64s = np.where(inside, self.closes[np.where(inside, place, 0)], none) if len(self.closes) else none
        return found


@dataclass(frozen=True)
class BarSettings:
    """What features of bars need to know of a config: its calendar, its section `volatility`, and the rows of the
    scheduled events that this names. `peers` tells, by the name of a feature, its sums over all entities, where the
    grid is of some of them only. `daily`: bars are one a session; none: they lie inside sessions."""

    calendar: str = "XNYS"
    volatility: VolatilityConfig = field(default_factory=VolatilityConfig)
    events: pl.DataFrame | None = None
    peers: Mapping[str, Sums] | None = None
    daily: DailyBars | None = None


@dataclass(frozen=True)
class BarRows:
    """A stream of bars and a decision grid.

    stream    bars in order (sources.stream.in_order), sorted by (entity, event_time); sessions before the grid's first
              are the history of features that need one
    aligned   the bar that each decision sees, of its own session; of daily bars the last one

    Of daily bars a segment holds all of an entity: windows go on from session to session, whatever a feature's name.
    """

    stream: pl.DataFrame
    grid: pl.DataFrame
    aligned: AsOf
    settings: BarSettings
    _made: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, stream: pl.DataFrame, grid: pl.DataFrame, max_age_ns: int, settings: BarSettings) -> "BarRows":
        numbered = stream.with_row_index(_ROW)
        if settings.daily is None:
            return cls(stream, grid, as_of(numbered, grid, list(KEYS), max_age_ns), settings)
        oldest = settings.daily.oldest(nanoseconds(grid["decision_time"]))
        return cls(stream, grid, as_of(numbered, grid, ["entity"], _EVER).not_before(oldest), settings)

    @cached_property
    def offsets(self) -> Int64s:
        """Segments of one session each; of daily bars of one entity each."""
        return self.entity_offsets if self.settings.daily is not None else segment_offsets(self.stream.select(KEYS))

    @cached_property
    def entity_offsets(self) -> Int64s:
        """Segments that hold all sessions of an entity."""
        return segment_offsets(self.stream.select("entity"))

    @cached_property
    def index(self) -> Int64s:
        """The row of the stream that each decision sees, or -1."""
        found: Int64s = align.take(self.aligned.rows[_ROW].cast(pl.Float64).to_numpy(), self.aligned.index)
        return np.nan_to_num(found, nan=-1.0).astype(np.int64)

    @cached_property
    def event_time(self) -> Int64s:
        return nanoseconds(self.stream["event_time"])

    def column(self, name: str) -> Array:
        values: Array = self.stream[name].to_numpy()
        return values

    def segments(self, *, across: bool) -> Int64s:
        return self.entity_offsets if across else self.offsets

    def take(self, values: Array) -> Array:
        """One value a bar at each decision; missing where no bar known within max_age is there."""
        return align.take(values, self.index)

    def relative(self, own: str, values: Array) -> Array:
        """The values of a feature minus their mean over the entities at the same decision."""
        return self.peers(own, values).relative(nanoseconds(self.grid["decision_time"]), values)

    def peers(self, own: str, values: Array) -> Sums:
        """The sums of a feature over the entities at each decision, of its values."""
        peers = self.settings.peers
        return Sums.of(self.grid, values) if peers is None else peers[own]

    def once(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a kernel of several outputs gives, made once for all features that it is part of."""
        key = function, arguments
        if key not in self._made:
            self._made[key] = function(self, *arguments)
        return self._made[key]


def warm(bars: str) -> str:
    """What `missing` says of a window."""
    return f"before the session's bar {bars}, or no bar known within max_age"
