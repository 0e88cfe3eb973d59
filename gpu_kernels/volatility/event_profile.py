"""What scheduled events do to variance: a profile of multipliers over the time before and after each type, learned from
past occurrences, and what it says of each row and of the time ahead.

The caller brings what is expected without events (level x time of day). One thread per entity: its rows are read in
order, because each is judged by the occurrences before it.
"""

from collections.abc import Sequence

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import cpu_loop, prange, step_body
from gpu_kernels.dispatch import Array, Rows, empty, float_dtype, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_sorted, upper_bound
from gpu_kernels.volatility.diurnal_state import number
from gpu_kernels.volatility.event_times import checked_events

_RATIO, _COUNT = 0, 1
"""Pages of an entity's profile: mean ratio and occurrences of each type's bins."""

_REALISED, _EXPECTED, _FIRST = range(3)
"""An event's numbers: sums of its present bin, and its first bin over what that was expected to be, -1 until known."""
_NUMBERS = 3

_PRODUCT, _SQUARE = 0, 1
_PRIOR, _LARGEST, _LEAST = 10.0, 4.0, 1e-3
"""Squared excess that counts as seen without any dependence on the first bin; the largest surprise; the least
multiplier that anything is divided by."""

# The bodies are put into the loop: to hand over so many arrays, several times a row, would take longer than the work.
# In them: events = (type, time, known time), of which low..high are near; rules = (edges, place of the
# first bin after the event, shrinkage, memory, clip); state = (profile, slopes, places, numbers) of the entity.


@step_body
def _bin_of(edges, since):
    """The bin of a time since the event; -1 before the first, their number after the last."""
    return upper_bound(edges, 0, edges.shape[0], since) - 1


@step_body
def _usual(profile, shrinkage, kind, place):
    """The multiplier of a bin, whatever its event turned out to be."""
    count = profile[_COUNT, kind, place]
    return 1.0 + count / (count + shrinkage) * (profile[_RATIO, kind, place] - 1.0) if count > 0.0 else 1.0


@step_body
def _slope(slopes, kind):
    return min(max(slopes[_PRODUCT, kind] / (slopes[_SQUARE, kind] + _PRIOR), 0.0), 1.0)


@step_body
def _multiplier(rules, state, event, kind, place):
    """The multiplier of a bin of an event: after its first bin, as large as that one was."""
    profile, slopes, _, numbers = state
    usual = _usual(profile, rules[2], kind, place)
    first = numbers[event, _FIRST]
    if place > rules[1] and first >= 0.0 and usual > 1.0:
        usual = 1.0 + (usual - 1.0) * (1.0 + _slope(slopes, kind) * (first - 1.0))
    return usual


@step_body
def _active(event, moment, at, events, edges):
    """The bin that `moment` lies in of an event known at `at`, else -1."""
    _, times, known = events
    place = _bin_of(edges, moment - times[event])
    return place if known[event] <= at and place < edges.shape[0] - 1 else -1


@step_body
def _at_moment(moment, at, only, without, events, low, high, rules, state):
    """The product over types of the highest multiplier of a type's events, of those known at `at`; of type `only`, or
    of all (-1), but for type `without`."""
    kinds, edges = events[0], rules[0]
    product = 1.0
    for event in range(low, high):
        kind = kinds[event]
        place = _active(event, moment, at, events, edges)
        if place >= 0 and kind != without and (only < 0 or kind == only):
            value, highest = _multiplier(rules, state, event, kind, place), True
            for other in range(low, high):
                if other != event and kinds[other] == kind:
                    there = _active(other, moment, at, events, edges)
                    if there >= 0:
                        rival = _multiplier(rules, state, other, kind, there)
                        highest = highest and (value > rival or (value == rival and event < other))
            if highest:
                product *= value
    return product


@step_body
def _mean_between(begin, end, at, only, events, low, high, rules, state):
    """Mean of `_at_moment` over [begin, end), piece by piece between the edges of the events' bins."""
    if low >= high or begin >= end:
        return 1.0
    kinds, times, known = events
    edges = rules[0]
    total, moment = 0.0, begin
    while moment < end:
        until = end
        for event in range(low, high):
            if known[event] <= at and (only < 0 or kinds[event] == only):
                place = _bin_of(edges, moment - times[event])
                if place < edges.shape[0] - 1:
                    until = min(until, times[event] + edges[place + 1])
        value = _at_moment(moment, at, only, -1, events, low, high, rules, state)
        total += value * np.float64(until - moment)
        moment = until
    return total / np.float64(end - begin)


@step_body
def _learn(until, at, events, low, high, rules, state):
    """Teach the profile of the bins that have ended by `until`, one event after the other, each what the others known
    at `at` leave."""
    kinds, times, _ = events
    edges, zero, shrinkage, memory, clip = rules
    profile, slopes, places, numbers = state
    for event in range(low, high):
        kind, place = kinds[event], places[event]
        if place >= 0 and times[event] + edges[place + 1] <= until and numbers[event, _EXPECTED] > 0.0:
            usual = _usual(profile, shrinkage, kind, place)
            middle = times[event] + (edges[place] + edges[place + 1]) // 2
            others = _at_moment(middle, at, -1, kind, events, low, high, rules, state)
            ratio = numbers[event, _REALISED] / (numbers[event, _EXPECTED] * max(others, _LEAST))
            ratio = min(ratio, clip * max(usual, _LEAST))
            numbers[event, _EXPECTED] = 0.0
            if place == zero:
                numbers[event, _FIRST] = min(ratio / max(usual, _LEAST), _LARGEST)
            elif place > zero and numbers[event, _FIRST] >= 0.0 and usual > 1.0:
                more = (usual - 1.0) * (numbers[event, _FIRST] - 1.0)
                slopes[_PRODUCT, kind] += (ratio - usual) * more
                slopes[_SQUARE, kind] += more * more
            count = min(profile[_COUNT, kind, place] + 1.0, memory)
            profile[_RATIO, kind, place] += (ratio - profile[_RATIO, kind, place]) / count
            profile[_COUNT, kind, place] = count


@step_body
def _add(middle, now, realised, expected, events, low, high, rules, state):
    """Add a row to the bin of each event that its middle lies in."""
    _, times, known = events
    edges, places, numbers = rules[0], state[2], state[3]
    there = 0.0 <= realised < np.inf and 0.0 < expected < np.inf
    for event in range(low, high):
        if known[event] <= now:
            place = _bin_of(edges, middle - times[event])
            if 0 <= place < edges.shape[0] - 1:
                if place != places[event]:
                    places[event] = place
                    numbers[event, _REALISED] = numbers[event, _EXPECTED] = 0.0
                if there:
                    numbers[event, _REALISED] += realised
                    numbers[event, _EXPECTED] += expected


@step_body
def _entity(columns, first, last, events, low, stop, horizons, rules, state, own, ahead, by_type):
    start, time, realised, expected = columns
    edges = rules[0]
    profile, slopes, places, numbers = state
    profile[:] = 0.0
    slopes[:] = 0.0
    for event in range(low, stop):
        places[event] = -1
        numbers[event, _REALISED] = numbers[event, _EXPECTED] = 0.0
        numbers[event, _FIRST] = -1.0
    farthest, widest = 0, 0
    for h in range(horizons.shape[0]):
        farthest = max(farthest, horizons[h])
    for place in range(edges.shape[0] - 1):
        widest = max(widest, edges[place + 1] - edges[place])
    high = low
    for row in range(first, last):
        begin, now = start[row], time[row]
        middle = begin + (now - begin) // 2
        while high < stop and events[1][high] + edges[0] <= now + farthest:
            high += 1
        # what is known at the row's start, of the row; then what is known at its end, of the time ahead
        for after in range(2):
            at, until, questions = (now, now, horizons.shape[0]) if after else (begin, middle, 1 + by_type.shape[0])
            if after:
                _add(middle, now, np.float64(realised[row]), np.float64(expected[row]), events, low, high, rules, state)
            # a bin is over when no later middle can lie in it
            _learn(until, at, events, low, high, rules, state)
            for question in range(questions):
                only = -1 if after else question - 1
                end = now + horizons[question] if after else now
                value = _mean_between(at, end, at, only, events, low, high, rules, state)
                if after:
                    ahead[question, row] = value
                elif question:
                    by_type[only, row] = value
                else:
                    own[row] = value
        # an event that is over may still share a bin of another that has not ended
        while low < high and events[1][low] + edges[edges.shape[0] - 1] + widest <= now:
            low += 1


@cpu_loop
def _events_cpu(
    start,
    time,
    realised,
    expected,
    offsets,
    event_type,
    event_time,
    known_time,
    event_offsets,
    edges,
    horizons,
    zero,
    shrinkage,
    memory,
    clip,
    profiles,
    slopes,
    places,
    numbers,
    own,
    ahead,
    by_type,
):
    for entity in prange(offsets.shape[0] - 1):
        _entity(
            (start, time, realised, expected),
            offsets[entity],
            offsets[entity + 1],
            (event_type, event_time, known_time),
            event_offsets[entity],
            event_offsets[entity + 1],
            horizons,
            (edges, zero, shrinkage, memory, clip),
            (profiles[entity], slopes[entity], places, numbers),
            own,
            ahead,
            by_type,
        )


@cuda.jit
def _events_cuda(
    start,
    time,
    realised,
    expected,
    offsets,
    event_type,
    event_time,
    known_time,
    event_offsets,
    edges,
    horizons,
    zero,
    shrinkage,
    memory,
    clip,
    profiles,
    slopes,
    places,
    numbers,
    own,
    ahead,
    by_type,
):
    entity = cuda.grid(1)
    if entity < offsets.shape[0] - 1:
        _entity(
            (start, time, realised, expected),
            offsets[entity],
            offsets[entity + 1],
            (event_type, event_time, known_time),
            event_offsets[entity],
            event_offsets[entity + 1],
            horizons,
            (edges, zero, shrinkage, memory, clip),
            (profiles[entity], slopes[entity], places, numbers),
            own,
            ahead,
            by_type,
        )


def _run(
    columns: tuple[Array, Array, Array, Array],
    offsets: Array,
    events: tuple[Array, Array, Array, Array],
    types: int,
    edges_ns: Sequence[int],
    horizons_ns: Sequence[int],
    shrinkage: float,
    memory: int,
    clip: float,
    surprise: bool,
) -> tuple[Array, Array, Array, Array, Array]:
    start, time, realised, expected = columns
    rows = Rows(offsets, values={"realised": realised, "expected": expected}, times={"start": start, "time": time})
    kinds = positive("types", types, maximum=10_000)
    realised, expected, start, time = rows.columns
    check_sorted("start", rows, start)
    check_sorted("time", rows, time)
    schedule = checked_events(rows, *events, kinds)
    edges = _whole_numbers("edges_ns", edges_ns, 2)
    if not (np.diff(edges) > 0).all() or 0 not in edges:
        raise ArgumentError(
            f"edges_ns are {list(edges_ns)}", allowed="whole numbers that rise, one of them 0, the time of the event"
        )
    horizons = _whole_numbers("horizons_ns", horizons_ns, 0)
    if (horizons <= 0).any():
        raise ArgumentError(f"horizons_ns are {list(horizons_ns)}", allowed="whole numbers above 0")
    bins = len(edges) - 1
    dtype = float_dtype(realised, expected)
    profiles = rows.empty((rows.segments, 2, kinds, bins), np.float64)
    slopes = rows.empty((rows.segments, 2, kinds), np.float64)
    own = rows.empty(rows.count, dtype)
    ahead, by_type = (rows.empty((count, rows.count), dtype) for count in (len(horizons), kinds))
    if rows.segments == 0:
        return profiles, slopes, own, ahead, by_type
    arguments = (
        *(start, time, realised, expected, rows.offsets, *schedule.columns, schedule.offsets),
        *(to_side(array, like=rows.offsets) for array in (edges, horizons)),
        int(np.searchsorted(edges, 0)) if surprise else bins,
        number("shrinkage", shrinkage, 0.0),
        float(positive("memory", memory)),
        number("clip", clip, 1.0),
        *(profiles, slopes, empty(schedule.count, np.int64, like=rows.offsets)),
        *(empty((schedule.count, _NUMBERS), np.float64, like=rows.offsets), own, ahead, by_type),
    )
    if rows.device:
        _events_cuda[grid_of(rows.segments)](*arguments)
    else:
        on_cpu(_events_cpu, rows.count, rows.segments)(*arguments)
    return profiles, slopes, own, ahead, by_type


def _whole_numbers(name: str, values: Sequence[int], least: int) -> Array:
    found = np.asarray(values)
    if found.ndim != 1 or len(found) < least or (len(found) and found.dtype.kind not in "iu"):
        raise ArgumentError(f"{name} are {values!r}", allowed=f"{least} whole numbers of nanoseconds or more")
    return found.astype(np.int64)


def multiplier(
    start: Array,
    time: Array,
    realised: Array,
    expected: Array,
    offsets: Array,
    event_type: Array,
    event_time: Array,
    known_time: Array,
    event_offsets: Array,
    *,
    types: int,
    edges_ns: Sequence[int],
    horizons_ns: Sequence[int] = (),
    shrinkage: float = 3.0,
    memory: int = 40,
    clip: float = 30.0,
    surprise: bool = True,
) -> tuple[Array, Array, Array]:
    """By what factor the variance of a row, and of the time ahead of it, is expected to be raised by scheduled events.

    Of each occurrence a bin [e_b, e_b+1) of the time since the event holds the rows whose middles lie in it; its ratio
    y = sum of `realised` / (sum of `expected` x the multipliers of other types in the bin's middle), known from the
    first row whose `time` is at or after the bin's end. With n occurrences before it (`memory` at most) a bin has
        m_b = 1 + n / (n + shrinkage) (r_b - 1),     r_b += (min(y, clip m_b) - r_b) / min(n + 1, memory)
    the mean of ratios, not of their logarithms, for it is mean variance that is forecast; one wild occurrence counts
    for `clip` times what was expected. A bin that no row's middle lies in stays at 1: make none shorter than the rows.
    Several events at one time: types multiply, of one type the highest counts. Each learns what the others leave, in
    the order of the events' rows; so jobless claims, seen alone on other days, do not inherit what payrolls did, and
    types that always come together share one effect between them.
    surprise: once an event's first bin is known, the excess of its later bins, where m_b > 1, is scaled by how large
    that one was,
        1 + (m_b - 1) (1 + g (s - 1)),     s = y_0 / m_0, at most 4
    where g, 0 to 1, is each type's slope of y_b - m_b on (m_b - 1) (s - 1) over past occurrences, shrunk to 0 by 10
    units of squared excess.

    start, time  (n,) int64 ns, where each row begins and ends, neither falling in a segment; offsets (S + 1,), a
                 segment being an entity with all its sessions. A row is taken as known at its end
    realised     (n,) variance of the row; expected (n,), above 0: what it would be without events
    event_type, event_time, known_time, event_offsets, types   as in `event_times.around`: an event plays no part before
                 its known_time; a row's own multiplier takes those known at its start
    edges_ns     edges of the bins, rising, one of them 0; below 0 is before the event
    horizons_ns  (H,) lengths of the time ahead
    returns      own (n,): mean multiplier over the row itself, from what was known at its start; ahead (H, n): over
                 (time, time + h], from what is known at its end; by_type (types, n): as own, of the events of one type

    Missing values: none: 1 where no event is near or none of its type has been seen. A row whose realised is NaN,
    infinite or negative, or whose expected is not a number above 0, teaches nothing.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Andersen and Bollerslev (1998), "Deutsche mark-dollar volatility: intraday activity patterns, macroeconomic
    announcements, and longer run dependencies", for a response pattern by type, imposed on a whole sample; learning it
    online, shrinking, and the scaling by the first bin are ours. `clip` was chosen on SPY and ES of 2014 to 2020: the
    first five minutes after the FOMC's decision have 10 to 20 times the expected variance.
    """
    columns, events = (start, time, realised, expected), (event_type, event_time, known_time, event_offsets)
    found = _run(columns, offsets, events, types, edges_ns, horizons_ns, shrinkage, memory, clip, surprise)
    return found[2:]


def profile(
    start: Array,
    time: Array,
    realised: Array,
    expected: Array,
    offsets: Array,
    event_type: Array,
    event_time: Array,
    known_time: Array,
    event_offsets: Array,
    *,
    types: int,
    edges_ns: Sequence[int],
    shrinkage: float = 3.0,
    memory: int = 40,
    clip: float = 30.0,
    surprise: bool = True,
) -> tuple[Array, Array, Array]:
    """What `multiplier` has learned after the last row: for a picture, or to look at. Arguments as there.

    returns   multiplier m_b (S, types, bins), occurrences (S, types, bins), slope g (S, types), float64, on the host

    Missing values: none; 1, 0 and 0 of what has not been seen.
    Raises: as `multiplier`.
    """
    columns, events = (start, time, realised, expected), (event_type, event_time, known_time, event_offsets)
    found = _run(columns, offsets, events, types, edges_ns, (), shrinkage, memory, clip, surprise)
    profiles, slopes = to_host(found[0]), to_host(found[1])
    ratio, count = profiles[:, _RATIO], profiles[:, _COUNT]
    weight = np.where(count > 0.0, count / np.maximum(count + shrinkage, 1.0), 0.0)
    slope = np.clip(slopes[:, _PRODUCT] / (slopes[:, _SQUARE] + _PRIOR), 0.0, 1.0)
    return 1.0 + weight * (ratio - 1.0), count, slope
