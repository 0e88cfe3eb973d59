"""Losses and their tests against definitions written out, statsmodels, and series whose answer is known."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from fusion.volatility import losses
from gpu_kernels.errors import ArgumentError


def autocorrelated(count: int, seed: int, mean: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out, last = np.empty(count), 0.0
    for row in range(count):
        last = 0.5 * last + rng.normal()
        out[row] = last
    return out + mean


class TestLoss:
    def test_values_by_hand(self) -> None:
        realised, forecast = np.array([2.0, 1.0, 3.0]), np.array([1.0, 1.0, 6.0])
        np.testing.assert_allclose(
            losses.qlike(realised, forecast), [2 - np.log(2) - 1, 0.0, 0.5 + np.log(2) - 1], rtol=1e-15, atol=1e-15
        )
        np.testing.assert_array_equal(losses.squared_error(realised, forecast), [1.0, 0.0, 9.0])
        np.testing.assert_allclose(losses.log_error(realised, forecast), [np.log(2), 0.0, np.log(2)])

    def test_a_floor_moves_no_difference(self) -> None:
        rng = np.random.default_rng(0)
        realised = rng.exponential(size=50) * (rng.random(50) > 0.2)
        one, other = rng.exponential(size=50) + 0.1, rng.exponential(size=50) + 0.1
        found = losses.qlike(realised, one, 1e-3) - losses.qlike(realised, other, 1e-3)
        np.testing.assert_allclose(found, (realised / one + np.log(one)) - (realised / other + np.log(other)))

    def test_missing_values(self) -> None:
        realised, forecast = np.array([np.nan, 1.0, 1.0, 0.0]), np.array([1.0, np.nan, 0.0, 1.0])
        found = losses.qlike(realised, forecast)
        assert np.isnan(found[:3]).all()
        assert np.isinf(found[3])
        assert np.isnan(losses.log_error(realised, forecast)).all()

    def test_a_noisy_proxy_ranks_as_the_truth_does(self) -> None:
        rng = np.random.default_rng(1)
        truth = np.exp(rng.normal(size=20_000))
        good, bad = truth * np.exp(0.2 * rng.normal(size=20_000)), truth * np.exp(0.6 * rng.normal(size=20_000))
        proxy = truth * rng.chisquare(1, 20_000)
        for loss in (losses.qlike, losses.squared_error):
            assert loss(proxy, good).mean() < loss(proxy, bad).mean()

    def test_shapes_must_agree(self) -> None:
        with pytest.raises(ArgumentError, match="one shape"):
            losses.qlike(np.ones(3), np.ones(2))


class TestDieboldMariano:
    @pytest.mark.parametrize("lags", [0, 3, 8])
    def test_the_error_is_that_of_statsmodels(self, lags: int) -> None:
        values = autocorrelated(300, 2, 0.1)
        fit = sm.OLS(values, np.ones(len(values))).fit(
            cov_type="HAC", cov_kwds={"maxlags": lags, "kernel": "bartlett", "use_correction": False}
        )
        found = losses.diebold_mariano(values, lags=lags)
        assert found.error == pytest.approx(fit.bse[0], rel=1e-12)
        assert found.mean == pytest.approx(fit.params[0], rel=1e-12)

    def test_the_small_sample_correction_and_the_side(self) -> None:
        values, h = autocorrelated(40, 3, -0.8), 4
        found = losses.diebold_mariano(values, horizon=h, lags=h - 1)
        n = len(values)
        expected = values.mean() / found.error * np.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
        assert found.statistic == pytest.approx(expected, rel=1e-12)
        assert found.p == pytest.approx(2 * stats.t.sf(abs(expected), n - 1))
        assert found.p_less == pytest.approx(found.p / 2)
        assert found.better == "first"
        mirrored = losses.diebold_mariano(-values, horizon=h, lags=h - 1)
        assert mirrored.better == "second"
        assert mirrored.p == pytest.approx(found.p)

    def test_no_difference_is_found_about_as_often_as_the_level_says(self) -> None:
        found = [losses.diebold_mariano(autocorrelated(400, seed)).p < 0.05 for seed in range(300)]
        assert 0.02 < np.mean(found) < 0.13

    def test_missing_and_few(self) -> None:
        values = autocorrelated(50, 4)
        holed = np.insert(values, 10, np.nan)
        assert losses.diebold_mariano(holed) == losses.diebold_mariano(values)
        for empty in (np.array([]), np.array([1.0, 2.0]), np.full(10, 0.5)):
            found = losses.diebold_mariano(empty)
            assert np.isnan(found.p)
            assert found.better == "neither"


class TestSessions:
    def test_sums_by_session(self) -> None:
        difference = np.array([1.0, 2.0, np.nan, 4.0, np.nan])
        np.testing.assert_array_equal(losses.by_session(difference, np.array([3, 3, 3, 5, 7])), [3.0, 4.0])

    def test_rows_of_a_session_that_move_together_are_not_evidence(self) -> None:
        """One shock a session: the error is that of the sessions, not of the rows."""
        rng = np.random.default_rng(5)
        session = np.repeat(np.arange(60), 50)
        difference = np.repeat(rng.normal(0.15, 1.0, 60), 50)
        rows = losses.diebold_mariano(difference, lags=0)
        sessions = losses.diebold_mariano(losses.by_session(difference, session), lags=0)
        assert sessions.mean / 50 == pytest.approx(rows.mean)
        assert sessions.error / 50 == pytest.approx(rows.error * np.sqrt(50))

    def test_the_interval_holds_the_mean_and_is_as_wide_as_its_error(self) -> None:
        rng = np.random.default_rng(6)
        session = np.repeat(np.arange(400), 5)
        difference = rng.normal(1.0, 1.0, 2000)
        difference[::7] = np.nan
        low, high = losses.mean_interval(difference, session, block=5)
        assert low < np.nanmean(difference) < high
        assert (high - low) / (2 * 1.96 / np.sqrt(np.isfinite(difference).sum())) == pytest.approx(1.0, abs=0.25)


def test_the_confidence_set_keeps_the_best() -> None:
    pytest.importorskip("arch")
    rng = np.random.default_rng(7)
    shared = rng.normal(size=300)
    table = {name: shared + level + 0.3 * rng.normal(size=300) for name, level in (("a", 0.0), ("b", 0.01), ("c", 1.0))}
    kept = losses.confidence_set(table, draws=200)
    assert "a" in kept
    assert "c" not in kept
    # the same forecast twice is in or out twice
    assert losses.confidence_set({"c": table["c"], "a": table["a"], "again": table["a"]}, draws=200) == ["a", "again"]
    assert losses.confidence_set({"a": table["a"], "again": table["a"]}) == ["a", "again"]
