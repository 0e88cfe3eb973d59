"""Where the pixels of an image and of a grid lie, in CRSs between which GDAL knows the way."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.errors import ConfigError
from sources.extras import need
from sources.imagery.grid import transformer

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reference:
    """Where the pixels of an image and of a grid lie."""

    image_crs: Any
    image_transform: Any
    grid_crs: Any
    grid_transform: Any

    def to_image(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Columns and rows of the image at columns and rows of the grid; not finite where there are none."""
        easting, northing = _apply(self.grid_transform, x, y)
        if self.image_crs != self.grid_crs:
            way = transformer(self.grid_crs.to_wkt(), self.image_crs.to_wkt())
            # where there are none PROJ gives infinities, of which sums are no numbers
            easting, northing = (np.where(np.isfinite(one), one, np.nan) for one in way.transform(easting, northing))
            if self.image_crs.is_geographic:
                # points on both sides of the antimeridian belong together
                middle = easting[0]
                easting = middle + (easting - middle + 180) % 360 - 180
        columns, rows = _apply(~self.image_transform, easting, northing)
        return np.asarray(columns, dtype=np.float64), np.asarray(rows, dtype=np.float64)

    def turns(self) -> list[float]:
        """By how many columns the grid may be moved and lie at the same place: whole turns of the globe."""
        if not self.image_crs.is_geographic or self.image_transform.a == 0:
            return [0.0]
        turn = 360 / abs(self.image_transform.a)
        return [0.0, turn, -turn]


def _apply(transform: Any, x: Any, y: Any) -> tuple[Any, Any]:
    # affine's own operator changed its name
    return (
        transform.a * x + transform.b * y + transform.c,
        transform.d * x + transform.e * y + transform.f,
    )


def moved(transform: Any, column: int, row: int) -> Any:
    """The transform of a window that begins at that column and row."""
    x, y = _apply(transform, column, row)
    return type(transform)(transform.a, transform.b, x, transform.d, transform.e, y)


@lru_cache(maxsize=256)
def rasterio_crs(text: str) -> Any:
    """rasterio's CRS of a code or WKT. Raises ConfigError where it is none."""
    rasterio = need("rasterio")
    try:
        return rasterio.crs.CRS.from_user_input(text)
    except rasterio.errors.CRSError as error:
        raise ConfigError(f"crs {text[:60]!r} is none that PROJ knows", allowed="EPSG:<code> or WKT") from error
