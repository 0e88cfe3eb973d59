"""Variance forecasts of the coming sessions on a sample, walk-forward: the HAR family and its rivals.

Realised variance is of five-minute returns from open to close: nights are not in it. Nothing was chosen on data here:
the models are those of the papers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fusion.studies.volatility_forecasts import time_of_day
from fusion.studies.volatility_samples import Sample
from fusion.volatility.bins import SessionBins
from fusion.volatility.compare import Score, compare
from fusion.volatility.component import session_variance
from fusion.volatility.events import share_of_sessions
from fusion.volatility.garch import forecast_garch_sessions
from fusion.volatility.har import MODELS, MONTH, WEEK, SessionVariance, forecast_sessions, mean_ahead, mean_over
from fusion.volatility.walk import Schedule
from gpu_kernels.dispatch import Array
from gpu_kernels.volatility import realised
from gpu_kernels.volatility.jumps import bns_test

Floats = NDArray[np.float64]

REFERENCE = "HAR"
HORIZONS = (1, WEEK, MONTH)
FITS = Schedule(250, 1, 1000)
_GARCH_FITS = Schedule(250, 21, 1000)


def session_measures(bins: SessionBins, factor: Floats) -> SessionVariance:
    """Realised measures of each session's bins' returns (five minutes), scaled up where a part of it is missing."""
    sessions, width = bins.returns.shape
    offsets = np.arange(sessions + 1, dtype=np.int64) * width
    found = realised.session_measures(np.ascontiguousarray(bins.returns).ravel(), offsets)
    whole = replace(bins, variance=bins.returns**2)
    scale = session_variance(whole, factor) / np.asarray(found.variance)

    def scaled(values: Array, power: int = 1) -> Floats:
        out: Floats = np.asarray(values, dtype=np.float64) * scale**power
        return out

    # ratio statistic, maximum adjustment, one-sided, at 0.1 %, as in Andersen, Bollerslev and Diebold (2007)
    tested = bns_test(found.observations, found.variance, found.bipower, found.tripower_quarticity)
    return SessionVariance(
        scaled(found.variance),
        bipower=scaled(found.bipower),
        # where nothing can be tested, as in a session of hardly any returns, no jump was found
        jump=scaled(np.nan_to_num(tested.jump)),
        quarticity=scaled(found.quarticity, 2),
        positive=scaled(found.semivariance_up),
        negative=scaled(found.semivariance_down),
    )


@dataclass(frozen=True)
class AcrossSessions:
    """Forecasts, made after each session, of the mean variance of the coming `horizon` sessions: name -> (D, 1)."""

    sample: Sample
    horizon: int
    forecasts: Mapping[str, Floats]
    realised: Floats


def told_of(sample: Sample, horizon: int) -> tuple[str, ...]:
    """The kinds of events that a forecast of so many sessions may know of: all or, where the longest such time goes
    beyond their notice, none."""
    closes = sample.calendar_closes
    span = int((closes[horizon:] - closes[:-horizon]).max(initial=0))
    return sample.planned if sample.notice is None or span <= sample.notice else ()


def forecast_across(sample: Sample, horizons: Sequence[int] = HORIZONS) -> list[AcrossSessions]:
    """The HAR family, HAR and log-HAR told of scheduled events (the share of the coming sessions that have a decision
    of the FOMC, payrolls, consumer prices), and their rivals: the last session, the last week's and month's mean, and
    GARCH(1,1) of the returns from open to close. Without events that are known so far ahead the first two are left out.

    Realised variance is of the bins' returns from open to close; nights are not in it.
    """
    bins = sample.bins
    measures = session_measures(bins, time_of_day(bins, sample.clip))
    variance, days = measures.variance, len(bins.opens)
    whole_days = np.where(np.isfinite(variance), np.nansum(bins.returns, axis=1), np.nan)
    found = []
    for horizon in horizons:
        ahead_shares = [
            share_of_sessions(sample.calendar_opens, sample.calendar_closes, sample.events[kind], days, horizon)
            for kind in told_of(sample, horizon)
        ]
        forecasts = {model: forecast_sessions(measures, model, horizon=horizon, schedule=FITS) for model in MODELS}
        for model in ("HAR", "log-HAR") if ahead_shares else ():
            planned = np.stack(ahead_shares, axis=1)
            forecasts[f"{model}, events"] = forecast_sessions(
                measures, model, horizon=horizon, schedule=FITS, ahead=planned
            )
        for name, length in (("last session", 1), ("last week", WEEK), ("last month", MONTH)):
            forecasts[name] = mean_over(variance, length)
        forecasts["GARCH(1,1)"] = forecast_garch_sessions(whole_days, horizon, _GARCH_FITS)
        target = mean_ahead(variance, horizon)[:, None]
        columns = {name: forecast[:, None] for name, forecast in forecasts.items()}
        found.append(AcrossSessions(sample, horizon, columns, target))
    return found


def judge_across(run: AcrossSessions, *, confidence: bool = False, draws: int = 1000) -> list[Score]:
    """Scores of a run, all against plain HAR, on the sessions of the sample that are judged."""
    where = np.zeros(run.realised.shape, np.bool_)
    where[run.sample.report_from :] = True
    return compare(
        run.forecasts, run.realised, REFERENCE, where=where, horizon=run.horizon, confidence=confidence, draws=draws
    )
