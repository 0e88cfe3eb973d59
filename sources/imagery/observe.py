"""Scenes over zones into observations: rows of the metric table, appended to a log.

Scene by scene, in the order in which they became known, each band opened once; of each zone only its own window is
read. Memory is bounded by one zone's pixels and one part's rows, whatever the number of scenes.
"""

from collections import Counter
from collections.abc import Callable, Mapping
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
from sources.imagery.grid import grid_of
from sources.imagery.observation_log import ROWS, ROWS_ASIDE, SCENE_ROWS, ObservationLog, content_of
from sources.imagery.observe_config import ObservationConfig
from sources.imagery.observe_lots import LotObserver
from sources.imagery.observe_scene import UNREADABLE, SceneObserver, SceneRows
from sources.imagery.scene import Scene, Scenes, SetAside
from sources.imagery.zones import Zone, Zones, read_zones
from sources.schema import TIME

PARTLY_UNREADABLE = "partly_unreadable"
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

    counts     scenes (all that the config names), observed, before (were in the log already, failed_before of them
               as failures), failed; zones; rows;
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
    be read fails alone, and so does a zone of which one scene's pixels cannot be read.

    retry  scenes that failed before, and of others the zones that did, are tried again
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
        told.counts["zones"] = len(usable)
        since = (now or datetime.now(UTC)).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        observer = SceneObserver(config, usable, since // timedelta(microseconds=1) * 1000, lots)
        _run(_Part(log, lots, told), observer, found, config.assets, retry, progress)
        if told.counts["looked"]:
            seen = log.sites()
            told.set_aside += [SetAside(zone.site, OUTSIDE_ALL) for zone in usable if zone.site not in seen]
        del told.counts["looked"]
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


def _run(
    part: "_Part", observer: SceneObserver, found: Scenes, assets: list[str], retry: bool, progress: Progress
) -> None:
    told, counts = part.told, part.told.counts
    before = {
        (row["scene"], row["vintage"]): row
        for row in part.log.scenes().select("scene", "vintage", "content", "reason", "unreadable").iter_rows(named=True)
    }
    scenes = sorted(found.scenes, key=lambda one: (one.known, one.captured, one.id, one.vintage))
    counts.update({"scenes": len(scenes), "before": 0, "observed": 0, "failed": 0, "failed_before": 0})
    for number, scene in enumerate(scenes):
        done = f"{counts['observed']} observed, {counts['before']} before, {counts['failed']} failed"
        progress(f"observe: {scene.id}, {number + 1} of {len(scenes)} ({done})", number / len(scenes))
        content = _content(scene, assets)
        seen = before.get((scene.id, scene.vintage))
        if seen is not None and seen["reason"] in {None, PARTLY_UNREADABLE} and seen["content"] != content:
            told.set_aside.append(SetAside(scene.id, CHANGED, "the log keeps what was observed before"))
        if seen is not None and (seen["reason"] is None or not retry):
            counts["before"] += 1
            counts["failed_before"] += seen["reason"] in {UNREADABLE, PARTLY_UNREADABLE}
            continue
        part.take(scene, content, observer, seen["unreadable"] if seen is not None else None)
        if part.pending >= _PART_ROWS:
            part.write()
    part.write()


def _content(scene: Scene, assets: list[str]) -> str:
    local = [Path(scene.assets[name].href) for name in assets if name in scene.assets]
    return content_of([path for path in local if "://" not in str(path)])


class _Part:
    """The part of the log at hand."""

    def __init__(self, log: ObservationLog, lots: LotObserver | None, told: Observed) -> None:
        self.log, self.told, self._lots = log, told, lots
        self._rows: list[dict[str, Any]] = []
        self._aside: list[dict[str, Any]] = []
        self._scenes: list[dict[str, Any]] = []

    @property
    def pending(self) -> int:
        return len(self._rows) + len(self._aside)

    def take(self, scene: Scene, content: str, observer: SceneObserver, left: list[str] | None) -> None:
        """Observes one scene; nothing of it is kept where it fails.

        left  the sites that could not be read before; None or none: all
        """
        reason, detail, found = None, "", SceneRows()
        unreadable = left or []
        try:
            found = observer.see(scene, only=left or None)
            unreadable = list(found.unreadable)
            if unreadable:
                reason = PARTLY_UNREADABLE
                detail = f"{len(unreadable)} zones; the first: {found.unreadable[unreadable[0]]}"
            elif not found.shown and not left:
                reason = NO_ZONE
        except DataError as error:
            reason, detail = PARTLY_UNREADABLE if left else UNREADABLE, str(error)
        if reason is not None:
            self.told.set_aside.append(SetAside(scene.id, reason, detail))
        counts = self.told.counts
        counts["failed" if reason == UNREADABLE else "observed"] += 1
        counts.update({"outside": found.outside, "looked": found.zones})
        self._rows += found.rows
        self._aside += found.aside
        self._scenes.append(
            {
                "scene": scene.id,
                "vintage": scene.vintage,
                "captured": scene.captured,
                "known": scene.known,
                "content": content,
                "zones": found.shown,
                "rows": len(found.rows),
                "reason": reason,
                "detail": detail,
                "unreadable": unreadable,
            }
        )

    def write(self) -> None:
        """The part at hand into the log."""
        if not self._scenes:
            return
        self.told.counts.update({"rows": len(self._rows), "set_aside": len(self._aside)})
        part = len(self.log.parts) + 1
        if self._lots is not None:
            self._lots.save(part)
        self.log.append(_frame(self._rows, ROWS), _frame(self._aside, ROWS_ASIDE), _frame(self._scenes, SCENE_ROWS))
        if self._lots is not None:
            self._lots.forget(part)
        self._rows, self._aside, self._scenes = [], [], []


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
