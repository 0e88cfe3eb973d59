"""The main job: ingest -> features -> fuse -> regime -> select -> learn -> signals + report, into a run folder.

The folder's name is a key of the config, the inputs and the code, so the same run is found again and not repeated, and
it appears under its name only when it is complete.
"""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from fusion import manifest as record
from fusion import model, news, regime, report, signal_state
from fusion.comparison import compare
from fusion.config import RunConfig, day_of
from fusion.contribution import contributions
from fusion.features.choice import chosen, left_out, shared_entity
from fusion.news import NewsItems
from fusion.plan import Plan, Progress, make_plan, silent
from fusion.price_path import price_path
from fusion.rivals import Rivals
from fusion.signals import with_data_version
from fusion.study import Study, study
from fusion.trials import with_trials
from fusion.unplaced import unplaced
from sentiment.features import MARKET
from sources import lake as tables_lake
from sources.lake import IngestResult
from sources.source_options import STREAMS

REGIME_MODELS = "regimes.json"


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, its manifest, and whether it had been there already."""

    folder: Path
    manifest: dict[str, Any]
    reused: bool


@dataclass
class _Clock:
    """Seconds of each stage, as they are announced."""

    progress: Progress
    seconds: dict[str, float]
    stage: str = ""
    since: float = 0.0

    def __call__(self, stage: str, share: float | None) -> None:
        now = time.perf_counter()
        name = stage.split(":", maxsplit=1)[0]
        if name != self.stage:
            if self.stage:
                self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + now - self.since
            self.stage, self.since = name, now
        self.progress(stage, share)


def ingest(
    config: RunConfig, *, lake: Path, progress: Progress = silent, plan: Plan | None = None, workers: int = 1
) -> dict[str, IngestResult]:
    """Bring every source of a config into the lake; a source whose files, settings and code did not change is reused.

    Files of different entities are read by `workers` processes.
    Raises DataError for a file that cannot be used, QuarantineError above a source's `quarantine_limit`.
    """
    plan = plan or make_plan(config, lake)
    found: dict[str, IngestResult] = {}
    for start, names in _starts(plan).items():
        found |= tables_lake.ingest_all(
            {name: config.sources[name] for name in names},
            calendar=config.calendar,
            entities=list(plan.entities),
            start=start,
            end=plan.end,
            lake=lake,
            variables=plan.variables,
            workers=workers,
            progress=lambda what, share: progress(f"ingest: {what}", share),
        )
    return {name: found[name] for name in config.sources}


def _starts(plan: Plan) -> dict[date, list[str]]:
    """The sources by the first session that is wanted of them: bars may have a history before the run's start."""
    by_start: dict[date, list[str]] = {}
    for name, source in plan.config.sources.items():
        early = source.table == "bar" and plan.config.volatility.history
        by_start.setdefault(plan.before(plan.config.volatility.history) if early else plan.start, []).append(name)
    return by_start


def load(
    plan: Plan,
    ingested: Mapping[str, IngestResult],
    *,
    lake: Path,
    progress: Progress = silent,
    entity: str | None = None,
    items: Mapping[str, NewsItems] | None = None,
) -> dict[str, pl.DataFrame]:
    """The sources' rows from the lake; of news that gives features the items, with the scores of their texts.

    items   what `news.prepare` gave; none: made here
    entity  only the rows that the features of that one entity are made of: its own, those of markets and regions, and
            the news of all where features of the market's news are wanted
    """
    if items is None:
        items = news.prepare(plan, ingested, lake=lake, progress=progress)
    return {
        name: items[name].read(_readers(plan, name, entity)) if name in items else _rows(plan, result, entity)
        for name, result in ingested.items()
    }


def _readers(plan: Plan, name: str, entity: str | None) -> list[str] | None:
    """The entities whose news the features of one are made of; None: all."""
    if entity is None or any(column.startswith(MARKET) for column in chosen(plan.config, name)):
        return None
    return [shared_entity(plan.config, name) or entity]


def _rows(plan: Plan, result: IngestResult, entity: str | None) -> pl.DataFrame:
    if entity is None:
        return tables_lake.read(result.folder)
    if result.table in STREAMS:
        market = plan.config.volatility.market if result.table == "bar" else None
        return tables_lake.read(result.folder, entities=[entity] if market is None else [entity, market])
    if result.table == "news":
        return tables_lake.read(result.folder, entities=[entity])
    if result.table == "site":  # a site may have been another ticker's
        return tables_lake.read(result.folder)
    others = pl.Series([other for other in plan.entities if other != entity], dtype=pl.String)
    return tables_lake.read(result.folder).filter(~pl.col("entity").is_in(others.implode()))


def run(
    config: RunConfig, *, lake: Path, runs: Path, progress: Progress | None = None, rerun: bool = False
) -> RunResult:
    """Run a config into `runs/<name>/<id>/`. An identical finished run is returned as it is, unless `rerun`.

    Raises ConfigError where the config has no targets.
    """
    _ = config.predicted  # there is no run without
    clock = _Clock(progress or silent, {})
    clock("plan", None)
    plan = make_plan(config, lake)
    ingested = ingest(config, lake=lake, progress=clock, plan=plan)
    identifier = record.key(
        config.digest(),
        {name: result.key for name, result in ingested.items()},
        news.files_of_model(config, plan.variables),
        record.code_version(),
    )
    folder = runs / config.name / identifier
    if (folder / "manifest.json").is_file() and not rerun:
        return RunResult(folder, record.read_json(folder / "manifest.json"), reused=True)
    items = news.prepare(plan, ingested, lake=lake, progress=clock)
    tables = load(plan, ingested, lake=lake, items=items)
    found = study(plan, tables, clock)
    found = replace(found, signals=with_data_version(found.signals, data_version(ingested)))
    found, added = _added(plan, tables, found, clock)
    clock("write", None)
    temporary = folder.with_name(f".{identifier}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        outputs = _write(temporary, plan, found, ingested, added)
        clock("report", None)
        made_of = describe_run(plan, ingested, items, found, clock.seconds, record.hashes(temporary, outputs))
        record.write_json(temporary / "manifest.json", made_of)
        report.build(temporary)
        clock("done", 1.0)
        made_of["stages"] = {stage: round(seconds, 3) for stage, seconds in clock.seconds.items()}
        record.write_json(temporary / "manifest.json", made_of)
        _publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return RunResult(folder, made_of, reused=False)


def _added(
    plan: Plan, tables: Mapping[str, pl.DataFrame], found: Study, progress: Progress
) -> tuple[Study, dict[str, pl.DataFrame]]:
    """Prices, and as far as the config asks what regimes, trees and sources add: tables by name; the study, judged
    beside these."""
    asked, rivals = plan.config.evaluation, Rivals(plan, found, progress)
    added, judged = {"prices": price_path(plan, tables, found.labels)}, found
    if asked.comparison:
        added["comparison"] = compare(plan, found, progress, rivals=rivals)
        judged = with_trials(plan, found, rivals)
    if asked.contribution:
        added["contribution"] = contributions(plan, tables, found, progress, rivals=rivals)
    return judged, added


def data_version(ingested: Mapping[str, IngestResult]) -> str:
    """A hash of what was ingested: files, settings, window and code of every source."""
    return record.key({name: result.key for name, result in ingested.items()})


def _publish(temporary: Path, folder: Path) -> None:
    """Put the finished folder in its place; an older one of the same name goes only when the new one is there."""
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(temporary, folder)
    except OSError:
        # the same run finished beside this one, and holds the same
        if not (folder / "manifest.json").is_file():
            raise
    shutil.rmtree(old, ignore_errors=True)


def _write(
    folder: Path, plan: Plan, found: Study, ingested: Mapping[str, IngestResult], added: Mapping[str, pl.DataFrame]
) -> list[str]:
    """Write the results; returns the names of the files, which are the run's hashed outputs."""
    frames = {
        "features": found.matrix.frame,
        "labels": found.labels,
        "regime": found.regimes.observations.join(
            found.regimes.probabilities, on=["session", "time"], how="left", maintain_order="left"
        ),
        "selection": found.ledger,
        "signals": found.signals,
        "evaluation": found.evaluation,
        "session_ic": found.session_ic,
        "portfolio": found.portfolio,
        "quarantine": pl.concat([pl.read_parquet(result.quarantine) for result in ingested.values()], how="diagonal"),
    }
    frames |= added
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet", compression="zstd")
    record.write_json(folder / "regime_states.json", regime.describe(found.regimes, found.refits))
    record.write_json(folder / "families.json", found.matrix.families)
    text = yaml.safe_dump(plan.config.model_dump(mode="json", exclude_none=True), sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    model.save(found.models, folder / "model")
    signal_state.save(found.signal_state, folder / "model")
    record.write_json(folder / "model" / REGIME_MODELS, [fitted.to_dict() for fitted in found.regimes.models])
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(str(name) for name in names)


def describe_run(
    plan: Plan,
    ingested: Mapping[str, IngestResult],
    items: Mapping[str, NewsItems],
    found: Study,
    stages: Mapping[str, float],
    outputs: Mapping[str, str],
) -> dict[str, Any]:
    """The manifest. Hashed outputs are all files but the manifest and the report, which tell times."""
    config = plan.config
    return {
        "name": config.name,
        "config": config.model_dump(mode="json"),
        "config_sha256": config.digest(),
        "code_version": record.code_version(),
        "packages": record.package_versions(),
        "device": record.device(),
        "seeds": {"run": config.seed} | ({"simulate": config.simulate.seed} if config.simulate else {}),
        "window": {"start": plan.start, "end": plan.end, "sessions": plan.periods.height},
        "entities": list(plan.entities),
        "inputs": [{"source": name, **item} for name, result in ingested.items() for item in result.inputs],
        "sources": {
            name: {"table": result.table, "key": result.key, "late": found.matrix.late.get(name), **result.counts}
            for name, result in ingested.items()
        },
        "sentiment": news.describe(config, items, next(iter(look_ahead(config)), None)),
        "rows": {"decisions": found.matrix.frame.height, "signals": found.signals.height},
        "stages": {stage: round(seconds, 3) for stage, seconds in stages.items()},
        "warnings": [
            *(said for result in ingested.values() for said in result.warnings),
            *unplaced(config, ingested),
            *warnings_of(plan, found),
        ],
        "outputs": dict(outputs),
    }


def bouncing_prices(config: RunConfig) -> list[str]:
    """A warning where the prices of the targets are trades: Roll's bounce is no return that anyone can earn."""
    if config.targets is None:
        return []
    name = config.price_source
    if config.sources[name].table != "trade":
        return []
    quotes = config.source_of("quote") or "<a source of quotes>"
    return [
        f"targets.price {name!r} is of trades: returns between last traded prices bounce between bid and ask, so the "
        f"side of the last trades seems to predict them; use the mid of quotes instead (targets.price: {quotes})"
    ]


def look_ahead(config: RunConfig) -> list[str]:
    """A warning where the text model may have read what came after the run's first decisions, or nobody knows; none of
    a simulated market, which is in no text."""
    start = day_of(config.start)
    if not news.sources_of(config) or start is None or config.simulate is not None:
        return []
    said = config.sentiment.card.look_ahead(start, masked=config.sentiment.mask)
    return [] if said is None else [said]


def warnings_of_config(config: RunConfig) -> list[str]:
    """Those that are known before any file is read."""
    return look_ahead(config) + bouncing_prices(config) + left_out(config)


def warnings_of(plan: Plan, found: Study) -> list[str]:
    """What a reader of the signals must know before trusting them, in sentences."""
    said = warnings_of_config(plan.config)
    kept = found.ledger.filter(pl.col("kept"))
    first = plan.config.walk_forward.train_sessions
    if not found.refits:
        said.append(
            f"no refit was possible: {plan.periods.height} sessions, and the first refit comes after "
            f"walk_forward.train_sessions {first}; lower it, or lengthen the window"
        )
    weak = kept.filter(~pl.col("significant")).height
    if weak:
        said.append(
            f"{weak} of {kept.height} kept features (over all refits and regimes) are not significant at the false "
            "discovery rate of the config; they were kept by selection.min_features, or because they had been before"
        )
    elif found.refits and kept.is_empty():
        said.append("no feature was selected at any refit, so no signal was made")
    for fitted in found.regimes.models:
        if fitted.problem is not None:
            said.append(f"the regime model of {fitted.refit_session} could not be fitted: {fitted.problem}")
    stale = found.signals.filter(pl.col("status") == "stale_price").height
    if stale:
        said.append(f"{stale} of {found.signals.height} decisions have no score: no price within max_age was known")
    if plan.config.simulate is not None:
        said.append(
            "this market is simulated: its numbers say that the machinery works, not that anything can be earned"
        )
    return said
