from itertools import pairwise

import numpy as np

from naive.common import output, segments


def log_return(close, offsets, lag):
    out = output(len(close), close)
    for first, last in segments(offsets):
        for row in range(first + lag, last):
            if close[row] > 0 and close[row - lag] > 0:
                out[row] = np.log(float(close[row])) - np.log(float(close[row - lag]))
    return out


def wilder(terms, window):
    """Wilder's averages of the terms, from the window-th on."""
    if len(terms) < window:
        return []
    averages = [float(np.mean(terms[:window]))]
    for term in terms[window:]:
        averages.append(averages[-1] + (term - averages[-1]) / window)
    return averages


def rsi(close, offsets, window):
    out = output(len(close), close)
    for first, last in segments(offsets):
        present = [row for row in range(first, last) if not np.isnan(close[row])]
        changes = np.diff(close[present].astype(np.float64))
        gains, losses = wilder(np.maximum(changes, 0), window), wilder(np.maximum(-changes, 0), window)
        for row, gain, loss in zip(present[window:], gains, losses, strict=True):
            out[row] = 100.0 - 100.0 / (1.0 + gain / loss) if loss > 0 else (100.0 if gain >= 1e-14 else 0.0)
    return out


def atr(high, low, close, offsets, window):
    out = output(len(close), high, low, close)
    for first, last in segments(offsets):
        bars = [(high[row], low[row], close[row], row) for row in range(first, last)]
        bars = [(*map(float, bar[:3]), bar[3]) for bar in bars if not np.isnan(bar[:3]).any()]
        ranges = [max(h, before[2]) - min(low_, before[2]) for before, (h, low_, *_) in pairwise(bars)]
        for bar, average in zip(bars[window:], wilder(np.array(ranges), window), strict=True):
            out[bar[3]] = average
    return out
