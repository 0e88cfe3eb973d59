import numpy as np

from naive.common import over_bars


def midprice(high, low, offsets, window):
    def formula(high, low):
        spans = [slice(i - window + 1, i + 1) for i in range(len(high))]
        return [(high[s].max() + low[s].min()) / 2 if s.start >= 0 else np.nan for s in spans]

    return over_bars([high, low], offsets, formula)


def midpoint(close, offsets, window):
    return midprice(close, close, offsets, window)
