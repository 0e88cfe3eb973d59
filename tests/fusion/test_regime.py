"""The hidden Markov regimes against a naive filter, statsmodels, hmmlearn and planted truth; and their causality."""

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hmmlearn.hmm import GaussianHMM
from planted import planted, session_table
from pydantic import ValidationError
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from fusion.regime import RegimeConfig, RegimeInput, RegimeModel, RegimePath, _smooth, at, describe, filter_regimes
from fusion.walk_forward import WalkForwardConfig, schedule
from gpu_kernels.errors import DataError, ModelError
from sources.schema import TIME

NOW = datetime(2020, 1, 6, 14, 30, tzinfo=UTC)
TRANSITION = np.array([[0.97, 0.03], [0.08, 0.92]])
MEAN = np.array([[-1.0, 0.0], [1.5, 2.0]])
COVARIANCE = np.array([[[1.0, 0.3], [0.3, 0.5]], [[2.0, -0.5], [-0.5, 1.0]]])


def simulated(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = np.zeros(rows, dtype=np.int64)
    for t in range(1, rows):
        z[t] = rng.random() < TRANSITION[z[t - 1], 1]
    x = np.stack([rng.multivariate_normal(MEAN[k], COVARIANCE[k]) for k in z])
    return z, x


def model(mean=MEAN, covariance=COVARIANCE, transition=TRANSITION, start=(0.5, 0.5)) -> RegimeModel:
    names = tuple(f"x{i}" for i in range(mean.shape[1]))
    return RegimeModel(NOW.date(), NOW, names, np.array(start), transition, mean, covariance)


def daily(x: np.ndarray) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One observation a session, just before its open."""
    sessions = session_table(len(x))
    frame = sessions.select("session", (pl.col("open") - pl.duration(nanoseconds=1)).alias("time"))
    return sessions, frame.with_columns(pl.Series(f"x{i}", x[:, i]) for i in range(x.shape[1]))


def naive_filter(x, parameters):
    """Bayes' rule with densities in the open."""
    out, predicted = [], parameters.start
    for row in x:
        weight = predicted.copy()
        if np.isfinite(row).all():
            for k in range(len(weight)):
                d = row - parameters.mean[k]
                inverse = np.linalg.inv(parameters.covariance[k])
                norm = math.sqrt((2 * math.pi) ** len(row) * np.linalg.det(parameters.covariance[k]))
                weight[k] *= math.exp(-0.5 * d @ inverse @ d) / norm
        weight = weight / weight.sum()
        out.append(weight)
        predicted = weight @ parameters.transition
    return np.array(out)


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


class TestCausality:
    def test_truncation_changes_nothing_before_the_cut(self):
        market = planted(0, sessions=50)
        config, forward = RegimeConfig(states=2), WalkForwardConfig(train_sessions=20, refit_sessions=7)
        full = filter_regimes(market.observations, schedule(market.sessions, forward), config)
        for session, minutes in ((15, 0), (20, 0), (27, 33), (28, 0), (41, 90), (49, 45)):
            cut = market.sessions["open"][session] + timedelta(minutes=minutes)
            part = market.until(cut)
            refits = schedule(part.sessions, forward)
            path = filter_regimes(part.observations, refits, config)
            kept = full.probabilities.filter(pl.col("time") <= pl.lit(cut, dtype=TIME))
            assert path.probabilities.height > 0
            assert path.probabilities.equals(kept)
            for ours, theirs in zip(path.models, full.models, strict=False):
                assert ours.to_dict() == theirs.to_dict()
            assert all(path.training(refit).equals(full.training(refit)) for refit in refits)

    def test_a_smoothed_path_is_caught_by_truncation(self):
        market = planted(0, sessions=50)
        refit = schedule(market.sessions, WalkForwardConfig(train_sessions=20, refit_sessions=40))[0]
        found = filter_regimes(market.observations, [refit], RegimeConfig(states=2)).models[0]
        x = market.observations.select("stress").to_numpy()
        whole, _ = _smooth(found.filter(x), found.transition)
        part, _ = _smooth(found.filter(x[:300]), found.transition)
        assert not np.array_equal(part, whole[:300])
        assert np.array_equal(found.filter(x[:300]), found.filter(x)[:300])

    def test_training_path_ends_before_the_refit(self):
        market = planted(1, sessions=40)
        refits = schedule(market.sessions, WalkForwardConfig(train_sessions=20, refit_sessions=10))
        path = filter_regimes(market.observations, refits, RegimeConfig(states=2))
        past = path.training(refits[1])
        assert past["time"].max() < refits[1].refit_time
        assert past["regime"].null_count() == 0
        x = market.observations.select("stress").to_numpy()
        expected = naive_filter(x[: past.height], path.models[1])
        np.testing.assert_allclose(past.select("probability_0", "probability_1").to_numpy(), expected, atol=1e-10)

    def test_live_path_starts_each_block_from_the_whole_past(self):
        _, x = simulated(9, 300)
        x = x[:, :1]
        sessions, observations = daily(x)
        refits = schedule(sessions, WalkForwardConfig(train_sessions=100, refit_sessions=50))
        path = filter_regimes(observations, refits, RegimeConfig(states=2))
        live = path.probabilities.select("probability_0", "probability_1").to_numpy()
        session = observations["session"]
        for model, refit in zip(path.models, refits, strict=True):
            block = ((session >= refit.predict[0]) & (session <= refit.predict[1])).to_numpy()
            np.testing.assert_allclose(live[block], naive_filter(x, model)[block], atol=1e-10)
            alone = naive_filter(x[block], model)
            assert np.abs(live[block] - alone).max() > 1e-3
        assert np.isnan(live[(session < refits[0].session).to_numpy()]).all()

    def test_finds_the_planted_regimes(self):
        market = planted(2, sessions=60)
        refits = schedule(market.sessions, WalkForwardConfig(train_sessions=20, refit_sessions=10))
        path = filter_regimes(market.observations, refits, RegimeConfig(states=2))
        live = path.probabilities.drop_nulls()
        truth = dict(zip(market.sessions["session"], market.regime, strict=True))
        right = np.array([truth[session] for session in live["session"]]) == live["regime"].to_numpy()
        assert right.mean() > 0.9


class TestEdges:
    def test_one_state_or_no_inputs_is_one_regime(self):
        market = planted(0, sessions=5)
        for observations, config in (
            (market.observations, RegimeConfig(states=1)),
            (market.observations.select("session", "time"), RegimeConfig(states=2)),
        ):
            path = filter_regimes(observations, [], config)
            assert path.states == 1
            assert path.probabilities["probability_0"].to_list() == [1.0] * observations.height
            assert path.probabilities["regime"].unique().to_list() == [0]
            assert describe(path, []) == []

    def test_too_few_or_constant_observations_have_no_model_and_say_so(self):
        sessions, observations = daily(np.random.default_rng(0).standard_normal((60, 2)))
        refits = schedule(sessions, WalkForwardConfig(train_sessions=10, refit_sessions=20))
        path = filter_regimes(observations, refits, RegimeConfig(states=2))
        assert "11 observations before" in str(path.models[0].problem)
        assert path.models[1].problem is None
        assert path.probabilities["regime"].is_null().to_list() == [True] * 30 + [False] * 30
        assert path.training(refits[0])["probability_1"].null_count() == 11
        constant = observations.with_columns(pl.lit(3.0).alias("x1"))
        path = filter_regimes(constant, refits, RegimeConfig(states=2))
        assert "x1 is constant" in str(path.models[1].problem)
        assert path.probabilities["regime"].null_count() == 60
        assert [entry["problem"] for entry in describe(path, refits)] == [m.problem for m in path.models]

    def test_all_missing_is_no_observation(self):
        sessions, observations = daily(np.full((60, 1), np.nan))
        refits = schedule(sessions, WalkForwardConfig(train_sessions=40, refit_sessions=10))
        path = filter_regimes(observations, refits, RegimeConfig(states=2))
        assert all("0 observations" in str(model.problem) for model in path.models)
        assert path.probabilities["regime"].null_count() == 60

    def test_wrong_observations_are_named(self):
        _, observations = daily(np.zeros((5, 1)))
        with pytest.raises(DataError, match="repeat or go back"):
            filter_regimes(observations.reverse(), [], RegimeConfig())
        with pytest.raises(DataError, match="repeat or go back"):
            filter_regimes(pl.concat([observations, observations.tail(1)]), [], RegimeConfig())
        with pytest.raises(DataError, match="lack time"):
            filter_regimes(observations.drop("time"), [], RegimeConfig())
        with pytest.raises(DataError, match="input x0 of the regime is String"):
            filter_regimes(observations.with_columns(pl.lit("high").alias("x0")), [], RegimeConfig())

    def test_empty(self):
        _, observations = daily(np.zeros((1, 1)))
        path = filter_regimes(observations.clear(), [], RegimeConfig())
        assert path.probabilities.height == 0

    def test_training_of_an_unknown_refit(self):
        market = planted(0, sessions=40)
        refits = schedule(market.sessions, WalkForwardConfig(train_sessions=20, refit_sessions=10))
        path = filter_regimes(market.observations, refits[:1], RegimeConfig(states=2))
        with pytest.raises(ModelError, match="no regime model"):
            path.training(refits[1])

    def test_config(self):
        stress = RegimeInput(metric="stress", entity="US")
        assert RegimeConfig(states=3).regimes == 1
        assert RegimeConfig(states=3, inputs=(stress,)).regimes == 3
        for wrong in ({"states": 0}, {"states": 9}, {"covariance": "x"}, {"variance_floor": 0}, {"state": 2}):
            with pytest.raises(ValidationError):
                RegimeConfig.model_validate(wrong)


class TestNeighbours:
    def test_transforms(self):
        raw, log = RegimeInput(metric="vix", entity="US"), RegimeInput(metric="vix", entity="US", transform="log")
        frame = pl.DataFrame({"v": [1.0, 10.0, 0.0, -1.0, None]})
        assert (raw.column, log.column) == ("vix", "log_vix")
        assert frame.select(raw.apply(pl.col("v")))["v"].to_list() == [1.0, 10.0, 0.0, -1.0, None]
        assert frame.select(log.apply(pl.col("v")))["v"].to_list() == [0.0, math.log(10), None, None, None]

    def test_at_takes_the_last_row_at_or_before(self):
        frame = pl.DataFrame(
            {
                "session": [NOW.date()] * 2,
                "time": pl.Series([NOW, NOW + timedelta(hours=1)], dtype=TIME),
                "probability_0": [0.2, None],
            }
        )
        times = pl.Series([NOW + timedelta(minutes=m) for m in (59, -1, 0, 60, 61)])
        np.testing.assert_array_equal(at(frame, times)[:, 0], [0.2, np.nan, 0.2, np.nan, np.nan])

    def test_models_survive_json(self):
        market = planted(0, sessions=40)
        refits = schedule(market.sessions, WalkForwardConfig(train_sessions=10, refit_sessions=10))
        path = filter_regimes(market.observations, refits, RegimeConfig(states=2))
        stored = json.loads(json.dumps([model.to_dict() for model in path.models]))
        again = RegimePath(path.observations, tuple(RegimeModel.from_dict(entry) for entry in stored), 2)
        assert again.probabilities.equals(path.probabilities)
        for broken in ({}, stored[0] | {"mean": [[1.0]]}, stored[0] | {"start": "x"}):
            with pytest.raises(ModelError, match="cannot be read"):
                RegimeModel.from_dict(broken)

    def test_describe_is_in_input_units(self):
        _, x = simulated(8, 3000)
        _, observations = daily(x * 100 + 50)
        refit = schedule(session_table(3001), WalkForwardConfig(train_sessions=3000))[0]
        path = filter_regimes(observations, [refit], RegimeConfig(states=2))
        low, high = describe(path, [refit])
        assert low["mean"]["x0"] == pytest.approx(-50, abs=20)
        assert high["mean"]["x1"] == pytest.approx(250, abs=20)
        assert high["standard_deviation"]["x0"] == pytest.approx(141, abs=15)
        assert low["expected_sessions"] == pytest.approx(33, rel=0.4)
        assert low["share"] + high["share"] == pytest.approx(1)
        json.dumps([low, high])
