"""Pooled information coefficients of a score and a forward return, with errors clustered by session.

Ranks and means are taken over ALL rows of a sample (a training window, the out-of-sample rows, a group of them) and
never inside a session. A session's own mean contains the future: what was made of past returns (momentum, RSI, order
flow) lies above it after a rise, and the return yet to come lies below it, so that an average of per-session ICs is
negative in a martingale (Marriott & Pope 1954, Kendall 1954). For a past return over P minutes against a forward
return over H, every d minutes, the bias of a mean over N decisions of a series is about

    -sqrt(P H) / (d N)      P 30, H 15, d 5:   -0.057 inside a session of 75 decisions,   -0.0002 over 300 sessions.

So the bias is the window's length over the sample's, and falls faster than the standard error. What it does not cover:
a score that persists over a large part of the sample AND is driven by the returns (a price level) stays biased
(Stambaugh 1999); give such a feature as a change, or as a distance from something recent.

Sessions, not rows, are what is independent: inside one, labels overlap and scores persist. The error is the jackknife's
over sessions, so that any dependence inside a session is allowed, and a session that the correlation leans on (a score
that is far out on few days) counts by what the others say without it. A sum of squared influences, as linearisation
gives, is too small there: the sample was fitted to the very session that it judges. Neighbouring sessions may be
dependent too, where a score persists and something else that persists moves the returns; so the larger of two errors
counts, with and without the products of neighbours. docs/planted_effects.md compares them on noise and on effects.
Labels that span several sessions depend on each other by construction: `fusion.overlap`.

Source: Spearman (1904); jackknife of clusters: Tukey (1958), MacKinnon, Nielsen & Webb (2023), variant CV3 about the
estimate, without their factor (n - 1) / n; weights of neighbours: Newey & West (1987), two lags, degrees of freedom
3 n / (2 (lags + 1)) by Priestley (1981); influences: Binder (1983), Liang & Zeger (1986); effective number: Kish
(1965).
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import stats

from fusion.overlap import long_run
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# a variance below this share of the mean square is the rounding of a constant
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PooledIC:
    """A correlation, its clustered standard error, t = ic / error, two-sided p, and the effective number of sessions.

    Arrays of the shape of the weights without their last axis. `error`, `t` and `p` are NaN where `ic` is or where the
    rows weigh in one session only.
    """

    ic: Floats
    error: Floats
    t: Floats
    p: Floats
    sessions: Floats


@dataclass(frozen=True)
class Moments:
    """Sums over each session's rows of 1, u, v, uu, vv, uv; (6, sessions) float64.

    u and v are the ranks, or the values, centred over the whole sample: fixed before any weighting or resampling. A
    weight belongs to a session, hence every weighted or resampled correlation follows from these sums.
    """

    sums: Floats

    @property
    def rows(self) -> Floats:
        """(sessions,) rows with both values."""
        counts: Floats = self.sums[0]
        return counts

    def correlation(self, weights: Floats) -> Floats:
        """sum(w z_u z_v) / sum(w), z standardised with the same weights.

        weights: (..., sessions), not negative, each for all rows of its session; the result has their shape without
        the last axis. Counts of a resampled set of sessions are weights too.
        Missing values: NaN where u or v is constant over the rows that weigh anything.
        """
        _, mean_u, mean_v, scale_u, scale_v, cross = self._weighted(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = np.clip((cross - mean_u * mean_v) / (scale_u * scale_v), -1.0, 1.0)
        return found

    def pooled(self, weights: Floats, *, min_rows: int = 3, overlap: int = 1) -> PooledIC:
        """The weighted correlation with its error clustered by session.

            d_s   = ic_(s) - ic,   ic_(s) the correlation without session s, 0 where there is none left
            error = sqrt(max(g_0, g_0 + 4/3 g_1 + 2/3 g_2)),   g_l = sum_s d_s d_{s-l}, sessions in the order of time
            n     = (sum_s W_s)^2 / sum_s W_s^2,   W_s = sum of w_i in session s
            t     = ic / error, with m - 1 degrees of freedom, m / 2 - 1 where neighbours make the error larger
            m     = (sum_s a_s)^2 / sum_s a_s^2,   a_s = w_s^2 sum_{i in s} z_u^2 sum_{i in s} z_v^2

        a_s is a session's share of the error's variance where nothing is related (Satterthwaite 1946; Bell & McCaffrey
        2002): a few sessions with extreme values are few degrees of freedom, however many sessions there are.

        weights: (..., sessions), not negative.
        overlap: how many sessions in a row have labels in common; above 1 the error's variance is
        `fusion.overlap.long_run`'s of the influences

            psi_s = sum_{i in s} w_i (z_u z_v - ic (z_u^2 + z_v^2) / 2)

        over sum(w)^2, and t has its degrees of freedom where they are fewer than m - 1.
        Missing values: everything is NaN with fewer than min_rows rows or a constant u or v; error, t and p with one
        session. `sessions` is 0 where nothing weighs anything.
        """
        weights = np.asarray(weights, dtype=np.float64)
        rows = self.rows
        total, mean_u, mean_v, scale_u, scale_v, _ = (value[..., None] for value in self._weighted(weights))
        weighs = np.einsum("...s,s->...", (weights > 0).astype(np.float64), rows)
        ic = np.where(weighs >= min_rows, self.correlation(weights), np.nan)
        freedom: Floats | float = np.inf
        neighbours: NDArray[np.bool_] | bool = False
        with np.errstate(invalid="ignore", divide="ignore"):
            cross, square_u, square_v = self._standardised(mean_u, mean_v, scale_u, scale_v)
            share = weights * rows / total
            n = np.nan_to_num(1.0 / (share * share).sum(axis=-1), posinf=0.0)
            if overlap > 1:
                influence = weights * (cross - ic[..., None] * (square_u + square_v) / 2)
                variance, freedom = _long_run(influence, share, n, overlap)
                deviation = np.sqrt(variance) / total[..., 0]
            else:
                flat = weights.reshape(ic.size, len(rows))
                alone, near = (found.reshape(ic.shape) for found in _jackknife(flat, self.sums, ic.ravel()))
                deviation, neighbours = np.sqrt(np.maximum(alone, near)), near > alone
            # sessions that all agree would divide by zero: rounding is the least error they can have
            error = np.where(n > 1.0 + _ROUNDING, np.maximum(deviation, _ROUNDING), np.nan)
            t = ic / error
            spread = weights * weights * square_u * square_v
            m = spread.sum(axis=-1) ** 2 / (spread * spread).sum(axis=-1) * np.where(neighbours, 0.5, 1.0)
            # no degree of freedom is the limit of ever fewer: p = 1, never significant
            p = np.asarray(2 * stats.t.sf(np.abs(t), np.maximum(np.minimum(m - 1.0, freedom), _ROUNDING)))
        return PooledIC(ic, np.where(np.isfinite(ic), error, np.nan), t, p, n)

    def contributions(self) -> Floats:
        """(sessions,) mean of z_u z_v over the session's rows: their mean weighted by `rows` is the correlation.

        Missing values: NaN in a session without rows, and everywhere where the correlation is.
        """
        _, mean_u, mean_v, scale_u, scale_v, _ = self._weighted(np.ones(self.sums.shape[1]))
        rows, u, v, _, _, uv = self.sums
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = (uv - mean_v * u - mean_u * v + rows * mean_u * mean_v) / (rows * scale_u * scale_v)
        return found

    def influences(self) -> Floats:
        """(sessions,) psi_s / sum(w) of `pooled` over all rows, weights being 1: what a session adds to the correlation
        when it weighs a little more. They sum to 0, and those of two scores of the same rows may be subtracted.

        Missing values: 0 everywhere where the correlation is NaN.
        """
        total, mean_u, mean_v, scale_u, scale_v, cross = self._weighted(np.ones(self.sums.shape[1]))
        with np.errstate(invalid="ignore", divide="ignore"):
            ic = (cross - mean_u * mean_v) / (scale_u * scale_v)
            products, square_u, square_v = self._standardised(mean_u, mean_v, scale_u, scale_v)
            found: Floats = np.nan_to_num((products - ic * (square_u + square_v) / 2) / total)
        return found

    def _standardised(self, mean_u: Floats, mean_v: Floats, scale_u: Floats, scale_v: Floats) -> tuple[Floats, ...]:
        """Each session's sums of z_u z_v, z_u^2 and z_v^2."""
        rows, u, v, uu, vv, uv = self.sums
        cross = (uv - mean_v * u - mean_u * v + rows * mean_u * mean_v) / (scale_u * scale_v)
        square_u = (uu - 2 * mean_u * u + rows * mean_u**2) / scale_u**2
        square_v = (vv - 2 * mean_v * v + rows * mean_v**2) / scale_v**2
        return cross, square_u, square_v

    def _weighted(self, weights: Floats) -> tuple[Floats, ...]:
        """Sum of weights, means of u and v, their deviations (NaN where constant), mean of uv."""
        # einsum adds in an order that no BLAS can change
        total, *sums = np.einsum("...s,ms->m...", np.asarray(weights, dtype=np.float64), self.sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_u, mean_v, square_u, square_v, cross = (value / total for value in sums)
            deviations = []
            for mean, square in ((mean_u, square_u), (mean_v, square_v)):
                variance = square - mean * mean
                deviations.append(np.sqrt(np.where(variance > _ROUNDING * square, variance, np.nan)))
        return np.asarray(total), mean_u, mean_v, *deviations, cross


def rank_moments(
    x: Floats, y: Floats, offsets: Integers, *, x_order: Integers | None = None, y_order: Integers | None = None
) -> Moments:
    """Moments of the average ranks of x and y among all rows where both are finite: for the rank IC.

    x, y: (rows,) in any unit; offsets: sessions, int64 rising from 0 to rows. `x_order` and `y_order` spare the sorting
    where a caller has `order(x)`; they may hold rows that are now missing, as long as the rest are in order.

    Missing values: rows where x or y is not finite are left out.
    Raises ArgumentError when lengths or offsets do not fit.
    """
    x, y, offsets = _checked(x, y, offsets)
    both = np.isfinite(x) & np.isfinite(y)
    u = _ranks(x, order(x) if x_order is None else x_order, both)
    v = _ranks(y, order(y) if y_order is None else y_order, both)
    # doubled average ranks have mean n + 1: centred they stay whole numbers, and their sums exact up to 2^53
    middle = np.count_nonzero(both) + 1.0
    return Moments(_sums(u - middle, v - middle, both, offsets))


def value_moments(x: Floats, y: Floats, offsets: Integers) -> Moments:
    """Moments of the values of x and y themselves: for Pearson's IC. Everything else as in `rank_moments`."""
    x, y, offsets = _checked(x, y, offsets)
    both = np.isfinite(x) & np.isfinite(y)
    return Moments(_sums(_centred(x, both), _centred(y, both), both, offsets))


def order(values: Floats) -> Integers:
    """Rows by rising value, for `rank_moments`."""
    return np.argsort(values, kind="stable")


def ranks(values: Floats) -> Floats:
    """Twice the average rank of each finite value, so that every rank is a whole number; NaN where not finite."""
    values = np.asarray(values, dtype=np.float64)
    ranked: Floats = _ranks(values, order(values), np.isfinite(values))
    return ranked


def _long_run(influence: Floats, share: Floats, n: Floats, overlap: int) -> tuple[Floats, Floats]:
    """`fusion.overlap.long_run` of each of many weightings."""
    shape, sessions = n.shape, influence.shape[-1]
    # a sample without scores has no session, of which -1 could not tell how many weightings there are
    rows = zip(influence.reshape(n.size, sessions), share.reshape(n.size, sessions), n.ravel(), strict=True)
    found = np.array([long_run(*row, overlap) for row in rows], dtype=np.float64).reshape(*shape, 2)
    return found[..., 0], found[..., 1]


def _checked(x: Floats, y: Floats, offsets: Integers) -> tuple[Floats, Floats, Integers]:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    offsets = np.asarray(offsets, dtype=np.int64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ArgumentError(f"x has shape {x.shape} and y {y.shape}", allowed="two vectors of one length")
    ends = (offsets[0], offsets[-1]) if offsets.ndim == 1 and len(offsets) else None
    if ends != (0, len(x)) or np.any(np.diff(offsets) < 0):
        raise ArgumentError(f"offsets do not cover {len(x)} rows", allowed=f"int64 rising from 0 to {len(x)}")
    return x, y, offsets


def _centred(values: Floats, used: NDArray[np.bool_]) -> Floats:
    """Values over the largest of them, less their mean: their squares neither overflow nor vanish."""
    largest = np.max(np.abs(values[used]), initial=0.0)
    if largest == 0.0:
        return np.zeros_like(values)
    scaled = np.where(used, values, 0.0) / largest
    centred: Floats = scaled - scaled.sum() / np.count_nonzero(used)
    return centred


@njit(cache=True, nogil=True)
def _jackknife(weights, sums, ic):  # type: ignore[no-untyped-def]
    """Of each weighting g_0 and g_0 + 4/3 g_1 + 2/3 g_2 of the deviations of the correlation without a session."""
    alone, near = np.zeros(len(weights)), np.zeros(len(weights))
    sessions = sums.shape[1]
    for k in range(len(weights)):
        before, second = 0.0, 0.0
        rows, u, v, uu, vv, uv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for s in range(sessions):
            w = weights[k, s]
            rows += w * sums[0, s]
            u += w * sums[1, s]
            v += w * sums[2, s]
            uu += w * sums[3, s]
            vv += w * sums[4, s]
            uv += w * sums[5, s]
        for s in range(sessions):
            w = weights[k, s]
            # what weighs nothing takes nothing away, not even by rounding
            if w == 0.0 or sums[0, s] == 0.0:
                before, second = 0.0, before
                continue
            n = rows - w * sums[0, s]
            without = 0.0
            if n > 0.0:
                mean_u, mean_v = (u - w * sums[1, s]) / n, (v - w * sums[2, s]) / n
                square_u, square_v = (uu - w * sums[3, s]) / n, (vv - w * sums[4, s]) / n
                variance_u, variance_v = square_u - mean_u * mean_u, square_v - mean_v * mean_v
                if variance_u > _ROUNDING * square_u and variance_v > _ROUNDING * square_v:
                    covariance = (uv - w * sums[5, s]) / n - mean_u * mean_v
                    without = min(max(covariance / (np.sqrt(variance_u) * np.sqrt(variance_v)), -1.0), 1.0)
            deviation = without - ic[k]
            alone[k] += deviation * deviation
            near[k] += deviation * (4.0 * before + 2.0 * second) / 3.0
            before, second = deviation, before
        near[k] += alone[k]
    return alone, near


@njit(cache=True)
def _ranks(values, order, used):  # type: ignore[no-untyped-def]
    ranked = np.full(len(values), np.nan)
    rows = np.empty(len(order), dtype=np.int64)
    n = 0
    for row in order:
        if used[row]:
            rows[n] = row
            n += 1
    first = 0
    while first < n:
        last = first
        while last + 1 < n and values[rows[last + 1]] == values[rows[first]]:
            last += 1
        for i in range(first, last + 1):
            ranked[rows[i]] = first + last + 2
        first = last + 1
    return ranked


@njit(cache=True)
def _sums(u, v, used, offsets):  # type: ignore[no-untyped-def]
    sums = np.zeros((6, len(offsets) - 1))
    for s in range(len(offsets) - 1):
        for i in range(offsets[s], offsets[s + 1]):
            if used[i]:
                sums[0, s] += 1.0
                sums[1, s] += u[i]
                sums[2, s] += v[i]
                sums[3, s] += u[i] * u[i]
                sums[4, s] += v[i] * v[i]
                sums[5, s] += u[i] * v[i]
    return sums
