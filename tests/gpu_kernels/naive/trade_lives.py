import math

import numpy as np

from naive.common import segments


def _median(lives, weights):
    """Of ages rounded to the middles of quarter octaves."""
    bins = np.array([math.floor(4 * math.log2(max(life, 1))) for life in lives])
    for quarter in np.unique(bins):
        if 2 * weights[bins <= quarter].sum() >= weights.sum() * (1 - 1e-12):
            return 2.0 ** ((quarter + 0.5) / 4)
    return np.nan


def order_lives(time, action, age_ns, lots, offsets, at, at_offsets, *, half_life_ns):
    out = np.full((8, len(at)), np.nan)
    for (first, last), (begin, end) in zip(segments(offsets), segments(at_offsets), strict=True):
        for i in range(begin, end):
            rows = np.array([r for r in range(first, last) if time[r] <= at[i] and age_ns[r] >= 0 and lots[r] > 0], int)
            ends = [rows[action[rows] == code] for code in (5, 6)]
            weights = [0.5 ** ((at[i] - time[rows]) / half_life_ns) for rows in ends]
            count = [w.sum() for w in weights]
            size = [(w * lots[rows]).sum() for w, rows in zip(weights, ends, strict=True)]
            if len(ends[1]):
                out[0, i], out[1, i] = count[0] / count[1], size[0] / size[1]
            for kind in (0, 1):
                if len(ends[kind]):
                    lives = age_ns[ends[kind]].astype(np.float64)
                    out[2 + kind, i] = (weights[kind] * lives).sum() / count[kind]
                    out[4 + kind, i] = (weights[kind] * lives * lots[ends[kind]]).sum() / size[kind]
                    out[6 + kind, i] = _median(lives, weights[kind])
    return out
