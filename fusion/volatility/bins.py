"""Sessions cut into bins of equal length: the return, the realised variance and the range of each bin.

A table of D sessions by K bins, the bins counted from the session's open. A forecast made at the start of bin k of
session d may use every bin of earlier sessions and the bins before k of its own.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.errors import ArgumentError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class SessionBins:
    """Bins of all sessions, (D, K) float64, NaN where nothing is known of a bin.

    opens, closes  (D,) int64 ns UTC of each session; step ns, the length of a bin
    returns   log return over the bin
    variance  realised variance: the sum of the squared finer returns of the bin
    ranges    variance of the bin by its high and low, or None: Parkinson, ln(high / low)^2 / (4 ln 2)
    """

    opens: Integers
    closes: Integers
    step: int
    returns: Floats
    variance: Floats
    ranges: Floats | None = None

    @property
    def lengths(self) -> Integers:
        """(D,) bins that each session has by its hours; those of an early close are known ahead."""
        found: Integers = (self.closes - self.opens) // self.step
        return found

    @property
    def starts(self) -> Integers:
        """(D, K) int64 ns at which each bin begins."""
        found: Integers = self.opens[:, None] + self.step * np.arange(self.variance.shape[1])
        return found

    def cut(self, session: int, bin_: int) -> "SessionBins":
        """What is known at the start of a bin: its session without that bin and later ones; no later session."""
        end = session + 1

        def known(values: Floats) -> Floats:
            out = values[:end].copy()
            out[session, bin_:] = np.nan
            return out

        return replace(
            self,
            opens=self.opens[:end],
            closes=self.closes[:end],
            returns=known(self.returns),
            variance=known(self.variance),
            ranges=None if self.ranges is None else known(self.ranges),
        )

    def part(self, first: int, last: int) -> "SessionBins":
        """The sessions first to last - 1."""
        rows = slice(first, last)
        return replace(
            self,
            opens=self.opens[rows],
            closes=self.closes[rows],
            returns=self.returns[rows],
            variance=self.variance[rows],
            ranges=None if self.ranges is None else self.ranges[rows],
        )


def bins_of(
    time: Integers,
    opening: Floats,
    close: Floats,
    opens: Integers,
    closes: Integers,
    *,
    step: int,
    fine: int,
    first: Literal["open", "before", "none"] = "open",
    repeat: bool = False,
    high: Floats | None = None,
    low: Floats | None = None,
) -> SessionBins:
    """Bins of sessions from the bars (or ticks) of one entity.

    time      (n,) int64 ns UTC, the END of each bar, rising; opening, close, high, low (n,) prices
    opens, closes  (D,) int64 ns of the sessions, one after the other; bars outside of them are not used
    step      ns of a bin; fine: ns between the prices whose returns are squared, of which step is a multiple
    repeat    where no bar ends in a fine interval: False: it has no return and the next one spans it; True: its return
              is 0, the price standing still, from the session's first bar to its last
    first     where a session's first return starts: "open", the opening price of its first bar; "before", the last
              close before the session, for hours cut out of a longer day; "none": its first price makes no return

    The price at a point is the close of the last bar that ended by then. `ranges` are there where high and low are, for
    bins in which bars ended, of all these bars together.

    Missing values: a price that is not above 0 or not finite is no price.
    Raises: ArgumentError.
    """
    if step <= 0 or fine <= 0 or step % fine:
        raise ArgumentError(f"step {step} and fine {fine}", allowed="above 0, step a multiple of fine")
    if (np.diff(time) < 0).any():
        raise ArgumentError("times go back", allowed="rising times")
    usable = np.flatnonzero(np.isfinite(close) & (close > 0) & np.isfinite(opening) & (opening > 0))
    columns = [time, opening, close] + ([high, low] if high is not None and low is not None else [])
    time, opening, close, *bounds = (np.asarray(column)[usable] for column in columns)
    finer, width = step // fine, int(((closes - opens) // step).max(initial=0))
    shape = len(opens), width
    returns, variance, ranges = (np.full(shape, np.nan) for _ in range(3))
    begins, ends = np.searchsorted(time, opens, side="right"), np.searchsorted(time, closes, side="right")
    for session in range(len(opens)):
        rows = slice(int(begins[session]), int(ends[session]))
        if rows.start >= rows.stop:
            continue
        bins = int((closes[session] - opens[session]) // step)
        points = opens[session] + fine * np.arange(1, bins * finer + 1)
        ended = np.searchsorted(time[rows], points, side="right")
        base = _base(first, opening[rows], close[max(rows.start - 1, 0)] if rows.start else np.nan)
        found = _returns(np.log(close[rows]), base, ended, repeat).reshape(bins, finer)
        there = np.asarray(np.isfinite(found).any(axis=1))
        filled = np.where(np.isfinite(found), found, 0.0)
        returns[session, :bins] = np.where(there, filled.sum(axis=1), np.nan)
        variance[session, :bins] = np.where(there, (filled * filled).sum(axis=1), np.nan)
        if bounds:
            ranges[session, :bins] = _ranges(bounds[0][rows], bounds[1][rows], ended[finer - 1 :: finer])
    return SessionBins(opens, closes, step, returns, variance, ranges if bounds else None)


def _base(first: str, opening: Floats, close_before: float) -> float:
    if first not in {"open", "before", "none"}:
        raise ArgumentError(f"first is {first!r}", allowed='"open", "before" or "none"')
    price = {"open": float(opening[0]), "before": float(close_before), "none": np.nan}[first]
    return float(np.log(price))


def _returns(log_close: Floats, log_opening: float, ended: Integers, repeat: bool) -> Floats:
    """Returns between points, of which the first `ended` bars had ended by each."""
    before = np.concatenate([[0], ended[:-1]])
    path = np.concatenate([[log_opening], log_close])
    fresh = ended > before
    out = np.where(fresh, path[ended] - path[before], np.nan)
    if repeat:
        out[(ended > 0) & (ended < len(log_close)) & ~fresh] = 0.0
    return out


def _ranges(high: Floats, low: Floats, ended: Integers) -> Floats:
    """Parkinson's variance of the bars that ended between points."""
    begins = np.concatenate([[0], ended[:-1]])
    fresh = np.flatnonzero(ended > begins)
    out = np.full(len(ended), np.nan)
    if len(fresh):
        top, bottom = (
            bound.reduceat(values, begins[fresh]) for bound, values in ((np.maximum, high), (np.minimum, low))
        )
        out[fresh] = np.log(top / bottom) ** 2 / (4.0 * np.log(2.0))
    return out


def ahead(values: Floats, bins: int) -> Floats:
    """(D, K) sum over a bin and the `bins` - 1 after it, inside the session; NaN where one is missing."""
    out = np.full(values.shape, np.nan)
    if 0 < bins <= values.shape[1]:
        windows = np.lib.stride_tricks.sliding_window_view(values, bins, axis=1)
        out[:, : windows.shape[1]] = windows.sum(axis=2)
    return out


def before(values: Floats, bins: int) -> Floats:
    """(D, K) sum over the `bins` bins before each, inside the session; NaN where one is missing."""
    out = np.full(values.shape, np.nan)
    sums = ahead(values, bins)
    if bins < values.shape[1]:
        out[:, bins:] = sums[:, :-bins]
    return out
