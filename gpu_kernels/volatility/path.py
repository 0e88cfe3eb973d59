"""The log price of a session from its returns: what the measures that see through noise are made of."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu


@body
def _path_segment(returns, start, stop, begin, changes, prices):
    count, level = 0, 0.0
    prices[begin] = 0.0
    for row in range(start, stop):
        change = np.float64(returns[row])
        if math.isfinite(change):
            changes[start + count] = change
            count += 1
            level += change
            prices[begin + count] = level
    return count


@cpu_loop
def _path_cpu(returns, offsets, changes, prices, counts):
    for s in prange(counts.shape[0]):
        counts[s] = _path_segment(returns, offsets[s], offsets[s + 1], offsets[s] + s, changes, prices)


@cuda.jit
def _path_cuda(returns, offsets, changes, prices, counts):
    s = cuda.grid(1)
    if s < counts.shape[0]:
        counts[s] = _path_segment(returns, offsets[s], offsets[s + 1], offsets[s] + s, changes, prices)


class Path:
    """The returns of each session that are there, one after the other, and the log prices that they lead to.

    changes  (n,) float64: those of segment s from row offsets[s] on, `counts`[s] of them
    prices   (n + S,) float64: from row offsets[s] + s on, one more than there are returns; 0 at the session's start, so
             that differences over any number of returns keep the digits that the logarithm of a price would lose
    counts   (S,) int64
    """

    def __init__(self, returns: Array, offsets: Array) -> None:
        self.rows = rows = Rows(offsets, values={"returns": returns})
        (returns,) = rows.columns
        self.dtype = float_dtype(returns)
        self.changes = rows.empty(rows.count, np.float64)
        self.prices = rows.empty(rows.count + rows.segments, np.float64)
        self.counts = rows.empty(rows.segments, np.int64)
        if rows.segments and rows.device:
            _path_cuda[grid_of(rows.segments)](returns, rows.offsets, self.changes, self.prices, self.counts)
        elif rows.segments:
            loop = on_cpu(_path_cpu, rows.count, rows.segments)
            loop(returns, rows.offsets, self.changes, self.prices, self.counts)

    @property
    def offsets(self) -> Array:
        return self.rows.offsets
