import numpy as np

from naive.common import output
from naive.decayed_moments import counts, known_rows, weighted


def window_moments(time, since, later, weight, value, offsets, after, at, at_offsets, *, below):
    earlier = np.full(len(time), -1)
    for row, by in enumerate(later):
        if by >= 0:
            earlier[by] = row
    numbers = np.zeros((2, len(at)), np.int64)
    out = np.stack([output(len(at), weight, value)] * 6)
    out[0] = 0
    for i, rows in known_rows(time, earlier, offsets, at, at_offsets):
        inside = [row for row in rows if since[row] > after[i]]
        used = [row for row in inside if counts(row, weight, value)]
        numbers[:, i] = len(inside), len(used)
        if used:
            weights, values = [float(weight[row]) for row in used], [float(value[row]) for row in used]
            low = sum(w for w, v in zip(weights, values, strict=True) if v < below)
            out[:, i] = sum(weights), *weighted(weights, values), min(values), max(values), low / sum(weights)
    return numbers, out
