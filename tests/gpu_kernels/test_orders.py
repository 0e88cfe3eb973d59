"""Order events replayed: queues and problems by hand, event by event, nothing of the future, levels for the book."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import orders_replay

from benchmarks.works import orders
from benchmarks.works.data import Data
from gpu_kernels.book.rebuild import rebuild
from gpu_kernels.errors import ArgumentError
from gpu_kernels.hash_table import EMPTY
from gpu_kernels.orders.event import (
    ALREADY_PLACED,
    BAD_ROW,
    CANCELLED,
    CHANGED,
    EXECUTED,
    FINE,
    GAP,
    IN_GAP,
    OTHER_LEVEL,
    PLACED,
    SNAPSHOT,
    TOO_MUCH,
    UNKNOWN_ORDER,
    UNNAMED_ORDER,
    step,
)
from gpu_kernels.orders.queue import LEVEL_FIELDS, ORDER_FIELDS
from gpu_kernels.orders.replay import PROBLEMS, Replay, replay
from gpu_kernels.trade.lives import NAMES, order_lives

PER_EVENT = Replay._fields[:6]
PER_UPDATE = Replay._fields[6:12]


def events(*rows: tuple[int, int, int, int], side: int = 1) -> tuple[np.ndarray, ...]:
    """Of rows (order, action, ticks, lots), 10 ns apart, on one side."""
    order, action, ticks, lots = np.array(rows, np.int64).T
    time, count = 10 * np.arange(len(rows)), len(rows)
    sides = np.full(count, side, np.int8)
    return time, order, action.astype(np.int8), sides, ticks, lots, np.array([0, count])


def levels_of(made: Replay) -> list[tuple[int, int]]:
    return list(zip(made.price_ticks.tolist(), made.lots.tolist(), strict=True))


class TestQueue:
    def test_what_keeps_a_place_and_what_loses_it(self) -> None:
        made = replay(
            *events(
                (10, PLACED, 87, 100),
                (15, PLACED, 87, 550),
                (20, PLACED, 87, 400),
                (21, PLACED, 86, 200),
                (15, CHANGED, 87, 500),  # smaller: keeps its place
                (10, CHANGED, 87, 101),  # larger: goes to the back
                (20, CHANGED, 86, 400),  # another price: behind 21
                (10, CANCELLED, 87, 1),
                (15, EXECUTED, 87, 500),
                (20, EXECUTED, 86, 100),  # out of turn
            )
        )
        assert made.lots_ahead.tolist() == [0, 100, 650, 0, 100, 900, 200, 500, 0, 200]
        assert made.orders_ahead.tolist() == [0, 1, 2, 0, 1, 2, 1, 1, 0, 1]
        assert made.lots_before.tolist() == [0, 0, 0, 0, 550, 100, 400, 101, 500, 400]
        assert made.lots_left.tolist() == [100, 550, 400, 200, 500, 101, 400, 100, 0, 300]
        assert made.age_ns.tolist() == [0, 0, 0, 0, 30, 50, 40, 70, 70, 70]
        assert not made.problem.any()
        # the change of price is two updates, the level that is left first
        assert levels_of(made)[6:8] == [(87, 601), (86, 600)]
        assert made.event.tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9]
        assert made.whole.tolist() == [1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1]
        assert levels_of(made)[-3:] == [(87, 600), (87, 100), (86, 500)]

    def test_unnamed_lots_stand_before_all_orders(self) -> None:
        made = replay(
            *events(
                (UNNAMED_ORDER, PLACED, 50, 30),
                (1, PLACED, 50, 5),
                (99, EXECUTED, 50, 10),  # older than the events: comes off the unnamed lots
                (1, CANCELLED, 50, 2),
                (98, CANCELLED, 50, 25),  # more than the unnamed have left
                (97, CHANGED, 50, 8),
                (UNNAMED_ORDER, CHANGED, 50, 4),
                (96, CHANGED, 50, 3),  # now named: its lots come off the unnamed
                (UNNAMED_ORDER, EXECUTED, 50, 2),
            )
        )
        assert made.lots_ahead.tolist() == [0, 30, -1, 20, -1, 3, 0, 12, 0]
        assert made.orders_ahead.tolist() == [0, 0, -1, 0, -1, 1, 0, 2, 0]
        assert made.lots.tolist() == [30, 35, 25, 23, 3, 11, 15, 15, 14]
        unknown = [0, 0, UNKNOWN_ORDER, 0, UNKNOWN_ORDER, UNKNOWN_ORDER, 0, UNKNOWN_ORDER, TOO_MUCH]
        assert made.problem.tolist() == unknown
        assert made.age_ns.tolist() == [-1, 0, -1, 20, -1, -1, -1, -1, -1]


class TestProblems:
    def test_each_by_hand(self) -> None:
        made = replay(
            *events(
                (1, PLACED, 50, 5),
                (2, CANCELLED, 70, 5),
                (1, EXECUTED, 50, 9),
                (1, EXECUTED, 50, 1),
                (3, PLACED, 50, 5),
                (3, PLACED, 51, 6),
                (3, CANCELLED, 50, 1),
                (4, 0, 50, 1),
                (4, PLACED, -1, 1),
                (4, PLACED, 50, -1),
                (3, CHANGED, 60, 0),
            )
        )
        wanted = [FINE, UNKNOWN_ORDER, TOO_MUCH, UNKNOWN_ORDER, FINE, ALREADY_PLACED, OTHER_LEVEL]
        assert made.problem.tolist() == [*wanted, BAD_ROW, BAD_ROW, BAD_ROW, FINE]
        assert made.lots_left.tolist() == [5, -1, 0, -1, 5, 6, 5, -1, -1, -1, 0]
        assert made.age_ns.tolist() == [0, -1, 20, -1, 0, 0, 10, -1, -1, -1, 50]
        # rows that change nothing repeat the update before them; so the last row of a message is never lost
        told = [(50, 5), (50, 5), (50, 0), (50, 0), (50, 5), (50, 0), (51, 6), *4 * [(51, 5)], (51, 0)]
        assert levels_of(made) == told
        assert set(made.event.tolist()) == set(range(11))

    def test_gaps_and_snapshots(self) -> None:
        rows = events(
            (1, CANCELLED, 50, 5),
            (1, PLACED, 50, 5),
            (2, PLACED, 50, 6),
            (0, GAP, 77, 0),
            (1, EXECUTED, 50, 5),
            (1, PLACED, 50, 5),
            (2, SNAPSHOT, 49, 3),
            (1, CANCELLED, 50, 5),
            (1, PLACED, 49, 4),
            (3, SNAPSHOT, -1, 4),
        )
        made = replay(*rows)
        wanted = [UNKNOWN_ORDER, FINE, FINE, IN_GAP, IN_GAP, IN_GAP, FINE, UNKNOWN_ORDER, FINE, BAD_ROW]
        assert made.problem.tolist() == wanted
        assert made.event.tolist() == list(range(1, 10))
        assert made.action.tolist() == [0, 0, GAP, 0, 0, SNAPSHOT, 0, 0, SNAPSHOT]
        assert levels_of(made)[5:] == [(49, 3), (49, 3), (49, 7), (49, 0)]
        late = replay(*rows, starts_empty=False)
        assert late.problem.tolist() == [*6 * [IN_GAP], *wanted[6:]]
        assert late.event.tolist() == [3, 6, 7, 8, 9]
        for before, after in zip(late[:6], made[:6], strict=True):
            np.testing.assert_array_equal(before[6:], after[6:])

    def test_a_gap_before_all_else_is_told(self) -> None:
        made = replay(*events((0, GAP, -1, -1), (1, SNAPSHOT, 9, 2)))
        assert made.action.tolist() == [GAP, SNAPSHOT]

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([0, 1, -1, 5, 2**63 - 1, UNNAMED_ORDER, UNNAMED_ORDER + 1]),
                st.integers(-1, 8),
                st.sampled_from([0, 1, 2, 3, -1, 2**61, 2**61 - 1, 2**63 - 1, -(2**63)]),
                st.sampled_from([0, 1, 5, 2**40, -1, -(2**63)]),
            ),
            min_size=1,
            max_size=40,
        )
    )
    def test_nothing_breaks_it(self, rows: list[tuple[int, int, int, int]]) -> None:
        columns = events(*rows)
        for starts_empty in (True, False):
            got = replay(*columns, starts_empty=starts_empty)
            for one, other in zip(got, orders_replay.replay(*columns, starts_empty=starts_empty), strict=True):
                np.testing.assert_array_equal(one, other)

    def test_mistakes_are_named(self) -> None:
        time, *rest = events(*((number, PLACED, number, 1) for number in range(9)))
        with pytest.raises(ArgumentError, match=r"segment 0 names more price levels than levels=8; .* raise levels"):
            replay(time, *rest, levels=8)
        replay(time, *rest, levels=9)
        with pytest.raises(ArgumentError, match="time falls from 80 to 70 at row 1"):
            replay(time[::-1], *rest)
        with pytest.raises(ArgumentError, match="unequal length"):
            replay(time, rest[0][:3], *rest[1:])


def table(rows: int, segments: int, seed: int) -> tuple[np.ndarray, ...]:
    return orders.events(Data(rows, segments, "float64", seed), "orders", 30)


def test_event_by_event() -> None:
    """The step that the batch calls, on a state that knows no future, gives the bits of the batch."""
    *columns, offsets = table(3000, 1, 4)
    time, order, action, side, ticks, lots = columns
    batch = replay(*columns, offsets)
    count = len(time)
    book = np.array([0, 1, 0, 0, -1, 0])
    state = [book]
    for fields in (ORDER_FIELDS, LEVEL_FIELDS):
        state += [np.zeros((count, fields), np.int64), np.full(2**13, EMPTY), np.zeros(2**13, np.int64)]
    problem, told, moves = np.zeros(1, np.int8), np.zeros((5, 1), np.int64), np.zeros((1, 5), np.int64)
    update = 0
    for row in range(count):
        event = (time[row], order[row], action[row], side[row], ticks[row], lots[row])
        made = step(*state, *event, problem, told, moves, 0)
        assert [problem[0], *told[:, 0]] == [getattr(batch, name)[row] for name in PER_EVENT]
        for which in range(2 - made, 2):
            key, total = moves[0, :2] if which else moves[0, 2:4]
            shown = (1 if key & 1 else -1, key >> 1, total, moves[0, 4] if which else 0, row, which)
            assert shown == tuple(getattr(batch, name)[update] for name in PER_UPDATE)
            update += 1
    assert update == len(batch.side)
    assert len(set(batch.problem.tolist())) == len(PROBLEMS)


@pytest.mark.parametrize("keep", [1, 700, 1999])
def test_later_events_change_no_bit(keep: int) -> None:
    *columns, offsets = table(2000, 3, 5)
    whole = replay(*columns, offsets)
    part = replay(*(column[:keep] for column in columns), np.minimum(offsets, keep))
    for name in PER_EVENT:
        np.testing.assert_array_equal(getattr(whole, name)[:keep], getattr(part, name))
    updates = int(np.searchsorted(whole.event, keep))
    assert 0 < updates == len(part.side)
    for name in PER_UPDATE:
        np.testing.assert_array_equal(getattr(whole, name)[:updates], getattr(part, name))


def test_segments_are_alone() -> None:
    *columns, offsets = table(900, 6, 6)
    whole = replay(*columns, offsets)
    for segment, (first, last) in enumerate(pairwise(offsets)):
        alone = replay(*(column[first:last] for column in columns), np.array([0, last - first]))
        for name in PER_EVENT:
            np.testing.assert_array_equal(getattr(whole, name)[first:last], getattr(alone, name))
        updates = slice(*whole.update_offsets[segment : segment + 2])
        np.testing.assert_array_equal(whole.lots[updates], alone.lots)
        np.testing.assert_array_equal(whole.event[updates] - first, alone.event)


def test_updates_make_the_levels_of_the_orders() -> None:
    """`rebuild` on the updates gives, after each event, the levels that a walk over the resting orders gives."""
    rng = np.random.default_rng(3)
    count = 1500
    order, action = rng.integers(0, 40, count), rng.choice([3, 4, 5, 6], count).astype(np.int8)
    ticks, lots = 100 + rng.integers(0, 12, count), rng.integers(0, 9, count)
    side = np.where(order % 2, 1, -1).astype(np.int8)
    made = replay(np.arange(count), order, action, side, ticks, lots, np.array([0, count]))
    books = rebuild(made.side, made.price_ticks, made.lots, made.update_offsets, 3)
    resting: dict[int, tuple[int, int, int]] = {}
    for row in range(count):
        number, quantity = int(order[row]), int(lots[row])
        if action[row] in (PLACED, CHANGED):
            resting[number] = (int(side[row]), int(ticks[row]), quantity)
        elif number in resting:
            resting[number] = (*resting[number][:2], max(resting[number][2] - quantity, 0))
        last = int(np.searchsorted(made.event, row, "right")) - 1
        if last < 0:  # nothing was placed yet
            assert not resting
            continue
        for way, (price, size) in ((1, books[:2]), (-1, books[2:])):
            sums: dict[int, int] = {}
            for one, tick, has in resting.values():
                if one == way and has:
                    sums[tick] = sums.get(tick, 0) + has
            wanted = [(tick, sums[tick]) for tick in sorted(sums, reverse=way == 1)][:3]
            got = [(t, s) for t, s in zip(price[:, last], size[:, last], strict=True) if t >= 0]
            assert got == wanted


def test_lives_of_replayed_orders() -> None:
    """Age and lots of `order_lives` are what the replay tells: what an end took is the difference it made."""
    time, order, action, side, ticks, lots, offsets = events(
        (1, PLACED, 50, 5), (2, PLACED, 50, 8), (1, CANCELLED, 50, 5), (2, EXECUTED, 50, 99), (3, EXECUTED, 50, 1)
    )
    made = replay(time, order, action, side, ticks, lots, offsets)
    taken = made.lots_before - made.lots_left
    lives = order_lives(time, action, made.age_ns, taken, offsets, time[-1:], np.array([0, 1]), half_life_ns=10**9)
    told = dict(zip(NAMES, lives[:, 0], strict=True))
    assert told["cancel_to_trade_lots"] == pytest.approx(5 / 8, rel=1e-6)
    assert (told["mean_life_cancelled"], told["mean_life_executed"]) == pytest.approx((20, 20))
