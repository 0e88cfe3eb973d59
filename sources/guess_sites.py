"""Lists of sites for `describe`: what their columns are, and the YAML that would read them."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from sources.readers.site_file import DAY_IN_NAME
from sources.sites.days import read_days

_LATITUDE = ("latitude", "lat", "y", "lat_dd", "geo_lat", "ycoord")
_LONGITUDE = ("longitude", "lon", "lng", "long", "x", "lon_dd", "geo_lon", "geo_lng", "xcoord")
_SITE = (
    *("site", "site_id", "siteid", "store_id", "storeid", "storenum", "store_num", "store_number", "storenumber"),
    *(
        "store_no",
        "store",
        "location_id",
        "locationid",
        "location_number",
        "clientkey",
        "branch_id",
        "poi_id",
        "safegraph_place_id",
    ),
    *("placekey", "facility_id", "plant_id", "warehouse_id", "unit_id", "id", "key", "number"),
)
_ENTITY = ("ticker", "entity", "symbol")
_BRAND = ("brand", "banner", "chain", "brands", "operator", "parent")
_NAME = ("name", "store_name", "storename", "site_name", "location_name", "facility_name", "vanityname")
_REGION = ("region", "state", "state_code", "st", "strstate", "province", "admin1", "county_fips", "region_code")
_KNOWN = ("known_time", "available_time", "received", "delivered", "ingested_at")
_SNAPSHOT = (
    "snapshot",
    "snapshot_date",
    "updated",
    "as_of",
    "asof",
    "scraped",
    "scraped_at",
    "extract_date",
    "list_date",
)
_OPENED = re.compile(r"open|commence|start_?date|valid_from")
_CLOSED = re.compile(r"clos(ed|ing|e)|end_?date|valid_to|shut")
_FORMATS = (None, "%m/%d/%y", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y%m%d", "%Y/%m/%d", "%m-%d-%Y")
_NO_DAYS = "no days"
_MEASURED = {"value", "event_time", "timestamp"}
_READ = 0.95
_BRANDS = 20
_STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR "
    "PA PR RI SC SD TN TX UT VT VA WA WV WI WY GU VI"
)


def guess_sites(
    path: Path, rows: pl.DataFrame, columns: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[str]] | None:
    """The entry of a config that would read a list of sites, and the options that a person must look at; None for a
    file that looks like none: it has no column of latitudes, of longitudes, or of values that are told apart."""
    lower = {column["name"].lower(): column["name"] for column in columns}
    kinds = {column["name"]: column["type"] for column in columns}
    latitude, longitude = (_named(names, lower) for names in (_LATITUDE, _LONGITUDE))
    if latitude is None or longitude is None or {kinds[latitude], kinds[longitude]} != {"number"}:
        return None
    # with values or moments it is measurements somewhere, and no list
    site = None if _MEASURED & set(lower) else _site(rows, lower, {latitude, longitude})
    if site is None or rows.is_empty():
        return None
    mapping = {"site": site, "latitude": latitude, "longitude": longitude}
    entry: dict[str, Any] = {"kind": "site_file", "files": str(path), "timezone": "America/New_York"}
    days = {name: form for name in rows.columns if (form := _day_format(rows[name])) != _NO_DAYS}
    clocks = _clocks(lower, days)
    mapping |= clocks
    for name, found in (("name", _named(_NAME, lower)), ("region", _region(rows, lower))):
        if found is not None and found not in mapping.values():
            mapping[name] = found
    entry |= _owner(rows, lower, mapping)
    entry["columns"] = {name: column for name, column in mapping.items() if name != column or name in clocks}
    formats = {days[column] for column in clocks.values()} - {None}
    entry |= {"time_format": formats.pop()} if len(formats) == 1 else {}
    entry |= _known(path, clocks)
    if "region" in mapping and _us_states(rows[mapping["region"]]):
        entry["region_prefix"] = "US-"
    return entry, ["timezone", "columns", "tickers", "entity", "time_format", "lag", "snapshot"]


def _clocks(lower: dict[str, str], days: dict[str, str | None]) -> dict[str, str]:
    """The columns of days that say when a site opened and closed, and when that was known."""
    of_days = {low: name for low, name in lower.items() if name in days}
    found = {
        "opened": next((name for low, name in of_days.items() if _OPENED.search(low)), None),
        "closed": next((name for low, name in of_days.items() if _CLOSED.search(low)), None),
        "known_time": _named(_KNOWN, of_days),
    }
    if found["known_time"] is None:
        found["snapshot"] = _named(_SNAPSHOT, of_days)
    return {name: column for name, column in found.items() if column is not None}


def _owner(rows: pl.DataFrame, lower: dict[str, str], mapping: dict[str, str]) -> dict[str, Any]:
    """What tells the tickers; a column of them, or of brands, goes into the mapping."""
    entity, brand = _named(_ENTITY, lower), _named(_BRAND, lower)
    if entity is not None:
        mapping["entity"] = entity
        return {}
    if brand is not None and 0 < len(brands := _values(rows[brand])) <= _BRANDS:
        mapping["brand"] = brand
        return {"tickers": dict.fromkeys(brands, "TICKER")}
    return {"entity": "NAME"}


def _known(path: Path, clocks: dict[str, str]) -> dict[str, Any]:
    """The rule of known_time, where no column tells it."""
    if "known_time" in clocks or "snapshot" in clocks:
        return {}
    if DAY_IN_NAME.search(path.name):
        return {"snapshot": "file_name"}
    if "opened" in clocks:
        return {"lag": "30d"}
    return {"snapshot": datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()}


def _region(rows: pl.DataFrame, lower: dict[str, str]) -> str | None:
    """A column of states by their letters before one that only bears the name, as codes of statistics do."""
    named = [lower[name] for name in _REGION if name in lower]
    return next((name for name in named if _us_states(rows[name])), named[0] if named else None)


def _named(names: tuple[str, ...], lower: dict[str, str]) -> str | None:
    return next((lower[name] for name in names if name in lower), None)


def _values(column: pl.Series) -> list[str]:
    text = column.cast(pl.String).str.strip_chars()
    return text.filter(text != "").unique().sort().to_list()


def _site(rows: pl.DataFrame, lower: dict[str, str], place: set[str]) -> str | None:
    """The column that tells the sites apart: by its name, else one of distinct values that is called so in part."""
    distinct = [name for name in rows.columns if name not in place and _apart(rows[name])]
    if (named := _named(_SITE, {low: name for low, name in lower.items() if name in distinct})) is not None:
        return named
    if (named := _named(_SITE, lower)) is not None and named not in place:
        return named  # some stand twice, which the ingest tells
    words = re.compile(r"(^|_)(id|no|num|number|key|code)$|id$|num$")
    return next((name for name in distinct if words.search(name.lower())), distinct[0] if distinct else None)


def _apart(column: pl.Series) -> bool:
    return column.dtype not in (pl.List, pl.Float64) and column.null_count() == 0 and column.is_unique().all()


def _day_format(column: pl.Series) -> str | None:
    """The `time_format` with which nearly all values are days, None where none is needed; else _NO_DAYS."""
    if column.dtype.is_temporal():
        return None
    if column.dtype != pl.String:
        return _NO_DAYS
    text = column.str.strip_chars()
    text = text.filter(text.fill_null("") != "").head(1000)
    if text.is_empty() or not text.str.contains(r"\d").all():
        return _NO_DAYS
    for form in _FORMATS:
        if form == "%Y%m%d" and not text.str.contains(r"^(19|20)\d{6}$").all():
            continue
        if form is not None and "%y" in form and not text.str.contains(r"\d\D\d\d$").all():
            continue
        if read_days(text, timezone="UTC", time_format=form)["time"].is_not_null().mean() >= _READ:  # type: ignore[operator]
            return form
    return _NO_DAYS


def _us_states(column: pl.Series) -> bool:
    values = _values(column)
    states = _STATES.split()
    return bool(values) and sum(value in states for value in values) >= _READ * len(values)
