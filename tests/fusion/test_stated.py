"""What signals say of themselves, judged: coverage, widths, probabilities, each against plain loops."""

import numpy as np
import polars as pl
import pytest
from forecast_market import forecast_market
from planted import PRIMARY
from sklearn.metrics import brier_score_loss, log_loss

from fusion.evaluation import EvaluationConfig, evaluate

CONFIG = EvaluationConfig(bootstrap=400, lags=0)


def judged(seed: int = 0, sessions: int = 40, *, bias: float = 0.0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The evaluation of a market with intervals and probabilities made up, and its rows."""
    market = forecast_market(seed, sessions=sessions)
    rng = np.random.default_rng(seed)
    n = market.decisions.height
    p = np.clip(0.5 + 0.1 * rng.standard_normal(n).round(1) + bias, 0.01, 0.99)
    half = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(1e-3, 3e-3, n))
    signals = market.decisions.with_columns(
        (pl.col("score") - pl.Series(half)).fill_nan(None).alias("low"),
        (pl.col("score") + pl.Series(half)).fill_nan(None).alias("high"),
        pl.Series("probability_up", np.where(rng.random(n) < 0.1, np.nan, p)).fill_nan(None),
    )
    times = signals.select("session", pl.col("decision_time").alias("time"), "probability_0", "probability_1")
    states = times.unique("time").sort("time")
    table = evaluate(signals, market.labels, states, CONFIG, horizons=[PRIMARY], primary=PRIMARY)
    return table, signals.join(market.labels, on=["entity", "session", "decision_time"]).rename({"return_15min": "y"})


def value(table: pl.DataFrame, metric: str, kind: str = "all", group: str = "all") -> dict[str, float]:
    return table.filter(
        pl.col("metric") == metric, pl.col("group_kind") == kind, pl.col("group") == group
    ).row(0, named=True)  # fmt: skip


def test_coverage_and_width_are_those_of_a_loop() -> None:
    table, rows = judged()
    regime = (pl.col("probability_1") > pl.col("probability_0")).cast(pl.Int8).cast(pl.String)
    rows = rows.with_columns(regime.alias("regime"), pl.col("decision_time").dt.strftime("%H").alias("hour"))
    some = {("all", "all"): rows}
    for kind in ("entity", "regime", "hour"):
        some |= {(kind, key): part for (key,), part in rows.partition_by(kind, as_dict=True).items()}
    for (kind, group), part in some.items():
        inside, width = [], []
        for low, high, y in part.select("low", "high", "y").iter_rows():
            if low is not None and y is not None:
                inside.append(low <= y <= high)
                width.append((high - low) * 1e4)
        found = value(table, "coverage", kind, group)
        assert found["value"] == pytest.approx(np.mean(inside), rel=1e-12)
        assert found["count"] == len(inside)
        assert value(table, "interval_width", kind, group)["value"] == pytest.approx(np.mean(width), rel=1e-12)
        if kind == "all":
            assert found["low"] < found["value"] < found["high"]
    assert {key[0] for key in some} == set(table.filter(metric="coverage")["group_kind"])


def test_scores_of_probabilities_are_scikit_learns() -> None:
    table, rows = judged(1)
    rows = rows.drop_nulls(["probability_up", "y"]).filter(pl.col("score").is_not_null().any().over("session"))
    up, p = (rows["y"] > 0).to_numpy(), rows["probability_up"].to_numpy()
    base = up.mean()
    brier, loss = brier_score_loss(up, p), log_loss(up, p)
    assert value(table, "brier")["value"] == pytest.approx(brier, rel=1e-12)
    assert value(table, "log_loss")["value"] == pytest.approx(loss, rel=1e-12)
    assert value(table, "brier_skill")["value"] == pytest.approx(1 - brier / (base * (1 - base)), rel=1e-9)
    assert value(table, "log_loss_gain")["value"] == pytest.approx(log_loss(up, np.full(len(up), base)) - loss)
    assert value(table, "brier_skill")["value"] < 0, "probabilities that say nothing are worse than the base rate"


def test_reliability_bins_hold_equal_probabilities_together() -> None:
    table, rows = judged(2)
    rows = rows.drop_nulls(["probability_up", "y"])
    place = (pl.col("probability_up").rank("average") - 0.5) / rows.height * 10
    rows = rows.with_columns(place.floor().cast(pl.Int64).alias("bin"), up=(pl.col("y") > 0).cast(pl.Float64))
    bins = rows.group_by("bin").agg(pl.col("probability_up", "up").mean(), pl.len()).sort("bin")
    found = table.filter(group_kind="probability")
    assert found.filter(metric="up_share")["group"].to_list() == [str(b + 1) for b in bins["bin"]]
    np.testing.assert_allclose(found.filter(metric="up_share")["value"], bins["up"])
    np.testing.assert_allclose(found.filter(metric="mean_probability")["value"], bins["probability_up"])
    assert rows.group_by("probability_up").agg(pl.col("bin").n_unique())["bin"].max() == 1
    gaps = (bins["probability_up"] - bins["up"]).abs() * bins["len"] / rows.height
    assert value(table, "calibration_error")["value"] == pytest.approx(gaps.sum(), rel=1e-9)


def test_a_biased_probability_has_a_larger_calibration_error() -> None:
    honest, biased = (value(judged(3, bias=bias)[0], "calibration_error") for bias in (0.0, 0.2))
    assert biased["value"] > honest["value"] + 0.08
    assert biased["low"] > 0.1


def test_no_interval_and_no_probability_is_nothing() -> None:
    market = forecast_market(4, sessions=12)
    times = market.decisions.select("session", pl.col("decision_time").alias("time"), "probability_0", "probability_1")
    states = times.unique("time").sort("time")
    silent = market.decisions.with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in ("low", "high", "probability_up")
    )
    for signals in (market.decisions, silent):
        table = evaluate(signals, market.labels, states, CONFIG, horizons=[PRIMARY], primary=PRIMARY)
        assert not set(table["metric"]) & {"coverage", "brier", "up_share", "calibration_error"}
        assert "rank_ic" in set(table["metric"])
