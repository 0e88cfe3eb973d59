"""Calls of the kernels of trades: who began them, bars."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work, clock, with_gaps
from gpu_kernels.trade import aggressor, bars


class Trades:
    """Trades and quotes in ticks around one path, the quotes with segments of their own, gaps and crossed rows."""

    def __init__(self, data: Data) -> None:
        rng, rows = data.rng("trade"), data.rows
        self.path = 500 + np.cumsum(rng.integers(-1, 2, rows))
        self.ticks = (self.path + rng.integers(-1, 3, rows)).astype(np.int64)
        self.price = with_gaps(rng, self.ticks).astype(data.dtype)
        self.size = with_gaps(rng, rng.integers(1, 40, rows)).astype(data.dtype)
        self.lots = rng.integers(0, 40, rows).astype(np.int64)
        self.side = rng.choice(np.array([-1, 0, 1], np.int8), rows)
        self.time, self.offsets = data.time_ns, data.offsets
        self.known_time = self.time + rng.integers(0, MINUTE, rows)
        self.quote_time, self.quote_offsets = clock(rng, data.decision_offsets, MINUTE // 2), data.decision_offsets
        self.bid = with_gaps(rng, self.path).astype(data.dtype)
        self.ask = (self.path + rng.integers(-1, 3, rows)).astype(data.dtype)
        self.quotes = (self.quote_time, self.bid, self.ask, self.quote_offsets)


def works(data: Data) -> list[Work]:
    trades = Trades(data)
    time, price, size, side, offsets = trades.time, trades.price, trades.size, trades.side, trades.offsets
    until = np.where(np.arange(data.segments) % 2 == 0, 0, 2**60)
    aggregated = (price, size, side, time, trades.known_time, offsets)
    by_volume = bars.volume_ends(size, offsets, 100.0)
    by_time = bars.time_ends(time, offsets, until, 3 * MINUTE)
    expected = {"expected_trades": 6.0, "expected_imbalance": -0.4, "span": 4}
    return [
        Work(aggressor.tick_rule, (price, offsets), {}),
        Work(aggressor.lee_ready, (time, price, side, offsets, *trades.quotes), {}),
        Work(aggressor.lee_ready, (time, price, side, offsets, *trades.quotes), {"lag_ns": 2 * MINUTE}),
        Work(bars.tick_ends, (offsets,), {"trades": 7}),
        Work(bars.volume_ends, (size, offsets), {"threshold": 150.0}),
        Work(bars.volume_ends, (trades.lots, offsets, 30.0 + np.arange(data.segments)), {}),
        Work(bars.dollar_ends, (price, size, offsets), {"threshold": 60_000.0}),
        Work(bars.imbalance_ends, (price - np.asarray(500, data.dtype), offsets), expected),
        Work(
            bars.imbalance_ends,
            ((side * trades.lots).astype(np.int64), offsets),
            {**expected, "minimum_trades": 3, "maximum_trades": 11},
        ),
        Work(bars.time_ends, (time, offsets, until), {"interval_ns": 3 * MINUTE}),
        Work(bars.aggregate, (*aggregated, *by_volume), {}),
        Work(bars.aggregate, (*aggregated, *by_time), {"interval_ns": 3 * MINUTE}),
    ]
