"""What a price has changed by over some bars: momentum and rates of change."""

import math

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, positive
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.gaps import Bars, suspect

_DIFFERENCE, _PERCENT, _PART, _RATIO, _RATIO_PERCENT = range(5)


@body
def _change(now, before, kind):
    if kind == _DIFFERENCE:
        return now - before
    scale = 100.0 if kind in (_PERCENT, _RATIO_PERCENT) else 1.0
    less = 1.0 if kind <= _PART else 0.0
    # not 1 but 0 for a ratio to 0, as in TA-Lib
    return (now / before - less) * scale if before != 0.0 else 0.0


@body
def _change_tile(close, begin, first, last, lag, kind, out):
    """Rows first to last of the segment that begins at `begin`: how many of them may be missing."""
    known, missing = min(last, max(first, begin + lag)), 0
    out[: known - first] = math.nan
    now, before, target = close[known:last], close[known - lag : last - lag], out[known - first :]
    for i in range(target.shape[0]):
        target[i] = _change(now[i], before[i], kind)
    for row in range(first, last):
        missing += suspect(close[row])
    return missing


@cpu_loop
def _change_cpu(close, offsets, tiles, tile, lag, kind, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        missing += _change_tile(close, offsets[segment], first, last, lag, kind, out[0, first:last])
    return missing


@cuda.jit
def _change_cuda(close, offsets, lag, kind, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        known = row - lag >= offsets[segment_of(offsets, row)]
        out[0, row] = _change(close[row], close[row - lag], kind) if known else math.nan


def _changes(close: Array, offsets: Array, lag: int, kind: int) -> Array:
    lag = positive("lag", lag)
    bars = Bars(offsets, {"close": close})
    return bars.step_over(lambda rows: (rows.launch(1, _change_cpu, _change_cuda, lag, kind, tile=TILE_ROWS)[0],))[0]


def momentum(close: Array, offsets: Array, lag: int = 10) -> Array:
    """Momentum: close - close of `lag` bars before.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); lag in bars, at least 1
    returns  (n,) in the unit of close

    Missing values: NaN at the first `lag` bars of a segment. A NaN close gives NaN and is stepped over: it is none of
    the `lag` bars.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's MOM.
    """
    return _changes(close, offsets, lag, _DIFFERENCE)


def rate_of_change(close: Array, offsets: Array, lag: int = 10) -> Array:
    """Rate of change in per cent: 100 * (close / close of `lag` bars before - 1).

    Arrays and `lag` as in `momentum`; returns (n,) in per cent, 0 where the close before is 0.

    Missing values: as `momentum`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's ROC.
    """
    return _changes(close, offsets, lag, _PERCENT)


def rate_of_change_part(close: Array, offsets: Array, lag: int = 10) -> Array:
    """Rate of change in parts of one: close / close of `lag` bars before - 1.

    Arrays and `lag` as in `momentum`; returns (n,), a pure number, 0 where the close before is 0.

    Missing values: as `momentum`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's ROCP.
    """
    return _changes(close, offsets, lag, _PART)


def rate_of_change_ratio(close: Array, offsets: Array, lag: int = 10) -> Array:
    """Ratio of change: close / close of `lag` bars before.

    Arrays and `lag` as in `momentum`; returns (n,), a pure number, 0 where the close before is 0.

    Missing values: as `momentum`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's ROCR.
    """
    return _changes(close, offsets, lag, _RATIO)


def rate_of_change_ratio_percent(close: Array, offsets: Array, lag: int = 10) -> Array:
    """Ratio of change in per cent: 100 * close / close of `lag` bars before.

    Arrays and `lag` as in `momentum`; returns (n,) in per cent, 0 where the close before is 0.

    Missing values: as `momentum`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's ROCR100.
    """
    return _changes(close, offsets, lag, _RATIO_PERCENT)
