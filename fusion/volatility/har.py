"""The HAR family: the variance of the coming sessions regressed on that of the last one, week and month.

    mean RV(t+1 .. t+h) = c + b_d RV(t) + b_w mean RV(t-4 .. t) + b_m mean RV(t-21 .. t) + error

A forecast indexed t is made after session t has ended. Coefficients are least squares (every session weighs the same),
fitted walk-forward on targets that were complete by then.

Source: Corsi (2009); Andersen, Bollerslev and Diebold (2007) for J and CJ; Bollerslev, Patton and Quaedvlieg (2016) for
Q and the insanity filter; Patton and Sheppard (2015) for semivariances.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.volatility.walk import Schedule
from gpu_kernels.dispatch import positive
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]

WEEK, MONTH = 5, 22
MODELS = ("HAR", "HAR-J", "HAR-CJ", "HARQ", "SHAR", "log-HAR")


class SessionVariance(NamedTuple):
    """Realised measures of each session, (n,) float64, in returns squared; a model asks for those that it names.

    variance      RV, the sum of squared returns
    bipower       of Barndorff-Nielsen and Shephard (HAR-J: J = max(RV - BPV, 0))
    jump          the significant jump part, 0 on most sessions (HAR-CJ; the continuous part is RV - jump)
    quarticity    in returns to the fourth power (HARQ)
    positive, negative  the semivariances: squared returns above and below 0 (SHAR)
    """

    variance: Floats
    bipower: Floats | None = None
    jump: Floats | None = None
    quarticity: Floats | None = None
    positive: Floats | None = None
    negative: Floats | None = None


def mean_over(values: Floats, sessions: int) -> Floats:
    """(n,) mean of the last `sessions` values up to and including each; NaN before there are so many, or over a NaN.

    Each mean is summed by itself: running sums would carry one session's rounding into all later ones.
    """
    out = np.full(len(values), np.nan)
    if len(values) >= sessions:
        windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values, dtype=np.float64), sessions)
        out[sessions - 1 :] = windows.sum(axis=1) / sessions
    return out


def mean_ahead(values: Floats, sessions: int) -> Floats:
    """(n,) mean of the `sessions` values after each one; NaN where they are not all there."""
    out = np.full(len(values), np.nan)
    if len(values) > sessions:
        out[:-sessions] = mean_over(values, sessions)[sessions:]
    return out


def regressors(measures: SessionVariance, model: str = "HAR") -> Floats:
    """(n, k) columns of a model's regression, the first one 1; row t is known after session t.

    HAR      1, RV_d, RV_w, RV_m
    HAR-J    HAR, J_d                             J_d = max(RV_d - BPV_d, 0)
    HAR-CJ   1, C_d, C_w, C_m, J_d, J_w, J_m      J the significant jumps, C = RV - J
    HARQ     HAR, sqrt(RQ_d) RV_d                 the weight of yesterday falls with the error it is measured with
    SHAR     1, RV+_d, RV-_d, RV_w, RV_m
    log-HAR  1, ln RV_d, ln RV_w, ln RV_m         logs of the means, as in Corsi's

    Missing values: a row is NaN before 22 sessions are there, and where a measure is; log-HAR also at a variance of 0.
    Raises: ArgumentError for another model or a measure that it needs and is not given.
    """
    variance = np.asarray(measures.variance, dtype=np.float64)
    one = np.ones(len(variance))
    week, month = mean_over(variance, WEEK), mean_over(variance, MONTH)
    match model:
        case "HAR":
            columns = [one, variance, week, month]
        case "HAR-J":
            jump = np.maximum(variance - _asked(measures, model, "bipower"), 0.0)
            columns = [one, variance, week, month, jump]
        case "HAR-CJ":
            jump = _asked(measures, model, "jump")
            parts = [variance - jump, jump]
            columns = [one, *(mean_over(part, length) for part in parts for length in (1, WEEK, MONTH))]
        case "HARQ":
            columns = [one, variance, week, month, np.sqrt(_asked(measures, model, "quarticity")) * variance]
        case "SHAR":
            columns = [one, _asked(measures, model, "positive"), _asked(measures, model, "negative"), week, month]
        case "log-HAR":
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = [np.log(value) for value in (variance, week, month)]
            columns = [one, *(np.where(np.isfinite(value), value, np.nan) for value in logs)]
        case _:
            raise ArgumentError(f"model {model!r}", allowed=", ".join(MODELS))
    return np.stack(columns, axis=1)


def _asked(measures: SessionVariance, model: str, name: str) -> Floats:
    found: Floats | None = getattr(measures, name)
    if found is None or np.shape(found) != np.shape(measures.variance):
        got = "none" if found is None else f"of shape {np.shape(found)}"
        raise ArgumentError(
            f"{model} needs `{name}`, which is {got}", allowed=f"an array of shape {np.shape(measures.variance)}"
        )
    return np.asarray(found, dtype=np.float64)


def least_squares(columns: Floats, target: Floats) -> Floats:
    """(k,) coefficients of the rows in which nothing is missing; the shortest ones where columns are collinear.

    Missing values: all NaN with fewer rows than columns.
    """
    there = np.isfinite(columns).all(axis=1) & np.isfinite(target)
    if there.sum() < columns.shape[1]:
        return np.full(columns.shape[1], np.nan)
    # columns of one size: variances of 1e-5 beside a 1 would lose digits, and a quarticity's column would be cut off
    scale = np.sqrt((columns[there] ** 2).mean(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    found: Floats = np.linalg.lstsq(columns[there] / scale, target[there], rcond=None)[0] / scale
    return found


def combine(columns: Floats, coefficients: Floats) -> Floats:
    """columns @ coefficients, column after column, so that a row's bits don't depend on the rows beside it."""
    out = np.zeros(len(columns))
    for place, coefficient in enumerate(coefficients):
        out += columns[:, place] * coefficient
    return out


def forecast_sessions(
    measures: SessionVariance,
    model: str = "HAR",
    *,
    horizon: int = 1,
    schedule: Schedule | None = None,
    ahead: Floats | None = None,
    filtered: bool = True,
) -> Floats:
    """(n,) forecast at t of the MEAN variance of sessions t + 1 to t + horizon, for t from the first fit on.

    horizon   sessions, e.g. 1, 5, 22; the fit at t uses rows i with i + horizon <= t
    schedule  default: from 250 sessions on, refitted every session, on the last 1000
    ahead     (n, j) further columns known at t of the sessions to come, e.g. the share of them with a scheduled event
    filtered  the insanity filter: a forecast outside the range of the targets in its fitting window is replaced by
              their mean. It also takes away negative forecasts.

    log-HAR fits ln of the target and answers exp(mu + s2 / 2), s2 the residual variance with n - k in the denominator:
    the mean of a log-normal variance.

    Missing values: NaN before the first fit, where a regressor is missing, and where a fit has too few rows.
    Raises: ArgumentError.
    """
    h = positive("horizon", horizon)
    schedule = schedule or Schedule(250, 1, 1000)
    columns = regressors(measures, model)
    if ahead is not None:
        ahead = np.asarray(ahead, dtype=np.float64)
        if ahead.ndim != 2 or len(ahead) != len(columns):
            raise ArgumentError(f"ahead has shape {ahead.shape}", allowed=f"({len(columns)}, columns)")
        columns = np.concatenate([columns, ahead], axis=1)
    target = mean_ahead(np.asarray(measures.variance, dtype=np.float64), h)
    logs = model == "log-HAR"
    out = np.full(len(columns), np.nan)
    # sessions known at t are 0 .. t, so that a fit "on sessions before at" is used from t = at - 1 on
    for begin, at, until in schedule.fits(len(columns) + 1):
        rows = slice(begin, max(begin, at - h))
        out[at - 1 : until - 1] = _fitted(columns[rows], target[rows], columns[at - 1 : until - 1], logs, filtered)
    return out


def _fitted(columns: Floats, target: Floats, now: Floats, logs: bool, filtered: bool) -> Floats:
    """Forecasts for the rows `now` by a fit on the rows `columns`."""
    there = np.isfinite(columns).all(axis=1) & np.isfinite(target)
    if logs:
        there &= np.where(there, target, 0.0) > 0
    columns, target = columns[there], target[there]
    if len(target) <= columns.shape[1]:
        return np.full(len(now), np.nan)
    fitted_to = np.log(target) if logs else target
    coefficients = least_squares(columns, fitted_to)
    found = combine(now, coefficients)
    if logs:
        residual = fitted_to - combine(columns, coefficients)
        with np.errstate(over="ignore"):
            found = np.exp(found + (residual @ residual) / (len(target) - columns.shape[1]) / 2.0)
    if filtered:
        sane = (found >= target.min()) & (found <= target.max())
        found = np.where(sane | np.isnan(found), found, target.mean())
    return found
