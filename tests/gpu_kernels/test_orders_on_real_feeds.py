"""Books rebuilt from the order events of real feeds, against the books that the feeds tell themselves.

A feed begins with orders that were placed before it, and LOBSTER's says nothing of levels beyond its tenth. What a book
tells of a level that the events cannot know is taken over, as lots of unnamed orders, and not counted as found:

in view       a price at the worst level that a side of a told book shows, or better; something rests there or not
determined    a level of a told book whose price was in view of the book before (of any book before where the feed's
              events tell all levels), and was not changed since by an event without a size (an older order executed)

All else that a level holds then follows from the events alone, over any number of books.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from gpu_kernels.book.rebuild import rebuild
from gpu_kernels.orders.event import CANCELLED, CHANGED, EXECUTED, FINE, PLACED, SNAPSHOT, UNNAMED_ORDER
from gpu_kernels.orders.replay import PROBLEMS, Replay, replay
from gpu_kernels.trade.cancels import inferred_cancels
from gpu_kernels.trade.lives import NAMES, order_lives
from sources.config import parse_source
from sources.files import input_files
from sources.readers import READERS

pytestmark = pytest.mark.data

BITSTAMP = "market/bitstamp_l3_obanalytics/2015-05-01.log.xz"
LOBSTER = "market/lobster_aapl_head/AAPL_2012-06-21_34200000_57600000_message_10.csv"
ESH4 = "market/databento_es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"


def read(path: Path, kind: str, ticks: float, lots: float, **options: Any) -> pl.DataFrame:
    """Rows of a file as a reader gives them, with `time`, `ticks` and `lots`: so many to the unit of price and size."""
    source = parse_source("mine", {"kind": kind, "files": {"X": str(path)}, "max_age": "1min", **options})
    batches = [batch.rows for batch in READERS[kind](source, input_files(source, {})[0], 0, "24/7")]
    return pl.concat(batches).with_columns(
        time=pl.col("known_time").dt.epoch("ns"),
        ticks=(pl.col("price") * ticks).round().cast(pl.Int64),
        lots=(pl.col("size") * lots).round().cast(pl.Int64),
    )


COLUMNS = ("time", "order", "action", "side", "ticks", "lots")


def replayed(events: pl.DataFrame) -> Replay:
    columns = [events[name].to_numpy() for name in COLUMNS]
    columns[2:4] = [column.astype(np.int8) for column in columns[2:4]]
    return replay(*columns, np.array([0, events.height]))


def levels_of(made: Replay, levels: int, *, last: np.ndarray | None = None, at: np.ndarray | None = None) -> tuple:
    """The rebuilt book. Of one signature for all tests, as each costs a minute to compile."""
    count = len(made.side)
    return rebuild(
        made.side,
        made.price_ticks,
        made.lots,
        made.update_offsets,
        levels,
        action=made.action,
        last=np.ones(count, bool) if last is None else last,
        at=np.arange(count) if at is None else at,
    )


@dataclass
class Books:
    """Told books: the line of each in the feed; ticks and lots (books, 2, levels), bids first, best first."""

    line: np.ndarray
    ticks: np.ndarray
    lots: np.ndarray


def with_what_books_tell(events: pl.DataFrame, books: Books, *, all_levels: bool) -> tuple[pl.DataFrame, np.ndarray]:
    """The events and, after each told book, events that take over what the events before could not know; and which
    levels (books, 2, levels) they could. Rows of `events` without lots change a level by an amount that is not told."""
    resting: dict[int, tuple[int, int, int]] = {}
    named: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    untold: set[tuple[int, int]] = set()
    edge: dict[int, int] = {}
    known = np.zeros(books.ticks.shape, bool)
    made: list[tuple[Any, ...]] = []
    rows, place = events.select("line", *COLUMNS).rows(), 0
    for book, line in enumerate(books.line.tolist()):
        while place < len(rows) and rows[place][0] <= line:
            row = rows[place]
            made.append((*row, 0)) if row[-1] is not None else untold.add((row[4], row[5]))
            follow(resting, named, untold, row)
            place += 1
        time = rows[max(place - 1, 0)][1]
        for way, side in enumerate((1, -1)):
            shown = dict(zip(books.ticks[book, way].tolist(), books.lots[book, way].tolist(), strict=True))
            worst = min(shown) if side == 1 else max(shown)
            begins = edge.get(side)
            in_view = {p for p in shown if begins is not None and side * (p - begins) >= 0 and (side, p) not in untold}
            doubted = [side * price for one, price in untold if one == side]
            known[book, way] = [price in in_view and side * price > max(doubted, default=-1e18) for price in shown]
            seen = {price for one, price in {*named, *untold} if one == side and side * (price - worst) >= 0}
            seen |= set(shown)
            for price in sorted(seen - in_view):
                if begins is not None and side * (price - begins) >= 0 and (side, price) not in untold:
                    continue  # in view, nothing told there: what the events say stands
                for order, lots in named[side, price].items():
                    made.append((line, time, order, CANCELLED, side, price, lots, 1))
                    del resting[order]
                named[side, price] = {}
                made.append((line, time, UNNAMED_ORDER, CHANGED, side, price, shown.get(price, 0), 1))
                untold.discard((side, price))
            nearer = begins is not None and all_levels and side * (begins - worst) < 0
            edge[side] = begins if nearer else worst  # type: ignore[assignment]
    schema = {"line": pl.Int64, **dict.fromkeys(COLUMNS, pl.Int64), "told": pl.Int64}
    return pl.DataFrame(made, schema=schema, orient="row"), known


def follow(resting: dict, named: dict, untold: set, row: tuple[Any, ...]) -> None:
    """What rests of the named orders, by level, after an event."""
    _, _, order, action, side, ticks, lots = row
    if lots is None:
        return
    old = resting.pop(order, None)
    if old is not None:
        named[old[:2]].pop(order, None)
    elif action == CHANGED:
        untold.add((side, ticks))  # how much an older order had before is not told
    left = lots if action in (PLACED, CHANGED) else 0 if old is None else old[2] - lots
    if left > 0:
        level = (side, ticks) if action in (PLACED, CHANGED) else old[:2]
        resting[order] = (*level, left)
        named[level][order] = left


def books_at(events: pl.DataFrame, made: Replay, books: Books) -> tuple[np.ndarray, np.ndarray]:
    """(ticks, lots) of the rebuilt book just before each told one, in its shape."""
    place = events["line"].to_numpy() * 2 + events["told"].to_numpy()
    last = np.searchsorted(place, books.line * 2, "right") - 1
    at = np.searchsorted(made.event, last, "right") - 1
    bid, bid_lots, ask, ask_lots = levels_of(made, books.ticks.shape[2], at=np.maximum(at, 0))
    return np.stack([bid.T, ask.T], 1), np.stack([bid_lots.T, ask_lots.T], 1).astype(np.int64)


def problems(made: Replay) -> dict[str, int]:
    return {PROBLEMS[code]: int(count) for code, count in enumerate(np.bincount(made.problem)) if count}


def lives(events: pl.DataFrame, made: Replay) -> dict[str, float]:
    """Cancel-to-trade and lives at the last event, nothing faded."""
    time, offsets = events["time"].to_numpy(), np.array([0, events.height])
    taken, actions = made.lots_before - made.lots_left, events["action"].to_numpy().astype(np.int8)
    at = (time[-1:], np.array([0, 1]))
    found = order_lives(time, actions, made.age_ns, taken, offsets, *at, half_life_ns=10**17)
    return dict(zip(NAMES, found[:, 0].tolist(), strict=True))


def first_in_queue(events: pl.DataFrame, made: Replay) -> float:
    """Share of the executions of known orders that found nothing ahead of their order."""
    executed = (events["action"].to_numpy() == EXECUTED) & (made.problem == FINE)
    return float((made.lots_ahead[executed] == 0).mean())


@pytest.fixture(scope="module")
def bitstamp(data_root: Path) -> pl.DataFrame:
    rows = read(data_root / BITSTAMP, "bitstamp_orders", 100, 1e8)
    return rows.filter(pl.col("problem").is_null() | (pl.col("problem") == "unknown_order"))


@pytest.fixture(scope="module")
def lobster(data_root: Path) -> pl.DataFrame:
    return read(data_root / LOBSTER, "lobster", 10_000, 1, data="order", delay="1ms")


class TestBitstamp:
    def test_the_events_make_the_books_of_the_log(self, data_root: Path, bitstamp: pl.DataFrame) -> None:
        """Of 200,440 levels of 5,011 books 99.87 % are determined by the events, of these 99.72 % are equal in price
        and size; whole books: 99.90 % at the best level, 99.38 % of ten levels. All that differ are the book of 1 to 4
        messages before or of the message after: the log's books and its messages come over two channels."""
        rows = read(data_root / BITSTAMP, "bitstamp_orders", 100, 1e8, data="book")
        told = (rows[name].to_numpy().reshape(-1, 2, 20) for name in ("ticks", "lots"))
        books = Books(rows["line"].unique(maintain_order=True).to_numpy(), *told)
        untold = pl.col("problem").is_not_null()
        events = bitstamp.with_columns(lots=pl.when(untold).then(None).otherwise("lots"))
        assert events["lots"].null_count() == 22
        events, known = with_what_books_tell(events, books, all_levels=True)
        assert int(events["told"].sum()) < 200
        made = replayed(events)
        assert set(problems(made)) == {"fine", "unknown_order"}
        ticks, lots = books_at(events, made, books)
        equal = (ticks == books.ticks) & (lots == books.lots)
        assert len(equal) == 5_011
        assert known.mean() > 0.998
        assert equal[known].mean() > 0.997
        for levels, least in ((1, 0.9989), (5, 0.9963), (10, 0.9937), (20, 0.9893)):
            whole = known[:, :, :levels].all((1, 2))
            assert whole.mean() > 0.99
            assert equal[whole, :, :levels].all((1, 2)).mean() > least
        every = levels_of(made, 20)
        now = np.searchsorted(made.event, np.searchsorted(events["line"], books.line, "right")) - 1
        for book in np.flatnonzero(~(equal | ~known).all((1, 2))):
            near = slice(max(now[book] - 8, 0), now[book] + 8)
            prices = np.stack([every[0][:, near].T, every[2][:, near].T], 1)
            sizes = np.stack([every[1][:, near].T, every[3][:, near].T], 1)
            same = (prices == books.ticks[book]) & (sizes == books.lots[book])
            assert (same | ~known[book]).all((1, 2)).any(), book

    def test_queues_and_lives(self, bitstamp: pl.DataFrame) -> None:
        events = bitstamp.filter(pl.col("problem").is_null())
        made = replayed(events)
        assert problems(made)["unknown_order"] == 160
        # price and time, without exception
        assert first_in_queue(events, made) == 1.0
        found = lives(events, made)
        assert found["cancel_to_trade"] == pytest.approx(21.3, abs=0.1)
        assert found["cancel_to_trade_lots"] > 100
        assert 5 < found["median_life_cancelled"] / 1e9 < 20
        # most of the executed are aggressors, which the feed places for a moment
        assert 0.5 < found["median_life_executed"] / 1e9 < 5
        assert found["mean_life_executed"] > found["mean_life_cancelled"] > 60e9


class TestLobster:
    def test_the_messages_make_the_orderbook_file(self, data_root: Path, lobster: pl.DataFrame) -> None:
        """19,642 of 19,980 cells (98.3 %) are determined by the messages, all of which are equal in price and size."""
        told = np.loadtxt(data_root / LOBSTER.replace("message", "orderbook"), delimiter=",").astype(np.int64)
        ticks, lots = (np.stack([told[:, first + 2 :: 4], told[:, first::4]], 1) for first in (0, 1))
        books = Books(np.arange(1, len(told) + 1), ticks, lots)
        events, known = with_what_books_tell(lobster, books, all_levels=False)
        made = replayed(events)
        found, sizes = books_at(events, made, books)
        assert known.size == 19_980
        assert int(known.sum()) == 19_642
        np.testing.assert_array_equal(found[known], ticks[known])
        np.testing.assert_array_equal(sizes[known], lots[known])

    def test_queues_and_lives(self, lobster: pl.DataFrame) -> None:
        made = replayed(lobster)
        assert problems(made) == {"fine": 929, "unknown_order": 9}
        assert first_in_queue(lobster, made) == 1.0
        found = lives(lobster, made)
        assert found["cancel_to_trade"] == pytest.approx(3.87, abs=0.01)
        assert found["cancel_to_trade_lots"] == pytest.approx(3.49, abs=0.01)
        assert 0.1 < found["median_life_cancelled"] / 1e9 < 0.5
        assert found["mean_life_cancelled"] / 1e9 == pytest.approx(0.74, abs=0.01)

    def test_cancels_inferred_from_levels_are_the_real_ones(self, data_root: Path, lobster: pl.DataFrame) -> None:
        """Where trades carry the time of the update that they caused, the levels and trades alone tell each cancel."""
        trades = read(data_root / LOBSTER, "lobster", 10_000, 1, data="trade", delay="1ms")
        made = replayed(lobster)
        columns = [trades[name].to_numpy() for name in ("time", "ticks", "lots", "side")]
        cancelled, executed = inferred_cancels(
            lobster["time"].to_numpy()[made.event],
            made.price_ticks,
            made.lots,
            made.side,
            made.action,
            made.update_offsets,
            *columns,
            np.array([0, trades.height]),
            patience_ns=10**6,
        )
        known = (made.problem == FINE)[made.event]
        taken = (made.lots_before - made.lots_left)[made.event]
        for found, action in ((cancelled, CANCELLED), (executed, EXECUTED)):
            truth = np.where(lobster["action"].to_numpy()[made.event] == action, taken, 0)
            assert (truth[known] > 0).sum() > 80
            np.testing.assert_array_equal(found[known], truth[known])


class TestEmini:
    def test_after_the_open_no_order_is_unknown_and_no_whole_message_crosses(self, data_root: Path) -> None:
        """Before the open orders pile up across each other and nothing matches; at the open, the auction's own
        message is the last that leaves the book crossed."""
        events = read(data_root / ESH4, "databento_dbn", 4, 1, data="order")
        made = replayed(events)
        assert problems(made) == {"fine": 59_542}
        assert events["action"][0] == SNAPSHOT
        # one in ten is not: trades of spreads, matched outside of this book's queue, would be such
        assert 0.90 < first_in_queue(events, made) < 0.91
        opened = int(np.datetime64("2023-12-25T23:00:00", "ns").astype(np.int64))
        last = (made.whole == 1) & events["last"].to_numpy()[made.event]
        at = np.flatnonzero(last)
        bid, bid_lots, ask, ask_lots = levels_of(made, 10, last=last, at=at)
        time = events["time"].to_numpy()[made.event[at]]
        crossed = (bid[0] >= ask[0]) & (ask[0] >= 0)
        assert crossed[time < opened].sum() > 800
        assert (time[crossed] - opened).max() < 100_000
        assert (crossed & (time >= opened)).sum() == 1
        later = time - opened > 100_000
        assert later.sum() > 40_000
        assert (bid_lots[:, later] > 0).all()
        assert (ask_lots[:, later] > 0).all()
        spread = (ask - bid)[0, later]
        assert (spread == 1).mean() > 0.89
        assert spread.max() <= 4
