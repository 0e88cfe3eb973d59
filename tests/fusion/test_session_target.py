"""Returns over sessions against a loop over the definition: holidays, half days, missing bars, ends."""

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from fusion.config import DecisionConfig
from fusion.grid import decision_grid
from fusion.horizon import Sessions, parse_horizon
from fusion.session_target import exits, session_returns
from fusion.target import TargetConfig
from gpu_kernels.errors import ArgumentError, ConfigError
from sources.sessions import sessions

DELAY = timedelta(minutes=15)
DELAY_NS = 15 * 60 * 10**9
# Thanksgiving, half days, Christmas and New Year
DAYS = sessions("XNYS", date(2014, 11, 20), date(2015, 1, 9))
TRADING = sessions("XNYS", date(2014, 11, 3), date(2015, 3, 9))


def config(**more: Any) -> TargetConfig:
    return TargetConfig.model_validate({"horizons": ["1 session", "5 sessions"], "primary": "5 sessions"} | more)


def bars_of(seed: int, entities: list[str], missing: float = 0.15) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    frames = []
    for entity in entities:
        frame = DAYS.select("session", known_time=pl.col("close") + DELAY).with_columns(
            pl.lit(entity).alias("entity"),
            pl.Series("open", np.exp(draw.standard_normal(DAYS.height))),
            pl.Series("close", np.exp(draw.standard_normal(DAYS.height))),
        )
        frames.append(frame.filter(pl.Series(draw.random(DAYS.height) > missing)))
    return pl.concat(frames)


def naive(grid: pl.DataFrame, bars: pl.DataFrame, target: TargetConfig) -> list[tuple[Any, ...]]:
    """The docstring, one decision at a time."""
    days = list(TRADING.iter_rows())
    held = {(row["entity"], row["session"]): row for row in bars.iter_rows(named=True)}
    found = []
    for entity, session, moment in grid.iter_rows():
        row = [entity, session, moment]
        for horizon in target.horizons:
            if target.entry == "next_close":
                first = next(k for k, (_, _, close) in enumerate(days) if close > moment)
                last = first + horizon.count
            elif target.entry == "last":
                first = max(k for k, (_, _, close) in enumerate(days) if close + DELAY <= moment)
                last = first + horizon.count
            else:
                first = next(k for k, (_, opened, _) in enumerate(days) if opened > moment)
                last = first + horizon.count - 1
            begin, end = held.get((entity, days[first][0])), held.get((entity, days[last][0]))
            if begin is None or end is None:
                row += [None, None]
                continue
            price = begin["open" if target.entry in {None, "next_open"} else "close"]
            row += [math.log(end["close"] / price), end["known_time"]]
        found.append(tuple(row))
    return found


@pytest.mark.parametrize("entry", [None, "next_open", "next_close", "last"])
@pytest.mark.parametrize(
    "daily", ["close + 30min", "close + 15min", "close + 5min", "close + 0min", "open - 15min", "open + 0min"]
)
def test_equals_the_definition(entry: str | None, daily: str) -> None:
    target = config(entry=entry)
    grid = decision_grid(["A", "B"], DAYS, DecisionConfig(daily=daily))
    bars = bars_of(3, ["A", "B"])
    found = session_returns(grid, bars, TRADING, target, DELAY_NS)
    assert found.columns[3:] == ["return_1session", "label_end_1session", "return_5sessions", "label_end_5sessions"]
    expected = naive(grid, bars, target)
    assert found.drop("return_1session", "return_5sessions").rows() == [(*r[:3], r[4], r[6]) for r in expected]
    for name, place in (("return_1session", 3), ("return_5sessions", 5)):
        for mine, other in zip(found[name], (r[place] for r in expected), strict=True):
            assert mine == other if other is None else mine == pytest.approx(other, abs=1e-14)
    assert found["return_5sessions"].null_count() > 10  # bars are missing and the data end


def test_a_decision_on_a_friday_ends_where_the_calendar_says() -> None:
    """Five sessions from the open of 24 November 2014 are Monday to Wednesday, the half Friday, and Monday."""
    grid = decision_grid(["A"], DAYS, DecisionConfig(daily="close + 30min")).filter(
        pl.col("session") == date(2014, 11, 21)
    )
    ends = exits(grid["decision_time"], TRADING, config(), DELAY_NS)
    assert str(ends[0]) == "2014-12-01 21:00:00+00:00"


def test_relative_returns_are_less_the_mean_of_those_there() -> None:
    grid = decision_grid(["A", "B", "C"], DAYS, DecisionConfig(daily="close + 30min"))
    bars = bars_of(4, ["A", "B", "C"], missing=0.3)
    plain = session_returns(grid, bars, TRADING, config(), DELAY_NS)
    found = session_returns(grid, bars, TRADING, config(relative=True), DELAY_NS)
    for (_, moment, label), mine in zip(
        plain.select("entity", "decision_time", "return_5sessions").iter_rows(), found["return_5sessions"], strict=True
    ):
        others = plain.filter(pl.col("decision_time") == moment)["return_5sessions"].drop_nulls()
        if label is None or len(others) < 2:
            assert mine is None
        else:
            assert mine == pytest.approx(label - sum(others) / len(others), abs=1e-14)
    alone = found.filter(pl.col("return_5sessions").is_null() & plain["return_5sessions"].is_not_null())
    assert alone.height, "no decision has one return only, so that its rule was not seen"


def test_a_delisted_share_has_no_label_over_its_end_and_others_keep_theirs() -> None:
    grid = decision_grid(["A", "B"], DAYS, DecisionConfig(daily="close + 30min"))
    bars = bars_of(5, ["A", "B"], missing=0.0)
    cut = bars.filter((pl.col("entity") == "B") | (pl.col("session") <= date(2014, 12, 12)))
    found = session_returns(grid, cut, TRADING, config(), DELAY_NS)
    a = found.filter(pl.col("entity") == "A", pl.col("return_5sessions").is_not_null())
    assert a["session"].max() == date(2014, 12, 5)
    full = session_returns(grid, bars, TRADING, config(), DELAY_NS)
    assert found.filter(pl.col("entity") == "B").equals(full.filter(pl.col("entity") == "B"))


class TestDecisions:
    def test_once_a_session_half_days_earlier(self) -> None:
        grid = decision_grid(["A"], DAYS, DecisionConfig(daily="close + 30min"))
        times = dict(grid.select("session", pl.col("decision_time").dt.strftime("%H:%M")).iter_rows())
        assert (times[date(2014, 11, 26)], times[date(2014, 11, 28)]) == ("21:30", "18:30")
        before = decision_grid(["A"], DAYS, DecisionConfig(daily="open-15min"))
        assert before["decision_time"].dt.strftime("%H:%M").unique().to_list() == ["14:15"]

    @pytest.mark.parametrize("daily", ["close + 20h", "open - 18h", "close - 7h"])
    def test_a_decision_in_another_session_is_refused(self, daily: str) -> None:
        with pytest.raises(ConfigError, match="in another session"):
            decision_grid(["A"], DAYS, DecisionConfig(daily=daily))

    @pytest.mark.parametrize(
        "given", [{}, {"daily": "noon"}, {"daily": "close", "step": "5min"}, {"daily": "open", "delay": "1s"}]
    )
    def test_what_cannot_be_is_refused(self, given: dict[str, str]) -> None:
        with pytest.raises(ValidationError):
            DecisionConfig.model_validate(given)


class TestHorizons:
    def test_words(self) -> None:
        assert parse_horizon("1 session") == Sessions(1)
        assert parse_horizon("21sessions") == Sessions(21)
        assert str(Sessions(1)), str(Sessions(5)) == ("1 session", "5 sessions")
        dumped = config().model_dump(mode="json")
        assert (dumped["horizons"], dumped["primary"]) == (["1 session", "5 sessions"], "5 sessions")

    @pytest.mark.parametrize("given", ["0 sessions", "-1 sessions", "sessions", "1.5 sessions", 5, 0, None])
    def test_no_horizon(self, given: object) -> None:
        with pytest.raises(ValueError, match=r"sessions|duration|unit|horizon"):
            parse_horizon(given)

    def test_they_do_not_mix(self) -> None:
        with pytest.raises(ValidationError, match="mix times inside a session with sessions"):
            config(horizons=["5min", "5 sessions"])
        with pytest.raises(ValidationError, match="entry is last"):
            config(horizons=["5min"], primary="5min", entry="last")

    def test_times_are_not_for_sessions(self) -> None:
        target = TargetConfig.model_validate({"horizons": ["5min"], "primary": "5min"})
        grid = decision_grid(["A"], DAYS, DecisionConfig(daily="close + 30min"))
        with pytest.raises(ArgumentError):
            session_returns(grid, bars_of(1, ["A"]), TRADING, target, DELAY_NS)


@pytest.mark.data
def test_real_returns_are_those_of_the_adjusted_closes(data_root: Path) -> None:
    quoted = pl.read_csv(data_root / "market/retail_daily_yahoo_2014_2023/KSS.csv.gz", try_parse_dates=True)
    trading = sessions("XNYS", date(2014, 1, 2), date(2023, 12, 29))
    bars = trading.select("session", known_time=pl.col("close") + DELAY, entity=pl.lit("KSS")).join(
        quoted.select(session="Date", open=pl.col("Open") * pl.col("Adj Close") / pl.col("Close"), close="Adj Close"),
        on="session",
    )
    grid = decision_grid(["KSS"], trading, DecisionConfig(daily="close + 30min"))
    found = session_returns(grid, bars, trading, config(entry="last"), DELAY_NS)["return_5sessions"].to_numpy()
    close = quoted["Adj Close"].to_numpy()
    assert found[:-5] == pytest.approx(np.log(close[5:] / close[:-5]), abs=1e-13)
    assert np.isnan(found[-5:]).all()
