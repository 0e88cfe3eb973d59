"""Who bought and who sold in a span of time: counts and volumes of trades before each decision."""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.decay import last_index
from gpu_kernels.dispatch import Array, Rows, grid_of, on_cpu, positive
from gpu_kernels.trade.columns import small_column


@body
def _flow_step(state, side, lots):
    """(buys, sells, lots bought, lots sold) after one more trade."""
    buys, sells, bought, sold = state
    if side > 0:
        return buys + 1, sells, bought + lots, sold
    if side < 0:
        return buys, sells + 1, bought, sold + lots
    return state


@body
def _totals_segment(side, lots, start, stop, totals):
    state = (np.int64(0), np.int64(0), np.int64(0), np.int64(0))
    for row in range(start, stop):
        state = _flow_step(state, side[row], lots[row])
        totals[0, row], totals[1, row], totals[2, row], totals[3, row] = state


@cpu_loop
def _totals_cpu(side, lots, offsets, totals):
    for segment in prange(offsets.shape[0] - 1):
        _totals_segment(side, lots, offsets[segment], offsets[segment + 1], totals)


@cuda.jit
def _totals_cuda(side, lots, offsets, totals):
    segment = cuda.grid(1)
    if segment < offsets.shape[0] - 1:
        _totals_segment(side, lots, offsets[segment], offsets[segment + 1], totals)


@body
def _within(totals, what, last, left):
    """Whole numbers: the difference of two totals is exact."""
    after = totals[what, last] if last >= 0 else np.int64(0)
    return after - totals[what, left] if left >= 0 else after


@cpu_loop
def _flow_cpu(totals, last, left, buys, sells, bought, sold):
    for i in prange(buys.shape[0]):
        buys[i], sells[i] = _within(totals, 0, last[i], left[i]), _within(totals, 1, last[i], left[i])
        bought[i], sold[i] = _within(totals, 2, last[i], left[i]), _within(totals, 3, last[i], left[i])


@cuda.jit
def _flow_cuda(totals, last, left, buys, sells, bought, sold):
    i = cuda.grid(1)
    if i < buys.shape[0]:
        buys[i], sells[i] = _within(totals, 0, last[i], left[i]), _within(totals, 1, last[i], left[i])
        bought[i], sold[i] = _within(totals, 2, last[i], left[i]), _within(totals, 3, last[i], left[i])


@body
def _balance(one, other):
    return np.float64(one - other) / np.float64(one + other) if one + other > 0 else np.nan


@cpu_loop
def _balance_cpu(one, other, out):
    for i in prange(out.shape[0]):
        out[i] = _balance(one[i], other[i])


@cuda.jit
def _balance_cuda(one, other, out):
    i = cuda.grid(1)
    if i < out.shape[0]:
        out[i] = _balance(one[i], other[i])


def _balanced(one: Array, other: Array, rows: Rows) -> Array:
    out = rows.empty(rows.count, np.float64)
    if rows.count and rows.device:
        _balance_cuda[grid_of(rows.count)](one, other, out)
    elif rows.count:
        on_cpu(_balance_cpu, rows.count)(one, other, out)
    return out


def trade_flow(
    time: Array, side: Array, lots: Array, offsets: Array, at: Array, at_offsets: Array, *, window_ns: int
) -> tuple[Array, Array, Array, Array]:
    """Numbers and lots of buys and sells with a time in (t - window_ns, t], for each t of `at`.

    time, lots   (n,) int64 ns never falling in a segment, int64; side (n,) int8 or int64, +1, -1 or 0; offsets (S + 1,)
    at           (m,) int64 ns, never falling in a segment; at_offsets (S + 1,): segment s looks at segment s. Give
                 interval ends less 1 ns for intervals that hold their start and not their end.
    returns      buys, sells, lots bought, lots sold, (m,) int64, exact

    Missing values: none; trades of side 0 are left out.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    """
    window_ns = positive("window_ns", window_ns, maximum=2**61)
    rows = Rows(offsets, times={"time": time, "lots": lots})
    time, lots = rows.columns
    sides = small_column("side", side, rows)
    decisions = Rows(at_offsets, times={"at": at}, offsets_name="at_offsets")
    last = last_index(time, rows.offsets, at, at_offsets)
    left = last_index(time, rows.offsets, at, at_offsets, lag_ns=window_ns)
    totals = rows.empty((4, rows.count), np.int64)
    out = [decisions.empty(decisions.count, np.int64) for _ in range(4)]
    if rows.count and rows.device:
        _totals_cuda[grid_of(rows.segments)](sides, lots, rows.offsets, totals)
    elif rows.count:
        on_cpu(_totals_cpu, rows.count, rows.segments)(sides, lots, rows.offsets, totals)
    if decisions.count and decisions.device:
        _flow_cuda[grid_of(decisions.count)](totals, last, left, *out)
    elif decisions.count:
        on_cpu(_flow_cpu, decisions.count)(totals, last, left, *out)
    return out[0], out[1], out[2], out[3]


def trade_imbalance(
    time: Array, side: Array, lots: Array, offsets: Array, at: Array, at_offsets: Array, *, window_ns: int
) -> tuple[Array, Array]:
    """Trade imbalance (bought - sold) / (bought + sold) over the trades of `trade_flow`, by number and by lots.

    Arrays and parameters as in `trade_flow`.
    returns   by number, by lots: (m,) float64, -1 (only sells) to 1 (only buys)

    Missing values: NaN where the span holds no trade whose side is known.
    Raises: ArgumentError (also where a time falls, or the segments differ in number), DeviceError.
    Source: Chordia, Roll and Subrahmanyam (2002), "Order imbalance, liquidity, and market returns".
    """
    decisions = Rows(at_offsets, times={"at": at}, offsets_name="at_offsets")
    buys, sells, bought, sold = trade_flow(time, side, lots, offsets, at, at_offsets, window_ns=window_ns)
    return _balanced(buys, sells, decisions), _balanced(bought, sold, decisions)
