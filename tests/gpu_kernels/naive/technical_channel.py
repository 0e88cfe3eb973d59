import numpy as np

from naive.common import each_bar, over_bars


def commodity_channel_index(high, low, close, offsets, window):
    def formula(high, low, close):
        price = (high + low + close) / 3.0

        def value(i):
            last = price[i - window + 1 : i + 1]
            spread = np.mean(np.abs(last - np.mean(last)))
            return (price[i] - np.mean(last)) / (0.015 * spread) if spread > 1e-14 * np.mean(last) else 0.0

        return each_bar(len(price), window - 1, value)

    return over_bars([high, low, close], offsets, formula)
