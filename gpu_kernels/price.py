"""Returns over rows and the classic bar indicators, from closes, highs and lows. Prices are positive, in
quote currency."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.segments import segment_of, tile_rows


@body
def log_ratio(price, base):
    """ln(price / base); NaN where either is not above 0."""
    return math.log(np.float64(price) / np.float64(base)) if price > 0 and base > 0 else np.nan


@body
def _lagged_return(close, row, segment_start, lag):
    return log_ratio(close[row], close[row - lag]) if row - lag >= segment_start else np.nan


@cpu_loop
def _log_return_cpu(close, offsets, tiles, tile, lag, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            out[row] = _lagged_return(close, row, offsets[segment], lag)


@cuda.jit
def _log_return_cuda(close, offsets, lag, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _lagged_return(close, row, offsets[segment_of(offsets, row)], lag)


@body
def _wilder_step(average, seen, value, window):
    """Wilder's average after its `seen`-th value: the plain sum before `window` values, their mean at the last of
    them, then each new value with weight 1 / window."""
    weight = 1.0 / window
    if seen > window:
        return average * (1.0 - weight) + value * weight
    return (average + value) * weight if seen == window else average + value


@body
def _strength(gain, loss):
    # TA-Lib calls anything below 1e-14 zero, and the index of a price that does not move is 0
    total = gain + loss
    return 100.0 * gain / total if total >= 1e-14 else 0.0


@body
def _rsi_segment(close, start, stop, window, out):
    gain, loss, seen, previous = 0.0, 0.0, 0, np.nan
    for row in range(start, stop):
        price = np.float64(close[row])
        change = price - previous
        if not math.isnan(price):
            previous = price
        if not math.isnan(change):
            seen += 1
            gain = _wilder_step(gain, seen, max(change, 0.0), window)
            loss = _wilder_step(loss, seen, max(-change, 0.0), window)
        out[row] = _strength(gain, loss) if seen >= window and not math.isnan(price) else np.nan


@cpu_loop
def _rsi_cpu(close, offsets, window, out):
    for segment in prange(offsets.shape[0] - 1):
        _rsi_segment(close, offsets[segment], offsets[segment + 1], window, out)


@cuda.jit
def _rsi_cuda(close, offsets, window, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _rsi_segment(close, offsets[segment], offsets[segment + 1], window, out)


@body
def _atr_segment(high, low, close, start, stop, window, out):
    average, seen, previous = 0.0, 0, np.nan
    for row in range(start, stop):
        top, bottom, price = np.float64(high[row]), np.float64(low[row]), np.float64(close[row])
        present = not (math.isnan(top) or math.isnan(bottom) or math.isnan(price))
        if present:
            if not math.isnan(previous):
                seen += 1
                true_range = max(top - bottom, abs(top - previous), abs(bottom - previous))
                average = _wilder_step(average, seen, true_range, window)
            previous = price
        out[row] = average if present and seen >= window else np.nan


@cpu_loop
def _atr_cpu(high, low, close, offsets, window, out):
    for segment in prange(offsets.shape[0] - 1):
        _atr_segment(high, low, close, offsets[segment], offsets[segment + 1], window, out)


@cuda.jit
def _atr_cuda(high, low, close, offsets, window, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _atr_segment(high, low, close, offsets[segment], offsets[segment + 1], window, out)


def log_return(close: Array, offsets: Array, lag: int) -> Array:
    """Log return over `lag` rows: ln(close / close of `lag` rows before), within the segment.

    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); lag in rows, at least 1
    returns  (n,), pure number; divided and logged in float64

    Missing values: NaN at the first `lag` rows of a segment and where either close is NaN or not above 0.
    Raises: ArgumentError, DeviceError.
    """
    lag = positive("lag", lag)
    rows = Rows(offsets, values={"close": close})
    (close,) = rows.columns
    out = rows.empty(rows.count, float_dtype(close))
    if rows.count and rows.device:
        _log_return_cuda[grid_of(rows.count)](close, rows.offsets, lag, out)
    elif rows.count:
        on_cpu(_log_return_cpu, rows.count)(close, rows.offsets, rows.tiles(), TILE_ROWS, lag, out)
    return out


def rsi(close: Array, offsets: Array, window: int) -> Array:
    """Wilder's relative strength index: 100 * gain / (gain + loss), each Wilder's average of the rises and falls of
    close.

    The first average is the mean of the first `window` changes; then average = (average (window - 1) + new) / window.
    close    (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in changes, at least 1
    returns  (n,), 0 to 100; 0 where gain + loss is below 1e-14, as in TA-Lib

    Missing values: NaN at the first `window` rows of a segment. A NaN close gives NaN and is stepped over: the next
    change is measured from the last close that was there.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's RSI.
    """
    window = positive("window", window)
    rows = Rows(offsets, values={"close": close})
    (close,) = rows.columns
    out = rows.empty(rows.count, float_dtype(close))
    if rows.count and rows.device:
        _rsi_cuda[grid_of(rows.segments)](close, rows.offsets, window, out)
    elif rows.count:
        on_cpu(_rsi_cpu, rows.count, rows.segments)(close, rows.offsets, window, out)
    return out


def atr(high: Array, low: Array, close: Array, offsets: Array, window: int) -> Array:
    """Average true range: Wilder's average of max(high - low, |high - close before|, |low - close before|).

    The first average is the mean of the first `window` true ranges; the segment's first bar has none.
    high, low, close   (n,) float32, float64 or int64 ticks; offsets (S + 1,); window in bars, at least 1
    returns            (n,) in the unit of the prices

    Missing values: NaN at the first `window` bars of a segment. A bar with a NaN gives NaN and is stepped over: the
    next true range is measured from the last close that was there.
    Raises: ArgumentError, DeviceError.
    Source: Wilder (1978), "New Concepts in Technical Trading Systems"; TA-Lib's ATR.
    """
    window = positive("window", window)
    rows = Rows(offsets, values={"high": high, "low": low, "close": close})
    high, low, close = rows.columns
    out = rows.empty(rows.count, float_dtype(high, low, close))
    if rows.count and rows.device:
        _atr_cuda[grid_of(rows.segments)](high, low, close, rows.offsets, window, out)
    elif rows.count:
        on_cpu(_atr_cpu, rows.count, rows.segments)(high, low, close, rows.offsets, window, out)
    return out
