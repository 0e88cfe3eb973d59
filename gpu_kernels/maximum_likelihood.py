"""Maximum likelihood of many small problems at once: every step asks for the likelihoods of all unfinished problems in
one call, so that a kernel has work for all its threads, and no problem's numbers depend on which others lie beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gpu_kernels.dispatch import Array

Likelihood = Callable[[Array, Array], tuple[Array, Array]]
"""(problems (p,) int64, points (p, n)) -> (values (p,), gradients (p, n)): problem numbers, and where to look."""

_LARGEST_STEP = 2.0
_DIFFERENCE = 1e-5
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Maxima:
    """Where P problems of n variables ended: point (P, n), value (P,), and whether it
    ended because nothing was left to gain (P,)."""

    point: Array
    value: Array
    converged: Array


def _dot(one: Array, other: Array) -> Array:
    total: Array = (one * other).sum(axis=-1)
    return total


def _apply(matrix: Array, vector: Array) -> Array:
    product: Array = (matrix * vector[:, np.newaxis, :]).sum(axis=-1)
    return product


def _update(inverse: Array, step: Array, change: Array) -> Array:
    """The BFGS update of the inverse Hessians; as they were where the curvature along the step is not positive."""
    curvature = _dot(step, change)
    good = curvature > 1e-10 * np.sqrt(_dot(step, step) * _dot(change, change))
    safe = np.where(good, curvature, 1.0)
    turned = _apply(inverse, change)
    outer = step[:, :, np.newaxis] * turned[:, np.newaxis, :]
    square = step[:, :, np.newaxis] * step[:, np.newaxis, :]
    factor = (1.0 + _dot(change, turned) / safe) / safe
    updated = inverse + factor[:, np.newaxis, np.newaxis] * square
    updated = updated - (outer + outer.transpose(0, 2, 1)) / safe[:, np.newaxis, np.newaxis]
    return np.where(good[:, np.newaxis, np.newaxis], updated, inverse)


def _first_inverse(loss: Likelihood, problems: Array, point: Array, gradient: Array) -> Array:
    """Inverse Hessians at the start, by differences, the curvatures made positive: variables of very different scales
    would otherwise take hundreds of steps to tell apart."""
    hessian = np.empty((len(point), point.shape[1], point.shape[1]))
    for which in range(point.shape[1]):
        ahead = point.copy()
        ahead[:, which] += _DIFFERENCE
        hessian[:, which] = (loss(problems, ahead)[1] - gradient) / _DIFFERENCE
    curvature, axes = np.linalg.eigh(0.5 * (hessian + hessian.transpose(0, 2, 1)))
    curvature = np.abs(curvature)
    curvature = np.maximum(curvature, 1e-6 * curvature.max(axis=1, keepdims=True) + 1e-12)
    scaled = axes / curvature[:, np.newaxis, :]
    inverse: Array = (scaled[:, :, np.newaxis, :] * axes[:, np.newaxis, :, :]).sum(axis=-1)
    return inverse


def maximise(
    likelihood: Likelihood,
    start: Array,
    lower: Array,
    upper: Array,
    scale: Array,
    *,
    iterations: int = 300,
    gain: float = 1e-7,
) -> Maxima:
    """A local maximum of each of P log-likelihoods within its box, by projected BFGS with halved steps.

    start, lower, upper   (P, n) float64, a box and a point in it per problem
    scale      (P,) above 0, the number of observations: the steps are of the likelihood per observation
    gain       a climb ends where its next full step promises less than this of log-likelihood: an estimate is then
               within sqrt(gain) of a standard error
    A point where the likelihood is not finite is stepped back from.

    Missing values: none are accepted in start.
    Source: Nocedal and Wright (2006), "Numerical Optimization", chapter 6; Bertsekas (1982), "Projected Newton methods
    for optimization problems with simple constraints".
    """
    point = np.clip(start, lower, upper)
    problems = np.arange(len(point), dtype=np.int64)

    def loss(which: Array, where: Array) -> tuple[Array, Array]:
        value, gradient = likelihood(which, where)
        value, gradient = -value / scale[which], -gradient / scale[which, np.newaxis]
        bad = ~(np.isfinite(value) & np.isfinite(gradient).all(axis=1))
        return np.where(bad, np.inf, value), np.where(bad[:, np.newaxis], 0.0, gradient)

    value, gradient = loss(problems, point)
    first = _first_inverse(loss, problems, point, gradient)
    inverse, fresh, flat = first.copy(), np.ones(len(point), bool), np.zeros(len(point), bool)
    live = problems[np.isfinite(value)]
    for _ in range(iterations):
        held = ((point[live] <= lower[live]) & (gradient[live] > 0.0)) | (
            (point[live] >= upper[live]) & (gradient[live] < 0.0)
        )
        slope = np.where(held, 0.0, gradient[live])
        direction = np.where(held, 0.0, -_apply(inverse[live], slope))
        uphill = ~(_dot(direction, slope) < 0.0)
        direction[uphill], inverse[live[uphill]], fresh[live[uphill]] = -slope[uphill], first[live[uphill]], True
        done = -_dot(direction, slope) * scale[live] <= gain
        flat[live[done]] = True
        live, slope, direction = live[~done], slope[~done], direction[~done]
        if len(live) == 0:
            break
        direction *= np.minimum(1.0, _LARGEST_STEP / np.abs(direction).max(axis=1))[:, np.newaxis]
        landed, new_value, new_gradient, found = _line_search(
            loss, live, point, value, gradient, direction, lower, upper
        )
        step, change = landed - point[live], new_gradient - gradient[live]
        inverse[live] = np.where(found[:, np.newaxis, np.newaxis], _update(inverse[live], step, change), first[live])
        stuck = ~found & fresh[live]
        fresh[live] = ~found
        point[live], value[live], gradient[live] = landed, new_value, new_gradient
        live = live[~stuck]
    final = np.where(np.isfinite(value), -value * scale, -np.inf)
    return Maxima(point, final, flat)


def _line_search(
    loss: Likelihood,
    live: Array,
    point: Array,
    value: Array,
    gradient: Array,
    direction: Array,
    lower: Array,
    upper: Array,
) -> tuple[Array, Array, Array, Array]:
    """The first of the steps 1, 1/2, 1/4, ... that lowers each loss enough; (points, values, gradients, found)."""
    landed, new_value, new_gradient = point[live].copy(), value[live].copy(), gradient[live].copy()
    found = np.zeros(len(live), bool)
    length = 1.0
    for _ in range(_HALVINGS):
        open_ = np.flatnonzero(~found)
        if len(open_) == 0:
            break
        at = live[open_]
        trial = np.clip(point[at] + length * direction[open_], lower[at], upper[at])
        got, slope = loss(at, trial)
        # near the maximum a true gain is smaller than the rounding of the loss
        rounding = 1e-14 * np.abs(value[at])
        enough = got <= value[at] + 1e-4 * _dot(gradient[at], trial - point[at]) + rounding
        taken = open_[enough]
        landed[taken], new_value[taken], new_gradient[taken] = trial[enough], got[enough], slope[enough]
        found[taken] = True
        length *= 0.5
    return landed, new_value, new_gradient, found


def covariance(likelihood: Likelihood, point: Array, free: Array, step: float = 1e-4) -> Array:
    """Covariance (P, n, n) of the estimates: the inverse of the observed information (minus the matrix of second
    derivatives, by central differences of the gradient) over the variables that are `free` (P, n).

    Missing values: NaN in the rows and columns of variables that are not free, and everywhere in a problem whose
    information is not positive definite.
    """
    problems, variables = np.arange(len(point), dtype=np.int64), point.shape[1]
    information = np.empty((len(point), variables, variables))
    for which in range(variables):
        shift = np.zeros(variables)
        shift[which] = step
        ahead, behind = (likelihood(problems, point + sign * shift)[1] for sign in (1.0, -1.0))
        information[:, which] = -(ahead - behind) / (2.0 * step)
    information = 0.5 * (information + information.transpose(0, 2, 1))
    out = np.full(information.shape, np.nan)
    for problem in problems:
        some = np.flatnonzero(free[problem])
        own = information[problem][np.ix_(some, some)]
        if len(some) and np.isfinite(own).all() and np.linalg.eigvalsh(own)[0] > 0.0:
            out[problem][np.ix_(some, some)] = np.linalg.inv(own)
    return out


def standard_error(function: Callable[[Array], Array], point: Array, variance: Array, step: float = 1e-5) -> Array:
    """Standard error (P,) of function(point) -> (P,) by the delta method, from the covariance of `point` (P, n).

    Variables without a variance (NaN) count as known. Missing values: NaN where none has one.
    """
    slope = np.empty(point.shape)
    for which in range(point.shape[1]):
        shift = np.zeros(point.shape[1])
        shift[which] = step
        slope[:, which] = (function(point + shift) - function(point - shift)) / (2.0 * step)
    known = np.isnan(variance)
    square = (slope[:, :, np.newaxis] * np.where(known, 0.0, variance) * slope[:, np.newaxis, :]).sum(axis=(1, 2))
    return np.where(known.all(axis=(1, 2)), np.nan, np.sqrt(np.maximum(square, 0.0)))


def agreeing(values: Array, tolerance: float = 1e-3) -> Array:
    """How many of the starts (..., K) ended within `tolerance` of the highest log-likelihood of all."""
    top = values.max(axis=-1, keepdims=True)
    count: Array = (np.isfinite(values) & (values >= top - tolerance)).sum(axis=-1)
    return count
