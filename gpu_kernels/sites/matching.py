"""What is known of each place when one of its rows becomes known: its latest observation, earlier ones at matched
weekday and hour, and what its own past lets one expect.

A place is a segment. Its rows come in order of known_time; several of one event_time are vintages, and a row without a
value takes the fact back. What is known changes with a row only, so that the work is done once a row, whatever the
number of decisions.
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, grid_of, on_cpu, positive, to_host
from gpu_kernels.durations import DAY
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_sorted
from gpu_kernels.sites.weighted_median import median, median_deviation

_YEAR = 365.2425
_LONGEST = 2**60
_CLOCKS_APART = 2 * DAY
"""Local clocks and UTC drift apart by less: by time zones moved, and by summer time."""
WEEKDAYS = {"any": 0, "kind": 1, "same": 2}
"""Which days of the week match: any; working days and weekends (Saturday, Sunday) each among themselves; the same."""


@body
def _later(event_time, one, other):
    """Whether row `one` is of a later event than row `other`, or of the same and a later vintage."""
    return event_time[one] > event_time[other] or (event_time[one] == event_time[other] and one > other)


@body
def _sink(event_time, order, start, place, count):
    while 2 * place + 1 < count:
        child = 2 * place + 1
        if child + 1 < count and _later(event_time, order[start + child + 1], order[start + child]):
            child += 1
        if not _later(event_time, order[start + child], order[start + place]):
            return
        order[start + child], order[start + place] = order[start + place], order[start + child]
        place = child


@body
def _slots(event_time, start, stop, order, slot, events, current, first):
    """Numbers the events of a segment in time: `slot` of each row, and `events`, the time of each slot."""
    count = stop - start
    for row in range(start, stop):
        order[row] = row
    for place in range(count // 2 - 1, -1, -1):
        _sink(event_time, order, start, place, count)
    for end in range(count - 1, 0, -1):
        order[start], order[start + end] = order[start + end], order[start]
        _sink(event_time, order, start, 0, end)
    used = 0
    for place in range(start, stop):
        row = order[place]
        if used == 0 or event_time[row] != events[start + used - 1]:
            events[start + used] = event_time[row]
            current[start + used], first[start + used] = -1, -1
            used += 1
        slot[row] = start + used - 1
    return start + used


@body
def _alike(here, there, hours, weekday):
    """Whether two local times lie within so much of one time of day, on days of the week that match."""
    day, other = here // DAY, there // DAY
    apart = abs((here - day * DAY) - (there - other * DAY))
    if min(apart, DAY - apart) > hours:
        return False
    if weekday == 2:
        return (day - other) % 7 == 0
    if weekday == 1:  # the first of January 1970 was a Thursday
        return ((day + 3) % 7 >= 5) == ((other + 3) % 7 >= 5)
    return True


@body
def _slot_from(events, start, stop, moment):
    while start < stop:
        middle = (start + stop) // 2
        if events[middle] < moment:
            start = middle + 1
        else:
            stop = middle
    return start


@body
def _matched(event_time, local, events, current, start, stop, row, lag, days, hours, weekday):
    """The row known of the observation nearest to `lag` before that of `row`, or -1."""
    found, nearest = np.int64(-1), np.int64(0)
    target, reach = local[row] - lag, (days + 1) * DAY + _CLOCKS_APART
    for place in range(_slot_from(events, start, stop, event_time[row] - lag - reach), stop):
        if events[place] > event_time[row] - lag + reach or events[place] >= event_time[row]:
            break
        other = current[place]
        if other >= 0 and abs(local[other] // DAY - target // DAY) <= days:
            away = abs(local[other] - target)
            if (found < 0 or away < nearest) and _alike(local[row], local[other], hours, weekday):
                found, nearest = other, away
    return found


@body
def _expected(values, local, current, start, top, row, hours, weekday, season, held, weight):
    """Median, scaled median deviation and number of the earlier observations that are like that of `row`."""
    count = 0
    for place in range(start, top):
        other = current[place]
        if other >= 0 and _alike(local[row], local[other], hours, weekday):
            gap = np.float64(local[row] // DAY - local[other] // DAY)
            if abs(gap - _YEAR * math.floor(gap / _YEAR + 0.5)) <= season:
                held[start + count] = np.float64(values[other])
                count += 1
    centre = median(held, weight, start, count)
    return centre, median_deviation(held, weight, start, count, centre), np.float64(count)


@body
def _place(
    known_time, event_time, local, values, start, stop, lags, bases, days, hours, weekday, season, work, held, weight,
    latest, first_print, matched, expected,
):  # fmt: skip
    """All of one segment."""
    order, slot, events, current, first = work[0], work[1], work[2], work[3], work[4]
    end = _slots(event_time, start, stop, order, slot, events, current, first)
    top = start - 1
    for row in range(start, stop):
        place = slot[row]
        if math.isfinite(np.float64(values[row])):
            current[place], top = row, max(top, place)
            if first[place] < 0:
                first[place] = row
        else:
            current[place] = -1
            while top >= start and current[top] < 0:
                top -= 1
        # nobody sees what lies between two rows that become known at one time
        seen = top >= start and (row + 1 == stop or known_time[row + 1] > known_time[row])
        latest[row] = current[top] if seen else -1
        first_print[row] = first[top] if seen else -1
        for step in range(lags.shape[0]):
            base = latest[row] if bases[step] < 0 else matched[bases[step], row]
            matched[step, row] = (
                _matched(event_time, local, events, current, start, end, base, lags[step], days, hours, weekday)
                if base >= 0
                else -1
            )
        for what in range(3):
            expected[what, row] = math.nan
        if seen and season >= 0.0:
            centre, scale, count = _expected(
                values, local, current, start, top, latest[row], hours, weekday, season, held, weight
            )
            expected[0, row], expected[1, row], expected[2, row] = centre, scale, count


@cpu_loop
def _states_cpu(
    known_time, event_time, local, values, offsets, lags, bases, days, hours, weekday, season, work, held, weight,
    latest, first_print, matched, expected,
):  # fmt: skip
    for segment in prange(offsets.shape[0] - 1):
        _place(
            known_time, event_time, local, values, offsets[segment], offsets[segment + 1], lags, bases, days, hours,
            weekday, season, work, held, weight, latest, first_print, matched, expected,
        )  # fmt: skip


@cuda.jit
def _states_cuda(
    known_time, event_time, local, values, offsets, lags, bases, days, hours, weekday, season, work, held, weight,
    latest, first_print, matched, expected,
):  # fmt: skip
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _place(
            known_time, event_time, local, values, offsets[segment], offsets[segment + 1], lags, bases, days, hours,
            weekday, season, work, held, weight, latest, first_print, matched, expected,
        )  # fmt: skip


def known_states(
    known_time: Array,
    event_time: Array,
    local_time: Array,
    values: Array,
    offsets: Array,
    lags_ns: Array,
    bases: Array,
    *,
    days: int,
    hours_ns: int,
    weekday: str,
    season_days: float | None = None,
) -> tuple[Array, Array, Array, Array]:
    """What is known of each place (segment) once each of its rows is known.

    Of each event_time the latest vintage counts, and one without a finite value takes the fact back as if it had never
    been observed. `latest` is the row of the latest event that then has a value. A match of lag g is the observation
    whose local time is nearest to local_time[latest] - g, among those of an earlier event on a date at most `days` from
    that date, within `hours_ns` of the latest one's local time of day (around midnight too), on a weekday that matches
    its own; of two equally near, the earlier. What is expected of it are median and scaled median deviation of the
    place's earlier observations at a like hour and weekday whose date, whole years of 365.2425 days apart, is at most
    `season_days` away.

    known_time, event_time, local_time   (n,) int64 ns; known_time never falls in a segment, and of equal times the
             later row is the later vintage; local_time is the place's own clock at event_time
    values   (n,) float32 or float64; offsets (S + 1,)
    lags_ns, bases   (L,) int64: lag l is counted from `latest` where bases[l] is -1, else from the match of lag
             bases[l], an earlier one: [364 d, 91 d, 364 d] and [-1, -1, 1] give the year before, the quarter before,
             and the year before that quarter
    days     at least 0; hours_ns at least 0; weekday   one of WEEKDAYS; season_days   above 0; none: nothing expected
    returns  latest, first_print (n,) int64: that row, and the first row of its event that had a value; matched (L, n)
             int64; expected (3, n) float64: median, 1.4826 times the median absolute deviation, and number

    Missing values: -1, and NaN, where there is none; also at a row that has another of the same known_time behind it
    in its segment: no decision comes between them.
    Raises: ArgumentError (also where known_time falls), DeviceError.
    Source: as-of rule of `gpu_kernels.align`; a lag of 364 days keeps the weekday.
    """
    rows = Rows(
        offsets,
        values={"values": values},
        times={"known_time": known_time, "event_time": event_time, "local_time": local_time},
    )
    values, known_time, event_time, local_time = rows.columns
    check_sorted("known_time", rows, known_time)
    common_device(values=values, lags_ns=lags_ns, bases=bases)
    lags_ns, bases = (column(name, a, (np.dtype(np.int64),)) for name, a in (("lags_ns", lags_ns), ("bases", bases)))
    _check_steps(to_host(lags_ns), to_host(bases))
    days = positive("days", days, minimum=0, maximum=10_000)
    hours_ns = positive("hours_ns", hours_ns, minimum=0, maximum=DAY)
    if weekday not in WEEKDAYS:
        raise ArgumentError(f"weekday is {weekday!r}", allowed=", ".join(WEEKDAYS))
    if season_days is not None and not season_days > 0:
        raise ArgumentError(f"season_days is {season_days!r}", allowed="a number above 0, or None")
    season = -1.0 if season_days is None else float(season_days)
    latest, first_print = (rows.empty(rows.count, np.int64) for _ in range(2))
    matched, expected = rows.empty((len(lags_ns), rows.count), np.int64), rows.empty((3, rows.count), np.float64)
    if rows.count == 0:
        return latest, first_print, matched, expected
    work, held, weight = rows.empty((5, rows.count), np.int64), *(rows.empty(rows.count, np.float64) for _ in range(2))
    arguments = (
        known_time, event_time, local_time, values, rows.offsets, lags_ns, bases, days, hours_ns, WEEKDAYS[weekday],
        season, work, held, weight, latest, first_print, matched, expected,
    )  # fmt: skip
    if rows.device:
        _states_cuda[grid_of(rows.segments)](*arguments)
    else:
        on_cpu(_states_cpu, rows.count * 64, rows.segments)(*arguments)
    return latest, first_print, matched, expected


def _check_steps(lags: Array, bases: Array) -> None:
    if len(lags) != len(bases):
        raise ArgumentError(f"{len(lags)} lags_ns, {len(bases)} bases", allowed="one base for each lag")
    if len(lags) and not (lags.min() > 0 and lags.max() <= _LONGEST):
        raise ArgumentError(f"lags_ns spans {lags.min()} to {lags.max()}", allowed="times above 0")
    if len(bases) and not ((bases >= -1) & (bases < np.arange(len(bases)))).all():
        raise ArgumentError(f"bases is {bases.tolist()}", allowed="-1, or the place of an earlier lag")
