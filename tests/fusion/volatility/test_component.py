"""The component model on sessions whose structure is planted, its fit, its parts, and its input cut short."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from planted_sessions import STEP, planted

from fusion.volatility import quasi_likelihood
from fusion.volatility.bins import ahead
from fusion.volatility.component import Component, decayed_mean, forecast_bins, session_level, session_variance, states
from fusion.volatility.events import event_multiplier, near_events, share_of_sessions
from fusion.volatility.losses import qlike
from fusion.volatility.walk import Schedule
from gpu_kernels.errors import ArgumentError

SCHEDULE = Schedule(60, 10, 100)
MODEL = Component(schedule=SCHEDULE)


class TestQuasiLikelihood:
    def test_it_is_the_gamma_regression_with_a_log_link_of_statsmodels(self) -> None:
        rng = np.random.default_rng(0)
        x = np.column_stack([np.ones(500), rng.normal(size=(500, 2))])
        y = np.exp(x @ [0.3, 0.5, -0.4]) * rng.gamma(1.0, 1.0, 500)
        expected = sm.GLM(y, x, family=sm.families.Gamma(sm.families.links.Log())).fit(tol=1e-12, maxiter=100).params
        np.testing.assert_allclose(quasi_likelihood.fit(x, y), expected, rtol=1e-6)

    def test_nothing_near_has_a_lower_qlike(self) -> None:
        rng = np.random.default_rng(1)
        x = np.column_stack([np.ones(300), rng.normal(size=300)])
        y = rng.chisquare(1, 300) * (rng.random(300) > 0.1)
        best = quasi_likelihood.fit(x, y)

        def loss(b: np.ndarray) -> float:
            return float((y * np.exp(-(x @ b)) + x @ b).mean())

        assert all(loss(best) < loss(best + step) for step in 1e-3 * rng.normal(size=(20, 2)))

    def test_ridge_shrinks_but_not_the_constant(self) -> None:
        rng = np.random.default_rng(2)
        x = np.column_stack([np.ones(400), rng.normal(size=400)])
        y = np.exp(2 + 0.5 * x[:, 1])
        small, large = quasi_likelihood.fit(x, y, 1e-6), quasi_likelihood.fit(x, y, 100.0)
        np.testing.assert_allclose(small, [2, 0.5], atol=1e-4)
        assert abs(large[1]) < 0.02
        assert large[0] == pytest.approx(np.log(y.mean()), abs=0.02)

    def test_a_column_that_never_moves_gets_no_weight(self) -> None:
        x = np.column_stack([np.ones(50), np.full(50, 3.0)])
        np.testing.assert_allclose(quasi_likelihood.fit(x, np.full(50, 2.0)), [np.log(2), 0.0], atol=1e-8)

    def test_missing_and_bad(self) -> None:
        x, y = np.column_stack([np.ones(5), np.arange(5.0)]), np.array([1.0, 2.0, 3.0, 5.0, 4.0])
        holed = np.append(y, np.nan), np.append(x, [[1.0, 9.0]], axis=0)
        np.testing.assert_array_equal(quasi_likelihood.fit(holed[1], holed[0]), quasi_likelihood.fit(x, y))
        assert np.isnan(quasi_likelihood.fit(x[:1], y[:1])).all()
        assert np.isnan(quasi_likelihood.fit(x, 0 * y)).all()
        with pytest.raises(ArgumentError, match="0 or more"):
            quasi_likelihood.fit(x, -y)


class TestParts:
    def test_the_decayed_mean_by_hand(self) -> None:
        values = np.array([[2.0, np.nan, 4.0, 8.0]])
        found = decayed_mean(values, 1.0, 1.0, 2.0)[0]
        np.testing.assert_allclose(found, [1.0, (1 + 2) / 2, (1 + 2) / 2, (0.5 + 1 + 4) / 2])

    def test_a_session_seen_in_part_counts_by_its_share(self) -> None:
        world = planted()
        found = session_variance(world.bins, world.factor)
        whole = np.nansum(world.bins.variance, axis=1)
        np.testing.assert_allclose(found[60], whole[60], rtol=1e-12)
        assert found[80] == pytest.approx(whole[80] / world.factor[80, 4:].sum() * 24)

    def test_a_hole_in_the_sessions_does_not_silence_the_month_after(self) -> None:
        variance = np.exp(np.random.default_rng(3).normal(size=120))
        variance[70] = np.nan
        found = session_level(variance, 10, Schedule(40, 1, 100))
        assert np.isfinite(found[40:]).all()
        assert np.isnan(found[:40]).all()

    def test_states_by_hand(self) -> None:
        world = planted(60)
        expected = world.level[:, None] * world.factor
        found = states(world.bins, expected, Component(half_lives=(2.0,), prior=3.0, leverage=None))
        u = world.bins.variance[7] / expected[7]
        keep = 0.5**0.5
        weights = keep ** np.arange(4, -1, -1)
        by_hand = np.log((3 * keep**5 + weights @ u[:5]) / (3 * keep**5 + weights.sum()))
        np.testing.assert_allclose(found[7, 5], [1.0, by_hand])
        without = replace(world.bins, ranges=None)
        with pytest.raises(ArgumentError, match="ranges"):
            states(without, expected, Component(by_ranges=True))


def test_a_price_that_cannot_be_makes_no_infinite_forecast() -> None:
    world = planted(100)
    returns, variance = world.bins.returns.copy(), world.bins.variance.copy()
    returns[90, 5], returns[91, 5] = -1e4, 1e4
    variance[90:92, 5] = 1e8
    bins = replace(world.bins, returns=returns, variance=variance)
    flat = np.ones_like(world.factor)
    found = forecast_bins(bins, world.level, flat, flat, [1], MODEL)[0]
    assert np.isnan(found[90:92]).any()
    assert not np.isinf(found).any()
    assert np.isfinite(found[99]).all()


class TestEvents:
    def test_the_planted_multiplier_is_learned_from_the_past_alone(self) -> None:
        world = planted(200, moves=8.0)
        expected = world.level[:, None] * world.factor
        found = event_multiplier(world.bins, expected, {"news": world.events})
        on = np.arange(4, 200, 7)
        np.testing.assert_array_equal(found[4], 1.0)
        assert 4.0 < found[on[-1], 15] < 12.0
        assert 0.5 < found[on[-1], 12] < 2.0
        np.testing.assert_array_equal(found[:, :9], 1.0)
        # no other session is touched
        np.testing.assert_array_equal(np.delete(found, on, axis=0), 1.0)

    def test_the_first_profile_by_hand(self) -> None:
        world = planted(30)
        expected = world.level[:, None] * world.factor
        found = event_multiplier(world.bins, expected, {"news": world.events})[11]
        v, e = world.bins.variance[4], expected[4]
        # one event seen: a third of the way to it, at most 50 times what was expected
        assert found[15] == pytest.approx(1 + (min(v[15] / e[15], 50.0) - 1) / 3)
        assert found[12] == found[14] == pytest.approx(1 + (v[12:15].sum() / e[12:15].sum() - 1) / 3)

    def test_of_two_of_a_kind_in_a_session_the_first_counts_and_none_between_sessions(self) -> None:
        world = planted(60)
        expected = world.level[:, None] * world.factor
        once = event_multiplier(world.bins, expected, {"news": world.events})
        later, nightly = world.events[3:6] + 3 * STEP, world.bins.closes + STEP
        more = {"news": np.sort(np.concatenate([world.events, later, nightly]))}
        np.testing.assert_array_equal(event_multiplier(world.bins, expected, more), once)
        assert (once != 1).any()
        np.testing.assert_array_equal(event_multiplier(world.bins, expected, {"news": nightly}), 1.0)
        np.testing.assert_array_equal(event_multiplier(world.bins, expected, {}), 1.0)

    def test_sessions_that_follow_each_other_know_at_their_open_what_they_say(self) -> None:
        # around the clock: an event just after an open is near in the session before, one just before a close reaches
        # into the next one, where the same kind has another
        world = planted(40)
        opens = world.bins.opens[0] + 24 * STEP * np.arange(40)
        bins = replace(world.bins, opens=opens, closes=opens + 24 * STEP)
        expected = world.level[:, None] * world.factor
        early, late = opens[::3] + 2 * STEP, opens[2::3] + 22 * STEP
        events = {"news": np.sort(np.concatenate([early, late]))}
        whole = event_multiplier(bins, expected, events)
        assert (whole[30:33] != 1.0).any(axis=1).all()
        for session in range(20, 40):
            known = {"news": events["news"][events["news"] < bins.closes[session]]}
            part = event_multiplier(bins.cut(session, 0), expected[: session + 1], known)
            np.testing.assert_array_equal(part, whole[: session + 1])

    def test_an_event_inside_a_bin_does_not_teach_what_its_own_session_says(self) -> None:
        world = planted(60)
        expected = world.level[:, None] * world.factor
        events = {"news": world.events + STEP // 2}
        whole = event_multiplier(world.bins, expected, events)
        for session in (32, 39, 46):
            part = event_multiplier(world.bins.cut(session, 0), expected[: session + 1], events)
            np.testing.assert_array_equal(part, whole[: session + 1])
        np.testing.assert_array_equal(whole, event_multiplier(world.bins, expected, {"news": world.events}))

    def test_near_events(self) -> None:
        world = planted(20)
        found = near_events(world.bins, world.events, 2 * STEP, 3 * STEP)
        np.testing.assert_array_equal(np.flatnonzero(found[4]), [13, 14, 15, 16, 17])
        assert not found[5].any()
        assert not near_events(world.bins, world.events[:0], STEP, STEP).any()

    def test_share_of_the_sessions_ahead(self) -> None:
        opens = np.array([10, 20, 30, 40])
        found = share_of_sessions(opens, opens + 5, np.array([22, 37]), 3, 2)
        # 37 lies after the third close: of the fourth session
        np.testing.assert_array_equal(found, [0.5, 0.5, np.nan])


def test_each_part_is_worth_having_against_the_true_variance() -> None:
    world = planted(260, seed=1)
    level = session_level(session_variance(world.bins, world.factor), 24, Schedule(40, 1, 200))
    flat = np.ones_like(world.factor)
    news = event_multiplier(world.bins, level[:, None] * world.factor, {"news": world.events})
    truth = ahead(world.truth, 3)
    late = np.zeros(truth.shape, bool)
    late[100:] = True

    def loss(factor: np.ndarray, multiplier: np.ndarray, model: Component) -> float:
        forecast = forecast_bins(world.bins, level, factor, multiplier, [3], model)[0]
        rows = late & np.isfinite(forecast) & np.isfinite(truth)
        assert rows.sum() > 3000
        return float(qlike(truth, forecast)[rows].mean())

    full = loss(world.factor, news, MODEL)
    assert full < 0.9 * loss(world.factor, flat, MODEL)
    assert full < 0.9 * loss(flat, news, MODEL)
    assert full < 0.9 * loss(world.factor, news, Component(half_lives=(), leverage=None, schedule=SCHEDULE))


@pytest.mark.parametrize("model", [MODEL, Component(by_ranges=True, leverage=None, schedule=SCHEDULE)])
def test_the_input_cut_short_gives_the_same_bits(model: Component) -> None:
    world = planted(100)

    def run(bins):
        sessions = len(bins.opens)
        factor = world.factor[:sessions]
        level = session_level(session_variance(bins, factor), 24, Schedule(40, 1, 200))
        news = event_multiplier(bins, level[:, None] * factor, {"news": world.events})
        return forecast_bins(bins, level, factor, news, [1, 3, 12], model)

    full = run(world.bins)
    assert all(np.isfinite(found[60:]).any() for found in full)
    for session, bin_ in ((65, 0), (70, 7), (81, 5), (99, 23)):
        for whole, part in zip(full, run(world.bins.cut(session, bin_)), strict=True):
            np.testing.assert_array_equal(part[:session], whole[:session])
            np.testing.assert_array_equal(part[session, : bin_ + 1], whole[session, : bin_ + 1])
