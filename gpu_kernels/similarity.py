"""How much a row resembles what its segment has shown before: the largest cosine similarity, whose, and how many."""

import math

import numpy as np

from gpu_kernels._cuda import cuda
from gpu_kernels._jit import body, cpu_loop, prange
from gpu_kernels.dispatch import Array, Rows, column, common_device, grid_of, on_cpu, to_side
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_sorted, first_looked_at, looked_at, segment_of, tile_rows

_INT16, _FLOAT64 = (np.dtype(np.int16),), (np.dtype(np.float64),)
_TILE = 64  # rows of one unit of work: a row costs hundreds of products


@body
def _dot(one, other):
    """Exact: whole numbers have one sum whatever the order, so the compiler may add as it likes."""
    total = np.int64(0)
    for k in range(one.shape[0]):
        total += np.int64(one[k]) * np.int64(other[k])
    return total


@body
def _cosine(product, square, other_square):
    if square == 0 or other_square == 0:
        return 1.0 if square == other_square else 0.0
    # a root of a square is the number itself: a copy has similarity 1
    return np.float64(product) / math.sqrt(np.float64(square) * np.float64(other_square))


@body
def contradict(value, marks, row, earlier, apart):
    """Whether two rows cannot say the same thing, however alike they are: values too far apart, or marks on both and
    none in common."""
    both = marks[row] != 0 and marks[earlier] != 0
    return (both and marks[row] & marks[earlier] == 0) or abs(value[row] - value[earlier]) > apart


@body
def _nearest(vectors, squares, value, marks, first, row, apart, threshold):
    """(largest similarity, the row that has it, how many reach the threshold) among the rows [first, row)."""
    largest, nearest, repeats = np.nan, np.int64(-1), np.int64(0)
    for earlier in range(first, row):
        if contradict(value, marks, row, earlier, apart):
            continue
        similarity = _cosine(_dot(vectors[row], vectors[earlier]), squares[row], squares[earlier])
        repeats += 1 if similarity >= threshold else 0
        # of equals the latest
        if nearest < 0 or similarity >= largest:
            largest, nearest = similarity, np.int64(earlier)
    return largest, nearest, repeats


@cpu_loop
def _similarity_cpu(
    vectors,
    time,
    value,
    marks,
    offsets,
    tiles,
    tile,
    window,
    capacity,
    limit,
    either,
    apart,
    threshold,
    squares,
    largest,
    found,
):
    for row in prange(vectors.shape[0]):
        squares[row] = _dot(vectors[row], vectors[row])
    for unit in prange(tiles[-1]):
        segment, begin, end = tile_rows(unit, tiles, offsets, tile)
        for row in range(begin, end):
            first = first_looked_at(time, offsets[segment], row, window, capacity, limit, either)
            largest[row], found[0, row], found[1, row] = _nearest(
                vectors, squares, value, marks, first, row, apart, threshold
            )


@cuda.jit
def _squares_cuda(vectors, squares):
    row = cuda.grid(1)
    if row < vectors.shape[0]:
        squares[row] = _dot(vectors[row], vectors[row])


@cuda.jit
def _similarity_cuda(
    vectors, time, value, marks, offsets, window, capacity, limit, either, apart, threshold, squares, largest, found
):
    row = cuda.grid(1)
    if row < vectors.shape[0]:
        start = offsets[segment_of(offsets, row)]
        first = first_looked_at(time, start, row, window, capacity, limit, either)
        largest[row], found[0, row], found[1, row] = _nearest(
            vectors, squares, value, marks, first, row, apart, threshold
        )


def largest_similarity(
    vectors: Array,
    time: Array,
    offsets: Array,
    *,
    window_ns: int | None,
    capacity: int | None,
    either: bool = True,
    limit: int = 4096,
    threshold: float = 1.0,
    value: Array | None = None,
    marks: Array | None = None,
    apart: float = math.inf,
) -> tuple[Array, Array, Array]:
    """The largest cosine similarity of each row's vector to those of earlier rows of its segment.

        s_i = max over j of v_i . v_j / sqrt(|v_i|^2 |v_j|^2)

    over the rows j < i of the segment with time_i - time_j <= window_ns, or among the last `capacity` rows before i, or
    both; of those the last `limit`. Rows of equal time count in their order.

    vectors     (n, d) int16, row by row: fixed-point numbers of any scale
    time        (n,) int64 ns, never falling in a segment; offsets (S + 1,)
    window_ns   at least 0; None: that rule is not used
    capacity    at least 1; None: that rule is not used
    either      one rule suffices; else an earlier row must meet both
    limit       the most rows that a row is compared with, which bounds the cost; at least 1
    threshold   from which similarity on an earlier row counts as repeated; in [-1, 1]
    value       (n,) float64: rows whose values differ by more than `apart` (at least 0) are not compared
    marks       (n,) int64 sets of bits: rows that both have some, and none in common, are not compared

    returns   (n,) float64 s_i, in [-1, 1]
              (n,) int64 j, the latest row of that similarity
              (n,) int64 how many of the rows looked at have a similarity of at least `threshold`

    Products and sums are of whole numbers and exact, so that the same vectors give the same bits on any processor and
    any number of threads; equal vectors have similarity 1.0 exactly.

    Missing values: NaN, -1 and 0 where there is no earlier row to compare with. A NaN value is apart from none. A
    vector of zeros (nothing was said) has
    similarity 1 to another one, and 0 to any other.
    Raises: ArgumentError (also where a time falls, or where both rules are None), DeviceError.
    Source: definition; the last ten after Tetlock (2011), who compares a story's words with the ten before it.
    """
    window, last, limit = looked_at(window_ns, capacity, limit, either=either)
    if not -1 <= threshold <= 1:
        raise ArgumentError(f"threshold is {threshold}", allowed="-1 to 1")
    if not apart >= 0:
        raise ArgumentError(f"apart is {apart}", allowed="0 or more")
    common_device(vectors=vectors, time=time)
    vectors = column("vectors", vectors, _INT16, ndim=2)
    if len(vectors) != len(time):
        raise ArgumentError(f"{len(vectors)} vectors for {len(time)} times", allowed="one for each")
    value = to_side(np.zeros(len(time)), like=time) if value is None else column("value", value, _FLOAT64)
    marks = to_side(np.zeros(len(time), np.int64), like=time) if marks is None else marks
    rows = Rows(offsets, values={"value": value}, times={"time": time, "marks": marks})
    value, time, marks = rows.columns
    check_sorted("time", rows, time)
    squares, largest = rows.empty(rows.count, np.int64), rows.empty(rows.count, np.float64)
    found = rows.empty((2, rows.count), np.int64)
    rule = (window, last, limit, bool(either), float(apart), float(threshold))
    if rows.count and rows.device:
        _squares_cuda[grid_of(rows.count)](vectors, squares)
        _similarity_cuda[grid_of(rows.count)](vectors, time, value, marks, rows.offsets, *rule, squares, largest, found)
    elif rows.count:
        tiles = rows.tiles(_TILE)
        on_cpu(_similarity_cpu, vectors.size, int(tiles[-1]))(
            vectors, time, value, marks, rows.offsets, tiles, _TILE, *rule, squares, largest, found
        )
    return largest, found[0], found[1]
