"""How prices answer to volume, over intervals: Kyle's lambda, Amihud's illiquidity, Roll's spread. One row is one
interval (a bar, or a bucket of time), so the rows are few beside those of the trades."""

import math
from typing import Literal

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.rolling import scaled_mean
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.trade.vpin import change

_SLOPE, _ROLL_NAN, _ROLL_ZERO = 0, 1, 2

# rows of a tile of windows: their sums stay in the first-level cache
_TILE = 512


@body
def _add(count, sum_x, sum_y, a, b):
    """A pair added to the number of pairs and to both sums, where both are there: selects, so that a loop over rows is
    vector code."""
    there = math.isfinite(a) & math.isfinite(b)
    return count + (1.0 if there else 0.0), sum_x + (a if there else 0.0), sum_y + (b if there else 0.0)


@body
def _add_products(squares, products, mean_x, mean_y, a, b):
    there = math.isfinite(a) & math.isfinite(b)
    x = a - mean_x
    return squares + (x * x if there else 0.0), products + (x * (b - mean_y) if there else 0.0)


@body
def _measure_of(count, mean_x, squares, products, min_periods, what):
    if count < min_periods:
        return np.nan
    if what == _SLOPE:
        # what the rounding of the mean leaves of values that are all equal is no spread
        return products / squares if squares > count * (1e-12 * mean_x) ** 2 else np.nan
    covariance = products / (count - 1.0)
    if covariance > 0.0:
        return np.nan if what == _ROLL_NAN else 0.0
    return 2.0 * math.sqrt(-covariance)


@body
def _measure(x, y, x_lag, first, row, min_periods, what):
    """Of the pairs of the rows first..row. Two passes over the window, about its mean: nothing is carried from row to
    row, so nothing lingers."""
    count, mean_x, mean_y = 0.0, 0.0, 0.0
    for i in range(first, row + 1):
        count, mean_x, mean_y = _add(count, mean_x, mean_y, np.float64(x[i - x_lag]), np.float64(y[i]))
    if count == 0.0:
        return np.nan
    mean_x, mean_y = mean_x / count, mean_y / count
    squares, products = 0.0, 0.0
    for i in range(first, row + 1):
        a, b = np.float64(x[i - x_lag]), np.float64(y[i])
        squares, products = _add_products(squares, products, mean_x, mean_y, a, b)
    return _measure_of(count, mean_x, squares, products, min_periods, what)


@body
def _add_rows(x, y, count, mean_x, mean_y):
    for i in range(count.shape[0]):
        count[i], mean_x[i], mean_y[i] = _add(count[i], mean_x[i], mean_y[i], np.float64(x[i]), np.float64(y[i]))


@body
def _add_rows_products(x, y, mean_x, mean_y, squares, products):
    for i in range(squares.shape[0]):
        squares[i], products[i] = _add_products(
            squares[i], products[i], mean_x[i], mean_y[i], np.float64(x[i]), np.float64(y[i])
        )


@body
def _measure_rows(x, y, x_lag, start, stop, window, min_periods, what, sums, out):
    """`_measure` of rows that all have a whole window, pair after pair for all rows instead of row after row: the same
    additions in the same order, side by side."""
    rows = stop - start
    count, mean_x, mean_y = sums[0, :rows], sums[1, :rows], sums[2, :rows]
    squares, products = sums[3, :rows], sums[4, :rows]
    for i in range(rows):
        count[i], mean_x[i], mean_y[i], squares[i], products[i] = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(start - window + 1, start + 1):
        _add_rows(x[i - x_lag : i - x_lag + rows], y[i : i + rows], count, mean_x, mean_y)
    for i in range(rows):
        mean_x[i] /= count[i]
        mean_y[i] /= count[i]
    for i in range(start - window + 1, start + 1):
        _add_rows_products(x[i - x_lag : i - x_lag + rows], y[i : i + rows], mean_x, mean_y, squares, products)
    for i in range(rows):
        out[start + i] = _measure_of(count[i], mean_x[i], squares[i], products[i], min_periods, what)


@cpu_loop
def _measure_cpu(x, y, x_lag, offsets, tiles, tile, window, min_periods, what, out):
    for unit in prange(tiles[-1]):
        segment, start, stop = tile_rows(unit, tiles, offsets, tile)
        begin = offsets[segment] + x_lag
        whole = min(max(start, begin + window - 1), stop)
        for row in range(start, whole):
            out[row] = _measure(x, y, x_lag, begin, row, min_periods, what)
        if whole < stop:
            _measure_rows(x, y, x_lag, whole, stop, window, min_periods, what, np.empty((5, tile)), out)


@cuda.jit
def _measure_cuda(x, y, x_lag, offsets, window, min_periods, what, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        first = max(offsets[segment_of(offsets, row)] + x_lag, row - window + 1)
        out[row] = _measure(x, y, x_lag, first, row, min_periods, what)


@body
def _illiquidity(close, value, row, segment_start):
    if row == segment_start:
        return np.nan
    now, before, traded = np.float64(close[row]), np.float64(close[row - 1]), np.float64(value[row])
    return abs(now / before - 1.0) / traded if now > 0.0 and before > 0.0 and traded > 0.0 else np.nan


@cpu_loop
def _illiquidity_cpu(close, value, offsets, tiles, tile, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            out[row] = _illiquidity(close, value, row, offsets[segment])


@cuda.jit
def _illiquidity_cuda(close, value, offsets, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _illiquidity(close, value, row, offsets[segment_of(offsets, row)])


def _moving(rows: Rows, x: Array, y: Array, x_lag: int, window: int, min_periods: int | None, what: int) -> Array:
    window = positive("window", window, minimum=2)
    needed = window if min_periods is None else positive("min_periods", min_periods, minimum=2, maximum=window)
    out = rows.empty(rows.count, float_dtype(*rows.columns))
    if rows.count and rows.device:
        _measure_cuda[grid_of(rows.count)](x, y, x_lag, rows.offsets, window, needed, what, out)
    elif rows.count:
        tiles = (rows.tiles(_TILE), _TILE)
        on_cpu(_measure_cpu, rows.count)(x, y, x_lag, rows.offsets, *tiles, window, needed, what, out)
    return out


def kyle_lambda(
    mid: Array, signed_volume: Array, offsets: Array, window: int, *, min_periods: int | None = None
) -> Array:
    """Kyle's lambda: the slope of dm = a + lambda * signed_volume + e, least squares over the last `window` intervals,
    dm being the change of the mid from the end of the interval before to the end of this one.

    mid             (n,) float32, float64 or int64 ticks, at each interval's end; offsets (S + 1,)
    signed_volume   (n,) bought less sold in the interval (`trade_flow`, `aggregate`)
    window          in intervals, at least 2; min_periods, 2 to window: how many it must hold; default: window
    returns         (n,) unit of mid per unit of volume; the time of a call grows with the window

    Missing values: intervals where dm or the volume is NaN or infinite are left out, as is the segment's first, which
    has no dm; NaN where fewer than `min_periods` are left, or their volumes are all equal.
    Raises: ArgumentError, DeviceError.
    Source: Kyle (1985), "Continuous auctions and insider trading"; Hasbrouck (2009), "Trading costs and returns".
    """
    rows = Rows(offsets, values={"mid": mid, "signed_volume": signed_volume})
    mid, signed_volume = rows.columns
    return _moving(rows, signed_volume, change(mid, offsets), 0, window, min_periods, _SLOPE)


def amihud(close: Array, value: Array, offsets: Array, window: int, *, min_periods: int | None = None) -> Array:
    """Amihud's illiquidity: the mean of |close / close' - 1| / value over the last `window` intervals, close' being the
    close before it in the segment.

    close    (n,) float32, float64 or int64 ticks; value (n,) traded in the interval, in currency; offsets (S + 1,)
    window, min_periods   in intervals, as in `rolling.mean`
    returns  (n,) return per unit of currency (the literature multiplies by 1e6)

    Missing values: an interval whose close, or the one before, is NaN or not above 0, or whose value is, is left out;
    NaN where fewer than `min_periods` are left.
    Raises: ArgumentError, DeviceError.
    Source: Amihud (2002), "Illiquidity and stock returns".
    """
    rows = Rows(offsets, values={"close": close, "value": value})
    ratio = rows.empty(rows.count, np.float64)
    if rows.count and rows.device:
        _illiquidity_cuda[grid_of(rows.count)](*rows.columns, rows.offsets, ratio)
    elif rows.count:
        on_cpu(_illiquidity_cpu, rows.count)(*rows.columns, rows.offsets, rows.tiles(), TILE_ROWS, ratio)
    return scaled_mean(ratio, offsets, window, min_periods=min_periods, dtype=float_dtype(*rows.columns))


def roll_spread(
    price: Array,
    offsets: Array,
    window: int,
    *,
    min_periods: int | None = None,
    refuted: Literal["nan", "zero"] = "nan",
) -> Array:
    """Roll's spread: 2 sqrt(-c), with c the covariance (sample's, divided by count - 1) of each change of price with
    the change before it, over the last `window` such pairs.

    price    (n,) float32, float64 or int64 ticks, of trades or intervals; offsets (S + 1,)
    window   in pairs, at least 2; min_periods, 2 to window: how many it must hold; default: window
    refuted  what to give where c is above 0, which the model cannot explain: "nan" (the default, since a 0 would claim
             that trading was free) or "zero" (as in much of the literature)
    returns  (n,) in the unit of the prices; the time of a call grows with the window

    Missing values: pairs with a NaN price are left out; NaN where fewer than `min_periods` are left.
    Raises: ArgumentError, DeviceError.
    Source: Roll (1984), "A simple implicit measure of the effective bid-ask spread in an efficient market".
    """
    if refuted not in {"nan", "zero"}:
        raise ArgumentError(f"refuted is {refuted!r}", allowed='"nan" or "zero"')
    rows = Rows(offsets, values={"price": price})
    changes = change(rows.columns[0], offsets)
    return _moving(rows, changes, changes, 1, window, min_periods, _ROLL_NAN if refuted == "nan" else _ROLL_ZERO)
