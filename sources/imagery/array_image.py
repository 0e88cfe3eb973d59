"""NumPy arrays as images."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.errors import DataError, one_line


def load(path: Path) -> NDArray[Any]:
    """An array of a file, mapped and not read; no pickled objects. Raises DataError where it is none."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        told = getattr(error, "strerror", None) or one_line(error)
        raise DataError(f"{path} cannot be read: {told}", allowed="a NumPy array of numbers (.npy)") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise DataError(f"{path} holds no real numbers", allowed="booleans, whole numbers or floats")
    return array


class ArrayImage:
    """An array as rasterio would open an image of its times and bands, as far as `raster.Image` asks."""

    crs = None
    gcps: tuple[list[Any], None] = ([], None)
    interleaving = None

    def __init__(self, path: Path) -> None:
        array = load(path)
        if array.ndim not in {2, 3, 4}:
            raise DataError(f"{path} is {array.shape}", allowed="[time, row, column(, band)]")
        self._array = array.reshape(1, *array.shape, 1) if array.ndim == 2 else array
        self._array = self._array[..., None] if self._array.ndim == 3 else self._array
        times, self.height, self.width, self._bands = self._array.shape
        self.count = times * self._bands
        kind = np.dtype(np.uint8) if array.dtype.kind == "b" else array.dtype
        self.dtypes = (kind.name,) * self.count
        self.nodatavals = (None,) * self.count
        self.scales, self.offsets = (1.0,) * self.count, (0.0,) * self.count
        self.block_shapes = ((1, self.width),) * self.count
        self.mask_flag_enums: tuple[list[Any], ...] = ([],) * self.count
        self.colorinterp: list[Any] = []

    def read(self, number: int, window: Any) -> NDArray[Any]:
        """The pixels of a window of one band, from 1."""
        time, band = divmod(number - 1, self._bands)
        rows = slice(window.row_off, window.row_off + window.height)
        columns = slice(window.col_off, window.col_off + window.width)
        found = np.array(self._array[time, rows, columns, band])
        return found.astype(np.uint8) if found.dtype.kind == "b" else found

    def close(self) -> None:
        """Nothing: the map is closed with the array."""
