import numpy as np

from naive.common import output, segments
from naive.trade_vpin import change


def _moving(out, x, y, offsets, window, min_periods, measure):
    needed = window if min_periods is None else min_periods
    for first, last in segments(offsets):
        for row in range(first, last):
            rows = slice(max(first, row - window + 1), row + 1)
            there = np.isfinite(x[rows]) & np.isfinite(y[rows])
            if there.sum() >= needed:
                out[row] = measure(x[rows][there], y[rows][there])
    return out


def kyle_lambda(mid, signed_volume, offsets, window, min_periods=None):
    def slope(x, y):
        return np.cov(x, y)[0, 1] / np.var(x, ddof=1) if np.ptp(x) > 0 else np.nan

    out, volume = output(len(mid), mid, signed_volume), signed_volume.astype(np.float64)
    return _moving(out, volume, change(mid, offsets), offsets, window, min_periods, slope)


def roll_spread(price, offsets, window, min_periods=None, refuted="nan"):
    def spread(x, y):
        covariance = np.cov(x, y)[0, 1]
        return 2 * np.sqrt(-covariance) if covariance <= 0 else {"nan": np.nan, "zero": 0.0}[refuted]

    now = change(price, offsets)
    before = np.full(len(price), np.nan)
    for first, last in segments(offsets):
        before[first + 1 : last] = now[first : last - 1] if last > first else []
    return _moving(output(len(price), price), before, now, offsets, window, min_periods, spread)


def amihud(close, value, offsets, window, min_periods=None):
    ratio = np.full(len(close), np.nan)
    for first, last in segments(offsets):
        for row in range(first + 1, last):
            now, before, traded = float(close[row]), float(close[row - 1]), float(value[row])
            if now > 0 and before > 0 and traded > 0:
                ratio[row] = abs((now - before) / before) / traded
    return _moving(
        output(len(close), close, value), ratio, ratio, offsets, window, min_periods, lambda x, _: np.mean(x)
    )
