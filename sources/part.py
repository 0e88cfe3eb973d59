"""What an ingest makes of a group of files of one source, and the parts of all groups put together.

Ticks go through batch by batch, so that memory is bounded by the batch and not by the file: sources.tick_quality says
what they carry, sources.runs how they are sorted. Bars, news, events and metrics are judged whole, one entity after the
other; so is a table_file's book whose sequence does not rise.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from sources import coverage, metric_checks
from sources.config import Source
from sources.files import InputFile, raw_lines
from sources.quality import PRICE_JUMP, Checked, Doubts, Window, asked_of, check
from sources.readers import RAW_ROWS, RawBatch, metric_clocks
from sources.readers.news_clocks import NOTES
from sources.readers.records import file_format
from sources.runs import ParquetFile, Partitions, row_groups
from sources.schema import TABLES
from sources.sequence_checks import Jumps
from sources.site_options import SiteFile
from sources.sites import facts
from sources.source_options import BOOKS
from sources.tick_quality import RANK, Overlap, TickChecks, in_batches

QUARANTINE = "quarantine.parquet"
_QUARANTINE_SCHEMA = dict.fromkeys(("source", "table", "reason", "file"), pl.String()) | {
    "line": pl.Int64(),
    "raw": pl.String(),
}
PARTS, _COUNTS, _HELD = ".parts", "counts.json", "held.parquet"
# the order in which rows that are judged whole came
_ROW = "_row"
# values: of 2 M bars, five years of minutes and a few at once, in about 100 bytes each; of half as many metrics
_IN_MEMORY = 2**21 * 13
_PLACE = {"file": pl.UInt32(), "member": pl.String(), "line": pl.Int64()}
_SET_ASIDE = _PLACE | {"reason": pl.String()}


@dataclass(frozen=True)
class Goal:
    """What is to be made of one source, in `folder`."""

    folder: Path
    name: str
    source: Source
    window: Window

    def part(self, number: int) -> Path:
        return self.folder / PARTS / str(number)

    def has(self, number: int) -> bool:
        """Whether a part is there; it is whole then."""
        return (self.part(number) / _COUNTS).is_file()


@dataclass
class _Counts:
    """What was found of some files."""

    read: int = 0
    used: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    entities: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    doubts: set[str] = field(default_factory=set)

    def add(self, other: "_Counts") -> None:
        self.read += other.read
        self.used += other.used
        self.ignored.update(other.ignored)
        self.notes.update(other.notes)
        self.reasons.update(other.reasons)
        self.entities |= other.entities
        self.kinds |= other.kinds
        self.doubts |= other.doubts

    def written(self) -> str:
        return json.dumps(
            {name: list(found) if isinstance(found, set) else found for name, found in vars(self).items()}
        )

    @classmethod
    def read_back(cls, text: str) -> "_Counts":
        found = json.loads(text)
        return cls(
            found["read"],
            found["used"],
            Counter(found["ignored"]),
            Counter(found["notes"]),
            Counter(found["reasons"]),
            set(found["entities"]),
            set(found["kinds"]),
            set(found["doubts"]),
        )

    def add_read(self, batch: RawBatch) -> None:
        self.read += batch.rows.height + sum(batch.ignored.values())
        self.ignored.update(batch.ignored)
        self.notes.update(batch.notes)


def _rows(batches: Callable[[], Iterator[RawBatch]]) -> Iterator[pl.DataFrame]:
    return (batch.rows for batch in batches())


class _Whole:
    """Rows that are judged whole, on their way to the checks: in memory as far as there is room, else in files by
    entity."""

    def __init__(self, folder: Path, table: str) -> None:
        columns = {column.name: column.dtype for column in TABLES[table].columns if column.name != "session"}
        self._schema = columns | _PLACE | {"problem": pl.String(), _ROW: pl.Int64()}
        self._folder, self._rows = folder, 0
        self._frames: list[pl.DataFrame] = []
        self._by_entity: Partitions | None = None

    def append(self, rows: pl.DataFrame) -> None:
        self._frames.append(rows.with_columns(pl.int_range(self._rows, self._rows + rows.height).alias(_ROW)))
        self._rows += rows.height
        if sum(frame.height * frame.width for frame in self._frames) > _IN_MEMORY:
            self._to_files()

    def entities(self) -> Iterator[pl.DataFrame]:
        """The rows of each entity in the order in which they came; those of none come first."""
        if not self._rows:
            return
        if self._by_entity is None:
            rows = pl.concat(self._frames).drop(_ROW)
            self._frames = []
            found = rows.partition_by("entity", as_dict=True, maintain_order=True)
            del rows
            for values in sorted(found, key=_name):
                yield found.pop(values)
            return
        self._to_files()
        for _, partition in self._by_entity.items(_name):
            yield pl.concat(partition.sorted()).drop(_ROW)

    def _to_files(self) -> None:
        if self._by_entity is None:
            self._by_entity = Partitions(self._folder, self._schema, ("entity",), (_ROW,))
        for frame in self._frames:
            self._by_entity.append(frame)
        self._frames = []


def _name(values: tuple[Any, ...]) -> str:
    return values[0] or ""


class PartOf:
    """What one source's ingest makes of a group of so many files, in `folder`.

    While the group is read again, to compare its files, `ranked` tells that rows have the RANK of theirs; price jumps
    of ticks are judged in the order of the partitions.
    """

    def __init__(self, goal: Goal, folder: Path, files: int) -> None:
        self.folder, self._goal, self._files = folder, goal, files
        self._source, self._spec = goal.source, TABLES[goal.source.table]
        self._temporary = folder / ".work"
        self._begin(ticks=in_batches(goal.source))

    @property
    def going_on(self) -> bool:
        """Whether more batches of the group are wanted."""
        return self._checks is None or self._checks.streamable

    def _begin(self, *, ticks: bool, overlap: Overlap | None = None) -> None:
        source = self._source
        self._counts, self._held = _Counts(), list[pl.DataFrame]()
        self._checks = TickChecks(source, self._goal.window, self._files, overlap) if ticks else None
        self._whole = None if ticks else _Whole(self._temporary / "whole", source.table)
        self._jumps = ticks and source.table not in BOOKS and source.max_jump is not None  # type: ignore[union-attr]
        ranked = {RANK: pl.Int64()} if overlap is not None else {}
        schema = self._spec.schema | (_PLACE if self._jumps else {}) | ranked
        self._good = Partitions(
            self._temporary / "good", schema, self._spec.partition, ("known_time", "event_time", *ranked)
        )
        self._bad = Partitions(self._temporary / "bad", _SET_ASIDE, ("file", "member"), ("line",))

    def add(self, batch: RawBatch) -> None:
        if not self.going_on:
            return
        self._counts.add_read(batch)
        if self._checks is not None:
            self._take(self._checks.check(batch.rows))
        else:
            assert self._whole is not None
            self._whole.append(batch.rows)

    def end(self, again: Callable[[], Iterator[RawBatch]]) -> None:
        """Writes the group's partitions. `again` gives its batches once more, where they have to be compared."""
        if not self.going_on:
            shutil.rmtree(self._temporary)
            ticks = self._source.ticks
            overlap = Overlap.found(partial(_rows, again), self._source, self._goal.window) if ticks else None
            self._begin(ticks=ticks, overlap=overlap)
            for batch in again():
                self.add(batch)
        if self._checks is not None:
            self._checks.settle()
            self._write()
            return
        assert self._whole is not None
        doubts = Doubts(self._source, self._goal.window)
        for rows in self._whole.entities():
            found = check(rows, self._source, self._goal.window, doubts)
            if self._source.table == "bar":
                self._held.append(coverage.held(found.good))
            if isinstance(self._source, SiteFile):
                found = facts.facts_of(found, self._source)
            self._take(found)
            if self._source.table != "site":  # several brands may have the sites of one entity
                self._write()
        self._write()
        self._counts.doubts.update(doubts.settle())

    def write_quarantine(self, files: Mapping[int, InputFile]) -> None:
        """The last thing: the rows set aside, with their raw text, and the counts."""
        _write_quarantine(self._bad, self.folder / QUARANTINE, self._goal.name, self._source, files)
        shutil.rmtree(self._temporary)
        if self._held:
            pl.concat(self._held).write_parquet(self.folder / _HELD)
        (self.folder / _COUNTS).write_text(self._counts.written())

    def _take(self, found: Checked) -> None:
        good = found.good
        if "month" in self._spec.partition:
            good = good.with_columns(month=pl.col("known_time").dt.strftime("%Y-%m"))
        elif "year" in self._spec.partition:
            good = good.with_columns(year=pl.col("session").dt.year())
        self._good.append(good)
        self._set_aside(found.bad)
        self._counts.ignored.update(found.ignored)
        self._counts.used += good.height - found.added
        self._counts.notes.update(found.notes)
        if self._source.table == "event":
            self._counts.kinds |= set(good["kind"].unique())

    def _set_aside(self, bad: pl.DataFrame) -> None:
        self._counts.reasons.update(dict(bad["reason"].value_counts().iter_rows()))
        self._bad.append(bad)

    def _write(self) -> None:
        """The partitions at hand into the folder."""
        for values, partition in self._good.items():
            named = zip(self._spec.partition, values, strict=True)
            names = [f"{column}={quote(str(value), safe='')}" for column, value in named]
            path = self.folder.joinpath(*names[:-1], names[-1] + ".parquet")
            partition.write(path, self._spec.schema, self._without_jumps() if self._jumps else None)
            self._counts.entities.add(values[0])

    def _without_jumps(self) -> Callable[[pl.DataFrame], pl.DataFrame]:
        jumps = Jumps(self._source.max_jump, self._source.table)  # type: ignore[union-attr, arg-type]

        def kept(rows: pl.DataFrame) -> pl.DataFrame:
            jumping = jumps.jumping(rows)
            bad = rows.filter(jumping)
            self._set_aside(bad.with_columns(reason=pl.lit(PRICE_JUMP)))
            self._counts.used -= bad.height
            return rows.filter(~jumping)

        return kept


# --- what is set aside ------------------------------------------------------------------------------------------------


def _write_quarantine(bad: Partitions, path: Path, name: str, source: Source, files: Mapping[int, InputFile]) -> None:
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
    if source.kind in RAW_ROWS and (text := RAW_ROWS[source.kind](path, lines)) is not None:
        return text
    return _parquet_rows(path, lines) if file_format(path) == "parquet" else raw_lines(path, member, lines)


def _parquet_rows(path: Path, lines: list[int]) -> dict[int, str]:
    wanted = pl.Series(lines, dtype=pl.Int64).implode()
    rows = pl.scan_parquet(path, glob=False).with_row_index("_line", offset=1)
    found = rows.filter(pl.col("_line").cast(pl.Int64).is_in(wanted)).collect(engine="streaming")
    return {row.pop("_line"): json.dumps(row, default=str) for row in found.iter_rows(named=True)}


# --- the whole source -------------------------------------------------------------------------------------------------


def put_together(goal: Goal, groups: int) -> dict[str, Any]:
    """Moves the parts of all groups into the goal's folder; returns what is recorded of them."""
    counts = _Counts()
    quarantine = ParquetFile(goal.folder / QUARANTINE, _QUARANTINE_SCHEMA)
    for number in range(groups):
        part = goal.part(number)
        counts.add(_Counts.read_back((part / _COUNTS).read_text()))
        for rows in row_groups(part / QUARANTINE, _QUARANTINE_SCHEMA):
            quarantine.append(rows)
    quarantine.close()
    for number in range(groups):
        for path in goal.part(number).glob("entity=*"):
            target = goal.folder / path.name
            shutil.rmtree(target, ignore_errors=True)  # of a call that was killed while it removed the parts
            os.replace(path, target)
    held = [pl.read_parquet(path) for number in range(groups) for path in goal.part(number).glob(_HELD)]
    shutil.rmtree(goal.folder / PARTS)
    ignored = dict(counts.ignored)
    overlap = ignored.pop("duplicate_of_overlap", 0)
    return {
        "name": goal.name,
        "table": goal.source.table,
        "counts": {
            "read": counts.read,
            "used": counts.used,
            "quarantined": dict(sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))),
            "duplicate_of_overlap": overlap,
            "ignored": {reason: count for reason, count in sorted(ignored.items()) if count},
        },
        "warnings": _warnings(goal.name, goal.source, goal.window, counts)
        + (coverage.missing(goal.name, goal.source, goal.window, pl.concat(held)) if held else []),
        "config": goal.source.model_dump(mode="json"),
        "window": json.loads(json.dumps(asdict(goal.window), default=str)),
    }


def _warnings(name: str, source: Source, window: Window, counts: _Counts) -> list[str]:
    said = [f"source {name}: {doubt}" for doubt in sorted(counts.doubts)]
    told = NOTES | facts.NOTES | metric_clocks.NOTES | metric_checks.NOTES
    said += [f"source {name}: {count} {told[note]}" for note, count in sorted(counts.notes.items()) if count]
    if window.entities is not None and asked_of(source, window.entities):
        missing = sorted(set(window.entities) - counts.entities)
        said += [f"source {name} has no usable row of {entity}" for entity in missing]
    if source.kind == "fred_md" and source.vintages == "one":
        said.append(
            f"source {name}: its {len(source.names)} series are of one vintage of FRED-MD, revised since they were "
            "first told: their metrics end in _revised, and known_time is that of a table of publication lags"
        )
    if isinstance(source, SiteFile) and not source.knows_closings:
        said.append(f"source {name}: {facts.SURVIVORS}")
    if source.kind == "calendar_file":
        said += [f"source {name} has no event of kind {kind}" for kind in source.kinds if kind not in counts.kinds]
    return said
