"""PIN: its likelihood where others overflow, its estimates on days whose parameters are known, and only past days."""

from itertools import pairwise

import numpy as np
import point_process
import pytest
from scipy import special, stats

from gpu_kernels.errors import ArgumentError
from gpu_kernels.trade import pin, pin_fit

PLAIN = np.array([0.4, 0.6, 0.0, 0.0, 50.0, 60.0, 45.0, 45.0, 0.0, 0.0])
BUSY = np.array([0.4, 0.6, 0.0, 0.0, 50_000.0, 60_000.0, 3_000.0, 3_000.0, 0.0, 0.0])
ADJUSTED = np.array([0.4, 0.55, 0.25, 0.4, 300.0, 280.0, 120.0, 150.0, 220.0, 180.0])
SETS = 24


def tables(parameters: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = [point_process.days(rng, parameters, count) for _ in range(SETS)]
    buys, sells = (np.concatenate(side) for side in zip(*drawn, strict=True))
    return buys, sells, np.arange(SETS + 1) * count


@pytest.mark.parametrize(
    ("parameters", "count", "model"), [(PLAIN, 120, "pin"), (BUSY, 120, "pin"), (ADJUSTED, 250, "adjusted")]
)
def test_known_parameters_are_recovered(parameters: np.ndarray, count: int, model: str) -> None:
    fit = pin_fit.fit(*tables(parameters, count, 1), model=model)
    free = np.flatnonzero(parameters > 0)
    errors = (fit.parameters[:, free] - parameters[free]) / fit.standard_error[:, free]
    # of 24 sets the mean error, in standard errors, has a standard deviation of 0.2, and its root mean square of 0.15
    assert np.abs(errors.mean(axis=0)).max() < 0.75, errors.mean(axis=0)
    root = np.sqrt((errors**2).mean(axis=0))
    assert root.min() > 0.55, root
    assert root.max() < 1.5, root
    share, _ = pin_fit.informed_share(parameters)
    covered = (fit.pin_interval[:, 0] <= share) & (share <= fit.pin_interval[:, 1])
    assert covered.sum() >= 20
    assert fit.converged.all()
    assert (fit.agreeing >= 2).all()
    np.testing.assert_array_equal(fit.log_likelihood, fit.start_log_likelihood.max(axis=1))


def test_the_estimate_is_a_maximum() -> None:
    buys, sells, offsets = tables(PLAIN, 60, 2)
    fit = pin_fit.fit(buys, sells, offsets)
    segment = np.arange(SETS)
    for which, factor in [(0, 1.02), (0, 0.98), (4, 1.005), (5, 0.995), (6, 1.02)]:
        moved = fit.parameters.copy()
        moved[:, which] *= factor
        moved[:, 7] = moved[:, 6]
        value, _ = pin.log_likelihood(buys, sells, offsets, segment, moved)
        assert (value < fit.log_likelihood).all()
    value, _ = pin.log_likelihood(buys, sells, offsets, segment, np.tile(PLAIN, (SETS, 1)))
    assert (value < fit.log_likelihood).all()


@pytest.mark.parametrize(("parameters", "count", "model"), [(BUSY, 60, "pin"), (ADJUSTED, 120, "adjusted")])
def test_clusters_of_days_are_a_start_near_the_truth(parameters: np.ndarray, count: int, model: str) -> None:
    buys, sells, offsets = tables(parameters, count, 6)
    starts = [pin_fit._clustered(model, buys[a:b], sells[a:b]) for a, b in pairwise(offsets)]
    np.testing.assert_allclose(np.median(starts, axis=0)[:2], parameters[:2], atol=0.15)
    np.testing.assert_allclose(np.median(starts, axis=0)[4:8], parameters[4:8], rtol=0.15)
    one, many = (pin_fit.fit(buys, sells, offsets, model=model, starts=starts) for starts in (1, 5))
    assert (one.log_likelihood > many.log_likelihood - 1e-3).mean() >= 0.9


def by_scipy(buys: np.ndarray, sells: np.ndarray, parameters: np.ndarray) -> float:
    """The log-likelihood from SciPy's Poisson distribution and log of a sum of exponentials."""
    alpha, delta, theta, theta_news, eb, es, mb, ms, sb, ss = parameters
    kinds = []
    for chance, shock, buy, sell in (
        (1 - alpha, theta, 0, 0),
        (alpha * (1 - delta), theta_news, mb, 0),
        (alpha * delta, theta_news, 0, ms),
    ):
        for share, shocked in ((1 - shock, 0), (shock, 1)):
            logs = stats.poisson.logpmf(buys, eb + buy + shocked * sb)
            logs = logs + stats.poisson.logpmf(sells, es + sell + shocked * ss)
            kinds.append(np.log(chance * share) + logs)
    return float(special.logsumexp(kinds, axis=0).sum())


def test_a_hundred_thousand_trades_a_day() -> None:
    buys, sells = np.array([101_000.0, 103_500.0, 300.0]), np.array([99_000.0, 98_000.0, 1e6])
    parameters = np.array([0.3, 0.4, 0.2, 0.5, 1e5, 1e5, 4e3, 5e3, 2e3, 1e3])
    offsets, segment = np.array([0, 3]), np.zeros(1, np.int64)
    value, slope = pin.log_likelihood(buys, sells, offsets, segment, parameters[np.newaxis])
    assert value[0] == pytest.approx(by_scipy(buys, sells, parameters), rel=1e-10)
    for which in range(4, 10):
        ends = []
        for step in (1e-4, -1e-4):
            moved = parameters.copy()
            moved[which] *= np.exp(step)
            ends.append(by_scipy(buys, sells, moved))
        assert slope[0, which] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-5, abs=1e-2)


def test_days_that_cannot_happen() -> None:
    silent = np.array([[0.3, 0.4, 0.0, 0.0, 0.0, 5.0, 0.0, 3.0, 0.0, 0.0]])
    value, slope = pin.log_likelihood(np.array([0.0, 7.0]), np.ones(2), np.array([0, 2]), np.zeros(1, np.int64), silent)
    assert value[0] == -np.inf
    assert np.isfinite(slope).all()
    chances = pin.day_probabilities(np.array([0.0, 7.0]), np.ones(2), np.array([0, 2]), silent)
    np.testing.assert_allclose(chances.sum(axis=0), 1.0)
    np.testing.assert_allclose(chances[:, 1], [0.7, 0.0, 0.18, 0.0, 0.12, 0.0])


def test_a_day_of_news_is_seen_as_one() -> None:
    chances = pin.day_probabilities(
        np.array([50.0, 95.0, 50.0]), np.array([60.0, 60.0, 105.0]), np.array([0, 3]), PLAIN[np.newaxis]
    )
    assert [pin.KINDS[kind] for kind in chances.argmax(axis=0)] == ["none", "good", "bad"]
    assert (chances.max(axis=0) > 0.99).all()


@pytest.mark.parametrize("model", ["pin", "adjusted"])
def test_rolling_uses_only_days_before(model: str) -> None:
    rng = np.random.default_rng(3)
    buys, sells = point_process.days(rng, ADJUSTED, 46)
    offsets, window = np.array([0, 0, 43, 46]), 40
    whole = pin_fit.rolling(buys, sells, offsets, window, model=model, starts=2)
    assert np.isnan(whole.pin[:40]).all()
    assert np.isfinite(whole.pin[40:43]).all()
    assert np.isnan(whole.pin[43:]).all()
    changed = buys.copy()
    changed[41:] += 1000.0
    other = pin_fit.rolling(changed, sells, offsets, window, model=model, starts=2)
    cut = pin_fit.rolling(buys[:42], sells[:42], np.array([0, 0, 42]), window, model=model, starts=2)
    for name in ("pin", "parameters", "standard_error", "start_log_likelihood", "pin_interval"):
        now = getattr(whole, name)
        np.testing.assert_array_equal(getattr(other, name)[:42], now[:42])
        np.testing.assert_array_equal(getattr(cut, name), now[:42])
    assert (other.pin[42] != whole.pin[42]).all()
    alone = pin_fit.fit(buys[2:42], sells[2:42], np.array([0, 40]), model=model, starts=2)
    np.testing.assert_array_equal(alone.parameters[0], whole.parameters[42])


def test_segments_without_an_estimate_and_bounds() -> None:
    buys = np.concatenate([[3.0, 4.0], np.zeros(30), np.full(30, 7.0), np.full(30, np.nan)])
    fit = pin_fit.fit(buys, np.ones(len(buys)), np.array([0, 2, 32, 62, 92, 92]))
    assert np.isnan(fit.pin[[0, 1, 3, 4]]).all()
    assert (fit.agreeing[[0, 1, 3, 4]] == 0).all()
    assert fit.on_bound[2].any()
    rng = np.random.default_rng(4)
    quiet = pin_fit.fit(rng.poisson(40.0, 60) * 1.0, rng.poisson(50.0, 60) * 1.0, np.array([0, 60]))
    assert quiet.pin[0] < 0.1


def test_days_not_seen_are_left_out() -> None:
    buys, sells = point_process.days(np.random.default_rng(5), PLAIN, 60)
    gaps = np.insert(buys, [3, 17], np.nan), np.insert(sells, [3, 17], [4.0, 9.0])
    whole, gappy = (pin_fit.fit(*days, np.array([0, len(days[0])])) for days in ((buys, sells), gaps))
    np.testing.assert_allclose(gappy.parameters, whole.parameters, rtol=1e-9)


def test_shares_of_trades() -> None:
    pin_share, shock_share = pin_fit.informed_share(np.stack([PLAIN, ADJUSTED, np.zeros(10)]))
    assert pin_share[0] == pytest.approx(0.4 * 45 / (0.4 * 45 + 110))
    informed = 0.4 * (0.45 * 120 + 0.55 * 150)
    shocked = 400 * (0.4 * 0.4 + 0.6 * 0.25)
    assert pin_share[1] == pytest.approx(informed / (informed + shocked + 580))
    assert shock_share[1] == pytest.approx(shocked / (informed + shocked + 580))
    assert shock_share[0] == 0.0
    assert np.isnan(pin_share[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, o: pin_fit.fit(c, c, o, model="ekop"), 'model is \'ekop\'; allowed: "pin" or "adjusted"'),
        (lambda c, o: pin_fit.fit(c, c, o, starts=0), "starts is 0"),
        (lambda c, o: pin_fit.fit(-c, c, o), r"buys is -1\.0 at row 0; allowed: counts of 0 or more"),
        (lambda c, o: pin_fit.fit(c, c[:3], o), "arrays of unequal length"),
        (lambda c, o: pin_fit.rolling(c, c, o, 0), "window is 0"),
        (lambda c, o: pin.day_probabilities(c, c, o, np.full((1, 10), 2.0)), r"alpha is 2\.0 in row 0"),
        (
            lambda c, o: pin.day_probabilities(c, c, o, np.ones((2, 10))),
            r"parameters are \(2, 10\); allowed: \(1, 10\)",
        ),
        (lambda c, o: pin.log_likelihood(c, c, o, np.array([1]), np.ones((1, 10))), "segment spans 1 to 1"),
    ],
)
def test_mistakes_are_named(call, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(np.ones(6), np.array([0, 6]))
