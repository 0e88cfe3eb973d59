"""Mid, weighted mid and micro-price as forecasts of a later mid-price, out of sample.

Each quote is one forecast. Neighbouring quotes foretell the same move, so the losses of a session are cut into blocks
of time, and whole blocks are resampled (`blocks`): a difference of mean losses over its resampled spread is the
statistic of Diebold and Mariano with the dependence inside a block allowed for.

Source: Stoikov (2018), "The micro-price"; Diebold and Mariano (1995), "Comparing predictive accuracy".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion.studies.best_quotes import BestQuotes
from fusion.studies.blocks import interval, resampled_sums
from gpu_kernels.book import micro_price_fit
from gpu_kernels.book.best import weighted_mid
from gpu_kernels.book.micro_price import micro_price
from gpu_kernels.dispatch import positive
from gpu_kernels.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MID, WEIGHTED, MICRO = "mid", "weighted mid", "micro-price"
# a block is made of so many cells, at whose edges a resampled block may begin
_CELLS = 5


class Horizon(NamedTuple):
    """How far ahead: `events` quotes, `ns` nanoseconds, or, where both are 0, the mid after its next change."""

    events: int = 0
    ns: int = 0


class Split(NamedTuple):
    """Quotes to fit on, and later ones to test on."""

    fit: BestQuotes
    test: BestQuotes


class Loss(NamedTuple):
    """A mean loss or a difference of two, with its 95 % interval; `t` is the value over its resampled error."""

    value: float
    low: float
    high: float
    t: float


@dataclass(frozen=True)
class Comparison:
    """Losses of the forecasts for one horizon, over the rows for which all of them are there.

    rows         forecasts compared; share: of the quotes that have a target
    squared      mean squared error of each forecast, in ticks squared; absolute: mean absolute error, in ticks
    difference   (loss, other) -> micro-price's mean loss less the other's: below 0 where the micro-price is better
    """

    horizon: Horizon
    rows: int
    share: float
    squared: Mapping[str, Loss]
    absolute: Mapping[str, Loss]
    difference: Mapping[tuple[str, str], Loss]

    def verdict(self, other: str, loss: str = "squared") -> str:
        """better, worse, or neither: which side of 0 the interval of the difference lies on."""
        found = self.difference[loss, other]
        return "better" if found.high < 0 else "worse" if found.low > 0 else "neither"


def usable(quotes: BestQuotes) -> BestQuotes:
    """The quotes from each session's open, inclusive, to its close, exclusive, whose bid lies below their ask.

    Consolidated quotes are locked or crossed for moments, while their venues move one after the other; such a quote has
    no micro-price and is stepped over, as `micro_price_fit` does.
    """
    session = np.repeat(np.arange(len(quotes.sessions)), np.diff(quotes.offsets))
    inside = (quotes.time >= quotes.opens[session]) & (quotes.time < quotes.closes[session])
    inside &= ~((quotes.bid_size > 0) & (quotes.ask_size > 0) & (quotes.bid >= quotes.ask))
    return _rows(quotes, inside, np.bincount(session[inside], minlength=len(quotes.sessions)))


def _rows(quotes: BestQuotes, chosen: NDArray[np.bool_], counts: Integers) -> BestQuotes:
    return replace(
        quotes,
        time=quotes.time[chosen],
        bid=quotes.bid[chosen],
        bid_size=quotes.bid_size[chosen],
        ask=quotes.ask[chosen],
        ask_size=quotes.ask_size[chosen],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def splits_of(quotes: BestQuotes) -> list[Split]:
    """For each session after the first, all earlier ones to fit on; of a single session its first half, by time.

    Raises DataError for a single session of fewer than two quotes.
    """
    sessions = len(quotes.sessions)
    if sessions > 1:
        return [Split(quotes.part(0, day), quotes.part(day, day + 1)) for day in range(1, sessions)]
    if len(quotes.time) < 2:
        raise DataError(f"{len(quotes.time)} quotes in one session", allowed="2 or more")
    early = quotes.time <= (quotes.time[0] + quotes.time[-1]) // 2
    return [Split(*(_rows(quotes, part, np.array([part.sum()])) for part in (early, ~early)))]


def mid_of(quotes: BestQuotes) -> Floats:
    """(n,) mid in ticks; NaN where a side is missing."""
    mid = (quotes.bid + quotes.ask) / 2
    return np.where((quotes.bid_size > 0) & (quotes.ask_size > 0), mid, np.nan)


def targets(quotes: BestQuotes, horizon: Horizon) -> Floats:
    """(n,) the later mid of each quote in ticks; NaN where the session's quotes end before it."""
    events = positive("events", horizon.events, minimum=0)
    ns = positive("ns", horizon.ns, minimum=0)
    mid, out = mid_of(quotes), np.full(len(quotes.time), np.nan)
    for first, last in pairwise(quotes.offsets.tolist()):
        price, time = mid[first:last], quotes.time[first:last]
        rows = np.arange(last - first)
        if events:
            ahead = rows + events
        elif ns:
            ahead = np.searchsorted(time, time + ns, side="right") - 1
            # the last quote stands until the session's end, but how long that is no quote tells
            ahead[time + ns > time[-1:].max(initial=0)] = last - first
        else:
            ahead = _next_change(price)
        inside = ahead < last - first
        out[first:last][inside] = price[ahead[inside]]
    return out


def _next_change(price: Floats) -> Integers:
    """Position of the first later price that is another one (a missing one is none), or the length."""
    there = np.flatnonzero(~np.isnan(price))
    known = price[there]
    starts = np.flatnonzero(np.diff(known) != 0) + 1
    following = np.append(there[starts], len(price))
    out = np.full(len(price), len(price))
    out[there] = following[np.searchsorted(starts, np.arange(len(there)), side="right")]
    return out


def forecasts(split: Split, *, spreads: int = 4, buckets: int = 11) -> dict[str, Floats]:
    """Each forecast at each quote of the test, in ticks; the micro-price is fitted on the other part alone."""
    model = micro_price_fit.fit(*split.fit.touch, split.fit.offsets, spreads=spreads, buckets=buckets)
    return {
        MID: mid_of(split.test),
        WEIGHTED: np.asarray(weighted_mid(*split.test.touch)),
        MICRO: np.asarray(micro_price(*split.test.touch, adjustment=model.adjustment)),
    }


def compare(
    splits: list[Split],
    horizon: Horizon,
    *,
    block_ns: int,
    draws: int = 1000,
    seed: int = 7,
    spreads: int = 4,
    buckets: int = 11,
) -> Comparison:
    """Mean losses of the forecasts over all tests together.

    block_ns   length of the blocks that are resampled: longer than the horizon

    Missing values: quotes without a target, or for which a forecast is missing (a state that the fit had not seen), are
    left out for all.
    Raises DataError where none is left.
    """
    cell = max(1, positive("block_ns", block_ns) // _CELLS)
    parts, offsets, wanted = [], [0], 0
    for split in splits:
        found = forecasts(split, spreads=spreads, buckets=buckets)
        target = targets(split.test, horizon)
        errors = np.stack([target - forecast for forecast in found.values()])
        there = np.isfinite(errors).all(axis=0)
        wanted += int(np.isfinite(target).sum())
        errors = errors[:, there]
        losses = np.concatenate([np.ones((1, errors.shape[1])), errors**2, np.abs(errors)])
        for first, last in pairwise(np.searchsorted(np.flatnonzero(there), split.test.offsets)):
            time = split.test.time[there][first:last]
            if not len(time):
                continue
            number = (time - time[0]) // cell
            parts.append(np.stack([np.bincount(number, weights=row[first:last]) for row in losses]))
            offsets.append(offsets[-1] + parts[-1].shape[1])
    if not parts:
        raise DataError("no quote has a later mid and all forecasts", hint="give more quotes, or a shorter horizon")
    cells = np.concatenate(parts, axis=1).astype(np.float64)
    drawn = resampled_sums(cells, np.array(offsets), _CELLS, draws, seed).sum(axis=1)
    means, resampled = cells[1:].sum(axis=1) / cells[0].sum(), drawn[:, 1:] / drawn[:, :1]

    def loss(value: Floats, draw: Floats) -> Loss:
        spread = float(np.std(draw, ddof=1))
        return Loss(float(value), *interval(draw), float(value) / spread if spread > 0 else np.nan)

    names = list(found)
    by_loss = {"squared": slice(0, 3), "absolute": slice(3, 6)}
    micro = names.index(MICRO)
    levels = {
        kind: {name: loss(means[rows][k], resampled[:, rows][:, k]) for k, name in enumerate(names)}
        for kind, rows in by_loss.items()
    }
    differences = {
        (kind, name): loss(means[rows][micro] - means[rows][k], resampled[:, rows][:, micro] - resampled[:, rows][:, k])
        for kind, rows in by_loss.items()
        for k, name in enumerate(names)
        if name != MICRO
    }
    count = int(cells[0].sum())
    return Comparison(horizon, count, count / wanted, levels["squared"], levels["absolute"], differences)
