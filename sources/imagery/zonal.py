"""Zonal statistics: the pixels of a zone on its grid, weighted by the share of each that lies in the zone.

What is clear is judged zone by zone, from masks; a scene's own cloud cover says nothing of a lot.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.errors import ConfigError
from sources.extras import need
from sources.imagery.grid import Grid, project
from sources.imagery.zones import PIXELS, Zone

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
STATISTICS = ("mean", "median", "min", "max", "stdev", "sum")
"""Besides p<1 to 99>, e.g. p10."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A zone on its grid.

    grid      the zone's
    feature   its geometry in the grid's coordinates, as GeoJSON; rows counted upwards
    area      in pixels, fractions of them included
    """

    grid: Grid
    feature: Mapping[str, Any]
    area: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a zone shows in one scene.

    statistics   name -> value
    std          standard error of the mean, were pixels independent: stdev / sqrt(n_obs). Neighbouring pixels are not,
                 so it is a floor
    n_obs        clear pixels, fractions at the edge included
    valid_frac   n_obs / the zone's pixels
    cloud_frac   the share of the zone that a mask calls not clear; NaN where no mask says anything
    """

    statistics: dict[str, float]
    std: float
    n_obs: float
    valid_frac: float
    cloud_frac: float


def outline(zone: Zone, grid: Grid) -> Outline:
    """The zone as exactextract sees it; once for a zone, whatever the number of scenes."""
    shapely = need("shapely")
    geometry = project(zone, grid.crs)
    if grid.crs == PIXELS:  # rows are counted downwards there, and upwards by exactextract
        geometry = shapely.transform(geometry, lambda points: points * np.array([1.0, -1.0]))
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(geometry), "properties": {}}
    whole = np.ones(grid.shape, dtype=np.float32)
    return Outline(grid, feature, _extract(grid, feature, {"zone": whole}, ("count",))["zone_count"])


def zonal_statistics(values: Values, clear: Mask | None, place: Outline, statistics: Sequence[str]) -> Seen:
    """Statistics of the clear pixels of a zone.

    Each pixel weighs the share of it that lies in the zone (exactextract): mean = sum w v / sum w, stdev = sqrt(sum w
    (v - mean)^2 / sum w); median and p<q> are weighted quantiles, linear between pixels; min and max are of all
    pixels that the zone touches; sum = mean times the zone's pixels, so that what was not seen counts like the rest.

    values      float32 [height, width] of the grid; NaN: not observed
    clear       bool [height, width]; None: all of them

    Missing values: all statistics, std and valid_frac's numerator are of clear pixels with a value alone; with none of
    them the statistics and std are NaN, n_obs and valid_frac 0.
    Raises ConfigError for a statistic that is none of STATISTICS or p1 to p99.
    """
    wanted = {name: _operation(name) for name in statistics}
    seen = values if clear is None else np.where(clear, values, np.float32(np.nan))
    layers = {"v": seen}
    if clear is not None:
        layers["cloud"] = np.where(clear, np.float32(0), np.float32(1))
    operations = dict.fromkeys(["count", "mean", "stdev", *(name for name in wanted.values() if name != "sum")])
    found = _extract(place.grid, place.feature, layers, tuple(operations))
    count = found["v_count"]
    told = {name: found[f"v_{_column(operation)}"] for name, operation in wanted.items() if operation != "sum"}
    if "sum" in wanted:
        told["sum"] = found["v_mean"] * place.area
    if not count > 0:
        told = dict.fromkeys(wanted, math.nan)
    return Seen(
        statistics={name: told[name] for name in wanted},
        std=found["v_stdev"] / math.sqrt(count) if count > 0 else math.nan,
        n_obs=count,
        valid_frac=min(count / place.area, 1.0) if place.area > 0 else 0.0,
        cloud_frac=math.nan if clear is None else found["cloud_mean"],
    )


def check_statistic(name: str) -> str:
    """The name itself; raises ConfigError for one that is none."""
    _operation(name)
    return name


def _operation(name: str) -> str:
    """exactextract's word for a statistic."""
    if name in STATISTICS:
        return name
    if name[:1] == "p" and name[1:].isdigit() and name[1:] == str(int(name[1:])) and 1 <= int(name[1:]) <= 99:
        return f"quantile(q={int(name[1:]) / 100:.2f})"
    raise ConfigError(f"statistic {name!r}", allowed=f"{', '.join(STATISTICS)}, p1 to p99")


def _column(operation: str) -> str:
    """What exactextract calls the result."""
    return f"quantile_{round(float(operation[11:-1]) * 100)}" if operation.startswith("quantile") else operation


def _extract(
    grid: Grid, feature: Mapping[str, Any], layers: Mapping[str, Values], operations: Sequence[str]
) -> dict[str, float]:
    """`<layer>_<operation>` of each; NaN in a layer counts as not there."""
    exactextract = need("exactextract")
    left, low, right, high = grid.bounds
    if grid.crs == PIXELS:
        low, high = -high, -low
    sources = [
        exactextract.raster.NumPyRasterSource(layer, left, low, right, high, name=name)
        for name, layer in layers.items()
    ]
    # with one layer exactextract leaves its name out
    lead = f"{next(iter(layers))}_" if len(layers) == 1 else ""
    (found,) = exactextract.exact_extract(sources, [dict(feature)], list(operations))
    # of no pixels some are None
    return {lead + name: math.nan if value is None else float(value) for name, value in found["properties"].items()}
