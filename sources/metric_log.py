"""Rows of metrics straight from a file, or from an ingest: for a look at what was known when, without a lake."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from gpu_kernels.errors import DataError
from sources.config import Source, parse_source
from sources.files import input_files
from sources.lake import read
from sources.quality import Window, check
from sources.readers import READERS
from sources.schema import TABLES


@dataclass(frozen=True)
class MetricLog:
    """Rows of the metric table in the order of `sources.lake.read`; of a file, how many were set aside by reason."""

    rows: pl.DataFrame
    set_aside: dict[str, int] = field(default_factory=dict)


def read_ingest(folder: Path) -> MetricLog:
    """The log of an ingest in the lake. Raises DataError where it is none, or is of another table."""
    rows = read(folder)
    if dict(rows.schema) != TABLES["metric"].schema:
        raise DataError(f"{folder} holds no metrics", allowed="an ingest of table metric")
    return MetricLog(rows)


def read_file(path: Path, calendar: str = "XNYS", **options: Any) -> MetricLog:
    """The log in a CSV, JSON Lines or Parquet file, read as `kind: table_file, table: metric` with the options given.

    Raises ConfigError for an option that cannot be, and as the reader does.
    """
    entry = {"kind": "table_file", "table": "metric", "files": str(path), "timezone": "UTC", "max_age": "0s"}
    return read_source(parse_source(path.name, entry | options), calendar)


def read_source(source: Source, calendar: str) -> MetricLog:
    """The log in all files of a source of metrics."""
    batches = [
        batch.rows
        for index, file in enumerate(input_files(source, {}))
        for batch in READERS[source.kind](source, file, index, calendar)
    ]
    if not batches:
        return MetricLog(pl.DataFrame(schema=TABLES["metric"].schema))
    found = check(pl.concat(batches), source, Window(calendar))
    rows = found.good.select(*TABLES["metric"].schema).sort("entity", "known_time", "event_time", maintain_order=True)
    return MetricLog(rows, dict(Counter(found.bad["reason"].to_list())))
