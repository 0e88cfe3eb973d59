"""The report's figures of money, regimes over prices, stability and data health, on a run made up for the tests."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from browser import chromium
from example_run import ENTITIES, sessions, write_run

from fusion import report
from fusion.report import figures, health, regimes, returns, stability
from fusion.report.picture import photograph
from fusion.report.run_folder import RunFolder
from fusion.report.verdict import verdict


def add_estimates(folder: Path, rows: list[tuple[str, str, str, float, float, float]]) -> None:
    """metric, group_kind, group, value, low, high of the model at the primary horizon."""
    path = folder / "evaluation.parquet"
    table = pl.read_parquet(path)
    full = [(name, "score", "15min", kind, group, *ends, 40) for name, kind, group, *ends in rows]
    pl.concat([table, pl.DataFrame(full, schema=table.schema, orient="row")]).write_parquet(path)


def with_portfolio(folder: Path, *, cost: float) -> Path:
    """A run whose top fifth earns 2 bps a session, whose bottom fifth loses 1, and which pays `cost` for each."""
    days = sessions(60)[20:]
    earned = {"1": -1.0, "2": 0.0, "3": 0.5, "4": 1.0, "5": 2.0, "top_minus_bottom": 3.0}
    rows = [
        {"session": day, "horizon": "15min", "score": score, "quantile": name, "gross": gross, "cost": paid}
        for score in ("score", "score_ridge")
        for day in days
        for name, gross in earned.items()
        for paid in [2 * cost if name == "top_minus_bottom" else cost]
    ]
    table = pl.DataFrame(rows).with_columns(net=pl.col("gross") - pl.col("cost"), turnover=pl.lit(4.0))
    by = ["score", "quantile"]
    table.with_columns(
        gross_cumulative=pl.col("gross").cum_sum().over(by), net_cumulative=pl.col("net").cum_sum().over(by)
    ).write_parquet(folder / "portfolio.parquet")
    net = 3.0 - 2 * cost
    add_estimates(
        folder,
        [
            ("gross_top_minus_bottom", "all", "all", 3.0, 2.0, 4.0),
            ("net_top_minus_bottom", "all", "all", net, net - 0.5, net + 0.5),
            ("break_even_bps", "all", "all", 0.75, 0.5, 1.0),
            ("cost_bps", "all", "all", cost / 2, cost / 2, cost / 2),
            ("portfolio_turnover", "all", "all", 4.0, 4.0, 4.0),
            ("sharpe", "all", "all", 0.4, 0.1, 0.7),
            ("deflated_sharpe", "all", "all", 0.87, 0.87, 0.87),
            ("trials", "all", "all", 5.0, 5.0, 5.0),
        ],
    )
    return folder


def with_prices(folder: Path, names: tuple[str, ...] = ENTITIES) -> Path:
    """Each entity grows by its own constant rate a session."""
    days = sessions(60)
    rows = [
        {"session": day, "entity": name, "price": 50.0 * (1 + index) * 1.01 ** (k * (1 + index))}
        for index, name in enumerate(names)
        for k, day in enumerate(days)
    ]
    pl.DataFrame(rows).write_parquet(folder / "prices.parquet")
    return folder


class TestReturns:
    def test_both_plots_have_one_scale_and_the_sums_of_the_table(self, tmp_path: Path) -> None:
        folder = with_portfolio(write_run(tmp_path), cost=0.5)
        before, after = returns.cumulative(RunFolder(folder))
        assert before.layout["yaxis"]["range"] == after.layout["yaxis"]["range"]  # type: ignore[index]
        assert [trace["name"] for trace in before.data] == ["highest fifth", "lowest fifth", "highest less lowest"]
        ends = [[trace["y"][-1] for trace in plot.data] for plot in (before, after)]  # type: ignore[index]
        assert ends == [[80.0, -40.0, 120.0], [60.0, -60.0, 80.0]]
        assert before.title == "Before costs: +3.0 bps a session"

    @pytest.mark.parametrize(
        ("cost", "said"), [(0.5, "After costs a profit is left"), (2.5, "After costs it loses"), (1.4, "no profit")]
    )
    def test_the_verdict_says_what_is_left(self, tmp_path: Path, cost: float, said: str) -> None:
        told = " ".join(verdict(RunFolder(with_portfolio(write_run(tmp_path), cost=cost))).sentences)
        assert said in told
        assert f"breaks even where a trade costs 0.75 bps; {cost / 2:.2f} were reckoned" in told

    def test_table(self, tmp_path: Path) -> None:
        shown = returns.table(RunFolder(with_portfolio(write_run(tmp_path), cost=0.5)))
        assert shown is not None
        found = dict(zip(shown.columns, shown.rows[0], strict=True))
        assert (found["before"], found["traded"], found["after"]) == ("+3.00", "4.0", "+2.00")
        assert found["not luck"] == "87 % of 5"

    def test_a_run_without_portfolios_has_none(self, tmp_path: Path) -> None:
        run = RunFolder(write_run(tmp_path))
        assert (returns.cumulative(run), returns.table(run), returns.sentence(run)) == ([], None, [])


class TestTimeline:
    def test_prices_begin_at_100_and_grow_as_they_did(self, tmp_path: Path) -> None:
        plot = regimes.timeline(RunFolder(with_prices(write_run(tmp_path))))
        assert plot is not None
        lines = {str(trace["name"]): trace["y"] for trace in plot.data if trace.get("yaxis") == "y2"}
        assert set(lines) == set(ENTITIES)
        for index, name in enumerate(ENTITIES):
            expected = 100 * 1.01 ** (np.arange(40) * (1 + index))  # the first 20 sessions have no regime
            assert lines[name] == pytest.approx(expected, abs=0.01)

    def test_of_many_entities_the_mean_growth_is_drawn(self, tmp_path: Path) -> None:
        plot = regimes.timeline(RunFolder(with_prices(write_run(tmp_path), ("A", "B", "C", "D"))))
        assert plot is not None
        (line,) = [trace for trace in plot.data if trace.get("yaxis") == "y2"]
        assert line["name"] == "mean price of 4 entities"
        assert line["y"] == pytest.approx(100 * 1.01 ** (np.arange(40) * 2.5), abs=0.01)

    def test_bands_are_named_and_the_strip_is_the_held_regime(self, tmp_path: Path) -> None:
        run = RunFolder(with_prices(write_run(tmp_path)))
        plot = regimes.timeline(run)
        assert plot is not None
        bands = [trace["name"] for trace in plot.data if "stackgroup" in trace]
        assert bands == ["regime 0: low stress", "regime 1: high stress"]
        (strip,) = [trace for trace in plot.data if trace["type"] == "heatmap"]
        held = pl.read_parquet(run.path / "regime.parquet")["regime"].drop_nulls().to_list()
        assert strip["z"] == [held]

    def test_one_regime_is_no_picture(self, tmp_path: Path) -> None:
        path = write_run(tmp_path) / "regime.parquet"
        pl.read_parquet(path).drop("probability_1").write_parquet(path)
        run = RunFolder(tmp_path)
        assert regimes.timeline(run) is None
        assert "tells no regimes apart" in report.render(run)
        plot = figures.by_regime(run)
        assert plot is not None
        assert not [name for name in plot.data[0]["y"] if "regime" in name]  # type: ignore[attr-defined]


class TestStability:
    @pytest.mark.parametrize(
        ("low", "high", "said"), [(0.91, 0.93, "wider"), (0.8, 0.85, "too narrow"), (0.88, 0.92, "as promised")]
    )
    def test_coverage_is_read_against_what_was_promised(
        self, tmp_path: Path, low: float, high: float, said: str
    ) -> None:
        folder = write_run(tmp_path)
        add_estimates(folder, [("coverage", "all", "all", (low + high) / 2, low, high)])
        shown = stability.table(RunFolder(folder))
        assert shown is not None
        (row,) = [row for row in shown.rows if row[0] == "returns inside the 90 % intervals"]
        assert said in row[-1]

    def test_calm_and_volatile_sessions_stand_first(self, tmp_path: Path) -> None:
        shown = stability.table(RunFolder(write_run(tmp_path, effect=0.08)))
        assert shown is not None
        assert [row[0] for row in shown.rows[:2]] == ["rank IC, calm sessions", "rank IC, volatile sessions"]
        assert {row[-1] for row in shown.rows[:2]} == {"better than chance"}


class TestHealth:
    def test_what_is_wrong_is_marked_and_stands_first(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["sources"]["headlines"] |= {"read": 900, "used": 855, "late": 30, "quarantined": {"unparsable": 15}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        shown = health.table(RunFolder(folder))
        assert shown is not None
        assert shown.rows[0][:2] == ["headlines", "⚠ 1.7 % set aside, 3.5 % came late"]
        assert shown.rows[1][:2] == ["bars", "✓ in order"]
        assert shown.marks == ["bad", "", ""]
        assert '<tr class="bad"><td>headlines</td>' in report.render(RunFolder(folder))

    def test_values_count_by_the_source_that_a_column_came_from(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path)
        (folder / "families.json").write_text(json.dumps({"news_tone_sum_1h": "headlines", "bars_age": "bars"}))
        shown = health.table(RunFolder(folder))
        assert shown is not None
        found = {row[0]: row[-1] for row in shown.rows}
        there = pl.read_parquet(folder / "features.parquet")["news_tone_sum_1h"].is_not_nan().mean()
        assert isinstance(there, float)
        assert found["headlines"] == f"{100 * there:.1f} %"
        assert found["bars"] == "–"


def test_the_top_of_a_page_is_photographed(tmp_path: Path) -> None:
    chromium()
    page = tmp_path / "page.html"
    page.write_text("<body style='margin:0;background:#fff'><script>document.body.style.background = '#f00'</script>")
    photograph(page, tmp_path / "page.png", width=600, height=300)
    drawn = (tmp_path / "page.png").read_bytes()
    assert drawn[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(drawn[at : at + 4], "big") for at in (16, 20)] == [600, 300]
