"""One reader for each kind of source: bytes of a file -> RawBatch of canonical rows."""

from collections.abc import Callable, Iterator
from pathlib import Path

from sources.readers import (
    alfred,
    binance_raw,
    bitstamp_orders,
    calendar_file,
    daily_file,
    databento_dbn,
    databento_file,
    fred_md,
    lean_zip,
    lobster,
    news_file,
    series_file,
    site_file,
    table_file,
    tardis_csv,
    thinkorswim_csv,
)
from sources.readers.batch import RawBatch

__all__ = ["CARRYING", "RAW_ROWS", "READERS", "TOGETHER", "RawBatch"]

# kind -> read(source, file, index of the file in the source, calendar); each reader takes its own kind's model
READERS: dict[str, Callable[..., Iterator[RawBatch]]] = {
    "thinkorswim_csv": thinkorswim_csv.read,
    "lean_zip": lean_zip.read,
    "binance_raw": binance_raw.read,
    "bitstamp_orders": bitstamp_orders.read,
    "tardis_csv": tardis_csv.read,
    "lobster": lobster.read,
    "databento_dbn": databento_dbn.read,
    "table_file": table_file.read,
    "daily_file": daily_file.read,
    "news_file": news_file.read,
    "calendar_file": calendar_file.read,
    "series_file": series_file.read,
    "fred_md": fred_md.read,
    "alfred": alfred.read,
    "site_file": site_file.read,
}

# kinds whose readers take `carried`, a dict that lives through the files of one entity
CARRYING = {"binance_raw", "tardis_csv", "fred_md"}

# kind -> read_together(sources, file, index, calendar, a `carried` for each source): the batches of several sources of
# one kind and the same files, of one pass over them
TOGETHER: dict[str, Callable[..., Iterator[list[RawBatch]]]] = {"binance_raw": binance_raw.read_together}

# kind -> text of the given rows of a file that holds no lines; None where this one does
RAW_ROWS: dict[str, Callable[[Path, list[int]], dict[int, str] | None]] = {
    "databento_dbn": databento_file.raw_records,
    "site_file": site_file.raw_rows,
}
