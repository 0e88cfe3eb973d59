"""What the features of trades share: the trades of the grid's segments, each with its aggressor's side, and the quotes
that they met."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fusion.asof import as_of, nanoseconds
from fusion.features.ticks import Array, Ticks
from gpu_kernels.durations import DAY
from gpu_kernels.trade import aggressor
from sources.source_options import HawkesModel

Clock = NDArray[np.int64]


@dataclass(frozen=True)
class TradeSettings:
    """What a config says of a source of trades; see sources.config.StreamSource and fusion.feature_fit.FitConfig.

    quotes_max_age   of the source that `quotes` names
    """

    quote_lag: int = 0
    quotes_max_age: int = 0
    tick: float | None = None
    lot: float = 1e-8
    bands: tuple[int, ...] = (10, 100, 1000)
    hawkes: HawkesModel | None = None
    fit_every: int = DAY
    fit_window: int = 5 * DAY
    pin_days: int = 60


@dataclass(frozen=True)
class Quotes:
    """Quotes in the segments of trades: time (known_time), bid and ask by row, and the offsets."""

    time: Clock
    bid: Array
    ask: Array
    offsets: Clock

    @property
    def columns(self) -> tuple[Clock, Array, Array, Clock]:
        return self.time, self.bid, self.ask, self.offsets


@dataclass(frozen=True)
class Trades:
    """Trades seen from decisions.

    stream, quoted   streams in order (sources.stream.in_order); `quoted` of the same entities, or None
    """

    ticks: Ticks
    stream: pl.DataFrame
    quoted: pl.DataFrame | None
    max_age: int
    settings: TradeSettings

    @cached_property
    def price(self) -> Array:
        return self.ticks.column("price")

    @cached_property
    def size(self) -> Array:
        return self.ticks.column("size")

    @cached_property
    def quotes(self) -> Quotes:
        """Empty where there are none."""
        if self.quoted is None:
            none = np.zeros(0)
            return Quotes(none.astype(np.int64), none, none, np.zeros(len(self.ticks.offsets), np.int64))
        rows, offsets = self.ticks.in_segments(self.quoted)
        bid, ask = (rows[name].cast(pl.Float64).to_numpy() for name in ("bid_price", "ask_price"))
        return Quotes(nanoseconds(rows["known_time"]), bid, ask, offsets)

    @cached_property
    def sides(self) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """The aggressor's side of each trade, and the rule that told it (`gpu_kernels.trade.aggressor.RULES`)."""
        ticks, told = self.ticks, self.ticks.rows["side"].to_numpy()
        lag = self.settings.quote_lag
        return aggressor.lee_ready(ticks.time, self.price, told, ticks.offsets, *self.quotes.columns, lag_ns=lag)

    @property
    def side(self) -> NDArray[np.int8]:
        return self.sides[0]

    @cached_property
    def by_session(self) -> "Trades":
        """The same in segments of one session each, which on a market that never closes are others."""
        if "session" in self.ticks.keys:
            return self
        ticks = Ticks.of(self.stream, self.ticks.grid, self.max_age, continuous=False)
        return Trades(ticks, self.stream, self.quoted, self.max_age, self.settings)

    @cached_property
    def touch(self) -> tuple[Array, Array]:
        """Bid and ask of the last quote known at each decision; NaN where it is older than its source's max_age."""
        assert self.quoted is not None  # features that need quotes are refused without
        seen = as_of(self.quoted, self.ticks.grid, self.ticks.keys, self.settings.quotes_max_age)
        bid, ask = (seen.take(seen.rows[name].cast(pl.Float64).to_numpy()) for name in ("bid_price", "ask_price"))
        return bid, ask
