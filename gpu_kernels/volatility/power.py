"""Products of three neighbours and their power 4/3, many at once: what tripower quarticity sums on the CPU."""

import math

import numpy as np

from gpu_kernels._jit import body

_THIRD = 715094163.0 * 2.0**32
"""Two thirds of the exponent's bias, in place: bits / 3 + this are those of the cube root to within 4 per cent."""


@body
def products_of_three(returns, start, stop):
    """The products |r r' r''| of the rows, one for each return, the first two 0."""
    products, one, two, seen = np.empty(stop - start), 0.0, 0.0, 0
    for row in range(start, stop):
        size = abs(np.float64(returns[row]))
        if not math.isnan(size):
            products[seen] = size * one * two
            one, two, seen = size, one, seen + 1
    return products[:seen]


@body
def raise_to_four_thirds(values):
    """Each value, not below 0, becomes value^(4/3), to within two units of the last place; below 1e-290 it becomes 0.

    A call of pow() for each keeps a loop from vector code, which costs five times as much. The cube root comes from a
    third of the bits, Halley's step twice, Newton's once: errors of 3e-2, 2e-5, 1e-14, and then all digits.
    """
    root = np.empty(values.shape[0])
    bits, root_bits = values.view(np.int64), root.view(np.int64)
    for i in range(root.shape[0]):
        root_bits[i] = np.int64(bits[i] * (1.0 / 3.0) + _THIRD)
    for i in range(root.shape[0]):
        value, guess = values[i], root[i]
        cube = guess * guess * guess
        guess *= (cube + 2.0 * value) / (2.0 * cube + value)
        cube = guess * guess * guess
        guess *= (cube + 2.0 * value) / (2.0 * cube + value)
        guess -= (guess * guess * guess - value) / (3.0 * guess * guess)
        raised = np.inf if value >= 1e306 else value * guess
        values[i] = 0.0 if value <= 1e-290 else raised
