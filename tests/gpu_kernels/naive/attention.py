import numpy as np

from naive.common import segments


def attention(time, offsets, at, session, at_offsets, opens, closes, kinds, *, window_ns, sessions, minimum):
    out = np.full(len(at), np.nan)
    for (first, last), (begin, end) in zip(segments(offsets), segments(at_offsets), strict=True):
        items = time[first:last].tolist()

        def count(moment, items=items):
            return sum(moment - window_ns < item <= moment for item in items)

        for i in range(begin, end):
            now = session[i]
            if now < 0 or at[i] > closes[now] or not items:
                continue
            moments = [
                opens[past] + at[i] - opens[now]
                for past in range(now)
                if kinds[past] == kinds[now] and opens[past] + at[i] - opens[now] <= closes[past]
            ]
            usual = [count(moment) for moment in moments if moment - window_ns >= items[0]][-sessions:]
            if len(usual) >= minimum:
                variance = max(np.var(usual, ddof=1), np.mean(usual), 1 / len(usual))
                out[i] = (count(at[i]) - np.mean(usual)) / np.sqrt(variance)
    return out
