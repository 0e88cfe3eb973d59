"""The book rebuilt from level-2 updates, on one thread, on two flows: real changes of Binance's depth, one file
repeated (where `TRIFUSE_DATA` names a folder that holds it), and generated ones.

The peer is the plain loop that one writes first: a dense array of sizes over all ticks of the feed, and a walk from the
best price on after each message. It knows the span of prices beforehand and holds all of it. Both write over outputs
that exist already, since new memory costs both more than the work.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numba import njit

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.book import rebuild, rebuild_state
from sources.config import parse_source
from sources.files import InputFile
from sources.readers import binance_raw

REAL = Path("market/binance_l2/usdm_btcusdt_20240808.gz")
Feed = dict[str, np.ndarray]


def generated(rows: int) -> Feed:
    """Every row a message. The mid steps by a tick in 2 % of the rows, each of which removes the level it comes upon;
    the others set a level a geometric number of ticks away, 10 in the mean, and 3 in 10 remove it."""
    rng = np.random.default_rng(3)
    move = np.where(rng.random(rows) < 0.02, rng.choice([-1, 1], rows), 0)
    mid = 1_000_000 + np.cumsum(move)
    side = np.where(move != 0, -move, rng.choice([-1, 1], rows)).astype(np.int8)
    ticks = np.where(move != 0, mid, mid - side * rng.geometric(0.1, rows))
    size = np.where((move != 0) | (rng.random(rows) < 0.3), 0, rng.integers(1, 100, rows)).astype(np.float64)
    return {"side": side, "ticks": ticks, "size": size, "action": np.zeros(rows, np.int8), "last": np.ones(rows, bool)}


def real(path: Path, rows: int) -> Feed:
    """The rows of a Binance file, which start with a snapshot, again and again."""
    entry = {"kind": "binance_raw", "market": "usdm", "data": "book", "files": "x", "max_age": "10s"}
    source: Any = parse_source("x", entry)
    read = pl.concat([batch.rows for batch in binance_raw.read(source, InputFile(path, "BTC"), 0, "24/7")])
    whole = read.with_columns(ticks=(pl.col("price") * 10).round().cast(pl.Int64))
    names = ("side", "ticks", "size", "action", "last")
    return {name: np.resize(whole[name].to_numpy(), rows) for name in names}


@njit
def _walk(resting, best, step, lowest, row, ticks, sizes):
    found = 0
    while found < ticks.shape[0] and 0 <= best < len(resting):
        if resting[best] > 0.0:
            ticks[found, row], sizes[found, row] = best + lowest, resting[best]
            found += 1
        best += step
    for level in range(found, ticks.shape[0]):
        ticks[level, row], sizes[level, row] = -1, 0.0


@njit
def _plain(side, ticks, size, action, last, lowest, span, bids, bid_sizes, asks, ask_sizes):
    resting = np.zeros((2, span))
    best_bid, best_ask, begin = -1, span, 0
    for row in range(len(side)):
        if action[row] == rebuild_state.SNAPSHOT:
            for earlier in range(begin, row):
                resting[:, ticks[earlier] - lowest] = 0.0
            best_bid, best_ask, begin = -1, span, row
        position = ticks[row] - lowest
        if side[row] > 0:
            resting[0, position] = size[row]
            best_bid = max(best_bid, position)
        else:
            resting[1, position] = size[row]
            best_ask = min(best_ask, position)
        if last[row]:
            while best_bid >= 0 and resting[0, best_bid] == 0.0:
                best_bid -= 1
            while best_ask < span and resting[1, best_ask] == 0.0:
                best_ask += 1
            _walk(resting[0], best_bid, -1, lowest, row, bids, bid_sizes)
            _walk(resting[1], best_ask, 1, lowest, row, asks, ask_sizes)
        else:
            for level in range(bids.shape[0]):
                bids[level, row], bid_sizes[level, row] = -1, 0.0
                asks[level, row], ask_sizes[level, row] = -1, 0.0
                if row > 0:
                    bids[level, row], bid_sizes[level, row] = bids[level, row - 1], bid_sizes[level, row - 1]
                    asks[level, row], ask_sizes[level, row] = asks[level, row - 1], ask_sizes[level, row - 1]


def _comparison(name: str, feed: Feed, levels: int) -> Comparison:
    side, ticks, size, action, last = feed.values()
    rows, lowest, span = len(side), int(ticks.min()), int(np.ptp(ticks)) + 1
    offsets = np.array([0, rows])
    ours = rebuild.rebuild(side, ticks, size, offsets, levels, action=action, last=last)
    theirs = tuple(np.zeros_like(array) for array in ours)

    def plain() -> Outputs:
        _plain(*feed.values(), lowest, span, *theirs)
        return theirs

    return Comparison(
        f"book of {levels} levels, {name} updates",
        rows,
        "float64",
        rows * (19 + 32 * levels),
        lambda: rebuild.rebuild(side, ticks, size, offsets, levels, action=action, last=last, out=ours),
        {"plain Numba loop": plain},
    )


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows = 100_000 if quick else 4_000_000
    path = Path(os.environ.get("TRIFUSE_DATA", "")) / REAL
    flows = {"generated": generated(rows)} | ({"Binance USD-M": real(path, rows)} if path.is_file() else {})
    for name, feed in flows.items():
        for levels in (1, 10):
            yield _comparison(name, feed, levels)
