"""How well a score orders what is alike at one time: its correlations with forward returns across the entities of each
decision."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, float_dtype, grid_of, on_cpu, positive
from gpu_kernels.errors import ArgumentError


@body
def _sort(values, order, begin, count):
    """Puts the rows order[begin], ..., order[begin + count - 1] in the order of rising values (Shell's sort: in place,
    which neither recursion nor a thread's own memory is needed for)."""
    gap = 1
    while 3 * gap + 1 < count:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(begin + gap, begin + count):
            row = order[i]
            j = i
            while j >= begin + gap and values[order[j - gap]] > values[row]:
                order[j] = order[j - gap]
                j -= gap
            order[j] = row
        gap //= 3


@body
def _last_equal(values, order, first, end):
    """The last place of those whose value is that of the place `first`."""
    last = first
    while last + 1 < end and values[order[last + 1]] == values[order[first]]:
        last += 1
    return last


@body
def _rank_correlation(x, y, order, rank, begin, count):
    """Of doubled average ranks less their mean: whole numbers, whose sums are exact."""
    end = begin + count
    square_x, square_y, cross = np.int64(0), np.int64(0), np.int64(0)
    _sort(x, order, begin, count)
    first = begin
    while first < end:
        last = _last_equal(x, order, first, end)
        u = np.int64(first + last + 1 - 2 * begin - count)
        for i in range(first, last + 1):
            rank[order[i]] = u
            square_x += u * u
        first = last + 1
    _sort(y, order, begin, count)
    first = begin
    while first < end:
        last = _last_equal(y, order, first, end)
        v = np.int64(first + last + 1 - 2 * begin - count)
        for i in range(first, last + 1):
            square_y += v * v
            cross += rank[order[i]] * v
        first = last + 1
    if square_x == 0 or square_y == 0:
        return np.nan
    # the root of a square is the number itself: the same order has correlation 1
    return np.float64(cross) / math.sqrt(np.float64(square_x) * np.float64(square_y))


@body
def _correlation(x, y, order, begin, count):
    """Of the values over the largest of them, so that no square overflows or vanishes; two passes."""
    largest_x, largest_y = 0.0, 0.0
    for i in range(begin, begin + count):
        largest_x = max(largest_x, abs(np.float64(x[order[i]])))
        largest_y = max(largest_y, abs(np.float64(y[order[i]])))
    if largest_x == 0.0 or largest_y == 0.0:
        return np.nan
    mean_x, mean_y = 0.0, 0.0
    for i in range(begin, begin + count):
        mean_x += np.float64(x[order[i]]) / largest_x
        mean_y += np.float64(y[order[i]]) / largest_y
    mean_x /= count
    mean_y /= count
    square_x, square_y, cross = 0.0, 0.0, 0.0
    for i in range(begin, begin + count):
        u = np.float64(x[order[i]]) / largest_x - mean_x
        v = np.float64(y[order[i]]) / largest_y - mean_y
        square_x += u * u
        square_y += v * v
        cross += u * v
    scale = math.sqrt(square_x * square_y)
    if scale <= 0.0:
        return np.nan
    return min(1.0, max(-1.0, cross / scale))


@body
def _decide(score, returns, offsets, decision, least, order, rank, rank_ic, ic, rows):
    """One decision and one horizon. `order` and `rank` are as long as the score: each decision has its own part."""
    begin, count = offsets[decision], np.int64(0)
    for row in range(begin, offsets[decision + 1]):
        if math.isfinite(np.float64(score[row])) and math.isfinite(np.float64(returns[row])):
            order[begin + count] = row
            count += 1
    rows[decision] = count
    if count < least:
        rank_ic[decision], ic[decision] = np.nan, np.nan
        return
    # the values first, while they lie in the order of the rows: sorting makes the order that of equal returns' luck
    value = _correlation(score, returns, order, begin, count)
    ordered = _rank_correlation(score, returns, order, rank, begin, count)
    # a score that is the same for all has no correlation; rounding of its mean would give it one
    rank_ic[decision], ic[decision] = ordered, (np.nan if math.isnan(ordered) else value)


@cpu_loop
def _information_coefficients_cpu(score, returns, offsets, least, order, rank, rank_ic, ic, rows):
    for decision in prange(offsets.shape[0] - 1):
        for h in range(returns.shape[0]):
            _decide(
                score, returns[h], offsets, decision, least, order[h], rank[h], rank_ic[h], ic[h], rows[h]
            )  # fmt: skip


@cuda.jit
def _information_coefficients_cuda(score, returns, offsets, least, order, rank, rank_ic, ic, rows):
    unit = cuda.grid(1)
    decisions = offsets.shape[0] - 1
    if unit < decisions * returns.shape[0]:
        h = unit // decisions
        _decide(
            score, returns[h], offsets, unit % decisions, least, order[h], rank[h], rank_ic[h], ic[h], rows[h]
        )  # fmt: skip


def information_coefficients(
    score: Array, returns: Array, offsets: Array, *, min_rows: int = 2
) -> tuple[Array, Array, Array]:
    """Spearman's and Pearson's correlation of score and forward return across the entities, decision by decision.

        rank_ic[h, d] = corr(rank(score_i), rank(return_hi)),   ic[h, d] = corr(score_i, return_hi),   i in decision d

    with average ranks of ties, taken among the entities of the decision that have both values.

    score     (n,) in any unit, rows sorted by decision
    returns   (H, n) one row of forward returns per horizon, in any unit
    offsets   (D + 1,) decision d is rows offsets[d] to offsets[d + 1]
    min_rows  fewer entities than this have no correlation; at least 2, of which it is 1 or -1

    returns   (H, D) rank_ic and ic, float32 where score and returns are, else float64; (H, D) int64 rows that count

    Ranks are whole numbers and their sums exact up to two million entities, so that equal orders give 1.0 exactly. A
    decision depends on its own rows alone.

    Missing values: a row whose score or return is not finite is left out, horizon by horizon; NaN where fewer than
    min_rows are left, or where score or return is the same for all.
    Raises: ArgumentError, DeviceError.
    Source: Spearman (1904), Pearson (1895); the information coefficient of a date of Grinold & Kahn (2000). The variant
    is that of scipy.stats.spearmanr and hence of alphalens.
    """
    least = positive("min_rows", min_rows, 2)
    common_device(score=score, returns=returns, offsets=offsets)
    table = Rows(offsets, values={"score": score})
    (score,) = table.columns
    returns = column("returns", returns, ndim=2)
    if returns.shape[1] != table.count:
        raise ArgumentError(f"returns has shape {returns.shape}", allowed=f"(horizons, {table.count})")
    horizons, decisions = returns.shape[0], table.segments
    dtype = float_dtype(score, returns)
    rank_ic, ic = table.empty((horizons, decisions), dtype), table.empty((horizons, decisions), dtype)
    rows = table.empty((horizons, decisions), np.int64)
    order, rank = (table.empty((horizons, table.count), np.int64) for _ in range(2))
    arguments = (score, returns, table.offsets, least, order, rank, rank_ic, ic, rows)
    if decisions and horizons and table.device:
        _information_coefficients_cuda[grid_of(decisions * horizons)](*arguments)
    elif decisions and horizons:
        on_cpu(_information_coefficients_cpu, horizons * table.count, decisions)(*arguments)
    return rank_ic, ic, rows
