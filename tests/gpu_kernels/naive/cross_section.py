import numpy as np

from naive.common import segments


def _average_ranks(values):
    return np.array([np.sum(values < value) + (np.sum(values == value) + 1) / 2 for value in values])


def _correlation(x, y):
    u, v = x - x.mean(), y - y.mean()
    return np.sum(u * v) / np.sqrt(np.sum(u * u) * np.sum(v * v))


def information_coefficients(score, returns, offsets, min_rows=2):
    dtype = np.result_type(score, returns)
    rank_ic, ic = (np.full((len(returns), len(offsets) - 1), np.nan, dtype) for _ in range(2))
    rows = np.zeros(rank_ic.shape, np.int64)
    for h, of_horizon in enumerate(returns):
        for d, (first, last) in enumerate(segments(offsets)):
            x, y = score[first:last].astype(float), of_horizon[first:last].astype(float)
            both = np.isfinite(x) & np.isfinite(y)
            x, y = x[both], y[both]
            rows[h, d] = len(x)
            if len(x) >= min_rows and len(set(x)) > 1 and len(set(y)) > 1:
                rank_ic[h, d] = _correlation(_average_ranks(x), _average_ranks(y))
                ic[h, d] = _correlation(x, y)
    return rank_ic, ic, rows
