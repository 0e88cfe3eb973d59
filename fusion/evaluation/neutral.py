"""What is left of a score beside what anyone could have without it: the market, its sector, or named features.

market     score and return, each less the mean of its decision's entities
sector     the same among the entities of one sector
features   the score less what the features say of it:

               residual_i = x_i - b_s . z_i,     b_s = least squares of x on z over all rows of the sessions before s

           z being 1 and the features, each standardised by the mean and deviation of its values in earlier sessions; the
           return stays as it is. So the residual of a decision is made of what was known at it, and could be traded; a
           regression over the whole sample would take from it what later sessions say of the relation, and one inside a
           decision needs more entities than features.

Market and sector need no fit: the mean of a decision is known at it.

Missing values: no residual where the score is missing, where a decision has fewer than two entities (of the sector)
with score and return, in the first five sessions, and before 10 rows for each coefficient; a feature that is missing, or
that never varied before, counts as its own mean.

Source: Grinold & Kahn (2000), chapter 12, for neutral alphas; Frisch & Waugh (1933) for the residual.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.evaluation.sample import Sample
from fusion.evaluation.table import values_of

Floats = NDArray[np.float64]

NEUTRAL = "neutral "
"""Before the name of a feature among the rows of a sample."""
_FIRST_SESSIONS, _ROWS_EACH = 5, 10
# less than this share of the largest value is the rounding of a difference of equal ones
_ROUNDING = 1e-12


def neutralised(sample: Sample) -> Iterator[tuple[str, Floats, Floats]]:
    """To what, and the score and the return that are left; only what the sample has the columns for."""
    both = sample.both
    yield ("market", *(_less_mean(sample.rows, np.where(both, v, np.nan), []) for v in (sample.x, sample.y)))
    if sample.rows["sector"].null_count() < sample.rows.height:
        known = both & sample.rows["sector"].is_not_null().to_numpy()
        yield (
            "sector",
            *(_less_mean(sample.rows, np.where(known, v, np.nan), ["sector"]) for v in (sample.x, sample.y)),
        )
    names = [name for name in sample.rows.columns if name.startswith(NEUTRAL)]
    if names:
        features = np.array([values_of(sample.rows, name) for name in names])
        yield "features", residual(sample.x, features, sample.offsets), sample.y


def _less_mean(rows: pl.DataFrame, values: Floats, also: Sequence[str]) -> Floats:
    """Each value less the mean of its decision (and sector); exactly 0 where all are equal."""
    frame = rows.select("session", "decision_time", *also).with_columns(pl.Series("x", values).fill_nan(None))
    x, inside = pl.col("x"), ["session", "decision_time", *also]
    left = x - x.mean().over(inside)
    largest = x.abs().max().over(inside)
    several = x.count().over(inside) > 1
    kept = pl.when(left.abs() > _ROUNDING * largest).then(left).otherwise(pl.when(x.is_not_null()).then(0.0))
    return frame.select(pl.when(several).then(kept).alias("x"))["x"].cast(pl.Float64).fill_null(np.nan).to_numpy()


def residual(x: Floats, features: Floats, offsets: NDArray[np.int64]) -> Floats:
    """(rows,) of a score beside (features, rows), fitted on the sessions before each row's own."""
    count = len(features) + 1
    # from its first value on, so that the squares of a level far from 0 keep its changes
    first_of = np.argmax(np.isfinite(features), axis=1, keepdims=True) if len(x) else np.zeros((count - 1, 0), np.int64)
    features = features - np.take_along_axis(features, first_of, axis=1)[:, :1] if len(x) else features
    left = np.full(len(x), np.nan)
    gram, cross, rows = np.zeros((count, count)), np.zeros(count), 0
    sums, squares, numbers = np.zeros(count - 1), np.zeros(count - 1), np.zeros(count - 1)
    for session, (first, last) in enumerate(pairwise(offsets)):
        part = features[:, first:last]
        z = np.vstack([np.ones((1, last - first)), _standardised(part, sums, squares, numbers)])
        if session >= _FIRST_SESSIONS and rows >= _ROWS_EACH * count:
            # of features that say the same the smallest coefficients
            weights = np.linalg.lstsq(gram, cross, rcond=1e-10)[0]
            # einsum adds in an order that no BLAS can change
            left[first:last] = x[first:last] - np.einsum("k,kn->n", weights, z)
        told = np.isfinite(x[first:last])
        z, scored = z[:, told], x[first:last][told]
        gram += np.einsum("jn,kn->jk", z, z)
        cross += np.einsum("jn,n->j", z, scored)
        rows += len(scored)
        finite = np.isfinite(part)
        values = np.where(finite, part, 0.0)
        sums += np.einsum("kn->k", values)
        squares += np.einsum("kn,kn->k", values, values)
        numbers += finite.sum(axis=1)
    return left


def _standardised(values: Floats, sums: Floats, squares: Floats, numbers: Floats) -> Floats:
    """By the mean and deviation of what came before; 0 where there is no value, or nothing varied."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums / numbers
        variance = squares / numbers - mean * mean
        scale = np.sqrt(np.where(variance > _ROUNDING * squares / numbers, variance, np.nan))
        z = (values - mean[:, None]) / scale[:, None]
    return np.where(np.isfinite(z), z, 0.0)
