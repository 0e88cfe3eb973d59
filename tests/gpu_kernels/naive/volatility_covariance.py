from itertools import pairwise

import numpy as np

from naive.common import output, segments


def write(out, place, x, y, xy):
    out[:3, place] = np.sum(x**2), np.sum(y**2), xy
    if out[0, place] * out[1, place] > 0:
        out[3, place] = xy / np.sqrt(np.sum(x**2) * np.sum(y**2))
    if out[0, place] > 0:
        out[4, place] = xy / np.sum(x**2)


def pairs(x, y, first, last):
    a, b = x[first:last].astype(np.float64), y[first:last].astype(np.float64)
    there = np.isfinite(a) & np.isfinite(b)
    return a[there], b[there]


def session_covariance(returns_x, returns_y, offsets):
    out = np.tile(output(len(offsets) - 1, returns_x, returns_y), (5, 1))
    for segment, (first, last) in enumerate(segments(offsets)):
        a, b = pairs(returns_x, returns_y, first, last)
        if len(a):
            write(out, segment, a, b, a @ b)
    return tuple(out)


def rolling_covariance(returns_x, returns_y, offsets, window, *, min_periods=None):
    out = np.tile(output(len(returns_x), returns_x, returns_y), (5, 1))
    for first, last in segments(offsets):
        for row in range(first, last):
            a, b = pairs(returns_x, returns_y, max(first, row - window + 1), row + 1)
            if len(a) >= (window if min_periods is None else min_periods):
                write(out, row, a, b, a @ b)
    return tuple(out)


def intervals(time, price, first, last, every):
    """(begin, end, return) between observations."""
    seen = {}
    for row in range(first, last):
        if 0 < price[row] < np.inf:
            seen[int(time[row])] = float(price[row])
    kept = sorted(seen.items())[::every]
    return [(a, b, np.log(q) - np.log(p)) for (a, p), (b, q) in pairwise(kept)]


def hayashi_yoshida(time_x, price_x, offsets_x, time_y, price_y, offsets_y, *, lag_ns=0, every=1):
    lags = np.atleast_1d(lag_ns)
    count = len(offsets_x) - 1
    out = np.tile(output(count * len(lags), price_x, price_y), (5, 1))
    for segment, ((a, b), (c, d)) in enumerate(zip(segments(offsets_x), segments(offsets_y), strict=True)):
        x, y = intervals(time_x, price_x, a, b, every), intervals(time_y, price_y, c, d, 1)
        if x and y:
            for k, lag in enumerate(lags.tolist()):
                xy = sum(
                    dx * dy
                    for begin, end, dx in x
                    for since, until, dy in y
                    if max(begin, since - lag) < min(end, until - lag)
                )
                dx, dy = np.array([r for *_, r in x]), np.array([r for *_, r in y])
                write(out, segment * len(lags) + k, dx, dy, xy)
    return tuple(row if np.ndim(lag_ns) == 0 else row.reshape(count, len(lags)) for row in out)
