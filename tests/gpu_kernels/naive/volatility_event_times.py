import numpy as np


def around(time, offsets, event_type, event_time, known_time, event_offsets, *, types):
    until, since = np.full((types, len(time)), np.nan), np.full((types, len(time)), np.nan)
    for s in range(len(offsets) - 1):
        events = range(event_offsets[s], event_offsets[s + 1])
        for row in range(offsets[s], offsets[s + 1]):
            at = time[row]
            for kind in range(types):
                known = [int(event_time[e]) for e in events if event_type[e] == kind and known_time[e] <= at]
                later, earlier = [t for t in known if t > at], [t for t in known if t <= at]
                if later:
                    until[kind, row] = (min(later) - at) / 60e9
                if earlier:
                    since[kind, row] = (at - max(earlier)) / 60e9
    return until, since
