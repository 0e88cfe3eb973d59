"""The options of lists of sites: `kind: site_file` in a config."""

import datetime as dt
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from gpu_kernels.durations import DAY, format_duration
from sources.durations import Duration
from sources.source_options import BaseSource, texts_of

_CLOCKS = ("known_time", "snapshot")
Degrees = Annotated[float, Field(ge=-180, le=180)]


class TickerDays(BaseModel):
    """The ticker under which a brand's owner traded, from the day `from` to the day `to` (inclusive; none: open)."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)
    entity: str = Field(min_length=1)
    first: dt.date | None = Field(default=None, alias="from")
    last: dt.date | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _days_in_order(self) -> "TickerDays":
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError(f"{self.entity}: from {self.first} is after to {self.last}")
        return self


def _ticker_days(value: object) -> object:
    """A ticker alone is one that never changed."""
    return [{"entity": value}] if isinstance(value, str) else value


class SiteFile(BaseSource):
    """A list of stores, plants or other sites: CSV, JSON Lines, Parquet, GeoJSON, GeoPackage, Shapefile or FlatGeobuf.

    `columns` maps site (its identifier), entity or brand, opened, closed, latitude, longitude, region, name, geometry
    (WKT), known_time and snapshot to columns of the file. A file of geometries needs no coordinates: those of a point
    are taken, and of a polygon those of a point inside. opened, closed, known_time and snapshot are read only where
    they are mapped. A date is a whole day in `timezone`: a site is open from the start of `opened` to the end of
    `closed`. Besides `time_format`, ISO 8601 and the month's name (Nov 23, 2010) are understood.

    Exactly one of these says when a row was known:

    columns.known_time  a column
    lag                 this long after what it tells: an opening after `opened`, a closing after `closed`
    snapshot            the whole file as of a day: that day, or `file_name` for the first 2024-03-13 or 20240313 in its
                        name
    columns.snapshot    a column that holds that day

    A day counts as known at its end. Of a snapshot each site is valid since `opened`, else since the snapshot. Later
    snapshots of one list (several files, or several days of the column) give what changed, known as of theirs: see
    sources.sites.changes. A list that was made later than it is used (`lag`) holds no site that had closed by then,
    unless it has `closed`; the run says so.

    tickers        brand -> ticker, or a list of {entity, from, to}: who owned the brand on which days. Sites of a brand
                   that is not listed are set aside. Where two brands have one ticker, at any time, their sites are
                   called BRAND:SITE: two chains number their stores alike
    brand          of all rows, where no column tells it
    only           column of the file -> the values (or the one) wanted; rows with others are counted and left out
    region_prefix  before the file's regions, e.g. US- for US-TX
    bounds         [west, south, east, north] in degrees within which all sites lie; what lies outside is set aside
    moved          a site whose latitude or longitude differs by more than so many degrees from the last snapshot's has
                   moved
    most_closed    a snapshot that lacks more than this share of the sites of the one before is refused as truncated
    first_year     first of the 100 years that a two-digit year (%y) may mean
    crs            of geometries, where the file does not say it, e.g. EPSG:32614; a column of WKT is EPSG:4326 without
    layer          of a GeoPackage that holds several
    """

    kind: Literal["site_file"]
    # a site that was there is there until a row says otherwise
    max_age: Duration = 36_500 * DAY
    not_in_key: ClassVar[set[str]] = BaseSource.not_in_key
    lag: Annotated[Duration, Field(ge=0)] | None = None
    snapshot: dt.date | Literal["file_name"] | None = None
    tickers: dict[str, Annotated[tuple[TickerDays, ...], BeforeValidator(_ticker_days), Field(min_length=1)]] = Field(
        default_factory=dict
    )
    brand: str | None = None
    only: dict[str, Annotated[list[str], BeforeValidator(texts_of)]] = Field(default_factory=dict)
    region_prefix: str = ""
    bounds: tuple[Degrees, Degrees, Degrees, Degrees] | None = None
    moved: float = Field(default=0.001, ge=0)
    most_closed: float = Field(default=0.2, ge=0, le=1)
    first_year: int = Field(default=1950, ge=1700, le=2100)
    crs: str | None = None
    layer: str | None = None

    @field_validator("tickers", mode="after")
    @classmethod
    def _one_ticker_a_day(cls, value: Mapping[str, tuple[TickerDays, ...]]) -> Any:
        if len({brand.strip().casefold() for brand in value}) < len(value):
            raise ValueError("a brand is listed twice (capitals do not tell brands apart)")
        for brand, days in value.items():
            for one, next_one in pairwise(days):
                if one.last is None or next_one.first is None or one.last >= next_one.first:
                    raise ValueError(
                        f"{brand}: {one.entity} and {next_one.entity} are not one after the other; end each by `to` "
                        "before the next one's `from`"
                    )
        return value

    @model_validator(mode="after")
    def _known_time_is_told(self) -> "SiteFile":
        told = [f"columns.{name}" for name in _CLOCKS if name in self.columns]
        told += [name for name in ("lag", "snapshot") if getattr(self, name) is not None]
        if len(told) != 1:
            raise ValueError(
                f"known_time: {' and '.join(told) or 'nothing'} tells it; give exactly one of columns.known_time, lag, "
                "snapshot and columns.snapshot"
            )
        if self.lag is not None and "opened" not in self.columns:
            raise ValueError(f"lag: {format_duration(self.lag)} after what? give columns.opened")
        return self

    @model_validator(mode="after")
    def _entity_comes_one_way(self) -> "SiteFile":
        if self.tickers:
            if self.entity is not None or "entity" in self.columns or isinstance(self.files, dict):
                raise ValueError(
                    "`tickers` tells the entity, and so do `entity`, columns.entity and a mapping of files"
                )
            if self.named_by_entity:
                raise ValueError("`tickers` tells the entity, and so does {entity} in `files`")
            if self.brand is not None and "brand" in self.columns:
                raise ValueError("`brand` tells the brand, and so does columns.brand; give one of them")
        if self.bounds is not None and not (self.bounds[0] < self.bounds[2] and self.bounds[1] < self.bounds[3]):
            raise ValueError(f"bounds is {list(self.bounds)}; allowed: [west, south, east, north]")
        return self

    @property
    def read_columns(self) -> tuple[str, ...]:
        places = ("latitude", "longitude", "region", "geometry")
        return ("site", "entity", "brand", "name", *places, "opened", "closed", *_CLOCKS)

    @property
    def table(self) -> str:
        return "site"

    @property
    def numbered_alike(self) -> set[str]:
        """The brands that share a ticker with another one, so that an identifier alone may be of two sites."""
        owners = {brand: {one.entity for one in days} for brand, days in self.tickers.items()}
        return {
            brand
            for brand, own in owners.items()
            if any(own & others for other, others in owners.items() if other != brand)
        }

    @property
    def of_snapshots(self) -> bool:
        """Whether files are snapshots, so that what changed between them was known as of the later one."""
        return self.snapshot is not None or "snapshot" in self.columns

    @property
    def knows_closings(self) -> bool:
        """Whether a row of this source could tell that a site closed. A single dated snapshot cannot."""
        return "closed" in self.columns or self.snapshot == "file_name" or "snapshot" in self.columns
