"""Means over the entities at one decision time, for features that compare an entity with the others.

Values are added entity by entity, in the order of the entities' names: a matrix of all entities, and partitions of one
entity each, give the same bits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import nanoseconds, segment_offsets
from sources.schema import TIME

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]


@dataclass
class Sums:
    """At each decision time (int64 ns, rising): the sum of the entities' values, and how many have one."""

    times: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    sums: Floats = field(default_factory=lambda: np.zeros(0))
    counts: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, grid: pl.DataFrame, values: Floats) -> "Sums":
        """Those of a whole grid, sorted by (entity, decision_time)."""
        found, times = cls(), nanoseconds(grid["decision_time"])
        offsets = segment_offsets(grid.select("entity"))
        for begin, end in pairwise(offsets):
            found.add(times[begin:end], values[begin:end])
        return found

    def add(self, times: Int64s, values: Floats) -> None:
        """The next entity's values at its decisions, each time once; NaN: it has none."""
        if not np.isin(times, self.times, assume_unique=True).all():
            every = np.union1d(self.times, times)
            place = np.searchsorted(every, self.times)
            sums, counts = np.zeros(len(every)), np.zeros(len(every), np.int64)
            sums[place], counts[place] = self.sums, self.counts
            self.times, self.sums, self.counts = every, sums, counts
        known = ~np.isnan(values)
        at = np.searchsorted(self.times, times[known])
        self.sums[at] += values[known]
        self.counts[at] += 1

    def relative(self, times: Int64s, values: Floats) -> Floats:
        """Values minus the mean of all entities at their time; NaN where fewer than two have one."""
        result: Floats = values - self.mean(times)
        return result

    def mean(self, times: Int64s) -> Floats:
        """The mean of all entities at these times, each of which is theirs; NaN where fewer than two have one."""
        mean = np.divide(self.sums, self.counts, out=np.full(len(self.sums), np.nan), where=self.counts > 1)
        found: Floats = mean[np.searchsorted(self.times, times)]
        return found

    def frame(self) -> pl.DataFrame:
        times = pl.Series("decision_time", self.times).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC").cast(TIME)
        return pl.DataFrame([times, pl.Series("sum", self.sums), pl.Series("count", self.counts)])

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> "Sums":
        return cls(nanoseconds(frame["decision_time"]), frame["sum"].to_numpy(), frame["count"].to_numpy())


def sums_of(columns: Iterable[str], parts: Iterable[pl.DataFrame]) -> Mapping[str, Sums]:
    """The sums of each column over the entities' own frames (decision_time and the columns), in their order."""
    found = {name: Sums() for name in columns}
    for part in parts:
        for name, sums in found.items():
            sums.add(nanoseconds(part["decision_time"]), part[name].to_numpy())
    return found
