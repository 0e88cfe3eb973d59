"""What a scene shows of each lot: luminance on the lot's grid, without what clouds or the file's masks cover."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_kernels.errors import DataError
from sources.imagery.grid import Grid
from sources.imagery.lot_cells import Lot
from sources.imagery.measures import MaskRule
from sources.imagery.raster import Image, open_asset
from sources.imagery.scene import Scene
from sources.imagery.zones import PIXELS

LUMINANCE = {"red": 0.299, "green": 0.587, "blue": 0.114}
"""Weights of ITU-R BT.601."""

_WHOLE = 2**20
_LATTICE, _WINDOW = 16, 32

Values = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class LotImage:
    """One lot in one scene.

    luminance   float32 on the lot's grid, NaN where nothing clear was seen
    cloud_frac  share of the lot's cells that the cloud mask covers
    dark        luminance of the scene's darkest objects, 0 where it is not asked for
    """

    scene: Scene
    site: str
    luminance: Values
    cloud_frac: float | None = None
    dark: float = 0.0


def read_lots(
    scene: Scene,
    lots: Sequence[Lot],
    *,
    bands: Mapping[str, float] = LUMINANCE,
    masks: Sequence[MaskRule] = (),
    dark_object: bool = True,
    failed: dict[str, DataError] | None = None,
) -> list[LotImage]:
    """The lots that lie in a scene, one window of each band for each of them.

    bands  names of the scene's assets and their weights; luminance is the weighted sum, NaN where a band is
    masks  a pixel is clear where all of them say so
    dark_object  whether the darkest hundredth of the scene is taken for haze (Chavez 1988, "An improved dark-object
           subtraction technique"); False for surface reflectance, of which that was taken off. It is measured on the
           scene itself, whole or on a lattice of 16 x 16 windows of 32 x 32 pixels, so that no lot's value depends on
           which others are read
    failed  where given, lots whose own pixels cannot be read give no image and are told here, with the error

    A pixel of the grid is the mean over the band's area under it, whichever is finer. Lots outside of the scene give
    no image. Raises DataError for a scene without one of the assets, whose files cannot be opened, or whose haze
    cannot be measured; without `failed` also for a lot that cannot be read.
    """
    needed = list(dict.fromkeys([*bands, *(rule.asset for rule in masks)]))
    missing = [name for name in needed if name not in scene.assets]
    if missing:
        raise DataError(
            f"scene {scene.id} has no asset {', '.join(missing)}", allowed=", ".join(scene.assets) or "none there"
        )
    wanted = [lot for lot in lots if scene.site is None or scene.site == lot.site]
    found = []
    with ExitStack() as opened:
        images = {name: opened.enter_context(open_asset(scene.assets[name])) for name in needed}
        dark = _dark({name: images[name] for name in bands}, bands) if dark_object and wanted else 0.0
        for lot in wanted:
            try:
                image = _image(scene, lot, images, bands, masks, dark)
            except DataError as error:
                if failed is None:
                    raise
                failed[lot.site] = error
            else:
                found += [] if image is None else [image]
    return found


def _image(
    scene: Scene,
    lot: Lot,
    images: Mapping[str, Image],
    bands: Mapping[str, float],
    masks: Sequence[MaskRule],
    dark: float,
) -> LotImage | None:
    """None where the scene does not show the lot."""
    luminance = _luminance(images, bands, lot.grid, "average")
    if luminance is None:
        return None
    cloud_frac = None
    if masks:
        hidden = np.zeros(lot.grid.shape, bool)
        for rule in masks:
            hidden |= ~rule.clear(images[rule.asset].read(lot.grid, "nearest").values)
        inside = lot.cells >= 0
        cloud_frac = float(hidden[inside].mean()) if inside.any() else None
        luminance[hidden] = np.nan
    return LotImage(scene, lot.site, luminance, cloud_frac, dark)


def _luminance(images: Mapping[str, Image], bands: Mapping[str, float], grid: Grid, how: Any) -> Values | None:
    """None where the grid lies outside of a band."""
    total = np.zeros(grid.shape, np.float32)
    for name, weight in bands.items():
        pixels = images[name].read(grid, how)
        if pixels.outside:
            return None
        total += np.float32(weight) * pixels.values
    return total


def _dark(images: Mapping[str, Image], bands: Mapping[str, float]) -> float:
    """The first percentile of the scene's luminance; 0 where it shows nothing."""
    first = next(iter(images.values()))
    same = all((one.width, one.height) == (first.width, first.height) for one in images.values())
    if not same:
        raise DataError(
            f"bands of {first.asset.href} and others are of several sizes",
            allowed="bands of one size",
            hint="write dark_object: false, or one band",
        )
    if first.width * first.height <= _WHOLE:
        grids = [_window(0, 0, first.width, first.height)]
    else:
        rows = np.linspace(0, max(0, first.height - _WINDOW), _LATTICE).astype(int)
        columns = np.linspace(0, max(0, first.width - _WINDOW), _LATTICE).astype(int)
        size = min(_WINDOW, first.width), min(_WINDOW, first.height)
        grids = [_window(int(x), int(y), *size) for y in rows for x in columns]
    values = [part for grid in grids if (part := _luminance(images, bands, grid, "nearest")) is not None]
    seen = np.concatenate([part[np.isfinite(part)] for part in values]) if values else np.zeros(0)
    return float(np.quantile(seen, 0.01)) if len(seen) else 0.0


def _window(x: int, y: int, width: int, height: int) -> Grid:
    return Grid(PIXELS, (1.0, 0.0, float(x), 0.0, 1.0, float(y)), width, height)
