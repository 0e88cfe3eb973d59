"""The simulated level-3 market: its tables agree with each other, and its truth with its tables."""

from datetime import date, time
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from gpu_kernels.errors import ConfigError
from sources.schema import CANCELLED, EXECUTED, PLACED, TABLES
from sources.simulate.orders import NOTHING, EpisodePlan, OrderMarket, OrderSimulation, simulate_orders
from sources.simulate.orders.episodes import KINDS, PLANTED
from sources.simulate.orders.flow import activity
from sources.simulate.orders.market import TRUTH, SimulatedOrders

SECOND = 10**9
PLAN = EpisodePlan(
    spoof=4,
    layering=3,
    drought=2,
    large_stays=1,
    large_executed=2,
    large_late=1,
    flicker=1,
    one_sided=1,
    short_gap=1,
    jump=1,
    drought_seconds=(10, 30),
)
CONFIG = OrderSimulation(sessions=3, quiet_sessions=1, duration=900, plan=PLAN)
FEEDS = ("order_event", "book_update", "trade", "quote")


@pytest.fixture(scope="module")
def found() -> SimulatedOrders:
    return simulate_orders(CONFIG)


@pytest.fixture(scope="module")
def plain() -> SimulatedOrders:
    """A default session without episodes."""
    return simulate_orders(OrderSimulation(sessions=1, quiet_sessions=1))


def small(seed: int, **market: Any) -> OrderSimulation:
    plan = EpisodePlan(spoof=2, layering=1, drought=1, one_sided=0, jump=1, flicker=1, drought_seconds=(10, 20))
    return OrderSimulation(
        seed=seed, sessions=1, quiet_sessions=0, duration=400, plan=plan, markets=(OrderMarket(**market),)
    )


def ns(column: pl.Series) -> np.ndarray:
    return column.to_physical().to_numpy()


def mid_at(quote: pl.DataFrame, times: Any) -> np.ndarray:
    mid = ((quote["bid_price"] + quote["ask_price"]) / 2).to_numpy()
    return mid[np.searchsorted(ns(quote["event_time"]), times, side="right") - 1]


class NaiveBook:
    """Orders in plain dicts, in the order of their queues; sizes in lots."""

    def __init__(self, lots_per_unit: int) -> None:
        self.unit = lots_per_unit
        self.levels: dict[int, dict[float, dict[int, int]]] = {1: {}, -1: {}}

    def best(self, side: int) -> float:
        return max(self.levels[1]) if side > 0 else min(self.levels[-1])

    def total(self, side: int, price: float) -> int:
        return sum(self.levels[side].get(price, {}).values())

    def apply(self, order: int, action: int, side: int, price: float, size: float) -> None:
        lots = round(size * self.unit)
        assert lots > 0
        if action == PLACED:
            assert order not in self.levels[side].setdefault(price, {})
            self.levels[side][price][order] = lots
            return
        queue = self.levels[side][price]
        if action == EXECUTED:
            assert price == self.best(side), "executed behind the touch"
            assert order == next(iter(queue)), "executed out of turn"
        queue[order] -= lots
        assert queue[order] >= 0
        if queue[order] == 0:
            del queue[order]
        if not queue:
            del self.levels[side][price]


def replay(found: SimulatedOrders, lots_per_unit: int) -> None:
    """Every event through naive books of both levels, side by side, one session after another."""
    for (session,), events in found.order_event.group_by("session", maintain_order=True):
        updates = found.book_update.filter(pl.col("session") == session)
        orders, levels = NaiveBook(lots_per_unit), {1: {}, -1: {}}
        quotes = []
        columns = events.select(
            pl.col("event_time").to_physical(), "order", "action", "side", "price", "size", "last"
        ).iter_rows()
        for (when, order, action, side, price, size, last), (set_side, set_price, set_size) in zip(
            columns, updates.select("side", "price", "size").iter_rows(), strict=True
        ):
            orders.apply(order, action, side, price, size)
            assert (set_side, set_price) == (side, price)
            if set_size == 0:
                levels[side].pop(price, None)
            else:
                levels[side][price] = round(set_size * lots_per_unit)
            assert levels[side].get(price, 0) == orders.total(side, price)
            if orders.levels[1] and orders.levels[-1]:
                assert orders.best(1) < orders.best(-1), "crossed"
            if last:
                best = [(orders.best(way), orders.total(way, orders.best(way)) / lots_per_unit) for way in (1, -1)]
                row = (best[0][0], best[0][1], best[1][0], best[1][1])
                if not quotes or quotes[-1][1] != row:
                    quotes.append((when, row))
        assert {side: set(levels[side]) for side in levels} == {side: set(orders.levels[side]) for side in levels}
        quoted = found.quote.filter(pl.col("session") == session)
        assert quoted.select("bid_price", "bid_size", "ask_price", "ask_size").rows() == [row for _, row in quotes]
        assert ns(quoted["event_time"]).tolist() == [at for at, _ in quotes]


class TestTables:
    def test_are_canonical(self, found: SimulatedOrders) -> None:
        for name in FEEDS:
            table = getattr(found, name)
            assert dict(table.schema) == TABLES[name].schema
            assert sum(table.null_count().row(0)) == 0
            assert (table["known_time"] >= table["event_time"]).all()
            for part in table.partition_by("entity", "session"):
                assert part["known_time"].is_sorted()
                assert part["event_time"].is_sorted()
        assert dict(found.truth.schema) == TRUTH

    def test_sequences_count_from_one_in_each_session(self, found: SimulatedOrders) -> None:
        for name in ("order_event", "book_update"):
            for part in getattr(found, name).partition_by("session"):
                assert part["sequence"].to_list() == list(range(1, part.height + 1))

    def test_a_message_ends_once_and_shares_its_clocks(self, found: SimulatedOrders) -> None:
        for part in found.order_event.partition_by("session"):
            assert part["last"][-1]
            message = part["last"].shift(1, fill_value=False).cum_sum()
            clocks = part.group_by(message.alias("message")).agg(pl.col("event_time", "known_time").n_unique())
            assert clocks["event_time"].max() == clocks["known_time"].max() == 1

    def test_order_identifiers_differ_over_sessions(self, found: SimulatedOrders) -> None:
        placed = found.order_event.filter(pl.col("action") == PLACED)
        assert placed["order"].n_unique() == placed.height

    def test_latency_is_about_what_was_asked(self, found: SimulatedOrders) -> None:
        delay = (found.quote["known_time"] - found.quote["event_time"]).dt.total_nanoseconds() / 1e6
        assert delay.min() >= 1.0
        assert 1.9 < delay.median() < 2.6

    @pytest.mark.parametrize(
        ("seed", "market"),
        [
            (0, {}),
            (1, {"icebergs": 0.5, "market_share": 0.2}),
            (2, {"clustering": 0.9, "volatility": 4.0}),
            (3, {"arrivals": 60.0, "clustering": 0.0, "ticks_per_unit": 100, "price": 25.0, "lots_per_unit": 1}),
            (4, {"volatility": 0.0, "day_pattern": 0.0, "lot_size_median": 4}),
            (5, {"arrivals": 2.0, "volatility": 10.0}),
        ],
    )
    def test_books_of_both_levels_agree_at_every_event(self, seed: int, market: dict[str, Any]) -> None:
        config = small(seed, **market)
        replay(simulate_orders(config), config.markets[0].lots_per_unit)

    def test_books_agree_over_sessions(self, found: SimulatedOrders) -> None:
        replay(found, 1000)

    def test_every_execution_is_a_trade_of_the_other_side(self, found: SimulatedOrders) -> None:
        executed = found.order_event.filter(pl.col("action") == EXECUTED).with_columns(side=-pl.col("side"))
        columns = ["entity", "session", "event_time", "price", "size", "side"]
        assert executed.height > 100
        assert found.trade.select(columns).equals(executed.select(columns))

    def test_icebergs_show_their_next_part_at_the_end_of_the_queue(self) -> None:
        with_, without = (simulate_orders(small(1, icebergs=share)).order_event for share in (0.5, 0.0))
        refilled = [
            events.filter(
                (pl.col("action") == PLACED) & (pl.col("action").shift(1) == EXECUTED) & ~pl.col("last").shift(1)
            )
            for events in (with_, without)
        ]
        assert refilled[0].height > 20
        assert refilled[1].height == 0


class TestSameDraws:
    def test_same_config_gives_same_tables(self, found: SimulatedOrders) -> None:
        again = simulate_orders(CONFIG)
        for name in (*FEEDS, "truth"):
            assert getattr(found, name).equals(getattr(again, name))

    def test_another_seed_gives_another_market(self) -> None:
        assert not simulate_orders(small(0)).order_event.equals(simulate_orders(small(1)).order_event)

    def test_later_sessions_and_other_markets_change_nothing(self, found: SimulatedOrders) -> None:
        markets = (OrderMarket(entity="OTHER"), OrderMarket())
        fewer = simulate_orders(CONFIG.model_copy(update={"sessions": 2, "markets": markets}))
        days = fewer.truth["session"].unique()
        for name in (*FEEDS, "truth"):
            ours = getattr(fewer, name).filter(pl.col("entity") == "SIMBTC")
            assert ours.equals(getattr(found, name).filter(pl.col("session").is_in(days.implode())))

    def test_effects_off_keep_every_draw(self, found: SimulatedOrders) -> None:
        off = simulate_orders(CONFIG.model_copy(update={"effects": False}))
        plan = ["session", "kind", "is_decoy", "side", "strength"]
        by = ["session", "kind", "strength"]
        assert off.truth.select(plan).sort(by).equals(found.truth.select(plan).sort(by))
        for part in found.truth.partition_by("session"):
            session = part["session"][0]
            effective = part.filter(pl.col("kind").is_in(list(PLANTED)))["start"].min()
            on_rows, off_rows = (run.order_event.filter(pl.col("session") == session) for run in (found, off))
            if effective is None:
                assert on_rows.equals(off_rows)  # a quiet session
            else:
                before = pl.col("event_time") < effective
                assert on_rows.filter(before).height > 100
                assert on_rows.filter(before).equals(off_rows.filter(before))
                assert not on_rows.equals(off_rows)

    def test_a_spoof_pulls_the_price_and_lets_it_fall_back_beyond(self) -> None:
        plan = NOTHING.model_copy(update={"spoof": 12, "spoof_strength": (15.0, 20.0), "spoof_seconds": (5.0, 10.0)})
        quiet = OrderMarket(volatility=0.0, day_pattern=0.0)
        runs = [
            simulate_orders(
                OrderSimulation(sessions=4, quiet_sessions=0, duration=900, plan=plan, markets=(quiet,), effects=on)
            )
            for on in (True, False)
        ]
        moves = []
        for run in runs:
            rows = []
            for truth in run.truth.filter(pl.col("kind") == "spoof").partition_by("session"):
                quote = run.quote.filter(pl.col("session") == truth["session"][0])
                start, end, side = ns(truth["start"]), ns(truth["end"]), truth["side"].to_numpy()
                during = side * (mid_at(quote, end - 1) - mid_at(quote, start - 1))
                after = side * (mid_at(quote, end + 12 * SECOND) - mid_at(quote, end - 1))
                rows.append([during.mean(), after.mean()])
            moves.append(np.mean(rows, axis=0))
        difference = moves[0] - moves[1]
        assert difference[0] > 0.5, moves
        assert difference[1] < -1.0, moves

    def test_a_drought_shakes_the_price(self) -> None:
        plan = NOTHING.model_copy(
            update={"drought": 3, "drought_strength": (0.6, 0.9), "drought_seconds": (60.0, 90.0)}
        )
        ratio = []
        for on in (True, False):
            run = simulate_orders(OrderSimulation(sessions=4, quiet_sessions=0, duration=900, plan=plan, effects=on))
            spread = []
            for truth in run.truth.filter(pl.col("kind") == "drought").partition_by("session"):
                quote = run.quote.filter(pl.col("session") == truth["session"][0])
                for start, end in zip(ns(truth["start"]), ns(truth["end"]), strict=True):
                    spread += [np.diff(mid_at(quote, np.arange(start, end, 5 * SECOND))).std()]
            ratio.append(np.mean(spread))
        assert ratio[0] > 1.3 * ratio[1], ratio


class TestTruth:
    def test_kinds_and_counts_are_the_plan(self, found: SimulatedOrders) -> None:
        assert set(KINDS) == set(found.truth["kind"].unique())
        for part in found.truth.partition_by("session"):
            quiet = part["session"][0] == CONFIG.start
            counts = dict(part.group_by("kind").len().iter_rows())
            assert counts == ({"lull": 1} if quiet else {kind: getattr(PLAN, kind) for kind in KINDS})
        assert (found.truth["is_decoy"] != found.truth["kind"].is_in(list(PLANTED))).all()
        assert (found.truth["start"] <= found.truth["end"]).all()

    def test_episodes_that_touch_the_market_do_not_overlap(self, found: SimulatedOrders) -> None:
        apart = found.truth.filter(~pl.col("kind").is_in(["lull", "large_stays", "large_late"]))
        for part in apart.partition_by("session"):
            rows = list(zip(ns(part["start"]), ns(part["end"]), strict=True))
            assert all(end < start for (_, end), (start, _) in pairwise(rows))

    @staticmethod
    def events_of(found: SimulatedOrders, row: dict[str, Any]) -> pl.DataFrame:
        return found.order_event.filter(pl.col("order").is_in(row["orders"]))

    def of_kind(self, found: SimulatedOrders, *kinds: str) -> list[tuple[dict[str, Any], pl.DataFrame]]:
        rows = found.truth.filter(pl.col("kind").is_in(list(kinds))).to_dicts()
        assert rows
        return [(row, self.events_of(found, row)) for row in rows]

    def test_large_orders_have_the_size_and_strength_that_is_told(self, found: SimulatedOrders) -> None:
        for row, events in self.of_kind(found, "spoof", "layering", "large_stays", "large_executed", "large_late"):
            placed = events.filter(pl.col("action") == PLACED)
            assert placed["order"].sort().to_list() == sorted(row["orders"])
            assert set(events["side"]) == {row["side"]}
            assert placed["size"].sum() == pytest.approx(row["size"])
            # each order is rounded to whole lots, of the level size when it was placed
            assert row["size"] / row["level_size"] == pytest.approx(row["strength"], rel=0.03)
            assert events.filter(pl.col("action") == EXECUTED)["size"].sum() == pytest.approx(row["filled"])
            assert placed["event_time"].min() == row["start"]

    def test_spoofs_lie_away_from_the_touch_and_vanish_unfilled(self, found: SimulatedOrders) -> None:
        shortest = []
        for row, events in self.of_kind(found, "spoof", "layering"):
            quote = found.quote.filter(pl.col("session") == row["session"])
            first = events.row(0, named=True)
            before = quote.filter(pl.col("event_time") < first["event_time"]).row(-1, named=True)
            best = before["bid_price"] if row["side"] > 0 else before["ask_price"]
            assert 3 <= (best - first["price"]) * row["side"] <= 8
            levels = events.filter(pl.col("action") == PLACED)["price"].n_unique()
            assert levels <= 2 if row["kind"] == "spoof" else levels >= 2
            assert row["filled"] == 0
            gone = events.filter(pl.col("action") == CANCELLED)
            assert gone["size"].sum() == pytest.approx(row["size"])
            assert gone["event_time"].max() == row["end"]
            shortest.append((row["end"] - row["start"]).total_seconds())
        assert 0 < min(shortest) <= max(shortest) < 10.5

    def test_the_spoofer_leaves_when_the_price_comes(self) -> None:
        plan = NOTHING.model_copy(update={"spoof": 10, "spoof_distance": (3, 3), "spoof_seconds": (8.0, 10.0)})
        config = OrderSimulation(
            sessions=1, quiet_sessions=0, duration=900, plan=plan, markets=(OrderMarket(volatility=4.0),)
        )
        run = simulate_orders(config)
        spoofs = run.truth.filter(pl.col("kind") == "spoof")
        lasted = (spoofs["end"] - spoofs["start"]).dt.total_nanoseconds() / 1e9
        assert (lasted < 7.9).sum() >= 3  # planned for eight seconds and more
        assert (spoofs["opposite"] > 0).all()
        assert spoofs["filled"].sum() < 0.2 * spoofs["size"].sum()
        orders = spoofs["orders"].explode().to_list()
        for events in run.order_event.filter(pl.col("order").is_in(orders)).partition_by("order"):
            assert events["action"][-1] in {CANCELLED, EXECUTED}

    def test_the_spoofer_trades_on_the_other_side_meanwhile(self, found: SimulatedOrders) -> None:
        for row, _ in self.of_kind(found, "spoof", "layering"):
            assert row["opposite"] > 0
            inside = pl.col("event_time").is_between(row["start"], row["end"])
            trades = found.trade.filter((pl.col("session") == row["session"]) & inside)
            # as aggressor against its own lean, or resting and taken by who believes it
            assert trades["size"].sum() >= row["opposite"] - 1e-9

    def test_decoys_are_what_they_are_called(self, found: SimulatedOrders) -> None:
        for row, events in self.of_kind(found, "large_stays"):
            assert CANCELLED not in events["action"].to_list()
            assert row["filled"] == pytest.approx(row["size"]) or row["end"].time() == time(8, 15)
        for row, events in self.of_kind(found, "large_executed"):
            assert CANCELLED not in events["action"].to_list()
            assert row["filled"] == pytest.approx(row["size"])
        for row, events in self.of_kind(found, "large_late"):
            assert row["opposite"] == 0
            if row["filled"] == 0:
                assert (row["end"] - row["start"]).total_seconds() >= 39
                assert set(events["action"]) == {PLACED, CANCELLED}
        for _, events in self.of_kind(found, "flicker"):
            lives = events.group_by("order").agg(life=(pl.col("event_time").max() - pl.col("event_time").min()))
            assert lives.height >= 5
            assert lives["life"].max().total_seconds() <= 0.05

    def test_a_jump_moves_the_price_at_once_and_the_book_refills(self, found: SimulatedOrders) -> None:
        for row, _ in self.of_kind(found, "jump"):
            quote = found.quote.filter(pl.col("session") == row["session"])
            start = ns(pl.Series([row["start"]], dtype=TRUTH["start"]))[0]
            moved = row["side"] * (mid_at(quote, start + SECOND // 2) - mid_at(quote, start - SECOND // 2))
            assert moved >= 0.4 * row["strength"]
            after = quote.filter(ns_between(start + SECOND // 4, start + SECOND // 2))
            assert (after["ask_price"] - after["bid_price"]).median() <= 3

    def test_the_lull_is_the_quietest_time_and_as_thin_without_anything_planted(self) -> None:
        plain = simulate_orders(OrderSimulation(sessions=2, quiet_sessions=2, duration=1800))
        assert set(plain.truth["kind"]) == {"lull"}
        for row in plain.truth.to_dicts():
            placed = plain.order_event.filter((pl.col("session") == row["session"]) & (pl.col("action") == PLACED))
            inside = placed.filter(pl.col("event_time").is_between(row["start"], row["end"])).height
            assert inside < 0.75 * placed.height / 10


def ns_between(start: int, end: int) -> pl.Expr:
    return pl.col("event_time").to_physical().is_between(start, end)


class TestWithdrawals:
    """How much is withdrawn, in identical markets that differ in the strength alone; counted on the orders."""

    @staticmethod
    def measure(kind: str, share: float) -> pl.DataFrame:
        """Of the orders that rest when it begins: the share of each side cancelled before a third of it has passed."""
        plan = NOTHING.model_copy(
            update={kind: 2, "drought_strength": (share, share), "drought_seconds": (30.0, 60.0), "lull": 0}
        )
        run = simulate_orders(OrderSimulation(sessions=2, quiet_sessions=0, duration=600, plan=plan))
        rows = []
        for row in run.truth.to_dicts():
            events = run.order_event.filter(pl.col("session") == row["session"])
            latest = row["start"] + (row["end"] - row["start"]) * (0.6 if kind != "short_gap" else 0.9)
            lives = events.group_by("order", "side").agg(
                born=pl.col("event_time").first(),
                died=pl.col("event_time").last(),
                left=pl.when(pl.col("action") == PLACED).then(pl.col("size")).otherwise(-pl.col("size")).sum(),
                cancelled=pl.col("action").last() == CANCELLED,
            )
            over = pl.col("left").abs() < 1e-9
            resting = lives.filter((pl.col("born") < row["start"]) & (~over | (pl.col("died") >= row["start"])))
            gone = resting.with_columns(gone=over & pl.col("cancelled") & (pl.col("died") < latest))
            quote = run.quote.filter(pl.col("session") == row["session"])
            spread, times = (quote["ask_price"] - quote["bid_price"]).to_numpy(), ns(quote["event_time"])
            start, end = ns(pl.Series([row["start"], row["end"]], dtype=TRUTH["start"]))
            inside = spread[np.searchsorted(times, np.linspace(start + 0.6 * (end - start), end - 1, 200)) - 1].mean()
            before = spread[np.searchsorted(times, np.linspace(start - 20 * SECOND, start - 1, 200)) - 1].mean()
            for (side,), part in gone.group_by("side"):
                rows.append(
                    {"side": side, "thinned": row["side"], "gone": part["gone"].mean(), "wider": inside / before}
                )
        return pl.DataFrame(rows)

    def test_a_stronger_drought_withdraws_more_on_both_sides_and_widens_the_spread(self) -> None:
        measured = {share: self.measure("drought", share) for share in (0.3, 0.6, 0.9)}
        for share, table in measured.items():
            assert (table["gone"] > share - 0.08).all()
        gone = [table["gone"].mean() for table in measured.values()]
        wider = [table["wider"].mean() for table in measured.values()]
        assert gone == sorted(gone)
        assert wider[2] > 2.0 > wider[0] > 0.9
        assert wider[2] > wider[1]

    def test_one_sided_thinning_leaves_the_other_side(self) -> None:
        table = self.measure("one_sided", 0.9)
        thinned = table.filter(pl.col("side") == pl.col("thinned"))["gone"]
        left = table.filter(pl.col("side") != pl.col("thinned"))["gone"]
        assert thinned.min() > 0.85
        assert left.mean() < 0.65

    def test_a_short_gap_is_over_within_a_second(self) -> None:
        table = self.measure("short_gap", 0.9)
        assert table["gone"].min() > 0.85
        run = simulate_orders(CONFIG).truth.filter(pl.col("kind") == "short_gap")
        assert (run["end"] - run["start"]).max().total_seconds() < 1


class TestStylisedFacts:
    """The ranges are what docs/simulated_order_book.md states for the default market."""

    def test_orders(self, plain: SimulatedOrders) -> None:
        events = plain.order_event
        opened = events["event_time"][0]
        orders = events.group_by("order").agg(
            born=pl.col("event_time").first(),
            life=(pl.col("event_time").last() - pl.col("event_time").first()).dt.total_nanoseconds() / 1e9,
            placed=pl.col("size").first(),
            cancelled=pl.col("size").filter(pl.col("action") == CANCELLED).sum(),
            executed=pl.col("size").filter(pl.col("action") == EXECUTED).sum(),
        )
        done = orders.filter(
            (pl.col("born") > opened) & ((pl.col("cancelled") + pl.col("executed") - pl.col("placed")).abs() < 1e-9)
        )
        assert 0.88 < (done["executed"] == 0).mean() < 0.98
        assert done["life"].quantile(0.1) < 0.5
        assert 2 < done["life"].median() < 12
        assert done["life"].quantile(0.99) > 100
        assert orders["placed"].quantile(0.999) > 20 * orders["placed"].median()

    def test_arrivals_cluster_and_follow_the_hour(self, plain: SimulatedOrders) -> None:
        times = ns(plain.order_event.filter(pl.col("event_time") > pl.col("event_time").first())["event_time"])
        counts = np.bincount((times - times[0]) // SECOND)[:-1]
        middle = counts[1500:2400]
        assert middle.var() / middle.mean() > 3  # a Poisson process has 1
        tenths = np.array([part.sum() for part in np.array_split(counts, 10)])
        assert tenths[[0, -1]].min() > 1.5 * tenths[5]

    def test_prices(self, plain: SimulatedOrders) -> None:
        quote = plain.quote
        spread, times = (quote["ask_price"] - quote["bid_price"]).to_numpy(), ns(quote["event_time"])
        held = np.diff(times)
        assert 0.45 < held[spread[:-1] == 1].sum() / held.sum() < 0.95
        grid = np.arange(times[0], times[-1], 10 * SECOND)
        moves = np.diff(mid_at(quote, grid))
        assert 0.5 < moves.std() / np.sqrt(10) < 1.6
        assert abs(np.corrcoef(moves[:-1], moves[1:])[0, 1]) < 0.35
        seconds = np.diff(mid_at(quote, np.arange(times[0], times[-1], SECOND)))
        assert ((seconds - seconds.mean()) ** 4).mean() / seconds.var() ** 2 > 4

    def test_trades_come_in_runs_of_one_sign(self, plain: SimulatedOrders) -> None:
        sign = plain.trade.unique("event_time", keep="first", maintain_order=True)["side"].to_numpy().astype(float)
        lagged = [np.corrcoef(sign[:-lag], sign[lag:])[0, 1] for lag in (1, 5)]
        assert lagged[0] > 0.4 > lagged[1] > 0
        assert 0.3 < (sign > 0).mean() < 0.7

    def test_activity_has_mean_one(self) -> None:
        share = (np.arange(100_000) + 0.5) / 100_000
        for pattern in (0.0, 0.4, 1.0):
            assert activity(share, pattern).mean() == pytest.approx(1, abs=1e-6)
        assert activity(share, 1.0).max() == pytest.approx(3 * activity(share, 1.0).min(), rel=1e-3)


class TestConfig:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"duration": 10}, "greater than or equal to 60"),
            ({"duration": 86_400}, "ends on the next day"),
            ({"seed": -1}, "greater than or equal to 0"),
            ({"sessions": 0}, "greater than or equal to 1"),
            ({"markets": ()}, "at least 1 item"),
            ({"markets": (OrderMarket(), OrderMarket())}, "SIMBTC is listed twice"),
            ({"markets": ({"price": 10.0},)}, "raise ticks_per_unit"),
            ({"markets": ({"price": 0.0},)}, "greater than 0"),
            ({"plan": {"drought_strength": (0.9, 0.3)}}, "two rising positive numbers"),
            ({"plan": {"drought_strength": (0.5, 1.5)}}, "within 0.05 to 0.99"),
            ({"plan": {"spoof_seconds": (0.0, 1.0)}}, "two rising positive numbers"),
            ({"plan": {"spoof": -1}}, "greater than or equal to 0"),
            ({"unknown": 1}, "Extra inputs"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            OrderSimulation(**change)

    def test_a_plan_that_does_not_fit_says_so(self) -> None:
        with pytest.raises(ConfigError, match=r"take \d+ s of a session of 60 s.*raise duration"):
            simulate_orders(OrderSimulation(sessions=1, quiet_sessions=0, duration=60))

    def test_days_are_utc(self) -> None:
        days = OrderSimulation(sessions=2, start=date(2024, 2, 28), opens=time(1, 30)).days()
        assert [day for day, _ in days] == [date(2024, 2, 28), date(2024, 2, 29)]
        assert days[0][1] == int(np.datetime64("2024-02-28T01:30", "ns").astype(np.int64))

    def test_an_empty_plan_plants_nothing(self) -> None:
        plan = NOTHING.model_copy(update={"lull": 0})
        run = simulate_orders(OrderSimulation(sessions=1, quiet_sessions=0, duration=60, plan=plan))
        assert run.truth.is_empty()
        assert dict(run.truth.schema) == TRUTH
        assert run.order_event.height > 0
