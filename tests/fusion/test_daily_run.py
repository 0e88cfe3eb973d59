"""A run with daily decisions, whole: the leak test and what it must find, features in parts, refreshed signals."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import daily_market
import numpy as np
import polars as pl
import pytest
from small_market import Market

import fusion.study
from fusion import features, partitions, pipeline, refresh
from fusion.invariance import check, cut_times
from fusion.plan import make_plan
from fusion.study import make_labels, study


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> Market:
    folder, lake = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("lake")
    config = daily_market.config(daily_market.write_market(folder, 5, effect=1.0))
    plan = make_plan(config, lake)
    return Market(config, plan, pipeline.load(plan, pipeline.ingest(config, lake=lake, plan=plan), lake=lake), lake)


def test_signals_of_what_forecasts_and_their_horizon(daily: Market) -> None:
    found = study(daily.plan, daily.tables)
    ic = found.evaluation.filter(metric="rank_ic", score="score", horizon="5 sessions", group_kind="all")
    assert ic["value"][0] > 0.2
    assert found.signals["horizon"].unique().to_list() == ["5 sessions"]
    row = found.signals.filter(entity="E0", session=date(2019, 4, 12)).row(0, named=True)
    # a Friday before Easter week, decided before its open: that day, Monday to Thursday (Good Friday is no session)
    assert str(row["valid_until"]) == "2019-04-18 20:00:00+00:00"
    labels = found.labels.filter(entity="E0", session=date(2019, 4, 12)).row(0, named=True)
    assert str(labels["label_end_5sessions"]) == "2019-04-18 20:15:00+00:00"


@pytest.mark.parametrize("decided", ["open - 15min", "close + 90min"])
def test_nothing_changes_when_later_data_are_taken_away(daily: Market, decided: str) -> None:
    decisions = daily.config.decisions.model_copy(update={"daily": decided})
    plan = replace(daily.plan, config=daily.config.model_copy(update={"decisions": decisions}))
    report = check(plan, daily.tables, cut_times(plan, daily.tables, 2))
    assert report.differences.is_empty(), report.differences
    assert report.ok


def leaking(daily: Market, monkeypatch: pytest.MonkeyPatch, column: str, values: object) -> list[str]:
    """The columns that differ when a feature is made in another way."""
    honest = features.build

    def build(config: object, tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame) -> features.Matrix:
        matrix = honest(daily.config, tables, grid)
        added = values(tables, grid).alias(column)  # type: ignore[operator]
        return replace(matrix, frame=matrix.frame.with_columns(added), families=matrix.families | {column: "bars"})

    monkeypatch.setattr(fusion.study.features, "build", build)
    report = check(daily.plan, daily.tables, cut_times(daily.plan, daily.tables, 1))
    assert not report.ok
    found: list[str] = report.differences["column"].to_list()
    return found


def test_a_label_among_the_features_is_found(daily: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    def label(tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame) -> pl.Series:
        return make_labels(daily.plan, tables, grid)["return_5sessions"].fill_null(np.nan)

    assert "bar_tomorrow" in leaking(daily, monkeypatch, "bar_tomorrow", label)


def test_the_level_of_an_adjusted_price_is_found(daily: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    def level(tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame) -> pl.Series:
        closes = tables["bars"].select("entity", pl.col("known_time").alias("decision_time"), "close")
        closes = closes.sort("entity", "decision_time")
        asked = grid.select("entity", "decision_time").sort("entity", "decision_time")
        return asked.join_asof(closes, on="decision_time", by="entity", check_sortedness=False)["close"].fill_null(
            np.nan
        )

    assert "bar_close" in leaking(daily, monkeypatch, "bar_close", level)


def test_features_made_entity_by_entity_are_those_of_the_run(daily: Market, tmp_path: Path) -> None:
    made = partitions.make(daily.config, lake=daily.lake, out=tmp_path, workers=1)
    assert made.complete
    parts = pl.read_parquet(made.folder / "entity=*" / "part.parquet", hive_partitioning=False)
    whole = study(daily.plan, daily.tables).matrix.frame
    assert parts.sort("entity", "decision_time").equals(whole.select(parts.columns))


def test_newer_bars_bring_newer_signals_and_none_before_they_are_due(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    daily_market.write_market(files, 6, effect=1.0)
    every = {path.name: pl.read_csv(path) for path in files.glob("*.csv")}

    def cut(last: str) -> None:
        for name, rows in every.items():
            rows.filter(pl.col("Date") <= last).write_csv(files / name)

    cut("2019-06-14")
    config = daily_market.config(files, end="2019-06-14", targets=daily_market.settings(files)["targets"])
    run = pipeline.run(config, lake=tmp_path / "lake", runs=tmp_path / "runs")
    before = pl.read_parquet(run.folder / "signals.parquet")
    assert before["session"].max() == date(2019, 6, 14)
    cut("2019-06-18")
    new = refresh.signals(run.folder, lake=tmp_path / "lake", end=date(2019, 6, 28))
    # the bar of Tuesday 18 June 2019 is the last one that the decision before Wednesday's open waits for
    assert new["session"].unique().sort().to_list() == [date(2019, 6, 17), date(2019, 6, 18), date(2019, 6, 19)]
    assert new.filter(pl.col("status") != "ok").is_empty()
    assert pl.read_parquet(run.folder / "signals.parquet").height == before.height + new.height
