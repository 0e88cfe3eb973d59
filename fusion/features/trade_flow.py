"""Features of trades: how one-sided they are on the clock of volume, and at the price levels around the mid."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fusion.features.intervals import Intervals
from fusion.features.ticks import Array, counted
from fusion.features.trade_rows import Trades
from gpu_kernels.errors import DataError
from gpu_kernels.spec import FeatureSpec
from gpu_kernels.trade import arrivals, vpin
from gpu_kernels.trade.buckets import bucket_sizes

BUCKETS_A_DAY, WINDOW, PAST_DAYS = 250, 50, 20
"""Of VPIN: buckets that the mean day of the past holds, buckets in the window, and past days."""
FIRST_TRADES = 1000
"""Of a session with no past day: the window of VPIN holds as much as so many first trades, and begins after them."""
BULK_BARS = 30

_EASLEY, _BULK = "Easley, López de Prado, O'Hara 2012", "Easley, López de Prado, O'Hara 2016"
_VPIN = f"until {WINDOW} buckets of the session are full, or no trade known within max_age"
_SIZE = f"buckets of 1/{BUCKETS_A_DAY} of the mean of up to {PAST_DAYS} past days; without one, see FIRST_TRADES"


def _spec(name: str, meaning: str, missing: str, source: str, clock: str = "each trade") -> FeatureSpec:
    return FeatureSpec(name, "trade", "1", clock, meaning, missing, source)


_ARRIVALS = "arrivals of buys less those of sells over both, decayed, at the price levels "
_NONE = "no arrival there yet, or no trade or quote known within max_age"
FEATURES: tuple[FeatureSpec, ...] = (
    _spec("trade_vpin", f"mean |bought - sold| / volume of the last {WINDOW} buckets; {_SIZE}", _VPIN, _EASLEY),
    _spec(
        "trade_vpin_bulk_<time>",
        f"the same of bars of <time> whose sides the change of price tells against {BULK_BARS} before it",
        _VPIN,
        _BULK,
        "each <time>",
    ),
    _spec("trade_arrivals_near_<time>", f"{_ARRIVALS}within the first of `bands` ticks from the mid", _NONE, "trifuse"),
    _spec("trade_arrivals_middle_<time>", f"{_ARRIVALS}between the first and the second", _NONE, "trifuse"),
    _spec("trade_arrivals_far_<time>", f"{_ARRIVALS}between the second and the third", _NONE, "trifuse"),
    _spec("trade_arrivals_<time>", f"{_ARRIVALS}within the third", _NONE, "trifuse"),
)
_BANDS = ("trade_arrivals_near", "trade_arrivals_middle", "trade_arrivals_far", "trade_arrivals")
NEEDS_QUOTES = _BANDS
NEEDS_TICK = _BANDS


@dataclass(frozen=True)
class Buckets:
    """The volume clock of each session: `lots` of each trade (0 before the clock begins) and `size` of its buckets (0:
    not known). A session's size comes from the sessions before it; that of the first one from its own first trades,
    which the clock then leaves out."""

    trades: Trades

    @cached_property
    def counted(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ticks, lot = self.trades.ticks, self.trades.settings.lot
        whole = np.round(self.trades.size / lot)
        volume = np.bincount(_segment_of(ticks.offsets), whole, len(ticks.offsets) - 1)
        if (volume > 2.0**62).any():
            raise DataError(
                f"a session's volume is {volume.max():.3g} lots of {lot:g}",
                allowed="up to 4.6e18",
                hint="write a larger `lot` at the source of trades",
            )
        lots = np.nan_to_num(whole).astype(np.int64)
        size = self._sizes(lots)
        for segment in np.flatnonzero(size == 0):
            first, stop = ticks.offsets[segment], ticks.offsets[segment + 1]
            if stop - first >= FIRST_TRADES:
                begun = slice(first, first + FIRST_TRADES)
                size[segment] = max(1, int(lots[begun].sum()) // WINDOW)
                lots[begun] = 0
        return lots, size

    def _sizes(self, lots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each segment, from the segments of its entity before it."""
        daily = sums_of_days(self.trades, lots.astype(np.float64))
        entity = segment_entities(self.trades)
        sizes = np.zeros(len(daily), np.int64)
        for name in np.unique(entity):
            own = entity == name
            sizes[own] = bucket_sizes(daily[own], BUCKETS_A_DAY, PAST_DAYS)
        return sizes


def _segment_of(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def segment_entities(trades: Trades) -> NDArray[np.object_]:
    """The entity of each of the grid's segments."""
    return trades.ticks.grid.select(trades.ticks.keys).unique(maintain_order=True)["entity"].to_numpy()


def sums_of_days(trades: Trades, values: Array) -> Array:
    """Sum of the trades' values in each session, as known at the first decision of the entity's next session: a trade
    that came later than that counts in no day."""
    ticks = trades.ticks
    entity = segment_entities(trades)
    opened = ticks.at[ticks.at_offsets[:-1]]
    limit = np.full(len(opened), 2**62, np.int64)
    limit[:-1] = np.where(entity[1:] == entity[:-1], opened[1:], limit[:-1])
    segment = _segment_of(ticks.offsets)
    kept = ticks.time <= limit[segment]
    sums: Array = np.bincount(segment[kept], values[kept], len(opened)).astype(np.float64)
    return sums


def plain(trades: Trades) -> dict[str, Callable[[], Array]]:
    """The columns without a <time>."""

    def signed() -> Array:
        own = trades.by_session
        lots, size = Buckets(own).counted
        return own.ticks.take(vpin.vpin(lots, own.side, own.ticks.offsets, size, WINDOW)[0])

    return {"trade_vpin": signed}


def formulas(trades: Trades) -> dict[str, Callable[[int], Array]]:
    """The columns at the decisions, by stem, each a function of its <time> in ns."""
    ticks = trades.ticks

    def bulk(length: int) -> Array:
        own = trades.by_session
        lots, size = Buckets(own).counted
        bars = Intervals.of(own.ticks, length)
        volume = np.nan_to_num(bars.totals(lots.astype(np.float64))).astype(np.int64)
        weight = vpin.bulk_weight(bars.at_ends(own.price), bars.offsets, BULK_BARS)
        return bars.take(vpin.vpin(volume, weight, bars.offsets, size, WINDOW)[0])

    def asymmetry(band: int) -> Callable[[int], Array]:
        def formula(half_life: int) -> Array:
            tick = trades.settings.tick
            assert tick is not None  # features that need it are refused without
            levels = _levels(trades.price, tick)
            bid, ask = (_levels(side, tick) for side in trades.touch)
            rows = (ticks.time, levels, trades.side, ticks.offsets, ticks.at, bid, ask, ticks.at_offsets)
            bands = trades.settings.bands
            memory = max(arrivals.MEMORY_TICKS, 1 << (2 * bands[-1] + 2).bit_length())
            found = arrivals.arrival_asymmetry(*rows, bands=bands, half_life_ns=half_life, memory_ticks=memory)
            return np.where(ticks.aligned.index >= 0, found[band], np.nan)

        return formula

    return {"trade_vpin_bulk": bulk} | {stem: asymmetry(band) for band, stem in enumerate(_BANDS)}


def _levels(prices: Array, tick: float) -> NDArray[np.int64]:
    """The nearest price level in ticks, as trades may print between two; 0, which is no price, where it is missing."""
    return counted(prices, tick, "price", "tick")
