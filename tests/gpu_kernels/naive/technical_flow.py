import numpy as np

from naive.common import each_bar, over_bars
from naive.technical_true_range import ranges


def money_flow_index(high, low, close, volume, offsets, window):
    def formula(high, low, close, volume):
        price = (high + low + close) / 3.0
        change = np.concatenate([[0.0], np.diff(price)])[: len(price)]

        def value(i):
            last = slice(i - window + 1, i + 1)
            money = price[last] * volume[last]
            inward, outward = money[change[last] > 0].sum(), money[change[last] < 0].sum()
            return 100.0 * inward / (inward + outward) if inward + outward > 0 else 0.0

        return each_bar(len(price), window, value)

    return over_bars([high, low, close, volume], offsets, formula)


def ultimate_oscillator(high, low, close, offsets, short_window=7, middle_window=14, long_window=28):
    windows = sorted([short_window, middle_window, long_window])

    def formula(high, low, close):
        pressure, span = close[1:] - np.minimum(low[1:], close[:-1]), ranges(high, low, close)

        def value(i):
            parts = [(pressure[i - w : i].sum(), span[i - w : i].sum()) for w in windows]
            weighted = [weight * (p / s if s > 0 else 0.0) for weight, (p, s) in zip((4, 2, 1), parts, strict=True)]
            return 100.0 * sum(weighted) / 7.0

        return each_bar(len(close), windows[-1], value)

    return over_bars([high, low, close], offsets, formula)
