"""Forecasts of a later mid: targets and losses by hand, a market of known micro-price, and one real day."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fusion.studies.best_quotes import BestQuotes, lean_tick_quotes, read_best_quotes
from fusion.studies.mid_forecasts import (
    MICRO,
    MID,
    WEIGHTED,
    Horizon,
    compare,
    forecasts,
    splits_of,
    targets,
    usable,
)
from gpu_kernels.errors import DataError

SECOND = 10**9


def quotes_of(mid_ticks: list[int], time: list[int], offsets: list[int], wide: int = 2) -> BestQuotes:
    """Quotes of even spread around whole mids, sizes 1."""
    mid, size = np.array(mid_ticks, np.int64), np.ones(len(mid_ticks))
    sessions = tuple(date(2020, 1, 1 + day) for day in range(len(offsets) - 1))
    times = np.array(time, np.int64)
    opens = np.array([times[first] for first in offsets[:-1]])
    closes = np.array([times[last - 1] + 1 for last in offsets[1:]])
    books = (mid - wide // 2, size, mid + wide // 2, size)
    return BestQuotes(times, *books, np.array(offsets), sessions, opens, closes, {})


def leaning(rows: int, seed: int) -> BestQuotes:
    """A tick-wide book whose mid moves up or down a tick as the imbalance says, which is drawn anew each time."""
    rng = np.random.default_rng(seed)
    lean = rng.uniform(-0.9, 0.9, rows)
    # half as strong as the weighted mid has it: moves of +-1 in a tenth of the rows, the rest stands still
    moves = (rng.random(rows) < 0.3) * np.where(rng.random(rows) < (1 + 0.5 * lean) / 2, 1, -1)
    bid = 1000 + np.concatenate([[0], np.cumsum(moves[:-1])])
    time = np.arange(rows) * SECOND
    one = (np.array([0, rows]), (date(2020, 1, 1),), time[:1], time[-1:] + 1, {})
    return BestQuotes(time, bid, 1 + lean, bid + 1, 1 - lean, *one)


class TestTargets:
    QUOTES = quotes_of([10, 10, 12, 12, 9, 50, 50, 51], [0, 1, 2, 4, 7, 9, 10, 11], [0, 5, 8])

    def test_next_change(self) -> None:
        expected = [12, 12, 9, 9, np.nan, 51, 51, np.nan]
        np.testing.assert_array_equal(targets(self.QUOTES, Horizon()), expected)

    def test_quotes_ahead(self) -> None:
        expected = [12, 12, 9, np.nan, np.nan, 51, np.nan, np.nan]
        np.testing.assert_array_equal(targets(self.QUOTES, Horizon(events=2)), expected)

    def test_time_ahead(self) -> None:
        # a session whose quotes have ended tells no later mid
        expected = [12, 12, 12, 9, np.nan, 51, np.nan, np.nan]
        np.testing.assert_array_equal(targets(self.QUOTES, Horizon(ns=2))[:4], [12, 12, 12, 12])
        np.testing.assert_array_equal(targets(self.QUOTES, Horizon(ns=3))[3:], [9, np.nan, np.nan, np.nan, np.nan])
        np.testing.assert_array_equal(targets(self.QUOTES, Horizon(ns=2))[4:], expected[4:])

    def test_a_missing_mid_is_no_change(self) -> None:
        size = self.QUOTES.bid_size.copy()
        size[2] = 0.0
        found = targets(replace(self.QUOTES, bid_size=size), Horizon())
        np.testing.assert_array_equal(found[:5], [12, 12, np.nan, 9, np.nan])


class TestUsable:
    def test_locked_quotes_and_those_outside_the_session_are_stepped_over(self) -> None:
        quotes = quotes_of([10, 10, 12, 12, 9], [0, 1, 2, 4, 7], [0, 5])
        ask = quotes.ask.copy()
        ask[2] = quotes.bid[2]
        found = usable(replace(quotes, ask=ask, opens=np.array([1]), closes=np.array([7])))
        assert found.time.tolist() == [1, 4]
        assert found.offsets.tolist() == [0, 2]

    def test_a_session_is_halved_and_several_are_fitted_on_the_past(self) -> None:
        (only,) = splits_of(quotes_of([1, 2, 3, 4], [0, 1, 2, 10], [0, 4]))
        assert (only.fit.time.tolist(), only.test.time.tolist()) == ([0, 1, 2], [10])
        parts = splits_of(quotes_of([1, 2, 3, 4], [0, 1, 2, 10], [0, 1, 2, 4]))
        assert [split.fit.time.tolist() for split in parts] == [[0], [0, 1]]
        assert [split.test.time.tolist() for split in parts] == [[1], [2, 10]]


class TestCompare:
    def test_losses_by_hand(self) -> None:
        splits = splits_of(leaning(20_000, 1))
        found = compare(splits, Horizon(events=1), block_ns=60 * SECOND, draws=100)
        target, each = targets(splits[0].test, Horizon(events=1)), forecasts(splits[0])
        for name in (MID, WEIGHTED, MICRO):
            error = (target - each[name])[:-1]
            assert found.squared[name].value == pytest.approx(np.mean(error**2))
            assert found.absolute[name].value == pytest.approx(np.mean(np.abs(error)))
        gap = found.squared[MICRO].value - found.squared[WEIGHTED].value
        assert found.difference["squared", WEIGHTED].value == pytest.approx(gap)
        assert (found.rows, found.share) == (9_999, 1.0)

    def test_where_the_market_is_a_micro_price_it_is_better(self) -> None:
        found = compare(splits_of(leaning(40_000, 2)), Horizon(events=1), block_ns=60 * SECOND, draws=200)
        assert found.verdict(MID) == found.verdict(WEIGHTED) == "better"

    def test_where_sizes_say_nothing_it_is_no_better_than_the_mid(self) -> None:
        quotes = leaning(40_000, 3)
        mixed = np.random.default_rng(0).permutation(len(quotes.time))
        still = replace(quotes, bid_size=quotes.bid_size[mixed], ask_size=quotes.ask_size[mixed])
        found = compare(splits_of(still), Horizon(events=1), block_ns=60 * SECOND, draws=200)
        # what the fit takes for a lean is noise, and small
        assert found.verdict(MID) != "better"
        assert found.difference["squared", MID].value < 0.01 * found.squared[MID].value
        assert found.verdict(WEIGHTED) == "better"

    def test_no_later_mid_is_an_error(self) -> None:
        with pytest.raises(DataError, match="no quote has a later mid"):
            compare(splits_of(leaning(2_000, 4)), Horizon(events=5_000), block_ns=SECOND)


@pytest.mark.data
def test_one_real_day(data_root: Path) -> None:
    """Fitted on the morning, tested on the afternoon: what must hold whichever forecast wins."""
    source = lean_tick_quotes(str(data_root / "market/lean/equity/usa/tick/bac/20131009_quote.zip"))
    quotes = usable(read_best_quotes(source, "XNYS", 0.01))
    (split,) = splits_of(quotes)
    assert split.fit.time[-1] < split.test.time[0]
    each = forecasts(split)
    assert np.isfinite(each[MICRO]).mean() > 0.999
    # of a quote a tick wide, the weighted mid lies between bid and ask; the micro-price may lie a little beyond, on
    # the side where more rests
    tight = split.test.ask - split.test.bid == 1
    assert (np.abs(each[WEIGHTED] - each[MID])[tight] <= 0.5).all()
    assert (np.abs(each[MICRO] - each[MID])[tight] <= 1.0).all()
    lean = np.sign(each[MICRO] - each[MID]) * np.sign(split.test.bid_size - split.test.ask_size)
    assert (lean[tight] >= 0).all()
    found = compare([split], Horizon(), block_ns=300 * SECOND, draws=100)
    assert found.share > 0.999
    for loss in (found.squared, found.absolute):
        for level in loss.values():
            assert 0 < level.low < level.value < level.high
    for (kind, other), difference in found.difference.items():
        levels = found.squared if kind == "squared" else found.absolute
        assert difference.value == pytest.approx(levels[MICRO].value - levels[other].value)
        assert difference.low < difference.value < difference.high
