"""Features of bars that know the time of day and scheduled events. The group `diurnal`.

What is expected of a slot is told when its session opens: the level of past sessions x the factor of the time of day x
what events known by then are expected to multiply it by. <time> is counted in slots of `volatility.interval`.
"""

from collections.abc import Callable

import numpy as np

from fusion.features.bar_names import BarFeature
from fusion.features.bar_rows import Array, BarRows
from fusion.features.bar_slots import Slots, expected_of, multiplier_of, pattern_of, slots_in, slots_of
from fusion.features.ticks import BPS, ratio
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.volatility import jumps

_MINUTE = 60 * 10**9
_HALF, _QUARTER, _HOUR = 30 * _MINUTE, 15 * _MINUTE, 60 * _MINUTE


def _now(rows: BarRows) -> Array:
    slots: Slots = rows.once(slots_of)
    return slots.at(rows.once(pattern_of, "variance")[0], slots.now)


def _ahead(rows: BarRows, time: int) -> Array:
    slots: Slots = rows.once(slots_of)
    return slots.ahead(rows.once(pattern_of, "variance")[0], slots_in(rows, time))


def _expected(rows: BarRows, time: int) -> Array:
    slots: Slots = rows.once(slots_of)
    return slots.sum_ahead(rows.once(expected_of), slots_in(rows, time)) * BPS**2


def _deseasonalised(rows: BarRows) -> Array:
    slots: Slots = rows.once(slots_of)
    factor = rows.once(pattern_of, "variance")[0]
    return slots.at(slots.returns / np.sqrt(factor), slots.closed - 1) * BPS


def _of_expected(rows: BarRows, time: int) -> Array:
    slots, count = rows.once(slots_of), slots_in(rows, time)
    expected = rows.once(expected_of)
    known = slots.last(np.where(np.isnan(expected), np.nan, 1.0), count)
    total = np.where(known == count, slots.last(expected, count), np.nan)
    return ratio(slots.last(slots.returns**2, count), total)


def _volume(rows: BarRows, time: int) -> Array:
    slots, count = rows.once(slots_of), slots_in(rows, time)
    factor, level = rows.once(pattern_of, "volume")
    usual = level[:, None] * factor
    known = slots.last(np.where(np.isnan(usual), np.nan, 1.0), count)
    total = np.where(known == count, slots.last(usual, count), np.nan)
    return ratio(slots.last(slots.volume, count), total)


def _multiplier(rows: BarRows, time: int) -> Array:
    slots: Slots = rows.once(slots_of)
    return slots.ahead(rows.once(multiplier_of), slots_in(rows, time))


def _jump_bars(rows: BarRows) -> jumps.JumpBars:
    """Lee and Mykland's test of each slot's return, over the slots of all sessions of an entity before it."""
    slots: Slots = rows.once(slots_of)
    root = np.sqrt(rows.once(pattern_of, "variance")[0])
    offsets = slots.entities * slots.width
    return jumps.lee_mykland(slots.returns.ravel(), offsets, root.ravel(), observations=max(slots.width, 3))


def _jump_statistic(rows: BarRows) -> Array:
    slots: Slots = rows.once(slots_of)
    statistic = rows.once(_jump_bars).statistic if slots.returns.size else np.zeros(0)
    return slots.at(statistic.reshape(slots.returns.shape), slots.closed - 1)


def _jump_return(rows: BarRows, time: int) -> Array:
    slots: Slots = rows.once(slots_of)
    found = rows.once(_jump_bars)
    jump, judged = found.jump.reshape(slots.returns.shape), found.statistic.reshape(slots.returns.shape)
    count = slots_in(rows, time)
    some = slots.last((~np.isnan(judged)).astype(np.float64), count) > 0
    return np.where(some, slots.last(jump, count), np.nan) * BPS


_LEARNED = "five sessions with the slot were not seen before, or no bar known within max_age"
_SEEN = f"{_LEARNED}, or the session has not had <time> since its first price"


def _feature(
    name: str,
    unit: str,
    clock: str,
    meaning: str,
    missing: str,
    source: str,
    formula: Callable[..., Array],
    standard: tuple[tuple[int, ...], ...] = ((),),
    needs: str | None = None,
) -> BarFeature:
    return BarFeature(FeatureSpec(name, "bar", unit, clock, meaning, missing, source), formula, standard, needs=needs)


FEATURES: tuple[BarFeature, ...] = (
    _feature(
        "bar_time_of_day_factor", "1", "each slot",
        "what the variance of the decision's slot is over the mean of a session's, from past sessions", _LEARNED,
        "Taylor, Xu 1997; Andersen, Bollerslev 1997", _now,
    ),
    _feature(
        "bar_time_of_day_ahead_<time>", "1", "each slot",
        "mean factor of the slots of the next <time>, or of what is left of the session", _LEARNED,
        "Andersen, Bollerslev 1997", _ahead, ((_HOUR,),),
    ),
    _feature(
        "bar_expected_variance_<time>", "bps^2", "each slot",
        "variance of the next <time> that the level of past sessions, the time of day and scheduled events let expect: "
        "the sum over its slots, from the decision's own on",
        f"{_LEARNED}, or the session ends before <time> does", "Andersen, Bollerslev 1998", _expected,
        ((_QUARTER,), (_HOUR,)),
    ),
    _feature(
        "bar_deseasonalised_return", "bps", "each slot",
        "log return of the last slot closed by a bar, over the root of its factor",
        f"{_LEARNED}, or no price in the slot", "Andersen, Bollerslev 1997", _deseasonalised,
    ),
    _feature(
        "bar_realised_over_expected_<time>", "1", "each slot",
        "squared slot returns of the last <time> of closed slots over what was expected of them", _SEEN,
        "Engle, Sokalska 2012", _of_expected, ((_HALF,), (_HOUR,)),
    ),
    _feature(
        "bar_abnormal_volume_<time>", "1", "each slot",
        "volume of the last <time> of closed slots over its usual at that time of day", _SEEN, "definition",
        _volume, ((_HALF,),),
    ),
    _feature(
        "bar_jump_statistic", "1", "each slot",
        "return of the last slot closed by a bar over its volatility: bipower variation of the slots before, over "
        "sessions, times the root of its factor", f"{_LEARNED}, or the entity has too few slots before it",
        "Lee, Mykland 2008; Boudt, Croux, Laurent 2011", _jump_statistic,
    ),
    _feature(
        "bar_jump_return_<time>", "bps", "each slot",
        "sum of the returns of the last <time> of closed slots that are jumps by that statistic, at 1 % a session",
        f"{_SEEN}, or no slot of them could be judged", "Lee, Mykland 2008", _jump_return, ((_HOUR,),),
    ),
    _feature(
        "bar_event_multiplier_<time>", "1", "each slot",
        "mean over the slots of the next <time> of what scheduled events are expected to multiply variance by, from "
        "past events of the kind; 1 where none is near", "no bar known within max_age", "Andersen, Bollerslev 1998",
        _multiplier, ((_QUARTER,), (_HOUR,)), "events",
    ),
)  # fmt: skip
