"""Many entities in one launch give each what it gets alone."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from chains import COVARIANCE, MEAN, NOW, TRANSITION, model, naive_filter, simulated
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from fusion.regime.panel import filter_panel
from gpu_kernels.errors import DataError

PROBABILITIES = ["probability_0", "probability_1"]


def rows(entity: str, x: np.ndarray) -> pl.DataFrame:
    times = [NOW + timedelta(days=t) for t in range(len(x))]
    columns = {f"x{i}": x[:, i] for i in range(x.shape[1])}
    return pl.DataFrame({"entity": [entity] * len(x), "time": times, **columns})


def panel() -> tuple[pl.DataFrame, dict]:
    lengths = {"A": 120, "B": 1, "C": 200}
    tables = []
    for seed, (name, length) in enumerate(lengths.items()):
        x = simulated(seed, length)[1]
        if length > 10:
            x[[3, 4]] = np.nan
        tables.append(rows(name, x))
    last = model(covariance=COVARIANCE * 2, transition=TRANSITION[::-1, ::-1].copy())
    models = {"A": model(), "B": model(mean=MEAN + 1), "C": last}
    return pl.concat(tables), models


def test_each_entity_is_filtered_by_its_own_model():
    observations, models = panel()
    found = filter_panel(observations, models)
    assert found.columns == ["entity", "time", *PROBABILITIES, "log_density"]
    for name, one in models.items():
        mine = observations.filter(pl.col("entity") == name).select("x0", "x1").to_numpy()
        got = found.filter(pl.col("entity") == name)
        np.testing.assert_allclose(got.select(PROBABILITIES).to_numpy(), naive_filter(mine, one), atol=1e-12)
        np.testing.assert_array_equal(got.select(PROBABILITIES).to_numpy(), one.filter(mine))


def test_one_model_for_all_equals_statsmodels():
    tables, expected, likelihood = [], [], []
    steady = np.array([0.08, 0.03]) / 0.11
    one = model(MEAN[:, :1], COVARIANCE[:, :1, :1], TRANSITION, steady)
    for seed in range(5):
        x = simulated(seed, 150)[1][:, :1]
        tables.append(rows(f"E{seed}", x))
        reference = MarkovRegression(x[:, 0], k_regimes=2, switching_variance=True).filter([0.97, 0.08, -1, 1.5, 1, 2])
        expected.append(reference.filtered_marginal_probabilities)
        likelihood.append(reference.llf)
    found = filter_panel(pl.concat(tables), one)
    np.testing.assert_allclose(found.select(PROBABILITIES).to_numpy(), np.concatenate(expected), atol=1e-8)
    sums = found.group_by("entity", maintain_order=True).agg(pl.col("log_density").sum())["log_density"]
    np.testing.assert_allclose(sums, likelihood, rtol=1e-9)


def test_later_rows_change_no_bit():
    observations, models = panel()
    cut = NOW + timedelta(days=60)
    early = observations.filter(pl.col("time") <= cut)
    full = filter_panel(observations, models).filter(pl.col("time") <= cut)
    assert filter_panel(early, models).equals(full)


def test_entities_without_a_model_are_null():
    observations, models = panel()
    broken = model(MEAN, COVARIANCE)
    object.__setattr__(broken, "problem", "constant")
    found = filter_panel(observations, {"A": models["A"], "B": broken})
    assert found.filter(pl.col("entity") != "A").select(*PROBABILITIES, "log_density").null_count().row(0) == (201,) * 3
    assert found.filter(pl.col("entity") == "A")["probability_0"].null_count() == 0
    assert filter_panel(observations, {}).columns == ["entity", "time", "log_density"]
    assert filter_panel(observations.clear(), models["A"]).height == 0


def test_mistakes_are_named():
    observations, models = panel()
    with pytest.raises(DataError, match="not in order"):
        filter_panel(observations.reverse(), models)
    with pytest.raises(DataError, match="repeat"):
        filter_panel(pl.concat([observations, observations.tail(1)]), models)
    with pytest.raises(DataError, match="lack x1"):
        filter_panel(observations.drop("x1"), models)
    with pytest.raises(DataError, match="lack entity"):
        filter_panel(observations.drop("entity"), models["A"])
    with pytest.raises(DataError, match="x0 of the regime is String"):
        filter_panel(observations.with_columns(pl.lit("a").alias("x0")), models)
    with pytest.raises(DataError, match="models of 2 kinds"):
        filter_panel(observations, models | {"C": model(MEAN[:, :1], COVARIANCE[:, :1, :1])})
