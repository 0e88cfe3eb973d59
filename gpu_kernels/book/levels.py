"""What every feature of a book shares: its shape, what a missing level is, and the formulas of one level.

Memory order is a contract: books are level-major, (levels, rows) and C-contiguous, level 0 the best, so a best-level
feature reads only its own column. A 1-D array is a book of one level. Prices may be floats or int64 ticks.

A size of 0 says that nothing rests there (`book.rebuild` gives it to a level that is not there): the level adds nothing
and its price is not read. A size of NaN says that nobody knows: what it enters is NaN. The best level of a side is
missing where its size is not above 0 or its price is NaN, and with it every feature that needs a mid-price.

The bodies below are called per row by the loops of the single features and per tile by the fused pass of
`book.fused`, which is why both give the same bits. Constants are float32, so that nothing widens a float32 price.
"""

import math
from typing import Any

import numpy as np

from gpu_kernels._jit import body
from gpu_kernels.dispatch import VALUE_DTYPES, Array, Rows, column, common_device
from gpu_kernels.errors import ArgumentError


@body
def is_missing(bid, bid_size, ask, ask_size):
    """Whether the quote lacks a side or a price."""
    return not (bid_size > np.float32(0) and ask_size > np.float32(0)) or math.isnan(bid) or math.isnan(ask)


@body
def spread_of(bid, bid_size, ask, ask_size):
    return np.float32(np.nan) if is_missing(bid, bid_size, ask, ask_size) else ask - bid


@body
def mid_of(bid, bid_size, ask, ask_size):
    # the distances of the levels are differences to it, so a float32 must not round it
    low, high = np.float64(bid), np.float64(ask)
    return np.nan if is_missing(bid, bid_size, ask, ask_size) else low + (high - low) * 0.5


@body
def weighted_mid_of(bid, bid_size, ask, ask_size):
    # from the bid upwards: the spread is small, so a float32 price loses no digits to the weighting
    if bid_size > np.float32(0) and ask_size > np.float32(0):
        return bid + (ask - bid) * (bid_size / (bid_size + ask_size))
    return np.float32(np.nan)


@body
def weighted_gap_of(bid, bid_size, ask, ask_size):
    if is_missing(bid, bid_size, ask, ask_size):
        return np.float32(np.nan)
    return (ask - bid) * (bid_size / (bid_size + ask_size) - np.float32(0.5))


@body
def imbalance_of(bid, ask):
    return (bid - ask) / (bid + ask) if bid + ask > 0 else np.nan


@body
def near_and_far(bid, bid_size, ask, ask_size, mid):
    """One level's sizes over their distance from the mid, bid minus ask and bid plus ask; and its sizes times their
    distance. One division serves both sides."""
    bids, asks = np.float64(bid_size), np.float64(ask_size)
    below = 1.0 if bids == 0.0 else mid - np.float64(bid)
    above = 1.0 if asks == 0.0 else np.float64(ask) - mid
    area = below * above
    scale = 1.0 / area if area != 0.0 else np.nan
    near_bids, near_asks = bids * above * scale, asks * below * scale
    return near_bids - near_asks, near_bids + near_asks, bids * below + asks * above


@body
def pressure_of(spread, difference, total):
    # a level at the mid or beyond it has no weight that means anything
    return difference / total if spread > 0 else np.nan


@body
def mean_distance_of(spread, weighted, depth):
    return weighted / depth if spread > 0 else np.nan


@body
def level_flow(bid, bid_size, ask, ask_size, bid_before, bid_size_before, ask_before, ask_size_before):
    """Contribution of one change of one level: size that comes to the bid or leaves the ask counts up. A level that is
    not there lies beyond all prices. All selects, no branches, so that the loop around it is vector code."""
    nothing = np.float32(0)
    flow = bid_size if (bid >= bid_before) | (bid_size_before == nothing) else nothing
    flow -= bid_size_before if (bid <= bid_before) | (bid_size == nothing) else nothing
    flow -= ask_size if (ask <= ask_before) | (ask_size_before == nothing) else nothing
    flow += ask_size_before if (ask >= ask_before) | (ask_size == nothing) else nothing
    return flow


@body
def best_flow(bid, bid_size, ask, ask_size, bid_before, bid_size_before, ask_before, ask_size_before):
    """`level_flow` of the best level, which is NaN where it is missing on either row."""
    flow = level_flow(bid, bid_size, ask, ask_size, bid_before, bid_size_before, ask_before, ask_size_before)
    either = is_missing(bid, bid_size, ask, ask_size) | is_missing(
        bid_before, bid_size_before, ask_before, ask_size_before
    )
    return np.float32(np.nan) if either else flow


def level_major(**books: Any) -> tuple[bool, list[Array]]:
    """(on the GPU, the checked books as (levels, rows)), all of one shape; ArgumentError or DeviceError."""
    device = common_device(**books)
    arrays = []
    for name, book in books.items():
        checked = column(name, book, VALUE_DTYPES, ndim=2 if np.ndim(book) == 2 else 1)
        arrays.append(checked if checked.ndim == 2 else checked.reshape(1, len(checked)))
    if len({tuple(array.shape) for array in arrays}) > 1:
        shown = ", ".join(f"{name} {tuple(array.shape)}" for name, array in zip(books, arrays, strict=True))
        raise ArgumentError(f"books of unequal shape (levels, rows): {shown}", allowed="one shape for all")
    if arrays[0].shape[0] == 0:
        raise ArgumentError("books of 0 levels", allowed="1 level or more")
    return device, arrays


def book_rows(offsets: Array, **books: Array) -> tuple[Rows, list[Array]]:
    """The offsets checked against the rows of level-major books, and the books."""
    _, arrays = level_major(**books)
    return Rows(offsets, values={name: book[0] for name, book in zip(books, arrays, strict=True)}), arrays


def exponential_weights(levels: int, decay: float) -> Array:
    """Weights exp(-decay level), level 0 the best: (levels,) float64."""
    weights: Array = np.exp(-decay * np.arange(levels))
    return weights


def linear_weights(levels: int) -> Array:
    """Weights 1 - level / levels, level 0 the best: (levels,) float64."""
    weights: Array = 1.0 - np.arange(levels) / levels
    return weights


def level_weights(weights: object, levels: int) -> Array:
    """The weights checked: 1 to `levels` finite numbers in host memory, as float64; ArgumentError otherwise."""
    checked = np.array(column("weights", np.asarray(weights)), np.float64)
    if not (1 <= len(checked) <= levels and np.isfinite(checked).all()):
        raise ArgumentError(
            f"weights are {checked.tolist()}", allowed=f"1 to {levels} finite numbers, one for each level from the best"
        )
    return checked
