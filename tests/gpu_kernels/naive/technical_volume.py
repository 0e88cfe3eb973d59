import numpy as np

from naive.common import each_bar, over_bars


def on_balance_volume(close, volume, offsets):
    def formula(close, volume):
        signs = np.concatenate([[1.0], np.sign(np.diff(close))])[: len(close)]
        return np.cumsum(signs * volume)

    return over_bars([close, volume], offsets, formula)


def _line(high, low, close, volume):
    where = [(2 * c - h - low) / (h - low) if h > low else 0.0 for h, low, c in zip(high, low, close, strict=True)]
    return np.cumsum(np.array(where) * volume)


def accumulation_distribution(high, low, close, volume, offsets):
    return over_bars([high, low, close, volume], offsets, _line)


def accumulation_distribution_oscillator(high, low, close, volume, offsets, fast_window=3, slow_window=10):
    def average(line, window):
        out = line.copy()
        for i in range(1, len(line)):
            out[i] = out[i - 1] + 2.0 / (window + 1) * (line[i] - out[i - 1])
        return out

    def formula(*bars):
        line = _line(*bars)
        gap = average(line, fast_window) - average(line, slow_window)
        return each_bar(len(line), max(fast_window, slow_window) - 1, lambda i: gap[i])

    return over_bars([high, low, close, volume], offsets, formula)
