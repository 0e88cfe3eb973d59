"""Cells of a lot: its stalls where they are known, else parts of a stall's size laid over its polygon."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_kernels.errors import ArgumentError, DataError
from sources.extras import need
from sources.imagery.grid import Grid, grid_of, project
from sources.imagery.vehicle_rows import MOST_METRES, STALL_DEPTH, STALL_WIDTH
from sources.imagery.zones import PIXELS, Zone

SURROUNDINGS, LEFT_OUT = -1, -2
_LEAST_SHARE = 0.25
_MOST_CELLS = 2**15 - 1


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot on its own grid.

    cells     int16 (height, width): 0 to count - 1, -1 the surroundings, -2 left out; aisles are surroundings
    weight    (count,): what a cell counts for: 1 a stall, else its area in square units of the CRS
    capacity  vehicles that it holds when it is full
    capacity_error  standard error of that, 0 where it is known
    row       of a single row of stalls whose vehicles are counted one by one: the corners of its rectangle in pixels of
              the grid, as count_vehicles takes them; None: vehicles are capacity times fill
    stall_rows  rows of stalls side by side in it; None: as its depth says
    """

    site: str
    grid: Grid
    cells: np.ndarray[Any, np.dtype[np.int16]]
    weight: np.ndarray[Any, np.dtype[np.float64]]
    capacity: float
    capacity_error: float
    row: np.ndarray[Any, np.dtype[np.float64]] | None = None
    stall_rows: int | None = None

    @property
    def count(self) -> int:
        return len(self.weight)


def lot_of(
    zone: Zone,
    resolution: float,
    *,
    stalls: Sequence[Zone] | None = None,
    capacity: float | None = None,
    stall_width: float = STALL_WIDTH,
    stall_depth: float = STALL_DEPTH,
    crs: str | None = None,
    name: str | None = None,
    row: bool = False,
    stall_rows: int | None = None,
) -> Lot:
    """The grid of a lot, two stall widths wider than its polygon, and its cells.

    stalls    polygons of the single stalls: a cell each, of like weight. A pixel of two is the later one's
    capacity  None: as many as there are stalls; else one to each stall width x depth, with a standard error of 30 %,
              since nobody knows how much of the polygon is aisles
    stall_width, stall_depth  in metres, or of a zone in pixel coordinates in pixels
    name      of the lot; None: the zone's site
    row       whether the zone is a row of stalls whose vehicles are counted one by one (sources.imagery.vehicle_rows)
    stall_rows  rows of stalls side by side in it, where that is known

    Without stalls the polygon is cut into cells of stall_width x stall_depth along the longer side of its least
    rotated rectangle, from a corner of it. Pieces under a quarter of that go with the surroundings. A pixel is where
    its centre lies. A lot may have no cell at all: it is smaller than a quarter of a vehicle.

    Raises ArgumentError for a size or capacity that is not positive, DataError for more than 32,767 cells.
    """
    for option, value in (("stall_width", stall_width), ("stall_depth", stall_depth), ("capacity", capacity)):
        if value is not None and not (math.isfinite(value) and value > 0.0):
            raise ArgumentError(f"{option} is {value!r}", allowed="a number above 0")
    if stall_rows is not None and not stall_rows >= 1:
        raise ArgumentError(f"stall_rows is {stall_rows!r}", allowed="1 or more")
    shapely = need("shapely")
    grid = grid_of(zone, resolution, margin=2.0 * stall_width, crs=crs)
    cells = np.full(grid.shape, SURROUNDINGS, np.int16)
    shape = project(zone, grid.crs)
    corners = _row(shape, grid) if row else None
    size = stall_width * stall_depth
    if stalls is not None:
        _few(len(stalls), zone.site)
        for each, stall in enumerate(stalls):
            rows, columns, inside = _inside(project(stall, grid.crs), grid)
            cells[rows, columns][inside] = each
        weight = np.ones(len(stalls))
        known = float(len(stalls)) if capacity is None else capacity
        return Lot(name or zone.site, grid, cells, weight, known, 0.0, corners, stall_rows)
    rows, columns, inside = _inside(shape, grid)
    x, y = _centres(grid)
    corner, along, across = _frame(shapely.minimum_rotated_rectangle(shape))
    x, y = np.broadcast_arrays(x[columns][None, :] - corner[0], y[rows][:, None] - corner[1])
    place = np.floor((x * along[0] + y * along[1])[inside] / stall_width).astype(np.int64)
    row = np.floor((x * across[0] + y * across[1])[inside] / stall_depth).astype(np.int64)
    _, number, pixels = np.unique(np.stack([row, place]), axis=1, return_inverse=True, return_counts=True)
    large = pixels * grid.pixel_area >= _LEAST_SHARE * size
    _few(int(large.sum()), zone.site)
    new = np.where(large, np.cumsum(large) - 1, SURROUNDINGS).astype(np.int16)
    cells[rows, columns][inside] = new[number.ravel()]
    area = pixels[large].astype(np.float64) * grid.pixel_area
    if capacity is not None:
        return Lot(name or zone.site, grid, cells, area, capacity, 0.0, corners, stall_rows)
    guess = float(area.sum()) / size
    return Lot(name or zone.site, grid, cells, area, guess, 0.3 * guess, corners, stall_rows)


def _row(shape: Any, grid: Grid) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Corners of the least rotated rectangle around a polygon, in pixels of the grid."""
    if grid.crs == PIXELS or grid.resolution > MOST_METRES:
        raise ArgumentError(
            f"rows of stalls at a resolution of {grid.resolution:g} {'pixels' if grid.crs == PIXELS else 'm'}",
            allowed=f"at most {MOST_METRES} m: vehicles must be some pixels wide",
        )
    a, _, c, _, e, f = grid.transform
    corners = np.asarray(need("shapely").minimum_rotated_rectangle(shape).exterior.coords, np.float64)[:4]
    return (corners - [c, f]) / [a, e]


def _few(count: int, site: str) -> None:
    if count > _MOST_CELLS:
        raise DataError(f"lot {site} has {count} cells", allowed=f"at most {_MOST_CELLS}", hint="cut it into parts")


def _centres(grid: Grid) -> tuple[Any, Any]:
    a, _, c, _, e, f = grid.transform
    return c + a * (np.arange(grid.width) + 0.5), f + e * (np.arange(grid.height) + 0.5)


def _inside(shape: Any, grid: Grid) -> tuple[slice, slice, Any]:
    """The window of the grid under a polygon's bounds, and which of its pixels have their centres inside."""
    x, y = _centres(grid)
    left, low, right, high = shape.bounds
    columns = slice(*np.searchsorted(x, [left, right]).tolist())
    falling = y if grid.transform[4] > 0 else -y
    ends = (low, high) if grid.transform[4] > 0 else (-high, -low)
    rows = slice(*np.searchsorted(falling, ends).tolist())
    inside = need("shapely").contains_xy(shape, x[columns][None, :], y[rows][:, None])
    return rows, columns, np.asarray(inside, bool)


def _frame(rectangle: Any) -> tuple[Any, Any, Any]:
    """A corner of the rectangle, and the directions of its longer and its shorter side."""
    corners = np.asarray(rectangle.exterior.coords)[:4]
    first = np.lexsort((corners[:, 1], corners[:, 0]))[0]
    corner, one, other = corners[first], corners[(first + 1) % 4], corners[(first + 3) % 4]
    along, across = one - corner, other - corner
    if math.hypot(*along) < math.hypot(*across):
        along, across = across, along
    return corner, along / math.hypot(*along), across / math.hypot(*across)
