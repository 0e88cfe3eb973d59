"""What alphalens makes of the table that is written for it, and of what its own functions would make."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from alphalens import performance, utils
from example_run import ENTITIES, write_run
from typer.testing import CliRunner, Result

from fusion.cli import app
from fusion.evaluation import cross_sectional_ic
from fusion.evaluation.alphalens import factor_data, period_name
from fusion.horizon import parse_horizon
from fusion.target import KEYS
from gpu_kernels.errors import ArgumentError, DataError

MINUTE = 60 * 10**9
HORIZONS = [5 * MINUTE, 15 * MINUTE]


def tables(entities: int = 11, decisions: int = 30, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    times = pl.datetime_range(pl.datetime(2024, 1, 8, 15), pl.datetime(2024, 1, 9), "5m", time_unit="ns", eager=True)
    times = times[:decisions].dt.replace_time_zone("UTC")
    grid = pl.DataFrame({"entity": [f"E{i:02}" for i in range(entities)]}).join(
        pl.DataFrame({"session": times.dt.date(), "decision_time": times}), how="cross"
    )
    n = grid.height
    score = rng.standard_normal(n)
    predictions = grid.with_columns(pl.Series("score", np.where(rng.random(n) < 0.1, np.nan, score)))
    labels = grid.with_columns(
        pl.Series("return_5min", 0.1 * rng.standard_normal(n)),
        pl.Series("return_15min", np.where(rng.random(n) < 0.1, np.nan, 0.1 * score + 0.1 * rng.standard_normal(n))),
    )
    return predictions, labels


def test_periods_are_named_as_alphalens_names_them():
    for text in ("5min", "90min", "1d", "30s", "250ms", "7us", "3ns", "36h"):
        length = parse_horizon(text)
        assert period_name(length) == utils.timedelta_to_string(pd.Timedelta(length, unit="ns")), text
    assert period_name(parse_horizon("5 sessions")) == "5D"


class TestTable:
    def test_alphalens_takes_it_and_finds_our_ics(self):
        predictions, labels = tables()
        data = factor_data(predictions, labels, horizons=HORIZONS, sectors={"E00": "a", "E01": "a", "E02": "a"})
        assert list(data.columns) == ["5m", "15m", "factor", "factor_quantile", "group"]
        assert list(utils.get_forward_returns_columns(data.columns)) == ["5m", "15m"]
        # rows that lack the longer return lack both
        both = labels.filter(pl.col("return_15min").is_finite())
        scored = predictions.join(both.select(KEYS), on=KEYS, how="semi")
        ours = cross_sectional_ic(scored, both, horizons=HORIZONS)
        theirs = performance.factor_information_coefficient(data)
        for horizon, column in (("5min", "5m"), ("15min", "15m")):
            mine = ours.filter(horizon=horizon).sort("decision_time")["rank_ic"]
            np.testing.assert_allclose(mine, theirs[column], rtol=0, atol=1e-9)
        by_group = performance.factor_information_coefficient(data, by_group=True)
        assert set(by_group.index.get_level_values("group")) == {"a", "(none)"}
        mean, _ = performance.mean_return_by_quantile(data)
        assert mean.index.to_list() == [1, 2, 3, 4, 5]
        assert mean.loc[5, "15m"] > mean.loc[1, "15m"]

    @pytest.mark.parametrize("quantiles", [2, 5, 7])
    def test_quantiles_are_alphalens_own(self, quantiles):
        predictions, labels = tables(seed=quantiles)
        data = factor_data(predictions, labels, horizons=HORIZONS, quantiles=quantiles)
        theirs = utils.quantize_factor(data, quantiles=quantiles)
        assert (theirs.astype(int) == data["factor_quantile"]).all()

    def test_equal_to_what_alphalens_makes_of_the_returns(self):
        predictions, labels = tables()
        data = factor_data(predictions, labels, horizons=HORIZONS)
        rows = predictions.join(labels, on=KEYS)
        index = pd.MultiIndex.from_arrays(
            [pd.DatetimeIndex(rows["decision_time"].to_numpy(), tz="UTC"), rows["entity"].to_list()],
            names=["date", "asset"],
        )
        returns = pd.DataFrame(
            {"5m": np.expm1(rows["return_5min"].to_numpy()), "15m": np.expm1(rows["return_15min"].to_numpy())}, index
        ).sort_index()
        factor = pd.Series(rows["score"].to_numpy(), index).sort_index()
        theirs = utils.get_clean_factor(factor, returns, quantiles=5, max_loss=1.0)
        pd.testing.assert_frame_equal(data, theirs, check_dtype=False, check_freq=False)

    def test_equal_scores_lie_together(self):
        predictions, labels = tables()
        flat = predictions.with_columns(pl.lit(1.0).alias("score"))
        assert set(factor_data(flat, labels, horizons=HORIZONS)["factor_quantile"]) == {1}

    def test_bad_input(self):
        predictions, labels = tables()
        with pytest.raises(ArgumentError, match="quantiles is 1"):
            factor_data(predictions, labels, horizons=HORIZONS, quantiles=1)
        with pytest.raises(DataError, match="predictions hold no tone"):
            factor_data(predictions, labels, horizons=HORIZONS, score="tone")
        with pytest.raises(DataError, match="no decision has a score and a return"):
            factor_data(predictions.with_columns(pl.lit(np.nan).alias("score")), labels, horizons=HORIZONS)
        with pytest.raises(DataError, match="the same decisions"):
            factor_data(predictions, labels.head(7), horizons=HORIZONS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("runs") / "0123456789ab")
    signals = pl.read_parquet(folder / "signals.parquet")
    rng = np.random.default_rng(0)
    columns = {f"return_{h}": 1e-3 * rng.standard_normal(signals.height) for h in ("5min", "15min")}
    late = (
        signals.select(KEYS)
        .cast({"decision_time": pl.Datetime("ns", "UTC")})
        .head(3)
        .with_columns(pl.col("decision_time") - pl.duration(days=900))
    )
    labels = signals.select(KEYS).with_columns(pl.Series(name, values) for name, values in columns.items())
    # the labels of a run begin before its first signal
    early = late.with_columns(return_5min=0.0, return_15min=0.0)
    pl.concat([early, labels.cast(early.schema)]).write_parquet(folder / "labels.parquet")
    return folder


def export(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["export", "alphalens", *arguments], env={"NO_COLOR": "1"})


class TestCommand:
    def test_a_run(self, run, tmp_path):
        out = tmp_path / "factor_data.parquet"
        done = export(str(run), "--out", str(out))
        assert done.exit_code == 0, done.stderr
        data = pd.read_parquet(out)
        assert f"{len(data):,} rows" in done.stdout
        assert data.index.names == ["date", "asset"]
        assert set(data.index.get_level_values("asset")) == set(ENTITIES)
        signals = pl.read_parquet(run / "signals.parquet")
        assert len(data) == signals["score"].is_finite().sum()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of two assets that hold equal scores SciPy says that they are constant
            assert performance.factor_information_coefficient(data).shape[1] == 2
        assert [path.name for path in tmp_path.iterdir()] == [out.name]
        one = export(str(run), "--out", str(out), "--horizon", "5min", "--score", "score_ridge", "--json")
        assert '"5m"' in one.stdout
        assert '"15m"' not in one.stdout

    @pytest.mark.parametrize(
        ("options", "said", "code"),
        [
            (["--out", "f.csv"], "--out is f.csv; allowed: a name that ends with .parquet", 2),
            (["--out", "nowhere/f.parquet"], "folder nowhere does not exist", 2),
            (["--out", "f.parquet", "--horizon", "1h"], "the run has no horizon 1h; allowed: 5min, 15min", 2),
            (["--out", "f.parquet", "--horizon", "soon"], "'soon' is not a duration", 2),
            (["--out", "f.parquet", "--score", "tone"], "holds no score 'tone'", 3),
        ],
    )
    def test_one_line_errors(self, run, options, said, code, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        done = export(str(run), *options)
        assert done.exit_code == code
        assert len(done.stderr.strip().splitlines()) == 1
        assert said in done.stderr
        assert not list(tmp_path.iterdir())

    def test_no_run(self, tmp_path):
        done = export(str(tmp_path), "--out", str(tmp_path / "f.parquet"))
        assert done.exit_code == 4
        assert "holds no signals.parquet" in done.stderr
