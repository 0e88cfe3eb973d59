"""What the planted effects amount to: rank ICs of the true drivers, in integers as far as they go.

The IC of a session is Spearman's rank correlation, over all entities and decisions of the session, of a driver with the
return of the next minutes; an effect's IC is the mean over sessions, t its mean over its standard error.
"""

from math import sqrt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sources.simulate.effects import PRESSURE, REGIMES, STEPS_PER_MINUTE, SURPRISE, TONE
from sources.simulate.paths import Path

HORIZONS = (5, 15, 30)
_FIRST, _STEP = 15, 5  # minutes after the open, and between decisions


def rank_ics(walked: list[Path], sessions: pl.DataFrame) -> pl.DataFrame:
    """effect, regime, horizon_minutes, ic, t_stat, sessions: one row for each where there are sessions of the regime.

    ic is null where the driver or the return never differs; t_stat is null below three sessions.
    """
    rows = []
    for effect in (PRESSURE, TONE, SURPRISE):
        for state, regime in enumerate(REGIMES):
            for minutes in HORIZONS:
                found = []
                for index in range(sessions.height):
                    chosen = [
                        path
                        for path in walked
                        if path.session == index
                        and path.regime == state
                        and (effect is not SURPRISE or path.entity.kind == SURPRISE.entities)
                    ]
                    ic = _session_ic(chosen, effect.driver, minutes)
                    if ic is not None:
                        found.append(ic)
                if found:
                    rows.append((effect.name, regime, minutes, *mean_and_t(found), len(found)))
    schema = {
        "effect": pl.String,
        "regime": pl.String,
        "horizon_minutes": pl.Int64,
        "ic": pl.Float64,
        "t_stat": pl.Float64,
        "sessions": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def mean_and_t(values: list[float]) -> tuple[float, float | None]:
    """Mean and t statistic of a list; the latter None below three values or without variance."""
    count = len(values)
    mean = sum(values) / count
    variance = sum((value - mean) * (value - mean) for value in values) / max(count - 1, 1)
    return mean, mean / sqrt(variance / count) if count > 2 and variance > 0 else None


def _session_ic(walked: list[Path], driver: str, minutes: int) -> float | None:
    drivers, returns = [], []
    for path in walked:
        length = len(path.ticks) // STEPS_PER_MINUTE
        at = STEPS_PER_MINUTE * np.arange(_FIRST, length - minutes + 1, _STEP) - 1
        now, then = path.ticks[at], path.ticks[at + STEPS_PER_MINUTE * minutes]
        drivers.append(getattr(path, driver)[at])
        returns.append((2 * (then - now)) / (2 * now + 1))
    return None if not drivers else spearman(np.concatenate(drivers), np.concatenate(returns))


def spearman(left: NDArray[np.float64], right: NDArray[np.float64]) -> float | None:
    """Rank correlation with average ranks for ties, from integer sums; None where one side is constant."""
    a, b, count = _double_ranks(left), _double_ranks(right), len(left)
    sum_a, sum_b = int(a.sum()), int(b.sum())
    covariance = count * int((a * b).sum()) - sum_a * sum_b
    variance_a = count * int((a * a).sum()) - sum_a * sum_a
    variance_b = count * int((b * b).sum()) - sum_b * sum_b
    if variance_a == 0 or variance_b == 0:
        return None
    return covariance / (sqrt(variance_a) * sqrt(variance_b))


def _double_ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Twice the average rank, which is whole."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((2 * ends - counts + 1)[group], dtype=np.int64)
