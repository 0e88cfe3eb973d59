"""What each source adds: a planted one is found, noise is not, and each verdict rests on its own window."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import daily_market
import numpy as np
import polars as pl
import pytest
import yaml
from small_market import Market
from typer.testing import CliRunner

from fusion import model, pipeline, selection
from fusion.cli import app
from fusion.contribution import CONTRIBUTION, contributions
from fusion.correlation import rank_moments
from fusion.model import mixture
from fusion.overlap import resamples
from fusion.paired import ADDED, UNTOLD, PairedSample, holm
from fusion.plan import make_plan
from fusion.report import render
from fusion.report.run_folder import RunFolder
from fusion.rivals import Recipe, Rivals
from fusion.study import study
from fusion.target import KEYS


def made(folder: Path, seed: int, effect: float) -> Market:
    files = folder / f"files{seed}"
    files.mkdir()
    settings = {"bootstrap": 100}
    config = daily_market.config(daily_market.write_market(files, seed, effect=effect), evaluation=settings)
    lake = folder / f"lake{seed}"
    plan = make_plan(config, lake)
    return Market(config, plan, pipeline.load(plan, pipeline.ingest(config, lake=lake, plan=plan), lake=lake), lake)


def judged(market: Market) -> dict[str, dict[str, object]]:
    found = contributions(market.plan, market.tables, study(market.plan, market.tables))
    assert found.schema == CONTRIBUTION
    return {str(row["source"]): row for row in found.to_dicts()}


@pytest.fixture(scope="module")
def informed(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return made(tmp_path_factory.mktemp("informed"), 2, 0.4)


def test_a_source_with_information_is_told_from_one_without(informed: Market) -> None:
    found = judged(informed)
    news, noise = found["news"], found["noise"]
    assert (news["verdict"], noise["verdict"]) == (ADDED, UNTOLD)
    assert news["added_low"] > 0.1  # type: ignore[operator]
    assert news["alone_low"] > 0.1  # type: ignore[operator]
    assert news["spread_low"] > 0  # type: ignore[operator]
    assert news["ic_all"] - news["ic_without"] == news["added"]  # type: ignore[operator]
    assert news["chosen"] == 1.0


def test_the_numbers_are_those_of_runs_without_the_source(informed: Market) -> None:
    """Refitting as this module does is running the config without the source."""
    row = judged(informed)["news"]
    features = {name: wanted for name, wanted in informed.config.features.items() if name != "news"}
    plan = replace(informed.plan, config=informed.config.model_copy(update={"features": features}))
    less, whole = study(plan, informed.tables), study(informed.plan, informed.tables)
    assert set(less.signals["status"]) == {"ok"}  # no score is missing, so that none was put in its place
    for result, name in ((less, "ic_without"), (whole, "ic_all")):
        ic = result.evaluation.filter(metric="rank_ic", score="score", horizon="5 sessions", group_kind="all")["value"]
        assert ic[0] == row[name]


@pytest.mark.parametrize(("least", "shared"), [(2, True), (4, False)])
def test_what_is_done_once_for_all_is_as_if_done_for_each(
    informed: Market, monkeypatch: pytest.MonkeyPatch, least: int, shared: bool
) -> None:
    """To the bit; and with fewer fits where some selections are the same. Of four features one is redundant."""
    selected = informed.config.selection.model_copy(update={"min_features": least, "max_rank_correlation": 0.5})
    plan = replace(informed.plan, config=informed.config.model_copy(update={"selection": selected}))
    found = study(plan, informed.tables)
    families = {name: found.matrix.families[name] for name in found.matrix.candidates}
    sets = [frozenset(each) for each in ({"bars"}, {"bars", "news"}, {"news"}, {"news", "noise"}, {"noise", "bars"})]
    learn, fits = mixture.learn, []

    def counted(*given: Any) -> model.RegimeLearner:
        fits.append(given)
        return learn(*given)

    monkeypatch.setattr(mixture, "learn", counted)
    scores = Rivals(plan, found)
    scores.make([Recipe(each) for each in sets])
    once = len(fits)
    labels, regimes, primary = found.labels, found.regimes, plan.config.predicted.primary
    whole = found.matrix.frame.select(*KEYS, *families)
    measured = selection.measure(whole, labels, regimes, found.refits, selected, primary)
    reasons = set()
    for sources in sets:
        names = [name for name, source in families.items() if source in sources]
        table = whole.select(*KEYS, *names)
        ledger = selection.select(table, labels, regimes, found.refits, selected, primary)
        assert measured.ledger(names).equals(ledger)
        reasons |= {reason.split()[0] for reason in ledger["reason"]}
        slow, _ = model.walk_forward_predict(table, labels, regimes, ledger, found.refits, plan.config.model, primary)
        expected = scores.signals.select(KEYS).join(slow, on=KEYS, how="left", maintain_order="left")["score"]
        assert scores[Recipe(sources)].tobytes() == expected.cast(pl.Float64).fill_null(np.nan).to_numpy().tobytes()
    assert {"not", "significant"} <= reasons
    each = len(fits) - once
    if shared:
        assert 0 < once < each
    else:
        assert "redundant" in reasons
        assert 0 < once <= each


def test_of_markets_without_information_few_sources_are_called_informative(tmp_path: Path) -> None:
    """2.5 % of the markets at most, as one side of Holm's 5 %; of 240 looks in 80 other markets it was none."""
    verdicts = [row["verdict"] for seed in range(10, 16) for row in judged(made(tmp_path, seed, 0.0)).values()]
    assert len(verdicts) == 18
    assert verdicts.count(ADDED) <= 1


def test_a_source_is_judged_where_it_has_values(informed: Market) -> None:
    first, last = date(2018, 9, 3), date(2019, 2, 28)
    day = pl.col("event_time").dt.date()
    news = informed.tables["news"].filter((day >= first) & (day <= last))
    row = judged(replace(informed, tables={**informed.tables, "news": news}))["news"]
    assert row["first_session"] == date(2018, 9, 5)  # known an hour after Tuesday's close, as Monday is Labor Day
    assert row["last_session"] == date(2019, 3, 5)  # five days at most after Thursday's close
    none = judged(replace(informed, tables={**informed.tables, "news": informed.tables["news"].clear()}))["news"]
    assert (none["verdict"], none["sessions"]) == (UNTOLD, 0)
    assert "no out-of-sample session" in str(none["reason"])


def test_few_sessions_tell_nothing(informed: Market) -> None:
    day = pl.col("event_time").dt.date()
    few = informed.tables["news"].filter((day >= date(2019, 2, 4)) & (day <= date(2019, 2, 7)))
    row = judged(replace(informed, tables={**informed.tables, "news": few}))["news"]
    assert row["verdict"] == UNTOLD
    assert row["added_low"] is None


def test_inside_sessions(market: Market) -> None:
    features = {name: market.config.features[name] for name in ("bars", "lots", "calendar")}
    plan = replace(market.plan, config=market.config.model_copy(update={"features": features}))
    found = contributions(plan, market.tables, study(plan, market.tables))
    assert set(found["source"]) == set(features)
    assert found["sessions"].min() > 5  # type: ignore[operator]
    assert found.filter(pl.col("p_holm").is_null()).is_empty()


def test_the_test_of_a_difference_rejects_equal_scores_about_as_often_as_it_says() -> None:
    draw, rejected, h, n = np.random.default_rng(4), 0, 5, 200
    for _ in range(400):
        x = draw.standard_normal((2, n, 4))
        for t in range(1, n):
            x[:, t] = 0.9 * x[:, t - 1] + 0.436 * x[:, t]
        daily = draw.standard_normal((n + h, 4))
        y = np.stack([daily[t + 1 : t + 1 + h].sum(axis=0) for t in range(n)]).ravel()
        offsets = np.arange(n + 1, dtype=np.int64) * 4
        sample = PairedSample(y, offsets, resamples(n, h, 1, draw), h, 5, 0.95)
        one, other = (sample.ic(score.ravel()) for score in x)
        rejected += sample.t_test(one.less(other))[1] < 0.05
    assert 0.02 < rejected / 400 < 0.085


def test_influences_are_what_a_session_changes() -> None:
    draw = np.random.default_rng(5)
    x, y = draw.standard_normal((2, 300))
    moments = rank_moments(x, y, np.arange(31, dtype=np.int64) * 10)
    influence, step = moments.influences(), 1e-6
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    for session in (0, 7, 29):
        weights = np.ones(30)
        weights[session] += step
        change = (moments.correlation(weights) - moments.correlation(np.ones(30))) / step
        assert influence[session] == pytest.approx(float(change), abs=1e-6)


def test_holm_against_its_definition() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, np.nan])) == pytest.approx([0.03, 0.06, 0.06, np.nan], nan_ok=True)
    assert holm(np.array([0.5, 0.6])).tolist() == [1.0, 1.0]
    assert holm(np.array([])).tolist() == []


def test_the_command_writes_it_into_run_folder_and_report(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    config = daily_market.settings(daily_market.write_market(files, 3, effect=0.4), evaluation={"bootstrap": 100})
    path = tmp_path / "daily.yaml"
    path.write_text(yaml.safe_dump(config))
    given = [
        "run",
        str(path),
        "--contribution",
        "--lake",
        str(tmp_path / "lake"),
        "--runs",
        str(tmp_path / "runs"),
        "-q",
    ]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "news: added information, rank IC +" in result.output
    (folder,) = (tmp_path / "runs" / "daily").iterdir()
    found = pl.read_parquet(folder / "contribution.parquet")
    assert found["source"].to_list() == ["bars", "news", "noise"]
    page = render(RunFolder(folder))
    assert "What does each source add?" in page
    assert "Out of sample, information was added by news" in page
    assert "cannot be told of" in page
