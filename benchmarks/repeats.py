"""Novelty: the largest similarity of each item to the earlier ones of its stream, against what one writes in NumPy and
with scikit-learn.

Streams of uneven length and items that come in bursts, with copies and near copies, as tweets do; the rule is the
default of sentiment.repeats: the last 24 hours or the last ten, whichever reaches further back. Peers get the same
vectors, normalised and as float32, ready for use; so their sums have rounding errors, hence the tolerance.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks.harness import Comparison, Outputs
from gpu_kernels.similarity import largest_similarity

DAY = 86_400 * 10**9
CAPACITY, WIDTH, SCALE = 10, 384, 32_767

Array = npt.NDArray[np.generic]


def comparisons(quick: bool) -> Iterator[Comparison]:
    rows, streams, days = (3_000, 12, 60) if quick else (60_000, 87, 730)
    vectors, unit, time, offsets = _stream(rows, streams, days)
    first = _first(time, offsets)

    def ours() -> Outputs:
        return largest_similarity(vectors, time, offsets, window_ns=DAY, capacity=CAPACITY)[:1]

    yield Comparison(
        f"novelty of {streams} streams, {(np.arange(rows) - first).mean():.0f} pairs an item",
        rows,
        "int16",
        vectors.nbytes + 24 * rows,
        ours,
        {
            "NumPy, item by item": lambda: _numpy(unit, first),
            "scikit-learn, stream by stream": lambda: _sklearn(unit, first, offsets),
        },
        tolerance=2e-6,
    )


def _stream(rows: int, streams: int, days: int) -> tuple[npt.NDArray[np.int16], Array, Array, Array]:
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, streams + 1)
    counts = np.floor(share / share.sum() * rows).astype(np.int64)
    counts[0] += rows - counts.sum()
    offsets = np.concatenate([[0], np.cumsum(counts)])
    vectors = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    time = np.empty(rows, np.int64)
    for begin, end in pairwise(offsets.tolist()):
        days_of = rng.integers(0, days, max(1, (end - begin) // 16))
        time[begin:end] = np.sort(rng.choice(days_of, end - begin) * DAY + rng.integers(0, DAY, end - begin))
        for row in range(begin + 1, end):
            if rng.random() < 0.3:
                vectors[row] = vectors[max(begin, row - int(rng.integers(1, 20)))]
                vectors[row] += rng.normal(scale=rng.choice([0.0, 0.3]), size=WIDTH).astype(np.float32)
    fixed = np.round(SCALE * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.int16)
    unit = fixed / np.linalg.norm(fixed.astype(np.float64), axis=1, keepdims=True)
    return fixed, unit.astype(np.float32), time, offsets


def _first(time: Array, offsets: Array) -> npt.NDArray[np.int64]:
    """The first row that each row looks at."""
    first = np.empty(len(time), np.int64)
    for begin, end in pairwise(offsets.tolist()):
        within = begin + np.searchsorted(time[begin:end], time[begin:end] - DAY)
        first[begin:end] = np.minimum(within, np.maximum(np.arange(begin, end) - CAPACITY, begin))
    return first


def _numpy(unit: Array, first: npt.NDArray[np.int64]) -> Outputs:
    out = np.full(len(unit), np.nan)
    for row, begin in enumerate(first.tolist()):
        if begin < row:
            out[row] = (unit[begin:row] @ unit[row]).max()
    return (out,)


def _sklearn(unit: Array, first: npt.NDArray[np.int64], offsets: Array) -> Outputs:
    out = np.full(len(unit), np.nan)
    block = 2048  # rows of one product: a stream's whole matrix would not fit
    for begin, end in pairwise(offsets.tolist()):
        for start in range(begin, end, block):
            stop = min(start + block, end)
            low = int(first[start])
            alike = cosine_similarity(unit[start:stop], unit[low:stop])
            column, row = np.arange(low, stop), np.arange(start, stop)[:, None]
            alike[(column < first[start:stop, None]) | (column >= row)] = -np.inf
            best = alike.max(axis=1)
            out[start:stop] = np.where(np.isinf(best), np.nan, best)
    return (out,)
