"""Hyperparameters of a regime's trees, chosen on the training window alone by combinatorial purged cross-validation.

For each point of the grid, a learner is fitted on each split's training rows and forecasts its test rows; the point's
worth is the mean over the splits of the rank IC of forecast and return over the test rows, each row weighted by the
probability of the regime. The best point is then fitted on the whole window. Labels of training and test rows do not
overlap (`fusion.cross_validation`), and none is later than the refit's cutoff.

Features were selected on the whole window, test rows included, so that the worths compare points and are no forecast of
what the model will do.

Source: Lopez de Prado (2018), chapters 7 and 12.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.correlation import ranks
from fusion.cross_validation import Split, combinatorial_purged
from fusion.model.config import ModelConfig
from fusion.model.learner import Tuned, grow

Floats = NDArray[np.float64]


def tune(
    x: Floats, y: Floats, weights: Floats, clocks: pl.DataFrame, config: ModelConfig
) -> tuple[ModelConfig, Tuned | None]:
    """The settings with the best point's in them, and what was chosen.

    x, y, weights as in `fusion.model.learner.learn`; clocks (rows,) decision_time, session, label_end of the same rows.

    Missing values: a point that some split cannot fit (fewer than twice min_rows_leaf rows) or whose forecasts never
    differ has no worth. The settings stay as they are, and nothing was chosen, without a point that has one, or with
    fewer sessions than groups. Ties go to the point that is listed first.
    """
    wanted = config.tune
    session = clocks["session"].rank("dense").to_numpy().astype(np.int64)
    if wanted is None or np.max(session, initial=0) < wanted.groups:
        return config, None
    decision, end = (clocks[name].dt.epoch("ns").to_numpy() for name in ("decision_time", "label_end"))
    splits = combinatorial_purged(
        decision, end, session, wanted.groups, wanted.tested, embargo_sessions=wanted.embargo_sessions
    )
    points = wanted.points
    tried = [config.model_copy(update=settings) for settings in points]
    worth = np.array([np.mean([_worth(x, y, weights, split, each) for split in splits]) for each in tried])
    known = np.isfinite(worth)
    if not known.any():
        return config, None
    best = int(np.argmax(np.where(known, worth, -np.inf)))
    return tried[best], Tuned(tuple(points[best].items()), float(worth[best]), int(known.sum()))


def _worth(x: Floats, y: Floats, weights: Floats, split: Split, config: ModelConfig) -> float:
    """Rank IC on a split's test rows of what its training rows teach; NaN where they are too few."""
    if len(split.train) < 2 * config.min_rows_leaf:
        return float("nan")
    booster = grow(x[split.train], y[split.train], weights[split.train], config)
    forecast = booster.predict(x[split.test], num_threads=config.threads)
    return weighted_rank_ic(forecast, y[split.test], weights[split.test])


def weighted_rank_ic(x: Floats, y: Floats, weights: Floats) -> float:
    """Correlation of the ranks among the given rows, each row weighted. NaN where either is constant."""
    u, v = ranks(x), ranks(y)
    if not (np.ptp(u) > 0 and np.ptp(v) > 0):
        return float("nan")
    w = weights / weights.sum()
    # einsum adds in an order that no BLAS can change
    u, v = u - np.einsum("i,i->", w, u), v - np.einsum("i,i->", w, v)
    above, uu, vv = (np.einsum("i,i,i->", w, a, b) for a, b in ((u, v), (u, u), (v, v)))
    return float(above / np.sqrt(uu * vv))
