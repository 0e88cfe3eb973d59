"""What a file calls its entities -> what the run calls them: state 1 of a file is US-AL here."""

import csv
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict

from gpu_kernels.errors import DataError
from sources.files import expand, reading
from sources.source_options import text_of

UNKNOWN_ENTITY = "unknown_entity"


class NamesFile(BaseModel):
    """A CSV file that tells the names: the entity `key` of a source's file is `prefix` and what is in `name`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    key: str
    name: str
    prefix: str = ""


def _file_or_names(value: object) -> object:
    """A mapping with a `file` is of a file; else its keys are written as files write them."""
    if isinstance(value, dict) and "file" in value:
        return NamesFile.model_validate(value)
    return {text_of(key): name for key, name in value.items()} if isinstance(value, dict) else value


EntityNames = Annotated[NamesFile | dict[str, str], BeforeValidator(_file_or_names)]


def renamed(entity: pl.Series, names: NamesFile | dict[str, str] | None) -> tuple[pl.Series, pl.Series]:
    """The entities by their new names, and the problem of those that have none.

    Missing values: null or empty stays so, without a problem. Raises DataError for a file of names that cannot be used.
    """
    none = pl.repeat(None, len(entity), dtype=pl.String, eager=True)
    if names is None:
        return entity, none
    told = _read(Path(expand(names.file, {})), names) if isinstance(names, NamesFile) else names
    found = entity.replace_strict(told, default=None, return_dtype=pl.String).alias(entity.name)
    blank = entity.fill_null("") == ""
    lost = found.is_null() & ~blank
    return found.set(blank, "").set(lost, None), none.set(lost, UNKNOWN_ENTITY)


def _read(path: Path, names: NamesFile) -> dict[str, str]:
    with reading(path), open(path, encoding="utf-8-sig", newline="") as stream:
        try:
            table = csv.DictReader(stream)
            columns, rows = table.fieldnames or [], list(table)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} is no table of names: {error}", allowed="CSV in UTF-8") from None
    for column in (names.key, names.name):
        if column not in columns:
            raise DataError(f"{path} has no column {column!r}; its columns are: {', '.join(columns) or 'none'}")
    found: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        key, name = ((row[column] or "").strip() for column in (names.key, names.name))
        if not key or not name:
            continue
        if found.setdefault(key, names.prefix + name) != names.prefix + name:
            raise DataError(f"{path}, line {line}: {key} has two names, {found[key]} and {names.prefix}{name}")
    if not found:
        raise DataError(f"{path} names no entity")
    return found
