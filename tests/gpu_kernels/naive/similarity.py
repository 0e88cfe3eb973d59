import math

import numpy as np

from naive.common import segments


def _cosine(a, b):
    product, one, other = (sum(x * y for x, y in zip(p, q, strict=True)) for p, q in ((a, b), (a, a), (b, b)))
    if one == 0 or other == 0:
        return float(one == other)
    return product / math.sqrt(one * other)


def largest_similarity(vectors, time, offsets, window_ns, capacity, either=True, limit=4096, threshold=1.0):
    largest = np.full(len(time), np.nan)
    nearest, repeats = np.full(len(time), -1, np.int64), np.zeros(len(time), np.int64)
    rows = vectors.astype(object)
    for first, last in segments(offsets):
        for i in range(first, last):
            for j in range(max(first, i - limit), i):
                rules = []
                if window_ns is not None:
                    rules.append(time[i] - time[j] <= window_ns)
                if capacity is not None:
                    rules.append(i - j <= capacity)
                if any(rules) if either else all(rules):
                    similarity = _cosine(rows[i], rows[j])
                    repeats[i] += similarity >= threshold
                    if not similarity < largest[i]:
                        largest[i], nearest[i] = similarity, j
    return largest, nearest, repeats
