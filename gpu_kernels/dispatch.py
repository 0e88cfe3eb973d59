"""From the arrays of a call to the loop that runs it: checks, device decision, outputs, launch shape.

The data decides the path. NumPy arrays (or what NumPy can view) run the CPU loop; arrays that live on a GPU (CuPy,
cuDF columns, Numba device arrays: whatever shows `__cuda_array_interface__`) run the CUDA loop; a mixture raises
DeviceError, because a silent copy over the bus costs more than any kernel here.

Rules for every public function of this package:

offsets   int64 (S + 1,): segment s is rows offsets[s] to offsets[s + 1]; starts with 0, never falls, ends with the
          number of rows. An empty segment is allowed. Nothing crosses a segment.
values    float32, float64 or int64. Sums are held in float64 whatever comes in.
output    float32 where every value array is float32, else float64; on the side that the input is on.
          A CuPy call gives CuPy arrays; any other device call gives Numba device arrays.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from gpu_kernels._cuda import cuda
from gpu_kernels.errors import ArgumentError, DeviceError

Array = npt.NDArray[Any]

THREADS_PER_BLOCK = 256
TILE_ROWS = 4096
"""Rows of one unit of CPU work: long enough to hide the hand-over between threads, short enough to stay in the
first-level cache. Tiles are counted from each segment's first row, so later rows never move an earlier tile."""

ROWS_PER_THREAD = 1 << 16
"""Fewer rows than this are not worth waking another thread for."""

VALUE_DTYPES = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64))
_INT64 = (np.dtype(np.int64),)


def is_on_device(array: object) -> bool:
    """Whether the array lives on a GPU. The second attribute is Numba's own mark, which its simulator's arrays carry
    alone."""
    return hasattr(array, "__cuda_array_interface__") or hasattr(array, "__cuda_ndarray__")


def to_host(array: Array) -> Array:
    """The array as NumPy: itself, or a copy of device memory."""
    if not is_on_device(array):
        return array
    device = array if hasattr(array, "copy_to_host") else cuda.as_cuda_array(array)
    return np.asarray(device.copy_to_host())  # type: ignore[attr-defined]


def common_device(**arrays: object) -> bool:
    """True if all arrays are on the GPU, False if all are on the host; DeviceError on a mixture."""
    where = {name: is_on_device(array) for name, array in arrays.items()}
    if len(set(where.values())) > 1:
        on_gpu = ", ".join(name for name, device in where.items() if device)
        on_host = ", ".join(name for name, device in where.items() if not device)
        raise DeviceError(
            f"{on_gpu} on the GPU but {on_host} in host memory",
            allowed="all arrays of a call on one side",
            hint="move them first, e.g. with cupy.asarray or cupy.asnumpy",
        )
    return next(iter(where.values()))


def column(name: str, array: Any, dtypes: tuple[np.dtype[Any], ...] = VALUE_DTYPES, ndim: int = 1) -> Array:
    """The array checked: dtype, dimensions, contiguous memory. Host arrays come back as read-only views, so that Numba
    compiles one version for the caller's own arrays and for the read-only ones that Arrow and Polars give."""
    device = is_on_device(array)
    if not device:
        array = np.asarray(array)
    if array.dtype not in dtypes:
        hint = (
            'view it as integers, e.g. times.astype("datetime64[ns]").view("int64")' if array.dtype.kind in "mM" else ""
        )
        raise ArgumentError(
            f"{name} is {array.dtype}",
            allowed=" or ".join(str(dtype) for dtype in dtypes),
            hint=hint or f"convert it, e.g. {name}.astype({str(dtypes[-1])!r})",
        )
    if array.ndim != ndim:
        raise ArgumentError(f"{name} has {array.ndim} dimensions", allowed=f"{ndim}")
    if device:
        contiguous = array.is_c_contiguous() if hasattr(array, "is_c_contiguous") else array.flags.c_contiguous
        if not contiguous:
            raise ArgumentError(f"{name} is not C-contiguous", allowed="contiguous device arrays", hint="copy it first")
        return array  # type: ignore[no-any-return]
    if ndim > 1 and array.size and not array.flags.c_contiguous:
        raise ArgumentError(
            f"{name} is not C-contiguous",
            allowed="level-major (levels, rows), one contiguous run per level",
            hint="use np.ascontiguousarray(rows_by_levels.T) once, when the table is loaded",
        )
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def float_dtype(*arrays: Array) -> np.dtype[Any]:
    """float32 where every array is float32, else float64."""
    single = all(array.dtype == np.float32 for array in arrays)
    return np.dtype(np.float32) if single else np.dtype(np.float64)


def positive(name: str, value: object, minimum: int = 1, maximum: int | None = None) -> int:
    """The parameter as int; ArgumentError unless it is a whole number of at least `minimum` (and at most `maximum`)."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
        if number >= minimum and (maximum is None or number <= maximum):
            return number
    upper = f" to {maximum}" if maximum is not None else " or more"
    raise ArgumentError(f"{name} is {value!r}", allowed=f"a whole number, {minimum}{upper}")


def on_cpu(loop: Callable[..., Any], rows: int, units: int | None = None) -> Callable[..., Any]:
    """The CPU loop, to be called on no more threads than its rows, and the units it is split into, are worth: a thread
    woken for nothing must still be waited for, which on a busy machine costs more than the work."""

    def run(*arguments: object) -> Any:
        allowed = numba.get_num_threads()
        wanted = min(allowed, -(-rows // ROWS_PER_THREAD), rows if units is None else units)
        numba.set_num_threads(max(1, wanted))
        try:
            return loop(*arguments)
        finally:
            numba.set_num_threads(allowed)

    return run


def grid_of(threads: int) -> tuple[int, int]:
    """Launch shape for one thread per item."""
    return -(-threads // THREADS_PER_BLOCK), THREADS_PER_BLOCK


class Rows:
    """The checked columns of one table in a call, cut into segments.

    values   name -> array of numbers; times   name -> int64 array. All of one length and on one side.
    count    the number of rows, where no column is given
    Raises ArgumentError or DeviceError.
    """

    def __init__(
        self,
        offsets: Any,
        *,
        values: Mapping[str, Any] | None = None,
        times: Mapping[str, Any] | None = None,
        count: int | None = None,
        offsets_name: str = "offsets",
    ) -> None:
        columns = {**(values or {}), **(times or {})}
        self.device = common_device(**{offsets_name: offsets}, **columns)
        self.columns = [column(name, array) for name, array in (values or {}).items()]
        self.columns += [column(name, array, _INT64) for name, array in (times or {}).items()]
        self.offsets = column(offsets_name, offsets, _INT64)
        self.host_offsets = to_host(self.offsets)
        lengths = {name: len(array) for name, array in zip(columns, self.columns, strict=True)}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ArgumentError(f"arrays of unequal length: {shown}", allowed="one length for all")
        self.count = next(iter(lengths.values())) if count is None else count
        _check_offsets(offsets_name, self.host_offsets, self.count)

    @property
    def segments(self) -> int:
        return len(self.host_offsets) - 1

    def tiles(self, length: int = TILE_ROWS) -> Array:
        """int64 (S + 1,): how many tiles of `length` rows lie before each segment (host)."""
        tiles = np.zeros(len(self.host_offsets), np.int64)
        np.cumsum(-(-np.diff(self.host_offsets) // length), out=tiles[1:])
        return tiles

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An output array on the side of the input."""
        return empty(shape, dtype, like=self.offsets)


def empty(shape: int | tuple[int, ...], dtype: npt.DTypeLike, *, like: Array) -> Array:
    """An uninitialised array on the side of `like`; a CuPy call is served from CuPy's memory pool."""
    if not is_on_device(like):
        return np.empty(shape, dtype)
    if type(like).__module__.split(".")[0] == "cupy":
        import cupy

        return cupy.empty(shape, dtype)  # type: ignore[no-any-return]
    return cuda.device_array(shape, dtype)  # type: ignore[no-any-return]


def to_side(array: Array, *, like: Array) -> Array:
    """A host array copied to the side of `like`."""
    return cuda.to_device(array) if is_on_device(like) else array


def _check_offsets(name: str, offsets: Array, count: int) -> None:
    if len(offsets) == 0 or offsets[0] != 0:
        raise ArgumentError(f"{name} starts with {offsets[:1].tolist()}", allowed="[0, ..., number of rows]")
    if offsets[-1] != count:
        raise ArgumentError(
            f"{name} ends with {offsets[-1]} but there are {count} rows", allowed="[0, ..., number of rows]"
        )
    falls = np.flatnonzero(np.diff(offsets) < 0)
    if len(falls):
        at = int(falls[0])
        raise ArgumentError(
            f"{name} falls from {offsets[at]} to {offsets[at + 1]} at {at}", allowed="offsets that never fall"
        )
