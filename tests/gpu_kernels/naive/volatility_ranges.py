import numpy as np

from naive.common import output, segments


def bars_of(opening, high, low, close, first, last):
    """(row, open, high, low, close, close before) of the bars that are there."""
    found, before = [], np.nan
    for row in range(first, last):
        bar = [float(x[row]) for x in (opening, high, low, close)]
        if all(0 < x < np.inf for x in bar):
            found.append((row, *bar, before))
            before = bar[3]
    return found


def variances(bars, garman_klass, ddof, needed):
    o, h, low, c, before = (np.array(x) for x in zip(*(bar[1:] for bar in bars), strict=True))
    up, down, change, gap = np.log(h / o), np.log(low / o), np.log(c / o), np.log(o / before)
    gap = gap[~np.isnan(gap)]
    if garman_klass == "practical":
        klass = 0.5 * np.log(h / low) ** 2 - (2 * np.log(2) - 1) * change**2
    else:
        klass = 0.511 * (up - down) ** 2 - 0.019 * (change * (up + down) - 2 * up * down) - 0.383 * change**2
    satchell = np.mean(np.log(h / c) * np.log(h / o) + np.log(low / c) * np.log(low / o))
    yang_zhang, n = np.nan, len(bars)
    if len(gap) >= needed and len(gap) > ddof:
        k = 0.34 / (1.34 + (n + 1) / (n - 1)) if n > 1 else 0.0
        yang_zhang = np.var(gap, ddof=ddof) + k * np.var(change, ddof=ddof) + (1 - k) * satchell
    return np.mean(np.log(h / low) ** 2) / (4 * np.log(2)), np.mean(klass), satchell, yang_zhang


def range_variances(opening, high, low, close, offsets, window, *, min_periods=None, garman_klass="practical", ddof=1):
    out = np.tile(output(len(close), opening, high, low, close), (4, 1))
    needed = window if min_periods is None else min_periods
    for first, last in segments(offsets):
        bars = bars_of(opening, high, low, close, first, last)
        for row in range(first, last):
            inside = [bar for bar in bars if row - window < bar[0] <= row]
            if len(inside) >= needed:
                out[:, row] = variances(inside, garman_klass, ddof, needed)
    return out


def parkinson(high, low, offsets, window, *, min_periods=None):
    return range_variances(low, high, low, low, offsets, window, min_periods=min_periods)[0]


def session_prices(opening, high, low, close, offsets):
    out = np.tile(output(len(offsets) - 1, opening, high, low, close), (4, 1))
    for segment, (first, last) in enumerate(segments(offsets)):
        bars = bars_of(opening, high, low, close, first, last)
        if bars:
            out[:, segment] = bars[0][1], max(b[2] for b in bars), min(b[3] for b in bars), bars[-1][4]
    return out
