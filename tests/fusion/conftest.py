"""A small simulated market, ingested once, for the tests of the whole spine."""

import pytest
from small_market import CONFIGS, SMALL, Market

from fusion.config import load
from fusion.pipeline import ingest
from fusion.pipeline import load as load_tables
from fusion.plan import make_plan


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine adds no lines to what a command says."""
    monkeypatch.setattr("fusion.console.PATIENCE", 3600.0)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """24 sessions of the embedded market with every planted effect on."""
    lake = tmp_path_factory.mktemp("lake")
    config = load(CONFIGS / "demo.yaml", SMALL)
    plan = make_plan(config, lake)
    return Market(config, plan, load_tables(plan, ingest(config, lake=lake, plan=plan), lake=lake), lake)
