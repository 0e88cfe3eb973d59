import statistics

import numpy as np

from naive.common import segments

DAY = 86_400 * 10**9


def alike(here, there, hours, weekday):
    clock = abs(here % DAY - there % DAY)
    if min(clock, DAY - clock) > hours:
        return False
    # 1970-01-01 was a Thursday
    names = [(3 + moment // DAY) % 7 for moment in (here, there)]
    if weekday == "same":
        return names[0] == names[1]
    return weekday == "any" or (names[0] in (5, 6)) == (names[1] in (5, 6))


def known_states(  # noqa: PLR0912
    known_time,
    event_time,
    local_time,
    values,
    offsets,
    lags_ns,
    bases,
    *,
    days,
    hours_ns,
    weekday,
    season_days=None,
):
    n = len(known_time)
    latest, first_print = np.full(n, -1), np.full(n, -1)
    matched, expected = np.full((len(lags_ns), n), -1), np.full((3, n), np.nan)
    local = [int(moment) for moment in local_time]
    for begin, end in segments(offsets):
        for now in range(begin, end):
            if now + 1 < end and known_time[now + 1] == known_time[now]:
                continue
            known, first = {}, {}
            for row in range(begin, now + 1):
                event = int(event_time[row])
                known[event] = row
                if np.isfinite(values[row]):
                    first.setdefault(event, row)
            known = {event: row for event, row in sorted(known.items()) if np.isfinite(values[row])}
            if not known:
                continue
            newest = max(known)
            latest[now], first_print[now] = known[newest], first[newest]
            for step, (lag, base) in enumerate(zip(lags_ns.tolist(), bases.tolist(), strict=True)):
                start = latest[now] if base < 0 else matched[base, now]
                if start < 0:
                    continue
                target = local[start] - lag
                near = [
                    (abs(local[row] - target), event, row)
                    for event, row in known.items()
                    if event < event_time[start]
                    and abs(local[row] // DAY - target // DAY) <= days
                    and alike(local[start], local[row], hours_ns, weekday)
                ]
                if near:
                    matched[step, now] = min(near)[2]
            if season_days is None:
                continue
            like = []
            for event, row in known.items():
                gap = local[latest[now]] // DAY - local[row] // DAY
                apart = min(abs(gap - 365.2425 * years) for years in range(-1, gap // 300 + 2))
                if event < newest and apart <= season_days and alike(local[latest[now]], local[row], hours_ns, weekday):
                    like.append(float(values[row]))
            expected[2, now] = len(like)
            if like:
                centre = statistics.median(like)
                expected[0, now] = centre
                expected[1, now] = 1.4826022185056018 * statistics.median(abs(x - centre) for x in like)
    return latest, first_print, matched, expected
