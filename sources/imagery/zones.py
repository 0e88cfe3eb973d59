"""Zones: the polygons, of lots or districts, whose pixels are read."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from gpu_kernels.errors import ConfigError, DataError, one_line
from sources.clocks import read_clock
from sources.extras import need
from sources.imagery.antimeridian import unwrapped
from sources.imagery.scene import SetAside

PIXELS = "pixels"
LONGITUDE_LATITUDE = "EPSG:4326"
NO_GEOMETRY = "no_geometry"
NO_AREA = "no_area"
BAD_GEOMETRY = "bad_geometry"
NO_ID = "no_id"
DUPLICATE_ID = "duplicate_id"
OUT_OF_RANGE = "out_of_range"
BAD_VALIDITY = "bad_validity"
_SUFFIXES = (".geojson", ".json", ".gpkg", ".shp", ".fgb")
_WKT = ("geometry", "wkt", "WKT", "geom", "the_geom")


@dataclass(frozen=True, slots=True)
class Zone:
    """One place.

    site        its id, unique at any time; of several periods of one site each is a zone of its own
    geometry    shapely Polygon or MultiPolygon; holes are kept
    crs         of its coordinates, e.g. EPSG:4326; `pixels`: columns and rows of an image without georeference, the
                upper left corner of the upper left pixel being (0, 0), rows counted downwards
    valid_from, valid_to  in nanoseconds UTC, the latter excluded; None: since or for ever
    """

    site: str
    geometry: Any
    crs: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    valid_from: int | None = None
    valid_to: int | None = None

    def valid_at(self, time: int) -> bool:
        return (self.valid_from is None or self.valid_from <= time) and (self.valid_to is None or time < self.valid_to)


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones of a file in its order, what was set aside and why, and how many polygons were repaired."""

    zones: list[Zone]
    set_aside: list[SetAside]
    repaired: int


def read_zones(
    path: Path,
    *,
    site: str | None = None,
    crs: str | None = None,
    layer: str | None = None,
    valid_from: str | None = None,
    valid_to: str | None = None,
    timezone: str = "UTC",
    parts: bool = False,
) -> Zones:
    """The polygons of a GeoJSON, GeoPackage, Shapefile or FlatGeobuf file, or of a CSV file with a column of WKT.

    site      the column of ids; None: `site`, `id` or `name`, whichever is first there, else the row's number from 0
    crs       of a file that says none; `pixels` for an image without georeference. GeoJSON is EPSG:4326 (RFC 7946)
              unless it says otherwise by the older `crs` member
    layer     of a GeoPackage that holds several
    valid_from, valid_to  columns of times between which the zone stands, in `timezone` where they have no offset
    parts     whether each part of a MultiPolygon is a zone of its own: site/0, site/1, ...

    A polygon of longitudes and latitudes that crosses the antimeridian goes on beyond 180 degrees.
    An invalid polygon (a bow tie, a ring that touches itself) is repaired by shapely's make_valid and counted; what
    else it gives, such as lines, is left out. Set aside: no or an unreadable geometry, no area, a point or line, an
    empty id, a second zone of one id whose period overlaps the first one's, longitudes and latitudes out of range, a
    validity that is no time or ends before it begins.
    Raises DataError for a file that cannot be read, ConfigError for a missing column or CRS.
    """
    geometries, table, told = read_geometries(path, layer)
    found_crs = crs_of(path, told, crs)
    ids = _ids(path, table, site, len(geometries))
    since, problems_since = _times(path, table, valid_from, timezone, len(ids))
    until, problems_until = _times(path, table, valid_to, timezone, len(ids))
    zones: list[Zone] = []
    aside: list[SetAside] = []
    periods: dict[str, list[Zone]] = {}
    repaired = 0
    rows = table.to_dicts() if table.width else [{} for _ in ids]
    for row, (name, raw) in enumerate(zip(ids, geometries, strict=True)):
        label = name or f"row {row}"
        geometry, reason, mended = _polygon(raw, found_crs)
        bad_time = problems_since[row] or problems_until[row]
        start, end = since[row], until[row]
        if name is None:
            reason, detail = NO_ID, ""
        elif reason is not None:
            detail = "" if raw is None else str(getattr(raw, "geom_type", raw))[:50]
        elif bad_time or (start is not None and end is not None and end <= start):
            reason, detail = BAD_VALIDITY, bad_time or "it ends before it begins"
        if reason is not None:
            aside.append(SetAside(label, reason, detail))
            continue
        repaired += mended
        pieces = list(geometry.geoms) if parts and geometry.geom_type == "MultiPolygon" else [geometry]
        for number, piece in enumerate(pieces):
            own = f"{name}/{number}" if len(pieces) > 1 else str(name)
            zone = Zone(own, piece, found_crs, rows[row], start, end)
            if any(_overlap(zone, other) for other in periods.get(own, [])):
                aside.append(SetAside(own, DUPLICATE_ID, f"row {row}: another zone of this id stands at the same time"))
                continue
            periods.setdefault(own, []).append(zone)
            zones.append(zone)
    return Zones(zones, aside, repaired)


def read_geometries(path: Path, layer: str | None) -> tuple[list[Any], pl.DataFrame, str | None]:
    """Geometries (shapely, None, or text that is no WKT), the other columns, and the CRS that the file says.

    Raises DataError for a file that cannot be read, ConfigError where it holds several layers and none is named.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file", hint="check the path, and the variables in it")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes)", hint="fetch the file again")
    if path.suffix.lower() in {".csv", ".txt", ".tsv"}:
        return _read_wkt(path)
    pyogrio = need("pyogrio")
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"{path} is no file of polygons that is read here", allowed=", ".join([*_SUFFIXES, ".csv"]))
    try:
        known = [name for name, _ in pyogrio.list_layers(path)]
        if layer is None and len(known) > 1:
            raise ConfigError(f"{path} holds {len(known)} layers", allowed=", ".join(known), hint="write `layer`")
        meta, _, wkb, columns = pyogrio.raw.read(path, layer=layer)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {one_line(error)}", hint="fetch the file again") from error
    shapely = need("shapely")
    if wkb is None:
        raise DataError(f"{path} has no geometries", allowed="polygons")
    geometries = list(shapely.from_wkb(wkb, on_invalid="ignore"))
    fields = zip(meta["fields"], columns, strict=True)
    table = pl.DataFrame({str(name): pl.Series(column.tolist(), strict=False) for name, column in fields})
    return geometries, table, meta["crs"]


def _read_wkt(path: Path) -> tuple[list[Any], pl.DataFrame, str | None]:
    shapely = need("shapely")
    try:
        table = pl.read_csv(path, infer_schema=False, separator="\t" if path.suffix.lower() == ".tsv" else ",")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} cannot be read: {one_line(error)}", allowed="CSV with a column of WKT") from error
    column = next((name for name in _WKT if name in table.columns), None)
    if column is None:
        raise DataError(
            f"{path} has no column of WKT; it has {', '.join(table.columns)}", allowed=f"one called {', '.join(_WKT)}"
        )
    geometries: list[Any] = []
    for text in table[column].to_list():
        try:
            geometries.append(shapely.from_wkt(text) if text and text.strip() else None)
        except (shapely.errors.GEOSException, ValueError):
            geometries.append(text)
    return geometries, table.drop(column), None


def crs_of(path: Path, told: str | None, crs: str | None) -> str:
    """The CRS in short: an authority's code where there is one, else WKT. `told` is what the file says, `crs` what the
    config does. Raises ConfigError where neither says one that is known, or they contradict each other."""
    if crs == PIXELS:
        return PIXELS
    pyproj = need("pyproj")
    text = told or crs
    if text is None and path.suffix.lower() in {".geojson", ".json"}:
        text = LONGITUDE_LATITUDE
    if text is None:
        raise ConfigError(f"{path} does not say its CRS", hint="write crs: EPSG:<code>, or crs: pixels")
    try:
        found = pyproj.CRS.from_user_input(text).to_2d()
        stated = pyproj.CRS.from_user_input(crs) if crs is not None else found
    except pyproj.exceptions.CRSError as error:
        raise ConfigError(
            f"crs {str(crs or text)[:60]!r} is none that PROJ knows", allowed="EPSG:<code> or WKT"
        ) from error
    # a GeoJSON reader says EPSG:4326 where the file says nothing
    silent = path.suffix.lower() in {".geojson", ".json"} and found.to_epsg() == 4326
    if crs is not None and not found.equals(stated, ignore_axis_order=True):
        if not (silent and not _says_crs(path)):
            raise ConfigError(f"{path} says {told}, the config crs: {crs}", hint="leave `crs` out, or mend the file")
        found = stated
    code = found.to_authority(min_confidence=100)
    return ":".join(code) if code else str(found.to_wkt())


def _says_crs(path: Path) -> bool:
    with open(path, "rb") as stream:
        return re.search(rb'"crs"\s*:\s*\{', stream.read(2**16)) is not None


def _ids(path: Path, table: pl.DataFrame, site: str | None, count: int) -> list[str | None]:
    if site is not None and site not in table.columns:
        raise ConfigError(
            f"{path} has no column {site!r}", allowed=", ".join(table.columns) or "none: leave `site` out"
        )
    column = site or next((name for name in ("site", "id", "name") if name in table.columns), None)
    if column is None:
        return [str(row) for row in range(count)]
    return [_name(value) for value in table[column].to_list()]


def _name(value: object) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    # integers of a column with gaps come as floats
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return text or None


def _times(
    path: Path, table: pl.DataFrame, column: str | None, timezone: str, count: int
) -> tuple[list[int | None], list[str | None]]:
    if column is None:
        return [None] * count, [None] * count
    if column not in table.columns:
        raise ConfigError(f"{path} has no column {column!r}", allowed=", ".join(table.columns))
    values = table[column]
    if values.dtype == pl.Null:  # no zone has one
        return [None] * count, [None] * count
    clock = read_clock(values, timezone=timezone)
    empty = [value is None or value == "" for value in values.to_list()]
    problems = [None if none else problem for none, problem in zip(empty, clock["problem"].to_list(), strict=True)]
    return clock["time"].to_physical().to_list(), problems


def _polygon(raw: Any, crs: str) -> tuple[Any, str | None, bool]:
    """A valid Polygon or MultiPolygon, or why there is none; and whether it had to be repaired."""
    shapely = need("shapely")
    if raw is None or isinstance(raw, str):
        return None, NO_GEOMETRY if raw is None else BAD_GEOMETRY, False
    if raw.is_empty:
        return None, NO_GEOMETRY, False
    geometry = shapely.force_2d(raw)
    if crs == LONGITUDE_LATITUDE and geometry.geom_type in {"Polygon", "MultiPolygon"}:
        geometry = unwrapped(geometry)
    if not all(map(math.isfinite, geometry.bounds)):
        return None, BAD_GEOMETRY, False
    mended = not geometry.is_valid
    if mended:
        geometry = shapely.make_valid(geometry)
    # of a collection, as make_valid gives it, the parts may be collections themselves
    parts = shapely.get_parts(shapely.get_parts(geometry))
    areas = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
    if not areas:
        return None, NO_AREA, False
    geometry = areas[0] if len(areas) == 1 else shapely.MultiPolygon(areas)
    west, south, east, north = geometry.bounds
    # longitudes up to 360 are those of polygons that cross the antimeridian
    if crs == LONGITUDE_LATITUDE and not (west >= -360 and east <= 360 and south >= -90 and north <= 90):
        return None, OUT_OF_RANGE, False
    return geometry, None, mended


def _overlap(one: Zone, other: Zone) -> bool:
    before = one.valid_to is not None and other.valid_from is not None and one.valid_to <= other.valid_from
    after = other.valid_to is not None and one.valid_from is not None and other.valid_to <= one.valid_from
    return not (before or after)
