import math

import numpy as np

from naive.common import segments


def _cosine(a, b):
    product, one, other = (sum(x * y for x, y in zip(p, q, strict=True)) for p, q in ((a, b), (a, a), (b, b)))
    if one == 0 or other == 0:
        return float(one == other)
    return product / math.sqrt(one * other)


def _opposed(one, other, marks, more, apart):
    if abs(one - other) > apart:
        return True
    bits, others = ({k for k in range(64) if int(mark) >> k & 1} for mark in (marks, more))
    return bool(bits and others and not bits & others)


def largest_similarity(
    vectors,
    time,
    offsets,
    window_ns,
    capacity,
    either=True,
    limit=4096,
    threshold=1.0,
    value=None,
    marks=None,
    apart=math.inf,
):
    value = np.zeros(len(time)) if value is None else value
    marks = np.zeros(len(time), np.int64) if marks is None else marks
    largest = np.full(len(time), np.nan)
    nearest, repeats = np.full(len(time), -1, np.int64), np.zeros(len(time), np.int64)
    rows = vectors.astype(object)
    for first, last in segments(offsets):
        for i in range(first, last):
            for j in range(max(first, i - limit), i):
                if _opposed(value[i], value[j], marks[i], marks[j], apart):
                    continue
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
