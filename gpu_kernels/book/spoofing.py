"""Spoofing and layering: large orders away from the touch that vanish unfilled while others trade against them; and the
book without the volume that is likely to vanish.

It reads what each row of a feed places and takes away, which `orders.origins` knows of order events (level 3) and
`book.origins` guesses from level-2 updates, so both sources share one detector. The step is in `book.spoofing_state`.
One thread per segment: what a row means depends on the rows before it.
"""

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book import spoofing_state as state
from gpu_kernels.book.levels import level_major
from gpu_kernels.dispatch import Array, Rows, column, grid_of, on_cpu, positive, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.trade.columns import small_column
from gpu_kernels.trade.volume import aggressor_volume

SECOND = 10**9

_INT64 = (np.dtype(np.int64),)


@body
def _segment(
    time,
    tick,
    placed,
    origin,
    side,
    gone,
    bids,
    asks,
    bid_sizes,
    ask_sizes,
    traded,
    earlier,
    rate,
    first,
    end,
    spans,
    limits,
    numbers,
    marks,
    open_orders,
    outcomes,
    found,
    began,
    clean_bids,
    clean_asks,
):
    state.start(numbers, marks, outcomes)
    for row in range(first, end):
        seller = 1 if side[row] > 0 else 0
        found[0, row], began[row], found[1, row], found[2, row] = state.step(
            numbers, marks, open_orders, outcomes, time[row], row, side[row], tick[row], placed[row], origin[row],
            gone[0, row], gone[1, row], traded[seller, row], earlier[seller, row], rate[seller, row], bids, bid_sizes,
            asks, ask_sizes, spans, limits,
        )  # fmt: skip
        state.clean(
            numbers, marks, open_orders, outcomes, time[row], row, bids, bid_sizes, asks, ask_sizes,
            spans[state.MAX_AGE], clean_bids, clean_asks,
        )  # fmt: skip


@cpu_loop
def _spoofing_cpu(
    time, tick, placed, origin, side, gone, bids, asks, bid_sizes, ask_sizes, offsets, traded, earlier, rate, spans,
    limits, found, began, clean_bids, clean_asks,
):  # fmt: skip
    for s in prange(offsets.shape[0] - 1):
        numbers, marks = np.empty(state.NUMBERS), np.empty(state.MARKS, np.int64)
        open_orders = np.empty((state.OPEN, state.FIELDS), np.int64)
        outcomes = np.empty((state.CELLS, state.AGES, 2))
        begin, end = offsets[s], offsets[s + 1]
        _segment(
            time, tick, placed, origin, side, gone, bids, asks, bid_sizes, ask_sizes, traded, earlier, rate, begin, end,
            spans, limits, numbers, marks, open_orders, outcomes, found, began, clean_bids, clean_asks,
        )  # fmt: skip


@cuda.jit
def _spoofing_cuda(
    time, tick, placed, origin, side, gone, bids, asks, bid_sizes, ask_sizes, offsets, traded, earlier, rate, spans,
    limits, numbers, marks, open_orders, outcomes, found, began, clean_bids, clean_asks,
):  # fmt: skip
    s = cuda.grid(1)
    if s < offsets.shape[0] - 1:
        begin, end = offsets[s], offsets[s + 1]
        _segment(
            time, tick, placed, origin, side, gone, bids, asks, bid_sizes, ask_sizes, traded, earlier, rate, begin, end,
            spans, limits, numbers[s], marks[s], open_orders[s], outcomes[s], found, began, clean_bids, clean_asks,
        )  # fmt: skip


def spoofing(
    time: Array,
    price_ticks: Array,
    placed: Array,
    origin: Array,
    gone: Array,
    side: Array,
    bid_ticks: Array,
    bid_sizes: Array,
    ask_ticks: Array,
    ask_sizes: Array,
    offsets: Array,
    trade_time: Array,
    trade_lots: Array,
    aggressor: Array,
    trade_offsets: Array,
    *,
    large: float = 0.5,
    away_ticks: int = 3,
    min_age_ns: int = SECOND // 5,
    max_age_ns: int = 12 * SECOND,
    before_ns: int = 0,
    together_ns: int = SECOND // 10,
    half_life_ns: int = 100 * SECOND,
    clear: float = 2.0,
    opposite: float = 1.0,
) -> tuple[Array, Array, Array, Array, Array]:
    """Score of spoofing at each row that takes a suspected order away, and the book's sizes without suspected volume.

    Watched is an order of at least `large` typical level sizes, at least `away_ticks` behind the best price and within
    the levels shown, so that it leans the shown book. The typical level size is the mean of the levels' sizes over the
    time before the row, faded. When such an order is cancelled `min_age_ns` to `max_age_ns` after it was placed, at
    most a tenth of it executed, it joins the group of its side's cancels of the last `together_ns` (layering: several
    levels at once). With G the lots of the group over the typical level size, V the lots that aggressors of the
    other side traded from `before_ns` before the group's first order on, E what they would have traded at their faded
    mean rate (`trade.volume`):

        S = log2(1 + (G ((1 - opposite) + opposite V / (V + E)) / clear) ** 2)

    and a row's score is what it adds to its group's S. So a group of `clear` typical level sizes while far more than
    usual is traded against it scores 1 in all, of three times that, 3.3, of a third, 0.15: the square keeps the many
    ordinary cancels from adding up to a spoof. It is known at the cancel and not earlier; trades after it are not
    waited for. The score of a window is `decay.decayed_sum` of the scores; with a half-life of 30 s it is 1 or more for
    about a hundredth of a simulated hour without spoofs.

    Cleaned sizes: while a watched order rests and is not older than `max_age_ns`, its lots count only by 1 - p, p the
    share of the volume of earlier such orders of this segment (classes: size and distance below 2, below 4 times the
    limits, above; age reached below 1/8, 1/4, 1/2 of max_age_ns, above) that vanished by max_age_ns; p is drawn
    to the share of all classes, and that to 1/2, by the weight of five typical level sizes.

    time, price_ticks, placed, origin   (n,) int64; gone (2, n) int64: as `orders.origins` or `book.origins` give them.
                     Rows of one time are told one after another
    side             (n,) int8 or int64, +1 bid, -1 ask; that of a row is the side of its `origin`
    bid_ticks, bid_sizes, ask_ticks, ask_sizes   (L, n) the book after each row, from `book.rebuild`: int64 ticks, sizes
                     in the lots of `placed`
    trade_time, trade_lots, aggressor   (m,) int64 ns never falling, int64 lots, int8 or int64 +1 buyer -1 seller (0
                     left out); counted from trade_time <= time on
    large            typical level sizes, above 0; away_ticks at least 1; the spans in ns, min_age_ns and before_ns and
                     together_ns at least 0; half_life_ns of the typical size and the mean rates
    clear            typical level sizes, above 0; opposite 0 (trades do not matter) to 1 (no score without trades)
    returns          score (n,) float64; began (n,) int64 ns, when the first order of the group was placed, -1 where no
                     suspected order vanishes; group (2, n) float64: G, V / (V + E); clean_bid_sizes, clean_ask_sizes
                     (L, n) float64

    The defaults were chosen on the development seeds of the simulated market (docs/simulated_order_book.md), whose
    ticks are 2e-5 of the price; in a market of finer ticks `away_ticks` is to be raised.
    No more than 128 orders are watched at once; another one takes the place of the oldest.
    Missing values: where the best size of either side is NaN nobody knows the book: score and group are NaN, and what
    was watched is dropped. A cleaned size is NaN where the size is.
    Raises: ArgumentError (also where a time falls), DeviceError.
    Source: the pattern is that of Lee, Eom and Park (2013), "Microstructure-based manipulation: strategic behavior and
    performance of spoofing traders", and of Do and Putnins (2023), "Detecting layering and spoofing in markets": large
    orders away from the touch, imbalance, cancels, trades of the other side. Why it pays to lean the book: Cartea,
    Jaimungal and Wang (2020), "Spoofing and price manipulation in order-driven markets". The measures are ours.
    """
    spans, limits = parameters(
        away_ticks, min_age_ns, max_age_ns, before_ns, together_ns, large, half_life_ns, clear, opposite
    )
    rows = Rows(offsets, times={"time": time, "price_ticks": price_ticks, "placed": placed, "origin": origin})
    small = (small_column("side", side, rows),)
    taken = column("gone", gone, _INT64, ndim=2)
    ticks = [
        column(name, array, _INT64, ndim=2) for name, array in (("bid_ticks", bid_ticks), ("ask_ticks", ask_ticks))
    ]
    _, books = level_major(bid_ticks=ticks[0], ask_ticks=ticks[1], bid_sizes=bid_sizes, ask_sizes=ask_sizes)
    for name, array, lengths in (("gone", taken, (2, rows.count)), ("books", books[0], (len(books[0]), rows.count))):
        if tuple(array.shape) != lengths:
            raise ArgumentError(f"{name} has shape {tuple(array.shape)}", allowed=f"{lengths}")
    trades = (trade_time, trade_lots, aggressor, trade_offsets, rows.columns[0], rows.offsets)
    traded, rate = aggressor_volume(*trades, half_life_ns=half_life_ns)
    earlier, _ = aggressor_volume(*trades, half_life_ns=half_life_ns, lag_ns=before_ns)
    levels = int(books[0].shape[0])
    found, began = rows.empty((3, rows.count), np.float64), rows.empty(rows.count, np.int64)
    cleaned = [rows.empty((levels, rows.count), np.float64) for _ in range(2)]
    shared = (
        *rows.columns,
        *small,
        taken,
        *books,
        rows.offsets,
        traded,
        earlier,
        rate,
        to_side(spans, like=rows.offsets),
        to_side(limits, like=rows.offsets),
    )
    if rows.count and rows.device:
        segments = rows.segments
        kept = (
            rows.empty((segments, state.NUMBERS), np.float64),
            rows.empty((segments, state.MARKS), np.int64),
            rows.empty((segments, state.OPEN, state.FIELDS), np.int64),
            rows.empty((segments, state.CELLS, state.AGES, 2), np.float64),
        )
        _spoofing_cuda[grid_of(segments)](*shared, *kept, found, began, *cleaned)
    elif rows.count:
        on_cpu(_spoofing_cpu, rows.count, rows.segments)(*shared, found, began, *cleaned)
    return found[0], began, found[1:], cleaned[0], cleaned[1]


def parameters(
    away_ticks: int,
    min_age_ns: int,
    max_age_ns: int,
    before_ns: int,
    together_ns: int,
    large: float,
    half_life_ns: int,
    clear: float,
    opposite: float,
) -> tuple[Array, Array]:
    """The parameters checked: `spans` and `limits` of `spoofing_state`."""
    max_age = positive("max_age_ns", max_age_ns, maximum=2**58)
    spans = np.array(
        [
            positive("away_ticks", away_ticks, maximum=2**40),
            positive("min_age_ns", min_age_ns, minimum=0, maximum=max_age),
            max_age,
            positive("before_ns", before_ns, minimum=0, maximum=2**61),
            positive("together_ns", together_ns, minimum=0, maximum=2**61),
        ],
        np.int64,
    )
    for name, value in (("large", large), ("clear", clear)):
        if not 0.0 < value < np.inf:
            raise ArgumentError(f"{name} is {value!r}", allowed="a finite number above 0")
    if not 0.0 <= opposite <= 1.0:
        raise ArgumentError(f"opposite is {opposite!r}", allowed="0 to 1")
    return spans, np.array([large, positive("half_life_ns", half_life_ns), clear, opposite], np.float64)
