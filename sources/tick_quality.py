"""The row checks of sources.quality on batches of ticks as they come, whose files may be larger than memory.

Of the rules that look at other rows, order carries the latest clocks of each file, the doubt of the time zone how many
rows each minute has, and price jumps, which are judged in the order of known_time, are left to the partitions' merge.
Duplicates are the rule that may need all rows. It needs none where ticks are of files that do not overlap in time, or
where a book's sequence rises, and that is known at the end: `streamable`.
"""

import polars as pl

from sources.config import BOOKS, TICKS, Source
from sources.duplicates import files_overlap, spans
from sources.quality import (
    Checked,
    Window,
    ZoneDoubt,
    checked,
    in_window,
    is_good,
    judged,
    mark_order,
    mark_outside_session,
)
from sources.sequence_checks import Order


def in_batches(source: Source) -> bool:
    """Whether the rows of a source may be judged batch by batch: ticks, and not bars of quotes."""
    return source.table in TICKS and not getattr(source, "bar", None)


class TickChecks:
    """Judges the rows of one group of files, batch by batch, as `quality.check` does all at once.

    files  how many the group has: one file overlaps with none
    """

    def __init__(self, source: Source, window: Window, files: int) -> None:
        self._source, self._window, self._alone = source, window, files == 1
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
        if self.streamable and not (self._alone and source.ticks):
            self._look_for_repeats(rows.select(pl.exclude("reason", "ignore").filter(is_good())))
        return checked(mark_order(rows, self._order))

    def settle(self) -> None:
        """After the last rows. Raises DataError where the time zone looks wrong."""
        self._doubt.settle(self._source, self._window)

    def _look_for_repeats(self, good: pl.DataFrame) -> None:
        if good.is_empty():
            return
        found = spans(good)
        if self._spans is not None:
            both = pl.concat([self._spans, found]).group_by("entity", "file", maintain_order=True)
            found = both.agg(pl.col("first").min(), pl.col("last").max())
        self._spans = found
        self.streamable = not files_overlap(found)
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
