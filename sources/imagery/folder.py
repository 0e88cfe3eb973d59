"""Images whose file names tell when they were captured."""

import glob
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from gpu_kernels.errors import ConfigError, DataError
from sources.clocks import UNPARSABLE, to_utc
from sources.files import digest, expand
from sources.imagery.config import AssetOptions, FolderScenes, patterns
from sources.imagery.known import Case, catalogue_warning, known_times
from sources.imagery.scene import DUPLICATE_SCENE, NO_ASSET, Asset, Scene, Scenes, SetAside, settle

OTHER_NAME = "other_name"
EMPTY_FILE = "empty_file"
_FIELD = re.compile(r"\{(date|scene|asset|version|site)(?::([^}]*))?\}|(\*)")
_DIRECTIVES = {"Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{2}", "d": r"\d{2}", "j": r"\d{3}", "b": "[A-Za-z]{3}"}
_CLOCK = {"H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}", "f": r"\d{1,6}"}
_IMAGE = "image"
# what files of one scene share -> the files, with the fields of their names
_Groups = dict[tuple[str, ...], list[tuple[Path, dict[str, str]]]]


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern of file names, e.g. `m_*_1_{date:%Y%m%d}`.

    unit  what the date names: a year, a month, a day, or a moment
    """

    expression: re.Pattern[str]
    date_format: str
    unit: str

    @classmethod
    def parse(cls, text: str) -> "NamePattern":
        """Raises ConfigError for a pattern that names no date, or one that cannot be read."""
        pieces, date_format, at = [], "", 0
        for match in _FIELD.finditer(text):
            pieces.append(re.escape(text[at : match.start()]))
            at = match.end()
            if match[3]:
                pieces.append(".*?")
            elif match[1] == "date":
                date_format = match[2] or "%Y%m%d"
                pieces.append(f"(?P<date>{_date_expression(date_format, text)})")
            else:
                pieces.append(f"(?P<{match[1]}>.+?)")
        pieces.append(re.escape(text[at:]))
        try:
            expression = re.compile("".join(pieces))
        except re.error as error:
            raise ConfigError(f"name {text!r}: {error}", allowed="each field once") from error
        if not date_format:
            raise ConfigError(
                f"name {text!r} tells no date", allowed="{date:%Y%m%d} and other strptime formats, {scene}, {asset}, *"
            )
        return cls(expression, date_format, _unit(date_format, text))

    def captured(self, text: str, zone: ZoneInfo) -> tuple[int, int | None] | None:
        """Start and end of what the text of a date names, in nanoseconds; the end is None of a moment.
        None where the text is no date, such as 20200230."""
        return _captured(text, self.date_format, self.unit, zone.key)


@lru_cache(maxsize=2**16)
def _captured(text: str, date_format: str, unit: str, zone: str) -> tuple[int, int | None] | None:
    """See NamePattern.captured; the files of one date share it."""
    try:
        start = datetime.strptime(text, date_format)
        ends = {
            "moment": start,
            "day": start + timedelta(days=1),
            "month": (start.replace(day=1) + timedelta(days=32)).replace(day=1),
            "year": start.replace(year=start.year + 1, day=1, month=1),
        }
    except (ValueError, OverflowError):
        return None
    return _utc(start, zone), _utc(ends[unit], zone) if unit != "moment" else None


def scenes(options: FolderScenes, variables: Mapping[str, str]) -> Scenes:
    """The scenes of a folder. One file is one scene, unless {asset} in `name` groups files.

    A name that tells only a day, a month or a year is about all of it: captured is its start, captured_end its end, in
    `timezone`; the lag of `known` counts from the END. A local time that the change of the clocks makes ambiguous is
    read as the later one, so that nothing is known too early.

    Set aside: a name that the pattern does not fit (`other_name`), a date that is none (`unparsable_time`), an empty
    file, a file of the same bytes as another of the same capture (`duplicate_scene`), and what `scene.settle` says.
    Two different files of one capture are two scenes: tiles, or, with {version}, vintages.
    Raises DataError where no file matches, ConfigError for a pattern without a date.
    """
    pattern = NamePattern.parse(options.name)
    zone = ZoneInfo(options.timezone)
    found = Scenes()
    groups: _Groups = {}
    for path in _paths(options, variables):
        match = pattern.expression.fullmatch(path.stem)
        problem = _unusable(path, match, pattern, zone)
        if problem is not None:
            found.set_aside.append(problem)
            continue
        fields = {name: text for name, text in match.groupdict().items() if text}  # type: ignore[union-attr]
        groups.setdefault(_group(path, fields), []).append((path, fields))
    _leave_out_copies(groups, found)
    names = _names(groups)
    drafts = [_draft(names[key], files, pattern, zone) for key, files in groups.items()]
    cases = [Case(draft.end, (draft.id, *draft.hrefs), draft.look) for draft in drafts]
    for draft, told in zip(drafts, known_times(options.known, variables, cases), strict=True):
        if told.time is None:
            found.set_aside.append(SetAside(draft.id, told.reason, told.detail))
            continue
        assets = _assets(draft, options, found)
        if assets is not None:
            found.scenes.append(draft.scene(assets, told.time, options))
    if (warning := catalogue_warning(options.known)) is not None:
        found.warn(warning)
    return settle(found)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A scene whose known time is not yet told."""

    id: str
    fields: dict[str, str]
    captured: int
    captured_end: int | None
    files: dict[str, Path]
    capture_key: str

    @property
    def end(self) -> int:
        return self.captured if self.captured_end is None else self.captured_end

    @property
    def hrefs(self) -> list[str]:
        return [str(path) for path in self.files.values()]

    def look(self, name: str) -> object:
        """Of a file there is nothing to look up but what its name says."""
        return self.fields.get(name)

    def scene(self, assets: dict[str, Asset], known: int, options: FolderScenes) -> Scene:
        return Scene(
            self.id,
            self.captured,
            known,
            assets,
            self.captured_end,
            sensor=options.sensor,
            gsd=options.gsd,
            licence=options.licence,
            vintage=self.fields.get("version", ""),
            site=self.fields.get("site"),
            capture_key=self.capture_key,
        )


def _paths(options: FolderScenes, variables: Mapping[str, str]) -> list[Path]:
    found = []
    for pattern in patterns(options.files):
        expanded = expand(pattern, variables)
        paths = [path for path in sorted(glob.glob(expanded, recursive=True)) if os.path.isfile(path)]
        if not paths:
            raise DataError(f"no file matches {expanded}", hint="check the path, and the variables in it")
        found += [Path(path).absolute() for path in paths]
    return list(dict.fromkeys(found))


def _unusable(path: Path, match: re.Match[str] | None, pattern: NamePattern, zone: ZoneInfo) -> SetAside | None:
    if match is None:
        return SetAside(str(path), OTHER_NAME, "the pattern of names does not fit")
    if pattern.captured(match["date"], zone) is None:
        return SetAside(str(path), UNPARSABLE, f"{match['date']!r} is no date of {pattern.date_format}")
    return SetAside(str(path), EMPTY_FILE, "0 bytes") if path.stat().st_size == 0 else None


def _group(path: Path, fields: dict[str, str]) -> tuple[str, ...]:
    """What files of one scene share: all that the name tells but the asset."""
    if "asset" not in fields:
        return (str(path),)
    return (str(path.parent), *(f"{name}={text}" for name, text in sorted(fields.items()) if name != "asset"))


def _leave_out_copies(groups: _Groups, found: Scenes) -> None:
    """Files of one date and asset that hold the same bytes: the first by path stays."""
    seen: dict[tuple[str, str, str, int], list[Path]] = {}
    for key, files in list(groups.items()):
        for path, fields in list(files):
            of = (fields["date"], fields.get("asset", ""), fields.get("site", ""), path.stat().st_size)
            copies = [other for other in seen.get(of, []) if digest(other) == digest(path)]
            if copies:
                found.set_aside.append(SetAside(str(path), DUPLICATE_SCENE, f"the same bytes as {copies[0].name}"))
                files.remove((path, fields))
            seen.setdefault(of, []).append(path)
        if not files:
            del groups[key]


def _names(groups: _Groups) -> dict[tuple[str, ...], str]:
    """The id of each scene: its {scene}, else what its file's name tells, with its folder where names repeat."""
    names = {}
    for key, files in groups.items():
        path, fields = files[0]
        told = "_".join(text for name, text in fields.items() if name != "asset")
        names[key] = fields.get("scene") or (told if "asset" in fields else path.stem)
    counts = Counter(names.values())
    for key, files in groups.items():
        path, fields = files[0]
        if counts[names[key]] > 1 and "scene" not in fields:
            names[key] = f"{path.parent.name}/{names[key]}"
    return names


def _draft(name: str, files: list[tuple[Path, dict[str, str]]], pattern: NamePattern, zone: ZoneInfo) -> _Draft:
    first, fields = files[0]
    told = pattern.captured(fields["date"], zone)
    assert told is not None
    # vintages of one capture share all that a name tells but the version
    capture = {name: text for name, text in fields.items() if name not in {"asset", "version"}}
    shared = f"{first.parent}:{sorted(capture.items())}" if "version" in fields else ""
    return _Draft(name, fields, *told, {each.get("asset", _IMAGE): path for path, each in files}, shared)


def _assets(draft: _Draft, options: FolderScenes, found: Scenes) -> dict[str, Asset] | None:
    """Our bands of a scene; None where one of them is missing, which sets it aside."""
    wanted = options.assets or {name: AssetOptions() for name in draft.files}
    assets = {}
    for name, told in wanted.items():
        asset = told.asset or (name if name in draft.files else _IMAGE)
        path = draft.files.get(asset)
        if path is None:
            has = ", ".join(draft.files)
            found.set_aside.append(SetAside(draft.id, NO_ASSET, f"no {asset!r} for {name!r}; it has {has}"))
            return None
        if isinstance(told.band, str):
            raise ConfigError(f"assets.{name}.band: {told.band!r}", allowed="the number of a band, from 1, of files")
        assets[name] = Asset(
            str(path),
            told.band or 1,
            told.nodata,
            told.scale,
            told.offset,
            told.crs or options.crs,
            told.alpha,
            unit=told.unit,
            gsd=options.gsd,
            bounds=told.bounds,
            overviews=told.overviews,
        )
    return assets


def _date_expression(date_format: str, text: str) -> str:
    pieces, at = [], 0
    for match in re.finditer(r"%(.)", date_format):
        directive = {**_DIRECTIVES, **_CLOCK}.get(match[1])
        if directive is None:
            allowed = " ".join(f"%{name}" for name in {**_DIRECTIVES, **_CLOCK})
            raise ConfigError(f"name {text!r}: %{match[1]} in a date", allowed=allowed)
        pieces += [re.escape(date_format[at : match.start()]), directive]
        at = match.end()
    return "".join([*pieces, re.escape(date_format[at:])])


def _unit(date_format: str, text: str) -> str:
    told = set(re.findall(r"%(.)", date_format))
    if not told & {"Y", "y"}:
        raise ConfigError(f"name {text!r}: its date tells no year", allowed="%Y or %y")
    if told & set(_CLOCK):
        return "moment"
    if "j" in told or "d" in told:
        return "day"
    return "month" if told & {"m", "b"} else "year"


def _utc(local: datetime, zone: str) -> int:
    frame = pl.DataFrame({"time": [local]}, schema={"time": pl.Datetime("us")})
    return int(frame.select(to_utc(pl.col("time"), zone).to_physical())["time"][0])
