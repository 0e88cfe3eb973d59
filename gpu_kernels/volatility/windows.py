"""Any measure of a session at each row of it: over the last returns, each window being made a session of its own."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, is_on_device, on_cpu, positive, to_side
from gpu_kernels.segments import segment_of

CHUNK = 1 << 22
"""Returns that are laid out at one time: a row has as many as its window is long, so memory is bounded by this."""


@body
def _lay_out(returns, start, row, window, min_periods, out, place):
    """The last `window` returns of `row` from `place` on; missing where they lie before its segment, and all where too
    few are there."""
    first, count = row - window + 1, 0
    for i in range(max(first, start), row + 1):
        count += 1 if math.isfinite(returns[i]) else 0
    for k in range(window):
        there = first + k >= start and count >= min_periods
        out[place + k] = returns[first + k] if there else np.nan


@cpu_loop
def _lay_out_cpu(returns, offsets, begin, window, min_periods, out):
    for w in prange(out.shape[0] // window):
        start = offsets[segment_of(offsets, begin + w)]
        _lay_out(returns, start, begin + w, window, min_periods, out, w * window)


@cuda.jit
def _lay_out_cuda(returns, offsets, begin, window, min_periods, out):
    w = cuda.grid(1)
    if w < out.shape[0] // window:
        start = offsets[segment_of(offsets, begin + w)]
        _lay_out(returns, start, begin + w, window, min_periods, out, w * window)


def _put(out: Array, begin: int, part: Array) -> None:
    """Copies a part to its place, on whichever side both are."""
    if not is_on_device(out):
        out[begin : begin + len(part)] = part
        return
    arrays: tuple[Any, Any] = (out, part)
    target, source = (a if hasattr(a, "copy_to_device") else cuda.as_cuda_array(a) for a in arrays)
    target[begin : begin + len(part)].copy_to_device(source)


def measure_windows(
    returns: Array,
    offsets: Array,
    window: int,
    measure: Callable[..., Any],
    *,
    min_periods: int | None = None,
    **settings: Any,
) -> Any:
    """A measure of variance of the last `window` returns of the segment, at each row.

    returns    (n,) float32 or float64 log returns; offsets (S + 1,)
    window     rows, at least 1; min_periods, 1 to window: how many returns a window must hold; default: window
    measure    f(returns, offsets, **settings) -> an array (S,), or a tuple of such, as those of `noise`, `scales`,
               `realised_kernel` and `preaveraging`; settings that are one for each segment do not fit: let `measure`
               find them, as in lambda r, o: realised_kernel(r, o, noise_measures(r, o, sparse=10).bandwidth)
    returns    what `measure` gives, with (n,) for (S,). Each window is measured anew: the time grows with its length.

    Missing values: a return that is NaN or infinite is stepped over, as `measure` does. Where fewer than `min_periods`
    are in a row's window, as at the first rows of a segment, it has what `measure` gives a session without returns.
    Raises: ArgumentError, DeviceError, and what `measure` raises.
    """
    window = positive("window", window)
    needed = window if min_periods is None else positive("min_periods", min_periods, maximum=window)
    rows = Rows(offsets, values={"returns": returns})
    (returns,) = rows.columns
    dtype, step = float_dtype(returns), max(1, CHUNK // window)
    outputs: list[Array] = []
    for begin in range(0, max(rows.count, 1), step):
        count = min(step, rows.count - begin)
        laid = rows.empty(count * window, dtype)
        if count and rows.device:
            _lay_out_cuda[grid_of(count)](returns, rows.offsets, begin, window, needed, laid)
        elif count:
            on_cpu(_lay_out_cpu, count * window, count)(returns, rows.offsets, begin, window, needed, laid)
        whole = to_side(np.arange(count + 1, dtype=np.int64) * window, like=rows.offsets)
        found = measure(laid, whole, **settings)
        parts = found if isinstance(found, tuple) else (found,)
        if count == rows.count:
            return found
        outputs = outputs or [rows.empty(rows.count, part.dtype) for part in parts]
        for out, part in zip(outputs, parts, strict=True):
            _put(out, begin, part)
    if not isinstance(found, tuple):
        return outputs[0]
    return type(found)(*outputs) if hasattr(found, "_fields") else tuple(outputs)
