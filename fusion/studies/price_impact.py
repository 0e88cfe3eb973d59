"""How much of the price change of an interval its order-flow imbalance explains, and how little of the next one's.

The edge rule: an interval [a, b) holds the quotes stamped a or later and before b, and the mid-price at an edge is that
of the last quote strictly before it. So flow and change of an interval are of the same quotes, and all of it is known
at its end.

Source: Cont, Kukanov and Stoikov (2014), "The price impact of order book events": an average R2 of 0.65 at 10 s over 50
US stocks of April 2010, regressions of half an hour.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.studies.best_quotes import BestQuotes
from fusion.studies.blocks import interval, resampled_sums
from gpu_kernels.book.best import order_flow_imbalance
from gpu_kernels.book.intervals import interval_sums
from gpu_kernels.dispatch import positive
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SECOND = 10**9


class Intervals(NamedTuple):
    """Order-flow imbalance (in the unit of the sizes) and change of the mid (in ticks) of each interval; offsets of the
    sessions. Intervals without a mid at both ends or with an unknown flow are left out."""

    flow: Floats
    change: Floats
    offsets: Integers


class Estimate(NamedTuple):
    """A mean over the sessions and its 95 % intervals: `low` to `high` from blocks of intervals resampled within each
    session; `days_low` to `days_high` from whole sessions resampled (the only one that knows how sessions differ, and
    rough where they are few)."""

    value: float
    low: float
    high: float
    days_low: float
    days_high: float


@dataclass(frozen=True)
class Impact:
    """Regressions change = a + b flow + e over each session, for one length of interval.

    r2           mean over sessions of the R2 of the same interval
    correlation  of flow and change; next_correlation, of flow and the next interval's change
    slope        ticks per unit of size, mean over sessions
    by_session   R2 of each session, in order; rows: intervals in all
    """

    interval_ns: int
    rows: int
    r2: Estimate
    correlation: Estimate
    next_correlation: Estimate
    slope: Estimate
    by_session: tuple[float, ...]


def intervals_of(quotes: BestQuotes, interval_ns: int) -> Intervals:
    """Flow and change over consecutive intervals from each session's open, the last one that ends by its close."""
    interval_ns = positive("interval_ns", interval_ns)
    flow = order_flow_imbalance(*quotes.touch, quotes.offsets)
    mid = (quotes.bid + quotes.ask) / 2
    mid[~((quotes.bid_size > 0) & (quotes.ask_size > 0))] = np.nan
    edges = [np.arange(a, b + 1, interval_ns) for a, b in zip(quotes.opens, quotes.closes, strict=True)]
    ends = np.cumsum([0, *map(len, edges)])
    sums, _ = interval_sums(quotes.time, flow, quotes.offsets, np.concatenate(edges), ends)
    flows, changes = [], []
    for session, edge in enumerate(edges):
        rows = slice(quotes.offsets[session], quotes.offsets[session + 1])
        last = np.searchsorted(quotes.time[rows], edge, side="left") - 1
        at = np.where(last >= 0, mid[rows][np.maximum(last, 0)], np.nan)
        change, total = np.diff(at), sums[ends[session] + 1 : ends[session + 1]]
        there = np.isfinite(change) & np.isfinite(total)
        flows.append(total[there])
        changes.append(change[there])
    offsets = np.cumsum([0, *map(len, flows)])
    return Intervals(np.concatenate(flows), np.concatenate(changes), offsets)


def price_impact(
    quotes: BestQuotes, interval_ns: int, *, block_ns: int = 300 * SECOND, draws: int = 1000, seed: int = 7
) -> Impact:
    """The regressions of each session and their means.

    block_ns   length of the blocks that are resampled: longer than what one interval's flow has to do with another's

    Missing values: a session whose flow or change is constant has no R2, and is left out of the means.
    Raises DataError where no session has one.
    """
    flow, change, offsets = intervals_of(quotes, interval_ns)
    same = _sums(flow, change)
    # the next interval of a session's last one is in another session
    lead = np.append(change[1:], 0.0)
    pairs = _sums(flow, lead)
    pairs[:, offsets[1:][offsets[1:] > 0] - 1] = 0.0
    columns = np.concatenate([same, pairs])
    sessions = len(offsets) - 1
    totals = np.stack([columns[:, a:b].sum(axis=1) for a, b in pairwise(offsets)])
    resampled = resampled_sums(columns, offsets, max(1, block_ns // interval_ns), draws, seed)
    found, found_next = _fit(totals[:, :6]), _fit(totals[:, 6:])
    drawn, drawn_next = _fit(resampled[:, :, :6]), _fit(resampled[:, :, 6:])
    r2 = found[0] ** 2
    if not np.isfinite(r2).any():
        raise DataError(f"no session of {sessions} has an order flow and a price that change")
    days = np.random.default_rng(seed).integers(0, sessions, (draws, sessions))

    def estimate(value: Floats, draw: Floats) -> Estimate:
        means = np.nanmean(draw, axis=1)
        return Estimate(float(np.nanmean(value)), *interval(means), *interval(np.nanmean(value[days], axis=1)))

    return Impact(
        interval_ns,
        len(flow),
        estimate(r2, drawn[0] ** 2),
        estimate(found[0], drawn[0]),
        estimate(found_next[0], drawn_next[0]),
        estimate(found[1], drawn[1]),
        tuple(r2.tolist()),
    )


def _sums(x: Floats, y: Floats) -> Floats:
    # from the means of all: the squares of what lies far from zero would cancel
    x, y = x - x.mean(), y - y.mean()
    return np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y])


def _fit(sums: Floats) -> tuple[Floats, Floats]:
    """(correlation, slope) from sums (..., 6)."""
    rows, x, y, xx, xy, yy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        cross, spread = xy - x * y / rows, xx - x * x / rows
        return cross / np.sqrt(spread * (yy - y * y / rows)), cross / spread
