"""How new an item is: 1 minus the largest word overlap with what the same entity's stream has shown before.

    novelty_i = 1 - max_j |W_i and W_j| / |W_i or W_j|   (Jaccard, 1901)

over the items j < i received in the trailing window, of those the most recent ones up to a stated number. Only earlier
arrivals count, so an item's novelty never changes once it is known.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from gpu_kernels.errors import ArgumentError
from sentiment.text import words

Int64s = npt.NDArray[np.int64]


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


@njit(cache=True)
def _novelty(word, word_offsets, time, offsets, window, capacity, output):  # type: ignore[no-untyped-def]
    for segment in range(offsets.shape[0] - 1):
        oldest = offsets[segment]
        for item in range(offsets[segment], offsets[segment + 1]):
            while time[item] - time[oldest] > window:
                oldest += 1
            start, stop = word_offsets[item], word_offsets[item + 1]
            largest = 0.0
            for other in range(max(oldest, item - capacity), item):
                left, right = start, word_offsets[other]
                end = word_offsets[other + 1]
                shorter, longer = min(stop - left, end - right), max(stop - left, end - right)
                # the overlap is at most shorter / longer: most pairs are ruled out by their lengths alone
                if longer > 0 and shorter <= largest * longer:
                    continue
                common = 0
                while left < stop and right < end:
                    a, b = word[left], word[right]
                    common += a == b
                    left += a <= b
                    right += b <= a
                union = shorter + longer - common
                largest = max(largest, common / union if union > 0 else 1.0)
                if largest == 1.0:
                    break
            output[item] = 1.0 - largest


def novelty(
    texts: Sequence[str | None], time: Int64s, offsets: Int64s, *, window_ns: int, capacity: int = 200
) -> npt.NDArray[np.float64]:
    """Novelty in [0, 1] of each text against the earlier ones of its segment, float64 (N,).

    texts       N texts, segment by segment in arrival order
    time        int64 ns (N,) arrival, not falling within a segment; a tie counts in the order of the rows
    offsets     int64 (S + 1,) segments, each one entity's stream
    window_ns   an earlier item counts when time_i - time_j <= window_ns
    capacity    and when it is among the `capacity` items before i; this bounds the cost

    Missing values: a null text counts as one without words; two texts without words are the same text (novelty 0), and
    such a text is new against all others. The first item of a segment has novelty 1.
    Raises ArgumentError where lengths disagree, time falls, or a limit is not positive.
    """
    if window_ns < 0 or capacity < 1:
        raise ArgumentError(f"window_ns={window_ns}, capacity={capacity}", allowed="window_ns >= 0 and capacity >= 1")
    if not (len(texts) == len(time) == int(offsets[-1])):
        raise ArgumentError(
            f"{len(texts)} texts, {len(time)} times, offsets that end with {int(offsets[-1])}",
            allowed="three equal numbers",
        )
    falls = np.flatnonzero(np.diff(time) < 0) + 1
    if not np.isin(falls, offsets).all():
        raise ArgumentError(
            "time falls within a segment", allowed="rows sorted by (segment, time)", hint="sort the items first"
        )
    word, word_offsets = word_sets(texts)
    output = np.empty(len(texts), dtype=np.float64)
    _novelty(word, word_offsets, time, offsets, window_ns, capacity, output)
    return output
