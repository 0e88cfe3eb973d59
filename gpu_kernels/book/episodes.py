"""From a flag on each row to the intervals in which it was up."""

import numpy as np

from gpu_kernels.dispatch import Array, Rows, to_host


def episodes(
    time: Array, flag: Array, score: Array, offsets: Array, *, gap_ns: int = 0
) -> tuple[Array, Array, Array, Array]:
    """The runs of rows whose flag is above 0, and the highest score in each. Host arrays, or copies of device ones.

    time     (n,) int64 ns, never falling within a segment; flag and score (n,); offsets (S + 1,)
    gap_ns   runs of one segment that are no further apart than this are one
    returns  start, end (the first row whose flag is down again, or the segment's last), highest score, segment; (k,)

    Missing values: a flag of NaN is down; scores of NaN are passed over, and a run of nothing else has NaN.
    Raises: ArgumentError, DeviceError.
    """
    rows = Rows(offsets, values={"flag": flag, "score": score}, times={"time": time})
    flag, score, time = (to_host(array) for array in rows.columns)
    segment = np.repeat(np.arange(rows.segments), np.diff(rows.host_offsets))
    if rows.count == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    edge = np.append(True, segment[1:] != segment[:-1])
    up = flag > 0
    begins = np.flatnonzero(up & (edge | ~np.append(False, up[:-1])))
    stops = np.flatnonzero(up & np.append(edge[1:] | ~up[1:], True))
    after = np.where(np.append(edge, True)[stops + 1], stops, stops + 1)
    start, end = time[begins], time[after]
    apart = np.append(True, (segment[begins][1:] != segment[begins][:-1]) | (start[1:] - end[:-1] > gap_ns))
    first = np.flatnonzero(apart[: len(begins)])
    last = np.append(first[1:] - 1, len(begins) - 1)[: len(first)]
    with np.errstate(invalid="ignore"):
        known = np.where(np.isnan(score), -np.inf, score)
        highest = [
            known[begins[a] : stops[b] + 1][up[begins[a] : stops[b] + 1]].max()
            for a, b in zip(first, last, strict=True)
        ]
    peak = np.where(np.isneginf(highest), np.nan, highest).astype(np.float64)
    return start[first], end[last], peak, segment[begins[first]]
