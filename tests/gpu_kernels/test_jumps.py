"""Tests for jumps beyond their naive references: size, power, the constants behind them, what moves the windows."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, norm

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility.jumps import THETA, JumpTest, bns_test, gumbel_threshold, lee_mykland, threshold_split
from gpu_kernels.volatility.realised import RealisedMeasures, session_measures
from gpu_kernels.volatility.returns import session_returns

LENGTH = 390


def sessions_of(count: int, length: int = LENGTH) -> np.ndarray:
    return np.arange(count + 1, dtype=np.int64) * length


def brownian(count: int, seed: int) -> np.ndarray:
    """Returns of sessions of Brownian motion, variance 1 a session."""
    return np.random.default_rng(seed).normal(scale=LENGTH**-0.5, size=count * LENGTH)


def with_jumps(r: np.ndarray, size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One jump of +-size a session; and the rows that have it."""
    rng, count = np.random.default_rng(seed), len(r) // LENGTH
    at = np.arange(count) * LENGTH + rng.integers(0, LENGTH, count)
    jumped = r.copy()
    jumped[at] += size * rng.choice([-1, 1], count)
    return jumped, at


def judged(measures: RealisedMeasures, robust: str = "bipower", **options: object) -> JumpTest:
    names = {"bipower": "tripower_quarticity", "min_rv": "min_rq", "med_rv": "med_rq"}
    fourth = getattr(measures, names[robust])
    return bns_test(
        measures.observations, measures.variance, getattr(measures, robust), fourth, estimator=robust, **options
    )


@pytest.fixture(scope="module")
def calm() -> RealisedMeasures:
    return session_measures(brownian(20_000, 1), sessions_of(20_000))


class TestConstants:
    """theta is c² (Var g + 2 sum of covariances), g the squared minimum or median of neighbouring sizes."""

    NODES, WEIGHTS = np.polynomial.legendre.leggauss(300)
    FAR = 9.0

    def integral(self, function: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> float:
        half = 0.5 * (high - low)
        return float(half * np.sum(self.WEIGHTS * function(half * self.NODES + 0.5 * (high + low))))

    def given(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """E med(low, high, |z|)², for low <= high."""
        inside = [2 * norm.cdf(x) - 1 for x in (low, high)]
        squares = [share - 2 * x * norm.pdf(x) for share, x in zip(inside, (low, high), strict=True)]
        return low**2 * inside[0] + squares[1] - squares[0] + high**2 * (1 - inside[1])

    def test_min_rv(self) -> None:
        scale, fourth = np.pi / (np.pi - 2), (3 * np.pi - 8) / np.pi
        squared = self.integral(lambda a: self.given(0 * a, a) ** 2 * 2 * norm.pdf(a), 0, self.FAR)
        mean = 1 / scale
        theta = scale**2 * (fourth - mean**2 + 2 * (squared - mean**2))
        assert theta == pytest.approx(THETA["min_rv"], rel=1e-10)
        assert theta == pytest.approx(3.81, abs=5e-3)

    def test_med_rv(self) -> None:
        scale = np.pi / (6 - 4 * np.sqrt(3) + np.pi)
        fourth, mean = (9 * np.pi + 72 - 52 * np.sqrt(3)) / (3 * np.pi), 1 / scale

        def density(x: np.ndarray) -> np.ndarray:
            return 2 * norm.pdf(x)

        def one_shared(b: float) -> float:
            below = self.integral(lambda a: self.given(a, b) * density(a), 0, b)
            return below + self.integral(lambda a: self.given(b, a) * density(a), b, self.FAR)

        def two_shared(b: float) -> float:
            return 2 * self.integral(lambda a: self.given(a, b) ** 2 * density(a), 0, b)

        first = self.integral(lambda x: np.array([two_shared(b) for b in x]) * density(x), 0, self.FAR)
        second = self.integral(lambda x: np.array([one_shared(b) ** 2 for b in x]) * density(x), 0, self.FAR)
        theta = scale**2 * (fourth - mean**2 + 2 * (first - mean**2) + 2 * (second - mean**2))
        assert theta == pytest.approx(THETA["med_rv"], rel=1e-10)
        assert theta == pytest.approx(2.96, abs=5e-3)

    def test_threshold(self) -> None:
        # the paper's 4.6001 at one per cent, and the value that R's intradayJumpTest names for 78 observations
        assert -np.log(-np.log(0.99)) == pytest.approx(4.6001, abs=5e-5)
        assert gumbel_threshold(78, 0.01) == pytest.approx(4.067058, abs=5e-7)

    def test_default_window_is_the_papers(self) -> None:
        """Table of section 1.3: bars of a day around the clock, and their K."""
        for bars, window in ((24, 78), (48, 110), (96, 156), (288, 270)):
            r = np.random.default_rng(bars).normal(size=window + 5)
            got = lee_mykland(r, np.array([0, len(r)]), observations=bars).statistic
            assert np.flatnonzero(~np.isnan(got))[0] == window - 1


class TestSessions:
    @pytest.mark.parametrize(("robust", "form"), list(product(THETA, ("linear", "log", "ratio"))))
    def test_size(self, calm: RealisedMeasures, robust: str, form: str) -> None:
        """5 per cent where there is no jump: the linear and log forms reject somewhat too often in finite samples, as
        Huang and Tauchen (2005) found, the ratio with the maximum hardly."""
        got = judged(calm, robust, form=form)
        assert np.mean(got.p_value < 0.05) == pytest.approx(0.05, abs=0.008 if form == "ratio" else 0.02)

    def test_the_maximum_makes_rejections_rarer(self, calm: RealisedMeasures) -> None:
        for form in ("linear", "log", "ratio"):
            plain, cautious = (judged(calm, form=form, maximum=m).statistic for m in (False, True))
            assert np.all(np.abs(cautious) <= np.abs(plain))
            assert np.any(np.abs(cautious) < np.abs(plain))

    def test_forms_order(self, calm: RealisedMeasures) -> None:
        """1 - 1/x <= ln x <= x - 1: the statistics stand in that order."""
        ratio, log, linear = (judged(calm, form=form).statistic for form in ("ratio", "log", "linear"))
        assert np.all(ratio <= log + 1e-12)
        assert np.all(log <= linear + 1e-12)

    def test_two_sided_p_values(self, calm: RealisedMeasures) -> None:
        one, two = judged(calm), judged(calm, two_sided=True)
        np.testing.assert_allclose(one.p_value, norm.sf(one.statistic), rtol=1e-10)
        np.testing.assert_allclose(two.p_value, 2 * norm.sf(np.abs(one.statistic)), rtol=1e-10)

    def test_power(self) -> None:
        """Of jumps of variance 0.04, 0.25 and 1 beside a continuous 1, more are found the larger they are."""
        found = {}
        for size in (0.2, 0.5, 1.0):
            r, _ = with_jumps(brownian(4000, 2), size, 3)
            measures = session_measures(r, sessions_of(4000))
            for robust in THETA:
                found[robust, size] = np.mean(judged(measures, robust).p_value < 0.05)
        for robust in THETA:
            assert 0.08 < found[robust, 0.2] < found[robust, 0.5] < found[robust, 1.0]
            assert found[robust, 0.5] > 0.7
            assert found[robust, 1.0] > 0.99

    def test_split(self) -> None:
        r, _ = with_jumps(brownian(4000, 4), 1.0, 5)
        measures = session_measures(r, sessions_of(4000))
        got = judged(measures, "med_rv", alpha=0.001)
        found = got.jump > 0
        assert found.mean() > 0.98
        np.testing.assert_allclose(got.jump + got.continuous, measures.variance, rtol=1e-14)
        np.testing.assert_allclose(got.continuous[found], measures.med_rv[found], rtol=1e-12)
        assert got.jump[found].mean() == pytest.approx(1.0, abs=0.02)
        assert got.continuous[found].mean() == pytest.approx(1.0, abs=0.02)

    def test_significance_decides_what_is_a_jump(self, calm: RealisedMeasures) -> None:
        excess = np.maximum(calm.variance - calm.bipower, 0)
        np.testing.assert_array_equal(judged(calm, alpha=1.0).jump, excess)
        strict = judged(calm, alpha=0.01)
        np.testing.assert_array_equal(strict.jump, np.where(strict.p_value < 0.01, excess, 0.0))
        np.testing.assert_array_equal(judged(calm, alpha=0.0).jump, 0.0)

    def test_no_test_without_movement(self) -> None:
        r = np.zeros(40)
        r[20:] = np.nan
        r[[0, 5]] = 1.0
        measures = session_measures(r, np.array([0, 10, 20, 30, 40]))
        for array in judged(measures):
            assert np.isnan(array).all()

    def test_mistakes_are_named(self) -> None:
        ones = np.ones(3)
        for options, message in (
            ({"estimator": "rv"}, "estimator is 'rv'; allowed: bipower, min_rv, med_rv"),
            ({"form": "difference"}, "form is 'difference'; allowed: linear, log, ratio"),
            ({"alpha": 1.5}, "alpha is 1.5; allowed: 0 to 1"),
            ({"theta": 2.0}, "theta is 2.0; allowed: above 2"),
        ):
            with pytest.raises(ArgumentError, match=message):
                bns_test(ones, ones, ones, ones, **options)
        with pytest.raises(ArgumentError, match="observations 3, variance 2, robust 3, quarticity 3"):
            bns_test(ones, ones[:2], ones, ones)


class TestBars:
    def test_false_alarms(self) -> None:
        """Of days without a jump a share near alpha has an alarm: less than asked, as the Gumbel limit is slow to come,
        and more, as the volatility is estimated. The exact share of standard normals stands between."""
        count = 3000
        r, whole = brownian(count, 6), np.array([0, count * LENGTH])
        for alpha in (0.01, 0.1):
            got = lee_mykland(r, whole, observations=LENGTH, window=2000, alpha=alpha)
            days = np.nan_to_num(got.jump).reshape(count, LENGTH)[6:]
            alarms = np.count_nonzero((days != 0).any(axis=1))
            exact = 1 - (1 - 2 * norm.sf(gumbel_threshold(LENGTH, alpha))) ** LENGTH
            low, high = binom.interval(0.9999, len(days), exact)
            assert low * 0.95 <= alarms <= high * 1.1

    def test_detection(self) -> None:
        count, whole = 400, np.array([0, 400 * LENGTH])
        for size, least in ((0.35, 0.95), (0.6, 0.995)):  # of 7 and 12 local standard deviations
            r, at = with_jumps(brownian(count, 7), size, 8)
            got = lee_mykland(r, whole, observations=LENGTH, alpha=0.01)
            late = at[at > 400]
            assert np.mean(got.jump[late] == r[late]) > least
            found = np.flatnonzero(np.nan_to_num(got.jump) != 0)
            assert np.mean(np.isin(found, at)) > 0.97
            there = ~np.isnan(got.statistic)
            np.testing.assert_array_equal(got.jump[there] + got.continuous[there], r[there])

    def test_the_tested_return_hides_in_its_own_window(self) -> None:
        r, at = with_jumps(brownian(300, 9), 0.4, 10)
        whole = np.array([0, len(r)])
        outside, inside = (
            lee_mykland(r, whole, observations=LENGTH, window=20, include_tested=included) for included in (False, True)
        )
        late = at[at > 20]
        assert np.nanmedian(np.abs(inside.statistic[late])) < 0.9 * np.nanmedian(np.abs(outside.statistic[late]))
        # the one is the other's volatility of a bar later, over K products for K - 1
        window = 20
        np.testing.assert_allclose(
            inside.volatility[window:-1] ** 2,
            lee_mykland(r, whole, observations=LENGTH, window=window + 1).volatility[window + 1 :] ** 2
            * ((window - 1) / (window - 2)),
            rtol=1e-9,
        )

    def test_time_of_day_is_no_jump(self) -> None:
        """A volatility that is three times larger at the open alarms every morning, unless it is divided out."""
        count = 300
        minutes = np.linspace(-1, 1, LENGTH)
        factor = np.tile(0.6 + 2.4 * minutes**8, count)
        r = brownian(count, 11) * factor
        whole = np.array([0, len(r)])
        plain = lee_mykland(r, whole, observations=LENGTH, alpha=0.01)
        fair = lee_mykland(r, whole, factor, observations=LENGTH, alpha=0.01)
        alarms = [np.count_nonzero(np.nan_to_num(got.jump)) for got in (plain, fair)]
        np.testing.assert_allclose(np.nanmedian(fair.volatility / factor), LENGTH**-0.5, rtol=0.02)
        assert alarms[0] > 300
        assert alarms[1] < 30
        # and a jump at noon, small beside the open, is found with it alone
        noon = r.copy()
        at = np.arange(2, count) * LENGTH + LENGTH // 2
        noon[at] += 0.25
        shares = [np.mean(lee_mykland(noon, whole, f, observations=LENGTH).jump[at] != 0) for f in (None, factor)]
        assert shares[1] > shares[0] + 0.05

    def test_windows_run_over_nights(self) -> None:
        """The sessions of an entity in one segment, no return over the night: as if the nights were not there."""
        count = 5
        close = np.exp(np.cumsum(brownian(count, 12)))
        r = session_returns(close, sessions_of(count))
        assert np.isnan(r).sum() == count
        got = lee_mykland(r, np.array([0, len(r)]), observations=LENGTH, window=500)
        there = ~np.isnan(r)
        joined = lee_mykland(r[there], np.array([0, there.sum()]), observations=LENGTH, window=500)
        for mine, other in zip(got, joined, strict=True):
            np.testing.assert_allclose(mine[there], other, rtol=1e-12)
            assert np.isnan(mine[~there]).all()

    def test_a_price_that_stands_still_is_not_tested(self) -> None:
        r = np.zeros(30)
        r[25] = 1.0
        got = lee_mykland(r, np.array([0, 30]), observations=10, window=5)
        assert np.isnan(got.statistic).all()
        assert np.isnan(got.jump).all()
        np.testing.assert_array_equal(got.volatility[4:], 0.0)

    def test_mistakes_are_named(self) -> None:
        r, whole = np.ones(6), np.array([0, 6])
        for options, message in (
            ({"observations": 2}, "observations is 2; allowed: a whole number, 3 or more"),
            ({"observations": 9, "window": 2}, "window is 2; allowed: a whole number, 3 or more"),
            ({"observations": 9, "alpha": 0.0}, r"alpha is 0\.0; allowed: above 0 and below 1"),
            ({"observations": 9, "periodicity": r[:5]}, "returns 6, periodicity 5"),
        ):
            with pytest.raises(ArgumentError, match=message):
                lee_mykland(r, whole, **options)


class TestSplit:
    def test_truncated_variance(self) -> None:
        """Jumps leave it where the truncation of no jump does, some per mille short of the variance."""
        count, days = 2000, sessions_of(2000)
        calm = brownian(count, 13)
        jumped, at = with_jumps(calm, 1.0, 14)
        truncated = []
        for r in (calm, jumped):
            measures = session_measures(r, days)
            split = threshold_split(r, days, measures.observations, measures.bipower, multiple=4.0)
            np.testing.assert_array_equal(split.jump + split.continuous, r)
            truncated.append(session_measures(split.continuous, days).variance)
        assert np.all(split.jump[at] == jumped[at])
        assert np.isin(np.flatnonzero(split.jump), at).mean() > 0.99
        for variance in truncated:
            assert variance.mean() == pytest.approx(1.0, abs=0.01)
        got = session_measures(split.jump, days).variance
        assert got.mean() == pytest.approx(1.0, abs=0.02)

    def test_limit_by_hand(self) -> None:
        r, days = np.array([0.9, -1.1, np.nan, 0.5, 2.0, 1.0]), np.array([0, 4, 6])
        factor = np.array([1.0, 1.0, 1.0, 0.4, 1.0, 0.0])
        number, robust = np.array([4, 0]), np.array([1.0, 1.0])
        split = threshold_split(r, days, number, robust, multiple=2.0, rate=0.5)
        np.testing.assert_array_equal(split.jump, [0.0, -1.1, np.nan, 0.0, np.nan, np.nan])
        split = threshold_split(r, days, number + 4, robust, factor, multiple=2.0 * 2**0.5, rate=0.5)
        np.testing.assert_array_equal(split.jump, [0.0, -1.1, np.nan, 0.5, 2.0, np.nan])
        np.testing.assert_array_equal(split.continuous, [0.9, 0.0, np.nan, 0.0, 0.0, np.nan])

    def test_mistakes_are_named(self) -> None:
        r, days, ones = np.ones(6), np.array([0, 6]), np.ones(1)
        for call, message in (
            (lambda: threshold_split(r, days, ones, ones, multiple=0.0), r"multiple is 0\.0; allowed: above 0"),
            (lambda: threshold_split(r, days, ones, ones, rate=0.6), r"rate is 0\.6; allowed: 0 to 0\.5"),
            (lambda: threshold_split(r, days, np.ones(2), ones), "observations 2, robust 1 for 1 segments"),
        ):
            with pytest.raises(ArgumentError, match=message):
                call()
