"""Calls of the kernels of places: what is known of each, and the medians over those that belong together."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from gpu_kernels.sites import cross_section, matching

HOUR = 60 * MINUTE
DAY = 24 * HOUR


def works(data: Data) -> list[Work]:
    rng = data.rng("sites")
    # a clock of half days, so that weeks are crossed by a few rows; some come late, some are revisions
    known = data.time_ns // MINUTE * 12 * HOUR + 18_000 * DAY
    event = known - rng.integers(0, 5, data.rows) * 24 * HOUR - rng.choice([0, 0, 3], data.rows) * HOUR
    local = event + rng.choice([-5, -4], data.rows) * HOUR
    values = np.where(rng.random(data.rows) < 0.1, np.nan, rng.normal(size=data.rows).round(1)).astype(data.dtype)
    rows = (known, event, local, values, data.offsets)
    steps = (np.array([14 * DAY, 7 * DAY, 14 * DAY]), np.array([-1, -1, 1]))
    none = (np.empty(0, np.int64), np.empty(0, np.int64))
    works = [
        Work(
            matching.known_states,
            (*rows, *(none if rule == "any" else steps)),
            {"days": days, "hours_ns": 3 * HOUR, "weekday": rule, "season_days": season},
        )
        for rule, days, season in (("same", 7, 40.0), ("kind", 2, None), ("any", 0, 9.5))
    ]
    stays = data.rows // 3
    inner = np.sort(rng.integers(0, stays + 1, data.segments - 1))
    stay_offsets = np.concatenate([[0], inner, [stays]]).astype(np.int64)
    start = 18_000 * DAY + rng.integers(-40, 20, stays) * DAY
    stop = np.where(rng.random(stays) < 0.5, 2**62, start + rng.integers(0, 60, stays) * DAY)
    place = rng.integers(0, data.segments, stays)
    since = start - rng.integers(0, 2, stays) * 30 * DAY
    features = rng.normal(size=(3, data.rows)).round(1)
    features[rng.random(features.shape) < 0.1] = np.nan
    variances = rng.choice([0.0, 0.04, 0.25, 4.0, np.nan], (3, data.rows))
    variances[1], variances[2] = np.nan, 0.3
    oldest = event - rng.integers(0, 30, (3, data.rows)) * DAY
    at = 18_000 * DAY + data.decision_time // MINUTE * 12 * HOUR
    arrays = (features, variances, oldest, known, event, data.offsets, place, since, start, stop, stay_offsets, at)
    found = (*arrays, data.decision_offsets)
    return [
        *works,
        *(Work(cross_section.medians_of_places, found, {"max_age_ns": age}) for age in (8 * DAY, 2**63 - 1)),
    ]
