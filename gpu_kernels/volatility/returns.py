"""Returns inside a session, from its bars or on a grid of time: what every realised measure starts from."""

import math
from typing import Any, Literal

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu, positive, to_host, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.price import log_ratio
from gpu_kernels.segments import check_sorted
from gpu_kernels.trade.columns import per_segment

FirstReturn = Literal["none", "open", "zero"]
_NONE, _OPEN, _ZERO = 0, 1, 2
_FIRST = {"none": _NONE, "open": _OPEN, "zero": _ZERO}


@body
def _is_price(price):
    return 0.0 < price < np.inf


@body
def _sampled(latest, base, first_return):
    """The return to a sample: `base` is the sample before, NaN where there is none."""
    return 0.0 if first_return == _ZERO and math.isnan(base) else log_ratio(latest, base)


@body
def _session_segment(close, opening, start, stop, first_return, every, phase, out):
    base, latest, begun, left = np.nan, np.nan, False, phase
    for row in range(start, stop):
        price = np.float64(close[row])
        if _is_price(price):
            if not begun and first_return == _OPEN:
                base = np.float64(opening[row])
            latest, begun = price, True
        out[row] = np.nan
        if left == 0:
            left = every
            if _is_price(latest):
                out[row] = _sampled(latest, base, first_return)
                base, latest = latest, np.nan
        left -= 1


@cpu_loop
def _session_cpu(close, opening, offsets, first_return, every, phase, out):
    for segment in prange(offsets.shape[0] - 1):
        _session_segment(close, opening, offsets[segment], offsets[segment + 1], first_return, every, phase, out)


@cuda.jit
def _session_cuda(close, opening, offsets, first_return, every, phase, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _session_segment(close, opening, offsets[segment], offsets[segment + 1], first_return, every, phase, out)


@body
def _grid_segment(
    time, close, opening, start, stop, begins, interval, first, last, first_return, repeat, grid_time, out
):
    row, base, latest, begun = start, np.nan, np.nan, False
    for point in range(first, last):
        at = begins + (point - first) * interval
        while row < stop and time[row] <= at:
            price = np.float64(close[row])
            if _is_price(price):
                if not begun and first_return == _OPEN:
                    base = np.float64(opening[row])
                latest, begun = price, True
            row += 1
        grid_time[point], out[point] = at, np.nan
        if _is_price(latest):
            out[point] = _sampled(latest, base, first_return)
            base, latest = latest, np.nan
        elif repeat and _is_price(base):
            out[point] = 0.0


@cpu_loop
def _grid_cpu(time, close, opening, offsets, begins, interval, grid_offsets, first_return, repeat, grid_time, out):
    for segment in prange(offsets.shape[0] - 1):
        _grid_segment(
            time,
            close,
            opening,
            offsets[segment],
            offsets[segment + 1],
            begins[segment],
            interval,
            grid_offsets[segment],
            grid_offsets[segment + 1],
            first_return,
            repeat,
            grid_time,
            out,
        )


@cuda.jit
def _grid_cuda(time, close, opening, offsets, begins, interval, grid_offsets, first_return, repeat, grid_time, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _grid_segment(
            time,
            close,
            opening,
            offsets[segment],
            offsets[segment + 1],
            begins[segment],
            interval,
            grid_offsets[segment],
            grid_offsets[segment + 1],
            first_return,
            repeat,
            grid_time,
            out,
        )


def _first(first_return: str, opening: Array | None) -> int:
    if first_return not in _FIRST:
        raise ArgumentError(f"first_return is {first_return!r}", allowed='"none", "open" or "zero"')
    if (first_return == "open") != (opening is not None):
        got = "no opening prices" if opening is None else "opening prices"
        raise ArgumentError(
            f"first_return is {first_return!r} with {got}", allowed='"open" with `opening`, the others without'
        )
    return _FIRST[first_return]


def session_returns(
    close: Array,
    offsets: Array,
    opening: Array | None = None,
    *,
    first_return: FirstReturn = "none",
    every: int = 1,
    phase: int | None = None,
) -> Array:
    """Log returns inside a session: at each sampled bar ln(close / close of the sample before), natural logarithm.

    close        (n,) float32, float64 or int64 ticks; offsets (S + 1,), a segment being one session of one entity
    opening      (n,) opening prices in the unit of `close`; needed by, and only by, first_return="open"
    first_return what the first sample gives. "none": no return, as nothing of the session came before it; "open": from
                 the opening price of the session's first bar with a close; "zero": 0, which then is counted as a
                 return, as R's highfrequency does in `makeReturns`
    every        bars from one sample to the next, at least 1
    phase        which bars are sampled: phase, phase + every, ... counted from the session's first row, 0 to every - 1.
                 The default every - 1 takes the ends of whole groups of bars: with every=5 on minutes that end on
                 9:31, 9:32, ..., those on 9:35, 9:40, ... Bars after the last sample are left out.
    returns      (n,), pure number, NaN at bars that are not sampled: measures step over it, so `offsets` still holds

    Missing values: a close that is NaN, infinite or not above 0 is stepped over: the next return spans it, from the
    last close that was there. A sample's price is the last close since the sample before; where there is none, the
    sample gives NaN and the next return spans it. A missing opening price makes the first return NaN.
    Raises: ArgumentError, DeviceError.
    """
    every = positive("every", every)
    phase = every - 1 if phase is None else positive("phase", phase, minimum=0, maximum=every - 1)
    first = _first(first_return, opening)
    rows = Rows(offsets, values={"close": close} | ({} if opening is None else {"opening": opening}))
    close, opened = rows.columns[0], rows.columns[-1]
    out = rows.empty(rows.count, float_dtype(*rows.columns))
    arguments = (close, opened, rows.offsets, first, every, phase, out)
    if rows.count and rows.device:
        _session_cuda[grid_of(rows.segments)](*arguments)
    elif rows.count:
        on_cpu(_session_cpu, rows.count, rows.segments)(*arguments)
    return out


def grid_returns(
    time: Array,
    close: Array,
    offsets: Array,
    begins: Any,
    ends: Any,
    opening: Array | None = None,
    *,
    interval_ns: int,
    first_return: FirstReturn = "none",
    repeat: bool = True,
) -> tuple[Array, Array, Array]:
    """Log returns on a grid of time, by the previous tick: the price at a grid point is the last one whose time is not
    after it, within the segment.

    time         (n,) int64 ns, never falling in a segment: when each price was there, the END of a bar
    close        (n,) float32, float64 or int64 ticks; offsets (S + 1,)
    begins, ends int64 ns, one number or an array (S,): the grid is begins, begins + interval_ns, ... up to ends
    opening, first_return   as in `session_returns`, the first sample being the first grid point with a price
    repeat       whether a grid point with no price since the one before repeats that price and so gives a return of 0,
                 which is the previous tick to the letter but lets multipower variation shrink; else it gives NaN
                 and the next return spans it
    returns      returns (G,), grid_time (G,) int64 ns, grid_offsets (S + 1,): the return that ends at each grid point

    Missing values: NaN at the grid points of a segment before there are two prices (one, with "open"). A price that is
    NaN, infinite or not above 0 is stepped over.
    Raises: ArgumentError (also where a time falls, or an end lies before its beginning), DeviceError.
    Source: Dacorogna, Gencay, Muller, Olsen and Pictet (2001), "An Introduction to High-Frequency Finance".
    """
    interval_ns = positive("interval_ns", interval_ns, maximum=2**61)
    first = _first(first_return, opening)
    values = {"close": close} | ({} if opening is None else {"opening": opening})
    rows = Rows(offsets, values=values, times={"time": time})
    (close, *rest, time), opened = rows.columns, rows.columns[-2]
    check_sorted("time", rows, time)
    starts, stops = (per_segment(name, value, rows, np.int64) for name, value in (("begins", begins), ("ends", ends)))
    span = to_host(stops) - to_host(starts)
    if len(span) and span.min() < 0:
        at = int(span.argmin())
        raise ArgumentError(
            f"segment {at} ends {-int(span[at])} ns before it begins", allowed="ends at or after begins"
        )
    host_offsets = np.zeros(rows.segments + 1, np.int64)
    np.cumsum(span // interval_ns + 1, out=host_offsets[1:])
    grid_offsets = to_side(host_offsets, like=rows.offsets)
    count = int(host_offsets[-1])
    out, grid_time = rows.empty(count, float_dtype(close, *rest)), rows.empty(count, np.int64)
    arguments = (
        time, close, opened, rows.offsets, starts, interval_ns, grid_offsets, first, bool(repeat), grid_time, out
    )  # fmt: skip
    if count and rows.device:
        _grid_cuda[grid_of(rows.segments)](*arguments)
    elif count:
        on_cpu(_grid_cpu, max(count, rows.count), rows.segments)(*arguments)
    return out, grid_time, grid_offsets
