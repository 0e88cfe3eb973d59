"""Learning: per regime a gradient-boosted model of the forward return, mixed by the filtered probabilities.

    score_t = sum_k p_k f_k(x_t) / sum_k p_k        over the regimes k that have a model

f_k is LightGBM on the regime's kept features, with the rows of the training window weighted by the probability of the
regime. A ridge regression on the same features stands beside it as the baseline. Both are refitted walk-forward, and a
row is scored by the last refit at or before its session.

Source: Ke et al. (2017) for LightGBM; Hoerl & Kennard (1970) for ridge.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fusion.horizon import Horizon, horizon_name, parse_horizon
from fusion.regime import RegimePath, at
from fusion.selection import candidates, labelled
from fusion.target import KEYS, end_column, return_column
from fusion.walk_forward import Refit, assign, session_of, training_rows
from gpu_kernels.errors import DataError, ModelError

Floats = NDArray[np.float64]

INDEX = "models.json"
_FORMAT = 2
# standardised inputs of the ridge are cut here: a straight line must not follow one wild value
_CLIP = 5.0


class ModelConfig(BaseModel):
    """Settings of the learners.

    min_rows_leaf   least training rows of a leaf; a regime with fewer than twice as many rows has no model
    winsor          share of the training returns that is pulled in at each end
    min_weight      rows whose regime probability is lower are left out of the regime's fit
    min_mass        a row is scored where the regimes with a model hold at least this probability
    ridge           penalty of the baseline, as a share of the training weight
    threads         of LightGBM, 0: all; the result does not depend on it. More than one pays on an idle machine only:
                    its threads spin while they wait, so that on shared cores two took 15 times as long as one
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trees: Annotated[int, Field(ge=1)] = 200
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    leaves: Annotated[int, Field(ge=2)] = 15
    min_rows_leaf: Annotated[int, Field(ge=1)] = 200
    winsor: Annotated[float, Field(ge=0, lt=0.5)] = 0.005
    min_weight: Annotated[float, Field(ge=0, lt=1)] = 0.05
    min_mass: Annotated[float, Field(gt=0, le=1)] = 0.5
    ridge: Annotated[float, Field(gt=0)] = 0.01
    threads: Annotated[int, Field(ge=0)] = 1
    seed: int = 7


@dataclass(frozen=True)
class RegimeLearner:
    """The two fitted models of one regime. `scale` turns their output into returns.

    trees    LightGBM's text format
    centre, spread, coefficients (one per feature) and intercept are the ridge's
    """

    features: tuple[str, ...]
    scale: float
    rows: int
    trees: str
    centre: Floats
    spread: Floats
    coefficients: Floats
    intercept: float

    @cached_property
    def _booster(self) -> Any:
        import lightgbm  # here, because it takes seconds and only learning needs it

        return lightgbm.Booster(model_str=self.trees)

    def predict(self, x: Floats, threads: int = 1) -> tuple[Floats, Floats]:
        """(rows,) forecasts in return units: trees, ridge. NaN where no feature of the regime is present."""
        score = np.full(len(x), np.nan)
        ridge = np.full(len(x), np.nan)
        known = np.isfinite(x).any(axis=1)
        if known.any():
            score[known] = self._booster.predict(x[known], num_threads=threads) * self.scale
            ridge[known] = self._straight(x[known]) * self.scale
        return score, ridge

    def _straight(self, x: Floats) -> Floats:
        # column by column: a row's bits must not depend on how many rows come with it, as they may in a BLAS call
        total = np.full(len(x), self.intercept)
        for j, coefficient in enumerate(self.coefficients):
            total += coefficient * _standard(x[:, j], self.centre[j], self.spread[j])
        return total


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
    return predict(models, features, regimes.probabilities, threads=config.threads), models


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
            x = _matrix(rows.select(kept[k]))[used]
            learner = _learn(x, y[used] / scale, probability[used, k], kept[k], scale, config)
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


def save(models: Sequence[RefitModel], folder: Path) -> None:
    """Write each LightGBM model as its own text file, then `models.json`, which names them all, last."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for model in models:
        learners: list[dict[str, Any] | None] = []
        for k, learner in enumerate(model.learners):
            if learner is None:
                learners.append(None)
                continue
            name = f"{model.refit_session.isoformat().replace(':', '')}_{k}.txt"
            _write(folder / name, learner.trees)
            learners.append(
                {
                    "file": name,
                    "sha256": hashlib.sha256(learner.trees.encode()).hexdigest(),
                    "features": list(learner.features),
                    "scale": learner.scale,
                    "rows": learner.rows,
                    "centre": learner.centre.tolist(),
                    "spread": learner.spread.tolist(),
                    "coefficients": learner.coefficients.tolist(),
                    "intercept": learner.intercept,
                }
            )
        entries.append(
            {
                "refit_session": model.refit_session.isoformat(),
                "horizon": horizon_name(model.horizon),
                "min_mass": model.min_mass,
                "learners": learners,
            }
        )
    _write(folder / INDEX, json.dumps({"format": _FORMAT, "models": entries}, indent=1))


def load(folder: Path) -> list[RefitModel]:
    """The models that `save` wrote. Raises ModelError where a file is missing, changed, or not of this format."""
    hint = "point to the model folder of a finished run, or run `trifuse run` again"
    try:
        stored = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if stored["format"] != _FORMAT:
            raise ModelError(f"models in {folder} have format {stored['format']}", allowed=str(_FORMAT), hint=hint)
        return [
            RefitModel(
                refit_session=session_of(entry["refit_session"]),
                horizon=parse_horizon(entry["horizon"]),
                min_mass=float(entry["min_mass"]),
                learners=tuple(None if learner is None else _read(folder, learner) for learner in entry["learners"]),
            )
            for entry in stored["models"]
        ]
    except OSError as error:
        raise ModelError(f"models in {folder} cannot be read: {error.strerror}", hint=hint) from None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"models in {folder} cannot be read: {error!r}", hint=hint) from None


def _read(folder: Path, stored: dict[str, Any]) -> RegimeLearner:
    # read as it was written: a text mode would turn line ends, and the hash would not fit
    trees = (folder / Path(stored["file"]).name).read_bytes()
    if hashlib.sha256(trees).hexdigest() != stored["sha256"]:
        raise ValueError(f"{stored['file']} is not what was saved")
    return RegimeLearner(
        features=tuple(stored["features"]),
        scale=float(stored["scale"]),
        rows=int(stored["rows"]),
        trees=trees.decode(),
        centre=np.asarray(stored["centre"], dtype=np.float64),
        spread=np.asarray(stored["spread"], dtype=np.float64),
        coefficients=np.asarray(stored["coefficients"], dtype=np.float64),
        intercept=float(stored["intercept"]),
    )


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(text.encode())
    os.replace(temporary, path)


def _kept(ledger: pl.DataFrame, refit: Refit, regime: int) -> tuple[str, ...]:
    mine = ledger.filter(pl.col("refit_session") == refit.session, pl.col("regime") == regime, pl.col("kept"))
    return tuple(mine.sort("position")["feature"])


def _matrix(features: pl.DataFrame) -> Floats:
    """(rows, features) float64, NaN where not finite."""
    x = features.cast(pl.Float64).to_numpy(order="c").astype(np.float64, copy=True)
    x[~np.isfinite(x)] = np.nan
    return x


def _learn(
    x: Floats, y: Floats, weights: Floats, features: tuple[str, ...], scale: float, config: ModelConfig
) -> RegimeLearner:
    import lightgbm  # here, because it takes seconds and only learning needs it

    parameters = {
        "objective": "regression",
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_rows_leaf,
        "feature_pre_filter": False,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "seed": config.seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(x, label=y, weight=weights, params=parameters, free_raw_data=True)
    trees = lightgbm.train(parameters, data, num_boost_round=config.trees).model_to_string()
    # the text names the thread count, which must not change what a run writes
    trees = "".join(line for line in trees.splitlines(keepends=True) if not line.startswith("[num_threads:"))
    return RegimeLearner(features, scale, len(x), trees, *_ridge(x, y, weights, config.ridge))


def _ridge(x: Floats, y: Floats, weights: Floats, penalty: float) -> tuple[Floats, Floats, Floats, float]:
    """centre, spread, coefficients, intercept of the weighted ridge on standardised, cut inputs."""
    d = x.shape[1]
    centre, spread = np.zeros(d), np.zeros(d)
    z = np.zeros_like(x)
    for j in range(d):
        seen = np.isfinite(x[:, j])
        if seen.any():
            w, v = weights[seen] / weights[seen].sum(), x[seen, j]
            centre[j] = (w * v).sum()
            spread[j] = np.sqrt((w * (v - centre[j]) ** 2).sum())
        z[:, j] = _standard(x[:, j], centre[j], spread[j])
    w = weights / weights.sum()
    # sums by einsum without BLAS, whose last bits would depend on the number of threads
    middle, level = np.einsum("n,nj->j", w, z), (w * y).sum()
    z = z - middle
    gram = np.einsum("n,ni,nj->ij", w, z, z) + penalty * np.eye(d)
    coefficients = np.linalg.solve(gram, np.einsum("n,nj,n->j", w, z, y - level))
    intercept = float(level - sum(float(m) * float(c) for m, c in zip(middle, coefficients, strict=True)))
    return centre, spread, coefficients, intercept


def _standard(x: Floats, centre: float, spread: float) -> Floats:
    """Standardised and cut at ±5; 0, the mean, where missing or constant."""
    if not spread > 0:
        return np.zeros_like(x)
    return np.nan_to_num(np.clip((x - centre) / spread, -_CLIP, _CLIP))


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
        trees, straight = learner.predict(_matrix(features.select(learner.features)), threads)
        counts = ~(p <= 0)  # a NaN probability counts, and makes the score missing
        score = np.where(counts, score + p * trees, score)
        ridge = np.where(counts, ridge + p * straight, ridge)
        mass = np.where(counts, mass + p, mass)
    with np.errstate(invalid="ignore", divide="ignore"):
        enough = mass >= model.min_mass
        return np.where(enough, score / mass, np.nan), np.where(enough, ridge / mass, np.nan)
