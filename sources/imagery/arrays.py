"""Series of images held as NumPy arrays [time, row, column(, band)], with a file of times, as eo-learn writes them."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from gpu_kernels.errors import ConfigError, DataError
from sources.clocks import UNPARSABLE, read_clock
from sources.files import expand
from sources.imagery.array_image import load
from sources.imagery.config import ArrayScenes, AssetOptions
from sources.imagery.known import Case, catalogue_warning, known_times
from sources.imagery.scene import DUPLICATE_SCENE, Asset, Scene, Scenes, SetAside, settle
from sources.imagery.stac_items import read_json
from sources.imagery.zones import read_zones


def scenes(options: ArrayScenes, variables: Mapping[str, str]) -> Scenes:
    """A scene for each time of a series. Band b of time t of an array is band t * bands + b (from 1) of its file.

    Times may stand in any order. Two times of one day are two scenes, as a satellite's overlapping passes are. Of a
    time that stands twice the second is set aside (`duplicate_scene`), since nothing says which one is right.
    Set aside as well: a time that cannot be read, and what `scene.settle` says.
    Raises DataError for a file that is missing, damaged or of another shape, ConfigError for a band that is not there.
    """
    folder = Path(expand(options.folder, variables)).absolute()
    texts = read_json(folder / options.timestamps)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{folder / options.timestamps} holds no list of times", allowed='["2015-07-11T10:00:08", ...]')
    bounds, crs = _place(folder, options)
    layers = {name: _layer(folder, name, told, len(texts)) for name, told in options.assets.items()}
    clock = read_clock(pl.Series("time", texts, dtype=pl.String), timezone=options.timezone)
    times: list[int | None] = clock["time"].to_physical().to_list()
    found = Scenes()
    cases = [Case(time or 0, (text,), lambda _: None) for time, text in zip(times, texts, strict=True)]
    seen: set[int] = set()
    for number, told in enumerate(known_times(options.known, variables, cases)):
        name, time = f"{folder.name}/{texts[number]}", times[number]
        if time is None:
            found.set_aside.append(SetAside(name, UNPARSABLE, f"time {number + 1} is {texts[number][:50]!r}"))
        elif time in seen:
            found.set_aside.append(SetAside(name, DUPLICATE_SCENE, f"time {number + 1} stood there before"))
        elif told.time is None:
            found.set_aside.append(SetAside(name, told.reason, told.detail))
        else:
            assets = {layer: _asset(number, *held, options, bounds, crs) for layer, held in layers.items()}
            found.scenes.append(
                Scene(name, time, told.time, assets, sensor=options.sensor, gsd=options.gsd, licence=options.licence)
            )
        seen |= set() if time is None else {time}
    if (warning := catalogue_warning(options.known)) is not None:
        found.warn(warning)
    return settle(found)


def _place(folder: Path, options: ArrayScenes) -> tuple[tuple[float, float, float, float], str]:
    """The bounds of all arrays and their CRS, of a file of one polygon."""
    zones = read_zones(folder / options.bounds).zones
    if len(zones) != 1:
        raise DataError(f"{folder / options.bounds} holds {len(zones)} polygons", allowed="one, the box of the arrays")
    left, low, right, high = zones[0].geometry.bounds
    return (left, low, right, high), zones[0].crs


def _layer(folder: Path, name: str, told: AssetOptions, count: int) -> tuple[Path, int, AssetOptions]:
    """The file of a band, how many bands it holds for each time, and what the config says of it."""
    path = folder / f"{told.asset or name}.npy"
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"assets.{name}.asset: {told.asset!r} leaves {folder}", allowed="a path below the folder")
    array = load(path)
    if array.ndim not in {3, 4} or array.shape[0] != count:
        raise DataError(f"{path} is {array.shape}", allowed=f"[{count} times, rows, columns], or bands after them")
    bands = array.shape[3] if array.ndim == 4 else 1
    if isinstance(told.band, str) or (told.band or 1) > bands:
        raise ConfigError(f"assets.{name}.band: {told.band!r}", allowed=f"1 to {bands}")
    return path, bands, told


def _asset(
    number: int,
    path: Path,
    bands: int,
    told: AssetOptions,
    options: ArrayScenes,
    bounds: tuple[float, float, float, float],
    crs: str,
) -> Asset:
    band = told.band if isinstance(told.band, int) else 1
    return Asset(
        str(path),
        number * bands + band,
        told.nodata,
        told.scale,
        told.offset,
        told.crs or crs,
        unit=told.unit,
        gsd=options.gsd,
        bounds=told.bounds or bounds,
    )
