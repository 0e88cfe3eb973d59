"""Aroon: how long ago the highest high and the lowest low of the last bars were."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, positive
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.gaps import Bars, suspect


@body
def _merge(values, ages, lag, out, out_ages):
    """out[i] = the higher of values[i - lag] and values[i], of equal ones the later, with the rows since then."""
    rows = values.shape[0]
    out[:lag], out_ages[:lag] = values[:lag], ages[:lag]
    older, newer, target = values[: rows - lag], values[lag:rows], out[lag:rows]
    older_ages, newer_ages, target_ages = ages[: rows - lag], ages[lag:rows], out_ages[lag:rows]
    for i in range(target.shape[0]):
        before = older[i] > newer[i]
        target[i] = older[i] if before else newer[i]
        target_ages[i] = older_ages[i] + lag if before else newer_ages[i]


@body
def _ages(source, sign, bars):
    """For each row the rows since the highest sign * value of the last `bars` rows. By doubling: of the last 2k rows it
    is that of the last k or of the k before, and two powers of two that overlap cover any window."""
    rows = source.shape[0]
    values, spare, ages, spare_ages = np.empty(rows), np.empty(rows), np.zeros(rows), np.empty(rows)
    for i in range(rows):
        values[i] = sign * source[i]
    length = 1
    while 2 * length <= bars and length < rows:
        _merge(values, ages, length, spare, spare_ages)
        values, spare, ages, spare_ages = spare, values, spare_ages, ages
        length *= 2
    _merge(values, ages, min(bars - length, rows), spare, spare_ages)
    return spare_ages


@body
def _tile(high, low, begin, first, last, window, out):
    """Rows first to last of the segment that begins at `begin`: how many of them may be missing. `out` has a row for
    each of down and up, or one for up - down."""
    start, rows, missing = max(begin, first - window), last - first, 0
    down, up = _ages(low[start:last], -1.0, window + 1)[first - start :], _ages(high[start:last], 1.0, window + 1)
    up = up[first - start :]
    scale, known = 100.0 / window, min(rows, max(0, begin + window - first))
    for row in range(first, last):
        missing += suspect(high[row] + low[row])
    out[:, :known] = np.nan
    if out.shape[0] == 1:
        for i in range(known, rows):
            out[0, i] = scale * (down[i] - up[i])
    else:
        for i in range(known, rows):
            out[0, i], out[1, i] = scale * (window - down[i]), scale * (window - up[i])
    return missing


@cpu_loop
def _aroon_cpu(high, low, offsets, tiles, tile, window, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        missing += _tile(high, low, offsets[segment], first, last, window, out[:, first:last])
    return missing


@cuda.jit
def _aroon_cuda(high, low, offsets, window, out):
    row = cuda.grid(1)
    if row < high.shape[0]:
        down, up = math.nan, math.nan
        if row - offsets[segment_of(offsets, row)] >= window:
            lowest = highest = row - window
            for back in range(row - window + 1, row + 1):
                lowest = back if low[back] <= low[lowest] else lowest
                highest = back if high[back] >= high[highest] else highest
            down, up = 100.0 / window * (window - row + lowest), 100.0 / window * (window - row + highest)
        if out.shape[0] == 1:
            out[0, row] = up - down
        else:
            out[0, row], out[1, row] = down, up


def _launch(high: Array, low: Array, offsets: Array, window: int, outputs: int) -> tuple[Array, ...]:
    window = positive("window", window)
    bars = Bars(offsets, {"high": high, "low": low})
    tile = max(TILE_ROWS, window)
    return bars.step_over(lambda rows: tuple(rows.launch(outputs, _aroon_cpu, _aroon_cuda, window, tile=tile)))


def aroon(high: Array, low: Array, offsets: Array, window: int = 14) -> tuple[Array, Array]:
    """Aroon down and up: 100 * (window - bars since the lowest low, or highest high, of the last window + 1 bars) /
    window; of equal ones the latest counts.

    high, low   (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 1
    returns     down and up, each (n,), 0 to 100

    Missing values: NaN at the first `window` bars of a segment. A bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Chande (1995), Technical Analysis of Stocks & Commodities, September; TA-Lib's AROON.
    """
    down, up = _launch(high, low, offsets, window, 2)
    return down, up


def aroon_oscillator(high: Array, low: Array, offsets: Array, window: int = 14) -> Array:
    """Aroon up less Aroon down (see `aroon`), -100 to 100.

    Missing values: as `aroon`.
    Raises: ArgumentError, DeviceError.
    Source: Chande (1995), Technical Analysis of Stocks & Commodities, September; TA-Lib's AROONOSC.
    """
    return _launch(high, low, offsets, window, 1)[0]
