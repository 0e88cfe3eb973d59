"""The lake: canonical tables as Parquet, partitioned by entity and day, each ingest in a folder named by what made it.

    lake/<table>/<source>-<key>/entity=AAPL/session=2015-01-02.parquet
                                quarantine.parquet      rows set aside: source, table, reason, file, line, raw
                                ingest.json             counts, inputs, settings, warnings

The key hashes the input files' contents, the source's config, the window and the code, so that the same work is done
once. A folder appears under its name only when it is complete.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import polars as pl

from gpu_kernels.errors import DataError, QuarantineError
from sources.config import STREAMS, Source
from sources.files import InputFile, digest, input_files, raw_lines
from sources.quality import Window, check
from sources.readers import CARRYING, RAW_ROWS, READERS
from sources.readers.records import file_format
from sources.schema import TABLES

_RECORD, _QUARANTINE = "ingest.json", "quarantine.parquet"
_QUARANTINE_SCHEMA = dict.fromkeys(("source", "table", "reason", "file"), pl.String()) | {
    "line": pl.Int64(),
    "raw": pl.String(),
}
# they decide what a session or a local time is
_DECIDING_PACKAGES = ("polars", "exchange_calendars", "tzdata")
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What one ingest made, or found made.

    counts      read = used + sum of quarantined + duplicate_of_overlap + sum of ignored, where quarantined and ignored
                map a reason to its count; an item about two entities counts as two rows
    inputs      path, bytes and sha256 of each input file
    quarantine  Parquet of the rows set aside: source, table, reason, file, line, raw
    warnings    sentences about what a user would want to know
    reused      the folder was there already
    """

    name: str
    table: str
    folder: Path
    counts: dict[str, Any]
    inputs: list[dict[str, Any]]
    quarantine: Path
    key: str
    reused: bool
    warnings: list[str]


def ingest(
    name: str,
    source: Source,
    *,
    calendar: str,
    entities: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    lake: Path,
    variables: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> IngestResult:
    """Brings a source's files into the lake, or finds that they are there.

    calendar    an exchange_calendars name; its sessions hold the rows of streams
    entities    of streams and news, only these are kept; None: all
    start, end  of streams, only sessions of this window are kept; news, events and metrics are kept whole, as history
    variables   fill `${NAME}` in paths before the environment does
    progress    called with (what is being done, share done)

    Raises ConfigError where nothing tells known_time or a path's variable is unset, DataError for a file that cannot be
    used, and QuarantineError above the source's quarantine_limit; the folder with the quarantine is then kept.
    """
    window = Window(calendar, None if entities is None else tuple(sorted(entities)), start, end)
    files = _wanted(input_files(source, variables or {}), source, window)
    inputs = [
        {"path": str(file.path), "bytes": file.path.stat().st_size, "sha256": digest(file.path)} for file in files
    ]
    key = _key(name, source, window, files, inputs)
    folder = Path(lake) / source.table / f"{name}-{key[:12]}"
    reused = (folder / _RECORD).is_file()
    if not reused:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            record = _build(unfinished, name, source, window, files, progress or (lambda _what, _share: None))
            (unfinished / _RECORD).write_text(json.dumps({"key": key, **record, "inputs": inputs}, indent=1) + "\n")
            _publish(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    record = json.loads((folder / _RECORD).read_text())
    result = IngestResult(
        name, source.table, folder, record["counts"], inputs, folder / _QUARANTINE, key, reused, record["warnings"]
    )
    _enforce(result, source)
    return result


def read(
    folder: Path,
    *,
    entities: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    known_until: datetime | None = None,
) -> pl.DataFrame:
    """The rows of an ingest, sorted by (entity, known_time, event_time), ties in the order of the files.

    entities     only these; None: all
    start, end   of tables with sessions, only sessions in start .. end
    known_until  only rows with known_time <= this

    Missing values: as the registry of tables says.
    Raises DataError where the folder holds no finished ingest.
    """
    try:
        table = TABLES[json.loads((folder / _RECORD).read_text())["table"]]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder} holds no finished ingest", hint="run `trifuse ingest` first") from error
    paths = sorted(folder.glob("entity=*/*.parquet" if len(table.partition) > 1 else "entity=*.parquet"))
    if entities is not None:
        paths = [path for path in paths if _entity_of(path, folder) in set(entities)]
    if "session" in table.partition:
        days = {path: date.fromisoformat(path.stem.removeprefix("session=")) for path in paths}
        paths = [path for path in paths if (start or days[path]) <= days[path] <= (end or days[path])]
    if not paths:
        return pl.DataFrame(schema=table.schema)
    rows = pl.read_parquet(paths, hive_partitioning=False)
    if known_until is not None:
        rows = rows.filter(pl.col("known_time") <= known_until)
    return rows.sort("entity", "known_time", "event_time", maintain_order=True)


def _entity_of(path: Path, folder: Path) -> str:
    return unquote(path.relative_to(folder).parts[0].removeprefix("entity=").removesuffix(".parquet"))


def _wanted(files: list[InputFile], source: Source, window: Window) -> list[InputFile]:
    """Files that the config gives to an entity nobody asked for need not be opened."""
    if window.entities is None or source.table not in {*STREAMS, "news"}:
        return files
    return [file for file in files if file.entity is None or file.entity in window.entities]


def _key(name: str, source: Source, window: Window, files: list[InputFile], inputs: list[dict[str, Any]]) -> str:
    settings = source.model_dump(mode="json", exclude=source.not_in_key)
    contents = [(file.path.name, file.entity, found["sha256"]) for file, found in zip(files, inputs, strict=True)]
    parts = [name, settings, asdict(window), contents, _code_version(), [version(name) for name in _DECIDING_PACKAGES]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@lru_cache(maxsize=1)
def _code_version() -> str:
    """sha256 of this package's own files; the simulator makes inputs and does not read them."""
    root, found = Path(__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if "simulate" not in path.relative_to(root).parts:
            found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def _build(
    folder: Path, name: str, source: Source, window: Window, files: list[InputFile], progress: Progress
) -> dict[str, Any]:
    """Fills `folder` and returns what is recorded of it."""
    read_rows, used, ignored = 0, 0, dict[str, int]()
    bad, entities, kinds = list[pl.DataFrame](), set[str](), set[str]()
    done = 0
    for group in _groups(files, source):
        batches = []
        carried: dict[str, Any] = {}
        more = {"carried": carried} if source.kind in CARRYING else {}
        for index, file in group:
            progress(f"read {file.path.name}", done / len(files))
            batches += list(READERS[source.kind](source, file, index, window.calendar, **more))
            done += 1
        rows = pl.concat([batch.rows for batch in batches])
        checked = check(rows, source, window)
        for counts in (*(batch.ignored for batch in batches), checked.ignored):
            for reason, count in counts.items():
                ignored[reason] = ignored.get(reason, 0) + count
        read_rows += rows.height + sum(sum(batch.ignored.values()) for batch in batches)
        used += checked.good.height
        bad.append(checked.bad.select("file", "member", "line", "reason"))
        entities |= set(checked.good["entity"].unique())
        kinds |= set(checked.good["kind"].unique()) if source.table == "event" else set()
        _write_partitions(folder, checked.good, source.table)
    set_aside = pl.concat(bad)
    _write(_quarantine(set_aside, name, source, files), folder / _QUARANTINE)
    reasons = dict(sorted(set_aside["reason"].value_counts().iter_rows(), key=lambda item: (-item[1], item[0])))
    overlap = ignored.pop("duplicate_of_overlap", 0)
    return {
        "name": name,
        "table": source.table,
        "counts": {
            "read": read_rows,
            "used": used,
            "quarantined": reasons,
            "duplicate_of_overlap": overlap,
            "ignored": {reason: count for reason, count in sorted(ignored.items()) if count},
        },
        "warnings": _warnings(name, source, window, entities, kinds),
        "config": source.model_dump(mode="json"),
        "window": json.loads(json.dumps(asdict(window), default=str)),
    }


def _groups(files: list[InputFile], source: Source) -> Iterator[list[tuple[int, InputFile]]]:
    """Files that may hold rows of one entity belong together; one group at a time is in memory."""

    def entity(item: tuple[int, InputFile]) -> str:
        file = item[1]
        return file.entity or (file.path.parent.name if source.kind == "lean_zip" else "")

    for _, group in groupby(sorted(enumerate(files), key=entity), key=entity):
        yield list(group)


def _write_partitions(folder: Path, rows: pl.DataFrame, table: str) -> None:
    spec = TABLES[table]
    rows = rows.sort("entity", "known_time", "event_time", maintain_order=True)
    keys = rows.with_columns(month=pl.col("known_time").dt.strftime("%Y-%m")) if "month" in spec.partition else rows
    for values, part in keys.partition_by(spec.partition, as_dict=True, maintain_order=True).items():
        names = [f"{column}={quote(str(value), safe='')}" for column, value in zip(spec.partition, values, strict=True)]
        path = folder.joinpath(*names[:-1], names[-1] + ".parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(part.select(*spec.schema), path)


def _write(rows: pl.DataFrame, path: Path) -> None:
    rows.write_parquet(path, compression="zstd")


def _quarantine(bad: pl.DataFrame, name: str, source: Source, files: list[InputFile]) -> pl.DataFrame:
    """The rows set aside with their raw text, which is fetched from the files again."""
    parts = []
    for (index, member), rows in bad.partition_by("file", "member", as_dict=True, maintain_order=True).items():
        path, lines = files[index].path, rows["line"].to_list()
        if source.kind in RAW_ROWS:
            text = RAW_ROWS[source.kind](path, lines)
        else:
            text = _parquet_rows(path, lines) if file_format(path) == "parquet" else raw_lines(path, member, lines)
        parts.append(
            rows.select(
                source=pl.lit(name),
                table=pl.lit(source.table),
                reason="reason",
                file=pl.lit(str(path) + (f"!{member}" if member else "")),
                line="line",
                raw=pl.Series([text.get(line) for line in lines], dtype=pl.String),
            )
        )
    return pl.concat([pl.DataFrame(schema=_QUARANTINE_SCHEMA), *parts]).sort("file", "line", maintain_order=True)


def _parquet_rows(path: Path, lines: list[int]) -> dict[int, str]:
    found = pl.read_parquet(path)[[line - 1 for line in lines]]
    return {line: json.dumps(row, default=str) for line, row in zip(lines, found.iter_rows(named=True), strict=True)}


def _publish(unfinished: Path, folder: Path) -> None:
    """Gives a complete folder its name; another process may have been first, with the same bytes."""
    if folder.is_dir() and not (folder / _RECORD).is_file():
        shutil.rmtree(folder)
    try:
        os.replace(unfinished, folder)
    except OSError:
        if not (folder / _RECORD).is_file():
            raise


def _warnings(name: str, source: Source, window: Window, entities: set[str], kinds: set[str]) -> list[str]:
    said = []
    if window.entities is not None and source.table in {*STREAMS, "news"}:
        said += [f"source {name} has no usable row of {entity}" for entity in sorted(set(window.entities) - entities)]
    if source.kind == "calendar_file":
        said += [f"source {name} has no event of kind {kind}" for kind in source.kinds if kind not in kinds]
    return said


def _enforce(result: IngestResult, source: Source) -> None:
    """Stops a run whose source is mostly unusable."""
    total, reasons = result.counts["read"], result.counts["quarantined"]
    if total == 0:
        raise DataError(f"source {result.name}: its {len(result.inputs)} file(s) hold no rows")
    share = sum(reasons.values()) / total
    if share > source.quarantine_limit:
        top = ", ".join(f"{reason} {count}" for reason, count in list(reasons.items())[:3])
        raise QuarantineError(
            f"source {result.name}: {sum(reasons.values())} of {total} rows ({share:.2%}) were set aside: {top}",
            allowed=f"quarantine_limit: {source.quarantine_limit}",
            hint=f"see {result.quarantine}",
        )
    if result.counts["used"] == 0 and result.table in STREAMS:
        raise DataError(
            f"source {result.name}: none of its {total} rows can be used: "
            f"{json.dumps(result.counts['ignored'] | reasons)}",
            hint="check entities, start, end and the calendar",
        )
