"""Learning: per regime a gradient-boosted model of the forward return, mixed by the filtered probabilities.

    score_t = sum_k p_k f_k(x_t) / sum_k p_k        over the regimes k that have a model

f_k is LightGBM on the regime's kept features, with the rows of the training window weighted by the probability of the
regime. A ridge regression on the same features stands beside it as the baseline. Both are refitted walk-forward, and a
row is scored by the last refit at or before its session.

Source: Ke et al. (2017) for LightGBM; Hoerl & Kennard (1970) for ridge.
"""

from fusion.model.config import ModelConfig, TuneConfig
from fusion.model.learner import RegimeLearner, Tuned
from fusion.model.mixture import Learned, RefitModel, fit, matrix_of, predict, walk_forward_predict
from fusion.model.store import INDEX, load, save

__all__ = [
    "INDEX",
    "Learned",
    "ModelConfig",
    "RefitModel",
    "RegimeLearner",
    "TuneConfig",
    "Tuned",
    "fit",
    "load",
    "matrix_of",
    "predict",
    "save",
    "walk_forward_predict",
]
