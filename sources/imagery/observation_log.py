"""The log of observations: what was observed of scenes, appended part by part and never changed.

    FOLDER/observation.json                what the log is of: the config, and its hash
    FOLDER/parts/000001/observations.parquet    rows of the metric table, as a source of `table: metric` reads them
                        set_aside.parquet       values that are not to be used, with the reason: too few clear pixels
                        scenes.parquet          each scene: its content, when known, how many rows, or why it has none,
                                                and the sites that could not be read

A part is written under another name and renamed when it is whole, so that after a kill the log is as it was before the
part. What a part holds is settled: a scene that is there is not observed again.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from gpu_kernels.errors import ConfigError, DataError, one_line
from sources.schema import TABLES, TIME

PARTS, RECORD = "parts", "observation.json"
OBSERVATIONS, SET_ASIDE, SCENES = "observations.parquet", "set_aside.parquet", "scenes.parquet"
ROWS: dict[str, pl.DataType] = TABLES["metric"].schema
ROWS_ASIDE: dict[str, Any] = {**ROWS, "scene": pl.String(), "reason": pl.String()}
SCENE_ROWS: dict[str, Any] = {
    "scene": pl.String(),
    "vintage": pl.String(),
    "captured": TIME,
    "known": TIME,
    "content": pl.String(),
    "zones": pl.Int64(),
    "rows": pl.Int64(),
    "reason": pl.String(),
    "detail": pl.String(),
    "unreadable": pl.List(pl.String()),
}
_OF_SITES = (OBSERVATIONS, SET_ASIDE)
_SAMPLE = 2**16


class ObservationLog:
    """A log in a folder, which is made where it is missing.

    Raises ConfigError where the folder holds the log of another config: its rows would mean other things; DataError
    where it holds something that is none.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        text = json.dumps(config, sort_keys=True, default=str)
        record = {"config": json.loads(text), "hash": hashlib.sha256(text.encode()).hexdigest()[:12]}
        path = folder / RECORD
        if path.exists():
            self._check(path, record)
        elif folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty and holds no log of observations", hint="give a new folder")
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        for left in (folder / PARTS).glob(".*"):
            shutil.rmtree(left)  # half written by a process that was killed
        if not path.exists():
            temporary = path.with_name(f".{path.name}")
            temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            os.replace(temporary, path)

    @property
    def parts(self) -> list[Path]:
        """The folders of parts, in order."""
        return sorted(path for path in (self.folder / PARTS).iterdir() if path.name.isdigit())

    def scenes(self) -> pl.DataFrame:
        """Every scene that was looked at, in order; of one that failed and was tried again, each time."""
        return self._read(SCENES, SCENE_ROWS)

    def observations(self) -> pl.DataFrame:
        """All rows, in the order in which they were appended."""
        return self._read(OBSERVATIONS, ROWS)

    def set_aside(self) -> pl.DataFrame:
        return self._read(SET_ASIDE, ROWS_ASIDE)

    def sites(self) -> set[str]:
        """All that have a row, whether of a value or of one that was set aside."""
        frames = [pl.read_parquet(part / name, columns=["site"]) for part in self.parts for name in _OF_SITES]
        return {site for frame in frames for site in frame["site"].unique().to_list()}

    def append(self, observations: pl.DataFrame, aside: pl.DataFrame, scenes: pl.DataFrame) -> None:
        """One part."""
        number = len(self.parts) + 1
        path = self.folder / PARTS / f"{number:06d}"
        filling = path.with_name(f".{path.name}")
        filling.mkdir()
        for name, frame, schema in (
            (OBSERVATIONS, observations, ROWS),
            (SET_ASIDE, aside, ROWS_ASIDE),
            (SCENES, scenes, SCENE_ROWS),
        ):
            frame.select(pl.col(column).cast(dtype) for column, dtype in schema.items()).write_parquet(
                filling / name, compression="zstd"
            )
        os.replace(filling, path)

    def _read(self, name: str, schema: dict[str, Any]) -> pl.DataFrame:
        frames = []
        for part in self.parts:
            try:
                frame = pl.read_parquet(part / name)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise DataError(f"{part / name} cannot be read: {one_line(error)}", hint="give a new folder") from error
            if frame.schema != pl.Schema(schema):
                wrong = sorted(set(frame.columns) ^ set(schema))
                raise DataError(
                    f"{part / name} was written by another version: {', '.join(wrong) or 'other types'}",
                    hint="give a new folder; the images are observed anew",
                )
            frames.append(frame)
        return pl.concat(frames) if frames else pl.DataFrame(schema=schema)

    def _check(self, path: Path, record: dict[str, Any]) -> None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["config"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} cannot be read: {error}", hint="give a new folder") from error
        if found != record["config"]:
            changed = sorted(key for key in {*found, *record["config"]} if found.get(key) != record["config"].get(key))
            raise ConfigError(
                f"{self.folder} is the log of another config: {', '.join(changed)} differ",
                hint="give a new folder; a log is never rewritten",
            )


def content_of(paths: list[Path]) -> str:
    """What tells whether files are those of before: a hash over their sizes, first and last 64 KiB."""
    found = hashlib.sha256()
    for path in paths:
        try:
            size = path.stat().st_size
            with open(path, "rb") as stream:
                head = stream.read(_SAMPLE)
                stream.seek(max(size - _SAMPLE, 0))
                tail = stream.read(_SAMPLE)
        except OSError:
            size, head, tail = -1, b"", b""
        found.update(f"{path.name} {size} ".encode() + head + tail)
    return found.hexdigest()[:16]
