"""How new a text is by its words: 1 minus the largest overlap with what the same entity's stream has shown before.

    novelty_i = 1 - max_j |W_i and W_j| / |W_i or W_j|   (Jaccard, 1901); the maximum is `largest_overlap`'s

over earlier texts j of the stream. Only earlier arrivals count, so a text's novelty never changes once it is known.
The cheap rule: it needs no model, sees retweets and reprints, and no paraphrase (sentiment.repeats does).
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gpu_kernels._jit import cpu_loop, prange
from gpu_kernels.dispatch import Rows, on_cpu
from gpu_kernels.errors import ArgumentError
from gpu_kernels.segments import check_sorted, first_looked_at, looked_at, tile_rows
from gpu_kernels.similarity import contradict
from sentiment.text import words

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_TILE = 256


def word_sets(texts: Sequence[str | None]) -> tuple[Int64s, Int64s]:
    """The word set of each text as sorted numbers: (word, offsets), text i being word[offsets[i] : offsets[i + 1]].

    Numbers follow first appearance; overlaps do not depend on which number a word got.
    Missing values: a null text has no words.
    """
    numbers: dict[str, int] = {}
    flat: list[int] = []
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    # a set's own order differs from process to process, hence the sort before a number is given
    for row, text in enumerate(texts):
        flat.extend(sorted(numbers.setdefault(word, len(numbers)) for word in sorted(words(text or ""))))
        offsets[row + 1] = len(flat)
    return np.array(flat, dtype=np.int64), offsets


@cpu_loop
def _overlaps(  # type: ignore[no-untyped-def]
    word,
    word_offsets,
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
    largest,
    found,
):
    for unit in prange(tiles[-1]):
        segment, begin, end_of_tile = tile_rows(unit, tiles, offsets, tile)
        for item in range(begin, end_of_tile):
            start, stop = word_offsets[item], word_offsets[item + 1]
            best, nearest, repeats = -1.0, np.int64(-1), np.int64(0)
            first = first_looked_at(time, offsets[segment], item, window, capacity, limit, either)
            for earlier in range(item - 1, first - 1, -1):
                if contradict(value, marks, item, earlier, apart):
                    continue
                left, right = start, word_offsets[earlier]
                end = word_offsets[earlier + 1]
                shorter, longer = min(stop - left, end - right), max(stop - left, end - right)
                # the overlap is at most shorter / longer: most pairs are ruled out by their lengths alone
                if longer > 0 and shorter <= best * longer and shorter < threshold * longer:
                    continue
                common = 0
                while left < stop and right < end:
                    a, b = word[left], word[right]
                    common += a == b
                    left += a <= b
                    right += b <= a
                union = shorter + longer - common
                overlap = common / union if union > 0 else 1.0
                repeats += 1 if overlap >= threshold else 0
                if overlap > best:
                    best, nearest = overlap, np.int64(earlier)
            largest[item] = best if nearest >= 0 else np.nan
            found[0, item], found[1, item] = nearest, repeats


def largest_overlap(
    texts: Sequence[str | None],
    time: Int64s,
    offsets: Int64s,
    *,
    window_ns: int | None,
    capacity: int | None,
    either: bool = True,
    limit: int = 4096,
    threshold: float = 1.0,
    value: Floats | None = None,
    marks: Int64s | None = None,
    apart: float = math.inf,
) -> tuple[Floats, Int64s, Int64s]:
    """The largest Jaccard similarity of each text's words to those of earlier texts of its segment.

    texts     N texts, segment by segment in arrival order
    time      int64 ns (N,) arrival, not falling within a segment; a tie counts in the order of the rows
    offsets   int64 (S + 1,) segments, each one entity's stream
    the rest  which rows are compared, and from what on one counts as repeated: as in
              gpu_kernels.similarity.largest_similarity; threshold above 0

    returns   float64 (N,) similarity in [0, 1], int64 (N,) the latest row that has it, int64 (N,) rows repeated

    Missing values: NaN, -1 and 0 where there is no earlier row. A null text counts as one without words; two texts
    without words are the same text (similarity 1), and such a text has similarity 0 to any other.
    Raises ArgumentError where lengths disagree, time falls, both rules are None, or a limit is not positive.
    """
    window, last, limit = looked_at(window_ns, capacity, limit, either=either)
    value = np.zeros(len(time)) if value is None else value
    marks = np.zeros(len(time), np.int64) if marks is None else marks
    rows = Rows(offsets, values={"value": value}, times={"time": time, "marks": marks})
    value, time, marks = rows.columns
    if len(texts) != rows.count:
        raise ArgumentError(f"{len(texts)} texts, {rows.count} times", allowed="one for each")
    check_sorted("time", rows, time)
    word, word_offsets = word_sets(texts)
    largest, found = np.empty(rows.count), np.empty((2, rows.count), np.int64)
    tiles = rows.tiles(_TILE)
    if rows.count:
        on_cpu(_overlaps, len(word), int(tiles[-1]))(
            word,
            word_offsets,
            time,
            value,
            marks,
            rows.offsets,
            tiles,
            _TILE,
            window,
            last,
            limit,
            either,
            float(apart),
            float(threshold),
            largest,
            found,
        )
    return largest, found[0], found[1]
