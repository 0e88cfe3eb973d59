"""The path of regimes, the macro series that reads it, and the calendar of scheduled events."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.schema import TIME
from sources.simulate.config import SimulationConfig
from sources.simulate.draws import Stream, normal, words
from sources.simulate.effects import CALM, STRESS

HISTORY = 250
AHEAD = 60
NEW_YORK = ZoneInfo("America/New_York")
COUNTRY = "US"
POLICY_NAME = "Policy rate decision"

# (shortest stay, how many lengths) in sessions: 20 to 32 calm, 16 to 26 stressed
_STAY = {CALM: (20, 13), STRESS: (16, 11)}
_STRESS_MEAN = {CALM: 20.0, STRESS: 30.0}
_STRESS_NOISE = 4.0
_MINUTE = 60 * 10**9
_DAY = 1440 * _MINUTE


def regimes(config: SimulationConfig) -> NDArray[np.int64]:
    """0 (calm) or 1 (stress) of each session, the `HISTORY` sessions before the market first.

    A two-state chain whose stays are uniform on the lengths of `_STAY`: with geometric stays, many seeds would give
    eighty sessions of hardly more than one regime, and nothing could be tested on them.
    """
    total = HISTORY + config.sessions
    state, path = CALM, np.empty(0, dtype=np.int64)
    for drawn in words(config.seed, Stream.REGIME, count=total):
        shortest, lengths = _STAY[state]
        path = np.append(path, np.full(shortest + int(drawn) % lengths, state))
        state = STRESS if state == CALM else CALM
        if len(path) >= total:
            break
    return path[:total]


def macro_table(config: SimulationConfig, path: NDArray[np.int64]) -> pl.DataFrame:
    """Vintages of the macro series: entity, metric, reference_date, released, value.

    stress        daily; the reading of a session is released 90 minutes after its close and tells, with noise, the
                  regime of the NEXT session (mean 20 calm, 30 stress, noise 4). One in five is revised a little, 2 to
                  6 days later.
    retail_sales  monthly growth in percent, released about the 14th of the next month, revised one and two months
                  after. A decoy: it drives nothing.
    """
    schedule = config.schedule(before=HISTORY)
    closes = schedule["close"].to_physical().to_numpy()
    count = schedule.height
    drawn = words(config.seed, Stream.MACRO, count=9 * count).reshape(9, count)
    # a reading looks ahead by one session; the last one has nothing to look at, so it repeats its own
    upcoming = np.append(path[1:], path[-1])
    mean = np.where(upcoming == STRESS, _STRESS_MEAN[STRESS], _STRESS_MEAN[CALM])
    first = np.rint(100 * (mean + _STRESS_NOISE * normal(drawn[:3].ravel())))
    second = np.rint(first + 60 * normal(drawn[3:6].ravel()))
    revised = np.flatnonzero(drawn[6] % 5 == 0)
    days = schedule["session"].to_numpy()
    released = np.concatenate([closes + 90 * _MINUTE, (closes + (2 + drawn[7] % 5) * _DAY + 80 * _MINUTE)[revised]])
    stress = pl.DataFrame(
        {
            "entity": COUNTRY,
            "metric": "stress",
            "reference_date": np.concatenate([days, days[revised]]),
            "released": pl.Series(released).cast(TIME),
            "value": np.concatenate([first, second[revised]]) / 100.0,
        }
    )
    return pl.concat([stress, _retail_sales(config, schedule["session"][0], schedule["session"][-1])]).sort(
        "released", maintain_order=True
    )


def _retail_sales(config: SimulationConfig, first: date, last: date) -> pl.DataFrame:
    rows, month, index = [], first.replace(day=1), 0
    while month <= last:
        drawn = words(config.seed, Stream.MACRO, 1, index, count=9)
        changes = [40 * value for value in normal(drawn)]
        following = (month + timedelta(days=32)).replace(day=1)
        reference, value, release = following - timedelta(days=1), 30.0, following + timedelta(days=13)
        for change in changes:
            value += change
            rows.append((COUNTRY, "retail_sales", reference, _utc(release, time(8, 30)), float(np.rint(value)) / 100.0))
            release = (release + timedelta(days=32)).replace(day=14)
        month, index = following, index + 1
    schema = {
        "entity": pl.String(),
        "metric": pl.String(),
        "reference_date": pl.Date(),
        "released": TIME,
        "value": pl.Float64(),
    }
    # what is released after the simulated market is not part of the file
    end = _utc(last, time(20))
    return pl.DataFrame([row for row in rows if row[3] <= end], schema=schema, orient="row")


def calendar_table(config: SimulationConfig) -> pl.DataFrame:
    """Scheduled events: scheduled, name, announced. Some lie before and after the market, so that both the time since
    the last and to the next are known throughout; names other than the policy decision are there to be left out."""
    schedule = config.schedule(before=AHEAD, after=AHEAD)
    days: list[date] = list(schedule["session"])
    closes: list[datetime] = list(schedule["close"])
    rows = []
    for number, start in enumerate(range(0, len(days) - 8, 20)):
        drawn = [int(word) for word in words(config.seed, Stream.CALENDAR, number, count=3)]
        for offset, name, at in (
            (9 + drawn[0] % 4, POLICY_NAME, time(14)),
            (2 + drawn[1] % 3, "Policy meeting minutes", time(14)),
            (15 + drawn[2] % 3, "Consumer confidence survey", time(10)),
        ):
            index = min(start + offset, len(days) - 1)
            scheduled = _utc(days[index], at)
            # nothing is decided in the last hours of a half day
            while closes[index] <= scheduled + timedelta(hours=1) and index + 1 < len(days):
                index += 1
                scheduled = _utc(days[index], at)
            rows.append((scheduled, name, _utc(days[index] - timedelta(days=90), time(9))))
    schema = {"scheduled": TIME, "name": pl.String(), "announced": TIME}
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .unique(["scheduled", "name"], keep="first")
        .sort("scheduled", "name")
    )


def _utc(day: date, at: time) -> datetime:
    return datetime.combine(day, at, NEW_YORK).astimezone(ZoneInfo("UTC"))
