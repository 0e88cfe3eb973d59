"""Moving sums, moments and extremes of a tile by doubling: the loops behind the CPU path of `rolling`.

With f(k) the sum of the last k rows, f(2k) is f(k) plus f(k) of k rows earlier, and a window of any length is put
together from the powers of two in it: log2(window) sweeps over a tile in the cache, each a plain vector operation. A
row takes the same steps wherever its tile begins, and later rows change no bit of it.
"""

import math

import numpy as np

from gpu_kernels._jit import body


@body
def merge_moments(count, mean, square, other_count, other_mean, other_square):
    """Moments of two neighbouring sets together (Chan, Golub and LeVeque 1983): count, mean, sum of squared
    deviations."""
    both = count + other_count
    share = other_count / both if both > 0.0 else 0.0
    shift = other_mean - mean
    return both, mean + shift * share, square + other_square + shift * (shift * (count * share))


@body
def load_tile(values, segment_start, first, last, window, missing_value):
    """The tile's rows and, before them, up to window - 1 rows of its segment: values as float64 with `missing_value`
    for NaN, 1 or 0 for present or not, the number of rows before the tile, and whether any is missing."""
    start = max(segment_start, first - window + 1)
    source = values[start:last]
    terms, present = np.empty(last - start), np.empty(last - start)
    missing = 0
    for i in range(source.shape[0]):
        value = np.float64(source[i])
        here = not math.isnan(value)
        terms[i] = value if here else missing_value
        present[i] = 1.0 if here else 0.0
        missing += 0 if here else 1
    return terms, present, first - start, missing > 0


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


@body
def window_counts(present, window, halo, any_missing):
    """How many rows of each window are there; without a missing row, as many as lie before it."""
    if any_missing:
        return window_sums(present, window, halo)
    counts = np.empty(present.shape[0] - halo)
    for i in range(counts.shape[0]):
        counts[i] = min(window, halo + i + 1)
    return counts


@body
def _merge_sweep(older, newer, lag, even_from, older_size, newer_size, out):
    """out[:, i] = moments of older[:, i - lag] and newer[:, i]; rows before `lag` have nothing older. From row
    `even_from` on the counts are known to be the full sizes, so the loop holds no division: the same steps, hence the
    same bits."""
    rows = newer.shape[1]
    even = min(max(even_from, lag), rows)
    for k in range(3):
        out[k, :lag] = newer[k, :lag]
    for i in range(lag, even):
        out[0, i], out[1, i], out[2, i] = merge_moments(
            older[0, i - lag], older[1, i - lag], older[2, i - lag], newer[0, i], newer[1, i], newer[2, i]
        )
    older_mean, older_square = older[1][even - lag : rows - lag], older[2][even - lag : rows - lag]
    newer_mean, newer_square = newer[1][even:], newer[2][even:]
    count, mean, square = out[0][even:], out[1][even:], out[2][even:]
    for i in range(count.shape[0]):
        count[i], mean[i], square[i] = merge_moments(
            np.float64(older_size),
            older_mean[i],
            older_square[i],
            np.float64(newer_size),
            newer_mean[i],
            newer_square[i],
        )


@body
def window_moments(terms, present, window, any_missing):
    """(3, rows): count, mean and sum of squared deviations of the last `window` terms of each row."""
    rows = terms.shape[0]
    state, spare = np.zeros((3, rows)), np.empty((3, rows))
    placed_state, placed_spare = np.zeros((3, rows)), np.empty((3, rows))
    state[0], state[1] = present, terms
    length, placed = 1, 0
    while True:
        if window & length:
            even_from = rows if any_missing else placed + length - 1
            _merge_sweep(state, placed_state, placed, even_from, length, placed, placed_spare)
            placed_state, placed_spare = placed_spare, placed_state
            placed += length
        if placed >= min(window, rows):
            return placed_state
        if length < rows:
            even_from = rows if any_missing else 2 * length - 1
            _merge_sweep(state, state, length, even_from, length, length, spare)
            state, spare = spare, state
        length *= 2


@body
def higher(terms, lag, out):
    """out[i] = the higher of terms[i - lag] and terms[i]."""
    out[:lag] = terms[:lag]
    earlier, later, target = terms[: terms.shape[0] - lag], terms[lag:], out[lag:]
    for i in range(target.shape[0]):
        target[i] = max(earlier[i], later[i])
