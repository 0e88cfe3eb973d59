"""Order-flow imbalance against price changes: the edges by hand, the resampling by hand, and Bank of America's five
days against the published figure."""

from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fusion.studies.best_quotes import BestQuotes, lean_tick_quotes, read_best_quotes
from fusion.studies.blocks import interval, resampled_sums
from fusion.studies.price_impact import SECOND, intervals_of, price_impact
from gpu_kernels.errors import ArgumentError, DataError


def quotes_of(rows: list[tuple[int, int, float, int, float]], opens: int, closes: int) -> BestQuotes:
    """One session of (time, bid, bid size, ask, ask size)."""
    time, bid, bid_size, ask, ask_size = zip(*rows, strict=True)
    ticks = [np.array(column, np.int64) for column in (time, bid, ask)]
    sizes = [np.array(column, np.float64) for column in (bid_size, ask_size)]
    one = (np.array([0, len(rows)]), (date(2020, 1, 2),), np.array([opens]), np.array([closes]), {})
    return BestQuotes(ticks[0], ticks[1], sizes[0], ticks[2], sizes[1], *one)


def simulated(sessions: int, rows: int) -> BestQuotes:
    """Sessions of which each starts a nanosecond after the one before ends; the price follows nothing."""
    rng = np.random.default_rng(4)
    count = sessions * rows
    bid = 1000 + np.cumsum(rng.integers(-1, 2, count))
    sizes = [rng.integers(1, 50, count).astype(float) for _ in range(2)]
    starts = np.arange(sessions) * rows * SECOND
    time = np.arange(count) * SECOND + rng.integers(0, SECOND, count)
    days = tuple(date(2020, 1, 1 + day) for day in range(sessions))
    offsets = np.arange(sessions + 1) * rows
    closes = starts + rows * SECOND
    return BestQuotes(time, bid, sizes[0], bid + 1, sizes[1], offsets, days, starts, closes, {})


class TestIntervals:
    def test_a_quote_at_an_edge_belongs_to_the_next_interval(self) -> None:
        quotes = quotes_of(
            [(5, 100, 10, 102, 10), (10, 101, 7, 103, 4), (19, 101, 9, 103, 4), (20, 0, 0, 0, 0)], 10, 20
        )
        flow, change, offsets = intervals_of(quotes, 10)
        # the mid at 10 is that of the quote at 5; the quote at 20, which lacks both sides, is not in it
        assert change.tolist() == [1.0]
        assert flow.tolist() == [7.0 + 10.0 + 2.0]
        assert offsets.tolist() == [0, 1]

    def test_no_mid_before_the_open_leaves_the_first_interval_out(self) -> None:
        quotes = quotes_of([(12, 100, 10, 102, 10), (25, 101, 7, 103, 4)], 10, 30)
        flow, change, _ = intervals_of(quotes, 10)
        assert (flow.tolist(), change.tolist()) == ([17.0], [1.0])

    def test_what_lies_outside_the_session_is_in_no_interval(self) -> None:
        quotes = simulated(3, 200)
        half = BestQuotes(
            *(quotes.time, quotes.bid, quotes.bid_size, quotes.ask, quotes.ask_size, quotes.offsets),
            *(quotes.sessions, quotes.opens + 50 * SECOND, quotes.closes - 50 * SECOND, {}),
        )
        _, change, offsets = intervals_of(half, 10 * SECOND)
        assert np.diff(offsets).tolist() == [10, 10, 10]
        mid = (quotes.bid + quotes.ask) / 2
        assert change[:10].sum() == mid[149] - mid[49]


class TestImpact:
    def test_equals_regressions_session_by_session(self) -> None:
        quotes = simulated(3, 400)
        found = price_impact(quotes, 5 * SECOND, draws=100)
        flow, change, offsets = intervals_of(quotes, 5 * SECOND)
        r2, lagged, slopes = [], [], []
        for first, last in pairwise(offsets):
            x, y = flow[first:last], change[first:last]
            r2.append(np.corrcoef(x, y)[0, 1] ** 2)
            lagged.append(np.corrcoef(x[:-1], y[1:])[0, 1])
            slopes.append(np.polyfit(x, y, 1)[0])
        np.testing.assert_allclose(found.by_session, r2)
        assert found.r2.value == pytest.approx(np.mean(r2))
        assert found.next_correlation.value == pytest.approx(np.mean(lagged))
        assert found.slope.value == pytest.approx(np.mean(slopes))
        assert found.r2.low < found.r2.value < found.r2.high

    def test_sessions_in_which_nothing_moves_are_an_error(self) -> None:
        still = quotes_of([(k, 100, 10, 102, 10) for k in range(40)], 0, 40)
        with pytest.raises(DataError, match="no session of 1 has an order flow and a price that change"):
            price_impact(still, 10, draws=10)


class TestBlocks:
    def test_equals_drawing_blocks_by_hand(self) -> None:
        columns = np.random.default_rng(1).normal(size=(2, 17))
        got = resampled_sums(columns, np.array([0, 7, 7, 17]), 3, 50, 5)
        rng = np.random.default_rng(5)
        for segment, (first, rows) in enumerate(((0, 7), (7, 0), (7, 10))):
            if rows == 0:
                assert (got[:, segment] == 0).all()
                continue
            starts = rng.integers(0, rows, (50, -(-rows // 3)))
            drawn = first + (starts[:, :, None] + np.arange(3)) % rows
            np.testing.assert_allclose(got[:, segment], columns[:, drawn].sum(axis=(2, 3)).T)

    def test_blocks_widen_the_interval_of_rows_that_hang_together(self) -> None:
        rng = np.random.default_rng(2)
        path = np.convolve(rng.normal(size=4049), np.ones(50) / 50, mode="valid")
        columns = np.stack([np.ones(4000), path])
        widths = []
        for block in (1, 200):
            sums = resampled_sums(columns, np.array([0, 4000]), block, 400, 3)[:, 0]
            low, high = interval(sums[:, 1] / sums[:, 0])
            widths.append(high - low)
        # a mean of 50 hangs together over 50 rows: its variance is 50 times that of rows by themselves
        assert 4.5 < widths[1] / widths[0] < 9.0

    def test_missing_values_are_refused(self) -> None:
        with pytest.raises(ArgumentError, match="missing or infinite"):
            resampled_sums(np.array([[1.0, np.nan]]), np.array([0, 2]), 1, 10, 0)


@pytest.fixture(scope="module")
def bank_of_america(data_root: Path) -> BestQuotes:
    source = lean_tick_quotes(str(data_root / "market/lean/equity/usa/tick/bac/*_quote.zip"))
    return read_best_quotes(source, "XNYS", 0.01)


@pytest.mark.data
class TestBankOfAmerica:
    """Cont, Kukanov and Stoikov report a mean R2 of 0.65 at 10 s over 50 stocks."""

    def test_five_whole_days_of_quotes_that_are_not_crossed(self, bank_of_america: BestQuotes) -> None:
        assert [day.day for day in bank_of_america.sessions] == [7, 8, 9, 10, 11]
        assert (bank_of_america.closes - bank_of_america.opens == 6.5 * 3600 * SECOND).all()
        assert bank_of_america.left_out == {"unpaired_quote": 1}
        assert (bank_of_america.ask < bank_of_america.bid).mean() < 1e-4

    @pytest.mark.parametrize(("seconds", "least", "most"), [(1, 0.54, 0.57), (10, 0.64, 0.68)])
    def test_flow_explains_the_same_interval_and_not_the_next(
        self, bank_of_america: BestQuotes, seconds: int, least: float, most: float
    ) -> None:
        found = price_impact(bank_of_america, seconds * SECOND, draws=100)
        assert least < found.r2.value < most
        assert found.r2.low < found.r2.value < found.r2.high
        assert min(found.by_session) > 0.4
        assert 0.0 < found.next_correlation.low < found.next_correlation.value < 0.08
