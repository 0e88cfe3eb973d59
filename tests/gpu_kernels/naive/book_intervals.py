import numpy as np

from naive.common import segments


def interval_sums(time, values, offsets, edge, edge_offsets):
    table = np.atleast_2d(values)
    sums = np.full((len(table), len(edge)), np.nan, np.float32 if values.dtype == np.float32 else np.float64)
    counts = np.zeros(len(edge), np.int64)
    for (first, last), (start, stop) in zip(segments(offsets), segments(edge_offsets), strict=True):
        for k in range(start + 1, stop):
            inside = [row for row in range(first, last) if edge[k - 1] <= time[row] < edge[k]]
            counts[k] = len(inside)
            sums[:, k] = [sum(float(series[row]) for row in inside) for series in table]
    return (sums if values.ndim == 2 else sums[0]), counts
