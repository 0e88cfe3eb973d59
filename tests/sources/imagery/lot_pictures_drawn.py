"""Lots with drawn vehicles: what is where is known."""

from typing import Any

import numpy as np
import shapely
from scipy.ndimage import gaussian_filter

from sources.imagery.lot_cells import Lot, lot_of
from sources.imagery.lot_images import LotImage
from sources.imagery.scene import Scene
from sources.imagery.zones import Zone

UTM = "EPSG:32614"
METRES = 0.3
DAY = 86_400 * 10**9
WEST, NORTH = 500_000.1, 4_000_000.2
WIDTH, DEPTH, PER_ROW = 2.5, 5.5, 12


def stalls(site: str = "lot", rows: int = 2) -> list[Zone]:
    """Two rows of twelve stalls, an aisle of 6 m between."""
    found = []
    for row in range(rows):
        low = NORTH - row * (DEPTH + 6.0)
        for place in range(PER_ROW):
            left = WEST + place * WIDTH
            found.append(Zone(f"{site}/{row}/{place}", shapely.box(left, low - DEPTH, left + WIDTH, low), UTM))
    return found


def drawn_lot(site: str = "lot", **options: Any) -> Lot:
    places = stalls(site)
    whole = Zone(site, shapely.union_all([place.geometry for place in places]).envelope, UTM)
    return lot_of(whole, METRES, **{"stalls": places, **options})


def ground(lot: Lot, rng: np.random.Generator, grain: float = 28.0) -> np.ndarray:
    """Worn asphalt: the same at every image, with white lines between the stalls. With a grain of 28 its contrast is
    that of the lot on which the parameters were fitted; 0 is as smooth as a new one."""
    values = 90.0 + 60.0 * gaussian_filter(rng.standard_normal(lot.grid.shape), 4.0)
    values += grain * gaussian_filter(rng.standard_normal(lot.grid.shape), 0.8)
    edges = np.zeros(lot.grid.shape, bool)
    edges[:, 1:] = (lot.cells[:, 1:] != lot.cells[:, :-1]) & (lot.cells[:, 1:] >= 0)
    values[edges] += 25.0
    values[:6, :] = 25.0  # a hedge: dark objects there are in every scene
    return values


def parked(lot: Lot, asphalt: np.ndarray, full: np.ndarray, rng: np.random.Generator, noise: float = 1.5) -> np.ndarray:
    """The ground with a vehicle in each full stall, 1.8 x 4.5 m, white, black or between, with dark panes."""
    values = asphalt.copy()
    for cell in np.flatnonzero(full):
        y, x = np.nonzero(lot.cells == cell)
        top, left = int(np.median(y)) - 7 + rng.integers(-1, 2), int(np.median(x)) - 3 + rng.integers(0, 2)
        body = rng.choice([25.0, 45.0, 150.0, 190.0, 220.0])
        values[top : top + 15, left : left + 6] = body
        values[top + 3 : top + 5, left + 1 : left + 5] = 20.0
        values[top + 11 : top + 13, left + 1 : left + 5] = 20.0
        values[top : top + 15, left + 6 : left + 8] = 0.5 * asphalt[top : top + 15, left + 6 : left + 8]
    return np.clip(values + noise * rng.standard_normal(values.shape), 1.0, 255.0)


def scene(day: float, *, known: float | None = None, name: str | None = None) -> Scene:
    captured = int(day * DAY)
    return Scene(name or f"scene{day:g}", captured, int((day if known is None else known) * DAY) + 1, {}, gsd=METRES)


def image(lot: Lot, values: np.ndarray, day: float, dark: float = 25.0, **options: Any) -> LotImage:
    return LotImage(scene(day, **options), lot.site, values.astype(np.float32), None, dark)


def fills(rng: np.random.Generator, lot: Lot, count: int) -> np.ndarray:
    """Which stalls are full in each image: shares spread over 0 to 1, the first ones low."""
    share = np.concatenate([[0.0, 0.2, 0.1], rng.uniform(0.0, 1.0, count - 3)])
    return rng.random((count, lot.count)) < share[:, None]
