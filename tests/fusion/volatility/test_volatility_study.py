"""The study of variance forecasts: on planted sessions, cut short, by its script; and what the real samples hold."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from planted_sessions import DAY, planted
from typer import Typer
from typer.testing import CliRunner

from fusion.studies import volatility_forecasts, volatility_samples, volatility_sessions
from fusion.studies.volatility_samples import Sample
from fusion.volatility.bins import SessionBins
from fusion.volatility.walk import Schedule
from gpu_kernels.errors import ArgumentError
from scripts import forecast_volatility

pytest.importorskip("arch")
NONE = np.array([], np.int64)


def sample_of(bins: SessionBins, events: np.ndarray, calendar: SessionBins) -> Sample:
    count = len(bins.opens)
    days = tuple(date(2020, 1, 1) + timedelta(days=row) for row in range(count))
    kinds = {"fomc": events, "minutes": NONE, "nfp": events - DAY // 8, "cpi": NONE, "chair": NONE}
    later = calendar.opens[-1] + DAY * np.arange(1, 30)
    opens = np.concatenate([calendar.opens, later])
    closes = np.concatenate([calendar.closes, later + DAY // 12])
    prices = np.where(np.isfinite(bins.variance), 5, 0)
    return Sample("planted", bins, days, kinds, opens, closes, prices, 60, finer=_in_two(bins))


def _in_two(bins: SessionBins) -> SessionBins:
    """Each bin as two bars, of a quarter of its return and the rest."""
    returns = np.stack([bins.returns / 4, bins.returns * 3 / 4], axis=2).reshape(len(bins.opens), -1)
    return SessionBins(bins.opens, bins.closes, bins.step // 2, returns, returns**2)


@pytest.fixture(scope="module")
def sample() -> Sample:
    world = planted(140, seed=2)
    return sample_of(world.bins, world.events, world.bins)


def test_every_forecast_of_the_coming_minutes_cut_short_gives_the_same_bits(sample: Sample) -> None:
    full = volatility_forecasts.forecast_intraday(sample, [5, 15])
    for session, bin_ in ((64, 0), (83, 9), (139, 22)):
        cut = sample_of(sample.bins.cut(session, bin_), sample.events["fomc"], sample.bins)
        for whole, part in zip(full, volatility_forecasts.forecast_intraday(cut, [5, 15]), strict=True):
            assert whole.forecasts.keys() == part.forecasts.keys()
            for name, forecast in part.forecasts.items():
                message = f"{name}, {whole.minutes} min, {session} {bin_}"
                np.testing.assert_array_equal(forecast[:session], whole.forecasts[name][:session], message)
                now, then = forecast[session, : bin_ + 1], whole.forecasts[name][session, : bin_ + 1]
                np.testing.assert_array_equal(now, then, message)
    assert all(np.isfinite(forecast[70]).any() for run in full for forecast in run.forecasts.values())


def test_every_forecast_of_the_coming_sessions_cut_short_gives_the_same_bits(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FITS", "_GARCH_FITS"):
        monkeypatch.setattr(volatility_sessions, name, Schedule(105, 9, 200))
    full = volatility_sessions.forecast_across(sample, [1, 5])
    width = sample.bins.variance.shape[1]
    for session in (106, 120):
        cut = sample_of(sample.bins.part(0, session + 1).cut(session, width), sample.events["fomc"], sample.bins)
        for whole, part in zip(full, volatility_sessions.forecast_across(cut, [1, 5]), strict=True):
            for name, forecast in part.forecasts.items():
                np.testing.assert_array_equal(forecast, whole.forecasts[name][: session + 1], name)
    assert all(np.isfinite(forecast[110]).all() for run in full for forecast in run.forecasts.values())


def test_the_component_model_beats_its_rivals_where_its_structure_is_true(sample: Sample) -> None:
    run = volatility_forecasts.forecast_intraday(sample, [15])[0]
    scores = volatility_forecasts.judge_intraday(run, volatility_forecasts.windows(sample, 15)["all"], draws=100)
    by_name = {score.name: score for score in scores}
    for name, score in by_name.items():
        if not name.startswith("component"):
            assert score.difference < 0, name
    assert by_name["component without events"].test.better == "first"
    assert by_name["rolling day"].test.better == "first"


def test_windows_hold_what_they_say(sample: Sample) -> None:
    found = volatility_forecasts.windows(sample, 5)
    on = np.arange(4, 140, 7)
    assert not found["all"][:60].any()
    np.testing.assert_array_equal(np.unique(np.nonzero(found["FOMC, -30 to +120 min"])[0]), on[on >= 60])
    first = on[on >= 60][0]
    np.testing.assert_array_equal(np.flatnonzero(found["FOMC, -30 to +120 min"][first]), np.arange(9, 24))
    parts = [found[name] for name in found if name != "all"]
    np.testing.assert_array_equal(np.any(parts, axis=0), found["all"])
    assert not (parts[-1] & (parts[0] | parts[1])).any()


def test_times_of_day_without_prices_are_not_judged(sample: Sample) -> None:
    prices = sample.prices.copy()
    prices[:, 3] = 0
    thin = replace(sample, prices=prices)
    assert not volatility_samples.resolved(thin, 5)[3]
    assert volatility_samples.resolved(thin, 5)[[2, 4]].all()
    assert volatility_samples.resolved(thin, 15)[:21].all()
    assert not volatility_samples.resolved(thin, 15)[22:].any()
    assert volatility_samples.resolves(thin, 5)
    assert not volatility_samples.resolves(replace(sample, prices=0 * prices), 5)


def test_measures_of_sessions_make_good_for_what_is_missing(sample: Sample) -> None:
    factor = volatility_forecasts.time_of_day(sample.bins)
    found = volatility_sessions.session_measures(sample.bins, factor)
    squares = sample.bins.returns**2
    assert found.variance[30] == pytest.approx(squares[30].sum(), rel=1e-9)
    assert found.variance[80] == pytest.approx(squares[80, 4:].sum() / factor[80, 4:].sum() * 24)
    assert found.positive is not None
    assert found.negative is not None
    np.testing.assert_allclose(found.positive + found.negative, found.variance)


class TestScript:
    @pytest.fixture
    def run(self, sample: Sample, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(volatility_samples.SAMPLES, "planted", lambda: sample)
        app = Typer()
        app.command()(forecast_volatility.main)
        return lambda *arguments: CliRunner().invoke(app, ["--samples", "planted", "--draws", "100", *arguments])

    def test_tables_files_and_picture(self, run, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        found = run(
            *("--minutes", "5,15", "--no-across", "--out", str(tmp_path), "--png", str(tmp_path / "picture.png"))
        )
        assert found.exit_code == 0, found.output
        assert "planted, 15 min, all" in found.output
        assert (tmp_path / "picture.png").stat().st_size > 10_000
        table = pl.read_csv(tmp_path / "planted_15min.csv", try_parse_dates=True)
        assert {"session", "decision_time", "realised", "component"} <= set(table.columns)
        assert table["decision_time"].is_sorted()

    def test_json_holds_the_tests(self, run) -> None:
        found = run("--minutes", "15", "--no-across", "--json")
        assert found.exit_code == 0, found.output
        records = json.loads(found.stdout)
        assert records[0]["where"] == "all"
        scores = {score["name"]: score for score in records[0]["scores"]}
        assert scores["component"]["difference"] == 0
        assert scores["rolling day"]["test"]["p"] < 0.05

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--minutes", "7"), "no multiple of the slot"),
            (("--minutes", "x"), "whole minutes"),
            (("--samples", "no"), "spy_5min"),
        ],
    )
    def test_bad_options_are_one_line(self, run, arguments: tuple[str, ...], said: str) -> None:
        found = run(*arguments)
        assert found.exit_code in {2, 3}
        assert said in found.stderr
        assert "Traceback" not in found.output


def test_an_unknown_sample_is_told() -> None:
    with pytest.raises(ArgumentError, match="es_day"):
        volatility_samples.read_samples(["nothing"])


@pytest.mark.data
class TestRealSamples:
    def test_spy_in_minutes(self, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
        found = volatility_samples.spy_1min()
        bins = found.bins
        assert (found.days[0], found.days[-1], len(found.days)) == (date(2014, 11, 19), date(2015, 7, 2), 155)
        missing = [found.days[row] for row in np.flatnonzero(~np.isfinite(bins.variance).any(axis=1))]
        assert missing == [date(2014, 12, 15), date(2014, 12, 31)]
        # the day after Thanksgiving ends at 13:00
        half = found.days.index(date(2014, 11, 28))
        assert bins.lengths[half] == 42
        assert np.isnan(bins.variance[half, 42:]).all()
        # the last decision of 2014 was on December 17th at 14:00 New York: the liveliest bin of its day begins there
        day = found.days.index(date(2014, 12, 17))
        assert (14 * 60 - 9 * 60 - 30) // 5 in np.argsort(bins.variance[day])[-3:]

    def test_what_was_not_scheduled_is_no_event(self, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
        fomc = volatility_samples.scheduled_events()["fomc"].astype("datetime64[ns]").astype("datetime64[D]")
        assert np.datetime64("2020-03-03") not in fomc
        assert np.datetime64("2020-03-15") not in fomc
        assert np.datetime64("2020-01-29") in fomc

    def test_es_in_the_hours_of_the_stock_market(self, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRIFUSE_DATA", str(data_root))
        found = volatility_samples.es_day()
        assert found.bins.variance.shape == (504, 78)
        assert volatility_samples.resolves(found, 15)
        assert not volatility_samples.resolves(found, 5)
