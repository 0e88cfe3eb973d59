"""The models that a run compares are trials: what each would have earned, and how lucky the best of them may be."""

from dataclasses import replace

import polars as pl

from fusion.comparison import RUN, model_scores
from fusion.evaluation import judged
from fusion.evaluation.net import METRICS
from fusion.plan import Plan
from fusion.rivals import Rivals
from fusion.study import Study, make_portfolios
from fusion.target import KEYS

OWN = (RUN, "ridge")
"""Of the models those whose scores are the run's own columns."""


def with_trials(plan: Plan, found: Study, rivals: Rivals) -> Study:
    """The study with the compared models' portfolios beside its own, and judged knowing of them.

    `portfolio` gets the models' rows, `score` being the model's name; in `evaluation` the rows of
    `fusion.evaluation.net` are made anew, as the number of trials, and the probability of overfitting, are those of
    all.
    """
    made = {name: values for name, values in model_scores(plan.config, rivals).items() if name not in OWN}
    scores = rivals.signals.select(*KEYS, *(pl.Series(name, values) for name, values in made.items()))
    signals = found.signals.select(KEYS).join(scores, on=KEYS, how="left", maintain_order="left")
    labels = found.labels.join(signals.select(KEYS), on=KEYS, how="semi", maintain_order="left")
    others = make_portfolios(plan, found.matrix, signals, labels, list(made))
    settings, primary = plan.config.evaluation, plan.config.predicted.primary
    table = found.evaluation.filter(~pl.col("metric").is_in(METRICS))
    return replace(
        found,
        portfolio=pl.concat([found.portfolio, others]),
        evaluation=pl.concat([table, judged(found.portfolio, settings, primary, others=others)]),
    )
