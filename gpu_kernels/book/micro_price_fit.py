"""Stoikov's micro-price, fitted: the adjustment of the mid-price in each state of the touch, from past rows."""

import json
from dataclasses import dataclass

import numpy as np

from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.book.levels import book_rows
from gpu_kernels.book.micro_price import state_of
from gpu_kernels.dispatch import Array, on_cpu, positive
from gpu_kernels.errors import ArgumentError, ModelError

# each doubling of the number of mid changes looked ahead squares what is left out; the slowest chain worth a name
# has forgotten its start after 2**40 of them
_DOUBLINGS = 40


@dataclass(frozen=True, slots=True)
class MicroPrice:
    """A fitted micro-price.

    adjustment   (spreads, buckets) float64, expected move of the mid in ticks; NaN in a state that was not seen enough
    count        (spreads, buckets) int64, rows seen in each state, mirror images together
    """

    adjustment: Array
    count: Array

    def to_json(self) -> str:
        """The model as one line of JSON; a state without an adjustment is null."""
        shown = [[None if np.isnan(x) else x for x in row] for row in self.adjustment.tolist()]
        return json.dumps({"adjustment": shown, "count": self.count.tolist()})

    @classmethod
    def from_json(cls, text: str) -> "MicroPrice":
        """The model that `to_json` wrote, to the bit; ModelError where the text is none."""
        try:
            read = json.loads(text)
            adjustment, count = np.array(read["adjustment"], np.float64), np.array(read["count"], np.int64)
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"no micro-price: {text[:80]!r}", allowed="what MicroPrice.to_json wrote") from error
        if adjustment.ndim != 2 or adjustment.shape[1] % 2 != 1 or adjustment.shape != count.shape:
            raise ModelError(
                f"a micro-price of adjustments {adjustment.shape} and counts {count.shape}",
                allowed="two tables of one shape, the number of columns odd",
            )
        return cls(adjustment, count)


@body
def _state(books, row, spreads, buckets):
    bid, bid_size, ask, ask_size = books
    spread, bucket = state_of(bid[row], bid_size[row], ask[row], ask_size[row], 1.0, spreads, buckets)
    return spread * buckets + bucket if spread >= 0 else -1


@cpu_loop
def _states_cpu(bid, bid_size, ask, ask_size, spreads, buckets, out):
    for row in prange(out.shape[0]):
        out[row] = _state((bid, bid_size, ask, ask_size), row, spreads, buckets)


def fit(
    bid_ticks: Array,
    bid_size: Array,
    ask_ticks: Array,
    ask_size: Array,
    offsets: Array,
    *,
    spreads: int = 4,
    buckets: int = 11,
    min_count: int = 30,
) -> MicroPrice:
    """The micro-price of a Markov chain over (spread in ticks, bucket of the imbalance), one step a row.

    With Q the probabilities of the steps that leave the mid where it is, R of those that move it, K their mean move,
    all made symmetric by adding each step's mirror image (bid and ask exchanged): G1 = (1 - Q)^-1 K is the expected
    first move, B = (1 - Q)^-1 R leads to the state after it, and the adjustment is the sum of B^k G1 over all k. By
    symmetry, what G1 sums to under the stationary law of B is 0, so the sum ends. Where the published fit leaves wide
    spreads out, those of `spreads` ticks and more are one row here.
    books      (n,) or (L, n), level 0 read; prices int64 ticks, sizes float32, float64 or int64; offsets (S + 1,)
    spreads    rows of the table; buckets, odd, so that equal sizes stand in the middle
    min_count  a state seen in fewer rows (mirror images together) has no adjustment, nor has one from which no move of
               the mid was seen; what comes after a step to such a state is taken to be as after the other steps
    returns    the model, for rows after those given

    Missing values: a row whose touch is missing is no state, and no step leads over it. One whose book is locked or
    crossed is stepped over, as in the author's own code: of consolidated quotes, whose venues do not move at once, many
    moves of the mid lead through such rows.
    Raises: ArgumentError (host arrays only; no state seen often enough).
    Source: Stoikov (2018), "The micro-price: a high-frequency estimator of future prices".
    """
    spreads, buckets = positive("spreads", spreads), positive("buckets", buckets, minimum=3)
    min_count = positive("min_count", min_count)
    if buckets % 2 != 1:
        raise ArgumentError(f"buckets is {buckets}", allowed="an odd number, so that equal sizes stand in the middle")
    rows, books = book_rows(offsets, bid_price=bid_ticks, bid_size=bid_size, ask_price=ask_ticks, ask_size=ask_size)
    if rows.device:
        raise ArgumentError("the books are on the GPU", allowed="host arrays", hint="copy the best level to the host")
    if books[0].dtype != np.int64 or books[2].dtype != np.int64:
        raise ArgumentError(f"prices are {books[0].dtype} and {books[2].dtype}", allowed="int64 ticks")
    best = [book[0] for book in books]
    locked = (best[1] > 0) & (best[3] > 0) & (best[0] >= best[2])
    best = [book[~locked] for book in best]
    count_of_rows = len(best[0])
    state = np.empty(count_of_rows, np.int64)
    if count_of_rows:
        on_cpu(_states_cpu, count_of_rows)(*best, spreads, buckets, state)
    states = spreads * buckets
    mirror = (np.arange(spreads)[:, None] * buckets + np.arange(buckets)[::-1]).ravel()

    whole = (state[:-1] >= 0) & (state[1:] >= 0)
    ends = rows.host_offsets - np.concatenate([[0], np.cumsum(locked)])[rows.host_offsets]
    inner = ends[(ends > 0) & (ends < count_of_rows)]
    whole[inner - 1] = False
    source, target = state[:-1][whole], state[1:][whole]
    # twice the mid is a whole number of ticks
    move = np.diff(best[0] + best[2])[whole] / 2
    stay, leave, drift = (np.zeros(size) for size in (states**2, states**2, states))
    for begin, end, moved in ((source, target, move), (mirror[source], mirror[target], -move)):
        step = begin * states + end
        stay += np.bincount(step[moved == 0], minlength=states**2)
        leave += np.bincount(step[moved != 0], minlength=states**2)
        drift += np.bincount(begin, weights=moved, minlength=states)
    still, moving = stay.reshape(states, states), leave.reshape(states, states)
    count = (still + moving).sum(axis=1).astype(np.int64)
    adjustment = np.full(states, np.nan)
    known = _recurring(still, moving, count >= min_count)
    if not known.any():
        raise ArgumentError(
            f"no state of the book was seen {min_count} times with a move of the mid after it, in {rows.count} rows",
            hint="give more rows, or lower min_count",
        )
    pick = np.ix_(known, known)
    # the steps kept of a state add up to 1; its mean move is of all its steps, over the rows that they begin
    kept = (still + moving)[pick].sum(axis=1)
    ahead = np.eye(int(known.sum())) - still[pick] / kept[:, None]
    total = np.linalg.solve(ahead, drift[known] / count[known])
    leads = np.linalg.solve(ahead, moving[pick] / kept[:, None])
    flipped = np.searchsorted(np.flatnonzero(known), mirror[known])
    for _ in range(_DOUBLINGS):
        total = total + leads @ total
        # rounding would grow along the direction that the chain never forgets, which symmetry says is not there
        total = (total - total[flipped]) / 2
        leads = leads @ leads
    adjustment[known] = total
    return MicroPrice(adjustment.reshape(spreads, buckets), count.reshape(spreads, buckets))


def _recurring(still: Array, moving: Array, known: Array) -> Array:
    """The states among `known` that lead, over states among them, to a move of the mid."""
    while True:
        inside = still * known
        leads: Array = known & ((moving * known).sum(axis=1) > 0)
        for _ in range(len(known)):
            leads = leads | (known & (inside @ leads > 0))
        if (leads == known).all():
            return leads
        known = leads
