"""Checks that the trade kernels share: small integer columns beside the rows of a segmented table."""

from typing import Any

import numpy as np

from gpu_kernels.dispatch import Array, Rows, column, common_device, to_host, to_side
from gpu_kernels.errors import ArgumentError

_SMALL = (np.dtype(np.int8), np.dtype(np.int64))


def small_column(name: str, array: Any, rows: Rows) -> Array:
    """A side or a code: int8 or int64, as long as the rows and on their side. ArgumentError, DeviceError."""
    common_device(**{name: array, "offsets": rows.offsets})
    checked = column(name, array, _SMALL)
    if len(checked) != rows.count:
        raise ArgumentError(
            f"arrays of unequal length: {name} {len(checked)}, rows {rows.count}", allowed="one length for all"
        )
    return checked


def per_segment(name: str, value: Any, rows: Rows, dtype: type) -> Array:
    """A parameter that may differ by segment, as an array (S,) of `dtype` on the side of the rows.

    value   one number for all segments, or an array (S,) on the side of the rows
    Raises ArgumentError where it is not finite, not of that length, or not whole where `dtype` is int64; DeviceError.
    """
    if np.ndim(value):
        common_device(**{name: value, "offsets": rows.offsets})
    numbers = np.asarray(to_host(value) if np.ndim(value) else [value])
    if numbers.ndim != 1 or numbers.dtype.kind not in ("iu" if dtype is np.int64 else "iuf"):
        what = "whole number" if dtype is np.int64 else "number"
        raise ArgumentError(f"{name} is {value!r}", allowed=f"a {what}, or an array of one for each segment")
    if np.ndim(value) == 0:
        numbers = np.repeat(numbers, rows.segments)
    if len(numbers) != rows.segments:
        raise ArgumentError(f"{len(numbers)} of {name} for {rows.segments} segments", allowed="one for each segment")
    if not np.isfinite(numbers).all():
        raise ArgumentError(f"{name} holds NaN or infinity", allowed="finite numbers")
    return to_side(np.ascontiguousarray(numbers, dtype), like=rows.offsets)
