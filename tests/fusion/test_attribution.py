"""Contributions: they add up to the score, are Shapley values by brute force, and each row is by itself."""

from itertools import combinations
from math import factorial

import lightgbm
import numpy as np
import polars as pl
import pytest
from planted import PRIMARY, planted

from fusion.attribution import attribute, columns_of
from fusion.model import ModelConfig, RefitModel, walk_forward_predict
from fusion.regime import RegimeConfig, at, filter_regimes
from fusion.selection import SelectionConfig, select
from fusion.walk_forward import WalkForwardConfig, schedule

SOURCES = ("bars", "tweets", "vix")


@pytest.fixture(scope="module")
def learned() -> tuple[list[RefitModel], pl.DataFrame, np.ndarray, dict[str, str]]:
    """Models of two regimes, decisions with scores, the regimes' probabilities, and the source of each feature."""
    market = planted(1, sessions=60, effect=0.8, stay=0.6, missing=0.1)
    refits = schedule(market.sessions, WalkForwardConfig(train_sessions=30, refit_sessions=15))
    regimes = filter_regimes(market.observations, refits, RegimeConfig(states=2))
    ledger = select(market.features, market.labels, regimes, refits, SelectionConfig(min_features=3), PRIMARY)
    config = ModelConfig(trees=25, leaves=6, min_rows_leaf=20)
    told, models = walk_forward_predict(market.features, market.labels, regimes, ledger, refits, config, PRIMARY)
    families = {name: SOURCES[number % 2] for number, name in enumerate(market.features.columns[3:])}
    decisions = told.select("refit_session", "score").hstack(market.features)
    return models, decisions, at(regimes.probabilities, decisions["decision_time"]), families


def test_they_add_up_to_the_score(learned) -> None:
    models, decisions, weights, families = learned
    found = attribute(models, decisions, weights, families, SOURCES)
    assert found.columns == columns_of(SOURCES)
    scored = decisions["score"].is_not_null()
    assert 500 < scored.sum() < decisions.height
    assert found.filter(~scored).null_count().row(0) == (int((~scored).sum()),) * 5
    parts = [name for name in found.columns if name != "top_features"]
    total = found.select(pl.sum_horizontal(parts)).to_series().filter(scored).to_numpy()
    size = found.select(pl.sum_horizontal(pl.col(parts).abs())).to_series().filter(scored).to_numpy()
    assert (np.abs(total - decisions["score"].filter(scored).to_numpy()) <= 1e-9 * size).all()
    assert (found["contribution_vix"].filter(scored) == 0).all()
    assert found["contribution_bars"].std() > 0
    assert found["contribution_tweets"].std() > 0


def test_a_rows_bits_do_not_depend_on_the_others(learned) -> None:
    models, decisions, weights, families = learned
    found = attribute(models, decisions, weights, families, SOURCES)
    for rows in (slice(700, 701), slice(400, 1100), slice(0, None, 7)):
        part = attribute(models, decisions[rows], weights[rows], families, SOURCES, threads=2)
        assert part.equals(found[rows])


def test_they_are_the_shapley_values_of_the_trees(learned) -> None:
    models, decisions, weights, families = learned
    model = models[-1]
    rows = np.flatnonzero(
        (decisions["refit_session"] == model.refit_session).fill_null(False).to_numpy()
        & decisions["score"].is_not_null().to_numpy()
    )[[3, 40]]
    each = {name: f"{name}_source" for name in families}
    found = attribute(models, decisions[rows], weights[rows], each, list(each.values()))
    for row, place in enumerate(rows):
        expected: dict[str, float] = dict.fromkeys([*each, "base"], 0.0)
        for k, learner in enumerate(model.learners):
            booster = lightgbm.Booster(model_str=learner.trees).dump_model()["tree_info"]
            x = decisions.select(learner.features).row(int(place))
            d = len(learner.features)

            def value(known: frozenset[int], trees=booster, x=x, scale=learner.scale) -> float:
                return sum(expectation(tree["tree_structure"], x, known) for tree in trees) * scale

            memo = {
                known: value(known)
                for size in range(d + 1)
                for known in (frozenset(some) for some in combinations(range(d), size))
            }
            for j, name in enumerate(learner.features):
                for known, before in memo.items():
                    if j not in known:
                        weight = factorial(len(known)) * factorial(d - len(known) - 1) / factorial(d)
                        expected[name] += weights[place, k] * weight * (memo[known | {j}] - before)
            expected["base"] += weights[place, k] * memo[frozenset()]
        total = weights[place].sum()
        assert found["base"][row] == pytest.approx(expected.pop("base") / total, rel=1e-9, abs=1e-15)
        for name, wanted in expected.items():
            assert found[f"contribution_{each[name]}"][row] == pytest.approx(wanted / total, rel=1e-7, abs=1e-12)
        largest = sorted(expected, key=lambda name: -abs(expected[name]))[:3]
        text = [f"{name}:{expected[name] / total * 1e4:+.1f}bps" for name in largest if expected[name]]
        assert found["top_features"][row] == ", ".join(text)


def expectation(node: dict, x: tuple[float, ...], known: frozenset[int]) -> float:
    """The tree's value where only some features are known: the others go both ways, by the training rows that did."""
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        v = x[node["split_feature"]]
        missing = v is None or np.isnan(v)
        if missing and node["missing_type"] == "None":
            v, missing = 0.0, False
        goes_left = node["default_left"] if missing else v <= node["threshold"]
        return expectation(left if goes_left else right, x, known)
    counts = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
    values = [expectation(child, x, known) for child in (left, right)]
    return (values[0] * counts[0] + values[1] * counts[1]) / sum(counts)


def test_nothing_of_nothing(learned) -> None:
    models, decisions, weights, families = learned
    empty = attribute(models, decisions.clear(), weights[:0], families, SOURCES)
    assert empty.height == 0
    assert attribute([], decisions, weights, families, SOURCES)["base"].null_count() == decisions.height
