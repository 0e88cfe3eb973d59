"""Features of the order book as it stands: its touch, what rests behind it, and what a trade would cost."""

from collections.abc import Callable

import numpy as np

from fusion.features.book_rows import Book
from fusion.features.ticks import BPS, Array, ratio
from gpu_kernels.book import best, depth, micro_price, micro_price_fit, state
from gpu_kernels.book.levels import exponential_weights
from gpu_kernels.errors import ArgumentError
from gpu_kernels.spec import FeatureSpec

WEIGHT_DECAY = 0.5
"""Of book_imbalance_weighted: a level counts exp(-0.5) of the one before it."""

MISSING = "while a side of the book is empty, after lost messages until a snapshot, or no update known within max_age"


def spec(name: str, unit: str, meaning: str, source: str = "definition", missing: str = "") -> FeatureSpec:
    return FeatureSpec(name, "book", unit, "each book update", meaning, MISSING + missing, source)


_CONT, _CAO = "Cont, Kukanov, Stoikov 2014", "Cao, Hansch, Wang 2009"
_THIN = ", or the levels shown hold less"
FEATURES: tuple[FeatureSpec, ...] = (
    spec("book_spread", "bps", "(best ask - best bid) / mid"),
    spec("book_imbalance_1", "1", "(bid size - ask size) / (bid size + ask size) at the best level", _CONT),
    spec("book_imbalance_5", "1", "the same over the sums of the best five levels", _CAO),
    spec("book_imbalance_10", "1", "the same over the sums of the best ten levels", _CAO),
    spec(
        "book_imbalance_weighted",
        "1",
        f"the same of all levels shown, each weighing exp(-{WEIGHT_DECAY}) of the one before it",
        "Cartea, Donnelly, Jaimungal 2018",
    ),
    spec("book_microprice_gap", "bps", "size-weighted mid over mid, minus 1", "Gatheral, Oomen 2010"),
    spec(
        "book_stoikov_gap",
        "bps",
        "micro-price over mid, minus 1: where the mid is to settle given spread and imbalance, fitted to the past "
        "(feature_fit)",
        "Stoikov 2018",
        ", before the first fit, or the state was not seen enough",
    ),
    spec("book_depth_5", "1", "log of the size on the best five levels of both sides"),
    spec("book_depth_near", "1", "log of the size within `depth_bps` of the mid, both sides, as far as levels show it"),
    spec("book_imbalance_near", "1", "(bids - asks) / both of that size", missing=", or nothing rests there"),
    spec("book_pressure", "1", "imbalance of all levels shown, each size over its distance from the mid", _CAO),
    spec("book_distance", "bps", "mean distance from the mid of what rests on the levels shown"),
    spec(
        "book_slope",
        "1",
        "log of the mean relative growth of depth with relative distance from the mid",
        "Naes, Skjeltorp 2006",
    ),
    spec("book_cost_buy", "bps", "mean price of buying `cost_size` at once over the mid", missing=_THIN),
    spec("book_cost_sell", "bps", "mid over the mean price of selling `cost_size` at once", missing=_THIN),
)
NEEDS_SIZE = ("book_cost_buy", "book_cost_sell")


def plain(book: Book) -> dict[str, Callable[[], Array]]:
    """The columns at the decisions."""
    bid, bid_size, ask, ask_size = shown = book.shown

    def take(values: Array) -> Array:
        return np.where(book.is_whole, book.ticks.take(values), np.nan)

    def imbalance(levels: int) -> Callable[[], Array]:
        return lambda: take(best.imbalance(bid_size, ask_size, levels=levels))

    def near(of: Callable[[Array, Array], Array]) -> Callable[[], Array]:
        return lambda: take(of(*depth.depth_within(*shown, bps=book.settings.depth_bps)))

    def cost(side: int) -> Callable[[], Array]:
        def formula() -> Array:
            assert book.settings.cost_size is not None  # features that need it are refused without
            return take(depth.cost_to_trade(*shown, size=book.settings.cost_size)[side])

        return formula

    weights = exponential_weights(book.settings.levels, WEIGHT_DECAY)
    return {
        "book_spread": lambda: take((ask[0] - bid[0]) / book.mid) * BPS,
        "book_imbalance_1": imbalance(1),
        "book_imbalance_5": imbalance(5),
        "book_imbalance_10": imbalance(10),
        "book_imbalance_weighted": lambda: take(state.weighted_imbalance(bid_size, ask_size, weights=weights)),
        "book_microprice_gap": lambda: take(state.touch(*shown)[2] / book.mid) * BPS,
        "book_stoikov_gap": lambda: _stoikov(book),
        "book_depth_5": lambda: take(np.log1p(bid_size[:5].sum(axis=0) + ask_size[:5].sum(axis=0))),
        "book_depth_near": near(lambda bids, asks: np.log1p(bids + asks)),
        "book_imbalance_near": near(lambda bids, asks: ratio(bids - asks, bids + asks)),
        "book_pressure": lambda: take(state.shape(*shown)[1]),
        "book_distance": lambda: take(state.shape(*shown)[2] / book.mid) * BPS,
        "book_slope": lambda: take(_logarithm(depth.slope(*shown, lot=book.settings.lot))),
        "book_cost_buy": cost(0),
        "book_cost_sell": cost(1),
    }


def _logarithm(values: Array) -> Array:
    return np.log(values, out=np.full(len(values), np.nan), where=values > 0)


def _stoikov(book: Book) -> Array:
    """Micro-price over mid in bps at each decision, each by the fit that serves it."""
    bid, bid_size, ask, ask_size = (side[0] for side in book.shown)
    seen = book.ticks.aligned.index
    gap = np.full(len(seen), np.nan)
    for fit, past, offsets in book.fits():
        try:
            model = micro_price_fit.fit(bid[past], bid_size[past], ask[past], ask_size[past], offsets)
        except ArgumentError:
            continue  # no state was seen often enough
        asked = np.arange(fit.begin, fit.end)[book.is_whole[fit.begin : fit.end]]
        now = seen[asked]
        if len(asked):
            touch = bid[now], bid_size[now], ask[now], ask_size[now]
            price = micro_price.micro_price(*touch, adjustment=model.adjustment)
            gap[asked] = (price / book.mid[now] - 1) * BPS
    return gap
