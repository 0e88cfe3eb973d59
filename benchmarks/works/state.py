"""Calls of the kernels of the state of a book: its touch, its shape, what a trade would meet."""

import numpy as np

from benchmarks.works.data import Data, Work
from gpu_kernels.book import depth, levels, state

LEVELS = 10


def deep_books(data: Data) -> tuple[np.ndarray, ...]:
    """bid price, bid size, ask price, ask size, each (10, rows): prices leave gaps, some books end early, some
    lack a side, some sizes are not known, some touches are locked."""
    rng, rows = data.rng("deep_books"), data.rows
    middle = 4096 + np.cumsum(rng.integers(-1, 2, rows))
    spread = np.where(rng.random(rows) < 0.02, 0, rng.integers(1, 4, rows))
    steps = rng.integers(1, 3, (2, LEVELS, rows)).cumsum(axis=1) - 1
    # a power of two, so that a float32 holds each price exactly
    prices = (middle - steps[0]) / 64, (middle + spread + steps[1]) / 64
    sizes = rng.integers(2, 60, (2, LEVELS, rows)).astype(float)
    ends = np.where(rng.random((2, rows)) < 0.1, rng.integers(0, LEVELS + 1, (2, rows)), LEVELS)
    gone = np.arange(LEVELS)[None, :, None] >= ends[:, None, :]
    sizes[gone] = 0.0
    sizes[:, :, rng.random(rows) < 0.02] = np.nan
    sizes[rng.random(sizes.shape) < 0.003] = np.nan
    prices[0][rng.random(prices[0].shape) < 0.003] = np.nan
    sides = [np.where(gone[k], -1.0, prices[k]) for k in range(2)]
    return tuple(array.astype(data.dtype) for array in (sides[0], sizes[0], sides[1], sizes[1]))


def works(data: Data) -> list[Work]:
    books = deep_books(data)
    touches = tuple(book[0] for book in books)
    return [
        Work(state.touch, books, {}),
        Work(state.shape, books, {}),
        Work(state.shape, touches, {}),
        Work(state.weighted_imbalance, (books[1], books[3]), {"weights": levels.exponential_weights(10, 0.5)}),
        Work(state.weighted_imbalance, (books[1], books[3]), {"weights": levels.linear_weights(4)}),
        Work(depth.depth_within, books, {"bps": 10.0}),
        Work(depth.slope, books, {"lot": 1.0}),
        Work(depth.cost_to_trade, books, {"size": 150}),
    ]
