"""Where on the globe a scene lies, and whether a zone may be seen in it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from sources.extras import need
from sources.imagery.antimeridian import jumps, unwrapped
from sources.imagery.grid import transformer
from sources.imagery.scene import Scene, finite
from sources.imagery.zones import LONGITUDE_LATITUDE, PIXELS, Zone

_CORNERS, _SOLID = 4, 6
_BESIDE = 0.1


def footprint(geometry: object, bounds: object = None) -> str | None:
    """A GeoJSON geometry in longitude and latitude as WKT, else its bounding box; None where neither can be read.

    A ring that jumps from one side of the antimeridian to the other is taken around the short way, beyond 180 degrees,
    if the box has a west greater than its east (RFC 7946, 5.2); else nobody can tell it from one that is wider than
    half the globe, and it counts as both: a scene must not be passed over. Coordinates that are none of the globe, such
    as metres, are not read.
    """
    shapely = need("shapely")
    corners = _corners(bounds)
    if isinstance(geometry, dict):
        try:
            shape = shapely.force_2d(shapely.geometry.shape(geometry))
            if shape.geom_type in {"Polygon", "MultiPolygon"} and not shape.is_empty:
                short = unwrapped(shape)
                crossing = len(corners) == _CORNERS and corners[0] > corners[2]
                whole = [shape, short] if jumps(shape) and not crossing else [short]
                if _on_globe(shape.bounds):
                    return str(shapely.union_all([shapely.make_valid(one) for one in whole]).wkt)
        except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, AttributeError, IndexError):
            pass
    if not corners or not _on_globe(corners):
        return None
    west, south, east, north = corners
    return str(shapely.box(west, south, east + 360 if east < west else east, north).wkt)


def _on_globe(bounds: Sequence[float]) -> bool:
    west, south, east, north = bounds
    return -360 <= west <= 360 and -360 <= east <= 360 and -90 <= south <= north <= 90


def _corners(bounds: object) -> list[float]:
    """West, south, east and north of a box of two or three dimensions; nothing where it is none."""
    numbers = [finite(each) for each in bounds] if isinstance(bounds, list | tuple) else []
    corners = numbers if len(numbers) == _CORNERS else numbers[:2] + numbers[3:5] if len(numbers) == _SOLID else []
    told = [each for each in corners if each is not None]
    return told if len(told) == _CORNERS else []


def may_show(scene: Scene, zone: Zone) -> bool:
    """Whether a zone may be seen in a scene: False only where its site is another or its footprint lies elsewhere.

    A footprint is coarse: a tenth of a degree beside it still counts as in it, and what lies in it may still lie beyond
    the image, which `raster.read` tells as `outside`.
    """
    if scene.site is not None and scene.site != zone.site:
        return False
    if scene.footprint is None or zone.crs == PIXELS:
        return True
    shapely = need("shapely")
    seen = _shape(scene.footprint)
    left, low, right, high = zone.geometry.bounds
    if zone.crs != LONGITUDE_LATITUDE:
        left, low, right, high = transformer(zone.crs, LONGITUDE_LATITUDE).transform_bounds(left, low, right, high)
        # pyproj tells a box across the antimeridian by a west that is greater than its east
        right += 360 if right < left else 0
    if not np.isfinite([left, low, right, high]).all():
        return True
    left, low, right, high = left - _BESIDE, low - _BESIDE, right + _BESIDE, high + _BESIDE
    return any(seen.intersects(shapely.box(left + turn, low, right + turn, high)) for turn in (0, 360, -360))


@lru_cache(maxsize=4096)
def _shape(text: str) -> Any:
    return need("shapely").from_wkt(text)
