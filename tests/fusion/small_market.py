"""What the tests of the whole spine share: the small market's settings and what holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fusion.config import RunConfig
from fusion.plan import Plan

CONFIGS = Path(__file__).resolve().parent.parent.parent / "configs"

SMALL = [
    "simulate.sessions=24",
    "walk_forward.train_sessions=10",
    "walk_forward.refit_sessions=5",
    "model.trees=20",
    "model.min_rows_leaf=20",
    "selection.min_features=2",
    "selection.min_sessions=5",
    "evaluation.bootstrap=100",
    "model.interval.min_sessions=5",
    "model.probability.min_sessions=5",
]


@dataclass(frozen=True)
class Market:
    """An ingested config, ready for `study`."""

    config: RunConfig
    plan: Plan
    tables: Mapping[str, pl.DataFrame]
    lake: Path
