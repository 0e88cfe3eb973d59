"""The scores of features at one refit, by regime: none depends on which others are candidates.

Every row weighs w_s, its session's filtered probability of the regime. u and v are the grades of feature and label
(`fusion.selection.grades`), z_u and z_v these standardised with the weights, W_s = w_s times the session's rows.

    ic                  sum(w z_u z_v) / sum(w); its error, t and p: `fusion.correlation.Moments.pooled`
    t_newey_west        ic sum(w) / sqrt(g_0 + 2 sum_{l=1..L} (1 - l / (L + 1)) g_l),  g_l = sum_s psi_s psi_{s-l}
                        psi_s the session's influence (`Moments.pooled`), L the larger of h - 1 and 4 (S / 100)^(2/9)
                        of the window's S sessions, h of which a label spans
    icir                ic / sqrt(sum_s W_s (c_s - ic)^2 / sum_s W_s),  c_s the session's mean of z_u z_v: means are
                        those of the window, as in `fusion.correlation`
    mutual_information  nats, of the weighted counts of 8 x 8 bins of u and v, less the bias (c - a - b + 1) / (2 n) of
                        as many cells c, rows a and columns b as are not empty, n = sum(w)^2 / sum(w^2) rows; it may be
                        below 0. Rows of a session are not independent: it is comparable between features, no test
    stability           share of the parts of the window (as many sessions each) in which the IC has the sign of ic
    autocorrelation     weighted correlation of u with u of the same entity's decision before
    turnover            sum(w |u - before|) / sum(w |u|): the share of a position in proportion to u that is traded from
                        decision to decision; 4/3 where grades are independent

Source: Grinold (1989) for the IC and its ratio; Newey & West (1987, 1994); Miller (1955) for the bias.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion.correlation import Moments, PooledIC
from fusion.overlap import least_sessions
from fusion.selection.config import SelectionConfig
from fusion.selection.grades import BINS, SessionSums

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# a variance below this share of the mean square is the rounding of a constant
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Scores:
    """Of one refit, (regimes, features) each; `coverage` (features,). `expected`: sum of the sessions' weights."""

    ic: Floats
    t: Floats
    p: Floats
    sessions: Floats
    expected: Floats
    t_newey_west: Floats
    icir: Floats
    mutual_information: Floats
    stability: Floats
    autocorrelation: Floats
    turnover: Floats
    coverage: Floats

    def of(self, places: Sequence[int]) -> "Scores":
        """Those of some of the features."""
        return Scores(**{field.name: getattr(self, field.name)[..., places] for field in fields(self)})


def scored(
    sums: Sequence[SessionSums],
    labelled: Integers,
    window: Integers,
    weights: Floats,
    config: SelectionConfig,
    spanned: int,
) -> Scores:
    """The scores of all features at a refit.

    labelled  (sessions,) rows with a label
    window    which sessions the refit may see
    weights   (regimes, those sessions)
    spanned   how many sessions a label spans

    Missing values: NaN where a score is undefined. A regime with too few sessions for a t statistic has no t and p.
    """
    shape = (len(weights), len(sums))
    found = {field.name: np.full(shape, np.nan) for field in fields(Scores)}
    coverage = np.zeros(len(sums))
    total = int(labelled[window].sum())
    lags = max(spanned - 1, int(4 * (len(window) / 100) ** (2 / 9)))
    for f, each in enumerate(sums):
        # only these: sums over more sessions would round differently, even where the others hold nothing
        moments = Moments(np.ascontiguousarray(each.moments[:, window]))
        ic: PooledIC = moments.pooled(weights, min_rows=config.min_rows, overlap=spanned)
        # a regime that never came has tiny weights, whose effective number may yet be large: their sum tells
        expected = np.einsum("ks,s->k", weights, (moments.rows > 0).astype(np.float64))
        tested = np.where(expected >= needed(config, spanned), 1.0, np.nan)
        others = _others(weights, moments.sums, each.lags, each.joint, window, config.sub_windows, lags)
        others[:, np.isnan(ic.ic)] = np.nan
        found["ic"][:, f], found["sessions"][:, f], found["expected"][:, f] = ic.ic, ic.sessions, expected
        found["t"][:, f], found["p"][:, f] = ic.t * tested, ic.p * tested
        found["t_newey_west"][:, f] = others[0] * tested
        for name, values in zip(_OTHERS[1:], others[1:], strict=True):
            found[name][:, f] = values
        coverage[f] = moments.rows.sum() / total if total else 0.0
    return Scores(**found | {"coverage": coverage})


def needed(config: SelectionConfig, spanned: int) -> float:
    """Least expected number of sessions for a t statistic of labels that span so many."""
    return max(config.min_sessions, float(least_sessions(spanned)))


_OTHERS = ("t_newey_west", "icir", "stability", "autocorrelation", "turnover", "mutual_information")


@njit(cache=True, nogil=True)
def _others(weights, sums, lag_sums, joint, window, parts, lags):  # type: ignore[no-untyped-def]
    # one after the other, in the order of sessions: bits must not depend on threads or on what follows the window
    regimes, sessions = weights.shape
    found = np.full((6, regimes), np.nan)
    for k in range(regimes):
        part_sums = np.zeros((parts, 6))
        for s in range(sessions):
            for m in range(6):
                part_sums[s * parts // sessions, m] += weights[k, s] * sums[m, s]
        whole = np.zeros(6)
        for part in range(parts):
            for m in range(6):
                whole[m] += part_sums[part, m]
        ic = _correlation(whole)[4]
        if np.isnan(ic):
            continue
        psi, spread = _influences(weights[k], sums, whole)
        variance = _long_run(psi, lags)
        if variance > (_ROUNDING * whole[0]) ** 2:
            found[0, k] = ic * whole[0] / np.sqrt(variance)
        if spread > _ROUNDING**2:
            found[1, k] = ic / np.sqrt(spread)
        found[2, k] = _same_sign(part_sums, ic)
        lagged = _added_up(weights[k], lag_sums, window)
        found[3, k] = _correlation(lagged)[4]
        if lagged[7] > 0.0:
            found[4, k] = lagged[6] / lagged[7]
        squares = 0.0
        for s in range(sessions):
            squares += weights[k, s] ** 2 * sums[0, s]
        found[5, k] = _information(_added_up(weights[k], joint, window), whole[0], whole[0] ** 2 / squares)
    return found


@njit(cache=True, nogil=True)
def _added_up(weights, sums, window):  # type: ignore[no-untyped-def]
    total = np.zeros(sums.shape[1])
    for i in range(len(window)):
        for m in range(sums.shape[1]):
            total[m] += weights[i] * sums[window[i], m]
    return total


@njit(cache=True, nogil=True)
def _influences(weights, sums, whole):  # type: ignore[no-untyped-def]
    # each session's influence on the correlation, and the variance of the sessions' means of z_u z_v
    mean_u, mean_v, scale_u, scale_v, ic = _correlation(whole)
    psi, spread = np.zeros(len(weights)), 0.0
    for s in range(len(weights)):
        n, u, v = sums[0, s], sums[1, s], sums[2, s]
        cross = (sums[5, s] - mean_v * u - mean_u * v + n * mean_u * mean_v) / (scale_u * scale_v)
        square_u = (sums[3, s] - 2 * mean_u * u + n * mean_u * mean_u) / (scale_u * scale_u)
        square_v = (sums[4, s] - 2 * mean_v * v + n * mean_v * mean_v) / (scale_v * scale_v)
        psi[s] = weights[s] * (cross - ic * (square_u + square_v) / 2)
        if n > 0:
            spread += weights[s] * n * (cross / n - ic) ** 2
    return psi, spread / whole[0]


@njit(cache=True, nogil=True)
def _long_run(psi, lags):  # type: ignore[no-untyped-def]
    variance = 0.0
    for lag in range(min(lags, len(psi) - 1) + 1):
        product = 0.0
        for s in range(lag, len(psi)):
            product += psi[s] * psi[s - lag]
        variance += product if lag == 0 else 2 * (1 - lag / (lags + 1)) * product
    return variance


@njit(cache=True, nogil=True)
def _same_sign(part_sums, ic):  # type: ignore[no-untyped-def]
    same, defined = 0, 0
    for part in range(len(part_sums)):
        of_part = _correlation(part_sums[part])[4]
        if not np.isnan(of_part):
            defined += 1
            if of_part * ic > 0:
                same += 1
    return same / defined if defined > 0 else np.nan


@njit(cache=True, nogil=True)
def _correlation(sums):  # type: ignore[no-untyped-def]
    # means, deviations and correlation of sums of w, wu, wv, wuu, wvv, wuv; NaN where one of them is constant
    if not sums[0] > 0.0:
        return np.nan, np.nan, np.nan, np.nan, np.nan
    mean_u, mean_v, square_u, square_v = sums[1] / sums[0], sums[2] / sums[0], sums[3] / sums[0], sums[4] / sums[0]
    variance_u, variance_v = square_u - mean_u * mean_u, square_v - mean_v * mean_v
    if not (variance_u > _ROUNDING * square_u and variance_v > _ROUNDING * square_v):
        return np.nan, np.nan, np.nan, np.nan, np.nan
    scale_u, scale_v = np.sqrt(variance_u), np.sqrt(variance_v)
    ic = (sums[5] / sums[0] - mean_u * mean_v) / (scale_u * scale_v)
    return mean_u, mean_v, scale_u, scale_v, min(max(ic, -1.0), 1.0)


@njit(cache=True, nogil=True)
def _information(cells, total, rows):  # type: ignore[no-untyped-def]
    u, v = np.zeros(BINS), np.zeros(BINS)
    for i in range(BINS):
        for j in range(BINS):
            u[i] += cells[i * BINS + j]
            v[j] += cells[i * BINS + j]
    information, filled = 0.0, 0
    for i in range(BINS):
        for j in range(BINS):
            share = cells[i * BINS + j]
            if share > 0.0:
                filled += 1
                information += share / total * np.log(share * total / (u[i] * v[j]))
    filled_u, filled_v = 0, 0
    for i in range(BINS):
        filled_u += u[i] > 0.0
        filled_v += v[i] > 0.0
    return information - (filled - filled_u - filled_v + 1) / (2 * rows)
