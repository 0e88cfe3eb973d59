"""Pixels of a zone: windows of GeoTIFFs and other images, read onto a common grid.

Only the window under the grid is read, with the pixels around it that the resampling needs; a large one is read in
parts. What is masked (nodata, the file's mask, alpha, NaN) becomes NaN before it is resampled and takes no part in it.

rasterio's WarpedVRT is not used: it takes a fourth band that calls itself alpha, as the near infrared of NAIP does, for
a mask of the other three.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.errors import ConfigError, DataError
from sources.extras import need
from sources.imagery.array_image import ArrayImage
from sources.imagery.config import Resampling
from sources.imagery.gdal import NUMPY, environment, place_of, telling
from sources.imagery.grid import Grid
from sources.imagery.reference import Reference, moved, rasterio_crs
from sources.imagery.scene import Asset
from sources.imagery.zones import PIXELS

_PART = 2**22
_MOST_READ = 2**28
_MOST_BLOCK = 2**28
_EXACT = 2**24
_EDGE = 17
# of GDAL's approximation of a projection, in pixels of the image
_TOLERANCE = 0.01
_COMPLEX = ("complex_int16", "complex64", "complex128")
_UNREFERENCED = "EPSG:32631"  # any CRS in metres: both sides of a copy between pixel coordinates name it


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a zone's grid shows in one band.

    values   float32 [height, width], scaled; NaN where nothing was observed
    valid    bool [height, width]: where something was
    outside  no part of the grid lies on the image; all is NaN
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    outside: bool


def read(asset: Asset, grid: Grid, resampling: Resampling) -> Pixels:
    """One band onto a grid; see `Image.read`. To read many zones, open the image once: `open_asset`."""
    with open_asset(asset) as image:
        return image.read(grid, resampling)


@contextmanager
def open_asset(asset: Asset) -> Iterator["Image"]:
    """The image of an asset, opened once for any number of reads.

    GeoTIFF, PNG, JPEG, JPEG 2000 and NumPy arrays are told by their first bytes and not by their names; nothing else is
    opened, VRT above all, which is a list of other files. A local file reads nothing from the network, whatever it
    refers to.
    Raises DataError, in one line, for a file that is missing, empty, damaged, of another kind, or made to fill memory.
    """
    rasterio = need("rasterio")
    name, driver = place_of(asset)
    options = environment(asset, name)
    with telling(asset.href), rasterio.Env(**options):
        dataset = ArrayImage(Path(name)) if driver == NUMPY else rasterio.open(name, driver=driver, sharing=False)
    with ExitStack() as opened:
        opened.callback(dataset.close)

        def at_level(level: int) -> "Image":
            with telling(asset.href), rasterio.Env(**options):
                coarser = rasterio.open(name, driver=driver, sharing=False, overview_level=level)
            opened.callback(coarser.close)
            return Image(asset, coarser, options)

        yield Image(asset, dataset, options, at_level)


class Image:
    """An open image."""

    def __init__(
        self,
        asset: Asset,
        dataset: Any,
        options: dict[str, object],
        at_level: Callable[[int], "Image"] | None = None,
    ) -> None:
        self.asset, self._dataset, self._options, self._at_level = asset, dataset, options, at_level
        self._coarser: dict[int, Image] = {}
        self.bands = int(dataset.count)
        self.width, self.height = int(dataset.width), int(dataset.height)
        self._check()

    @property
    def crs(self) -> str | None:
        """The file's own CRS as WKT, else the one that the asset states, else None."""
        own = self._dataset.crs
        return str(own.to_wkt()) if own else self.asset.crs

    def read(self, grid: Grid, resampling: Resampling, *, band: int | None = None) -> Pixels:
        """A band, the asset's own unless told, onto a grid.

        resampling  nearest for masks and classes; bilinear for values on a grid about as fine as the image or finer
                    (on a coarser one GDAL widens the kernel); average for values on a coarser grid: the mean over the
                    pixels under each pixel of the grid

        values = stored * scale + offset in float32; whole numbers are exact up to 2**24.
        Missing values: NaN where the grid lies beyond the image, and where the file has nodata (the asset's, else its
        own), a mask, alpha 0 (see Asset.alpha) or NaN. A pixel of the grid is valid where any valid pixel takes part.
        Raises DataError for a band that is not there, an image without CRS (of a grid that has one), a damaged part,
        or more than 2**28 pixels to read.
        """
        rasterio = need("rasterio")
        number = self.asset.band if band is None else band
        if not 1 <= number <= self.bands:
            raise DataError(f"{self.asset.href} has no band {number}", allowed=f"1 to {self.bands}")
        values = np.full(grid.shape, np.nan, dtype=np.float32)
        with telling(self.asset.href), self._own_crs(), rasterio.Env(**self._options):
            ratio = self._ratio(grid)
            level = self._level(number, ratio)
            if level is not None:
                return self._overview(level).read(grid, resampling, band=number)
            seen = self._fill(values, grid, resampling, number, ratio)
        scale = self._dataset.scales[number - 1] if self.asset.scale is None else self.asset.scale
        offset = self._dataset.offsets[number - 1] if self.asset.offset is None else self.asset.offset
        if (scale, offset) != (1, 0):
            values = (values.astype(np.float64) * scale + offset).astype(np.float32)
        return Pixels(values, np.isfinite(values), not seen)

    @contextmanager
    def _own_crs(self) -> Iterator[None]:
        """A CRS that PROJ cannot use is the file's fault where the file says it, and not the config's."""
        try:
            yield
        except ConfigError as error:
            if self._dataset.crs is None:
                raise
            raise DataError(f"the CRS of {self.asset.href} cannot be used: {error.problem}") from error

    def _check(self) -> None:
        """Refuses a file that cannot be read in parts: GDAL holds whole blocks in memory."""
        rows, columns = max(self._dataset.block_shapes, default=(0, 0))
        kinds = {np.dtype(kind) for kind in self._dataset.dtypes if kind not in _COMPLEX}
        if len(kinds) == 0:
            raise DataError(f"{self.asset.href} holds complex numbers", allowed="real ones: amplitudes or intensities")
        together = self.bands if str(self._dataset.interleaving).lower().endswith("pixel") else 1
        size = rows * columns * max(kind.itemsize for kind in kinds) * together
        if size > _MOST_BLOCK:
            raise DataError(
                f"{self.asset.href} lies in blocks of {size / 2**20:.0f} MiB",
                allowed=f"at most {_MOST_BLOCK // 2**20} MiB",
                hint="write it anew in tiles, e.g. as a cloud-optimised GeoTIFF",
            )

    def _level(self, number: int, ratio: tuple[float, float]) -> int | None:
        """The coarsest overview that is still no coarser than the grid, where the asset lets overviews be read."""
        if not self.asset.overviews or self._at_level is None:
            return None
        factors = enumerate(self._dataset.overviews(number))
        usable = [level for level, factor in factors if factor <= min(ratio) * 1.01]
        return max(usable, default=None)

    def _overview(self, level: int) -> "Image":
        if level not in self._coarser:
            assert self._at_level is not None
            self._coarser[level] = self._at_level(level)
        return self._coarser[level]

    def _reference(self, grid: Grid) -> Reference:
        """Where the image and the grid lie, in CRSs between which GDAL knows the way."""
        affine = need("rasterio").Affine
        if grid.crs == PIXELS:
            # rows are counted downwards: y = -row
            resolution, _, x, _, _, y = grid.transform
            crs = rasterio_crs(_UNREFERENCED)
            return Reference(crs, affine(1, 0, 0, 0, -1, 0), crs, affine(resolution, 0, x, 0, -resolution, -y))
        if self.crs is None:
            points = self._dataset.gcps[0]
            raise DataError(
                f"{self.asset.href} has no CRS" + (", only ground control points" if points else ""),
                allowed="a georeferenced image",
                hint="warp it first" if points else "write crs: EPSG:<code> of the asset, or zones in pixels",
            )
        return Reference(rasterio_crs(self.crs), self._transform(), rasterio_crs(grid.crs), affine(*grid.transform))

    def _transform(self) -> Any:
        own = getattr(self._dataset, "transform", None)
        if own is not None and not own.is_identity:
            if own.is_degenerate or not all(map(math.isfinite, own[:6])):
                raise DataError(f"{self.asset.href} has the geotransform {own[:6]}", allowed="pixels with an area")
            return own
        if self.asset.bounds is None:
            raise DataError(
                f"{self.asset.href} does not say where it lies (no geotransform)",
                hint="write zones in pixels, or `bounds` of the asset",
            )
        left, low, right, high = self.asset.bounds
        affine = need("rasterio").Affine
        return affine((right - left) / self.width, 0, left, 0, (low - high) / self.height, high)

    def _ratio(self, grid: Grid) -> tuple[float, float]:
        """Columns and rows of the image under one pixel in the middle of the grid; NaN where there are none."""
        reference = self._reference(grid)
        x, y = (grid.width - 1) / 2, (grid.height - 1) / 2
        points = np.array([(x, y), (x + 1, y), (x, y + 1)])
        columns, rows = reference.to_image(points[:, 0], points[:, 1])
        across, down = (math.hypot(*(each[1:] - each[0])) for each in (columns, rows))
        return across, down

    def _fill(
        self,
        values: NDArray[np.float32],
        grid: Grid,
        resampling: Resampling,
        number: int,
        ratio: tuple[float, float],
        *,
        whole: bool = True,
    ) -> bool:
        """Writes stored values into `values`; False where the grid lies beyond the image.

        A grid with more than 2**22 pixels of the image under it is read in parts: the scale of the kernel is that of
        the whole, so that how it is cut changes nothing but float32's last digit.
        """
        reference = self._reference(grid)
        windows = list(self._windows(grid, reference, ratio))
        size = sum((last - first) * (right - left) for first, last, left, right in windows)
        if whole and size > _MOST_READ:
            raise DataError(
                f"{size:.3g} pixels of {self.asset.href} lie under the zone",
                allowed=f"{_MOST_READ:.3g}",
                hint="take smaller zones, or overviews: true of the asset, where the file holds them",
            )
        if size > _PART and max(grid.shape) > 1:
            return self._fill_parts(values, grid, resampling, number, ratio)
        for window in windows:
            self._warp(values, window, reference, resampling, number, ratio)
        return bool(windows)

    def _fill_parts(
        self, values: NDArray[np.float32], grid: Grid, resampling: Resampling, number: int, ratio: tuple[float, float]
    ) -> bool:
        height, width = grid.shape
        if height >= width:
            half = height // 2
            cuts = [(0, 0, half, width), (half, 0, height - half, width)]
        else:
            half = width // 2
            cuts = [(0, 0, height, half), (0, half, height, width - half)]
        seen = False
        for row, column, rows, columns in cuts:
            part = values[row : row + rows, column : column + columns]
            own = np.full(part.shape, np.nan, dtype=np.float32)
            grid_part = grid.part(row, column, rows, columns)
            seen |= self._fill(own, grid_part, resampling, number, ratio, whole=False)
            part[...] = own
        return seen

    def _windows(
        self, grid: Grid, reference: Reference, ratio: tuple[float, float]
    ) -> Iterator[tuple[int, int, int, int]]:
        """First and last row, first and last column of the image, last excluded, under the grid and a little around it;
        two where the image goes around the globe and the grid lies across its seam."""
        steps = np.linspace(0, 1, _EDGE)
        zero, one = np.zeros(_EDGE), np.ones(_EDGE)
        x = np.concatenate([steps, steps, zero, one]) * grid.width
        y = np.concatenate([zero, one, steps, steps]) * grid.height
        columns, rows = reference.to_image(x, y)
        usable = np.isfinite(columns) & np.isfinite(rows)
        if not usable.any() or not all(map(math.isfinite, ratio)):
            return
        columns, rows = columns[usable], rows[usable]
        beside_x, beside_y = (math.ceil(2 * max(1.0, each)) + 2 for each in ratio)
        first = max(math.floor(rows.min()) - beside_y, 0)
        last = min(math.ceil(rows.max()) + beside_y, self.height)
        if last <= first or rows.max() <= 0 or rows.min() >= self.height:
            return
        for turn in reference.turns():
            low, high = columns.min() + turn, columns.max() + turn
            left, right = max(math.floor(low) - beside_x, 0), min(math.ceil(high) + beside_x, self.width)
            if left < right and high > 0 and low < self.width:
                yield first, last, left, right

    def _warp(
        self,
        values: NDArray[np.float32],
        window: tuple[int, int, int, int],
        reference: Reference,
        resampling: Resampling,
        number: int,
        ratio: tuple[float, float],
    ) -> None:
        warp, enums = need("rasterio.warp"), need("rasterio.enums")
        first, last, left, right = window
        if (last - first) * (right - left) > _EXACT:
            raise DataError(
                f"one pixel of the grid lies over {(last - first) * (right - left)} of {self.asset.href}",
                allowed=f"at most {_EXACT}",
                hint="write a finer resolution",
            )
        target = np.full(values.shape, np.nan, dtype=np.float32)
        warp.reproject(
            self._stored(number, window, exact=resampling == "nearest"),
            target,
            src_transform=moved(reference.image_transform, left, first),
            src_crs=reference.image_crs,
            dst_transform=reference.grid_transform,
            dst_crs=reference.grid_crs,
            src_nodata=math.nan,
            dst_nodata=math.nan,
            resampling=enums.Resampling[resampling],
            tolerance=_TOLERANCE,
            XSCALE=_kernel_scale(ratio[0]),
            YSCALE=_kernel_scale(ratio[1]),
        )
        np.copyto(values, target, where=np.isnan(values))

    def _stored(self, number: int, window: tuple[int, int, int, int], *, exact: bool) -> NDArray[np.float32]:
        """The stored values of a window, NaN where they are masked."""
        first, last, left, right = window
        rectangle = need("rasterio.windows").Window(left, first, right - left, last - first)
        raw = self._dataset.read(number, window=rectangle)
        if raw.dtype.kind == "c":
            raise DataError(f"band {number} of {self.asset.href} holds complex numbers", allowed="real ones")
        hidden = self._hidden(number, raw, rectangle)
        if exact and raw.dtype.kind in "iu" and raw.dtype.itemsize >= 4:
            largest = np.abs(raw[~hidden].astype(np.float64)).max(initial=0)
            if largest > _EXACT:
                raise DataError(
                    f"band {number} of {self.asset.href} holds {largest:.0f}",
                    allowed=f"whole numbers up to {_EXACT}, which float32 holds exactly",
                    hint="split flags of 32 bits into bands first",
                )
        with np.errstate(over="ignore"):
            stored = raw.astype(np.float32)
        stored[hidden | ~np.isfinite(stored)] = np.nan
        return cast(NDArray[np.float32], stored)

    def _hidden(self, number: int, raw: NDArray[Any], rectangle: Any) -> NDArray[np.bool_]:
        """Where a window is masked, by nodata, the file's mask or alpha."""
        nodata = self._dataset.nodatavals[number - 1] if self.asset.nodata is None else self.asset.nodata
        hidden = np.zeros(raw.shape, dtype=np.bool_)
        told = nodata is not None and not math.isnan(nodata)
        if told and (raw.dtype.kind == "f" or _fits(nodata, raw.dtype)):
            with np.errstate(over="ignore"):
                hidden |= raw == raw.dtype.type(nodata)
        flags = {flag.name for flag in self._dataset.mask_flag_enums[number - 1]}
        if "per_dataset" in flags and "alpha" not in flags:
            hidden |= self._dataset.read_masks(number, window=rectangle) == 0
        alpha = self._alpha(told)
        if alpha not in {None, number}:
            hidden |= self._dataset.read(alpha, window=rectangle) == 0
        return hidden

    def _alpha(self, nodata: bool) -> int | None:
        names = [color.name for color in self._dataset.colorinterp]
        number = names.index("alpha") + 1 if "alpha" in names else None
        if self.asset.alpha and number is None:
            raise DataError(f"{self.asset.href} has no alpha band", hint="leave `alpha` out")
        if self.asset.alpha is None:
            return None if nodata else number
        return number if self.asset.alpha else None


def _kernel_scale(ratio: float) -> float:
    """GDAL's: pixels of the grid for each of the image; the kernel is widened where it is below 1."""
    return 1.0 if ratio < 1.05 else 1 / ratio


def _fits(value: float, kind: np.dtype[Any]) -> bool:
    limits = np.iinfo(kind)
    return float(value).is_integer() and limits.min <= value <= limits.max
