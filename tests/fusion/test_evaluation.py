"""Every measure against plain loops, SciPy and alphalens; intervals; nothing crosses a session; dirt."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from alphalens.performance import factor_information_coefficient
from alphalens.utils import get_clean_factor_and_forward_returns
from planted import MINUTE, decisions, session_table
from pydantic import ValidationError
from scipy import stats

from fusion.evaluation import EVALUATION, SESSION_IC, EvaluationConfig, evaluate, session_ic
from fusion.target import KEYS, TargetConfig, forward_returns
from gpu_kernels.errors import DataError
from sources.schema import TIME

H5, H15 = 5 * MINUTE, 15 * MINUTE
CONFIG = EvaluationConfig(bootstrap=200, lags=3)


def tables(seed: int, *, sessions: int = 12, entities: int = 3, missing: float = 0.05, effect: float = 0.3):
    """predictions, labels, probabilities, volatility with gaps and ties."""
    rng = np.random.default_rng(seed)
    table = session_table(sessions, early=4)
    grid = decisions(table, [f"E{i}" for i in range(entities)])
    n = grid.height
    score = np.round(rng.standard_normal(n), 1)
    holes = rng.random((4, n)) < missing
    predictions = grid.with_columns(
        pl.Series("score", np.where(holes[0], np.nan, 1e-3 * score)).fill_nan(None),
        pl.Series("score_ridge", np.where(holes[1], np.nan, rng.standard_normal(n))),
    )
    labels = grid.with_columns(
        pl.Series("return_5min", np.where(holes[2], np.nan, 1e-3 * rng.standard_normal(n))).fill_nan(None),
        pl.Series("return_15min", np.where(holes[3], np.nan, 1e-3 * (effect * score + rng.standard_normal(n)))),
    )
    times = grid.select("session", pl.col("decision_time").alias("time")).unique().sort("time")
    p = rng.random(times.height)
    probabilities = times.with_columns(
        pl.Series("probability_0", p), pl.Series("probability_1", 1 - p), pl.Series("regime", (p < 0.5).astype(int))
    )
    volatility = grid.with_columns(pl.Series("volatility", rng.random(n) + grid["session"].dt.day().to_numpy() % 3))
    return predictions, labels, probabilities, volatility


def run(
    predictions: pl.DataFrame, labels: pl.DataFrame, probabilities: pl.DataFrame, *rest: Any, config: Any = CONFIG
) -> pl.DataFrame:
    return evaluate(
        predictions,
        labels,
        probabilities,
        config,
        horizons=[H5, H15],
        primary=H15,
        volatility=rest[0] if rest else None,
        timezone="America/New_York",
    )


def get(found: pl.DataFrame, metric: str, group_kind: str = "all", group: str = "all", **also: str) -> dict[str, Any]:
    wanted = {"score": "score", "horizon": "15min", "metric": metric, "group_kind": group_kind, "group": group} | also
    rows = found.filter(pl.col(name) == value for name, value in wanted.items())
    assert rows.height == 1, (wanted, rows)
    return rows.row(0, named=True)


def by_session(rows: pl.DataFrame) -> list[pl.DataFrame]:
    return [
        part for _, part in rows.sort("session", "entity", "decision_time").group_by("session", maintain_order=True)
    ]


def present(rows: pl.DataFrame, x: str, y: str) -> pl.DataFrame:
    """session, x, y of the rows that have both."""
    values = rows.select("session", pl.col(x, y).cast(pl.Float64).fill_null(np.nan))
    return values.filter(pl.col(x).is_finite(), pl.col(y).is_finite())


def naive_ic(rows: pl.DataFrame, x: str, y: str, method: Any) -> tuple[float, int]:
    """Correlation over all rows, and the sessions among them."""
    both = present(rows, x, y)
    return method(both[x].to_numpy(), both[y].to_numpy()).statistic, both["session"].n_unique()


def standardised(rows: pl.DataFrame, x: str, y: str, ranked: bool = True) -> pl.DataFrame:
    both = present(rows, x, y)
    columns = [both[name].rank() if ranked else both[name] for name in (x, y)]
    u, v = ((z - z.mean()) / z.std(ddof=0) for z in columns)
    return both.select("session").with_columns(u.alias("u"), v.alias("v"))


def naive_contributions(rows: pl.DataFrame, x: str, y: str, ranked: bool = True) -> np.ndarray:
    z = standardised(rows, x, y, ranked)
    return np.array([(part["u"] * part["v"]).mean() for part in z.partition_by("session")])


@pytest.fixture(scope="module")
def case():
    predictions, labels, probabilities, volatility = tables(0)
    found = run(predictions, labels, probabilities, volatility)
    return predictions.join(labels, on=KEYS), probabilities, volatility, found


class TestDefinitions:
    @pytest.mark.parametrize("score", ["score", "score_ridge"])
    @pytest.mark.parametrize("horizon", ["5min", "15min"])
    def test_information_coefficients(self, case, score, horizon):
        rows, _, _, found = case
        columns = (rows.sort("session", "entity", "decision_time"), score, f"return_{horizon}")
        for metric, method in (("rank_ic", stats.spearmanr), ("ic", stats.pearsonr)):
            row = get(found, metric, score=score, horizon=horizon)
            assert (row["value"], row["count"]) == pytest.approx(naive_ic(*columns, method), abs=1e-12)
            assert row["low"] < row["value"] < row["high"]
            assert row["count"] == 12
        contributions = naive_contributions(*columns)
        icir = get(found, "icir", score=score, horizon=horizon)
        assert icir["value"] == pytest.approx(np.mean(contributions) / np.std(contributions, ddof=1))
        assert icir["low"] < icir["value"] < icir["high"]
        z = standardised(*columns)
        ic = (z["u"] * z["v"]).mean()
        left_out = [z.filter(pl.col("session") != day) for day in z["session"].unique().sort()]
        off = np.array([np.corrcoef(part["u"], part["v"])[0, 1] - ic for part in left_out])
        g = [off[lag:] @ off[: len(off) - lag] for lag in range(3)]
        error = np.sqrt(max(g[0], g[0] + 4 / 3 * g[1] + 2 / 3 * g[2]))
        assert get(found, "t_stat", score=score, horizon=horizon)["value"] == pytest.approx(ic / error)

    def test_groups(self, case):
        rows, probabilities, volatility, found = case
        rows = rows.join(probabilities.rename({"time": "decision_time"}), on="decision_time").with_columns(
            pl.col("decision_time").dt.convert_time_zone("America/New_York").dt.hour().alias("hour")
        )
        relative = volatility.with_columns(pl.col("volatility") / pl.col("volatility").median().over("entity"))
        level = relative.group_by("session").agg(pl.col("volatility").mean())
        median = level["volatility"].median()
        high = level.filter(pl.col("volatility") > median)["session"].to_list()
        assert len(high) == 6
        members = [("entity", name, pl.col("entity") == name) for name in ("E0", "E1", "E2")]
        members += [("regime", str(k), pl.col("regime") == k) for k in (0, 1)]
        members += [("hour", f"{hour:02}", pl.col("hour") == hour) for hour in (9, 10, 11)]
        members += [("volatility", "high", pl.col("session").is_in(high))]
        members += [("volatility", "low", ~pl.col("session").is_in(high))]
        for kind, group, member in members:
            for metric, method in (("rank_ic", stats.spearmanr), ("ic", stats.pearsonr)):
                row = get(found, metric, kind, group)
                expected = naive_ic(rows.filter(member), "score", "return_15min", method)
                assert (row["value"], row["count"]) == pytest.approx(expected, abs=1e-12), (kind, group)
        kinds = {"all", "entity", "regime", "hour", "volatility", "lag", "quantile", "regime_quantile", "neutral"}
        assert set(found["group_kind"]) == kinds
        assert found.filter(pl.col("group_kind") == "hour")["group"].unique().sort().to_list() == ["09", "10", "11"]

    def test_decay_uses_later_returns_of_the_same_entity_and_session(self, case):
        rows, _, _, found = case
        for lag in range(4):
            later = []
            for part in by_session(rows):
                for entity in sorted(set(part["entity"])):
                    values = part.filter(pl.col("entity") == entity)["return_15min"].to_list()
                    later += values[lag:] + [None] * min(lag, len(values))
            shifted = rows.sort("session", "entity", "decision_time").with_columns(pl.Series("later", later))
            expected, _ = naive_ic(shifted, "score", "later", stats.spearmanr)
            assert get(found, "rank_ic", "lag", str(lag))["value"] == pytest.approx(expected, abs=1e-12)
        assert get(found, "rank_ic", "lag", "0")["value"] == get(found, "rank_ic")["value"]
        assert found.filter(pl.col("group_kind") == "lag")["group"].unique().len() == 4

    def test_hit_rate(self, case):
        rows, _, _, found = case
        signs = rows.select(pl.col("score").sign() * pl.col("return_15min").sign()).to_series().drop_nulls().drop_nans()
        tries = signs.filter(signs != 0)
        row = get(found, "hit_rate")
        assert row["value"] == pytest.approx((tries > 0).mean())
        assert row["count"] == len(tries)

    def test_quantile_returns(self, case):
        rows, _, _, found = case
        groups: dict[int, list[float]] = {b: [] for b in range(1, 6)}
        part = rows.filter(pl.col("score").is_not_null(), pl.col("return_15min").is_not_nan())
        rank = stats.rankdata(part["score"])
        for place, value in zip(rank, part["return_15min"], strict=True):
            groups[int((place - 0.5) / part.height * 5) + 1].append(1e4 * value)
        for b, values in groups.items():
            row = get(found, "quantile_return", "quantile", str(b))
            assert row["value"] == pytest.approx(np.mean(values))
            assert row["count"] == len(values)
        spread = get(found, "top_minus_bottom")
        assert spread["value"] == pytest.approx(np.mean(groups[5]) - np.mean(groups[1]))
        assert spread["low"] < spread["value"] < spread["high"]
        assert spread["value"] > 0
        assert spread["count"] == 12

    def test_turnover_and_autocorrelation(self, case):
        rows, _, _, found = case
        turnover, series = [], []
        for part in by_session(rows):
            ranks: dict[Any, dict[str, float]] = {}
            for at, now in part.filter(pl.col("score").is_not_null()).group_by("decision_time"):
                if now.height > 1:
                    places = (stats.rankdata(now["score"]) - 1) / (now.height - 1)
                    ranks[at[0]] = dict(zip(now["entity"], places, strict=True))
            changes = []
            for _, own in part.group_by("entity", maintain_order=True):
                times, name = own["decision_time"].to_list(), own["entity"][0]
                for a, b in pairwise(times):
                    if name in ranks.get(a, {}) and name in ranks.get(b, {}):
                        changes.append(abs(ranks[b][name] - ranks[a][name]))
                series += [(a, b) for a, b in pairwise(own["score"]) if a is not None and b is not None]
            turnover.append(np.mean(changes))
        assert get(found, "turnover")["value"] == pytest.approx(np.mean(turnover))
        assert get(found, "turnover")["count"] == 12
        expected = stats.pearsonr(*np.array(series).T).statistic
        assert get(found, "autocorrelation")["value"] == pytest.approx(expected)
        assert get(found, "autocorrelation")["count"] == 12
        # what no horizon changes stands once
        assert found.filter(pl.col("metric").is_in(["turnover", "autocorrelation"]))["horizon"].unique().to_list() == [
            "15min"
        ]

    def test_session_series(self, case):
        rows, _, _, found = case
        predictions, labels = rows.select(*KEYS, "score"), rows.select(*KEYS, "return_5min", "return_15min")
        series = session_ic(predictions, labels, horizons=[H5, H15])
        assert dict(series.schema) == SESSION_IC
        assert series.height == 24
        mine = series.filter(pl.col("horizon") == "15min")
        assert mine["session"].is_sorted()
        columns = (rows.sort("session", "entity", "decision_time"), "score", "return_15min")
        np.testing.assert_allclose(mine["rank_ic"], naive_contributions(*columns), atol=1e-12)
        np.testing.assert_allclose(mine["ic"], naive_contributions(*columns, ranked=False), atol=1e-12)
        assert mine["rows"].sum() == present(*columns).height
        for metric in ("rank_ic", "ic"):
            mean = (mine[metric] * mine["rows"]).sum() / mine["rows"].sum()
            assert mean == pytest.approx(get(found, metric)["value"], abs=1e-14)


class TestIntervals:
    def test_bootstrap_equals_resampling_sessions_by_hand(self, case):
        rows, _, _, found = case
        ordered = rows.sort("session", "entity", "decision_time")
        z = standardised(ordered, "score", "return_15min").partition_by("session")
        drawn = np.random.default_rng(CONFIG.seed).multinomial(12, [1 / 12] * 12, size=CONFIG.bootstrap)
        ics = []
        for counts in drawn:
            again = pl.concat([part for part, count in zip(z, counts, strict=True) for _ in range(count)])
            ics.append(np.corrcoef(again["u"], again["v"])[0, 1])
        row = get(found, "rank_ic")
        assert [row["low"], row["high"]] == pytest.approx(np.quantile(ics, [0.025, 0.975]).tolist())
        parts = naive_contributions(ordered, "score", "return_15min")
        ratios = [np.repeat(parts, c).mean() / np.repeat(parts, c).std(ddof=1) for c in drawn]
        row = get(found, "icir")
        assert [row["low"], row["high"]] == pytest.approx(np.quantile(ratios, [0.025, 0.975]).tolist())

    @pytest.mark.parametrize("effect", [0.0, 0.5])
    def test_coverage_of_the_truth(self, effect):
        """The 90 % interval holds the truth in about 90 % of samples, also where whole sessions move together."""
        config = EvaluationConfig(bootstrap=300, confidence=0.9, lags=0)
        inside = []
        for seed in range(80):
            predictions, labels, probabilities, _ = tables(100 + seed, sessions=40, entities=1, missing=0.0)
            rng = np.random.default_rng(seed)
            day = predictions["session"].rank("dense").to_numpy().astype(np.int64) - 1
            x, y = (rng.standard_normal(40)[day] + rng.standard_normal(len(day)) for _ in range(2))
            y += effect * x
            predictions = predictions.drop("score_ridge").with_columns(pl.Series("score", x))
            labels = labels.with_columns(pl.Series("return_15min", y))
            found = evaluate(predictions, labels, probabilities, config, horizons=[H15], primary=H15)
            row, pearson = get(found, "rank_ic"), get(found, "ic")
            rho = effect / np.sqrt(1 + effect**2)
            inside.append(row["low"] <= 6 / np.pi * np.arcsin(rho / 2) <= row["high"])
            inside.append(pearson["low"] <= rho <= pearson["high"])
        assert 0.8 < np.mean(inside) < 0.97

    def test_same_seed_same_bits_and_order_of_rows_does_not_matter(self, case):
        rows, probabilities, volatility, found = case
        mixed = rows.sample(fraction=1.0, shuffle=True, seed=3)
        predictions = mixed.select(*KEYS, "score", "score_ridge")
        labels = mixed.reverse().select(*KEYS, "return_5min", "return_15min")
        assert run(predictions, labels, probabilities, volatility).equals(found)
        other = run(
            predictions, labels, probabilities, volatility, config=CONFIG.model_copy(update={"seed": CONFIG.seed + 1})
        )
        assert not other.equals(found)
        assert other["value"].equals(found["value"])

    def test_few_sessions_give_no_interval(self):
        found = run(*tables(1, sessions=4))
        assert found["value"].count() > 20
        assert found.select("low", "high").null_count().row(0) == (found.height, found.height)


class TestAlphalens:
    def test_ic_equals_alphalens_where_the_sample_is_its_date(self):
        """alphalens correlates over the assets of one date: with each row as an asset, that is our whole sample."""
        predictions, labels, probabilities, _ = tables(2, missing=0.0)
        rows = predictions.join(labels, on=KEYS)
        data = pd.DataFrame(
            {"factor": rows["score"].to_numpy(), "15m": rows["return_15min"].to_numpy()},
            index=pd.MultiIndex.from_arrays(
                [
                    pd.to_datetime(["2020-01-06"] * rows.height),
                    [f"{e} {t}" for e, t in zip(rows["entity"], rows["decision_time"], strict=True)],
                ],
                names=["date", "asset"],
            ),
        )
        data["factor_quantile"] = 1
        theirs = factor_information_coefficient(data)["15m"].to_numpy()
        assert get(run(predictions, labels, probabilities), "rank_ic")["value"] == pytest.approx(theirs[0], abs=1e-12)

    def test_alphalens_counts_the_night_and_we_do_not(self):
        """Its forward return counts rows, so that the last ones of a day reach into the next morning."""
        # the close is the last grid point, so that a later price of that session does not exist
        sessions = session_table(6, minutes=60).with_columns(pl.col("close") - pl.duration(nanoseconds=H15))
        whole = session_table(6, minutes=60)
        times = decisions(whole, ["A"], 5)["decision_time"]
        grid = decisions(whole, ["A", "B", "C"], 5)
        rng = np.random.default_rng(0)
        gap = {session: 0.1 * i for i, session in enumerate(sessions["session"])}
        level = grid["session"].replace_strict(gap, return_dtype=pl.Float64).to_numpy()
        close = 100 * np.exp(level + 1e-4 * rng.standard_normal(grid.height))
        bars = grid.rename({"decision_time": "event_time"}).with_columns(
            pl.col("event_time").alias("known_time"), pl.Series("price", close)
        )
        ours = forward_returns(grid, bars, sessions, TargetConfig(horizons=("5min",), primary="5min"), H5)
        prices = pd.DataFrame(
            close.reshape(3, -1).T, index=pd.DatetimeIndex(times.to_numpy(), tz="UTC"), columns=["A", "B", "C"]
        )
        factor = pd.Series(
            rng.standard_normal(prices.size),
            index=pd.MultiIndex.from_product([prices.index, prices.columns], names=["date", "asset"]),
        )
        with pytest.warns(UserWarning, match="do not conform to the inferred trading calendar"):
            theirs = get_clean_factor_and_forward_returns(factor, prices, quantiles=2, periods=(1,), max_loss=1.0)
        assert np.nanmax(np.abs(theirs.iloc[:, 0])) > 0.09
        assert ours["return_5min"].abs().max() < 0.01
        # 3 entities x 6 sessions: the last decision of each has no later price in it
        assert ours["return_5min"].null_count() == 18


class TestSessions:
    def test_nothing_crosses_a_session(self):
        """Each session starts where the one before ended, and goes nowhere inside: a crossing would see an order."""
        table = session_table(400, minutes=35)
        grid = decisions(table, ["A"]).sort("decision_time")
        assert grid.height == 2 * 400
        rng = np.random.default_rng(3)
        level = rng.standard_normal(401)
        score = np.stack([level[:-1], level[1:]], axis=1).ravel()
        # the return of a session's first decision is the last score of the session before
        returns = np.stack([level[:-1], rng.standard_normal(400)], axis=1).ravel()
        predictions = grid.with_columns(pl.Series("score", score))
        labels = grid.with_columns(pl.Series("return_15min", 1e-3 * returns))
        times = grid.select("session", pl.col("decision_time").alias("time"), pl.lit(1.0).alias("probability_0"))
        found = evaluate(predictions, labels, times, CONFIG, horizons=[H15], primary=H15)
        assert np.corrcoef(score[1:], score[:-1])[0, 1] > 0.4
        assert abs(get(found, "autocorrelation")["value"]) < 0.15
        assert np.corrcoef(returns[1:], score[:-1])[0, 1] > 0.4
        assert abs(get(found, "rank_ic", "lag", "1")["value"]) < 0.15
        assert get(found, "rank_ic", "lag", "2") == get(found, "rank_ic", "lag", "2") | {"value": None, "count": 0}

    def test_the_level_of_a_session_is_part_of_the_score(self):
        """A score of whole days, right about them and blind inside them: no mean of a session may take it away."""
        predictions, labels, probabilities, _ = tables(3, sessions=60, missing=0.0, effect=0.0)
        day = np.random.default_rng(0).standard_normal(60)[predictions["session"].rank("dense").to_numpy() - 1]
        predictions = predictions.drop("score_ridge").with_columns(pl.Series("score", day))
        labels = labels.with_columns(pl.col("return_15min") + 1e-3 * day)
        found = run(predictions, labels, probabilities)
        assert get(found, "rank_ic")["value"] > 0.6
        assert get(found, "t_stat")["value"] > 5
        assert get(found, "top_minus_bottom")["value"] > 20

    def test_a_session_without_returns_contributes_nothing(self):
        predictions, labels, probabilities, _ = tables(4)
        silent = predictions["session"].unique().sort()[6]
        gap = pl.when(pl.col("session") != silent).then("return_15min").alias("return_15min")
        series = session_ic(predictions, labels.with_columns(gap), horizons=[H15]).filter(pl.col("score") == "score")
        assert series.filter(pl.col("rank_ic").is_null())["session"].to_list() == [silent]
        assert series.filter(pl.col("session") == silent)["rows"].to_list() == [0]
        assert get(run(predictions, labels.with_columns(gap), probabilities), "rank_ic")["count"] == 11
        few = session_ic(predictions.head(4), labels.head(4), horizons=[H15])
        assert few["rank_ic"].null_count() == few.height > 0


class TestDirt:
    def test_one_entity_has_no_turnover(self):
        found = run(*tables(5, entities=1))
        row = get(found, "turnover")
        assert (row["value"], row["low"], row["count"]) == (None, None, 0)
        assert get(found, "autocorrelation")["value"] is not None
        assert get(found, "rank_ic", "entity", "E0")["value"] == get(found, "rank_ic")["value"]

    def test_one_session(self):
        found = run(*tables(6, sessions=1))
        assert get(found, "rank_ic")["count"] == 1
        assert get(found, "icir")["value"] is None
        assert get(found, "t_stat")["value"] is None

    def test_constant_scores_have_no_ic_and_no_quantiles(self):
        predictions, labels, probabilities, _ = tables(7)
        flat = predictions.with_columns(pl.lit(1e-4).alias("score"))
        found = run(flat, labels, probabilities)
        for metric in ("rank_ic", "ic", "icir", "t_stat", "top_minus_bottom", "autocorrelation"):
            assert get(found, metric)["value"] is None
            assert get(found, metric)["count"] == 0
        assert get(found, "quantile_return", "quantile", "3")["count"] == 0
        assert get(found, "hit_rate")["value"] == pytest.approx(0.5, abs=0.1)
        assert get(found, "turnover")["value"] == 0.0

    def test_no_scores_no_labels_no_rows(self):
        predictions, labels, probabilities, _ = tables(8)
        for found in (
            run(predictions.with_columns(pl.lit(None, dtype=pl.Float64).alias("score")), labels, probabilities),
            run(predictions, labels.with_columns(pl.lit(None, dtype=pl.Float64).alias("return_15min")), probabilities),
            run(predictions.clear(), labels.clear(), probabilities.clear()),
        ):
            assert dict(found.schema) == EVALUATION
            assert get(found, "rank_ic")["value"] is None
            assert get(found, "rank_ic")["count"] == 0
            assert get(found, "hit_rate")["count"] == 0
        assert session_ic(predictions.clear(), labels.clear(), horizons=[H15]).height == 0

    def test_no_regimes_known(self):
        predictions, labels, probabilities, _ = tables(9)
        late = probabilities.with_columns(pl.col("time") + pl.duration(nanoseconds=10**18))
        found = run(predictions, labels, late)
        assert found.filter(pl.col("group_kind") == "regime").height == 0
        assert get(found, "rank_ic")["value"] is not None

    def test_huge_and_infinite_values(self):
        predictions, labels, probabilities, _ = tables(10, missing=0.0)
        n = pl.int_range(pl.len())
        wild = predictions.with_columns(
            pl.when(n % 50 == 0).then(1e300).when(n % 51 == 0).then(float("inf")).otherwise("score").alias("score")
        )
        found = run(wild, labels, probabilities)
        assert abs(get(found, "rank_ic")["value"]) <= 1
        assert found["value"].is_finite().sum() == found["value"].count()

    def test_wrong_tables_are_named(self):
        predictions, labels, probabilities, _ = tables(11)
        for wrong, other, message in (
            (predictions.drop("score", "score_ridge"), labels, "hold no score"),
            (predictions.head(5), labels, "hold 5 decisions"),
            (predictions, labels.drop("return_15min"), "labels lack return_15min"),
            (pl.concat([predictions, predictions]), labels, "decision twice"),
        ):
            with pytest.raises(DataError, match=message):
                run(wrong, other, probabilities)

    def test_config(self):
        for wrong in ({"quantiles": 1}, {"bootstrap": 10}, {"confidence": 1.0}, {"lags": -1}, {"quantile": 5}):
            with pytest.raises(ValidationError):
                EvaluationConfig.model_validate(wrong)


def test_times_beyond_microseconds_are_kept():
    predictions, labels, probabilities, _ = tables(12)
    shift = pl.duration(nanoseconds=1)
    moved = [frame.with_columns(pl.col("decision_time") + shift) for frame in (predictions, labels)]
    assert moved[0].schema["decision_time"] == TIME
    assert run(*moved, probabilities)["value"].equals(run(predictions, labels, probabilities)["value"])
