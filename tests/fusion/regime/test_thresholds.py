"""Threshold regimes against rules applied by hand: first match, two levels, quantiles, missing rows, errors."""

import numpy as np
import pytest
from chains import daily
from planted import session_table
from pydantic import ValidationError

from fusion.regime import RegimeConfig, filter_regimes
from fusion.regime.rules import parse_condition
from fusion.walk_forward import WalkForwardConfig, schedule
from gpu_kernels.errors import ConfigError


def fitted(rules: list[dict], x: np.ndarray):
    """The model of a refit after all rows but the last 4."""
    refit = schedule(session_table(len(x) - 4), WalkForwardConfig(train_sessions=len(x) - 5))[0]
    config = RegimeConfig.model_validate({"model": "thresholds", "rules": rules})
    return filter_regimes(daily(x)[1], [refit], config).models[0]


def states(rules: list[dict], values: list[float]) -> list[int]:
    x = np.array(values, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    found = fitted(rules, np.vstack([x, np.zeros((5, x.shape[1]))])).filter(x)
    assert set(found.ravel()) <= {0.0, 1.0}
    np.testing.assert_array_equal(found.sum(axis=1), 1.0)
    return found.argmax(axis=1).tolist()


CALM = {"name": "calm"}


class TestRules:
    def test_the_first_that_holds_is_the_state(self) -> None:
        rules = [{"name": "crisis", "when": {"x0": ">= 40"}}, {"name": "stress", "when": {"x0": "> 25"}}, CALM]
        assert states(rules, [10, 25, 25.1, 39.9, 40, 60, 24]) == [2, 2, 1, 1, 0, 0, 2]

    def test_all_conditions_of_a_rule_must_hold(self) -> None:
        rules = [{"name": "falling", "when": {"x0": ["> 1", "<= 3"], "x1": "< -.5e0"}}, CALM]
        rows = [[2, -1], [3, -1], [1, -1], [4, -1], [2, -0.5], [2, 1]]
        assert states(rules, rows) == [0, 0, 1, 1, 1, 1]

    def test_two_levels_stop_flicker(self) -> None:
        rules = [{"name": "stress", "when": {"x0": "> 25"}, "until": {"x0": "< 20"}}, CALM]
        values = [24, 26, 24, 21, 20, 26, 19, 24, 26]
        assert states(rules, values) == [1, 0, 0, 0, 0, 0, 1, 1, 0]
        plain = [{"name": "stress", "when": {"x0": "> 25"}}, CALM]
        assert states(plain, values) == [1, 0, 1, 1, 1, 0, 1, 1, 0]

    def test_a_rule_before_takes_over_from_a_state_that_stays(self) -> None:
        rules = [
            {"name": "crisis", "when": {"x0": "> 40"}},
            {"name": "stress", "when": {"x0": "> 25"}, "until": {"x0": "< 20"}},
            {"name": "warm", "when": {"x0": "> 15"}},
            CALM,
        ]
        assert states(rules, [16, 30, 22, 50, 22, 30, 22, 19, 10]) == [2, 1, 1, 0, 2, 1, 1, 2, 3]

    def test_missing_rows_leave_the_state(self) -> None:
        rules = [{"name": "stress", "when": {"x0": "> 25"}}, CALM]
        nan = np.nan
        assert states(rules, [nan, nan, 30, nan, np.inf, 10, nan]) == [1, 1, 0, 0, 0, 1, 1]
        # an input that no rule reads may be missing
        assert states(rules, [[30, nan], [10, nan]]) == [0, 1]

    def test_quantiles_are_of_the_past_of_the_refit(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(104, 1))
        x[[3, 4]] = np.nan
        x[100:] += 1000.0
        rules = [{"name": "high", "when": {"x0": "> q0.8"}, "until": {"x0": "<= q0.5"}}, CALM]
        model = fitted(rules, x)
        past = x[:100, 0][np.isfinite(x[:100, 0])]
        assert model.when[0][0][1].level == np.quantile(past, 0.8)
        assert model.until[0][0][1].level == np.quantile(past, 0.5)
        assert not model.when[0][0][1].quantile
        few = fitted(rules, x[:20])
        assert few.problem == f"14 values of x0 before {few.refit_session}; 20 are needed for its quantiles"
        assert few.states == 0

    def test_a_state_that_never_held_is_described_without_figures(self) -> None:
        rules = [{"name": "never", "when": {"x0": "> 100"}}, CALM]
        never, calm = fitted(rules, np.arange(40.0)[:, None]).describe_states()
        assert never["mean"] == {"x0": None}
        assert never["expected_observations"] is None
        assert calm["mean"]["x0"] == pytest.approx(17.5)
        assert (never["name"], calm["rule"]) == ("never", "otherwise")


class TestErrors:
    @pytest.mark.parametrize(
        ("rules", "message"),
        [
            ([], "rules are none; give at least two of different names"),
            ([CALM], "give at least two"),
            ([{"name": "calm", "when": {"x0": "> 1"}}, CALM], "give at least two of different names"),
            (
                [{"name": "a", "when": {"x0": "> 1"}}, {"name": "b", "when": {"x0": "< 1"}}],
                "the last rule, and no other",
            ),
            ([{"name": "a"}, CALM], "rules without `when`: a, calm"),
            ([{"name": "a", "when": {"x0": "=> 25"}}, CALM], "condition '=> 25' cannot be read; write e.g."),
            ([{"name": "a", "when": {"x0": "25"}}, CALM], "condition '25' cannot be read"),
            ([{"name": "a", "when": {"x0": "> high"}}, CALM], "condition '> high' cannot be read"),
            ([{"name": "a", "when": {"x0": "> nan"}}, CALM], "condition '> nan' cannot be read"),
            ([{"name": "a", "when": {"x0": "> q1.5"}}, CALM], "quantile outside of 0 to 1"),
            ([{"name": "a", "when": {"x0": 25}}, CALM], "valid tuple"),
            ([{"name": "a", "when": {"x0": "> 1"}, "unless": {}}, CALM], "Extra inputs"),
            ([{"name": "a", "until": {"x0": "> 1"}}, CALM], "rule 'a' has `until` without `when`"),
            ([{"name": str(k), "when": {"x0": "> 1"}} for k in range(8)] + [CALM], "9 rules; at most 8"),
        ],
    )
    def test_of_a_config_are_told(self, rules: list[dict], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            RegimeConfig.model_validate({"model": "thresholds", "rules": rules})

    def test_rules_of_another_model(self) -> None:
        with pytest.raises(ValidationError, match="rules are given but the model is hmm"):
            RegimeConfig.model_validate({"rules": [CALM]})

    def test_a_rule_that_reads_what_is_no_input(self) -> None:
        rules = [{"name": "stress", "when": {"vix": "> 25"}}, CALM]
        inputs = [{"metric": "vix", "entity": "US", "transform": "log"}]
        with pytest.raises(ValidationError, match="reads 'vix', which is no input of the regime; allowed: log_vix"):
            RegimeConfig.model_validate({"model": "thresholds", "rules": rules, "inputs": inputs})
        with pytest.raises(ConfigError, match="reads 'vix'") as told:
            fitted(rules, np.zeros((40, 1)))
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["> 25", ">=-0.5", " <= 1e3 ", "< q.25", "> q1"])
def test_conditions_are_read_as_they_are_written(text: str) -> None:
    condition = parse_condition(text)
    assert parse_condition(str(condition)) == condition


def test_regimes_are_as_many_as_rules() -> None:
    given = {
        "model": "thresholds",
        "rules": [{"name": "a", "when": {"x": "> 1"}}, {"name": "b", "when": {"x": "> 0"}}, CALM],
    }
    config = RegimeConfig.model_validate(given | {"inputs": [{"metric": "x", "entity": "US"}]})
    assert config.regimes == 3
    assert RegimeConfig.model_validate(given).regimes == 1
