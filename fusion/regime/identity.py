"""Which state of a refit is which of the refit before: what selection, learning and signals call regime 0 stays that.

The distance of two states is Hellinger's between their normal distributions,

    H^2 = 1 - |A|^(1/4) |B|^(1/4) / |(A + B) / 2|^(1/2) exp(-(a - b)' ((A + B) / 2)^-1 (a - b) / 8)

and of all ways to pair the states the one with the least sum of H^2 is taken (Hungarian assignment). It does not depend
on the inputs' units. Distributions are compared, not probabilities over the past: they tell states apart that the past
hardly visited, and they can be compared for a stored model too.
"""

import numpy as np
from numpy.typing import NDArray

from fusion.regime.em import Parameters
from fusion.regime.model import Floats


def square_hellinger(a: Parameters, b: Parameters) -> Floats:
    """(K of a, K of b) squared Hellinger distances of the states' normal distributions, 0 to 1."""
    middle = (a.covariance[:, None] + b.covariance[None]) / 2
    apart = a.mean[:, None] - b.mean[None]
    logs = (np.linalg.slogdet(of)[1] for of in (a.covariance, b.covariance, middle))
    log_a, log_b, log_middle = logs
    square = np.einsum("abi,abi->ab", apart, np.linalg.solve(middle, apart[..., None])[..., 0])
    affinity = (log_a[:, None] + log_b[None]) / 4 - log_middle / 2 - square / 8
    distance: Floats = 1.0 - np.exp(np.minimum(affinity, 0.0))
    return distance


def order_by_first_input(new: Parameters) -> NDArray[np.int64]:
    """States by the mean of the first input, lowest first: where there is nothing to match with."""
    return np.argsort(new.mean[:, 0], kind="stable")


def order_by_match(new: Parameters, before: Parameters) -> NDArray[np.int64]:
    """(K,): the new model's state that is state k of the one before, for equal K."""
    from scipy.optimize import linear_sum_assignment

    # states in the order of the first input, so that of equally good ways the same one is taken whatever EM's order
    order = order_by_first_input(new)
    _, matched = linear_sum_assignment(square_hellinger(before, new.ordered(order)))
    return order[matched]
