"""Regression of a positive quantity by its quasi-likelihood: the fit that minimises QLIKE.

    E[y | x] = exp(x b),    b minimises the sum of y exp(-x b) + x b

which is the likelihood of a gamma variable with a log link. It is consistent for the conditional mean whatever the
distribution of y, an exact 0 is a value like others, no correction for logarithms is needed, and the sum is convex.

Source: Wedderburn (1974), "Quasi-likelihood functions"; McCullagh and Nelder (1989), chapter 8; Patton (2011) for
QLIKE.
"""

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]

_STEPS, _STEADY = 100, 1e-10


def fit(columns: Floats, target: Floats, ridge: float = 0.0) -> Floats:
    """(k,) coefficients b by Newton's method: b += (X'WX + ridge n D)^-1 (X'(w - 1) - ridge n D b), w = y exp(-X b),
    W = diag(w), with a shorter step where the loss would rise.

    columns  (n, k) with the constant, if any, in the first one; target (n,), 0 or more
    ridge    shrinks the coefficients towards 0, but not the first one: the minimum is of the mean loss plus
             ridge / 2 times the sum of b^2 s^2, s the column's standard deviation (D is diag(0, s^2, ...))

    Missing values: rows with any are left out; all NaN with fewer rows than columns, or without a positive target.
    Raises: ArgumentError for a negative target or a ridge below 0.
    """
    there = np.isfinite(columns).all(axis=1) & np.isfinite(target)
    x, y = columns[there], target[there]
    if ridge < 0 or (y < 0).any():
        raise ArgumentError(f"ridge {ridge}, least target {y.min(initial=0)}", allowed="0 or more")
    rows, width = x.shape
    if rows < width or not (y > 0).any():
        return np.full(width, np.nan)
    scale = x.std(axis=0)
    scale[0] = 0.0
    penalty = ridge * rows * scale * scale
    # a constant column beside the first one can't be told from it: it gets no weight
    moves = (scale > 0) | (np.arange(width) == 0)
    x, b = np.where(moves, x, 0.0), np.zeros(width)
    if (x[:, 0] == 1.0).all():
        b[0] = np.log(y.mean())

    def loss_at(b: Floats) -> float:
        line = x @ b
        with np.errstate(over="ignore", invalid="ignore"):
            return float((y * np.exp(-line) + line).sum() + 0.5 * (penalty * b * b).sum())

    loss = loss_at(b)
    for _ in range(_STEPS):
        weight = y * np.exp(-(x @ b))
        gradient = x.T @ (weight - 1.0) - penalty * b
        step = np.linalg.pinv(x.T @ (x * weight[:, None]) + np.diag(penalty), hermitian=True) @ gradient
        share = 1.0
        # "not lower" holds for NaN too, which an infinite loss becomes
        while not (after := loss_at(b + share * step)) <= loss and share > _STEADY:
            share /= 2.0
        if share <= _STEADY:
            break
        b, loss = b + share * step, after
        if np.abs(share * step).max() < _STEADY * (1.0 + np.abs(b).max()):
            break
    return b
