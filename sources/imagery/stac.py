"""Scenes of STAC items of any version from 0.8 on (1.0.0-beta.1 to 1.1 are tested), read by pystac."""

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from gpu_kernels.errors import one_line
from sources.clocks import read_clock
from sources.extras import need
from sources.imagery.config import AssetOptions, StacScenes
from sources.imagery.footprint import footprint
from sources.imagery.href import place
from sources.imagery.known import Case, catalogue_warning, known_times
from sources.imagery.scene import NO_ASSET, Asset, Scene, Scenes, SetAside, finite, settle
from sources.imagery.stac_items import UNREADABLE_ITEM, RawItem, raw_items

NO_CAPTURE_TIME = "no_capture_time"
BAD_INTERVAL = "bad_interval"
_IMAGES = ("image/tiff", "image/vnd.stac.geotiff", "image/geo+tiff", "image/jp2", "image/x.geotiff")
_PICTURES = ("thumbnail", "overview", "metadata")
# what tells one version of a capture's processing from another, the first that is there
_VINTAGE = ("version", "processing:version", "s2:processing_baseline", "odc:dataset_version", "landsat:product_id")
# what tells one tile of a capture from another
_TILE = ("grid:code", "s2:mgrs_tile", "s2:tile_id", "odc:region_code", "landsat:wrs_path", "landsat:wrs_row")


@dataclass(frozen=True, slots=True)
class _Draft:
    """An item whose known time is not yet told."""

    raw: RawItem
    item: Any
    captured: int
    captured_end: int | None

    def look(self, name: str) -> object:
        """A property of the item, or by `asset.property` one of an asset."""
        if name in self.item.properties:
            return self.item.properties[name]
        asset, _, field = name.partition(".")
        found = self.item.assets.get(asset)
        return found.extra_fields.get(field) if found is not None and field else None


def scenes(options: StacScenes, variables: Mapping[str, str]) -> Scenes:
    """The scenes of STAC items.

    captured is `datetime`; where `start_datetime` and `end_datetime` stand beside it, it is known only after the later
    one; where `datetime` is null they are the interval of the capture. `created` and `updated` are when the catalogue's
    entry was written and are never read, unless the config's `known` names them, with a warning.
    nodata, scale, offset, gsd and unit are taken from `bands` (1.1), `raster:bands` or the asset, a CRS from proj:code,
    proj:epsg or proj:wkt2 for files that say none. `eo:cloud_cover` is kept as information only.
    An item that is a later processing of one capture (same platform, time, tile and collection) is a later vintage.

    Set aside with a reason: an item that is no JSON or not STAC, has no or an unreadable time, lacks a band that the
    config names, whose hrefs lead nowhere, out of their folder, or into the network without `remote`, that has no
    known time by the config's rule, or that `scene.settle` sets aside. An item without geometry is kept: it may show
    anything.
    Raises DataError where no file matches, an API does not answer, or for more than `max_items`.
    """
    found = Scenes()
    drafts = list(_drafts(raw_items(options, variables), found))
    cases = []
    for draft in drafts:
        end = draft.captured if draft.captured_end is None else draft.captured_end
        hrefs = [str(asset.href) for asset in draft.item.assets.values()]
        cases.append(Case(end, (str(draft.item.id), *hrefs), draft.look))
    for draft, told in zip(drafts, known_times(options.known, variables, cases), strict=True):
        if told.time is None:
            found.set_aside.append(SetAside(draft.item.id, told.reason, told.detail))
            continue
        assets = _assets(draft, options)
        if isinstance(assets, SetAside):
            found.set_aside.append(assets)
        else:
            found.scenes.append(_scene(draft, told.time, assets, options))
    if (warning := catalogue_warning(options.known)) is not None:
        found.warn(warning)
    return settle(found)


def _drafts(items: Iterable[RawItem | SetAside], found: Scenes) -> list[_Draft]:
    pystac = need("pystac")
    kept: list[tuple[RawItem, Any]] = []
    times: list[list[str | None]] = []
    for raw in items:
        if isinstance(raw, SetAside):
            found.set_aside.append(raw)
            continue
        # pystac refuses an item for a time that it cannot read, without saying so well: times are read here
        properties = raw.item.get("properties")
        own = dict(properties) if isinstance(properties, dict) else {}
        clocks = [own.get(name) for name in ("datetime", "start_datetime", "end_datetime")]
        plain = {**raw.item, "properties": {**own, "datetime": "2000-01-01T00:00:00Z"}}
        plain["properties"].pop("start_datetime", None)
        plain["properties"].pop("end_datetime", None)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                item = pystac.Item.from_dict(plain, migrate=True)
        except Exception as error:  # what others wrote may break pystac anywhere
            found.set_aside.append(SetAside(raw.source, UNREADABLE_ITEM, one_line(error)))
            continue
        kept.append((raw, item))
        times.append([clock if isinstance(clock, str) else None if clock is None else str(clock) for clock in clocks])
    columns = [_clock([row[column] for row in times]) for column in range(3)]
    drafts: list[_Draft] = []
    for row, (raw, item) in enumerate(kept):
        capture = _capture(times[row], [column[row] for column in columns])
        if isinstance(capture, str):
            reason, _, detail = capture.partition(": ")
            found.set_aside.append(SetAside(item.id, reason, detail))
        else:
            drafts.append(_Draft(raw, item, *capture))
    return drafts


def _clock(texts: list[str | None]) -> list[int | None]:
    clock = read_clock(pl.Series("time", texts, dtype=pl.String), timezone="UTC")
    ticks: list[int | None] = clock["time"].to_physical().to_list()
    return ticks


def _capture(texts: list[str | None], ticks: list[int | None]) -> tuple[int, int | None] | str:
    """Start and end of a capture in nanoseconds, or why there are none."""
    for name, text, tick in zip(("datetime", "start_datetime", "end_datetime"), texts, ticks, strict=True):
        if text is not None and tick is None:
            return f"unparsable_time: {name} is {text[:50]!r}"
    moment, start, end = ticks
    if moment is None:
        if start is None or end is None:
            return f"{NO_CAPTURE_TIME}: neither datetime nor both of start_datetime and end_datetime"
        return (start, end) if start <= end else f"{BAD_INTERVAL}: it ends before it begins"
    if start is not None and end is not None and start > end:
        return f"{BAD_INTERVAL}: it ends before it begins"
    return moment, end if end is not None and end > moment else None


def _assets(draft: _Draft, options: StacScenes) -> dict[str, Asset] | SetAside:
    """Our bands of an item, or why it has not got them."""
    item = draft.item
    chosen = options.assets or {key: AssetOptions() for key, asset in item.assets.items() if _is_image(asset)}
    assets: dict[str, Asset] = {}
    problems: list[SetAside] = []
    for name, told in chosen.items():
        key = _key(item, name, told)
        if key is None:
            has = ", ".join(list(item.assets)[:20]) or "none"
            problems.append(SetAside(item.id, NO_ASSET, f"no {told.asset or name!r}; it has {has}"))
            continue
        where = place(item.assets[key].href, draft.raw.base, draft.raw.roots, remote=options.remote)
        if where.reason:
            problems.append(SetAside(item.id, where.reason, f"{key}: {where.detail}"))
            continue
        made = _asset(item, key, name, told, where.href, where.remote)
        if made is None:
            problems.append(SetAside(item.id, NO_ASSET, f"{key} has no band {told.band!r}"))
        else:
            assets[name] = made
    # what the config names must be there; of an item whose assets it does not name, one is enough
    if problems and (options.assets or not assets):
        return problems[0]
    return assets or SetAside(item.id, NO_ASSET, "it has no image")


def _is_image(asset: Any) -> bool:
    kind = asset.media_type.split(";")[0].strip().lower() if isinstance(asset.media_type, str) else ""
    roles = asset.roles if isinstance(asset.roles, list) else []
    return kind in _IMAGES and not any(role in roles for role in _PICTURES)


def _key(item: Any, name: str, told: AssetOptions) -> str | None:
    """The key of an asset: as the config says, else our name for it, else the one whose only band is called so."""
    wanted = told.asset or name
    if wanted in item.assets:
        return wanted
    if told.asset is not None:
        return None
    named = [
        key
        for key, asset in item.assets.items()
        if _is_image(asset) and len(_bands(asset)) == 1 and wanted in _names(_bands(asset)[0])
    ]
    return named[0] if len(named) == 1 else None


def _bands(asset: Any) -> list[dict[str, Any]]:
    """What an asset says of its bands: `bands` of 1.1, else eo:bands and raster:bands side by side."""
    fields = asset.extra_fields
    lists = [one for name in ("eo:bands", "raster:bands", "bands") if isinstance(one := fields.get(name), list)]
    bands: list[dict[str, Any]] = [{} for _ in range(max(map(len, lists), default=0))]
    for told in lists:
        for band, fields in zip(bands, told, strict=False):
            band.update(fields if isinstance(fields, dict) else {})
    return bands


def _names(band: dict[str, Any]) -> list[object]:
    return [band[name] for name in ("name", "common_name", "eo:common_name") if name in band]


def _asset(item: Any, key: str, name: str, told: AssetOptions, href: str, remote: bool) -> Asset | None:
    """The asset, the config's words before the item's; None where the item does not know the band by that name."""
    asset = item.assets[key]
    bands = _bands(asset)
    number = told.band
    if isinstance(number, str):
        called = [place for place, band in enumerate(bands, start=1) if number in _names(band)]
        if len(called) != 1:
            return None
        number = called[0]
    number = number or 1
    band = bands[number - 1] if number <= len(bands) else {}

    def said(*names: str) -> object:
        return next((source[each] for source in (band, asset.extra_fields) for each in names if each in source), None)

    unit = said("unit", "raster:unit")
    return Asset(
        href,
        number,
        _nodata(said("nodata", "raster:nodata")) if told.nodata is None else told.nodata,
        finite(said("raster:scale", "scale")) if told.scale is None else told.scale,
        finite(said("raster:offset", "offset")) if told.offset is None else told.offset,
        told.crs or _crs(asset.extra_fields) or _crs(item.properties),
        told.alpha,
        remote,
        told.unit or (unit if isinstance(unit, str) else None),
        finite(said("gsd", "raster:spatial_resolution")) or finite(item.properties.get("gsd")),
        told.bounds,
        told.overviews,
    )


def _nodata(value: object) -> float | None:
    """A number, or one of the words nan, inf and -inf."""
    if isinstance(value, str) and value.strip().lower() in {"nan", "inf", "-inf"}:
        return float(value)
    if isinstance(value, float) and math.isnan(value):
        return value
    return finite(value)


def _crs(fields: Mapping[str, Any]) -> str | None:
    code, number, text = fields.get("proj:code"), fields.get("proj:epsg"), fields.get("proj:wkt2")
    if isinstance(code, str) and code:
        return code
    if isinstance(number, int) and not isinstance(number, bool):
        return f"EPSG:{number}"
    return text if isinstance(text, str) and text else None


def _scene(draft: _Draft, known: int, assets: dict[str, Asset], options: StacScenes) -> Scene:
    item, properties = draft.item, draft.item.properties
    instruments = properties.get("instruments")
    sensor = "+".join(map(str, instruments)) if isinstance(instruments, list) else properties.get("sensor")
    licence = properties.get("license")
    return Scene(
        str(item.id),
        draft.captured,
        known,
        assets,
        draft.captured_end,
        platform=_text(properties.get("platform")),
        sensor=options.sensor or _text(sensor),
        gsd=options.gsd or finite(properties.get("gsd")),
        crs=_crs(properties),
        footprint=footprint(draft.raw.item.get("geometry"), draft.raw.item.get("bbox")),
        cloud_cover=finite(properties.get("eo:cloud_cover")),
        licence=options.licence or _text(licence) or draft.raw.licence,
        vintage=next((str(properties[name]) for name in _VINTAGE if properties.get(name)), ""),
        capture_key=_capture_key(draft),
    )


def _capture_key(draft: _Draft) -> str:
    """The same for all processings of one capture: platform, time, collection, and tile, by its code or its bounds."""
    properties = draft.item.properties
    tile = [str(properties[name]) for name in _TILE if properties.get(name) is not None]
    bounds = draft.raw.item.get("bbox")
    if not tile and isinstance(bounds, list):
        tile = [f"{number:.2f}" for number in bounds if finite(number) is not None]
    parts = [properties.get("platform"), draft.captured, draft.captured_end, draft.raw.item.get("collection"), *tile]
    return "|".join(map(str, parts)) if tile else ""


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
