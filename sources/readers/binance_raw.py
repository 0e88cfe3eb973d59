"""Binance websocket logs, lines `<local ns> <JSON>`: depth changes and their snapshot, best quotes, trades.

The book. A snapshot line (`lastUpdateId`) gives the whole book as it was at that update; changes that came before it
are held back, and those that it does not contain yet follow it, known when it was known. The first change after it must
reach back to it (spot: U <= lastUpdateId + 1; futures: U <= lastUpdateId), and each later one must follow on the one
before (spot: U = u' + 1; futures: pu = u'). One that does not has lost messages before it: it becomes a GAP, and the
changes are held back again until the next snapshot. A change or snapshot older than the book is left out. All this goes
on from one file of an entity to the next.

The clocks. event_time is the exchange's own (T, else E); known_time is the local receipt, moved forward where the local
clock is seen to be behind: at each line by what the smallest receipt less exchange time `E` of that line and all
earlier ones lacks to `minimum_latency`. So the correction uses the past alone and only ever grows; in the first seconds
of a feed, when few latencies were seen, it is too small by their spread, and E is in whole milliseconds. Where the
exchange tells no time (spot's best quotes and snapshot) event_time is known_time.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from gpu_kernels.errors import DataError
from sources.config import BinanceRaw
from sources.files import InputFile, blocks
from sources.readers import binance_lines as lines
from sources.readers.batch import RawBatch, canonical
from sources.readers.binance_lines import ABSENT, Array, Lines
from sources.readers.records import UNPARSABLE_JSON
from sources.schema import GAP, SET, SNAPSHOT, TABLES

OTHER_STREAM = "other_stream"
STALE = "older_than_the_book"
NO_SNAPSHOT = "before_a_snapshot"
UNPARSABLE_TIME = "unparsable_local_time"
CLOCKS_DISAGREE = "clocks_disagree"
NOT_A_MARKET_TRADE = "not_a_market_trade"
_KIND = {"book": lines.DEPTH, "quote": lines.QUOTE, "trade": lines.TRADE}
_MS = 1_000_000
# no clock is a day off: such a line is damaged, and would move all later ones
_FARTHEST = 86_400 * 10**9
# changes held back while there is no snapshot; those before the last so many are older than any that will come
_HELD = 20_000


class _Message(NamedTuple):
    """A change that waits for a snapshot, and where it stood."""

    first: int
    update: int
    before: int
    event: int
    file: int
    line: int
    bids: int
    price: Array
    size: Array


@dataclass
class Feed:
    """What one entity's feed carries from block to block and from file to file."""

    symbol: bytes | None = None
    is_of_market: bool = False
    least_latency: int | None = None
    known: int = 0
    rows: int = 0
    price: float = np.nan
    last_update: int | None = None
    fresh: bool = False
    held: deque[_Message] = field(default_factory=lambda: deque(maxlen=_HELD), repr=False)


def read(
    source: BinanceRaw, file: InputFile, index: int, calendar: str, carried: dict[str, Any] | None = None
) -> Iterator[RawBatch]:
    """Rows of one file, in batches of a block of lines. `carried` holds the feeds of the files read before.

    Raises DataError for a file that is empty, damaged, or no such log, that holds several symbols, and where nothing
    names the entity.
    """
    for (batch,) in read_together([source], file, index, calendar, [{} if carried is None else carried]):
        yield batch


def read_together(
    sources: Sequence[BinanceRaw], file: InputFile, index: int, calendar: str, carried: Sequence[dict[str, Any]]
) -> Iterator[list[RawBatch]]:
    """What `read` gives for each of the sources, of one pass over the file that they share."""
    if file.entity is None:
        raise DataError(
            f"{file.path} does not tell the entity of its rows",
            hint="give `entity:`, or files as a mapping entity -> glob",
        )
    feeds: list[Feed] = [each.setdefault(file.entity, Feed()) for each in carried]
    line, understood = 1, False
    for block in blocks(file.path):
        found = lines.parse(block, *{_KIND[source.data] for source in sources})
        understood = understood or bool((found.local != ABSENT).any())
        if not understood and (found.kind != lines.BLANK).any():
            raise DataError(
                f"{file.path}: line 1 is no Binance log line", allowed="<local ns> <JSON>", hint="see its `kind`"
            )
        batches = []
        for source, feed in zip(sources, feeds, strict=True):
            own = lines.only(found, _KIND[source.data])
            _one_symbol(own, block, feed, file)
            _one_market(own, feed, source, file)
            batches.append(_batch(own, feed, source, file.entity, index, line))
        yield batches
        line += len(found.kind)
    if line == 1:
        raise DataError(f"{file.path} is empty (0 bytes)", hint="fetch the file again, or take it out of `files`")


def _one_symbol(found: Lines, block: bytes, feed: Feed, file: InputFile) -> None:
    """Two symbols' messages as one book would be nonsense that no later check sees."""
    named = np.flatnonzero((found.symbol != ABSENT) & (found.kind >= lines.DEPTH))
    if not len(named):
        return
    data = np.frombuffer(block, np.uint8)
    start, length = found.symbol[named], (found.symbol_end - found.symbol)[named]
    if feed.symbol is None:
        feed.symbol = block[start[0] : start[0] + length[0]]
    other = length != len(feed.symbol)
    for place, byte in enumerate(feed.symbol):
        other |= data[np.minimum(start + place, len(data) - 1)] != byte
    if other.any():
        row = int(np.argmax(other))
        name = block[start[row] : start[row] + length[row]]
        raise DataError(
            f"{file.path} holds {feed.symbol.decode('utf-8', 'replace')} and {name.decode('utf-8', 'replace')}",
            allowed="files of one symbol for one entity",
            hint="split the file by symbol",
        )


def _one_market(found: Lines, feed: Feed, source: BinanceRaw, file: InputFile) -> None:
    """By the other market's sequence rule no change would follow on another: a book that is lost for ever."""
    changes = (found.kind == lines.DEPTH) & (found.first != ABSENT) & (found.update != ABSENT)
    if feed.is_of_market or not changes.any():
        return
    is_future = bool((found.before[changes] != ABSENT).any())
    if is_future != (source.market != "spot"):
        raise DataError(
            f"{file.path} is read as market: {source.market}; its depth changes have {'a' if is_future else 'no'} pu",
            allowed="market: usdm or coinm" if is_future else "market: spot",
        )
    feed.is_of_market = True


def _clock(found: Lines, feed: Feed, source: BinanceRaw) -> tuple[Array, Array]:
    """Of each line known (ns, corrected and never falling), and whether its clocks disagree by more than a day."""
    none = np.iinfo(np.int64).max
    latency = np.where(found.sent != ABSENT, found.local - found.sent * _MS, none)
    matched = np.where(found.matched != ABSENT, found.local - found.matched * _MS, 0)
    apart = (found.local != ABSENT) & (
        (found.sent != ABSENT) & (np.abs(latency) > _FARTHEST) | (np.abs(matched) > _FARTHEST)
    )
    latency[apart | (found.local == ABSENT)] = none
    least = np.minimum.accumulate(np.minimum(latency, none if feed.least_latency is None else feed.least_latency))
    # before any latency was seen nothing is known of the offset
    shift = np.maximum(source.minimum_latency - least, 0)
    local = np.where(apart | (found.local == ABSENT), 0, found.local)
    known = np.maximum.accumulate(np.maximum(local + shift * (local > 0) + source.delay * (local > 0), feed.known))
    if len(least):
        feed.known = int(known[-1])
        feed.least_latency = None if least[-1] == none else int(least[-1])
    return known, apart


def _batch(found: Lines, feed: Feed, source: BinanceRaw, entity: str, index: int, first_line: int) -> RawBatch:
    known, apart = _clock(found, feed, source)
    kind = np.where(apart & (found.kind >= lines.DEPTH), lines.DEVIATES, found.kind)
    event = np.where(found.matched != ABSENT, found.matched, found.sent) * _MS
    event = np.where(event < 0, known, event)
    ignored = {OTHER_STREAM: int((kind == lines.OTHER).sum())}
    if source.data == "book":
        rows, more = _book(found, kind, known, event, feed, source.market, index, first_line)
        ignored |= more
    else:
        chosen = np.flatnonzero(kind == _KIND[source.data])
        if source.data == "trade":
            market = found.market[chosen] == 1
            ignored[NOT_A_MARKET_TRADE] = int((~market).sum())
            chosen = chosen[market]
        names = ("bid_price", "bid_size", "ask_price", "ask_size") if source.data == "quote" else ("price", "size")
        columns: dict[str, Any] = {name: found.values[chosen, place] for place, name in enumerate(names)}
        if source.data == "trade":
            columns["side"] = np.where(found.seller[chosen] == 1, -1, 1).astype(np.int8)
        columns |= {"known": known[chosen], "event": event[chosen], "_line": chosen + first_line}
        rows = pl.DataFrame(columns).with_columns(file=pl.lit(index, dtype=pl.UInt32))
    rows = rows.with_columns(
        pl.lit(entity).alias("entity"),
        # what the exchange stamps later than we received it was received late by a wrong clock
        pl.max_horizontal("known", "event").alias("known_time"),
        pl.col("event").alias("event_time"),
        pl.lit(None, dtype=pl.String).alias("_problem"),
    ).with_columns(
        pl.col(clock).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC") for clock in ("event_time", "known_time")
    )
    good = canonical(rows, source.table, index).with_columns(rows["file"])
    bad = np.flatnonzero((kind == lines.DEVIATES) | (kind == lines.NO_CLOCK))
    if not len(bad):
        return RawBatch(good, ignored)
    problem = np.where(
        kind[bad] == lines.NO_CLOCK, UNPARSABLE_TIME, np.where(apart[bad], CLOCKS_DISAGREE, UNPARSABLE_JSON)
    )
    return RawBatch(pl.concat([good, _damaged(bad + first_line, problem, entity, source.table, index)]), ignored)


def _damaged(numbers: Array, problem: Array, entity: str, table: str, index: int) -> pl.DataFrame:
    """Rows for lines that could not be understood, which hold nothing but their place."""
    empty = [
        pl.lit(None, dtype=column.dtype).alias(column.name)
        for column in TABLES[table].columns
        if column.name not in {"entity", "session"}
    ]
    rows = pl.DataFrame({"_line": numbers, "_problem": problem.tolist()})
    return canonical(rows.with_columns(pl.lit(entity).alias("entity"), *empty), table, index)


# --- the book ---------------------------------------------------------------------------------------------------------


class _Steps(NamedTuple):
    """What is done to the book, in order: the message's place among those of the block (or behind them, among those
    that were held), when it is known, and the action of its first row."""

    message: list[int]
    known: list[int]
    action: list[int]

    def add(self, message: int, known: int, action: int) -> None:
        self.message.append(message)
        self.known.append(known)
        self.action.append(action)


def _book(
    found: Lines, kind: Array, known: Array, event: Array, feed: Feed, market: str, index: int, first_line: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """book_update rows of a block's messages."""
    chosen = np.flatnonzero((kind == lines.DEPTH) | (kind == lines.SNAPSHOT))
    waiting = list(feed.held)
    steps, ignored = _chain(found, chosen, kind, known, event, feed, market, index, first_line)
    # the messages of the block, and behind them those that were held before it
    told = np.array(steps.message, np.int64)
    held = np.array([(each.bids, len(each.price), each.event, each.line, each.file) for each in waiting], np.int64)
    held = held.reshape(-1, 5)
    price = np.concatenate([found.price, *(each.price for each in waiting)])
    size = np.concatenate([found.size, *(each.size for each in waiting)])
    place = len(found.price) + np.cumsum(held[:, 1]) - held[:, 1]
    columns = {
        "level": np.append(found.level[chosen], place)[told],
        "bids": np.append(found.bids[chosen], held[:, 0])[told],
        "count": np.append((found.bids + found.asks)[chosen], held[:, 1])[told],
        "event": np.append(event[chosen], held[:, 2])[told],
        "_line": np.append(chosen + first_line, held[:, 3])[told],
        "file": np.append(np.full(len(chosen), index), held[:, 4])[told],
    }
    return _levels(
        columns, np.array(steps.known, np.int64), np.array(steps.action, np.int8), price, size, feed
    ), ignored


def _chain(
    found: Lines,
    chosen: Array,
    kind: Array,
    known: Array,
    event: Array,
    feed: Feed,
    market: str,
    index: int,
    first_line: int,
) -> tuple[_Steps, dict[str, int]]:
    """Which messages apply, in which order; what must wait goes to the feed."""
    steps, ignored = _Steps([], [], []), {STALE: 0, NO_SNAPSHOT: 0}
    # places of the held messages: of this block, and those of before behind them
    places = deque(range(len(chosen), len(chosen) + len(feed.held)), maxlen=_HELD)
    lists = (each[chosen].tolist() for each in (found.first, found.update, found.before, known, kind == lines.SNAPSHOT))
    for place, (first, update, before, when, snapshot) in enumerate(zip(*lists, strict=True)):
        if (
            feed.last_update is not None
            and update <= feed.last_update
            and not (snapshot and update == feed.last_update)
        ):
            ignored[STALE] += 1
        elif snapshot:
            steps.add(place, when, SNAPSHOT)
            _begin(feed, update, when, places, steps, ignored, market)
        elif feed.last_update is not None and _follows(first, before, feed, market):
            steps.add(place, when, SET)
            feed.last_update, feed.fresh = update, False
        else:
            if feed.last_update is not None:
                steps.add(place, when, GAP)
                feed.last_update = None
            line = chosen[place]
            level, bids = found.level[line], found.bids[line]
            levels = slice(level, level + bids + found.asks[line])
            own = (found.price[levels].copy(), found.size[levels].copy())
            feed.held.append(
                _Message(first, update, before, int(event[line]), index, int(line) + first_line, int(bids), *own)
            )
            places.append(place)
            ignored[NO_SNAPSHOT] += 1
    return steps, ignored


def _begin(
    feed: Feed, update: int, known: int, places: deque[int], steps: _Steps, ignored: dict[str, int], market: str
) -> None:
    """A snapshot, and the changes held back that go on from it."""
    feed.last_update, feed.fresh = update, True
    for place, each in zip(places, feed.held, strict=True):
        if each.update <= feed.last_update:
            continue
        follows = _follows(each.first, each.before, feed, market)
        steps.add(place, known, SET if follows else GAP)
        if not follows:
            feed.last_update = None
            break
        # it was counted when it had to wait
        ignored[NO_SNAPSHOT] -= 1
        feed.last_update, feed.fresh = each.update, False
    places.clear()
    feed.held.clear()


def _follows(first: int, before: int, feed: Feed, market: str) -> bool:
    """Whether a change goes on from the book's last update without a hole."""
    assert feed.last_update is not None
    if feed.fresh:
        return first <= feed.last_update + (1 if market == "spot" else 0)
    return first == feed.last_update + 1 if market == "spot" else before == feed.last_update


def _levels(
    messages: dict[str, Array], known: Array, action: Array, price: Array, size: Array, feed: Feed
) -> pl.DataFrame:
    """One row for each level of the messages.

    A GAP has its first row alone. A message without levels has none, but for a GAP or a SNAPSHOT, which must be told:
    its row removes the last level that was told before it.
    """
    count, level = messages["count"].copy(), messages["level"].copy()
    told = np.append(feed.price, np.append(price, np.nan)[np.where(count > 0, level + count - 1, len(price))])
    latest = np.maximum.accumulate(np.where(np.isnan(told), 0, np.arange(len(told))))
    empty = (count == 0) & (action != SET) & ~np.isnan(told[latest[:-1]])
    level[empty] = len(price) + np.arange(int(empty.sum()))
    price = np.append(price, told[latest[:-1]][empty])
    size = np.append(size, np.zeros(int(empty.sum())))
    count[empty] = 1
    count = np.where(action == GAP, np.minimum(count, 1), count)
    feed.price = float(told[latest[-1]])
    begin = np.cumsum(count) - count
    rows = int(count.sum())
    place = np.arange(rows) - np.repeat(begin, count)
    chosen = place + np.repeat(level, count)
    actions, last = np.full(rows, SET, np.int8), np.zeros(rows, bool)
    actions[begin[count > 0]] = action[count > 0]
    last[(begin + count - 1)[count > 0]] = True
    start = feed.rows
    feed.rows += rows
    return pl.DataFrame(
        {
            "_line": np.repeat(messages["_line"], count),
            "file": np.repeat(messages["file"].astype(np.uint32), count),
            "known": np.repeat(known, count),
            "event": np.repeat(messages["event"], count),
            "sequence": np.arange(start, feed.rows),
            "action": actions,
            "side": np.where(place < np.repeat(np.maximum(messages["bids"], empty), count), 1, -1).astype(np.int8),
            "price": price[chosen],
            "size": size[chosen],
            "last": last,
        }
    )
