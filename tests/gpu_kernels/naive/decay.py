import numpy as np

from naive.common import segments


def _at(offsets, at_offsets):
    for (first, last), (begin, end) in zip(segments(offsets), segments(at_offsets), strict=True):
        for i in range(begin, end):
            yield i, range(first, last)


def last_index(time, offsets, at, at_offsets, lag_ns=0):
    out = np.full(len(at), -1, np.int64)
    for i, items in _at(offsets, at_offsets):
        out[i] = max((item for item in items if time[item] <= at[i] - lag_ns), default=-1)
    return out


def count_within(time, offsets, at, at_offsets, window_ns):
    out = np.zeros(len(at), np.int64)
    for i, items in _at(offsets, at_offsets):
        out[i] = sum(at[i] - window_ns < time[item] <= at[i] for item in items)
    return out


def decayed_sum(time, value, offsets, at, at_offsets, half_life_ns):
    out = np.zeros(len(at), np.float32 if value.dtype == np.float32 else np.float64)
    for i, items in _at(offsets, at_offsets):
        seen = [item for item in items if time[item] <= at[i] and not np.isnan(value[item])]
        out[i] = sum(float(value[item]) * 0.5 ** (float(at[i] - time[item]) / half_life_ns) for item in seen)
    return out
