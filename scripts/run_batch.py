"""Run many configs, or one config per entity, in parallel processes.

    python scripts/run_batch.py configs/*.yaml --workers 2
    python scripts/run_batch.py configs/tech_news.yaml --entities AAPL,FB --json > batch.json

Each job is its own `trifuse run`, so that one that fails, or is killed for its memory, does not take others along.
Running the same batch again resumes it: a finished run is found by its key and not repeated; an unfinished one left
nothing under its name and starts over. Exit code 0: all done; 1: at least one failed; 2: wrong usage; 130: interrupted.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from types import FrameType
from typing import Annotated, Any

import typer

from fusion.console import INTERRUPTED, answer, note, one_line_errors, show

# each of them starts as many threads as there are cores unless told otherwise
_THREADS = ("NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS")


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
    """How a job ended: status is done, reused or failed; `summary` is what `trifuse run --json` printed."""

    job: Job
    status: str
    exit_code: int
    seconds: float
    error: str
    summary: dict[str, Any]


Command = Callable[[Job], list[str]]


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


class Batch:
    """Runs jobs, `workers` at a time. `stop` ends those that run."""

    def __init__(self, command: Command, workers: int) -> None:
        self._command, self._workers = command, workers
        self._running: set[subprocess.Popen[str]] = set()
        self._lock, self._stopped = Lock(), False

    def run(self, jobs: Sequence[Job], ended: Callable[[Outcome], None]) -> list[Outcome]:
        """Outcomes in the order of the jobs; `ended` is called as each one ends."""
        with ThreadPoolExecutor(self._workers) as pool:
            futures = [pool.submit(self._one, job) for job in jobs]
            try:
                for future in as_completed(futures):
                    ended(future.result())
            except KeyboardInterrupt:
                self.stop()
                raise
        return [future.result() for future in futures]

    def stop(self) -> None:
        """End the running processes and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def _one(self, job: Job) -> Outcome:
        cores = max(1, (os.cpu_count() or 1) // self._workers)
        environment = dict.fromkeys(_THREADS, str(cores)) | os.environ
        start = time.monotonic()
        with self._lock:
            if self._stopped:
                return Outcome(job, "failed", INTERRUPTED, 0.0, "interrupted", {})
            process = subprocess.Popen(
                self._command(job), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
            )
            self._running.add(process)
        out, complaint = process.communicate()
        with self._lock:
            self._running.discard(process)
        return outcome_of(job, process.returncode, out, complaint, time.monotonic() - start)


def outcome_of(job: Job, code: int, out: str, complaint: str, seconds: float) -> Outcome:
    """What a finished process says. A negative code is the signal that killed it."""
    if code == 0:
        try:
            summary = json.loads(out)
            status = "reused" if summary["reused"] else "done"
            return Outcome(job, status, 0, round(seconds, 1), "", summary)
        except (ValueError, KeyError, TypeError):
            return Outcome(job, "failed", 1, round(seconds, 1), f"no JSON answer: {out[:200]!r}", {})
    said = complaint.strip().splitlines()
    last = said[-1].removeprefix("error: ") if said else "no message"
    if code < 0:
        last = f"killed by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
    return Outcome(job, "failed", code, round(seconds, 1), last, {})


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

    def command(job: Job) -> list[str]:
        options = [part for override in job.overrides for part in ("--set", override)]
        start = [sys.executable, "-m", "fusion.cli", "run", str(job.config), "--json", "--quiet"]
        return [*start, "--lake", str(lake), "--runs", str(runs), *options]

    count = 0

    def ended(outcome: Outcome) -> None:
        nonlocal count
        count += 1
        if not quiet:
            line = f"{outcome.job.name}: {outcome.status} after {outcome.seconds:.1f} s {outcome.error}"
            note(f"[{count}/{len(jobs)}] {line}")

    with one_line_errors():
        outcomes = Batch(command, min(workers, len(jobs))).run(jobs, ended)
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
