"""How two entities move together: realised covariance, correlation and beta of returns on a common grid, per session
and moving; Hayashi and Yoshida's covariance of prices that are seen at different times, also with one clock shifted."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, float_dtype, grid_of, on_cpu, positive, to_side
from gpu_kernels.doubling import window_sums
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_same_segments, check_sorted, segment_of, tile_rows

_NEVER = np.int64(2**63 - 1)


class Covariance(NamedTuple):
    """Sums of products of returns and what follows from them. `beta` is that of y to x: covariance / variance_x."""

    variance_x: Array
    variance_y: Array
    covariance: Array
    correlation: Array
    beta: Array


@body
def write_covariance(out, place, xx, yy, xy, known):
    spread = math.sqrt(max(xx, 0.0)) * math.sqrt(max(yy, 0.0))
    out[0, place] = xx if known else np.nan
    out[1, place] = yy if known else np.nan
    out[2, place] = xy if known else np.nan
    out[3, place] = xy / spread if known and spread > 0.0 else np.nan
    out[4, place] = xy / xx if known and xx > 0.0 else np.nan


@body
def _products(x, y, first, last):
    """Sums of x², y² and x y over the rows where both are there, and how many these are."""
    xx, yy, xy, count = 0.0, 0.0, 0.0, 0
    for row in range(first, last):
        a, b = np.float64(x[row]), np.float64(y[row])
        if math.isfinite(a) and math.isfinite(b):
            xx, yy, xy, count = xx + a * a, yy + b * b, xy + a * b, count + 1
    return xx, yy, xy, count


@cpu_loop
def _session_cpu(x, y, offsets, out):
    for segment in prange(out.shape[1]):
        xx, yy, xy, count = _products(x, y, offsets[segment], offsets[segment + 1])
        write_covariance(out, segment, xx, yy, xy, count > 0)


@cuda.jit
def _session_cuda(x, y, offsets, out):
    segment = cuda.grid(1)
    if segment < out.shape[1]:
        xx, yy, xy, count = _products(x, y, offsets[segment], offsets[segment + 1])
        write_covariance(out, segment, xx, yy, xy, count > 0)


@cpu_loop
def _rolling_cpu(x, y, offsets, tiles, tile, window, min_periods, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        start = max(offsets[segment], first - window + 1)
        terms = np.empty((4, last - start))
        for i in range(last - start):
            a, b = np.float64(x[start + i]), np.float64(y[start + i])
            there = math.isfinite(a) & math.isfinite(b)
            terms[0, i], terms[1, i] = a * a if there else 0.0, b * b if there else 0.0
            terms[2, i], terms[3, i] = a * b if there else 0.0, 1.0 if there else 0.0
        halo = first - start
        xx, yy, xy = window_sums(terms[0], window, halo), window_sums(terms[1], window, halo), terms[2]
        xy, count = window_sums(xy, window, halo), window_sums(terms[3], window, halo)
        for i in range(last - first):
            write_covariance(out, first + i, xx[i], yy[i], xy[i], count[i] >= min_periods)


@cuda.jit
def _rolling_cuda(x, y, offsets, window, min_periods, out):
    row = cuda.grid(1)
    if row < out.shape[1]:
        first = max(offsets[segment_of(offsets, row)], row - window + 1)
        xx, yy, xy, count = _products(x, y, first, row + 1)
        write_covariance(out, row, xx, yy, xy, count >= min_periods)


@body
def observe(time, price, row, stop):
    """The next observation at or after `row`: (row after it, its time, its log price). Of the prices at one time the
    last counts; the log price is NaN where there is none."""
    found, at = np.nan, np.int64(0)
    while row < stop and (math.isnan(found) or time[row] == at):
        here = np.float64(price[row])
        if 0.0 < here < np.inf:
            found, at = here, time[row]
        row += 1
    return row, at, math.log(found)


@body
def _observe_every(time, price, row, stop, every):
    at, found = np.int64(0), np.nan
    for _ in range(every):
        row, at, found = observe(time, price, row, stop)
    return row, at, found


@body
def seek(time, price, row, stop, at, found, before, until):
    """Steps on from the observation (`at`, `found`) to the first at `until` or later, NaN where there is none; `before`
    is the log price of the one before it. Then the sum of squared returns that were passed, and how many."""
    squares, count = 0.0, 0
    while not math.isnan(found) and at < until:
        before = found
        row, at, found = observe(time, price, row, stop)
        if not math.isnan(found):
            squares, count = squares + (found - before) ** 2, count + 1
    return row, at, found, before, squares, count


@body
def _last_seen(at, found, before, until):
    """The log price as last seen at `until`, from what `seek` found; the first one of all, where none was earlier."""
    return found if not math.isnan(found) and (at == until or math.isnan(before)) else before


@body
def _hayashi_yoshida(time_x, price_x, offsets_x, time_y, price_y, offsets_y, every, lags, unit, out):
    """Unit: one segment with one lag, in the order of the output. The returns of y that overlap one of x make one
    return: from its last price at or before the interval's start to its first at or after the end."""
    segment, lag = unit // lags.shape[0], lags[unit % lags.shape[0]]
    x, stop_x, y, stop_y = offsets_x[segment], offsets_x[segment + 1], offsets_y[segment], offsets_y[segment + 1]
    x, until, base = observe(time_x, price_x, x, stop_x)
    y, at, found = observe(time_y, price_y, y, stop_y)
    y, at, found, before, yy, count_y = seek(time_y, price_y, y, stop_y, at, found, np.nan, until + lag)
    start = _last_seen(at, found, before, until + lag)
    xx, xy, count_x = 0.0, 0.0, 0
    x, until, level = _observe_every(time_x, price_x, x, stop_x, every)
    while not math.isnan(level):
        y, at, found, before, squares, count = seek(time_y, price_y, y, stop_y, at, found, before, until + lag)
        change, end = level - base, before if math.isnan(found) else found
        xx, yy, xy = xx + change * change, yy + squares, xy + change * (end - start)
        base, start = level, _last_seen(at, found, before, until + lag)
        count_x, count_y = count_x + 1, count_y + count
        x, until, level = _observe_every(time_x, price_x, x, stop_x, every)
    _, _, _, _, squares, count = seek(time_y, price_y, y, stop_y, at, found, before, _NEVER)
    write_covariance(out, unit, xx, yy + squares, xy, count_x > 0 and count_y + count > 0)


@cpu_loop
def _hayashi_yoshida_cpu(time_x, price_x, offsets_x, time_y, price_y, offsets_y, every, lags, out):
    for unit in prange(out.shape[1]):
        _hayashi_yoshida(time_x, price_x, offsets_x, time_y, price_y, offsets_y, every, lags, unit, out)


@cuda.jit
def _hayashi_yoshida_cuda(time_x, price_x, offsets_x, time_y, price_y, offsets_y, every, lags, out):
    unit = cuda.grid(1)
    if unit < out.shape[1]:
        _hayashi_yoshida(time_x, price_x, offsets_x, time_y, price_y, offsets_y, every, lags, unit, out)


def session_covariance(returns_x: Array, returns_y: Array, offsets: Array) -> Covariance:
    """Realised covariance of two entities on a common grid: sum of x y over a session; correlation: it over
    sqrt(sum of x² x sum of y²); beta of y to x: it over sum of x². No mean is taken off.

    returns_x, returns_y   (n,) float32 or float64, one row each grid point (`returns.session_returns`,
                           `returns.grid_returns`); offsets (S + 1,)
    returns  `Covariance`, each (S,); correlation without unit, in -1 to 1 but for rounding

    Missing values: a row where either return is NaN or infinite is left out of all three sums, so that the correlation
    keeps its bounds; a segment without rows gives NaN, as do correlation and beta over a variance of 0. A return that
    spans rows stepped over meets the other's return of its own row alone: fill such gaps by `grid_returns`, or use
    `hayashi_yoshida`.
    Raises: ArgumentError, DeviceError.
    Source: Barndorff-Nielsen and Shephard (2004), "Econometric analysis of realized covariation"; equal to rCov and
    rBeta (with rCov, and the variance of the index by rCov) of R's highfrequency.
    """
    rows = Rows(offsets, values={"returns_x": returns_x, "returns_y": returns_y})
    out = rows.empty((5, rows.segments), float_dtype(*rows.columns))
    if rows.segments and rows.device:
        _session_cuda[grid_of(rows.segments)](*rows.columns, rows.offsets, out)
    elif rows.segments:
        on_cpu(_session_cpu, rows.count, rows.segments)(*rows.columns, rows.offsets, out)
    return Covariance(*(out[k] for k in range(5)))


def rolling_covariance(
    returns_x: Array, returns_y: Array, offsets: Array, window: int, *, min_periods: int | None = None
) -> Covariance:
    """`session_covariance` of the last `window` rows of the segment, at each row.

    returns_x, returns_y   (n,) float32 or float64; offsets (S + 1,)
    window   rows, at least 1; min_periods, 1 to window: how many pairs a window must hold; default: window
    returns  `Covariance`, each (n,); summed anew over each window

    Missing values: as in `session_covariance`; NaN where fewer than `min_periods` pairs are in the window.
    Raises: ArgumentError, DeviceError.
    """
    window = positive("window", window)
    needed = window if min_periods is None else positive("min_periods", min_periods, maximum=window)
    rows = Rows(offsets, values={"returns_x": returns_x, "returns_y": returns_y})
    out = rows.empty((5, rows.count), float_dtype(*rows.columns))
    if rows.count and rows.device:
        _rolling_cuda[grid_of(rows.count)](*rows.columns, rows.offsets, window, needed, out)
    elif rows.count:
        shared = (rows.tiles(), TILE_ROWS, window, needed, out)
        on_cpu(_rolling_cpu, rows.count)(*rows.columns, rows.offsets, *shared)
    return Covariance(*(out[k] for k in range(5)))


def hayashi_yoshida(
    time_x: Array,
    price_x: Array,
    offsets_x: Array,
    time_y: Array,
    price_y: Array,
    offsets_y: Array,
    *,
    lag_ns: int | Sequence[int] = 0,
    every: int = 1,
) -> Covariance:
    """Hayashi and Yoshida's covariance of two log prices that are observed at different times: the sum, per segment, of
    dx dy over all pairs of returns whose intervals (from one observation to the next) overlap. It needs no grid, and so
    has none of the bias to 0 that one brings (Epps).

    time_x, time_y     (n,), (m,) int64 ns, never falling in a segment; of several prices at one time the last counts
    price_x, price_y   (n,), (m,) float32, float64 or int64 ticks
    offsets_x, offsets_y   (S + 1,): segment s of one is that of the other
    lag_ns   y's clock is put back by it: where the covariance is largest at a lag above 0, x leads y by it (Hoffmann,
             Rosenbaum and Yoshida 2013). One number, or several in one call.
    every    x is thinned to each `every`-th observation, from its first, and what is left at the end is dropped, as in
             rHYCov of R's highfrequency, whose `period` times `alignPeriod` seconds this is on x at each second. 1 is
             the paper's.
    returns  `Covariance`, each (S,), or (S, L) for L lags; the variances are the sums of squared returns between the
             observations (of the thinned x), noise included, where rHYCov has those of both on its slow grid

    Missing values: a price that is NaN, infinite or not above 0 is no observation. NaN where either has fewer than two.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Hayashi and Yoshida (2005), "On covariance estimation of non-synchronously observed diffusion processes";
    Hoffmann, Rosenbaum and Yoshida (2013), "Estimation of the lead-lag parameter from non-synchronous data".
    """
    every = positive("every", every)
    single = isinstance(lag_ns, int | np.integer)
    lags = np.atleast_1d(np.asarray(lag_ns))
    if lags.dtype.kind != "i" or lags.ndim != 1 or len(lags) == 0 or abs(lags).max() > 2**61:
        raise ArgumentError(f"lag_ns is {lag_ns!r}", allowed="whole numbers of ns, one or a sequence")
    one = Rows(offsets_x, values={"price_x": price_x}, times={"time_x": time_x}, offsets_name="offsets_x")
    two = Rows(offsets_y, values={"price_y": price_y}, times={"time_y": time_y}, offsets_name="offsets_y")
    check_same_segments(one, two)
    (price_x, time_x), (price_y, time_y) = one.columns, two.columns
    check_sorted("time_x", one, time_x)
    check_sorted("time_y", two, time_y)
    units = one.segments * len(lags)
    out = one.empty((5, units), float_dtype(price_x, price_y))
    on_side = to_side(lags.astype(np.int64), like=one.offsets)
    arguments = (time_x, price_x, one.offsets, time_y, price_y, two.offsets, every, on_side, out)
    if units and one.device:
        _hayashi_yoshida_cuda[grid_of(units)](*arguments)
    elif units:
        on_cpu(_hayashi_yoshida_cpu, (one.count + two.count) * len(lags), units)(*arguments)
    shape = (one.segments,) if single else (one.segments, len(lags))
    return Covariance(*(out[k].reshape(shape) for k in range(5)))
