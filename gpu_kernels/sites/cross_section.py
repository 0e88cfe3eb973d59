"""One number for all places that belong to something at a time: the weighted median of those whose values may be used.

Places and rows are those of `gpu_kernels.sites.matching`: what a row says holds from its known_time to that of the
next. Who belongs to what is told by stays: (place, from when, until when).
"""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, grid_of, on_cpu, positive, to_host
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_positions, check_same_segments, check_sorted, segment_of, tile_rows, upper_bound
from gpu_kernels.sites.weighted_median import median, median_deviation, weighted_median

_TILE = 64
_SCRATCH = 1 << 24
"""Numbers that all threads of a launch may hold in each of their lists."""
_LEAST_SHARE = 0.01
"""Of the typical variance: no value is trusted more than one whose variance is that, whatever it says of itself."""
_INT64_MIN = -(2**63)


@body
def _gather(
    known_time, event_time, offsets, place, start, stop, first_stay, last_stay, decision, max_age, found, stays, begin
):
    """The rows known of the places that belong here, and how many belong."""
    members, count = 0, 0
    oldest = decision - max_age if decision >= _INT64_MIN + max_age else np.int64(_INT64_MIN)
    for stay in range(first_stay, last_stay):
        if start[stay] <= decision < stop[stay]:
            members += 1
            first = offsets[place[stay]]
            row = upper_bound(known_time, first, offsets[place[stay] + 1], decision) - 1
            if row >= first and event_time[row] >= oldest:
                found[begin + count], stays[begin + count] = row, stay
                count += 1
    return members, count


@body
def _centre(values, variances, oldest, since, found, stays, begin, count, held, weight):
    """Weighted median and number of one feature's values among the rows found."""
    used, told = 0, 0
    for i in range(begin, begin + count):
        row = found[i]
        if not math.isnan(np.float64(values[row])) and oldest[row] >= since[stays[i]]:
            held[begin + used] = np.float64(values[row])
            used += 1
            if not math.isnan(np.float64(variances[row])):
                told += 1
    centre = median(held, weight, begin, used)
    if used < 3 or told == 0:
        return centre, used
    spread = median_deviation(held, weight, begin, used, centre)
    typical = _typical(values, variances, oldest, since, found, stays, begin, count, held, weight)
    between = max(spread * spread - typical, 0.0)
    if typical + between <= 0.0:
        return centre, used
    used = 0
    for i in range(begin, begin + count):
        row = found[i]
        if not math.isnan(np.float64(values[row])) and oldest[row] >= since[stays[i]]:
            variance = np.float64(variances[row])
            if math.isnan(variance):
                variance = typical
            held[begin + used] = np.float64(values[row])
            weight[begin + used] = 1.0 / (max(variance, _LEAST_SHARE * typical) + between)
            used += 1
    return weighted_median(held, weight, begin, used), used


@body
def _typical(values, variances, oldest, since, found, stays, begin, count, held, weight):
    """The median of the variances that are told."""
    used = 0
    for i in range(begin, begin + count):
        row = found[i]
        variance = np.float64(variances[row])
        if not math.isnan(np.float64(values[row])) and oldest[row] >= since[stays[i]] and not math.isnan(variance):
            held[begin + used] = variance
            used += 1
    return median(held, weight, begin, used)


@body
def _decide(
    values, variances, oldest, known_time, event_time, offsets, place, since, start, stop, first_stay, last_stay, at,
    decision, max_age, found, stays, held, weight, begin, medians, counts, members,
):  # fmt: skip
    """All features of one decision."""
    belong, count = _gather(
        known_time, event_time, offsets, place, start, stop, first_stay, last_stay, at, max_age, found, stays, begin
    )
    members[decision] = belong
    for feature in range(values.shape[0]):
        centre, used = _centre(
            values[feature], variances[feature], oldest[feature], since, found, stays, begin, count, held, weight
        )
        medians[feature, decision], counts[feature, decision] = centre, used


@cpu_loop
def _medians_cpu(
    values, variances, oldest, known_time, event_time, offsets, place, since, start, stop, stay_offsets, decision_time,
    decision_offsets, tiles, max_age, medians, counts, members,
):  # fmt: skip
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, decision_offsets, _TILE)
        begin, end = stay_offsets[segment], stay_offsets[segment + 1]
        found, stays = np.empty(end - begin, np.int64), np.empty(end - begin, np.int64)
        held, weight = np.empty(end - begin, np.float64), np.empty(end - begin, np.float64)
        for decision in range(first, last):
            _decide(
                values, variances, oldest, known_time, event_time, offsets, place, since, start, stop, begin, end,
                decision_time[decision], decision, max_age, found, stays, held, weight, 0, medians, counts, members,
            )  # fmt: skip


@cuda.jit
def _medians_cuda(
    values, variances, oldest, known_time, event_time, offsets, place, since, start, stop, stay_offsets, decision_time,
    decision_offsets, max_age, found, stays, held, weight, lanes, longest, medians, counts, members,
):  # fmt: skip
    lane = cuda.grid(1)
    if lane < lanes:
        for decision in range(lane, decision_time.shape[0], lanes):
            segment = segment_of(decision_offsets, decision)
            _decide(
                values, variances, oldest, known_time, event_time, offsets, place, since, start, stop,
                stay_offsets[segment], stay_offsets[segment + 1], decision_time[decision], decision, max_age, found,
                stays, held, weight, lane * longest, medians, counts, members,
            )  # fmt: skip


def medians_of_places(
    values: Array,
    variances: Array,
    oldest: Array,
    known_time: Array,
    event_time: Array,
    offsets: Array,
    place: Array,
    since: Array,
    start: Array,
    stop: Array,
    stay_offsets: Array,
    decision_time: Array,
    decision_offsets: Array,
    *,
    max_age_ns: int,
) -> tuple[Array, Array, Array]:
    """The weighted median, over the places that belong to a decision's segment, of what is known of each.

    A place belongs at t where one of its segment's stays has start <= t < stop. Of it the last row with known_time <= t
    is used, unless t - event_time > max_age_ns; of that row a feature, unless it is NaN or reaches back to before the
    stay began: oldest < since. With x the values used, v their variances and

        tau^2 = max(0, (1.4826 median|x - median x|)^2 - median v)      (how places differ in truth)
        w     = 1 / (max(v, 0.01 median v) + tau^2)                     (the median v, where v is NaN)

    the result is the middle of all m that make sum(w |x - m|) least. All w are equal where fewer than three values are
    used, no variance is known, or all is 0. A mean of these weights would be more precise under normal noise and fall
    to one closed car park; a plain median would count a place seen through clouds like one seen clearly.

    values, variances   (F, n) float64, F features of the rows; oldest (F, n) int64 ns, of the earliest observation
                        that each is made of
    known_time, event_time   (n,) int64 ns: known_time never falls in a place; event_time of the latest observation
    offsets             (S + 1,): the places
    place, since, start, stop   (k,) int64: of each stay the place and times (ns); stay_offsets (T + 1,). One place in
                        two stays at a time counts twice
    decision_time       (m,) int64 ns, never falling in a segment; decision_offsets (T + 1,)
    max_age_ns          at least 0; 2**63 - 1 for no limit
    returns             medians (F, m) float64; counts (F, m) int64 of the values used; members (m,) int64: how many
                        places belong

    Missing values: NaN where no value is used.
    Raises: ArgumentError (also where a time falls, or a stay is at no place), DeviceError.
    Source: weighted median, Edgeworth (1888); weights and tau^2 as DerSimonian and Laird (1986), "Meta-analysis in
    clinical trials", with a robust spread in place of their Q.
    """
    max_age_ns = positive("max_age_ns", max_age_ns, minimum=0, maximum=2**63 - 1)
    rows = Rows(offsets, times={"known_time": known_time, "event_time": event_time})
    known_time, event_time = rows.columns
    stays = Rows(
        stay_offsets,
        times={"place": place, "since": since, "start": start, "stop": stop},
        offsets_name="stay_offsets",
    )
    decisions = Rows(decision_offsets, times={"decision_time": decision_time}, offsets_name="decision_offsets")
    check_same_segments(stays, decisions)
    check_sorted("known_time", rows, known_time)
    check_sorted("decision_time", decisions, decisions.columns[0])
    common_device(offsets=offsets, values=values, variances=variances, oldest=oldest, stays=stays.offsets)
    values, variances = (
        column(name, array, (np.dtype(np.float64),), 2)
        for name, array in (("values", values), ("variances", variances))
    )
    oldest = column("oldest", oldest, (np.dtype(np.int64),), 2)
    if not values.shape == variances.shape == oldest.shape or values.shape[1] != rows.count:
        raise ArgumentError(
            f"values {values.shape}, variances {variances.shape}, oldest {oldest.shape} of {rows.count} rows",
            allowed="three arrays of (features, rows)",
        )
    _check_places(stays.columns[0], rows.segments)
    features, count = values.shape[0], decisions.count
    medians, counts = decisions.empty((features, count), np.float64), decisions.empty((features, count), np.int64)
    members = decisions.empty(count, np.int64)
    if count == 0:
        return medians, counts, members
    shared = (
        values, variances, oldest, known_time, event_time, rows.offsets, *stays.columns, stays.offsets,
        decisions.columns[0], decisions.offsets,
    )  # fmt: skip
    if rows.device:
        longest = max(1, int(np.diff(stays.host_offsets).max(initial=0)))
        lanes = min(count, max(1, _SCRATCH // longest))
        lists = [rows.empty(lanes * longest, dtype) for dtype in (np.int64, np.int64, np.float64, np.float64)]
        _medians_cuda[grid_of(lanes)](*shared, max_age_ns, *lists, lanes, longest, medians, counts, members)
    else:
        work = count * max(1, stays.count // max(1, stays.segments)) * max(1, features)
        on_cpu(_medians_cpu, work)(*shared, decisions.tiles(_TILE), max_age_ns, medians, counts, members)
    return medians, counts, members


def _check_places(place: Array, count: int) -> None:
    check_positions("place", place, count, "the places")
    host = to_host(place)
    if len(host) and host.min() < 0:
        raise ArgumentError("place holds -1", allowed=f"0 to {count - 1}")
