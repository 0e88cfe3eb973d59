"""Tardis.dev's downloadable CSV files: incremental_book_L2, book_snapshot_N, trades, quotes and book_ticker.

known_time is `local_timestamp`, when the message reached Tardis, plus the source's delay. event_time is `timestamp`,
the exchange's own; where that is later than known_time the exchange's clock is ahead, and known_time is taken. Amounts
are as the exchange counts them: coins, contracts or dollars. Books are made in `tardis_book`, and go on from one file
of an entity to the next. A trade's side is its taker's, 0 where the exchange tells none; a trade that equals one
shortly before in its file, its identifier included, was sent twice. An entity is one symbol of one exchange.

Nothing in a file of liquidations tells it from one of trades: do not give it to `data: trade`.
Source: docs.tardis.dev, "CSV data types" and "Order books" of the FAQ (2026).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from gpu_kernels.errors import DataError
from sources.config import TardisCsv
from sources.files import InputFile, blocks
from sources.readers.batch import MISSING_ENTITY, RawBatch, canonical
from sources.readers.snapshots import BookDifferences
from sources.readers.tardis_book import UNPARSABLE_SIDE, Feed, judged_book, judged_update, updates, whole_books
from sources.readers.tardis_lines import DATA, Layout, first_line, parse
from sources.schema import TABLES

OTHER_SYMBOL = "other_symbol"
ONE_SIDED = "one_sided_quote"
DUPLICATE = "exact_duplicate"
_SIDES = {"buy": 1, "sell": -1, "unknown": 0}
_FACT = ["entity", "id", "timestamp", "side", "price", "amount"]
# trades among which one sent twice is looked for
_RECENT = 65_536
_US = 1_000


@dataclass
class Feeds:
    """What the feeds of a source carry from file to file: of each entity its market and its book."""

    markets: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    books: dict[str, Feed] = field(default_factory=dict)
    differences: BookDifferences = field(default_factory=BookDifferences)


def read(
    source: TardisCsv, file: InputFile, index: int, calendar: str, carried: dict[str, Any] | None = None
) -> Iterator[RawBatch]:
    """Rows of one file, in batches of a block of lines. `carried` holds the feeds of the files read before.

    Raises DataError for a file that is empty, damaged, no Tardis file or one of other data than the source asks for,
    and where one entity gets several markets.
    """
    feeds: Feeds = (carried if carried is not None else {}).setdefault("feeds", Feeds())
    opened, line = None, 1
    for whole in blocks(file.path):
        block = whole
        if opened is None:
            head, _, block = whole.partition(b"\n")
            opened, line = _File(source, file, index, feeds, first_line(head, file.path)), 2
        if block:
            yield opened.batch(block, line)
            line += block.count(b"\n")
    if opened is None:
        raise DataError(f"{file.path} is empty (0 bytes)", hint="fetch the file again, or take it out of `files`")
    yield opened.batch(b"", line, end=True)


class _File:
    """One file on its way from lines to rows."""

    def __init__(self, source: TardisCsv, file: InputFile, index: int, feeds: Feeds, found: Layout) -> None:
        if DATA[found.kind] != source.data:
            raise DataError(
                f"{file.path} holds {found.kind}, and the source says data: {source.data}",
                hint=f"data: {DATA[found.kind]}, or other `files`",
            )
        self._source, self._file, self._index, self._feeds, self._found = source, file, index, feeds, found
        self._entity: str | None = None
        self._recent: pl.DataFrame | None = None
        self._damaged = False
        for feed in feeds.books.values():
            feed.begin_file(damaged=False)

    def batch(self, block: bytes, line: int, *, end: bool = False) -> RawBatch:
        """Rows of some lines, the first of which is `line`; with `end` also what waited for more of its message."""
        rows, ignored = self._named(parse(block, self._found, self._file.path, line))
        self._one_market(rows)
        known = pl.col("local_timestamp") * _US + self._source.delay
        rows = rows.with_columns(known=known, event=pl.min_horizontal(known, pl.col("timestamp") * _US))
        if self._source.data == "trade":
            rows = self._trades(rows)
        elif self._source.data == "quote":
            rows, counts = self._quotes(rows)
            ignored |= counts
        else:
            rows, counts = self._book(rows, end)
            ignored |= counts
        empty = [
            pl.lit(None, dtype=column.dtype).alias(column.name)
            for column in TABLES[self._source.table].columns
            if column.name not in {*rows.columns, "session", "event_time", "known_time"}
        ]
        rows = rows.with_columns(
            *empty,
            *(
                pl.col(name).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC").alias(f"{name}_time")
                for name in ("event", "known")
            ),
        )
        return RawBatch(canonical(rows, self._source.table, self._index), ignored)

    def _named(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
        """Rows with their entity, without those of other symbols. A row that names none is the entity's before it."""
        ignored = {}
        if self._source.symbol is not None:
            kept = rows.filter(pl.col("symbol").is_null() | (pl.col("symbol") == self._source.symbol))
            ignored, rows = {OTHER_SYMBOL: rows.height - kept.height}, kept
        nameless = pl.col("symbol").is_null()
        problem = pl.coalesce("_problem", pl.when(nameless | pl.col("exchange").is_null()).then(pl.lit(MISSING_ENTITY)))
        if self._file.entity is not None:
            return rows.with_columns(entity=pl.lit(self._file.entity), _problem=problem), ignored
        before = pl.lit(self._entity, dtype=pl.String)
        rows = rows.with_columns(
            entity=pl.col("symbol").fill_null(strategy="forward").fill_null(before), _problem=problem
        )
        if rows.height:
            self._entity = rows["entity"][-1]
        return rows, ignored

    def _one_market(self, rows: pl.DataFrame) -> None:
        """Two markets' messages as one book would be nonsense that no later check sees."""
        good = rows.filter(pl.col("_problem").is_null())
        for entity, exchange, symbol in good.select("entity", "exchange", "symbol").unique(maintain_order=True).rows():
            market = (exchange, symbol, self._found.kind)
            before = self._feeds.markets.setdefault(entity, market)
            if before != market:
                raise DataError(
                    f"{self._file.path} holds {' '.join(market)} for {entity}, which had {' '.join(before)}",
                    allowed="one symbol of one exchange, and one data type, for one entity",
                    hint="map each market to its own entity in `files`, or pick one with `symbol`",
                )

    def _trades(self, rows: pl.DataFrame) -> pl.DataFrame:
        side = pl.col("side").replace_strict(_SIDES, default=None, return_dtype=pl.Int8)
        unknown_side = pl.when(pl.col("side").is_not_null() & side.is_null()).then(pl.lit(UNPARSABLE_SIDE))
        rows = rows.with_columns(_problem=pl.coalesce("_problem", unknown_side))
        facts = rows.filter(pl.col("_problem").is_null() & pl.col("id").is_not_null()).select("_line", *_FACT)
        every = facts if self._recent is None else pl.concat([self._recent, facts])
        again = every.filter(~pl.struct(_FACT).is_first_distinct())["_line"]
        self._recent = every.tail(_RECENT)
        twice = pl.col("_line").is_in(again.implode())
        return rows.with_columns(
            side=side, size="amount", _problem=pl.when(twice).then(pl.lit(DUPLICATE)).otherwise("_problem")
        )

    def _quotes(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
        bad = pl.col("_problem").is_not_null()
        sided = rows.filter(bad | pl.all_horizontal(pl.col("bid_price", "ask_price").is_not_null()))
        names = {"bid_amount": "bid_size", "ask_amount": "ask_size"}
        return sided.rename(names), {ONE_SIDED: rows.height - sided.height}

    def _book(self, rows: pl.DataFrame, end: bool) -> tuple[pl.DataFrame, dict[str, int]]:
        depth, feeds = self._found.depth, self._feeds
        rows = judged_book(rows, depth) if depth else judged_update(rows)
        parts = {key[0]: part for key, part in rows.partition_by("entity", as_dict=True, maintain_order=True).items()}
        nobody = parts.pop(None, None)
        if nobody is not None:
            # nobody knows whose book they belong to, and they stand before all that can be known in this file
            self._damaged = True
            for feed in feeds.books.values():
                feed.begin_file(damaged=True)
        waiting = [name for name, feed in feeds.books.items() if end and feed.pending is not None and name not in parts]
        told, ignored = [] if nobody is None else [nobody], dict[str, int]()
        for entity in (*parts, *waiting):
            if entity not in feeds.books:
                feeds.books[entity] = Feed()
                feeds.books[entity].begin_file(damaged=self._damaged)
            part, feed = parts.get(entity, rows[:0]), feeds.books[entity]
            if depth:
                changed, counts = whole_books(part, feed, feeds.differences, self._index, depth)
            else:
                changed, counts = updates(part, feed, end=end)
            told.append(changed)
            for reason, count in counts.items():
                ignored[reason] = ignored.get(reason, 0) + count
        return (pl.concat(told, how="diagonal") if told else rows), ignored
