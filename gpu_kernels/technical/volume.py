"""Prices with volume: on-balance volume, accumulation and distribution, and the oscillator of the latter."""

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, positive
from gpu_kernels.technical.gaps import Bars, suspect


@body
def _balance_segment(close, volume, start, stop, out):
    missing = 0
    if start < stop:
        total = out[start] = volume[start]
        missing += suspect(total + close[start])
    for row in range(start + 1, stop):
        change = close[row] - close[row - 1]
        total += volume[row] if change > 0.0 else (-volume[row] if change < 0.0 else 0.0)
        out[row] = total
        missing += suspect(change + volume[row])
    return missing


@cpu_loop
def _balance_cpu(close, volume, offsets, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        missing += _balance_segment(close, volume, offsets[segment], offsets[segment + 1], out[0])
    return missing


@cuda.jit
def _balance_cuda(close, volume, offsets, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _balance_segment(close, volume, offsets[segment], offsets[segment + 1], out[0])


@body
def _flow(high, low, close, volume):
    """The volume times where in its range a bar closed, from -1 at the low to 1 at the high; 0 without a range."""
    span = high - low
    return ((close - low) - (high - close)) / span * volume if span > 0.0 else 0.0


@body
def _accumulation_segment(high, low, close, volume, start, stop, fast, slow, out):
    """The running sum of flows; with a slow window, the fast less the slow exponential average of it, which both begin
    with its first value."""
    missing, total, quick, tardy = 0, 0.0, 0.0, 0.0
    fast_weight, slow_weight = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
    for row in range(start, stop):
        total += _flow(high[row], low[row], close[row], volume[row])
        missing += suspect((high[row] + low[row]) + (close[row] + volume[row]))
        if slow == 0:
            out[row] = total
        else:
            quick = total if row == start else fast_weight * total + (1.0 - fast_weight) * quick
            tardy = total if row == start else slow_weight * total + (1.0 - slow_weight) * tardy
            out[row] = quick - tardy if row - start >= max(fast, slow) - 1 else float("nan")
    return missing


@cpu_loop
def _accumulation_cpu(high, low, close, volume, offsets, fast, slow, out):
    missing = 0
    for segment in prange(offsets.shape[0] - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        missing += _accumulation_segment(high, low, close, volume, start, stop, fast, slow, out[0])
    return missing


@cuda.jit
def _accumulation_cuda(high, low, close, volume, offsets, fast, slow, out):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop = offsets[segment], offsets[segment + 1]
        _accumulation_segment(high, low, close, volume, start, stop, fast, slow, out[0])


def on_balance_volume(close: Array, volume: Array, offsets: Array) -> Array:
    """On-balance volume: the running sum of volume, plus where close rises and minus where it falls; the first bar of a
    segment counts as a rise.

    close, volume   (n,) float32, float64 or int64; offsets (S + 1,)
    returns         (n,) in the unit of volume; summed in float64

    Missing values: a bar with a NaN gives NaN and is stepped over: the next change is measured from the last close that
    was there.
    Raises: ArgumentError, DeviceError.
    Source: Granville (1963), "Granville's New Key to Stock Market Profits"; TA-Lib's OBV.
    """
    bars = Bars(offsets, {"close": close, "volume": volume})
    return bars.step_over(lambda rows: (rows.launch(1, _balance_cpu, _balance_cuda)[0],))[0]


def _accumulations(columns: dict[str, Array], offsets: Array, fast: int, slow: int) -> Array:
    bars = Bars(offsets, columns)
    loops = _accumulation_cpu, _accumulation_cuda
    return bars.step_over(lambda rows: (rows.launch(1, *loops, fast, slow)[0],))[0]


def accumulation_distribution(high: Array, low: Array, close: Array, volume: Array, offsets: Array) -> Array:
    """Chaikin's accumulation and distribution line: the running sum of volume * ((close - low) - (high - close)) /
    (high - low); a bar whose high is not above its low adds nothing.

    high, low, close, volume   (n,) float32, float64 or int64; offsets (S + 1,)
    returns                    (n,) in the unit of volume; summed in float64

    Missing values: a bar with a NaN gives NaN and is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Chaikin; Achelis (1995), "Technical Analysis from A to Z"; TA-Lib's AD.
    """
    return _accumulations({"high": high, "low": low, "close": close, "volume": volume}, offsets, 0, 0)


def accumulation_distribution_oscillator(
    high: Array, low: Array, close: Array, volume: Array, offsets: Array, fast_window: int = 3, slow_window: int = 10
) -> Array:
    """Chaikin's oscillator: the fast less the slow exponential average of the accumulation and distribution line, which
    both begin with the line's first value; a = 2 / (window + 1).

    Arrays as in `accumulation_distribution`; windows in bars, at least 2, the fast one may be the longer; returns (n,)
    in the unit of volume.

    Missing values: NaN at the first bars of a segment, one fewer than the longer window. A bar with a NaN gives NaN and
    is stepped over.
    Raises: ArgumentError, DeviceError.
    Source: Chaikin; Achelis (1995), "Technical Analysis from A to Z"; TA-Lib's ADOSC.
    """
    fast, slow = positive("fast_window", fast_window, 2), positive("slow_window", slow_window, 2)
    return _accumulations({"high": high, "low": low, "close": close, "volume": volume}, offsets, fast, slow)
