"""The hidden Markov model against a naive filter, statsmodels, hmmlearn and planted parameters."""

import math

import numpy as np
import pytest
from chains import COVARIANCE, MEAN, TRANSITION, daily, model, naive_filter, simulated
from hmmlearn.hmm import GaussianHMM
from planted import session_table
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from fusion.regime import RegimeConfig, em, filter_regimes
from fusion.regime.em import smooth
from fusion.walk_forward import WalkForwardConfig, schedule


class TestFilter:
    def test_equals_bayes_rule_with_missing_rows(self):
        _, x = simulated(0, 300)
        x[[0, 5, 6, 7, 299]] = np.nan
        x[20, 1] = np.nan  # one missing input is a missing row
        x[21, 0] = np.inf
        np.testing.assert_allclose(model().filter(x), naive_filter(x, model()), atol=1e-12)

    def test_equals_statsmodels_filtered_probabilities(self):
        _, x = simulated(1, 400)
        y = x[:, 0]
        reference = MarkovRegression(y, k_regimes=2, switching_variance=True)
        parameters = [0.97, 0.08, -1.0, 1.5, 1.0, 2.0]
        expected = reference.filter(parameters).filtered_marginal_probabilities
        steady = np.array([0.08, 0.03]) / 0.11
        ours = model(MEAN[:, :1], COVARIANCE[:, :1, :1], TRANSITION, steady).filter(y[:, None])
        np.testing.assert_allclose(ours, expected, atol=1e-8)

    def test_far_observations_do_not_underflow(self):
        filtered = model().filter(np.array([[0.0, 0.0], [1e3, 1e3], [-1e3, -1e3]]))
        assert np.isfinite(filtered).all()
        np.testing.assert_allclose(filtered.sum(axis=1), 1.0)

    def test_smoothed_and_filtered_differ(self):
        # or a test that compares them could not fail
        _, x = simulated(2, 400)
        filtered = model().filter(x)
        smoothed, moves = smooth(filtered, TRANSITION)
        assert np.abs(smoothed - filtered).max() > 0.1
        np.testing.assert_allclose(smoothed.sum(axis=1), 1.0)
        assert moves.sum() == pytest.approx(399)
        library = GaussianHMM(2, "full")
        library.startprob_, library.transmat_ = np.array([0.5, 0.5]), TRANSITION
        library.means_, library.covars_ = MEAN, COVARIANCE
        np.testing.assert_allclose(smoothed, library.predict_proba(x), atol=1e-9)


def many_states(states: int, rows: int) -> np.ndarray:
    """Two inputs, as many states, each lasting 20 rows, whose means lie 2 deviations apart."""
    rng, z = np.random.default_rng(states), 0
    x = np.empty((rows, 2))
    for t in range(rows):
        if rng.random() < 0.05:
            z = int((z + rng.integers(1, states)) % states)
        x[t] = (2.0 * z, -2.0 * (z % 2)) + rng.normal(size=2) * (1 + z / 2)
    return x


class TestFit:
    def test_recovers_planted_parameters(self):
        _, x = simulated(3, 4000)
        _, observations = daily(x)
        refit = schedule(session_table(4001), WalkForwardConfig(train_sessions=4000))[0]
        found = filter_regimes(observations, [refit], RegimeConfig(states=2)).models[0]
        assert found.observations == 4000
        np.testing.assert_allclose(found.mean, MEAN, atol=0.15)
        np.testing.assert_allclose(found.covariance, COVARIANCE, atol=0.25)
        np.testing.assert_allclose(found.transition, TRANSITION, atol=0.03)

    @pytest.mark.parametrize("covariance", ["full", "diagonal"])
    @pytest.mark.parametrize("states", [2, 3])
    def test_likelihood_is_hmmlearns_best(self, states, covariance):
        # as many states as were simulated: with more, either may end in a state of a few rows, whose variance is 0
        x = many_states(states, 500)
        ours = em.fit(x, states, RegimeConfig(states=states, covariance=covariance, iterations=1000, tolerance=1e-9))
        theirs = []
        for seed in range(5):
            library = GaussianHMM(
                states, covariance[:4], n_iter=500, tol=1e-5, min_covar=1e-9, covars_prior=1e-12, random_state=seed
            )
            theirs.append((library.fit(x).score(x), seed, library))
        best, _, library = max(theirs, key=lambda one: one[:2])
        assert ours.log_likelihood == pytest.approx(best, abs=0.01)
        assert ours.iterations < 1000
        order = [np.argsort(of[:, 0]) for of in (ours.parameters.mean, library.means_)]
        np.testing.assert_allclose(ours.parameters.mean[order[0]], library.means_[order[1]], atol=0.01)

    def test_one_start_alone_would_be_stuck(self):
        rng = np.random.default_rng(0)
        z = (np.arange(900) // 20) % 4
        x = rng.normal(size=(900, 2)) + 3 * np.stack([z % 2, z // 2], axis=1)  # the corners of a square
        x = (x - x.mean(axis=0)) / x.std(axis=0)
        config = RegimeConfig(states=4)
        each = [em._climb(x, em._start(x, groups, 4, config), config, 200) for groups in em._groupings(x, 4)]
        found = em.fit(x, 4, config).log_likelihood
        assert min(one.log_likelihood for one in each) < found - 100
        assert found >= max(one.log_likelihood for one in each) - 0.1

    def test_likelihood_is_the_forward_filters_own(self):
        _, x = simulated(5, 300)
        x[50:60] = np.nan
        _, observations = daily(x * [1e-4, 1e3] + [7.0, -1e5])
        refit = schedule(session_table(301), WalkForwardConfig(train_sessions=300))[0]
        config = RegimeConfig(states=2, iterations=3)
        found = filter_regimes(observations, [refit], config).models[0]
        assert found.iterations == 3
        raw = observations.select("x0", "x1").to_numpy()
        predicted, likelihood = found.start, 0.0
        for row in raw:
            weight = predicted.copy()
            if np.isfinite(row).all():
                for k in range(2):
                    d = row - found.mean[k]
                    square = d @ np.linalg.solve(found.covariance[k], d)
                    weight[k] *= math.exp(-0.5 * square) / (2 * math.pi * math.sqrt(np.linalg.det(found.covariance[k])))
                likelihood += math.log(weight.sum())
            predicted = weight / weight.sum() @ found.transition
        assert found.log_likelihood == pytest.approx(likelihood, abs=1e-6)

    def test_states_are_first_ordered_by_the_first_input(self):
        _, x = simulated(6, 600)
        for sign in (1, -1):
            _, observations = daily(sign * x)
            refits = schedule(session_table(601), WalkForwardConfig(train_sessions=200, refit_sessions=100))
            models = filter_regimes(observations, refits, RegimeConfig(states=3)).models
            assert (np.diff(models[0].mean[:, 0]) > 0).all()
            assert [model.matched for model in models] == [False] + [True] * (len(models) - 1)

    def test_repeated_values_do_not_collapse_a_state(self):
        x = np.repeat(np.array([1.0, 1.0, 1.0, 5.0, 6.0, 7.0]), 30)[:, None]
        _, observations = daily(x)
        refit = schedule(session_table(181), WalkForwardConfig(train_sessions=180))[0]
        path = filter_regimes(observations, [refit], RegimeConfig(states=2))
        assert path.models[0].problem is None
        assert (path.models[0].covariance[:, 0, 0] >= 0.999e-3 * x.var()).all()
        assert np.isfinite(path.models[0].log_likelihood)

    def test_the_same_input_gives_the_same_bits(self):
        _, x = simulated(7, 300)
        sessions, observations = daily(x)
        refits = schedule(sessions, WalkForwardConfig(train_sessions=100, refit_sessions=50))
        first = filter_regimes(observations, refits, RegimeConfig(states=2))
        again = filter_regimes(observations, refits, RegimeConfig(states=2))
        assert first.probabilities.equals(again.probabilities)
