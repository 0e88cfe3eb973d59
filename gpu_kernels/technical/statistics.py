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
from gpu_kernels.technical.recursion import NOTHING, is_zero

_VARIANCE, _DEVIATION, _BANDS = range(3)
_CORRELATION, _BETA = range(2)
_ONE = np.uint64(1)
_ROUNDING = 1e-30
"""Variance of returns that are all alike but for their last digit."""


class Bands(NamedTuple):
    """Middle: the mean of the window; upper and lower: so many standard deviations above and below it."""

    upper: Array
    middle: Array
    lower: Array


@body
def _variance(total, square, window):
    """Of the sums of values, less any one of them, and of their squares; NaN where they leave the range of float64."""
    variance = (square - total * (total / window)) / window
    return max(variance, 0.0) if variance < np.inf else np.nan


@body
def _deviation(variance):
    return 0.0 if variance < NOTHING else math.sqrt(variance)


@body
def _spread_blocks(rows, window, before, totals, squares, next_totals, next_squares, bases, alone, squared):
    """For each row a value of its window, the sum of all less that one, and of the squares. `totals` and `squares` are
    the tails of the block before, less its last value `before`."""
    stop, width, block = np.uint64(rows.shape[0]), np.uint64(window), np.uint64(0)
    while block < stop:
        base, total, square, older = rows[block], 0.0, 0.0, window - 1.0
        shift, end = before - base, block + width - _ONE
        for j in range(min(width, stop - block)):
            value = rows[block + j] - base
            total += value
            square += value * value
            tail = totals[j + _ONE]
            shifted = tail + older * shift
            bases[block + j], alone[block + j] = base, shifted + total
            squared[block + j] = squares[j + _ONE] + shift * (tail + shifted) + square
            older -= 1.0
        if end < stop:
            before, total, square = rows[end], 0.0, 0.0
            for j in range(width):
                value = rows[end - j] - before
                total += value
                square += value * value
                next_totals[width - _ONE - j], next_squares[width - _ONE - j] = total, square
        totals, next_totals = next_totals, totals
        squares, next_squares = next_squares, squares
        block += width


@cpu_loop
def _spread_cpu(close, offsets, tiles, tile, window, kind, up, down, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, rows, found = max(offsets[segment], first - window), close[first:last], 0
        tails, sums = np.zeros((4, min(window, last - start) + 1)), np.empty((3, last - first))
        before, total, square = 0.0, 0.0, 0.0
        if start < first:
            before = close[first - 1]
            for back in range(window - 1, -1, -1):
                value = close[start + back] - before
                total += value
                square += value * value
                tails[0, back], tails[1, back] = total, square
        _spread_blocks(rows, window, before, tails[0], tails[1], tails[2], tails[3], sums[0], sums[1], sums[2])
        figure = out[0, first:last]
        for i in range(rows.shape[0]):
            figure[i] = _variance(sums[1, i], sums[2, i], window)
            found += suspect(rows[i])
        missing += found
        if kind != _VARIANCE:
            for i in range(rows.shape[0]):
                figure[i] = _deviation(figure[i]) if kind == _BANDS else up * _deviation(figure[i])
        if kind == _BANDS:
            middle, lower = out[1, first:last], out[2, first:last]
            for i in range(rows.shape[0]):
                middle[i] = np.nan if math.isnan(figure[i]) else sums[0, i] + sums[1, i] / window
                lower[i] = middle[i] - down * figure[i]
                figure[i] = middle[i] + up * figure[i]
        for k in range(out.shape[0]):
            for row in range(first, min(first + window - 1, last) if start == first else first):
                out[k, row] = np.nan
    return missing


@cuda.jit
def _spread_cuda(close, offsets, window, kind, up, down, out):
    row = cuda.grid(1)
    if row < close.shape[0]:
        oldest, base, total, square = row - window + 1, close[row], 0.0, 0.0
        variance = np.nan
        if oldest >= offsets[segment_of(offsets, row)]:
            for i in range(oldest, row):
                value = close[i] - base
                total += value
                square += value * value
            variance = _variance(total, square, window)
        if kind == _VARIANCE:
            out[0, row] = variance
        elif kind == _DEVIATION:
            out[0, row] = up * _deviation(variance)
        else:
            middle, deviation = base + total / window, _deviation(variance)
            known = not math.isnan(variance)
            out[0, row], out[2, row] = middle + up * deviation, middle - down * deviation
            out[1, row] = middle if known else np.nan


@body
def _together(x_total, y_total, x_square, y_square, product, window, kind):
    """Correlation, or beta of y to x, of the sums of two columns, each less a base, of their squares and products."""
    covariance = product - x_total * y_total / window
    x_spread = x_square - x_total * x_total / window
    if kind == _BETA:
        return 0.0 if x_spread < window * _ROUNDING else covariance / x_spread
    spreads = x_spread * (y_square - y_total * y_total / window)
    return 0.0 if spreads < NOTHING else covariance / math.sqrt(spreads)


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
def _pair_blocks(x, y, window, kind, x_before, y_before, tails, next_tails, out):
    """`tails` are those of the block before, less its last values `x_before` and `y_before`: of x, y, their squares and
    product."""
    stop, width, block = np.uint64(x.shape[0]), np.uint64(window), np.uint64(0)
    while block < stop:
        x_base, y_base, end, older = x[block], y[block], block + width - _ONE, window - 1.0
        shift, slide = x_before - x_base, y_before - y_base
        xs, ys, xx, yy, xy = 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(min(width, stop - block)):
            one, other, k = x[block + j] - x_base, y[block + j] - y_base, j + _ONE
            xs += one
            ys += other
            xx += one * one
            yy += other * other
            xy += one * other
            x_tail, y_tail = tails[0, k] + older * shift, tails[1, k] + older * slide
            out[block + j] = _together(
                x_tail + xs,
                y_tail + ys,
                tails[2, k] + shift * (tails[0, k] + x_tail) + xx,
                tails[3, k] + slide * (tails[1, k] + y_tail) + yy,
                tails[4, k] + shift * tails[1, k] + slide * x_tail + xy,
                window,
                kind,
            )
            older -= 1.0
        if end < stop:
            x_before, y_before = _pair_tails(x, y, block, width, next_tails)
        tails, next_tails = next_tails, tails
        block += width


@body
def _pair_tails(x, y, begin, width, tails):
    """For each place of a block the sums from there to its end, less the last values; these."""
    end = begin + width - _ONE
    x_last, y_last = x[end], y[end]
    xs, ys, xx, yy, xy = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(width):
        one, other, place = x[end - j] - x_last, y[end - j] - y_last, width - _ONE - j
        xs += one
        ys += other
        xx += one * one
        yy += other * other
        xy += one * other
        tails[0, place], tails[1, place], tails[2, place], tails[3, place], tails[4, place] = xs, ys, xx, yy, xy
    return x_last, y_last


@cpu_loop
def _pair_cpu(x, y, offsets, tiles, tile, window, kind, out):
    missing = 0
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start, found = max(offsets[segment], first - window), 0
        terms, tails = np.empty((2, last - start)), np.zeros((2, 5, min(window, last - start) + 1))
        for row in range(start, last):
            terms[0, row - start] = _term(x, row, offsets[segment], kind)
            terms[1, row - start] = _term(y, row, offsets[segment], kind)
            found += suspect(x[row] + y[row])
        missing += found
        x_before, y_before, halo = 0.0, 0.0, first - start
        if halo:
            x_before, y_before = _pair_tails(terms[0], terms[1], np.uint64(0), np.uint64(window), tails[0])
        target = out[0, first:last]
        _pair_blocks(terms[0][halo:], terms[1][halo:], window, kind, x_before, y_before, tails[0], tails[1], target)
        least = window if kind == _BETA else window - 1
        for i in range(min(least, last - first) if start == first else 0):
            target[i] = np.nan
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
            figure = _together(xs, ys, xx, yy, xy, window, kind)
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
    """`deviations` times the square root of `variance`.

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
    returns  (n,), -1 to 1 up to rounding; 0 where one of the columns stands still

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
    returns  (n,), a pure number; 0 where the variance of x is below 1e-30, which equal returns have by rounding and
             TA-Lib divides by

    Missing values: NaN at the first `window` bars of a segment. A bar with a NaN in either gives NaN and is stepped
    over: the next return is measured from the bar before it.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's BETA, whose real0 is x and real1 y.
    """
    return _pairs(x, y, offsets, window, _BETA)
