"""Names and figures of the states."""

import pytest

from fusion.regime.states import state_names


def states(*rows: dict[str, tuple[float, float]]) -> list[dict]:
    return [
        {
            "mean": {name: mean for name, (mean, _) in row.items()},
            "standard_deviation": {name: deviation for name, (_, deviation) in row.items()},
        }
        for row in rows
    ]


def test_names_are_relative_to_the_other_states():
    calm, stress = {"vix": (15.0, 2.0), "spread": (2.0, 0.5)}, {"vix": (30.0, 6.0), "spread": (0.1, 0.5)}
    assert state_names(states(calm, stress)) == ["low vix, high spread", "high vix, low spread"]
    assert state_names(states(stress, calm)) == ["high vix, low spread", "low vix, high spread"]
    crash = {"vix": (60.0, 9.0), "spread": (2.0, 0.5)}
    # of equal means the earlier state ranks lower
    assert state_names(states(calm, stress, crash)) == [
        "low vix, middle spread", "middle vix, low spread", "high vix, high spread",
    ]  # fmt: skip


def test_inputs_that_do_not_tell_states_apart_are_not_named():
    one, two = {"vix": (15.0, 2.0), "noise": (0.0, 1.0)}, {"vix": (30.0, 2.0), "noise": (0.4, 1.0)}
    assert state_names(states(one, two)) == ["low vix", "high vix"]
    quiet, wild = {"ret": (0.0, 1.0)}, {"ret": (0.05, 2.0)}
    assert state_names(states(wild, quiet)) == ["high deviation of ret", "low deviation of ret"]
    assert state_names(states({"x": (0.0, 1.0)}, {"x": (0.1, 1.1)})) == ["low x", "high x"]


def test_three_inputs_at_most_in_their_order():
    rows = [{f"x{i}": (k * i, 1.0) for i in range(1, 6)} for k in range(2)]
    assert state_names(states(*rows)) == ["low x3, low x4, low x5", "high x3, high x4, high x5"]


@pytest.mark.parametrize("count", range(2, 9))
def test_names_differ(count):
    found = state_names(states(*({"x": (float(k), 1.0)} for k in range(count))))
    assert len(set(found)) == count
    assert found == [name for _, name in sorted(enumerate(found))]
    if count == 6:
        assert found[1] == "level 2 of 6 x"


def test_no_states_and_one():
    assert state_names([]) == []
    assert state_names(states({"x": (1.0, 1.0)})) == ["any x"]
