"""The rivals: by hand, GARCH against arch, and with their input cut short."""

import numpy as np
import pytest
from planted_sessions import planted

from fusion.volatility import rivals
from fusion.volatility.bins import ahead
from fusion.volatility.compare import compare
from fusion.volatility.walk import Schedule
from gpu_kernels.errors import ArgumentError, DataError

SCHEDULE = Schedule(40, 20, 60)


def test_the_trailing_mean_goes_back_across_nights_and_over_holes() -> None:
    values = np.array([[1.0, np.nan, 3.0], [5.0, 7.0, np.nan]])
    np.testing.assert_array_equal(rivals.trailing_mean(values, 2), [[np.nan, np.nan, np.nan], [2.0, 4.0, 6.0]])


def test_rolling_by_hand() -> None:
    world = planted(20)
    bins, factor = world.bins, world.factor
    found = rivals.rolling(bins, factor, 3)
    v = bins.variance
    assert found["rolling window"][10, 5] == pytest.approx(v[10, 2:5].sum())
    assert found["rolling hour"][10, 1] == pytest.approx((v[10, :1].sum() + v[9, -11:].sum()) / 12 * 3)
    shares = (v[10, :5] / factor[10, :5]).sum() + (v[9, 5:] / factor[9, 5:]).sum()
    assert found["rolling day, diurnal"][10, 5] == pytest.approx(shares / 24 * factor[10, 5:8].sum())
    spread = rivals.spread_level(bins, world.level, factor, 3)
    assert spread["daily HAR"][10, 5] == pytest.approx(3 * world.level[10])
    assert spread["daily HAR, diurnal"][10, 5] == pytest.approx(world.level[10] * factor[10, 5:8].sum())
    assert all(np.isnan(forecast[:, -2:]).all() for forecast in (*found.values(), *spread.values()))


def test_no_rival_looks_past_an_early_close() -> None:
    world = planted(100)
    for forecast in rivals.rolling(world.bins, world.factor, 3).values():
        assert np.isnan(forecast[50, 10:]).all()
        assert np.isfinite(forecast[50, :10]).all()


def test_garch_equals_arch() -> None:
    arch = pytest.importorskip("arch")
    from fusion.volatility import garch

    world = planted(60, seed=4)
    bins, factor = world.bins, world.factor
    found = garch.forecast_garch(bins, factor, (1, 4), Schedule(40, 100))
    standard = (bins.returns / np.sqrt(factor)).ravel()
    standard = standard[np.isfinite(standard)]
    begin, last = 40 * 24, 52 * 24 - 12  # the early close of session 50 lies between
    scale = np.sqrt((standard[:begin] ** 2).mean())
    model = arch.arch_model(standard[:last] / scale, mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
    fitted = model.fit(last_obs=begin, disp="off", show_warning=False)
    variance = fitted.forecast(horizon=4, start=begin - 1).variance.to_numpy() * scale**2
    # made after the last return of session 39, for the first bins of session 40
    assert found[0][40, 0] == pytest.approx(variance[0, 0] * factor[40, 0], rel=1e-6)
    assert found[1][40, 0] == pytest.approx(variance[0] @ factor[40, :4], rel=1e-6)
    assert found[1][51, 7] == pytest.approx(variance[11 * 24 - 12 + 7] @ factor[51, 7:11], rel=1e-6)


def test_garch_of_sessions_equals_arch_and_cut_short_gives_the_same_bits() -> None:
    arch = pytest.importorskip("arch")
    from fusion.volatility import garch

    rng = np.random.default_rng(8)
    returns, variance = np.empty(260), 1e-4
    for row in range(260):
        returns[row] = np.sqrt(variance) * rng.normal()
        variance = 1e-5 + 0.1 * returns[row] ** 2 + 0.8 * variance
    found = garch.forecast_garch_sessions(returns, 5, Schedule(200, 50))
    assert np.isnan(found[:199]).all()
    scale = np.sqrt((returns[:200] ** 2).mean())
    model = arch.arch_model(returns / scale, mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
    fitted = model.fit(last_obs=200, disp="off", show_warning=False)
    expected = fitted.forecast(horizon=5, start=199).variance.to_numpy().mean(axis=1) * scale**2
    # up to the next fit, which knows 250 returns
    np.testing.assert_allclose(found[199:249], expected[:50], rtol=1e-6)
    assert abs(found[249] / expected[50] - 1) > 1e-6
    np.testing.assert_array_equal(garch.forecast_garch_sessions(returns[:230], 5, Schedule(200, 50)), found[:230])


def test_garch_needs_returns() -> None:
    pytest.importorskip("arch")
    from fusion.volatility import garch

    with pytest.raises(ArgumentError, match="100 or more"):
        garch.fit_garch(np.ones(10))


def test_the_input_cut_short_gives_the_same_bits() -> None:
    pytest.importorskip("arch")
    from fusion.volatility import garch

    world = planted(70)

    def run(bins):
        rows = len(bins.opens)
        factor, level = world.factor[:rows], world.level[:rows]
        found = dict(rivals.rolling(bins, factor, 3)) | dict(rivals.spread_level(bins, level, factor, 3))
        found |= dict(rivals.intraday_har(bins, factor, 3, SCHEDULE))
        found["GARCH"], found["GARCH 3"] = garch.forecast_garch(bins, level[:, None] * factor, (1, 3), SCHEDULE)
        return found

    full = run(world.bins)
    for session, bin_ in ((45, 0), (51, 9), (69, 20)):
        for name, part in run(world.bins.cut(session, bin_)).items():
            np.testing.assert_array_equal(part[:session], full[name][:session], err_msg=name)
            np.testing.assert_array_equal(part[session, : bin_ + 1], full[name][session, : bin_ + 1], err_msg=name)


class TestCompare:
    def test_scores_of_rows_that_all_have(self) -> None:
        world = planted(100, seed=5)
        target = ahead(world.bins.variance, 1)
        good, bad = world.truth, world.truth * np.exp(np.random.default_rng(0).normal(size=target.shape))
        holed = bad.copy()
        holed[:10] = np.nan
        scores = compare({"good": good, "bad": holed}, target, "good", draws=200)
        assert {score.rows for score in scores} == {int(np.isfinite(target[10:]).sum())}
        first, second = scores
        assert first.difference == 0
        assert np.isnan(first.test.p)
        assert second.difference < 0
        assert second.high < 0
        assert second.test.better == "first"
        assert first.qlike < second.qlike
        assert first.mse < second.mse
        assert first.kept is None

    def test_a_part_of_the_rows_and_the_confidence_set(self) -> None:
        pytest.importorskip("arch")
        world = planted(100, seed=6)
        part = np.zeros(world.truth.shape, bool)
        part[20:60, 5:9] = True
        forecasts = {"good": world.truth, "bad": world.truth * 3}
        scores = compare(forecasts, world.bins.variance, "good", where=part, confidence=True, draws=200)
        assert [score.kept for score in scores] == [True, False]
        assert scores[0].rows == np.isfinite(world.bins.variance[20:60, 5:9]).sum()

    def test_nothing_to_compare(self) -> None:
        with pytest.raises(DataError, match="no row"):
            compare({"a": np.full((3, 2), np.nan)}, np.ones((3, 2)), "a")
        with pytest.raises(ArgumentError, match="reference"):
            compare({"a": np.ones((3, 2))}, np.ones((3, 2)), "b")
