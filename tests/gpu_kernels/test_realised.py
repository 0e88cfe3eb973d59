"""Realised measures beyond their naive references: published numbers, known variances, jumps, gaps, sampling."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility import realised
from gpu_kernels.volatility.jumps import threshold_split
from gpu_kernels.volatility.power import raise_to_four_thirds
from gpu_kernels.volatility.realised import RealisedMeasures, rolling_measure, rolling_measures, session_measures
from gpu_kernels.volatility.returns import grid_returns, session_returns

MINUTE = 60 * 10**9
VARIANCES = ("variance", "bipower", "min_rv", "med_rv")
QUARTICITIES = ("quarticity", "tripower_quarticity", "quadpower_quarticity", "min_rq", "med_rq")
NAMES = RealisedMeasures._fields[1:]


def offsets_of(*rows: int) -> np.ndarray:
    return np.array(rows, np.int64)


def sessions_of(count: int, length: int) -> np.ndarray:
    return np.arange(count + 1, dtype=np.int64) * length


def r_normals(seed: int, count: int) -> np.ndarray:
    """What R's rnorm gives after set.seed(seed): Mersenne Twister, seeded by a congruence, and inversion."""
    words, state = [], seed
    for _ in range(50 + 625):
        state = (69069 * state + 1) % 2**32
        words.append(state)
    twister = np.random.RandomState()
    twister.set_state(("MT19937", np.array(words[51:], np.uint32), 624))
    uniform = twister.randint(0, 2**32, 2 * count, dtype=np.uint64) * 2.3283064365386963e-10
    return ndtri((np.floor(2.0**27 * uniform[::2]) + uniform[1::2]) / 2.0**27)


@pytest.fixture(scope="module")
def published() -> tuple[np.ndarray, np.ndarray]:
    """Prices of the tests of R's highfrequency: three days of 23,401 seconds, three assets; and offsets of the days."""
    draws = r_normals(123, 9 * 23401) * np.sqrt(1 / 23401)
    days = draws.reshape(3, 3, 23401)  # day, asset, second
    return np.exp(np.cumsum(days.transpose(1, 0, 2).reshape(3, -1), axis=1)), sessions_of(3, 23401)


class TestNumbersOfHighfrequency:
    """tests/testthat/tests_realized_measures.R of the R package: sums over the days of each measure."""

    @pytest.mark.parametrize(
        ("name", "sums"),
        [
            ("med_rv", (3.022290125, 3.003088657, 3.013543419)),
            ("med_rq", (3.06573359, 3.010144579, 3.030828633)),
            ("min_rv", (3.027820575, 2.99975133, 3.001113006)),
            ("min_rq", (3.0696895, 2.977093559, 3.01211734)),
            ("kurtosis", (8.963908299, 9.029035031, 9.063772367)),
            ("skewness", (0.03781808902, 0.0146462315, 0.03046798416)),
            ("tripower_quarticity", (3.023117658, 3.003898984, 2.966162109)),
            ("quadpower_quarticity", (3.018535259, 3.006780968, 2.95202662)),
            ("quarticity", (2.997549025, 3.030800189, 3.055064757)),
        ],
    )
    def test_sums_by_asset(self, published: tuple, name: str, sums: tuple[float, ...]) -> None:
        prices, days = published
        for close, wanted in zip(prices, sums, strict=True):
            r = session_returns(close, days, first_return="zero")
            got = getattr(session_measures(r, days, finite_sample="highfrequency"), name).sum()
            assert got == pytest.approx(wanted, rel=2e-9)

    def test_multipower_variation_is_bipower_with_its_factor(self, published: tuple) -> None:
        prices, days = published
        for close, wanted in zip(prices, (3.016532757, 3.004313242, 3.002691466), strict=True):
            r = session_returns(close, days, first_return="zero")
            assert session_measures(r, days).bipower.sum() == pytest.approx(wanted, rel=2e-9)

    def test_semivariances_of_the_first_day(self, published: tuple) -> None:
        prices, days = published
        got = [session_measures(session_returns(close, days), days) for close in prices]
        assert sum(m.semivariance_down[0] for m in got) == pytest.approx(1.501497027, rel=2e-9)
        assert sum(m.semivariance_up[0] for m in got) == pytest.approx(1.50206646, rel=2e-9)

    def test_covariances_by_polarisation(self, published: tuple) -> None:
        """The sum of a day's covariances: pairs by (measure(x + y) - measure(x - y)) / 4."""
        prices, days = published
        r = [session_returns(close, days) for close in prices]
        published_sums = {
            "variance": (2.971967832, 3.032179598, 3.012844796),
            "bipower": (2.98622886, 3.026269417, 2.99293847),
        }
        for name, wanted in published_sums.items():

            def day(x: np.ndarray, name: str = name) -> np.ndarray:
                return getattr(session_measures(x, days, finite_sample="highfrequency"), name)

            total = sum(day(x) for x in r)
            for i, j in ((0, 1), (0, 2), (1, 2)):
                total = total + (day(r[i] + r[j]) - day(r[i] - r[j])) / 2
            np.testing.assert_allclose(total, wanted, rtol=2e-9)

    def test_threshold_covariances(self, published: tuple) -> None:
        """rThresholdCov: the returns of each asset over 3 √bipower N^-0.49 set to 0, then covariances."""
        prices, days = published
        total = np.zeros(prices.shape[1])
        for close in prices:
            r = session_returns(close, days, first_return="zero")
            measures = session_measures(r, days, finite_sample="highfrequency")
            total += threshold_split(r, days, measures.observations, measures.bipower).continuous
        got = session_measures(total, days).variance
        np.testing.assert_allclose(got, (2.943885754, 2.992550689, 2.963583828), rtol=2e-9)


def brownian(count: int, length: int, seed: int) -> np.ndarray:
    """Returns of sessions of Brownian motion with variance 1 a session."""
    return np.random.default_rng(seed).normal(scale=length**-0.5, size=count * length)


def z_of(values: np.ndarray, truth: float | np.ndarray) -> float:
    """How many standard errors the mean lies from the truth."""
    error = values - truth
    return float(error.mean() / (error.std(ddof=1) / np.sqrt(len(error))))


class TestKnownVariance:
    @pytest.mark.parametrize("length", [10, 78])
    def test_unbiased_at_any_length(self, length: int) -> None:
        count = 20_000
        got = session_measures(brownian(count, length, length), sessions_of(count, length))
        truth = dict.fromkeys(VARIANCES, 1.0) | {"semivariance_up": 0.5, "semivariance_down": 0.5}
        # of the fourth powers the factors make the sum right, not N times the square of the mean
        truth |= dict.fromkeys(QUARTICITIES, 1.0) | {"skewness": 0.0, "signed_jump": 0.0}
        truth["kurtosis"] = 3.0 * length / (length + 2.0)  # E sum r^4 / (sum r^2)^2 of independent normals
        for name, value in truth.items():
            assert abs(z_of(getattr(got, name), value)) < 4, name

    def test_without_factors_the_short_sums_are_short(self) -> None:
        length = 10
        got = session_measures(brownian(20_000, length, 1), sessions_of(20_000, length), finite_sample="none")
        for name, terms in (("bipower", 9), ("min_rv", 9), ("med_rv", 8), ("tripower_quarticity", 8), ("min_rq", 9)):
            assert abs(z_of(getattr(got, name), terms / length)) < 4, name
        assert z_of(got.bipower, 1.0) < -20

    def test_efficiency_is_the_published_one(self) -> None:
        """Asymptotic variances of √N (estimate - IV) / √IQ: 2, 2.61, 3.81, 2.96."""
        length = 390
        got = session_measures(brownian(20_000, length, 3), sessions_of(20_000, length))
        for name, wanted in (("variance", 2.0), ("bipower", 2.61), ("min_rv", 3.81), ("med_rv", 2.96)):
            assert length * getattr(got, name).var() == pytest.approx(wanted, rel=0.05), name

    def test_stochastic_volatility(self) -> None:
        """Variance that moves by a factor within the day: every estimator still finds the integral."""
        rng, count, length = np.random.default_rng(4), 2000, 1560
        log_variance = np.cumsum(rng.normal(scale=0.02, size=(count, length)), axis=1)
        spot = np.exp(log_variance) * (1.5 + np.cos(np.linspace(0, 2 * np.pi, length))) / length
        r = rng.normal(size=(count, length)) * np.sqrt(spot)
        got = session_measures(r.ravel(), sessions_of(count, length))
        integral, quartic = spot.sum(axis=1), length * (spot**2).sum(axis=1)
        for name in VARIANCES:
            assert abs(z_of(getattr(got, name) / integral, 1.0)) < 4, name
        for name in QUARTICITIES:
            assert abs(z_of(getattr(got, name) / quartic, 1.0)) < 4, name

    def test_jumps_move_the_variance_and_not_the_robust_ones(self) -> None:
        count, length, jump = 4000, 390, 1.0
        r = brownian(count, length, 5)
        r[np.arange(count) * length + np.random.default_rng(6).integers(5, length - 5, count)] += jump
        got = session_measures(r, sessions_of(count, length))
        assert abs(z_of(got.variance, 1.0 + jump**2)) < 4
        assert got.variance.mean() - 1 > 0.9
        # a jump stands in two products of bipower beside a return of mean size √(2 / (pi N)), which it was to be itself
        assert abs(z_of(got.bipower, 1.0 + np.sqrt(2 * np.pi / length) * jump - 2 / length)) < 4
        for name in ("min_rv", "med_rv"):
            assert abs(getattr(got, name).mean() - 1) < 0.02, name
        assert got.quarticity.mean() > 50
        for name in ("tripower_quarticity", "min_rq", "med_rq"):
            assert getattr(got, name).mean() < 2, name
        assert abs(z_of(got.signed_jump, jump**2)) < 4
        assert got.skewness.mean() > 5
        assert got.kurtosis.mean() > 50


class TestMissing:
    def test_gaps_are_stepped_over(self) -> None:
        rng = np.random.default_rng(7)
        r, gaps = rng.normal(size=100), rng.random(100) < 0.3
        holey = np.where(gaps, np.nan, r)
        whole = session_measures(r[~gaps], offsets_of(0, (~gaps).sum()))
        for got, wanted in zip(session_measures(holey, offsets_of(0, 100)), whole, strict=True):
            np.testing.assert_array_equal(got, wanted)

    def test_a_row_without_a_return_keeps_the_values(self) -> None:
        r = np.array([1.0, 2.0, np.nan, 3.0, np.nan, np.nan])
        got = rolling_measure(r, offsets_of(0, 6), 2, "variance")
        np.testing.assert_array_equal(got, [np.nan, 5.0, 5.0, 13.0, 13.0, 13.0])
        np.testing.assert_array_equal(rolling_measures(r, offsets_of(0, 6), 2).observations, [1, 2, 2, 2, 2, 2])

    def test_too_few_and_none(self) -> None:
        r, days = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0]), offsets_of(0, 1, 3, 5, 5, 7)
        got = session_measures(r, days)
        np.testing.assert_array_equal(got.observations, [1, 2, 2, 0, 2])
        np.testing.assert_array_equal(np.isnan(got.variance), [False, False, False, True, False])
        np.testing.assert_array_equal(np.isnan(got.bipower), [True, False, False, True, False])
        assert np.isnan(got.med_rv).all()
        assert np.isnan(got.kurtosis[4])
        assert np.isnan(session_measures(r, days, min_returns=2).variance[0])

    def test_mistakes_are_named(self) -> None:
        r, days = np.ones(6), offsets_of(0, 6)
        for call, message in (
            (lambda: session_measures(r, days, min_returns=0), "min_returns is 0; allowed: a whole number, 1 or more"),
            (lambda: session_measures(r, days, finite_sample="all"), "finite_sample is 'all'; allowed: \"adjusted\""),
            (lambda: rolling_measures(r, days, 3, min_returns=4), "min_returns is 4; allowed: a whole number, 1 to 3"),
            (lambda: rolling_measure(r, days, 3, "rv"), "name is 'rv'; allowed: variance, bipower"),
            (lambda: session_returns(r, days, first_return="open"), "first_return is 'open' with no opening prices"),
            (lambda: session_returns(r, days, r), "first_return is 'none' with opening prices"),
            (lambda: session_returns(r, days, first_return="last"), "first_return is 'last'"),
            (lambda: session_returns(r, days, every=3, phase=3), "phase is 3; allowed: a whole number, 0 to 2"),
            (
                lambda: grid_returns(np.arange(6), r, days, 10, 5, interval_ns=1),
                "segment 0 ends 5 ns before it begins",
            ),
            (lambda: grid_returns(np.arange(6)[::-1], r, days, 0, 5, interval_ns=1), "time falls from 5 to 4 at row 1"),
        ):
            with pytest.raises(ArgumentError, match=message) as caught:
                call()
            assert "\n" not in str(caught.value)


class TestRolling:
    def test_a_window_as_long_as_the_session_is_the_session(self) -> None:
        count, length = 20, 50
        r, days = brownian(count, length, 8), sessions_of(count, length)
        whole, last = rolling_measures(r, days, length), slice(length - 1, None, length)
        for got, wanted in zip(whole, session_measures(r, days), strict=True):
            np.testing.assert_allclose(got[last], wanted, rtol=1e-12, atol=1e-14)

    @pytest.mark.parametrize("window", [7, 4096, 6000])
    def test_windows_across_tiles(self, window: int) -> None:
        rng = np.random.default_rng(window)
        r = rng.normal(size=20_000)
        r[rng.random(20_000) < 0.4] = np.nan
        there = pd.Series(r).dropna()
        pairs = (there.abs() * there.abs().shift()).rolling(window - 1).sum() * np.pi / 2 * window / (window - 1)
        got = rolling_measures(r, offsets_of(0, 20_000), window)
        for name, wanted in (("variance", (there**2).rolling(window).sum()), ("bipower", pairs)):
            whole = wanted.where(np.arange(len(there)) >= window - 1).reindex(range(20_000)).ffill()
            np.testing.assert_allclose(getattr(got, name), whole, rtol=1e-9)

    def test_one_measure_has_the_bits_of_all(self) -> None:
        r, days = brownian(10, 60, 9), sessions_of(10, 60)
        for window in (2, 30):
            whole = rolling_measures(r, days, window, min_returns=2)
            for name in NAMES:
                one = rolling_measure(r, days, window, name, min_returns=2)
                np.testing.assert_array_equal(one, getattr(whole, name), err_msg=name)

    def test_sums_behind_every_measure(self) -> None:
        assert len(realised._NEEDS) == len(NAMES)


class TestFourThirds:
    def test_every_magnitude(self) -> None:
        values = 10.0 ** np.random.default_rng(13).uniform(-290, 230, 200_000)
        wide = values.astype(np.longdouble)
        wanted = (wide * np.cbrt(wide)).astype(np.float64)
        raise_to_four_thirds(values)
        assert np.all(np.abs(values - wanted) <= 2 * np.spacing(wanted))

    def test_ends(self) -> None:
        values = np.array([0.0, 5e-324, 1e-300, 1.0, 8.0, 1e300, 1e307, np.inf, np.nan])
        raise_to_four_thirds(values)
        np.testing.assert_allclose(values, [0.0, 0.0, 0.0, 1.0, 16.0, np.inf, np.inf, np.inf, np.nan], rtol=1e-15)


class TestReturns:
    CLOSE = np.array([100.0, np.nan, 110.0, 121.0, 50.0, 25.0, 0.0])
    DAYS = offsets_of(0, 4, 7)

    def test_a_missing_bar_is_spanned(self) -> None:
        got = session_returns(self.CLOSE, self.DAYS)
        step = np.log(1.1)
        np.testing.assert_allclose(got, [np.nan, np.nan, step, step, np.nan, np.log(0.5), np.nan])

    def test_the_first_return(self) -> None:
        opening = np.array([80.0, 1.0, 1.0, 1.0, np.nan, 1.0, 1.0])
        got = session_returns(self.CLOSE, self.DAYS, opening, first_return="open")
        np.testing.assert_allclose(got[[0, 4]], [np.log(1.25), np.nan])
        got = session_returns(self.CLOSE, self.DAYS, first_return="zero")
        np.testing.assert_array_equal(got[[0, 4]], [0.0, 0.0])

    def test_sampled_returns_are_those_of_the_samples(self) -> None:
        close = 100 * np.exp(np.cumsum(brownian(1, 390, 10)))
        day = offsets_of(0, 390)
        for every, phase in ((5, None), (5, 0), (7, 3)):
            got = session_returns(close, day, every=every, phase=phase)
            at = slice(every - 1 if phase is None else phase, None, every)
            np.testing.assert_allclose(got[at][1:], np.diff(np.log(close[at])), rtol=1e-10)
            assert np.isnan(np.delete(got, np.arange(390)[at])).all()
            wanted = session_measures(np.diff(np.log(close[at])), offsets_of(0, len(close[at]) - 1))
            for mine, other in zip(session_measures(got, day), wanted, strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-9)

    def test_a_grid_of_whole_bars_samples_them(self) -> None:
        close, time = 100 * np.exp(np.cumsum(brownian(1, 390, 11))), np.arange(1, 391) * MINUTE
        opening, day = np.full(390, 99.0), offsets_of(0, 390)
        got, at, offsets = grid_returns(
            time, close, day, 0, 390 * MINUTE, opening, interval_ns=5 * MINUTE, first_return="open"
        )
        rows = session_returns(close, day, opening, first_return="open", every=5)
        np.testing.assert_array_equal(got[1:], rows[4::5])
        assert np.isnan(got[0])
        assert offsets.tolist() == [0, 79]
        np.testing.assert_array_equal(at, np.arange(79) * 5 * MINUTE)

    def test_the_previous_tick(self) -> None:
        time, close = np.array([3, 8, 9, 31]), np.array([100.0, 101.0, 102.0, 103.0])
        got, at, _ = grid_returns(time, close, offsets_of(0, 4), 0, 40, interval_ns=10)
        np.testing.assert_array_equal(at, [0, 10, 20, 30, 40])
        np.testing.assert_allclose(got, [np.nan, np.nan, 0.0, 0.0, np.log(103 / 102)], rtol=1e-12)
        got, _, _ = grid_returns(time, close, offsets_of(0, 4), 0, 40, interval_ns=10, repeat=False)
        np.testing.assert_allclose(got, [np.nan, np.nan, np.nan, np.nan, np.log(103 / 102)], rtol=1e-12)

    def test_later_prices_change_no_earlier_point_of_the_grid(self) -> None:
        rng = np.random.default_rng(12)
        time, close = np.sort(rng.integers(0, 10_000, 500)), 100 + rng.random(500)
        whole, at, _ = grid_returns(time, close, offsets_of(0, 500), 0, 10_000, interval_ns=7)
        for cut in (0, 3000, 7001):
            known = int(np.searchsorted(time, cut, "right"))
            part, _, _ = grid_returns(time[:known], close[:known], offsets_of(0, known), 0, cut, interval_ns=7)
            np.testing.assert_array_equal(part, whole[at <= cut])
