"""The state of one entity in the detector of droughts, and what an event does to it.

What rests and arrives near the touch is summed up to a clock's ticks; once a tick the sums become smoothed logarithms,
which are compared with the baseline, and then teach it. So an event costs a few additions, and a row says what the last
tick at or before it saw.

The baseline of each of the five measures is
    w profile[bucket] + (1 - w) day + level,    w = n / (n + shrinkage)
with `profile` the mean of a bucket of the day over the n past sessions that had it, `day` the mean of all buckets, and
`level` a slow trailing mean of what today differs from both; in an entity's first session, of the measure itself. A
bucket's own session enters the profile when it is left, so it is never compared with itself. All means clip what is
new to +-0.5 (a factor of 1.65), so that a drought hardly moves what it is measured by.
"""

import math
from collections.abc import Sequence

import numpy as np

from gpu_kernels._jit import body
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.errors import ArgumentError

MEASURES = 5
"""Bid depth, ask depth, spread, bid replenishment, ask replenishment; in this order everywhere below."""

# the state's numbers: blocks of one number a measure, then single ones
_STANDING, _SUM, _MEAN, _WEIGHT, _LEVEL, _SCALE, _BUCKET_MEAN, _DAY, _DAY_SUM, _RESIDUAL, _NOW = range(0, 55, MEASURES)
_INDEX = 55
NUMBERS = 56
# and its marks, nanoseconds and counts
_TIME, _FROM, _TICK, _KNOWN, _TICKS, _SAMPLES, _BUCKET, _BUCKET_COUNT, _DAY_COUNT, _SESSIONS = range(10)
_IN, _ONSET, _CANDIDATE, _RELEASE = range(10, 14)
MARKS = 14
# settings, as one float64 array: what a step needs beside the state
_CLOCK, BUCKET_NS, _FAST, _SLOW, _SETTLE, _WARM_UP, _ADAPT, _SHRINKAGE, _MEMORY = range(9)
_W_DEPTH, _W_SPREAD, _W_REPLENISH, _ENTER, _LEAVE, _GATE, _HOLD, _RELEASE_NS = range(9, 17)
SETTINGS = 17

_CLIP, _FIRST_SCALE, _LEAST_SCALE, _SCALE_GAIN = 0.5, 0.3, 0.05, 0.05
_COUNT = MEASURES  # column of the profile that counts sessions


@body
def start(numbers, marks, profile):
    """The state before an entity's first session."""
    numbers[:] = 0.0
    marks[:] = 0
    profile[:] = 0.0
    for j in range(MEASURES):
        numbers[_SCALE + j] = _FIRST_SCALE


@body
def _forget(numbers, marks):
    """The book is unknown: nothing smoothed holds any more."""
    for j in range(MEASURES):
        numbers[_SUM + j] = numbers[_MEAN + j] = numbers[_WEIGHT + j] = numbers[_STANDING + j] = 0.0
    numbers[_STANDING + 2] = numbers[_INDEX] = np.nan
    marks[_KNOWN] = marks[_TICKS] = marks[_IN] = 0
    marks[_CANDIDATE] = marks[_RELEASE] = -1


@body
def _base(numbers, marks, profile, settings, j):
    """What past sessions say of measure j in the present bucket."""
    if marks[_SESSIONS] == 0:
        return 0.0
    count = profile[marks[_BUCKET], _COUNT]
    share = count / (count + settings[_SHRINKAGE]) if count > 0.0 else 0.0
    return numbers[_DAY + j] + share * (profile[marks[_BUCKET], j] - numbers[_DAY + j])


@body
def _leave_bucket(numbers, marks, profile, settings):
    """Teach the profile what the bucket was like, if at least half of it was seen."""
    if 2.0 * marks[_BUCKET_COUNT] * settings[_CLOCK] >= settings[BUCKET_NS]:
        bucket = marks[_BUCKET]
        count = profile[bucket, _COUNT]
        for j in range(MEASURES):
            seen = _base(numbers, marks, profile, settings, j) + numbers[_BUCKET_MEAN + j]
            numbers[_DAY_SUM + j] += seen
            # kept aside until all five are done: the base of each needs the old count
            numbers[_RESIDUAL + j] = profile[bucket, j] + (seen - profile[bucket, j]) / min(
                count + 1.0, settings[_MEMORY]
            )
        for j in range(MEASURES):
            profile[bucket, j] = numbers[_RESIDUAL + j]
        profile[bucket, _COUNT] = count + 1.0
        marks[_DAY_COUNT] += 1
    marks[_BUCKET_COUNT] = 0


@body
def open_session(numbers, marks, profile, settings):
    """Between two sessions, and before the first: what the last one taught becomes the past."""
    _leave_bucket(numbers, marks, profile, settings)
    if marks[_DAY_COUNT] > 0:
        marks[_SESSIONS] += 1
        share = 1.0 / min(np.float64(marks[_SESSIONS]), settings[_MEMORY])
        for j in range(MEASURES):
            numbers[_DAY + j] += share * (numbers[_DAY_SUM + j] / marks[_DAY_COUNT] - numbers[_DAY + j])
            numbers[_LEVEL + j] = 0.0
    for j in range(MEASURES):
        numbers[_DAY_SUM + j] = 0.0
    marks[_DAY_COUNT] = 0
    marks[_BUCKET] = -1
    _forget(numbers, marks)


@body
def _index(numbers, settings):
    """How far the book is from usual, in its own usual deviations: the weighted mean of thinness (of the fuller
    side), spread, and slowness of replenishment (of the faster side); no more than the least of them where that is
    below the gate."""
    total, weight, least = 0.0, 0.0, np.inf
    for part in range(3):
        if part == 1:
            z = numbers[_RESIDUAL + 2] / numbers[_SCALE + 2]
        else:
            bids, asks = (0, 1) if part == 0 else (3, 4)
            z = min(
                -numbers[_RESIDUAL + bids] / numbers[_SCALE + bids], -numbers[_RESIDUAL + asks] / numbers[_SCALE + asks]
            )
        share = settings[_W_DEPTH + part]
        total += share * z
        weight += share
        least = min(least, z if share > 0.0 else np.inf)
    return total / weight if least >= settings[_GATE] else min(total / weight, least)


@body
def _judge(numbers, marks, settings, at):
    """Enter or leave the drought at a tick."""
    index = numbers[_INDEX]
    if marks[_IN] == 0:
        if not index >= settings[_ENTER]:
            marks[_CANDIDATE] = -1
        else:
            if marks[_CANDIDATE] < 0:
                marks[_CANDIDATE] = at
            if at - marks[_CANDIDATE] >= settings[_HOLD]:
                marks[_IN], marks[_ONSET], marks[_RELEASE] = 1, marks[_CANDIDATE], -1
    elif index >= settings[_LEAVE]:
        marks[_RELEASE] = -1
    else:
        if marks[_RELEASE] < 0:
            marks[_RELEASE] = at
        if at - marks[_RELEASE] >= settings[_RELEASE_NS]:
            marks[_IN], marks[_CANDIDATE] = 0, -1


@body
def _learn(numbers, marks, settings):
    """Move the level, the scale and the bucket's mean by what this tick saw."""
    marks[_SAMPLES] += 1
    marks[_BUCKET_COUNT] += 1
    gain = max(1.0 / marks[_SAMPLES], settings[_ADAPT])
    for j in range(MEASURES):
        residual, scale = numbers[_RESIDUAL + j], numbers[_SCALE + j]
        deviation = min(abs(residual) / scale, 2.0) - 1.0
        numbers[_SCALE + j] = max(scale * (1.0 + min(gain, _SCALE_GAIN) * deviation), _LEAST_SCALE)
        # the bucket's mean is of the same measure, before today's level is taken off
        apart = numbers[_LEVEL + j] + residual - numbers[_BUCKET_MEAN + j]
        numbers[_BUCKET_MEAN + j] += min(max(apart, -_CLIP), _CLIP) / marks[_BUCKET_COUNT]
        numbers[_LEVEL + j] += gain * min(max(residual, -_CLIP), _CLIP)


@body
def _smoothed(numbers, j):
    """A measure as it is judged: thin and wide count only while they still are, so that smoothing does not stretch a
    gap that has closed."""
    mean = numbers[_MEAN + j] / numbers[_WEIGHT + j]
    if j > 2:
        return mean
    return min(mean, numbers[_NOW + j]) if j == 2 else max(mean, numbers[_NOW + j])


@body
def _tick(numbers, marks, profile, settings, opened, at):
    """One tick of the clock, at which the sums since the last one are whole."""
    seconds = np.float64(at - marks[_FROM]) * 1e-9
    bad = False
    for j in range(MEASURES):
        smoothing = settings[_SLOW] if j > 2 else settings[_FAST]
        numbers[_NOW + j] = numbers[_SUM + j] / seconds
        numbers[_MEAN + j] += smoothing * (numbers[_NOW + j] - numbers[_MEAN + j])
        numbers[_WEIGHT + j] += smoothing * (1.0 - numbers[_WEIGHT + j])
        numbers[_SUM + j] = 0.0
        bad = bad or not (numbers[_MEAN + j] > 0.0 and (j != 2 or numbers[_NOW + j] > 0.0))
    marks[_FROM] = at
    marks[_TICKS] += 1
    # the tick ends an interval: its bucket is the one that the interval lies in
    bucket = min(max(np.int64((at - 1 - opened) // np.int64(settings[BUCKET_NS])), 0), profile.shape[0] - 1)
    if bad or marks[_TICKS] < settings[_SETTLE]:
        numbers[_INDEX] = np.nan
        marks[_IN], marks[_CANDIDATE] = 0, -1
        return
    if bucket != marks[_BUCKET]:
        _leave_bucket(numbers, marks, profile, settings)
        marks[_BUCKET] = bucket
    for j in range(MEASURES):
        value = math.log(_smoothed(numbers, j)) - _base(numbers, marks, profile, settings, j)
        if marks[_SAMPLES] == 0:
            numbers[_LEVEL + j] = value
        if marks[_BUCKET_COUNT] == 0:
            numbers[_BUCKET_MEAN + j] = value
        numbers[_RESIDUAL + j] = value - numbers[_LEVEL + j]
    numbers[_INDEX] = _index(numbers, settings) if marks[_SAMPLES] >= settings[_WARM_UP] else np.nan
    _judge(numbers, marks, settings, at)
    _learn(numbers, marks, settings)


@body
def _stand(numbers, marks, until):
    """What has stood since the last event or tick is added up to `until`."""
    seconds = np.float64(until - marks[_TIME]) * 1e-9
    for j in range(3):
        numbers[_SUM + j] += numbers[_STANDING + j] * seconds
    marks[_TIME] = until


@body
def step(numbers, marks, profile, settings, opened, time, bids, asks, spread, bids_arrived, asks_arrived):
    """One row of the book, measured by `liquidity.near_touch`: updates the state (`start`, then `open_session` for each
    session) and returns (in a drought, its depth, its age, the index)."""
    while marks[_KNOWN] != 0 and marks[_TICK] <= time:
        at = marks[_TICK]
        _stand(numbers, marks, at)
        _tick(numbers, marks, profile, settings, opened, at)
        marks[_TICK] += np.int64(settings[_CLOCK])
    if math.isnan(bids) or math.isnan(asks) or (math.isnan(spread) and math.isnan(numbers[_STANDING + 2])):
        _forget(numbers, marks)
        return np.nan, np.nan, np.nan, np.nan
    if marks[_KNOWN] == 0:
        clock = np.int64(settings[_CLOCK])
        marks[_KNOWN], marks[_TIME], marks[_FROM] = 1, time, time
        marks[_TICK] = opened + ((time - opened) // clock + 1) * clock
    else:
        _stand(numbers, marks, time)
        numbers[_SUM + 3] += 0.0 if math.isnan(bids_arrived) else bids_arrived
        numbers[_SUM + 4] += 0.0 if math.isnan(asks_arrived) else asks_arrived
    numbers[_STANDING], numbers[_STANDING + 1] = bids, asks
    # a side that has nothing leaves no spread: the last one stands
    if not math.isnan(spread):
        numbers[_STANDING + 2] = spread
    index = numbers[_INDEX]
    if math.isnan(index):
        return np.nan, np.nan, np.nan, np.nan
    if marks[_IN] == 0:
        return 0.0, 0.0, 0.0, index
    gone = 1.0 - math.exp(min(max(numbers[_RESIDUAL], numbers[_RESIDUAL + 1]), 0.0))
    return 1.0, gone, np.float64(time - marks[_ONSET]) * 1e-9, index


def _number(name: str, value: object, least: float, most: float = 1e9) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float | np.number) and least <= value <= most:
        return float(value)
    raise ArgumentError(f"{name} is {value!r}", allowed=f"a number from {least:g} to {most:g}")


def settings_of(
    *,
    clock_seconds: float = 0.5,
    bucket_seconds: float = 900.0,
    smoothing_seconds: float = 2.0,
    replenishment_seconds: float = 5.0,
    warm_up_seconds: float = 300.0,
    adapt_seconds: float = 1800.0,
    shrinkage: float = 1.0,
    memory: int = 20,
    weights: Sequence[float] = (1.0, 1.0, 1.0),
    enter: float = 2.0,
    leave: float = 1.0,
    gate: float = 0.25,
    hold_seconds: float = 3.0,
    release_seconds: float = 3.0,
) -> Array:
    """The parameters of `drought.drought` checked, as the (SETTINGS,) float64 array of `step`; ArgumentError."""
    clock = _number("clock_seconds", clock_seconds, 1e-3, 3600.0)
    fast = _number("smoothing_seconds", smoothing_seconds, clock)
    slow = _number("replenishment_seconds", replenishment_seconds, clock)
    if len(weights) != 3 or not all(0.0 <= weight < math.inf for weight in weights) or not sum(weights) > 0.0:
        raise ArgumentError(
            f"weights are {tuple(weights)}", allowed="three finite numbers of at least 0 (depth, spread, replenishment)"
        )
    enter = _number("enter", enter, 0.0)
    found = np.zeros(SETTINGS)
    found[_CLOCK] = round(clock * 1e9)
    found[BUCKET_NS] = round(_number("bucket_seconds", bucket_seconds, clock, 86_400.0) * 1e9)
    found[_FAST], found[_SLOW] = 1.0 - math.exp(-clock / fast), 1.0 - math.exp(-clock / slow)
    # two time constants: then the smoothed values weigh at least 86 % of what they would after a long time
    found[_SETTLE] = math.ceil(2.0 * max(fast, slow) / clock)
    found[_WARM_UP] = math.ceil(_number("warm_up_seconds", warm_up_seconds, clock) / clock)
    found[_ADAPT] = clock / _number("adapt_seconds", adapt_seconds, clock)
    found[_SHRINKAGE] = _number("shrinkage", shrinkage, 0.0)
    found[_MEMORY] = positive("memory", memory)
    found[_W_DEPTH : _W_REPLENISH + 1] = weights
    found[_ENTER], found[_LEAVE] = enter, _number("leave", leave, 0.0, enter)
    found[_GATE] = _number("gate", gate, -1e9, leave)
    found[_HOLD] = round(_number("hold_seconds", hold_seconds, 0.0) * 1e9)
    found[_RELEASE_NS] = round(_number("release_seconds", release_seconds, 0.0) * 1e9)
    return found
