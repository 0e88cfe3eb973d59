import numpy as np

import naive
from naive.common import output, segments


def seen(time, price, first, last):
    return {int(time[row]): float(price[row]) for row in range(first, last) if 0 < price[row] < np.inf}


def at(prices, time):
    return prices[max(t for t in prices if t <= time)]


def refresh_returns(time_x, price_x, offsets_x, time_y, price_y, offsets_y):
    x, y, times, offsets = [], [], [], [0]
    for (a, b), (c, d) in zip(segments(offsets_x), segments(offsets_y), strict=True):
        prices_x, prices_y = seen(time_x, price_x, a, b), seen(time_y, price_y, c, d)
        found, now = [], -np.inf
        while any(t > now for t in prices_x) and any(t > now for t in prices_y):
            now = max(min(t for t in prices if t > now) for prices in (prices_x, prices_y))
            found.append(now)
        for column, prices in ((x, prices_x), (y, prices_y)):
            column.extend([np.nan] * (len(found) > 0))
            column.extend(np.diff([np.log(at(prices, t)) for t in found]).tolist())
        times += found
        offsets.append(len(times))
    like = output(0, price_x, price_y).dtype
    return np.array(x, like), np.array(y, like), np.array(times, np.int64), np.array(offsets)


def polarised_covariance(returns_x, returns_y, offsets, *, measure, **settings):
    out = np.tile(output(len(offsets) - 1, returns_x, returns_y), (5, 1))
    x, y = returns_x.astype(np.float64), returns_y.astype(np.float64)
    missing = ~(np.isfinite(x) & np.isfinite(y))
    x[missing] = y[missing] = np.nan
    variance = naive.reference(measure)
    xx, yy, both = (variance(r, offsets, **settings) for r in (x, y, x + y))
    for s in np.flatnonzero(~np.isnan(both)):
        one, two, xy = xx[s], yy[s], (both[s] - xx[s] - yy[s]) / 2
        out[:3, s] = one, two, xy
        out[3, s] = xy / np.sqrt(one * two) if one > 0 and two > 0 else np.nan
        out[4, s] = xy / one if one > 0 else np.nan
    return tuple(out)
