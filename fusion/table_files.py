"""Tables as files that other programs read: the newest signals, texts to score, Parquet, CSV or JSON lines."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

from gpu_kernels.errors import ConfigError, DataError

FORMATS: dict[str, Callable[[pl.DataFrame, io.BytesIO], object]] = {
    "parquet": lambda table, target: table.write_parquet(target, compression="zstd"),
    "csv": lambda table, target: table.write_csv(target),
    "jsonl": lambda table, target: table.write_ndjson(target),
}


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
    if not path.parent.is_dir():
        raise ConfigError(f"folder {path.parent} does not exist", hint="make it first")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_texts(path: Path, column: str) -> pl.Series:
    """The texts of a file, in its order, named `text`: the lines of a text file or of stdin (`-`), else a column of a
    CSV, JSONL or Parquet file.

    Missing values: nulls stay nulls, blank lines are empty texts. Raises DataError for a file that cannot be read or
    lacks the column.
    """
    kind = "".join(path.suffixes[-2:]).removesuffix(".gz")
    try:
        if str(path) == "-":
            return pl.Series("text", sys.stdin.read().splitlines(), dtype=pl.String)
        if kind.endswith(".parquet"):
            table = pl.read_parquet(path)
        elif kind.endswith((".jsonl", ".ndjson")):
            table = pl.read_ndjson(path, infer_schema_length=None)
        elif kind.endswith(".csv"):
            table = pl.read_csv(path, infer_schema=False)
        else:
            return pl.Series("text", path.read_text(encoding="utf-8").splitlines(), dtype=pl.String)
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read: {error}", allowed="text, CSV, JSONL or Parquet in UTF-8") from None
    if column not in table.columns:
        raise DataError(
            f"{path} has no column {column!r}", allowed=", ".join(table.columns), hint="name it with --column"
        )
    if table.schema[column] != pl.String:
        raise DataError(f"column {column!r} of {path} holds {table.schema[column]}", allowed="text")
    return table[column].alias("text")
