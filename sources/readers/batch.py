"""What every reader returns, and the small steps that readers share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from gpu_kernels.errors import DataError
from sources.files import InputFile
from sources.schema import TABLES, ColumnSpec

UNPARSABLE_NUMBER = "unparsable_number"
MISSING_ENTITY = "missing_entity"
OTHER_KIND = "other_kind"
NO_VALUE = "no_value"


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Rows of one file as they were understood.

    rows      the canonical table's columns without `session`, and
              file (UInt32, index in the source's files), member (text, the file inside a zip, else null),
              line (Int64, 1-based), problem (text: why the row cannot be used, else null).
              A row with a problem has nulls where a cell could not be understood.
    ignored   rows that the config does not ask for, by reason; they are counted and not kept
    notes     rows that are kept and of which something should be told, by what
    """

    rows: pl.DataFrame
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)


def canonical(frame: pl.DataFrame, table: str, file: int, member: str | None = None) -> pl.DataFrame:
    """`frame` with exactly the columns of RawBatch.rows, in the registry's order and types. Columns that a file need
    not have may be absent."""
    columns = [column for column in TABLES[table].columns if column.name != "session"]
    return frame.select(
        *(_of_frame(frame, column) for column in columns),
        pl.lit(file, dtype=pl.UInt32).alias("file"),
        pl.lit(member, dtype=pl.String).alias("member"),
        pl.col("_line").cast(pl.Int64).alias("line"),
        pl.col("_problem").cast(pl.String).alias("problem"),
    )


def _of_frame(frame: pl.DataFrame, column: ColumnSpec) -> pl.Expr:
    if column.needed or column.name in frame.columns:
        return pl.col(column.name).cast(column.dtype)
    return pl.lit(column.default, dtype=column.dtype).alias(column.name)


def number(column: pl.Series) -> pl.DataFrame:
    """A column of numbers as value (Float64) and problem. An empty cell is null without a problem."""
    if column.dtype != pl.String:
        if column.dtype.is_nested():
            raise DataError(f"column {column.name!r} holds {column.dtype}", allowed="numbers, or text of them")
        try:
            return pl.DataFrame({"value": column.cast(pl.Float64)}).with_columns(problem=pl.lit(None, dtype=pl.String))
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"column {column.name!r} holds {column.dtype}", allowed="numbers, or text of them"
            ) from error
    text = column.str.strip_chars()
    value = text.cast(pl.Float64, strict=False)
    return pl.DataFrame({"value": value, "text": text}).select(
        "value",
        problem=pl.when(pl.col("value").is_null() & (pl.col("text").fill_null("") != "")).then(
            pl.lit(UNPARSABLE_NUMBER)
        ),
    )


def required(column: pl.Series) -> pl.DataFrame:
    """Like `number`, with an empty cell as a problem too."""
    return number(column).with_columns(
        problem=pl.when(pl.col("value").is_null()).then(pl.lit(UNPARSABLE_NUMBER)).otherwise("problem")
    )


def first_problem(*problems: pl.Series) -> pl.Series:
    """Row by row the first problem that is not null."""
    return pl.select(pl.coalesce(*problems)).to_series().alias("problem")


def wanted_rows(frame: pl.DataFrame, only: Mapping[str, list[str]], path: Path) -> pl.Expr:
    """The rows whose columns have one of the values wanted, and those that could not be split into columns."""
    for column in only:
        if column not in frame.columns:
            names = ", ".join(name for name in frame.columns if name not in {"_line", "_problem"})
            raise DataError(f"{path} has no column {column!r} of `only`; its columns are: {names}")
    alike = [pl.col(column).cast(pl.String).is_in(values) for column, values in only.items()]
    return pl.col("_problem").is_not_null() | pl.all_horizontal(pl.lit(True), *alike)


def entity_column(frame: pl.DataFrame, input_file: InputFile, mapped: str | None) -> pl.Series:
    """The entity of each row: the file's where the config tells it, else the mapped column, stripped."""
    if input_file.entity is not None:
        return pl.Series("entity", [input_file.entity], dtype=pl.String).new_from_index(0, frame.height)
    if mapped is None:
        raise DataError(
            f"{input_file.path} does not tell the entity of its rows",
            hint="map it (columns: {entity: ...}), give `entity:`, or files as a mapping entity -> glob",
        )
    return frame[mapped].cast(pl.String).str.strip_chars().alias("entity")


def missing_entity(entity: pl.Series) -> pl.Series:
    """The problem of rows without an entity."""
    return pl.select(pl.when(entity.fill_null("") == "").then(pl.lit(MISSING_ENTITY))).to_series()
