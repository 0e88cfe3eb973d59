"""The report says what the run's numbers say, whole or damaged, and shows it in a real browser."""

import html
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from browser import look
from example_run import FEATURES, write_run
from hypothesis import given
from hypothesis import strategies as st
from plotly import graph_objects

from fusion import report
from fusion.report import figures, health, maps, regimes, tables
from fusion.report.difference import rank_ic_difference
from fusion.report.not_verified import not_verified
from fusion.report.run_folder import Estimate, RunFolder
from fusion.report.verdict import verdict
from fusion.report.wording import age, chance, percent, signed
from gpu_kernels.errors import ModelError


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(write_run(tmp_path_factory.mktemp("weak")))


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(write_run(tmp_path_factory.mktemp("strong"), effect=0.08))


def change_manifest(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def empty(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / f"{name}.parquet"
        pl.read_parquet(path).clear().write_parquet(path)


def change_ledger(folder: Path, **changes: bool | float | str) -> None:
    path = folder / "selection.parquet"
    pl.read_parquet(path).with_columns(**{name: pl.lit(value) for name, value in changes.items()}).write_parquet(path)


def paired_run(folder: Path, shift: float, noise: float) -> Path:
    """A run whose two scores share what a session gives, the model's `shift` higher, but for `noise`."""
    folder = write_run(folder, count=100)
    path = folder / "session_ic.parquet"
    ridge = pl.read_parquet(path).filter(pl.col("score") == "score_ridge")
    draw = np.random.default_rng(5)
    apart = draw.normal(size=ridge.height)
    apart = shift + noise * (apart - apart.mean())
    model = ridge.with_columns(pl.lit("score").alias("score"), pl.col("rank_ic") + apart)
    rows = pl.Series("rows", draw.integers(30, 50, 2 * ridge.height))
    pl.concat([model, ridge]).with_columns(rows).write_parquet(path)
    return folder


def change_estimate(folder: Path, metric: str, *, score: str = "score", **changes: float | None) -> None:
    table = pl.read_parquet(folder / "evaluation.parquet")
    hit = (pl.col("metric") == metric) & (pl.col("group_kind") == "all") & (pl.col("score") == score)
    values = [pl.when(hit).then(pl.lit(new, pl.Float64)).otherwise(name).alias(name) for name, new in changes.items()]
    table.with_columns(values).write_parquet(folder / "evaluation.parquet")


def text_of(page: str) -> str:
    """The words of a page, without scripts and style."""
    without = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", without)).split())


class TestVerdict:
    def test_interval_that_holds_zero_is_called_indistinguishable(self, weak: RunFolder) -> None:
        found = verdict(weak)
        assert found.tone == "zero"
        assert "indistinguishable from zero" in found.headline

    def test_interval_above_zero(self, strong: RunFolder) -> None:
        found = verdict(strong)
        assert found.tone == "positive"
        row = pl.read_parquet(strong.path / "evaluation.parquet").row(
            by_predicate=(pl.col("metric") == "rank_ic")
            & (pl.col("score") == "score")
            & (pl.col("horizon") == "15min")
            & (pl.col("group_kind") == "all"),
            named=True,
        )
        assert f"+{row['value']:.3f}" in found.headline
        assert f"[+{row['low']:.3f},\xa0+{row['high']:.3f}]" in found.headline

    @pytest.mark.parametrize(
        ("value", "low", "high", "tone"),
        [
            (0.5, -1e-9, 0.9, "zero"),
            (0.5, 0.0, 0.9, "zero"),
            (0.001, 1e-9, 0.002, "positive"),
            (-0.03, -0.05, -0.01, "negative"),
            (0.03, None, None, "unknown"),
            (None, None, None, "unknown"),
            (math.nan, math.nan, math.nan, "unknown"),
        ],
    )
    def test_tone_follows_the_interval_only(
        self, tmp_path: Path, value: float | None, low: float | None, high: float | None, tone: str
    ) -> None:
        folder = write_run(tmp_path, count=30)
        change_estimate(folder, "rank_ic", value=value, low=low, high=high)
        assert verdict(RunFolder(folder)).tone == tone

    def test_without_a_score_it_tells_nothing_found_from_no_refit(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        change_estimate(folder, "rank_ic", value=None, low=None, high=None)
        ledger = pl.read_parquet(folder / "selection.parquet")
        ledger.with_columns(pl.lit(False).alias("kept")).write_parquet(folder / "selection.parquet")
        nothing = verdict(RunFolder(folder))
        assert nothing.tone == "zero"
        assert nothing.headline.startswith("Nothing found: none of")
        ledger.head(0).write_parquet(folder / "selection.parquet")
        none = verdict(RunFolder(folder))
        assert none.tone == "unknown"
        assert "no refit was possible" in none.headline

    def test_counts_of_features_are_those_of_the_ledger(self, strong: RunFolder) -> None:
        rows = pl.read_parquet(strong.path / "selection.parquet").to_dicts()
        significant = {row["feature"] for row in rows if row["significant"]}
        forced = sum(row["kept"] and not row["significant"] for row in rows)
        said = " ".join(verdict(strong).sentences)
        assert f"Of {len(FEATURES)} candidate features" in said
        assert f"{len(significant)} were significant (q ≤ 0.10)" in said
        assert f"{forced} of the {sum(row['kept'] for row in rows)} kept places" in said

    def test_no_significant_feature_is_said(self, weak: RunFolder) -> None:
        assert "none was significant (q ≤ 0.10) at any refit" in " ".join(verdict(weak).sentences)

    def test_share_of_sessions_above_zero(self, weak: RunFolder) -> None:
        values = [
            row["rank_ic"]
            for row in pl.read_parquet(weak.path / "session_ic.parquet").to_dicts()
            if row["score"] == "score" and row["horizon"] == "15min" and row["rank_ic"] is not None
        ]
        share = sum(value > 0 for value in values) / len(values)
        assert f"{100 * share:.0f} % of them" in " ".join(verdict(weak).sentences)
        assert f"{len(values)} sessions" in " ".join(verdict(weak).sentences)

    def test_no_refit_is_said_with_what_to_do(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        empty(folder, "selection", "evaluation", "session_ic")
        change_manifest(folder, window={"start": "2024-01-02", "end": "2024-01-29", "sessions": 20})
        found = verdict(RunFolder(folder))
        assert found.tone == "unknown"
        assert found.headline == (
            "No refit was possible: 20 sessions, the first refit comes after walk_forward.train_sessions 20; "
            "lower it or lengthen the window."
        )

    def test_an_empty_ledger_of_a_long_window_is_no_missing_refit(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        empty(folder, "selection", "evaluation", "session_ic")
        assert verdict(RunFolder(folder)).headline.startswith("No verdict")

    def test_nothing_kept_is_a_finding(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=45)
        empty(folder, "evaluation", "session_ic")
        change_ledger(folder, kept=False, significant=False)
        found = verdict(RunFolder(folder))
        assert found.tone == "zero"
        assert found.headline == (
            f"Nothing found: none of {len(FEATURES)} candidate features was significant at any of 3 refits, "
            "so there is no signal to judge."
        )
        assert "too few scored" not in " ".join(found.sentences)

    def test_nothing_tested_is_no_finding(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=45)
        empty(folder, "evaluation", "session_ic")
        change_ledger(folder, kept=False, significant=False, q_value=math.nan, reason="too few sessions (3, 5 needed)")
        found = verdict(RunFolder(folder))
        assert found.tone == "unknown"
        assert "could be tested at any of 3 refits (too few sessions)" in found.headline

    def test_few_sessions_are_said(self, tmp_path: Path, weak: RunFolder) -> None:
        few = RunFolder(write_run(tmp_path, count=30))
        assert "the interval itself is rough" in verdict(few).sentences[0]
        assert "rough" not in verdict(weak).sentences[0]

    def test_level_of_the_interval_is_the_configs(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        config = json.loads((folder / "manifest.json").read_text())["config"]
        change_manifest(folder, config=config | {"evaluation": {"confidence": 0.9}})
        assert "90\xa0% confidence interval" in verdict(RunFolder(folder)).headline


class TestBaseline:
    @pytest.mark.parametrize(
        ("shift", "noise", "said"),
        [
            (-0.05, 0.001, "The linear baseline did better: "),
            (-0.001, 0.1, "The linear baseline did no worse: "),
            (0.001, 0.1, "The model was not shown to do better than the linear baseline: "),
            (0.05, 0.001, "The model did better than the linear baseline: "),
        ],
    )
    def test_words_follow_the_paired_difference(self, tmp_path: Path, shift: float, noise: float, said: str) -> None:
        folder = paired_run(tmp_path, shift, noise)
        change_estimate(folder, "rank_ic", value=0.02 + shift)
        change_estimate(folder, "rank_ic", score="score_ridge", value=0.02)
        sentences = verdict(RunFolder(folder)).sentences
        assert [line for line in sentences if line.startswith(said)]
        assert "overlap" not in " ".join(sentences)

    def test_difference_is_that_of_the_weighted_means(self, tmp_path: Path) -> None:
        run = RunFolder(paired_run(tmp_path, 0.03, 0.02))
        means = {}
        for name in ("score", "score_ridge"):
            rows = [
                row
                for row in pl.read_parquet(run.path / "session_ic.parquet").to_dicts()
                if row["score"] == name and row["horizon"] == "15min"
            ]
            means[name] = sum(row["rank_ic"] * row["rows"] for row in rows) / sum(row["rows"] for row in rows)
        found = rank_ic_difference(run)
        assert found.value == pytest.approx(means["score"] - means["score_ridge"], abs=1e-12)
        assert found.low < found.value < found.high
        # the sessions' common part cancels: far narrower than either rank IC's own interval
        assert found.high - found.low == pytest.approx(2 * 1.96 * 0.02 / math.sqrt(found.count), rel=0.35)
        assert rank_ic_difference(RunFolder(run.path)) == found

    def test_a_session_that_one_lacks_counts_for_neither(self, tmp_path: Path) -> None:
        run = RunFolder(paired_run(tmp_path, 0.03, 0.02))
        before = rank_ic_difference(run)
        table = pl.read_parquet(run.path / "session_ic.parquet")
        gone = (pl.col("score") == "score_ridge") & (pl.col("session") == pl.col("session").min())
        value = pl.when(gone).then(None).otherwise("rank_ic").alias("rank_ic")
        table.with_columns(value).write_parquet(run.path / "session_ic.parquet")
        assert rank_ic_difference(RunFolder(run.path)).count == before.count - 1

    def test_without_rows_only_the_numbers(self, tmp_path: Path) -> None:
        folder = paired_run(tmp_path, -0.05, 0.001)
        table = pl.read_parquet(folder / "session_ic.parquet").drop("rows")
        table.write_parquet(folder / "session_ic.parquet")
        change_estimate(folder, "rank_ic", value=-0.03, low=-0.04, high=-0.02)
        change_estimate(folder, "rank_ic", score="score_ridge", value=0.02, low=0.01, high=0.03)
        (said,) = [line for line in verdict(RunFolder(folder)).sentences if "baseline" in line]
        assert said == (
            "The linear baseline did no worse: a ridge regression on the same features has a rank IC of "
            "+0.020 [+0.010,\xa0+0.030] against −0.030."
        )


class TestPage:
    def test_every_part_is_there(self, strong: RunFolder) -> None:
        page = report.render(strong)
        for part in (
            "verdict",
            "warnings",
            "skill",
            "returns",
            "contribution",
            "regimes",
            "selection",
            "stability",
            "data",
        ):
            assert f'id="{part}"' in page
        drawn = set(re.findall(r'data-plot="plot-([^"]+)"', page))
        expected = {"by-regime", "by-horizon", "decay", "cumulative-ic", "by-group", "quantiles", "regimes", "coverage"}
        assert drawn == expected | {"selection-0", "selection-1"}

    def test_loads_nothing_from_elsewhere(self, strong: RunFolder) -> None:
        page = re.sub(r"<script>.*?</script>", "", report.render(strong), flags=re.DOTALL)
        assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)[^"']*""", page)
        assert "url(" not in page
        assert "@import" not in page

    def test_text_of_the_run_cannot_become_markup(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        nasty = "</script><script>alert(1)</script>"
        change_manifest(folder, warnings=[nasty], name=nasty)
        ledger = pl.read_parquet(folder / "selection.parquet")
        ledger.with_columns(pl.col("feature").replace(FEATURES[0], nasty)).write_parquet(folder / "selection.parquet")
        page = report.render(RunFolder(folder))
        assert nasty not in page
        assert "<script>document.title" not in page
        assert nasty in text_of(page)

    def test_plots_are_strict_json_without_nan(self, strong: RunFolder) -> None:
        def refuse(name: str) -> None:
            raise AssertionError(name)

        specs = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', report.render(strong), re.DOTALL)
        assert len(specs) == 10
        for spec in specs:
            assert set(json.loads(spec, parse_constant=refuse)) == {"data", "layout"}

    def test_an_unpublished_folder_shows_its_key(self, tmp_path: Path) -> None:
        assert "example · 0123abc" in text_of(report.render(RunFolder(write_run(tmp_path / ".0123abc.4711", count=30))))

    def test_same_run_same_bytes(self, weak: RunFolder) -> None:
        first = report.build(weak.path).read_bytes()
        assert report.build(weak.path).read_bytes() == first
        assert [path.name for path in weak.path.iterdir() if path.name.startswith(".")] == []

    def test_numbers_behind_the_tables(self, strong: RunFolder) -> None:
        counts = strong.manifest["sources"]["bars"]
        shown = tables.sources(strong)
        assert shown is not None
        assert shown.rows[0][2:5] == [f"{counts['read']:,}", f"{counts['used']:,}", "2"]
        assert shown.rows[0][6] == "nan price 1, price jump 1"
        assert "late 3" in shown.rows[0][7]
        ages = pl.read_parquet(strong.path / "features.parquet")["lots_age"]
        known = sorted(age for age in ages if not math.isnan(age))
        stale = health.table(strong)
        assert stale is not None
        found = {row[0]: dict(zip(stale.columns, row, strict=True)) for row in stale.rows}
        assert found["lots"]["95 % under"] == f"{np.quantile(known, 0.95, method='nearest') / 1440:,.1f} d"
        assert found["bars"]["95 % under"].endswith(" min")
        assert found["lots"]["decisions"] == f"{100 * len(known) / len(ages):.1f} %"

    def test_regimes_as_fitted_say_each_thing_once(self, strong: RunFolder) -> None:
        shown = tables.states(strong)
        assert shown is not None
        assert shown.columns[:5] == ["refit session", "regime", "name", "share", "expected sessions"]
        assert not {"expected observations", "matched"} & set(shown.columns)
        assert shown.rows[1][2:5] == ["high stress", "40.0 %", "22.5"]
        assert dict(zip(shown.columns, shown.rows[1], strict=True))["mean stress"] == "0.5000"

    def test_tile_and_sentence_count_the_same(self, strong: RunFolder) -> None:
        rows = pl.read_parquet(strong.path / "selection.parquet")
        last = rows.filter(pl.col("refit_session") == pl.col("refit_session").max()).to_dicts()
        kept = [row for row in last if row["kept"]]
        good = [row for row in kept if row["significant"]]
        dropped = [row for row in last if row["significant"] and not row["kept"]]
        assert dropped
        facts = {name: value for name, value, _ in tables.headline_facts(strong)}
        assert facts["kept at last refit"] == f"{len(kept)}, {len(good)} significant"
        expected = (
            f"{len(good) + len(dropped)} at the last refit, counted by regime "
            f"({len(good)} kept, {len(dropped)} dropped as redundant)"
        )
        assert expected in " ".join(verdict(strong).sentences)

    def test_ignored_and_overlapping_rows_are_counted(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        counts = {"table": "bar", "read": 10, "used": 3, "quarantined": {}, "duplicate_of_overlap": 2}
        change_manifest(folder, sources={"bars": counts | {"ignored": {"outside_session": 5}}})
        shown = tables.sources(RunFolder(folder))
        assert shown is not None
        assert shown.rows[0][7] == "duplicate of overlap 2, outside session 5"

    def test_assumed_clocks_are_named(self, strong: RunFolder) -> None:
        said = "\n".join(not_verified(strong))
        assert "Clock of bars: when its rows were known is a bar of 1min and a delay of 1s" in said
        assert 'the rule "1 session later at 16:30"' in said
        assert "GPU: this run used the CPU" in said
        assert "These data are simulated" not in said

    def test_a_recorded_receipt_is_no_rule_of_the_config(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        config = json.loads((folder / "manifest.json").read_text())["config"]
        kinds = {"depth": "binance_raw", "tardis": "tardis_csv", "orders": "lobster", "ticks": "lean_zip"}
        sources = {name: {"kind": kind, "delay": "5ms", "columns": {}} for name, kind in kinds.items()}
        change_manifest(folder, config=config | {"sources": sources})
        said = {line.split(":")[0].removeprefix("Clock of "): line for line in not_verified(RunFolder(folder))}
        for name in ("depth", "tardis"):
            assert "recorded" in said[name]
            assert "plus a delay of 5ms of the config" in said[name]
            assert "not a recorded receipt" not in said[name]
        assert "moved forward where the recorder's clock was seen to be behind" in said["depth"]
        for name in ("orders", "ticks"):
            assert said[name].endswith("is a delay of 5ms of the config, not a recorded receipt.")

    @pytest.mark.parametrize(
        ("table", "words"), [("quote", "between the mids of the last quotes"), ("trade", "between last traded prices")]
    )
    def test_what_returns_run_between_is_told(self, tmp_path: Path, table: str, words: str) -> None:
        folder = write_run(tmp_path, count=30)
        config = json.loads((folder / "manifest.json").read_text())["config"]
        changed = config | {"targets": config["targets"] | {"price": "perp"}}
        change_manifest(folder, config=changed, sources={"perp": {"table": table}})
        assert words in "\n".join(not_verified(RunFolder(folder)))

    def test_blocks_are_called_so_and_their_labels_tell_what_differs(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        config = json.loads((folder / "manifest.json").read_text())["config"]
        moments = {"start": "2024-08-08T23:54:30Z", "end": "2024-08-08T23:59:30Z"}
        blocks = config["walk_forward"] | {"block": "30s"}
        window = {"start": "2024-08-08", "end": "2024-08-08", "sessions": 33}
        change_manifest(folder, config=config | moments | {"walk_forward": blocks}, window=window)
        facts = tables.headline_facts(RunFolder(folder))
        assert ("blocks", "33", "2024-08-08 23:54:30 to 2024-08-08 23:59:30") in facts
        ledger = pl.read_parquet(folder / "selection.parquet")
        day = pl.datetime(2024, 8, 8, time_unit="ns", time_zone="UTC")
        block = day + pl.duration(seconds=30 * pl.col("refit_session").rank("dense"))
        ledger.with_columns(block.alias("refit_session")).write_parquet(folder / "selection.parquet")
        drawn = maps.selection(RunFolder(folder))[0]
        assert drawn.data[0]["x"][0] == "00:00:30"
        assert drawn.layout["xaxis"]["title"]["text"] == "first block of the refit"

    @pytest.mark.parametrize(
        ("minutes", "words"),
        [(0.0, "0"), (0.00001, "0.600 ms"), (0.002, "120 ms"), (0.5, "30.0 s"), (3.0, "3.0 min"), (4320.0, "3.0 d")],
    )
    def test_ages_have_the_unit_that_shows_them(self, minutes: float, words: str) -> None:
        assert age(minutes) == words

    def test_simulated_data_are_named_first(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        config = json.loads((folder / "manifest.json").read_text())["config"]
        change_manifest(folder, config=config | {"simulate": {"seed": 7}}, device={"kind": "cuda"})
        said = not_verified(RunFolder(folder))
        assert "simulated" in said[0]
        assert not [line for line in said if line.startswith("GPU")]


class TestFigures:
    def test_plotly_accepts_every_property(self, strong: RunFolder) -> None:
        gaps, _ = maps.coverage(strong)
        plots = [
            figures.by_horizon(strong),
            figures.decay(strong),
            figures.cumulative_ic(strong),
            figures.by_group(strong),
            figures.quantiles(strong),
            figures.by_regime(strong),
            regimes.timeline(strong),
            gaps,
            *maps.selection(strong),
        ]
        for plot in plots:
            assert plot is not None
            graph_objects.Figure(_coloured(plot.data), _coloured(plot.layout))
            assert plot.summary

    def test_cumulative_ic_is_the_running_sum_without_missing_sessions(self, weak: RunFolder) -> None:
        plot = figures.cumulative_ic(weak)
        assert plot is not None
        rows = pl.read_parquet(weak.path / "session_ic.parquet").sort("session").to_dicts()
        total, expected = 0.0, []
        for row in rows:
            if row["score"] == "score" and row["horizon"] == "15min" and row["rank_ic"] is not None:
                total += row["rank_ic"]
                expected.append(total)
        assert plot.data[0]["y"] == pytest.approx(expected, abs=1e-6)

    def test_signs_of_the_selection_map(self, strong: RunFolder) -> None:
        rows = pl.read_parquet(strong.path / "selection.parquet").filter(pl.col("regime") == 1).to_dicts()
        _, found, forced, redundant = maps.selection(strong)[1].data[:4]
        assert _points(found) == {
            (str(r["refit_session"]), r["feature"]) for r in rows if r["kept"] and r["significant"]
        }
        assert _points(forced) == {
            (str(r["refit_session"]), r["feature"]) for r in rows if r["kept"] and not r["significant"]
        }
        assert redundant["name"] == "significant, redundant"
        dropped = {(str(r["refit_session"]), r["feature"]) for r in rows if r["significant"] and not r["kept"]}
        assert _points(redundant) == dropped != set()

    def test_what_max_features_left_out_has_a_sign_of_its_own(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, effect=0.08)
        path = folder / "selection.parquet"
        ledger = pl.read_parquet(path)
        reason = pl.col("reason").str.replace("^redundant.*", "significant, but beyond max_features 12")
        ledger.with_columns(reason).write_parquet(path)
        *_, redundant, beyond = maps.selection(RunFolder(folder))[1].data
        assert _points(redundant) == set()
        assert {feature for _, feature in _points(beyond)} == {FEATURES[7]}
        assert "1 beyond max_features" in " ".join(verdict(RunFolder(folder)).sentences)

    def test_regimes_before_the_first_refit_are_not_drawn(self, weak: RunFolder) -> None:
        plot = regimes.timeline(weak)
        assert plot is not None
        known = pl.read_parquet(weak.path / "regime.parquet").filter(pl.col("regime").is_not_null())
        assert plot.data[0]["x"] == [str(day) for day in known["session"]]

    def test_coverage_counts_null_and_nan_as_missing(self, weak: RunFolder) -> None:
        plot, said = maps.coverage(weak)
        assert plot is not None
        assert "8 of 10 features" in said
        shares = dict(zip(plot.data[0]["y"], plot.data[0]["z"], strict=True))  # type: ignore[call-overload]
        assert set(shares) == {"news_tone_sum_1h", "metric_lot_fill_change"}
        # one entity of two starts without the metric
        assert shares["metric_lot_fill_change"][0] == 0.5
        assert shares["metric_lot_fill_change"][-1] == 1.0

    def test_quantile_returns_stay_in_bps(self, strong: RunFolder) -> None:
        plot = figures.quantiles(strong)
        assert plot is not None
        expected = [each.value for each in strong.estimates("quantile_return", group_kind="quantile").values()]
        assert plot.data[0]["y"] == pytest.approx(expected, abs=1e-6)


def _coloured(value: Any) -> Any:
    """The theme's names as a colour that Plotly's validators know."""
    if isinstance(value, dict):
        return {key: _coloured(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_coloured(item) for item in value]
    return "#123456" if isinstance(value, str) and re.fullmatch("@[a-z]+", value) else value


def _points(trace: dict[str, Any]) -> set[tuple[str, str]]:
    return set(zip(trace["x"], trace["y"], strict=True)) - {(None, None)}


class TestIncompleteRuns:
    @pytest.mark.parametrize(
        "name",
        ["evaluation", "session_ic", "regime", "selection", "quarantine", "signals", "features", "regime_states"],
    )
    def test_a_table_may_be_absent(self, tmp_path: Path, name: str) -> None:
        folder = write_run(tmp_path, count=30)
        next(folder.glob(f"{name}.*")).unlink()
        assert report.build(folder).stat().st_size > 1_000_000

    def test_only_a_manifest(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").write_text("{}")
        page = text_of(report.build(tmp_path).read_text())
        assert "No verdict" in page
        assert "This run holds no evaluation." in page

    @pytest.mark.parametrize("name", ["evaluation", "session_ic", "regime", "selection", "quarantine", "signals"])
    def test_tables_without_rows(self, tmp_path: Path, name: str) -> None:
        folder = write_run(tmp_path, count=30)
        path = folder / f"{name}.parquet"
        pl.read_parquet(path).clear().write_parquet(path)
        assert report.build(folder).is_file()

    def test_features_without_rows(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        path = folder / "features.parquet"
        pl.read_parquet(path).clear().write_parquet(path)
        assert "features.parquet holds no rows" in text_of(report.build(folder).read_text())

    def test_no_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"holds no manifest.json; allowed: the folder of a finished run"):
            report.build(tmp_path)

    @pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b""])
    def test_damaged_manifest(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "manifest.json").write_bytes(content)
        with pytest.raises(ModelError, match=r"manifest.json"):
            report.build(tmp_path)

    def test_truncated_table_leaves_no_half_report(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        path = folder / "evaluation.parquet"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ModelError, match=r"evaluation.parquet cannot be read"):
            report.build(folder)
        assert not list(folder.glob("*report*"))

    def test_lacking_column_is_named(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        path = folder / "selection.parquet"
        pl.read_parquet(path).drop("q_value").write_parquet(path)
        with pytest.raises(ModelError, match=r"selection.parquet lacks q_value; allowed: a table with refit_session"):
            report.build(folder)

    def test_no_feature_kept_anywhere(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, count=30)
        path = folder / "selection.parquet"
        nothing = [pl.lit(False).alias("kept"), pl.lit(False).alias("significant")]
        pl.read_parquet(path).with_columns(nothing).write_parquet(path)
        page = text_of(report.build(folder).read_text())
        assert "No feature was kept." in page
        assert "no feature was kept" in page


class TestWording:
    @given(st.floats(allow_nan=True, allow_infinity=True, width=64), st.integers(0, 6))
    def test_signed_reads_back_as_the_rounded_number(self, value: float, digits: int) -> None:
        text = signed(value, digits)
        if not math.isfinite(value):
            assert text == "–"
            return
        back = float(text.replace("−", "-").replace(",", ""))
        assert back == pytest.approx(value, abs=0.51 * 10.0**-digits, rel=1e-12)
        assert not (back == 0 and text[0] in "+−")

    def test_a_tiny_chance_does_not_read_as_none(self) -> None:
        assert [chance(value) for value in (0.0, 1e-9, 0.0006, 0.5)] == ["< 0.001", "< 0.001", "0.001", "0.500"]
        assert chance(math.nan) == "–"

    def test_a_tiny_share_does_not_read_as_none(self) -> None:
        assert percent(0.0) == "0.0 %"
        assert percent(0.00001) == "< 0.1 %"
        assert percent(0.25) == "25.0 %"

    @pytest.mark.parametrize(
        ("low", "high", "side"), [(0.1, 0.2, 1), (-0.2, -0.1, -1), (-0.1, 0.1, 0), (math.nan, 1, 0)]
    )
    def test_side_of_an_interval(self, low: float, high: float, side: int) -> None:
        assert Estimate(0.1, low, high, 5).side == side


class TestBrowser:
    def test_draws_without_errors_overflow_or_network(self, strong: RunFolder, tmp_path: Path) -> None:
        page = report.build(strong.path)
        frames = [("narrow", 360, 360), ("phone", 390, 390), ("wide", 1600, 1600), ("shrunk", 1600, 390)]
        found = look(page, tmp_path, frames)
        assert set(found) == {name for name, _, _ in frames}
        for name, first, then in frames:
            frame = found[name]
            assert frame["problems"] == [], name
            assert frame["loaded"] == [], name
            assert frame["width"] == then
            assert frame["content"] <= then, f"{name} ({first} -> {then}) overflows: {frame['content']}"
            assert frame["title"] == "example: trifuse report"
            assert len(frame["plots"]) == 10
            folded = {plot["name"] for plot in frame["plots"] if not plot["drawn"]}
            assert folded == {"plot-by-group", "plot-quantiles", "plot-coverage"}, name
            for plot in frame["plots"]:
                assert plot["name"] in folded or plot["marks"] > 3, (name, plot)
                assert plot["name"] in folded or abs(plot["drawn"] - plot["width"]) <= 1, (name, plot)

    def test_what_is_folded_is_drawn_once_it_is_opened(self, strong: RunFolder, tmp_path: Path) -> None:
        page = report.build(strong.path)
        later = "<script>for (const part of document.querySelectorAll('details')) part.open = true;</script></body>"
        opened = tmp_path / "opened.html"
        opened.write_text(page.read_text().replace("</body>", later))
        found = look(opened, tmp_path, [("phone", 400, 400), ("wide", 1400, 1400)])
        for name, frame in found.items():
            assert frame["problems"] == []
            assert frame["content"] <= frame["width"]
            for plot in frame["plots"]:
                assert plot["marks"] > 3, (name, plot)
                assert abs(plot["drawn"] - plot["width"]) <= 1, (name, plot)

    def test_follows_the_dark_setting(self, strong: RunFolder, tmp_path: Path) -> None:
        page = report.build(strong.path)
        light, dark = (_page_in(page, tmp_path / name, number) for name, number in (("light", 1), ("dark", 0)))
        for name in ("ground", "colour", "ink"):  # the page, its text, the text of its plots
            bright, dim = (light, dark) if name == "ground" else (dark, light)
            assert _brightness(bright[name]) > 200, name
            assert _brightness(dim[name]) < 60, name


def _page_in(page: Path, folder: Path, scheme: int) -> dict[str, Any]:
    """What the page says in a light (1) or dark (0) setting, by Blink's numbers."""
    folder.mkdir()
    return look(page, folder, [("page", 1200, 1200)], f"--blink-settings=preferredColorScheme={scheme}")["page"]


def _brightness(colour: str) -> float:
    channels = [float(value) for value in re.findall(r"[\d.]+", colour)[:3]]
    return sum(channels) / len(channels)
