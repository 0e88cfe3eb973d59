"""Compared models are trials of the run: their portfolios, and what they change in how the run is judged."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from planted import PRIMARY, planted
from planted_study import config, planted_study

from fusion.comparison import model_scores
from fusion.evaluation import EVALUATION, PORTFOLIO, judged, portfolios
from fusion.evaluation.net import METRICS
from fusion.evaluation.overfitting import expected_maximum_sharpe, probability_of_overfitting, sharpe_ratio
from fusion.evaluation.portfolio import SPREAD
from fusion.rivals import Rivals
from fusion.study import make_portfolios
from fusion.target import KEYS
from fusion.trials import with_trials


@pytest.fixture(scope="module")
def study():
    plan, found = planted_study(planted(1, sessions=80, effect=0.8), config(trials=9))
    labels = found.labels.join(found.signals.select(KEYS), on=KEYS, how="semi", maintain_order="left")
    held = make_portfolios(plan, found.matrix, found.signals, labels)
    kept = pl.DataFrame(
        [("rank_ic", "score", "15min", "all", "all", 0.1, 0.0, 0.2, 9)], schema=EVALUATION, orient="row"
    )
    alone = judged(held, plan.config.evaluation, PRIMARY)
    return plan, replace(found, portfolio=held, evaluation=pl.concat([kept, alone]))


def test_the_models_compared_are_trials(study) -> None:
    plan, found = study
    rivals = Rivals(plan, found)
    told = with_trials(plan, found, rivals)
    names = ["score", "score_ridge", "static", "pooled_selection", "single_learner"]
    assert told.portfolio.schema == PORTFOLIO
    assert told.portfolio["score"].unique(maintain_order=True).to_list() == names
    assert told.portfolio.filter(pl.col("score").is_in(names[:2])).equals(found.portfolio)
    assert set(told.evaluation["score"]) == {"score", "score_ridge"}
    assert told.evaluation.filter(pl.col("metric") == "rank_ic").height == 1
    assert set(told.evaluation["metric"]) == {"rank_ic", *METRICS}
    spread = told.portfolio.filter(pl.col("quantile") == SPREAD)
    days = spread["session"].unique().sort().to_list()
    nets = np.zeros((len(days), len(names)))
    for row in spread.to_dicts():
        nets[days.index(row["session"]), names.index(row["score"])] = row["net"]
    own = told.evaluation.filter(pl.col("score") == "score")
    value = dict(own.filter(pl.col("group") == "all").select("metric", "value").iter_rows())
    # here one learner on what any regime kept earns what the static model does, and counts once
    assert np.array_equal(nets[:, 4], nets[:, 2])
    assert value["pbo"] == probability_of_overfitting(nets[:, :4], 10).probability
    assert value["trials"] == 9
    best = sharpe_ratio(spread.filter(pl.col("score") == "score")["net"].to_numpy())
    assert value["expected_maximum_sharpe"] == pytest.approx(expected_maximum_sharpe(best.error**2, 9))
    # a model's rows are those of its scores
    scores = model_scores(plan.config, rivals)
    given = rivals.signals.select(KEYS).with_columns(pl.Series("static", scores["static"]))
    labels = found.labels.join(given.select(KEYS), on=KEYS, how="semi", maintain_order="left")
    options = {"horizon": PRIMARY, "step": plan.config.decisions.step, "cross_section": False}
    costs = given.select(KEYS).with_columns(cost=pl.lit(1.0))
    mine = portfolios(given, labels, costs, scores=["static"], **options)
    assert mine.equals(told.portfolio.filter(pl.col("score") == "static"))


def test_the_same_returns_are_one_trial(study) -> None:
    plan, found = study
    again = found.portfolio.with_columns((pl.col("score") + "_again").alias("score"))
    settings = plan.config.evaluation.model_copy(update={"trials": None})
    one, both = (judged(found.portfolio, settings, PRIMARY, others=others) for others in (None, again))
    assert one.equals(both)
    assert one.filter(pl.col("metric") == "trials")["value"].to_list() == [2.0, 2.0]


def test_a_word_below_what_was_compared_counts_for_nothing(study) -> None:
    plan, found = study
    settings = plan.config.evaluation.model_copy(update={"trials": 1})
    table = judged(found.portfolio, settings, PRIMARY)
    assert table.filter(pl.col("metric") == "trials")["value"].to_list() == [2.0, 2.0]
