"""Liquidity droughts: `book.drought`, the same with less to see, and the detector that looks at depth alone."""

from typing import Any

import numpy as np
import polars as pl

from benchmarks.detectors.frame import Detector, Market
from gpu_kernels.book import drought, episodes, liquidity

BPS = 1.0
EDGES = (0.3, 0.45, 0.6, 0.75, 0.9)
_GAP_NS = 2 * 10**9


def measures(market: Market) -> tuple[np.ndarray, ...]:
    return liquidity.near_touch(*market.books, market.offsets, bps=BPS)


def found(market: Market, **parameters: Any) -> pl.DataFrame:
    """What `book.drought` calls a drought; from each onset, which is known only `hold_seconds` later."""
    flag, _, age, index = drought.drought(
        market.time,
        *measures(market),
        market.offsets,
        market.opens,
        np.array([0, len(market.opens)]),
        **parameters,
    )
    start, end, score, session = episodes.episodes(market.time, flag, index, market.offsets)
    # the age at an interval's first row tells how long it had lasted before it could be told
    first = np.searchsorted(market.time, start)
    return market.intervals(start - np.rint(age[first] * 1e9).astype(np.int64), end, score, session)


def depth_alone(market: Market, share: float = 0.35, memory_ns: int = 300 * 10**9) -> pl.DataFrame:
    """The detector of an hour: the depth of both sides together has fallen below a share of its trailing mean."""
    bids, asks, *_ = measures(market)
    depth, flag, score = bids + asks, np.zeros(len(bids)), np.zeros(len(bids))
    for first, last in zip(market.offsets[:-1], market.offsets[1:], strict=True):
        trailing = (
            pl.DataFrame({"time": market.time[first:last], "depth": depth[first:last]})
            .rolling("time", period=f"{memory_ns}i")
            .agg(pl.col("depth").mean())["depth"]
            .to_numpy()
        )
        fallen = 1.0 - depth[first:last] / trailing
        score[first:last], flag[first:last] = fallen, fallen > 1.0 - share
    start, end, peak, session = episodes.episodes(market.time, flag, score, market.offsets, gap_ns=_GAP_NS)
    return market.intervals(start, end, peak, session)


def detectors() -> list[Detector]:
    def of(name: str, role: str = "ablation", **parameters: Any) -> Detector:
        return Detector(name, ("drought",), EDGES, lambda market: found(market, **parameters), role)

    return [
        of("drought", "detector"),
        of("drought, depth only", weights=(1.0, 0.0, 0.0)),
        of("drought, spread only", weights=(0.0, 1.0, 0.0)),
        of("drought, replenishment only", weights=(0.0, 0.0, 1.0)),
        Detector("depth below its trailing mean", ("drought",), EDGES, depth_alone),
    ]
