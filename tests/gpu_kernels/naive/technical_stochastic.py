import numpy as np

from naive.common import AVERAGES, each_bar, over_bars
from naive.technical_strength import relative_strength_index


def _position(high, low, close, window, skip=0, least=0.0):
    def value(i):
        top, bottom = max(high[i - window + 1 : i + 1]), min(low[i - window + 1 : i + 1])
        return 100.0 * (close[i] - bottom) / (top - bottom) if top - bottom > least else 0.0

    return each_bar(len(close), skip + window - 1, value)


def _known(index, line):
    return np.where(np.isnan(line), np.nan, index), line


def williams_percent_range(high, low, close, offsets, window):
    def formula(high, low, close):
        def value(i):
            top, bottom = max(high[i - window + 1 : i + 1]), min(low[i - window + 1 : i + 1])
            return -100.0 * (top - close[i]) / (top - bottom) if top > bottom else 0.0

        return each_bar(len(close), window - 1, value)

    return over_bars([high, low, close], offsets, formula)


def stochastic(high, low, close, offsets, window=5, slow_window=3, signal_window=3, average="simple"):
    def formula(*bars):
        index = AVERAGES[average](_position(*bars, window), slow_window)
        return _known(index, AVERAGES[average](index, signal_window))

    return over_bars([high, low, close], offsets, formula)


def stochastic_fast(high, low, close, offsets, window=5, signal_window=3, average="simple"):
    def formula(*bars):
        index = _position(*bars, window)
        return _known(index, AVERAGES[average](index, signal_window))

    return over_bars([high, low, close], offsets, formula)


def stochastic_strength(close, offsets, strength_window=14, window=5, signal_window=3, average="simple"):
    def formula(close):
        found = relative_strength_index(close, np.array([0, len(close)]), strength_window)
        index = _position(found, found, found, window, strength_window, 1e-10)
        return _known(index, AVERAGES[average](index, signal_window))

    return over_bars([close], offsets, formula)
