"""Variance forecasts on a sample, walk-forward: of the coming minutes inside the session, and of the coming sessions.

What was chosen on data, and on which: the half-lives, the prior, the ridge, the kinds of events, their steps and
shrinkage, and the memory of the time of day were chosen on SPY 2018 (five-minute bars); the shrinkage also on 2015 of
`es_full`, and what is told there. Neither year is reported on. Everything else is fitted walk-forward, and the same
settings serve every sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fusion.studies.volatility_samples import CLIP, MINUTE, Sample, resolved
from fusion.volatility.bins import SessionBins, ahead
from fusion.volatility.compare import Score, compare
from fusion.volatility.component import Component, forecast_bins, session_level, session_variance
from fusion.volatility.events import event_multiplier, near_events
from fusion.volatility.garch import forecast_garch
from fusion.volatility.har import WEEK, mean_over
from fusion.volatility.rivals import intraday_har, rolling, spread_level
from fusion.volatility.walk import Schedule
from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility import diurnal

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

COMPONENT = "component"
LEVELS = Schedule(40, 1, 500)
FITS = Schedule(60, 5, 250)
MONTHLY = Schedule(60, 21, 250)
_DIURNAL_MEMORY, _DIURNAL_SMOOTHING = 120.0, 2
_LEAST = 0.05  # of the last five sessions' mean at that time of day: no forecast is lower


@dataclass(frozen=True)
class Intraday:
    """Forecasts of the variance of the coming bins of one sample for one horizon.

    minutes    the horizon; forecasts name -> (D, K), made at the start of each bin
    realised   (D, K) what came; by_range (D, K) the same by high and low, of single bins, or None
    """

    sample: Sample
    minutes: int
    forecasts: Mapping[str, Floats]
    realised: Floats
    by_range: Floats | None


def time_of_day(bins: SessionBins, clip: float = CLIP) -> Floats:
    """(D, K) the factor of each bin, known when its session opens: `gpu_kernels.volatility.diurnal`, the robust online
    mean. Missing values: NaN for the first five sessions."""
    sessions, width = bins.variance.shape
    slot = np.tile(np.arange(width, dtype=np.int64), sessions)
    found, _ = diurnal.pattern(
        np.ascontiguousarray(bins.variance).ravel(),
        slot,
        np.arange(sessions + 1, dtype=np.int64) * width,
        bins.lengths.astype(np.int64),
        np.zeros(sessions, np.int64),
        np.array([0, sessions], np.int64),
        slots=width,
        half_life=_DIURNAL_MEMORY,
        smoothing=_DIURNAL_SMOOTHING,
        cut=clip,
    )
    return np.asarray(found)


def forecast_intraday(sample: Sample, minutes: Sequence[int]) -> list[Intraday]:
    """Every forecast of a sample for each horizon. Raises ArgumentError for a horizon that is no multiple of a bin."""
    bins = sample.bins
    horizons = [length * MINUTE // bins.step for length in minutes]
    width = bins.variance.shape[1]
    factor = time_of_day(bins, sample.clip)
    variance = session_variance(bins, factor)
    level, plain_level = (session_level(variance, width, LEVELS, model) for model in ("log-HAR", "HAR"))
    base = level[:, None] * factor
    flat = np.ones(base.shape)
    news = event_multiplier(bins, base, sample.events)
    model = Component(schedule=FITS)
    runs = {
        COMPONENT: (news, model),
        "component, ranges": (news, replace(model, by_ranges=True)),
        "component without events": (flat, model),
        "component without leverage": (news, replace(model, leverage=None)),
        "component without state": (news, replace(model, half_lives=(), leverage=None)),
    }
    if bins.ranges is None:
        del runs["component, ranges"]
    if not any(map(len, sample.events.values())):
        del runs["component without events"]  # it is the component model
    made = {name: forecast_bins(bins, level, factor, *run[:1], horizons, run[1]) for name, run in runs.items()}
    scales = {"GARCH(1,1)": flat, "GARCH(1,1), diurnal": factor, "GARCH(1,1), level x diurnal": base}
    made |= {name: forecast_garch(bins, scale, tuple(horizons), MONTHLY) for name, scale in scales.items()}
    if sample.finer is not None:
        made |= _garch_of_bars(bins, sample.finer, factor, horizons)
    recent = np.append(np.nan, mean_over(variance, WEEK)[:-1])[:, None] / width
    found = []
    for place, horizon in enumerate(horizons):
        forecasts = {name: several[place] for name, several in made.items()}
        forecasts |= dict(rolling(bins, factor, horizon)) | dict(spread_level(bins, plain_level, factor, horizon))
        forecasts |= dict(intraday_har(bins, factor, horizon, FITS))
        least = _LEAST * recent * ahead(factor, horizon)
        forecasts = {name: np.maximum(forecast, least) for name, forecast in forecasts.items()}
        by_range = bins.ranges if horizon == 1 else None
        found.append(Intraday(sample, minutes[place], forecasts, ahead(bins.variance, horizon), by_range))
    return found


def _garch_of_bars(
    bins: SessionBins, finer: SessionBins, factor: Floats, horizons: Sequence[int]
) -> dict[str, list[Floats]]:
    """GARCH(1,1) of the returns of the bars themselves, as it comes and by time of day."""
    each = bins.step // finer.step
    whole = tuple(horizon * each for horizon in horizons)
    scales = {"GARCH(1,1) of bars": np.ones(factor.shape), "GARCH(1,1) of bars, diurnal": factor}
    return {
        name: [found[:, ::each] for found in forecast_garch(finer, np.repeat(scale, each, axis=1), whole, MONTHLY)]
        for name, scale in scales.items()
    }


def windows(sample: Sample, minutes: int) -> dict[str, Mask]:
    """name -> (D, K) the decisions that belong to a part of the sample; first all that are judged: from its
    `report_from` on, at the times of day at which there are prices enough for the horizon."""
    bins, events = sample.bins, sample.events
    judged = np.zeros(bins.variance.shape, np.bool_)
    judged[sample.report_from :] = resolved(sample, minutes)
    parts, near = {"all": judged}, np.zeros(judged.shape, np.bool_)
    for name, kinds in sample.windows.items():
        times = np.sort(np.concatenate([events[kind] for kind in kinds]))
        # where the session opens after an event, as SPY's does after 8:30, the window's later half is what there is
        found = near_events(bins, times, 30 * MINUTE, 120 * MINUTE)
        parts[name] = judged & found
        near |= found
    return parts | {"no event near": judged & ~near} if near.any() else parts


def judge_intraday(
    run: Intraday, where: Mask, *, by_range: bool = False, confidence: bool = False, draws: int = 1000
) -> list[Score]:
    """Scores of a run on a part of its sample, all against the component model.

    by_range  judge against the variance by high and low instead: of a single bin of one return a far better view
    Raises: ArgumentError where it is asked for and is not there; DataError where nothing can be judged.
    """
    realised = run.by_range if by_range else run.realised
    if realised is None:
        raise ArgumentError("by_range of a run without ranges of single bins")
    return compare(run.forecasts, realised, COMPONENT, where=where, confidence=confidence, draws=draws)
