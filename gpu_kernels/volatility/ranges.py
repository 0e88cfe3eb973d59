"""Variance from the open, high, low and close of bars: Parkinson, Garman-Klass, Rogers-Satchell, Yang-Zhang, all in one
pass. A bar is a row: a minute of a session, or a session of an entity (`session_prices` makes those).

Window sums come of blocks of `window` rows, counted from the segment's first: the tail of one block and the head of the
next (van Herk 1992), so nothing is ever subtracted, and a row takes the same steps wherever its tile begins. On CUDA a
thread walks its own window. The two differ in order and agree to rounding.
"""

import math
from typing import Literal

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows

_TILE = 512
"""Rows of a tile, about: what is summed of them, and of the window before them, stays in the cache."""

_FAR = 0.0625
"""|a - b| / (a + b) from which ln(a / b) is left to the library: prices 13 % apart."""

_GARMAN_KLASS = {"practical": (0.5, 0.0, 1.0 - 2.0 * math.log(2.0)), "full": (0.511, -0.019, -0.383)}
"""Factors of (u - d)², c (u + d) - 2 u d, and c²."""


@body
def _near(a, b):
    """ln(a / b) = 2 atanh(s), s = (a - b) / (a + b), by its series, which is exact to rounding where |s| < _FAR: vector
    code, and the difference of two prices that are close loses no digit."""
    s = (a - b) / (a + b)
    q = s * s
    series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13))))))
    return 2.0 * s * series


@body
def _is_near(a, b):
    return abs(a - b) < _FAR * (a + b)


@body
def _log_ratio(a, b):
    return _near(a, b) if _is_near(a, b) else math.log(a / b)


@body
def _span(up, down):
    return (up - down) * (up - down)


@body
def _garman_klass(up, down, change, square, mixed, closing):
    return square * _span(up, down) + mixed * (change * (up + down) - 2.0 * up * down) + closing * change * change


@body
def _rogers_satchell(up, down, change):
    return up * (up - change) + down * (down - change)


@body
def _there(opening, high, low, close):
    return opening > 0.0 and high > 0.0 and low > 0.0 and close > 0.0 and opening + high + low + close < np.inf


@body
def _bar(opening, high, low, close, before, square, mixed, closing):
    """What is summed of a bar that is there: (u - d)², Garman and Klass's, Rogers and Satchell's, c, c², the gap before
    the bar, and its square. `before` is the close of the last bar that was there, NaN at the first, which has no
    gap."""
    up, down, change = _log_ratio(high, opening), _log_ratio(low, opening), _log_ratio(close, opening)
    gap = _log_ratio(opening, before) if before > 0.0 else 0.0
    klass = _garman_klass(up, down, change, square, mixed, closing)
    return _span(up, down), klass, _rogers_satchell(up, down, change), change, change * change, gap, gap * gap


@body
def _close_before(opening, high, low, close, start, row):
    """The close of the last bar in [start, row) that is there; NaN where none is."""
    for i in range(row - 1, start - 1, -1):
        price = np.float64(close[i])
        if _there(np.float64(opening[i]), np.float64(high[i]), np.float64(low[i]), price):
            return price
    return np.nan


@body
def _spread(total, square, count, ddof):
    """Variance from sums: log returns lie about 0, so the mean's square takes no digits from theirs."""
    return max(square - total * total / max(count, 1.0), 0.0) / max(count - ddof, 1.0)


@body
def _yang_zhang(satchell, change, moved, gap, gaps, count, gap_count, min_periods, ddof):
    known = gap_count >= min_periods and gap_count > ddof
    k = 0.34 * (count - 1.0) / (1.34 * (count - 1.0) + count + 1.0)
    own = k * _spread(change, moved, count, ddof) + (1.0 - k) * satchell / max(count, 1.0)
    return _spread(gap, gaps, gap_count, ddof) + own if known else np.nan


@body
def _mean(total, count, min_periods, scale):
    return scale * total / count if count >= min_periods else np.nan


@body
def _near_rows(prices, bases, out):
    """ln(price / base) of each row, and how many of them `_near` cannot tell."""
    odd = 0
    for i in range(out.shape[0]):
        price, base = np.float64(prices[i]), np.float64(bases[i])
        odd += 0 if _is_near(price, base) else 1
        out[i] = _near(price, base)
    return odd


@body
def _klass_rows(up, down, change, square, mixed, closing, out):
    for i in range(out.shape[0]):
        out[i] = _garman_klass(up[i], down[i], change[i], square, mixed, closing)


@body
def _satchell_rows(up, down, change, out):
    for i in range(out.shape[0]):
        out[i] = _rogers_satchell(up[i], down[i], change[i])


@body
def _span_rows(up, down, out):
    for i in range(out.shape[0]):
        out[i] = _span(up[i], down[i])


@body
def _square_rows(values, out):
    for i in range(out.shape[0]):
        out[i] = values[i] * values[i]


@body
def _load_near(opening, high, low, close, close_before, square, mixed, closing, terms, at):
    """`_bar` of rows that all have a row before them, term after term, which is vector code; and how many of them it
    cannot tell: those that are missing or follow one, or prices far apart."""
    # a row of a table is contiguous, and vector code; a row of a part of one is not
    up, down, change, gap = terms[0][at:], terms[7][at:], terms[3][at:], terms[5][at:]
    odd = _near_rows(high, opening, up) + _near_rows(low, opening, down)
    odd += _near_rows(close, opening, change) + _near_rows(opening, close_before, gap)
    _klass_rows(up, down, change, square, mixed, closing, terms[1][at:])
    _satchell_rows(up, down, change, terms[2][at:])
    _span_rows(up, down, up)
    _square_rows(change, terms[4][at:])
    _square_rows(gap, terms[6][at:])
    terms[7][at:] = 1.0
    return odd


@body
def _load(opening, high, low, close, start, first, last, square, mixed, closing, terms):
    """The terms of the rows first..last, one by one, and zeros for those that are missing."""
    before = _close_before(opening, high, low, close, start, first)
    for row in range(first, last):
        o, h, bottom, c = np.float64(opening[row]), np.float64(high[row]), np.float64(low[row]), np.float64(close[row])
        i = row - first
        if _there(o, h, bottom, c):
            (
                terms[0, i],
                terms[1, i],
                terms[2, i],
                terms[3, i],
                terms[4, i],
                terms[5, i],
                terms[6, i],
            ) = _bar(o, h, bottom, c, before, square, mixed, closing)
            terms[7, i] = 1.0
            before = c
        else:
            terms[:, i] = 0.0


@body
def _load_tile(opening, high, low, close, start, first, last, square, mixed, closing, terms):
    begin = max(first, start + 1)
    if first < begin:
        _load(opening, high, low, close, start, first, begin, square, mixed, closing, terms)
    if begin < last:
        odd = _load_near(
            opening[begin:last],
            high[begin:last],
            low[begin:last],
            close[begin:last],
            close[begin - 1 : last - 1],
            square,
            mixed,
            closing,
            terms,
            begin - first,
        )
        if odd > 0 or math.isnan(_close_before(opening, high, low, close, begin - 1, begin)):
            _load(opening, high, low, close, start, first, last, square, mixed, closing, terms)


@body
def _tails(terms, first, last):
    """terms[:, i] becomes its sum from i to the end of the block first..last."""
    for i in range(last - 2, first - 1, -1):
        for k in range(8):
            terms[k, i] += terms[k, i + 1]


@body
def _first_there(opening, high, low, close, start, stop):
    for row in range(start, stop):
        if _there(np.float64(opening[row]), np.float64(high[row]), np.float64(low[row]), np.float64(close[row])):
            return row
    return stop


@body
def _window_sums(terms, halo, window):
    """(8, rows): the sums over the last `window` rows of each row from `halo` on; the terms are used up."""
    rows = terms.shape[1]
    sums = np.empty((8, rows - halo))
    _tails(terms, 0, halo)
    for block in range(halo, rows, window):
        end = min(block + window, rows)
        s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(block, end):
            s0, s1, s2, s3 = s0 + terms[0, i], s1 + terms[1, i], s2 + terms[2, i], s3 + terms[3, i]
            s4, s5, s6, s7 = s4 + terms[4, i], s5 + terms[5, i], s6 + terms[6, i], s7 + terms[7, i]
            j = i - halo
            sums[0, j], sums[1, j], sums[2, j], sums[3, j] = s0, s1, s2, s3
            sums[4, j], sums[5, j], sums[6, j], sums[7, j] = s4, s5, s6, s7
        if block >= window:
            tailed = min(end, block + window - 1)
            for k in range(8):
                head, tail = sums[k][block - halo : tailed - halo], terms[k][block - window + 1 : tailed - window + 1]
                for i in range(head.shape[0]):
                    head[i] += tail[i]
        _tails(terms, block, end)
    return sums


@body
def _mean_rows(totals, counts, min_periods, scale, out):
    for i in range(out.shape[0]):
        out[i] = _mean(totals[i], counts[i], min_periods, scale)


@body
def _yang_zhang_rows(satchell, change, moved, gap, gaps, counts, gap_counts, min_periods, ddof, out):
    for i in range(out.shape[0]):
        out[i] = _yang_zhang(
            satchell[i], change[i], moved[i], gap[i], gaps[i], counts[i], gap_counts[i], min_periods, ddof
        )


@cpu_loop
def _ranges_cpu(
    opening, high, low, close, offsets, tiles, tile, window, min_periods, square, mixed, closing, ddof, out
):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start = offsets[segment]
        halo = window if first > start else 0
        terms = np.empty((8, halo + last - first))
        _load_tile(opening, high, low, close, start, first - halo, last, square, mixed, closing, terms)
        sums = _window_sums(terms, halo, window)
        ranged, klass, satchell, change = sums[0], sums[1], sums[2], sums[3]
        moved, gap, gaps, counts = sums[4], sums[5], sums[6], sums[7]
        # the segment's first bar that is there has no gap
        alone = _first_there(opening, high, low, close, start, last)
        gap_counts = counts.copy()
        gap_counts[max(alone - first, 0) : max(alone - first + window, 0)] -= 1.0
        _mean_rows(ranged, counts, min_periods, 1.0 / (4.0 * math.log(2.0)), out[0][first:last])
        _mean_rows(klass, counts, min_periods, 1.0, out[1][first:last])
        _mean_rows(satchell, counts, min_periods, 1.0, out[2][first:last])
        _yang_zhang_rows(satchell, change, moved, gap, gaps, counts, gap_counts, min_periods, ddof, out[3][first:last])


@cuda.jit
def _ranges_cuda(opening, high, low, close, offsets, window, min_periods, square, mixed, closing, ddof, out):
    row = cuda.grid(1)
    if row < out.shape[1]:
        start = offsets[segment_of(offsets, row)]
        first = max(start, row - window + 1)
        before = _close_before(opening, high, low, close, start, first)
        ranged, klass, satchell, change, moved, gap, gaps = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        count, gap_count = 0.0, 0.0
        for i in range(first, row + 1):
            o, h, bottom, c = np.float64(opening[i]), np.float64(high[i]), np.float64(low[i]), np.float64(close[i])
            if _there(o, h, bottom, c):
                terms = _bar(o, h, bottom, c, before, square, mixed, closing)
                ranged, klass, satchell = ranged + terms[0], klass + terms[1], satchell + terms[2]
                change, moved, gap, gaps = change + terms[3], moved + terms[4], gap + terms[5], gaps + terms[6]
                count, gap_count = count + 1.0, gap_count + (1.0 if before > 0.0 else 0.0)
                before = c
        out[0, row] = _mean(ranged, count, min_periods, 1.0 / (4.0 * math.log(2.0)))
        out[1, row] = _mean(klass, count, min_periods, 1.0)
        out[2, row] = _mean(satchell, count, min_periods, 1.0)
        out[3, row] = _yang_zhang(satchell, change, moved, gap, gaps, count, gap_count, min_periods, ddof)


@body
def _session(opening, high, low, close, start, stop, out, segment):
    first, top, bottom, last, found = np.nan, -np.inf, np.inf, np.nan, False
    for row in range(start, stop):
        o, h, b, c = np.float64(opening[row]), np.float64(high[row]), np.float64(low[row]), np.float64(close[row])
        if _there(o, h, b, c):
            first = first if found else o
            top, bottom, last, found = max(top, h), min(bottom, b), c, True
    out[0, segment] = first
    out[1, segment] = top if found else np.nan
    out[2, segment] = bottom if found else np.nan
    out[3, segment] = last


@cpu_loop
def _sessions_cpu(opening, high, low, close, offsets, out):
    for segment in prange(out.shape[1]):
        _session(opening, high, low, close, offsets[segment], offsets[segment + 1], out, segment)


@cuda.jit
def _sessions_cuda(opening, high, low, close, offsets, out):
    segment = cuda.grid(1)
    if segment < out.shape[1]:
        _session(opening, high, low, close, offsets[segment], offsets[segment + 1], out, segment)


def range_variances(
    opening: Array,
    high: Array,
    low: Array,
    close: Array,
    offsets: Array,
    window: int,
    *,
    min_periods: int | None = None,
    garman_klass: Literal["practical", "full"] = "practical",
    ddof: int = 1,
) -> Array:
    """Variances per bar over the last `window` bars of the segment, in one pass: Parkinson's, Garman and Klass's,
    Rogers and Satchell's, Yang and Zhang's. `window` 1 gives the first three of each bar.

    With u = ln(high / open), d = ln(low / open), c = ln(close / open), g = ln(open / close of the bar before):
    Parkinson         mean of (u - d)² / (4 ln 2)
    Garman-Klass      "practical": mean of 0.5 (u - d)² - (2 ln 2 - 1) c²; "full": mean of 0.511 (u - d)² -
                      0.019 (c (u + d) - 2 u d) - 0.383 c², their estimators 5 and 4 of the time that the market is
                      open. No gap is in it: their overnight term needs the share of the day that is closed.
    Rogers-Satchell   mean of u (u - c) + d (d - c): free of drift
    Yang-Zhang        var(g) + k var(c) + (1 - k) Rogers-Satchell, k = 0.34 / (1.34 + (n + 1) / (n - 1)), var with
                      `ddof` (1 in the paper), n the window's bars: gaps between bars are in it, which the others leave
                      out

    opening, high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,). For sessions in place of bars:
             rows of `session_prices`, a segment an entity.
    window   in bars, at least 1; min_periods, 1 to window: how many a window must hold; default: window
    returns  (4, n) in the order above, pure numbers per bar (not annualised). Prices seen at ticks miss the highest and
             lowest in between, so all four read low where few trades make a bar.

    Missing values: a bar with a price that is NaN, infinite or not above 0 is stepped over: it is left out, and the gap
    of the next is taken from the last close that was there. NaN where fewer than `min_periods` bars are in the window;
    Yang-Zhang also where fewer gaps (the segment's first bar has none), or no more than `ddof`, are.
    Raises: ArgumentError, DeviceError.
    Source: Parkinson (1980), "The extreme value method for estimating the variance of the rate of return"; Garman and
    Klass (1980), "On the estimation of security price volatilities from historical data"; Rogers and Satchell (1991),
    "Estimating variance from high, low and closing prices"; Yang and Zhang (2000), "Drift-independent volatility
    estimation based on high, low, open, and close prices".
    """
    window = positive("window", window)
    needed = window if min_periods is None else positive("min_periods", min_periods, maximum=window)
    ddof = positive("ddof", ddof, minimum=0)
    if garman_klass not in _GARMAN_KLASS:
        raise ArgumentError(f"garman_klass is {garman_klass!r}", allowed='"practical" or "full"')
    rows = Rows(offsets, values={"opening": opening, "high": high, "low": low, "close": close})
    out = rows.empty((4, rows.count), float_dtype(*rows.columns))
    shared = (window, needed, *_GARMAN_KLASS[garman_klass], ddof, out)
    if rows.count and rows.device:
        _ranges_cuda[grid_of(rows.count)](*rows.columns, rows.offsets, *shared)
    elif rows.count:
        tile = -(-max(_TILE, 4 * window) // window) * window if window <= rows.count else window
        on_cpu(_ranges_cpu, rows.count)(*rows.columns, rows.offsets, rows.tiles(tile), tile, *shared)
    return out


def parkinson(high: Array, low: Array, offsets: Array, window: int, *, min_periods: int | None = None) -> Array:
    """Parkinson's variance per bar: the mean of ln(high / low)² over the last `window` bars, divided by 4 ln 2: the
    first row of `range_variances`, where highs and lows are all there is.

    high, low   (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 1
    returns     (n,), pure number per bar (a variance; its root is the volatility)

    Missing values: as in `range_variances`.
    Raises: ArgumentError, DeviceError.
    Source: Parkinson (1980), "The extreme value method for estimating the variance of the rate of return".
    """
    first: Array = range_variances(low, high, low, low, offsets, window, min_periods=min_periods)[0]
    return first


def session_prices(opening: Array, high: Array, low: Array, close: Array, offsets: Array) -> Array:
    """One bar of each segment: its first open, highest high, lowest low and last close.

    opening, high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,)
    returns  (4, S): open, high, low, close, to be cut by entity for `range_variances`

    Missing values: bars that are not there, as in `range_variances`, are left out; NaN where a segment has none.
    Raises: ArgumentError, DeviceError.
    """
    rows = Rows(offsets, values={"opening": opening, "high": high, "low": low, "close": close})
    out = rows.empty((4, rows.segments), float_dtype(*rows.columns))
    if rows.segments and rows.device:
        _sessions_cuda[grid_of(rows.segments)](*rows.columns, rows.offsets, out)
    elif rows.segments:
        on_cpu(_sessions_cpu, rows.count, rows.segments)(*rows.columns, rows.offsets, out)
    return out
