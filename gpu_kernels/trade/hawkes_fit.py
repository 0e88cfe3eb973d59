"""Estimates of Hawkes processes, their maximum sought from several starts, and how well they explain the events."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import kstest

from gpu_kernels.dispatch import Array, Rows, column, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.maximum_likelihood import agreeing, covariance, maximise
from gpu_kernels.trade.hawkes_likelihood import log_likelihood
from gpu_kernels.trade.hawkes_state import MAXIMUM_KINDS, SECONDS

_STARTS = ((0.5, 1.0), (0.5, 10.0), (0.5, 100.0), (0.5, 0.1), (0.8, 10.0), (0.2, 1.0), (0.8, 1.0), (0.8, 100.0))
"""(share of the events that others bring, decay in multiples of the mean rate of all events)."""

_LEAST_BRANCHING, _MOST_BRANCHING = 1e-6, 10.0
_FASTEST = 1e8


@dataclass(frozen=True, slots=True)
class HawkesFit:
    """Estimates of S segments, in the shapes that `hawkes.intensity` takes. Missing values: NaN (False, 0) in a segment
    without an estimate; NaN standard errors on a bound, of the decay of a pair that does not excite, and where the
    information is not positive definite.

    baseline, branching, decay                         (S, M), (S, M, M), (S, M, M)
    baseline_error, branching_error, decay_error       their standard errors, by the observed information
    on_bound              (S, M, M) bool: no excitation was found from kind j to kind i
    spectral_radius       (S,) of the branching matrix: the process is stationary below 1, which is not imposed
    log_likelihood        (S,), of the best start; start_log_likelihood (S, K), where each start ended
    agreeing              (S,) int64, how many starts ended within 1e-3 of the best: 1 says that no other confirmed it
    converged             (S,) bool, whether the best climb ended because nothing was left to gain
    """

    baseline: Array
    branching: Array
    decay: Array
    baseline_error: Array
    branching_error: Array
    decay_error: Array
    on_bound: Array
    spectral_radius: Array
    log_likelihood: Array
    start_log_likelihood: Array
    agreeing: Array
    converged: Array

    @property
    def is_stationary(self) -> Array:
        """(S,) bool: the spectral radius is below 1."""
        below: Array = self.spectral_radius < 1.0
        return below


class _Packing:
    """Between a model's arrays and the variables of the fit: logarithms of baseline, branching and decay, of which
    there is one for all pairs, or one for each."""

    def __init__(self, kinds: int, is_common: bool) -> None:
        self.kinds, self.pairs, self.is_common = kinds, kinds * kinds, is_common
        self.count = kinds + self.pairs + (1 if is_common else self.pairs)

    def arrays(self, point: Array) -> tuple[Array, Array, Array]:
        values, shape = np.exp(point), (*point.shape[:-1], self.kinds, self.kinds)
        decay = values[..., self.kinds + self.pairs :]
        decay = np.repeat(decay, self.pairs, axis=-1) if self.is_common else decay
        branching = values[..., self.kinds : self.kinds + self.pairs]
        return values[..., : self.kinds], branching.reshape(shape), decay.reshape(shape)

    def variables(self, baseline: Array, branching: Array, decay: float) -> Array:
        decays = np.full(1 if self.is_common else self.pairs, decay)
        point: Array = np.log(np.concatenate([baseline, branching.ravel(), decays]))
        return point

    def gradient(self, by_baseline: Array, by_branching: Array, by_decay: Array) -> Array:
        flat = by_decay.reshape(len(by_decay), -1)
        by_decays = flat.sum(axis=1, keepdims=True) if self.is_common else flat
        return np.concatenate([by_baseline, by_branching.reshape(len(by_decay), -1), by_decays], axis=1)

    def free(self, point: Array) -> Array:
        """(P, n) bool: excitation off its lower bound, and the decay of what excites."""
        out = np.ones(point.shape, bool)
        excites = point[:, self.kinds : self.kinds + self.pairs] > np.log(10.0 * _LEAST_BRANCHING)
        out[:, self.kinds : self.kinds + self.pairs] = excites
        out[:, self.kinds + self.pairs :] = excites.any(axis=1, keepdims=True) if self.is_common else excites
        return out


def _first_points(packing: _Packing, rate: Array, starts: int) -> list[Array]:
    """Models of the observed mean rates (M,), for each of the first `starts` of `_STARTS`."""
    points = []
    for share, multiple in _STARTS[:starts]:
        others = 0.3 * share / max(packing.kinds - 1, 1)
        branching = np.full((packing.kinds, packing.kinds), others)
        branching[np.diag_indices(packing.kinds)] = share if packing.kinds == 1 else 0.7 * share
        baseline = np.maximum(rate - branching @ rate, 0.1 * rate)
        points.append(packing.variables(baseline, branching, multiple * float(rate.sum())))
    return points


def fit(
    time: Array,
    kind: Array,
    offsets: Array,
    start: Array,
    stop: Array,
    kinds: int,
    *,
    decay: str = "common",
    starts: int = 5,
) -> HawkesFit:
    """Maximum-likelihood estimates of a Hawkes process of `kinds` kinds from each segment's events in [start, stop).

    Each start is climbed to its maximum; the best is the estimate. What is read off it later than `stop` is causal.
    Stamps shared by many events (one order that hits many others) should be made one event first: events of one stamp
    do not excite each other here, so a burst counts as unexplained.
    time, kind, offsets   as in `hawkes.intensity`, in host memory; start, stop (S,) int64 ns
    kinds    M, 1 to 4
    decay    "common": one rate for all pairs; "pair": one for each pair of kinds
    starts   1 to 8

    Missing values: a segment with fewer events than variables, or without an event of some kind, has no estimate.
    Raises: ArgumentError.
    Source: Ozaki (1979), "Maximum likelihood estimation of Hawkes' self-exciting point processes"; Bacry, Mastromatteo
    and Muzy (2015), "Hawkes processes in finance".
    """
    kinds = positive("kinds", kinds, maximum=MAXIMUM_KINDS)
    starts = positive("starts", starts, maximum=len(_STARTS))
    if decay not in ("common", "pair"):
        raise ArgumentError(f"decay is {decay!r}", allowed='"common" or "pair"')
    rows = Rows(offsets, times={"time": time})
    time = rows.columns[0]
    start, stop = (column(name, clock, (np.dtype(np.int64),)) for name, clock in (("start", start), ("stop", stop)))
    none = np.empty(0, np.int64)
    # one call of nothing checks the arrays once, and here, where the caller's names are
    log_likelihood(time, kind, rows.offsets, start, stop, none, none, np.empty(0), *[np.empty((0, kinds))] * 2)
    kind = np.asarray(kind)
    packing, out = _Packing(kinds, decay == "common"), _nothing(rows.segments, kinds, starts)
    which, begin, lower, upper, scale = [], [], [], [], []
    for segment, (first, last) in enumerate(pairwise(rows.host_offsets)):
        own = kind[first:last][(time[first:last] >= start[segment]) & (time[first:last] < stop[segment])]
        counts = np.array([np.count_nonzero(own == each) for each in range(kinds)])
        if counts.min() == 0 or counts.sum() < packing.count:
            continue
        duration = float(stop[segment] - start[segment]) * SECONDS
        rate, pairs = counts / duration, np.ones((kinds, kinds))
        which += [segment] * starts
        begin += _first_points(packing, rate, starts)
        lower += [packing.variables(1e-4 * rate, _LEAST_BRANCHING * pairs, 0.1 / duration)] * starts
        upper += [packing.variables(10.0 * rate, _MOST_BRANCHING * pairs, _FASTEST)] * starts
        scale += [float(counts.sum())] * starts
    if not which:
        return out
    segments, targets = np.array(which, np.int64), np.arange(kinds, dtype=np.int64)

    def likelihood(problem: Array, point: Array) -> tuple[Array, Array]:
        baseline, branching, decays = packing.arrays(point)
        value, *slopes = log_likelihood(
            time,
            kind,
            rows.offsets,
            start,
            stop,
            np.repeat(segments[problem], kinds),
            np.tile(targets, len(problem)),
            baseline.ravel(),
            branching.reshape(-1, kinds),
            decays.reshape(-1, kinds),
        )
        arrays = (slopes[0].reshape(-1, kinds), slopes[1].reshape(branching.shape), slopes[2].reshape(branching.shape))
        scaled = (slope * array for slope, array in zip(arrays, (baseline, branching, decays), strict=True))
        return value.reshape(-1, kinds).sum(axis=1), packing.gradient(*scaled)

    maxima = maximise(likelihood, np.array(begin), np.array(lower), np.array(upper), np.array(scale))
    values = maxima.value.reshape(-1, starts)
    best = np.arange(len(values)) * starts + values.argmax(axis=1)
    point, of = maxima.point[best], segments[best]
    free = packing.free(point)
    variance = covariance(lambda problem, where: likelihood(best[problem], where), point, free)
    relative = packing.arrays(0.5 * np.log(np.diagonal(variance, axis1=1, axis2=2)))
    out.baseline[of], out.branching[of], out.decay[of] = packing.arrays(point)
    out.baseline_error[of], out.branching_error[of] = out.baseline[of] * relative[0], out.branching[of] * relative[1]
    out.decay_error[of] = out.decay[of] * relative[2]
    out.on_bound[of] = ~free[:, kinds : kinds + kinds * kinds].reshape(-1, kinds, kinds)
    out.spectral_radius[of] = np.abs(np.linalg.eigvals(out.branching[of])).max(axis=1)
    out.log_likelihood[of], out.start_log_likelihood[of] = values.max(axis=1), values
    out.agreeing[of], out.converged[of] = agreeing(values), maxima.converged[best]
    return out


def _nothing(segments: int, kinds: int, starts: int) -> HawkesFit:
    vector, matrix = (segments, kinds), (segments, kinds, kinds)
    return HawkesFit(
        baseline=np.full(vector, np.nan),
        branching=np.full(matrix, np.nan),
        decay=np.full(matrix, np.nan),
        baseline_error=np.full(vector, np.nan),
        branching_error=np.full(matrix, np.nan),
        decay_error=np.full(matrix, np.nan),
        on_bound=np.zeros(matrix, bool),
        spectral_radius=np.full(segments, np.nan),
        log_likelihood=np.full(segments, np.nan),
        start_log_likelihood=np.full((segments, starts), -np.inf),
        agreeing=np.zeros(segments, np.int64),
        converged=np.zeros(segments, bool),
    )


def goodness_of_fit(residual: Array, kind: Array, offsets: Array, kinds: int) -> tuple[Array, Array]:
    """Kolmogorov-Smirnov statistic and p-value, per segment and kind, of time-rescaling residuals against the
    exponential distribution of mean 1.

    residual (n,) of `hawkes_likelihood.residuals`, kind (n,), offsets (S + 1,), in host memory; kinds M
    returns  (S, M) float64 twice. The p-value holds for residuals of later events than the fit's; for those that the
             parameters were fitted to it is too large.

    Missing values: NaN residuals are left out; NaN where none remains.
    Raises: ArgumentError.
    Source: Ogata (1988), "Statistical models for earthquake occurrences and residual analysis for point processes".
    """
    kinds = positive("kinds", kinds, maximum=MAXIMUM_KINDS)
    rows = Rows(offsets, values={"residual": residual})
    if len(kind) != rows.count:
        raise ArgumentError(f"arrays of unequal length: residual {rows.count}, kind {len(kind)}", allowed="one length")
    values, kind = rows.columns[0], np.asarray(kind)
    statistic, p_value = np.full((rows.segments, kinds), np.nan), np.full((rows.segments, kinds), np.nan)
    for segment, (first, last) in enumerate(pairwise(rows.host_offsets)):
        for each in range(kinds):
            own = values[first:last][(kind[first:last] == each) & ~np.isnan(values[first:last])]
            if len(own):
                statistic[segment, each], p_value[segment, each] = kstest(own, "expon")
    return statistic, p_value
