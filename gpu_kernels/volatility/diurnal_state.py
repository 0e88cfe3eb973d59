"""What the two estimators of the time of day share: sessions cut into slots, a session's level, what is clipped.

A proxy of variance (a squared return, a squared range; volume does as well) is taken as level x factor x noise. The
level is a session's own and the same for all of its slots, the factor belongs to the slot and has a mean of 1 over a
full session, and the noise has a mean of 1. All that is said of session d comes of sessions before d.

Slots    `slot` counts from the session's open, `length` is how many slots the session has by the calendar, `slots` how
         many a full one has. Of a session that is shorter (a close at 13:00) the last `close_slots` are taken for the
         last ones of a full day, by their distance to the close, and the others for those of the same time of day: it
         ends as full days end, without the hours between. With `close_slots` = 0 time of day alone counts. Its factors
         are relative to the mean of a full session, so their own mean is not 1.
Rows     several of one slot are averaged. A row outside of its session's slots is left out, like one whose proxy is
         NaN, infinite or negative.
Level    l = sum of min(x, c f l) / sum of k f over the slots that are there (so a missing first hour, which is a
         lively one, does not lower it): Huber's M-estimate of scale, by fixed-point steps from the plain ratio. f is
         the factor that was known before, k = E min(z², c) for a normal z, so that clean data give the plain level.
         Fat tails lower it: by 12 % where returns are Student's t with 5 degrees.
Clipping x / (l f) is cut to c and divided by k. `cut`, 6.635, is the 99 % point of z², the weight function of Boudt,
         Croux and Laurent (2011) made continuous; while a slot was seen in n sessions only, its factor is itself
         uncertain, and c = cut (1 + 4 / (1 + n)). `cut` = inf clips nothing.
A session of which less than a quarter was seen, or in which nothing moved, teaches nothing.
"""

import math

import numpy as np

from gpu_kernels._jit import body, step_body
from gpu_kernels.dispatch import Array, Rows, common_device, positive, to_host
from gpu_kernels.errors import ArgumentError

MEAN, COUNT, POOLED, NOW, SEEN, ROWS, LIMIT, FAIR = range(8)
"""Rows of an entity's state, of one number a slot: the estimate, sessions that taught it, the pattern of all days, that
of the present session, the present session's proxies and how many rows they came of, c and k."""
STATE = 8

FLOOR = 1e-3
"""The least factor, against a mean of 1: a slot in which nothing has happened yet is not one in which nothing can."""

_STEPS = 12
_LEAST_SEEN = 0.25


@step_body
def full_slot(slot, length, slots, close_slots):
    """The slot of a full session that a slot of a session of `length` is taken for."""
    return slot if length >= slots or slot < length - close_slots else slots - (length - slot)


@body
def fair(limit):
    """E min(z², limit) of a standard normal z."""
    if limit > 1e3:
        return 1.0
    root = math.sqrt(0.5 * limit)
    return math.erf(root) - 2.0 * root / math.sqrt(math.pi) * math.exp(-0.5 * limit) + limit * math.erfc(root)


@step_body
def gain(count, prior, least):
    """The weight of a new session after `count` of them and `prior` that were supposed."""
    return max(1.0 / (count + prior + 1.0), least)


@body
def normalise(values, count, least_count):
    """Divide by the mean over the slots that at least `least_count` sessions taught."""
    total, known = 0.0, 0
    for s in range(values.shape[0]):
        if count[s] >= least_count:
            total += values[s]
            known += 1
    if known > 0:
        mean = total / known
        for s in range(values.shape[0]):
            values[s] /= mean


@body
def show(state, length, close_slots, minimum, pattern):
    """The present session's factors, slot by slot; NaN past its end and where too few sessions were seen."""
    slots = state.shape[1]
    total, known = 0.0, 0
    for s in range(slots):
        if state[COUNT, s] >= minimum:
            total += state[NOW, s]
            known += 1
    for s in range(slots):
        pattern[s] = np.nan
        if s < length:
            of = full_slot(s, length, slots, close_slots)
            if state[COUNT, of] >= minimum:
                pattern[s] = state[NOW, of] * known / total


@body
def collect(state, proxy, slot, first, last, length, close_slots, cut):
    """Put the session's proxies and limits into the state; returns its level, or 0 where it teaches nothing."""
    slots = state.shape[1]
    anything = False
    for s in range(slots):
        state[SEEN, s] = state[ROWS, s] = 0.0
        state[LIMIT, s] = cut * (1.0 + 4.0 / (1.0 + state[COUNT, s]))
        state[FAIR, s] = fair(state[LIMIT, s])
        anything = anything or state[COUNT, s] > 0.0
    for row in range(first, last):
        value = np.float64(proxy[row])
        if 0 <= slot[row] < length and 0.0 <= value < np.inf:
            of = full_slot(slot[row], length, slots, close_slots)
            state[SEEN, of] += value
            state[ROWS, of] += 1.0
    seen = 0
    total, expected = 0.0, 0.0
    for s in range(slots):
        if state[ROWS, s] > 0.0:
            seen += 1
            state[SEEN, s] /= state[ROWS, s]
            # a slot of which nothing is known does not speak of the level, unless that holds for all
            if state[COUNT, s] > 0.0 or not anything:
                total += state[SEEN, s]
                expected += state[NOW, s]
    if seen < _LEAST_SEEN * length or not total > 0.0:
        return 0.0
    level = total / expected
    if cut < np.inf:
        for _ in range(_STEPS):
            total, expected = 0.0, 0.0
            for s in range(slots):
                if state[ROWS, s] > 0.0 and (state[COUNT, s] > 0.0 or not anything):
                    total += min(state[SEEN, s], state[LIMIT, s] * state[NOW, s] * level)
                    expected += state[FAIR, s] * state[NOW, s]
            level = total / expected
    return level


@step_body
def share_of(state, s, level):
    """What the present session says of slot s: its proxy over level and factor, clipped."""
    return min(state[SEEN, s] / (level * state[NOW, s]), state[LIMIT, s]) / state[FAIR, s]


class Sessions:
    """The checked table of an estimator: rows in sessions, sessions in entities.

    Raises ArgumentError or DeviceError.
    """

    def __init__(
        self,
        proxy: Array,
        slot: Array,
        offsets: Array,
        lengths: Array,
        day_class: Array,
        entities: Array,
        *,
        slots: int,
        classes: int,
        close_slots: int,
        class_shrinkage: float,
    ) -> None:
        self.rows = Rows(offsets, values={"proxy": proxy}, times={"slot": slot})
        self.proxy, self.slot = self.rows.columns
        days = Rows(entities, times={"lengths": lengths, "day_class": day_class}, offsets_name="entities")
        common_device(proxy=proxy, lengths=lengths)
        if days.count != self.rows.segments:
            raise ArgumentError(
                f"lengths has {days.count} numbers for {self.rows.segments} sessions", allowed="one a session"
            )
        self.lengths, self.day_class = days.columns
        self.entities, self.count = days.offsets, days.segments
        self.slots = positive("slots", slots, maximum=1_000_000)
        self.classes = positive("classes", classes, maximum=1000)
        self.close_slots = positive("close_slots", close_slots, minimum=0, maximum=self.slots)
        shrinkage = number("class_shrinkage", class_shrinkage, 0.0, above=True)
        # the only class is that of all days
        self.class_shrinkage = shrinkage if self.classes > 1 else math.inf
        _within("lengths", to_host(self.lengths), 0, self.slots, "slots")
        _within("day_class", to_host(self.day_class), -1, self.classes - 1, "classes - 1")


def _within(name: str, values: Array, least: int, most: int, limit: str) -> None:
    if len(values) and not (least <= values.min() and values.max() <= most):
        raise ArgumentError(
            f"{name} spans {values.min()} to {values.max()}", allowed=f"{least} to {limit}, which is {most}"
        )


def number(name: str, value: object, least: float, most: float = math.inf, *, above: bool = False) -> float:
    """The parameter as float; ArgumentError unless it is a number from `least`, or above it, to `most`."""
    real = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if real and least <= value <= most and not (above and value == least):  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    allowed = f"a number {'above' if above else 'from'} {least:g} to {most:g}"
    raise ArgumentError(f"{name} is {value!r}", allowed=allowed)


def fading(name: str, half_life: object) -> float:
    """1 - 2 ** (-1 / half_life): the least weight of a new session; 0 for an infinite half-life."""
    return -math.expm1(-math.log(2.0) / number(name, half_life, 0.0, above=True))
