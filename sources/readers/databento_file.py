"""Databento's binary files as frames of records: header, symbols, and blocks of records of one layout.

`databento-dbn` knows the layouts and the header; NumPy reads the records, a block at a time.
"""

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gpu_kernels.errors import ConfigError, DataError
from sources.clocks import read_clock
from sources.files import open_member, reading

MAGIC = b"DBN"
TRADE_SCHEMAS = ("mbo", "trades", "tbbo", "mbp-1", "mbp-10")
OTHER_RECORD = "other_record"
F_LAST, F_SNAPSHOT = 128, 32
_RECORDS = 2**17
_LENGTH_UNIT, _SHORTEST = 4, 16
_UNDEFINED_PRICE, _UNDEFINED_TIME = 2**63 - 1, 2**64 - 1
_PRICE_UNITS = 1e9
# record type and class of databento_dbn by schema
_LAYOUTS = {
    "mbo": (160, "MBOMsg"),
    "trades": (0, "TradeMsg"),
    "tbbo": (1, "MBP1Msg"),
    "mbp-1": (1, "MBP1Msg"),
    "mbp-10": (10, "MBP10Msg"),
}


@dataclass(frozen=True, slots=True)
class Header:
    """What the file says of itself. `symbols`: instrument, first and (excluded) last day, and name."""

    dataset: str
    schema: str
    version: int
    start: int
    symbols: pl.DataFrame
    size: int
    stamped: bool


def _library(path: Path) -> Any:
    try:
        return importlib.import_module("databento_dbn")
    except ImportError as error:
        raise ConfigError(
            f"{path} needs databento-dbn, which is not installed", hint=".venv/bin/pip install -e '.[databento]'"
        ) from error


def header(path: Path) -> Header:
    """The header of a file. Raises DataError where it is damaged, ConfigError without databento-dbn."""
    library = _library(path)
    with reading(path), open_member(path) as stream:
        start = stream.read(8)
        if not start:
            raise DataError(f"{path} is empty (0 bytes)", hint="fetch the file again")
        size = 8 + int.from_bytes(start[4:8], "little")
        if not start.startswith(MAGIC) or size > 2**28:
            raise DataError(f"{path} is no DBN file: it begins with {start!r}", allowed="a DBN file, plain or zst")
        text = start + stream.read(size - 8)
    try:
        found = library.Metadata.decode(text)
    except (library.DBNError, ValueError, OSError, TypeError) as error:
        raise DataError(
            f"{path}: its header is damaged: {str(error).splitlines()[0]}", hint="fetch the file again"
        ) from error
    schema = "mixed" if found.schema is None else str(found.schema)
    return Header(found.dataset, schema, found.version, found.start, _symbols(found), size, bool(found.ts_out))


def _symbols(found: Any) -> pl.DataFrame:
    """Names of instruments, whichever way round the file maps them."""
    forward = str(found.stype_out) == "instrument_id"
    rows = [
        (span["symbol"], span["start_date"], span["end_date"], name)
        if forward
        else (name, span["start_date"], span["end_date"], span["symbol"])
        for name, spans in found.mappings.items()
        for span in spans
    ]
    schema = {"instrument": pl.String, "first": pl.Date, "last": pl.Date, "name": pl.String}
    named = pl.DataFrame(rows, schema=schema, orient="row")
    return named.with_columns(pl.col("instrument").cast(pl.UInt32, strict=False)).drop_nulls("instrument")


def frames(path: Path, found: Header) -> Iterator[tuple[pl.DataFrame, int]]:
    """Blocks of records of the header's schema as frames, and how many records of other kinds were among them.

    A frame has `_line` (the record's place in the file), instrument, event and known (clocks), last and snapshot
    (flags), action and side (letters), price (null: undefined) and size, and `order` of mbo, or prices and sizes of
    levels as `bid_price_0`, ... of the mbp schemas.

    Raises DataError for a file that ends inside a record or holds no records of a known layout.
    """
    kind, name = _LAYOUTS[found.schema]
    fields = list(getattr(_library(path), name)._dtypes)
    layout = np.dtype([*fields, ("ts_out", "u8")] if found.stamped else fields)
    with reading(path), open_member(path) as stream:
        stream.read(found.size)
        rest, line = b"", 1
        while piece := stream.read(_RECORDS * layout.itemsize):
            rest += piece
            records, lines, others, used = _split(rest, layout, kind, path, line)
            yield _frame(records, lines), others
            line += records.size + others
            rest = rest[used:]
        if rest:
            raise DataError(f"{path} is truncated: it ends inside record {line}", hint="fetch the file again")


def _split(data: bytes, layout: np.dtype[Any], kind: int, path: Path, line: int) -> tuple[Any, Any, int, int]:
    """Records of the layout, their places in the file, the number of other records, and the bytes used of `data`."""
    parts, lines, others, at, size = [np.empty(0, layout)], [np.empty(0, np.int64)], 0, 0, layout.itemsize
    while len(data) - at >= _SHORTEST:
        length = data[at] * _LENGTH_UNIT
        if length < _SHORTEST:
            raise DataError(f"{path} is damaged: record {line} has {length} bytes", hint="fetch the file again")
        if len(data) - at < length:
            break
        if (length, data[at + 1]) != (size, kind):
            others, at, line = others + 1, at + length, line + 1
            continue
        run = np.frombuffer(data, layout, (len(data) - at) // size, at)
        strange = np.flatnonzero((run["length"] != size // _LENGTH_UNIT) | (run["rtype"] != kind))
        run = run[: strange[0]] if strange.size else run
        parts.append(run)
        lines.append(np.arange(line, line + run.size))
        at, line = at + run.size * size, line + run.size
    return np.concatenate(parts), np.concatenate(lines), others, at


def _frame(records: Any, lines: Any) -> pl.DataFrame:
    def column(name: str) -> Any:
        return np.ascontiguousarray(records[name])

    def letters(name: str) -> pl.Series:
        return pl.Series(column(name).view(np.uint8))

    flags = column("flags")
    columns: dict[str, Any] = {
        "_line": lines,
        "instrument": column("instrument_id"),
        "event": _clock(column("ts_event")),
        "known": _clock(column("ts_recv")),
        "last": (flags & F_LAST) != 0,
        "snapshot": (flags & F_SNAPSHOT) != 0,
        "action": letters("action"),
        "side": letters("side"),
        "price": _price(column("price")),
        "size": column("size").astype(np.int64),
    }
    if "order_id" in records.dtype.names:
        # only a name: one that takes all 64 bits is read as a negative number
        columns["order"] = column("order_id").view(np.int64)
    for name in records.dtype.names:
        side, _, level = name.partition("_px_")
        if level:
            columns[f"{side}_price_{int(level)}"] = _price(column(name))
            columns[f"{side}_size_{int(level)}"] = column(f"{side}_sz_{level}").astype(np.float64)
    return pl.DataFrame(columns)


def _clock(nanoseconds: Any) -> pl.Series:
    told = nanoseconds < 2**63
    ticks = pl.Series(np.where(told, nanoseconds, 0).astype(np.int64)).set(pl.Series(~told), None)
    return read_clock(ticks, timezone="UTC", time_format="epoch_ns")["time"]


def _price(fixed: Any) -> pl.Series:
    defined = fixed != _UNDEFINED_PRICE
    return pl.Series(fixed / _PRICE_UNITS).set(pl.Series(~defined), None)


def raw_records(path: Path, wanted: list[int]) -> dict[int, str]:
    """The given records (by their place in the file) as JSON."""
    left, found = set(wanted), dict[int, str]()
    for records, _ in frames(path, header(path)):
        for row in records.filter(pl.col("_line").is_in(left)).iter_rows(named=True):
            letters = {name: chr(row[name]) for name in ("action", "side")}
            found[row.pop("_line")] = json.dumps(row | letters, default=str)
    return found
