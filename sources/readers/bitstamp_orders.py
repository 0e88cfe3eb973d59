"""Bitstamp's order feed: what happened to each order, told from the sizes that remain.

A message says only what remains of an order. What happened is told by the order's own past: a lower size is an
execution, a deletion with size left is a cancellation, a deletion with nothing left an execution of the rest. A message
with another price moves the order (orders that follow the market do so) and may execute it there: two rows of one line.

What cannot be told: a marketable order is placed like any other and meets its counterparts some milliseconds later, so
that the book is crossed in between, and each trade executes two orders, the resting one and the aggressor's. A partial
cancellation would look like an execution. An order older than the file that goes with nothing left was executed, but
nobody knows by how much: it is set aside. So are messages about an order after its deletion, and one that comes before
its creation: the feed swaps neighbours now and then, and its identifiers rise, so that an unknown order that is not
older than the file's first must be gone. A trade names neither side: its aggressor is the later of the two orders that
were executed by its size just before, and 0 where the feed showed only one of them. The exchange's clock is the second
of the order's creation whatever happens to it, so that both clocks of a row are the local receipt.
"""

from collections.abc import Iterator

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import known_after, read_clock
from sources.config import BitstampOrders
from sources.files import InputFile, blocks
from sources.readers.batch import RawBatch, canonical, entity_column
from sources.readers.live_orders import LiveOrders
from sources.readers.records import find_columns, records
from sources.schema import CANCELLED, CHANGED, EXECUTED, PLACED, SET, SNAPSHOT

UNPARSABLE_MESSAGE = "unparsable_message"
UNKNOWN_ORDER = "unknown_order"
OUT_OF_ORDER = "out_of_order_message"
NOTHING_CHANGED = "nothing_changed"
EXACT_DUPLICATE = "exact_duplicate"
SIZE_TOO_LARGE = "size_too_large"
EMPTY_BOOK = "empty_book"
OTHER_MESSAGE = "other_message"
_SATOSHI = 1e8
# beyond this a float no longer holds every satoshi
_LARGEST = 2**53
_LEVELS = r'\[(?:\["[0-9.eE+-]+", ?"[0-9.eE+-]+"\](?:, ?)?)*\]'
_BOOK = rf'^\{{"bids": ?{_LEVELS}, ?"asks": ?{_LEVELS}\}}$'
_BOOK_TYPE = pl.Struct({"bids": pl.List(pl.List(pl.String)), "asks": pl.List(pl.List(pl.String))})
_MESSAGES = {"order": ["created", "changed", "deleted"], "trade": ["trade"], "book": ["order_book"]}
# places of a file within its source, of a line within its file, and of a row within its line
_FILE, _LINE_ROWS = 2**40, 2**12
# a trade comes a few messages after the two executions that it is about
_FILL_LINES = 64


def read(source: BitstampOrders, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Rows of one file. Raises DataError for trades or books of a table of orders, which holds neither."""
    log = _is_log(file)
    if source.data != "order" and not log:
        raise DataError(
            f"{file.path} is a table of orders: it holds no {source.data}s", hint=f"{source.data}s are in the raw log"
        )
    feed = _Feed()
    for messages in _log(file) if log else _table(file, source):
        wanted = pl.col("message").is_in(_MESSAGES[source.data]) | pl.col("_problem").is_not_null()
        ignored = {OTHER_MESSAGE: messages.filter(~wanted).height}
        if source.data == "book":
            rows = _books(messages.filter(wanted))
        else:
            orders, fills = feed.happened(messages.filter(pl.col("message").is_in(_MESSAGES["order"])))
            rows = orders if source.data == "order" else feed.trades(messages, fills)
            rest = messages.filter(wanted & ~pl.col("message").is_in(_MESSAGES[source.data]).fill_null(False))
            rows = pl.concat([rows, rest], how="diagonal").sort("_line", maintain_order=True)
        clock = rows.select(time="time", whole_day=pl.lit(False))
        rows = rows.with_columns(
            entity_column(rows, file, None),
            event_time=known_after(clock, 0, "UTC"),
            known_time=known_after(clock, source.delay, "UTC"),
            size=pl.Series(rows["satoshi"].cast(pl.Float64).to_numpy() / _SATOSHI, nan_to_null=True),
        )
        if source.data != "trade":
            rows = rows.with_columns(sequence=index * _FILE + pl.col("_line") * _LINE_ROWS + pl.col("_part"))
        yield RawBatch(canonical(rows, source.table, index), ignored)


def _is_log(file: InputFile) -> bool:
    for block in blocks(file.path, size=2**16):
        return block.partition(b" ")[0].isdigit()
    raise DataError(f"{file.path} is empty (0 bytes)", hint="fetch the file again, or take it out of `files`")


def _table(file: InputFile, source: BitstampOrders) -> Iterator[pl.DataFrame]:
    """Messages of orders.csv: id, timestamp, price, volume (satoshi), action, direction."""
    needed = ("id", "timestamp", "price", "volume", "action", "direction")
    for frame in records(file.path, source):
        names = find_columns(frame, file.path, source, needed)
        text = frame.select("_line", "_problem", **{name: pl.col(names[name]).str.strip_chars() for name in needed})
        yield _messages(
            text,
            clock=text["timestamp"],
            message=pl.col("action"),
            buys=pl.col("direction") == "bid",
            sells=pl.col("direction") == "ask",
            satoshi=pl.col("volume").cast(pl.Float64, strict=False),
        )


def _log(file: InputFile) -> Iterator[pl.DataFrame]:
    """Messages of the raw log, with the JSON of each as `body`."""
    line = 1
    for block in blocks(file.path):
        lines = block.decode("utf-8", "replace").split("\n")
        text = pl.DataFrame({"text": pl.Series(lines, dtype=pl.String)})
        text = text.with_columns(_line=pl.int_range(line, line + pl.len(), dtype=pl.Int64))
        line += block.count(b"\n")
        parts = pl.col("text").str.strip_chars_end("\r").str.splitn(" ", 3).struct
        text = text.filter(pl.col("text").str.strip_chars() != "").select(
            "_line",
            *(parts.field(f"field_{place}").alias(name) for place, name in enumerate(("clock", "message", "body"))),
        )
        whole = pl.col("body").str.starts_with("{") & pl.col("body").str.ends_with("}")
        text = text.with_columns(pl.when(whole).then(pl.col("message", "body")))
        # the bodies of books are long and have none of these
        fields = pl.when(pl.col("message") != "order_book").then("body")
        text = text.with_columns(
            pl.col("message").str.strip_prefix("order_").replace("book", "order_book"),
            *(fields.str.extract(rf'"{name}": ?"?([^",}}]+)').alias(name) for name in ("price", "amount", "id")),
            direction=fields.str.extract(r'"order_type": ?([01])'),
            _problem=pl.when(pl.col("message").is_null()).then(pl.lit(UNPARSABLE_MESSAGE)),
        )
        yield _messages(
            text,
            clock=text["clock"],
            message=pl.col("message"),
            buys=pl.col("direction") == "0",
            sells=pl.col("direction") == "1",
            satoshi=(pl.col("amount").cast(pl.Float64, strict=False) * _SATOSHI).round(),
        )


def _messages(
    text: pl.DataFrame, *, clock: pl.Series, message: pl.Expr, buys: pl.Expr, sells: pl.Expr, satoshi: pl.Expr
) -> pl.DataFrame:
    """Messages as _line, _problem, time, message, body, order, side, price and satoshi."""
    time = read_clock(clock, timezone="UTC", time_format="epoch_ms")
    rows = text.select(
        "_line",
        "_problem",
        time["time"],
        time["problem"].alias("_unclear"),
        message=message,
        body=pl.col("body") if "body" in text.columns else pl.lit(None, dtype=pl.String),
        order=pl.col("id").cast(pl.Int64, strict=False),
        side=pl.when(buys).then(1).when(sells).then(-1).cast(pl.Int8),
        price=pl.col("price").cast(pl.Float64, strict=False),
        amount=satoshi,
    )
    known = pl.col("message").is_in([name for names in _MESSAGES.values() for name in names])
    book, trade = pl.col("message") == "order_book", pl.col("message") == "trade"
    problems = [
        (UNPARSABLE_MESSAGE, pl.col("message").is_null() | ~known & pl.col("body").is_null()),
        (UNPARSABLE_MESSAGE, ~book & known & (pl.col("order").is_null() | (pl.col("side").is_null() & ~trade))),
        ("unparsable_number", ~book & known & ~(pl.col("price").is_finite() & pl.col("amount").is_finite())),
        ("unparsable_number", ~book & known & (pl.col("price").is_null() | pl.col("amount").is_null())),
        ("non_positive_price", ~book & known & (pl.col("price") <= 0)),
        ("negative_size", ~book & known & (pl.col("amount") < 0)),
        (SIZE_TOO_LARGE, ~book & known & (pl.col("amount") >= _LARGEST)),
    ]
    found = [pl.when(where).then(pl.lit(name)) for name, where in problems]
    return rows.with_columns(
        _problem=pl.coalesce("_problem", "_unclear", *found),
        satoshi=pl.when(pl.col("amount").is_finite() & (pl.col("amount").abs() < _LARGEST))
        .then("amount")
        .cast(pl.Int64),
    ).drop("_unclear", "amount")


class _Feed:
    """The messages of one file, of which the past is remembered as far as it is needed."""

    def __init__(self) -> None:
        self._live = LiveOrders(("order",))
        self._created: list[int] = []  # the smallest and the largest identifier so far
        self._gone_early: set[int] = set()
        self._last: dict[str, pl.DataFrame] = {}
        self._fills = pl.DataFrame(schema={"_line": pl.Int64, "order": pl.Int64, "side": pl.Int8, "satoshi": pl.Int64})

    def happened(self, messages: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of orders, one or two for each message, and the executions among them."""
        messages = self._in_order(self._without_repeats(messages, "order"))
        good, bad = messages.filter(pl.col("_problem").is_null()), messages.filter(pl.col("_problem").is_not_null())
        deleted, changed = pl.col("message") == "deleted", pl.col("message") == "changed"
        left, before = pl.col("satoshi"), pl.col("size_before")
        good = self._live.before(
            good.with_columns(sets=pl.when(deleted).then(0).otherwise(left), takes=pl.lit(None, dtype=pl.Int64))
        )
        late = ~before.is_not_null() & (pl.col("message") != "created") & (pl.col("order") >= pl.col("_oldest"))
        known, filled = before.is_not_null(), (left < before).fill_null(False)
        moved = (~known | (pl.col("price") != pl.col("price_before")) | (left > before)).fill_null(True)
        good = good.with_columns(_late=late.fill_null(False))
        good = good.with_columns(
            _first=pl.when("_late")
            .then(None)
            .when(changed & moved)
            .then(CHANGED)
            .when(deleted & (left > 0) & filled)
            .then(EXECUTED),
            _second=pl.when(changed & filled)
            .then(EXECUTED)
            .when(deleted & (left > 0))
            .then(CANCELLED)
            .when(deleted)
            .then(EXECUTED)
            .when((pl.col("message") == "created") & ~known)
            .then(PLACED)
            .when((pl.col("message") == "created") & (moved | filled))
            .then(CHANGED),
        )
        problem = (
            pl.when("_late")
            .then(pl.lit(OUT_OF_ORDER))
            .when(deleted & (left == 0) & ~known)
            .then(pl.lit(UNKNOWN_ORDER))
            .when(pl.coalesce("_first", "_second").is_null())
            .then(pl.lit(NOTHING_CHANGED))
        )
        both = pl.col("_first").is_not_null() & pl.col("_second").is_not_null()
        first = good.filter(pl.col("_first").is_not_null()).with_columns(
            action=pl.col("_first"),
            satoshi=pl.when(changed).then(pl.when(filled).then(before).otherwise(left)).otherwise(before - left),
            last=~both,
            _part=pl.lit(0),
        )
        second = good.filter(pl.col("_second").is_not_null() | pl.col("_first").is_null()).with_columns(
            problem.alias("_problem"),
            action=pl.col("_second"),
            satoshi=pl.when(changed).then(before - left).when(deleted & (left == 0)).then(before).otherwise(left),
            last=pl.lit(True),
            _part=pl.lit(1),
        )
        rows = pl.concat([first, second, bad.with_columns(last=pl.lit(True), _part=pl.lit(1))], how="diagonal")
        rows = rows.sort("_line", "_part").drop(
            "sets", "takes", "size_before", "price_before", "_first", "_second", "_late", "_oldest"
        )
        executed = (pl.col("action") == EXECUTED) & pl.col("_problem").is_null()
        return rows, rows.filter(executed).select("_line", "order", "side", "satoshi")

    def trades(self, messages: pl.DataFrame, fills: pl.DataFrame) -> pl.DataFrame:
        """Trades with their aggressor: of the executions just before, the side whose order is the later one."""
        trades = self._without_repeats(messages.filter(pl.col("message") == "trade"), "trade")
        fills = pl.concat([self._fills, fills])
        for side, name in ((1, "_buy"), (-1, "_sell")):
            one = fills.filter(pl.col("side") == side).select("_line", "satoshi", pl.col("order").alias(name))
            trades = trades.join_asof(
                one, on="_line", by="satoshi", tolerance=_FILL_LINES, check_sortedness=False, coalesce=True
            )
        if messages.height:
            self._fills = fills.filter(pl.col("_line") >= messages["_line"][-1] - _FILL_LINES)
        later = pl.when(pl.col("_buy") > pl.col("_sell")).then(1).when(pl.col("_sell") > pl.col("_buy")).then(-1)
        return trades.with_columns(side=later.otherwise(0).cast(pl.Int8)).drop("_buy", "_sell")

    def _in_order(self, messages: pl.DataFrame) -> pl.DataFrame:
        """Marks deletions that came before the creation, and those creations; adds the oldest identifier created."""
        good, order = pl.col("_problem").is_null(), pl.col("order")
        created = pl.when(good & (pl.col("message") == "created")).then(order)
        oldest, newest = created.cum_min().forward_fill(), created.cum_max().forward_fill().shift(1)
        low, high = self._created or (None, None)
        messages = messages.with_columns(
            _oldest=pl.min_horizontal(oldest, pl.lit(low, dtype=pl.Int64)),
            _newest=pl.max_horizontal(newest, pl.lit(high, dtype=pl.Int64)),
        )
        early = good & (pl.col("message") == "deleted") & (order > pl.col("_newest")).fill_null(False)
        self._gone_early |= set(messages.filter(early)["order"])
        late = good & (pl.col("message") == "created") & order.is_in(list(self._gone_early))
        ids = messages.filter(good & (pl.col("message") == "created"))["order"].to_list() + self._created
        self._created = [min(ids), max(ids)] if ids else []
        return messages.with_columns(
            _problem=pl.when(early | late).then(pl.lit(OUT_OF_ORDER)).otherwise("_problem")
        ).drop("_newest")

    def _without_repeats(self, messages: pl.DataFrame, kind: str) -> pl.DataFrame:
        """Marks messages equal to the one before, of the earlier batch too."""
        names = ["time", "message", "order", "side", "price", "satoshi"]
        last = self._last.get(kind, messages.select(names).clear())
        values = pl.concat([last, messages.select(names)])
        self._last[kind] = values.tail(1)
        again = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in names)
        repeated = values.select(again & (pl.int_range(pl.len()) > 0)).to_series().slice(last.height)
        return messages.with_columns(
            _problem=pl.when(pl.col("_problem").is_null() & repeated)
            .then(pl.lit(EXACT_DUPLICATE))
            .otherwise("_problem")
        )


def _books(messages: pl.DataFrame) -> pl.DataFrame:
    """The levels of each snapshot, best first, bids and then asks."""
    shaped = pl.col("body").str.contains(_BOOK)
    messages = messages.with_columns(
        _problem=pl.when(pl.col("_problem").is_null() & ~shaped).then(pl.lit(UNPARSABLE_MESSAGE)).otherwise("_problem")
    )
    good, bad = messages.filter(pl.col("_problem").is_null()), messages.filter(pl.col("_problem").is_not_null())
    book = good.select("_line", "time", pl.col("body").str.json_decode(_BOOK_TYPE).struct.unnest())
    sides = [
        book.select("_line", "time", side=pl.lit(side, dtype=pl.Int8), level=name).explode("level")
        for side, name in ((1, "bids"), (-1, "asks"))
    ]
    levels = pl.concat(sides).filter(pl.col("level").is_not_null()).sort("_line", maintain_order=True)
    place = pl.int_range(pl.len()).over("_line")
    amount = (pl.col("level").list.get(1).cast(pl.Float64, strict=False) * _SATOSHI).round()
    levels = levels.select(
        "_line",
        "time",
        "side",
        price=pl.col("level").list.get(0).cast(pl.Float64, strict=False),
        satoshi=pl.when(amount.abs() < _LARGEST).then(amount).cast(pl.Int64),
        action=pl.when(place == 0).then(SNAPSHOT).otherwise(SET),
        last=place == pl.len().over("_line") - 1,
        _part=place,
    )
    empty = good.filter(~pl.col("_line").is_in(levels["_line"].implode())).with_columns(_problem=pl.lit(EMPTY_BOOK))
    bad = pl.concat([bad, empty]).with_columns(last=pl.lit(True), _part=pl.lit(0))
    return pl.concat([levels, bad.drop("message", "body", "order")], how="diagonal_relaxed").sort("_line", "_part")
