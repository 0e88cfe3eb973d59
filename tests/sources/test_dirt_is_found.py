"""The embedded market knows which rows are bad: ingest sets aside those, line by line, and no other."""

from pathlib import Path

import polars as pl
import pytest
import yaml

from sources.config import parse_source
from sources.lake import IngestResult, ingest, read
from sources.simulate import SimulationConfig, simulate, write
from sources.stream import in_order

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "demo.yaml"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write(simulate(SimulationConfig(seed=3, sessions=3)), folder)
    return folder


def ingested(market: Path, name: str) -> IngestResult:
    entry = yaml.safe_load(CONFIG.read_text())["sources"][name] | {"quarantine_limit": 1.0}
    return ingest(
        name, parse_source(name, entry), calendar="XNYS", lake=market / "lake", variables={"SIMULATED": str(market)}
    )


@pytest.mark.parametrize("name", ["bars", "book", "headlines", "lots", "macro"])
def test_exactly_the_planted_rows_are_set_aside(market: Path, name: str) -> None:
    result = ingested(market, name)
    bad = pl.read_parquet(result.quarantine)
    planted = pl.read_parquet(market / "truth" / "bad_rows.parquet")
    file = Path(result.inputs[0]["path"]).name
    assert sorted(bad["line"].to_list()) == sorted(planted.filter(pl.col("file") == file)["line"].to_list())
    assert result.counts["read"] == result.counts["used"] + bad.height


def test_late_and_revised_bars_are_kept_and_not_used(market: Path) -> None:
    rows = read(ingested(market, "bars").folder)
    used, late = in_order(rows, "bar")
    assert late > 0
    assert rows.height == used.height + late
    assert used.select((pl.col("event_time").diff() > pl.duration()).over("entity").fill_null(True).all()).item()
