"""Calls of the kernels of what trades cost and who made them: spreads, impact, flow, VPIN."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from benchmarks.works.trade import Trades
from gpu_kernels.trade import flow, impact, spreads, vpin


def works(data: Data) -> list[Work]:
    trades, rng = Trades(data), data.rng("trade_cost")
    time, price, size, side, offsets = trades.time, trades.price, trades.size, trades.side, trades.offsets
    until = np.where(np.arange(data.segments) % 2 == 0, 10 * MINUTE, 2**60)
    threshold = rng.integers(10, 40, data.rows).astype(data.dtype)
    sizes = np.where(np.arange(data.segments) % 4 == 3, 0, 37 + np.arange(data.segments))
    weight = np.where(rng.random(data.rows) < 0.05, np.nan, rng.uniform(-1.2, 1.2, data.rows)).astype(data.dtype)
    flows = (time, side, trades.lots, offsets, data.decision_time, data.decision_offsets)
    signed = (size * side).astype(data.dtype)
    return [
        Work(
            spreads.spreads,
            (time, price, side, offsets, *trades.quotes, until),
            {"horizon_ns": 4 * MINUTE, "lag_ns": MINUTE // 3},
        ),
        Work(spreads.size_threshold, (size, offsets), {"window": 15, "quantile": 0.83}),
        Work(
            spreads.large_trade_deviation,
            (time, price, size, threshold, offsets, *trades.quotes),
            {"window_ns": 5 * MINUTE},
        ),
        Work(flow.trade_flow, flows, {"window_ns": 6 * MINUTE}),
        Work(flow.trade_imbalance, flows, {"window_ns": 6 * MINUTE}),
        Work(impact.kyle_lambda, (data.close, signed, offsets), {"window": 12, "min_periods": 4}),
        Work(impact.kyle_lambda, (data.close, signed, offsets), {"window": 12}),
        Work(impact.amihud, (data.close, size, offsets), {"window": 8, "min_periods": 2}),
        Work(impact.roll_spread, (data.close, offsets), {"window": 10}),
        Work(impact.roll_spread, (data.close, offsets), {"window": 10, "min_periods": 3, "refuted": "zero"}),
        Work(vpin.change, (price, offsets), {}),
        Work(vpin.bulk_weight, (data.close, offsets), {"window": 9}),
        Work(vpin.bulk_weight, (data.close, offsets), {"window": 9, "degrees": 0.25}),
        Work(vpin.bulk_weight, (price, offsets), {"window": 6, "degrees": 7.0}),
        Work(vpin.vpin, (trades.lots, side, offsets), {"bucket_lots": 60, "window": 5}),
        Work(vpin.vpin, (trades.lots * 50, weight, offsets, sizes), {"window": 4}),
    ]
