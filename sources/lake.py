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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from gpu_kernels.errors import DataError, QuarantineError
from sources.build import QUARANTINE, Progress, build
from sources.config import STREAMS, Source
from sources.files import InputFile, digest, input_files
from sources.quality import Window
from sources.schema import TABLES

_RECORD = "ingest.json"
# they decide what a session or a local time is
_DECIDING_PACKAGES = ("polars", "exchange_calendars", "tzdata")


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
            record = build(unfinished, name, source, window, files, progress or (lambda _what, _share: None))
            (unfinished / _RECORD).write_text(json.dumps({"key": key, **record, "inputs": inputs}, indent=1) + "\n")
            _publish(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    record = json.loads((folder / _RECORD).read_text())
    result = IngestResult(
        name, source.table, folder, record["counts"], inputs, folder / QUARANTINE, key, reused, record["warnings"]
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


def _publish(unfinished: Path, folder: Path) -> None:
    """Gives a complete folder its name; another process may have been first, with the same bytes."""
    if folder.is_dir() and not (folder / _RECORD).is_file():
        shutil.rmtree(folder)
    try:
        os.replace(unfinished, folder)
    except OSError:
        if not (folder / _RECORD).is_file():
            raise


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
