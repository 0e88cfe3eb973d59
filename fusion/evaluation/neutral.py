"""What is left of a score beside what anyone could have without it: the market, its sector, or named features.

market     score and return, each less the mean of its decision's entities
sector     the same among the entities of one sector
features   the score less what the features say of it; the return stays as it is:

               residual_i = x_i - b_s . z_i,     b_s = least squares of x on z over all rows of the sessions before s

           z being 1 and the features. So the residual of a decision is made of what was known at it, and could be
           traded; a regression over the whole sample would take from it what later sessions say of the relation, and
           one inside a decision needs more entities than features.

Market and sector need no fit: the mean of a decision is known at it.

Missing values: no residual where the score is missing, where a decision has fewer than two entities (of the sector)
with score and return, in the first five sessions, and before 10 rows for each coefficient. A feature that is missing
counts as the mean of its values in earlier sessions.

Source: Grinold & Kahn (2000), chapter 12, for neutral alphas; Frisch & Waugh (1933) for the residual.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.evaluation.sample import Booleans, Floats, Sample
from fusion.evaluation.table import values_of

NEUTRAL = "neutral "
"""Before the name of a feature among the rows of a sample."""
_FIRST_SESSIONS, _ROWS_EACH = 5, 10
# differences are told apart by multiples of this share of the largest: what is less is the rounding of equal ones,
# which would rank them by chance
_APART = 2.0**-40


def neutralised(sample: Sample) -> Iterator[tuple[str, Floats, Floats]]:
    """To what, and the score and the return that are left; only what the sample has the columns for."""
    both, sector = sample.both, sample.rows["sector"].is_not_null().to_numpy()
    yield "market", _less_mean(sample, sample.x, both, []), _less_mean(sample, sample.y, both, [])
    if sector.any():
        inside, by = both & sector, ["sector"]
        yield "sector", _less_mean(sample, sample.x, inside, by), _less_mean(sample, sample.y, inside, by)
    names = [name for name in sample.rows.columns if name.startswith(NEUTRAL)]
    if names:
        features = np.array([values_of(sample.rows, name) for name in names])
        yield "features", residual(sample.x, features, sample.offsets), sample.y


def _less_mean(sample: Sample, values: Floats, only: Booleans, also: Sequence[str]) -> Floats:
    """Each value less the mean of its decision (and sector); exactly 0 where all are equal."""
    known = pl.Series("x", np.where(only, values, np.nan)).fill_nan(None)
    frame = sample.rows.select("session", "decision_time", *also).with_columns(known)
    x, inside = pl.col("x"), ["session", "decision_time", *also]
    left = pl.when(x.count().over(inside) > 1).then(x - x.mean().over(inside)).alias("x")
    found = frame.select(left)["x"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    unit = _APART * float(np.nanmax(np.abs(found), initial=0.0))
    return np.round(found / unit) * unit if unit > 0 else found


def residual(x: Floats, features: Floats, offsets: NDArray[np.int64]) -> Floats:
    """(rows,) of a score beside (features, rows), fitted on the sessions before each row's own."""
    count = len(features) + 1
    # from its first value on, so that the squares of a level far from 0 keep its changes
    first_of = np.argmax(np.isfinite(features), axis=1, keepdims=True) if len(x) else np.zeros((count - 1, 0), np.int64)
    features = features - np.take_along_axis(features, first_of, axis=1)[:, :1] if len(x) else features
    left = np.full(len(x), np.nan)
    gram, cross, rows = np.zeros((count, count)), np.zeros(count), 0
    sums, numbers = np.zeros(count - 1), np.zeros(count - 1)
    for session, (first, last) in enumerate(pairwise(offsets)):
        part = features[:, first:last]
        told = np.isfinite(part)
        mean = np.where(numbers > 0, sums / np.maximum(numbers, 1), 0.0)
        z = np.vstack([np.ones((1, last - first)), np.where(told, part, mean[:, None])])
        if session >= _FIRST_SESSIONS and rows >= _ROWS_EACH * count:
            left[first:last] = x[first:last] - np.einsum("k,kn->n", _least_squares(gram, cross), z)
        scored = np.isfinite(x[first:last])
        # einsum adds in an order that no BLAS can change
        gram += np.einsum("jn,kn->jk", z[:, scored], z[:, scored])
        cross += np.einsum("jn,n->j", z[:, scored], x[first:last][scored])
        rows += int(scored.sum())
        sums += np.einsum("kn->k", np.where(told, part, 0.0))
        numbers += told.sum(axis=1)
    return left


def _least_squares(gram: Floats, cross: Floats) -> Floats:
    """Of columns of unit length; where some say the same, the smallest coefficients."""
    length = np.sqrt(np.diag(gram))
    length = np.where(length > 0, length, 1.0)
    found: Floats = np.linalg.lstsq(gram / np.outer(length, length), cross / length, rcond=1e-12)[0] / length
    return found
