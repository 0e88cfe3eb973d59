"""A study inside a few days: blocks instead of sessions, decisions every minute, trades as prices and as features."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from small_market import CONFIGS

from fusion.config import RunConfig, parse
from fusion.config import load as load_config
from fusion.invariance import check, cut_times, verify
from fusion.pipeline import bouncing_prices, ingest, load, run
from fusion.plan import make_plan
from fusion.refresh import signals

START, END = datetime(2024, 9, 3, 14, 0, tzinfo=UTC), datetime(2024, 9, 5, 18, 10, tzinfo=UTC)


def config_of(**changes: object) -> RunConfig:
    tree = yaml.safe_load((CONFIGS / "demo.yaml").read_text())
    trades = {
        "kind": "table_file",
        "table": "trade",
        "files": "${SIMULATED}/trades.csv",
        "columns": {"entity": "ticker", "event_time": "time", "known_time": "received", "side": "aggressor"},
        "timezone": "UTC",
        "max_age": "10min",
    }
    tree |= {
        "name": "intraday",
        "simulate": {"sessions": 3, "seed": 5},
        "start": START,
        "end": END,
        "sources": {"trades": trades, "book": tree["sources"]["book"]},
        "features": {"trades": ["trade_imbalance_1min", "trade_rate_5min", "trade_vwap_gap_5min"], "book": "all"},
        "decisions": {"step": "1min", "delay": "5s"},
        "targets": {"horizons": ["1min", "5min"], "primary": "1min", "price": "trades"},
        "regime": {},
        "walk_forward": {"block": "30min", "train_sessions": 12, "refit_sessions": 6, "embargo_sessions": 0},
        "selection": {"min_sessions": 5, "min_features": 2},
        "model": {"trees": 20, "min_rows_leaf": 20},
        "evaluation": {"bootstrap": 100},
    }
    return parse(tree | changes)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


def test_a_window_of_moments_cuts_its_first_and_last_session_short(lake: Path) -> None:
    plan = make_plan(config_of(), lake)
    assert plan.sessions["open"][0] == START
    assert plan.sessions["close"][-1] == END
    assert plan.sessions.height == 3
    # 14:00 to 20:00 is 12 blocks, a whole day 13, and 13:30 to 18:10 is 10 of which the last is short
    assert plan.periods.height == 12 + 13 + 10
    assert (plan.periods["close"] - plan.periods["open"]).dt.total_minutes().to_list()[-1] == 10


def test_it_is_truncation_invariant_and_has_scores(lake: Path) -> None:
    config = config_of()
    plan = make_plan(config, lake)
    tables = load(plan, ingest(config, lake=lake, plan=plan), lake=lake)
    report = check(plan, tables, cut_times(plan, tables, 2))
    assert report.differences.is_empty(), report.differences
    assert report.ok


def test_a_run_counts_by_blocks_and_can_be_refreshed(lake: Path, tmp_path: Path) -> None:
    shorter = config_of(end=datetime(2024, 9, 5, 16, 0, tzinfo=UTC))
    result = run(shorter, lake=lake, runs=tmp_path)
    assert result.manifest["window"]["sessions"] == 12 + 13 + 5
    for said in ("targets.price 'trades' is of trades", "features.book is all, but not made: "):
        assert any(line.startswith(said) for line in result.manifest["warnings"])
    made = pl.read_parquet(result.folder / "signals.parquet")
    assert made["score"].is_not_null().any()
    assert made["session"].dtype == pl.Datetime("ns", "UTC")
    # the first refit comes after 12 blocks: at the second day's open
    assert made["refit_session"].min() == datetime(2024, 9, 4, 13, 30, tzinfo=UTC)
    by_block = pl.read_parquet(result.folder / "session_ic.parquet")
    assert by_block["session"].n_unique() == 13 + 5
    newer = signals(result.folder, lake=lake, end=END.date())
    assert newer["decision_time"].min() > made["decision_time"].max()
    assert newer["score"].is_not_null().any()


def test_prices_of_trades_are_warned_of() -> None:
    (said,) = bouncing_prices(config_of())
    assert "bounce between bid and ask" in said
    assert bouncing_prices(load_config(CONFIGS / "demo.yaml")) == []


def test_prices_must_come_from_a_source_that_tells_them() -> None:
    with pytest.raises(Exception, match="allowed: a source of table bar, quote, trade"):
        config_of(targets={"horizons": ["1min"], "primary": "1min", "price": "book"})


@pytest.mark.data
def test_real_quotes_and_trades_are_invariant(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    report = verify(load_config(CONFIGS / "btc_orderbook.yaml"), lake=tmp_path, cuts=2)
    assert report.ok, report.differences
