"""Sessions whose variance is level x time of day x event x state, each planted; shares no code with the forecasts."""

from typing import NamedTuple

import numpy as np

from fusion.volatility.bins import SessionBins

STEP = 5 * 60 * 10**9
DAY = 24 * 3600 * 10**9


class Planted(NamedTuple):
    bins: SessionBins
    truth: np.ndarray  # (D, K) the variance that each bin was drawn with
    factor: np.ndarray  # (D, K)
    level: np.ndarray  # (D,) mean variance of a bin
    events: np.ndarray  # ns


def planted(sessions: int = 140, width: int = 24, seed: int = 0, moves: float = 8.0) -> Planted:
    rng = np.random.default_rng(seed)
    place = np.linspace(-1, 1, width)
    factor = 0.6 + 1.2 * place**2
    factor /= factor.mean()
    level = np.zeros(sessions)
    for row in range(1, sessions):
        level[row] = 0.9 * level[row - 1] + 0.3 * rng.normal()
    level = 1e-6 * np.exp(level)
    state = np.zeros((sessions, width))
    for row in range(sessions):
        state[row, 0] = 0.4 * rng.normal()
        for k in range(1, width):
            state[row, k] = 0.9 * state[row, k - 1] + 0.35 * rng.normal()
    opens = DAY * np.arange(1, sessions + 1)
    truth = level[:, None] * factor * np.exp(state)
    on = np.arange(4, sessions, 7)
    truth[on, 15:18] *= moves
    events = opens[on] + 15 * STEP
    fine = rng.normal(size=(sessions, width, 5)) * np.sqrt(truth / 5)[:, :, None]
    variance = (fine**2).sum(axis=2)
    # one session ends early, one begins late
    lengths = np.full(sessions, width)
    lengths[50:51] = width // 2
    variance[50:51, width // 2 :] = np.nan
    variance[80:81, :4] = np.nan
    returns = np.where(np.isfinite(variance), fine.sum(axis=2), np.nan)
    ranges = variance * rng.uniform(0.8, 1.2, variance.shape)
    bins = SessionBins(opens, opens + lengths * STEP, STEP, returns, variance, ranges)
    return Planted(bins, truth, np.tile(factor, (sessions, 1)), level, events)
