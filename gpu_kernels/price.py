"""Returns over rows. Prices are positive, in quote currency."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.segments import segment_of, tile_rows


@body
def log_ratio(price, base):
    """ln(price / base); NaN where either is not above 0."""
    return math.log(np.float64(price) / np.float64(base)) if price > 0 and base > 0 else np.nan


@body
def _lagged_return(close, row, segment_start, lag):
    return log_ratio(close[row], close[row - lag]) if row - lag >= segment_start else np.nan


@cpu_loop
def _log_return_cpu(close, offsets, tiles, tile, lag, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            out[row] = _lagged_return(close, row, offsets[segment], lag)


@cuda.jit
def _log_return_cuda(close, offsets, lag, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _lagged_return(close, row, offsets[segment_of(offsets, row)], lag)


def log_return(close: Array, offsets: Array, lag: int) -> Array:
    """Log return over `lag` rows: ln(close / close of `lag` rows before), within the segment.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); lag in rows, at least 1
    returns  (n,), pure number; divided and logged in float64

    Missing values: NaN at the first `lag` rows of a segment and where either close is NaN or not above 0.
    Raises: ArgumentError, DeviceError.
    """
    lag = positive("lag", lag)
    rows = Rows(offsets, values={"close": close})
    (close,) = rows.columns
    out = rows.empty(rows.count, float_dtype(close))
    if rows.count and rows.device:
        _log_return_cuda[grid_of(rows.count)](close, rows.offsets, lag, out)
    elif rows.count:
        on_cpu(_log_return_cpu, rows.count)(close, rows.offsets, rows.tiles(), TILE_ROWS, lag, out)
    return out
