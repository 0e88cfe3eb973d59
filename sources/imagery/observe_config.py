"""The config of an observation: which scenes, which zones, on what grid, what is measured."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sources.imagery.config import Resampling, SceneOptions, config_error, timezone_name
from sources.imagery.measures import Measure

_Name = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ZoneOptions(_Section):
    """The polygons; see sources.imagery.zones.read_zones.

    file       GeoJSON, GeoPackage, Shapefile, FlatGeobuf, or CSV with a column of WKT
    site       its column of ids
    entity     its column of tickers; none: the site table tells them
    parts      whether each part of a MultiPolygon is a site of its own
    """

    file: _Name
    site: _Name | None = None
    entity: _Name | None = None
    crs: _Name | None = None
    layer: _Name | None = None
    valid_from: _Name | None = None
    valid_to: _Name | None = None
    timezone: str = "UTC"
    parts: bool = False

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, value: str) -> str:
        return timezone_name(value)


class GridOptions(_Section):
    """The common grid, onto which every scene is read before anything is compared.

    resolution  metres (pixels of images without georeference)
    crs         a projected CRS in metres; none: the zone's own where it is one, else its UTM zone
    margin      around each zone, in the unit of resolution
    resampling  of values: average onto a coarser grid than the image's, bilinear onto one about as fine, nearest where
                pixels must not be mixed. Masks are read with the nearest pixel
    """

    resolution: float = Field(gt=0)
    crs: _Name | None = None
    margin: float = Field(default=0.0, ge=0)
    resampling: Resampling = "bilinear"


class ObservationConfig(_Section):
    """A whole observation; `trifuse observe` reads it from YAML."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    scenes: SceneOptions
    zones: ZoneOptions
    grid: GridOptions
    measures: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")], Measure], Field(min_length=1)
    ]

    @model_validator(mode="after")
    def _metrics_are_distinct(self) -> "ObservationConfig":
        names = [metric for name, measure in self.measures.items() for metric in metrics_of(name, measure)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two measures give the metric {twice[0]}; call one of them otherwise")
        return self

    @property
    def assets(self) -> list[str]:
        """All bands that the measures read."""
        return list(dict.fromkeys(asset for measure in self.measures.values() for asset in measure.assets))


def metrics_of(name: str, measure: Measure) -> list[str]:
    """The metrics that a measure gives."""
    return [f"{name}_{statistic}" for statistic in measure.statistics]


def parse_observation(tree: dict[str, Any], origin: str) -> ObservationConfig:
    """Raises ConfigError naming the option, what it holds and what is allowed."""
    try:
        return ObservationConfig.model_validate(tree)
    except ValidationError as error:
        raise config_error(origin, error) from error
