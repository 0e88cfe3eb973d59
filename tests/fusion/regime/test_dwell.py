"""The dwell rule against a plain reading of it, and its causality."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from chains import daily, simulated
from pydantic import ValidationError

from fusion.regime import RegimeConfig, RegimeInput, RegimePath, filter_regimes
from fusion.regime.dwell import held
from fusion.walk_forward import WalkForwardConfig, schedule


def naive(probability, dwell, switch, anew):
    labels = []
    since = 0  # after the row where the label was last taken from nothing
    for t, row in enumerate(probability):
        if np.isnan(row).any():
            labels.append(-1)
            continue
        if anew[t] or t == 0 or labels[-1] == -1:
            labels.append(int(np.argmax(row)))
            since = t + 1
            continue
        now = labels[-1]
        winner = now if row[now] == row.max() else int(np.argmax(row))
        window = range(max(t - dwell + 1, since), t + 1)
        # each of the last `dwell` rows led by the winner, over the label that was held then
        leads = len(window) == dwell and all(
            labels[s - 1] == now and (probability[s].argmax() == winner and probability[s][now] < probability[s].max())
            for s in window
            if s > 0
        )
        labels.append(winner if winner != now and (leads or row[winner] > switch) else now)
    return np.array(labels)


@pytest.mark.parametrize("dwell", [1, 2, 3, 7])
@pytest.mark.parametrize("switch", [0.8, 1.0])
def test_equals_the_plain_rule(dwell, switch):
    rng = np.random.default_rng(dwell)
    p = rng.dirichlet(np.full(3, 0.8), 400)
    p[[40, 41, 200]] = np.nan
    p[60] = [0.5, 0.5, 0.0]
    anew = rng.random(400) < 0.02
    found = held(p, dwell, switch, anew)
    np.testing.assert_array_equal(found, naive(p, dwell, switch, anew))
    if dwell == 1:
        there = found >= 0
        there[60] = False
        np.testing.assert_array_equal(found[there], np.argmax(p[there], axis=1))


def test_an_example():
    p = np.array([0.1, 0.6, 0.6, 0.4, 0.6, 0.6, 0.6, 0.1, 0.04, 0.4])
    both = np.stack([1 - p, p], axis=1)
    assert held(both, 3, 0.95).tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]
    assert held(both, 1, 0.95).tolist() == [0, 1, 1, 0, 1, 1, 1, 0, 0, 0]


def test_causal_and_it_stops_flicker():
    p = np.random.default_rng(0).dirichlet(np.full(2, 2.0), 500)
    full = held(p, 3, 0.95)
    for cut in (1, 2, 77, 499):
        np.testing.assert_array_equal(held(p[:cut], 3, 0.95), full[:cut])
    assert (np.diff(full) != 0).sum() < (np.diff(np.argmax(p, axis=1)) != 0).sum() / 3


def test_empty_and_missing():
    assert held(np.zeros((0, 2)), 3, 0.9).tolist() == []
    assert held(np.full((3, 2), np.nan), 3, 0.9).tolist() == [-1] * 3


def test_the_path_keeps_the_raw_probabilities_beside_it():
    sessions, observations = daily(simulated(11, 300)[1][:, :1])
    refits = schedule(sessions, WalkForwardConfig(train_sessions=100, refit_sessions=50))
    at_once = filter_regimes(observations, refits, RegimeConfig(states=2, dwell=1))
    config = RegimeConfig(states=2, dwell=5, switch_probability=1, mixture="regime")
    dwells = filter_regimes(observations, refits, config)
    raw = ["session", "time", "probability_0", "probability_1"]
    assert dwells.probabilities.select(raw).equals(at_once.probabilities.select(raw))
    changes = [path.probabilities["regime"].drop_nulls().diff().abs().sum() for path in (dwells, at_once)]
    assert changes[0] < changes[1]
    assert at_once.weights.equals(at_once.probabilities)
    weights = dwells.weights
    live = weights.drop_nulls()
    assert (live["probability_1"] == live["regime"].cast(float)).all()
    assert weights["probability_0"].null_count() == at_once.probabilities["probability_0"].null_count() > 0
    again = RegimePath.of(observations, dwells.models, RegimeConfig(states=2))
    assert again.dwell == 3


def test_config():
    for wrong in ({"dwell": 0}, {"switch_probability": 0.5}, {"switch_probability": 1.1}, {"mixture": "x"}):
        with pytest.raises(ValidationError):
            RegimeConfig.model_validate(wrong)


@pytest.mark.parametrize("matched", [True, False])
def test_where_states_are_numbered_anew_the_label_is_taken_at_once(matched):
    _, x = simulated(4, 120)
    sessions, observations = daily(x)
    refits = schedule(sessions, WalkForwardConfig(train_sessions=60, refit_sessions=30))
    inputs = (RegimeInput(metric="x0", entity="US"),)
    config = RegimeConfig(inputs=inputs, states=2, dwell=30, switch_probability=1.0)
    first, second = filter_regimes(observations, refits, config).models
    turned = replace(
        second,
        start=second.start[::-1].copy(),
        transition=second.transition[::-1, ::-1].copy(),
        mean=second.mean[::-1].copy(),
        covariance=second.covariance[::-1].copy(),
        matched=matched,
    )
    found = RegimePath.of(observations, (first, turned), config).probabilities
    likeliest = (found["probability_1"] > 0.5).cast(pl.Int64)
    # by its old number the state would be the other one, and the label waits for thirty rows
    assert (found["regime"][90] == likeliest[90]) is not matched
