"""Variance, bands, correlation and beta of the last bars.

The sums of squares and products are taken by blocks (see `gpu_kernels.blocks`), each value measured from one in the
same window: from the last of the block before and from the first of this one. So a series that is large against its
moves loses no digits, and a value that has left the window leaves nothing behind.
"""

import math
from typing import NamedTuple

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.blocks import tile_of
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.technical.gaps import Bars, suspect
from gpu_kernels.technical.recursion import is_zero

_VARIANCE, _DEVIATION, _BANDS = range(3)
_CORRELATION, _BETA = range(2)
_NOTHING = 1e-14
"""TA-Lib's least variance, and product of two, that is one."""


class Bands(NamedTuple):
    """Middle: the mean of the window; upper and lower: so many standard deviations above and below it."""

    upper: Array
    middle: Array
    lower: Array


@body
def _write_spread(base, total, square, window, kind, up, down, row, out):
    """Of the sums of the values less `base` and of their squares."""
    mean = total / window
    variance = (square - total * mean) / window
    if kind == _VARIANCE:
        out[0, row] = max(variance, 0.0) if variance < np.inf else np.nan
        return
    deviation = np.nan
    if variance < np.inf:
        deviation = math.sqrt(variance) if variance >= _NOTHING else 0.0
    if kind == _DEVIATION:
        out[0, row] = up * deviation
    else:
        middle = base + mean
        out[0, row], out[1, row], out[2, row] = middle + up * deviation, middle, middle - down * deviation


@body
def _spread_tails(rows, begin, width, totals, squares):
    base, total, square = rows[begin + width - 1], 0.0, 0.0
    for place in range(width - 1, -1, -1):
        value = rows[begin + place] - base
        total += value
        square += value * value
        totals[place], squares[place] = total, square
    return base


@body
def _spread_blocks(rows, begin, width, first, kind, up, down, tails, out):
    """The blocks of a tile whose rows begin at `begin`, 0 or `width`, and are from `first` on in `out`."""
    window, totals, squares = np.float64(width), tails[0], tails[1]
    before = _spread_tails(rows, 0, width, totals, squares) if begin else 0.0
    for block in range(begin, rows.shape[0], width):
        base, total, square = rows[block], 0.0, 0.0
        for j in range(min(width, rows.shape[0] - block)):
            value, target = rows[block + j] - base, first + block - begin + j
            total += value
            square += value * value
            if block == 0 and j < width - 1:
                out[:, target] = np.nan
            else:
                older, shift = width - 1.0 - j, before - base
                tail = totals[j + 1] + older * shift
                whole = squares[j + 1] + shift * (totals[j + 1] + tail) + square
                _write_spread(base, tail + total, whole, window, kind, up, down, target, out)
        if block + width <= rows.shape[0]:
            before = _spread_tails(rows, block, width, totals, squares)


@cpu_loop
def _spread_cpu(close, offsets, tiles, tile, window, kind, up, down, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, found = max(offsets[segment], first - window), 0
        width = min(window, last - start + 1)
        for row in range(first, last):
            found += suspect(close[row])
        missing += found
        tails = np.zeros((2, width + 1))
        _spread_blocks(close[start:last], first - start, width, first, kind, up, down, tails, out)
    return missing


@cuda.jit
def _spread_cuda(close, offsets, window, kind, up, down, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        oldest, base, total, square = row - window + 1, close[row], 0.0, 0.0
        if oldest >= offsets[segment_of(offsets, row)]:
            for i in range(oldest, row):
                value = close[i] - base
                total += value
                square += value * value
            _write_spread(base, total, square, np.float64(window), kind, up, down, row, out)
        else:
            for k in range(out.shape[0]):
                out[k, row] = np.nan


@body
def _together(x_total, y_total, x_square, y_square, product, window, kind):
    """Correlation, or beta of y to x, of the sums of two columns, each less a base, of their squares and products."""
    covariance = product - x_total * y_total / window
    x_spread = x_square - x_total * x_total / window
    if kind == _BETA:
        return 0.0 if is_zero(window * x_spread) else covariance / x_spread
    spreads = x_spread * (y_square - y_total * y_total / window)
    return 0.0 if spreads < _NOTHING else covariance / math.sqrt(spreads)


@body
def _term(column, row, segment_start, kind):
    """The value itself, or for beta the return since the bar before, 0 where that is 0."""
    if kind == _CORRELATION:
        return column[row]
    if row == segment_start:
        return 0.0
    before = column[row - 1]
    return 0.0 if is_zero(before) else (column[row] - before) / before


@body
def _pair_tails(x, y, begin, width, tails):
    x_base, y_base = x[begin + width - 1], y[begin + width - 1]
    xs, ys, xx, yy, xy = 0.0, 0.0, 0.0, 0.0, 0.0
    for place in range(width - 1, -1, -1):
        one, other = x[begin + place] - x_base, y[begin + place] - y_base
        xs += one
        ys += other
        xx += one * one
        yy += other * other
        xy += one * other
        tails[0, place], tails[1, place], tails[2, place], tails[3, place], tails[4, place] = xs, ys, xx, yy, xy
    return x_base, y_base


@body
def _pair_blocks(x, y, begin, width, least, kind, tails, out):
    """The blocks of a tile whose rows begin at `begin`, 0 or `width`; the first `least` rows of a segment have no
    value."""
    window, x_before, y_before = np.float64(width), 0.0, 0.0
    if begin:
        x_before, y_before = _pair_tails(x, y, 0, width, tails)
    for block in range(begin, x.shape[0], width):
        x_base, y_base = x[block], y[block]
        xs, ys, xx, yy, xy = 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(min(width, x.shape[0] - block)):
            one, other = x[block + j] - x_base, y[block + j] - y_base
            xs += one
            ys += other
            xx += one * one
            yy += other * other
            xy += one * other
            if begin == 0 and block + j < least:
                out[block + j] = np.nan
            else:
                k, older, shift, slide = j + 1, width - 1.0 - j, x_before - x_base, y_before - y_base
                x_tail, y_tail = tails[0, k] + older * shift, tails[1, k] + older * slide
                out[block - begin + j] = _together(
                    x_tail + xs,
                    y_tail + ys,
                    tails[2, k] + shift * (tails[0, k] + x_tail) + xx,
                    tails[3, k] + slide * (tails[1, k] + y_tail) + yy,
                    tails[4, k] + shift * tails[1, k] + slide * x_tail + xy,
                    window,
                    kind,
                )
        if block + width <= x.shape[0]:
            x_before, y_before = _pair_tails(x, y, block, width, tails)


@cpu_loop
def _pair_cpu(x, y, offsets, tiles, tile, window, kind, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, found = max(offsets[segment], first - window), 0
        width, least = min(window, last - start + 1), window if kind == _BETA else window - 1
        terms = np.empty((2, last - start))
        for row in range(start, last):
            terms[0, row - start] = _term(x, row, offsets[segment], kind)
            terms[1, row - start] = _term(y, row, offsets[segment], kind)
            found += suspect(x[row] + y[row])
        missing += found
        tails = np.zeros((5, width + 1))
        _pair_blocks(terms[0], terms[1], first - start, width, least, kind, tails, out[0, first:last])
    return missing


@cuda.jit
def _pair_cuda(x, y, offsets, window, kind, out):
    row = cuda.grid(1)
    if row < x.shape[0]:
        segment_start, oldest = offsets[segment_of(offsets, row)], row - window + 1
        least = segment_start + 1 if kind == _BETA else segment_start
        x_base, y_base = _term(x, row, segment_start, kind), _term(y, row, segment_start, kind)
        xs, ys, xx, yy, xy = 0.0, 0.0, 0.0, 0.0, 0.0
        figure = np.nan
        if oldest >= least:
            for i in range(oldest, row):
                one, other = _term(x, i, segment_start, kind) - x_base, _term(y, i, segment_start, kind) - y_base
                xs += one
                ys += other
                xx += one * one
                yy += other * other
                xy += one * other
            figure = _together(xs, ys, xx, yy, xy, np.float64(window), kind)
        out[0, row] = figure


def _spreads(close: Array, offsets: Array, window: int, kind: int, up: float, down: float) -> tuple[Array, ...]:
    window, outputs = positive("window", window), 3 if kind == _BANDS else 1
    for name, number in (("deviations", up), ("deviations below", down)):
        if not math.isfinite(number):
            raise ArgumentError(f"{name} is {number!r}", allowed="a finite number")
    parameters = window, kind, float(up), float(down)
    bars = Bars(offsets, {"close": close})
    return bars.step_over(
        lambda rows: tuple(rows.launch(outputs, _spread_cpu, _spread_cuda, *parameters, tile=tile_of(window)))
    )


def variance(close: Array, offsets: Array, window: int = 5) -> Array:
    """Variance of the last `window` closes about their mean, over `window` (the population's).

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,) of entities, or of sessions for windows that do not
             cross them; window in bars, at least 1
    returns  (n,) in the square of the unit of close

    Missing values: NaN at the first window - 1 bars of a segment, and where a window holds an infinity. A NaN close
    gives NaN and is stepped over: it is none of the window's bars.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's VAR.
    """
    return _spreads(close, offsets, window, _VARIANCE, 1.0, 1.0)[0]


def standard_deviation(close: Array, offsets: Array, window: int = 5, *, deviations: float = 1.0) -> Array:
    """`deviations` times the square root of `variance`; 0 where the variance is below 1e-14, as in TA-Lib.

    Arrays and `window` as in `variance`; returns (n,) in the unit of close. `rolling.std` has the sample's and leaves
    NaN out of the window.

    Missing values: as `variance`.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's STDDEV.
    """
    return _spreads(close, offsets, window, _DEVIATION, deviations, 0.0)[0]


def bollinger_bands(
    close: Array, offsets: Array, window: int = 20, *, deviations_up: float = 2.0, deviations_down: float = 2.0
) -> Bands:
    """Bollinger's bands: the mean of the last `window` closes and so many standard deviations (as
    `standard_deviation`) above and below it.

    Arrays and `window` as in `variance`; returns upper, middle and lower, each (n,) in the unit of close.

    Missing values: as `variance`.
    Raises: ArgumentError, DeviceError.
    Source: Bollinger (2001), "Bollinger on Bollinger Bands"; TA-Lib's BBANDS with the simple average, its default.
    """
    return Bands(*_spreads(close, offsets, window, _BANDS, deviations_up, deviations_down))


def _pairs(x: Array, y: Array, offsets: Array, window: int, kind: int) -> Array:
    window = positive("window", window)
    bars = Bars(offsets, {"x": x, "y": y})
    return bars.step_over(lambda rows: (rows.launch(1, _pair_cpu, _pair_cuda, window, kind, tile=tile_of(window))[0],))[
        0
    ]


def correlation(x: Array, y: Array, offsets: Array, window: int = 30) -> Array:
    """Pearson's correlation of the last `window` values of two columns.

    x, y     (n,) float32, float64 or int64; offsets (S + 1,) of entities or sessions; window in bars, at least 1
    returns  (n,), -1 to 1 up to rounding; 0 where the product of the two sums of squares about the means is below
             1e-14, as in TA-Lib

    Missing values: NaN at the first window - 1 bars of a segment. A bar with a NaN in either gives NaN and is stepped
    over.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's CORREL.
    """
    return _pairs(x, y, offsets, window, _CORRELATION)


def beta(x: Array, y: Array, offsets: Array, window: int = 5) -> Array:
    """Slope of the returns of y on those of x over the last `window` returns, a return being price / price of the bar
    before - 1 (0 where that is 0): covariance / variance of x.

    x, y     (n,) prices, float32, float64 or int64 ticks; offsets (S + 1,) of entities or sessions; window in returns,
             at least 1
    returns  (n,), a pure number; 0 where window² times the variance of x is below 1e-14, as in TA-Lib, which is met by
             quiet returns of some 1e-8

    Missing values: NaN at the first `window` bars of a segment. A bar with a NaN in either gives NaN and is stepped
    over: the next return is measured from the bar before it.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's BETA, whose real0 is x and real1 y.
    """
    return _pairs(x, y, offsets, window, _BETA)
