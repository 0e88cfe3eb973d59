"""Moving sums of a tile by doubling.

With f(k) the sum of the last k rows, f(2k) is f(k) plus f(k) of k rows earlier, and a window of any length is put
together from the powers of two in it: log2(window) sweeps over a tile in the cache, each a plain vector operation. A
row takes the same steps wherever its tile begins, and later rows change no bit of it.
"""

import numpy as np

from gpu_kernels._jit import body


@body
def window_sums(terms, window, halo):
    """For each row from `halo` on, the sum of the last `window` terms; of fewer where fewer are before it."""
    rows = terms.shape[0]
    sums = np.zeros(rows - halo)
    spare = np.empty(rows)
    length, placed = 1, 0
    while True:
        if window & length:
            begin = max(halo, placed)
            part, target = terms[begin - placed : rows - placed], sums[begin - halo :]
            for i in range(target.shape[0]):
                target[i] += part[i]
            placed += length
        if placed >= min(window, rows):
            return sums
        if length < rows:
            spare[:length] = terms[:length]
            earlier, later, target = terms[: rows - length], terms[length:], spare[length:]
            for i in range(target.shape[0]):
                target[i] = earlier[i] + later[i]
            terms, spare = spare, terms
        length *= 2
