"""States keep their numbers over refits, whatever the order in which EM finds them."""

from itertools import permutations

import numpy as np
import pytest
from chains import daily
from scipy import integrate, stats

from fusion.regime import RegimeConfig, filter_regimes
from fusion.regime.em import Parameters
from fusion.regime.identity import order_by_first_input, order_by_match, square_hellinger
from fusion.walk_forward import WalkForwardConfig, schedule


def parameters(seed: int, states: int = 4, d: int = 3) -> Parameters:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(states, d, d))
    covariance = np.einsum("kij,klj->kil", root, root) + np.eye(d)
    transition = rng.dirichlet(np.ones(states), states)
    return Parameters(np.full(states, 1 / states), transition, rng.normal(size=(states, d)) * 2, covariance)


def test_hellinger_is_the_integral_of_its_definition():
    a, b = parameters(0, 2, 1), parameters(1, 2, 1)
    found = square_hellinger(a, b)
    for i in range(2):
        for j in range(2):
            p = stats.norm(a.mean[i, 0], np.sqrt(a.covariance[i, 0, 0]))
            q = stats.norm(b.mean[j, 0], np.sqrt(b.covariance[j, 0, 0]))
            affinity, _ = integrate.quad(lambda v, p=p, q=q: np.sqrt(p.pdf(v) * q.pdf(v)), -60, 60, limit=200)
            assert found[i, j] == pytest.approx(1 - affinity, abs=1e-8)
    np.testing.assert_allclose(np.diag(square_hellinger(a, a)), 0, atol=1e-12)


def test_does_not_depend_on_units():
    a, b = parameters(2), parameters(3)
    centre, scale = np.array([5.0, -100.0, 0.0]), np.array([1e-4, 1e3, 7.0])
    moved = square_hellinger(a.scaled(centre, scale), b.scaled(centre, scale))
    np.testing.assert_allclose(moved, square_hellinger(a, b), rtol=1e-9)


def test_takes_the_least_sum_of_all_pairings():
    for seed in range(5):
        a, b = parameters(seed), parameters(seed + 100)
        distance = square_hellinger(a, b)
        best = min(permutations(range(4)), key=lambda way: sum(distance[i, j] for i, j in enumerate(way)))
        assert tuple(order_by_match(b, a)) == best


def test_renumbering_gives_every_parameter_of_the_state():
    before = parameters(4)
    shuffled = before.ordered(np.array([2, 0, 3, 1]))
    again = shuffled.ordered(order_by_match(shuffled, before))
    for ours, theirs in zip(again, before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (np.diff(before.ordered(order_by_first_input(before)).mean[:, 0]) > 0).all()


def test_far_states_have_distance_one():
    near = parameters(5)
    far = near._replace(mean=near.mean + 1e6)
    np.testing.assert_allclose(square_hellinger(near, far), 1.0)


def drifting(rows: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """State 0 moves over state 1 in the first input (from -2 to 12, where state 1 stays at 2); the second input, 0 and
    5, goes on telling them apart."""
    rng = np.random.default_rng(0)
    z = (np.arange(rows) // 15) % 2
    first = np.where(z == 0, np.linspace(-2, 12, rows), 2.0)
    return z, np.stack([first, 5.0 * z], axis=1) + rng.normal(size=(rows, 2)) * 0.5


def test_a_state_keeps_its_number_when_the_order_of_the_first_input_turns():
    z, x = drifting()
    sessions, observations = daily(x)
    refits = schedule(sessions, WalkForwardConfig(train_sessions=120, refit_sessions=60))
    path = filter_regimes(observations, refits, RegimeConfig(states=2))
    first = [model.mean[:, 0] for model in path.models]
    assert first[0][0] < first[0][1]
    # the order does turn, so that numbers by the first input would have changed in mid-run
    assert first[-1][0] > first[-1][1]
    assert [model.matched for model in path.models] == [False] + [True] * (len(refits) - 1)
    live = path.probabilities["regime"].to_numpy()
    known = ~np.isnan(live.astype(float))
    assert (live[known] == z[known]).mean() > 0.9
