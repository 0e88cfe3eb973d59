"""The hidden Markov model against a naive filter, statsmodels, hmmlearn and planted parameters."""

import math

import numpy as np
import pytest
from chains import COVARIANCE, MEAN, TRANSITION, daily, model, naive_filter, simulated
from hmmlearn.hmm import GaussianHMM
from planted import session_table
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from fusion.regime import RegimeConfig, filter_regimes
from fusion.regime.hmm import _smooth
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
        smoothed, moves = _smooth(filtered, TRANSITION)
        assert np.abs(smoothed - filtered).max() > 0.1
        np.testing.assert_allclose(smoothed.sum(axis=1), 1.0)
        assert moves.sum() == pytest.approx(399)
        library = GaussianHMM(2, "full")
        library.startprob_, library.transmat_ = np.array([0.5, 0.5]), TRANSITION
        library.means_, library.covars_ = MEAN, COVARIANCE
        np.testing.assert_allclose(smoothed, library.predict_proba(x), atol=1e-9)


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
    def test_likelihood_is_that_of_hmmlearn(self, covariance):
        _, x = simulated(4, 800)
        _, observations = daily(x)
        refit = schedule(session_table(801), WalkForwardConfig(train_sessions=800))[0]
        config = RegimeConfig(states=2, covariance=covariance, iterations=1000, tolerance=1e-10)
        ours = filter_regimes(observations, [refit], config).models[0]
        library = GaussianHMM(
            2, covariance[:4], n_iter=1000, tol=1e-8, min_covar=1e-9, covars_prior=1e-12, random_state=0
        )
        library.fit(x)
        assert ours.log_likelihood == pytest.approx(library.score(x), abs=0.05)
        np.testing.assert_allclose(ours.mean, library.means_[np.argsort(library.means_[:, 0])], atol=0.01)
        assert ours.iterations < 1000

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

    def test_states_are_ordered_by_the_first_input(self):
        _, x = simulated(6, 600)
        for sign in (1, -1):
            _, observations = daily(sign * x)
            refits = schedule(session_table(601), WalkForwardConfig(train_sessions=200, refit_sessions=100))
            for found in filter_regimes(observations, refits, RegimeConfig(states=3)).models:
                assert (np.diff(found.mean[:, 0]) > 0).all()

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
