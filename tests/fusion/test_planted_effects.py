"""The study of selection on planted effects: what is planted, what is found where, p-values of noise, sums."""

import json
from functools import cache

import numpy as np
import polars as pl
import pytest

from fusion.studies import planted_effects, planted_panel
from fusion.studies.planted_samples import Sample
from fusion.target import KEYS

CONFIG = planted_panel.source().config


@cache
def sample(seed: int, effects: bool) -> Sample:
    return planted_panel.sample(CONFIG, seed, effects)


@cache
def judged(seed: int, effects: bool) -> planted_effects.Record:
    return planted_effects.judge(sample(seed, effects), CONFIG, learn=False)


class TestPanel:
    def test_draws_are_the_same_with_and_without_effects(self):
        on, off = sample(7000, True), sample(7000, False)
        drawn = [name for name in on.features.columns if name.startswith(tuple(planted_panel.COUNTS))]
        assert on.features.select(drawn).equals(off.features.select(drawn))
        assert on.observations.equals(off.observations)
        assert not on.labels["return_15min"].equals(off.labels["return_15min"])
        assert off.truth.is_empty()
        assert set(on.truth.select("feature", "regime").rows()) == {
            ("fast_0", 0),
            ("sparse_0", 1),
            ("weekly_0", 0),
            ("daily_0", 0),
            ("daily_0", 1),
        }

    def test_a_label_is_the_return_that_a_later_decision_has_seen(self):
        """Three steps on, the past three steps' return is the label: labels overlap, features end at the decision."""
        found = sample(7000, True)
        rows = found.features.join(found.labels, on=KEYS).sort("entity", "decision_time")
        later = rows.with_columns(pl.col("returns_3").shift(-3).over("entity", "session").alias("later"))
        both = later.filter(pl.col("return_15min").is_not_null(), pl.col("later").is_not_null())
        assert both.height > 0.9 * later.height
        np.testing.assert_allclose(both["later"], both["return_15min"], atol=1e-12)
        ends = rows.group_by("entity", "session").agg(pl.col("return_15min").tail(2).null_count())
        assert (ends["return_15min"] == 2).all()

    def test_decoys_lean_on_what_they_imitate(self):
        rows = sample(7000, True).features
        for kind in ("fast", "sparse", "weekly", "daily"):
            assert rows.select(pl.corr(f"{kind}_0", f"{kind}_1")).item() == pytest.approx(0.6, abs=0.15)


@pytest.mark.parametrize("seed", [7001, 7002])
def test_features_are_found_in_the_regime_where_they_move_prices(seed):
    found = judged(seed, True)
    told = {driver: hit / there for driver, (hit, there) in found["drivers"].items()}
    assert told["fast_0 calm"] > 0.8
    assert told["sparse_0 stress"] > 0.5
    for regime in planted_effects.REGIMES:
        counts = found["found"][regime]
        assert counts["right"] > 2 * counts["wrong"]


def test_swapped_regimes_are_seen():
    """The measure sees a selection that finds the right features in the wrong regime."""
    right = sample(7002, True)
    other_way = right.truth.with_columns(regime=1 - pl.col("regime"))
    swapped = Sample(right.features, right.labels, right.sessions, right.observations, right.kinds, other_way)
    found = planted_effects.judge(swapped, CONFIG, learn=False)
    assert found["drivers"]["fast_0 stress"][0] <= 1
    assert found["found"]["calm"]["wrong"] > 10 + judged(7002, True)["found"]["calm"]["wrong"]


def test_p_values_of_noise():
    """Of 12 fixed seeds without effects: what refits of a seed share makes the bounds wide."""
    rows = [row for seed in range(7100, 7112) for row in judged(seed, False)["p"]]
    below = next(row for row in planted_effects.shares(rows) if row["by"] == "all")
    assert below["count"] > 4000
    assert 0.02 < below["0.05"] < 0.08
    assert below["0.01"] < 0.02
    assert below["0.001"] < 0.005


def test_sums_over_seeds():
    quiet = {
        "families": 4,
        "with_discovery": 0,
        "with_kept": 1,
        "p": [["fast", "0", 10, 2, 1, 0, 0], ["daily", "30", 30, 2, 0, 0, 0]],
        "found": {
            "calm": {"right": 3, "wrong": 1, "followers": 4},
            "stress": {"right": 0, "wrong": 0, "followers": 0},
        },
        "drivers": {"fast_0 calm": [2, 4]},
        "wrong": {"fast": 1},
        "ic": {
            "mixture": {"all": 0.1, "calm": 0.2, "stress": None},
            "static": {"all": 0.05, "calm": 0.2, "stress": None},
        },
    }
    loud = quiet | {"with_discovery": 2, "drivers": {"fast_0 calm": [4, 4]}}
    found = planted_effects.summary({1: quiet, 2: loud, 3: quiet | {"families": 0}})
    assert found["seeds"] == [1, 2, 3]
    assert found["families"] == 8
    # Student's t with one degree of freedom: 12.706 times 0.25
    assert found["with_discovery"] == pytest.approx(
        {"mean": 0.25, "low": -2.9266, "high": 3.4266, "seeds": 2}, abs=1e-3
    )
    assert found["seeds_with_discovery"]["mean"] == 0.5
    assert found["recall"]["fast_0 calm"]["mean"] == 0.75
    assert found["precision"]["calm"]["mean"] == 0.75
    assert found["precision"]["stress"]["seeds"] == 0
    assert found["followers"]["calm"]["mean"] == 0.5
    assert found["wrong"] == {"fast": 2}
    assert found["ic"]["all"]["difference"]["mean"] == pytest.approx(0.05)
    assert found["ic"]["stress"]["mixture"]["mean"] == 0.0
    groups = {(row["by"], row["group"]): row for row in found["p"]}
    assert groups["all", "all"] == {
        "by": "all", "group": "all", "count": 80, "0.05": 0.1, "0.01": 0.025, "0.001": 0.0, "0.0001": 0.0
    }  # fmt: skip
    assert groups["sessions", "30"]["0.05"] == pytest.approx(4 / 60)


def test_the_mixture_is_compared_with_one_model_on_the_same_rows():
    config = CONFIG.model_copy(update={"model": CONFIG.model.model_copy(update={"trees": 5})})
    found = planted_effects.judge(planted_panel.sample(config, 7000, True, sessions=60), config)
    ic = found["ic"]
    assert set(ic) == {"mixture", "static"}
    assert ic["mixture"]["all"] > 0.02
    assert ic["static"]["all"] != ic["mixture"]["all"]
    assert json.loads(json.dumps(found)) == found
