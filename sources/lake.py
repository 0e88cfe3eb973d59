"""The lake: canonical tables as Parquet, partitioned by entity and time, each ingest in a folder named by what made it.

    lake/<table>/<source>-<key>/entity=AAPL/year=2015.parquet      bars
                                entity=AAPL/session=2015-01-02.parquet   ticks and books
                                quarantine.parquet      rows set aside: source, table, reason, file, line, raw
                                ingest.json             counts, inputs, settings, warnings

The key hashes the input files' contents, the source's config, the window and the code, so that the same work is done
once. A folder appears under its name only when it is complete. One under way is called `.<source>-<key>`, is held by
the process that works on it, and goes on where it was when that was killed.
"""

import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from gpu_kernels.errors import DataError, QuarantineError
from sources import vintages
from sources.build import Progress, build
from sources.clocks import UNPARSABLE
from sources.config import Source
from sources.files import InputFile, digest, expand, input_files
from sources.hold import BusyError, holding
from sources.part import QUARANTINE, Goal
from sources.preview import unreadable_times
from sources.processes import WorkerError
from sources.quality import Window, asked_of
from sources.readers import TOGETHER
from sources.readers.news_clocks import UNDATED
from sources.runs import row_groups
from sources.schema import TABLES, TableSpec
from sources.source_options import STREAMS

_RECORD = "ingest.json"
_SERIES = "; a series that may be zero or negative is no price, and is read as a metric"
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
    options = {"calendar": calendar, "entities": entities, "start": start, "end": end, "lake": lake}
    return ingest_all({name: source}, variables=variables, progress=progress, **options)[name]  # type: ignore[arg-type]


def ingest_all(
    sources: Mapping[str, Source],
    *,
    calendar: str,
    entities: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    lake: Path,
    variables: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> dict[str, IngestResult]:
    """What `ingest` gives for each of the sources. Files that hold several tables, as a venue's log does its book, its
    quotes and its trades, are read once for all of them. Where the config tells the entities of files, those of
    different entities are read by `workers` processes."""
    window = Window(calendar, None if entities is None else tuple(sorted(entities)), start, end)
    results: dict[str, IngestResult] = {}
    left = dict(sources)
    while left:
        together = {name: left.pop(name) for name in _alike(left)}
        told = partial(_tell_share, progress, len(results), len(together), len(sources))
        results |= _ingested(together, window, Path(lake), variables or {}, told, workers)
    return {name: results[name] for name in sources}


def _tell_share(progress: Progress | None, before: int, now: int, total: int, what: str, share: float | None) -> None:
    """Tells how much is done of all sources, given how much is of those in work."""
    if progress is not None:
        progress(what, (before + now * (share or 0.0)) / total)


def _alike(sources: Mapping[str, Source]) -> list[str]:
    """The first source, and those that are read of the same files in one pass with it."""
    name, first = next(iter(sources.items()))
    if first.kind not in TOGETHER:
        return [name]
    return [name for name, other in sources.items() if (other.kind, other.patterns) == (first.kind, first.patterns)]


def _ingested(
    sources: Mapping[str, Source],
    window: Window,
    lake: Path,
    variables: Mapping[str, str],
    progress: Progress,
    workers: int,
) -> dict[str, IngestResult]:
    files = {name: _wanted(input_files(source, variables), source, window) for name, source in sources.items()}
    hashes = {path: digest(path) for path in {file.path for found in files.values() for file in found}}
    found: dict[str, tuple[list[dict[str, Any]], str, Path]] = {}
    for name, source in sources.items():
        inputs = [_input(file.path, hashes[file.path]) for file in files[name]]
        beside = [Path(expand(path, variables)) for path in source.companions]
        inputs_beside = [_input(path, digest(path)) for path in beside]
        key = _key(name, source, window, files[name], inputs, inputs_beside)
        inputs += inputs_beside
        found[name] = inputs, key, lake / source.table / f"{name}-{key[:12]}"
    with ExitStack() as held:
        missing = {name: folder for name, (_, _, folder) in found.items() if not _finished(folder)}
        # each waits for a process that makes the same; in one order, so that no two wait for each other
        goals = [
            Goal(held.enter_context(_under_way(folder)), name, sources[name], window)
            for name, folder in sorted(missing.items())
        ]
        goals = [goal for goal in goals if not _finished(missing[goal.name])]
        if goals:
            for goal, record in zip(goals, build(goals, files[goals[0].name], progress, workers), strict=True):
                inputs, key, folder = found[goal.name]
                record["warnings"] += _rewritten(goal, folder, record)
                (goal.folder / _RECORD).write_text(
                    json.dumps({"key": key, **record, "inputs": inputs}, indent=1) + "\n"
                )
                _publish(goal.folder, folder)
    made = {goal.name for goal in goals}
    results: dict[str, IngestResult] = {}
    for name, source in sources.items():
        inputs, key, folder = found[name]
        record = json.loads((folder / _RECORD).read_text())
        quarantine = folder / QUARANTINE
        results[name] = IngestResult(
            name, source.table, folder, record["counts"], inputs, quarantine, key, name not in made, record["warnings"]
        )
        _enforce(results[name], source)
    return results


def _rewritten(goal: Goal, folder: Path, record: dict[str, Any]) -> list[str]:
    """What a log of metrics tells otherwise than the last ingest of the same source, with the same settings, did: it is
    meant to be appended to."""
    if goal.source.table != "metric":
        return []
    ignored = {"files", *goal.source.not_in_key}
    settings = {name: value for name, value in record["config"].items() if name not in ignored}
    earlier: list[tuple[float, Path]] = []
    for other in folder.parent.glob(f"{glob.escape(folder.name[:-12])}*/{_RECORD}"):
        told = json.loads(other.read_text())
        if told["name"] == goal.name and {name: told["config"].get(name) for name in settings} == settings:
            earlier.append((other.stat().st_mtime, other.parent))
    if not earlier:
        return []
    last = max(earlier)[1]
    before = read(last)
    if before.columns != list(TABLES["metric"].schema):  # of an older version, which told less of a row
        return []
    (goal.folder / _RECORD).write_text(json.dumps(record))  # `read` asks for it
    counts = dict(vintages.rewritten(before, read(goal.folder))["what"].value_counts().iter_rows())
    said = {"gone": "rows are gone", "changed": "have other values", "inserted": "are new though known before the last"}
    parts = [f"{counts[what]} {words}" for what, words in said.items() if what in counts]
    return [f"source {goal.name}: history was rewritten since {last.name}: {', '.join(parts)}"] if parts else []


def _finished(folder: Path) -> bool:
    return (folder / _RECORD).is_file()


@contextmanager
def _under_way(folder: Path) -> Iterator[Path]:
    """The unfinished folder of an ingest, held by this process alone; what another one, that was killed, left in it
    stays. Such folders of the same source under other keys, which nobody goes on with, are removed.

    Where the ingest fails it goes; where it is interrupted it stays, to go on from."""
    unfinished = folder.with_name(f".{folder.name}")
    others = re.escape(f".{folder.name.rpartition('-')[0]}-") + "[0-9a-f]{12}"
    with holding(unfinished, wait=True):
        for other in folder.parent.iterdir():
            if re.fullmatch(others, other.name) and other != unfinished:
                with suppress(BusyError), holding(other, wait=False):
                    shutil.rmtree(other, ignore_errors=True)
        try:
            yield unfinished
        except WorkerError:
            raise  # a process died, which says nothing against what others made
        except Exception:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        finally:
            with suppress(OSError):
                unfinished.rmdir()  # where another process had made it meanwhile


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
    table, paths = _partitions(folder, entities, start, end)
    if not paths:
        return pl.DataFrame(schema=table.schema)
    rows = pl.read_parquet(paths, hive_partitioning=False).filter(_in_window(table, start, end))
    if known_until is not None:
        rows = rows.filter(pl.col("known_time") <= known_until)
    return rows.sort("entity", "known_time", "event_time", maintain_order=True)


def batches(
    folder: Path, *, entities: Sequence[str] | None = None, start: date | None = None, end: date | None = None
) -> Iterator[pl.DataFrame]:
    """The rows that `read` gives, in frames of one partition and at most a row group, for more rows than fit in memory.

    Partitions come by entity and time, the rows of each sorted by (known_time, event_time).

    Missing values and errors: as `read`.
    """
    table, paths = _partitions(folder, entities, start, end)
    window = _in_window(table, start, end)
    for path in paths:
        for rows in row_groups(path, table.schema):
            yield rows.filter(window)


def size(folder: Path, entity: str) -> int:
    """Bytes of an entity's files in an ingest."""
    return sum(path.stat().st_size for path in _partitions(folder, [entity], None, None)[1])


def _partitions(
    folder: Path, entities: Sequence[str] | None, start: date | None, end: date | None
) -> tuple[TableSpec, list[Path]]:
    """The table of an ingest, and the files of the partitions that may hold what is asked for."""
    try:
        table = TABLES[json.loads((folder / _RECORD).read_text())["table"]]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder} holds no finished ingest", hint="run `trifuse ingest` first") from error
    inside = "/*.parquet" if len(table.partition) > 1 else ".parquet"
    # a glob over all entities takes longer than to read one
    names = ["*"] if entities is None else [glob.escape(quote(entity, safe="")) for entity in set(entities)]
    paths = sorted(path for name in names for path in folder.glob(f"entity={name}{inside}"))
    column = table.partition[-1]
    if column not in {"session", "year"}:
        return table, paths
    # days and years as text are in order
    first, last = ("" if day is None else str(day if column == "session" else day.year) for day in (start, end))
    values = {path: path.stem.removeprefix(f"{column}=") for path in paths}
    return table, [path for path in paths if first <= values[path] <= (last or values[path])]


def _in_window(table: TableSpec, start: date | None, end: date | None) -> pl.Expr:
    """Which rows of the partitions are asked for: a year's may be of other sessions."""
    if table.partition[-1] != "year" or (start is None and end is None):
        return pl.lit(True)
    return pl.col("session").is_between(start or date.min, end or date.max)


def _wanted(files: list[InputFile], source: Source, window: Window) -> list[InputFile]:
    """Files that the config gives to an entity nobody asked for need not be opened."""
    if window.entities is None or not asked_of(source, window.entities):
        return files
    return [file for file in files if file.entity is None or file.entity in window.entities]


def _input(path: Path, sha256: str) -> dict[str, Any]:
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256}


def _key(
    name: str,
    source: Source,
    window: Window,
    files: list[InputFile],
    inputs: list[dict[str, Any]],
    beside: list[dict[str, Any]],
) -> str:
    settings = source.model_dump(mode="json", exclude=source.not_in_key)
    contents = [(file.path.name, file.entity, found["sha256"]) for file, found in zip(files, inputs, strict=True)]
    contents += [(Path(found["path"]).name, None, found["sha256"]) for found in beside]
    parts = [name, settings, asdict(window), contents, _code_version(), [version(name) for name in _DECIDING_PACKAGES]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@lru_cache(maxsize=1)
def _code_version() -> str:
    """sha256 of this package's own files and tables; the simulator makes inputs and does not read them."""
    root, found = Path(__file__).parent, hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.csv")]):
        if "simulate" not in path.relative_to(root).parts:
            found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def _publish(unfinished: Path, folder: Path) -> None:
    """Gives a complete folder its name; what bears it is not finished, else nobody had worked on it again."""
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)


def _enforce(result: IngestResult, source: Source) -> None:
    """Stops a run whose source is mostly unusable."""
    total, reasons = result.counts["read"], result.counts["quarantined"]
    if total == 0:
        raise DataError(f"source {result.name}: its {len(result.inputs)} file(s) hold no rows")
    if reasons.get(UNDATED) == total:
        raise DataError(
            f"source {result.name}: none of its {total} rows has a clock: its columns of them are blank",
            allowed="items that say when they were published or received",
        )
    share = sum(reasons.values()) / total
    told = None
    if reasons.get(UNPARSABLE, 0) > total / 2:
        found = (unreadable_times(source, Path(file["path"])) for file in result.inputs)
        told = next((words for words in found if words is not None), None)
    if share > source.quarantine_limit:
        top = ", ".join(f"{reason} {count}" for reason, count in list(reasons.items())[:3])
        raise QuarantineError(
            f"source {result.name}: {sum(reasons.values())} of {total} rows ({share:.2%}) were set aside: {top}",
            allowed=f"quarantine_limit: {source.quarantine_limit}",
            hint=told or f"see {result.quarantine}{_SERIES if 'non_positive_price' in top else ''}",
        )
    if result.counts["used"] == 0 and result.table in STREAMS:
        raise DataError(
            f"source {result.name}: none of its {total} rows can be used: "
            f"{json.dumps(result.counts['ignored'] | reasons)}",
            hint=told or "check entities, start, end and the calendar",
        )
