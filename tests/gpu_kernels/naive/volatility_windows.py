import numpy as np

import naive
from naive.common import output, segments


def measure_windows(returns, offsets, window, *, measure, min_periods=None, **settings):
    variance, found = naive.reference(measure), []
    for first, last in segments(offsets):
        for row in range(first, last):
            inside = returns[max(first, row - window + 1) : row + 1].astype(np.float64)
            if np.isfinite(inside).sum() < (window if min_periods is None else min_periods):
                inside = inside[:0]
            found.append(variance(inside, np.array([0, len(inside)]), **settings))
    if not found:
        found = [variance(returns[:0].astype(np.float64), np.array([0]), **settings)]
    like = output(0, returns).dtype
    if not isinstance(found[0], tuple):
        return np.concatenate(found).astype(like)
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return tuple(column if column.dtype.kind == "i" else column.astype(like) for column in columns)
