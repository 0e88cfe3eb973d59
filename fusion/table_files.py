"""Tables as files that other programs read, whole or not there at all: Parquet, CSV or JSON lines."""

import glob
import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from gpu_kernels.errors import ConfigError

FORMATS: dict[str, Callable[[pl.DataFrame, io.BytesIO], object]] = {
    "parquet": lambda table, target: table.write_parquet(target, compression="zstd"),
    "csv": lambda table, target: table.write_csv(target),
    "jsonl": lambda table, target: table.write_ndjson(target),
}


_GROUP_ROWS = 131_072  # of a Parquet file, at least


def newest(signals: pl.DataFrame) -> pl.DataFrame:
    """The last row of each entity by decision_time, sorted by entity."""
    return signals.sort("decision_time").group_by("entity").last().sort("entity").select(signals.columns)


def encode(table: pl.DataFrame, kind: str) -> bytes:
    """A table as the bytes of a file. Times of CSV and JSON lines are ISO 8601 in UTC; missing values empty, or null.

    Raises ConfigError for a format that is none of `FORMATS`.
    """
    if kind not in FORMATS:
        raise ConfigError(f"format {kind!r} is not known", allowed=", ".join(FORMATS))
    target = io.BytesIO()
    FORMATS[kind](table.fill_nan(None), target)
    return target.getvalue()


def write_table(table: pl.DataFrame, path: Path, kind: str = "") -> None:
    """Write a table under a temporary name in the same folder, then rename; `kind` empty: by the path's suffix."""
    content = encode(table, kind or path.suffix.removeprefix("."))
    _check_folder(path)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def check_target(path: Path) -> str:
    """The format of `FORMATS` that `appending` will write to a path, by its suffix, `.gz` aside.

    Raises ConfigError for another suffix, where there is no folder, and for a folder.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind not in FORMATS or (kind == "parquet" and path.suffix == ".gz"):
        known = ", ".join(f".{name}" for name in FORMATS)
        raise ConfigError(f"the name {path.name!r} tells no format", allowed=f"{known}, .csv.gz, .jsonl.gz")
    _check_folder(path)
    return kind


def check_parquet(option: str, path: Path) -> None:
    """Raises ConfigError unless an option names a .parquet file in a folder that is there."""
    if path.suffix != ".parquet":
        raise ConfigError(f"{option} is {path}", allowed="a name that ends with .parquet")
    _check_folder(path)


def check_other(option: str, path: Path, others: Iterable[Path | None]) -> None:
    """Raises ConfigError where the file that an option names is one of others, by this or another name."""
    for other in others:
        if other is not None and (
            path.absolute() == other.absolute() or (path.exists() and other.exists() and path.samefile(other))
        ):
            raise ConfigError(f"{option} {path} is the file {other} of the same command", hint="give another name")


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise ConfigError(f"folder {path.parent} does not exist", hint="make it first")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", allowed="a path of a file")


Append = Callable[[pl.DataFrame | list[dict[str, Any]]], None]


@contextmanager
def appending(path: Path) -> Iterator[Append]:
    """Yields a function that appends rows to a file, in the format of its suffix. The file is written under a temporary
    name and appears when the block ends, whole; after an error nothing is left.

    Rows are tables of one schema, or, for JSON lines, a list of objects. Times and missing values as in `encode`; a
    Parquet file keeps what it is given. Raises ConfigError for another suffix and where there is no folder.
    """
    kind = check_target(path)
    with replacing(path) as temporary:
        if kind == "parquet":
            with _parquet(temporary) as append:
                yield append
            return
        with ExitStack() as stack:
            if path.suffix == ".gz":
                target = cast(IO[bytes], stack.enter_context(gzip.open(temporary, "wb", compresslevel=6)))
            else:
                target = stack.enter_context(open(temporary, "wb"))
            yield _csv(target) if kind == "csv" else lambda rows: append_jsonl(rows, target)


def append_jsonl(rows: pl.DataFrame | list[dict[str, Any]], target: IO[bytes]) -> None:
    """Rows as JSON lines. A lone surrogate, which UTF-8 has no bytes for, is written as JSON's escape of it."""
    if isinstance(rows, pl.DataFrame):
        rows.fill_nan(None).write_ndjson(target)
        return
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    target.write("".join(lines).encode("utf-8", "backslashreplace"))


def _csv(target: IO[bytes]) -> Append:
    begun = False

    def append(rows: pl.DataFrame | list[dict[str, Any]]) -> None:
        nonlocal begun
        pl.DataFrame(rows).fill_nan(None).write_csv(target, include_header=not begun)
        begun = True

    return append


@contextmanager
def _parquet(path: Path) -> Iterator[Append]:
    import pyarrow.parquet as pq

    held: list[pl.DataFrame] = []
    with ExitStack() as stack:
        writer: Any = None

        def flush() -> None:
            nonlocal writer
            table = pl.concat(held).to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or stack.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd"))
            writer.write_table(table)
            held.clear()

        def append(rows: pl.DataFrame | list[dict[str, Any]]) -> None:
            held.append(pl.DataFrame(rows))
            if sum(part.height for part in held) >= _GROUP_ROWS:
                flush()

        yield append
        if held:
            flush()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, whose file takes its place when the block ends without an error."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):  # by a process that was killed
        if (number := left.suffix.removeprefix(".")).isdigit() and not _is_alive(int(number)):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
