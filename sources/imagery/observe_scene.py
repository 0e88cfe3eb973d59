"""One scene over the zones: rows for the log, zone by zone, each band opened once.

A zone whose window cannot be read is set aside whole, its measures and its lot, and the others count: a broken block
of one image says nothing of the rest of it.
"""

import math
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from gpu_kernels.errors import DataError
from sources.imagery.footprint import may_show
from sources.imagery.grid import grid_of
from sources.imagery.measures import NO_VALUE, Measured
from sources.imagery.observe_config import LOT_METRICS, ObservationConfig, metrics_of
from sources.imagery.observe_lots import LotObserver
from sources.imagery.raster import Image, open_asset
from sources.imagery.scene import NO_ASSET, Scene
from sources.imagery.zonal import Outline, Values, outline
from sources.imagery.zones import Zone

METHOD = "zonal-1"
UNREADABLE = "unreadable"

Rows = list[dict[str, Any]]


@dataclass(slots=True)
class SceneRows:
    """What a scene gives.

    rows        of the metric table
    aside       values that are not to be used, with the reason
    zones       how many stand at the time of the capture, those that it cannot show included
    shown       how many it shows, those that cannot be read included
    outside     how many it does not show
    unreadable  site -> why its pixels could not be read
    """

    rows: Rows = field(default_factory=list)
    aside: Rows = field(default_factory=list)
    zones: int = 0
    shown: int = 0
    outside: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


class SceneObserver:
    """Zones and measures; each zone's outline is made once.

    now   `ingested_time` of the rows, in nanoseconds
    lots  None: of an observation without lots
    """

    def __init__(self, config: ObservationConfig, zones: list[Zone], now: int, lots: LotObserver | None) -> None:
        self._config, self._zones, self._now, self._lots = config, zones, now, lots
        self._outlines: dict[int, Outline] = {}
        self._classes = {name for measure in config.measures.values() for name in measure.classes}

    def see(self, scene: Scene, only: Collection[str] | None = None) -> SceneRows:
        """Observes one scene; nothing is remembered of a lot that cannot be read, or of the lots of a scene that fails.

        only  sites; None: all
        Raises DataError for a scene that lacks a band, whose files cannot be opened, or of which no zone can be read.
        """
        missing = [name for name in self._config.assets if name not in scene.assets]
        if missing:
            raise DataError(f"scene {scene.id} has no asset {missing[0]!r} ({NO_ASSET})")
        valid = [
            zone
            for zone in self._zones
            if zone.valid_at(scene.captured) and scene.site in {None, zone.site} and (only is None or zone.site in only)
        ]
        zones = [zone for zone in valid if may_show(scene, zone)]
        found = SceneRows(zones=len(valid), outside=len(valid) - len(zones))
        if not zones:  # a scene of elsewhere is not even opened
            return found
        of_zone: dict[str, Rows] = {}
        if self._config.measures:
            with ExitStack() as stack:
                images = {name: stack.enter_context(open_asset(scene.assets[name])) for name in self._config.measured}
                for zone in zones:
                    try:
                        rows = self._zone(scene, zone, images)
                    except DataError as error:
                        found.unreadable[zone.site] = str(error)
                        continue
                    if rows is None:
                        found.outside += 1
                    else:
                        of_zone[zone.site] = rows
        if self._lots is not None:
            self._see_lots(self._lots, scene, zones, found, of_zone)
        found.shown = len(of_zone) + len(found.unreadable)
        if found.unreadable and not of_zone:
            raise DataError(next(iter(found.unreadable.values())))
        for row in (row for rows in of_zone.values() for row in rows):
            (found.rows if row.get("reason") is None else found.aside).append(row)
        found.aside += [
            row for zone in zones if zone.site in found.unreadable for row in self._unreadable_rows(scene, zone)
        ]
        return found

    def _see_lots(
        self, lots: LotObserver, scene: Scene, zones: list[Zone], found: SceneRows, of_zone: dict[str, Rows]
    ) -> None:
        """Adds the rows of the zones that the scene shows as lots, and takes away those of zones that it breaks."""
        whole = [zone for zone in zones if zone.site not in found.unreadable]
        rows, sites, unreadable = lots.see(scene, whole)
        found.unreadable |= unreadable
        for site in unreadable:
            of_zone.pop(site, None)
        if not self._config.measures:
            found.outside += len(whole) - len(sites) - len(unreadable)
        entities = {zone.site: self._entity(zone) for zone in zones}
        for row in rows:
            row |= {"entity": entities[row["site"]], "ingested_time": max(self._now, scene.known)}
            if row["value"] is None:
                row |= {"scene": scene.id, "reason": row["quality"]}
            of_zone.setdefault(row["site"], []).append(row)

    def _zone(self, scene: Scene, zone: Zone, images: Mapping[str, Image]) -> Rows | None:
        """The rows of a zone, those to be set aside with a reason; None where the scene does not show it."""
        place = self._outline(zone)
        read: dict[str, Values] = {}
        for name, image in images.items():
            pixels = image.read(place.grid, "nearest" if name in self._classes else self._config.grid.resampling)
            if pixels.outside:
                return None
            read[name] = pixels.values
        rows = []
        for name, measure in self._config.measures.items():
            measured = measure.see(read, place)
            unit = measure.unit or scene.assets[measure.bands[0]].unit
            for metric, statistic in zip(metrics_of(name, measure), measure.statistics, strict=True):
                rows.append(self._row(scene, zone, metric, statistic, measured, unit))
        return rows

    def _row(
        self, scene: Scene, zone: Zone, metric: str, statistic: str, measured: Measured, unit: str | None
    ) -> dict[str, Any]:
        seen = measured.seen
        value = seen.statistics[statistic]
        reason = measured.problem or (NO_VALUE if math.isnan(value) else None)
        row = self._facts(scene, zone, metric) | {
            "value": None if math.isnan(value) else value,
            "unit": unit,
            "std": seen.std if statistic == "mean" and not math.isnan(seen.std) else None,
            "cloud_frac": None if math.isnan(seen.cloud_frac) else seen.cloud_frac,
            "valid_frac": seen.valid_frac,
            "n_obs": measured.n_obs,
            "method_version": METHOD,
        }
        return row if reason is None else row | {"scene": scene.id, "reason": reason}

    def _unreadable_rows(self, scene: Scene, zone: Zone) -> Rows:
        metrics = [metric for name, measure in self._config.measures.items() for metric in metrics_of(name, measure)]
        metrics += [] if self._lots is None else LOT_METRICS
        return [self._facts(scene, zone, metric) | {"scene": scene.id, "reason": UNREADABLE} for metric in metrics]

    def _facts(self, scene: Scene, zone: Zone, metric: str) -> dict[str, Any]:
        """What is told of a value whatever it is."""
        return {
            "entity": self._entity(zone),
            "site": zone.site,
            "metric": metric,
            "event_time": scene.captured,
            "event_end": scene.captured_end,
            "known_time": scene.known,
            # of a lag that is not over yet: a row that was written before it is known would contradict itself
            "ingested_time": max(self._now, scene.known),
            "vintage": scene.vintage or scene.id,
            "supersedes": scene.supersedes or None,
            "sensor": scene.sensor or scene.platform,
            "gsd": scene.gsd,
            "licence": scene.licence,
        }

    def _entity(self, zone: Zone) -> str:
        column = self._config.zones.entity
        return "" if column is None else str(zone.attributes[column] or "")

    def _outline(self, zone: Zone) -> Outline:
        if id(zone) not in self._outlines:
            options = self._config.grid
            grid = grid_of(zone, options.resolution, margin=options.margin, crs=options.crs)
            self._outlines[id(zone)] = outline(zone, grid)
        return self._outlines[id(zone)]
