"""Scores of one's own: judged by a run as the run judges its own, by prices without the night, and dirt."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from example_run import write_run
from typer.testing import CliRunner, Result

from fusion import own_scores
from fusion.cli import app
from fusion.evaluation import EvaluationConfig, evaluate
from fusion.target import KEYS
from sources.schema import TIME
from sources.sessions import sessions

MINUTE = 60 * 10**9


def trifuse(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("runs") / "0123456789ab")
    keys = pl.read_parquet(folder / "features.parquet").select(KEYS)
    rng = np.random.default_rng(0)
    keys.with_columns(
        pl.Series(f"return_{h}", 1e-3 * rng.standard_normal(keys.height)) for h in ("5min", "15min")
    ).write_parquet(folder / "labels.parquet")
    return folder


@pytest.fixture(scope="module")
def scores(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all decisions of the run but a few, and of one that it has not."""
    labels = pl.read_parquet(run / "labels.parquet")
    rng = np.random.default_rng(1)
    noise = 2e-3 * pl.Series(rng.normal(size=labels.height))
    rows = labels.select("entity", "decision_time", score=pl.col("return_15min") + noise)
    rows = rows.with_row_index("i").with_columns(pl.when(pl.col("i") % 50 > 0).then("score")).drop("i")
    other = rows.head(1).with_columns(pl.lit("NONE").alias("entity"))
    path = tmp_path_factory.mktemp("scores") / "scores.parquet"
    pl.concat([rows, other]).sample(fraction=1.0, shuffle=True, seed=0).write_parquet(path)
    return path


def market(folder: Path) -> tuple[Path, Path]:
    """Minute bars with a jump each night, and scores of every fifth minute, naive New York times in CSV."""
    table = sessions("XNYS", date(2024, 1, 8), date(2024, 1, 19))
    rng = np.random.default_rng(2)
    rows = []
    for entity in ("A", "B", "C"):
        level = 0.0
        for opened in table["open"]:
            level += 0.03 * rng.choice([-1, 1])
            for minute in range(1, 391):
                level += 5e-4 * rng.standard_normal()
                rows.append((entity, opened + timedelta(minutes=minute), 100 * np.exp(level)))
    bars = pl.DataFrame(rows, schema={"entity": pl.String, "event_time": TIME, "close": pl.Float64}, orient="row")
    bars.write_parquet(folder / "bars.parquet")
    ahead = (pl.col("close").shift(-15) / pl.col("close")).log().over("entity", order_by="event_time").fill_null(0.0)
    told = (
        bars.with_columns(ahead.alias("score"))
        .gather_every(5)
        .with_columns(
            pl.col("score") + 2e-3 * pl.Series(rng.standard_normal(len(bars.gather_every(5)))),
            pl.col("event_time")
            .dt.convert_time_zone("America/New_York")
            .dt.replace_time_zone(None)
            .alias("decision_time"),
        )
    )
    told.select("entity", "decision_time", "score").write_csv(folder / "scores.csv")
    return folder / "scores.csv", folder / "bars.parquet"


class TestRun:
    def test_what_the_library_says(self, run, scores, tmp_path):
        out = tmp_path / "measures.parquet"
        done = trifuse(scores, "--run", run, "--out", out)
        assert done.exit_code == 0, done.stderr
        labels = pl.read_parquet(run / "labels.parquet").with_columns(pl.col("decision_time").cast(TIME))
        given = pl.read_parquet(scores).with_columns(pl.col("decision_time").cast(TIME))
        predictions = labels.select(KEYS).join(given, on=["entity", "decision_time"], how="left")
        expected = evaluate(
            predictions, labels, pl.read_parquet(run / "regime.parquet"), EvaluationConfig(),
            horizons=[5 * MINUTE, 15 * MINUTE], primary=15 * MINUTE, timezone="America/New_York",
        )  # fmt: skip
        assert pl.read_parquet(out).equals(expected)
        value = expected.filter(metric="rank_ic", group_kind="all", horizon="15min")["value"][0]
        assert value > 0.3
        assert f"{value:+.4f}" in done.stdout
        assert f"{labels.height:,} scores against the return of 15min" in done.stdout
        assert done.stderr.strip() == (
            f"warning: 1 of {given.height:,} scores are of no decision of the run and were left out"
        )

    def test_json_and_another_horizon(self, run, scores):
        done = trifuse(scores, "--run", run, "--horizon", "5min", "--json")
        told = json.loads(done.stdout)
        assert told["horizon"] == "5min"
        assert told["given"] == told["used"] + 1
        assert {row["metric"] for row in told["measures"]} >= {
            "rank_ic",
            "t_stat",
            "top_minus_bottom",
            "rank_ic_neutral",
        }

    def test_a_run_judges_its_own_scores_alike(self, run, tmp_path):
        signals = pl.read_parquet(run / "signals.parquet")
        path = tmp_path / "own.parquet"
        signals.select("entity", "decision_time", "score").write_parquet(path)
        one = own_scores.by_run(own_scores.read_scores(path), run)
        assert one.used == one.given == signals.height
        assert not one.warnings


class TestPrices:
    def test_no_return_crosses_the_night(self, tmp_path):
        scores, bars = market(tmp_path)
        options = ("--prices", bars, "--horizon", "15min", "--timezone", "America/New_York")
        done = trifuse(scores, *options, "--json")
        assert done.exit_code == 0, done.stderr
        rows = {(row["metric"], row["group_kind"]): row for row in json.loads(done.stdout)["measures"]}
        # the score knows the 15 minutes, and the nights, which move by fifteen times as much
        assert 0.6 < rows["rank_ic", "all"]["value"] < 0.8
        assert rows["ic", "all"]["value"] == pytest.approx(rows["rank_ic", "all"]["value"], abs=0.1)
        found = own_scores.by_prices(
            own_scores.read_scores(scores, timezone="America/New_York"), bars, horizons=["15min"]
        )
        hours = found.table.filter(metric="rank_ic", group_kind="hour")["group"].to_list()
        assert hours == ["09", "10", "11", "12", "13", "14", "15"]

    def test_scores_outside_of_sessions_are_counted(self, tmp_path):
        scores, bars = market(tmp_path)
        table = pl.read_csv(scores, try_parse_dates=True)
        night = table.head(4).with_columns(pl.col("decision_time") + pl.duration(hours=12))
        pl.concat([table, night]).write_csv(scores)
        done = trifuse(scores, "--prices", bars, "--horizon", "15min", "--timezone", "America/New_York")
        assert f"warning: 4 of {table.height + 4:,} scores are of no session of XNYS" in done.stderr


class TestDirt:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("entity,decision_time\nA,2024-01-08T15:00:00Z\n", "lacks score; allowed: columns"),
            ("entity,decision_time,score\nA,2024-01-08T15:00:00Z,high\n", "score is String; allowed: numbers"),
            ("entity,decision_time,score\nA,yesterday,1\n", "decision_time holds 'yesterday'; allowed: times"),
            ("entity,decision_time,score\nA,2024-01-08T15:00:00,1\n", "decision_time names no time zone"),
            ("entity,decision_time,score\nA,5,1\n", "decision_time is Int64; allowed: times"),
            # as nanoseconds it would be a time of 1815
            ("entity,decision_time,score\nA,9999-01-01T00:00:00Z,1\n", "holds 9999-01-01T00:00:00Z; allowed: times of"),
            ("entity,decision_time,score\nA,0001-01-01T00:00:00Z,1\n", "holds 0001-01-01T00:00:00Z; allowed: times of"),
            (
                "entity,decision_time,score\nA,2024-01-08T15:00:00Z,1\n,2024-01-08T15:00:00Z,1\n",
                "1 rows have no entity",
            ),
            (
                "entity,decision_time,score\n" + "A,2024-01-08T15:00:00Z,1\n" * 2,
                "holds A at 2024-01-08 15:00:00+00:00 2",
            ),
            ("entity,decision_time,score\nA,1999-01-08T15:00:00Z,1\n", "none of 1 scores is of a decision of the run"),
            ("entity,decision_time,score\n", "scores.csv holds no rows"),
            ("", "cannot be read"),
        ],
    )
    def test_scores(self, content, said, run, tmp_path):
        path = tmp_path / "scores.csv"
        path.write_text(content)
        done = trifuse(path, "--run", run, "--out", tmp_path / "out.csv")
        assert said in done.stderr
        assert done.exit_code == 3
        assert len(done.stderr.strip().splitlines()) == 1
        assert [each.name for each in tmp_path.iterdir()] == ["scores.csv"]

    @pytest.mark.parametrize(
        ("options", "said", "code"),
        [
            ((), "give --run or --prices, one of them", 2),
            (("--prices", "p.csv"), "--prices needs --horizon", 2),
            (("--prices", "p.csv", "--horizon", "5min"), "p.csv does not exist", 3),
            (("--prices", "p.csv", "--horizon", "5 sessions"), "horizons in sessions need a calendar of exits", 2),
            (("--prices", "p.csv", "--horizon", "soon"), "'soon' is not a duration", 2),
            (("--prices", "p.csv", "--horizon", "5min", "--max-age", "old"), "--max-age", 2),
            (("--run", "nowhere"), "nowhere holds no manifest.json", 4),
            (("--run", "nowhere", "--out", "f.txt"), "tells no format", 2),
        ],
    )
    def test_options(self, options, said, code, scores):
        done = trifuse(scores, *options)
        assert said in done.stderr
        assert done.exit_code == code
        assert len(done.stderr.strip().splitlines()) == 1

    def test_columns_of_other_kinds(self, run, tmp_path):
        path = tmp_path / "scores.parquet"
        zone = datetime(2024, 1, 8, 15, tzinfo=UTC)
        rows = pl.DataFrame({"entity": ["A"], "decision_time": [zone], "score": [1.0]})
        for change, said in (
            (pl.concat_list("entity"), "entity is List(String); allowed: text"),
            (pl.lit(datetime(9000, 1, 1, tzinfo=UTC)).alias("decision_time"), "decision_time holds 9000-01-01"),
            (pl.lit(True).alias("score"), "score is Boolean; allowed: numbers"),
        ):
            rows.with_columns(change).write_parquet(path)
            done = trifuse(path, "--run", run)
            assert said in done.stderr
            assert (done.exit_code, len(done.stderr.strip().splitlines())) == (3, 1)
        rows.with_columns(pl.col("decision_time").dt.replace_time_zone(None)).write_parquet(path)
        done = trifuse(path, "--run", run, "--timezone", "Mars/Olympus")
        assert "time zone 'Mars/Olympus' is not known" in done.stderr
        assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)

    def test_files(self, run, tmp_path):
        broken = tmp_path / "scores.parquet"
        broken.write_bytes(b"PAR1")
        assert "cannot be read" in trifuse(broken, "--run", run).stderr
        assert "tells no format" in trifuse(tmp_path / "scores.xlsx", "--run", run).stderr
        assert "does not exist" in trifuse(tmp_path / "none.csv", "--run", run).stderr
