"""Forecasts beside each other: mean losses over the rows that all of them have, and the test of each against one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion.volatility.losses import (
    DieboldMariano,
    by_session,
    confidence_set,
    diebold_mariano,
    log_error,
    mean_interval,
    qlike,
    squared_error,
)
from gpu_kernels.errors import ArgumentError, DataError

Floats = NDArray[np.float64]

LEAST_VARIANCE = 1e-10
"""Stands in ln(realised / forecast) for a realised variance below it, that of a move of a tenth of a basis point: it
moves the level of QLIKE and no difference."""


@dataclass(frozen=True)
class Score:
    """A forecast's mean losses, and the reference's less its own.

    qlike, mse, log_mae   mse in returns to the fourth power
    difference            of QLIKE, reference less this one: below 0 where the reference is better; low, high its 95 %
                          interval over blocks of sessions
    test, mse_test        Diebold-Mariano of the QLIKE and squared-error differences summed by session
    kept                  whether it is in the 90 % model confidence set by QLIKE; None where none was made
    """

    name: str
    rows: int
    sessions: int
    qlike: float
    mse: float
    log_mae: float
    difference: float
    low: float
    high: float
    test: DieboldMariano
    mse_test: DieboldMariano
    kept: bool | None


def compare(
    forecasts: Mapping[str, Floats],
    realised: Floats,
    reference: str,
    *,
    where: NDArray[np.bool_] | None = None,
    horizon: int = 1,
    confidence: bool = False,
    draws: int = 1000,
) -> list[Score]:
    """Scores of forecasts (D, K) of a realised variance (D, K), D sessions, in the order given.

    where    rows to be judged; none: all
    horizon  in sessions, of forecasts that overlap over sessions (see `diebold_mariano`)
    confidence  make the model confidence set too, of mean losses by session

    Missing values: rows in which any forecast or the realised variance is missing are left out, for all.
    Raises: ArgumentError for a reference that is none of them; DataError where no row is left.
    """
    if reference not in forecasts:
        raise ArgumentError(f"reference {reference!r}", allowed=", ".join(forecasts))
    rows = np.isfinite(realised) if where is None else np.isfinite(realised) & where
    for forecast in forecasts.values():
        rows = rows & np.isfinite(forecast)
    if not rows.any():
        raise DataError("no row has every forecast and its target", hint="more sessions, or a shorter warm-up")
    session = np.broadcast_to(np.arange(len(realised))[:, None], realised.shape)[rows]
    target = realised[rows]
    losses = {name: qlike(target, forecast[rows], LEAST_VARIANCE) for name, forecast in forecasts.items()}
    squares = {name: squared_error(target, forecast[rows]) for name, forecast in forecasts.items()}
    kept = None
    if confidence:
        count = by_session(np.ones(len(target)), session)
        kept = confidence_set({name: by_session(loss, session) / count for name, loss in losses.items()}, draws=draws)
    found = []
    for name, loss in losses.items():
        difference = losses[reference] - loss
        low, high = mean_interval(difference, session, draws=draws)
        found.append(
            Score(
                name,
                len(target),
                len(np.unique(session)),
                float(loss.mean()),
                float(squares[name].mean()),
                float(np.nanmean(log_error(np.maximum(target, LEAST_VARIANCE), forecasts[name][rows]))),
                float(difference.mean()),
                low,
                high,
                diebold_mariano(by_session(difference, session), horizon),
                diebold_mariano(by_session(squares[reference] - squares[name], session), horizon),
                None if kept is None else name in kept,
            )
        )
    return found
