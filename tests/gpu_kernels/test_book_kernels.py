"""State and flow of the book: by hand, event by event, cut short, and in one pass."""

import numpy as np
import pytest

from benchmarks.works.data import Data
from benchmarks.works.state import deep_books
from gpu_kernels.book import best, depth, flow, flow_fit, fused, intervals, levels, micro_price, resilience, state
from gpu_kernels.errors import ArgumentError, ModelError

# one row: bids 99 (10), 98 (30); asks 101 (20), 103 (40); mid 100
BOOK = tuple(np.array(side, np.float64)[:, None] for side in ([99, 98], [10, 30], [101, 103], [20, 40]))
SECOND = 10**9


def offsets_of(*ends: int) -> np.ndarray:
    return np.array(ends, np.int64)


class TestState:
    def test_touch_and_shape_by_hand(self) -> None:
        spread, mid, gap = state.touch(*BOOK)
        assert (spread[0], mid[0]) == (2.0, 100.0)
        assert gap[0] == pytest.approx((99 * 20 + 101 * 10) / 30 - 100)
        total, pressure, distance = state.shape(*BOOK)
        bids, asks = 10 / 1 + 30 / 2, 20 / 1 + 40 / 3
        assert total[0] == 100.0
        assert pressure[0] == pytest.approx((bids - asks) / (bids + asks))
        assert distance[0] == pytest.approx((10 * 1 + 30 * 2 + 20 * 1 + 40 * 3) / 100)

    def test_weights_by_hand(self) -> None:
        got = state.weighted_imbalance(BOOK[1], BOOK[3], weights=levels.linear_weights(2))
        assert got[0] == pytest.approx((25 - 40) / (25 + 40))
        np.testing.assert_allclose(levels.exponential_weights(3, np.log(2)), [1, 0.5, 0.25])

    def test_depth_near_the_mid_includes_its_edge(self) -> None:
        for bps, wanted in ((99, (0, 0)), (100, (10, 20)), (200, (40, 20)), (1e4, (40, 60))):
            assert tuple(side[0] for side in depth.depth_within(*BOOK, bps=bps)) == wanted

    def test_cost_by_hand(self) -> None:
        buy, sell = depth.cost_to_trade(*BOOK, size=30)
        assert buy[0] == pytest.approx(((20 * 101 + 10 * 103) / 30 - 100) * 100)
        assert sell[0] == pytest.approx((100 - (10 * 99 + 20 * 98) / 30) * 100)
        buy, sell = depth.cost_to_trade(*BOOK, size=50)
        assert buy[0] > 0
        assert np.isnan(sell[0])

    def test_slope_by_hand(self) -> None:
        bid = (np.log(10) / 0.01 + (np.log(40) / np.log(10) - 1) / abs(98 / 99 - 1)) / 2
        ask = (np.log(20) / 0.01 + (np.log(60) / np.log(20) - 1) / abs(103 / 101 - 1)) / 2
        assert depth.slope(*BOOK)[0] == pytest.approx((bid + ask) / 2)
        # a touch of one lot has no logarithm to divide by
        assert np.isnan(depth.slope(*BOOK, lot=10.0)[0])

    def test_a_gap_in_float32_keeps_its_digits(self) -> None:
        bid, ask = np.array([60_000.0], np.float32), np.array([60_000.1], np.float32)
        sizes = np.array([3.0], np.float32), np.array([1.0], np.float32)
        _, _, gap = state.touch(bid, sizes[0], ask, sizes[1])
        assert gap[0] == pytest.approx((float(ask[0]) - float(bid[0])) / 4, rel=1e-6)

    def test_integer_ticks_give_what_floats_give(self) -> None:
        ticks = tuple(side.astype(np.int64) for side in BOOK)
        for one, other in zip(state.shape(*BOOK), state.shape(*ticks), strict=True):
            np.testing.assert_array_equal(one, other)

    def test_a_locked_book_has_a_mid_but_no_pressure(self) -> None:
        locked = (BOOK[0], BOOK[1], BOOK[2] - 2, BOOK[3])
        assert state.touch(*locked)[0][0] == 0.0
        total, pressure, distance = state.shape(*locked)
        assert total[0] == 100.0
        assert np.isnan([pressure[0], distance[0], depth.slope(*locked)[0]]).all()

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: depth.depth_within(*BOOK, bps=0), "bps is 0; allowed: a finite number above 0"),
            (lambda: depth.depth_within(*BOOK, bps=np.nan), "bps is nan"),
            (lambda: depth.cost_to_trade(*BOOK, size="1"), "size is '1'"),
            (lambda: depth.slope(*BOOK, lot=True), "lot is True"),
            (lambda: state.weighted_imbalance(BOOK[1], BOOK[3], weights=np.ones(3)), "allowed: 1 to 2 finite numbers"),
            (lambda: state.weighted_imbalance(BOOK[1], BOOK[3], weights=-np.ones(2)), "weights of at least 0"),
            (lambda: state.touch(*BOOK[:3], BOOK[3][:1]), "books of unequal shape"),
            (lambda: flow.weighted_flow(*BOOK, offsets_of(0, 1), weights=np.array([np.nan])), "finite numbers"),
            (lambda: fused.ten_features(*BOOK, offsets_of(0, 1)), "books of 2 levels; allowed: 10 levels or more"),
        ],
    )
    def test_bad_arguments_are_named(self, call, message: str) -> None:
        with pytest.raises(ArgumentError, match=message):
            call()


class TestFlow:
    def test_a_level_that_comes_and_goes(self) -> None:
        bid, ask = np.array([[10, 10, 10], [9, -1, 9]]), np.array([[11, 11, 11], [12, 12, 13]])
        bid_size, ask_size = np.array([[5, 6, 6], [4, 0, 7]]), np.array([[3, 3, 1], [2, 2, 8]])
        got = flow.level_flows(bid, bid_size, ask, ask_size, offsets_of(0, 3))
        # second bid level vanishes (-4), comes back with 7 while the second ask moves away: its 2 count as gone
        np.testing.assert_array_equal(got, [[0, 1, 2], [0, -4, 9]])
        both = flow.weighted_flow(bid, bid_size, ask, ask_size, offsets_of(0, 3), weights=np.array([0.5, 0.5]))
        np.testing.assert_array_equal(both, [0, -1.5, 5.5])

    def test_one_event_after_the_other_gives_the_bits_of_the_batch(self) -> None:
        for dtype in ("float32", "float64"):
            data = Data(300, 1, dtype, 5)
            books = [book[0] for book in deep_books(data)]
            batch = best.order_flow_imbalance(*books, offsets_of(0, 300))
            stepped = [
                levels.best_flow(*(b[row] for b in books), *(b[row - 1] for b in books)) for row in range(1, 300)
            ]
            np.testing.assert_array_equal(batch[1:], np.array(stepped, dtype))

    def test_an_event_at_an_edge_belongs_to_the_interval_that_it_opens(self) -> None:
        time, value = np.array([0, 10, 10, 15, 20, 40]), np.array([1.0, 2, 4, 8, 16, 32])
        edges = np.array([0, 10, 20, 30, 30])
        sums, counts = intervals.interval_sums(time, value, offsets_of(0, 6), edges, offsets_of(0, 5))
        np.testing.assert_array_equal(sums, [np.nan, 1, 14, 16, 0])
        np.testing.assert_array_equal(counts, [0, 1, 3, 1, 0])

    def test_later_events_do_not_change_a_sum(self) -> None:
        rng = np.random.default_rng(3)
        time, value = np.sort(rng.integers(0, 1000, 4000)), rng.normal(size=4000)
        edges = np.sort(rng.integers(0, 1100, 90))
        whole, _ = intervals.interval_sums(time, value, offsets_of(0, 4000), edges, offsets_of(0, 90))
        at = int(np.searchsorted(edges, 500))
        known = int(np.searchsorted(time, edges[at - 1]))
        cut, _ = intervals.interval_sums(
            time[:known], value[:known], offsets_of(0, known), edges[:at], offsets_of(0, at)
        )
        np.testing.assert_array_equal(whole[:at], cut)

    def test_fitted_weights_find_the_common_factor(self) -> None:
        rng = np.random.default_rng(0)
        loads = np.array([0.4, 0.3, 0.2, 0.1, 0.0])
        flows = loads[:, None] * rng.normal(size=4000) * 10 + rng.normal(size=(5, 4000)) * 0.1
        flows[2, 17] = np.nan
        model = flow_fit.fit(-flows)
        np.testing.assert_allclose(model.weights, loads, atol=2e-3)
        assert np.abs(model.weights).sum() == pytest.approx(1.0)
        assert model.explained > 0.99
        assert model.count == 3999
        values, vectors = np.linalg.eig(np.cov(np.delete(flows, 17, axis=1)))
        first = np.abs(vectors[:, values.argmax()])
        np.testing.assert_allclose(model.weights, first / first.sum(), atol=1e-10)
        again = flow_fit.IntegratedFlow.from_json(model.to_json())
        np.testing.assert_array_equal(again.weights, model.weights)
        assert (again.explained, again.count) == (model.explained, model.count)

    def test_a_fit_without_enough_to_fit_is_refused(self) -> None:
        for flows, message in (
            (np.ones((3, 3)), "3 whole intervals for 3 levels"),
            (np.full((2, 9), np.nan), "0 whole intervals"),
            (np.ones((2, 9)), "never change"),
            (
                np.arange(18.0).reshape(2, 9) * 1e200,
                "flows up to 1.7e\\+201; allowed: numbers whose squares are finite",
            ),
            (np.ones(4), "shape"),
        ):
            with pytest.raises(ArgumentError, match=message):
                flow_fit.fit(flows)
        for text in ("", "{}", '{"weights": [[1]], "explained": 1, "count": 2}'):
            with pytest.raises(ModelError):
                flow_fit.IntegratedFlow.from_json(text)

    def test_normalised_flow_by_hand(self) -> None:
        got = flow_fit.normalised_flow(
            np.array([np.nan, 6.0, 0.0, 5.0]), np.array([np.nan, 8.0, 0.0, 0.0]), np.array([0, 4, 0, 2])
        )
        np.testing.assert_array_equal(got, [np.nan, 3.0, 0.0, np.nan])


class TestResilience:
    def test_an_episode_by_hand(self) -> None:
        time = np.array([0, 1, 2, 4, 5, 6, 9]) * SECOND
        level, trade = np.array([10.0, 4, 2, 6, 10, 8, 7]), np.array([0, 1, 0, 0, 0, 0, 1])
        now, later, seconds = resilience.resilience(time, level, trade, offsets_of(0, 7), horizon_ns=2 * SECOND)
        np.testing.assert_array_equal(now, [np.nan, 0, 0, 0.5, 1, 1, 0])
        # at 3 s, two after the trade, the level of the row at 2 s still stood: 2, the lowest
        np.testing.assert_array_equal(later, [np.nan, np.nan, np.nan, 0, 0, 0, 0])
        np.testing.assert_array_equal(seconds, [np.nan, np.nan, np.nan, np.nan, 4, 4, 4])

    def test_one_event_after_the_other_gives_the_bits_of_the_batch(self) -> None:
        rng = np.random.default_rng(1)
        time = np.cumsum(rng.integers(0, 3, 500)) * SECOND
        level, trade = rng.integers(1, 9, 500).astype(float), (rng.random(500) < 0.3).astype(float)
        level[rng.random(500) < 0.05] = np.nan
        batch = resilience.resilience(time, level, trade, offsets_of(0, 500), horizon_ns=4 * SECOND)
        numbers, marks = np.empty(6), np.empty(4, np.int64)
        resilience.start(numbers, marks)
        stepped = [
            resilience.step(numbers, marks, time[row], level[row], trade[row] > 0, 4 * SECOND) for row in range(500)
        ]
        for one, other in zip(batch, np.array(stepped).T, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_bad_arguments_are_named(self) -> None:
        time, ones = np.array([0, 2, 1]), np.ones(3)
        with pytest.raises(ArgumentError, match="time falls from 2 to 1 at row 2"):
            resilience.resilience(time, ones, ones, offsets_of(0, 3), horizon_ns=1)
        with pytest.raises(ArgumentError, match="horizon_ns is 0"):
            resilience.resilience(np.sort(time), ones, ones, offsets_of(0, 3), horizon_ns=0)


class TestTenFeatures:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("rows", [1, 5, 3000])
    def test_one_pass_gives_the_bits_of_the_single_functions(self, rows: int, dtype: str) -> None:
        data = Data(rows, 5, dtype, rows)
        books = deep_books(data)
        weights = levels.exponential_weights(10, 0.3)
        spread, _, gap = state.touch(*books)
        apart = {
            "spread": spread,
            "weighted_mid_gap": gap,
            **{f"imbalance_{k}": best.imbalance(books[1], books[3], k) for k in (1, 5, 10)},
            **dict(zip(("depth", "pressure", "mean_distance"), state.shape(*books), strict=True)),
            "order_flow_imbalance": best.order_flow_imbalance(*books, data.offsets),
            "weighted_flow": flow.weighted_flow(*books, data.offsets, weights=weights),
        }
        together = fused.ten_features(*books, data.offsets, weights=weights)
        for name, row in zip(fused.TEN_FEATURES, together, strict=True):
            assert row.dtype == apart[name].dtype
            np.testing.assert_array_equal(row, apart[name], err_msg=name)

    def test_the_output_can_be_written_again(self) -> None:
        data = Data(50, 2, "float64", 1)
        books, out = deep_books(data), np.empty((10, 50))
        got = fused.ten_features(*books, data.offsets, out=out)
        assert got is out
        np.testing.assert_array_equal(out, fused.ten_features(*books, data.offsets))
        with pytest.raises(ArgumentError, match=r"out is float32 \(10, 50\); allowed: float64 \(10, 50\)"):
            fused.ten_features(*books, data.offsets, out=out.astype(np.float32))


def test_state_of_the_micro_price_is_mirrored() -> None:
    rng = np.random.default_rng(4)
    for bids, asks in rng.integers(1, 30, (500, 2)).astype(float):
        row, bucket = micro_price.state_of(10, bids, 12, asks, 1.0, 4, 11)
        assert (row, 10 - bucket) == micro_price.state_of(10, asks, 12, bids, 1.0, 4, 11)
        assert row == 1
    assert micro_price.state_of(10, 5.0, 11, 5.0, 1.0, 4, 11) == (0, 5)
    assert micro_price.state_of(10, 5.0, 99, 5.0, 1.0, 4, 11)[0] == 3
    assert micro_price.state_of(10, 5.0, 10, 5.0, 1.0, 4, 11) == (-1, -1)
