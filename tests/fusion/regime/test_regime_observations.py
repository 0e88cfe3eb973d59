"""What the regime model reads, against plain loops, on cut tables, and where it does not fit."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from small_market import Market

from fusion.features import build
from fusion.grid import decision_grid
from fusion.invariance import truncate
from fusion.plan import Plan
from fusion.regime import RegimeConfig, RegimeInput
from fusion.regime.market import by_session, over_sessions
from fusion.regime.observations import regime_observations
from gpu_kernels.errors import ConfigError

OPEN = datetime(2024, 1, 1, 14, 30, tzinfo=UTC)
INPUTS: list[dict[str, Any]] = [
    {"metric": "stress", "entity": "US", "transform": "log", "change": 2},
    {"metric": "stress", "less": "retail_sales", "entity": "US"},
    {"mean_of": ["stress", "-retail_sales"], "entity": "US", "name": "activity"},
    {"feature": "bar_return_5"},
    {"feature": "bar_realised_variance_30", "transform": "log", "name": "variance"},
    {"market": "realised_volatility", "sessions": 3, "transform": "log"},
    {"market": "trend", "sessions": 5},
    {"market": "correlation", "sessions": 4},
    {"market": "illiquidity", "sessions": 3},
]


def with_inputs(plan: Plan, inputs: list[dict[str, Any]]) -> Plan:
    regime = RegimeConfig(inputs=inputs, history_start=plan.config.regime.history_start)
    # of the bars alone: the other features would only take time
    config = plan.config.model_copy(update={"regime": regime, "features": {"bars": plan.config.features["bars"]}})
    return Plan(config, plan.entities, plan.sessions, plan.history, plan.variables, plan.last_open)


def read(plan: Plan, tables: Mapping[str, pl.DataFrame], inputs: list[dict[str, Any]]) -> pl.DataFrame:
    asked = with_inputs(plan, inputs)
    grid = decision_grid(list(plan.entities), plan.sessions, asked.config.decisions)
    return regime_observations(asked, tables, build(asked.config, tables, grid))


def naive_market(
    bars: pl.DataFrame, opens: list[datetime], days: list[object], entities: list[str], measure: str, count: int
) -> list[float]:
    """The definitions, bar by bar."""
    close: dict[tuple[str, object], list[float]] = {}
    money: dict[tuple[str, object], float] = {}
    for row in bars.sort("entity", "known_time").iter_rows(named=True):
        place = days.index(row["session"])
        if place + 1 == len(days) or row["known_time"] <= opens[place + 1]:
            key = row["entity"], row["session"]
            close.setdefault(key, []).append(row["close"])
            money[key] = money.get(key, 0.0) + row["close"] * row["volume"]

    def gain(entity: str, place: int) -> float:
        if place == 0 or not {(entity, days[place]), (entity, days[place - 1])} <= set(close):
            return np.nan
        return float(np.log(close[entity, days[place]][-1] / close[entity, days[place - 1]][-1]))

    found = []
    for opened in range(len(days)):
        window = range(opened - count, opened)
        if opened < count or sum(any(np.isfinite(gain(e, s)) for e in entities) for s in window) * 2 < count:
            found.append(np.nan)
            continue
        gains = np.array([[gain(entity, place) for place in window] for entity in entities])
        if measure == "realised_volatility":
            steps = [np.diff(np.log(close[e, days[s]])) for e in entities for s in window if (e, days[s]) in close]
            found.append(float(np.sqrt(np.mean([np.sum(step**2) for step in steps]))))
        elif measure == "trend":
            market = np.nanmean(gains[:, np.isfinite(gains).any(axis=0)], axis=0)
            found.append(float(market.sum() / np.sqrt((market**2).sum())))
        elif measure == "correlation":
            whole = gains[np.isfinite(gains).all(axis=1)]
            pairs = np.corrcoef(whole)[np.triu_indices(len(whole), 1)] if len(whole) > 1 else np.array([np.nan])
            found.append(float(pairs.mean()))
        else:
            each = [
                abs(gain(e, s)) / money[e, days[s]] * 1e6 for e in entities for s in window if np.isfinite(gain(e, s))
            ]
            found.append(float(np.mean(each)))
    return found


@pytest.fixture(scope="module")
def bars() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Three entities over twelve days of six bars; one begins late, one bar comes after the next open."""
    draw = np.random.default_rng(3)
    days = [OPEN + timedelta(days=day) for day in range(12)]
    rows = []
    for place, entity in enumerate("ABC"):
        price = 50.0
        for day, opened in enumerate(days):
            for bar in range(6):
                price *= float(np.exp(draw.normal(scale=0.01)))
                if entity == "C" and day < 5:
                    continue
                end = opened + timedelta(hours=bar + 1)
                # half an hour after the next open, yet before the next bar: in order, and too late for that open
                late = timedelta(hours=18.5) if (place, day, bar) == (0, 7, 5) else timedelta(seconds=1)
                rows.append((entity, opened.date(), end, end + late, price, float(draw.integers(1, 99))))
    names = ["entity", "session", "event_time", "known_time", "close", "volume"]
    frame = pl.DataFrame(rows, schema=names, orient="row").cast(
        {"event_time": pl.Datetime("ns", "UTC"), "known_time": pl.Datetime("ns", "UTC")}
    )
    sessions = pl.DataFrame({"session": [day.date() for day in days], "open": days})
    return frame, sessions.cast({"open": pl.Datetime("ns", "UTC")})


class TestMarket:
    @pytest.mark.parametrize("measure", ["realised_volatility", "trend", "correlation", "illiquidity"])
    @pytest.mark.parametrize("count", [2, 4])
    def test_equals_the_definition(self, bars: tuple[pl.DataFrame, pl.DataFrame], measure: str, count: int) -> None:
        rows, sessions = bars
        told = by_session(rows, sessions, ["A", "B", "C"], daily=False)
        expected = naive_market(
            rows, sessions["open"].to_list(), sessions["session"].to_list(), ["A", "B", "C"], measure, count
        )
        found = over_sessions(told, measure, count)[:-1]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
        assert np.isfinite(found).sum() >= 7

    def test_a_scale_that_later_splits_give_changes_nothing(self, bars: tuple[pl.DataFrame, pl.DataFrame]) -> None:
        rows, sessions = bars
        split = rows.with_columns(pl.col("close") * 4, pl.col("volume") / 4)
        for measure in ("realised_volatility", "trend", "correlation", "illiquidity"):
            one, two = (
                over_sessions(by_session(each, sessions, ["A", "B", "C"], daily=True), measure, 3)
                for each in (rows, split)
            )
            np.testing.assert_array_equal(one, two)

    def test_one_entity_has_no_correlation_and_no_bars_give_nothing(
        self, bars: tuple[pl.DataFrame, pl.DataFrame]
    ) -> None:
        rows, sessions = bars
        alone = by_session(rows, sessions, ["A"], daily=False)
        assert np.isnan(over_sessions(alone, "correlation", 3)).all()
        nothing = by_session(rows.head(0), sessions, ["A"], daily=False)
        assert np.isnan(over_sessions(nothing, "trend", 3)).all()


class TestObservations:
    def test_every_kind_has_values(self, market: Market) -> None:
        found = read(market.plan, market.tables, INPUTS)
        assert found.columns[2:] == [
            "log_stress_change_2",
            "stress_less_retail_sales",
            "activity",
            "bar_return_5",
            "variance",
            "log_realised_volatility_3",
            "trend_5",
            "correlation_4",
            "illiquidity_3",
        ]
        for name in found.columns[2:]:
            assert found[name].tail(15).is_finite().all(), name

    def test_nothing_of_the_future(self, market: Market) -> None:
        whole = read(market.plan, market.tables, INPUTS)
        for share in (0.4, 0.7, 0.95):
            opens = market.plan.sessions["open"]
            cut = opens[round(share * (len(opens) - 1))] + timedelta(hours=2)
            tables = {
                name: truncate(rows, market.config.sources[name].table, cut) for name, rows in market.tables.items()
            }
            part = read(market.plan.until(cut), tables, INPUTS)
            assert part.equals(whole.filter(pl.col("time") <= cut))

    def test_a_feature_is_that_of_the_last_decision_before_the_open(self, market: Market) -> None:
        grid = decision_grid(list(market.plan.entities), market.plan.sessions, market.config.decisions)
        frame = build(with_inputs(market.plan, []).config, market.tables, grid).frame
        entity = market.plan.entities[0]
        both = [{"feature": "bar_return_5", "entity": entity}, {"feature": "bar_return_5"}]
        found = read(market.plan, market.tables, both).tail(5)
        assert found.columns[2] == f"bar_return_5_{entity}"
        for _, time, one, mean in found.iter_rows():
            before = frame.filter(pl.col("decision_time") < time)
            last = before.filter(pl.col("decision_time") == before["decision_time"].max())
            assert one == last.filter(pl.col("entity") == entity)["bar_return_5"].item()
            assert mean == pytest.approx(last["bar_return_5"].fill_nan(None).mean(), rel=1e-12)

    def test_a_mean_of_metrics_standardises_by_what_was_there(self, market: Market) -> None:
        parts = [{"metric": "stress", "entity": "US"}, {"metric": "retail_sales", "entity": "US"}]
        values = read(market.plan, market.tables, [*parts, {"mean_of": ["stress", "-retail_sales"], "entity": "US"}])
        expected = []
        for column, sign in (("stress", 1), ("retail_sales", -1)):
            x = values[column].to_numpy()
            known = np.isfinite(x)
            z = np.full(len(x), np.nan)
            for place in np.flatnonzero(known):
                past = x[: place + 1][known[: place + 1]]
                if len(past) >= 60:
                    z[place] = sign * (x[place] - past.mean()) / past.std(ddof=1)
            expected.append(z)
        known = [[z[place] for z in expected if np.isfinite(z[place])] for place in range(values.height)]
        mean = [np.mean(each) if each else np.nan for each in known]
        np.testing.assert_allclose(values["mean_stress_retail_sales"].to_numpy(), mean, rtol=1e-9)

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ({"metric": "nothing", "entity": "US"}, "US/nothing is in no metric source"),
            ({"metric": "stress", "less": "nothing", "entity": "US"}, "US/nothing is in no metric source"),
            ({"feature": "bar_nothing"}, "bar_nothing is no feature of the run"),
            ({"feature": "bar_return_5", "entity": "NOBODY"}, "is of NOBODY"),
            ({"market": "trend", "sessions": 3, "entity": "NOBODY"}, "is of NOBODY"),
            ({"mean_of": "housing", "entity": "US"}, "no source of the run has a series of FRED-MD's group housing"),
        ],
    )
    def test_what_is_not_there_is_one_line(self, market: Market, wanted: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            read(market.plan, market.tables, [wanted])

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ({}, "names nothing"),
            ({"metric": "a", "feature": "b", "entity": "US"}, "names metric and feature"),
            ({"metric": "a"}, "needs its entity"),
            ({"market": "trend"}, "market needs sessions"),
            ({"feature": "a", "sessions": 3}, "sessions goes with market"),
            ({"feature": "a", "less": "b"}, "less goes with metric"),
            ({"market": "correlation", "sessions": 9, "entity": "A"}, "of all entities"),
            ({"mean_of": [], "entity": "US"}, "mean_of names no metric"),
            ({"mean_of": "tides", "entity": "US"}, "output_income"),
        ],
    )
    def test_a_config_that_says_too_little_or_too_much(self, wanted: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            RegimeInput(**wanted)
