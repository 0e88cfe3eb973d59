"""What every command shares: errors as one line, progress on stderr, answers on stdout."""

import errno
import json
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from gpu_kernels.errors import ConfigError, TrifuseError

INTERRUPTED, INTERNAL = 130, 70
EXIT_CODES = """\b
Exit codes:
  0  done                         5    GPU
  1  other failure                6    a value was used before it was known
  2  wrong config or option       70   fault of trifuse itself
  3  input data                   130  interrupted
  4  text model or stored run
"""

PATIENCE = 3.0  # seconds of silence
_WIDEST = 10_000  # a table that goes into a pipe or a file is never wrapped


class Commands(TyperGroup):
    """A group of commands whose errors are one red line; `--debug` before the command shows the traceback."""

    def invoke(self, ctx: Any) -> Any:
        with one_line_errors(bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


@contextmanager
def one_line_errors(debug: bool = False) -> Iterator[None]:
    """Turns an exception into one red line on stderr and the exit code of its kind; `debug` lets it through.

    Ctrl-C becomes exit code 130. Usage errors and a closed pipe are Typer's own business and pass.
    """
    try:
        yield
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        closed = isinstance(error, OSError) and error.errno == errno.EPIPE
        if debug or closed or hasattr(error, "format_message"):
            raise
        line, code = explain(error)
        complain(line)
        raise typer.Exit(code) from None


def run_script(main: Callable[[], int]) -> NoReturn:
    """Runs a script's `main` and exits with what it returns; an error is one line, and a traceback only where
    TRIFUSE_DEBUG is set."""
    try:
        with one_line_errors(bool(os.environ.get("TRIFUSE_DEBUG"))):
            sys.exit(main())
    except typer.Exit as stop:
        sys.exit(stop.exit_code)


def explain(error: Exception) -> tuple[str, int]:
    """An exception as one line, and the exit code of its kind."""
    if isinstance(error, TrifuseError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}", TrifuseError.exit_code
    if isinstance(error, MemoryError):
        return "out of memory; use fewer entities or a shorter window", TrifuseError.exit_code
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"internal fault, {said}; `--debug` before the command (TRIFUSE_DEBUG=1) shows where", INTERNAL


def complain(line: str) -> None:
    """One red line on stderr."""
    text = Text(f"error: {line}", style="bold red")
    Console(stderr=True).print(text, soft_wrap=True)


def note(line: str) -> None:
    """One line to a person, on stderr."""
    Console(stderr=True).print(Text(line), soft_wrap=True)


def warn(lines: Sequence[str]) -> None:
    """Warnings to a person, a line each, on stderr."""
    for line in lines:
        Console(stderr=True).print(Text(f"warning: {line}", style="yellow"), soft_wrap=True)


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str, float | None], None]]:
    """Yields the callback (stage, share done or None) that draws one bar a stage on stderr.

    Where stderr is no terminal, a stage that lasts longer than `PATIENCE` is told in one line, once, so that logs stay
    readable. Nothing when `quiet`.
    """
    console = Console(stderr=True)
    if quiet:
        yield lambda _stage, _share: None
        return
    if not console.is_terminal:
        with _told_late() as advance:
            yield advance
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        current: dict[str, Any] = {"name": None, "task": None}

        def advance(stage: str, share: float | None) -> None:
            name = stage.partition(":")[0]
            if name != current["name"]:
                if current["task"] is not None:
                    bars.update(current["task"], total=1.0, completed=1.0)
                current.update(name=name, task=bars.add_task(stage, total=None))
            total = None if share is None else 1.0
            bars.update(current["task"], description=stage, total=total, completed=share or 0.0)

        yield advance


@contextmanager
def _told_late() -> Iterator[Callable[[str, float | None], None]]:
    told: set[str] = set()
    waiting: threading.Timer | None = None
    current = ""

    def stop() -> None:
        if waiting is not None:
            waiting.cancel()

    def advance(stage: str, _share: float | None) -> None:
        nonlocal waiting, current
        name = stage.partition(":")[0]
        if name == current:
            return
        stop()
        current = name
        if name not in told:
            told.add(name)
            waiting = threading.Timer(PATIENCE, note, [f"{stage} ..."])
            waiting.daemon = True
            waiting.start()

    try:
        yield advance
    finally:
        stop()


def option_duration(option: str, text: str) -> int:
    """Nanoseconds above 0 of an option such as 5min. Raises ConfigError on anything else."""
    from gpu_kernels.durations import parse_duration  # what --help does not need does not load

    try:
        found = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None
    if found == 0:
        raise ConfigError(f"{option} is {text}", allowed="a duration above 0")
    return found


def option_bytes(option: str, text: str) -> int:
    """Bytes above 0 of an option such as 512MB or 4GB. Raises ConfigError on anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT])i?B?", text.strip(), re.IGNORECASE)
    count = 0 if found is None else int(float(found[1]) * 1024 ** (1 + "KMGT".index(found[2].upper())))
    if count == 0:
        raise ConfigError(f"{option} is {text!r}", allowed="an amount such as 512MB or 4GB")
    return count


def answer(value: object) -> None:
    """Print a value as JSON on stdout; NaN and infinities become null, times ISO 8601."""
    typer.echo(json.dumps(_plain(value), indent=2, allow_nan=False, default=str))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def show(rows: Sequence[Mapping[str, Any]], *, title: str = "", numeric: Sequence[str] = ()) -> None:
    """Print rows of the same keys as a table on stdout; `numeric` columns stand to the right."""
    if not rows:
        return
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, justify="right" if name in numeric else "left", overflow="fold", header_style="dim")
    for row in rows:
        table.add_row(*[Text("" if value is None else str(value)) for value in row.values()])
    out = Console(highlight=False)
    if out.is_terminal:
        out.print(table)
        return
    out = Console(highlight=False, width=_WIDEST)
    with out.capture() as printed:
        out.print(table)
    # the last column is not padded to its widest row
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


def outline(name: str, value: Any, indent: int = 0) -> None:
    """Print a named value on stdout, however nested: a table, a block of text, lines, or one line."""
    head = " " * indent + name.replace("_", " ")
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        keys = list(dict.fromkeys(key for item in value for key in item))
        typer.echo("")
        show([{key: item.get(key) for key in keys} for item in value], title=head)
        typer.echo("")
    elif isinstance(value, Mapping) and value and indent == 0:
        typer.echo(f"{head}:")
        for key, item in value.items():
            outline(str(key), item, indent + 2)
    elif isinstance(value, Mapping):
        typer.echo(f"{head}: " + (", ".join(f"{key} {item}" for key, item in value.items()) or "none"))
    elif isinstance(value, list):
        typer.echo(f"{head}: {', '.join(map(str, value)) or 'none'}")
    elif isinstance(value, str) and "\n" in value:
        typer.echo(f"{head}:\n")
        typer.echo(value)
    else:
        typer.echo(f"{head}: {'none' if value in (None, '') else value}")
