"""Variance of the coming bins of a session: level of the day x time of day x scheduled events x state of the session.

    E(d, k, h) = L_d  sum_{j = k .. k + h - 1} f_dj m_dj         expected when the session opens
    V(d, k, h) = E(d, k, h) exp(b_0 + b_1 ln S_3 + b_2 ln S_12 + b_3 R)

L   level of the day: the HAR forecast of a bin's mean variance
f   the factor of the time of day, known when the session opens; m the expected multiplier of scheduled events
S   the state: realised over expected, an exponentially weighted mean of this session's bins with a half-life of so many
    bins, which starts from 1 worth `prior` bins. After an event that moved more than expected it is above 1 and dies
    away.
R   an exponentially weighted mean of r / sqrt(L f m): falling prices raise variance

The coefficients are one quasi-likelihood fit for each horizon (the minimum of QLIKE), walk-forward over past sessions.

Source: Engle and Sokalska (2012), "Forecasting intraday volatility in the US equity market: multiplicative component
GARCH"; Andersen and Bollerslev (1997), "Intraday periodicity and volatility persistence". Exact variant: here the
intraday component is a regression on exponentially weighted means and not a GARCH(1,1), which allows two half-lives,
events and a weight for each horizon; the daily component is a HAR instead of a factor model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fusion.volatility.bins import SessionBins, ahead
from fusion.volatility.har import SessionVariance, combine, forecast_sessions
from fusion.volatility.quasi_likelihood import fit
from fusion.volatility.walk import Schedule
from gpu_kernels.dispatch import positive
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]

# a state below this is a session in which hardly any price came
_LOWEST = 1e-3
# of a session of which less was seen the variance is not told
_LEAST_SEEN = 0.25


@dataclass(frozen=True)
class Component:
    """What the model is made of.

    half_lives  of the states S, in bins: S is the exponentially weighted mean of realised over expected variance of the
                session's bins so far
    prior       how many bins the 1 is worth that each S starts from
    leverage    half-life, in bins, of R, the exponentially weighted mean of r / sqrt(expected) over the session's bins
                so far (r: a bin's return), below 0 where prices fell; None: the model has no R
    by_ranges   states of sqrt(Parkinson's variance / expected) instead of squared returns: high and low tell more of a
                bin's variance than its first price and its last one
    schedule    of the fits, in sessions
    ridge       of the fit, see `quasi_likelihood.fit`
    """

    half_lives: tuple[float, ...] = (3.0, 12.0)
    prior: float = 4.0
    leverage: float | None = 12.0
    by_ranges: bool = False
    schedule: Schedule = field(default_factory=lambda: Schedule(60, 5, 250))
    ridge: float = 1e-2


def session_variance(bins: SessionBins, factor: Floats) -> Floats:
    """(D,) variance of a full session: what was realised in the bins that are there over their share of the factors,
    times K. So a missing first hour or an early close does not make a quiet day of it.

    Missing values: NaN for a session of which less than a quarter of a full one was seen; a factor not known counts 1.
    """
    there = np.isfinite(bins.variance)
    width = bins.variance.shape[1]
    seen = np.where(there, np.where(np.isfinite(factor), factor, 1.0), 0.0).sum(axis=1)
    total = np.where(there, bins.variance, 0.0).sum(axis=1)
    enough = there.sum(axis=1) >= _LEAST_SEEN * width
    return np.where(enough, total / np.where(seen > 0, seen, 1.0) * width, np.nan)


def session_level(variance: Floats, width: int, schedule: Schedule, model: str = "log-HAR") -> Floats:
    """(D,) the level L of each session, a bin's mean variance, forecast after the session before.

    variance  (D,) of `session_variance`; width: K. A session without one takes the forecast that was made of it, so
              that one bad day does not silence the month after it.
    Missing values: NaN before the first fit.
    """
    filled = np.array(variance, dtype=np.float64)
    # a hole is filled by its own forecast, which needs the sessions before it to be whole, and the last fit before it
    for hole in np.flatnonzero(np.isnan(filled)).tolist():
        if hole >= schedule.first:
            last = replace(schedule, first=hole - (hole - schedule.first) % schedule.refit)
            filled[hole] = forecast_sessions(SessionVariance(filled[:hole]), model, schedule=last)[-1]
    out = np.full(len(filled), np.nan)
    out[1:] = forecast_sessions(SessionVariance(filled), model, schedule=schedule)[:-1]
    return out / width


def decayed_mean(values: Floats, half_life: float, start: float, prior: float) -> Floats:
    """(D, K) mean of a session's values before each bin, of weight 2^(-age / half_life), `prior` values of `start` with
    them, whose weight fades likewise.

    Missing values: a NaN value is stepped over and ages nothing.
    """
    if not half_life > 0 or not prior > 0:
        raise ArgumentError(f"half_life {half_life}, prior {prior}", allowed="above 0")
    keep = 0.5 ** (1.0 / half_life)
    out = np.empty(values.shape)
    total, weight = np.full(len(values), start * prior), np.full(len(values), float(prior))
    for k in range(values.shape[1]):
        out[:, k] = total / weight
        there = np.isfinite(values[:, k])
        total = np.where(there, keep * total + np.where(there, values[:, k], 0.0), total)
        weight = np.where(there, keep * weight + 1.0, weight)
    return out


def states(bins: SessionBins, expected: Floats, model: Component) -> Floats:
    """(D, K, j) regressors known at the start of each bin: 1, ln S for each half-life, R.

    expected  (D, K) L f m
    Raises: ArgumentError where ranges are asked for and are not there.
    """
    proxy = bins.variance
    if model.by_ranges:
        if bins.ranges is None:
            raise ArgumentError("by_ranges without ranges", hint="give high and low to bins_of")
        proxy = bins.ranges
    share = proxy / expected
    if model.by_ranges:
        share = np.sqrt(share)
    columns = [np.ones(share.shape)]
    for half_life in model.half_lives:
        columns.append(np.log(np.maximum(decayed_mean(share, half_life, 1.0, model.prior), _LOWEST)))
    if model.leverage is not None:
        steady = 1.0 / (1.0 - 0.5 ** (1.0 / model.leverage))  # the weight of a mean that began long ago
        columns.append(decayed_mean(bins.returns / np.sqrt(expected), model.leverage, 0.0, steady))
    return np.stack(columns, axis=2)


def forecast_bins(
    bins: SessionBins,
    level: Floats,
    factor: Floats,
    multiplier: Floats,
    horizons: Sequence[int],
    model: Component | None = None,
) -> list[Floats]:
    """For each horizon (D, K): the forecast, made at the start of each bin, of the variance of it and of the bins after
    it, `horizon` in all, inside the session.

    bins        of D sessions, K bins each
    level       (D,) of `session_level`: a bin's mean variance that the session is expected to have
    factor      (D, K) of the time of day: a bin's variance over that mean
    multiplier  (D, K) expected of scheduled events, 1 where none is near; all three are known when the session opens
    horizons    in bins, each at least 1; a list of so many forecasts is returned, in the squared units of bins.returns
    model       default: Component()

    Missing values: NaN before the first fit, where an expectation is missing, where the session (by its hours) ends
    before the horizon does, and where prices are so wild that a forecast leaves the range of float64.
    Raises: ArgumentError for a horizon below 1, and for a model by ranges of bins without them.
    """
    model = model or Component()
    expected = level[:, None] * factor * multiplier
    inside = np.arange(expected.shape[1]) < bins.lengths[:, None]
    expected = np.where(inside, expected, np.nan)
    columns = states(bins, expected, model)
    sessions, width = expected.shape
    found = []
    for horizon in horizons:
        total = ahead(expected, positive("horizon", horizon))
        ratio = ahead(bins.variance, horizon) / total
        out = np.full((sessions, width), np.nan)
        for begin, at, until in model.schedule.fits(sessions):
            rows = columns[begin:at].reshape(-1, columns.shape[2])
            coefficients = fit(rows, ratio[begin:at].ravel(), model.ridge)
            for session in range(at, until):
                with np.errstate(over="ignore"):
                    out[session] = total[session] * np.exp(combine(columns[session], coefficients))
        out[np.isinf(out)] = np.nan
        found.append(out)
    return found
