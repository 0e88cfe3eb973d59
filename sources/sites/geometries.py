"""Sites as files of geometries (GeoJSON, GeoPackage, Shapefile, FlatGeobuf) and as columns of WKT."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from gpu_kernels.errors import ConfigError
from sources.extras import need
from sources.imagery.grid import transformer
from sources.imagery.zones import LONGITUDE_LATITUDE, PIXELS, crs_of, read_geometries

GEOMETRY = "geometry"
BAD_GEOMETRY = "bad_geometry"
_PLACE = ("latitude", "longitude")
_SUFFIXES = {".geojson", ".gpkg", ".shp", ".fgb"}


def of_geometries(path: Path) -> bool:
    """Whether a file is one of geometries, by its name."""
    return path.suffix.lower() in _SUFFIXES


def geometries(path: Path, crs: str | None = None, layer: str | None = None) -> pl.DataFrame:
    """The features of a file of geometries as a frame of named columns, with `_line` (the number of the feature from 1)
    and `_problem`, as sources.readers.records gives lines: its attributes, and

    geometry             polygons as WKT in longitude and latitude; null for points
    latitude, longitude  of a point, or of a point inside a polygon; null where a feature has no geometry

    crs    of a file that tells none; layer  of a GeoPackage that holds several

    Raises DataError for a file that cannot be read, ConfigError for one without a CRS.
    """
    found, table, told = read_geometries(path, layer)
    own_crs = crs_of(path, told, crs)
    if own_crs == PIXELS:
        raise ConfigError(f"{path}: sites in pixels are nowhere", allowed="crs: EPSG:<code>")
    places = _places(found, own_crs)
    own = [name for name in (GEOMETRY, *_PLACE) if name in table.columns]
    return pl.concat([table.drop(own), places], how="horizontal").with_columns(
        _line=pl.int_range(1, places.height + 1, dtype=pl.Int64)
    )


def of_wkt(text: pl.Series, crs: str | None) -> pl.DataFrame:
    """A column of WKT as geometry, latitude, longitude and `_problem`, as `geometries`. An empty cell has none."""
    shapely = need("shapely")
    found: list[Any] = []
    for cell in text.to_list():
        try:
            found.append(shapely.from_wkt(cell) if cell else None)
        except (shapely.errors.GEOSException, ValueError):
            found.append(cell)
    return _places(found, crs or LONGITUDE_LATITUDE)


def features(path: Path, lines: list[int]) -> dict[int, str]:
    """The attributes of the given features (1-based) as JSON."""
    rows = read_geometries(path, None)[1].to_dicts() if lines else []
    return {line: json.dumps(rows[line - 1], default=str) for line in lines if line <= len(rows)}


def _places(found: list[Any], crs: str) -> pl.DataFrame:
    shapely = need("shapely")
    change = None if crs == LONGITUDE_LATITUDE else transformer(crs, LONGITUDE_LATITUDE)
    rows: list[tuple[str | None, float | None, float | None, str | None]] = []
    for raw in found:
        if raw is None or isinstance(raw, str) or raw.is_empty:
            rows.append((None, None, None, BAD_GEOMETRY if isinstance(raw, str) else None))
            continue
        shape = shapely.force_2d(raw)
        if change is not None:
            shape = shapely.transform(shape, change.transform, interleaved=False)
        point = shape if shape.geom_type == "Point" else shapely.point_on_surface(shape)
        text = None if shape.geom_type == "Point" else shape.wkt
        rows.append((text, point.y, point.x, None))
    schema = {GEOMETRY: pl.String(), "latitude": pl.Float64(), "longitude": pl.Float64(), "_problem": pl.String()}
    return pl.DataFrame(rows, schema=schema, orient="row")
