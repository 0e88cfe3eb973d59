"""Binance websocket logs, lines `<local ns> <JSON>`: depth changes and their snapshot, best quotes, trades.

The book. A snapshot line (`lastUpdateId`) gives the whole book as it was at that update; changes that came before it
are held back, and those that it does not contain yet follow it, known when it was known. The first change after it must
reach back to it (spot: U <= lastUpdateId + 1; futures: U <= lastUpdateId), and each later one must follow on the one
before (spot: U = u' + 1; futures: pu = u'). One that does not has lost messages before it: it becomes a GAP, and the
changes are held back again until the next snapshot. A change that is older than the book (u <= u') is left out. All
this goes on from one file of an entity to the next.

The clocks. event_time is the exchange's own (T, else E); known_time is the local receipt, moved forward where the local
clock is seen to be behind: at each line by what the smallest receipt less exchange time `E` of that line and all
earlier ones lacks to `minimum_latency`. So the correction uses the past alone and only ever grows; in the first seconds
of a feed, when few latencies were seen, it is too small by their spread, and E is in whole milliseconds. Where the
exchange tells no time (spot's best quotes) event_time is known_time.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.json

from gpu_kernels.errors import DataError
from sources.config import BinanceRaw
from sources.files import InputFile, blocks
from sources.readers.batch import UNPARSABLE_NUMBER, RawBatch, canonical
from sources.readers.records import UNPARSABLE_JSON
from sources.schema import GAP, SET, SNAPSHOT, TABLES

OTHER_STREAM = "other_stream"
STALE = "older_than_the_book"
NO_SNAPSHOT = "before_a_snapshot"
UNPARSABLE_TIME = "unparsable_local_time"
NOT_A_MARKET_TRADE = "not_a_market_trade"
_LEVELS = pa.list_(pa.list_(pa.string()))
_STREAMS = {
    "book": {"U": pa.int64(), "u": pa.int64(), "pu": pa.int64(), "E": pa.int64(), "T": pa.int64()}
    | {"b": _LEVELS, "a": _LEVELS},
    "quote": {name: pa.string() for name in ("b", "B", "a", "A")} | {"E": pa.int64(), "T": pa.int64()},
    "trade": {"p": pa.string(), "q": pa.string(), "m": pa.bool_(), "X": pa.string()}
    | {"E": pa.int64(), "T": pa.int64()},
}
_MARK = {"book": "@depth", "quote": "@bookTicker", "trade": "@trade"}
_SNAPSHOT_FIELDS = {"lastUpdateId": pa.int64(), "bids": _LEVELS, "asks": _LEVELS}
# changes held back while there is no snapshot; more than these, and the next snapshot is older than they are
_HELD = 50_000


@dataclass
class Feed:
    """What one entity's feed carries from block to block and from file to file."""

    least_latency: int | None = None
    known: int = 0
    rows: int = 0
    last_update: int | None = None
    fresh: bool = False
    held: pl.DataFrame | None = field(default=None, repr=False)


def read(
    source: BinanceRaw, file: InputFile, index: int, calendar: str, carried: dict[str, Any] | None = None
) -> Iterator[RawBatch]:
    """Rows of one file, in batches of a block of lines. `carried` holds the feeds of the files read before.

    Raises DataError for a file that is empty, damaged, or no such log, and where nothing names the entity.
    """
    if file.entity is None:
        raise DataError(
            f"{file.path} does not tell the entity of its rows",
            hint="give `entity:`, or files as a mapping entity -> glob",
        )
    feed: Feed = (carried if carried is not None else {}).setdefault(file.entity, Feed())
    line, understood = 1, False
    for block in blocks(file.path):
        text = block.decode("utf-8", "replace")
        lines = pl.DataFrame({"text": pl.Series(text.split("\n"), dtype=pl.String)}).with_columns(
            _line=pl.int_range(line, line + text.count("\n") + 1, dtype=pl.Int64)
        )
        line += text.count("\n")
        lines = _clocked(lines.filter(pl.col("text").str.strip_chars() != ""), feed, source.minimum_latency)
        understood = understood or lines["local"].is_not_null().any()
        if not understood and lines.height:
            raise DataError(
                f"{file.path}: line 1 is no Binance log line", allowed="<local ns> <JSON>", hint="see its `kind`"
            )
        yield _batch(lines, feed, source, file.entity, index)
    if line == 1:
        raise DataError(f"{file.path} is empty (0 bytes)", hint="fetch the file again, or take it out of `files`")


def _clocked(lines: pl.DataFrame, feed: Feed, minimum_latency: int) -> pl.DataFrame:
    """Adds local (ns, null where the line has none) and known (ns, corrected and never falling)."""
    local = pl.col("text").str.extract(r"^(\d{19}) \{", 1).cast(pl.Int64)
    sent = pl.col("text").str.extract(r'"E":(\d{13})[,}]', 1).cast(pl.Int64) * 1_000_000
    lines = lines.with_columns(local=local, sent=sent)
    latency = lines.select(least=(pl.col("local") - pl.col("sent")).cum_min().forward_fill())["least"]
    before = feed.least_latency
    least = latency if before is None else latency.fill_null(before).clip(upper_bound=before)
    # before any latency was seen nothing is known of the offset
    shift = (minimum_latency - least).clip(lower_bound=0).fill_null(0)
    known = (lines["local"].forward_fill() + shift).cum_max().fill_null(feed.known).clip(lower_bound=feed.known)
    if lines.height:
        feed.known = known[-1]
        feed.least_latency = least[-1]
    return lines.with_columns(known.alias("known")).drop("sent")


def _batch(lines: pl.DataFrame, feed: Feed, source: BinanceRaw, entity: str, index: int) -> RawBatch:
    known_stream = pl.any_horizontal(pl.col("text").str.contains(mark, literal=True) for mark in _MARK.values())
    mine = pl.col("text").str.contains(_MARK[source.data], literal=True)
    snapshot = pl.col("text").str.contains('"lastUpdateId"', literal=True) & ~known_stream
    clocked = pl.col("local").is_not_null()
    lines = lines.with_columns(
        what=pl.when(~clocked & (mine | ~known_stream))
        .then(pl.lit("damaged"))
        .when(mine)
        .then(pl.lit("mine"))
        .when(snapshot)
        .then(pl.lit("snapshot" if source.data == "book" else "other"))
        .when(known_stream)
        .then(pl.lit("other"))
        .otherwise(pl.lit("damaged"))
    )
    ignored = {OTHER_STREAM: int((lines["what"] == "other").sum())}
    parsed, bad = _parsed(lines.filter(pl.col("what") == "mine"), _STREAMS[source.data], inside="data")
    bad += lines.filter(pl.col("what") == "damaged")["_line"].to_list()
    if source.data == "book":
        shots, bad_shots = _parsed(lines.filter(pl.col("what") == "snapshot"), _SNAPSHOT_FIELDS, inside=None)
        rows, more = _book(parsed, shots, bad, feed, source)
        bad += bad_shots
        ignored |= more
    elif source.data == "quote":
        rows = _quotes(parsed)
    else:
        market = pl.col("X").is_null() | (pl.col("X") == "MARKET")
        rows = _trades(parsed.filter(market))
        ignored[NOT_A_MARKET_TRADE] = parsed.height - rows.height
    rows = rows.with_columns(
        pl.lit(entity).alias("entity"),
        # what the exchange stamps later than we received it was received late by a wrong clock
        pl.max_horizontal("known", "event").alias("known_time"),
        pl.col("event").alias("event_time"),
    ).with_columns(
        pl.col(clock).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC") for clock in ("event_time", "known_time")
    )
    good = canonical(rows, source.table, index)
    return RawBatch(pl.concat([good, _damaged(bad, lines, entity, source.table, index)]), ignored)


def _damaged(bad: list[int], lines: pl.DataFrame, entity: str, table: str, index: int) -> pl.DataFrame:
    """Rows for lines that could not be understood, which hold nothing but their place."""
    found = lines.filter(pl.col("_line").is_in(bad))
    empty = [
        pl.lit(None, dtype=column.dtype).alias(column.name)
        for column in TABLES[table].columns
        if column.name not in {"entity", "session"}
    ]
    problem = pl.when(pl.col("local").is_null()).then(pl.lit(UNPARSABLE_TIME)).otherwise(pl.lit(UNPARSABLE_JSON))
    return canonical(found.select("_line", pl.lit(entity).alias("entity"), *empty, _problem=problem), table, index)


def _parsed(lines: pl.DataFrame, fields: dict[str, Any], inside: str | None) -> tuple[pl.DataFrame, list[int]]:
    """The lines' fields, _line and known; and the numbers of lines that are not JSON of these types."""
    typed = pa.struct(list(fields.items()))
    schema = pa.schema([("_line", pa.int64()), ("known", pa.int64()), *([(inside, typed)] if inside else typed)])
    if lines.is_empty():
        return _frame(schema.empty_table(), inside), []
    # our own two fields go before the line's: one parse gives all
    joined = lines.select(
        pl.concat_str(
            pl.lit('{"_line":'), "_line", pl.lit(',"known":'), "known", pl.lit(","), pl.col("text").str.slice(21)
        )
    ).to_series()
    try:
        table = _json(joined, schema)
        bad: list[int] = []
    except pa.ArrowInvalid:
        # a damaged line somewhere: only now is each tried alone
        whole = []
        bad = []
        for number, text in zip(lines["_line"], joined, strict=True):
            try:
                whole.append(_json(pl.Series([text]), schema))
            except pa.ArrowInvalid:
                bad.append(number)
        table = pa.concat_tables(whole) if whole else schema.empty_table()
    return _frame(table, inside), bad


def _frame(table: pa.Table, inside: str | None) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.unnest(inside) if inside else frame


def _json(lines: pl.Series, schema: pa.Schema) -> pa.Table:
    text = "\n".join(lines.to_list()).encode()
    return pyarrow.json.read_json(
        io.BytesIO(text),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=max(len(text), 1) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )


def _event(*names: str) -> pl.Expr:
    return pl.coalesce(*(pl.col(name) * 1_000_000 for name in names), pl.col("known")).alias("event")


def _numbers(**columns: str) -> list[pl.Expr]:
    return [pl.col(text).cast(pl.Float64, strict=False).alias(name) for name, text in columns.items()]


def _problem(names: list[str]) -> pl.Expr:
    unknown = pl.any_horizontal(pl.col(name).is_null() for name in names)
    return pl.when(unknown).then(pl.lit(UNPARSABLE_NUMBER)).alias("_problem")


def _quotes(parsed: pl.DataFrame) -> pl.DataFrame:
    numbers = {"bid_price": "b", "bid_size": "B", "ask_price": "a", "ask_size": "A"}
    rows = parsed.select("_line", "known", _event("T", "E"), *_numbers(**numbers))
    return rows.with_columns(_problem(list(numbers)))


def _trades(parsed: pl.DataFrame) -> pl.DataFrame:
    side = pl.when("m").then(-1).otherwise(1).cast(pl.Int8).alias("side")
    rows = parsed.select("_line", "known", _event("T", "E"), *_numbers(price="p", size="q"), side, told=pl.col("m"))
    return rows.with_columns(_problem(["price", "size", "told"]))


# --- the book ----------------------------------------------------------------------------------------------------


def _book(
    changes: pl.DataFrame, shots: pl.DataFrame, bad: list[int], feed: Feed, source: BinanceRaw
) -> tuple[pl.DataFrame, dict[str, int]]:
    """book_update rows of a block's messages; `bad` gets the lines of messages whose numbers cannot be understood."""
    absent = [pl.lit(None, pl.Int64).alias(name) for name in ("U", "pu", "E", "T")]
    snapshots = shots.select("_line", "known", *absent, u="lastUpdateId", b="bids", a="asks", snapshot=pl.lit(True))
    names = snapshots.columns
    new = pl.concat([changes.with_columns(snapshot=pl.lit(False)).select(names), snapshots]).sort("_line")
    new = new.with_columns(held=pl.lit(False), wrong=_wrong(new))
    bad += new.filter("wrong")["_line"].to_list()
    messages = new.filter(~pl.col("wrong")).drop("wrong")
    if feed.held is not None:
        messages = pl.concat([feed.held, messages])
    steps, ignored = _chain(messages, feed, source.market)
    kept = messages[[step[0] for step in steps]].with_columns(
        known=pl.Series([step[1] for step in steps], dtype=pl.Int64),
        begins=pl.Series([step[2] for step in steps], dtype=pl.Int8),
    )
    return _levels(kept, feed), ignored


def _wrong(messages: pl.DataFrame) -> pl.Series:
    """Messages without identifiers, or with a level that is no pair of numbers: nothing of them can be used."""
    if messages.is_empty():
        return pl.Series("wrong", [], dtype=pl.Boolean)
    unnamed = messages.select(pl.col("u").is_null() | (~pl.col("snapshot") & pl.col("U").is_null())).to_series()
    found = unnamed | messages.select(pl.col("b").is_null() | pl.col("a").is_null()).to_series()
    for side in ("b", "a"):
        levels = messages.select(pl.int_range(pl.len()).alias("row"), level=side).explode("level").drop_nulls("level")
        number = [pl.col("level").list.get(place, null_on_oob=True).cast(pl.Float64, strict=False) for place in (0, 1)]
        pair = pl.all_horizontal(each.is_finite().fill_null(False) for each in number)
        rows = levels.filter(~pair | (pl.col("level").list.len() < 2))["row"].unique()
        found = found | pl.select(pl.int_range(messages.height).is_in(rows.implode())).to_series()
    return found


def _chain(messages: pl.DataFrame, feed: Feed, market: str) -> tuple[list[tuple[int, int, int]], dict[str, int]]:
    """(message, known, action of its first row) in the order in which they apply; what is held goes to the feed."""
    steps: list[tuple[int, int, int]] = []
    held: list[int] = []
    ignored = {STALE: 0, NO_SNAPSHOT: 0}
    columns = messages.select("U", "u", "pu", "known", "snapshot", "held")
    for row, (first, update, before, known, snapshot, was_held) in enumerate(columns.iter_rows()):
        if was_held:
            held.append(row)
        elif snapshot:
            steps.append((row, known, SNAPSHOT))
            feed.last_update, feed.fresh = update, True
            waiting, held = held, []
            for each in waiting:
                each_first, each_update, each_before, *_ = columns.row(each)
                if each_update <= feed.last_update:
                    ignored[NO_SNAPSHOT] += 1
                elif feed.last_update is not None and _follows(each_first, each_before, feed, market):
                    steps.append((each, known, SET))
                    feed.last_update, feed.fresh = each_update, False
                else:
                    steps.append((each, known, GAP))
                    feed.last_update = None
                    break
        elif feed.last_update is None:
            held.append(row)
        elif update <= feed.last_update:
            ignored[STALE] += 1
        elif _follows(first, before, feed, market):
            steps.append((row, known, SET))
            feed.last_update, feed.fresh = update, False
        else:
            steps.append((row, known, GAP))
            feed.last_update = None
            held.append(row)
    if len(held) > _HELD:
        ignored[NO_SNAPSHOT] += len(held) - _HELD
        held = held[-_HELD:]
    feed.held = messages[held].with_columns(held=pl.lit(True)) if held else None
    return steps, ignored


def _follows(first: int, before: int | None, feed: Feed, market: str) -> bool:
    """Whether a change goes on from the book's last update without a hole."""
    assert feed.last_update is not None
    if feed.fresh:
        return first <= feed.last_update + (1 if market == "spot" else 0)
    return first == feed.last_update + 1 if market == "spot" else before == feed.last_update


def _levels(messages: pl.DataFrame, feed: Feed) -> pl.DataFrame:
    """One row for each level of the messages; a GAP has its first row alone."""
    bids, asks = messages["b"].list.len().to_numpy(), messages["a"].list.len().to_numpy()
    count = (bids + asks).astype(np.int64)
    rows = messages.select("_line", "known", "begins", _event("T", "E"), level=pl.concat_list("b", "a"))
    rows = rows.filter(pl.Series(count > 0)).explode("level")
    place = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    number = [pl.col("level").list.get(place, null_on_oob=True).cast(pl.Float64) for place in (0, 1)]
    rows = rows.with_columns(
        side=pl.Series(np.where(place < np.repeat(bids, count), 1, -1), dtype=pl.Int8),
        price=number[0],
        size=number[1],
        last=pl.Series(place == np.repeat(count, count) - 1),
        first=pl.Series(place == 0),
    )
    gap = pl.col("begins") == GAP
    rows = rows.filter(~gap | pl.col("first")).with_columns(
        action=pl.when("first").then("begins").otherwise(SET).cast(pl.Int8), last=pl.col("last") | gap
    )
    start = feed.rows
    feed.rows += rows.height
    return rows.with_columns(
        sequence=pl.int_range(start, start + rows.height, dtype=pl.Int64), _problem=pl.lit(None, dtype=pl.String)
    )
