"""Features of daily bars against loops over their definitions; weekends, missing sessions, later dividends."""

import math
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from daily_market import settings

from fusion.config import DecisionConfig, RunConfig, parse
from fusion.features import build
from fusion.features.choice import check, chosen
from fusion.grid import decision_grid
from fusion.invariance import rebased, truncate
from gpu_kernels.errors import ConfigError
from sources.sessions import sessions

DAYS = sessions("XNYS", date(2018, 10, 1), date(2019, 2, 28))
DELAY = timedelta(minutes=15)
NAMES = [
    *("bar_momentum_20_5", "bar_reversal_5", "bar_volatility_10", "bar_volume_surprise_10", "bar_high_distance_10"),
    *("bar_overnight_5", "bar_intraday_5", "bar_amihud_5", "bar_beta_10", "bar_idiosyncratic_share_10"),
]


def bars_of(seed: int, entities: list[str], missing: float = 0.0) -> pl.DataFrame:
    draw, frames = np.random.default_rng(seed), []
    for entity in entities:
        n = DAYS.height
        close = 100 * np.exp(np.cumsum(0.02 * draw.standard_normal(n)))
        opening = close * np.exp(0.01 * draw.standard_normal(n))
        frame = DAYS.select(
            pl.lit(entity).alias("entity"), "session", event_time="close", known_time=pl.col("close") + DELAY
        ).with_columns(
            pl.Series("open", opening),
            pl.Series("high", np.maximum(opening, close) * (1 + 0.01 * draw.random(n))),
            pl.Series("low", np.minimum(opening, close) * (1 - 0.01 * draw.random(n))),
            pl.Series("close", close),
            pl.Series("volume", np.round(1e6 * draw.random(n))),
        )
        frames.append(frame.filter(pl.Series(draw.random(n) >= missing)))
    return pl.concat(frames)


def config(bars: Any, entities: list[str] | None = None, **more: Any) -> RunConfig:
    found = settings(Path("x")) | {"entities": entities or ["A", "B", "C"], "features": {"bars": bars}}
    return parse(found | {"decisions": {"daily": "close + 30min"}} | more)


def made(bars: pl.DataFrame, names: list[str], daily: str = "close + 30min") -> pl.DataFrame:
    entities = sorted(bars["entity"].unique())
    grid = decision_grid(entities, DAYS, DecisionConfig(daily=daily))
    return build(config(names, entities), {"bars": bars}, grid).frame


def log(above: float, below: float) -> float:
    return math.log(above / below) * 1e4


def of_own_bars(word: str, rows: list[dict[str, Any]], n: int, skip: int) -> float:
    """The value at the last of an entity's bars, from the definition; `rows` are those up to it."""
    if len(rows) < n + (word not in {"high_distance", "intraday"}):
        return math.nan
    last, before = rows[-n:], rows[-n - 1 : -1]
    close, pairs = [row["close"] for row in rows], list(zip(last, before, strict=False))
    returns = np.array([log(row["close"], earlier["close"]) for row, earlier in pairs])
    traded = np.array([row["close"] * row["volume"] for row in last])
    values: dict[str, Callable[[], Any]] = {
        "momentum": lambda: log(close[-1 - skip], close[-1 - n]),
        "reversal": lambda: -log(close[-1], close[-1 - n]),
        "volatility": lambda: np.std(returns, ddof=1),
        "volume_surprise": lambda: math.log(rows[-1]["volume"] / np.mean([row["volume"] for row in before])),
        "high_distance": lambda: log(close[-1], max(row["high"] for row in last)),
        "overnight": lambda: sum(log(row["open"], earlier["close"]) for row, earlier in pairs),
        "intraday": lambda: sum(log(row["close"], row["open"]) for row in last),
        "amihud": lambda: 1e6 * np.mean(np.abs(returns) / traded),
    }
    return float(values[word]())


def of_market(word: str, bars: pl.DataFrame, entity: str, day: date, n: int) -> float:
    """Beta, and the share that it leaves, over the last n sessions up to a day."""
    one: dict[date, dict[str, float]] = {}
    for name in bars["entity"].unique():
        rows = bars.filter(pl.col("entity") == name).to_dicts()
        for row, earlier in zip(rows[1:], rows, strict=False):
            one.setdefault(row["session"], {})[name] = log(row["close"], earlier["close"])
    window = [one.get(session, {}) for session in DAYS["session"] if session <= day][-n:]
    pairs = [(sum(all_.values()) / len(all_), all_[entity]) for all_ in window if entity in all_ and len(all_) > 1]
    if len(pairs) < n // 2:
        return math.nan
    x, y = np.array(pairs).T
    return float(x @ y / (x @ x)) if word == "beta" else math.sqrt(1 - (x @ y) ** 2 / (x @ x) / (y @ y))


def naive(bars: pl.DataFrame, name: str) -> dict[tuple[str, date], float]:
    """One value for each bar."""
    word, *numbers = name.removeprefix("bar_").rsplit("_", 2 if "momentum" in name else 1)
    n, skip, found = int(numbers[0]), int(numbers[-1]), {}
    for entity in bars["entity"].unique():
        rows = bars.filter(pl.col("entity") == entity).to_dicts()
        for i, row in enumerate(rows):
            found[entity, row["session"]] = (
                of_market(word, bars, entity, row["session"], n)
                if word in {"beta", "idiosyncratic_share"}
                else of_own_bars(word, rows[: i + 1], n, skip)
            )
    return found


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_each_equals_its_definition(missing: float) -> None:
    bars = bars_of(1, ["A", "B", "C"], missing)
    found = made(bars, NAMES)
    for name in NAMES:
        expected = naive(bars, name)
        asked = [expected.get(key, math.nan) for key in found.select("entity", "session").iter_rows()]
        assert found[name].to_numpy() == pytest.approx(np.array(asked), rel=1e-9, abs=1e-9, nan_ok=True), name
        assert found[name].is_not_nan().sum() > 100, name


def test_over_a_weekend_a_bar_is_not_old_and_one_that_was_missed_is_not_replaced() -> None:
    bars = bars_of(2, ["A"])
    monday = date(2018, 10, 15)
    before = made(bars, ["bar_reversal_1"], daily="open - 15min").filter(pl.col("session") == monday)
    own = made(bars, ["bar_reversal_1"]).filter(pl.col("session") == date(2018, 10, 12))
    assert before["bar_reversal_1"][0] == own["bar_reversal_1"][0]
    assert before["bar_age"][0] > 2 * 24 * 60
    halted = bars.filter(pl.col("session") != monday)
    found = dict(made(halted, ["bar_reversal_1"]).select("session", "bar_reversal_1").iter_rows())
    assert math.isnan(found[monday])
    # the bar after it spans both sessions
    price = dict(bars.select("session", "close").iter_rows())
    both = -math.log(price[date(2018, 10, 16)] / price[date(2018, 10, 12)]) * 1e4
    assert found[date(2018, 10, 16)] == pytest.approx(both)


def test_max_age_of_two_sessions_uses_the_last_but_one() -> None:
    halted = bars_of(2, ["A"]).filter(pl.col("session") != date(2018, 10, 15))
    source = settings(Path("x"))["sources"]["bars"] | {"max_age": "2d"}
    grid = decision_grid(["A"], DAYS, DecisionConfig(daily="close + 30min"))
    found = build(config(["bar_reversal_1"], ["A"], sources={"bars": source}), {"bars": halted}, grid).frame
    values = dict(found.select("session", "bar_reversal_1").iter_rows())
    assert values[date(2018, 10, 15)] == values[date(2018, 10, 12)]


ALL = [*NAMES, "price", "technical"]


def test_nothing_changes_when_later_bars_are_taken_away_or_a_later_split_rebases_them() -> None:
    bars = bars_of(3, ["A", "B", "C"], 0.05)
    full = made(bars, ALL)
    cut = full["decision_time"].unique().sort()[70]
    part = made(rebased(truncate(bars, "bar", cut)), ALL).filter(pl.col("decision_time") <= cut)
    known = full.filter(pl.col("decision_time") <= cut)
    assert [name for name in known.columns if not known[name].equals(part[name])] == []
    assert part.width > 40


def test_a_later_dividend_changes_no_earlier_feature_beyond_rounding() -> None:
    """What a vendor does a year later: every price of before is scaled, and printed with its digits."""
    bars = bars_of(4, ["A", "B", "C"])
    scaled = bars.with_columns(
        *((pl.col(name) * 0.98713).round(6) for name in ("open", "high", "low", "close")),
        volume=pl.col("volume") / 0.98713,
    )
    before, after = made(bars, ALL), made(scaled, ALL)
    for name in before.columns[3:]:
        spread = float(np.nanstd(before[name].to_numpy()))
        allowed = 1e-4 * spread + 1e-12
        assert after[name].to_numpy() == pytest.approx(before[name].to_numpy(), abs=allowed, nan_ok=True), name


class TestChoice:
    def test_all_are_those_that_daily_bars_have(self) -> None:
        found = chosen(config("all"), "bars")
        assert {"bar_return_5", "bar_macd_12_26_9", "bar_momentum_252_21"} <= set(found)
        assert not any("previous" in name or "15min" in name for name in found)

    @pytest.mark.parametrize("name", ["bar_previous_variance", "sessions", "bar_forecast_15min"])
    def test_what_is_made_inside_a_session_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigError, match="bars inside the session"):
            check(config([name]))

    def test_daily_features_of_minutes_are_refused(self) -> None:
        minutes = {"kind": "table_file", "table": "bar", "files": "x", "timezone": "UTC", "max_age": "1h"}
        targets = {"horizons": ["5min"], "primary": "5min"}
        with pytest.raises(ConfigError, match=r"daily bars \(kind: daily_file\)"):
            check(config(["daily"], sources={"bars": minutes}, targets=targets))

    @pytest.mark.parametrize("name", ["bar_momentum_21_21", "bar_volatility_1", "bar_beta_1"])
    def test_windows_that_cannot_be(self, name: str) -> None:
        with pytest.raises(ConfigError, match=name):
            check(config([name]))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"decisions": {"step": "5min"}}, "write decisions: {daily"),
            ({"targets": {"horizons": ["5min"], "primary": "5min"}}, "prices are daily"),
            ({"walk_forward": {"block": "5min"}}, "walk_forward.block cuts days"),
        ],
    )
    def test_configs_that_do_not_fit(self, change: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigError, match=said):
            config(["daily"], **change)

    def test_sessions_need_daily_bars(self) -> None:
        minutes = {"kind": "table_file", "table": "bar", "files": "x", "timezone": "UTC", "max_age": "1h"}
        with pytest.raises(ConfigError, match="need prices of a source of kind daily_file"):
            config(["price"], sources={"bars": minutes})
