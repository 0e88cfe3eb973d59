"""Features of bars that know past sessions, the time of day, events and a market: definitions, planted effects, and
that nothing known later moves them."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fusion import features
from fusion.config import RunConfig, parse
from fusion.features import bar
from fusion.grid import decision_grid
from fusion.invariance import compare, truncate
from fusion.pipeline import ingest, load
from fusion.plan import make_plan
from fusion.volatility.settings import VolatilityConfig
from gpu_kernels.volatility import realised
from sources.schema import TIME
from sources.sessions import sessions
from sources.stream import in_order

MINUTE, SECOND = 60 * 10**9, 10**9
DAYS = sessions("XNYS", date(2024, 6, 10), date(2024, 8, 30))  # 58 sessions with a half day and two holidays
OPTIONS = {"interval": "10min", "warm_up": 24, "events": "calendar", "market": "M"}
BETA = {"M": 1.0, "A": 1.5, "B": 0.5}
CALL = 200  # minutes after the open


def release(number: int, opened: int) -> int | None:
    """An event two hours after the open of every fourth session."""
    return opened + 120 * MINUTE if number % 4 == 3 else None


def make_tables() -> dict[str, pl.DataFrame]:
    """Ten-minute bars of a market and two entities that follow it: twice as wild in the first hour, three times after a
    release; with missing bars, late ones, an entity that begins late, and events that nobody knew of at the open."""
    random, rows, events = np.random.default_rng(5), [], []
    price = dict.fromkeys(BETA, 100.0)
    for number, (day, opened, closed) in enumerate(DAYS.iter_rows()):
        start, end = (int(moment.timestamp()) * SECOND for moment in (opened, closed))
        event = release(number, start)
        if event is not None:
            events.append(("US", "fomc", event, event - 7 * 86_400 * SECOND))
        if number % 5 == 2:
            # announced in the session itself, when what is expected of it has been told
            events.append(("US", "call", start + CALL * MINUTE, start + (CALL - 5) * MINUTE))
        for at in range(start + 10 * MINUTE, end + 1, 10 * MINUTE):
            scale = 1e-3 * (2 if at <= start + 60 * MINUTE else 1)
            busy = event is not None and event < at <= event + 30 * MINUTE
            common = random.normal() * scale * (3 if busy else 1)
            for entity, beta in BETA.items():
                if (entity == "B" and number < 6) or random.random() < 0.03:
                    continue
                opening = price[entity]
                price[entity] *= np.exp(beta * common + random.normal() * 2e-4)
                high, low = max(opening, price[entity]) * 1.0002, min(opening, price[entity]) * 0.9999
                delay = 25 * MINUTE if random.random() < 0.02 else SECOND
                volume = float(random.integers(90, 110)) * (4 if busy else 1)
                rows.append((entity, day, at, at + delay, opening, high, low, price[entity], volume))
    names = ["entity", "session", "event_time", "known_time", "open", "high", "low", "close", "volume"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    clocks = pl.col("event_time", "known_time").cast(TIME)
    calendar = pl.DataFrame(events, schema=["entity", "kind", "event_time", "known_time"], orient="row")
    return {
        "bars": frame.with_columns(clocks).sort("entity", "known_time", "event_time", maintain_order=True),
        "calendar": calendar.with_columns(clocks),
    }


def make_config(bars: Any, **options: Any) -> RunConfig:
    entry = {"files": "x.csv", "timezone": "UTC"}
    return parse(
        {
            "name": "x",
            "entities": sorted(BETA),
            "start": DAYS["session"][0],
            "end": DAYS["session"][-1],
            "sources": {
                "bars": entry | {"kind": "table_file", "table": "bar", "max_age": "30min"},
                "calendar": entry | {"kind": "calendar_file", "kinds": {"fomc": ["Fed"]}, "announced": "7d"},
            },
            "decisions": {"step": "30min", "first": "30min", "delay": "5s"},
            "targets": {"horizons": ["10min"], "primary": "10min"},
            "features": {"bars": bars},
            "volatility": OPTIONS | options,
        }
    )


TABLES = make_tables()
GRID = decision_grid(sorted(BETA), DAYS, make_config("all").decisions)


# of the groups' <time>s only an hour is whole slots of ten minutes
AHEAD = ["bar_expected_variance_20min", "bar_event_multiplier_20min", "bar_time_of_day_ahead_20min"]
EVERY = [*bar.groups(daily=False), *AHEAD]


@pytest.fixture(scope="module")
def made() -> pl.DataFrame:
    return features.build(make_config(EVERY), TABLES, GRID).frame


def of(frame: pl.DataFrame, entity: str, name: str) -> tuple[list[date], np.ndarray, np.ndarray]:
    """Days, minutes since the open, and values of an entity's decisions that have one."""
    part = frame.filter((pl.col("entity") == entity) & pl.col(name).is_not_nan()).join(DAYS, on="session")
    minutes = (part["decision_time"] - part["open"]).dt.total_seconds().to_numpy() / 60
    return part["session"].to_list(), minutes, part[name].to_numpy()


class TestInvariance:
    @pytest.mark.parametrize(
        "options",
        [{}, {"pattern": "fourier"}, {"repeat": True, "interval": "450s"}, {"first": "1h", "last": "30min"}],
    )
    def test_what_was_not_known_changes_nothing(self, options: dict[str, Any], made: pl.DataFrame) -> None:
        config = make_config(["sessions", "diurnal", "bar_forecast_30min"] if options else EVERY, **options)
        whole = features.build(config, TABLES, GRID).frame if options else made
        times = GRID["decision_time"].unique().sort()
        cuts = [times[round(share * (len(times) - 1))] for share in (0.2, 0.5, 0.803, 0.95)]
        # the decision for which a bar had happened and was not known
        late = TABLES["bars"].filter(pl.col("known_time") - pl.col("event_time") > pl.duration(minutes=20))
        late = late.filter(pl.col("session") > DAYS["session"][40])
        cuts.append(next(time for time in times if late["event_time"][0] < time))
        # and one shortly before an event is announced
        cuts.append(times.filter(times < DAYS["open"][42] + timedelta(minutes=CALL - 5))[-1])
        for cut in cuts:
            left = {
                "bars": truncate(TABLES["bars"], "bar", cut),
                "calendar": truncate(TABLES["calendar"], "event", cut),
            }
            opened = DAYS.filter(pl.col("open") <= cut)
            grid = decision_grid(sorted(BETA), opened, config.decisions)
            part = features.build(config, left, grid).frame
            before, after = (frame.filter(pl.col("decision_time") <= cut) for frame in (whole, part))
            assert compare(before, after) == []

    def test_each_entity_alone_gives_the_same(self, made: pl.DataFrame) -> None:
        config = make_config(["technical", "volatility"])
        for entity in BETA:
            # the market's bars are there too, as a partition of one entity has them
            bars = TABLES["bars"].filter(pl.col("entity").is_in([entity, "M"]))
            grid = GRID.filter(pl.col("entity") == entity)
            alone = features.build(config, TABLES | {"bars": bars}, grid).frame
            assert compare(made.filter(pl.col("entity") == entity).select(alone.columns), alone) == []

    def test_every_feature_has_values_to_compare(self, made: pl.DataFrame) -> None:
        cut = DAYS["open"][46]
        names = [name for group in bar.groups(daily=False) for name in bar.names_of(group, VolatilityConfig(**OPTIONS))]
        # a session has 39 bars
        names = [name for name in names if not name.endswith("_50")]
        held = {name: made.filter(pl.col("decision_time") < cut)[name].is_not_nan().sum() for name in names}
        assert {name: count for name, count in held.items() if count < 20} == {}


class TestBadInput:
    @pytest.mark.parametrize("kind", ["no bars", "one bar", "prices that stand still", "no volume", "no market"])
    def test_what_is_not_there_is_missing(self, kind: str) -> None:
        bars, prices = TABLES["bars"], ("open", "high", "low", "close")
        given = {
            "no bars": bars.head(0),
            "one bar": bars.head(1),
            "prices that stand still": bars.with_columns(pl.lit(9.0).alias(name) for name in prices),
            "no volume": bars.with_columns(volume=pl.lit(0.0)),
            "no market": bars.filter(pl.col("entity") != "M"),
        }[kind]
        frame = features.build(make_config("all"), TABLES | {"bars": given}, GRID).frame
        values = frame.select(pl.selectors.float()).to_numpy()
        assert not np.isinf(values).any()
        if kind == "no bars":
            assert np.isnan(frame.select(pl.selectors.starts_with("bar_")).to_numpy()).all()
        if kind == "no volume":
            assert frame["bar_abnormal_volume_30min"].is_nan().all()
        if kind == "no market":
            assert frame["bar_market_beta_1h"].is_nan().all()


class TestSessions:
    def test_measures_of_the_session_before(self, made: pl.DataFrame) -> None:
        kept = in_order(TABLES["bars"], "bar")[0].filter(pl.col("entity") == "A")
        days, _, values = of(made, "A", "bar_previous_variance")
        _, _, shares = of(made, "A", "bar_previous_jump_share")
        known, whole = DAYS["session"].to_list(), 0
        for day, value, share in zip(days, values, shares, strict=True):
            before = kept.filter(pl.col("session") == known[known.index(day) - 1])
            prices = np.concatenate([before["open"].to_numpy()[:1], before["close"].to_numpy()])
            returns = np.diff(np.log(prices))
            if before.height == 39:
                whole += 1
                np.testing.assert_allclose(value, 1e8 * (returns**2).sum(), rtol=1e-9)
                bipower = realised.session_measures(returns, np.array([0, len(returns)])).bipower[0]
                np.testing.assert_allclose(share, max(0.0, 1 - bipower / (returns**2).sum()), rtol=1e-9, atol=1e-12)
        assert whole > 30

    def test_means_over_sessions(self, made: pl.DataFrame) -> None:
        days, _, means = of(made, "M", "bar_variance_of_5")
        by_day = dict(zip(*(of(made, "M", "bar_previous_variance")[k] for k in (0, 2)), strict=True))
        known = sorted(by_day)
        for day, mean in list(zip(days, means, strict=True))[::30]:
            place = known.index(day)
            # the value told on a day is that of the session before it
            np.testing.assert_allclose(mean, np.mean([by_day[d] for d in known[place - 4 : place + 1]]), rtol=1e-9)


class TestTimeOfDayAndEvents:
    def test_the_first_hour_is_wilder(self, made: pl.DataFrame) -> None:
        days, minutes, factor = of(made, "M", "bar_time_of_day_factor")
        late = np.array([day >= DAYS["session"][30] for day in days])
        first, rest = factor[late & (minutes < 60)].mean(), factor[late & (minutes > 60)].mean()
        assert 2.5 < first / rest < 6  # planted: 4

    def test_slots_may_leave_out_the_first_hour(self) -> None:
        frame = features.build(make_config(["diurnal", "sessions"], first="1h", last="30min"), TABLES, GRID).frame
        days, minutes, factor = of(frame, "M", "bar_time_of_day_factor")
        assert minutes.min() > 60
        assert minutes.max() < 360
        late = np.array([day >= DAYS["session"][30] for day in days])
        ends = factor[late & (minutes < 100)].mean() / factor[late & (minutes > 200)].mean()
        assert 0.7 < ends < 1.4
        whole = features.build(make_config(["sessions"]), TABLES, GRID).frame
        less = frame["bar_previous_variance"] / whole["bar_previous_variance"]
        assert 0.4 < less.fill_nan(None).median() < 0.75

    def test_a_release_is_expected_once_it_has_been_seen(self, made: pl.DataFrame) -> None:
        days, minutes, multiplier = of(made, "M", "bar_event_multiplier_20min")
        number = np.array([DAYS["session"].to_list().index(day) for day in days])
        at = (number % 4 == 3) & (abs(minutes - 120) < 1) & (number > 30)
        assert at.sum() >= 5
        assert multiplier[at].min() > 2
        away = (number % 4 != 3) | (minutes < 50)
        np.testing.assert_array_equal(multiplier[away], 1.0)

    def test_realised_over_expected_and_volume_at_a_release(self, made: pl.DataFrame) -> None:
        days, minutes, volume = of(made, "M", "bar_abnormal_volume_30min")
        number = np.array([DAYS["session"].to_list().index(day) for day in days])
        busy = (number % 4 == 3) & (abs(minutes - 150) < 1) & (number > 30)
        # planted: 4 times the volume on every fourth day, which is 4 / 1.75 of what is usual at that time of day
        assert 2.1 < np.median(volume[busy]) < 2.7
        calm = number % 4 != 3
        assert 0.9 < np.median(volume[calm]) < 1.1
        _, _, ratio = of(made, "M", "bar_realised_over_expected_1h")
        assert 0.5 < np.median(ratio) < 1.1

    def test_expected_variance_is_level_times_factor_times_events(self, made: pl.DataFrame) -> None:
        frame = made.filter((pl.col("entity") == "M") & pl.col("bar_expected_variance_20min").is_not_nan())
        day = frame.filter(pl.col("session") == DAYS["session"][47])
        level = day["bar_expected_variance_20min"] / day["bar_event_multiplier_20min"]
        two = day.filter((pl.col("decision_time") - pl.col("decision_time").min()).dt.total_minutes().is_in([60, 90]))
        assert two.height == 2
        share = level / day["bar_time_of_day_ahead_20min"]
        away = (day["bar_event_multiplier_20min"] == 1.0).to_numpy()
        np.testing.assert_allclose(share.to_numpy()[away], share.to_numpy()[away][0], rtol=1e-9)

    def test_expected_variance_is_the_sum_over_the_time_whatever_the_slots(self, made: pl.DataFrame) -> None:
        name = "bar_expected_variance_1h"
        coarse = features.build(make_config([name], interval="30min"), TABLES, GRID).frame
        found = pl.DataFrame({"fine": made[name], "coarse": coarse[name]}).filter(
            pl.all_horizontal(pl.all().is_not_nan())
        )
        assert found.height > 500
        assert 0.85 < found["fine"].sum() / found["coarse"].sum() < 1.15
        # and of the size of the forecast of the same hour
        both = made.filter(pl.col(name).is_not_nan() & pl.col("bar_forecast_1h").is_not_nan())
        assert 0.6 < both[name].sum() / both["bar_forecast_1h"].sum() < 1.6
        # an hour does not fit into the session's last half
        _, minutes, _ = of(made, "M", name)
        assert minutes.max() <= 331

    def test_the_forecast_beats_the_variance_of_the_session_before(self, made: pl.DataFrame) -> None:
        # the forecast of an hour against the variance that came, in logs: time of day and releases are in it
        bars = TABLES["bars"].filter(pl.col("entity") == "M").sort("event_time")
        returns = bars.select("event_time", r=(pl.col("close").log() - pl.col("close").log().shift(1)).over("session"))
        part = made.filter((pl.col("entity") == "M") & pl.col("bar_forecast_1h").is_not_nan())
        part = part.select("decision_time", "bar_forecast_1h", "bar_previous_variance")
        losses: dict[str, list[float]] = {"forecast": [], "before": []}
        for at, forecast, before in part.select(
            "decision_time", "bar_forecast_1h", "bar_previous_variance"
        ).iter_rows():
            ahead = returns.filter((pl.col("event_time") > at) & (pl.col("event_time") <= at + timedelta(hours=1)))[
                "r"
            ].drop_nulls()
            if len(ahead) == 6:
                came = 1e8 * float((ahead**2).sum())
                losses["forecast"].append(came / forecast - np.log(came / forecast) - 1)
                losses["before"].append(came / (before * 6 / 39) - np.log(came / (before * 6 / 39)) - 1)
        assert len(losses["forecast"]) > 100
        assert np.mean(losses["forecast"]) < 0.8 * np.mean(losses["before"])


class TestMarket:
    def test_planted_betas(self, made: pl.DataFrame) -> None:
        for entity, beta in BETA.items():
            _, _, found = of(made, entity, "bar_market_beta_1h")
            assert abs(np.median(found) - beta) < 0.1
        _, _, correlation = of(made, "A", "bar_market_correlation_1h")
        assert np.median(correlation) > 0.9
        assert abs(correlation).max() <= 1 + 1e-12


class TestHistory:
    def test_sessions_before_the_start_are_used_and_make_no_decisions(self, tmp_path: Path) -> None:
        path = tmp_path / "bars.csv"
        TABLES["bars"].drop("session").with_columns(pl.col("event_time", "known_time").dt.epoch("ns")).write_csv(path)
        calendar = tmp_path / "calendar.csv"
        calendar.write_text("name,event_time\nFed,2024-06-12 18:00:00\n")
        names = ["bar_variance_of_5", "bar_time_of_day_factor", "bar_rsi_14_across"]

        def run(start: date, history: int) -> pl.DataFrame:
            config = make_config(names, history=history).model_dump(mode="json", exclude_none=True)
            config["sources"]["bars"] |= {"files": str(path), "time_format": "epoch_ns"}
            config["sources"]["calendar"] |= {"files": str(calendar), "entity": "US"}
            found = parse(config | {"start": start})
            plan = make_plan(found, tmp_path)
            tables = load(plan, ingest(found, lake=tmp_path, plan=plan), lake=tmp_path)
            grid = decision_grid(list(plan.entities), plan.sessions, found.decisions)
            return features.build(found, tables, grid).frame

        start = DAYS["session"][30]
        early, late, bare = run(DAYS["session"][10], 0), run(start, 20), run(start, 0)
        assert late["session"].min() == start
        assert compare(early.filter(pl.col("session") >= start), late) == []
        first = late.filter(pl.col("session") == start)
        assert first["bar_variance_of_5"].is_not_nan().any()
        assert bare.filter(pl.col("session") == start)["bar_variance_of_5"].is_nan().all()
