"""Features of bars: forecasts of variance from past sessions and from the session so far. The group `forecast`.

Walk-forward: each fit uses earlier sessions only, on a schedule counted from the entity's first session.
"""

import numpy as np

from fusion.features.bar_names import BarFeature
from fusion.features.bar_rows import Array, BarRows
from fusion.features.bar_slots import Slots, multiplier_of, pattern_of, slots_in, slots_of
from fusion.features.ticks import BPS
from fusion.volatility.component import Component, forecast_bins, session_level, session_variance
from fusion.volatility.walk import Schedule
from gpu_kernels.spec import FeatureSpec

_MINUTE = 60 * 10**9


def _levels(rows: BarRows) -> Array:
    """(S,) the level of each session, a slot's mean variance, by log-HAR from the sessions before."""
    slots: Slots = rows.once(slots_of)
    factor, _ = rows.once(pattern_of, "variance")
    options, found = rows.settings.volatility, np.full(len(slots.opens), np.nan)
    schedule = Schedule(options.warm_up, 1, 1000)
    for first, last in slots.of_entities():
        variance = session_variance(slots.bins(first, last), factor[first:last])
        found[first:last] = session_level(variance, slots.width, schedule)
    return found


def _session(rows: BarRows) -> Array:
    slots: Slots = rows.once(slots_of)
    return slots.at(rows.once(_levels) * slots.width) * BPS**2


def _component(rows: BarRows, time: int) -> Array:
    slots: Slots = rows.once(slots_of)
    options, levels = rows.settings.volatility, rows.once(_levels)
    factor, multiplier = rows.once(pattern_of, "variance")[0], rows.once(multiplier_of)
    model = Component(schedule=Schedule(options.warm_up, 5, 250))
    table = np.full(slots.returns.shape, np.nan)
    for first, last in slots.of_entities():
        part = slice(first, last)
        bins, count = slots.bins(first, last), slots_in(rows, time)
        table[part] = forecast_bins(bins, levels[part], factor[part], multiplier[part], [count], model)[0]
    return slots.at(table, slots.closed) * BPS**2


FEATURES: tuple[BarFeature, ...] = (
    BarFeature(
        FeatureSpec(
            "bar_forecast_session", "bar", "bps^2", "each session",
            "variance of a full session, forecast at its open by log-HAR from past sessions",
            "before volatility.warm_up sessions and the 22 that HAR needs, or no bar known within max_age",
            "Corsi 2009",
        ),
        _session,
    ),
    BarFeature(
        FeatureSpec(
            "bar_forecast_<time>", "bar", "bps^2", "each slot",
            "variance of the <time> after the last slot closed by a bar: level of the session x time of day x "
            "scheduled events (where volatility.events names some) x state of the session",
            "as bar_forecast_session before fits on such sessions, or the session ends before <time> does",
            "Engle, Sokalska 2012; see fusion.volatility.component",
        ),
        _component,
        ((15 * _MINUTE,), (60 * _MINUTE,)),
    ),
)  # fmt: skip
