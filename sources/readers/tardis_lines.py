"""The lines of Tardis.dev's CSV files as typed columns, with what is wrong told row by row.

One typed pass reads a block. Only where a line deviates is the block split as text, so that each of its lines is judged
by itself. Both give the same rows.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import UNPARSABLE
from sources.readers.batch import UNPARSABLE_NUMBER
from sources.readers.records import split_csv

UNPARSABLE_FLAG = "unparsable_flag"
MISSING_VALUE = "missing_value"
_SHARED = ("exchange", "symbol", "timestamp", "local_timestamp")
_OWN = {
    "incremental_book_L2": ("is_snapshot", "side", "price", "amount"),
    "trades": ("id", "side", "price", "amount"),
    "quotes": ("ask_amount", "ask_price", "bid_price", "bid_amount"),
}
DATA = {"incremental_book_L2": "book", "book_snapshot": "book", "trades": "trade", "quotes": "quote"}
"""Data type of a file -> `data` of the source that reads it."""
_FLAGS = {"true": True, "false": False}
_TEXTS = {"exchange", "symbol", "side", "id"}
# microseconds of 2010 and 2100; no stamp of a crypto exchange lies outside, one in another unit does
_STAMPS = (1_262_304_000_000_000, 4_102_444_800_000_000)


@dataclass(frozen=True, slots=True)
class Layout:
    """The data type of a file, its columns, those that are read, and the levels a side of a book_snapshot."""

    kind: str
    names: list[str]
    read: tuple[str, ...]
    depth: int = 0

    @property
    def schema(self) -> dict[str, pl.DataType]:
        return {name: self._dtype(name) if name in self.read else pl.String() for name in self.names}

    def _dtype(self, name: str) -> pl.DataType:
        if name in _TEXTS:
            return pl.String()
        if name == "is_snapshot":
            return pl.Boolean()
        return pl.Int64() if name in _SHARED else pl.Float64()


def level_columns(level: int) -> tuple[str, ...]:
    """Columns of one level of a book_snapshot: ask and bid, price and amount."""
    return tuple(f"{side}[{level}].{what}" for side in ("asks", "bids") for what in ("price", "amount"))


def layout(head: str) -> Layout | None:
    """The layout that a file's first line tells; None for the header of another kind of file."""
    names = [name.strip() for name in head.strip("\ufeff\r\n").split(",")]
    if len(set(names)) != len(names) or not set(_SHARED) <= set(names):
        return None
    depth = 0
    while f"asks[{depth}].price" in names:
        depth += 1
    levels = tuple(name for level in range(depth) for name in level_columns(level))
    own = _OWN if not depth else {"book_snapshot": levels}
    kind = next((kind for kind, columns in own.items() if set(columns) <= set(names)), None)
    return None if kind is None else Layout(kind, names, (*_SHARED, *own[kind]), depth)


def first_line(head: bytes, path: Path) -> Layout:
    """Like `layout`. Raises DataError for another kind of file."""
    text = head.decode("utf-8", "replace")
    found = layout(text)
    if found is None:
        raise DataError(
            f"{path}: the first line is no header of a Tardis file: {text[:80].rstrip()!r}",
            allowed="the columns of incremental_book_L2, book_snapshot_N, trades or quotes",
            hint="keep the header of each file",
        )
    return found


def parse(block: bytes, found: Layout, path: Path, line: int) -> pl.DataFrame:
    """The rows of a block: the layout's `read` columns, _line and _problem.

    line  number of the block's first line; empty lines are no rows

    Missing values: null for an empty cell (a problem only of the clocks, where no book can be without them) and for one
    that could not be understood, which `_problem` tells: wrong_field_count, unparsable_time, unparsable_number,
    unparsable_flag.
    """
    frame = _typed(block, found, line)
    if frame is None:
        frame = _as_text(block, found, path, line)
    stamped = pl.all_horizontal(pl.col("timestamp", "local_timestamp").is_between(*_STAMPS))
    return frame.with_columns(
        _problem=pl.coalesce("_problem", pl.when(~stamped.fill_null(False)).then(pl.lit(UNPARSABLE)))
    )


def _typed(block: bytes, found: Layout, line: int) -> pl.DataFrame | None:
    """The rows where every line has its fields and every field its type, else None."""
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    # a line with too few fields would read as one that ends with empty cells; one with too many is refused below
    if block.count(b",") != lines * (len(found.names) - 1):
        return None
    try:
        frame = pl.read_csv(block, has_header=False, schema=found.schema, quote_char=None)
    except pl.exceptions.PolarsError:
        return None
    return frame.select(
        *found.read,
        _line=pl.int_range(line, line + lines, dtype=pl.Int64),
        _problem=pl.lit(None, dtype=pl.String),
    )


def _as_text(block: bytes, found: Layout, path: Path, line: int) -> pl.DataFrame:
    texts = split_csv(block.decode("utf-8", "replace"), found.names, path, line, ",", quoted=False)
    problem = pl.col("_problem")
    columns = []
    for name in found.read:
        text = pl.col(name).str.strip_chars()
        dtype, reason = found.schema[name], UNPARSABLE_NUMBER
        if dtype == pl.String:
            # as the typed pass reads them
            columns.append(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name))
            continue
        if dtype == pl.Boolean:
            value = text.str.to_lowercase().replace_strict(_FLAGS, default=None, return_dtype=dtype)
            reason = UNPARSABLE_FLAG
        else:
            value = text.cast(dtype, strict=False)
            reason = UNPARSABLE if dtype == pl.Int64 else reason
        columns.append(value.alias(name))
        problem = pl.coalesce(problem, pl.when(value.is_null() & (text != "")).then(pl.lit(reason)))
    return texts.select(*columns, "_line", _problem=problem)
