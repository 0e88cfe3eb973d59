"""Parking lots: images of lots, in the order in which they became known, to rows of the metric table.

    watch = LotWatch(lots)
    for scene in sorted(scenes, key=lambda scene: scene.known):
        rows = watch.add(read_lots(scene, lots))   # lot_fill and lot_vehicles of each lot that the scene shows
    watch.save(path)                               # and LotWatch(lots, state=path) goes on another day

A lot's fill rests on the images of it that were known before, and on nothing else: later images change no row, and a
scene that is delivered late is compared with what had been delivered by then. docs/parking_lots.md says how it is made
and how good it is.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gpu_kernels.errors import ArgumentError
from gpu_kernels.imagery.batch import in_chunks
from gpu_kernels.imagery.contrast import cell_contrast
from gpu_kernels.imagery.fill import lot_fill
from sources.imagery.lot_cells import LEFT_OUT, Lot
from sources.imagery.lot_images import LotImage
from sources.imagery.lot_parameters import LotParameters, load
from sources.imagery.lot_past import Past, load_pasts, save_pasts
from sources.imagery.lot_quality import Shown, quality
from sources.imagery.vehicle_rows import METHOD, STALL_WIDTH, count_vehicles
from sources.schema import TIME

FILL, VEHICLES = "lot_fill", "lot_vehicles"
NOT_ADDED = "not_added"


class LotWatch:
    """Fill and vehicles of lots, image by image.

    parameters   None: those that come with the package
    stall_width  in metres, or of lots in pixel coordinates in pixels: the scale of the contrast
    saturation   luminance from which a pixel says nothing but that it is bright; inf: never
    state        a file of `save`, of the same lots and parameters

    Raises ArgumentError for two lots of one name, or lots of several resolutions; DataError for a state that cannot be
    read or is that of others.
    """

    def __init__(
        self,
        lots: Sequence[Lot],
        parameters: LotParameters | None = None,
        *,
        stall_width: float = STALL_WIDTH,
        saturation: float = np.inf,
        state: Path | None = None,
    ) -> None:
        self.parameters = parameters or load()
        self._lots = {lot.site: lot for lot in lots}
        if len(self._lots) != len(lots):
            raise ArgumentError("two lots have one name", allowed="one lot to a site")
        resolutions = sorted({lot.grid.resolution for lot in lots})
        if len(resolutions) > 1:
            raise ArgumentError(f"lots of resolutions {resolutions}", allowed="one resolution", hint="watch them apart")
        if not stall_width > 0.0:
            raise ArgumentError(f"stall_width is {stall_width!r}", allowed="a number above 0")
        self._stall_pixels = stall_width / resolutions[0] if lots else 1.0
        self._saturation = saturation
        counts = {site: lot.count for site, lot in self._lots.items()}
        self._past = {site: Past.none(count) for site, count in counts.items()}
        if state is not None:
            self._past |= load_pasts(state, counts, self._key())

    def _key(self) -> str:
        return f"{self.parameters.method_version}, {self._stall_pixels:g} pixels a stall"

    def save(self, path: Path) -> None:
        """Writes what is remembered, so that another process goes on with the same bits. Whole or not at all."""
        save_pasts(path, self._past, self._key())

    def add(self, images: Iterable[LotImage]) -> pl.DataFrame:
        """Rows of the metric table of these images, and remembers them. They may be of many scenes; they are taken by
        (known, captured, id, vintage).

        value    of lot_fill the share of the capacity that is full, 0 to 1; of lot_vehicles capacity times that
        std      see gpu_kernels.imagery.fill; of the vehicles with the capacity's own error. Of a lot that is a row,
                 vehicles and their error are those of count_vehicles
        quality  `ok`, or what a reader should know, joined by `;` (sources/imagery/lot_quality.py)
        n_obs    cells that were seen
        value and std are missing where less than minimum_valid of the lot was seen, or it shows no contrast: the row
        says when and why.

        Raises ArgumentError for an image of an unknown site, of another shape than its lot's grid, or known before
        one that was added earlier.
        """
        of_site: dict[str, list[LotImage]] = {}
        for image in sorted(images, key=_order):
            self._check(image)
            of_site.setdefault(image.site, []).append(image)
        sites = [site for site in self._lots if site in of_site]
        self._measure(sites, of_site)
        rows = self._fill(sites, of_site)
        return pl.DataFrame(rows, schema=_SCHEMA, orient="row")

    def may_add(self, image: LotImage) -> bool:
        """False where its scene was known before one of its lot that was added already."""
        return image.scene.known >= self._past[image.site].known

    def nothing(self, image: LotImage) -> pl.DataFrame:
        """The rows of an image that is not added: without values."""
        return pl.DataFrame(self._rows(image, (np.nan, np.nan, 0.0, 0, NOT_ADDED)), schema=_SCHEMA, orient="row")

    def _check(self, image: LotImage) -> None:
        if image.site not in self._lots:
            raise ArgumentError(f"an image of site {image.site!r}", allowed="a lot that is watched")
        if image.luminance.shape != self._lots[image.site].grid.shape:
            raise ArgumentError(
                f"an image of {image.luminance.shape} pixels of {image.site}",
                allowed=f"{self._lots[image.site].grid.shape}, as its grid has",
            )
        if not self.may_add(image):
            raise ArgumentError(
                f"scene {image.scene.id} of {image.site} was known before one that was added already",
                allowed="scenes in the order of their known times",
            )

    def _measure(self, sites: list[str], of_site: dict[str, list[LotImage]]) -> None:
        """Adds what the images show to the past of their lots, in bounded memory."""
        seen = [site for site in sites if self._lots[site].count]
        if not seen:
            return
        lots = [self._lots[site] for site in seen]
        height, width = (max(lot.grid.shape[axis] for lot in lots) for axis in (0, 1))
        offsets = np.concatenate([[0], np.cumsum([len(of_site[site]) for site in seen])]).astype(np.int64)
        parameters = self.parameters
        for some, _, own in in_chunks(offsets, height * width * 4):
            count = max(lot.count for lot in lots[some])
            images = np.full((int(own[-1]), height, width), np.nan, np.float32)
            cells = np.full((len(lots[some]), height, width), LEFT_OUT, np.int16)
            there = [image for site in seen[some] for image in of_site[site]]
            for row, image in enumerate(there):
                images[row, : image.luminance.shape[0], : image.luminance.shape[1]] = image.luminance
            for number, lot in enumerate(lots[some]):
                cells[number, : lot.grid.height, : lot.grid.width] = lot.cells
            told = cell_contrast(
                images,
                cells,
                np.array([image.dark for image in there]),
                own,
                count,
                inner=parameters.inner * self._stall_pixels,
                outer=parameters.outer * self._stall_pixels,
                saturation=self._saturation,
                minimum_valid=parameters.minimum_valid,
                minimum_pixels=parameters.minimum_pixels,
            )
            for number, site in enumerate(seen[some]):
                new = slice(int(own[number]), int(own[number + 1]))
                shown = Shown(
                    *(part[new, : self._lots[site].count] for part in told[:3]), *(part[new] for part in told[3:])
                )
                last = of_site[site][-1].scene.known
                self._past[site] = self._past[site].with_images(shown, last, parameters.window)

    def _fill(self, sites: list[str], of_site: dict[str, list[LotImage]]) -> list[tuple[Any, ...]]:
        seen = [site for site in sites if self._lots[site].count]
        rows = [row for site in sites if site not in seen for image in of_site[site] for row in self._rows(image, None)]
        if not seen:
            return rows
        pasts = [self._past[site] for site in seen]
        count = max(self._lots[site].count for site in seen)
        offsets = np.concatenate([[0], np.cumsum([len(past.use) for past in pasts])]).astype(np.int64)
        contrast, valid = np.full((int(offsets[-1]), count), np.nan), np.zeros((int(offsets[-1]), count))
        weight = np.zeros((len(seen), count))
        for number, (site, past) in enumerate(zip(seen, pasts, strict=True)):
            own, cells = slice(int(offsets[number]), int(offsets[number + 1])), self._lots[site].count
            contrast[own, :cells], valid[own, :cells] = past.contrast, past.valid
            weight[number, :cells] = self._lots[site].weight
        use = np.concatenate([past.use for past in pasts])
        told = lot_fill(contrast, valid, use, weight, offsets, **self.parameters.fill())
        for number, site in enumerate(seen):
            past, new = pasts[number], len(of_site[site])
            for back, image in zip(range(new, 0, -1), of_site[site], strict=True):
                at = len(past.use) - back
                found = [part[offsets[number] + at] for part in told]
                occupancy = found[0][: self._lots[site].count]
                fill, std, valid_frac, history = (float(value) for value in found[1:])
                before = past.before(at).last(self.parameters.window)
                flags = quality(
                    past.shown(at), before, occupancy, fill, valid_frac, history, self.parameters.minimum_valid
                )
                rows += self._rows(image, (fill, std, valid_frac, int(np.isfinite(occupancy).sum()), flags))
            self._past[site] = past.last(self.parameters.window)
        return rows

    def _rows(self, image: LotImage, found: tuple[float, float, float, int, str] | None) -> list[tuple[Any, ...]]:
        """The two rows of an image; None: of a lot without cells."""
        fill, std, valid_frac, seen, flags = found or (np.nan, np.nan, 0.0, 0, "too_small")
        lot, scene = self._lots[image.site], image.scene
        vehicles, spread = lot.capacity * fill, float(np.hypot(lot.capacity * std, fill * lot.capacity_error))
        method, share = self.parameters.method_version, valid_frac
        if lot.row is not None and flags != NOT_ADDED:
            counted = count_vehicles(
                image.luminance.astype(np.float64),
                lot.row,
                metres=lot.grid.resolution,
                stall_rows=lot.stall_rows,
                minimum_valid=self.parameters.minimum_valid,
            )
            vehicles, spread, share, method = counted.vehicles, counted.std, counted.valid_frac, METHOD
        common = (
            float(seen),
            scene.vintage or scene.id,
            scene.supersedes or None,
            scene.sensor or scene.platform,
            scene.gsd,
        )
        times = (scene.captured, scene.captured_end, scene.known)
        return [
            (
                *("", image.site, FILL, *times, _told(fill), "share", _told(std), flags, image.cloud_frac, valid_frac),
                *(*common, self.parameters.method_version, scene.licence),
            ),
            (
                *("", image.site, VEHICLES, *times, _told(vehicles), "vehicles", _told(spread)),
                *(flags, image.cloud_frac, share, *common, method, scene.licence),
            ),
        ]


_SCHEMA = {
    **{name: pl.String() for name in ("entity", "site", "metric")},
    **{name: TIME for name in ("event_time", "event_end", "known_time")},
    **{"value": pl.Float64(), "unit": pl.String(), "std": pl.Float64(), "quality": pl.String()},
    **{name: pl.Float64() for name in ("cloud_frac", "valid_frac", "n_obs")},
    **{name: pl.String() for name in ("vintage", "supersedes", "sensor")},
    **{"gsd": pl.Float64(), "method_version": pl.String(), "licence": pl.String()},
}


def _order(image: LotImage) -> tuple[int, int, str, str]:
    return image.scene.known, image.scene.captured, image.scene.id, image.scene.vintage


def _told(value: float) -> float | None:
    return value if np.isfinite(value) else None
