"""What every kind of regime model keeps: causality to the bit, its stored form, problems told, planted truth, runs."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from chains import daily
from kinds import CONFIGS, stretches
from planted import session_table
from small_market import Market

from fusion.invariance import check, cut_times
from fusion.plan import Plan
from fusion.regime import RegimeConfig, RegimePath, describe, filter_regimes, read_model
from fusion.study import Study, study
from fusion.walk_forward import WalkForwardConfig, schedule
from gpu_kernels.errors import ModelError

FORWARD = WalkForwardConfig(train_sessions=150, refit_sessions=60)


@pytest.fixture(params=sorted(CONFIGS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def path_of(kind: str, x: np.ndarray, forward: WalkForwardConfig = FORWARD) -> tuple[RegimePath, list]:
    sessions, observations = daily(x)
    refits = schedule(sessions, forward)
    return filter_regimes(observations, refits, CONFIGS[kind]), refits


def test_what_comes_later_changes_no_bit(kind: str) -> None:
    _, x = stretches(0, 300)
    x[[3, 40, 41, 160, 250]] = np.nan
    full, _ = path_of(kind, x)
    assert full.probabilities["probability_0"].null_count() == 150
    for cut in (150, 151, 209, 210, 277):
        part, refits = path_of(kind, x[:cut].copy())
        assert part.probabilities.equals(full.probabilities.head(cut))
        for ours, theirs in zip(part.models, full.models, strict=False):
            assert ours.to_dict() == theirs.to_dict()
        assert all(part.training(refit).equals(full.training(refit)) for refit in refits)


def test_each_row_is_filtered_alike_whatever_follows(kind: str) -> None:
    _, x = stretches(1, 400)
    x[::37] = np.nan
    model = path_of(kind, x)[0].models[-1]
    whole = model.filter(x)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, atol=1e-12)
    for rows in (1, 2, 37, 38, 200, 399):
        np.testing.assert_array_equal(model.filter(x[:rows].copy()), whole[:rows])
    assert model.filter(x[:0]).shape == (0, 2)


def test_a_missing_row_is_no_observation(kind: str) -> None:
    _, x = stretches(2, 300)
    model = path_of(kind, x)[0].models[-1]
    before = model.filter(x[:200])[-1]
    holes = np.vstack([x[:200], [[np.nan], [np.inf]]])
    after = model.filter(holes)[-2:]
    if kind == "switching":
        before = np.stack([before @ np.linalg.matrix_power(model.transition, step) for step in (1, 2)])
    np.testing.assert_allclose(after, np.broadcast_to(before, (2, 2)), atol=1e-12)


def test_models_survive_json(kind: str) -> None:
    _, x = stretches(3, 300)
    path, _ = path_of(kind, x)
    stored = json.loads(json.dumps([model.to_dict() for model in path.models], allow_nan=False))
    again = RegimePath(path.observations, tuple(read_model(entry) for entry in stored), 2)
    assert again.probabilities.select("probability_0", "probability_1").equals(
        path.probabilities.select("probability_0", "probability_1")
    )
    assert [model.to_dict() for model in again.models] == [model.to_dict() for model in path.models]
    for name in stored[0]:
        if name not in ("refit_session", "matched", "problem", "kind"):
            with pytest.raises(ModelError, match="cannot be read"):
                read_model({key: value for key, value in stored[0].items() if key != name})
    with pytest.raises(ModelError, match="cannot be read"):
        read_model(stored[0] | {"past": {"mean": [], "deviation": [], "lasts": []}})


def test_too_few_or_constant_values_are_a_problem_that_is_told(kind: str) -> None:
    _, x = stretches(4, 300)
    empty = np.full((300, 1), np.nan)
    constant = np.where(np.arange(300) < 200, 1.0, 2.0)[:, None]
    for values in (empty, *([] if kind == "thresholds" else [constant])):
        path, refits = path_of(kind, values)
        assert path.models[0].problem is not None
        assert path.models[0].states == 0
        assert path.probabilities["regime"].null_count() >= 210
        entry = describe(path, refits)[0]
        assert entry["problem"] == path.models[0].problem
        assert read_model(json.loads(json.dumps(path.models[0].to_dict()))).to_dict() == path.models[0].to_dict()
    assert all(model.problem is None for model in path_of(kind, x)[0].models)


def test_values_whose_squares_are_no_numbers_are_a_problem_that_is_told(kind: str) -> None:
    _, x = stretches(4, 300)
    x[100] = 1e200
    for values in (x, x * 1e-320):
        path, refits = path_of(kind, values)
        if kind == "thresholds":  # which compare, and square nothing to decide
            assert path.models[0].problem is None
        else:
            assert "too far or too near to be fitted" in describe(path, refits)[0]["problem"]
            assert path.probabilities["regime"].null_count() == 300


def test_states_are_described(kind: str) -> None:
    _, x = stretches(5, 300)
    path, refits = path_of(kind, x)
    described = describe(path, refits)
    assert len(described) == 2 * len(refits)
    json.dumps(described, allow_nan=False)
    for entry in described:
        assert set(entry["mean"]) == {"x0"}
        assert 0.0 < entry["share"] < 1.0
        assert entry["expected_observations"] > 1.0
    if kind == "thresholds":
        assert [entry["name"] for entry in described[:2]] == ["stress", "calm"]
        assert "until x0 < " in described[0]["rule"]
        assert described[0]["mean"]["x0"] > described[1]["mean"]["x0"] + 2
    if kind == "switching":
        assert described[1]["mean"]["x0"] > described[0]["mean"]["x0"] + 2


def test_planted_states_are_found_and_keep_their_numbers(kind: str) -> None:
    state, x = stretches(6, 600)
    path, _ = path_of(kind, x)
    live = path.probabilities.slice(150)["probability_1"].to_numpy()
    truth = state[150:]
    if kind == "thresholds":
        live = 1.0 - live  # stress is the first
    if kind == "change_point":
        truth = np.arange(150, 600) % 60 < 10
        assert live[truth].mean() > 3 * live[~truth].mean()
    else:
        assert ((live > 0.5) == (truth == 1)).mean() > 0.85


@pytest.mark.parametrize("name", ["switching", "thresholds", "change_point"])
def test_a_run_of_the_market_is_invariant(market: Market, name: str) -> None:
    regime = {
        "model": name,
        "inputs": [{"metric": "stress", "entity": "US"}],
        "history_start": date(2023, 9, 5),
        "rules": [{"name": "stress", "when": {"stress": "> q0.7"}, "until": {"stress": "< q0.6"}}, {"name": "calm"}],
        "change_point": {"within": 5},
    }
    if name != "thresholds":
        del regime["rules"]
    config = market.config.model_copy(update={"regime": RegimeConfig.model_validate(regime)})
    plan = replace(market.plan, config=config)
    studies: list[Study] = []

    def run(plan: Plan, tables: Mapping[str, pl.DataFrame]) -> Study:
        studies.append(study(plan, tables))
        return studies[-1]

    report = check(plan, market.tables, cut_times(plan, market.tables, 1)[:1], run=run)
    found = studies[0]
    assert [model.problem for model in found.regimes.models] == [None] * len(found.refits)
    assert found.signals["score"].is_not_null().any()
    assert found.signals["regime"].null_count() == 0
    assert {"probability_0", "probability_1"} <= set(found.regimes.probabilities.columns)
    assert report.ok, report.differences


def test_a_short_history_has_no_refit() -> None:
    sessions = session_table(20)
    assert schedule(sessions, FORWARD) == []
    observations = sessions.select("session", (pl.col("open") - timedelta(seconds=1)).alias("time"), x0=pl.lit(1.0))
    for config in CONFIGS.values():
        path = filter_regimes(observations, [], config)
        assert path.probabilities["probability_1"].null_count() == 20
