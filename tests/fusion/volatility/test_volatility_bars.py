"""Variance forecasts on the bars of a config: simulated ones of a file, what is said of bad ones, and real ones."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer import Typer
from typer.testing import CliRunner

from fusion.config import load, parse
from fusion.studies import volatility_samples
from fusion.studies.volatility_bars import config_samples
from fusion.studies.volatility_forecasts import forecast_intraday
from fusion.studies.volatility_samples import EVENT_NAMES
from fusion.studies.volatility_sessions import told_of
from scripts import forecast_volatility
from sources.sessions import sessions

pytest.importorskip("arch")
SPY_CONFIG = Path(__file__).parents[3] / "configs" / "spy_volatility.yaml"
START, END = date(2023, 1, 3), date(2023, 4, 14)
SESSIONS = 71


def bars_of(entity: str, seed: int, minutes: int = 15) -> pl.DataFrame:
    """Bars named by their ends; each session's first hour moves three times as much as the rest."""
    random = np.random.default_rng(seed)
    frames = []
    price = 100.0
    for opened, closed in sessions("XNYS", START, END).select("open", "close").iter_rows():
        count = int((closed - opened) / timedelta(minutes=minutes))
        ends = [opened + timedelta(minutes=minutes * (row + 1)) for row in range(count)]
        size = np.where(np.arange(count) < 60 // minutes, 3e-3, 1e-3)
        path = price * np.exp(np.cumsum(size * random.standard_normal(count)))
        start = np.concatenate([[price], path[:-1]])
        price = path[-1]
        frames.append(
            pl.DataFrame(
                {
                    "entity": entity,
                    "event_time": ends,
                    "open": start,
                    "high": np.maximum(start, path) * 1.0002,
                    "low": np.minimum(start, path) * 0.9998,
                    "close": path,
                    "volume": 100.0,
                }
            )
        )
    return pl.concat(frames)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bars")
    rows = pl.concat([bars_of("AAA", 1), bars_of("BBB", 2)])
    rows.with_columns(pl.col("event_time").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv(folder / "bars.csv")
    days = sessions("XNYS", START, END)["session"]
    events = pl.DataFrame({"Start": [f"{day}T18:00:00Z" for day in days[::5]], "Name": "Auction"})
    events.write_csv(folder / "events.csv")
    return folder


@pytest.fixture
def tree(folder: Path) -> dict[str, Any]:
    return {
        "name": "mine",
        "calendar": "XNYS",
        "entities": ["AAA", "BBB"],
        "start": START.isoformat(),
        "end": END.isoformat(),
        "sources": {
            "bars": {
                "kind": "table_file",
                "table": "bar",
                "files": str(folder / "bars.csv"),
                "timezone": "UTC",
                "delay": "1s",
                "max_age": "1h",
            },
            "planned": {
                "kind": "calendar_file",
                "files": str(folder / "events.csv"),
                "columns": {"event_time": "Start", "name": "Name"},
                "timezone": "UTC",
                "entity": "US",
                "announced": "6d",
                "kinds": {"auction": ["Auction"]},
            },
        },
        "decisions": {"step": "15min"},
        "targets": {"horizons": ["15min"], "primary": "15min"},
        "features": {"bars": "all"},
        "volatility": {"interval": "15min", "events": "planned"},
    }


@pytest.fixture
def run(tree: dict[str, Any], tmp_path: Path) -> Callable[..., Any]:
    app = Typer()
    app.command()(forecast_volatility.main)

    def call(*arguments: str) -> Any:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(tree))
        return CliRunner().invoke(app, ["--config", str(path), "--draws", "100", *arguments])

    return call


def test_bins_are_of_the_bars_and_hours_of_the_config(tree: dict[str, Any]) -> None:
    tree["volatility"] |= {"first": "30min", "last": "1h"}
    first, second = config_samples(parse(tree), since=date(2023, 4, 3))
    assert (first.name, second.name, len(first.days)) == ("AAA", "BBB", SESSIONS)
    assert first.bins.variance.shape == (SESSIONS, 20)
    assert first.days[first.report_from] == date(2023, 4, 3)
    bars = bars_of("BBB", 2)
    moves = (bars["close"] / bars["open"]).log().to_numpy().reshape(SESSIONS, 26)[:, 2:-4]
    np.testing.assert_allclose(second.bins.returns, moves, atol=1e-12)
    # known six days before: one session ahead is told of it, and five sessions are not
    assert list(first.events) == ["auction"]
    assert told_of(first, 1) == ("auction",)
    assert told_of(first, 5) == ()


def test_an_event_that_was_not_known_when_its_session_opened_is_none(tree: dict[str, Any]) -> None:
    tree["sources"]["planned"]["announced"] = "1h"
    assert config_samples(parse(tree), "AAA")[0].events == {}


def test_what_came_unannounced_takes_nothing_from_the_notice_of_the_others(tree: dict[str, Any]) -> None:
    every = config_samples(parse(tree), "AAA")[0]
    day = sessions("XNYS", START, END)["session"][10]
    tree["sources"]["planned"]["unscheduled"] = [day.isoformat()]
    found = config_samples(parse(tree), "AAA")[0]
    assert len(found.events["auction"]) == len(every.events["auction"]) - 1
    assert told_of(found, 1) == ("auction",)
    assert told_of(found, 5) == ()


def test_tables_files_and_picture(run: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "mine.png"
    found = run("--entity", "AAA", "--minutes", "15,20", "--out", str(tmp_path), "--png", str(picture), "--json")
    assert found.exit_code == 0, found.output
    assert "20 min is no multiple of the slot, 15min" in found.stderr
    assert f"{SESSIONS} sessions, 251 or more" in found.stderr
    tables = {table["where"]: table for table in json.loads(found.stdout)}
    assert {"all", "auction, -30 to +120 min", "no event near"} <= set(tables)
    scores = {score["name"]: score for score in tables["all"]["scores"]}
    assert scores["component"]["sessions"] == SESSIONS - 60
    # what moves three times as much each morning is known by the time of day
    assert scores["daily HAR, diurnal"]["qlike"] < scores["daily HAR"]["qlike"]
    assert pl.read_csv(tmp_path / "AAA_15min.csv").height > 1000
    assert picture.stat().st_size > 10_000


def test_without_events_that_is_said_and_the_picture_is_of_the_day(
    run: Callable[..., Any], tree: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    del tree["volatility"]["events"]
    found = run("--entity", "AAA", "--minutes", "15", "--png", str(tmp_path / "mine.png"))
    assert found.exit_code == 0, found.output
    assert "without scheduled events" in found.stderr
    assert "component without events" not in found.stdout
    assert (tmp_path / "mine.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        ({"end": "2023-03-01"}, (), "AAA: 40 sessions with bars; allowed: 61 or more"),
        ({"volatility": {"interval": "5min"}}, (), "bars of 15min are too coarse for slots of 5min"),
        ({}, ("--minutes", "7"), "no forecast could be judged"),
        ({}, ("--from", "2024-01-02"), "--from is 2024-01-02"),
        ({}, ("--from", "soon"), "a day, YYYY-MM-DD"),
        ({}, ("--entity", "CCC"), "--entity is CCC; allowed: AAA, BBB"),
        ({}, ("--samples", "es_day"), "one of them"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Callable[..., Any], tree: dict[str, Any], change: dict[str, Any], arguments: tuple[str, ...], said: str
) -> None:
    tree |= change
    found = run(*arguments)
    assert found.exit_code in {2, 3}
    assert said in found.stderr
    assert "Traceback" not in found.output


def test_a_config_without_bars_is_told(run: Callable[..., Any], tree: dict[str, Any]) -> None:
    columns = {"kind": "table_file", "table": "quote", "files": "q.csv", "timezone": "UTC", "delay": "1s"}
    tree["sources"] = {"quotes": columns | {"max_age": "1h"}}
    tree |= {"volatility": {}, "features": {"quotes": "all"}}
    tree["targets"]["price"] = "quotes"
    found = run()
    assert found.exit_code == 2
    assert "has no source of bars" in found.stderr


def test_arch_missing_is_told(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast_volatility.importlib.util, "find_spec", lambda _: None)
    found = run()
    assert found.exit_code == 2
    assert "pip install arch" in found.stderr


@pytest.mark.data
def test_the_config_of_spy_forecasts_as_the_built_in_sample(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the sessions of both, with the same kinds of events: nothing that was not scheduled was decided by then."""
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    config = load(SPY_CONFIG, ["end=2018-06-29"])
    calendar = config.sources["calendar"].model_copy(update={"kinds": EVENT_NAMES})
    own = config_samples(config.model_copy(update={"sources": config.sources | {"calendar": calendar}}))[0]
    given = volatility_samples.spy_5min()
    count = len(own.days)
    assert own.days == given.days[:count]
    np.testing.assert_array_equal(own.bins.variance, given.bins.variance[:count])
    np.testing.assert_array_equal(own.prices, given.prices[:count])
    shorter = replace(given, bins=given.bins.part(0, count), prices=own.prices)
    ours, theirs = (forecast_intraday(sample, [15])[0].forecasts for sample in (own, shorter))
    assert ours.keys() == theirs.keys()
    for name, forecast in theirs.items():
        np.testing.assert_array_equal(ours[name], forecast, name)
    assert np.isfinite(ours["component"][70]).any()


@pytest.mark.data
def test_minute_bars_of_a_config_are_the_built_in_sample(
    tree: dict[str, Any], data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
    files = {"SPY": "${TRIFUSE_DATA}/market/us_etf_1min_2014_2015/spy-*.csv.gz"}
    bars = {"kind": "thinkorswim_csv", "files": files, "timezone": "America/Chicago", "bar": "1min"}
    tree |= {"entities": ["SPY"], "start": "2014-11-19", "end": "2015-07-02", "volatility": {}}
    tree["sources"] = {"bars": bars | {"delay": "1s", "max_age": "10min"}}
    own, given = config_samples(parse(tree))[0], volatility_samples.spy_1min()
    assert own.days == given.days
    assert own.finer is not None
    assert given.finer is not None
    np.testing.assert_array_equal(own.bins.variance, given.bins.variance)
    np.testing.assert_array_equal(own.bins.ranges, given.bins.ranges)
    np.testing.assert_array_equal(own.finer.returns, given.finer.returns)
