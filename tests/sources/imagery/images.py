"""Small images for the tests, made by rasterio."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely

from sources.imagery.scene import Asset
from sources.imagery.zones import PIXELS, Zone

UTM = "EPSG:32614"
WEST, NORTH = 500_000.0, 4_000_000.0


def write(path: Path, values: np.ndarray, *, transform: Any = None, crs: str | None = UTM, **options: Any) -> Asset:
    """A GeoTIFF (or what `driver` says) of [band,] row, column; pixels of 10 m at (WEST, NORTH) unless told."""
    values = values if values.ndim == 3 else values[None]
    count, height, width = values.shape
    if transform is None and crs is not None:
        transform = rasterio.Affine(10, 0, WEST, 0, -10, NORTH)
    mask = options.pop("mask", None)
    tags = {name: options.pop(name) for name in ("scales", "offsets", "colorinterp") if name in options}
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values.dtype, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", crs=crs, transform=transform, **profile) as image,
        ):
            image.write(values)
            for name, value in tags.items():
                setattr(image, name, value)
            if mask is not None:
                image.write_mask(mask)
    return Asset(str(path))


def apply(transform: Any, x: Any, y: Any) -> tuple[Any, Any]:
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def plane(height: int, width: int, transform: Any, of_x: float, of_y: float) -> np.ndarray:
    """A plane over x and y at the centres of pixels, which linear interpolation gives back exactly."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = apply(transform, columns, rows)
    return of_x * (x - WEST) + of_y * (y - NORTH)


def box(left: float, low: float, right: float, high: float, crs: str = UTM, site: str = "lot") -> Zone:
    return Zone(site, shapely.box(left, low, right, high), crs)


def pixel_box(left: float, top: float, right: float, low: float) -> Zone:
    return Zone("lot", shapely.box(left, top, right, low), PIXELS)
