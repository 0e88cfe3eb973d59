"""Newest signals to a file or to stdout, made for cron.

    python scripts/generate_signals.py runs/tech_news/0123456789ab --out signals.csv --max-age 15min
    python scripts/generate_signals.py configs/tech_news.yaml --format jsonl | consumer

Given a config, the newest finished run of its name is used; nothing is ever fitted here. The run's signals are brought
up to date with the data that are there now, then the newest row of each entity is written. The file changes in one
step (written beside, then renamed), so a reader sees the old or the new one, whole. Two at a time of one run cannot
collide: the second gives up with exit code 75, or waits with --wait.
Exit codes: those of `trifuse --help`, 75 for a run that is locked, 3 also for signals older than --max-age.
"""

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from fusion.console import note, one_line_errors, progress
from fusion.table_files import FORMATS, encode, newest, write_table
from gpu_kernels.durations import format_duration, parse_duration
from gpu_kernels.errors import ConfigError, DataError, ModelError

LOCKED = 75  # EX_TEMPFAIL of sysexits.h: try again later


class Format(StrEnum):
    """How the rows are written."""

    parquet = "parquet"
    csv = "csv"
    jsonl = "jsonl"


class Rows(StrEnum):
    """Which rows: the newest of each entity, those that this call added, or all of the run."""

    newest = "newest"
    new = "new"
    all = "all"


def run_folder_of(target: Path, runs: Path) -> Path:
    """The run folder itself, or the newest finished run of a config. Raises ModelError where there is none."""
    if target.is_dir():
        return target
    from fusion import config as configs

    name = configs.load(target).name
    finished = [path.parent for path in (runs / name).glob("[!.]*/manifest.json")]
    if not finished:
        raise ModelError(f"no finished run of {name} in {runs}", hint=f"run `trifuse run {target}` first")
    return max(finished, key=lambda folder: (folder / "manifest.json").stat().st_mtime_ns)


@contextmanager
def lock(folder: Path, wait: float) -> Iterator[None]:
    """Holds the run's lock; the system frees it when the process ends, however it ends.

    Exits with code 75 when another process still holds it after `wait` seconds.
    """
    deadline = time.monotonic() + wait
    with open(folder / ".signals.lock", "w", encoding="utf-8") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    note(f"error: another process makes signals of {folder} now; try again, or give --wait SECONDS")
                    raise typer.Exit(LOCKED) from None
                time.sleep(min(0.1, max(0.0, deadline - time.monotonic())))
        yield


def _refreshed(folder: Path, lake: Path, end: datetime | None, quiet: bool) -> pl.DataFrame | None:
    """The rows that newer data gave. Nothing newer is no failure: what was known is written then."""
    from fusion import refresh

    with progress(quiet) as advance, suppress(refresh.NoNewDataError):
        return refresh.signals(folder, lake=lake, progress=advance, end=end.date() if end else None)
    return None


def check_age(rows: pl.DataFrame, max_age: str, now: datetime) -> None:
    """Raises DataError where the newest decision is older than `max_age` (e.g. "15min") before `now`."""
    try:
        limit = parse_duration(max_age)
    except ValueError as error:
        raise ConfigError(f"--max-age: {error}") from None
    last = rows["decision_time"].max()
    if not isinstance(last, datetime):
        raise DataError("the run holds no signal", hint="bring newer data")
    if now - last > timedelta(microseconds=limit // 1000):
        raise DataError(
            f"the newest signal is of {last:%Y-%m-%d %H:%M} UTC", allowed=f"{format_duration(limit)} old at most"
        )


def main(
    target: Annotated[
        Path, typer.Argument(metavar="RUN_FOLDER_OR_CONFIG", help="A finished run, or a config that has one.")
    ],
    out: Annotated[str, typer.Option("--out", help="File to replace, or - for stdout.")] = "-",
    format_: Annotated[Format | None, typer.Option("--format", help="Default: by the file's suffix, else csv.")] = None,
    rows: Annotated[
        Rows, typer.Option("--rows", help="newest of each entity, new in this call, or all.")
    ] = Rows.newest,
    refresh_first: Annotated[bool, typer.Option("--refresh/--no-refresh", help="Look for newer data first.")] = True,
    end: Annotated[
        datetime | None, typer.Option("--end", formats=["%Y-%m-%d"], help="Last day; default: what the data reach.")
    ] = None,
    max_age: Annotated[str, typer.Option("--max-age", help="Fail when the newest signal is older, e.g. 15min.")] = "",
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for another one to end.")] = 0.0,
    lake: Annotated[Path, typer.Option("--lake", envvar="TRIFUSE_LAKE", help="Folder of ingested tables.")] = Path(
        "lake"
    ),
    runs: Annotated[Path, typer.Option("--runs", envvar="TRIFUSE_RUNS", help="Folder of the runs.")] = Path("runs"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="TRIFUSE_DEBUG", help="Show tracebacks.")] = False,
) -> None:
    """Newest signals to a file or to stdout, made for cron."""
    with one_line_errors(debug):
        suffix = Path(out).suffix.removeprefix(".")
        kind = format_.value if format_ else suffix if suffix in FORMATS else Format.csv.value
        folder = run_folder_of(target, runs)
        if not (folder / "signals.parquet").is_file():
            raise ModelError(f"{folder} holds no signals.parquet", hint="give the folder of a finished run")
        with lock(folder, wait):
            new = _refreshed(folder, lake, end, quiet) if refresh_first else None
            everything = pl.read_parquet(folder / "signals.parquet")
            added = everything.clear() if new is None else new
            chosen = {Rows.newest: newest(everything), Rows.new: added, Rows.all: everything}[rows]
            if max_age:
                check_age(everything, max_age, datetime.now(UTC))
            if out == "-":
                sys.stdout.buffer.write(encode(chosen, kind))
                sys.stdout.buffer.flush()
            else:
                write_table(chosen, Path(out), kind)
        if not quiet:
            note(f"{added.height:,} new rows; {chosen.height:,} written to {'stdout' if out == '-' else out}")


if __name__ == "__main__":
    typer.run(main)
