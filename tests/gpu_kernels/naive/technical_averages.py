import numpy as np

from naive.common import over_bars


def _ema(terms, window):
    """Exponential averages of the terms, NaN before the first; terms that are NaN come first."""
    out = np.full(len(terms), np.nan)
    known = np.flatnonzero(~np.isnan(terms))[window - 1 :]
    for row in known:
        if row == known[0]:
            out[row] = np.mean(terms[row - window + 1 : row + 1])
        else:
            out[row] = out[row - 1] + 2.0 / (window + 1) * (terms[row] - out[row - 1])
    return out


def _times(close, window, times):
    for _ in range(times):
        close = _ema(close, window)
    return close


def double_exponential_moving_average(close, offsets, window):
    return over_bars([close], offsets, lambda x: 2 * _times(x, window, 1) - _times(x, window, 2))


def triple_exponential_moving_average(close, offsets, window):
    def formula(x):
        return 3 * _times(x, window, 1) - 3 * _times(x, window, 2) + _times(x, window, 3)

    return over_bars([close], offsets, formula)


def tillson_moving_average(close, offsets, window, volume_factor):
    """The generalised double average, (1 + v) E - v E(E), three times over, is a polynomial in E."""
    weights = np.polynomial.polynomial.polypow([1 + volume_factor, -volume_factor], 3)

    def formula(x):
        return sum(weight * _times(x, window, 3 + times) for times, weight in enumerate(weights))

    return over_bars([close], offsets, formula)


def triangular_moving_average(close, offsets, window):
    weights = np.array([min(i + 1, window - i) for i in range(window)], float)

    def formula(x):
        rows = range(len(x))
        return [np.average(x[i - window + 1 : i + 1], weights=weights) if i >= window - 1 else np.nan for i in rows]

    return over_bars([close], offsets, formula)


def kaufman_moving_average(close, offsets, window):
    def formula(x):
        out = np.full(len(x), np.nan)
        for i in range(window, len(x)):
            way = np.abs(np.diff(x[i - window : i + 1])).sum()
            efficiency = 1.0 if way == 0.0 or way <= x[i] - x[i - window] else abs(x[i] - x[i - window]) / way
            pace = (efficiency * (2 / 3 - 2 / 31) + 2 / 31) ** 2
            before = x[i - 1] if i == window else out[i - 1]
            out[i] = before + pace * (x[i] - before)
        return out

    return over_bars([close], offsets, formula)
