"""Lots to stores: which polygons belong to which site, by distance in metres, as zones that imagery is read over."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from gpu_kernels.errors import ArgumentError, DataError
from sources.extras import need
from sources.imagery.grid import metric_crs
from sources.imagery.scene import SetAside
from sources.imagery.zones import LONGITUDE_LATITUDE, PIXELS, Zone

SWAPPED = "swapped_coordinates"
_TIE = 0.01
"""Metres by which two distances may differ and still be a tie: a millimetre is below any survey, a metre is not."""
_AROUND = 1.0
_PAIRS = {
    "lot": pl.String(),
    "entity": pl.String(),
    "site": pl.String(),
    "distance_m": pl.Float64(),
    "sites": pl.Int64(),
    "weight": pl.Float64(),
    "area_m2": pl.Float64(),
}


@dataclass(frozen=True)
class LotJoin:
    """Lots and the sites that they belong to.

    pairs      lot, entity, site, distance_m (between the lot's nearest point and the site; 0 inside), sites (how many
               share the lot), weight (1 / sites), area_m2 of the lot; sorted by lot, entity and site
    unmatched  lots with no site within the distance
    set_aside  lots whose axes are swapped
    lots       the lots of the pairs, in longitude and latitude
    stores     the rows of the site table that were joined
    """

    pairs: pl.DataFrame
    unmatched: list[str]
    set_aside: list[SetAside]
    lots: dict[str, Any]
    stores: pl.DataFrame


def join_lots(
    lots: Sequence[Zone], stores: pl.DataFrame, *, distance: float = 100.0, share: Literal["nearest", "all"] = "nearest"
) -> LotJoin:
    """The sites to which lots belong.

    lots      polygons, each id once (sources.imagery.zones.read_zones, with `parts` where one geometry holds all)
    stores    rows of the site table, each (entity, site) once: what `sources.sites.sites_at` gives for a time
    distance  the farthest, in metres, that a lot may lie from its site: from the lot's edge to the site's point, or to
              its polygon where the table has one
    share     nearest: a lot belongs to the nearest site, and to all of them where several are equally near (to a
              centimetre); all: to every site within the distance

    Distances are planar in the UTM zone of each lot, right to a part in a thousand there. A lot that several sites
    share has a row for each, with equal weights that add up to 1, so that a count is not told twice.
    Set aside: lots that lie outside of the sites' bounds (by more than a degree) and inside with their axes swapped.

    Missing values: a lot without a site in reach has no row and is in `unmatched`.
    Raises DataError where there are no lots, no sites, or no lot lies within the distance of any (it tells the
    smallest), ArgumentError for lots in pixels, ids that stand twice, and a distance that is none.
    """
    if not (distance >= 0 and distance < 1e6):
        raise ArgumentError(f"distance {distance}", allowed="metres from 0 to 1,000,000")
    if twice := len(lots) - len({lot.site for lot in lots}):
        raise ArgumentError(f"{twice} lots have an id that another one has", allowed="each lot's id once")
    if stores.is_duplicated().any() or stores.select("entity", "site").is_duplicated().any():
        raise ArgumentError("the stores hold a site twice", hint="give those of one time: sources.sites.sites_at")
    if not lots or stores.is_empty():
        raise DataError(f"{len(lots)} lots and {stores.height} stores", allowed="at least one of each")
    if any(lot.crs == PIXELS for lot in lots):
        raise ArgumentError("lots in pixels of an image have no place on Earth", allowed="lots with a CRS")
    geopandas = need("geopandas")
    frame = _in_degrees(lots)
    swapped = _swapped(frame, stores)
    aside = [SetAside(lot, SWAPPED, "longitude and latitude are swapped") for lot in frame["lot"][swapped]]
    frame = frame[~swapped]
    points = _stores(stores)
    found, nearest = [], float("inf")
    for zone in sorted(set(frame["utm"])):
        here = frame[frame["utm"] == zone]
        places = _near(here, points, distance)
        if places.empty:
            nearest = min(nearest, _across(here, stores))
            continue
        own, places = here.to_crs(zone), places.to_crs(zone)
        # with the nearest one beyond the distance too, to tell how far it is
        joined = geopandas.sjoin_nearest(own, places, how="inner", distance_col="distance_m")
        nearest = min(nearest, joined["distance_m"].min() if len(joined) else nearest)
        if share == "all":
            joined = geopandas.sjoin(own, places, how="inner", predicate="dwithin", distance=distance)
            apart = places.geometry.loc[joined["index_right"]].reset_index(drop=True)
            joined["distance_m"] = joined.geometry.reset_index(drop=True).distance(apart).to_numpy()
        else:
            joined = _with_ties(joined, own, places)
        joined["area_m2"] = joined.geometry.area
        found.append(joined[["lot", "entity", "site", "distance_m", "area_m2"]])
    pairs = pl.concat([pl.DataFrame(part.to_dict("list")) for part in found]) if found else pl.DataFrame(schema=_PAIRS)
    pairs = pairs.filter(pl.col("distance_m") <= distance) if pairs.height else pairs
    if pairs.is_empty():
        told = f"the nearest is {nearest:,.0f} m away" if nearest < float("inf") else "all of them were set aside"
        raise DataError(
            f"none of {len(lots)} lots lies within {distance:g} m of one of {stores.height} stores: {told}",
            hint="allow a larger distance if that is right, or give lots of the stores' surroundings",
        )
    pairs = pairs.with_columns(sites=pl.len().over("lot").cast(pl.Int64)).with_columns(weight=1.0 / pl.col("sites"))
    pairs = pairs.select(_PAIRS.keys()).cast(_PAIRS).sort("lot", "entity", "site")  # type: ignore[arg-type]
    matched = set(pairs["lot"])
    shapes = dict(zip(frame["lot"], frame.geometry, strict=True))
    return LotJoin(
        pairs,
        [lot.site for lot in lots if lot.site in shapes and lot.site not in matched],
        aside,
        {lot: shape for lot, shape in shapes.items() if lot in matched},
        stores,
    )


def zones_of(join: LotJoin, *, of: Literal["site", "lot"] = "site") -> list[dict[str, Any]]:
    """The zones of a join as GeoJSON features in longitude and latitude.

    site  one zone for each site, of all its lots; properties site, entity, name, brand, lots, lot_ids, shared (how many
          of them other sites share), weight (of the area, the part that is the site's), area_m2, distance_m (of the
          farthest lot)
    lot   one zone for each lot and site; site is the lot's id (with ENTITY:SITE behind it where several share it), and
          properties entity, store, weight, sites, distance_m, area_m2

    valid_from and valid_to (ISO 8601, null where open) are those of the site's row.
    Raises DataError where two tickers' sites of one id would be one zone.
    """
    shapely = need("shapely")
    stores = {(one["entity"], one["site"]): one for one in join.stores.iter_rows(named=True)}
    made = []
    if of == "lot":
        for one in join.pairs.iter_rows(named=True):
            store = stores[one["entity"], one["site"]]
            own = one["lot"] if one["sites"] == 1 else f"{one['lot']}@{one['entity']}:{one['site']}"
            told = {"site": own, "entity": one["entity"], "store": one["site"], **_validity(store)}
            told |= {name: one[name] for name in ("weight", "sites", "distance_m", "area_m2")}
            made.append(_feature(join.lots[one["lot"]], told))
        return made
    ids = join.pairs.select("entity", "site").unique(maintain_order=True)
    if (twice := ids.filter(pl.col("site").is_duplicated())).height:
        name, owners = twice["site"][0], sorted(twice.filter(pl.col("site") == twice["site"][0])["entity"])
        raise DataError(
            f"site {name!r} is one of {' and one of '.join(owners)}, and a zone's id must be of one place",
            hint="join one ticker at a time (--entity), or make a zone of each lot (--of lot)",
        )
    for (entity, site), own in join.pairs.group_by("entity", "site", maintain_order=True):
        store, area = stores[entity, site], own["area_m2"]
        told = {"site": site, "entity": entity, "name": store["name"], "brand": store["brand"], **_validity(store)}
        told |= {
            "lots": own.height,
            "lot_ids": ",".join(own["lot"]),
            "shared": own.filter(pl.col("sites") > 1).height,
            "weight": float(np.average(own["weight"].to_numpy(), weights=area.to_numpy())),
            "area_m2": float(area.sum()),
            "distance_m": own["distance_m"].max(),
        }
        made.append(_feature(shapely.union_all([join.lots[lot] for lot in own["lot"]]), told))
    return made


def write_zones(features: list[dict[str, Any]], path: Path) -> None:
    """A GeoJSON file of zones, as `trifuse observe` reads them; it appears when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    filling = path.with_name(f".{path.name}.{os.getpid()}")
    filling.write_text(json.dumps({"type": "FeatureCollection", "features": features}, default=str) + "\n")
    os.replace(filling, path)


def _feature(shape: Any, told: dict[str, Any]) -> dict[str, Any]:
    rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in told.items()}
    return {"type": "Feature", "properties": rounded, "geometry": shape.__geo_interface__}


def _validity(store: dict[str, Any]) -> dict[str, str | None]:
    valid_from, valid_to = store["event_time"], store["valid_to"]
    return {
        "valid_from": valid_from.isoformat(),
        "valid_to": None if valid_to is None else valid_to.isoformat(),
    }


def _in_degrees(lots: Sequence[Zone]) -> Any:
    """The lots as a GeoDataFrame in longitude and latitude, with the CRS in metres of each."""
    import pandas

    geopandas = need("geopandas")
    parts = []
    for crs in dict.fromkeys(lot.crs for lot in lots):
        own = [lot for lot in lots if lot.crs == crs]
        frame = geopandas.GeoDataFrame(
            {"lot": [lot.site for lot in own]}, geometry=[lot.geometry for lot in own], crs=crs
        )
        parts.append(frame.to_crs(LONGITUDE_LATITUDE))
    frame = pandas.concat(parts, ignore_index=True)
    middles = zip(frame["lot"], frame.geometry, strict=True)
    frame["utm"] = [metric_crs(Zone(lot, shape, LONGITUDE_LATITUDE)) for lot, shape in middles]
    return frame


def _swapped(frame: Any, stores: pl.DataFrame) -> Any:
    """Which lots lie around the stores only when their axes are swapped."""
    bounds = frame.geometry.bounds
    x, y = (bounds["minx"] + bounds["maxx"]) / 2, (bounds["miny"] + bounds["maxy"]) / 2
    west, east = float(stores["longitude"].min()) - _AROUND, float(stores["longitude"].max()) + _AROUND  # type: ignore[arg-type]
    south, north = float(stores["latitude"].min()) - _AROUND, float(stores["latitude"].max()) + _AROUND  # type: ignore[arg-type]
    there = x.between(west, east) & y.between(south, north)
    return ~there & y.between(west, east) & x.between(south, north)


def _stores(stores: pl.DataFrame) -> Any:
    """Points of the sites, or their polygons where the table has them."""
    geopandas, shapely = need("geopandas"), need("shapely")
    shapes = [
        shapely.Point(one["longitude"], one["latitude"])
        if one["geometry"] is None
        else shapely.from_wkt(one["geometry"])
        for one in stores.iter_rows(named=True)
    ]
    told = {name: stores[name].to_list() for name in ("entity", "site")}
    return geopandas.GeoDataFrame(told, geometry=shapes, crs=LONGITUDE_LATITUDE)


def _near(lots: Any, points: Any, distance: float) -> Any:
    """The stores around lots, within the distance or a degree: others have no right place in the lots' UTM zone."""
    west, south, east, north = lots.total_bounds
    margin = _AROUND + distance / 50_000
    return points.cx[west - margin : east + margin, south - margin : north + margin]


def _across(lots: Any, stores: pl.DataFrame) -> float:
    """About how far, in metres on a sphere, the nearest store is from the middle of the first lot."""
    middle = lots.geometry.iloc[0].centroid
    lat, lon = np.radians(stores["latitude"].to_numpy()), np.radians(stores["longitude"].to_numpy())
    y, x = np.radians(middle.y), np.radians(middle.x)
    half = np.sin((lat - y) / 2) ** 2 + np.cos(lat) * np.cos(y) * np.sin((lon - x) / 2) ** 2
    return float(2 * 6_371_000 * np.arcsin(np.sqrt(half.min())))


def _with_ties(joined: Any, lots: Any, places: Any) -> Any:
    """The nearest site of each lot, and those that are as near but for _TIE."""
    geopandas = need("geopandas")
    nearest = joined.groupby("lot")["distance_m"].min()
    reach = lots.assign(nearest=lots["lot"].map(nearest))
    within = geopandas.sjoin(
        reach, places, how="inner", predicate="dwithin", distance=reach["nearest"].to_numpy() + _TIE
    )
    apart = places.geometry.loc[within["index_right"]].reset_index(drop=True)
    within["distance_m"] = within.geometry.reset_index(drop=True).distance(apart).to_numpy()
    return within
