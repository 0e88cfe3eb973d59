import numpy as np

from naive.common import segments


def trade_flow(time, side, lots, offsets, at, at_offsets, *, window_ns):
    out = np.zeros((4, len(at)), np.int64)
    for (first, last), (begin, end) in zip(segments(offsets), segments(at_offsets), strict=True):
        for i in range(begin, end):
            for row in range(first, last):
                if side[row] and at[i] - window_ns < time[row] <= at[i]:
                    out[0 if side[row] > 0 else 1, i] += 1
                    out[2 if side[row] > 0 else 3, i] += lots[row]
    return tuple(out)


def trade_imbalance(time, side, lots, offsets, at, at_offsets, *, window_ns):
    flow = trade_flow(time, side, lots, offsets, at, at_offsets, window_ns=window_ns)
    with np.errstate(invalid="ignore", divide="ignore"):
        return tuple((flow[k] - flow[k + 1]) / (flow[k] + flow[k + 1]) for k in (0, 2))
