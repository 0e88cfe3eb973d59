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
# no step may change a fitted mean by more than this factor's logarithm: far from the minimum Newton's step overshoots
_LONGEST = 2.0


def fit(columns: Floats, target: Floats, ridge: float = 0.0) -> Floats:
    """(k,) coefficients b by Fisher scoring: b += (X'X + ridge n D)^-1 (X'(y / m - 1) - ridge n D b), m = exp(X b).

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
    # constant columns beside the first one can't be told from it: they get no weight
    stuck = (scale == 0) & (np.arange(width) > 0)
    normal = x.T @ x + np.diag(np.where(stuck, 1e12 * rows, penalty))
    solve = np.linalg.pinv(normal, hermitian=True)
    b = np.zeros(width)
    b[0] = np.log(y.mean() / np.abs(x[:, 0]).mean()) if (x[:, 0] == 1).all() else 0.0
    for _ in range(_STEPS):
        gradient = x.T @ (y * np.exp(-(x @ b)) - 1.0) - penalty * b
        step = solve @ gradient
        longest = float(np.abs(x @ step).max())
        b = b + step * min(1.0, _LONGEST / longest) if longest > 0 else b
        if longest < _STEADY:
            break
    return b
