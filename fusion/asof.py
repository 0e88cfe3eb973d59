"""Tables onto the decision grid by the as-of rule: one gather map per source, reused for all its columns.

The rule itself is `gpu_kernels.align.gather_map`; here rows and decisions are put into its segments.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gpu_kernels import align

MINUTE = 60 * 10**9


@dataclass(frozen=True)
class AsOf:
    """A gather map from the rows of one table to the decisions of a grid.

    rows      the table in the order that the map indexes
    index     int64, one per decision: its row, or -1 where nothing is known or all of it is too old
    age       float64 minutes from the row's event_time to the decision; NaN where index is -1
    """

    rows: pl.DataFrame
    index: NDArray[np.int64]
    age: NDArray[np.float64]

    def take(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`values` (one per row of `rows`) at each decision; NaN where no row may be used."""
        return align.take(values, self.index)

    def not_before(self, oldest: NDArray[np.int64]) -> "AsOf":
        """The same without rows whose event_time (ns) lies before that of their decision in `oldest`."""
        if not self.rows.height:
            return self
        used = (self.index >= 0) & (nanoseconds(self.rows["event_time"])[self.index] >= oldest)
        return AsOf(self.rows, np.where(used, self.index, -1), np.where(used, self.age, np.nan))


def nanoseconds(column: pl.Series) -> NDArray[np.int64]:
    """A time column as int64 nanoseconds since 1970 UTC."""
    return column.dt.epoch("ns").to_numpy()


def segment_offsets(keys: pl.DataFrame) -> NDArray[np.int64]:
    """Offsets of the runs of equal keys in a frame sorted by them: [0, ..., rows]."""
    if keys.height == 0:
        return np.zeros(1, dtype=np.int64)
    starts = keys.select(pl.struct(pl.all()).rle_id().alias("run"))["run"]
    counts = np.bincount(starts.to_numpy())
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def as_of(rows: pl.DataFrame, grid: pl.DataFrame, by: list[str], max_age_ns: int) -> AsOf:
    """The latest usable row of each decision's segment.

    `rows` has event_time, known_time and the columns `by`, in order of known_time within each segment (ties: the later
    row is the later vintage). `grid` has decision_time and `by`, sorted by (`by`, decision_time). With `by` empty every
    decision sees all rows; the grid must then be sorted by decision_time alone.
    """
    if by:
        segments = grid.select(by).unique(maintain_order=True).with_row_index("segment")
        rows = rows.join(segments, on=by, how="inner", maintain_order="left").sort("segment", maintain_order=True)
        counts = np.bincount(rows["segment"].to_numpy(), minlength=segments.height)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows, decision_offsets = rows.drop("segment"), segment_offsets(grid.select(by))
    else:
        offsets = np.array([0, rows.height], dtype=np.int64)
        decision_offsets = np.array([0, grid.height], dtype=np.int64)
    decision, event = nanoseconds(grid["decision_time"]), nanoseconds(rows["event_time"])
    index = align.gather_map(nanoseconds(rows["known_time"]), event, offsets, decision, decision_offsets, max_age_ns)
    age = np.full(len(index), np.nan)
    found = index >= 0
    age[found] = (decision[found] - event[index[found]]) / MINUTE
    return AsOf(rows, index, age)
