"""Covariance of two entities on one clock and on two, and the exponentially weighted variance."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from r_random import example_prices

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility import covariance, ewma

SECOND = 10**9


class TestOneClock:
    def test_the_published_example_of_r_highfrequency(self) -> None:
        # its tests: sum over the matrix rCov(returnDat) of three assets, for each of three days
        for prices, wanted in zip(example_prices(), (2.971967832, 3.032179598, 3.012844796), strict=True):
            returns, offsets = np.diff(np.log(prices), axis=1), np.array([0, 23400])
            total = 0.0
            for one, other in ((0, 1), (0, 2), (1, 2)):
                found = covariance.session_covariance(returns[one], returns[other], offsets)
                total += 2 * found.covariance[0] + (found.variance_x[0] + found.variance_y[0]) / 2
            assert total == pytest.approx(wanted, abs=5e-10)

    def test_beta_and_correlation_are_those_of_a_regression_through_0(self) -> None:
        rng = np.random.default_rng(3)
        x = rng.normal(size=500)
        y = 1.7 * x + 0.5 * rng.normal(size=500)
        found = covariance.session_covariance(x, y, np.array([0, 200, 500]))
        np.testing.assert_allclose(found.beta[1], np.linalg.lstsq(x[200:, None], y[200:], rcond=None)[0], rtol=1e-12)
        moving = covariance.rolling_covariance(x, y, np.array([0, 200, 500]), 50)
        assert moving.beta[199] == pytest.approx((x[150:200] @ y[150:200]) / (x[150:200] @ x[150:200]))
        assert np.isnan(moving.beta[200:249]).all()
        assert np.nanmax(np.abs(moving.correlation)) <= 1.0 + 1e-12

    def test_a_pair_with_one_side_missing_is_left_out_of_all_sums(self) -> None:
        x, y = np.array([1.0, 100.0, 2.0, np.inf]), np.array([2.0, np.nan, 4.0, 1.0])
        found = covariance.session_covariance(x, y, np.array([0, 4, 4]))
        np.testing.assert_array_equal(found.variance_x, [5.0, np.nan])
        np.testing.assert_allclose(found.correlation, [1.0, np.nan])

    def test_a_return_that_never_moves_has_no_beta(self) -> None:
        found = covariance.session_covariance(np.zeros(3), np.ones(3), np.array([0, 3]))
        assert found.covariance[0] == 0.0
        assert np.isnan([found.beta[0], found.correlation[0]]).all()


def two_clocks(seed: int, sessions: int = 60, *, correlation: float = 0.7, delay: int = 0) -> tuple:
    """Sessions of an hour: Brownian motions by the second with daily variances 1 and 4, x seen at about each 5th second
    and y at about each 12th, at random; y repeats what x did `delay` seconds ago."""
    rng = np.random.default_rng(seed)
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for _ in range(sessions):
        shock = rng.normal(size=(2, 3600 + delay)) / np.sqrt(3600)
        x = np.cumsum(shock[0, delay:])
        y = 2 * np.cumsum((correlation * shock[0] + np.sqrt(1 - correlation**2) * shock[1])[:3600])
        for place, (path, share) in enumerate(((x, 1 / 5), (y, 1 / 12))):
            at = np.flatnonzero(rng.random(3600) < share)
            columns[2 * place].append(at * SECOND)
            columns[2 * place + 1].append(100 * np.exp(0.01 * path[at]))
    offsets = [np.append(0, np.cumsum([len(x) for x in column])) for column in (columns[0], columns[2])]
    time_x, price_x, time_y, price_y = (np.concatenate(column) for column in columns)
    return time_x, price_x, offsets[0], time_y, price_y, offsets[1]


def previous_tick(time: np.ndarray, price: np.ndarray, offsets: np.ndarray, step: int) -> np.ndarray:
    """Returns on a grid of `step` seconds, one row each session."""
    rows = []
    for first, last in pairwise(offsets):
        grid = np.arange(120, 3600, step) * SECOND
        at = np.searchsorted(time[first:last], grid, "right") - 1
        rows.append(np.diff(np.log(price[first:last][np.maximum(at, 0)])))
    return np.array(rows)


class TestTwoClocks:
    def test_it_has_no_bias_where_the_previous_tick_has_the_epps_effect(self) -> None:
        data = two_clocks(1, sessions=150)
        found = covariance.hayashi_yoshida(*data)
        scale = 2 * 0.01**2 * 0.7
        error = np.std(found.covariance / scale) / np.sqrt(150)
        assert error < 0.02
        assert np.mean(found.covariance) / scale == pytest.approx(1.0, abs=3 * error)
        assert np.mean(found.beta) == pytest.approx(1.4, rel=0.06)
        x, y = previous_tick(*data[:3], 5), previous_tick(*data[3:], 5)
        correlations = (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
        assert np.mean(correlations) < 0.45
        assert np.mean(found.correlation) == pytest.approx(0.7, abs=0.03)

    def test_the_largest_covariance_is_at_the_lag_by_which_one_leads(self) -> None:
        lags = np.arange(-60, 61, 10) * SECOND
        found = covariance.hayashi_yoshida(*two_clocks(2, delay=30), lag_ns=lags.tolist())
        assert found.covariance.shape == (60, 13)
        mean = found.correlation.mean(axis=0)
        assert lags[mean.argmax()] == 30 * SECOND
        assert mean.max() > 0.6
        assert mean[lags < 0].max() < 0.1

    def test_on_one_clock_it_is_the_realised_covariance(self) -> None:
        rng = np.random.default_rng(4)
        x, y = (50 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=300))) for _ in range(2))
        time, offsets = np.arange(300) * SECOND, np.array([0, 300])
        found = covariance.hayashi_yoshida(time, x, offsets, time, y, offsets)
        wanted = covariance.session_covariance(np.diff(np.log(x)), np.diff(np.log(y)), np.array([0, 299]))
        np.testing.assert_allclose(np.array(found), np.array(wanted), rtol=1e-9)
        # thinned, it is that of the blocks, as rHYCov has it: 10 x 29 returns, and the 9 at the end dropped
        blocks = [np.diff(np.log(price[:291:10])) for price in (x, y)]
        thin = covariance.hayashi_yoshida(time, x, offsets, time, y, offsets, every=10)
        assert thin.covariance[0] == pytest.approx(blocks[0] @ blocks[1], rel=1e-9)
        assert thin.variance_x[0] == pytest.approx(blocks[0] @ blocks[0], rel=1e-9)

    def test_ties_and_prices_that_are_none(self) -> None:
        time_x, price_x = np.array([0, 5, 5, 9, 12]), np.array([1.0, 7.0, 2.0, np.nan, 4.0])
        time_y, price_y = np.array([1, 5, 5, 13]), np.array([1.0, 3.0, 0.0, 9.0])
        found = covariance.hayashi_yoshida(time_x, price_x, np.array([0, 5]), time_y, price_y, np.array([0, 4]))
        # x: ln 2 over (0, 5], ln 2 over (5, 12]; y: ln 3 over (1, 5], ln 3 over (5, 13]
        assert found.covariance[0] == pytest.approx(2 * np.log(2) * np.log(3))
        assert found.variance_y[0] == pytest.approx(2 * np.log(3) ** 2)

    def test_intervals_that_only_touch_do_not_overlap(self) -> None:
        price, offsets = np.array([1.0, 2.0]), np.array([0, 2])
        found = covariance.hayashi_yoshida(np.array([0, 5]), price, offsets, np.array([5, 9]), price, offsets)
        assert found.covariance[0] == 0.0

    def test_mistakes_are_named(self) -> None:
        data = two_clocks(5, sessions=1)
        for keywords, message in (
            ({"lag_ns": 1.5}, r"lag_ns is 1\.5; allowed: whole numbers of ns"),
            ({"lag_ns": []}, r"lag_ns is \[\]"),
            ({"every": 0}, "every is 0"),
        ):
            with pytest.raises(ArgumentError, match=message):
                covariance.hayashi_yoshida(*data, **keywords)
        with pytest.raises(ArgumentError, match="time_y falls"):
            covariance.hayashi_yoshida(*data[:3], data[3][::-1], *data[4:])
        with pytest.raises(ArgumentError, match="1 segments of rows for 2"):
            covariance.hayashi_yoshida(*data[:5], np.array([0, 0, data[5][-1]]))


class TestEwma:
    RETURNS = np.random.default_rng(6).normal(scale=0.01, size=300)
    WHOLE = np.array([0, 300])

    def test_pandas(self) -> None:
        squares = pd.Series(self.RETURNS**2)
        for initial, adjust in (("weighted", True), ("mean", False)):
            got = ewma.ewma_variance(self.RETURNS, self.WHOLE, decay=0.94, initial=initial)
            np.testing.assert_allclose(got, squares.ewm(alpha=0.06, adjust=adjust).mean(), rtol=1e-12)
            later = ewma.ewma_variance(self.RETURNS, self.WHOLE, decay=0.94, initial=initial, include_current=False)
            np.testing.assert_array_equal(later[1:], got[:-1])
            assert np.isnan(later[0])

    def test_half_life(self) -> None:
        wanted = pd.Series(self.RETURNS**2).ewm(halflife=7).mean()
        got = ewma.ewma_variance(self.RETURNS, self.WHOLE, half_life=7)
        np.testing.assert_allclose(got, wanted, rtol=1e-12)

    def test_a_given_variance_fades(self) -> None:
        got = ewma.ewma_variance(np.zeros(40), np.array([0, 40]), decay=0.9, initial=1.0)
        np.testing.assert_allclose(got, 0.9 ** np.arange(1, 41))

    def test_the_mean_of_a_warm_up(self) -> None:
        got = ewma.ewma_variance(self.RETURNS, self.WHOLE, decay=0.94, initial="mean", warm_up=20)
        squares = self.RETURNS**2
        assert np.isnan(got[:19]).all()
        assert got[19] == pytest.approx(squares[:20].mean())
        assert got[20] == pytest.approx(0.94 * squares[:20].mean() + 0.06 * squares[20])

    def test_a_missing_return_leaves_the_variance_as_it_stands(self) -> None:
        dirty = self.RETURNS.copy()
        dirty[[3, 100]] = np.nan, np.inf
        got = ewma.ewma_variance(dirty, self.WHOLE, decay=0.94)
        kept = np.delete(np.arange(300), [3, 100])
        np.testing.assert_array_equal(got[kept], ewma.ewma_variance(dirty[kept], np.array([0, 298]), decay=0.94))
        assert got[100] == got[99]

    @pytest.mark.parametrize(
        ("keywords", "message"),
        [
            ({}, "neither decay nor half_life given; allowed: one of them"),
            ({"decay": 0.9, "half_life": 3}, "both decay and half_life given"),
            ({"decay": 1.0}, r"decay is 1\.0; allowed: above 0 and below 1"),
            ({"half_life": 0}, "half_life is 0"),
            ({"decay": 0.9, "initial": "first"}, 'initial is \'first\'; allowed: "weighted", "mean" or a variance'),
            ({"decay": 0.9, "initial": -1.0}, r"initial is -1\.0"),
            ({"decay": 0.9, "warm_up": 0}, "warm_up is 0"),
        ],
    )
    def test_mistakes_are_named(self, keywords: dict, message: str) -> None:
        with pytest.raises(ArgumentError, match=message):
            ewma.ewma_variance(self.RETURNS, self.WHOLE, **keywords)
