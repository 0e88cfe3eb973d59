"""What one regime learns: gradient-boosted trees, and beside them a ridge regression on the same features.

Source: Ke et al. (2017) for LightGBM; Hoerl & Kennard (1970) for ridge.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.model.config import ModelConfig

Floats = NDArray[np.float64]

# standardised inputs of the ridge are cut here: a straight line must not follow one wild value
_CLIP = 5.0


@dataclass(frozen=True)
class Tuned:
    """What was chosen: the settings of the best point, its worth (mean rank IC), and how many points had one."""

    settings: tuple[tuple[str, float], ...]
    rank_ic: float
    points: int


@dataclass(frozen=True)
class RegimeLearner:
    """The two fitted models of one regime. `scale` turns their output into returns.

    trees    LightGBM's text format
    centre, spread, coefficients (one per feature) and intercept are the ridge's
    tuned    settings of the trees that were chosen on the training window; None: those of the config
    """

    features: tuple[str, ...]
    scale: float
    rows: int
    trees: str
    centre: Floats
    spread: Floats
    coefficients: Floats
    intercept: float
    tuned: Tuned | None = None

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

    def explain(self, x: Floats, threads: int = 1) -> Floats:
        """(rows, features + 1) Shapley values of the trees' forecast in return units, the last column being what is
        expected of no feature; each row adds up to `predict`'s. NaN where no feature of the regime is present."""
        found = np.full((len(x), len(self.features) + 1), np.nan)
        known = np.isfinite(x).any(axis=1)
        if known.any():
            found[known] = self._booster.predict(x[known], pred_contrib=True, num_threads=threads) * self.scale
        return found

    def _straight(self, x: Floats) -> Floats:
        # column by column: a row's bits must not depend on how many rows come with it, as they may in a BLAS call
        total = np.full(len(x), self.intercept)
        for j, coefficient in enumerate(self.coefficients):
            total += coefficient * _standard(x[:, j], self.centre[j], self.spread[j])
        return total


def learn(
    x: Floats,
    y: Floats,
    weights: Floats,
    features: tuple[str, ...],
    scale: float,
    config: ModelConfig,
    tuned: Tuned | None = None,
) -> RegimeLearner:
    """Both models of one regime.

    x (rows, features), NaN where missing; y (rows,) returns over `scale`; weights (rows,), above 0. `tuned` is
    recorded.
    """
    trees = grow(x, y, weights, config).model_to_string()
    # the text names the thread count, which must not change what a run writes
    trees = "".join(line for line in trees.splitlines(keepends=True) if not line.startswith("[num_threads:"))
    return RegimeLearner(features, scale, len(x), trees, *_ridge(x, y, weights, config.ridge), tuned=tuned)


def grow(x: Floats, y: Floats, weights: Floats, config: ModelConfig) -> Any:
    """LightGBM's booster; arguments as in `learn`."""
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
    return lightgbm.train(parameters, data, num_boost_round=config.trees)


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
