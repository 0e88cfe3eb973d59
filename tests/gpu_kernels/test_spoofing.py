"""Spoofing beyond the naive references: values by hand, event by event, nothing before the cancel, gaps."""

import math

import numpy as np
import pytest

from benchmarks.works import spoofing as calls_of_spoofing
from benchmarks.works.data import Data
from gpu_kernels.book import spoofing, spoofing_state
from gpu_kernels.book.origins import level_origins
from gpu_kernels.book.spoofing import SECOND
from gpu_kernels.errors import ArgumentError
from gpu_kernels.orders.origins import order_origins
from gpu_kernels.trade.cancels import inferred_cancels
from gpu_kernels.trade.volume import aggressor_volume

PLACED, CHANGED, CANCELLED, EXECUTED = 3, 4, 5, 6
LEVELS = 4


def offsets_of(*rows: int) -> np.ndarray:
    return np.array(rows, np.int64)


class Market:
    """A book of 10 lots on each of four levels a side, touch 100 and 101, into which a test puts events; a row each."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int, int]] = []  # time, order, side, tick, lots, action
        self.trades: list[tuple[int, int, int]] = []
        for k in range(LEVELS):
            self.event(0, 2 * k, 1, 100 - k, 10, PLACED)
            self.event(0, 2 * k + 1, -1, 101 + k, 10, PLACED)

    def event(self, seconds: float, order: int, side: int, tick: int, lots: int, action: int) -> int:
        self.rows.append((round(seconds * SECOND), order, side, tick, lots, action))
        return len(self.rows) - 1

    def trade(self, seconds: float, lots: int, aggressor: int) -> None:
        self.trades.append((round(seconds * SECOND), lots, aggressor))

    def columns(self) -> list[np.ndarray]:
        return [np.array(column) for column in zip(*self.rows, strict=True)]

    def books(self) -> list[np.ndarray]:
        """The book after each row, as a feed's user would rebuild it: ticks and sizes, bids then asks."""
        orders: dict[int, tuple[int, int, int]] = {}
        rows = len(self.rows)
        books = [np.full((LEVELS, rows), -1) if k % 2 == 0 else np.zeros((LEVELS, rows)) for k in range(4)]
        for row, (_, order, side, tick, lots, action) in enumerate(self.rows):
            left = orders[order][2] - lots if action in (CANCELLED, EXECUTED) else lots
            orders[order] = (side, tick, left)
            for k, way in enumerate((1, -1)):
                levels: dict[int, int] = {}
                for order_side, at, size in orders.values():
                    if order_side == way and size:
                        levels[at] = levels.get(at, 0) + size
                for level, at in enumerate(sorted(levels, reverse=way > 0)[:LEVELS]):
                    books[2 * k][level, row], books[2 * k + 1][level, row] = at, levels[at]
        return books

    def found(self, books: list[np.ndarray] | None = None, **parameters: float) -> tuple[np.ndarray, ...]:
        time, order, side, tick, lots, action = self.columns()
        offsets = offsets_of(0, len(time))
        origins = order_origins(time, order, tick, lots, action, offsets)
        trades = [np.array([t[k] for t in self.trades], np.int64) for k in range(3)]
        return spoofing.spoofing(
            time, tick, *origins, side, *(books or self.books()), offsets, *trades, offsets_of(0, len(self.trades)),
            **{"away_ticks": 2, "before_ns": SECOND, "half_life_ns": 300 * SECOND, **parameters},
        )  # fmt: skip


def spoofed(cancel: int = 40, filled: int = 0, tick: int = 98, until: float = 15.0) -> tuple[Market, int]:
    """40 lots (four typical sizes) two ticks behind the bid from 12 s on, sold against at 13 s, gone at `until`."""
    market = Market()
    market.event(10, 90, 1, 100, 1, PLACED)
    market.event(10, 90, 1, 100, 1, CANCELLED)
    market.event(12, 50, 1, tick, 40, PLACED)
    market.trade(13, 20, -1)
    if filled:
        market.event(13, 50, 1, tick, filled, EXECUTED)
    return market, market.event(until, 50, 1, tick, cancel, CANCELLED)


class TestByHand:
    def test_a_spoof(self) -> None:
        market, row = spoofed()
        score, began, group, *_ = market.found(half_life_ns=10**15)
        # typical size: 10 lots a level for 12 s, then one level of 50 among seven of 10 for 3 s
        typical = (10 * 12 + (7 * 10 + 50) / 8 * 3) / 15
        # 20 lots sold in 15 s: four seconds, one of them before the order, would bring 16/3
        share = 20 / (20 + 20 / 15 * 4)
        assert group[0, row] == pytest.approx(40 / typical, rel=1e-5)
        assert group[1, row] == pytest.approx(share, rel=1e-5)
        assert score[row] == pytest.approx(math.log2(1 + (40 / typical * share / 2) ** 2), rel=1e-5)
        assert began[row] == 12 * SECOND
        assert np.flatnonzero(score).tolist() == [row]

    def test_the_cleaned_book_discounts_it_while_it_rests(self) -> None:
        market, row = spoofed()
        *_, clean_bids, clean_asks = market.found()
        books = market.books()
        # nothing is known of such orders yet: a half
        assert clean_bids[2, row - 1] == 10 + 40 / 2
        np.testing.assert_array_equal(clean_asks, books[3])
        rest = np.ones(clean_bids.shape, bool)
        rest[2, row - 1] = False
        np.testing.assert_array_equal(clean_bids[rest], books[1][rest])

    def test_what_became_of_earlier_ones_moves_the_discount(self) -> None:
        market, _ = spoofed()
        second = market.event(20, 51, 1, 98, 40, PLACED)
        *_, clean_bids, _ = market.found(half_life_ns=10**15)
        typical = (10 * 12 + (7 * 10 + 50) / 8 * 3 + 10 * 5) / 20
        prior = 5 * typical
        every = (40 + prior / 2) / (40 + prior)
        assert clean_bids[2, second] == pytest.approx(50 - 40 * (40 + every * prior) / (40 + prior), rel=1e-5)

    @pytest.mark.parametrize(
        ("case", "parameters"),
        [
            (spoofed(until=12.1), {}),  # a flicker
            (spoofed(until=40.0), {}),  # it stayed
            (spoofed(tick=100), {}),  # at the touch
            (spoofed(tick=99), {}),  # not away enough
            (spoofed(filled=20, cancel=20), {}),  # executed in half
            (spoofed(), {"large": 5.0}),
        ],
    )
    def test_what_is_none(self, case: tuple[Market, int], parameters: dict[str, float]) -> None:
        assert not case[0].found(**parameters)[0].any()

    def test_without_trades_against_it_only_the_rest_of_the_weight_counts(self) -> None:
        market, row = spoofed()
        market.trades = [(13 * SECOND, 20, 1)]
        assert market.found()[0][row] == 0.0
        assert market.found(opposite=0.5)[0][row] > 0.0

    def test_levels_that_go_together_count_together(self) -> None:
        both, apart = Market(), Market()
        for market, gap in ((both, 0.05), (apart, 2.0)):
            for k in range(2):
                market.event(12, 50 + k, -1, 103 + k, 20, PLACED)
            market.trade(13, 20, 1)
            for k in range(2):
                market.event(15 + gap * k, 50 + k, -1, 103 + k, 20, CANCELLED)
        together, alone = both.found(), apart.found()
        assert together[2][0, -1] > 1.9 * together[2][0, -2] > 0
        assert alone[2][0, -1] == pytest.approx(alone[2][0, -2], rel=0.1)
        # one score of both, given in two parts
        share, size = together[2][1, -1], together[2][0, -1]
        assert together[0][-2:].sum() == pytest.approx(math.log2(1 + (size * share / 2) ** 2))

    def test_a_gap_drops_what_was_watched(self) -> None:
        market, row = spoofed()
        gap = market.event(14, 91, -1, 104, 1, PLACED)
        market.rows.insert(row, market.rows.pop(gap))
        assert market.found()[0][row + 1] > 0
        books = market.books()
        books[1][:, row] = np.nan
        score, _, group, clean_bids, _ = market.found(books)
        assert np.isnan(score[row])
        assert np.isnan(group[:, row]).all()
        assert np.isnan(clean_bids[:, row]).all()
        assert score[row + 1] == 0.0

    def test_a_snapshot_places_nothing(self) -> None:
        time = np.array([0, 5, 6, 6, 7], np.int64)
        order, tick, lots = np.array([1, 2, 3, 4, 3]), np.array([9, 9, 8, 7, 8]), np.array([4, 5, 6, 7, 6])
        placed, origin, gone = order_origins(time, order, tick, lots, np.array([3, 3, 1, 3, 5]), offsets_of(0, 5))
        assert placed.tolist() == [0, 5, 0, 0, 0]
        assert origin.tolist() == [-1] * 5
        assert gone[0].tolist() == [0, 0, 0, 0, 6]


class TestLevelTwo:
    def test_a_fall_undoes_the_rise_of_its_size(self) -> None:
        time, lots = np.arange(6) * SECOND, np.array([10, 50, 53, 13, 13, 3])
        tick, side, action = np.full(6, 98), np.ones(6, np.int8), np.zeros(6, np.int8)
        none = np.zeros(0, np.int64)
        updates = (time, tick, lots, side, action, offsets_of(0, 6))
        split = inferred_cancels(*updates, none, none, none, none, offsets_of(0, 0), patience_ns=SECOND)
        placed, origin, gone = level_origins(
            time, tick, lots, *split, side, action, offsets_of(0, 6), memory_ns=60 * SECOND
        )
        assert placed.tolist() == [0, 40, 3, 0, 0, 0]
        assert origin.tolist() == [-1, -1, -1, 1, -1, -1]
        assert gone[0].tolist() == [0, 0, 0, 40, 0, 0]

    def test_what_trades_explain_is_no_cancel(self) -> None:
        time, lots = np.arange(3) * SECOND, np.array([10, 50, 10])
        tick, side, action, offsets = np.full(3, 98), np.ones(3, np.int8), np.zeros(3, np.int8), offsets_of(0, 3)
        trades = (np.array([2 * SECOND]), np.array([98]), np.array([40]), np.array([-1]), offsets_of(0, 1))
        split = inferred_cancels(time, tick, lots, side, action, offsets, *trades, patience_ns=SECOND)
        _, origin, gone = level_origins(time, tick, lots, *split, side, action, offsets, memory_ns=60 * SECOND)
        assert origin[2] == 1
        assert gone[:, 2].tolist() == [0, 30]  # ten of them came from what rested there before


def cut_to(work, row: int):
    """The arrays of a call of `spoofing`, of one segment, as they were known with row `row` - 1."""
    *table, _, trade_time, trade_lots, aggressor, _ = work.arrays
    table = [np.ascontiguousarray(array[..., :row]) for array in table]
    known = int(np.searchsorted(trade_time, table[0][-1], side="right"))
    trades = [array[:known] for array in (trade_time, trade_lots, aggressor)]
    return (*table, offsets_of(0, row), *trades, offsets_of(0, known))


@pytest.fixture(scope="module")
def work():
    return calls_of_spoofing.works(Data(600, 1, "float64", 3))[-1]


class TestRowByRow:
    def test_the_past_does_not_move(self, work) -> None:
        whole = work.run(work.arrays)
        assert (whole[0] > 0).sum() > 10
        for row in (7, 150, 333, 599):
            for cut, full in zip(work.run(cut_to(work, row)), whole, strict=True):
                np.testing.assert_array_equal(cut, full[..., :row])

    def test_nothing_is_said_before_the_cancel(self, work) -> None:
        score, began, *_ = work.run(work.arrays)
        cancelled = work.arrays[4][0]
        assert (cancelled[score > 0] > 0).all()
        assert (began[score > 0] <= work.arrays[0][score > 0]).all()

    def test_the_steps_give_the_bits_of_the_batch(self, work) -> None:
        time, tick, placed, origin, gone, side, *books, offsets, trade_time, lots, aggressor, trade_offsets = (
            work.arrays
        )
        p = work.parameters
        spans, limits = spoofing.parameters(**p, clear=2.0)
        trades = (trade_time, lots, aggressor, trade_offsets, time, offsets)
        traded, rate = aggressor_volume(*trades, half_life_ns=p["half_life_ns"])
        earlier, _ = aggressor_volume(*trades, half_life_ns=p["half_life_ns"], lag_ns=p["before_ns"])
        numbers, marks = np.empty(spoofing_state.NUMBERS), np.empty(spoofing_state.MARKS, np.int64)
        watched = np.empty((spoofing_state.OPEN, spoofing_state.FIELDS), np.int64)
        outcomes = np.empty((spoofing_state.CELLS, spoofing_state.AGES, 2))
        spoofing_state.start(numbers, marks, outcomes)
        score, began, group, *clean = work.run(work.arrays)
        got = [np.empty_like(array) for array in clean]
        for row in range(len(time)):
            against = 1 if side[row] > 0 else 0
            volumes = (traded[against, row], earlier[against, row], rate[against, row])
            step = spoofing_state.step(
                numbers, marks, watched, outcomes, time[row], row, side[row], tick[row], placed[row], origin[row],
                gone[0, row], gone[1, row], *volumes, *books, spans, limits,
            )  # fmt: skip
            np.testing.assert_array_equal(step, (score[row], began[row], *group[:, row]))
            spoofing_state.clean(numbers, marks, watched, outcomes, time[row], row, *books, p["max_age_ns"], *got)
        for mine, batch in zip(got, clean, strict=True):
            np.testing.assert_array_equal(mine, batch)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"large": 0.0}, "large is 0.0; allowed: a finite number above 0"),
        ({"clear": math.nan}, "clear is nan"),
        ({"opposite": 1.5}, "opposite is 1.5; allowed: 0 to 1"),
        ({"away_ticks": 0}, "away_ticks is 0"),
        ({"min_age_ns": 2, "max_age_ns": 1}, "min_age_ns is 2; allowed: a whole number, 0 to 1"),
    ],
)
def test_mistakes_are_named(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Market().found(**parameters)
