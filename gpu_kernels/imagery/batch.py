"""What a batch of images is, checked; how many lots fit into memory at a time.

images   (rows, height, width) uint8, uint16 or float32: a row is one band of one image of one lot, what is not finite
         is missing; rows lie by lot and, within a lot, in the order in which they became known
offsets  int64 (lots + 1,): the rows of lot l are offsets[l] to offsets[l + 1]
cells    (lots, height, width) int16: which cell of the lot a pixel is in, 0 to count - 1; -1: of its surroundings; -2:
         nothing that counts. Smaller lots are filled up with -2, and their images with NaN
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_kernels.dispatch import Array, Rows, column, common_device, is_on_device, positive, to_host
from gpu_kernels.errors import ArgumentError

PIXEL_DTYPES = (np.dtype(np.float32), np.dtype(np.uint8), np.dtype(np.uint16))
_INT16, _FLOAT64 = (np.dtype(np.int16),), (np.dtype(np.float64),)


def contiguous(name: str, array: Any, dtypes: tuple[np.dtype[Any], ...], ndim: int) -> Array:
    """The array checked; one in host memory that is not contiguous, as a window of a larger one, is copied."""
    if not is_on_device(array):
        array = np.asarray(array)
        if array.dtype in dtypes and array.ndim == ndim:
            array = np.ascontiguousarray(array)
    return column(name, array, dtypes, ndim)


def share(name: str, value: float, *, least: float = 0.0, most: float = 1.0) -> float:
    """The parameter as float; ArgumentError unless it is a number in [least, most]."""
    if not isinstance(value, bool) and isinstance(value, float | int | np.number) and least <= value <= most:
        return float(value)
    raise ArgumentError(f"{name} is {value!r}", allowed=f"a number, {least:g} to {most:g}")


class Batch(Rows):
    """The checked arrays of a call. Raises ArgumentError or DeviceError."""

    def __init__(self, images: Any, cells: Any, dark: Any, offsets: Any, count: int) -> None:
        common_device(images=images, cells=cells, dark=dark)
        self.images = contiguous("images", images, PIXEL_DTYPES, 3)
        self.cells = contiguous("cells", cells, _INT16, 3)
        self.dark = column("dark", dark, _FLOAT64)
        super().__init__(offsets, values={"dark": self.dark}, count=len(self.images))
        self.cell_count = positive("count", count, maximum=2**15)
        if len(self.dark) != self.count:
            raise ArgumentError(f"{len(self.dark)} values of dark for {self.count} images", allowed="one for each")
        wanted = (self.segments, *self.images.shape[1:])
        if self.cells.shape != wanted:
            raise ArgumentError(
                f"cells is {tuple(self.cells.shape)} for images of {tuple(self.images.shape)} and {self.segments} lots",
                allowed=f"{wanted}: one map for each lot",
            )
        host = to_host(self.cells)
        if host.size and not (host.min() >= -2 and host.max() < self.cell_count):
            raise ArgumentError(
                f"cells spans {host.min()} to {host.max()}",
                allowed=f"-2 (left out), -1 (surroundings), 0 to {self.cell_count - 1}",
            )


def in_chunks(offsets: Array, bytes_each: int, budget: int = 1 << 30) -> Iterator[tuple[slice, slice, Array]]:
    """Lots whose images take `budget` bytes together at most, or one lot, one chunk after the other: the slice of its
    lots, that of its rows, and its own offsets.

    offsets      (lots + 1,) int64 in host memory, as the kernels take them
    bytes_each   of one row's arrays: height * width * bytes a pixel
    Kernels give a lot the same bits whatever else is in the batch, so chunks change nothing but the memory held.
    Raises: ArgumentError.
    """
    rows = Rows(offsets, count=int(np.asarray(offsets)[-1]) if len(offsets) else 0)
    most = positive("budget", budget) // positive("bytes_each", bytes_each)
    first = 0
    while first < rows.segments:
        begin = int(rows.offsets[first])
        last = max(first + 1, int(np.searchsorted(rows.offsets, begin + most, "right")) - 1)
        yield slice(first, last), slice(begin, int(rows.offsets[last])), rows.offsets[first : last + 1] - begin
        first = last
