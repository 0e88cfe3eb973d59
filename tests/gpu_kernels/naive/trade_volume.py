import math

import numpy as np

from naive.common import segments


def aggressor_volume(time, lots, aggressor, offsets, at, at_offsets, *, half_life_ns, lag_ns=0):
    total, rates = np.zeros((2, len(at)), np.int64), np.zeros((2, len(at)))
    for (first, last), (begin, end) in zip(segments(offsets), segments(at_offsets), strict=True):
        for i in range(begin, end):
            for k, sign in enumerate((1, -1)):
                known = [r for r in range(first, last) if aggressor[r] == sign and lots[r] > 0]
                known = [r for r in known if time[r] <= at[i] - lag_ns]
                total[k, i] = sum(int(lots[r]) for r in known)
                # a trade's age counts from the first `at` that knows it
                heard = [at[begin:end][np.searchsorted(at[begin:end], time[r] + lag_ns)] for r in known]
                faded = [lots[r] * 0.5 ** ((at[i] - t) / half_life_ns) for r, t in zip(known, heard, strict=True)]
                watched = 1.0 - 0.5 ** ((at[i] - at[begin]) / half_life_ns)
                if watched > 0:
                    rates[k, i] = sum(faded) * math.log(2.0) / (half_life_ns * watched)
    return total, rates
