"""Realised variance on sparse grids, and how much of the finest grid's is noise.

The model: a log price is seen with an error of its own at each time, independent of the others, of variance w². Then
the realised variance of all n returns of a session is its integrated variance + 2 n w², and the finer the worse.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, grid_of, on_cpu, positive, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility.lanes import LANES, dot, squared_steps
from gpu_kernels.volatility.path import Path

Edge = Literal["scaled", "none", "first", "highfrequency"]
_SCALED, _NONE, _FIRST, _HIGHFREQUENCY = 0, 1, 2, 3
_EDGES = {"scaled": _SCALED, "none": _NONE, "first": _FIRST, "highfrequency": _HIGHFREQUENCY}

PARZEN_CONSTANT = 3.5134
"""c* of Parzen's kernel (Barndorff-Nielsen, Hansen, Lunde and Shephard 2009)."""


class NoiseMeasures(NamedTuple):
    """Each (S,); `observations`, `slow` and `bandwidth` int64. See `noise_measures`."""

    observations: Array
    bandi_russell: Array
    zhou: Array
    oomen: Array
    hansen_lunde: Array
    sparse_variance: Array
    sparse_quarticity: Array
    optimal_interval: Array
    slow: Array
    bandwidth: Array


@body
def overlapping_squares(prices, begin, count, every, lanes):
    """Sum of the squares of all returns over `every` steps, of which there are count - every + 1."""
    return squared_steps(prices, begin, begin + count - every + 1, every, lanes)


@body
def _overlapping_fourths(prices, begin, count, every):
    total = 0.0
    for i in range(begin, begin + count - every + 1):
        square = (prices[i + every] - prices[i]) ** 2
        total += square * square
    return total


@body
def _grid(prices, first, last, every):
    """Realised variance of the grid first, first + every, ...; the last step may be short."""
    total = 0.0
    for i in range(first, last, every):
        change = prices[min(i + every, last)] - prices[i]
        total += change * change
    return total


@body
def _subsampled(prices, begin, count, every, edge, lanes):
    if every < 1 or count < every:
        return np.nan
    if edge == _FIRST:
        return _grid(prices, begin, begin + count // every * every, every)
    if edge != _HIGHFREQUENCY:
        mean = overlapping_squares(prices, begin, count, every, lanes) / every
        return mean * count / (count - every + 1.0) if edge == _SCALED else mean
    total = _grid(prices, begin, begin + count, every)
    left = count - every
    for offset in range(1, every):
        if left > 0:
            total += _grid(prices, begin + offset, begin + offset + left, every) * (left + every) / left
    return total / every if left > 0 or every == 1 else np.nan


@cpu_loop
def _subsampled_cpu(prices, offsets, counts, every, edge, out):
    for unit in prange(out.shape[0] * out.shape[1]):
        s, k = unit // out.shape[1], unit % out.shape[1]
        out[s, k] = _subsampled(prices, offsets[s] + s, counts[s], every[k], edge, np.empty(LANES))


@cuda.jit
def _subsampled_cuda(prices, offsets, counts, every, edge, out):
    unit = cuda.grid(1)
    if unit < out.shape[0] * out.shape[1]:
        s, k = unit // out.shape[1], unit % out.shape[1]
        lanes = cuda.local.array(1, np.float64)
        out[s, k] = _subsampled(prices, offsets[s] + s, counts[s], every[k], edge, lanes)


@body
def _mean_of(table, k):
    total, count = 0.0, 0
    for s in range(table.shape[0]):
        value = np.float64(table[s, k])
        if not math.isnan(value):
            total, count = total + value, count + 1
    return total / count if count > 0 else np.nan


@cpu_loop
def _mean_cpu(table, out):
    for k in prange(out.shape[0]):
        out[k] = _mean_of(table, k)


@cuda.jit
def _mean_cuda(table, out):
    k = cuda.grid(1)
    if k < out.shape[0]:
        out[k] = _mean_of(table, k)


@body
def _measures(changes, prices, start, begin, n, dense, sparse, out, whole, s, lanes):
    """What `noise_measures` gives for one segment of n returns."""
    for k in range(out.shape[0]):
        out[k, s] = np.nan
    whole[0, s], whole[1, s] = -1, -1
    if n < 2 or n < dense or n < sparse:
        return
    variance, neighbours = dot(changes, start, start + n, 0, lanes), dot(changes, start + 1, start + n, 1, lanes)
    noise = overlapping_squares(prices, begin, n, dense, lanes) / (2.0 * (n - dense + 1))
    grids, steps = np.float64(n - sparse + 1), n / np.float64(sparse)
    integrated = steps * overlapping_squares(prices, begin, n, sparse, lanes) / grids
    quarticity = steps * steps * _overlapping_fourths(prices, begin, n, sparse) / (3.0 * grids)
    out[0, s], out[1, s], out[2, s] = noise, -neighbours / n, -neighbours / (n - 1)
    out[3, s], out[4, s], out[5, s] = (variance - integrated) / (2.0 * n), integrated, quarticity
    if noise > 0.0 and quarticity > 0.0:
        out[6, s] = max(1.0, n / (quarticity / (4.0 * noise * noise)) ** (1.0 / 3.0))
        slow = (12.0 * noise * noise / quarticity) ** (1.0 / 3.0) * n ** (2.0 / 3.0)
        whole[0, s] = max(2, np.int64(min(slow, np.float64(n)) + 0.5))
        bandwidth = PARZEN_CONSTANT * (noise / integrated) ** 0.4 * n**0.6
        whole[1, s] = np.int64(math.ceil(min(bandwidth, np.float64(n))))


@cpu_loop
def _measures_cpu(changes, prices, offsets, counts, dense, sparse, out, whole):
    for s in prange(counts.shape[0]):
        lanes = np.empty(LANES)
        _measures(changes, prices, offsets[s], offsets[s] + s, counts[s], dense, sparse, out, whole, s, lanes)


@cuda.jit
def _measures_cuda(changes, prices, offsets, counts, dense, sparse, out, whole):
    s = cuda.grid(1)
    if s < counts.shape[0]:
        lanes = cuda.local.array(1, np.float64)
        _measures(changes, prices, offsets[s], offsets[s] + s, counts[s], dense, sparse, out, whole, s, lanes)


def noise_measures(returns: Array, offsets: Array, *, sparse: int, dense: int = 1) -> NoiseMeasures:
    """What noise there is in each session, and the settings of the estimators that follow from it.

    returns  (n,) float32 or float64 log returns, of each tick, second or minute (`returns.session_returns`,
             `returns.grid_returns`); offsets (S + 1,), a segment being a session
    sparse   returns to a step on which noise matters little (20 minutes in Barndorff-Nielsen et al. 2009); at least 1
    dense    returns to a step on which noise is measured, at least 1: more (they take each 25th tick or so) where
             neighbouring errors depend on each other

    With n returns r, g1 = sum of r r' over neighbours, and mean squares over all grids of a step (overlapping returns):
    observations       n
    bandi_russell      w² = mean square of `dense` returns / 2; for dense 1, RV / 2 n: too high by IV / 2 n
    zhou               w² = (RV - RV_AC1) / 2 n = -g1 / n, RV_AC1 = RV + 2 g1 being Zhou's variance
    oomen              w² = -g1 / (n - 1), free of bias; as Zhou's below 0 where returns trend
    hansen_lunde       w² = (RV - sparse_variance) / 2 n
    sparse_variance    IV: n / sparse x the mean square of `sparse` returns (`subsampled_variance`, edge="scaled")
    sparse_quarticity  IQ: (n / sparse)² x the mean fourth power of `sparse` returns / 3
    optimal_interval   returns to a step at which the mean squared error of RV is least: n / M, but at least 1, with
                       M = (IQ / (2 w²)²)^(1/3)
    slow               for `scales.two_scale_variance`: K = (12 w⁴ / IQ)^(1/3) n^(2/3), rounded, 2 to n
    bandwidth          for `realised_kernel.realised_kernel`, Parzen's: H = 3.5134 (w² / IV)^(2/5) n^(3/5), rounded up,
                       at most n; IV stands for sqrt(IQ), as in the paper
    The last three take w² by bandi_russell. Variances are per session; -1 in `slow` and `bandwidth` is "missing".

    Missing values: a return that is NaN or infinite is stepped over. NaN (-1) where a session has fewer than 2, `dense`
    or `sparse` returns; the last three also where prices do not move.
    Raises: ArgumentError, DeviceError.
    Source: Zhou (1996), "High-frequency data and volatility in foreign-exchange rates"; Bandi and Russell (2008),
    "Microstructure noise, realized variance, and optimal sampling"; Oomen (2006), "Comment" on Hansen and Lunde;
    Hansen and Lunde (2006), "Realized variance and market microstructure noise"; Zhang, Mykland and Ait-Sahalia (2005),
    "A tale of two time scales"; Barndorff-Nielsen, Hansen, Lunde and Shephard (2009), "Realized kernels in practice".
    """
    dense, sparse = positive("dense", dense), positive("sparse", sparse)
    path = Path(returns, offsets)
    segments = path.rows.segments
    out, whole = path.rows.empty((7, segments), path.dtype), path.rows.empty((2, segments), np.int64)
    arguments = (path.changes, path.prices, path.offsets, path.counts, dense, sparse, out, whole)
    if segments and path.rows.device:
        _measures_cuda[grid_of(segments)](*arguments)
    elif segments:
        on_cpu(_measures_cpu, path.rows.count, segments)(*arguments)
    return NoiseMeasures._make([path.counts, *(out[k] for k in range(7)), whole[0], whole[1]])


def _edge(edge: str) -> int:
    if edge not in _EDGES:
        raise ArgumentError(f"edge is {edge!r}", allowed='"scaled", "none", "first" or "highfrequency"')
    return _EDGES[edge]


def _on_grids(returns: Array, offsets: Array, intervals: Any, edge: int) -> tuple[Path, Array]:
    path = Path(returns, offsets)
    steps = to_side(np.asarray(intervals, np.int64), like=path.offsets)
    out = path.rows.empty((path.rows.segments, len(intervals)), path.dtype)
    units = path.rows.segments * len(intervals)
    arguments = (path.prices, path.offsets, path.counts, steps, edge, out)
    if units and path.rows.device:
        _subsampled_cuda[grid_of(units)](*arguments)
    elif units:
        on_cpu(_subsampled_cpu, path.rows.count * len(intervals), units)(*arguments)
    return path, out


def subsampled_variance(returns: Array, offsets: Array, every: int, *, edge: Edge = "scaled") -> Array:
    """Realised variance of each session on a grid of `every` returns, the mean over all `every` grids.

    returns  (n,) float32 or float64 log returns; offsets (S + 1,), a segment being a session
    every    returns to a step, at least 1, which gives RV itself
    edge     what is made of the returns at both ends, which fewer grids reach. With n returns and S the sum of all
             n - every + 1 squared overlapping returns over `every` steps:
             "scaled"  S / every x n / (n - every + 1), free of bias where variance is constant
             "none"    S / every, which covers n - every + 1 of the n returns (Zhang, Mykland and Ait-Sahalia 2005)
             "first"   the one grid from the first price on, without what is left after its last whole step
             "highfrequency"  rAVGCov of R's highfrequency, whose k is our one row and whose alignPeriod is `every` of
                       them: the first grid has all n returns, its last step being short where n is no multiple; each
                       other leaves out `every` returns and is scaled by n / (n - every). Its covariances (the matrix
                       off the diagonal) lack that scale.
    returns  (S,) variance per session

    Missing values: a return that is NaN or infinite is stepped over: steps are counted in returns that are there. NaN
    where there are fewer than `every` ("highfrequency": no more than `every`, but for 1).
    Raises: ArgumentError, DeviceError.
    Source: Zhang, Mykland and Ait-Sahalia (2005), "A tale of two time scales".
    """
    column: Array = _on_grids(returns, offsets, [positive("every", every)], _edge(edge))[1].reshape(-1)
    return column


def signature(
    returns: Array, offsets: Array, intervals: Sequence[int], *, edge: Edge = "scaled"
) -> tuple[Array, Array]:
    """The volatility signature plot: realised variance of each session by sampling interval, and its mean over
    sessions. It rises to the left where there is noise, and is level where there is none.

    returns, offsets   as in `subsampled_variance`
    intervals   K whole numbers of returns, each at least 1
    edge        as in `subsampled_variance`; the classic plot is "first"
    returns     (S, K) variances per session; (K,) their mean over the sessions that have one

    Missing values: as in `subsampled_variance`; the mean leaves out NaN and is NaN where no session has a value.
    Raises: ArgumentError, DeviceError.
    Source: Andersen, Bollerslev, Diebold and Labys (2000), "Great realizations".
    """
    steps = [positive("intervals", step) for step in intervals]
    if not steps:
        raise ArgumentError("no intervals", allowed="one or more")
    path, table = _on_grids(returns, offsets, steps, _edge(edge))
    mean = path.rows.empty(len(steps), path.dtype)
    if path.rows.device:
        _mean_cuda[grid_of(len(steps))](table, mean)
    else:
        on_cpu(_mean_cpu, table.size, len(steps))(table, mean)
    return table, mean
