"""Scenes over zones into observations: rows of the metric table, appended to a log.

Scene by scene, in the order in which they became known, each band opened once; of each zone only its own window is
read. Memory is bounded by one zone's pixels and one part's rows, whatever the number of scenes.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gpu_kernels.errors import ConfigError, DataError
from sources.files import expand
from sources.hold import holding
from sources.imagery.find import find_scenes
from sources.imagery.footprint import may_show
from sources.imagery.grid import grid_of
from sources.imagery.measures import Measured
from sources.imagery.observation_log import ROWS, ROWS_ASIDE, SCENE_ROWS, ObservationLog, content_of
from sources.imagery.observe_config import ObservationConfig, metrics_of
from sources.imagery.observe_lots import LotObserver
from sources.imagery.raster import Image, open_asset
from sources.imagery.scene import NO_ASSET, Scene, Scenes, SetAside
from sources.imagery.zonal import Outline, Values, outline
from sources.imagery.zones import Zone, Zones, read_zones
from sources.schema import TIME

METHOD = "zonal-1"
UNREADABLE = "unreadable"
NO_ZONE = "no_zone"
CHANGED = "changed_after_it_was_observed"
OUTSIDE_ALL = "outside_every_scene"
TOO_LARGE = "too_large"
_PART_ROWS = 200_000
Progress = Callable[[str, float | None], None]


def _silent(_stage: str, _share: float | None) -> None:
    pass


@dataclass(slots=True)
class Observed:
    """What one call did.

    counts     scenes (all that the config names), observed, before (were in the log already), failed; zones; rows;
               set_aside (values), outside (pairs of a zone and a scene that does not show it)
    set_aside  scenes and zones that were not used, with the reason
    warnings   what a person should know of how the times came about
    """

    counts: Counter[str] = field(default_factory=Counter)
    set_aside: list[SetAside] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def observe(
    config: ObservationConfig,
    target: Path,
    variables: Mapping[str, str],
    *,
    retry: bool = False,
    progress: Progress = _silent,
    now: datetime | None = None,
) -> Observed:
    """Appends what is new to the log in `target`, and tells what was done.

    A scene that is in the log is not observed again. Where its files changed since, it is set aside: what was seen
    then stays, and a corrected image has to come as a later vintage with a known time of its own. A scene that cannot
    be read fails alone.

    retry  scenes that failed before are tried again
    now    `ingested_time` of the rows; None: the moment of the call

    Raises ConfigError and DataError for zones or scenes that cannot be told at all, BusyError where another process
    appends to the log.
    """
    zones = _zones(config, variables)
    found = find_scenes(config.scenes, variables)
    usable, unusable = _on_grids(zones.zones, config)
    told = Observed(warnings=list(found.warnings))
    told.set_aside = [*zones.set_aside, *unusable, *found.set_aside]
    if zones.repaired:
        told.warnings.append(f"{zones.repaired} invalid polygons were repaired")
    with holding(target, wait=False):
        log = ObservationLog(target, config.model_dump(mode="json"))
        lots = None
        if config.lots is not None:
            lots = LotObserver(config.lots, config.grid, usable, variables, target, len(log.parts))
            told.set_aside += lots.set_aside
        work = _Work(config, usable, told, (now or datetime.now(UTC)).astimezone(UTC), lots)
        _run(work, log, found, retry, progress)
    return told


def _zones(config: ObservationConfig, variables: Mapping[str, str]) -> Zones:
    options = config.zones
    path = Path(expand(options.file, variables))
    found = read_zones(
        path,
        site=options.site,
        crs=options.crs,
        layer=options.layer,
        valid_from=options.valid_from,
        valid_to=options.valid_to,
        timezone=options.timezone,
        parts=options.parts,
    )
    if not found.zones:
        why = f"; the first: {found.set_aside[0].reason}" if found.set_aside else ""
        raise DataError(f"{path} has no zone that can be used{why}", allowed="polygons with an area and an id")
    if options.entity is not None and options.entity not in found.zones[0].attributes:
        raise ConfigError(
            f"{path} has no column {options.entity!r}", allowed=", ".join(map(str, found.zones[0].attributes)) or "none"
        )
    return found


def _on_grids(zones: list[Zone], config: ObservationConfig) -> tuple[list[Zone], list[SetAside]]:
    """The zones that have a grid, and those that would need too many pixels: one of these alone must not make every
    scene fail. Raises DataError where none has a grid, ConfigError for a CRS of the grids that is none."""
    usable, aside = [], []
    for zone in zones:
        try:
            grid_of(zone, config.grid.resolution, margin=config.grid.margin, crs=config.grid.crs)
        except DataError as error:
            aside.append(SetAside(zone.site, TOO_LARGE, str(error)))
        else:
            usable.append(zone)
    if not usable:
        raise DataError(f"no zone can be read: {aside[0].detail}")
    return usable, aside


def _run(work: "_Work", log: ObservationLog, found: Scenes, retry: bool, progress: Progress) -> None:
    before = {
        (scene, vintage): (content, reason)
        for scene, vintage, content, reason in log.scenes().select("scene", "vintage", "content", "reason").iter_rows()
    }
    counts = work.told.counts
    scenes = sorted(found.scenes, key=lambda one: (one.known, one.captured, one.id, one.vintage))
    counts.update({"scenes": len(scenes), "zones": len(work.zones), "before": 0, "observed": 0, "failed": 0})
    for number, scene in enumerate(scenes):
        progress(f"observe: {scene.id}", number / len(scenes))
        content = _content(scene, work.config.assets)
        seen, reason = before.get((scene.id, scene.vintage), (None, None))
        if seen is not None and (reason is None or not retry):
            counts["before"] += 1
            if reason is None and seen != content:
                work.told.set_aside.append(SetAside(scene.id, CHANGED, "the log keeps what was observed before"))
            continue
        work.take(scene, content)
        if work.pending >= _PART_ROWS:
            work.write(log)
    work.write(log)
    if work.shown is not None:
        never = [zone.site for zone in work.zones if zone.site not in work.shown]
        work.told.set_aside += [SetAside(site, OUTSIDE_ALL) for site in never]


def _content(scene: Scene, assets: list[str]) -> str:
    local = [Path(scene.assets[name].href) for name in assets if name in scene.assets]
    return content_of([path for path in local if "://" not in str(path)])


class _Work:
    """Zones and measures, each zone's outline made once, and the rows of the part at hand."""

    def __init__(
        self, config: ObservationConfig, zones: list[Zone], told: Observed, now: datetime, lots: LotObserver | None
    ) -> None:
        self.config, self.zones, self.told, self._lots = config, zones, told, lots
        self.shown: set[str] | None = None
        self._now = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
        self._outlines: dict[int, Outline] = {}
        self._rows: list[dict[str, Any]] = []
        self._aside: list[dict[str, Any]] = []
        self._scenes: list[dict[str, Any]] = []
        self._classes = {name for measure in config.measures.values() for name in measure.classes}

    @property
    def pending(self) -> int:
        return len(self._rows) + len(self._aside)

    def take(self, scene: Scene, content: str) -> None:
        """Observes one scene; nothing of it is kept where it fails."""
        rows, aside = len(self._rows), len(self._aside)
        reason, detail, zones = None, "", 0
        try:
            zones = self._observe(scene)
            reason = None if zones else NO_ZONE
        except DataError as error:
            del self._rows[rows:], self._aside[aside:]
            reason, detail = UNREADABLE, str(error)
        if reason is not None:
            self.told.set_aside.append(SetAside(scene.id, reason, detail))
        self.told.counts["failed" if reason == UNREADABLE else "observed"] += 1
        self._scenes.append(
            {
                "scene": scene.id,
                "vintage": scene.vintage,
                "captured": scene.captured,
                "known": scene.known,
                "content": content,
                "zones": zones,
                "rows": len(self._rows) - rows,
                "reason": reason,
                "detail": detail,
            }
        )

    def write(self, log: ObservationLog) -> None:
        """The part at hand into the log."""
        if not self._scenes:
            return
        self.told.counts.update({"rows": len(self._rows), "set_aside": len(self._aside)})
        part = len(log.parts) + 1
        if self._lots is not None:
            self._lots.save(part)
        log.append(_frame(self._rows, ROWS), _frame(self._aside, ROWS_ASIDE), _frame(self._scenes, SCENE_ROWS))
        if self._lots is not None:
            self._lots.forget(part)
        self._rows, self._aside, self._scenes = [], [], []

    def _observe(self, scene: Scene) -> int:
        """How many zones it shows."""
        missing = [name for name in self.config.assets if name not in scene.assets]
        if missing:
            raise DataError(f"scene {scene.id} has no asset {missing[0]!r} ({NO_ASSET})")
        zones = [zone for zone in self._valid(scene) if self._near(scene, zone)]
        if not zones:  # a scene of elsewhere is not even opened
            return 0
        with ExitStack() as stack:
            images = {name: stack.enter_context(open_asset(scene.assets[name])) for name in self.config.measured}
            shown = sum(self._zone(scene, zone, images) for zone in zones) if images else 0
        return max(shown, self._see_lots(self._lots, scene, zones)) if self._lots is not None else shown

    def _see_lots(self, lots: LotObserver, scene: Scene, zones: list[Zone]) -> int:
        """How many of the zones it shows as lots."""
        rows, sites = lots.see(scene, zones)
        self.shown = (self.shown or set()) | set(sites)
        if not self.config.measures:
            self.told.counts["outside"] += len(zones) - len(sites)
        entities = {zone.site: self._entity(zone) for zone in zones}
        for row in rows:
            row |= {"entity": entities[row["site"]], "ingested_time": max(self._now, scene.known)}
            if row["value"] is None:
                self._aside.append({**row, "scene": scene.id, "reason": row["quality"]})
            else:
                self._rows.append(row)
        return len(sites)

    def _entity(self, zone: Zone) -> str:
        column = self.config.zones.entity
        return "" if column is None else str(zone.attributes[column] or "")

    def _valid(self, scene: Scene) -> Iterator[Zone]:
        for zone in self.zones:
            if zone.valid_at(scene.captured) and scene.site in {None, zone.site}:
                yield zone

    def _near(self, scene: Scene, zone: Zone) -> bool:
        """Whether the scene's footprint leaves it open that the zone is seen."""
        self.shown = self.shown or set()
        if may_show(scene, zone):
            return True
        self.told.counts["outside"] += 1
        return False

    def _zone(self, scene: Scene, zone: Zone, images: Mapping[str, Image]) -> bool:
        """Whether the scene shows the zone."""
        place = self._outline(zone)
        self.shown = self.shown or set()
        read: dict[str, Values] = {}
        for name, image in images.items():
            pixels = image.read(place.grid, "nearest" if name in self._classes else self.config.grid.resampling)
            if pixels.outside:
                self.told.counts["outside"] += 1
                return False
            read[name] = pixels.values
        self.shown.add(zone.site)
        for name, measure in self.config.measures.items():
            measured = measure.see(read, place)
            unit = measure.unit or scene.assets[measure.bands[0]].unit
            for metric, statistic in zip(metrics_of(name, measure), measure.statistics, strict=True):
                self._keep(scene, zone, metric, statistic, measured, unit)
        return True

    def _keep(
        self, scene: Scene, zone: Zone, metric: str, statistic: str, measured: Measured, unit: str | None
    ) -> None:
        seen = measured.seen
        value = seen.statistics[statistic]
        row = {
            "entity": self._entity(zone),
            "site": zone.site,
            "metric": metric,
            "event_time": scene.captured,
            "event_end": scene.captured_end,
            "known_time": scene.known,
            "value": None if math.isnan(value) else value,
            "unit": unit,
            "std": seen.std if statistic == "mean" and not math.isnan(seen.std) else None,
            "cloud_frac": None if math.isnan(seen.cloud_frac) else seen.cloud_frac,
            "valid_frac": seen.valid_frac,
            "n_obs": measured.n_obs,
            # of a lag that is not over yet: a row that was written before it is known would contradict itself
            "ingested_time": max(self._now, scene.known),
            "vintage": scene.vintage or scene.id,
            "supersedes": scene.supersedes or None,
            "sensor": scene.sensor or scene.platform,
            "gsd": scene.gsd,
            "method_version": METHOD,
            "licence": scene.licence,
        }
        if measured.problem is None and row["value"] is not None:
            self._rows.append(row)
        else:
            self._aside.append({**row, "scene": scene.id, "reason": measured.problem or "no_value"})

    def _outline(self, zone: Zone) -> Outline:
        if id(zone) not in self._outlines:
            options = self.config.grid
            grid = grid_of(zone, options.resolution, margin=options.margin, crs=options.crs)
            self._outlines[id(zone)] = outline(zone, grid)
        return self._outlines[id(zone)]


def _frame(rows: list[dict[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """Rows as a frame; times are nanoseconds, or moments."""
    columns = {}
    for name, dtype in schema.items():
        values = [row.get(name) for row in rows]
        if dtype == TIME:
            ticks = [_nanoseconds(value) for value in values]
            columns[name] = pl.Series(name, ticks, dtype=pl.Int64).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
        else:
            columns[name] = pl.Series(name, values, dtype=dtype)
    return pl.DataFrame(columns)


def _nanoseconds(value: Any) -> int | None:
    if isinstance(value, datetime):
        return int(np.datetime64(value.replace(tzinfo=None), "ns").astype(np.int64))
    return value if value is None else int(value)
