"""Lists of sites, by a mapping of columns."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl

from gpu_kernels.errors import DataError
from sources.clocks import known_after
from sources.files import InputFile
from sources.readers.batch import (
    OTHER_KIND,
    RawBatch,
    canonical,
    entity_column,
    first_problem,
    missing_entity,
    number,
    wanted_rows,
)
from sources.readers.records import find_columns, records
from sources.schema import TIME
from sources.site_options import SiteFile
from sources.sites.coordinates import coordinate_problems
from sources.sites.days import read_days
from sources.sites.geometries import GEOMETRY, features, geometries, of_geometries, of_wkt

MISSING_SITE = "missing_site"
MISSING_BRAND = "missing_brand"
UNKNOWN_BRAND = "unknown_brand"
MISSING_DAY = "missing_{}"
DAY_IN_NAME = re.compile(r"(?<!\d)(\d{4})([-_]?)(\d{2})\2(\d{2})(?!\d)")
# they say when something was known or held, so only a column that the config names is read as one
CLOCKS = ("opened", "closed", "known_time", "snapshot")
_OPTIONAL = ("entity", "brand", "latitude", "longitude", "region", GEOMETRY, "name")
_PLACE = ("latitude", "longitude")


def read(source: SiteFile, file: InputFile, index: int, calendar: str) -> Iterator[RawBatch]:
    """Sites of one file; one with a closing, of a source with a lag, gives two rows, which are known apart. The entity
    is the brand where the source has `tickers`: sources.sites.facts turns it into tickers."""
    frames = (
        [geometries(file.path, source.crs, source.layer)] if of_geometries(file.path) else records(file.path, source)
    )
    for frame in frames:
        wanted = frame.filter(wanted_rows(frame, source.only, file.path)) if source.only else frame
        rows = _rows(wanted, source, file)
        yield RawBatch(canonical(rows, "site", index), {OTHER_KIND: frame.height - wanted.height})


def raw_rows(path: Path, lines: list[int]) -> dict[int, str] | None:
    """The attributes of the given features of a file of geometries (1-based), as JSON; None where it has lines."""
    return features(path, lines) if of_geometries(path) else None


def _rows(frame: pl.DataFrame, source: SiteFile, file: InputFile) -> pl.DataFrame:
    clocks = tuple(name for name in CLOCKS if name in source.columns)
    needed = ("site", *(("brand",) if source.tickers and source.brand is None else ()))
    if GEOMETRY not in source.columns:
        needed = (*needed, *_PLACE)
    columns = find_columns(frame, file.path, source, needed, (*_OPTIONAL, *clocks))
    site = _text(frame, columns["site"])
    brand = _text(frame, columns.get("brand"), source.brand)
    entity, unknown = _entity(frame, file, source, columns.get("entity"), brand)
    if alike := source.numbered_alike:
        told = pl.DataFrame({"site": site, "brand": entity})
        both = pl.concat_str("brand", "site", separator=":")
        site = told.select(pl.when(pl.col("brand").is_in(sorted(alike))).then(both).otherwise("site").alias("site"))[
            "site"
        ]
    geometry, latitude, longitude, unreadable = _place(frame, columns, None if of_geometries(file.path) else source.crs)
    outside = coordinate_problems(latitude, longitude, source.bounds)
    times, problem = _times(frame, source, file, columns)
    region = _text(frame, columns.get("region"))
    rows = frame.select("_line").with_columns(
        entity,
        site.alias("site"),
        *times.get_columns(),
        latitude.alias("latitude"),
        longitude.alias("longitude"),
        (pl.Series([source.region_prefix]) + region).alias("region") if frame.height else region.alias("region"),
        geometry.alias("geometry"),
        _text(frame, columns.get("name")).alias("name"),
        brand.alias("brand"),
        first_problem(frame["_problem"], _missing(site, MISSING_SITE), unknown, unreadable, outside, problem).alias(
            "_problem"
        ),
    )
    return rows if source.lag is None else _known_apart(rows, source)


def _place(
    frame: pl.DataFrame, columns: dict[str, str], crs: str | None
) -> tuple[pl.Series, pl.Series, pl.Series, pl.Series]:
    """Geometry, latitude and longitude of each row, and what could not be read of them. Coordinates in columns of their
    own go before those of a geometry."""
    geometry, nothing = _text(frame, columns.get(GEOMETRY)), pl.Series([None], dtype=pl.String)
    problem = nothing.new_from_index(0, frame.height)
    shape = None
    if GEOMETRY in columns and geometry.null_count() < len(geometry):
        shape = of_wkt(geometry, crs)
        geometry, problem = shape[GEOMETRY], shape["_problem"]
    if all(axis in columns for axis in _PLACE):
        latitude, longitude = (number(frame[columns[axis]]) for axis in _PLACE)
        told = first_problem(latitude["problem"], longitude["problem"], problem)
        return geometry, latitude["value"], longitude["value"], told
    if shape is None:
        none = pl.Series([None], dtype=pl.Float64).new_from_index(0, frame.height)
        return geometry, none, none, problem
    return geometry, shape["latitude"], shape["longitude"], problem


def _text(frame: pl.DataFrame, column: str | None, told: str | None = None) -> pl.Series:
    """Text of a column, stripped, null where empty; without one what is told of all rows."""
    if column is None:
        return pl.Series([told], dtype=pl.String).new_from_index(0, frame.height)
    cells = frame[column]
    if cells.dtype.is_float() and bool((cells.drop_nulls() % 1 == 0).all()):
        cells = cells.cast(pl.Int64, strict=False)  # identifiers, some of which are missing
    text = cells.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _missing(column: pl.Series, problem: str) -> pl.Series:
    return pl.select(pl.when(column.is_null()).then(pl.lit(problem))).to_series()


def _entity(
    frame: pl.DataFrame, file: InputFile, source: SiteFile, column: str | None, brand: pl.Series
) -> tuple[pl.Series, pl.Series]:
    """The entity of each row, and its problem; of a source with `tickers` the brand as the config spells it."""
    if not source.tickers:
        entity = entity_column(frame, file, column)
        return entity, missing_entity(entity)
    spelled = {name.strip().casefold(): name for name in source.tickers}
    found = pl.Series(
        "entity", [spelled.get(name.casefold()) if name else None for name in brand.to_list()], dtype=pl.String
    )
    unknown = pl.select(
        pl.when(brand.is_null()).then(pl.lit(MISSING_BRAND)).when(found.is_null()).then(pl.lit(UNKNOWN_BRAND))
    ).to_series()
    return found, unknown


def _times(
    frame: pl.DataFrame, source: SiteFile, file: InputFile, columns: dict[str, str]
) -> tuple[pl.DataFrame, pl.Series]:
    """event_time, known_time, valid_to and (of a source with a lag) when the closing is known; and what is wrong."""
    zone = source.timezone

    def days(name: str) -> pl.DataFrame:
        return read_days(
            frame[columns[name]], timezone=zone, time_format=source.time_format, first_year=source.first_year
        )

    nothing = pl.Series([None], dtype=TIME).new_from_index(0, frame.height)
    opened = days("opened") if "opened" in columns else None
    closed = days("closed") if "closed" in columns else None
    problems = [found["problem"] for found in (opened, closed) if found is not None]
    event = nothing if opened is None else opened["time"]
    valid_to = nothing if closed is None else known_after(closed, 0, zone)
    closing_known = nothing
    if "known_time" in columns:
        clock = days("known_time")
        known = known_after(clock, 0, zone)
        problems += [clock["problem"], _missing(known, MISSING_DAY.format("known_time"))]
        event = event if opened is not None else known
    elif source.lag is not None:
        assert opened is not None
        known = known_after(opened, source.lag, zone)
        problems.append(_missing(known, MISSING_DAY.format("opened")))
        if closed is not None:
            closing_known = known_after(closed, source.lag, zone)
    else:
        if "snapshot" in columns:
            clock = days("snapshot")
            problems.append(clock["problem"])
        else:
            day = source.snapshot if isinstance(source.snapshot, date) else _day_in_name(file.path)
            clock = read_days(pl.Series([day]), timezone=zone)
            clock = clock.select(pl.all().repeat_by(frame.height).explode()) if frame.height else clock.clear()
        known = known_after(clock, 0, zone)
        problems.append(_missing(known, MISSING_DAY.format("snapshot")))
        event = event.zip_with(event.is_not_null(), known)
    times = pl.DataFrame(
        {"event_time": event, "known_time": known, "valid_to": valid_to, "_closing_known": closing_known}
    )
    return times, first_problem(*problems)


def _day_in_name(path: Path) -> date:
    """The first day in a file's name."""
    for found in DAY_IN_NAME.finditer(path.name):
        try:
            return date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError:
            continue
    raise DataError(
        f"{path}: its name holds no day",
        allowed="2024-03-13, 2024_03_13 or 20240313 in the name",
        hint="say it: snapshot: 2024-03-13, or map a column: columns: {snapshot: updated}",
    )


def _known_apart(rows: pl.DataFrame, source: SiteFile) -> pl.DataFrame:
    """A closing as a vintage of its own, which is known later than the opening."""
    good = pl.col("_problem").is_null() & pl.col("valid_to").is_not_null()
    closings = rows.filter(good, pl.col("valid_to") >= pl.col("event_time")).with_columns(
        known_time=pl.max_horizontal("known_time", "_closing_known")
    )
    left = good & (pl.col("valid_to") >= pl.col("event_time"))
    openings = rows.with_columns(valid_to=pl.when(~left).then("valid_to"))
    return pl.concat([openings, closings])
