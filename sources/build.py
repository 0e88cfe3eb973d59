"""What one ingest does: files -> readers -> checks -> partitions and quarantine, all inside a folder of its own.

Ticks go through batch by batch, so that memory is bounded by the batch and not by the file: sources.tick_quality says
what they carry, sources.runs how they are sorted. Bars, news, events and metrics are small and judged whole; so is a
table_file's book whose sequence does not rise.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from sources import coverage
from sources.config import BOOKS, STREAMS, Source
from sources.files import InputFile, bytes_read, raw_lines
from sources.quality import PRICE_JUMP, Checked, Window, check
from sources.readers import CARRYING, RAW_ROWS, READERS, TOGETHER, RawBatch
from sources.readers.records import file_format
from sources.runs import ParquetFile, Partitions
from sources.schema import TABLES
from sources.sequence_checks import Jumps
from sources.tick_quality import RANK, Overlap, TickChecks, in_batches

QUARANTINE = "quarantine.parquet"
_QUARANTINE_SCHEMA = dict.fromkeys(("source", "table", "reason", "file"), pl.String()) | {
    "line": pl.Int64(),
    "raw": pl.String(),
}
_PLACE = {"file": pl.UInt32(), "member": pl.String(), "line": pl.Int64()}
_SET_ASIDE = _PLACE | {"reason": pl.String()}
Progress = Callable[[str, float | None], None]


def build(works: Sequence["Work"], files: list[InputFile], progress: Progress) -> None:
    """Does the works, which are of sources of one kind with the same files: a work alone, or those of one of the kinds
    that are read together.

    progress  called with (what is being read, share of the bytes of all files read)
    """
    reading = _Reading([work.source for work in works], works[0].window.calendar, files, progress)
    for group in _groups(files, works[0].source):
        for work in works:
            work.begin(len(group))
        for batches in reading.batches(group):
            for work, batch in zip(works, batches, strict=True):
                work.add(batch)
            if not any(work.going_on for work in works):
                break
        for place, work in enumerate(works):
            work.end(partial(reading.of_one, group, place))
    for work in works:
        work.write_quarantine(files)


def _groups(files: list[InputFile], source: Source) -> Iterator[list[tuple[int, InputFile]]]:
    """Files that may hold rows of one entity belong together; one group at a time is worked on."""

    def entity(item: tuple[int, InputFile]) -> str:
        file = item[1]
        return file.entity or (file.path.parent.name if source.kind == "lean_zip" else "")

    for _, group in groupby(sorted(enumerate(files), key=entity), key=entity):
        yield list(group)


class _Reading:
    """The batches of a group of files, one for each source, and how far the whole ingest is."""

    def __init__(self, sources: list[Source], calendar: str, files: list[InputFile], progress: Progress) -> None:
        self._sources, self._calendar, self._progress = sources, calendar, progress
        self._bytes = {index: file.path.stat().st_size for index, file in enumerate(files)}
        self._done: set[int] = set()

    def batches(self, group: list[tuple[int, InputFile]]) -> Iterator[list[RawBatch]]:
        carried: list[dict[str, Any]] = [{} for _ in self._sources]
        for index, file in group:
            self._tell(file, 0)
            for batches in self._read(file, index, carried):
                yield batches
                self._tell(file, bytes_read(file.path))
            self._done.add(index)

    def of_one(self, group: list[tuple[int, InputFile]], place: int) -> Iterator[RawBatch]:
        """The batches of a group once more, for one of the sources."""
        return (batches[place] for batches in self.batches(group))

    def _read(self, file: InputFile, index: int, carried: list[dict[str, Any]]) -> Iterator[list[RawBatch]]:
        first, *others = self._sources
        if others:
            yield from TOGETHER[first.kind](self._sources, file, index, self._calendar, carried)
            return
        more = {"carried": carried[0]} if first.kind in CARRYING else {}
        for batch in READERS[first.kind](first, file, index, self._calendar, **more):
            yield [batch]

    def _tell(self, file: InputFile, read: int) -> None:
        done = sum(self._bytes[index] for index in self._done)
        self._progress(f"read {file.path.name}", min((done + read) / max(sum(self._bytes.values()), 1), 1.0))


@dataclass
class _Counts:
    """What was found of some files."""

    read: int = 0
    used: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    entities: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    def add(self, other: "_Counts") -> None:
        self.read += other.read
        self.used += other.used
        self.ignored.update(other.ignored)
        self.reasons.update(other.reasons)
        self.entities |= other.entities
        self.kinds |= other.kinds

    def add_read(self, batch: RawBatch) -> None:
        self.read += batch.rows.height + sum(batch.ignored.values())
        self.ignored.update(batch.ignored)


def _rows(batches: Callable[[], Iterator[RawBatch]]) -> Iterator[pl.DataFrame]:
    return (batch.rows for batch in batches())


class _Group:
    """The rows of one group of files on their way to the partitions and the quarantine.

    jumps   price jumps are yet to be judged, in the order of the partitions
    ranked  rows have the RANK of their file, which orders those of the same times
    """

    def __init__(self, source: Source, work: Path, *, jumps: bool, ranked: bool = False) -> None:
        self._source, self._jumps, self._spec = source, jumps, TABLES[source.table]
        schema = self._spec.schema | (_PLACE if jumps else {}) | ({RANK: pl.Int64()} if ranked else {})
        by = ("known_time", "event_time", *([RANK] if ranked else []))
        self._good = Partitions(work / "good", schema, self._spec.partition, by)
        self.bad = _set_aside(work / "bad")
        self.counts = _Counts()

    def add(self, found: Checked) -> None:
        good = found.good
        if "month" in self._spec.partition:
            good = good.with_columns(month=pl.col("known_time").dt.strftime("%Y-%m"))
        self._good.append(good)
        self._add_bad(found.bad)
        self.counts.ignored.update(found.ignored)
        self.counts.used += good.height
        if self._source.table == "event":
            self.counts.kinds |= set(good["kind"].unique())

    def write(self, folder: Path) -> None:
        """The partitions into `folder`."""
        for values, partition in self._good.items():
            named = zip(self._spec.partition, values, strict=True)
            names = [f"{column}={quote(str(value), safe='')}" for column, value in named]
            path = folder.joinpath(*names[:-1], names[-1] + ".parquet")
            partition.write(path, self._spec.schema, self._without_jumps() if self._jumps else None)
            self.counts.entities.add(values[0])

    def _without_jumps(self) -> Callable[[pl.DataFrame], pl.DataFrame]:
        jumps = Jumps(self._source.max_jump, self._source.table)  # type: ignore[union-attr, arg-type]

        def kept(rows: pl.DataFrame) -> pl.DataFrame:
            jumping = jumps.jumping(rows)
            bad = rows.filter(jumping)
            self._add_bad(bad.with_columns(reason=pl.lit(PRICE_JUMP)))
            self.counts.used -= bad.height
            return rows.filter(~jumping)

        return kept

    def _add_bad(self, bad: pl.DataFrame) -> None:
        self.counts.reasons.update(dict(bad["reason"].value_counts().iter_rows()))
        self.bad.append(bad)


class Work:
    """What one source's ingest has done so far, in `folder`, group by group of its files."""

    def __init__(self, folder: Path, name: str, source: Source, window: Window) -> None:
        self.source, self.window = source, window
        self._folder, self._name, self._temporary = folder, name, folder / ".work"
        self._counts = _Counts()
        self._bad = _set_aside(folder / ".quarantine")
        self._group: _Group
        self._checks: TickChecks | None = None
        self._files = 0
        self._parts: list[pl.DataFrame] = []
        self._held: list[pl.DataFrame] = []

    @property
    def going_on(self) -> bool:
        """Whether more batches of the group are wanted."""
        return self._checks is None or self._checks.streamable

    def begin(self, files: int, overlap: Overlap | None = None) -> None:
        """A group of so many files."""
        ticks, source = in_batches(self.source), self.source
        jumps = ticks and source.table not in BOOKS and source.max_jump is not None  # type: ignore[union-attr]
        self._checks = TickChecks(source, self.window, files, overlap) if ticks else None
        self._files = files
        self._group = _Group(source, self._temporary, jumps=jumps, ranked=overlap is not None)
        self._parts = []

    def add(self, batch: RawBatch) -> None:
        if not self.going_on:
            return
        self._group.counts.add_read(batch)
        if self._checks is None:
            self._parts.append(batch.rows)
        else:
            self._group.add(self._checks.check(batch.rows))

    def end(self, again: Callable[[], Iterator[RawBatch]]) -> None:
        """Writes the group's partitions. `again` gives its batches once more, where they have to be compared."""
        if not self.going_on:
            shutil.rmtree(self._temporary)
            if self.source.ticks:
                self.begin(self._files, Overlap.found(partial(_rows, again), self.source, self.window))
            else:
                self._checks, self._parts = None, []
                self._group = _Group(self.source, self._temporary, jumps=False)
            for batch in again():
                self.add(batch)
        if self._checks is None:
            found = check(pl.concat(self._parts), self.source, self.window)
            self._group.add(found)
            if self.source.table == "bar":
                self._held.append(coverage.held(found.good))
        else:
            self._checks.settle()
        self._parts = []
        self._group.write(self._folder)
        self._counts.add(self._group.counts)
        for _, partition in self._group.bad.items(str):
            for rows in partition.sorted():
                self._bad.append(rows)
        shutil.rmtree(self._temporary)

    def write_quarantine(self, files: list[InputFile]) -> None:
        _write_quarantine(self._bad, self._folder / QUARANTINE, self._name, self.source, files)
        shutil.rmtree(self._folder / ".quarantine")

    def record(self) -> dict[str, Any]:
        """What is recorded of the whole ingest."""
        counts, ignored = self._counts, dict(self._counts.ignored)
        overlap = ignored.pop("duplicate_of_overlap", 0)
        return {
            "name": self._name,
            "table": self.source.table,
            "counts": {
                "read": counts.read,
                "used": counts.used,
                "quarantined": dict(sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))),
                "duplicate_of_overlap": overlap,
                "ignored": {reason: count for reason, count in sorted(ignored.items()) if count},
            },
            "warnings": _warnings(self._name, self.source, self.window, counts)
            + (coverage.missing(self._name, self.source, self.window, pl.concat(self._held)) if self._held else []),
            "config": self.source.model_dump(mode="json"),
            "window": json.loads(json.dumps(asdict(self.window), default=str)),
        }


# --- what is set aside ------------------------------------------------------------------------------------------------


def _set_aside(folder: Path) -> Partitions:
    return Partitions(folder, _SET_ASIDE, ("file", "member"), ("line",))


def _write_quarantine(bad: Partitions, path: Path, name: str, source: Source, files: list[InputFile]) -> None:
    """The rows set aside with their raw text, which is fetched from the files again."""

    def shown(values: tuple[Any, ...]) -> str:
        index, member = values
        return str(files[index].path) + (f"!{member}" if member else "")

    target = ParquetFile(path, _QUARANTINE_SCHEMA)
    for values, partition in bad.items(shown):
        for rows in partition.sorted():
            lines = rows["line"].to_list()
            text = _raw(source, files[values[0]].path, values[1], lines)
            target.append(
                rows.select(
                    source=pl.lit(name),
                    table=pl.lit(source.table),
                    reason="reason",
                    file=pl.lit(shown(values)),
                    line="line",
                    raw=pl.Series([text.get(line) for line in lines], dtype=pl.String),
                )
            )
    target.close()


def _raw(source: Source, path: Path, member: str | None, lines: list[int]) -> Mapping[int, str]:
    if source.kind in RAW_ROWS:
        return RAW_ROWS[source.kind](path, lines)
    return _parquet_rows(path, lines) if file_format(path) == "parquet" else raw_lines(path, member, lines)


def _parquet_rows(path: Path, lines: list[int]) -> dict[int, str]:
    found = pl.read_parquet(path)[[line - 1 for line in lines]]
    return {line: json.dumps(row, default=str) for line, row in zip(lines, found.iter_rows(named=True), strict=True)}


def _warnings(name: str, source: Source, window: Window, counts: _Counts) -> list[str]:
    said = []
    if window.entities is not None and source.table in {*STREAMS, "news"}:
        missing = sorted(set(window.entities) - counts.entities)
        said += [f"source {name} has no usable row of {entity}" for entity in missing]
    if source.kind == "calendar_file":
        said += [f"source {name} has no event of kind {kind}" for kind in source.kinds if kind not in counts.kinds]
    return said
