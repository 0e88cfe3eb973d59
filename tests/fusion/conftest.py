"""A small simulated market, ingested once, for the tests of the whole spine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from fusion.config import RunConfig, load
from fusion.pipeline import ingest
from fusion.pipeline import load as load_tables
from fusion.plan import Plan, make_plan

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
]


@dataclass(frozen=True)
class Market:
    """An ingested config, ready for `study`."""

    config: RunConfig
    plan: Plan
    tables: Mapping[str, pl.DataFrame]
    lake: Path


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """24 sessions of the embedded market with every planted effect on."""
    lake = tmp_path_factory.mktemp("lake")
    config = load(CONFIGS / "demo.yaml", SMALL)
    plan = make_plan(config, lake)
    return Market(config, plan, load_tables(plan, ingest(config, lake=lake, plan=plan), lake=lake), lake)
