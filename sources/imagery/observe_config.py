"""The config of an observation: which scenes, which zones, on what grid, what is measured."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sources.imagery.config import Resampling, SceneOptions, config_error
from sources.imagery.measures import MaskRule, Measure
from sources.source_options import Timezone

LOT_METRICS = ["lot_fill", "lot_vehicles"]
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
    timezone: Timezone = "UTC"
    parts: bool = False


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


class StallOptions(_Section):
    """Polygons of the single stalls; see ZoneOptions. lot: the column that names the zone a stall belongs to."""

    file: _Name
    lot: _Name
    site: _Name | None = None
    crs: _Name | None = None
    layer: _Name | None = None


class LotOptions(_Section):
    """The zones are parking lots: lot_fill and lot_vehicles of each (docs/parking_lots.md).

    bands        assets and their weights, whose sum is luminance
    masks        a pixel is clear where all of them say so
    stalls       none: each lot is cut into cells of a stall's size
    capacity     the zones' column of vehicles that a lot holds; none: its stalls, or a guess with 30 % error
    rows         whether each zone is a row of stalls whose vehicles are counted one by one, at 0.5 m or finer; of one
                 image alone, but without any capacity (docs/parking_lots.md says how good that is)
    stall_rows   the zones' column of how many rows of stalls lie side by side there; none: as the depth says
    stall_width, stall_depth  in metres, or of zones in pixel coordinates in pixels
    dark_object  whether the scene's darkest hundredth is taken for haze; false for surface reflectance
    saturation   luminance as bright as the sensor goes, e.g. 255
    parameters   a file of sources.imagery.lot_parameters, fitted on labels of one's own
    """

    bands: Annotated[dict[_Name, float], Field(min_length=1)] = {"red": 0.299, "green": 0.587, "blue": 0.114}
    masks: list[MaskRule] = []
    stalls: StallOptions | None = None
    capacity: _Name | None = None
    rows: bool = False
    stall_rows: _Name | None = None
    stall_width: float = Field(default=2.5, gt=0)
    stall_depth: float = Field(default=5.5, gt=0)
    dark_object: bool = True
    saturation: float | None = None
    parameters: _Name | None = None

    @property
    def assets(self) -> list[str]:
        return list(dict.fromkeys([*self.bands, *(rule.asset for rule in self.masks)]))


class ObservationConfig(_Section):
    """A whole observation, of measures or of lots or both; `trifuse observe` reads it from YAML."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    scenes: SceneOptions
    zones: ZoneOptions
    grid: GridOptions
    measures: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")], Measure] = {}
    lots: LotOptions | None = None

    @model_validator(mode="after")
    def _metrics_are_distinct(self) -> "ObservationConfig":
        if not self.measures and self.lots is None:
            raise ValueError("nothing is measured; write `measures`, or `lots`")
        own = self.scenes.assets
        if own and (unknown := [name for name in self.assets if name not in own]):
            raise ValueError(f"asset {unknown[0]!r} is read, and scenes.assets has only {', '.join(own)}")
        names = [metric for name, measure in self.measures.items() for metric in metrics_of(name, measure)]
        names += [] if self.lots is None else LOT_METRICS
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two measures give the metric {twice[0]}; call one of them otherwise")
        return self

    @property
    def measured(self) -> list[str]:
        """All bands that the measures read."""
        return list(dict.fromkeys(asset for measure in self.measures.values() for asset in measure.assets))

    @property
    def assets(self) -> list[str]:
        """All bands that are read."""
        return list(dict.fromkeys([*self.measured, *([] if self.lots is None else self.lots.assets)]))


def metrics_of(name: str, measure: Measure) -> list[str]:
    """The metrics that a measure gives."""
    return [f"{name}_{statistic}" for statistic in measure.statistics]


def parse_observation(tree: dict[str, Any], origin: str) -> ObservationConfig:
    """Raises ConfigError naming the option, what it holds and what is allowed."""
    try:
        return ObservationConfig.model_validate(tree)
    except ValidationError as error:
        raise config_error(origin, error) from error
