"""From the loop's rows to the canonical tables and the truth."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.schema import EXECUTED, TABLES, TIME
from sources.simulate.draws import Stream, key_of, normal, uniform, words
from sources.simulate.orders import engine, flow, matching
from sources.simulate.orders.config import NOTHING, NS, OrderMarket, OrderSimulation
from sources.simulate.orders.episodes import PLANTED, SPOOFS, Episode, actions_of, plan_session
from sources.simulate.orders.matching import Book

Integers = NDArray[np.int64]

_NORMALS, _LATENCIES, _KEY = 1_000, 1_001, 1_002  # purposes of draws beside those of episodes
_MARGIN = 1_500  # ticks of the window beyond the value's range
_IDS = 10**9  # identifiers of a session's orders


@dataclass(frozen=True)
class SimulatedOrders:
    """A simulated level-3 feed and the truth behind it.

    order_event, book_update, trade, quote   the canonical tables of `sources.schema`: the same market four times over;
        row i of book_update follows from row i of order_event, each `trade` is an EXECUTED order event with the
        aggressor's side, `quote` has a row where a message changed the best prices or sizes
    truth   one row an episode, see `TRUTH`
    """

    config: OrderSimulation
    order_event: pl.DataFrame
    book_update: pl.DataFrame
    trade: pl.DataFrame
    quote: pl.DataFrame
    truth: pl.DataFrame


TRUTH: dict[str, pl.DataType] = {
    "entity": pl.String(),
    "session": pl.Date(),
    "kind": pl.String(),  # a key of `episodes.KINDS`
    "is_decoy": pl.Boolean(),
    "start": TIME,  # a large order's first placement; when a withdrawal begins
    "end": TIME,  # when its last order was cancelled or executed; when withdrawn orders begin to come back
    "side": pl.Int8(),  # of the large orders or of the thinned side, +1 bid, -1 ask; 0 both or neither
    "strength": pl.Float64(),  # typical level sizes, share of the depth, or ticks (jump)
    "size": pl.Float64(),  # total size that the large orders were placed with
    "filled": pl.Float64(),  # of it, what was executed
    "opposite": pl.Float64(),  # what the actor traded on the other side before its orders were gone
    "level_size": pl.Float64(),  # typical size of one of the five best levels when it began: the unit of strength
    "orders": pl.List(pl.Int64()),  # the large orders
}


def simulate_orders(config: OrderSimulation) -> SimulatedOrders:
    """Simulate every market and session of a config: the same tables for the same config.

    A market's sessions do not depend on other markets, nor a session on the sessions after it.
    Missing values: none.
    Raises ConfigError where a session is too short for its episodes.
    """
    parts: dict[str, list[pl.DataFrame]] = {
        name: [] for name in ("order_event", "book_update", "trade", "quote", "truth")
    }
    for market in config.markets:
        for number, (session, opened) in enumerate(config.days()):
            for name, table in _session(config, market, number, session, opened).items():
                parts[name].append(table)
    return SimulatedOrders(config=config, **{name: pl.concat(tables) for name, tables in parts.items()})


def _session(
    config: OrderSimulation, market: OrderMarket, number: int, session: date, opened: int
) -> dict[str, pl.DataFrame]:
    """The tables of one session."""
    duration = round(config.duration * NS)
    book, episodes, since, typical, base = _play(config, market, number, duration)
    rows = book.rows[: book.counters[matching.ROWS]]
    whole = np.append(rows[1:, matching.MESSAGE] != rows[:-1, matching.MESSAGE], True)
    ids = number * _IDS + 1
    frames = _frames(config, market, number, rows, whole, opened, base, ids)
    tables = {
        name: frame.with_columns(entity=pl.lit(market.entity), session=pl.lit(session)).select(
            pl.col(column).cast(kind) for column, kind in TABLES[name].schema.items()
        )
        for name, frame in frames.items()
    }
    tables["truth"] = _truth(market, session, opened, episodes, book, since, typical, ids)
    return tables


def _play(
    config: OrderSimulation, market: OrderMarket, number: int, duration: int
) -> tuple[Book, list[Episode], Integers, NDArray[np.float64], int]:
    """Run the loop, in arrays that are long enough; (book, episodes, first orders, typical sizes, first tick)."""
    name = key_of(market.entity)

    def drawn(purpose: int, count: int) -> Integers:
        return words(config.seed, Stream.ORDERS, name, number, purpose, count=count)

    quietest = round(0.55 * duration)
    plan = NOTHING.model_copy(update={"lull": config.plan.lull}) if number < config.quiet_sessions else config.plan
    episodes = plan_session(plan, market, config.seed, number, duration, quietest)
    key = np.uint64(drawn(_KEY, 1)[0])
    times = flow.arrival_times(market, key ^ np.uint64(0xA5A5A5A5), duration)
    points = flow.grid_length(duration)
    values = flow.latent_value(
        market, normal(drawn(_NORMALS, 3 * (points + points // 100 + 1))), duration, episodes, config.effects
    )
    base = int(values.min()) - _MARGIN
    actions = actions_of(episodes)
    lives, distances, limits, markets = flow.quantile_tables(market.lot_size_median)
    room = 20_000 + int(1.5 * len(times))
    while True:
        book = matching.empty_book(int(values.max()) + _MARGIN - base, room, 3 * room, len(episodes))
        since = np.full(len(episodes), -1, dtype=np.int64)
        typical = np.zeros(1 + len(episodes))
        status = engine.run(
            book,
            key,
            times,
            values,
            base,
            duration,
            (lives, distances, limits, markets),
            (market.market_share, market.icebergs),
            max(1, market.lot_size_median // 4),
            actions,
            since,
            np.array([episode.kind in SPOOFS for episode in episodes], dtype=np.bool_),
            np.array([episode.strength for episode in episodes], dtype=np.float64),
            config.effects,
            typical,
        )
        if status == engine.DONE:
            return book, episodes, since, typical, base
        room *= 2


def _known(
    config: OrderSimulation, entity: str, number: int, feed: int, messages: Integers, times: Integers
) -> Integers:
    """When each row was known: one delay per message of a feed (half the median and an exponential rest), no message
    before the one before it."""
    if len(times) == 0:
        return times
    first = np.append(True, messages[1:] != messages[:-1])
    at = np.cumsum(first) - 1
    draws = uniform(words(config.seed, Stream.ORDERS, key_of(entity), number, _LATENCIES, feed, count=int(at[-1]) + 1))
    median = config.latency * 1e6
    delay = np.rint(0.5 * median - 0.5 * median / np.log(2.0) * np.log1p(-draws)).astype(np.int64)
    return np.asarray(np.maximum.accumulate(times + delay[at]), dtype=np.int64)


def _frames(
    config: OrderSimulation,
    market: OrderMarket,
    number: int,
    rows: Integers,
    whole: NDArray[np.bool_],
    opened: int,
    base: int,
    ids: int,
) -> dict[str, pl.DataFrame]:
    """The four feeds of a session, without its entity and session."""

    def clocks(feed: int, chosen: Integers) -> dict[str, pl.Series]:
        times = opened + chosen[:, matching.TIME]
        known = _known(config, market.entity, number, feed, chosen[:, matching.MESSAGE], times)
        return {"event_time": pl.Series(times).cast(TIME), "known_time": pl.Series(known).cast(TIME)}

    def price(column: Integers) -> NDArray[np.float64]:
        return np.asarray((column + base) / float(market.ticks_per_unit), dtype=np.float64)

    def size(column: Integers) -> NDArray[np.float64]:
        return np.asarray(column / float(market.lots_per_unit), dtype=np.float64)

    book_clocks = clocks(0, rows)
    side = 1 - 2 * rows[:, matching.SIDE]
    level = {
        **book_clocks,
        "sequence": np.arange(1, len(rows) + 1),
        "side": side,
        "price": price(rows[:, matching.TICK]),
        "last": whole,
    }
    executed = rows[rows[:, matching.ACTION] == EXECUTED]
    best = rows[whole]
    quoted = best[:, [matching.BID, matching.BID_LOTS, matching.ASK, matching.ASK_LOTS]]
    changed = best[np.append(True, (quoted[1:] != quoted[:-1]).any(axis=1))] if len(best) else best
    return {
        "order_event": pl.DataFrame(
            {
                **level,
                "order": ids + rows[:, matching.ORDER],
                "action": rows[:, matching.ACTION],
                "size": size(rows[:, matching.LOTS]),
            }
        ),
        "book_update": pl.DataFrame({**level, "action": np.zeros_like(side), "size": size(rows[:, matching.LEVEL])}),
        "trade": pl.DataFrame(
            {
                **clocks(1, executed),
                "price": price(executed[:, matching.TICK]),
                "size": size(executed[:, matching.LOTS]),
                "side": 2 * executed[:, matching.SIDE] - 1,
            }
        ),
        "quote": pl.DataFrame(
            {
                **clocks(2, changed),
                "bid_price": price(changed[:, matching.BID]),
                "bid_size": size(changed[:, matching.BID_LOTS]),
                "ask_price": price(changed[:, matching.ASK]),
                "ask_size": size(changed[:, matching.ASK_LOTS]),
            }
        ),
    }


def _truth(
    market: OrderMarket,
    session: date,
    opened: int,
    episodes: list[Episode],
    book: Book,
    since: Integers,
    typical: NDArray[np.float64],
    ids: int,
) -> pl.DataFrame:
    """What happened in each episode, by start."""
    used = book.counters[matching.ORDERS]
    large = np.flatnonzero(
        (book.orders[:used, matching.OWNER] >= 0) & (book.orders[:used, matching.ROLE] == matching.LARGE)
    )
    found = []
    for number, episode in enumerate(episodes):
        orders = large[book.orders[large, matching.OWNER] == number]
        start = int(book.episodes[number, matching.FIRST]) if since[number] >= 0 else episode.start
        ended, filled, laid = (
            int(book.episodes[number, at]) for at in (matching.ENDED, matching.FILLED, matching.LAID)
        )
        end = episode.end if ended < 0 or (episode.kind == "large_stays" and filled < laid) else ended
        lots = float(market.lots_per_unit)
        found.append(
            {
                "entity": market.entity,
                "session": session,
                "kind": episode.kind,
                "is_decoy": episode.kind not in PLANTED,
                "start": opened + start,
                "end": opened + max(end, start),
                "side": episode.side,
                "strength": episode.strength,
                "size": book.episodes[number, matching.LAID] / lots,
                "filled": book.episodes[number, matching.FILLED] / lots,
                "opposite": book.episodes[number, matching.OPPOSITE] / lots,
                "level_size": typical[1 + number] / lots,
                "orders": [ids + int(order) for order in orders],
            }
        )
    plain = {name: pl.Int64() if kind == TIME else kind for name, kind in TRUTH.items()}
    return (
        pl.DataFrame(found, schema=plain).cast({"start": TIME, "end": TIME}).sort("start", "kind", maintain_order=True)
    )
