"""Back-to-back intervals of one length, for measures that are made of intervals and not of events."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fusion.features.ticks import Array, Ticks
from gpu_kernels import align, decay
from gpu_kernels.book.intervals import interval_sums

Clock = NDArray[np.int64]


@dataclass(frozen=True)
class Intervals:
    """(end - length, end], with ends at whole multiples of the length since 1970, so that where the data begin or end
    moves no interval. A segment's first one ends after its first row, its last one by its last decision.

    ends, offsets   int64 ns, and the segments of the grid
    """

    ticks: Ticks
    length: int
    ends: Clock
    offsets: Clock

    @classmethod
    def of(cls, ticks: Ticks, length: int) -> "Intervals":
        parts = [np.zeros(0, np.int64)]
        for (first, stop), (begin, end) in zip(pairwise(ticks.offsets), pairwise(ticks.at_offsets), strict=True):
            if first < stop and begin < end:
                start = -(-ticks.time[first] // length) * length
                parts.append(np.arange(start, ticks.at[end - 1] + 1, length, dtype=np.int64))
            else:
                parts.append(parts[0])
        counts = [len(part) for part in parts[1:]]
        return cls(ticks, length, np.concatenate(parts), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    def totals(self, values: Array) -> Array:
        """Sum of the rows' values in each interval; missing in a segment's first, which may be a part."""
        # whole nanoseconds: an edge after the end has the end itself inside
        return interval_sums(self.ticks.time, values, self.ticks.offsets, self.ends + 1, self.offsets)[0]

    def at_ends(self, values: Array, time: Clock | None = None, offsets: Clock | None = None) -> Array:
        """The value of the last row known by each end, of the segment's rows or of others in the same segments."""
        time, offsets = (self.ticks.time, self.ticks.offsets) if time is None or offsets is None else (time, offsets)
        return align.take(values, decay.last_index(time, offsets, self.ends, self.offsets))

    def take(self, values: Array) -> Array:
        """The value of the last interval that has ended by each decision; missing where no row within max_age was
        known."""
        last = decay.last_index(self.ends, self.offsets, self.ticks.at, self.ticks.at_offsets)
        return np.where(self.ticks.aligned.index >= 0, align.take(values, last), np.nan)
