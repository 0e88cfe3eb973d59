"""Scheduled events in the bins of sessions: how much more moves before and after one, learned from those before it.

    p(t) = (prior + sum of u over past events of the kind) / (prior + their number),   t bins from the event's own

u is a bin's realised variance over what the day and the time of day let expect. Shrinkage: `prior` events that moved
nothing stand beside those seen. p is smoothed over neighbouring bins (1/4, 1/2, 1/4), before the event and after it
apart: what is released breaks the curve. An event counts in the session that holds its time.

That an event will come, and when, is known when the session opens; how it came out is not used.
Source: Andersen and Bollerslev (1998), "Deutsche mark-dollar volatility: intraday activity patterns, macroeconomic
announcements, and longer run dependencies".
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fusion.volatility.bins import SessionBins
from gpu_kernels.dispatch import positive
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MOST = 50.0  # no bin teaches more than this many times what was expected


def event_multiplier(
    bins: SessionBins,
    expected: Floats,
    events: Mapping[str, Integers],
    *,
    before: int = 6,
    after: int = 24,
    prior: float = 4.0,
) -> Floats:
    """(D, K) expected multiplier of each bin's variance, known when its session opens.

    expected  (D, K) level x factor
    events    kind -> int64 ns of its events, rising; kinds multiply. Of two events of a kind near a bin the one that
              moves more counts.
    before, after  bins before an event, and from its own on, that it may touch

    Missing values: none; 1 where no event is near or none of its kind was seen before.
    Raises: ArgumentError.
    """
    before, after = positive("before", before, minimum=0), positive("after", after)
    if not prior > 0:
        raise ArgumentError(f"prior is {prior}", allowed="above 0")
    share = np.minimum(bins.variance / expected, _MOST)
    starts, width = bins.starts, bins.variance.shape[1]
    out = np.ones(share.shape)
    for times in events.values():
        total, seen = np.zeros(before + after), np.zeros(before + after)
        for session in range(len(share)):
            held = slice(*np.searchsorted(times, [bins.opens[session], bins.closes[session]]))
            if held.start == held.stop:
                continue
            profile = _smoothed((prior + total) / (prior + seen), before)
            here = np.ones(width)
            for time in times[held]:
                place = (starts[session] - time) // bins.step + before
                near = (place >= 0) & (place < before + after)
                own = np.where(near, profile[np.where(near, place, 0)], 1.0)
                here = np.where(np.abs(np.log(own)) > np.abs(np.log(here)), own, here)
                known = near & np.isfinite(share[session])
                total[place[known]] += share[session][known]
                seen[place[known]] += 1.0
            out[session] *= here
    return out


def _smoothed(profile: Floats, before: int) -> Floats:
    parts = []
    for part in (profile[:before], profile[before:]):
        around = np.concatenate([part[:1], part, part[-1:]])
        parts.append(around[:-2] / 4 + around[1:-1] / 2 + around[2:] / 4)
    return np.concatenate(parts)


def near_events(bins: SessionBins, times: Integers, before_ns: int, after_ns: int) -> NDArray[np.bool_]:
    """(D, K) whether a bin begins from `before_ns` before an event to, exclusive, `after_ns` after one."""
    starts = bins.starts
    last = np.searchsorted(times, starts + before_ns, side="right") - 1
    if not len(times):
        return np.zeros(starts.shape, np.bool_)
    found: NDArray[np.bool_] = (last >= 0) & (starts - times[np.maximum(last, 0)] < after_ns)
    return found


def share_of_sessions(opens: Integers, closes: Integers, times: Integers, sessions: int, ahead: int) -> Floats:
    """(sessions,) share of the `ahead` sessions after each one on whose day, from the close before to its own close, an
    event lies. opens and closes go on past the `sessions` asked for, as a calendar does.

    Missing values: NaN where the calendar ends before the sessions ahead do.
    """
    begins = np.concatenate([opens[:1], closes[:-1]])
    counts = np.searchsorted(times, closes, side="right") - np.searchsorted(times, begins, side="right")
    has = (counts > 0).astype(np.float64)
    out = np.full(sessions, np.nan)
    rows = min(sessions, len(has) - ahead)
    if rows > 0:
        windows = np.lib.stride_tricks.sliding_window_view(has[1:], ahead)
        out[:rows] = windows[:rows].sum(axis=1) / ahead
    return out
