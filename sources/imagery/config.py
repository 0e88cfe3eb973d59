"""What a config says of imagery: where scenes lie, what their bands are called, and by which one rule a scene is known.

`${NAME}` in a path is expanded by `sources.files`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from gpu_kernels.errors import ConfigError
from sources.durations import Duration
from sources.source_options import Timezone

CATALOGUE_TIMES = ("created", "updated")
Resampling = Literal["nearest", "bilinear", "average"]
_Name = Annotated[str, Field(min_length=1)]


class _Options(BaseModel):
    # NaN is a nodata value as good as any
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeliveryLog(_Options):
    """A CSV or Parquet file that says when each scene was delivered.

    scene      its column of scene ids or hrefs; an href also matches by its file name
    delivered  its column of times; a bare day counts as that day's end
    timezone   of times without an offset
    """

    path: str
    scene: _Name = "scene"
    delivered: _Name = "delivered"
    timezone: Timezone = "UTC"
    time_format: str | None = None


class Known(_Options):
    """When a scene could first be acted on: exactly one of

    lag       after the capture's end, e.g. 3d
    property  a time that the item itself holds, e.g. published, s2:generation_time, landsat:date_product_generated;
              `asset.property` reads it of an asset: B04.created_at. `created` and `updated` are the catalogue's times,
              not the image's: they are taken only where they are named here, with a warning
    log       a delivery log

    delay        from there to oneself, added to `property` and `log`
    timezone     of a `property` without an offset; a bare day counts as that day's end
    time_format  of a `property` that is not ISO 8601

    Of a folder the properties are the fields of its names: property: version with time_format: "%Y%m%d".
    """

    lag: Duration | None = None
    property: _Name | None = None
    log: DeliveryLog | None = None
    delay: Duration = 0
    timezone: Timezone = "UTC"
    time_format: str | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> "Known":
        told = [name for name in ("lag", "property", "log") if getattr(self, name) is not None]
        if len(told) != 1:
            got = " and ".join(told) if told else "none"
            raise ValueError(f"known: got {got}; allowed: exactly one of lag, property, log")
        if self.lag is not None and self.delay:
            raise ValueError("known: `delay` is for property and log; add it to `lag`")
        return self


class AssetOptions(_Options):
    """One of our bands: which asset and band of it, and what to say in place of the file (see scene.Asset).

    asset  the key of the STAC asset, or the {asset} of the file's name; none: our own name of it, or, of a folder whose
           names tell no {asset}, the one file of the scene
    band   1-based, or of STAC the name or common name of the band
    """

    asset: _Name | None = None
    band: Annotated[int, Field(ge=1)] | _Name | None = None
    nodata: float | None = None
    scale: float | None = Field(default=None, allow_inf_nan=False)
    offset: float | None = Field(default=None, allow_inf_nan=False)
    crs: _Name | None = None
    alpha: bool | None = None
    unit: _Name | None = None
    bounds: tuple[float, float, float, float] | None = None
    overviews: bool = False

    @field_validator("bounds")
    @classmethod
    def _in_order(cls, value: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if value is not None and not (value[0] < value[2] and value[1] < value[3]):
            raise ValueError("bounds: write the least x and y, then the largest")
        return value


class _SceneOptions(_Options):
    known: Known
    assets: dict[_Name, AssetOptions] = Field(default_factory=dict)
    licence: str | None = None
    sensor: str | None = None
    gsd: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class FolderScenes(_SceneOptions):
    """Images whose file names tell when they were captured.

    files     globs of GeoTIFF, PNG, JPEG or JPEG 2000 files
    name      of a file without its suffix: {date:%Y%m%d} (strptime) tells the capture; `*` stands for anything;
              {scene} is its id, {asset} tells the files of one scene apart, {version} tells the vintages of one
              capture apart, {site} the only site that it shows
    timezone  of the times in names
    crs       of files that say none
    """

    kind: Literal["folder"]
    files: str | list[str]
    name: str
    timezone: Timezone = "UTC"
    crs: _Name | None = None


class StacScenes(_SceneOptions):
    """STAC items: files, catalogues, item collections, or an API.

    files     globs of items, catalogues, collections, item collections (JSON) and lines of items (ndjson, jsonl)
    api       address of a STAC API, in place of files
    search    of the API: collections, bbox, datetime, query, as pystac-client's search takes them
    max_items the most items taken; more is an error, and not cut off silently
    remote    whether http(s), s3 and gs hrefs may be read
    roots     folders besides that of the item (of a catalogue: the catalogue's) in which local hrefs may lie
    """

    kind: Literal["stac"]
    files: str | list[str] | None = None
    api: str | None = Field(default=None, pattern=r"^https?://")
    search: dict[str, Any] = Field(default_factory=dict)
    max_items: int = Field(default=10_000, ge=1)
    remote: bool = False
    roots: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_place(self) -> "StacScenes":
        if (self.files is None) == (self.api is None):
            raise ValueError("write `files` or `api`, and not both")
        if self.search and self.api is None:
            raise ValueError("`search` is for an `api`")
        return self


class ArrayScenes(_SceneOptions):
    """A series of images as NumPy arrays [time, row, column(, band)], as eo-learn writes them.

    folder      holds all of them
    timestamps  its JSON file of a list of times, one for each image
    bounds      its file of one polygon, the box around the pixels, with their CRS
    timezone    of times without an offset
    assets      our names -> {asset: data/NDVI}, which is data/NDVI.npy below the folder
    """

    kind: Literal["arrays"]
    folder: str
    timestamps: str = "timestamps.json"
    bounds: str = "bbox.geojson"
    timezone: Timezone = "UTC"

    @model_validator(mode="after")
    def _assets_are_named(self) -> "ArrayScenes":
        if not self.assets:
            raise ValueError("write `assets`: the arrays that are read")
        return self


SceneOptions = Annotated[FolderScenes | StacScenes | ArrayScenes, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[FolderScenes | StacScenes | ArrayScenes] = TypeAdapter(SceneOptions)


def parse_scenes(name: str, entry: object) -> FolderScenes | StacScenes | ArrayScenes:
    """The model of one entry of `scenes:`. Raises ConfigError naming the entry, the option and what is allowed."""
    try:
        return _ADAPTER.validate_python(entry)
    except ValidationError as error:
        raise config_error(f"scenes.{name}", error, skip=1) from error


def config_error(where: str, error: ValidationError, skip: int = 0) -> ConfigError:
    """The first problem that pydantic tells, as one line."""
    first = error.errors(include_url=False)[0]
    path = ".".join([where, *(str(part) for part in first["loc"][skip:])])
    return ConfigError(
        f"{path}: {first['msg'].removeprefix('Value error, ')}", hint="see the options in sources/imagery/config.py"
    )


def patterns(files: str | list[str]) -> list[str]:
    return [files] if isinstance(files, str) else list(files)
