import numpy as np

from naive.common import output, segments


def _moving(values, offsets, window, min_periods, measure):
    out = output(len(values), values)
    needed = window if min_periods is None else min_periods
    for first, last in segments(offsets):
        for row in range(first, last):
            inside = values[max(first, row - window + 1) : row + 1].astype(np.float64)
            inside = inside[~np.isnan(inside)]
            if len(inside) >= needed:
                out[row] = measure(inside)
    return out


def mean(values, offsets, window, min_periods=None):
    return _moving(values, offsets, window, min_periods, np.mean)


def std(values, offsets, window, min_periods=None, ddof=1):
    return _moving(values, offsets, window, min_periods, lambda x: np.std(x, ddof=ddof) if len(x) > ddof else np.nan)


def minimum(values, offsets, window, min_periods=None):
    return _moving(values, offsets, window, min_periods, np.min)


def maximum(values, offsets, window, min_periods=None):
    return _moving(values, offsets, window, min_periods, np.max)


def ema(values, offsets, window, initial="sma"):
    out = output(len(values), values)
    needed = window if initial == "sma" else 1
    for first, last in segments(offsets):
        present = [row for row in range(first, last) if not np.isnan(values[row])]
        if len(present) < needed:
            continue
        average = float(np.mean(values[present[:needed]].astype(np.float64)))
        out[present[needed - 1]] = average
        for row in present[needed:]:
            average += 2.0 / (window + 1.0) * (float(values[row]) - average)
            out[row] = average
    return out


def time_sum(time, values, offsets, window_ns):
    out = output(len(values), values)
    for first, last in segments(offsets):
        for row in range(first, last):
            inside = [i for i in range(first, row + 1) if time[row] - window_ns < time[i] <= time[row]]
            out[row] = np.nansum(values[inside].astype(np.float64))
    return out
