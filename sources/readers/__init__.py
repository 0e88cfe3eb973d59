"""One reader for each kind of source: bytes of a file -> RawBatch of canonical rows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sources.files import InputFile
from sources.readers import (
    bitstamp_orders,
    calendar_file,
    databento_dbn,
    databento_file,
    lean_zip,
    lobster,
    news_file,
    series_file,
    table_file,
    thinkorswim_csv,
)
from sources.readers.batch import RawBatch

__all__ = ["RAW_ROWS", "READERS", "RawBatch"]

# kind -> read(source, file, index of the file in the source, calendar); each reader takes its own kind's model
READERS: dict[str, Callable[[Any, InputFile, int, str], Iterator[RawBatch]]] = {
    "thinkorswim_csv": thinkorswim_csv.read,
    "lean_zip": lean_zip.read,
    "bitstamp_orders": bitstamp_orders.read,
    "lobster": lobster.read,
    "databento_dbn": databento_dbn.read,
    "table_file": table_file.read,
    "news_file": news_file.read,
    "calendar_file": calendar_file.read,
    "series_file": series_file.read,
}

# kind -> text of the given rows of a file that holds no lines
RAW_ROWS: dict[str, Callable[[Path, list[int]], dict[int, str]]] = {"databento_dbn": databento_file.raw_records}
