"""Wilder's parabolic stop and reverse."""

import math

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array
from gpu_kernels.errors import ArgumentError
from gpu_kernels.technical.gaps import Bars, suspect


@body
def _parabolic_segment(high, low, start, stop, acceleration, maximum, out):
    """A downtrend (`side` -1) is an uptrend of prices with their signs turned: tops are then lows, bottoms highs. The
    level of a bar was set by the bar before; where the bar touches it, the trend turns, and the level is that trend's
    extreme. How many rows may be missing."""
    missing = 0
    if start < stop:
        out[start] = math.nan
        missing += suspect(high[start] + low[start])
    if start + 1 >= stop:
        return missing
    up, down = high[start + 1] - high[start], low[start] - low[start + 1]
    side = -1.0 if down > 0.0 and down > up else 1.0
    level = low[start] if side > 0.0 else -high[start]
    extreme = high[start + 1] if side > 0.0 else -low[start + 1]
    speed, before = acceleration, start + 1
    for row in range(start + 1, stop):
        missing += suspect(high[row] + low[row])
        highest, lowest = max(high[before], high[row]), min(low[before], low[row])
        top, bottom = (high[row], low[row]) if side > 0.0 else (-low[row], -high[row])
        ceiling, floor = (highest, lowest) if side > 0.0 else (-lowest, -highest)
        if bottom <= level:
            level = max(extreme, ceiling)
            out[row] = side * level
            side, level = -side, -level
            extreme, speed, floor = -bottom, acceleration, -ceiling
        else:
            out[row] = side * level
            speed = min(speed + acceleration, maximum) if top > extreme else speed
            extreme = max(extreme, top)
        level = min(level + speed * (extreme - level), floor)
        before = row
    return missing


@cpu_loop
def _parabolic_cpu(high, low, offsets, acceleration, maximum, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        missing += _parabolic_segment(high, low, start, stop, acceleration, maximum, out[0])
    return missing


@cuda.jit
def _parabolic_cuda(high, low, offsets, acceleration, maximum, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop = offsets[segment], offsets[segment + 1]
        _parabolic_segment(high, low, start, stop, acceleration, maximum, out[0])


def _not_negative(name: str, value: float) -> float:
    if not 0.0 <= value < math.inf:
        raise ArgumentError(f"{name} is {value!r}", allowed="a finite number, 0 or more")
    return float(value)


def parabolic_stop_and_reverse(
    high: Array, low: Array, offsets: Array, acceleration: float = 0.02, maximum: float = 0.2
) -> Array:
    """Parabolic stop and reverse: a level that follows the price and on whose touch the trend turns.

    In an uptrend the level of the next bar is level + speed * (highest high of the trend - level), at most the lows of
    this bar and the one before. The speed begins at `acceleration` and grows by it with each new high, up to `maximum`.
    Where a low touches the level the trend turns down: the bar's level is then the highest high, and the speed begins
    again. A downtrend is the same upside down. The first trend is down where the second bar's downward movement is the
    larger, else up; its level begins at the first bar's other extreme.
    high, low     (n,) float32, float64 or int64 ticks; offsets (S + 1,)
    acceleration, maximum   finite, at least 0; an acceleration above the maximum counts as that
    returns       (n,) in the unit of the prices

    Missing values: NaN at a segment's first bar. A bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's SAR.
    """
    maximum = _not_negative("maximum", maximum)
    acceleration = min(_not_negative("acceleration", acceleration), maximum)
    bars = Bars(offsets, {"high": high, "low": low})
    loops = _parabolic_cpu, _parabolic_cuda
    return bars.step_over(lambda rows: (rows.launch(1, *loops, acceleration, maximum)[0],))[0]
