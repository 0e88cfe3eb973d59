"""Rows of the site table from whatever a person has of them: a lake folder, a config, a Parquet table, or raw lists."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from gpu_kernels.errors import ConfigError, DataError
from sources.config import parse_source
from sources.describe import columns_of
from sources.guess_sites import guess_sites
from sources.lake import ingest, read
from sources.schema import TABLES
from sources.site_options import SiteFile

_TABLE = TABLES["site"]
_CALENDAR = "XNYS"  # no row of a site depends on sessions


@dataclass(frozen=True)
class Sites:
    """Rows of the site table; `counts` of the rows read and set aside, and `warnings`, of each source that was read."""

    rows: pl.DataFrame
    counts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def load(path: Path, *, entity: str | None = None, columns: Mapping[str, str] | None = None) -> Sites:
    """The sites of a path:

    a lake folder          its rows
    a config (.yaml)       those of all its sources of kind site_file
    a Parquet of the table its rows, as `trifuse sites changes --out` writes them
    another file           a list as `trifuse describe` understands it, with `columns` (ours -> the file's) and `entity`
                           going before what is guessed; see `lists`

    Raises DataError for a path that holds none of these, ConfigError for a config that is wrong.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.is_dir():
        return Sites(_of_lake(path))
    if path.suffix.lower() in {".yaml", ".yml"}:
        return _of_config(path)
    if path.suffix.lower() == ".parquet" and _TABLE.schema.keys() <= pl.read_parquet_schema(path).keys():
        return Sites(pl.read_parquet(path).select(_TABLE.schema.keys()).cast(_TABLE.schema))  # type: ignore[arg-type]
    return lists([path], entity=entity, columns=columns)


def lists(
    paths: Sequence[Path],
    *,
    entity: str | None = None,
    columns: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Sites:
    """The sites of raw lists of one layout, several of them as snapshots of one list.

    entity   the ticker of all; None: the column of tickers, else of brands, else `(unnamed)`
    columns  ours -> the file's, beyond what is guessed of the first file
    options  of the source (`kind: site_file`), beyond what is guessed

    Raises DataError where the first file looks like no list of sites, ConfigError where an option is wrong.
    """
    rows, facts, layout = columns_of(paths[0])
    if rows.is_empty():
        raise DataError(f"{paths[0]} holds no rows", hint="fetch the file again")
    guessed = guess_sites(paths[0], rows, facts)
    if guessed is None and not columns:
        raise DataError(
            f"{paths[0]} looks like no list of sites: no columns are called latitude, longitude and site (or alike)",
            hint="say which columns they are: --columns site=STORE,latitude=Y,longitude=X",
        )
    entry = {"kind": "site_file", "timezone": "UTC", "columns": {}} | layout | (guessed[0] if guessed else {})
    entry["files"] = [str(path) for path in paths]
    entry["columns"] = entry["columns"] | dict(columns or {})
    entry |= {"quarantine_limit": 1.0}
    tickers = entry.pop("tickers", None)
    if entity is not None:
        entry["columns"].pop("entity", None)
        entry["entity"] = entity
    elif "entity" in entry["columns"] or "entity" in rows.columns:
        entry.pop("entity", None)
    elif tickers is not None:
        entry["columns"]["entity"] = entry["columns"].get("brand", "brand")
    else:
        entry["entity"] = "(unnamed)"
    if len(paths) > 1 and "snapshot" not in entry["columns"]:
        entry.pop("lag", None)
        entry["snapshot"] = "file_name"
    entry |= dict(options or {})
    return _ingested({"list": entry})


def _of_lake(folder: Path) -> pl.DataFrame:
    try:
        table = json.loads((folder / "ingest.json").read_text())["table"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} holds no finished ingest", allowed="a folder lake/site/NAME-KEY") from error
    if table != "site":
        raise DataError(f"{folder} holds rows of table {table}", allowed="table site")
    return read(folder)


def _of_config(path: Path) -> Sites:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    found = content.get("sources", content) if isinstance(content, dict) else None
    wanted = {
        name: entry
        for name, entry in (found.items() if isinstance(found, dict) else ())
        if isinstance(entry, dict) and entry.get("kind") == "site_file"
    }
    if not wanted:
        raise ConfigError(f"{path} has no source of kind site_file", hint="`trifuse describe LIST` writes one")
    return _ingested(wanted)


def _ingested(entries: Mapping[str, Mapping[str, Any]]) -> Sites:
    frames, counts, warnings = [], {}, []
    with tempfile.TemporaryDirectory() as lake:
        for name, entry in entries.items():
            source = parse_source(name, dict(entry))
            assert isinstance(source, SiteFile)
            found = ingest(name, source, calendar=_CALENDAR, lake=Path(lake))
            frames.append(read(found.folder))
            counts[name] = found.counts
            warnings += found.warnings
    return Sites(pl.concat(frames), counts, warnings)
