"""The two configs of volatility on their real bars."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_market import CONFIGS

from fusion import features, target
from fusion.config import load
from fusion.features.choice import chosen
from fusion.grid import decision_grid
from fusion.invariance import verify
from fusion.pipeline import ingest
from fusion.pipeline import load as load_tables
from fusion.plan import make_plan

pytestmark = pytest.mark.data
NAMES = ["es_volatility", "spy_volatility"]


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest, data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Features of the time of day, past sessions and forecasts, beside the returns that came."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIFUSE_DATA", str(data_root))
        lake = tmp_path_factory.mktemp("lake")
        config = load(CONFIGS / f"{request.param}.yaml", ["features.bars=[sessions, diurnal, forecast]"])
        plan = make_plan(config, lake)
        tables = load_tables(plan, ingest(config, lake=lake, plan=plan), lake=lake)
    grid = decision_grid(list(plan.entities), plan.sessions, config.decisions)
    frame = features.build(config, tables, grid).frame
    prices = target.price_stream(tables["bars"], "bar")
    labels = target.forward_returns(grid, prices, plan.sessions, config.targets, config.sources["bars"].max_age)
    return frame.join(labels, on=["entity", "session", "decision_time"])


@pytest.mark.parametrize("name", NAMES)
def test_all_is_all_but_the_market(name: str) -> None:
    config = load(CONFIGS / f"{name}.yaml")
    names = chosen(config, "bars")
    assert {"bar_rsi_14", "bar_adx_14", "bar_event_multiplier_1h", "bar_forecast_1h"} <= set(names)
    assert not [column for column in names if "market" in column]


def test_nearly_all_decisions_have_values(made: pl.DataFrame) -> None:
    # after the sessions that forecasts are first fitted on
    later = made.filter(pl.col("session") > made["session"].unique().sort()[100])
    columns = [name for name in made.columns if name.startswith("bar_") and not name.endswith(("_age", "_1h", "_22"))]
    assert len(columns) > 20
    held = {name: later[name].is_not_nan().mean() for name in columns}
    assert {name: share for name, share in held.items() if share < 0.8} == {}  # type: ignore[operator]


@pytest.mark.parametrize("horizon", ["15min", "1h"])
def test_forecasts_have_the_size_of_what_came(made: pl.DataFrame, horizon: str) -> None:
    rows = made.select(
        forecast=pl.col(f"bar_forecast_{horizon}").fill_nan(None), came=(pl.col(f"return_{horizon}") * 1e4) ** 2
    ).drop_nulls()
    assert rows.height > 5000
    assert 0.8 < rows["forecast"].mean() / rows["came"].mean() < 1.35  # type: ignore[operator]
    # quarters by the forecast lie in the order of what came
    quarter = rows.with_columns(quarter=(pl.col("forecast").rank("ordinal") - 1) * 4 // rows.height)
    assert quarter.group_by("quarter").agg(pl.col("came").mean()).sort("quarter")["came"].is_sorted()


def test_releases_are_expected_to_move(made: pl.DataFrame) -> None:
    """Just before a decision of the Fed, more than the usual variance of the hour is expected, and came."""
    near = pl.col("event_minutes_to_fomc") < 16
    later = made.filter(pl.col("session") > made["session"].unique().sort()[130])
    before = later.filter(near)
    assert before.height >= 8
    assert before["bar_event_multiplier_1h"].median() > 1.3  # type: ignore[operator]
    squared = (later["return_1h"] * 1e4) ** 2
    at = later.with_columns(squared=squared, hour=pl.col("decision_time").dt.hour())
    hours = before["decision_time"].dt.hour().unique().implode()
    usual = at.filter(~near & pl.col("hour").is_in(hours))["squared"].median()
    assert np.median((before["return_1h"].drop_nulls() * 1e4) ** 2) > 1.5 * usual  # type: ignore[operator]


@pytest.mark.slow
def test_a_whole_run_is_invariant(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    report = verify(load(CONFIGS / "es_volatility.yaml"), lake=tmp_path, cuts=1)
    assert report.ok, report.differences
