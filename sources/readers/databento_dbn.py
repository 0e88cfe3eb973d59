"""Databento's records (DBN, plain or zst): orders, trades, best bid and offer, books of ten levels.

Records are known at ts_recv and about ts_event; a snapshot's records keep the ts_event of each order's last change,
which may be days back, so that they are about the snapshot: its ts_recv. `last` is F_LAST.

Trades are the T records of any schema; side N (an auction, say) is 0. Quotes are the records of mbp-1 that end a
message and have both sides. Books are the levels that changed since the record before. What becomes of orders is in
sources.readers.databento_orders.
Source: Databento, "Schemas and data formats" and "MBO snapshots".
"""

from collections.abc import Iterator

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import known_after
from sources.config import DatabentoDbn
from sources.files import InputFile
from sources.readers.batch import MISSING_ENTITY, RawBatch, canonical
from sources.readers.databento_file import OTHER_RECORD, TRADE_SCHEMAS, Header, frames, header
from sources.readers.databento_orders import OrderMessages
from sources.readers.snapshots import BookDifferences
from sources.source_options import BOOKS

UNDEFINED_PRICE = "undefined_price"
UNDEFINED_TIME = "unparsable_time"
INSIDE_MESSAGE = "inside_message"
ONE_SIDED = "one_sided_quote"
UNCHANGED = "unchanged_book"
NO_TRADE = "no_trade"
_SCHEMAS = {"order": ("mbo",), "trade": TRADE_SCHEMAS, "quote": ("mbp-1",), "book": ("mbp-10", "mbp-1")}
_TRADE = ord("T")
_BUY, _SELL = ord("B"), ord("A")
_FILE, _RECORD_ROWS = 2**40, 2**6


def read(source: DatabentoDbn, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Rows of one file. Raises DataError for a damaged file, a schema that has no such data, and one `entity` for a
    file of several instruments; ConfigError where databento-dbn is not installed."""
    found = header(file.path)
    if found.schema not in _SCHEMAS[source.data]:
        raise DataError(
            f"{file.path} is of schema {found.schema}, which holds no {source.data}s",
            allowed=f"for data: {source.data}, schema {' or '.join(_SCHEMAS[source.data])}",
        )
    if file.entity is not None and (names := found.symbols["name"].unique().sort().to_list())[1:]:
        raise DataError(
            f"{file.path} holds {len(names)} instruments, {', '.join(names[:3])} ..., and is given to {file.entity}",
            hint="leave `entity` out: the file names its instruments",
        )
    orders, books = OrderMessages(), BookDifferences()
    for records, others in frames(file.path, found):
        rows, ignored = _prepared(records, found, file), {OTHER_RECORD: others}
        if source.data == "order":
            rows, counts = orders.happened(rows)
        elif source.data == "trade":
            rows, counts = _trades(rows)
        elif source.data == "quote":
            rows, counts = _quotes(rows)
        else:
            rows, counts = _books(rows, books)
        clock = rows.select(time="event", whole_day=pl.lit(False))
        receipt = rows.select(time="known", whole_day=pl.lit(False))
        rows = rows.with_columns(
            event_time=known_after(clock, 0, "UTC"), known_time=known_after(receipt, source.delay, "UTC")
        )
        if source.table in BOOKS:
            rows = rows.with_columns(sequence=index * _FILE + pl.col("_line") * _RECORD_ROWS + pl.col("part"))
        for reason, count in counts.items():
            ignored[reason] = ignored.get(reason, 0) + count
        yield RawBatch(canonical(rows, source.table, index), ignored)


def _prepared(records: pl.DataFrame, found: Header, file: InputFile) -> pl.DataFrame:
    """Records with their entity, the time that they are about, and what is wrong with their clocks or names."""
    rows = records.with_columns(event=pl.when("snapshot").then("known").otherwise("event"))
    if file.entity is not None:
        rows = rows.with_columns(entity=pl.lit(file.entity))
    else:
        named = (
            rows.select("instrument", day=pl.col("known").dt.date())
            .unique(maintain_order=True)
            .join(found.symbols, on="instrument")
            .filter((pl.col("first") <= pl.col("day")) & (pl.col("day") < pl.col("last")))
            .unique(["instrument", "day"], keep="first", maintain_order=True)
        )
        rows = rows.with_columns(day=pl.col("known").dt.date()).join(
            named.select("instrument", "day", entity="name"),
            on=["instrument", "day"],
            how="left",
            maintain_order="left",
        )
    return rows.with_columns(
        _problem=pl.when(pl.any_horizontal(pl.col("event", "known").is_null()))
        .then(pl.lit(UNDEFINED_TIME))
        .when(pl.col("entity").is_null())
        .then(pl.lit(MISSING_ENTITY))
    )


def _trades(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    trades = rows.filter(pl.col("action") == _TRADE)
    trades = trades.with_columns(
        _problem=pl.coalesce("_problem", pl.when(pl.col("price").is_null()).then(pl.lit(UNDEFINED_PRICE))),
        side=pl.when(pl.col("side") == _BUY).then(1).when(pl.col("side") == _SELL).then(-1).otherwise(0),
    )
    return trades, {NO_TRADE: rows.height - trades.height}


def _quotes(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    whole = rows.filter("last")
    sided = whole.filter(pl.all_horizontal(pl.col("bid_price_0", "ask_price_0").is_not_null()))
    names = {f"{side}_{what}_0": f"{side}_{what}" for side in ("bid", "ask") for what in ("price", "size")}
    return sided.rename(names), {INSIDE_MESSAGE: rows.height - whole.height, ONE_SIDED: whole.height - sided.height}


def _books(rows: pl.DataFrame, books: BookDifferences) -> tuple[pl.DataFrame, dict[str, int]]:
    whole = rows.filter("last")
    good, bad = whole.filter(pl.col("_problem").is_null()), whole.filter(pl.col("_problem").is_not_null())
    depth = sum(name.startswith("bid_price_") for name in rows.columns)
    levels = pl.concat(
        [
            good.select(
                "entity",
                book="_line",
                side=pl.lit(side, dtype=pl.Int8),
                price=f"{name}_price_{level}",
                size=f"{name}_size_{level}",
            )
            # a book without levels is told by its first one
            .filter(pl.col("price").is_not_null() | (level == 0))
            for level in range(depth)
            for name, side in (("bid", 1), ("ask", -1))
        ]
    ).sort("book", maintain_order=True)
    changes = books.changes(levels)
    told = changes.join(good.select("_line", "event", "known", "_problem"), left_on="book", right_on="_line").rename(
        {"book": "_line"}
    )
    counts = {
        INSIDE_MESSAGE: rows.height - whole.height,
        UNCHANGED: good.height - told["_line"].n_unique(),
    }
    return pl.concat(
        [told, bad.select("_line", "entity", "event", "known", "_problem", part=0)], how="diagonal_relaxed"
    ).sort("_line", "part"), counts
