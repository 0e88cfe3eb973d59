"""Sessions cut into bins of equal length: the return, the realised variance and the range of each bin.

A table of D sessions by K bins, the bins counted from the session's open. A forecast made at the start of bin k of
session d may use every bin of earlier sessions and the bins before k of its own.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gpu_kernels.errors import ArgumentError
from gpu_kernels.volatility.ranges import parkinson, session_prices
from gpu_kernels.volatility.returns import grid_returns

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
    if first not in {"open", "before", "none"}:
        raise ArgumentError(f"first is {first!r}", allowed='"open", "before" or "none"')
    if (np.diff(time) < 0).any():
        raise ArgumentError("times go back", allowed="rising times")
    lengths = (closes - opens) // step
    width = int(lengths.max(initial=0))
    usable = np.flatnonzero(np.isfinite(close) & (close > 0) & np.isfinite(opening) & (opening > 0))
    session = np.searchsorted(opens, time[usable]) - 1
    place = (time[usable] - opens[session] - 1) // step
    held = (session >= 0) & (place < lengths[session])
    rows, session, place = usable[held], session[held], place[held]
    offsets = np.searchsorted(session, np.arange(len(opens) + 1))
    starts = opening[rows].astype(np.float64)
    if first == "before":
        begins = offsets[:-1][np.diff(offsets) > 0]
        before = np.searchsorted(usable, rows[begins]) - 1
        starts[begins] = np.where(before >= 0, close[usable[before]], np.nan)
    found, _, _ = grid_returns(
        time[rows],
        close[rows],
        offsets,
        opens,
        opens + lengths * step,
        None if first == "none" else starts,
        interval_ns=fine,
        first_return="none" if first == "none" else "open",
        repeat=repeat,
    )
    shape = len(opens), width, step // fine
    padded = np.full((len(opens), width * shape[2] + 1), np.nan)
    padded[np.arange(padded.shape[1]) <= (lengths * shape[2])[:, None]] = found
    if repeat:
        # after its last price a session's price no longer stands still: nothing is known of it
        last = np.full(len(opens), -1, np.int64)
        last[session] = (time[rows] - opens[session] - 1) // fine + 1
        padded[np.arange(padded.shape[1]) > last[:, None]] = np.nan
    # the grid's first point is the open itself, to which no return leads
    moves = padded[:, 1:].reshape(shape)
    there = np.isfinite(moves).any(axis=2)
    moves = np.where(np.isfinite(moves), moves, 0.0)
    returns = np.where(there, moves.sum(axis=2), np.nan)
    variance = np.where(there, (moves * moves).sum(axis=2), np.nan)
    ranges = None
    if high is not None and low is not None:
        cells = np.searchsorted(session * width + place, np.arange(len(opens) * width + 1))
        _, top, bottom, _ = session_prices(opening[rows], high[rows], low[rows], close[rows], cells)
        ranges = parkinson(top, bottom, np.array([0, len(top)]), 1).reshape(shape[:2])
    return SessionBins(opens, closes, step, returns, variance, ranges)


def ahead(values: Floats, bins: int) -> Floats:
    """(D, K) sum over a bin and the `bins` - 1 after it, inside the session; NaN where one is missing."""
    out = np.full(values.shape, np.nan)
    if 0 < bins <= values.shape[1]:
        windows = np.lib.stride_tricks.sliding_window_view(values, bins, axis=1)
        out[:, : windows.shape[1]] = windows.sum(axis=2)
    return out
