"""What a scene is: images of one capture, with when it was captured and when it could first be acted on.

All times are nanoseconds since 1970 UTC.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gpu_kernels.durations import format_duration

KNOWN_BEFORE_CAPTURE = "known_before_capture"
DUPLICATE_SCENE = "duplicate_scene"
DUPLICATE_ID = "duplicate_id"
NO_ASSET = "no_asset"
NOT_DELIVERED = "not_delivered"
NO_KNOWN_TIME = "no_known_time"
UNSAFE_HREF = "unsafe_href"


@dataclass(frozen=True, slots=True)
class Asset:
    """One band of one file, and what is said of it beside the file.

    href      absolute path of a local file, or an http(s), s3 or gs address, which is read only where `remote` is set
    band      1-based
    nodata    value that stands for no observation; None: the file's own; NaN: none, every value counts
    scale, offset  value = stored * scale + offset; None: the file's own, which is 1 and 0 where it says nothing
    crs       of a file that says none, e.g. EPSG:26914; it never overrides the file's own
    bounds    least and largest x and y (x, y, x, y) of an image that does not say where it lies, north up, in `crs`
    alpha     whether a band that calls itself alpha tells which pixels are valid; None: where no nodata value does.
              The near infrared of NAIP calls itself alpha
    overviews  whether a grid much coarser than the image may be read from the file's overviews, whose pixels its maker
              averaged or picked: fewer bytes, other values
    """

    href: str
    band: int = 1
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    crs: str | None = None
    alpha: bool | None = None
    remote: bool = False
    unit: str | None = None
    gsd: float | None = None
    bounds: tuple[float, float, float, float] | None = None
    overviews: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """Images of one capture.

    id            unique among the captures of one source; vintages of one capture may share it
    captured      what the pixels are about: the moment, or the start of the interval, of capture
    captured_end  end of the interval; None for a moment
    known         when the scene could first be acted on, by exactly one rule of the config
    assets        our name of the band -> where it lies
    footprint     WKT in longitude and latitude (EPSG:4326), where it is told
    cloud_cover   of the whole scene, in percent, as its maker says: information only. Which pixels of a zone are
                  clear is told by masks
    vintage       the maker's processing version or time, in its words
    supersedes    the vintage (where that does not tell them apart, the id) of the same capture that this one replaces;
                  "" for a first one. Both remain
    site          the only site that it shows, where its name tells; None: any that lies in it
    capture_key   the same for all vintages of one capture; "": its id tells
    """

    id: str
    captured: int
    known: int
    assets: Mapping[str, Asset]
    captured_end: int | None = None
    platform: str | None = None
    sensor: str | None = None
    gsd: float | None = None
    crs: str | None = None
    footprint: str | None = None
    cloud_cover: float | None = None
    licence: str | None = None
    vintage: str = ""
    supersedes: str = ""
    site: str | None = None
    capture_key: str = ""

    @property
    def end(self) -> int:
        """The last moment that the pixels are about."""
        return self.captured if self.captured_end is None else self.captured_end


@dataclass(frozen=True, slots=True)
class SetAside:
    """Something that was not used: what it was (a file, an item, a zone), a reason in one word, and the details."""

    source: str
    reason: str
    detail: str = ""


@dataclass(slots=True)
class Scenes:
    """The scenes of a source in the order of (captured, known, id), what was set aside, and what a person should know
    of how the times came about."""

    scenes: list[Scene] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, told: str) -> None:
        """Adds a warning once."""
        if told not in self.warnings:
            self.warnings.append(told)


def settle(found: Scenes) -> Scenes:
    """The scenes in order, each once, vintages of one capture linked.

    Set aside: a scene known before its capture ended; one that says what an earlier known one of its id said already
    (`duplicate_scene`); and one whose id is that of another capture, or of other contents known at the same moment
    (`duplicate_id`). Scenes of one capture that became known one after the other are vintages of it: all are kept, and
    each supersedes the one before.
    """
    kept: list[Scene] = []
    by_id: dict[str, Scene] = {}
    latest: dict[str, Scene] = {}
    aside = list(found.set_aside)
    for scene in sorted(found.scenes, key=lambda one: (one.known, one.captured, one.id, one.vintage)):
        problem = _problem(scene, by_id.get(scene.id))
        if problem is not None:
            aside.append(problem)
            continue
        capture = scene.capture_key or scene.id
        before = latest.get(capture)
        kept.append(scene if before is None else replace(scene, supersedes=_called(before, scene)))
        by_id[scene.id] = latest[capture] = scene
    kept.sort(key=lambda one: (one.captured, one.known, one.id))
    return Scenes(kept, aside, list(found.warnings))


def _called(before: Scene, scene: Scene) -> str:
    """What a later vintage calls an earlier one: its vintage, or where that is none or its own, its id."""
    return before.id if before.vintage in {"", scene.vintage} else before.vintage


def _problem(scene: Scene, before: Scene | None) -> SetAside | None:
    """Why a scene cannot be used, given the one of its id that was known before it."""
    if scene.known < scene.end:
        early = format_duration(scene.end - scene.known)
        return SetAside(scene.id, KNOWN_BEFORE_CAPTURE, f"known {early} before the capture ended")
    if before is None:
        return None
    if replace(scene, known=before.known) == before:
        return SetAside(scene.id, DUPLICATE_SCENE)
    if scene.captured != before.captured:
        return SetAside(scene.id, DUPLICATE_ID, "another capture has this id")
    if scene.known == before.known:
        return SetAside(scene.id, DUPLICATE_ID, "another scene of this id, known at the same moment, says other things")
    return None


def finite(value: object) -> float | None:
    """A number as float where it is one and finite, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
