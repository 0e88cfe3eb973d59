"""Refresh times, and covariances made of variances that see through noise."""

import numpy as np
import pytest
from r_random import example_prices

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility import covariance, noise, pairs, preaveraging, realised_kernel, scales

SECOND = 10**9
SESSIONS, SECONDS, CORRELATION = 60, 11_700, 0.6


class TestRefreshTimes:
    def test_by_hand(self) -> None:
        time_x, price_x = np.array([1, 2, 4, 4, 8, 9]), np.exp([0.0, 1.0, 2.0, 3.0, np.nan, 4.0])
        time_y, price_y = np.array([3, 5, 6, 9, 10]), np.exp([0.0, 1.0, 2.0, 4.0, 8.0])
        # both seen at 3 (x of 2), anew at 5 (x of 4, the later one), at 9; then x never again
        x, y, time, offsets = pairs.refresh_returns(
            time_x, price_x, np.array([0, 6]), time_y, price_y, np.array([0, 5])
        )
        assert time.tolist() == [3, 5, 9]
        np.testing.assert_allclose(x, [np.nan, 2.0, 1.0])
        np.testing.assert_allclose(y, [np.nan, 1.0, 3.0])
        assert offsets.tolist() == [0, 3]

    def test_segments_without_a_pair_are_empty(self) -> None:
        time, price = np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0])
        found = pairs.refresh_returns(time, price, np.array([0, 0, 3]), time, price, np.array([0, 2, 3]))
        assert found[3].tolist() == [0, 0, 1]
        assert found[2].tolist() == [3]

    def test_a_time_that_falls_is_named(self) -> None:
        time, price, offsets = np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]), np.array([0, 3])
        with pytest.raises(ArgumentError, match="time_x falls from 3 to 2 at row 1"):
            pairs.refresh_returns(time[::-1], price, offsets, time, price, offsets)


def noisy_ticks(seed: int) -> tuple:
    """Half a day by the second, of variance 1e-4; x seen each third second, y each fourth, at random, with errors
    of their own."""
    rng = np.random.default_rng(seed)
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for _ in range(SESSIONS):
        shock = rng.normal(size=(2, SECONDS)) / np.sqrt(SECONDS)
        paths = np.cumsum([shock[0], CORRELATION * shock[0] + np.sqrt(1 - CORRELATION**2) * shock[1]], axis=1)
        for place, share in enumerate((1 / 3, 1 / 4)):
            at = np.flatnonzero(rng.random(SECONDS) < share)
            error = rng.normal(scale=0.03, size=len(at))
            columns[2 * place].append(at * SECOND)
            columns[2 * place + 1].append(100 * np.exp(0.01 * (paths[place][at] + error)))
    offsets = [np.append(0, np.cumsum([len(x) for x in column])) for column in (columns[0], columns[2])]
    time_x, price_x, time_y, price_y = (np.concatenate(column) for column in columns)
    return time_x, price_x, offsets[0], time_y, price_y, offsets[1]


class TestPolarisation:
    def test_with_noise_on_two_clocks(self) -> None:
        data = noisy_ticks(21)
        x, y, _, offsets = pairs.refresh_returns(*data)
        hayashi_yoshida = covariance.hayashi_yoshida(*data)
        # noise leaves its covariance free of bias and takes its correlation, whose variances are noise
        assert hayashi_yoshida.covariance.mean() == pytest.approx(0.6e-4, rel=0.12)
        assert hayashi_yoshida.correlation.mean() < 0.2
        for measure, settings in (
            (realised_kernel.realised_kernel, {"bandwidth": 60}),
            (scales.two_scale_variance, {"slow": 60}),
            (preaveraging.preaveraged_variance, {}),
        ):
            found = pairs.polarised_covariance(x, y, offsets, measure, **settings)
            assert found.covariance.mean() == pytest.approx(0.6e-4, rel=0.1), measure.__name__
            assert found.correlation.mean() == pytest.approx(0.6, abs=0.06), measure.__name__
            assert found.beta.mean() == pytest.approx(0.6, abs=0.07), measure.__name__

    def test_of_the_realised_variance_it_is_the_realised_covariance(self) -> None:
        rng = np.random.default_rng(22)
        x, y = rng.normal(size=(2, 90))
        x[7], y[40] = np.nan, np.inf
        offsets = np.array([0, 50, 50, 90])
        found = pairs.polarised_covariance(x, y, offsets, noise.subsampled_variance, every=1)
        np.testing.assert_allclose(np.array(found), np.array(covariance.session_covariance(x, y, offsets)), rtol=1e-12)

    def test_the_published_values_of_highfrequency(self) -> None:
        paths = np.log(example_prices())[0]
        returns, offsets = np.diff(paths, axis=1), np.array([0, 23_400])
        kernel = {"kernel": "rectangular", "flat_top": True, "adjusted": True, "jitter": 1}
        # the first return of its sessions is one of 0, which counts
        returns = np.concatenate([np.zeros((3, 1)), returns], axis=1)
        offsets = np.array([0, 23_401])
        total = 0.0
        for one, other in ((0, 1), (0, 2), (1, 2)):
            found = pairs.polarised_covariance(
                returns[one], returns[other], offsets, realised_kernel.realised_kernel, bandwidth=1, **kernel
            )
            total += 2 * found.covariance[0] + (found.variance_x[0] + found.variance_y[0]) / 2
        assert total == pytest.approx(2.941858941, abs=6e-10)
        # rKernelCov of five minutes, two assets: the sum of its matrix to five digits
        blocks = np.concatenate([np.zeros((2, 1)), np.diff(paths[:2, ::300], axis=1)], axis=1)
        found = pairs.polarised_covariance(
            *blocks, np.array([0, 79]), realised_kernel.realised_kernel, bandwidth=1, **kernel
        )
        total = found.variance_x[0] + found.variance_y[0] + 2 * found.covariance[0]
        assert total == pytest.approx(1.708, abs=5e-5)
