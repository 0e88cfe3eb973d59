"""Run many configs, or one config per entity, in parallel processes.

    python scripts/run_batch.py configs/*.yaml --workers 2
    python scripts/run_batch.py configs/tech_news.yaml --entities AAPL,FB --json > batch.json

Each job has a process of its own, so that one that fails, or is killed for its memory, does not take others along.
Running the same batch again resumes it: a finished run is found by its key and not repeated; an unfinished one left
nothing under its name and starts over. Exit code 0: all done; 1: at least one failed; 2: wrong usage; 130: interrupted.
"""

import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from fusion.commands.runs import run_summary
from fusion.console import answer, explain, note, one_line_errors, show
from sources import processes
from sources.processes import Workers


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a config, or its part for one entity."""

    config: Path
    entity: str | None = None
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.config.stem + (f":{self.entity}" if self.entity else "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: status is done, reused or failed; `summary` is what `trifuse run --json` prints."""

    job: Job
    status: str
    exit_code: int
    seconds: float
    error: str
    summary: dict[str, Any]


def jobs_of(configs: Sequence[Path], entities: Sequence[str], overrides: Sequence[str]) -> list[Job]:
    """Every config, or every pair of config and entity; each once."""
    found = [
        Job(config, entity, (*overrides, *_only(config, entity)))
        for config in configs
        for entity in (entities or [None])
    ]
    return list(dict.fromkeys(found))


def _only(config: Path, entity: str | None) -> list[str]:
    # its own name keeps the newest run of one entity apart from those of the others
    if entity is None:
        return []
    return [f"entities={json.dumps([entity])}", f"name={json.dumps(f'{config.stem}_{entity}')}"]


def outcome_of(job: Job, found: processes.Outcome) -> Outcome:
    """What a job's process says."""
    seconds = round(found.seconds, 1)
    if found.error is not None:
        said, code = explain(found.error)
        return Outcome(job, "failed", code, seconds, said, {})
    return Outcome(job, "reused" if found.value["reused"] else "done", 0, seconds, "", found.value)


def row_of(outcome: Outcome) -> dict[str, Any]:
    """A line of the summary."""
    primary = outcome.summary.get("primary") or {}
    ic, low, high = (primary.get(name) for name in ("rank_ic", "low", "high"))
    known = ic is not None and low is not None and high is not None
    return {
        "job": outcome.job.name,
        "status": outcome.status,
        "seconds": f"{outcome.seconds:.1f}",
        "rank IC": f"{ic:+.3f} [{low:+.3f}, {high:+.3f}]" if known else "",
        "folder or error": outcome.summary.get("folder", "") or f"({outcome.exit_code}) {outcome.error}",
    }


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="YAML files.")],
    entities: Annotated[str, typer.Option("--entities", help="One run for each of these, e.g. AAPL,FB.")] = "",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Runs at a time; each may need 3 GB.")] = 1,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="For every run.")] = None,
    lake: Annotated[Path, typer.Option("--lake", envvar="TRIFUSE_LAKE", help="Folder of ingested tables.")] = Path(
        "lake"
    ),
    runs: Annotated[Path, typer.Option("--runs", envvar="TRIFUSE_RUNS", help="Folder of the runs.")] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No line per finished run on stderr.")] = False,
) -> None:
    """Run many configs, or one config per entity, in parallel processes; run it again to resume."""
    signal.signal(signal.SIGTERM, _terminated)
    jobs = jobs_of(configs, [name for name in entities.split(",") if name], overrides or [])

    count = 0

    def ended(place: int, found: processes.Outcome) -> None:
        nonlocal count
        count += 1
        if not quiet:
            outcome = outcome_of(jobs[place], found)
            line = f"{outcome.job.name}: {outcome.status} after {outcome.seconds:.1f} s {outcome.error}"
            note(f"[{count}/{len(jobs)}] {line}")

    with one_line_errors(), Workers(min(workers, len(jobs)), fresh=True) as pool:
        tasks = [(job.config, list(job.overrides), lake, runs) for job in jobs]
        found = pool.run(run_summary, tasks, ended)
    outcomes = [outcome_of(job, each) for job, each in zip(jobs, found, strict=True)]
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if as_json:
        records = [{"name": outcome.job.name} | asdict(outcome) for outcome in outcomes]
        for record in records:
            record["job"]["config"] = str(record["job"]["config"])
        answer({"jobs": records, "failed": failed})
    else:
        show([row_of(outcome) for outcome in outcomes], numeric=("seconds",))
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
