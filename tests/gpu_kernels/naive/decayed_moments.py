import numpy as np

from naive.common import output, segments


def known_rows(time, earlier, offsets, at, at_offsets):
    """(i, the rows of its segment that are known by at[i] and have not been replaced by then)."""
    for (first, last), (begin, end) in zip(segments(offsets), segments(at_offsets), strict=True):
        for i in range(begin, end):
            seen = [row for row in range(first, last) if time[row] <= at[i]]
            gone = {int(earlier[row]) for row in seen}
            yield i, [row for row in seen if row not in gone]


def weighted(weight, value):
    """(mean, deviation)"""
    total = sum(weight)
    mean = sum(w * v for w, v in zip(weight, value, strict=True)) / total
    return mean, (sum(w * (v - mean) ** 2 for w, v in zip(weight, value, strict=True)) / total) ** 0.5


def counts(row, weight, value):
    return not np.isnan(value[row]) and weight[row] > 0


def decayed_moments(time, since, earlier, later, weight, value, offsets, at, at_offsets, *, half_lives_ns):
    out = np.stack([output(len(half_lives_ns) * len(at), weight, value).reshape(len(half_lives_ns), -1)] * 3)
    out[0] = 0
    for i, rows in known_rows(time, earlier, offsets, at, at_offsets):
        used = [row for row in rows if counts(row, weight, value)]
        for h, half_life in enumerate(half_lives_ns if used else ()):
            # the newest row counts 1, which the mean does not notice: its weights do not underflow
            newest = max(since[row] for row in used)
            relative = [float(weight[row]) * 0.5 ** (float(newest - since[row]) / half_life) for row in used]
            out[0, h, i] = sum(relative) * 0.5 ** (float(at[i] - newest) / half_life)
            out[1, h, i], out[2, h, i] = weighted(relative, [float(value[row]) for row in used])
    return out
