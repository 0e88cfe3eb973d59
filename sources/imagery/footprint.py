"""Where on the globe a scene lies, and whether a zone may be seen in it."""

from functools import lru_cache
from typing import Any

import numpy as np

from sources.extras import need
from sources.imagery.grid import transformer
from sources.imagery.scene import Scene, finite
from sources.imagery.zones import LONGITUDE_LATITUDE, PIXELS, Zone

_LONGITUDES, _CORNERS, _SOLID = 2, 4, 6


def footprint(geometry: object, bounds: object = None) -> str | None:
    """A GeoJSON geometry in longitude and latitude as WKT, else its bounding box; None where neither can be read.

    A ring that jumps from one side of the antimeridian to the other is taken around the short way: its longitudes go on
    beyond 180. So is a box whose west is greater than its east (RFC 7946, 5.2).
    """
    shapely = need("shapely")
    if isinstance(geometry, dict):
        try:
            shape = shapely.force_2d(shapely.geometry.shape(geometry))
            if shape.geom_type in {"Polygon", "MultiPolygon"} and not shape.is_empty:
                whole = _unwrapped(shape)
                return str((whole if whole.is_valid else shapely.make_valid(whole)).wkt)
        except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, AttributeError, IndexError):
            pass
    numbers = [finite(each) for each in bounds] if isinstance(bounds, list | tuple) else []
    corners = numbers if len(numbers) == _CORNERS else numbers[:2] + numbers[3:5] if len(numbers) == _SOLID else []
    if not corners or None in corners:
        return None
    west, south, east, north = (each for each in corners if each is not None)
    return str(shapely.box(west, south, east + 360 if east < west else east, north).wkt)


def _unwrapped(shape: Any) -> Any:
    """Rings whose longitudes jump by more than half the globe, taken the short way."""
    shapely = need("shapely")

    def ring(points: Any) -> Any:
        moved = np.array(points.coords, dtype=np.float64)
        steps = np.diff(moved[:, 0])
        moved[1:, 0] -= 360 * np.cumsum(np.round(steps / 360))
        return moved

    parts = [
        shapely.Polygon(ring(part.exterior), [ring(hole) for hole in part.interiors])
        for part in shapely.get_parts(shape)
    ]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def may_show(scene: Scene, zone: Zone) -> bool:
    """Whether a zone may be seen in a scene: False only where its site is another or its footprint lies elsewhere.

    A footprint is coarse: what it holds may still lie beyond the image, which `raster.read` tells as `outside`.
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
    return any(seen.intersects(shapely.box(left + turn, low, right + turn, high)) for turn in (0, 360, -360))


@lru_cache(maxsize=4096)
def _shape(text: str) -> Any:
    return need("shapely").from_wkt(text)
