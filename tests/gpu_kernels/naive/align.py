import numpy as np

from naive.common import output, segments


def gather_map(known_time, event_time, offsets, decision_time, decision_offsets, max_age_ns):
    out = np.full(len(decision_time), -1, np.int64)
    for (first, last), (begin, end) in zip(segments(offsets), segments(decision_offsets), strict=True):
        for decision in range(begin, end):
            t = int(decision_time[decision])
            vintages = {}
            for row in range(first, last):
                if known_time[row] <= t:
                    vintages[int(event_time[row])] = row
            if vintages and t - max(vintages) <= max_age_ns:
                out[decision] = vintages[max(vintages)]
    return out


def take(values, index):
    out = output(len(index), values)
    for i, row in enumerate(index):
        if row >= 0:
            out[i] = values[row]
    return out


def ages(known_time, event_time, decision_time, index):
    age, since = np.full(len(index), np.nan), np.full(len(index), np.nan)
    for i, row in enumerate(index):
        if row >= 0:
            age[i] = (int(decision_time[i]) - int(event_time[row])) / 60e9
            since[i] = (int(decision_time[i]) - int(known_time[row])) / 60e9
    return age, since
