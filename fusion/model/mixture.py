"""One learner per regime, refitted walk-forward, and their forecasts mixed by the filtered probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.horizon import Horizon
from fusion.model.config import ModelConfig
from fusion.model.learner import RegimeLearner, learn
from fusion.model.tune import tune
from fusion.regime import RegimePath, at
from fusion.selection import candidates, labelled
from fusion.target import KEYS, end_column, return_column
from fusion.walk_forward import Refit, assign, training_rows
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]

# by refit, regime and kept features in order, which are all that it depends on where rows and labels are the same
Learned = dict[tuple[date, int, tuple[str, ...]], RegimeLearner | None]


@dataclass(frozen=True)
class RefitModel:
    """What one refit learned: a learner per regime, None where nothing was kept or rows were too few."""

    refit_session: date
    horizon: Horizon
    min_mass: float
    learners: tuple[RegimeLearner | None, ...]


def walk_forward_predict(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    regimes: RegimePath,
    ledger: pl.DataFrame,
    refits: Sequence[Refit],
    config: ModelConfig,
    primary: Horizon,
    learned: Learned | None = None,
) -> tuple[pl.DataFrame, list[RefitModel]]:
    """Fit every refit on its own past and score every decision by the last refit at or before its session.

    features, labels, primary as in `fusion.selection.select`, whose ledger names the kept features; `learned` as in
    `fit`. Returns the predictions of `predict`, and the models.

    Missing values: see `fit` and `predict`. Raises DataError as they do.
    """
    models = [fit(features, labels, regimes, ledger, refit, config, primary, learned) for refit in refits]
    return predict(models, features, regimes.weights, threads=config.threads), models


def fit(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    regimes: RegimePath,
    ledger: pl.DataFrame,
    refit: Refit,
    config: ModelConfig,
    primary: Horizon,
    learned: Learned | None = None,
) -> RefitModel:
    """The learners of one refit, from the labels known before its cutoff.

    The target is the primary return, pulled in to the training window's `winsor` quantiles and divided by their
    standard deviation.

    learned   learners of other candidates on the same rows, labels and regimes: what is there is not fitted again, and
              what is fitted is put there

    Missing values: a missing feature is LightGBM's own missing value, and the mean for the ridge; rows without a label
    are left out. A regime has no learner where it kept no feature, has too few rows, or its returns are constant.
    Raises DataError when features and labels do not hold the same decisions, or a kept feature is absent.
    """
    learned = {} if learned is None else learned
    kept = [_kept(ledger, refit, k) for k in range(regimes.states)]
    missing = [k for k, names in enumerate(kept) if (refit.session, k, names) not in learned]
    if missing:
        rows, y, scale = _training(features, labels, refit, config, primary)
        probability = at(regimes.training(refit), rows["decision_time"])
    for k in missing:
        absent = [name for name in kept[k] if name not in features.columns]
        if absent:
            raise DataError(f"kept feature {absent[0]} is not among the features", hint="select on the same features")
        used = probability[:, k] >= max(config.min_weight, 1e-12)
        learner = None
        if kept[k] and used.sum() >= 2 * config.min_rows_leaf and scale > 0:
            x = matrix_of(rows.select(kept[k]))[used]
            given = x, y[used] / scale, probability[used, k]
            chosen, tuned = tune(*given, _clocks(rows.filter(used), primary), config)
            learner = learn(*given, kept[k], scale, chosen, tuned)
        learned[refit.session, k, kept[k]] = learner
    learners = tuple(learned[refit.session, k, names] for k, names in enumerate(kept))
    return RefitModel(refit.session, primary, config.min_mass, learners)


def _training(
    features: pl.DataFrame, labels: pl.DataFrame, refit: Refit, config: ModelConfig, primary: Horizon
) -> tuple[pl.DataFrame, Floats, float]:
    """The rows that a refit learns from, their returns pulled in, and the deviation of these."""
    target = return_column(primary)
    candidates(features)
    rows = training_rows(labelled(features, labels, (target, end_column(primary))), refit, primary)
    y = rows[target].to_numpy().astype(np.float64)
    if len(y):
        low, high = np.quantile(y, [config.winsor, 1 - config.winsor])
        y = np.clip(y, low, high)
    return rows, y, float(y.std()) if len(y) else 0.0


def _clocks(rows: pl.DataFrame, primary: Horizon) -> pl.DataFrame:
    return rows.select("decision_time", "session", pl.col(end_column(primary)).alias("label_end"))


def predict(
    models: Sequence[RefitModel], features: pl.DataFrame, probabilities: pl.DataFrame, *, threads: int = 1
) -> pl.DataFrame:
    """entity, session, decision_time, score, score_ridge (forward log return), refit_session, for every decision.

    probabilities: session, time, probability_0..; the last row at or before a decision counts.

    Missing values: a score is null before the first refit, where the regimes with a model hold less than min_mass of
    the probability, and where a regime that counts has none of its features.
    Raises DataError when a model's feature is absent from `features`, or the number of regimes differs.
    """
    missing = [name for name in KEYS if name not in features.columns]
    if missing:
        raise DataError(f"features lack {', '.join(missing)}", allowed=f"columns {', '.join(KEYS)} and the features")
    score, ridge = np.full(features.height, np.nan), np.full(features.height, np.nan)
    refit_session = assign(features["session"], [model.refit_session for model in models])
    weights = at(probabilities, features["decision_time"])
    for model in models:
        if len(model.learners) != weights.shape[1]:
            raise DataError(f"{weights.shape[1]} regimes in probabilities", allowed=f"{len(model.learners)}, as fitted")
        rows = (refit_session == model.refit_session).fill_null(False).to_numpy()
        if rows.any():
            score[rows], ridge[rows] = _mix(model, features.filter(rows), weights[rows], threads)
    return features.select(KEYS).with_columns(
        pl.Series("score", score).fill_nan(None), pl.Series("score_ridge", ridge).fill_nan(None), refit_session
    )


def _kept(ledger: pl.DataFrame, refit: Refit, regime: int) -> tuple[str, ...]:
    mine = ledger.filter(pl.col("refit_session") == refit.session, pl.col("regime") == regime, pl.col("kept"))
    return tuple(mine.sort("position")["feature"])


def matrix_of(features: pl.DataFrame) -> Floats:
    """(rows, features) float64, NaN where not finite."""
    x = features.cast(pl.Float64).to_numpy(order="c").astype(np.float64, copy=True)
    x[~np.isfinite(x)] = np.nan
    return x


def _mix(model: RefitModel, features: pl.DataFrame, weights: Floats, threads: int) -> tuple[Floats, Floats]:
    score, ridge, mass = np.zeros(len(weights)), np.zeros(len(weights)), np.zeros(len(weights))
    for k, learner in enumerate(model.learners):
        if learner is None:
            continue
        absent = [name for name in learner.features if name not in features.columns]
        if absent:
            raise DataError(
                f"feature {absent[0]} of the model is absent", hint="build the features the run was fitted on"
            )
        p = weights[:, k]
        trees, straight = learner.predict(matrix_of(features.select(learner.features)), threads)
        counts = ~(p <= 0)  # a NaN probability counts, and makes the score missing
        score = np.where(counts, score + p * trees, score)
        ridge = np.where(counts, ridge + p * straight, ridge)
        mass = np.where(counts, mass + p, mass)
    with np.errstate(invalid="ignore", divide="ignore"):
        enough = mass >= model.min_mass
        return np.where(enough, score / mass, np.nan), np.where(enough, ridge / mass, np.nan)
