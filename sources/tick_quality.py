"""The row checks of sources.quality on batches of ticks as they come, whose files may be larger than memory.

Of the rules that look at other rows, order carries the latest clocks of each file, the doubt of the time zone how many
rows each minute has, and price jumps, which are judged in the order of known_time, are left to the partitions' merge.
Duplicates are the rule that may need all rows. It needs none where ticks are of files that do not overlap in time, or
where a book's sequence rises; where that turns out not to hold, `streamable` becomes false and the files are read
again: `Overlap` compares the rows of the times that two files share, which alone are in memory together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sources.config import Source
from sources.duplicates import OVERLAP, files_overlap, mark_duplicates, spans
from sources.quality import (
    Checked,
    Window,
    ZoneDoubt,
    checked,
    in_window,
    is_good,
    judged,
    mark,
    mark_order,
    mark_outside_session,
)
from sources.schema import TABLES
from sources.sequence_checks import Order
from sources.source_options import BOOKS, TICKS

# where a file stands among the exports of a group; partitions of files that overlap are sorted by it in ties
RANK = "_rank"


def in_batches(source: Source) -> bool:
    """Whether the rows of a source may be judged batch by batch: ticks, and not bars of quotes."""
    return source.table in TICKS and not getattr(source, "bar", None)


class TickChecks:
    """Judges the rows of one group of files, batch by batch, as `quality.check` does all at once.

    files    how many the group has: one file overlaps with none
    overlap  what is known of files that overlap; good rows then have the RANK of their file
    """

    def __init__(self, source: Source, window: Window, files: int, overlap: "Overlap | None" = None) -> None:
        self._source, self._window, self._overlap = source, window, overlap
        self._compared = overlap is not None or (files == 1 and source.ticks)
        self._rows = 0
        self._order, self._doubt = Order(), ZoneDoubt()
        self._spans: pl.DataFrame | None = None
        self._sequence: pl.DataFrame | None = None
        self.streamable = True

    def check(self, rows: pl.DataFrame) -> Checked:
        """Judge the next rows. Nothing that it says counts unless `streamable` still holds after the last ones."""
        source = self._source
        rows = in_window(judged(rows, source, self._window), source, self._window)
        if not source.extended_hours:  # type: ignore[union-attr]
            self._doubt.add(rows.select(pl.col("event_time", "session").filter(is_good())))
        rows = mark_outside_session(rows, source)
        if self._overlap is not None:
            rows = self._overlap.mark(rows, self._rows)
        self._rows += rows.height
        if self.streamable and not self._compared:
            self._look_for_repeats(rows.select(pl.exclude("reason", "ignore").filter(is_good())))
        return checked(mark_order(rows, self._order))

    def settle(self) -> None:
        """After the last rows. Raises DataError where the time zone looks wrong."""
        self._doubt.settle(self._source, self._window)

    def _look_for_repeats(self, good: pl.DataFrame) -> None:
        if good.is_empty():
            return
        self._spans = _joined(self._spans, spans(good))
        self.streamable = not files_overlap(self._spans)
        if self._source.table in BOOKS and not self._source.ticks and self.streamable:
            self._rising(good)

    def _rising(self, good: pl.DataFrame) -> None:
        """Rows of a rising sequence share no key."""
        by, number = ("entity", "session"), pl.col("sequence")
        place = good.select(*by, number, before=number.shift(1).over(by))
        if self._sequence is not None:
            place = place.join(self._sequence, on=by, how="left", maintain_order="left")
            place = place.with_columns(before=pl.coalesce("before", "latest"))
        self.streamable = not place.select((number <= pl.col("before")).any()).item()
        latest = good.group_by(by, maintain_order=True).agg(latest=number.max())
        if self._sequence is not None:
            latest = pl.concat([self._sequence, latest]).group_by(by, maintain_order=True).agg(pl.col("latest").max())
        self._sequence = latest


def _joined(before: pl.DataFrame | None, found: pl.DataFrame) -> pl.DataFrame:
    """The spans of two batches as those of both."""
    if before is None:
        return found
    both = pl.concat([before, found]).group_by("entity", "file", maintain_order=True)
    return both.agg(pl.col("first").min(), pl.col("last").max())


@dataclass(frozen=True)
class Overlap:
    """What there is to know of ticks whose files overlap.

    ranks    the place of each file in the order of exports, see duplicates.in_export_order
    repeats  numbers, counted over all rows of the group, of those that repeat a row of another file
    """

    ranks: dict[int, int]
    repeats: npt.NDArray[np.int64]

    @staticmethod
    def found(batches: Callable[[], Iterator[pl.DataFrame]], source: Source, window: Window) -> "Overlap":
        """Looks at the rows of a group twice: where its files overlap, and which rows repeat there."""
        every: pl.DataFrame | None = None
        begins: dict[int, int] = {}
        for good in _good(batches(), source, window):
            every = _joined(every, spans(good))
            first = good.group_by("file", maintain_order=True).agg(pl.col("event_time").first().to_physical())
            begins = dict(first.iter_rows()) | begins
        ranks = {file: rank for rank, file in enumerate(sorted(begins, key=lambda file: (begins[file], file)))}
        assert every is not None
        bounds = {
            values[0]: [np.sort(part[name].to_physical().to_numpy()) for name in ("first", "last")]
            for values, part in every.partition_by("entity", as_dict=True).items()
        }
        shared = [
            part.filter(_files_at(part, *bounds[values[0]]) > 1)
            for good in _good(batches(), source, window)
            for values, part in good.partition_by("entity", as_dict=True).items()
        ]
        rows = pl.concat(shared).with_columns(rank=pl.col("file").replace_strict(ranks)).sort("rank", "_place")
        marked = mark_duplicates(rows, TABLES[source.table], ticks=True, vintages=False)
        return Overlap(ranks, marked.filter(pl.col("ignore") == OVERLAP)["_place"].sort().to_numpy())

    def mark(self, rows: pl.DataFrame, before: int) -> pl.DataFrame:
        """The next rows of the group, of which `before` came before, with their RANK and their repeats marked."""
        low, high = np.searchsorted(self.repeats, [before, before + rows.height])
        again = np.zeros(rows.height, bool)
        again[self.repeats[low:high] - before] = True
        rows = rows.with_columns(pl.col("file").replace_strict(self.ranks, default=0).cast(pl.Int64).alias(RANK))
        return mark(rows, "ignore", OVERLAP, pl.lit(pl.Series(again)))


def _good(batches: Iterator[pl.DataFrame], source: Source, window: Window) -> Iterator[pl.DataFrame]:
    """The good rows before duplicates are looked for, and their numbers as `_place`."""
    before = 0
    for batch in batches:
        rows = mark_outside_session(in_window(judged(batch, source, window), source, window), source)
        rows = rows.with_row_index("_place").with_columns(pl.col("_place").cast(pl.Int64) + before)
        before += rows.height
        yield rows.filter(is_good())


def _files_at(rows: pl.DataFrame, first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> pl.Series:
    """How many files of an entity span the time of each row, given where they begin and end, both sorted."""
    time = rows["event_time"].to_physical().to_numpy()
    return pl.Series(np.searchsorted(first, time, "right") - np.searchsorted(last, time, "left"))
