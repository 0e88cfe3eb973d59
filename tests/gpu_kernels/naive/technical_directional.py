import numpy as np

from naive.common import each_bar, over_bars, wilder
from naive.technical_true_range import ranges


def _sums(terms, window):
    """Wilder's sums, one for each bar: bar i has the i-th term."""
    sums = np.full(len(terms) + 1, np.nan)
    for bar in range(max(1, window - 1), len(sums)):
        if bar == window - 1:
            sums[bar] = np.sum(terms[:bar])
        elif window == 1:
            sums[bar] = terms[bar - 1]
        else:
            sums[bar] = sums[bar - 1] - sums[bar - 1] / window + terms[bar - 1]
    return sums


def _movements(high, low):
    up, down = np.diff(high), -np.diff(low)
    return np.where((up > down) & (up > 0), up, 0.0), np.where((down > up) & (down > 0), down, 0.0)


def _movement(high, low, offsets, window, side):
    return over_bars([high, low], offsets, lambda *bars: _sums(_movements(*bars)[side], window)[: len(bars[0])])


def plus_directional_movement(high, low, offsets, window):
    return _movement(high, low, offsets, window, 0)


def minus_directional_movement(high, low, offsets, window):
    return _movement(high, low, offsets, window, 1)


def _indicators(high, low, close, window):
    spans = _sums(ranges(high, low, close), window)
    found = []
    for movements in _movements(high, low):
        sums = _sums(movements, window)
        found.append(each_bar(len(high), window, lambda i, s=sums: 100.0 * s[i] / spans[i] if spans[i] else 0.0))
    return found


def plus_directional_indicator(high, low, close, offsets, window):
    return over_bars([high, low, close], offsets, lambda *bars: _indicators(*bars, window)[0])


def minus_directional_indicator(high, low, close, offsets, window):
    return over_bars([high, low, close], offsets, lambda *bars: _indicators(*bars, window)[1])


def _indices(high, low, close, window):
    """For each bar from `window` on: the index, None where nothing moves."""
    plus, minus = _indicators(high, low, close, window)
    both = zip(plus[window:], minus[window:], strict=True)
    return [100.0 * abs(p - m) / (p + m) if p + m > 0 else None for p, m in both]


def directional_index(high, low, close, offsets, window):
    def formula(*bars):
        out, last = [np.nan] * min(window, len(bars[0])), 0.0
        for index in _indices(*bars, window):
            last = last if index is None else index
            out.append(last)
        return np.array(out)

    return over_bars([high, low, close], offsets, formula)


def _average(high, low, close, window):
    indices = _indices(high, low, close, window)
    out = np.full(len(high), np.nan)
    for i in range(window - 1, len(indices)):
        if i == window - 1:
            out[window + i] = wilder([index or 0.0 for index in indices[:window]], window)[-1]
        elif indices[i] is None:
            out[window + i] = out[window + i - 1]
        else:
            out[window + i] = (out[window + i - 1] * (window - 1) + indices[i]) / window
    return out


def average_directional_index(high, low, close, offsets, window):
    return over_bars([high, low, close], offsets, lambda *bars: _average(*bars, window))


def average_directional_index_rating(high, low, close, offsets, window):
    def formula(*bars):
        average = _average(*bars, window)
        return each_bar(len(average), window - 1, lambda i: (average[i] + average[i - window + 1]) / 2)

    return over_bars([high, low, close], offsets, formula)
