"""What a study of selection needs of one seed, and how it is kept on disk."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fusion.config import RunConfig

FRAMES = ("features", "labels", "sessions", "observations", "kinds", "truth")


@dataclass(frozen=True)
class Sample:
    """One seed of a market whose truth is known.

    features       entity, session, decision_time, and the candidates
    labels         the same decisions, return_<h> and label_end_<h>
    sessions       session, open
    observations   session, time, and the inputs of the regime model
    kinds          feature, kind (what it is made of)
    truth          feature, regime (state of the model; 0 the lower first input), driver: a feature shows a driver that
                   moves prices in that regime; without effects none does
    """

    features: pl.DataFrame
    labels: pl.DataFrame
    sessions: pl.DataFrame
    observations: pl.DataFrame
    kinds: pl.DataFrame
    truth: pl.DataFrame


@dataclass(frozen=True)
class Source:
    """Where seeds come from: a name, the settings by which they are judged, and what makes a seed."""

    name: str
    config: RunConfig
    make: Callable[[int, bool, Path], Sample]


def kept(source: Source, seed: int, effects: bool, folder: Path) -> Sample:
    """The sample of a seed, made where `folder` does not hold it yet; it appears there when it is whole."""
    place = folder / f"{source.name}-{'on' if effects else 'off'}-{seed}"
    if not place.is_dir():
        work = folder / f".{place.name}.{os.getpid()}"
        work.mkdir(parents=True, exist_ok=True)
        try:
            made = source.make(seed, effects, work)
            (work / "sample").mkdir()
            for name in FRAMES:
                getattr(made, name).write_parquet(work / "sample" / f"{name}.parquet", compression="zstd")
            os.replace(work / "sample", place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return Sample(*(pl.read_parquet(place / f"{name}.parquet") for name in FRAMES))
