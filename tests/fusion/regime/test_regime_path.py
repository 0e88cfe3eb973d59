"""Regimes walk-forward: their causality, planted truth, edges, and how they are stored and described."""

import json
import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from chains import NOW, daily, naive_filter, simulated
from planted import planted, session_table
from pydantic import ValidationError

from fusion.regime import RegimeConfig, RegimeInput, RegimePath, at, describe, filter_regimes, read_model
from fusion.regime.em import smooth
from fusion.walk_forward import WalkForwardConfig, schedule
from gpu_kernels.errors import DataError, ModelError
from sources.schema import TIME


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
        whole, _ = smooth(found.filter(x), found.transition)
        part, _ = smooth(found.filter(x[:300]), found.transition)
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
        config = RegimeConfig(states=2, inputs=(RegimeInput(metric="stress", entity="US"),))
        again = RegimePath.of(path.observations, [read_model(entry) for entry in stored], config)
        assert [model.to_dict() for model in again.models] == [model.to_dict() for model in path.models]
        assert again.probabilities.equals(path.probabilities)
        changes = ({"mean": [[1.0]]}, {"start": "x"}, {"kind": "oracle"}, {"refit_time": 3}, {"inputs": None})
        for broken in ({}, [], *(stored[0] | change for change in changes)):
            with pytest.raises(ModelError, match="cannot be read"):
                read_model(broken)

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
