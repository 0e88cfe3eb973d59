"""Truncation invariance: it holds for what ships, and it finds every planted leak.

A leak is planted by replacing one step of the study by what a careless researcher would have written.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_market import CONFIGS, Market

import fusion.signals
import fusion.study
from fusion import features, target
from fusion.config import load
from fusion.invariance import InvarianceReport, check, cut_times, features_alone, truncate, verify
from fusion.plan import Plan
from fusion.study import Study, study

PARTS = {"features", "regime", "selection", "signals"}


def checked(market: Market, run: object = study) -> InvarianceReport:
    cuts = cut_times(market.plan, market.tables, 1)
    return check(market.plan, market.tables, cuts, run=run)  # type: ignore[arg-type]


class TestWhatShips:
    def test_the_simulated_market_is_invariant(self, market: Market) -> None:
        endings = ("", "_first", "_revision_3", "_change_1", "_surprise_4", "_yoy")
        wanted = {**market.config.features, "lots": [f"lot_fill{ending}" for ending in endings]}
        plan = replace(market.plan, config=market.config.model_copy(update={"features": wanted}))
        report = check(plan, market.tables, cut_times(plan, market.tables, 3))
        assert report.differences.is_empty(), report.differences
        assert report.ok
        assert set(report.compared["part"]) == PARTS
        scored = study(market.plan, market.tables).signals
        assert scored["score"].is_not_null().any(), "no score at all, so the comparison of signals says nothing"

    @pytest.mark.data
    @pytest.mark.slow
    def test_real_bars_tweets_and_macro_are_invariant(
        self, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
        report = verify(load(CONFIGS / "tech_news.yaml"), lake=tmp_path, cuts=3)
        assert report.ok, report.differences
        assert report.compared["cut"].n_unique() >= 3
        assert set(report.compared["part"]) == PARTS

    def test_so_are_the_features_of_a_config_without_targets(self, market: Market) -> None:
        report = check(*alone(market), run=features_alone)
        assert report.ok, report.differences
        assert set(report.compared["part"]) == {"features"}
        # from the first session on, not from the first refit
        assert report.compared["cut"].min() < market.plan.sessions["open"][10]


def alone(market: Market) -> tuple[Plan, Mapping[str, pl.DataFrame], list[datetime]]:
    """The market of a config that has no targets, and where it is cut."""
    plan = replace(market.plan, config=market.config.model_copy(update={"targets": None}))
    return plan, market.tables, cut_times(plan, market.tables, 3)


class TestPlantedLeaks:
    def test_a_value_of_tomorrow_in_a_config_without_targets(
        self, market: Market, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = features.build

        def leaking(*arguments: object) -> features.Matrix:
            matrix = honest(*arguments)  # type: ignore[arg-type]
            name = matrix.candidates[0]
            return replace(matrix, frame=matrix.frame.with_columns(pl.col(name).shift(-1).over("entity")))

        monkeypatch.setattr("fusion.invariance.build", leaking)
        report = check(*alone(market), run=features_alone)
        assert not report.ok
        assert set(report.differences["part"]) == {"features"}

    def test_a_label_among_the_features(self, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = features.build

        def leaking(config: object, tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame) -> features.Matrix:
            matrix = honest(market.config, tables, grid)
            bars = target.price_stream(tables["bars"], "bar")
            sessions = market.plan.sessions.filter(pl.col("session") <= grid["session"].max())
            labels = target.forward_returns(grid, bars, sessions, market.config.targets, 10**12)
            column = labels["return_5min"].fill_null(np.nan).alias("bar_tomorrow")
            return replace(
                matrix,
                frame=matrix.frame.with_columns(column),
                families=matrix.families | {"bar_tomorrow": "bars"},
            )

        monkeypatch.setattr(fusion.study.features, "build", leaking)
        report = checked(market)
        assert not report.ok
        assert "bar_tomorrow" in report.differences["column"].to_list()

    def test_a_bars_start_used_as_its_known_time(self, market: Market) -> None:
        def run(plan: Plan, tables: Mapping[str, pl.DataFrame]) -> Study:
            start = pl.col("event_time") - pl.duration(minutes=1)
            return study(plan, {**tables, "bars": tables["bars"].with_columns(start.alias("known_time"))})

        report = checked(market, run)
        assert not report.ok
        assert any(name.startswith("bar_") for name in report.differences["column"])

    def test_a_smoothed_regime(self, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = fusion.study.regime.filter_regimes

        def smoothed(*arguments: object) -> object:
            path = honest(*arguments)  # type: ignore[arg-type]
            filtered = path.probabilities
            columns = [name for name in filtered.columns if name.startswith("probability_")]
            model = path.models[-1]
            values = filtered.select(columns).fill_null(1 / len(columns)).to_numpy()
            for t in range(len(values) - 2, -1, -1):  # Kim's smoother, as a library's predict would do it
                ahead = values[t] @ model.transition
                values[t] *= model.transition @ (values[t + 1] / np.maximum(ahead, 1e-300))
            leaked = filtered.with_columns(pl.Series(name, values[:, k]) for k, name in enumerate(columns))
            vars(path)["probabilities"] = leaked  # a cached property: this is what everything after will read
            return path

        monkeypatch.setattr(fusion.study.regime, "filter_regimes", smoothed)
        report = checked(market)
        assert "regime" in set(report.differences["part"])

    def test_a_whole_sample_z_score(self, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
        honest = features.build

        def leaking(config: object, tables: Mapping[str, pl.DataFrame], grid: pl.DataFrame) -> features.Matrix:
            matrix = honest(market.config, tables, grid)
            value = pl.col("bar_return_15").fill_nan(None)
            return replace(matrix, frame=matrix.frame.with_columns((value - value.mean()) / value.std()))

        monkeypatch.setattr(fusion.study.features, "build", leaking)
        report = checked(market)
        assert "bar_return_15" in report.differences["column"].to_list()

    def test_news_joined_on_the_time_of_the_event(self, market: Market) -> None:
        def run(plan: Plan, tables: Mapping[str, pl.DataFrame]) -> Study:
            published = tables["headlines"].with_columns(pl.col("event_time").alias("known_time"))
            return study(plan, {**tables, "headlines": published.sort("entity", "known_time", "event_time")})

        report = checked(market, run)
        assert not report.ok
        assert any(name.startswith("news_") for name in report.differences["column"])

    def test_a_metric_joined_on_the_time_of_its_capture(self, market: Market) -> None:
        def run(plan: Plan, tables: Mapping[str, pl.DataFrame]) -> Study:
            captured = tables["lots"].with_columns(pl.col("event_time").alias("known_time"))
            return study(plan, {**tables, "lots": captured.sort("entity", "known_time", "event_time")})

        report = checked(market, run)
        assert any(name.startswith("metric_") for name in report.differences["column"])

    def test_intervals_and_probabilities_calibrated_on_the_whole_sample(
        self, market: Market, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # of one regime, since the small market scores nothing in the other one, and after two weeks intervals begin
        regime = market.config.regime.model_copy(update={"states": 1})
        plan = replace(market.plan, config=market.config.model_copy(update={"regime": regime}))
        cut = [market.plan.sessions["open"][22]]
        assert check(plan, market.tables, cut).ok
        scored = study(plan, market.tables).signals.filter(pl.col("decision_time") <= cut[0])
        for name in ("low", "probability_up", "base", "top_features"):
            assert scored[name].is_not_null().any(), f"no {name} at all, so the comparison says nothing"
        honest = fusion.signals.settlement

        def leaking(*arguments: object) -> object:
            settles = honest(*arguments)  # type: ignore[arg-type]
            # as if labels were there to learn from long before they are known
            known = np.isfinite(settles.value)
            return replace(settles, settled=np.where(known, settles.session // 2, settles.settled))

        monkeypatch.setattr(fusion.signals, "settlement", leaking)
        found = check(plan, market.tables, cut)
        assert {"low", "high", "probability_up"} <= set(found.differences["column"])
        assert set(found.differences["part"]) == {"signals"}


class TestTruncate:
    def test_takes_what_was_not_known_and_what_had_not_happened(self, market: Market) -> None:
        cut = market.plan.sessions["open"][12]
        bars = truncate(market.tables["bars"], "bar", cut)
        assert 0 < bars.height < market.tables["bars"].height
        assert bars["known_time"].max() <= cut
        assert bars["event_time"].max() <= cut

    def test_keeps_scheduled_events_that_lie_ahead(self, market: Market) -> None:
        events = market.tables["calendar"]
        known = events["known_time"].sort()[events.height // 2]
        assert truncate(events, "event", known)["event_time"].max() > known
