"""Middle of the range of the last bars. The ends themselves are `rolling.maximum`
and `rolling.minimum`."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import cpu_loop, prange
from gpu_kernels.blocks import tile_of, window_highest
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.gaps import Bars, suspect


@cpu_loop
def _middle_cpu(high, low, offsets, tiles, tile, window, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, found = max(offsets[segment], first - window), 0
        highest, lowest, target = np.empty(last - first), np.empty(last - first), out[0, first:last]
        window_highest(high[start:last], first - start, window, 1.0, highest)
        window_highest(low[start:last], first - start, window, -1.0, lowest)
        for i in range(target.shape[0]):
            target[i] = 0.5 * (highest[i] - lowest[i])
            found += suspect(high[first + i] + low[first + i])
        missing += found
        for i in range(min(window - 1, last - first) if start == first else 0):
            target[i] = np.nan
    return missing


@cuda.jit
def _middle_cuda(high, low, offsets, window, out):
    row = cuda.grid(1)
    if row < high.shape[0]:
        oldest, middle = row - window + 1, np.nan
        if oldest >= offsets[segment_of(offsets, row)]:
            highest, lowest = -np.inf, np.inf
            for i in range(oldest, row + 1):
                highest, lowest = max(highest, high[i]), min(lowest, low[i])
            middle = 0.5 * (highest + lowest)
        out[0, row] = middle


def _middles(columns: dict[str, Array], offsets: Array, window: int) -> Array:
    window = positive("window", window)

    def middle(rows: Bars) -> tuple[Array, ...]:
        highs, lows = rows.columns[0], rows.columns[-1]
        return (rows.launch(1, _middle_cpu, _middle_cuda, window, tile=tile_of(window), columns=(highs, lows))[0],)

    return Bars(offsets, columns).step_over(middle)[0]


def midpoint(close: Array, offsets: Array, window: int = 14) -> Array:
    """(highest + lowest close) / 2 of the last `window` bars.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,) of entities or sessions; window in bars, at least 1
    returns  (n,) in the unit of close

    Missing values: NaN at the first window - 1 bars of a segment. A NaN close gives NaN and is stepped over: it is none
    of the window's bars.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's MIDPOINT.
    """
    return _middles({"close": close}, offsets, window)


def midprice(high: Array, low: Array, offsets: Array, window: int = 14) -> Array:
    """(highest high + lowest low) / 2 of the last `window` bars. Shapes, units and parameters as in `midpoint`.

    Missing values: as `midpoint`; a bar with a NaN in either is missing.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's MIDPRICE.
    """
    return _middles({"high": high, "low": low}, offsets, window)
