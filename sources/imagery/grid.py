"""Common grids: before anything is compared, every image of a zone is read onto the zone's own grid."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from gpu_kernels.errors import ArgumentError, ConfigError, DataError
from sources.extras import need
from sources.imagery.zones import PIXELS, Zone

MOST_PIXELS = 2**26
"""Of a grid: 256 MiB of float32."""
_EDGE_POINTS = 64


@dataclass(frozen=True, slots=True)
class Grid:
    """A raster without values: x = transform[2] + transform[0] * column, y = transform[5] + transform[4] * row, at the
    upper left corners of pixels; transform is (a, b, c, d, e, f) as rasterio and affine order it, and b = d = 0.

    crs  in metres, or `pixels`: then y is the row, counted downwards
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def resolution(self) -> float:
        return self.transform[0]

    @property
    def pixel_area(self) -> float:
        """In the CRS's units squared: of metres on the plane of the projection (UTM: within 0.1 % of the ground's)."""
        return abs(self.transform[0] * self.transform[4])

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least and largest x and y: (x, y, x, y)."""
        a, _, c, _, e, f = self.transform
        ys = sorted((f, f + e * self.height))
        return c, ys[0], c + a * self.width, ys[1]

    def part(self, row: int, column: int, height: int, width: int) -> "Grid":
        """The grid of some of its pixels."""
        a, b, c, d, e, f = self.transform
        return Grid(self.crs, (a, b, c + a * column, d, e, f + e * row), width, height)


def grid_of(
    zone: Zone, resolution: float, *, margin: float = 0.0, crs: str | None = None, most: int = MOST_PIXELS
) -> Grid:
    """The grid of a zone: its bounds and a margin around them, in pixels of `resolution`.

    Edges lie at whole multiples of the resolution from the CRS's origin, so that all grids of one CRS and resolution
    share one lattice, and a zone's grid depends on the zone alone and never on a scene.

    resolution, margin  in metres, or of a zone in pixel coordinates in pixels
    crs   a projected CRS in metres; None: the zone's own where it is one, else the UTM zone (beyond 84 N and 80 S the
          polar stereographic one) of the middle of its bounds
    most  pixels of the grid

    Raises ArgumentError for a resolution or margin that is none, ConfigError for a CRS that is not in metres, DataError
    for a zone that needs more than `most` pixels.
    """
    if not (math.isfinite(resolution) and resolution > 0 and math.isfinite(margin) and margin >= 0):
        raise ArgumentError(f"resolution {resolution}, margin {margin}", allowed="a resolution > 0 and a margin >= 0")
    resolution, own = float(resolution), metric_crs(zone, crs)
    left, low, right, high = project(zone, own).bounds
    first_column, last_column = _span(left - margin, right + margin, resolution)
    first_row, last_row = _span(low - margin, high + margin, resolution)
    width, height = last_column - first_column, last_row - first_row
    if width * height > most:
        raise DataError(
            f"zone {zone.site}: {width} x {height} pixels of {resolution:g}",
            allowed=f"at most {most}",
            hint="write a coarser resolution, or smaller zones",
        )
    x = first_column * resolution
    if own == PIXELS:
        return Grid(own, (resolution, 0.0, x, 0.0, resolution, first_row * resolution), width, height)
    return Grid(own, (resolution, 0.0, x, 0.0, -resolution, last_row * resolution), width, height)


def _span(low: float, high: float, step: float) -> tuple[int, int]:
    """First and last edge, in steps. What ends on an edge but for rounding ends there."""
    first, last = low / step, high / step
    close = 1e-6
    start = round(first) if abs(first - round(first)) < close else math.floor(first)
    end = round(last) if abs(last - round(last)) < close else math.ceil(last)
    return start, max(end, start + 1)


def metric_crs(zone: Zone, crs: str | None = None) -> str:
    """The CRS of a zone's grid, see `grid_of`."""
    if zone.crs == PIXELS:
        if crs not in {None, PIXELS}:
            raise ConfigError(f"zone {zone.site} is in pixel coordinates, which have no crs {crs}", allowed="pixels")
        return PIXELS
    if crs is not None:
        if not _in_metres(crs):
            raise ConfigError(f"crs {crs[:60]!r} of a grid", allowed="a projected CRS in metres, e.g. EPSG:32614")
        return crs
    if _in_metres(zone.crs):
        return zone.crs
    left, low, right, high = zone.geometry.bounds
    longitude, latitude = transformer(zone.crs, "EPSG:4326").transform((left + right) / 2, (low + high) / 2)
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        raise DataError(f"zone {zone.site} lies where {zone.crs[:60]} has no longitude and latitude")
    if latitude >= 84 or latitude < -80:
        return "EPSG:32661" if latitude > 0 else "EPSG:32761"
    number = int(((longitude + 180) % 360) // 6) + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + number}"


def project(zone: Zone, crs: str) -> Any:
    """The zone's geometry in the coordinates of `crs`. Long edges get points between, since a straight line in one CRS
    is none in another. Raises DataError where a part of it has no coordinates there."""
    if zone.crs == crs:
        return zone.geometry
    shapely = need("shapely")
    left, low, right, high = zone.geometry.bounds
    dense = shapely.segmentize(zone.geometry, max(right - left, high - low) / _EDGE_POINTS)
    change = transformer(zone.crs, crs)
    moved = shapely.transform(dense, lambda points: _columns(*change.transform(points[:, 0], points[:, 1])))
    if not all(map(math.isfinite, moved.bounds)):
        raise DataError(f"zone {zone.site} has no coordinates in {crs[:60]}", hint="write the CRS of its own region")
    return moved if moved.is_valid else shapely.make_valid(moved)


def _columns(x: Any, y: Any) -> Any:
    return np.column_stack([x, y])


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> Any:
    """pyproj's transformer, x and y (longitude and latitude) in that order. Raises ConfigError for an unknown CRS."""
    pyproj = need("pyproj")
    try:
        return pyproj.Transformer.from_crs(source, target, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise ConfigError(
            f"no way from CRS {source[:60]!r} to {target[:60]!r}", allowed="EPSG:<code> or WKT"
        ) from error


@lru_cache(maxsize=256)
def _in_metres(crs: str) -> bool:
    pyproj = need("pyproj")
    try:
        found = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise ConfigError(f"crs {crs[:60]!r} is none that PROJ knows", allowed="EPSG:<code> or WKT") from error
    return bool(found.is_projected and all(axis.unit_conversion_factor == 1 for axis in found.axis_info[:2]))
