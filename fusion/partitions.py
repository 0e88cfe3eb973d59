"""Features of more rows than fit in memory: entity by entity, in parallel processes, gone on with after a kill.

    features/<name>/<key>/entity=AAPL/part.parquet   entity, session, decision_time, one Float64 column per feature
                                      part.json      its rows, size, sha256, and the rows of streams that came too late
                          manifest.json              config, inputs, code and parts; there when all parts are

A partition is an entity: its whole history is there for whatever a feature looks back to, and memory is bounded by the
longest one and not by their number. A partition appears under its name when it is whole; the key hashes what the
features are made of, so a part that is there is right, and a rerun makes those that are missing.

Features that compare an entity with the others take two passes: the first makes each entity's own value at every
decision, whose sums over the entities, a number a decision, are all that the second needs of the others.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import polars as pl

from fusion import features, news, pipeline
from fusion import manifest as record
from fusion.config import RunConfig
from fusion.features import bar
from fusion.features.choice import chosen
from fusion.features.peers import Sums, sums_of
from fusion.grid import decision_grid
from fusion.news import NewsItems
from fusion.plan import Plan, Progress, make_plan, silent
from fusion.unplaced import unplaced
from gpu_kernels.errors import ConfigError, TrifuseError
from sources import lake as tables_lake
from sources.hold import holding
from sources.lake import IngestResult
from sources.processes import Outcome, Workers
from sources.runs import ParquetFile
from sources.stream import in_order

PART, RECORD, MANIFEST = "part.parquet", "part.json", "manifest.json"
_WORK, _OWN, _SUMS = ".work", ".own", ".sums"
# the sections of a config that features are made of
_MADE_OF = (
    *("calendar", "entities", "start", "end", "simulate", "decisions"),
    *("features", "feature_fit", "volatility", "sentiment"),
)
At = Literal["decisions", "bars"]
_Task = Callable[["Job", str], Any]


@dataclass(frozen=True)
class Job:
    """What a worker needs to know. `at` are the config's decisions, or the moments at which bars became known."""

    plan: Plan
    ingested: Mapping[str, IngestResult]
    lake: Path
    folder: Path
    at: At
    items: Mapping[str, NewsItems]

    def part(self, entity: str) -> Path:
        return self.folder / f"entity={quote(entity, safe='')}"


@dataclass(frozen=True)
class Features:
    """What a call made: the folder, the entities made, found made, and failed with why, the seconds that each took in
    its process, the most memory that a process held, and the processes at a time. `complete`: nothing is missing."""

    folder: Path
    made: list[str]
    reused: list[str]
    failed: dict[str, Exception]
    seconds: dict[str, float]
    peak_bytes: int
    workers: int
    complete: bool
    warnings: list[str]


def make(
    config: RunConfig,
    *,
    lake: Path,
    out: Path,
    workers: int,
    at: At = "decisions",
    entities: Sequence[str] | None = None,
    memory: int | None = None,
    progress: Progress = silent,
) -> Features:
    """Ingest what the features of a config need, and make those of each entity (of `entities`, where given).

    memory  bytes that all processes together may hold: the largest entity goes first and alone, and as many run side by
            side as fit what it took

    Raises ConfigError for an unknown entity, TrifuseError where another process works on the same folder or an entity
    that others are compared with cannot be made. An entity whose features fail is told in the result.
    """
    config = config.model_copy(update={"sources": {name: config.sources[name] for name in _needed(config)}})
    plan = make_plan(config, lake)
    wanted = _wanted(plan, entities)
    if at == "bars" and config.source_of("bar") is None:
        raise ConfigError("no feature is of bars", allowed="decisions", hint="bars give the times only of bars")
    ingested = pipeline.ingest(config, lake=lake, plan=plan, progress=progress, workers=workers)
    folder = out / config.name / key(config, at, ingested, plan.variables)
    items = news.prepare(plan, ingested, lake=lake, progress=progress)
    slim = {name: replace(result, inputs=[], counts={}) for name, result in ingested.items()}
    job = Job(plan, slim, lake, folder, at, items)
    with holding(folder, wait=False):
        _clean(folder)
        reused = [entity for entity in wanted if _whole(job.part(entity))]
        missing = _largest_first(job, [entity for entity in wanted if entity not in set(reused)])
        outcomes: dict[str, Outcome] = {}
        if missing:
            with Workers(workers) as processes:
                _sum_peers(job, processes, progress)
                outcomes, workers = _within(memory, _make_part, job, missing, processes, progress)
        shutil.rmtree(folder / _WORK)
        complete = all(_whole(job.part(entity)) for entity in plan.entities)
        if complete:
            shutil.rmtree(folder / _OWN, ignore_errors=True)
            shutil.rmtree(folder / _SUMS, ignore_errors=True)
            _write_manifest(job, ingested)
    failed = {entity: outcome.error for entity, outcome in sorted(outcomes.items()) if outcome.error is not None}
    peak = max((outcome.peak_bytes for outcome in outcomes.values()), default=0)
    warnings = _warnings(config, ingested)
    if memory is not None and peak > memory:
        warnings.append(f"the largest entity took {peak / 2**20:,.0f} MiB, more than may be used")
    return Features(
        folder,
        [entity for entity in wanted if entity in outcomes and entity not in failed],
        reused,
        failed,
        {entity: round(outcome.seconds, 3) for entity, outcome in sorted(outcomes.items())},
        peak,
        workers,
        complete,
        warnings,
    )


def key(config: RunConfig, at: At, ingested: Mapping[str, IngestResult], variables: Mapping[str, str]) -> str:
    """The name of the folder: a hash of the settings that features are made of, the inputs and the code."""
    settings = config.model_dump(mode="json", include={*_MADE_OF, "sources"})
    keys, files = {name: found.key for name, found in ingested.items()}, news.files_of_model(config, variables)
    return record.key(settings, at, keys, files, record.code_version())


def _needed(config: RunConfig) -> list[str]:
    """The sources of the features, and those that these look at."""
    found = [*config.features, *([] if config.volatility.events is None else [config.volatility.events])]
    for name in config.features:
        found += [other for _, other in config.sources[name].looks_at()]
    return [name for name in config.sources if name in set(found)]


def _wanted(plan: Plan, entities: Sequence[str] | None) -> list[str]:
    if entities is None:
        return list(plan.entities)
    unknown = sorted(set(entities) - set(plan.entities))
    if unknown:
        allowed = ", ".join(plan.entities[:20]) + (", ..." if len(plan.entities) > 20 else "")
        raise ConfigError(f"--entities names {unknown[0]!r}, which the config does not", allowed=allowed)
    return sorted(set(entities))


def _largest_first(job: Job, entities: list[str]) -> list[str]:
    """What takes longest begins first, so that no process is left with it at the end."""
    sizes = {
        entity: sum(tables_lake.size(result.folder, entity) for result in job.ingested.values()) for entity in entities
    }
    return sorted(entities, key=lambda entity: (-sizes[entity], entity))


def _within(
    memory: int | None, task: _Task, job: Job, entities: list[str], processes: Workers, progress: Progress
) -> tuple[dict[str, Outcome], int]:
    """The outcomes of the task for each entity, and how many processes ran side by side."""
    done = 0

    def ended(_place: int, _outcome: Outcome) -> None:
        nonlocal done
        done += 1
        progress(f"features: {done} of {len(entities)} entities", done / len(entities))

    progress(f"features: 0 of {len(entities)} entities", 0.0)
    tasks = [(job, entity) for entity in entities]
    most, first = processes.count, list[Outcome]()
    if memory is not None:
        first = processes.run(task, tasks[:1], ended)
        most = max(1, min(most, memory // max(first[0].peak_bytes, 1)))
    found = first + processes.run(task, tasks[len(first) :], ended, at_most=most)
    return dict(zip(entities, found, strict=True)), most


# --- in the workers ---------------------------------------------------------------------------------------------------


def _make_part(job: Job, entity: str) -> None:
    """Makes the partition of an entity."""
    tables = pipeline.load(job.plan, job.ingested, lake=job.lake, entity=entity, items=job.items)
    peers = {own: Sums.from_frame(pl.read_parquet(_sums_path(job, own))) for own in _own(job.plan.config)}
    matrix = features.build(job.plan.config, tables, _grid(job, tables, entity), peers or None)
    with _appearing(job, job.part(entity)) as part:
        path = part / PART
        file = ParquetFile(path, matrix.frame.schema)
        file.append(matrix.frame)
        file.close()
        found = {"entity": entity, "rows": matrix.frame.height, "bytes": path.stat().st_size, "late": matrix.late}
        record.write_json(part / RECORD, found | {"sha256": record.file_hash(path)})


def _make_own(job: Job, entity: str) -> None:
    """The values of an entity that others are compared with, at its decisions."""
    bars, own = job.plan.config.source_of("bar"), _own(job.plan.config)
    assert bars is not None
    config = job.plan.config.model_copy(update={"features": {bars: own}})
    needed = {name: job.ingested[name] for name in (bars, config.volatility.events) if name is not None}
    tables = pipeline.load(replace(job.plan, config=config), needed, lake=job.lake, entity=entity, items={})
    frame = features.build(config, tables, _grid(job, tables, entity)).frame
    with _appearing(job, _own_path(job, entity)) as part:
        frame.select("decision_time", *own).write_parquet(part / PART)


def _grid(job: Job, tables: Mapping[str, pl.DataFrame], entity: str) -> pl.DataFrame:
    if job.at == "decisions":
        return decision_grid([entity], job.plan.sessions, job.plan.config.decisions)
    bars = job.plan.config.source_of("bar")
    assert bars is not None
    stream = in_order(tables[bars], "bar")[0]
    stream = stream.filter(pl.col("entity") == entity, pl.col("session") >= job.plan.start)
    times = stream.select("entity", "session", decision_time="known_time")
    return times.unique(["entity", "decision_time"], keep="last", maintain_order=True)


@contextmanager
def _appearing(job: Job, folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when it is filled and on the disk."""
    filling = job.folder / _WORK / f"{folder.name}.{os.getpid()}"
    filling.mkdir()
    try:
        yield filling
        for path in filling.iterdir():
            with path.open("rb") as written:
                os.fsync(written.fileno())
        folder.parent.mkdir(exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(filling, folder)
    finally:
        shutil.rmtree(filling, ignore_errors=True)


# --- what needs all entities ------------------------------------------------------------------------------------------


def _own(config: RunConfig) -> list[str]:
    """The features that are compared over all entities."""
    bars = config.source_of("bar")
    wanted = chosen(config, bars) if bars in config.features else []
    return bar.owns(wanted)


def _own_path(job: Job, entity: str) -> Path:
    return job.folder / _OWN / job.part(entity).name


def _sums_path(job: Job, own: str) -> Path:
    return job.folder / _SUMS / f"{own}.parquet"


def _sum_peers(job: Job, processes: Workers, progress: Progress) -> None:
    """The first pass, where there is something to compare."""
    own, bars = _own(job.plan.config), job.plan.config.source_of("bar")
    if bars is None or not own or (job.folder / _SUMS).is_dir():
        return
    entities = list(job.plan.entities)
    missing = [entity for entity in entities if not _own_path(job, entity).is_dir()]
    outcomes, _ = _within(
        None, _make_own, job, missing, processes, lambda said, done: progress(f"peers of {said}", done)
    )
    failed = {entity: outcome.error for entity, outcome in outcomes.items() if outcome.error is not None}
    if failed:
        entity, error = min(failed.items())
        compared = [name for name in chosen(job.plan.config, bars) if bar.asked(name).own is not None]
        raise TrifuseError(
            f"{len(failed)} of {len(entities)} entities cannot be compared with the others, {entity} first: {error}",
            hint=f"leave out the features that compare entities ({', '.join(compared)}), or the entity",
        )
    sums = sums_of(own, (pl.read_parquet(_own_path(job, entity) / PART) for entity in entities))
    with _appearing(job, job.folder / _SUMS) as folder:
        for name, found in sums.items():
            found.frame().write_parquet(folder / f"{name}.parquet")


# --- the folder -------------------------------------------------------------------------------------------------------


def _clean(folder: Path) -> None:
    """Removes what a killed run had half written, and begins anew."""
    shutil.rmtree(folder / _WORK, ignore_errors=True)
    for path in folder.glob(f".{MANIFEST}.*"):
        path.unlink()
    (folder / _WORK).mkdir()


def _whole(part: Path) -> bool:
    """Whether a partition is there as it was written. One that is not goes."""
    try:
        if json.loads((part / RECORD).read_text())["bytes"] == (part / PART).stat().st_size:
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(part, ignore_errors=True)
    return False


def _warnings(config: RunConfig, ingested: Mapping[str, IngestResult]) -> list[str]:
    told = [said for result in ingested.values() for said in result.warnings]
    return told + unplaced(config, ingested) + pipeline.look_ahead(config)


def _write_manifest(job: Job, ingested: Mapping[str, IngestResult]) -> None:
    """Nothing in it depends on when, where, or in how many attempts the parts were made."""
    config = job.plan.config
    parts = [record.read_json(job.part(entity) / RECORD) for entity in job.plan.entities]
    found = {
        "name": config.name,
        "at": job.at,
        "config": config.model_dump(mode="json", include={*_MADE_OF, "name", "sources"}),
        "code_version": record.code_version(),
        "packages": record.package_versions(),
        "window": {"start": job.plan.start, "end": job.plan.end, "sessions": job.plan.sessions.height},
        "inputs": [{"source": name, **item} for name, result in ingested.items() for item in result.inputs],
        "sources": {
            name: {"table": result.table, "key": result.key, **result.counts} for name, result in ingested.items()
        },
        "rows": sum(part["rows"] for part in parts),
        "parts": parts,
        "sentiment": news.describe(config, job.items, next(iter(pipeline.look_ahead(config)), None), timeless=True),
        "warnings": _warnings(config, ingested),
    }
    record.write_json(job.folder / MANIFEST, found)
