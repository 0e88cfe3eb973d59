"""The hard label of the regime: a state must lead for a while before it is one, so that the label does not flicker.

The label is held until another state has been the likeliest at `dwell` observations in a row, or its probability is
greater than `switch_probability`. It uses the past alone, and the filtered probabilities stay as they are beside it.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fusion.regime.model import Floats


def held(
    probability: Floats, dwell: int, switch_probability: float, anew: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """(T,) the regime at each row, from filtered probabilities (T, K).

    anew (T,): rows at which the states were numbered anew: there the likeliest is taken at once, as at the first row.
    Missing values: a row with a NaN has -1, and the next one begins as the first row does.
    """
    fresh = np.zeros(len(probability), np.bool_) if anew is None else anew
    label: NDArray[np.int64] = _held(np.ascontiguousarray(probability), dwell, switch_probability, fresh)
    return label


@njit(cache=True)
def _held(probability, dwell, switch_probability, anew):  # type: ignore[no-untyped-def]
    rows, states = probability.shape
    label = np.full(rows, -1, np.int64)
    now, leader, lead = -1, -1, 0
    for t in range(rows):
        missing = False
        for k in range(states):
            missing |= np.isnan(probability[t, k])
        if missing or anew[t]:
            now, leader, lead = -1, -1, 0
        if missing:
            continue
        top = max(now, 0)  # of equals the one that is held
        for k in range(states):
            if probability[t, k] > probability[t, top]:
                top = k
        if top == now:
            leader, lead = -1, 0
        else:
            lead = lead + 1 if top == leader else 1
            leader = top
            if now == -1 or lead >= dwell or probability[t, top] > switch_probability:
                now, leader, lead = top, -1, 0
        label[t] = now
    return label
