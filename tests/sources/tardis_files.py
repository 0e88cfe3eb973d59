"""Writers of Tardis.dev's CSV files, from the columns that its documentation lists."""

import gzip
from collections.abc import Iterable
from pathlib import Path

HEADERS = {
    "incremental_book_L2": "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount",
    "trades": "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
    "quotes": "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount",
}
START = 1_700_006_400_000_000
"""Microseconds of 2023-11-15 00:00 UTC."""


def snapshot_header(levels: int) -> str:
    own = (f"asks[{n}].price,asks[{n}].amount,bids[{n}].price,bids[{n}].amount" for n in range(levels))
    return ",".join(["exchange,symbol,timestamp,local_timestamp", *own])


def line(at: int, *values: object, symbol: str = "BTCUSDT", sent: int | None = None) -> str:
    """One row: `at` and `sent` are microseconds after START, `sent` 1,000 before `at` unless told."""
    stamps = (START + (at - 1_000 if sent is None else sent), START + at)
    return ",".join(map(str, ("binance", symbol, *stamps, *values)))


def write(path: Path, header: str, lines: Iterable[str], *, end: str = "\n") -> Path:
    """A file, compressed if its name ends in .gz; `header` is a data type or the line itself."""
    data = (end.join([HEADERS.get(header, header), *lines]) + end).encode()
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path
