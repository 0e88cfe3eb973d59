"""ICs across the entities of a decision: alphalens' own numbers within sessions, no overnight rows, means, errors."""

import warnings
from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from alphalens.performance import factor_information_coefficient
from alphalens.utils import get_clean_factor_and_forward_returns
from planted import MINUTE, session_table
from scipy import stats

from fusion.evaluation import CROSS_SECTION, EvaluationConfig, cross_sectional_ic, evaluate
from fusion.target import KEYS, TargetConfig, forward_returns
from gpu_kernels.errors import DataError
from sources.schema import TIME

H5, H15 = 5 * MINUTE, 15 * MINUTE
HORIZONS = [H5, H15]


def market(sessions: int, entities: int, *, minutes: int = 60, seed: int = 0, gap: float = 0.05):
    """Minute bars with a jump each night, a score that knows a little, and the labels of every bar."""
    rng = np.random.default_rng(seed)
    table = session_table(sessions, minutes=minutes)
    names = [f"E{i:02}" for i in range(entities)]
    times = [
        (day, opened + timedelta(minutes=m))
        for day, opened in table.select("session", "open").iter_rows()
        for m in range(1, minutes + 1)
    ]
    clock = pl.DataFrame(times, schema={"session": pl.Date, "event_time": TIME}, orient="row")
    change = 1e-3 * rng.standard_normal((entities, clock.height))
    change[:, ::minutes] += gap * rng.standard_normal((entities, sessions))
    price = 100 * np.exp(np.cumsum(change, axis=1))
    bars = pl.concat(clock.with_columns(pl.lit(name).alias("entity")) for name in names).with_columns(
        pl.col("event_time").alias("known_time"), pl.Series("price", price.ravel())
    )
    grid = bars.select("entity", "session", pl.col("event_time").alias("decision_time"))
    labels = forward_returns(grid, bars, table, TargetConfig(horizons=("5min", "15min"), primary="15min"), MINUTE)
    score = np.roll(change, -3, axis=1) + 5e-3 * rng.standard_normal(change.shape)
    predictions = grid.with_columns(pl.Series("score", score.ravel()))
    frame = pd.DataFrame(price.T, index=pd.DatetimeIndex(clock["event_time"].to_pandas()), columns=names)
    return predictions, labels, frame, table


def alphalens(predictions: pl.DataFrame, prices: pd.DataFrame) -> pd.DataFrame:
    factor = predictions.select("decision_time", "entity", "score").to_pandas().set_index(["decision_time", "entity"])
    factor.index.names = ["date", "asset"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Factor dates do not conform")
        return get_clean_factor_and_forward_returns(factor["score"], prices, quantiles=2, periods=(5, 15), max_loss=1)


class TestAlphalens:
    def test_equal_within_sessions_and_theirs_alone_cross_the_night(self):
        predictions, labels, prices, table = market(5, 20)
        theirs = factor_information_coefficient(alphalens(predictions, prices))
        ours = cross_sectional_ic(predictions, labels, horizons=HORIZONS)
        closes = predictions.select("session", "decision_time").unique().join(table, on="session").sort("decision_time")
        for horizon, length, column in (("5min", 5, "5m"), ("15min", 15, "15m")):
            mine = ours.filter(pl.col("horizon") == horizon).sort("decision_time")
            until = pl.col("decision_time") + pl.duration(minutes=length)
            inside = closes.select(until <= pl.col("close")).to_series()
            # none of ours crosses a session: each of the last bars has no correlation, and each other one has
            assert (mine["rank_ic"].is_not_null() == inside).all()
            assert (~inside).sum() == 5 * length
            of_theirs = theirs[column].reindex(pd.DatetimeIndex(mine["decision_time"].to_pandas())).to_numpy()
            both = inside.to_numpy() & np.isfinite(of_theirs)
            assert both.sum() >= 5 * (60 - 15)
            np.testing.assert_allclose(mine["rank_ic"].to_numpy()[both], of_theirs[both], rtol=0, atol=1e-9)
            # alphalens has numbers at those decisions too, but for the last bars of all: returns over the night
            night = ~inside.to_numpy() & np.isfinite(of_theirs)
            assert night.sum() == 4 * length

    def test_the_night_moves_their_returns(self):
        predictions, labels, prices, _ = market(5, 20)
        data = alphalens(predictions, prices)
        assert data["15m"].abs().max() > 0.05 > labels["return_15min"].abs().max()


@pytest.fixture(scope="module")
def case():
    predictions, labels, _, table = market(12, 6, minutes=60)
    rng = np.random.default_rng(1)
    holes = rng.random(predictions.height) < 0.1
    score = predictions["score"].round(3).to_numpy().copy()
    score[holes] = np.nan
    predictions = predictions.with_columns(pl.Series("score", score))
    times = predictions.select("session", pl.col("decision_time").alias("time")).unique().sort("time")
    chance = rng.random(times.height)
    chances = times.with_columns(pl.Series("probability_0", chance), pl.Series("probability_1", 1 - chance))
    return predictions, labels, chances, table


class TestDefinitions:
    def naive(self, rows: pl.DataFrame, column: str, method) -> pl.DataFrame:
        found = []
        for (session, at), part in rows.group_by("session", "decision_time"):
            both = part.filter(pl.col("score").is_not_nan(), pl.col(column).is_not_null())
            if both.height > 1 and both["score"].n_unique() > 1:
                found.append((session, at, method(both["score"], both[column]).statistic))
        schema = {"session": pl.Date, "decision_time": TIME, "ic": pl.Float64}
        return pl.DataFrame(found, schema=schema, orient="row").sort("session", "decision_time")

    def test_one_row_for_each_decision(self, case):
        predictions, labels, _, _ = case
        found = cross_sectional_ic(predictions, labels, horizons=HORIZONS)
        assert dict(found.schema) == CROSS_SECTION
        rows = predictions.join(labels, on=KEYS)
        for horizon in ("5min", "15min"):
            for name, method in (("rank_ic", stats.spearmanr), ("ic", stats.pearsonr)):
                mine = found.filter(pl.col("horizon") == horizon, pl.col(name).is_not_null())
                expected = self.naive(rows, f"return_{horizon}", method)
                assert mine["decision_time"].equals(expected["decision_time"])
                np.testing.assert_allclose(mine[name], expected["ic"], atol=1e-12)

    def test_means_icir_and_t(self, case):
        predictions, labels, chances, _ = case
        config = EvaluationConfig(bootstrap=200, sectors={"E00": "a", "E01": "a", "E02": "b", "E03": "a"})
        found = evaluate(predictions, labels, chances, config, horizons=HORIZONS, primary=H15)
        rows = predictions.join(labels, on=KEYS).join(chances.rename({"time": "decision_time"}), on="decision_time")
        parts = {
            ("all", "all"): rows,
            ("regime", "1"): rows.filter(pl.col("probability_1") > pl.col("probability_0")),
            ("hour", "15"): rows.filter(pl.col("decision_time").dt.hour() == 15),
            ("sector", "a"): rows.filter(pl.col("entity").is_in(["E00", "E01", "E03"])),
        }
        for (kind, group), part in parts.items():
            expected = self.naive(part, "return_15min", stats.spearmanr)
            place = (pl.col("horizon") == "15min") & (pl.col("group_kind") == kind) & (pl.col("group") == group)

            def row(metric, place=place):
                return found.filter(place, pl.col("metric") == metric).row(0, named=True)

            mean, deviation = expected["ic"].mean(), expected["ic"].std()
            got = row("cross_sectional_rank_ic")
            assert got["value"] == pytest.approx(mean, abs=1e-12)
            assert got["low"] < got["value"] < got["high"]
            assert got["count"] == expected["session"].n_unique()
            assert row("cross_sectional_icir")["value"] == pytest.approx(mean / deviation)
            pearson = self.naive(part, "return_15min", stats.pearsonr)["ic"].mean()
            assert row("cross_sectional_ic")["value"] == pytest.approx(pearson, abs=1e-12)
            sums = expected.group_by("session").agg((pl.col("ic") - mean).sum().alias("s"), pl.len().alias("n"))
            n = sums["n"].sum() ** 2 / (sums["n"] ** 2).sum()
            error = np.sqrt((sums["s"] ** 2).sum() * n / (n - 1)) / expected.height
            assert row("cross_sectional_t")["value"] == pytest.approx(mean / error)
        assert found.filter(pl.col("metric") == "rank_ic", pl.col("group_kind") == "sector")["group"].unique().sort()[
            :2
        ].to_list() == ["a", "b"]

    def test_errors_by_session_and_not_by_decision(self):
        """Noise that whole sessions share: t stays small where ICIR sqrt(T) would see an effect."""
        predictions, *_ = market(12, 6, minutes=60)
        rejected = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            keys = predictions.select("session", "entity").unique().sort("session", "entity")
            level = keys.with_columns(
                pl.Series("a", rng.standard_normal(keys.height)), pl.Series("b", rng.standard_normal(keys.height))
            )
            rows = predictions.join(level, on=["session", "entity"], maintain_order="left")
            noise = rng.standard_normal((2, rows.height))
            scored = rows.select(KEYS).with_columns(score=rows["a"] + 0.3 * pl.Series(noise[0]))
            told = rows.select(KEYS).with_columns(return_15min=1e-3 * (rows["b"] + 0.3 * pl.Series(noise[1])))
            chances = pl.DataFrame(
                schema={"session": pl.Date, "time": TIME, "probability_0": pl.Float64, "probability_1": pl.Float64}
            )
            config = EvaluationConfig(bootstrap=100, lags=0)
            found = evaluate(scored, told, chances, config, horizons=[H15], primary=H15)
            every = found.filter(pl.col("group_kind") == "all")
            value = {row["metric"]: row["value"] for row in every.iter_rows(named=True)}
            decisions = scored["decision_time"].n_unique()
            rejected.append(
                [abs(value["cross_sectional_t"]) > 2.2, abs(value["cross_sectional_icir"]) * np.sqrt(decisions) > 2.0]
            )
        clustered, naive = np.mean(rejected, axis=0)
        assert clustered <= 0.15
        assert naive > 0.5


class TestDirt:
    def test_one_entity_has_no_cross_section(self):
        predictions, labels, _, _ = market(2, 1)
        found = cross_sectional_ic(predictions, labels, horizons=HORIZONS)
        assert found["rank_ic"].null_count() == found.height
        assert found["entities"].max() == 1

    def test_least_entities(self):
        predictions, labels, _, _ = market(2, 3)
        found = cross_sectional_ic(predictions, labels, horizons=HORIZONS, min_entities=4)
        assert found["ic"].null_count() == found.height

    def test_no_rows_and_other_decisions(self):
        predictions, labels, _, _ = market(2, 3)
        assert cross_sectional_ic(predictions.clear(), labels.clear(), horizons=HORIZONS).height == 0
        with pytest.raises(DataError):
            cross_sectional_ic(predictions, labels.head(3), horizons=HORIZONS)
