"""Features of how the order book changes: order flow of its levels, and what comes back after a trade."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from fusion.features.book_rows import Book
from fusion.features.book_state import spec
from fusion.features.ticks import SECOND, Array, ratio
from gpu_kernels.book import best, flow, flow_fit
from gpu_kernels.book.intervals import interval_sums
from gpu_kernels.errors import ArgumentError
from gpu_kernels.spec import FeatureSpec

FIT_INTERVAL = SECOND
"""Over which the levels' flows are summed, to find the weights of the integrated one."""

_CONT, _XU = "Cont, Kukanov, Stoikov 2014", "Xu, Gould, Howison 2019"
FEATURES: tuple[FeatureSpec, ...] = (
    spec("book_ofi_<time>", "1", "decayed order-flow imbalance over the mean size of the best level", _CONT),
    spec("book_ofi_levels_<time>", "1", "the same of all levels shown, over the mean size of a level", _XU),
    spec(
        "book_ofi_integrated_<time>",
        "1",
        "the same by the weights of the first principal component of the levels' flows, fitted to the past "
        "(feature_fit)",
        "Cont, Cucuringu, Zhang 2023",
        ", or before the first fit",
    ),
    spec("book_rate_<time>", "1/s", "log(1 + messages a second), decayed"),
)


def formulas(book: Book) -> dict[str, Callable[[int], Array]]:
    """The columns at the decisions, by stem, each a function of its <time> in ns."""
    bid, bid_size, ask, ask_size = shown = book.shown
    one = np.ones(bid.shape[1])

    def mean_size(sizes: Array, half_life: int) -> Array:
        known = np.isfinite(sizes)
        return ratio(book.decayed(sizes, half_life), book.decayed(known.astype(np.float64), half_life))

    def touch(half_life: int) -> Array:
        events = best.order_flow_imbalance(bid[0], bid_size[0], ask[0], ask_size[0], book.ticks.offsets)
        return ratio(book.decayed(events, half_life), mean_size((bid_size[0] + ask_size[0]) / 2, half_life))

    def of_levels(half_life: int) -> tuple[Array, Array]:
        """(levels, decisions) decayed flows, and the mean size of a level."""
        flows = flow.level_flows(*shown, book.ticks.offsets)
        depth = (bid_size.sum(axis=0) + ask_size.sum(axis=0)) / (2 * len(bid_size))
        return np.stack([book.decayed(level, half_life) for level in flows]), mean_size(depth, half_life)

    def levels(half_life: int) -> Array:
        flows, size = of_levels(half_life)
        return ratio(flows.sum(axis=0) / len(flows), size)

    def integrated(half_life: int) -> Array:
        flows, size = of_levels(half_life)
        # decay is linear: the sums of the levels, weighted at the decision, are the weighted flow's sum
        return ratio((_weights(book) * flows).sum(axis=0), size)

    def rate(half_life: int) -> Array:
        logarithm: Array = np.log1p(book.decayed(one, half_life) / (half_life / np.log(2) / 1e9))
        return logarithm

    return {
        "book_ofi": touch,
        "book_ofi_levels": levels,
        "book_ofi_integrated": integrated,
        "book_rate": rate,
    }


def _weights(book: Book) -> Array:
    """(levels, decisions): the levels' weights by the fit that serves each decision; NaN without one."""
    flows = flow.level_flows(*book.shown, book.ticks.offsets)
    weights = np.full((len(flows), len(book.ticks.at)), np.nan)
    for fit, past, offsets in book.fits():
        if len(past) == 0:
            continue
        time = book.ticks.time[past]
        spans = [(time[first], time[stop - 1]) for first, stop in pairwise(offsets)]
        edges = [np.arange(-(-begin // FIT_INTERVAL), end // FIT_INTERVAL + 1) * FIT_INTERVAL for begin, end in spans]
        edge_offsets = np.cumsum([0, *(len(each) for each in edges)])
        # flows that nobody knows leave their interval out
        sums = interval_sums(time, np.ascontiguousarray(flows[:, past]), offsets, np.concatenate(edges), edge_offsets)[
            0
        ]
        try:
            model = flow_fit.fit(sums)
        except ArgumentError:
            continue  # too short a past, or nothing moved
        weights[:, fit.begin : fit.end] = model.weights[:, np.newaxis]
    return weights
