"""Event windows, sectors, regimes' quantiles, calm against volatile sessions, and what is left of a neutral score."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from planted import MINUTE, decisions, session_table
from pydantic import ValidationError
from scipy import stats

from fusion.evaluation import EvaluationConfig, evaluate
from fusion.evaluation.neutral import residual
from fusion.target import KEYS
from gpu_kernels.errors import ConfigError, DataError
from sources.schema import TIME

H15 = 15 * MINUTE
CONFIG = EvaluationConfig(bootstrap=200, lags=3, event_window="40min", sectors={"E0": "a", "E1": "a", "E2": "b"})


def tables(seed: int, *, sessions: int = 14, entities: int = 4):
    """rows with score, return_15min, regime, volatility and two features, of which one is the score's better part."""
    rng = np.random.default_rng(seed)
    grid = decisions(session_table(sessions, early=4), [f"E{i}" for i in range(entities)])
    n = grid.height
    known, own, market = (rng.standard_normal(n) for _ in range(3))
    at = grid["decision_time"].rank("dense").to_numpy().astype(np.int64) - 1
    score = known + 0.5 * own + market[at]
    rows = grid.with_columns(
        pl.Series("score", np.where(rng.random(n) < 0.05, np.nan, score.round(2))),
        pl.Series("return_15min", 1e-3 * (0.5 * own + 0.2 * known + market[at] + rng.standard_normal(n))),
        pl.Series("known", np.where(rng.random(n) < 0.1, np.nan, known)),
        pl.Series("flat", np.full(n, 3.0)),
        pl.Series("volatility", rng.random(n) + grid["session"].dt.day().to_numpy() % 3),
    )
    times = grid.select("session", pl.col("decision_time").alias("time")).unique().sort("time")
    chance = rng.random(times.height)
    chances = times.with_columns(pl.Series("probability_0", chance), pl.Series("probability_1", 1 - chance))
    return rows, chances


def events_of(rows: pl.DataFrame) -> pl.DataFrame:
    """One of a market at a decision, one of E1 a minute after one, one that was announced in the middle of its window,
    and one on a day without decisions."""
    times = rows["decision_time"].unique().sort()
    day = timedelta(days=1)
    told = [
        ("US", "fomc", times[8], times[8] - day),
        ("E1", "report", times[30] + timedelta(minutes=1), times[30] - day),
        ("US", "cpi", times[60], times[58]),
        ("US", "cpi", times[60] + 365 * day, times[0]),
    ]
    schema = {"entity": pl.String, "kind": pl.String, "event_time": TIME, "known_time": TIME}
    return pl.DataFrame(told, schema=schema, orient="row")


def run(rows: pl.DataFrame, chances: pl.DataFrame, config: EvaluationConfig = CONFIG, **more) -> pl.DataFrame:
    predictions, labels = rows.select(*KEYS, "score"), rows.select(*KEYS, "return_15min")
    return evaluate(predictions, labels, chances, config, horizons=[H15], primary=H15, **more)


def get(found: pl.DataFrame, metric: str, kind: str, group: str) -> dict:
    rows = found.filter(metric=metric, group_kind=kind, group=group)
    assert rows.height == 1, (metric, kind, group, found.filter(group_kind=kind)["group"].unique().to_list())
    return rows.row(0, named=True)


def spearman(rows: pl.DataFrame, x: str = "score", y: str = "return_15min") -> float:
    both = rows.select(pl.col(x, y).fill_null(np.nan)).filter(pl.col(x).is_finite(), pl.col(y).is_finite())
    return float(stats.spearmanr(both[x], both[y]).statistic)


@pytest.fixture(scope="module")
def case():
    rows, chances = tables(0)
    events = events_of(rows)
    config = CONFIG.model_copy(update={"neutral_to": ("known", "flat")})
    return rows, chances, events, run(rows, chances, config, events=events, features=rows, volatility=rows)


class TestEventWindows:
    def windows(self, rows: pl.DataFrame, events: pl.DataFrame) -> dict[str, list[bool]]:
        near: dict[str, list[bool]] = {}
        for kind in ("cpi", "fomc", "report"):
            for side in ("before", "after"):
                members = []
                for entity, at in rows.select("entity", "decision_time").iter_rows():
                    inside = False
                    for own, event_time, known_time in (
                        events.filter(kind=kind).select("entity", "event_time", "known_time").iter_rows()
                    ):
                        ahead = event_time - at
                        window = timedelta(minutes=40)
                        before, after = timedelta(0) < ahead <= window, timedelta(0) <= -ahead <= window
                        close = before if side == "before" else after
                        inside |= close and known_time <= at and own in ("US", entity)
                    members.append(inside)
                near[f"{kind} {side}"] = members
        return near

    def test_members(self, case):
        rows, _, events, found = case
        near = self.windows(rows, events)
        assert all(any(members) for members in near.values())
        near["none"] = [not any(each) for each in zip(*near.values(), strict=True)]
        assert set(found.filter(group_kind="event")["group"]) == set(near)
        for group, members in near.items():
            expected = spearman(rows.filter(pl.Series(members)))
            assert get(found, "rank_ic", "event", group)["value"] == pytest.approx(expected, abs=1e-12), group
            assert get(found, "cross_sectional_rank_ic", "event", group)

    def test_an_event_that_nobody_knew_of_is_none(self, case):
        rows, chances, events, _ = case
        late = events.with_columns(pl.col("event_time").alias("known_time"))
        groups = set(run(rows, chances, events=late).filter(group_kind="event")["group"])
        assert groups == {"fomc after", "report after", "cpi after", "none"}

    def test_no_window_and_no_event(self, case):
        rows, chances, events, _ = case
        off = CONFIG.model_copy(update={"event_window": None})
        for found in (
            run(rows, chances),
            run(rows, chances, off, events=events),
            run(rows, chances, events=events[:0]),
        ):
            assert "event" not in set(found["group_kind"])

    def test_bad_input(self, case):
        rows, chances, events, _ = case
        with pytest.raises(DataError, match="events lack known_time"):
            run(rows, chances, events=events.drop("known_time"))
        with pytest.raises(ValidationError, match="not a duration"):
            EvaluationConfig(event_window="soon")


class TestNeutral:
    @pytest.mark.parametrize("inside", ["market", "sector"])
    def test_less_the_mean_of_the_decision(self, case, inside):
        rows, _, _, found = case
        rows = rows.filter(pl.col("score").is_finite())
        if inside == "sector":
            rows = rows.filter(pl.col("entity") != "E3").with_columns(
                pl.col("entity").replace_strict(CONFIG.sectors).alias("sector")
            )
        by = ["decision_time", "sector"] if inside == "sector" else ["decision_time"]
        parts = [part for _, part in rows.group_by(by) if part.height > 1]
        x = np.concatenate([part["score"] - part["score"].mean() for part in parts]).round(12)
        y = np.concatenate([part["return_15min"] - part["return_15min"].mean() for part in parts])
        for metric, method in (("rank_ic_neutral", stats.spearmanr), ("ic_neutral", stats.pearsonr)):
            got = get(found, metric, "neutral", inside)
            assert got["value"] == pytest.approx(method(x, y).statistic, abs=1e-9)
            assert got["low"] < got["value"] < got["high"]
        # the market moved score and return alike: without it less is left
        assert get(found, "rank_ic_neutral", "neutral", inside)["value"] < get(found, "rank_ic", "all", "all")["value"]

    def test_features_by_plain_regressions_on_earlier_sessions(self, case):
        rows, _, _, found = case
        ordered = rows.sort("session", "entity", "decision_time")
        days = ordered["session"].unique().sort().to_list()
        z, left = [], []
        for number, day in enumerate(days):
            part, past = ordered.filter(session=day), ordered.filter(pl.col("session") < day)
            mean = past["known"].drop_nans().mean()
            # before any value was there it counts as the first one
            own = part["known"].fill_nan(ordered["known"].drop_nans()[0] if mean is None else mean).to_numpy()
            if number >= 5:
                before, x = np.concatenate(z), past["score"].to_numpy()
                told = np.isfinite(x)
                design = np.stack([np.ones(told.sum()), before[told]], axis=1)
                weights = np.linalg.lstsq(design, x[told], rcond=None)[0]
                left += (part["score"].to_numpy() - weights[0] - weights[1] * own).tolist()
            else:
                left += [np.nan] * part.height
            z.append(own)
        expected = spearman(ordered.with_columns(pl.Series("left", left)), "left")
        got = get(found, "rank_ic_neutral", "neutral", "features")
        assert got["value"] == pytest.approx(expected, abs=1e-9)
        assert got["count"] == len(days) - 5

    def test_the_score_of_a_feature_has_nothing_left(self):
        rows, chances = tables(1, sessions=60)
        rng = np.random.default_rng(0)
        rows = rows.with_columns(score=2.0 * pl.col("known") + 1e-6 * pl.Series(rng.standard_normal(rows.height)))
        rows = rows.with_columns(pl.col("known").fill_nan(None), pl.col("score").fill_nan(None))
        config = CONFIG.model_copy(update={"neutral_to": ("known",)})
        found = run(rows, chances, config, features=rows)
        assert get(found, "rank_ic", "all", "all")["value"] > 0.08
        neutral = get(found, "rank_ic_neutral", "neutral", "features")
        assert neutral["low"] < 0 < neutral["high"]
        assert abs(neutral["value"]) < 0.04

    def test_residuals_do_not_know_what_follows(self):
        rng = np.random.default_rng(0)
        offsets = np.arange(0, 601, 50)
        features, x = rng.standard_normal((3, 600)), rng.standard_normal(600)
        features[0] += 1e6
        features[rng.random(features.shape) < 0.1] = np.nan
        whole = residual(x, features, offsets)
        assert np.isnan(whole[:250]).all()
        assert np.isfinite(whole[250:]).all()
        for last in (7, 9):
            cut = residual(x[: offsets[last]], features[:, : offsets[last]], offsets[: last + 1])
            assert cut.tobytes() == whole[: offsets[last]].tobytes()
        changed = features.copy()
        changed[:, 500:] *= -7
        assert residual(x, changed, offsets)[:500].tobytes() == whole[:500].tobytes()

    def test_features_that_say_the_same_or_nothing(self):
        rng = np.random.default_rng(0)
        offsets, one, x = np.arange(0, 601, 50), rng.standard_normal(600), rng.standard_normal(600)
        alone = residual(x, one[None], offsets)
        twice = residual(x, np.array([one, 3 * one, np.full(600, np.nan), np.full(600, 7.0)]), offsets)
        np.testing.assert_allclose(twice[300:], alone[300:], atol=1e-9)
        assert residual(np.empty(0), np.empty((1, 0)), np.zeros(1, np.int64)).shape == (0,)

    def test_unknown_features(self):
        rows, chances = tables(2, sessions=6)
        config = CONFIG.model_copy(update={"neutral_to": ("known", "tone")})
        with pytest.raises(ConfigError, match="neutral_to names tone, no feature of the run"):
            run(rows, chances, config, features=rows)
        with pytest.raises(ConfigError, match="neutral_to names known, tone"):
            run(rows, chances, config)


class TestStability:
    def halves(self, rows: pl.DataFrame) -> list[pl.DataFrame]:
        relative = rows.with_columns(pl.col("volatility") / pl.col("volatility").median().over("entity"))
        level = relative.group_by("session").agg(pl.col("volatility").mean())
        high = level.filter(pl.col("volatility") > level["volatility"].median())["session"].to_list()
        return [rows.filter(pl.col("session").is_in(high)), rows.filter(~pl.col("session").is_in(high))]

    def test_volatile_sessions_less_calm_ones(self, case):
        rows, _, _, found = case
        high, low = self.halves(rows)
        got = get(found, "rank_ic_difference", "volatility", "high - low")
        assert got["value"] == pytest.approx(spearman(high) - spearman(low), abs=1e-12)
        assert got["low"] < got["value"] < got["high"]
        assert got["count"] == 14
        for side in ("high", "low"):
            assert get(found, "t_stat", "volatility", side)["value"] is not None
            assert get(found, "icir", "volatility", side)["low"] is not None

    def test_a_score_that_fails_in_volatile_sessions_is_found_out(self):
        rows, chances = tables(3, sessions=60)
        high, _ = self.halves(rows)
        turned = pl.when(pl.col("session").is_in(high["session"].unique().implode())).then(-pl.col("score"))
        found = run(rows.with_columns(turned.otherwise("score").alias("score")), chances, volatility=rows)
        assert get(found, "rank_ic_difference", "volatility", "high - low")["high"] < -0.5

    def test_autocorrelation_by_lag(self, case):
        rows, _, _, found = case
        for lag in (1, 2, 3):
            pairs = []
            for _, part in rows.sort("decision_time").group_by("session", "entity"):
                values = part["score"].to_list()
                pairs += [pair for pair in zip(values, values[lag:], strict=False) if np.isfinite(pair).all()]
            expected = stats.pearsonr(*np.array(pairs).T).statistic
            assert get(found, "autocorrelation", "lag", str(lag))["value"] == pytest.approx(expected, abs=1e-12)
        first, alone = (get(found, "autocorrelation", *place) for place in (("lag", "1"), ("all", "all")))
        assert {**first, "group_kind": "all", "group": "all"} == alone


def test_quantile_returns_by_regime(case):
    rows, chances, _, found = case
    rows = rows.filter(pl.col("score").is_finite()).join(chances.rename({"time": "decision_time"}), on="decision_time")
    quantile = pl.Series("q", ((stats.rankdata(rows["score"]) - 0.5) / rows.height * 5).astype(int) + 1)
    rows = rows.with_columns(quantile)
    for regime in ("0", "1"):
        own = rows.filter((pl.col("probability_1") > pl.col("probability_0")) == (regime == "1"))
        means = [1e4 * own.filter(q=q)["return_15min"].mean() for q in range(1, 6)]
        got = [get(found, "quantile_return", "regime_quantile", f"{regime}/{q}") for q in range(1, 6)]
        assert [row["value"] for row in got] == pytest.approx(means)
        assert sum(row["count"] for row in got) == own.height
        spread = get(found, "top_minus_bottom", "regime", regime)
        assert spread["value"] == pytest.approx(means[-1] - means[0])
        assert spread["low"] < spread["value"] < spread["high"]
    assert sum(a["value"] < b["value"] for a, b in pairwise(got)) >= 3
