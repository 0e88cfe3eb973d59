"""The weighted median of numbers in scratch memory, which both loops of this package call."""

import math

from gpu_kernels._jit import body

_SLACK = 1e-9
"""Of the total weight: so near to one half counts as one half, or sums of equal weights would miss it by rounding."""


@body
def _swap(values, weights, one, other):
    values[one], values[other] = values[other], values[one]
    weights[one], weights[other] = weights[other], weights[one]


@body
def _middle(one, two, three):
    return max(min(one, two), min(max(one, two), three))


@body
def _largest(values, first, stop):
    found = values[first]
    for i in range(first + 1, stop):
        found = max(found, values[i])
    return found


@body
def _smallest(values, first, stop):
    found = values[first]
    for i in range(first + 1, stop):
        found = min(found, values[i])
    return found


@body
def weighted_median(values, weights, first, count):
    """The middle of all m that make sum(w |x - m|) least, x and w (above 0) being the values and weights from `first`
    on, whose order is lost. With equal weights it is the median. NaN of none.

    Quickselect by three-way partition: the order of the values decides every step, and no random number.
    Source: Edgeworth (1888), "On a new method of reducing observations"; Hoare (1961), "Algorithm 65: Find".
    """
    if count == 0:
        return math.nan
    total = 0.0
    for i in range(first, first + count):
        total += weights[i]
    half, slack = 0.5 * total, _SLACK * total
    low, high, below = first, first + count, 0.0
    while True:
        pivot = _middle(values[low], values[(low + high) // 2], values[high - 1])
        less, place, more = low, low, high
        lower, equal = 0.0, 0.0
        while place < more:
            if values[place] < pivot:
                lower += weights[place]
                _swap(values, weights, less, place)
                less, place = less + 1, place + 1
            elif values[place] > pivot:
                more -= 1
                _swap(values, weights, place, more)
            else:
                equal += weights[place]
                place += 1
        if less > low and below + lower >= half - slack:
            if below + lower <= half + slack:
                return 0.5 * (_largest(values, low, less) + pivot)
            high = less
        elif more == high or below + lower + equal > half + slack:
            return pivot
        elif below + lower + equal >= half - slack:
            return 0.5 * (pivot + _smallest(values, more, high))
        else:
            below += lower + equal
            low = more


@body
def median(values, weights, first, count):
    """The median, with room for weights beside the values."""
    for i in range(first, first + count):
        weights[i] = 1.0
    return weighted_median(values, weights, first, count)


@body
def median_deviation(values, weights, first, count, centre):
    """1.4826 times the median of |x - centre|: the standard deviation where the values are normal.

    Source: Hampel (1974), "The influence curve and its role in robust estimation".
    """
    for i in range(first, first + count):
        values[i] = abs(values[i] - centre)
    return 1.4826022185056018 * median(values, weights, first, count)
