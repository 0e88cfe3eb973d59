"""The quantile of a few numbers in any order."""

import math

from gpu_kernels._jit import body


@body
def between(low, high, share):
    return low if share == 0.0 or low == high else (1.0 - share) * low + share * high


@body
def _select(values, count, place):
    """Moves the number of that rank to `place`, lower ones before it, higher ones behind (Hoare 1961, "Algorithm 65:
    find", in Wirth's form)."""
    left, right = 0, count - 1
    while left < right:
        pivot, i, j = values[place], left, right
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        left = i if j < place else left
        right = j if place < i else right


@body
def quantile_of(values, count, probability):
    """Definition 7 of Hyndman and Fan (1996), NumPy's default, of the first `count` numbers, which it moves about; NaN
    where there is none."""
    if count == 0:
        return math.nan
    place = probability * (count - 1)
    low = int(place)
    _select(values, count, low)
    if low + 1 == count:
        return values[low]
    high = values[low + 1]
    for i in range(low + 2, count):
        high = min(high, values[i])
    return between(values[low], high, place - low)
