"""From the variances of one entity to the covariance of two: refresh times, which give both one clock, and
polarisation, which makes a covariance of any variance that is a quadratic form of returns."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu, to_host, to_side
from gpu_kernels.segments import check_same_segments, check_sorted
from gpu_kernels.volatility.covariance import Covariance, observe, seek, write_covariance


@body
def _refresh_segment(time_x, price_x, x, stop_x, time_y, price_y, y, stop_y, place, time, returns_x, returns_y):
    """Writes from row `place` on and returns how many; writes nothing where `place` is below 0."""
    x, at_x, next_x = observe(time_x, price_x, x, stop_x)
    y, at_y, next_y = observe(time_y, price_y, y, stop_y)
    base_x, base_y, count = np.nan, np.nan, 0
    while not math.isnan(next_x) and not math.isnan(next_y):
        at = max(at_x, at_y)
        x, at_x, next_x, now_x, _, _ = seek(time_x, price_x, x, stop_x, at_x, next_x, np.nan, at + 1)
        y, at_y, next_y, now_y, _, _ = seek(time_y, price_y, y, stop_y, at_y, next_y, np.nan, at + 1)
        if place >= 0:
            time[place + count] = at
            returns_x[place + count] = now_x - base_x if count > 0 else np.nan
            returns_y[place + count] = now_y - base_y if count > 0 else np.nan
        base_x, base_y, count = now_x, now_y, count + 1
    return count


@cpu_loop
def _refresh_cpu(time_x, price_x, offsets_x, time_y, price_y, offsets_y, places, counts, time, returns_x, returns_y):
    for s in prange(counts.shape[0]):
        x, stop_x, y, stop_y = offsets_x[s], offsets_x[s + 1], offsets_y[s], offsets_y[s + 1]
        counts[s] = _refresh_segment(
            time_x, price_x, x, stop_x, time_y, price_y, y, stop_y, places[s], time, returns_x, returns_y
        )


@cuda.jit
def _refresh_cuda(time_x, price_x, offsets_x, time_y, price_y, offsets_y, places, counts, time, returns_x, returns_y):
    s = cuda.grid(1)
    if s < counts.shape[0]:
        x, stop_x, y, stop_y = offsets_x[s], offsets_x[s + 1], offsets_y[s], offsets_y[s + 1]
        counts[s] = _refresh_segment(
            time_x, price_x, x, stop_x, time_y, price_y, y, stop_y, places[s], time, returns_x, returns_y
        )


@body
def _mixed(x, y, row, out):
    a, b = np.float64(x[row]), np.float64(y[row])
    there = math.isfinite(a) and math.isfinite(b)
    out[0, row], out[1, row] = a if there else np.nan, b if there else np.nan
    out[2, row], out[3, row] = a + b if there else np.nan, a - b if there else np.nan


@cpu_loop
def _mixed_cpu(x, y, out):
    for row in prange(out.shape[1]):
        _mixed(x, y, row, out)


@cuda.jit
def _mixed_cuda(x, y, out):
    row = cuda.grid(1)
    if row < out.shape[1]:
        _mixed(x, y, row, out)


@body
def _polarised(xx, yy, plus, minus, s, out):
    found = np.float64(plus[s]) + np.float64(minus[s])
    write_covariance(out, s, xx[s], yy[s], 0.25 * (plus[s] - minus[s]), not math.isnan(found))


@cpu_loop
def _polarised_cpu(xx, yy, plus, minus, out):
    for s in prange(out.shape[1]):
        _polarised(xx, yy, plus, minus, s, out)


@cuda.jit
def _polarised_cuda(xx, yy, plus, minus, out):
    s = cuda.grid(1)
    if s < out.shape[1]:
        _polarised(xx, yy, plus, minus, s, out)


def refresh_returns(
    time_x: Array, price_x: Array, offsets_x: Array, time_y: Array, price_y: Array, offsets_y: Array
) -> tuple[Array, Array, Array, Array]:
    """Log returns of two entities between refresh times: the first is when both have been seen, the next when both have
    been seen anew. The price at a refresh time is the last one at or before it.

    time_x, time_y     (n,), (m,) int64 ns, never falling in a segment; of several prices at one time the last counts
    price_x, price_y   (n,), (m,) float32, float64 or int64 ticks
    offsets_x, offsets_y   (S + 1,): segment s of one is that of the other
    returns   returns_x (G,), returns_y (G,), refresh_time (G,) int64 ns, offsets (S + 1,): a row each refresh time

    Missing values: NaN at a segment's first refresh time. A price that is NaN, infinite or not above 0 is not seen.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Harris, McInish, Shoesmith and Wood (1995), "Cointegration, error correction, and price discovery";
    Barndorff-Nielsen, Hansen, Lunde and Shephard (2011), "Multivariate realised kernels"; refreshTime of R's
    highfrequency.
    """
    one = Rows(offsets_x, values={"price_x": price_x}, times={"time_x": time_x}, offsets_name="offsets_x")
    two = Rows(offsets_y, values={"price_y": price_y}, times={"time_y": time_y}, offsets_name="offsets_y")
    check_same_segments(one, two)
    (price_x, time_x), (price_y, time_y) = one.columns, two.columns
    check_sorted("time_x", one, time_x)
    check_sorted("time_y", two, time_y)
    dtype, segments = float_dtype(price_x, price_y), one.segments
    counts = one.empty(segments, np.int64)

    def sweep(places: Array, count: int) -> tuple[Array, Array, Array]:
        out = one.empty(count, dtype), one.empty(count, dtype), one.empty(count, np.int64)
        arguments = (time_x, price_x, one.offsets, time_y, price_y, two.offsets, places, counts, out[2], *out[:2])
        if segments and one.device:
            _refresh_cuda[grid_of(segments)](*arguments)
        elif segments:
            on_cpu(_refresh_cpu, one.count + two.count, segments)(*arguments)
        return out

    # how many there are is known once they have been counted
    sweep(to_side(np.full(segments, -1), like=one.offsets), 0)
    host_offsets = np.zeros(segments + 1, np.int64)
    np.cumsum(to_host(counts), out=host_offsets[1:])
    offsets = to_side(host_offsets, like=one.offsets)
    return *sweep(to_side(host_offsets[:-1].copy(), like=one.offsets), int(host_offsets[-1])), offsets


def polarised_covariance(
    returns_x: Array, returns_y: Array, offsets: Array, measure: Callable[..., Array], **settings: Any
) -> Covariance:
    """Covariance of two entities by a measure of variance V: (V(x + y) - V(x - y)) / 4, for each session.

    With `realised_kernel.realised_kernel` it is the realised kernel's covariance (with its flat_top=True,
    adjusted=True, jitter=1: rKernelCov of R's highfrequency), with `scales.two_scale_variance` or
    `noise.subsampled_variance` theirs (rTSCov and rAVGCov but for the scales that their docstrings name), with
    `preaveraging.preaveraged_variance` the modulated realised covariance (rMRCov has it without bias correction between
    entities, and N / ((N - k + 2) k / 12) for N prices before the sum).

    returns_x, returns_y   (n,) float32 or float64 log returns, one row each time (`refresh_returns`,
                           `returns.grid_returns`); offsets (S + 1,), a segment being a session
    measure    f(returns, offsets, **settings) -> (S,), a quadratic form of the returns; min and median are none
    returns    `Covariance`, each (S,), the variances being V(x) and V(y). As these need not make a matrix that is
               positive, the correlation may leave -1 to 1.

    Missing values: a row where either return is NaN or infinite is stepped over, as `measure` does. NaN where V is.
    Raises: ArgumentError, DeviceError, and what `measure` raises.
    """
    rows = Rows(offsets, values={"returns_x": returns_x, "returns_y": returns_y})
    dtype, segments = float_dtype(*rows.columns), rows.segments
    mixed = rows.empty((4, rows.count), np.float64)
    if rows.count and rows.device:
        _mixed_cuda[grid_of(rows.count)](*rows.columns, mixed)
    elif rows.count:
        on_cpu(_mixed_cpu, rows.count)(*rows.columns, mixed)
    found = [measure(mixed[k], offsets, **settings) for k in range(4)]
    out = rows.empty((5, segments), dtype)
    if segments and rows.device:
        _polarised_cuda[grid_of(segments)](*found, out)
    elif segments:
        on_cpu(_polarised_cpu, segments)(*found, out)
    return Covariance(*(out[k] for k in range(5)))
