import numpy as np

from naive.common import after_first, over_bars, wilder


def ranges(high, low, close):
    """One for each bar but the first."""
    return np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])


def true_range(high, low, close, offsets):
    return over_bars([high, low, close], offsets, lambda *bars: after_first(ranges(*bars))[: len(bars[0])])


def average_true_range(high, low, close, offsets, window):
    def formula(high, low, close):
        return after_first(wilder(ranges(high, low, close), window))[: len(close)]

    return over_bars([high, low, close], offsets, formula)


def normalised_average_true_range(high, low, close, offsets, window):
    def formula(high, low, close):
        averages = after_first(wilder(ranges(high, low, close), window))[: len(close)]
        return averages / close * 100.0

    return over_bars([high, low, close], offsets, formula)
