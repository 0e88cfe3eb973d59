import numpy as np

from naive.common import over_bars


def _windows(columns, offsets, window, before, measure):
    def formula(*columns):
        rows = range(len(columns[0]))
        return [
            measure(*(x[i - window + 1 - before : i + 1] for x in columns)) if i >= window - 1 + before else np.nan
            for i in rows
        ]

    return over_bars(columns, offsets, formula)


def variance(close, offsets, window):
    return _windows([close], offsets, window, 0, np.var)


def standard_deviation(close, offsets, window, deviations=1.0):
    return _windows([close], offsets, window, 0, lambda x: deviations * np.std(x))


def bollinger_bands(close, offsets, window, deviations_up=2.0, deviations_down=2.0):
    def edge(deviations):
        return _windows([close], offsets, window, 0, lambda x: np.mean(x) + deviations * np.std(x))

    return edge(deviations_up), edge(0.0), edge(-deviations_down)


def correlation(x, y, offsets, window):
    def measure(x, y):
        return 0.0 if np.ptp(x) == 0.0 or np.ptp(y) == 0.0 else np.corrcoef(x, y)[0, 1]

    return _windows([x, y], offsets, window, 0, measure)


def beta(x, y, offsets, window):
    def measure(x, y):
        one, other = np.diff(x) / x[:-1], np.diff(y) / y[:-1]
        return 0.0 if np.var(one) < 1e-30 else np.cov(one, other, ddof=0)[0, 1] / np.var(one)

    return _windows([x, y], offsets, window, 1, measure)
