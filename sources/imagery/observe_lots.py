"""Lots within an observation: the lots of the zones, their stalls, and what is remembered of them beside the log.

    FOLDER/lots/000003.npz    what was remembered when part 3 was whole: written before it, the one before removed after

A scene that became known before one that is in the log already, as a file that was laid into the folder afterwards
does, cannot be compared with what was known by then: its lots are set aside.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_kernels.errors import ConfigError, DataError
from sources.files import expand
from sources.imagery.lot_cells import Lot, lot_of
from sources.imagery.lot_images import read_lots
from sources.imagery.lot_parameters import load
from sources.imagery.lots import LotWatch
from sources.imagery.observe_config import GridOptions, LotOptions
from sources.imagery.scene import Scene, SetAside
from sources.imagery.zones import Zone, read_zones

KNOWN_BEFORE_OTHERS = "known_before_others"
STALL_OF_NO_LOT = "stall_of_no_lot"
_STATES = "lots"

Rows = list[dict[str, Any]]


class LotObserver:
    """The lots of an observation.

    part   how many parts the log in `folder` holds
    Raises ConfigError for a column that is not there, DataError for stalls, a capacity or a state that cannot be used.
    """

    def __init__(
        self,
        options: LotOptions,
        grid: GridOptions,
        zones: Sequence[Zone],
        variables: Mapping[str, str],
        folder: Path,
        part: int,
    ) -> None:
        self._options, self._folder = options, folder / _STATES
        stalls, self.set_aside = _stalls(options, zones, variables)
        self._lots: dict[int, Lot] = {}
        self._zones: dict[str, Zone] = {}
        for zone in zones:
            # of several periods of a site each is a lot of its own, with a past of its own
            name = zone.site if zone.site not in self._zones else f"{zone.site} from {zone.valid_from}"
            lot = lot_of(
                zone,
                grid.resolution,
                stalls=stalls.get(zone.site) if stalls is not None else None,
                capacity=_number(zone, options.capacity),
                stall_width=options.stall_width,
                stall_depth=options.stall_depth,
                crs=grid.crs,
                name=name,
                row=options.rows,
                stall_rows=_whole(zone, options.stall_rows),
            )
            self._lots[id(zone)], self._zones[name] = lot, zone
        self._watch = LotWatch(
            list(self._lots.values()),
            load(Path(expand(options.parameters, variables))) if options.parameters else None,
            stall_width=options.stall_width,
            saturation=math.inf if options.saturation is None else options.saturation,
            state=self._state(part) if part else None,
        )

    def see(self, scene: Scene, zones: Sequence[Zone]) -> tuple[Rows, list[str], dict[str, str]]:
        """Rows of the lots that the scene shows, as `LotWatch.add` gives them with `site` the zone's; those sites; and
        the sites that could not be read, with why: of these nothing is remembered.

        Raises DataError where the scene cannot be read, or the haze of it."""
        lots = [self._lots[id(zone)] for zone in zones]
        failed: dict[str, DataError] = {}
        # whose image it is was asked of the zones; of several periods of a site the lots have other names
        images = read_lots(
            replace(scene, site=None),
            lots,
            bands=self._options.bands,
            masks=self._options.masks,
            dark_object=self._options.dark_object,
            failed=failed,
        )
        in_time = [self._watch.may_add(image) for image in images]
        rows = self._watch.add(image for image, may in zip(images, in_time, strict=True) if may).to_dicts()
        for image, may in zip(images, in_time, strict=True):
            if not may:
                rows += [{**row, "quality": KNOWN_BEFORE_OTHERS} for row in self._watch.nothing(image).to_dicts()]
        for row in rows:
            row["site"] = self._zones[row["site"]].site
        unreadable = {self._zones[name].site: str(error) for name, error in failed.items()}
        return rows, [self._zones[image.site].site for image in images], unreadable

    def save(self, part: int) -> None:
        """To be called before part number `part` is whole."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._watch.save(self._state(part))

    def forget(self, part: int) -> None:
        """To be called when that part is whole."""
        for path in self._folder.glob("*.npz"):
            if path != self._state(part):
                path.unlink()

    def _state(self, part: int) -> Path:
        return self._folder / f"{part:06d}.npz"


def _whole(zone: Zone, column: str | None) -> int | None:
    told = _number(zone, column)
    if told is not None and not (told >= 1 and told.is_integer()):
        raise DataError(f"lot {zone.site}: {column} is {told:g}", allowed="a whole number, or nothing")
    return None if told is None else int(told)


def _number(zone: Zone, column: str | None) -> float | None:
    if column is None:
        return None
    value = zone.attributes.get(column)
    if value is None or value == "":
        return None
    try:
        told = float(str(value))
    except ValueError:
        told = math.nan
    if not (math.isfinite(told) and told > 0.0):
        raise DataError(f"lot {zone.site}: {column} is {value!r}", allowed="a number above 0, or nothing")
    return told


def _stalls(
    options: LotOptions, zones: Sequence[Zone], variables: Mapping[str, str]
) -> tuple[dict[str, list[Zone]] | None, list[SetAside]]:
    """The stalls of each lot; None where there is no file of them. A lot without stalls there is cut into cells."""
    if options.stalls is None:
        return None, []
    path = Path(expand(options.stalls.file, variables))
    found = read_zones(path, site=options.stalls.site, crs=options.stalls.crs, layer=options.stalls.layer)
    aside = list(found.set_aside)
    sites = {zone.site for zone in zones}
    of_lot: dict[str, list[Zone]] = {}
    for stall in found.zones:
        if options.stalls.lot not in stall.attributes:
            raise ConfigError(
                f"{path} has no column {options.stalls.lot!r}", allowed=", ".join(map(str, stall.attributes)) or "none"
            )
        lot = str(stall.attributes[options.stalls.lot])
        if lot in sites:
            of_lot.setdefault(lot, []).append(stall)
        else:
            aside.append(SetAside(stall.site, STALL_OF_NO_LOT, f"{options.stalls.lot} is {lot!r}"))
    return of_lot, aside
