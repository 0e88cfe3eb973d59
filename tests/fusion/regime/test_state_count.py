"""The number of states: chosen on the past alone, by predictions that a naive filter repeats."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from chains import daily, naive_filter
from pydantic import ValidationError
from scipy import stats

from fusion.regime import RegimeConfig, describe, em, filter_regimes, read_model, state_count
from fusion.walk_forward import WalkForwardConfig, schedule
from sources.schema import TIME

RANGE = {"least": 2, "most": 4}


def chain(seed: int, states: int, rows: int) -> np.ndarray:
    """States of one input whose means lie 4 deviations apart, each lasting 20 rows."""
    rng = np.random.default_rng(seed)
    z, x = 0, np.empty((rows, 1))
    for t in range(rows):
        if rng.random() < 0.05:
            z = int((z + rng.integers(1, states)) % states)
        x[t, 0] = 4.0 * z + rng.normal()
    return x


def run(x: np.ndarray, train: int, refit: int, **changes: object):
    sessions, observations = daily(x)
    refits = schedule(sessions, WalkForwardConfig(train_sessions=train, refit_sessions=refit))
    return filter_regimes(observations, refits, RegimeConfig(**({"states": RANGE} | changes))), refits


@pytest.mark.parametrize("states", [2, 3, 4])
def test_finds_the_number_that_was_simulated(states):
    found = [state_count.choose(chain(seed, states, 600), RegimeConfig(states=RANGE)) for seed in range(4)]
    assert [one.states for one in found] == [states] * 4
    assert all(set(one.held_out) == {2, 3, 4} for one in found)


def test_held_out_is_the_mean_log_density_of_rows_the_fit_did_not_see():
    x = chain(0, 2, 200)
    x[150:155] = np.nan
    config = RegimeConfig(states={"least": 2, "most": 2})
    found = state_count.choose(x, config).held_out[2]
    seen = np.flatnonzero(np.isfinite(x[:, 0]))
    total, count = 0.0, 0
    for block in np.array_split(seen[len(seen) // 2 :], 4):
        p = em.fit(x[: block[0]], 2, config).parameters
        probability = naive_filter(x, p)
        for t in block:
            ahead = probability[t - 1] @ p.transition
            total += np.log(ahead @ stats.norm.pdf(x[t, 0], p.mean[:, 0], np.sqrt(p.covariance[:, 0, 0])))
            count += 1
    assert count == len(seen) - len(seen) // 2
    # blocks of one part may be one row longer than array_split's
    assert found == pytest.approx(total / count, rel=1e-3)


def test_the_first_refit_chooses_and_the_number_stays():
    x = np.concatenate([chain(3, 2, 300), chain(2, 4, 500)])
    path, refits = run(x, 250, 100)
    assert len(refits) == 6
    assert [model.states for model in path.models] == [2] * 6
    assert [model.choice_age for model in path.models] == list(range(6))
    assert path.states == 4
    live = path.probabilities.drop_nulls()
    assert live.columns[2:] == ["probability_0", "probability_1", "probability_2", "probability_3", "regime"]
    assert live["probability_2"].to_list() == live["probability_3"].to_list() == [0.0] * live.height
    assert live["regime"].max() == 1


def test_chosen_again_when_asked_and_then_numbered_anew():
    x = np.concatenate([chain(3, 2, 300), chain(2, 4, 500)])
    path, refits = run(x, 250, 100, rechoose_refits=3)
    assert [model.choice_age for model in path.models] == [0, 1, 2, 0, 1, 2]
    states = [model.states for model in path.models]
    assert states[0] == 2
    assert states[3] > 2
    assert [model.matched for model in path.models] == [False, True, True, False, True, True]
    assert (np.diff(path.models[3].mean[:, 0]) > 0).all()
    entry = describe(path, refits)[-1]
    assert set(entry["held_out"]) == {"2", "3", "4"}
    assert entry["held_out"][str(states[-1])] > entry["held_out"]["2"]
    assert read_model(path.models[-1].to_dict()).to_dict() == path.models[-1].to_dict()


def test_the_choice_is_the_same_where_data_end_earlier():
    x = np.concatenate([chain(3, 2, 300), chain(2, 4, 500)])
    sessions, observations = daily(x)
    config = RegimeConfig(states=RANGE, rechoose_refits=2)
    forward = WalkForwardConfig(train_sessions=250, refit_sessions=90)
    full = filter_regimes(observations, schedule(sessions, forward), config)
    for last in (255, 431, 560):
        cut = pl.lit(sessions["open"][last] + timedelta(minutes=1), dtype=TIME)
        seen = observations.filter(pl.col("time") <= cut)
        part = filter_regimes(seen, schedule(sessions.filter(pl.col("open") <= cut), forward), config)
        assert part.probabilities.equals(full.probabilities.filter(pl.col("time") <= cut))
        assert [m.to_dict() for m in part.models] == [m.to_dict() for m in full.models[: len(part.models)]]


def test_edges():
    config = RegimeConfig(states=RANGE)
    few = state_count.choose(chain(0, 2, 50), config)  # two states alone have enough rows for every block
    assert (few.states, set(few.held_out)) == (2, {2})
    still = np.concatenate([np.zeros((60, 1)), chain(0, 2, 20)])
    assert state_count.choose(still, config) == state_count.StateCount(2, {})
    path, _ = run(chain(0, 2, 40), 10, 20)
    assert "11 observations" in str(path.models[0].problem)
    assert path.models[1].problem is None
    assert path.models[1].choice_age == 0
    assert path.probabilities["probability_3"].null_count() == 30
    for wrong in ({"least": 1}, {"least": 4, "most": 3}, {"most": 9}, {"lest": 2}):
        with pytest.raises(ValidationError):
            RegimeConfig(states=wrong)
    assert RegimeConfig(states={"least": 2, "most": 5}).state_range == (2, 5)
