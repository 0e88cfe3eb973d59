"""Markov-switching autoregression against sums over all paths, statsmodels, Hamilton's fit and planted truth."""

import itertools
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from chains import daily
from hamilton import GROWTH
from planted import session_table
from pydantic import ValidationError
from statsmodels.tsa.regime_switching.markov_autoregression import MarkovAutoregression
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from fusion.regime import RegimeConfig, filter_regimes
from fusion.regime.autoregression import Parameters, filtered, fit, stationary
from fusion.regime.options import SwitchingConfig
from fusion.walk_forward import WalkForwardConfig, schedule


def drawn(seed: int, rows: int, p: Parameters, form: str = "mean") -> tuple[np.ndarray, np.ndarray]:
    """States (T,) and inputs (T, D) of the model itself."""
    rng = np.random.default_rng(seed)
    k, order, d = p.autoregression.shape
    z, x = np.zeros(rows, dtype=np.int64), np.zeros((rows, d))
    for t in range(rows):
        z[t] = rng.choice(k, p=p.transition[z[t - 1]] if t else stationary(p.transition))
        x[t] = p.level[z[t]] + rng.normal(size=d) * np.sqrt(p.variance[z[t]])
        for lag in range(1, min(order, t) + 1):
            x[t] += p.autoregression[z[t], lag - 1] * (x[t - lag] - (form == "mean") * p.level[z[t - lag]])
    return z, x


def two(order: int = 1, *, switching: bool = False, d: int = 1) -> Parameters:
    lags = np.tile(np.linspace(0.4, 0.1, order)[None, :, None], (2, 1, d))
    if switching:
        lags[1] *= -0.5
    level = np.array([[-0.5], [1.5]]) * np.arange(1, d + 1)
    return Parameters(np.array([[0.95, 0.05], [0.1, 0.9]]), level, lags, np.array([[0.3], [1.2]]) * np.ones(d))


def of_statsmodels(names: list[str], p: Parameters) -> np.ndarray:
    """The parameters as statsmodels orders them; x1, x2 are lags where they are given as regressors."""
    values = []
    for name in names:
        digits = [int(digit) for digit in name if digit.isdigit()]
        if name.startswith("p["):
            values.append(p.transition[digits[0], digits[1]])
        elif name.startswith("const"):
            values.append(p.level[digits[-1], 0])
        elif name.startswith("sigma2"):
            values.append(p.variance[digits[-1] if "[" in name else 0, 0])
        else:
            values.append(p.autoregression[digits[-1] if "[" in name else 0, digits[0] - 1, 0])
    return np.array(values)


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def fitted(model, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(**options)


class TestFilter:
    @pytest.mark.parametrize(("states", "switching"), [(2, False), (2, True), (3, False)])
    def test_switching_means_equal_statsmodels(self, states: int, switching: bool) -> None:
        p = two(switching=switching)
        if states == 3:
            p = Parameters(
                np.array([[0.9, 0.06, 0.04], [0.1, 0.8, 0.1], [0.02, 0.08, 0.9]]),
                np.array([[-1.0], [0.5], [3.0]]),
                np.full((3, 1, 1), 0.3),
                np.array([[0.5], [0.2], [2.0]]),
            )
        _, x = drawn(1, 500, p)
        reference = MarkovAutoregression(
            x[:, 0], k_regimes=states, order=1, switching_ar=switching, switching_variance=True
        )
        wanted = reference.filter(of_statsmodels(reference.param_names, p))
        got, _, likelihood = filtered(x, p, "mean", 2)
        np.testing.assert_allclose(got[1:], wanted.filtered_marginal_probabilities, rtol=0, atol=1e-8)
        assert likelihood == pytest.approx(wanted.llf, abs=1e-8)

    def test_switching_intercepts_equal_a_regression_on_lags_of_statsmodels(self) -> None:
        p = two(2, switching=True)
        _, x = drawn(2, 400, p, "intercept")
        lags = np.stack([x[2 - lag : 400 - lag, 0] for lag in (1, 2)], axis=1)
        reference = MarkovRegression(x[2:, 0], k_regimes=2, exog=lags, switching_variance=True)
        wanted = reference.filter(of_statsmodels(reference.param_names, p))
        got, _, likelihood = filtered(x, p, "intercept", 1)
        np.testing.assert_allclose(got[2:], wanted.filtered_marginal_probabilities, rtol=0, atol=1e-8)
        assert likelihood == pytest.approx(wanted.llf, abs=1e-8)

    def test_hamiltons_published_fit(self) -> None:
        """Growth of US output, four lags, switching mean: Hamilton (1989), table I."""
        x = GROWTH[:, None]
        lags = np.array([0.013486, -0.057521, -0.246983, -0.212923])
        p = Parameters(
            np.array([[0.754673, 0.245327], [0.095915, 0.904085]]),
            np.array([[-0.358811], [1.163517]]),
            np.tile(lags[None, :, None], (2, 1, 1)),
            np.full((2, 1), np.exp(-0.262658) ** 2),
        )
        reference = MarkovAutoregression(x[:, 0], k_regimes=2, order=4, switching_ar=False)
        wanted = reference.filter(of_statsmodels(reference.param_names, p))
        got, _, likelihood = filtered(x, p, "mean", 5)
        assert likelihood == pytest.approx(-181.26339, abs=1e-5)
        np.testing.assert_allclose(got[4:], wanted.filtered_marginal_probabilities, rtol=0, atol=1e-8)
        config = SwitchingConfig(order=4, changes=("level",))
        found = fit(standardised(x), 2, config, floor=1e-3, iterations=2000, tolerance=1e-9)
        assert found.log_likelihood - 131 * np.log(x.std()) == pytest.approx(-181.26339, abs=1e-4)
        np.testing.assert_allclose(
            found.parameters.scaled(x.mean(axis=0), x.std(axis=0), "mean").level, p.level, atol=2e-3
        )

    @pytest.mark.parametrize(("form", "order", "d"), [("mean", 2, 1), ("mean", 1, 2), ("intercept", 2, 2)])
    def test_equals_the_sum_over_all_paths(self, form: str, order: int, d: int) -> None:
        """Also where statsmodels 0.15 does not: with two lags it gives each row the variance of the state before."""
        p = two(order, switching=True, d=d)
        _, x = drawn(3, 11, p, form)
        x[6, d - 1] = np.nan
        got, _, likelihood = filtered(x, p, form, order + 1 if form == "mean" else 1)
        complete = np.isfinite(x).all(axis=1)
        for rows in range(1, 12):
            weight = np.zeros(2)
            for path in itertools.product((0, 1), repeat=rows):
                density = stationary(p.transition)[path[0]]
                for one, other in itertools.pairwise(path):
                    density *= p.transition[one, other]
                for t in range(order, rows):
                    if complete[t - order : t + 1].all():
                        gap = x[t] - p.level[path[t]]
                        for lag in range(1, order + 1):
                            off = p.level[path[t - lag]] if form == "mean" else 0.0
                            gap = gap - p.autoregression[path[t], lag - 1] * (x[t - lag] - off)
                        variance = p.variance[path[t]]
                        density *= np.prod(np.exp(-0.5 * gap**2 / variance) / np.sqrt(2 * np.pi * variance))
                weight[path[-1]] += density
            np.testing.assert_allclose(got[rows - 1], weight / weight.sum(), atol=1e-10)
        assert likelihood == pytest.approx(np.log(weight.sum()), abs=1e-10)

    def test_the_first_rows_have_the_stationary_law(self) -> None:
        p = two(3)
        got, _, _ = filtered(np.zeros((3, 1)), p, "mean", 4)
        np.testing.assert_allclose(got, np.tile([2 / 3, 1 / 3], (3, 1)), atol=1e-12)


CASES = {
    "mean and variance": (two(), {}, 2),
    "autoregression": (two(switching=True), {"changes": ("level", "autoregression", "variance")}, 2),
    "intercept": (two(2), {"order": 2, "form": "intercept"}, 2),
    "variance alone": (two()._replace(level=np.zeros((2, 1))), {"changes": ("variance",)}, 2),
}


class TestFit:
    @pytest.mark.parametrize("case", sorted(CASES))
    def test_is_at_least_as_likely_as_that_of_statsmodels(self, case: str) -> None:
        truth, options, states = CASES[case]
        config = SwitchingConfig(**options)
        _, x = drawn(11, 600, truth, config.form)
        order, changes = config.order, config.changes
        shared = {"switching_variance": "variance" in changes, "switching_trend": "level" in changes}
        if config.form == "mean":
            reference = MarkovAutoregression(
                x[:, 0], k_regimes=states, order=order, switching_ar="autoregression" in changes, **shared
            )
        else:
            lags = np.stack([x[order - lag : 600 - lag, 0] for lag in range(1, order + 1)], axis=1)
            reference = MarkovRegression(x[order:, 0], k_regimes=states, exog=lags, switching_exog=False, **shared)
        wanted = fitted(reference, search_reps=10).llf
        found = fit(standardised(x), states, config, floor=1e-3, iterations=2000, tolerance=1e-9)
        own = found.parameters.scaled(x.mean(axis=0), x.std(axis=0), config.form)
        likelihood = filtered(x, own, config.form, config.memory(states))[2]
        assert likelihood == pytest.approx(found.log_likelihood - (600 - order) * np.log(x.std()), abs=1e-6)
        assert likelihood >= wanted - 1e-3

    @pytest.mark.data
    def test_on_changes_of_vix_too(self, data_root: Path) -> None:
        table = pl.read_csv(data_root / "macro" / "vix-daily.csv.gz")
        close = table["CLOSE"].to_numpy()[-2000:]
        x = 100 * np.diff(np.log(close))[:, None]
        wanted = fitted(
            MarkovAutoregression(x[:, 0], k_regimes=2, order=1, switching_ar=False, switching_variance=True)
        )
        found = fit(standardised(x), 2, SwitchingConfig(), floor=1e-3, iterations=2000, tolerance=1e-9)
        assert found.log_likelihood - (len(x) - 1) * np.log(x.std()) >= wanted.llf - 1e-3

    def test_finds_what_was_planted(self) -> None:
        truth = two(d=2)
        z, x = drawn(12, 4000, truth)
        sessions, observations = daily(x)
        refit = schedule(session_table(4001), WalkForwardConfig(train_sessions=4000))[0]
        found = filter_regimes(observations, [refit], RegimeConfig(model="switching", states=2)).models[0]
        assert sessions.height == 4000
        np.testing.assert_allclose(found.transition, truth.transition, atol=0.03)
        np.testing.assert_allclose(found.level, truth.level, atol=0.2)
        np.testing.assert_allclose(found.autoregression, truth.autoregression, atol=0.05)
        np.testing.assert_allclose(found.variance, truth.variance, atol=0.15)
        assert (found.filter(x).argmax(axis=1) == z).mean() > 0.9
        described = found.describe_states()
        assert described[1]["level"]["x1"] == pytest.approx(3.0, abs=0.2)
        assert described[0]["expected_observations"] == pytest.approx(20, rel=0.3)

    @pytest.mark.parametrize("form", ["mean", "intercept"])
    def test_units_do_not_matter(self, form: str) -> None:
        _, x = drawn(13, 300, two())
        refit = schedule(session_table(301), WalkForwardConfig(train_sessions=300))[0]
        config = RegimeConfig(model="switching", states=2, switching=SwitchingConfig(form=form))
        one, other = (filter_regimes(daily(values)[1], [refit], config).models[0] for values in (x, x * 1e-3 + 7.0))
        np.testing.assert_allclose(one.filter(x), other.filter(x * 1e-3 + 7.0), atol=1e-5)
        assert other.log_likelihood == pytest.approx(one.log_likelihood - 299 * np.log(1e-3), abs=1e-4)
        np.testing.assert_allclose(
            other.filter(x * 1e-3 + 7.0), filtered(x * 1e-3 + 7.0, other.parameters, form, other.memory)[0]
        )

    def test_gaps_leave_too_few_rows(self) -> None:
        _, x = drawn(14, 200, two())
        x[::2] = np.nan
        refit = schedule(session_table(201), WalkForwardConfig(train_sessions=200))[0]
        path = filter_regimes(daily(x)[1], [refit], RegimeConfig(model="switching", states=2))
        assert path.models[0].problem == f"0 observations with 1 lags before {refit.session}; 20 are needed"


@pytest.mark.parametrize("form", ["mean", "intercept"])
def test_without_lags_it_is_a_chain_of_levels(form: str) -> None:
    p = Parameters(
        np.array([[0.95, 0.05], [0.1, 0.9]]), np.array([[-1.0], [2.0]]), np.zeros((2, 0, 1)), np.ones((2, 1)) / 4
    )
    states, x = drawn(8, 400, p)
    sessions, observations = daily(x)
    refits = schedule(sessions, WalkForwardConfig(train_sessions=300, refit_sessions=100))
    config = RegimeConfig(model="switching", switching={"order": 0, "form": form})
    path = filter_regimes(observations, refits, config)
    likeliest = path.training(refits[0]).select("probability_0", "probability_1").to_numpy().argmax(axis=1)
    assert (likeliest == states[: len(likeliest)]).mean() > 0.98


def test_fewer_rows_than_lags_are_a_problem_that_is_told() -> None:
    sessions, observations = daily(np.arange(30.0)[:, None])
    refits = schedule(sessions, WalkForwardConfig(train_sessions=7, refit_sessions=30))
    config = RegimeConfig(model="switching", switching={"order": 12, "form": "intercept"})
    assert "8 observations" in filter_regimes(observations, refits, config).models[0].problem


def test_config() -> None:
    assert SwitchingConfig(order=4, form="intercept").memory(5) == 1
    assert SwitchingConfig(order=4, changes=("variance",)).memory(5) == 1
    for wrong, message in (
        ({"states": 5, "switching": {"order": 3}}, "5 switching means and 3 lags need 625 states; at most 32"),
        ({"switching": {"changes": []}}, "name one or more of level"),
        ({"switching": {"changes": ["level", "level"]}}, "name one or more of level"),
        ({"switching": {"order": -1}}, "greater than or equal to 0"),
        ({"switching": {"form": "median"}}, "'mean' or 'intercept'"),
    ):
        with pytest.raises(ValidationError, match=message):
            RegimeConfig.model_validate({"model": "switching"} | wrong)
