import numpy as np

from naive.common import each_bar, over_bars


def average_price(open, high, low, close, offsets):
    return over_bars([open, high, low, close], offsets, lambda *prices: sum(prices) / 4)


def median_price(high, low, offsets):
    return over_bars([high, low], offsets, lambda *prices: sum(prices) / 2)


def typical_price(high, low, close, offsets):
    return over_bars([high, low, close], offsets, lambda *prices: sum(prices) / 3)


def weighted_close_price(high, low, close, offsets):
    return over_bars([high, low, close], offsets, lambda h, low, c: (h + low + c + c) / 4)


def balance_of_power(open, high, low, close, offsets):
    def formula(o, h, low, c):
        return each_bar(len(o), 0, lambda i: (c[i] - o[i]) / (h[i] - low[i]) if h[i] > low[i] else np.float64(0))

    return over_bars([open, high, low, close], offsets, formula)
