"""Scores and returns of a simulated market with clustered volatility, for the tests of intervals and probabilities."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
from planted import decisions, session_table

from fusion.settlement import Settlement, settlement
from sources.schema import TIME

LABEL = ("return_15min", "label_end_15min")


@dataclass(frozen=True)
class Forecast:
    """sessions, decisions (score, volatility, probability_0, probability_1), labels, and the sessions of the refits."""

    sessions: pl.DataFrame
    decisions: pl.DataFrame
    labels: pl.DataFrame
    refits: list[date]

    def settles(self, embargo: int = 1) -> Settlement:
        return settlement(self.decisions, self.labels, self.sessions, LABEL, embargo)

    def until(self, cut: datetime) -> "Forecast":
        """What was known at `cut`."""
        at = pl.lit(cut, dtype=TIME)
        known = pl.col(LABEL[1]) <= at
        sessions = self.sessions.filter(pl.col("open") <= at)
        return replace(
            self,
            sessions=sessions,
            decisions=self.decisions.filter(pl.col("decision_time") <= at),
            labels=self.labels.filter(pl.col("decision_time") <= at).with_columns(
                pl.when(known).then(pl.col(name)).alias(name) for name in LABEL
            ),
            refits=[day for day in self.refits if day in set(sessions["session"])],
        )


def forecast_market(
    seed: int, *, sessions: int = 60, entities: int = 2, skill: float = 0.2, drift: float = 0.0, holes: float = 0.05
) -> Forecast:
    """Volatility is autoregressive in logs over sessions and higher early in each; `volatility` measures it with noise.

    skill   correlation of score and return inside a session
    drift   growth of log volatility from the first session to the last, of which `volatility` knows nothing
    holes   share of scores, volatilities and labels that are missing; as many labels come days late
    """
    rng = np.random.default_rng(seed)
    table = session_table(sessions)
    grid = decisions(table, [f"E{i}" for i in range(entities)], 10)
    place = {day: number for number, day in enumerate(table["session"].to_list())}
    day = np.array([place[session] for session in grid["session"]])
    level = np.zeros(sessions)
    for s in range(1, sessions):
        level[s] = 0.9 * level[s - 1] + 0.3 * rng.standard_normal()
    opened = grid.select("session").join(table, on="session", how="left", maintain_order="left")["open"]
    minutes = (grid["decision_time"] - opened).dt.total_minutes().to_numpy()
    known = 1e-3 * np.exp(0.5 * level[day] + 0.5 * (minutes < 45))
    true = known * np.exp(drift * day / sessions)
    score = rng.standard_normal(len(day))
    # fat tails, as returns have them
    noise = rng.standard_t(5, len(day)) / np.sqrt(5 / 3)
    returns = true * (skill * score + np.sqrt(1 - skill**2) * noise)
    regime = 1 / (1 + np.exp(-level[day]))

    def with_holes(values: np.ndarray) -> np.ndarray:
        return np.where(rng.random(len(values)) < holes, np.nan, values)

    late = np.where(rng.random(len(day)) < holes, 3 * 24 * 60, 15)
    value = with_holes(returns)
    end = [
        None if np.isnan(y) else time + timedelta(minutes=int(wait))
        for y, time, wait in zip(value, grid["decision_time"].to_list(), late, strict=True)
    ]
    return Forecast(
        table,
        grid.with_columns(
            pl.Series("score", with_holes(skill * known * score)).fill_nan(None),
            pl.Series("volatility", with_holes(known * np.exp(0.2 * rng.standard_normal(len(day))))).fill_nan(None),
            pl.Series("probability_0", 1 - regime),
            pl.Series("probability_1", regime),
        ),
        grid.with_columns(pl.Series(LABEL[0], value).fill_nan(None), pl.Series(LABEL[1], end, dtype=TIME)),
        table["session"].to_list()[::10],
    )
