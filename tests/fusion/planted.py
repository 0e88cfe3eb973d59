"""Small markets whose truth is known, for the tests of the fusion science."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from sources.schema import TIME

MINUTE = 60 * 10**9
PRIMARY = 15 * MINUTE


def trading_days(count: int, start: date = date(2020, 1, 6)) -> list[date]:
    days, day = [], start
    while len(days) < count:
        if day.weekday() < 5:
            days.append(day)
        day += timedelta(days=1)
    return days


def session_table(count: int, *, minutes: int = 120, early: int | None = None) -> pl.DataFrame:
    """Sessions that open at 14:30 UTC; every `early`-th closes after half the minutes."""
    rows = []
    for i, day in enumerate(trading_days(count)):
        opened = datetime.combine(day, time(14, 30), tzinfo=UTC)
        length = minutes // 2 if early and i % early == early - 1 else minutes
        rows.append((day, opened, opened + timedelta(minutes=length)))
    return pl.DataFrame(rows, schema={"session": pl.Date, "open": TIME, "close": TIME}, orient="row")


def decisions(sessions: pl.DataFrame, entities: list[str], step_minutes: int = 5) -> pl.DataFrame:
    """A grid from 15 minutes after the open to 15 before the close."""
    rows = []
    for entity in sorted(entities):
        for day, opened, close in sessions.select("session", "open", "close").iter_rows():
            at = opened + timedelta(minutes=15)
            while at <= close - timedelta(minutes=15):
                rows.append((entity, day, at))
                at += timedelta(minutes=step_minutes)
    return pl.DataFrame(
        rows, schema={"entity": pl.String, "session": pl.Date, "decision_time": TIME}, orient="row"
    ).sort("entity", "decision_time")


@dataclass(frozen=True)
class Planted:
    """sessions, features, labels, observations of the regime, and the true regime of each session."""

    sessions: pl.DataFrame
    features: pl.DataFrame
    labels: pl.DataFrame
    observations: pl.DataFrame
    regime: np.ndarray

    def until(self, cut: datetime) -> "Planted":
        """What was known at `cut`: later decisions, labels and observations are gone."""
        at = pl.lit(cut, dtype=TIME)
        known = pl.col("label_end_15min") <= at
        return Planted(
            self.sessions.filter(pl.col("open") <= at),
            self.features.filter(pl.col("decision_time") <= at),
            self.labels.filter(pl.col("decision_time") <= at).with_columns(
                pl.when(known).then(pl.col(name)).alias(name) for name in ("return_15min", "label_end_15min")
            ),
            self.observations.filter(pl.col("time") <= at),
            self.regime,
        )


def planted(
    seed: int,
    *,
    sessions: int = 60,
    entities: int = 3,
    noise_features: int = 4,
    effect: float = 0.5,
    missing: float = 0.0,
    stay: float = 0.9,
) -> Planted:
    """Two regimes over sessions. `calm` drives the return in regime 0, `bent` (through its square) in regime 1 and
    `always`, in both; noise_0.. drive nothing. With effect 0 nothing drives anything."""
    rng = np.random.default_rng(seed)
    table = session_table(sessions)
    grid = decisions(table, [f"E{i}" for i in range(entities)], 10)
    regime = np.zeros(sessions, dtype=np.int64)
    for s in range(1, sessions):
        regime[s] = regime[s - 1] if rng.random() < stay else 1 - regime[s - 1]
    days = table["session"].to_list()
    of = dict(zip(days, regime, strict=True))
    z = np.array([of[day] for day in grid["session"]])
    n = grid.height
    names = ["always", "bent", "calm", *(f"noise_{i}" for i in range(noise_features))]
    x = {name: rng.standard_normal(n) for name in names}
    drive = 0.5 * x["always"] + np.where(z == 0, x["calm"], x["bent"] + 0.3 * (x["bent"] ** 2 - 1))
    returns = 1e-3 * (effect * drive + rng.standard_normal(n))
    features = grid.with_columns(
        pl.Series(name, np.where(rng.random(n) < missing, np.nan, values)) for name, values in x.items()
    )
    end = pl.col("decision_time") + pl.duration(nanoseconds=15 * MINUTE)
    labels = grid.with_columns(pl.Series("return_15min", returns), end.alias("label_end_15min"))
    times = grid.select("session", "decision_time").unique().sort("decision_time")
    level = np.array([of[day] for day in times["session"]])
    stress = rng.normal(np.where(level == 0, -1.0, 2.0), 1.0)
    observations = times.rename({"decision_time": "time"}).with_columns(pl.Series("stress", stress))
    return Planted(table, features, labels, observations, regime)
