"""Every feature of bars, books, metrics and events against its definition, decision by decision."""

import math
import re
from collections.abc import Callable
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from small_market import CONFIGS, Market

from fusion import features
from fusion.config import DecisionConfig, load
from fusion.features import bar, event, metric
from fusion.grid import decision_grid
from fusion.volatility.settings import VolatilityConfig
from gpu_kernels.errors import ConfigError
from sources.schema import TIME
from sources.sessions import sessions
from sources.stream import in_order

MINUTE, SECOND = 60 * 10**9, 10**9
MAX_AGE = 10 * MINUTE
PRICE = bar.names_of("price", VolatilityConfig())
DAYS = sessions("XNYS", date(2024, 7, 2), date(2024, 7, 3))  # a whole day, and a half day
GRID = decision_grid(["A", "B", "C"], DAYS, DecisionConfig(step="10min", first="10min", delay="5s"))
GRID_NS = GRID["decision_time"].dt.epoch("ns").to_list()


def make_bars() -> pl.DataFrame:
    """Random walks with missing minutes, late bars, a revision and a halt longer than max_age; C has no bar."""
    random, rows = np.random.default_rng(1), []
    for entity in ("A", "B"):
        for day, opened, closed in DAYS.iter_rows():
            start, end = (int(moment.timestamp()) * SECOND for moment in (opened, closed))
            price = 100.0
            for k in range(1, (end - start) // MINUTE + 1):
                price *= 1 + random.normal() * 1e-3
                if random.random() < 0.05 or 60 < k < 85:
                    continue
                close = price * (1 + random.normal() * 2e-4)
                high, low = max(price, close) * 1.0003, min(price, close) * 0.9998
                delay = 4 * MINUTE if random.random() < 0.02 else SECOND
                at = start + k * MINUTE
                rows.append((entity, day, at, at + delay, price, high, low, close, float(random.integers(1, 900))))
                if random.random() < 0.02:  # a revision, minutes later
                    rows.append((entity, day, at, at + 3 * MINUTE, price, high, low, close * 1.01, 5.0))
    names = ["entity", "session", "event_time", "known_time", "open", "high", "low", "close", "volume"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(pl.col("event_time", "known_time").cast(TIME))


def wilder(values: list[float], window: int) -> float:
    mean = sum(values[:window]) / window
    for value in values[window:]:
        mean = (mean * (window - 1) + value) / window
    return mean


def rsi(close: list[float]) -> float:
    moves = [b - a for a, b in pairwise(close)]
    gain, loss = wilder([max(m, 0) for m in moves], 14), wilder([max(-m, 0) for m in moves], 14)
    return 100 * gain / (gain + loss)


def ema(values: list[float], window: int) -> float:
    mean = sum(values[:window]) / window
    for value in values[window:]:
        mean += 2 / (window + 1) * (value - mean)
    return mean


def logs(close: list[float]) -> list[float]:
    return [math.log(b / a) for a, b in pairwise(close)]


Rows = list[dict[str, float]]
# name -> (bars needed, value from the session's bars so far)
NAIVE: dict[str, tuple[int, Callable[[Rows, list[float]], float]]] = {
    **{f"bar_return_{n}": (n + 1, lambda _, c, n=n: 1e4 * math.log(c[-1] / c[-1 - n])) for n in (1, 5, 15, 30)},
    "bar_realised_variance_30": (31, lambda _, c: 1e8 * sum(r * r for r in logs(c)[-30:])),
    "bar_parkinson_30": (
        30,
        lambda b, _: 1e8 * sum(math.log(r["high"] / r["low"]) ** 2 for r in b[-30:]) / 30 / (4 * math.log(2)),
    ),
    "bar_rsi_14": (15, lambda _, c: rsi(c)),
    "bar_atr_14": (
        15,
        lambda b, c: (
            1e4
            / c[-1]
            * wilder([max(r["high"], p["close"]) - min(r["low"], p["close"]) for p, r in pairwise(b)], 14)
        ),
    ),
    "bar_zscore_30": (30, lambda _, c: (c[-1] - np.mean(c[-30:])) / np.std(c[-30:], ddof=1)),
    "bar_ema_gap_20": (20, lambda _, c: 1e4 * (c[-1] / ema(c, 20) - 1)),
    "bar_range_position_30": (
        30,
        lambda b, c: (
            (c[-1] - min(r["low"] for r in b[-30:]))
            / (max(r["high"] for r in b[-30:]) - min(r["low"] for r in b[-30:]))
        ),
    ),
    "bar_volume_ratio_30": (30, lambda b, _: b[-1]["volume"] / (sum(r["volume"] for r in b[-30:]) / 30)),
}  # fmt: skip


def naive_stream(bars: pl.DataFrame, entity: str, day: date, at: int) -> Rows:
    """What a live system would hold at a time: bars in order of arrival, those that came too late left out."""
    rows = bars.filter(pl.col("entity") == entity).with_columns(pl.col("event_time", "known_time").dt.epoch("ns"))
    held: Rows = []
    for row in sorted(rows.to_dicts(), key=lambda row: (row["known_time"], row["event_time"])):
        if row["known_time"] <= at and (not held or row["event_time"] > held[-1]["event_time"]):
            held.append(row)
    return [row for row in held if row["session"] == day]


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return make_bars()


@pytest.fixture(scope="module")
def computed(bars: pl.DataFrame) -> dict[str, np.ndarray]:
    stream, late = in_order(bars, "bar")
    assert late > 0, "the bars hold no late row, so the test says nothing about them"
    return bar.compute(stream, GRID, PRICE, MAX_AGE)


@pytest.fixture(scope="module")
def held(bars: pl.DataFrame) -> list[Rows]:
    """At each decision the session's bars, or none where the newest is older than max_age."""
    found = []
    for (entity, day), at in zip(GRID.select("entity", "session").iter_rows(), GRID_NS, strict=True):
        rows = naive_stream(bars, entity, day, at)
        found.append(rows if rows and at - rows[-1]["event_time"] <= MAX_AGE else [])
    return found


class TestBars:
    @pytest.mark.parametrize("name", NAIVE)
    def test_equals_its_definition(self, name: str, computed: dict[str, np.ndarray], held: list[Rows]) -> None:
        needed, formula = NAIVE[name]
        expected = [formula(b, [row["close"] for row in b]) if len(b) >= needed else np.nan for b in held]
        assert np.isfinite(expected).sum() > 20
        np.testing.assert_allclose(computed[name], expected, rtol=1e-9, atol=1e-9)

    def test_age_and_staleness(self, computed: dict[str, np.ndarray], held: list[Rows]) -> None:
        expected = [(at - b[-1]["event_time"]) / MINUTE if b else np.nan for at, b in zip(GRID_NS, held, strict=True)]
        np.testing.assert_allclose(computed["bar_age"], expected)
        assert np.isnan(expected).any()

    def test_relative_return_is_the_distance_from_the_entities_mean(self, computed: dict[str, np.ndarray]) -> None:
        own = dict(zip(zip(GRID["entity"], GRID_NS, strict=True), computed["bar_return_15"], strict=True))
        expected = []
        for entity, at in zip(GRID["entity"], GRID_NS, strict=True):
            peers = [own[e, at] for e in "ABC" if not np.isnan(own[e, at])]
            expected.append(own[entity, at] - np.mean(peers) if len(peers) > 1 else np.nan)
        np.testing.assert_allclose(computed["bar_relative_return_15"], expected, atol=1e-9)

    def test_every_feature_of_the_registry_is_tested(self) -> None:
        assert set(PRICE) == set(NAIVE) | {"bar_relative_return_15"}

    def test_no_bars_at_all(self, bars: pl.DataFrame) -> None:
        columns = bar.compute(bars.head(0), GRID, PRICE, MAX_AGE)
        assert all(np.isnan(values).all() for values in columns.values())


class TestMetrics:
    ROWS = pl.DataFrame(
        [
            ("A", "", "fill", 0, 5, 0.5), ("A", "", "fill", 0, 20, 0.6), ("A", "", "fill", 10, 30, 0.7),
            ("A", "a store", "fill", 10, 24, 0.1), ("US", "", "vix", 0, 1, 15.0), ("US", "", "vix", 10, 11, None),
        ],
        schema=["entity", "site", "metric", "event_time", "known_time", "value"],
        orient="row",
    ).with_columns((pl.col("event_time", "known_time") * MINUTE).cast(TIME))  # fmt: skip
    ASKED = pl.DataFrame({"entity": ["A"] * 4 + ["B"] * 4, "minute": [4, 5, 25, 31] * 2}).select(
        "entity", (pl.col("minute") * MINUTE).cast(TIME).alias("decision_time")
    )

    def test_vintages_and_market_wide_series(self) -> None:
        columns = metric.compute(self.ROWS, self.ASKED, ["fill"], 60 * MINUTE)
        columns |= metric.compute(self.ROWS, self.ASKED, ["vix"], 60 * MINUTE, market="US")
        nan = np.nan
        np.testing.assert_array_equal(columns["metric_fill"], [nan, 0.5, 0.6, 0.7, nan, nan, nan, nan])
        np.testing.assert_array_equal(columns["metric_fill_age"], [nan, 5, 25, 21, nan, nan, nan, nan])
        # a withdrawn value is missing, and hides the one before it
        np.testing.assert_array_equal(columns["metric_vix"], [15, 15, nan, nan] * 2)

    @pytest.mark.parametrize("market", [None, "US"])
    @pytest.mark.parametrize("newcomer", ["A", "EU", "US"])
    def test_a_later_row_of_any_entity_changes_nothing_before_it(self, market: str | None, newcomer: str) -> None:
        before = metric.compute(self.ROWS, self.ASKED, ["vix", "fill"], 60 * MINUTE, market=market)
        row = {"entity": newcomer, "site": "", "metric": "vix", "event_time": 40 * MINUTE, "known_time": 40 * MINUTE}
        later = (
            pl.DataFrame(row | {"value": 9.0})
            .with_columns(pl.col("event_time", "known_time").cast(TIME))
            .select(self.ROWS.columns)
        )
        after = metric.compute(self.ROWS.vstack(later), self.ASKED, ["vix", "fill"], 60 * MINUTE, market=market)
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values)

    def test_old_values_are_dropped(self) -> None:
        columns = metric.compute(self.ROWS, self.ASKED, ["fill"], 20 * MINUTE)
        np.testing.assert_array_equal(columns["metric_fill"][:4], [np.nan, 0.5, np.nan, np.nan])


class TestEvents:
    ROWS = pl.DataFrame(
        [("US", "fomc", 100, 10), ("US", "fomc", 200, 150), ("A", "earnings", 120, 0)],
        schema=["entity", "kind", "event_time", "known_time"],
        orient="row",
    ).with_columns((pl.col("event_time", "known_time") * MINUTE).cast(TIME))
    ASKED = pl.DataFrame({"entity": ["A"] * 5 + ["B"] * 5, "minute": [5, 50, 100, 130, 160] * 2}).select(
        "entity", (pl.col("minute") * MINUTE).cast(TIME).alias("decision_time")
    )

    def test_next_and_last_among_the_known_ones(self) -> None:
        columns = event.compute(self.ROWS, self.ASKED, ["fomc", "earnings"])
        cap = event.CAP_MINUTES
        assert columns["event_minutes_to_fomc"].tolist() == [cap, 50, cap, cap, 40] * 2
        assert columns["event_minutes_since_fomc"].tolist() == [cap, cap, 0, 30, 60] * 2
        assert columns["event_minutes_to_earnings"].tolist() == [115, 70, 20, cap, cap] + [cap] * 5


class TestMatrix:
    def test_an_unknown_feature_is_named(self, market: Market) -> None:
        config = load(CONFIGS / "demo.yaml", ["features.bars=[bar_return_5, bar_retrun_15]"])
        with pytest.raises(ConfigError, match="bar_retrun_15"):
            features.build(config, market.tables, GRID)

    def test_every_column_of_a_run_is_in_the_registry(self, market: Market) -> None:
        grid = decision_grid(list(market.plan.entities), market.plan.sessions.head(2), market.config.decisions)
        matrix = features.build(market.config, market.tables, grid)
        described = [re.escape(spec.name) for spec in features.REGISTRY]
        shapes = re.compile("|".join(re.sub("<[a-z]+>", r"\\w+", name) for name in described))
        assert [name for name in matrix.families if not shapes.fullmatch(name)] == []
        assert matrix.frame.select(matrix.candidates).dtypes == [pl.Float64] * len(matrix.candidates)
