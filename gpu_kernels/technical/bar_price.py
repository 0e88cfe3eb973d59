"""One price for a bar, or two columns against each other: what looks at one bar alone."""

import math
from collections.abc import Sequence

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array
from gpu_kernels.segments import tile_rows
from gpu_kernels.technical.gaps import Bars

_AVERAGE, _MEDIAN, _TYPICAL, _WEIGHTED, _POWER, DIFFERENCE, PERCENT, KNOWN = range(8)


@body
def _combined(first, second, third, fourth, kind):
    if kind == _AVERAGE:
        made = (first + second + third + fourth) / 4.0
    elif kind == _MEDIAN:
        made = (first + second) / 2.0
    elif kind == _TYPICAL:
        made = (first + second + third) / 3.0
    elif kind == _WEIGHTED:
        made = (first + second + 2.0 * third) / 4.0
    elif kind == _POWER:
        span = second - third
        # times 0, so that a NaN stays one where a bar has no range
        made = (fourth - first) * 0.0 if span <= 0.0 else (fourth - first) / span
    elif kind == DIFFERENCE:
        made = first - second
    elif kind == PERCENT:
        made = (first - second) * 0.0 if second == 0.0 else (first - second) / second * 100.0
    else:
        made = math.nan if math.isnan(second) else first
    return made


@cpu_loop
def _combined_cpu(first, second, third, fourth, offsets, tiles, tile, kind, out):
    for unit in prange(tiles[-1]):
        _, start, stop = tile_rows(unit, tiles, offsets, tile)
        a, b, c, d, target = first[start:stop], second[start:stop], third[start:stop], fourth[start:stop], out[0]
        target = target[start:stop]
        for i in range(target.shape[0]):
            target[i] = _combined(a[i], b[i], c[i], d[i], kind)
    return 0  # a NaN gives NaN by itself


@cuda.jit
def _combined_cuda(first, second, third, fourth, offsets, kind, out):
    row = cuda.grid(1)
    if row < first.shape[0]:
        out[0, row] = _combined(first[row], second[row], third[row], fourth[row], kind)


def combine(bars: Bars, columns: Sequence[Array], kind: int) -> Array:
    """Up to four columns of the bars, by one of the formulas of `_combined`."""
    four = (*columns, *([columns[0]] * (4 - len(columns))))
    made: Array = bars.launch(1, _combined_cpu, _combined_cuda, kind, tile=TILE_ROWS, columns=four)[0]
    return made


def _price(columns: dict[str, Array], offsets: Array, kind: int) -> Array:
    return Bars(offsets, columns).step_over(lambda bars: (combine(bars, bars.columns, kind),))[0]


def average_price(open: Array, high: Array, low: Array, close: Array, offsets: Array) -> Array:
    """Average price: (open + high + low + close) / 4.

    open, high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,)
    returns                  (n,) in the unit of the prices

    Missing values: NaN where a price of the bar is.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's AVGPRICE.
    """
    return _price({"open": open, "high": high, "low": low, "close": close}, offsets, _AVERAGE)


def median_price(high: Array, low: Array, offsets: Array) -> Array:
    """Median price: (high + low) / 2. Arrays, unit and missing values as in `average_price`.

    Missing values: NaN where a price of the bar is.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's MEDPRICE.
    """
    return _price({"high": high, "low": low}, offsets, _MEDIAN)


def typical_price(high: Array, low: Array, close: Array, offsets: Array) -> Array:
    """Typical price: (high + low + close) / 3. Arrays and unit as in `average_price`.

    Missing values: NaN where a price of the bar is.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's TYPPRICE.
    """
    return _price({"high": high, "low": low, "close": close}, offsets, _TYPICAL)


def weighted_close_price(high: Array, low: Array, close: Array, offsets: Array) -> Array:
    """Weighted close price: (high + low + 2 close) / 4. Arrays and unit as in `average_price`.

    Missing values: NaN where a price of the bar is.
    Raises: ArgumentError, DeviceError.
    Source: TA-Lib's WCLPRICE.
    """
    return _price({"high": high, "low": low, "close": close}, offsets, _WEIGHTED)


def balance_of_power(open: Array, high: Array, low: Array, close: Array, offsets: Array) -> Array:
    """Balance of power: (close - open) / (high - low).

    Arrays as in `average_price`; returns (n,), -1 to 1 where open and close lie between low and high; 0 where high
    is not above low.

    Missing values: NaN where a price of the bar is.
    Raises: ArgumentError, DeviceError.
    Source: Livshin (2001), Technical Analysis of Stocks & Commodities, August; TA-Lib's BOP.
    """
    return _price({"open": open, "high": high, "low": low, "close": close}, offsets, _POWER)
