"""Polygons across the antimeridian, of longitude and latitude."""

from typing import Any

import numpy as np

from sources.extras import need


def unwrapped(shape: Any) -> Any:
    """A Polygon or MultiPolygon in one piece of longitudes, which may go beyond 180.

    A ring that jumps by more than half the globe from one corner to the next is taken around the short way; parts on
    both sides of the antimeridian, as RFC 7946 (3.1.9) wants them, are brought to one side, where that makes the whole
    narrower. Any other shape is as it was.
    """
    shapely = need("shapely")
    parts = [_ring_by_ring(part) for part in shapely.get_parts(shape)]
    west = min(part.bounds[0] for part in parts)
    if max(part.bounds[2] for part in parts) - west > 180:
        moved = [_moved(part, 360) if part.bounds[2] <= 0 else part for part in parts]
        if _width(moved) < _width(parts):
            parts = moved
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def jumps(shape: Any) -> bool:
    """Whether a ring jumps by more than half the globe from one corner to the next."""
    parts = need("shapely").get_parts(shape)
    return any(np.abs(np.diff(np.array(part.exterior.coords)[:, 0])).max() > 180 for part in parts)


def _ring_by_ring(polygon: Any) -> Any:
    shapely = need("shapely")
    rings = [_short_way(ring) for ring in (polygon.exterior, *polygon.interiors)]
    middle = rings[0][:, 0].mean()
    # a hole on the other side belongs to where the outer ring went
    holes = [hole + np.array([360 * np.round((middle - hole[:, 0].mean()) / 360), 0]) for hole in rings[1:]]
    # a box around the whole globe has no short way
    return shapely.Polygon(rings[0], holes) if np.ptp(rings[0][:, 0]) > 0 else polygon


def _short_way(ring: Any) -> Any:
    points = np.array(ring.coords, dtype=np.float64)[:, :2]
    points[1:, 0] -= 360 * np.cumsum(np.round(np.diff(points[:, 0]) / 360))
    return points


def _moved(part: Any, turn: float) -> Any:
    return need("shapely").transform(part, lambda points: points + np.array([turn, 0]))


def _width(parts: list[Any]) -> float:
    return float(max(part.bounds[2] for part in parts) - min(part.bounds[0] for part in parts))
