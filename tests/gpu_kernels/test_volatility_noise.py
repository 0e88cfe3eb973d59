"""Variances that see through noise: on simulated prices whose variance and noise are known, against the published
values of R's highfrequency, and at the edges."""

import numpy as np
import pytest
from r_random import example_prices

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility import noise, preaveraging, realised_kernel, scales, windows

SESSIONS, SECONDS, VARIANCE, NOISE = 80, 23_400, 1e-4, 1e-7
WHOLE_DAY = np.array([0, SECONDS])


def noisy_returns(seed: int, sessions: int = SESSIONS, seconds: int = SECONDS, noise_variance: float = NOISE) -> tuple:
    """Sessions of Brownian motion whose variance is three times as high at both ends as in the middle, each price seen
    with an error of its own."""
    rng = np.random.default_rng(seed)
    share = 1 + 2 * np.linspace(-1, 1, seconds) ** 2
    true = rng.normal(size=(sessions, seconds)) * np.sqrt(VARIANCE * share / share.sum())
    error = rng.normal(scale=np.sqrt(noise_variance), size=(sessions, seconds + 1))
    return (true + np.diff(error, axis=1)).ravel(), np.arange(sessions + 1) * seconds


@pytest.fixture(scope="module")
def noisy() -> tuple:
    return noisy_returns(11)


@pytest.fixture(scope="module")
def measures(noisy: tuple) -> noise.NoiseMeasures:
    return noise.noise_measures(*noisy, sparse=1200)


def check(estimates: np.ndarray, *, error: float, bias: float = 0.0) -> None:
    """The mean is the true variance, but for its own error and a bias that is known of; the spread is below `error`."""
    relative = estimates / VARIANCE
    assert relative.std() < error
    assert abs(relative.mean() - 1.0) < bias + 3.5 * relative.std() / np.sqrt(len(estimates))


class TestOnNoisyPrices:
    def test_plain_variance_is_noise(self, noisy: tuple) -> None:
        plain = noise.subsampled_variance(*noisy, 1) / VARIANCE
        assert plain.mean() == pytest.approx(1 + 2 * SECONDS * NOISE / VARIANCE, rel=0.01)  # 47.8
        with pytest.raises(AssertionError):
            check(plain * VARIANCE, error=np.inf, bias=0.5)

    def test_noise_is_measured(self, measures: noise.NoiseMeasures) -> None:
        for found in (measures.zhou, measures.oomen):
            assert found.mean() / NOISE == pytest.approx(1.0, abs=0.006)
        # the share of true variance in the finest returns: IV / 2 n
        assert measures.bandi_russell.mean() / NOISE == pytest.approx(1 + VARIANCE / (2 * SECONDS * NOISE), abs=0.006)
        assert measures.hansen_lunde.mean() / NOISE == pytest.approx(1.0, abs=0.006)
        assert measures.bandi_russell.mean() > measures.hansen_lunde.mean() * 1.01

    def test_sparse_grids_leave_some_noise_and_much_error(self, measures: noise.NoiseMeasures) -> None:
        left = 2 * NOISE * SECONDS / 1200 / VARIANCE
        assert 0.15 < (measures.sparse_variance / VARIANCE).std() < 0.35
        check(measures.sparse_variance / (1 + left), error=0.35)
        share = 1 + 2 * np.linspace(-1, 1, SECONDS) ** 2
        quarticity = VARIANCE**2 * SECONDS * np.sum(share**2) / share.sum() ** 2
        assert measures.sparse_quarticity.mean() / quarticity == pytest.approx(1.0, abs=0.25)

    def test_two_scales(self, noisy: tuple, measures: noise.NoiseMeasures) -> None:
        found = scales.two_scale_variance(*noisy, measures.slow)
        check(found, error=0.08)
        check(scales.two_scale_variance(*noisy, 300), error=0.25)
        check(scales.two_scale_variance(*noisy, 300, fast=5, small_sample="highfrequency"), error=0.25)
        # without the adjustment a share 1 / K of the variance is lost
        plain = scales.two_scale_variance(*noisy, 20, small_sample="none").mean() / VARIANCE
        assert plain == pytest.approx(1 - 1 / 20, abs=0.02)

    def test_many_scales(self, noisy: tuple) -> None:
        check(scales.multi_scale_variance(*noisy, 60), error=0.12)
        i = np.arange(1, 61)
        weights = 12 * i / 3600 * (i / 60 - 0.5 - 1 / 120) / (1 - 1 / 3600)
        assert weights.sum() == pytest.approx(1.0)
        assert (weights / i).sum() == pytest.approx(0.0, abs=1e-12)

    def test_realised_kernels(self, noisy: tuple, measures: noise.NoiseMeasures) -> None:
        assert 60 < measures.bandwidth.mean() < 130
        # Parzen's that is not flat at the top is never below 0 and a little too high, by the order of n^(-1/5) in noise
        check(realised_kernel.realised_kernel(*noisy, measures.bandwidth), error=0.12, bias=0.03)
        for kernel in ("tukey_hanning", "modified_tukey_hanning", "cubic", "parzen"):
            settings = {"kernel": kernel, "flat_top": True, "jitter": 1}
            check(realised_kernel.realised_kernel(*noisy, 120, **settings), error=0.15)

    def test_preaveraging(self, noisy: tuple) -> None:
        check(preaveraging.preaveraged_variance(*noisy), error=0.12)
        check(preaveraging.preaveraged_variance(*noisy, delta=0.1, bias_correction=False), error=0.2, bias=0.01)
        # at shorter averages noise shows unless it is taken out
        short = preaveraging.preaveraged_variance(*noisy, theta=1 / 3)
        check(short, error=0.08)
        rough = preaveraging.preaveraged_variance(*noisy, theta=1 / 3, bias_correction=False)
        assert rough.mean() / VARIANCE > 1.05
        # the limits of p1 and p2, and theta sqrt(n) for k, lose the ends
        for variant in ("none", "highfrequency"):
            found = preaveraging.preaveraged_variance(*noisy, theta=1 / 3, finite_sample=variant)
            check(found, error=0.08, bias=0.03)
            assert not np.allclose(found, short, rtol=1e-4)

    def test_the_signature_falls_to_the_true_variance(self, noisy: tuple) -> None:
        intervals = [1, 5, 30, 120, 600, 1800]
        table, mean = noise.signature(*noisy, intervals)
        np.testing.assert_allclose(mean, table.mean(axis=0), rtol=1e-12)
        wanted = 1 + 2 * NOISE * SECONDS / VARIANCE / np.array(intervals)
        np.testing.assert_allclose(mean / VARIANCE, wanted, rtol=0.12)
        assert (np.diff(mean[:4]) < 0).all()

    def test_the_optimal_interval_is_where_the_error_is_least(self) -> None:
        data = noisy_returns(12, sessions=400, seconds=2000, noise_variance=2e-7)
        interval = int(np.median(noise.noise_measures(*data, sparse=100).optimal_interval))
        assert 10 < interval < 100
        intervals = [max(1, interval // 5), interval, 5 * interval]
        errors = ((noise.signature(*data, intervals, edge="first")[0] - VARIANCE) ** 2).mean(axis=0)
        assert errors.argmin() == 1


@pytest.fixture(scope="module")
def published() -> np.ndarray:
    """Log prices of the tests of highfrequency."""
    return np.log(example_prices())


class TestPublishedValuesOfHighfrequency:
    def test_kernel(self, published: np.ndarray) -> None:
        # the sum over a matrix of covariances is the variance of the sum
        for day, wanted in zip(published, (2.941858941, 3.009886185, 3.009261885), strict=True):
            returns = np.diff(day.sum(axis=0))
            settings = {"kernel": "rectangular", "flat_top": True, "adjusted": True, "jitter": 1}
            # its first return is one of 0, which counts
            returns, offsets = np.append(0.0, returns), np.array([0, SECONDS + 1])
            found = realised_kernel.realised_kernel(returns, offsets, 1, **settings)
            assert found[0] == pytest.approx(wanted, abs=6e-10)

    def test_subsampled(self, published: np.ndarray) -> None:
        minutes = np.diff(published[0][:2, ::60], axis=1)
        both = np.vstack([minutes, minutes.sum(axis=0)]).ravel()
        offsets = np.arange(4) * 390
        found = noise.subsampled_variance(both, offsets, 5, edge="highfrequency")
        np.testing.assert_allclose(found[:2], [0.78573656425, 0.73770313284], rtol=0, atol=6e-12)
        # its covariance lacks the scale of all grids but the first
        first = noise.subsampled_variance(both, offsets, 5, edge="first")
        unscaled = (first + (5 * found - first) * 385 / 390) / 5
        assert (unscaled[2] - unscaled[0] - unscaled[1]) / 2 == pytest.approx(0.06448478596, abs=6e-12)

    def test_two_scales(self, published: np.ndarray) -> None:
        returns = np.diff(published[0][:2], axis=1)
        both = np.vstack([returns, returns.sum(axis=0)]).ravel()
        offsets = np.arange(4) * SECONDS
        first, second, total = scales.two_scale_variance(both, offsets, 300, small_sample="highfrequency")
        prices, ratio = SECONDS + 1, (SECONDS + 1 - 299) / 300 / (SECONDS + 1)
        scale = prices / (299 * (prices - 299) / 300) * (1 - ratio)
        # the published digits are five
        assert first + second + scale * (total - first - second) == pytest.approx(1.6068, abs=5e-5)


class TestAtEachRow:
    def test_each_window_is_a_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        returns, offsets = noisy_returns(15, sessions=3, seconds=100)
        returns[[0, 100, 150, 200]] = np.nan
        ended = [(session, row) for session in range(3) for row in range(30, 100, 23)]

        def by_rule(r: np.ndarray, o: np.ndarray) -> np.ndarray:
            return realised_kernel.realised_kernel(r, o, noise.noise_measures(r, o, sparse=4).bandwidth)

        for measure, settings in (
            (by_rule, {}),
            (scales.two_scale_variance, {"slow": 5}),
            (preaveraging.preaveraged_variance, {}),
        ):
            found = windows.measure_windows(returns, offsets, 30, measure, min_periods=25, **settings)
            for session, row in ended:
                end = 100 * session + row + 1
                alone = measure(returns[end - 30 : end], np.array([0, 30]), **settings)
                assert found[end - 1] == alone[0]
            assert np.isnan(found[:25]).all()
            assert np.isfinite(found[25:100]).all()
            assert np.isnan(found[100:125]).all()
            # in chunks, the same bits
            with monkeypatch.context() as small:
                small.setattr(windows, "CHUNK", 30 * 7)
                parts = windows.measure_windows(returns, offsets, 30, measure, min_periods=25, **settings)
            np.testing.assert_array_equal(found, parts)

    def test_a_measure_of_many_gives_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        returns, offsets = noisy_returns(16, sessions=2, seconds=60)
        whole = windows.measure_windows(returns, offsets, 20, noise.noise_measures, sparse=4)
        monkeypatch.setattr(windows, "CHUNK", 100)
        parts = windows.measure_windows(returns, offsets, 20, noise.noise_measures, sparse=4)
        for one, other in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(one, other)
        assert isinstance(parts, noise.NoiseMeasures)
        assert parts.observations[[18, 19, 59, 60]].tolist() == [0, 20, 20, 0]


class TestEdges:
    def test_a_missing_return_is_stepped_over(self) -> None:
        returns, offsets = noisy_returns(13, sessions=2, seconds=300)
        dirty = np.insert(returns, [0, 50, 50, 300, 599], [np.nan, np.nan, np.inf, np.nan, -np.inf])
        for call in (
            lambda *data: np.array(noise.noise_measures(*data, sparse=20)),
            lambda *data: noise.subsampled_variance(*data, 7),
            lambda *data: scales.two_scale_variance(*data, 9),
            lambda *data: scales.multi_scale_variance(*data, 9),
            lambda *data: realised_kernel.realised_kernel(*data, 9),
            preaveraging.preaveraged_variance,
        ):
            np.testing.assert_array_equal(call(dirty, np.array([0, 303, 605])), call(returns, offsets))

    def test_sessions_too_short_are_missing(self) -> None:
        returns, offsets = np.array([0.01, -0.02, 0.01, np.nan, 0.03]), np.array([0, 3, 3, 5])
        assert np.isnan(noise.subsampled_variance(returns, offsets, 4)).all()
        assert np.isnan(scales.two_scale_variance(returns, offsets, 4)).all()
        assert np.isnan(scales.multi_scale_variance(returns, offsets, 4)).all()
        np.testing.assert_array_equal(
            np.isnan(realised_kernel.realised_kernel(returns, offsets, 2, jitter=1)), [0, 1, 1]
        )
        found = noise.noise_measures(returns, offsets, sparse=3)
        np.testing.assert_array_equal(found.observations, [3, 0, 1])
        np.testing.assert_array_equal(found.bandwidth[1:], -1)
        # and what is missing there is missing in what follows from it
        assert np.isnan(realised_kernel.realised_kernel(returns, offsets, found.bandwidth)[1:]).all()
        assert np.isnan(scales.two_scale_variance(returns, offsets, found.slow)[1:]).all()

    def test_prices_that_do_not_move_have_no_settings(self) -> None:
        found = noise.noise_measures(np.zeros(50), np.array([0, 50]), sparse=5)
        assert found.bandi_russell[0] == 0.0
        assert np.isnan(found.optimal_interval[0])
        assert found.bandwidth[0] == found.slow[0] == -1

    def test_bandwidth_0_and_step_1_are_the_realised_variance(self) -> None:
        returns, offsets = noisy_returns(14, sessions=3, seconds=50)
        wanted = (returns.reshape(3, 50) ** 2).sum(axis=1)
        np.testing.assert_allclose(realised_kernel.realised_kernel(returns, offsets, 0, jitter=1), wanted, rtol=1e-12)
        for edge in ("scaled", "none", "first", "highfrequency"):
            np.testing.assert_allclose(noise.subsampled_variance(returns, offsets, 1, edge=edge), wanted, rtol=1e-9)

    def test_parzen_is_never_negative(self) -> None:
        returns = np.tile([0.01, -0.01], 200)
        found = realised_kernel.realised_kernel(returns, np.array([0, 400]), 12)
        assert 0.0 <= found[0] < 1e-3 * (returns**2).sum()

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda *d: noise.noise_measures(*d, sparse=0), "sparse is 0"),
            (lambda *d: noise.subsampled_variance(*d, 3, edge="both"), 'edge is \'both\'; allowed: "scaled", "none"'),
            (lambda *d: noise.signature(*d, []), "no intervals"),
            (lambda *d: noise.signature(*d, [1, 0]), "intervals is 0"),
            (lambda *d: scales.two_scale_variance(*d, 2, fast=2), "slow is 2; allowed: a whole number, 3 or more"),
            (lambda *d: scales.two_scale_variance(*d, np.array([3, 4])), "2 of slow for 1 segments"),
            (lambda *d: scales.two_scale_variance(*d, 3, small_sample="big"), "small_sample is 'big'"),
            (lambda *d: scales.multi_scale_variance(*d, 1), "scales is 1"),
            (lambda *d: realised_kernel.realised_kernel(*d, -1), "bandwidth is -1"),
            (lambda *d: realised_kernel.realised_kernel(*d, np.array([1.5])), "bandwidth is array"),
            (
                lambda *d: realised_kernel.realised_kernel(*d, 1, kernel="flat"),
                "kernel is 'flat'; allowed: parzen, bar",
            ),
            (lambda *d: realised_kernel.realised_kernel(*d, 1, jitter=0), "jitter is 0"),
            (lambda *d: preaveraging.preaveraged_variance(*d, theta=0.0), r"theta is 0\.0"),
            (lambda *d: preaveraging.preaveraged_variance(*d, delta=0.5), r"delta is 0\.5"),
            (
                lambda *d: preaveraging.preaveraged_variance(*d, delta=0.1, finite_sample="none"),
                r"delta is 0\.1 with finite_sample 'none'",
            ),
            (lambda *d: preaveraging.preaveraged_variance(*d, finite_sample="big"), "finite_sample is 'big'"),
        ],
    )
    def test_mistakes_are_named(self, call: object, message: str) -> None:
        with pytest.raises(ArgumentError, match=message) as caught:
            call(np.zeros(9), np.array([0, 9]))  # type: ignore[operator]
        assert "\n" not in str(caught.value)
