"""Probabilities: the fitted curves by other optimisers, that they come true, nothing of the future, dirt."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from forecast_market import Forecast, forecast_market
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from fusion import signal_state
from fusion.calibration import Calibrator, ProbabilityConfig, fit, probabilities
from fusion.conformal import ConformalState, IntervalConfig, intervals
from fusion.settlement import session_weights
from fusion.signal_state import SignalState
from gpu_kernels.errors import ModelError

CONFIG = ProbabilityConfig(min_sessions=5)
METHODS = ("logistic", "isotonic")


def run(
    market: Forecast, config: ProbabilityConfig = CONFIG, stored: tuple[Calibrator, ...] = ()
) -> tuple[pl.Series, list[Calibrator]]:
    settles = market.settles()
    found, _ = intervals(market.decisions, settles, market.refits, IntervalConfig(min_sessions=5))
    return probabilities(market.decisions.hstack(found), settles, market.refits, config, stored)


def sample(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_t(3, n)
    session = np.sort(rng.integers(0, 20, n))
    return x, rng.random(n) < expit(0.2 + 0.5 * x), session_weights(session)


def test_the_logistic_curve_is_the_maximum_that_another_optimiser_finds() -> None:
    for seed in range(4):
        x, up, weights = sample(seed)
        w = weights / weights.sum() * len(x)
        mean = np.average(x, weights=w)
        spread = np.sqrt(np.average((x - mean) ** 2, weights=w))
        z, rises = np.clip((x - mean) / spread, -5, 5), w[up].sum()
        target = np.where(up, (rises + 1) / (rises + 2), 1 / (w.sum() - rises + 2))

        def loss(p: np.ndarray, z: np.ndarray = z, w: np.ndarray = w, target: np.ndarray = target) -> float:
            line = p[0] + p[1] * z
            return float((w * (np.logaddexp(0, line) - target * line)).sum())

        best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
        found = fit(None, x, up, weights, "logistic").probability(x)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, expit(best.x[0] + best.x[1] * z), atol=1e-6)


def test_the_isotonic_curve_is_scipys_at_its_steps() -> None:
    x, up, weights = sample(5)
    order = np.argsort(x)
    level = isotonic_regression(up[order].astype(float), weights=weights[order]).x
    found = fit(None, x, up, weights, "isotonic")  # type: ignore[arg-type]
    values, starts = np.unique(level, return_index=True)
    mass = np.add.reduceat(weights[order] / weights.sum() * len(x), starts)
    # what little is known of small steps must not make the curve fall
    expected = np.maximum.accumulate((values * mass + 1) / (mass + 2))
    np.testing.assert_allclose(expit(found.logit), expected, rtol=1e-9)
    middles = [(x[order][level == value].min() + x[order][level == value].max()) / 2 for value in values]
    np.testing.assert_allclose(found.x, middles)


@pytest.mark.parametrize("method", METHODS)
def test_more_score_is_never_less_probable(method: str) -> None:
    x = np.linspace(-30, 30, 501)
    for seed in range(6):
        values, up, weights = sample(seed)
        found = fit(None, values, up if seed else ~up, weights, method).probability(x)  # type: ignore[arg-type]
        assert (np.diff(found) >= 0).all()
        assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_come_true(method: str) -> None:
    market = forecast_market(1, sessions=250, skill=0.4)
    found, _ = run(market, ProbabilityConfig(method=method))
    table = market.decisions.with_columns(found, up=market.labels["return_15min"] > 0).drop_nulls()
    assert table.height > 3000
    base = table["up"].mean()
    assert ((table["probability_up"] - table["up"].cast(float)) ** 2).mean() < base * (1 - base) - 0.02
    fifth = (table["probability_up"].rank() / table.height * 5).ceil()
    bins = table.group_by(fifth.alias("bin")).agg(pl.col("probability_up").mean(), pl.col("up").mean())
    # a standard error of about 0.02 in each bin
    assert (bins["probability_up"] - bins["up"]).abs().max() < 0.06, bins


def test_a_score_that_says_nothing_gives_the_base_rate() -> None:
    market = forecast_market(2, sessions=200, skill=0.0)
    rng = np.random.default_rng(0)
    guess = pl.Series("score", 1e-4 * rng.standard_normal(market.decisions.height))
    found, _ = run(replace(market, decisions=market.decisions.with_columns(guess)))
    assert found.drop_nulls().std() < 0.03
    assert abs(found.mean() - 0.5) < 0.03


@pytest.mark.parametrize("method", METHODS)
def test_what_is_taken_away_changes_nothing_before(method: str) -> None:
    market, config = forecast_market(3), CONFIG.model_copy(update={"method": method})
    whole, _ = run(market, config)
    for session in (23, 41):
        cut = market.sessions["open"][session]
        part, _ = run(market.until(cut), config)
        assert part.equals(whole.filter(market.decisions["decision_time"] <= cut))
        assert part.is_not_null().sum() > 50


def test_a_curve_of_the_whole_sample_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    market = forecast_market(3)
    honest = fit

    def leaking(day: object, x: np.ndarray, *rest: object) -> Calibrator:
        settles, decisions = whole.settles(), whole.decisions
        y = settles.value
        used = np.isfinite(y) & decisions["score"].is_not_null().to_numpy()
        score = decisions["score"].fill_null(0).to_numpy()[used] / 1e-3
        return honest(day, score, y[used] > 0, np.ones(used.sum()), "logistic")  # type: ignore[arg-type]

    monkeypatch.setattr("fusion.calibration.fit", leaking)
    cut = market.sessions["open"][41]
    whole = market
    full, _ = run(market)
    whole = market.until(cut)
    part, _ = run(whole)
    assert not part.equals(full.filter(market.decisions["decision_time"] <= cut))


def test_a_curve_is_of_the_last_sessions_alone() -> None:
    market, config = forecast_market(6), CONFIG.model_copy(update={"window": 8})
    settles, last = market.settles(), market.refits[-1]
    found, _ = intervals(market.decisions, settles, market.refits, IntervalConfig(min_sessions=5))
    whole = market.decisions.hstack(found)
    place = settles.days.to_list().index(last)
    recent = whole.with_columns(pl.when(pl.Series(settles.session >= place - 8)).then("score").alias("score"))
    later = recent.with_columns(pl.when(pl.Series(settles.session > place - 8)).then("score").alias("score"))
    curves = [probabilities(each, settles, [last], config)[1][0] for each in (whole, recent, later)]
    assert [curve.logit.tolist() == curves[0].logit.tolist() for curve in curves] == [True, True, False]


def test_a_damaged_curve_is_one_error(tmp_path) -> None:
    market = forecast_market(4, sessions=20)
    settled = intervals(market.decisions, market.settles(), market.refits, IntervalConfig())[1].settled
    curve = Calibrator(market.refits[0], "logistic", np.array([-1.0, 1.0]), np.array([0.0, 1.0]))
    signal_state.save(SignalState(ConformalState({}, settled), (curve,)), tmp_path)
    index = json.loads((tmp_path / "signals.json").read_text())
    for damage in (
        {"x": [1.0, -1.0]},
        {"x": [None, 1.0]},
        {"x": [[0.0], [1.0]], "logit": [[0.0], [1.0]]},
        {"x": [1.0]},
    ):
        broken = index | {"calibrators": [index["calibrators"][0] | damage]}
        (tmp_path / "signals.json").write_text(json.dumps(broken))
        with pytest.raises(ModelError, match="calibrator"):
            signal_state.load(tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_a_stored_curve_is_the_same_curve(method: str, tmp_path) -> None:
    market = forecast_market(4)
    found, made = run(market, CONFIG.model_copy(update={"method": method}))
    empty = intervals(
        market.decisions.clear(), market.until(market.sessions["open"][0]).settles(), [], IntervalConfig()
    )
    signal_state.save(SignalState(ConformalState({}, empty[1].settled), tuple(made)), tmp_path)
    loaded = signal_state.load(tmp_path).calibrators
    assert len(loaded) == len(made) > 2
    again, _ = run(market, CONFIG, loaded)
    assert again.equals(found)


def test_outcomes_and_scores_that_are_all_the_same() -> None:
    x = np.arange(50.0)
    weights = np.ones(50)
    for method in METHODS:
        risen = fit(None, x, np.ones(50, dtype=bool), weights, method)  # type: ignore[arg-type]
        assert (risen.probability(x) > 0.9).all()
        assert (risen.probability(x) < 1).all()
        level = fit(None, np.zeros(50), x < 20, weights, method)  # type: ignore[arg-type]
        np.testing.assert_allclose(level.probability(np.array([-1.0, 0.0, 7.0])), 0.4, atol=0.01)
        assert np.isnan(level.probability(np.array([np.nan]))).all()
    assert run(forecast_market(5, sessions=8))[0].null_count() == 8 * 20
