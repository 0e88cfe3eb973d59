"""Intervals of what follows from sums over rows that depend on their neighbours: blocks of rows are drawn, not rows.

A circular block bootstrap: in each segment as many blocks of consecutive rows as fill it are drawn with replacement,
the first row following on the last, so that every row is as likely as any other. Inside a block rows hang together as
in the data; dependence over more than a block is lost.

Source: Künsch (1989); Politis and Romano (1992), "A circular block-resampling procedure for stationary data".
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.dispatch import positive
from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]

# blocks drawn at a time: the sums of all draws at once would be the largest array by far
_AT_ONCE = 2_000_000


def resampled_sums(columns: Floats, offsets: NDArray[np.int64], block: int, draws: int, seed: int) -> Floats:
    """Sums of each column over each segment, resampled.

    columns  (K, n) float64, n rows; offsets (S + 1,); block in rows, at least 1 (a longer one than its segment is cut
             to it)
    returns  (draws, S, K) in the unit of the columns, of which a column of ones gives the number of rows drawn

    Missing values: a column must have none (leave the row out, or give it 0 and count it by a column).
    Raises: ArgumentError.
    """
    block, draws = positive("block", block), positive("draws", draws)
    if not np.isfinite(columns).all():
        raise ArgumentError("columns hold values that are missing or infinite", allowed="finite numbers")
    rng = np.random.default_rng(seed)
    out = np.zeros((draws, len(offsets) - 1, len(columns)))
    for segment, (first, last) in enumerate(pairwise(offsets.tolist())):
        rows = last - first
        if rows == 0:
            continue
        length = min(block, rows)
        count = -(-rows // length)
        around = np.concatenate([columns[:, first:last], columns[:, first : first + length - 1]], axis=1)
        # each sum by itself: differences of running sums would lose digits
        sums = np.lib.stride_tricks.sliding_window_view(around, length, axis=1).sum(axis=2)
        step = max(1, _AT_ONCE // (count * len(columns)))
        for begin in range(0, draws, step):
            starts = rng.integers(0, rows, (min(step, draws - begin), count))
            out[begin : begin + step, segment] = sums[:, starts].sum(axis=2).T
    return out


def interval(resampled: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """The percentile interval of a resampled estimate, (draws,): its (1 - confidence) / 2 quantile and its mirror."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.nanquantile(resampled, [tail, 1.0 - tail])
    return float(low), float(high)
