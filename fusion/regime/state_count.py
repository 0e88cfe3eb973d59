"""How many states: by one-step predictions of observations that the fit had not seen.

Blocked forward validation: the later half of the past is cut into 4 blocks; before each one a model is fitted to all
that lies before, and the block's rows are predicted one step ahead by the filter,

    held_out(K) = mean of log p(x_t | x_1..x_{t-1}; parameters fitted before t's block)

The number taken is the smallest K whose held_out is within one standard error of the best one's, the error being that
of the mean of the paired differences (Breiman, Friedman, Olshen & Stone 1984): a state must earn its place. Differences
of one-step log predictive densities are nearly uncorrelated, so that their plain error is used.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fusion.regime import em
from fusion.regime.config import RegimeConfig
from fusion.regime.model import Floats, complete_rows

_BLOCKS = 4


@dataclass(frozen=True)
class StateCount:
    """`held_out`: mean log predictive density per observation, in input units, of each K that could be fitted."""

    states: int
    held_out: dict[int, float]


def choose(x: Floats, config: RegimeConfig) -> StateCount:
    """The number of states for the past x (T, D), from the config's range; its least number where nothing can be
    compared (fewer than 20 complete rows a state, or an input that is constant before a block).

    Missing values: a row with a missing input is neither fitted nor predicted.
    """
    least, most = config.state_range
    densities = {
        states: found for states in range(least, most + 1) if (found := _predicted(x, states, config)) is not None
    }
    held_out = {states: float(found.mean()) for states, found in densities.items()}
    if not densities:
        return StateCount(least, {})
    best = max(held_out, key=lambda states: (held_out[states], -states))
    for states in sorted(densities):
        behind = densities[best] - densities[states]
        if behind.mean() <= behind.std() / np.sqrt(len(behind)):
            return StateCount(states, held_out)
    raise AssertionError("the best is no worse than itself")


def _predicted(x: Floats, states: int, config: RegimeConfig) -> Floats | None:
    """Log predictive density of each complete row of the later half, or None where some block cannot be predicted."""
    rows = np.flatnonzero(complete_rows(x))
    bounds = [len(rows) // 2 + (len(rows) - len(rows) // 2) * block // _BLOCKS for block in range(_BLOCKS + 1)]
    densities = []
    for begin, end in pairwise(bounds):
        if begin < 10 * states or begin == end:
            return None
        past = x[: rows[begin]]
        if (np.ptp(past[complete_rows(past)], axis=0) == 0).any():
            return None
        parameters = em.fit(past, states, config).parameters
        _, density = em.filtered(x[: rows[end - 1] + 1], parameters)
        densities.append(density[rows[begin:end]])
    return np.concatenate(densities)
