"""The HAR family against statsmodels, against processes of its own form, and against its input cut short."""

import numpy as np
import pytest
import statsmodels.api as sm

from fusion.volatility import har
from fusion.volatility.har import MODELS, SessionVariance
from fusion.volatility.walk import Schedule
from gpu_kernels.errors import ArgumentError

SCHEDULE = Schedule(60, 7, 100)


def measures_of(count: int = 160, seed: int = 0) -> SessionVariance:
    """Persistent variances with everything that the models ask for."""
    rng = np.random.default_rng(seed)
    log = np.zeros(count)
    for row in range(1, count):
        log[row] = 0.95 * log[row - 1] + 0.3 * rng.normal()
    continuous = 1e-4 * np.exp(log)
    jump = continuous * (rng.random(count) < 0.1) * rng.exponential(size=count)
    variance = continuous + jump
    share = rng.uniform(0.3, 0.7, count)
    bipower = continuous * np.exp(0.05 * rng.normal(size=count))
    quarticity = variance**2 * rng.uniform(0.8, 2.0, count)
    return SessionVariance(variance, bipower, jump, quarticity, share * variance, (1 - share) * variance)


def cut(measures: SessionVariance, rows: int) -> SessionVariance:
    return SessionVariance(*(value[:rows] for value in measures))


def test_regressors_by_hand() -> None:
    measures = measures_of(30)
    v, jump = measures.variance, measures.jump
    t = 25
    last = {1: slice(t, t + 1), 5: slice(t - 4, t + 1), 22: slice(t - 21, t + 1)}
    means = [v[last[length]].mean() for length in (1, 5, 22)]
    parts = [part[last[length]].mean() for part in (v - jump, jump) for length in (1, 5, 22)]
    expected = {
        "HAR": [1, *means],
        "HAR-J": [1, *means, max(v[t] - measures.bipower[t], 0)],
        "HAR-CJ": [1, *parts],
        "HARQ": [1, *means, np.sqrt(measures.quarticity[t]) * v[t]],
        "SHAR": [1, measures.positive[t], measures.negative[t], *means[1:]],
        "log-HAR": [1, *np.log(means)],
    }
    for model in MODELS:
        found = har.regressors(measures, model)
        np.testing.assert_allclose(found[t], expected[model], rtol=1e-12, err_msg=model)
        assert np.isnan(found[:21]).any(axis=1).all()
    np.testing.assert_allclose(har.mean_ahead(v, 5)[10], v[11:16].mean())
    assert np.isnan(har.mean_ahead(v, 5)[-5:]).all()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("horizon", [1, 5])
def test_each_fit_is_that_of_statsmodels_on_what_was_known(model: str, horizon: int) -> None:
    measures = measures_of()
    found = har.forecast_sessions(measures, model, horizon=horizon, schedule=SCHEDULE, filtered=False)
    v = measures.variance
    columns = har.regressors(measures, model)
    assert np.isnan(found[:59]).all()
    for t in (59, 65, 66, 100, 159):
        at = 60 + 7 * ((t + 1 - 60) // 7)  # sessions before `at` are known at the fit
        rows = [i for i in range(max(0, at - 100), at - horizon) if i >= 21]
        target = np.array([v[i + 1 : i + 1 + horizon].mean() for i in rows])
        logs = model == "log-HAR"
        fit = sm.OLS(np.log(target) if logs else target, columns[rows]).fit()
        expected = fit.predict(columns[[t]])[0]
        if logs:
            expected = np.exp(expected + fit.ssr / fit.df_resid / 2)
        assert found[t] == pytest.approx(expected, rel=1e-7), (t, at)


@pytest.mark.parametrize("model", MODELS)
def test_the_input_cut_short_gives_the_same_bits(model: str) -> None:
    measures = measures_of()
    events = (np.random.default_rng(1).random((160, 2)) < 0.1).astype(float)
    full = har.forecast_sessions(measures, model, horizon=5, schedule=SCHEDULE, ahead=events)
    for rows in (60, 73, 101, 159):
        part = har.forecast_sessions(cut(measures, rows), model, horizon=5, schedule=SCHEDULE, ahead=events[:rows])
        np.testing.assert_array_equal(part, full[:rows])
    assert np.isfinite(full[59:]).all()


def test_the_insanity_filter() -> None:
    measures = measures_of()
    wild = measures.variance.copy()
    wild[120] *= 500  # one mad session makes the next forecast mad
    wild = SessionVariance(wild)
    plain, sane = (
        har.forecast_sessions(wild, "HAR", schedule=Schedule(60, 100), filtered=filtered) for filtered in (False, True)
    )
    known = measures.variance[22:60]
    assert plain[120] > known.max()
    assert sane[120] == pytest.approx(known.mean())
    inside = (plain >= known.min()) & (plain <= known.max())
    np.testing.assert_array_equal(sane[inside], plain[inside])


def test_harq_recovers_planted_attenuation_and_forecasts_better() -> None:
    """Variances measured with an error of known size: yesterday's weight falls with it, as HARQ says."""
    rng = np.random.default_rng(3)
    count = 5000
    true = np.empty(count)
    true[0] = 1.0
    for row in range(1, count):
        true[row] = max(0.2 + 0.8 * true[row - 1] + 0.3 * np.sqrt(true[row - 1]) * rng.normal(), 0.05)
    error = np.where(rng.random(count) < 0.5, 0.02, 1.0)
    measured = np.maximum(true + error * rng.normal(size=count), 0.05)
    measures = SessionVariance(measured, quarticity=error**2)
    coefficients = har.least_squares(har.regressors(measures, "HARQ"), har.mean_ahead(measured, 1))
    assert coefficients[1] > 0.3
    assert coefficients[4] < -0.1
    plain, adjusted = (har.forecast_sessions(measures, model, schedule=Schedule(500, 50)) for model in ("HAR", "HARQ"))
    rows = slice(500, count - 1)
    gap = (plain[rows] - true[501:]) ** 2 - (adjusted[rows] - true[501:]) ** 2
    assert gap.mean() / (gap.std() / np.sqrt(len(gap))) > 2


def test_a_planted_event_is_learned() -> None:
    measures = measures_of(400, 5)
    rng = np.random.default_rng(6)
    event = (rng.random(400) < 0.15).astype(float)
    variance = measures.variance + 1e-3 * event
    ahead = np.append(event[1:], 0.0)[:, None]
    plain = har.forecast_sessions(SessionVariance(variance), schedule=Schedule(150, 10))
    told = har.forecast_sessions(SessionVariance(variance), schedule=Schedule(150, 10), ahead=ahead)
    rows = slice(150, 399)
    errors = [((found[rows] - variance[151:]) ** 2).mean() for found in (plain, told)]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: har.forecast_sessions(m, "GARCH"), "HAR-J"),
        (lambda m: har.forecast_sessions(SessionVariance(m.variance), "HARQ"), "quarticity"),
        (lambda m: har.forecast_sessions(m, ahead=np.ones(3)), "columns"),
        (lambda m: har.forecast_sessions(m, horizon=0), "horizon"),
        (lambda m: har.forecast_sessions(m, schedule=Schedule(0)), "first"),
    ],
)
def test_bad_input_is_told(call, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        call(measures_of(40))


def test_too_few_sessions_are_missing() -> None:
    assert np.isnan(har.forecast_sessions(SessionVariance(np.ones(10)))).all()
    assert len(har.forecast_sessions(SessionVariance(np.array([])))) == 0
