"""What the time of day and scheduled events do to the variance of the real samples: curves for pictures.

All curves are what is known after a sample's last session. Nothing was chosen on these data but the width of the
smoothing (one slot of five minutes either side) and that short sessions are read from their close for an hour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion.studies.volatility_samples import MINUTE, Sample
from gpu_kernels.volatility import diurnal, diurnal_fourier, event_profile

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WEEKDAYS = 5
EDGES = np.arange(-60, 125, 5) * MINUTE
"""Bins around an event: as long as the samples' own, from an hour before it to two hours after."""

_SMOOTHING, _CLOSE = 1, 60 * MINUTE


@dataclass(frozen=True)
class Rows:
    """A sample as the kernels take it: a row for each bin that its session has, and what each session is."""

    proxy: Floats
    slot: Integers
    offsets: Integers
    lengths: Integers
    day_class: Integers
    start: Integers
    settings: Mapping[str, Any]

    @property
    def table(self) -> tuple[NDArray[Any], ...]:
        """The arrays of `diurnal.pattern`."""
        entities = np.array([0, len(self.lengths)], np.int64)
        return self.proxy, self.slot, self.offsets, self.lengths, self.day_class, entities


def rows_of(sample: Sample) -> Rows:
    """Variance by high and low where the sample has them; weekdays are the classes, short sessions teach nothing."""
    bins = sample.bins
    slots = int(bins.lengths.max())
    inside = np.arange(bins.variance.shape[1]) < bins.lengths[:, None]
    proxy = bins.variance if bins.ranges is None else bins.ranges
    weekday = np.array([day.weekday() for day in sample.days], np.int64)
    return Rows(
        proxy[inside],
        np.broadcast_to(np.arange(proxy.shape[1]), proxy.shape)[inside],
        np.concatenate([[0], np.cumsum(inside.sum(axis=1))]).astype(np.int64),
        bins.lengths.astype(np.int64),
        np.where(bins.lengths < slots, -1, weekday),
        bins.starts[inside],
        {"slots": slots, "classes": WEEKDAYS, "cut": sample.clip, "close_slots": int(_CLOSE // bins.step)},
    )


@dataclass(frozen=True)
class DiurnalCurves:
    """Factors of a full session's slots after the last session.

    robust, plain  a mean a slot, clipped and not; fourier the flexible Fourier form; all of them of all days
    weekdays       (5, slots) the robust mean of each weekday
    short          the robust mean of a session of `short_slots`, NaN after them
    """

    robust: Floats
    plain: Floats
    fourier: Floats
    weekdays: Floats
    short: Floats
    short_slots: int


def diurnal_curves(sample: Sample, *, short_slots: int = 42) -> DiurnalCurves:
    """The pattern that a sample leaves: read from sessions of no rows that follow its last one."""
    rows = rows_of(sample)
    classes = np.array([-1, *range(WEEKDAYS), -1])
    proxy, slot, offsets, lengths, day_class, _ = rows.table
    table = (
        proxy,
        slot,
        np.concatenate([offsets, np.full(len(classes), offsets[-1])]),
        np.concatenate([lengths, np.full(len(classes) - 1, lengths.max()), [short_slots]]),
        np.concatenate([day_class, classes]),
        np.array([0, len(lengths) + len(classes)], np.int64),
    )
    robust, plain = (
        diurnal.pattern(*table, **{**rows.settings, "smoothing": _SMOOTHING, "cut": cut})[0][-len(classes) :]
        for cut in (rows.settings["cut"], np.inf)
    )
    fourier = diurnal_fourier.pattern(*table, **rows.settings, opening=2)[-len(classes) :]
    return DiurnalCurves(robust[0], plain[0], fourier[0], robust[1:-1], robust[-1], short_slots)


@dataclass(frozen=True)
class EventCurve:
    """The variance around the events of one kind, over level x time of day, by bin of `EDGES`.

    ratios      (events, bins) of each event, NaN where a bin has no row; multiplier (bins,) what is learned of them
    """

    ratios: Floats
    multiplier: Floats

    @property
    def mean(self) -> Floats:
        """(bins,) plain mean of the ratios."""
        there = np.isfinite(self.ratios)
        total = np.where(there, self.ratios, 0.0).sum(axis=0)
        return np.asarray(np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan))


def event_curve(sample: Sample, kind: str) -> EventCurve:
    """The profile that a sample leaves of one kind of event, by itself: others at the same time are in it."""
    rows = rows_of(sample)
    factors, level = diurnal.pattern(*rows.table, **rows.settings, smoothing=_SMOOTHING)  # type: ignore[arg-type]
    factor = diurnal.factor(rows.slot, rows.offsets, rows.lengths, factors)
    expected = np.repeat(level, np.diff(rows.offsets)) * factor
    time = rows.start + sample.bins.step
    events = sample.events[kind]
    events = events[(events > rows.start[0]) & (events < time[-1])]
    multiplier, _, _ = event_profile.profile(
        rows.start,
        time,
        rows.proxy,
        expected,
        np.array([0, len(time)]),
        np.zeros(len(events), np.int64),
        events,
        events - 30 * 24 * 60 * MINUTE,
        np.array([0, len(events)]),
        types=1,
        edges_ns=EDGES.tolist(),
    )
    place = np.searchsorted(rows.start, events[:, None] + EDGES[:-1])
    place = np.minimum(place, len(time) - 1)
    held = rows.start[place] == events[:, None] + EDGES[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(held, (rows.proxy / expected)[place], np.nan)
    return EventCurve(ratios[np.isfinite(ratios).any(axis=1)], multiplier[0, 0])
