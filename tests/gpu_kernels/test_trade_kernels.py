"""Kernels of trades beyond their naive references: identities, values by hand, event by event, no look-ahead."""

from collections.abc import Callable
from itertools import pairwise

import calls
import numpy as np
import pytest
from naive import trade_arrivals
from scipy import special, stats

from benchmarks.works import trade, trade_cost, trade_orders
from benchmarks.works.data import MINUTE, Data
from gpu_kernels.errors import ArgumentError
from gpu_kernels.hash_table import EMPTY
from gpu_kernels.trade import arrivals, buckets, cancels, flow, impact, lives, spreads, vpin


def offsets_of(*rows: int) -> np.ndarray:
    return np.array(rows, np.int64)


def segments(offsets: np.ndarray) -> list[slice]:
    return [slice(first, last) for first, last in pairwise(offsets)]


QUOTES = (np.array([0, 10, 20, 30]), np.array([99, 100, 104, 99]), np.array([101, 104, 106, 103]), offsets_of(0, 4))


class TestSpreads:
    def test_by_hand(self) -> None:
        time, price, side = np.array([5, 10, 15, 25]), np.array([101, 99, 104, 104]), np.array([1, -1, 1, -1], np.int8)
        quoted, effective, realised, impact_, known = spreads.spreads(
            time, price, side, offsets_of(0, 4), *QUOTES, 34, horizon_ns=10
        )
        np.testing.assert_allclose(quoted, np.array([2 / 100, 2 / 100, 4 / 102, 2 / 105]) * 1e4, atol=1e-6)
        np.testing.assert_allclose(effective, np.array([2 / 100, 2 / 100, 4 / 102, 2 / 105]) * 1e4, atol=1e-6)
        # the mids 10 ns later are 102, 105, 105 and, known only at 35, 101
        np.testing.assert_allclose(realised[:3], np.array([-2 / 100, 12 / 100, -2 / 102]) * 1e4, atol=1e-6)
        np.testing.assert_allclose(impact_[:3], np.array([4 / 100, -10 / 100, 6 / 102]) * 1e4, atol=1e-6)
        assert np.isnan(realised[3])
        assert np.isnan(impact_[3])
        assert known.tolist() == [15, 20, 25, 35]

    def test_effective_is_realised_plus_impact_exactly(self) -> None:
        trades = trade.Trades(Data(20_000, 4, "float64", 2))
        price = trades.price * 0.01 + np.random.default_rng(1).random(20_000) * 1e-3
        quotes = (trades.quote_time, trades.bid * 0.01, trades.ask * 0.01, trades.quote_offsets)
        _, effective, realised, impact_, _ = spreads.spreads(
            trades.time, price, trades.side, trades.offsets, *quotes, 2**60, horizon_ns=3 * MINUTE
        )
        there = ~np.isnan(realised)
        assert there.sum() > 5000
        np.testing.assert_array_equal(effective[there], realised[there] + impact_[there])

    def test_large_trades_alone_count(self) -> None:
        time, price, size = np.array([5, 6, 15]), np.array([101, 90, 104]), np.array([10, 1, 30])
        threshold = np.full(3, 10)
        got = spreads.large_trade_deviation(time, price, size, threshold, offsets_of(0, 3), *QUOTES, window_ns=100)
        wanted = [100.0, 100.0, (10 * 100 + 30 * 2 / 102 * 1e4) / 40]
        np.testing.assert_allclose(got, wanted)

    def test_threshold_knows_the_past_alone(self) -> None:
        size = np.array([1.0, 5.0, 3.0, 1000.0, 2.0])
        got = spreads.size_threshold(size, offsets_of(0, 5), 3, 0.5)
        np.testing.assert_array_equal(got, [np.nan, np.nan, np.nan, 3.0, 5.0])


class TestImpact:
    def test_kyle_finds_the_planted_slope(self) -> None:
        rng = np.random.default_rng(3)
        volume = rng.normal(size=5000) * 100
        mid = 1e5 + np.cumsum(0.02 * volume + 0.3 + rng.normal(size=5000))
        got = impact.kyle_lambda(mid, volume, offsets_of(0, 5000), 2000)[-1]
        assert got == pytest.approx(0.02, abs=4 / (100 * 2000**0.5))
        least_squares = stats.linregress(volume[-2000:], np.diff(mid)[-2000:]).slope
        assert got == pytest.approx(least_squares, rel=1e-9)

    def test_equal_volumes_have_no_slope(self) -> None:
        got = impact.kyle_lambda(np.arange(9.0) ** 2, np.full(9, 0.1), offsets_of(0, 9), 4)
        assert np.isnan(got).all()

    def test_roll_finds_the_planted_spread(self) -> None:
        rng = np.random.default_rng(4)
        price = 100 + np.cumsum(rng.normal(scale=0.005, size=50_000)) + 0.05 * rng.choice([-1, 1], 50_000)
        assert impact.roll_spread(price, offsets_of(0, 50_000), 40_000)[-1] == pytest.approx(0.1, rel=0.02)

    def test_roll_says_when_the_model_does_not_hold(self) -> None:
        trend = np.arange(12.0) ** 2
        assert np.isnan(impact.roll_spread(trend, offsets_of(0, 12), 5)).all()
        assert impact.roll_spread(trend, offsets_of(0, 12), 5, refuted="zero")[-1] == 0.0

    def test_amihud_by_hand(self) -> None:
        close, value = np.array([100.0, 110.0, 99.0, 99.0]), np.array([1.0, 1000.0, 500.0, 0.0])
        got = impact.amihud(close, value, offsets_of(0, 4), 2, min_periods=1)
        np.testing.assert_allclose(got, [np.nan, 1e-4, 1.5e-4, 2e-4], rtol=1e-12)


class TestVpin:
    def test_equal_to_the_naive_reference_bit_for_bit(self) -> None:
        for seed in range(5):
            for work in trade_cost.works(Data(1500, 5, "float64", seed)):
                if work.function is vpin.vpin:
                    for got, wanted in zip(work.run(work.arrays), calls.expected(work), strict=True):
                        np.testing.assert_array_equal(got, wanted, strict=True)

    def test_trades_are_split_exactly(self) -> None:
        lots, side = np.array([7, 8, 25, 10]), np.array([1, -1, 1, 0], np.int8)
        got, full = vpin.vpin(lots, side, offsets_of(0, 4), 10, window=2)
        # buckets: 7 bought 3 sold, 5 sold 5 bought, 10 bought, 10 bought, 10 of unknown side
        assert full.tolist() == [0, 1, 4, 5]
        np.testing.assert_array_equal(got, [np.nan, np.nan, 20 / 20, 10 / 20])

    def test_a_trade_of_a_billion_buckets(self) -> None:
        lots, side = np.array([3, 10**15, 10]), np.array([1, -1, 1], np.int8)
        got, full = vpin.vpin(lots, side, offsets_of(0, 3), 10, window=4)
        assert full.tolist() == [0, 10**14, 10**14 + 1]
        np.testing.assert_array_equal(got[1:], [1.0, (10 * 3 + 4) / 40])

    def test_event_by_event(self) -> None:
        trades = trade.Trades(Data(800, 1, "float64", 6))
        batch, full = vpin.vpin(trades.lots, trades.side, trades.offsets, 45, window=6)
        state, ring = (np.int64(0),) * 4, np.zeros(6, np.int64)
        for row in range(800):
            state = vpin._bucket_step(state, ring, trades.lots[row], float(trades.side[row]), 45)
            np.testing.assert_array_equal(vpin._vpin_of(state, 45, 6), batch[row])
            assert state[2] == full[row]

    def test_bulk_weight_of_known_quantiles(self) -> None:
        z = np.array([*np.random.default_rng(7).normal(scale=3, size=300), 0.0, 1e-12, 1e200])
        for degrees in (0.0, 0.25, 1.0, 3.0, 40.0, 2000.0):
            got = [vpin._bulk_weight(value, 1.0, degrees) for value in z]
            cdf = special.stdtr(degrees, z) if degrees else special.ndtr(z)
            np.testing.assert_allclose(got, 2 * cdf - 1, atol=2e-11, err_msg=str(degrees))

    def test_sigma_leaves_out_the_change_that_is_judged(self) -> None:
        price = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 100.0])
        got = vpin.bulk_weight(price, offsets_of(0, 6), 4)
        assert np.isnan(got[:5]).all()
        assert got[5] == 1.0

    def test_bucket_size_is_of_past_days(self) -> None:
        daily = np.array([1000, 3000, 0, 5000, 10**9])
        assert buckets.bucket_sizes(daily, 10, days=3).tolist() == [0, 100, 200, 200, 400]
        assert buckets.bucket_size(daily[:4]) == 60
        assert buckets.bucket_size(np.array([3.0, np.nan])) == 1
        for wrong in (np.array([], np.int64), np.array([0, 0])):
            with pytest.raises(ArgumentError, match="no day with volume"):
                buckets.bucket_size(wrong)
        with pytest.raises(ArgumentError, match="negative"):
            buckets.bucket_sizes(np.array([-1, 2]))
        with pytest.raises(ArgumentError, match=r"allowed: numbers from 0 to 2\*\*62"):
            buckets.bucket_sizes(np.array([1e300, 2.0]))


class TestArrivals:
    def test_levels_move_between_bands_with_the_mid(self) -> None:
        time, ticks = np.array([0, 0, 10]), np.array([100, 104, 101])
        side = np.array([1, -1, 1], np.int8)
        at, bid, ask = np.array([10, 10, 20, 20]), np.array([99, 101, 99, 7]), np.array([101, 106, 101, 5])
        got = arrivals.arrival_asymmetry(
            time, ticks, side, offsets_of(0, 3), at, bid, ask, offsets_of(0, 4), bands=(1, 4), half_life_ns=10
        )
        # mid 100: the sell is 4 away; mid 103.5: the buys are 2.5 and 3.5 away, the sell 0.5
        np.testing.assert_allclose(got[0], [1, -1, 1, np.nan])
        np.testing.assert_allclose(got[1], [-1, 1, -1, np.nan])
        np.testing.assert_allclose(got[2], [1 / 2, 1 / 2, 1 / 2, np.nan])

    @pytest.mark.parametrize("half_life", [3 * MINUTE, MINUTE // 20])
    def test_event_by_event(self, half_life: int) -> None:
        """With the short half-life the origin moves many times."""
        trades = trade.Trades(Data(300, 1, "float64", 8))
        bid, ask, bands = trades.path, trades.path + 2, np.array([2, 6])
        arrays = (trades.time, trades.ticks, trades.side, trades.offsets, trades.time, bid, ask, trades.offsets)
        settings = {"bands": (2, 6), "half_life_ns": half_life, "memory_ticks": 64}
        batch = arrivals.arrival_asymmetry(*arrays, **settings)
        ticks, counts, origin = np.full(64, -(2**63)), np.zeros((2, 64)), trades.time[0]
        out = np.empty((3, 1))
        for row in range(300):
            if trades.side[row]:
                event = (trades.ticks[row], trades.side[row], trades.time[row], half_life)
                origin = arrivals._arrive(ticks, counts, origin, *event)
            if row + 1 == 300 or trades.time[row + 1] > trades.time[row]:
                arrivals._asymmetry(ticks, counts, bid[row], ask[row], bands, out, 0)
                np.testing.assert_array_equal(out[:, 0], batch[:, row])
        assert (origin > trades.time[0]) == (half_life < MINUTE)
        slow = trade_arrivals.arrival_asymmetry(*arrays, **settings)
        # a band whose arrivals are all too old for a float64 has none left in the slow one
        there = ~np.isnan(slow)
        assert there.mean() > 0.5
        np.testing.assert_allclose(batch[there], slow[there], atol=1e-11)


class TestOrders:
    def test_lives_by_hand(self) -> None:
        time, action = np.array([0, 100, 100, 100]), np.array([5, 6, 3, 5], np.int8)
        age, lots = np.array([16, 1024, 5, -1]), np.array([4, 2, 9, 9])
        got = lives.order_lives(
            time, action, age, lots, offsets_of(0, 4), np.array([-1, 0, 100]), offsets_of(0, 3), half_life_ns=100
        )
        assert np.isnan(got[:, 0]).all()
        named = dict(zip(lives.NAMES, got[:, 2], strict=True))
        assert named["cancel_to_trade"] == 0.5
        assert named["cancel_to_trade_lots"] == 1.0
        assert named["mean_life_cancelled"] == named["mean_life_cancelled_lots"] == 16
        assert named["median_life_cancelled"] == pytest.approx(16, rel=0.1)
        assert named["median_life_executed"] == pytest.approx(1024, rel=0.1)

    def test_lives_event_by_event(self) -> None:
        rng = np.random.default_rng(9)
        time, age = np.sort(rng.integers(0, 10**7, 400)), (10 ** rng.uniform(0, 9, 400)).astype(np.int64)
        action, lots = rng.integers(3, 7, 400).astype(np.int8), rng.integers(1, 9, 400)
        # a short half-life, so that the reference time moves many times
        half_life = 20_000
        ends = offsets_of(0, 400)
        batch = lives.order_lives(time, action, age, lots, ends, time, ends, half_life_ns=half_life)
        sums, bins, out, reference = np.zeros((2, 4)), np.zeros((2, lives._BINS)), np.empty((8, 1)), time[0]
        for row in range(400):
            if action[row] >= 5:
                event = (action[row] - 5, float(age[row]), float(lots[row]), time[row], float(half_life))
                reference = lives._end(reference, sums, bins, *event)
            if row + 1 == 400 or time[row + 1] > time[row]:
                lives._row(sums, bins, out, 0)
                np.testing.assert_array_equal(out[:, 0], batch[:, row])
        assert reference > time[0]

    def test_cancels_are_what_trades_do_not_explain(self) -> None:
        time = np.array([0, 10, 20, 30, 40, 50, 60])
        lots = np.array([50, 30, 20, 45, 0, 5, 0])
        trades = (
            np.array([5, 20, 35]),
            np.full(3, 100),
            np.array([15, 30, 3]),
            np.array([-1, -1, 1]),
            offsets_of(0, 3),
        )
        side, action = np.ones(7, np.int8), np.array([0, 0, 0, 0, 0, 1, 0], np.int8)
        levels = (time, np.full(7, 100), lots, side, action, offsets_of(0, 7))
        cancelled, executed = cancels.inferred_cancels(*levels, *trades, patience_ns=25)
        # the trade of 35 hit the ask; of the 30 lots at 20, 10 were seen to leave then and 20 more at 40
        assert executed.tolist() == [0, 15, 10, 0, 20, 0, 0]
        assert cancelled.tolist() == [0, 5, 0, 0, 25, 0, 5]
        _, impatient = cancels.inferred_cancels(*levels, *trades, patience_ns=19)
        assert impatient.tolist() == [0, 15, 10, 0, 0, 0, 0]

    def test_cancels_event_by_event(self) -> None:
        (work,) = (w for w in trade_orders.works(Data(500, 1, "float64", 3)) if w.function is cancels.inferred_cancels)
        time, ticks, lots, side, action, _, trade_time, trade_ticks, trade_lots, by, _ = work.arrays
        batch = work.run(work.arrays)
        keys, book, used = np.full(4096, EMPTY), np.zeros((4, 4096), np.int64), np.zeros(1, np.int64)
        epoch, known, hit = 0, True, 0
        for row in range(500):
            while hit < 500 and trade_time[hit] <= time[row]:
                event = (trade_time[hit], trade_ticks[hit], by[hit], trade_lots[hit])
                cancels._trade_step(keys, book, used, epoch, *event)
                hit += 1
            known = (known or action[row] == 1) and action[row] != 2
            epoch += int(action[row] == 1)
            if known:
                event = (time[row], ticks[row], side[row] > 0, lots[row], work.parameters["patience_ns"])
                assert cancels._update_step(keys, book, used, epoch, *event) == (batch[0][row], batch[1][row])

    def test_too_many_levels_are_refused(self) -> None:
        rows, none = 3000, np.empty(0, np.int64)
        side, action = np.ones(rows, np.int8), np.zeros(rows, np.int8)
        updates = (np.arange(rows), np.arange(rows) * 7, np.ones(rows, np.int64), side, action, offsets_of(0, rows))
        trades = (none, none, none, none, offsets_of(0, 0))
        with pytest.raises(ArgumentError, match="segment 0 names more price levels than levels=500"):
            cancels.inferred_cancels(*updates, *trades, patience_ns=1, levels=500)
        cancels.inferred_cancels(*updates, *trades, patience_ns=1, levels=rows)


def test_flow_leaves_no_residue() -> None:
    time, side, lots = np.array([0, 1, 2, 9]), np.array([1, -1, 1, 0], np.int8), np.array([2**61, 3, 4, 5])
    got = flow.trade_flow(time, side, lots, offsets_of(0, 4), np.array([2, 3, 20]), offsets_of(0, 3), window_ns=2)
    assert [array.tolist() for array in got] == [[1, 1, 0], [1, 0, 0], [4, 4, 0], [3, 0, 0]]
    by_number, by_lots = flow.trade_imbalance(
        time, side, lots, offsets_of(0, 4), np.array([2, 3, 20]), offsets_of(0, 3), window_ns=2
    )
    np.testing.assert_array_equal(by_number, [0.0, 1.0, np.nan])
    np.testing.assert_array_equal(by_lots, [1 / 7, 1.0, np.nan])


ROWS_ALONE = (
    vpin.vpin,
    vpin.bulk_weight,
    vpin.change,
    impact.kyle_lambda,
    impact.amihud,
    impact.roll_spread,
    spreads.size_threshold,
)
"""Kernels over one table: row i must not know row i + 1."""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_later_rows_change_no_bit(dtype: str) -> None:
    data, keep = Data(6000, 3, dtype, 12), 5500
    works = [work for work in trade_cost.works(data) if work.function in ROWS_ALONE]
    assert {work.function for work in works} == set(ROWS_ALONE)
    for work in works:
        cut = tuple(
            np.minimum(array, keep) if array is data.offsets else array[:keep] if len(array) == 6000 else array
            for array in work.arrays
        )
        for whole, part in zip(work.run(work.arrays), work.run(cut), strict=True):
            np.testing.assert_array_equal(whole[:keep], part, err_msg=work.name)


def cut_table(time: np.ndarray, offsets: np.ndarray, until: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows with time <= until, their offsets)."""
    keep = time <= until
    return keep, np.array([0, *(keep[: part.stop].sum() for part in segments(offsets))], np.int64)


@pytest.mark.parametrize("until", [40 * MINUTE, 333 * MINUTE])
def test_what_comes_later_changes_nothing_known(until: int) -> None:
    """Every table cut at one time: what was known by then keeps its bits."""
    data = Data(2000, 3, "float64", 13)
    trades, rng = trade.Trades(data), np.random.default_rng(1)
    known, offsets = cut_table(trades.time, trades.offsets, until)
    quotes, quote_offsets = cut_table(trades.quote_time, trades.quote_offsets, until)
    at, at_offsets = cut_table(data.decision_time, data.decision_offsets, until)
    columns = (trades.time, trades.price, trades.side)
    part_quotes = (trades.quote_time[quotes], trades.bid[quotes], trades.ask[quotes], quote_offsets)

    whole = spreads.spreads(*columns, trades.offsets, *trades.quotes, 2**60, horizon_ns=7 * MINUTE)
    part = spreads.spreads(*(c[known] for c in columns), offsets, *part_quotes, until, horizon_ns=7 * MINUTE)
    for full, short in zip(whole[:2], part[:2], strict=True):
        np.testing.assert_array_equal(full[known], short)
    due = whole[4] <= until
    for full, short in zip(whole[2:4], part[2:4], strict=True):
        np.testing.assert_array_equal(full[due], short[due[known]])
        assert np.isnan(short[~due[known]]).all()

    large = (trades.time, trades.price, trades.size, np.full(2000, 20.0))
    whole = spreads.large_trade_deviation(*large, trades.offsets, *trades.quotes, window_ns=9 * MINUTE)
    part = spreads.large_trade_deviation(*(c[known] for c in large), offsets, *part_quotes, window_ns=9 * MINUTE)
    np.testing.assert_array_equal(whole[known], part)

    def check(kernel: Callable, table: list, decisions: list, **parameters: object) -> None:
        whole = kernel(*table, trades.offsets, *decisions, data.decision_offsets, **parameters)
        part = kernel(*(c[known] for c in table), offsets, *(c[at] for c in decisions), at_offsets, **parameters)
        np.testing.assert_array_equal(np.vstack(whole)[:, at], np.vstack(part))

    moments, bid = data.decision_time, 500 + rng.integers(-4, 5, 2000)
    check(flow.trade_flow, [trades.time, trades.side, trades.lots], [moments], window_ns=5 * MINUTE)
    arrive = [trades.time, trades.ticks, trades.side]
    check(
        arrivals.arrival_asymmetry, arrive, [moments, bid, bid + 3], bands=(2, 8), half_life_ns=MINUTE, memory_ticks=32
    )
    action, age = rng.integers(3, 7, 2000).astype(np.int8), rng.integers(0, 10**9, 2000)
    check(lives.order_lives, [trades.time, action, age, trades.lots], [moments], half_life_ns=4 * MINUTE)
