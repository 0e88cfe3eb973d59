"""Scheduled events in the bins of sessions: how much more moves before and after one, learned from those before it.

That an event will come, and when, is known when the session opens; how it came out is not used here: a component model
tells it from what moves. The profile itself is `gpu_kernels.volatility.event_profile`.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fusion.volatility.bins import SessionBins
from gpu_kernels.volatility import event_profile

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MINUTE = 60 * 10**9
_EDGES = np.array([-30, -15, 0, 5, 10, 15, 20, 30, 45, 60, 90, 120]) * _MINUTE


def event_multiplier(
    bins: SessionBins, expected: Floats, events: Mapping[str, Integers], *, shrinkage: float = 2.0, clip: float = 50.0
) -> Floats:
    """(D, K) expected multiplier of each bin's variance, known when its session opens.

    `event_profile.multiplier` without its `surprise`, from 30 minutes before an event to 120 after it, in steps that
    are short where it is near: 15 minutes before, then 5, 10, 15, 20, 30, 45, 60, 90, 120, and nowhere shorter than a
    bin. An event counts in the session that holds its time, and from its open on, though it be near in the session
    before. So that a session teaches nothing that it is itself forecast by, an event counts from the start of its bin
    on, of several of a kind in one session the first does, and bins that an event of the session before reaches into
    teach nothing.

    expected  (D, K) level x factor; events kind -> int64 ns of its events, rising
    shrinkage, clip   as there

    Missing values: none; 1 where no event is near or none of its kind was seen before.
    Raises: ArgumentError.
    """
    times, kinds, known = [], [], []
    for kind, given in enumerate(events.values()):
        session = np.searchsorted(bins.opens, given, side="right") - 1
        held = session >= 0
        held[held] = given[held] < bins.closes[session[held]]
        session, first = np.unique(session[held], return_index=True)
        opened = bins.opens[session]
        times.append(opened + (given[held][first] - opened) // bins.step * bins.step)
        kinds.append(np.full(len(first), kind, np.int64))
        known.append(opened)
    if not sum(map(len, times)):
        return np.ones(expected.shape)
    time = np.concatenate(times)
    order = np.argsort(time, kind="stable")
    time = time[order]
    edges = np.unique(np.sign(_EDGES) * -(-np.abs(_EDGES) // bins.step) * bins.step)
    before = np.searchsorted(time, bins.opens) - 1
    reached = np.where(before >= 0, time[np.maximum(before, 0)] + edges[-1], bins.opens)
    realised = np.where(bins.starts < reached[:, None], np.nan, bins.variance)
    begin = bins.starts.ravel()
    own, _, _ = event_profile.multiplier(
        begin,
        begin + bins.step,
        realised.ravel(),
        np.ascontiguousarray(expected).ravel(),
        np.array([0, len(begin)]),
        np.concatenate(kinds)[order],
        time,
        np.concatenate(known)[order],
        np.array([0, len(time)]),
        types=len(events),
        edges_ns=edges.tolist(),
        shrinkage=shrinkage,
        clip=clip,
        surprise=False,
    )
    return np.asarray(own).reshape(expected.shape)


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
