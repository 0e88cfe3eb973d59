"""VPIN: the imbalance of buys and sells on the clock of volume, with sides as told or from changes of price in bulk.

Volume is counted in whole lots, so that buckets fill exactly and sums have no rounding.
"""

import math
from typing import Any

import numpy as np

from gpu_kernels import rolling
from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import TILE_ROWS, Array, Rows, column, common_device, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import segment_of, tile_rows
from gpu_kernels.trade.columns import per_segment

_WEIGHTS = tuple(np.dtype(name) for name in ("int8", "int64", "float32", "float64"))
_TERMS = 300
"""Of the continued fraction: enough for all degrees of freedom; it ends when a term changes nothing."""


@body
def _whole(quantity, weight):
    """quantity * weight rounded to whole lots, halves away from zero, so that buys and sells mirror each other."""
    magnitude = np.int64(math.floor(quantity * abs(weight) + 0.5))
    return magnitude if weight > 0.0 else -magnitude


@body
def _bucket_step(state, ring, lots, weight, size):
    """Buckets after one more row. State: lots and imbalance of the open bucket, number of full buckets, sum of the
    ring; `ring` holds the absolute imbalance of the last full buckets."""
    filled, imbalance, buckets, total = state
    window = ring.shape[0]
    if math.isnan(weight):
        return state
    weight = min(1.0, max(-1.0, weight))
    while lots > 0:
        if filled == 0 and lots // size > window:
            # buckets that the ring would forget at once: a trade may be a thousand buckets
            skipped = lots // size - window
            buckets += skipped
            lots -= skipped * size
        piece = min(lots, size - filled)
        lots -= piece
        filled += piece
        imbalance += _whole(piece, weight)
        if filled == size:
            slot = buckets % window
            total += abs(imbalance) - ring[slot]
            ring[slot] = abs(imbalance)
            filled, imbalance, buckets = np.int64(0), np.int64(0), buckets + 1
    return filled, imbalance, buckets, total


@body
def _vpin_of(state, size, window):
    return state[3] / (np.float64(window) * size) if state[2] >= window else np.nan


@body
def _vpin_segment(lots, weight, start, stop, size, ring, out, buckets):
    ring[:] = 0
    state = (np.int64(0), np.int64(0), np.int64(0), np.int64(0))
    for row in range(start, stop):
        if size > 0:
            state = _bucket_step(state, ring, lots[row], np.float64(weight[row]), size)
        out[row] = _vpin_of(state, size, ring.shape[0])
        buckets[row] = state[2]


@body
def _beta_fraction(a, b, x):
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    value = d
    for term in range(1, _TERMS):
        even = term * (b - term) * x / ((a + 2 * term - 1.0) * (a + 2 * term))
        odd = -(a + term) * (a + b + term) * x / ((a + 2 * term) * (a + 2 * term + 1.0))
        for k in range(2):
            factor = even if k == 0 else odd
            d = 1.0 + factor * d
            c = 1.0 + factor / c
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1.0) < 1e-16:
            break
    return value


@body
def _both_tails(z, degrees):
    """P(|T| <= |z|) of Student's t: the regularised incomplete beta function of z² / (degrees + z²)."""
    a, b = 0.5, 0.5 * degrees
    x = 1.0 / (1.0 + degrees / (z * z)) if z != 0.0 else 0.0
    if x <= 0.0 or x >= 1.0:
        return x
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(1.0 - x)
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _beta_fraction(a, b, x) / a
    return 1.0 - math.exp(log_front) * _beta_fraction(b, a, 1.0 - x) / b


@body
def _bulk_weight(change, sigma, degrees):
    """Share of buys less share of sells: 2 CDF(change / sigma) - 1; degrees 0 is the normal distribution."""
    if math.isnan(change) or math.isnan(sigma):
        return np.nan
    if change == 0.0:
        return 0.0
    sign = 1.0 if change > 0.0 else -1.0
    if sigma == 0.0:
        return sign
    z = change / sigma
    return sign * _both_tails(z, degrees) if degrees > 0.0 else math.erf(z / math.sqrt(2.0))


@body
def _change(price, row, segment_start):
    return np.float64(price[row]) - np.float64(price[row - 1]) if row > segment_start else np.nan


@body
def _bulk_row(price, deviation, row, segment_start, degrees):
    # the deviation of the row before: the change that is judged must not widen its own measure
    sigma = np.float64(deviation[row - 1]) if row > segment_start else np.nan
    return _bulk_weight(_change(price, row, segment_start), sigma, degrees)


@cpu_loop
def _vpin_cpu(lots, weight, offsets, size, window, out, buckets):
    for segment in prange(offsets.shape[0] - 1):
        ring = np.empty(window, np.int64)
        _vpin_segment(lots, weight, offsets[segment], offsets[segment + 1], size[segment], ring, out, buckets)


@cpu_loop
def _change_cpu(price, offsets, tiles, tile, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            out[row] = _change(price, row, offsets[segment])


@cpu_loop
def _bulk_cpu(price, deviation, offsets, tiles, tile, degrees, out):
    for unit in prange(tiles[-1]):
        segment, first, last = tile_rows(unit, tiles, offsets, tile)
        for row in range(first, last):
            out[row] = _bulk_row(price, deviation, row, offsets[segment], degrees)


@cuda.jit
def _vpin_cuda(lots, weight, offsets, size, rings, out, buckets):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        start, stop = offsets[segment], offsets[segment + 1]
        _vpin_segment(lots, weight, start, stop, size[segment], rings[segment], out, buckets)


@cuda.jit
def _change_cuda(price, offsets, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _change(price, row, offsets[segment_of(offsets, row)])


@cuda.jit
def _bulk_cuda(price, deviation, offsets, degrees, out):
    row = cuda.grid(1)
    if row < out.shape[0]:
        out[row] = _bulk_row(price, deviation, row, offsets[segment_of(offsets, row)], degrees)


def change(price: Array, offsets: Array) -> Array:
    """Change of price since the row before: price - price', within the segment.

    price    (n,) float32, float64 or int64 ticks; offsets (S + 1,)
    returns  (n,) float64

    Missing values: NaN at a segment's first row and where either price is NaN.
    Raises: ArgumentError, DeviceError.
    """
    rows = Rows(offsets, values={"price": price})
    out = rows.empty(rows.count, np.float64)
    if rows.count and rows.device:
        _change_cuda[grid_of(rows.count)](rows.columns[0], rows.offsets, out)
    elif rows.count:
        on_cpu(_change_cpu, rows.count)(rows.columns[0], rows.offsets, rows.tiles(), TILE_ROWS, out)
    return out


def bulk_weight(price: Array, offsets: Array, window: int, *, degrees: float = 0.0) -> Array:
    """Bulk volume classification: the share of a bar's volume that was bought less the share that was sold,
    2 CDF(dp / sigma) - 1, with dp the bar's change of price and sigma the standard deviation of the `window` changes
    before it. The authors' sigma is that of the whole sample; this one knows the past alone.

    price    (n,) float32, float64 or int64 ticks, e.g. closes of bars; offsets (S + 1,)
    window   in changes, at least 2
    degrees  of freedom of Student's t, above 0 (0.25 is the authors' choice for futures); 0: the normal distribution
    returns  (n,) -1 to 1, float32 if price is, else float64

    Missing values: NaN at the first window + 1 rows of a segment and where a change among them is NaN. 0 where the
    price did not change; the change's sign where the changes before it were all equal.
    Raises: ArgumentError, DeviceError.
    Source: Easley, López de Prado and O'Hara (2016), "Discerning information from trade data".
    """
    window = positive("window", window, minimum=2)
    if not 0.0 <= degrees < np.inf:
        raise ArgumentError(f"degrees is {degrees!r}", allowed="0 (normal) or a number above 0")
    rows = Rows(offsets, values={"price": price})
    (price,) = rows.columns
    deviation = rolling.std(change(price, offsets), offsets, window)
    out = rows.empty(rows.count, float_dtype(price))
    if rows.count and rows.device:
        _bulk_cuda[grid_of(rows.count)](price, deviation, rows.offsets, float(degrees), out)
    elif rows.count:
        tiles = (rows.tiles(), TILE_ROWS)
        on_cpu(_bulk_cpu, rows.count)(price, deviation, rows.offsets, *tiles, float(degrees), out)
    return out


def vpin(lots: Array, weight: Array, offsets: Array, bucket_lots: Any, window: int = 50) -> tuple[Array, Array]:
    """Volume-synchronised probability of informed trading: the sum of |bought - sold| over the last `window` full
    buckets, divided by window * bucket_lots. A row larger than what is left of a bucket is split, lot by lot exactly.

    lots         (n,) int64, of trades or of bars in their order; not above 0: nothing traded
    weight       (n,) the row's share of buys less its share of sells: a side (int8 or int64; 0 adds to the volume
                 alone), or `bulk_weight` (float, held to -1..1). Each piece of k lots adds k * weight to its bucket's
                 imbalance, rounded to whole lots.
    bucket_lots  one whole number, or an int64 array (S,), e.g. `bucket_sizes` of the days before; where it is not above
                 0 the size is not known and the segment has no VPIN
    window       in buckets, at least 1; 50 is the authors' choice
    returns      vpin (n,) float64, 0 to 1, as known after each row; buckets (n,) int64, how many were full by then

    Missing values: NaN until `window` buckets of the segment are full. A row with a NaN weight is left out with its
    volume, since nobody knows its side.
    Raises: ArgumentError, DeviceError.
    Source: Easley, López de Prado and O'Hara (2012), "Flow toxicity and liquidity in a high-frequency world".
    """
    window = positive("window", window)
    rows = Rows(offsets, times={"lots": lots})
    common_device(weight=weight, offsets=offsets)
    weight = column("weight", weight, _WEIGHTS)
    if len(weight) != rows.count:
        raise ArgumentError(f"arrays of unequal length: lots {rows.count}, weight {len(weight)}", allowed="one length")
    size = per_segment("bucket_lots", bucket_lots, rows, np.int64)
    out, buckets = rows.empty(rows.count, np.float64), rows.empty(rows.count, np.int64)
    arrays = (rows.columns[0], weight, rows.offsets, size)
    if rows.count and rows.device:
        rings = rows.empty((rows.segments, window), np.int64)
        _vpin_cuda[grid_of(rows.segments)](*arrays, rings, out, buckets)
    elif rows.count:
        on_cpu(_vpin_cpu, rows.count, rows.segments)(*arrays, window, out, buckets)
    return out, buckets
