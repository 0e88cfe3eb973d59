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


@dataclass(frozen=True)
class BarSettings:
    """What features of bars need to know of a config: its calendar, its section `volatility`, and the rows of the
    scheduled events that this names. `peers` tells, by the name of a feature, its sums over all entities, where the
    grid is of some of them only."""

    calendar: str = "XNYS"
    volatility: VolatilityConfig = field(default_factory=VolatilityConfig)
    events: pl.DataFrame | None = None
    peers: Mapping[str, Sums] | None = None


@dataclass(frozen=True)
class BarRows:
    """A stream of bars and a decision grid.

    stream    bars in order (sources.stream.in_order), sorted by (entity, event_time); sessions before the grid's first
              are the history of features that need one
    aligned   the bar that each decision sees, of its own session
    """

    stream: pl.DataFrame
    grid: pl.DataFrame
    aligned: AsOf
    settings: BarSettings
    _made: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, stream: pl.DataFrame, grid: pl.DataFrame, max_age_ns: int, settings: BarSettings) -> "BarRows":
        return cls(stream, grid, as_of(stream.with_row_index(_ROW), grid, list(KEYS), max_age_ns), settings)

    @cached_property
    def offsets(self) -> Int64s:
        """Segments of one session each."""
        return segment_offsets(self.stream.select(KEYS))

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
        peers = self.settings.peers
        sums = Sums.of(self.grid, values) if peers is None else peers[own]
        return sums.relative(nanoseconds(self.grid["decision_time"]), values)

    def once(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a kernel of several outputs gives, made once for all features that it is part of."""
        key = function, arguments
        if key not in self._made:
            self._made[key] = function(self, *arguments)
        return self._made[key]


def warm(bars: str) -> str:
    """What `missing` says of a window."""
    return f"before the session's bar {bars}, or no bar known within max_age"
