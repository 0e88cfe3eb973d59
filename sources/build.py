"""What one ingest does: files -> readers -> checks -> partitions and quarantine, all inside a folder of its own.

Ticks go through batch by batch, so that memory is bounded by the batch and not by the file: sources.tick_quality says
what they carry, sources.runs how they are sorted. Bars, news, events and metrics are small and judged whole; so are
ticks whose files overlap in time, which have to be compared.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from sources.config import BOOKS, STREAMS, Source
from sources.files import InputFile, bytes_read, raw_lines
from sources.quality import PRICE_JUMP, Checked, Window, check
from sources.readers import CARRYING, RAW_ROWS, READERS, RawBatch
from sources.readers.records import file_format
from sources.runs import ParquetFile, Partitions
from sources.schema import TABLES
from sources.sequence_checks import Jumps
from sources.tick_quality import TickChecks, in_batches

QUARANTINE = "quarantine.parquet"
_QUARANTINE_SCHEMA = dict.fromkeys(("source", "table", "reason", "file"), pl.String()) | {
    "line": pl.Int64(),
    "raw": pl.String(),
}
_PLACE = {"file": pl.UInt32(), "member": pl.String(), "line": pl.Int64()}
_SET_ASIDE = _PLACE | {"reason": pl.String()}
Progress = Callable[[str, float | None], None]


def build(
    folder: Path, name: str, source: Source, window: Window, files: list[InputFile], progress: Progress
) -> dict[str, Any]:
    """Fills `folder` and returns what is recorded of it.

    progress  called with (what is being read, share of the bytes of all files read)
    """
    reading = _Reading(source, window, files, progress)
    bad = _set_aside(folder / ".quarantine")
    total, work = _Counts(), folder / ".work"
    for group in _groups(files, source):
        found = _worked_on(reading, group, folder, work)
        total.add(found.counts)
        for _, partition in found.bad.items(str):
            for rows in partition.sorted():
                bad.append(rows)
        shutil.rmtree(work)
    _write_quarantine(bad, folder / QUARANTINE, name, source, files)
    shutil.rmtree(folder / ".quarantine")
    ignored = dict(total.ignored)
    overlap = ignored.pop("duplicate_of_overlap", 0)
    return {
        "name": name,
        "table": source.table,
        "counts": {
            "read": total.read,
            "used": total.used,
            "quarantined": dict(sorted(total.reasons.items(), key=lambda item: (-item[1], item[0]))),
            "duplicate_of_overlap": overlap,
            "ignored": {reason: count for reason, count in sorted(ignored.items()) if count},
        },
        "warnings": _warnings(name, source, window, total),
        "config": source.model_dump(mode="json"),
        "window": json.loads(json.dumps(asdict(window), default=str)),
    }


def _groups(files: list[InputFile], source: Source) -> Iterator[list[tuple[int, InputFile]]]:
    """Files that may hold rows of one entity belong together; one group at a time is worked on."""

    def entity(item: tuple[int, InputFile]) -> str:
        file = item[1]
        return file.entity or (file.path.parent.name if source.kind == "lean_zip" else "")

    for _, group in groupby(sorted(enumerate(files), key=entity), key=entity):
        yield list(group)


class _Reading:
    """The batches of a group of files, and how far the whole ingest is."""

    def __init__(self, source: Source, window: Window, files: list[InputFile], progress: Progress) -> None:
        self.source, self.window, self._progress = source, window, progress
        self._bytes = {index: file.path.stat().st_size for index, file in enumerate(files)}
        self._done: set[int] = set()

    def batches(self, group: list[tuple[int, InputFile]]) -> Iterator[RawBatch]:
        carried: dict[str, Any] = {}
        more = {"carried": carried} if self.source.kind in CARRYING else {}
        for index, file in group:
            self._tell(file, 0)
            for batch in READERS[self.source.kind](self.source, file, index, self.window.calendar, **more):
                yield batch
                self._tell(file, bytes_read(file.path))
            self._done.add(index)

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


class _Group:
    """The rows of one group of files on their way to the partitions and the quarantine.

    jumps  price jumps are yet to be judged, in the order of the partitions
    """

    def __init__(self, source: Source, work: Path, *, jumps: bool) -> None:
        self._source, self._jumps, self._spec = source, jumps, TABLES[source.table]
        schema = self._spec.schema | (_PLACE if jumps else {})
        self._good = Partitions(work / "good", schema, self._spec.partition, ("known_time", "event_time"))
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


def _worked_on(reading: _Reading, group: list[tuple[int, InputFile]], folder: Path, work: Path) -> _Group:
    """A group's partitions are in `folder` afterwards."""
    source, window = reading.source, reading.window
    if in_batches(source):
        jumps = source.table not in BOOKS and source.max_jump is not None  # type: ignore[union-attr]
        found, checks = _Group(source, work / "batches", jumps=jumps), TickChecks(source, window)
        for batch in reading.batches(group):
            found.counts.add_read(batch)
            found.add(checks.check(batch.rows))
            if not checks.streamable:
                break
        else:
            checks.settle()
            found.write(folder)
            return found
        shutil.rmtree(work)
    found, parts = _Group(source, work / "whole", jumps=False), []
    for batch in reading.batches(group):
        found.counts.add_read(batch)
        parts.append(batch.rows)
    found.add(check(pl.concat(parts), source, window))
    found.write(folder)
    return found


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
