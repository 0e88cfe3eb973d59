import math
import statistics

import numpy as np

from naive.common import segments


def weighted_median(values, weights):
    """The middle of where sum(w |x - m|) is least, looked for among the values and halfway between neighbours."""
    if not values:
        return math.nan
    total = sum(weights)
    at = sorted(set(values))
    below = [sum(w for x, w in zip(values, weights, strict=True) if x <= edge) for edge in at]
    for place, weight in enumerate(below):
        if abs(weight - total / 2) <= 1e-9 * total:
            return (at[place] + at[place + 1]) / 2
        if weight > total / 2:
            return at[place]
    raise AssertionError("no half")


def medians_of_places(
    values,
    variances,
    oldest,
    known_time,
    event_time,
    offsets,
    place,
    since,
    start,
    stop,
    stay_offsets,
    decision_time,
    decision_offsets,
    *,
    max_age_ns,
):
    features, m = len(values), len(decision_time)
    medians, counts, members = np.full((features, m), np.nan), np.zeros((features, m), np.int64), np.zeros(m, np.int64)
    places = segments(offsets)
    for (first, last), (begin, end) in zip(segments(stay_offsets), segments(decision_offsets), strict=True):
        for decision in range(begin, end):
            t = int(decision_time[decision])
            here = [stay for stay in range(first, last) if start[stay] <= t < stop[stay]]
            members[decision] = len(here)
            for feature in range(features):
                found = []
                for stay in here:
                    rows = [row for row in range(*places[place[stay]]) if known_time[row] <= t]
                    if not rows or t - int(event_time[rows[-1]]) > max_age_ns:
                        continue
                    row = rows[-1]
                    if not math.isnan(values[feature, row]) and oldest[feature, row] >= since[stay]:
                        found.append((float(values[feature, row]), float(variances[feature, row])))
                medians[feature, decision], counts[feature, decision] = centre(found), len(found)
    return medians, counts, members


def centre(found):
    if not found:
        return math.nan
    values = [value for value, _ in found]
    middle = statistics.median(values)
    told = [variance for _, variance in found if not math.isnan(variance)]
    if len(found) < 3 or not told:
        return middle
    spread = 1.4826022185056018 * statistics.median(abs(value - middle) for value in values)
    typical = statistics.median(told)
    between = max(0.0, spread**2 - typical)
    if typical + between <= 0:
        return middle
    variances = [typical if math.isnan(variance) else max(variance, 0.01 * typical) for _, variance in found]
    return weighted_median(values, [1 / (variance + between) for variance in variances])
