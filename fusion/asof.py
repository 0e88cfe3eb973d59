"""Tables onto the decision grid by the as-of rule: one gather map per source, reused for all its columns.

The rule itself is `gpu_kernels.align.gather_map`; here rows and decisions are put into its segments. `align` and
`align_stream` are for tables of one's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gpu_kernels.align import ages, gather_map, take
from gpu_kernels.errors import DataError
from sources.schema import TIME

MINUTE = 60 * 10**9
FOREVER = 2**63 - 1

# columns that are here for a moment only, called as no table calls its own
_SEGMENT, _ROW = "__segment__", "__row__"


@dataclass(frozen=True)
class AsOf:
    """A gather map from the rows of one table to the decisions of a grid.

    rows      the table in the order that the map indexes
    index     int64, one per decision: its row, or -1 where nothing is known or all of it is too old
    age       float64 minutes from the row's event_time to the decision; NaN where index is -1
    known     float64 minutes from the row's known_time to the decision; NaN where index is -1
    """

    rows: pl.DataFrame
    index: NDArray[np.int64]
    age: NDArray[np.float64]
    known: NDArray[np.float64]

    def take(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`values` (one per row of `rows`) at each decision; NaN where no row may be used."""
        return take(values, self.index)

    def not_before(self, oldest: NDArray[np.int64]) -> "AsOf":
        """The same without rows whose event_time (ns) lies before that of their decision in `oldest`."""
        if not self.rows.height:
            return self
        used = (self.index >= 0) & (nanoseconds(self.rows["event_time"])[self.index] >= oldest)
        age, known = (np.where(used, values, np.nan) for values in (self.age, self.known))
        return AsOf(self.rows, np.where(used, self.index, -1), age, known)


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
        segments = grid.select(by).unique(maintain_order=True).with_row_index(_SEGMENT)
        rows = rows.join(segments, on=by, how="inner", maintain_order="left").sort(_SEGMENT, maintain_order=True)
        counts = np.bincount(rows[_SEGMENT].to_numpy(), minlength=segments.height)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows, decision_offsets = rows.drop(_SEGMENT), segment_offsets(grid.select(by))
    else:
        offsets = np.array([0, rows.height], dtype=np.int64)
        decision_offsets = np.array([0, grid.height], dtype=np.int64)
    decision = nanoseconds(grid["decision_time"])
    known, event = nanoseconds(rows["known_time"]), nanoseconds(rows["event_time"])
    index = gather_map(known, event, offsets, decision, decision_offsets, max_age_ns)
    return AsOf(rows, index, *ages(known, event, decision, index))


def align(
    rows: pl.DataFrame,
    grid: pl.DataFrame,
    columns: Sequence[str],
    *,
    by: Sequence[str] = ("entity",),
    max_age_ns: int = FOREVER,
    delay_ns: int = 0,
) -> pl.DataFrame:
    """The grid with the `columns` of a table as they were known at each decision, in the grid's own order.

    Of the rows of a decision's keys `by` with known_time + delay <= decision_time, of each event_time the latest
    vintage (ties: the later row), of those the latest event_time; none if decision_time - event_time > max_age. Beside
    the columns come `age_minutes` since event_time and `known_since_minutes` since known_time + delay.

    rows   event_time, known_time, `by` and `columns`, in any order
    grid   decision_time and `by`, in any order

    Missing values: null where no row may be used, and where the value is. A row without event_time, known_time or key
    is never used.
    Raises: DataError where a column is absent, is in the grid already, or a time is no time.
    """
    keys = list(by)
    for name, frame, needed in (
        ("rows", rows, ["event_time", "known_time", *keys, *columns]),
        ("grid", grid, ["decision_time", *keys]),
    ):
        missing = [column for column in needed if column not in frame.columns]
        if missing:
            raise DataError(f"{name} lack {', '.join(missing)}", allowed=f"columns {', '.join(needed)}")
        wrong = [column for column in needed if column.endswith("_time") and not _is_time(frame, column)]
        if wrong:
            raise DataError(
                f"{wrong[0]} of {name} is {frame.schema[wrong[0]]}", allowed="a datetime with the time zone UTC"
            )
    other = [key for key in keys if rows.schema[key] != grid.schema[key]]
    if other:
        raise DataError(
            f"{other[0]} is {rows.schema[other[0]]} in rows, {grid.schema[other[0]]} in the grid", allowed="one type"
        )
    added = [*columns, "age_minutes", "known_since_minutes"]
    clash = [column for column in added if column in grid.columns]
    if clash:
        raise DataError(f"the grid has {clash[0]} already", hint="rename it before the call")
    twice = [column for column in added if added.count(column) > 1]
    if twice:
        raise DataError(f"columns name {twice[0]} twice", allowed="each once; ages are added")
    if grid["decision_time"].null_count():
        raise DataError(f"{grid['decision_time'].null_count()} decisions have no time", allowed="a time in each row")
    # the values stay where they are, so that they may have any name
    clocks = (pl.col("event_time").cast(TIME), pl.col("known_time").cast(TIME) + pl.duration(nanoseconds=delay_ns))
    used = rows.select(*keys, *clocks).with_row_index(_ROW).drop_nulls(["event_time", "known_time", *keys])
    asked = grid.select(*keys, pl.col("decision_time").cast(TIME)).with_row_index(_ROW)
    asked = asked.sort(*keys, "decision_time", maintain_order=True)
    found = as_of(used.sort("known_time", maintain_order=True), asked, keys, max_age_ns)
    order = np.argsort(asked[_ROW].to_numpy(), kind="stable")
    index = found.index[order]
    known = pl.Series(index >= 0)
    values = rows.select(columns)
    if found.rows.height:
        taken = values[found.rows[_ROW].gather(np.maximum(index, 0))]
        taken = taken.select(pl.when(known).then(pl.col(column)).alias(column) for column in columns)
    else:
        taken = values.clear(len(index))
    ages_of = (pl.Series("age_minutes", found.age[order]), pl.Series("known_since_minutes", found.known[order]))
    return grid.hstack([*taken.get_columns(), *(age.zip_with(known, _nothing(age)) for age in ages_of)])


def align_stream(
    rows: pl.LazyFrame,
    grid: pl.LazyFrame,
    columns: Sequence[str],
    *,
    partition: str = "entity",
    max_age_ns: int = FOREVER,
    delay_ns: int = 0,
) -> Iterator[pl.DataFrame]:
    """`align`, one value of `partition` after the other, so that no more than its rows are in memory: of tables that
    are scanned from Parquet partitioned or sorted by it (`pl.scan_parquet`, the lake's folders).

    The parts come in rising order of the partition; each is that part of the grid in its own order. Missing values and
    errors as there; a decision without partition is in no part.
    """
    values = grid.select(pl.col(partition).unique().sort()).collect()[partition].drop_nulls()
    for value in values:
        of_part = pl.col(partition) == pl.lit(value)
        yield align(
            rows.filter(of_part).select(partition, "event_time", "known_time", *columns).collect(),
            grid.filter(of_part).collect(),
            columns,
            by=(partition,),
            max_age_ns=max_age_ns,
            delay_ns=delay_ns,
        )


def _is_time(frame: pl.DataFrame, column: str) -> bool:
    kind = frame.schema[column]
    return isinstance(kind, pl.Datetime) and kind.time_zone == "UTC"


def _nothing(values: pl.Series) -> pl.Series:
    return values.clear(len(values))
