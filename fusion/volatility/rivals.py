"""The ordinary forecasts of the coming bins' variance, each as it comes and with the time of day.

Means of the past and regressions on them. "By time of day" means: the past is divided by the factors of its bins, the
forecast multiplied by those of the bins to come. GARCH(1,1) is in `garch`.

Source: Corsi (2009) for HAR; Andersen and Bollerslev (1997) for what the time of day does to such forecasts.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fusion.volatility.bins import SessionBins, ahead
from fusion.volatility.har import combine, least_squares
from fusion.volatility.walk import Schedule

Floats = NDArray[np.float64]

WEEK = 5


def trailing_mean(values: Floats, bins: int) -> Floats:
    """(D, K) mean of the last `bins` values before each bin, across nights, as far back as it takes.

    Missing values: NaN values are stepped over; NaN where fewer came before.
    """
    flat = values.ravel()
    there = np.isfinite(flat)
    kept = flat[there]
    out = np.full(len(flat), np.nan)
    if len(kept) >= bins:
        # each mean is summed by itself: running sums would carry rounding on
        means = np.lib.stride_tricks.sliding_window_view(kept, bins).sum(axis=1) / bins
        came = np.cumsum(there) - there  # values before each bin
        enough = came >= bins
        out[enough] = means[came[enough] - bins]
    return out.reshape(values.shape)


def rolling(bins: SessionBins, factor: Floats, horizon: int) -> Mapping[str, Floats]:
    """name -> (D, K) forecasts: the mean variance of the last `horizon` bins ("window"; not where that is the hour), of
    the last hour, day (K bins) and week (5 K bins), times the horizon; and each by time of day.

    Missing values: NaN where the past is too short, a factor is missing, or the session ends before the horizon does.
    """
    width = bins.variance.shape[1]
    hour = max(1, 3600 * 10**9 // bins.step)
    lengths = {"hour": hour, "day": width, "week": WEEK * width}
    if horizon != hour:
        lengths = {"window": horizon} | lengths
    weight = _weights(bins, factor)
    plain_total, total = ahead(np.where(np.isfinite(weight), 1.0, np.nan), horizon), ahead(weight, horizon)
    found = {}
    for name, length in lengths.items():
        found[f"rolling {name}"] = trailing_mean(bins.variance, length) * plain_total
        found[f"rolling {name}, diurnal"] = trailing_mean(bins.variance / weight, length) * total
    return found


def _weights(bins: SessionBins, factor: Floats) -> Floats:
    """The factors of the bins that a session has by its hours."""
    inside = np.arange(factor.shape[1]) < bins.lengths[:, None]
    return np.where(inside, factor, np.nan)


def spread_level(bins: SessionBins, level: Floats, factor: Floats, horizon: int) -> Mapping[str, Floats]:
    """A forecast of the day's level (D,), a bin's mean variance, spread over its bins evenly and by time of day."""
    weight = _weights(bins, factor)
    even = np.where(np.isfinite(weight), 1.0, np.nan)
    return {
        "daily HAR": level[:, None] * ahead(even, horizon),
        "daily HAR, diurnal": level[:, None] * ahead(weight, horizon),
    }


def intraday_har(bins: SessionBins, factor: Floats, horizon: int, schedule: Schedule) -> Mapping[str, Floats]:
    """HAR inside the session: the variance to come regressed on the mean of the last hour, day and week, walk-forward
    by least squares; plain, and with target and regressors by time of day.

    Forecasts outside the range of the targets fitted on are replaced by their mean (the insanity filter).
    Missing values: NaN before the first fit and as in `rolling`.
    """
    weight = _weights(bins, factor)
    even = np.where(np.isfinite(weight), 1.0, np.nan)
    width, hour = bins.variance.shape[1], max(1, 3600 * 10**9 // bins.step)
    found = {}
    for name, divisor in (("intraday HAR", even), ("intraday HAR, diurnal", weight)):
        total = ahead(divisor, horizon)
        target = ahead(bins.variance, horizon) / total
        share = bins.variance / divisor
        means = [trailing_mean(share, length) for length in (hour, width, WEEK * width)]
        columns = np.stack([np.ones(share.shape), *means], axis=2)
        out = np.full(share.shape, np.nan)
        for begin, at, until in schedule.fits(len(share)):
            past = target[begin:at][np.isfinite(target[begin:at])]
            if not len(past):
                continue
            coefficients = least_squares(columns[begin:at].reshape(-1, columns.shape[2]), target[begin:at].ravel())
            low, high, mean = past.min(), past.max(), past.mean()
            for session in range(at, until):
                fitted = combine(columns[session], coefficients)
                sane = (fitted >= low) & (fitted <= high) | np.isnan(fitted)
                out[session] = np.where(sane, fitted, mean) * total[session]
        found[name] = out
    return found
