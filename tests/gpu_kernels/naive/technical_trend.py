import numpy as np

from naive.common import AVERAGES, each_bar, exponential, over_bars


def moving_average_convergence_divergence(close, offsets, fast_window=12, slow_window=26, signal_window=9):
    fast, slow = sorted([fast_window, slow_window])

    def formula(close):
        late = np.array(close)
        late[: slow - fast] = np.nan
        line = exponential(late, fast) - exponential(close, slow) if len(close) >= slow else np.full(len(close), np.nan)
        signal = exponential(line, signal_window)
        return np.where(np.isnan(signal), np.nan, line), signal, line - signal

    return over_bars([close], offsets, formula)


def _oscillator(close, offsets, windows, average, formula):
    def each(close):
        fast, slow = (AVERAGES[average](close, window) for window in sorted(windows))
        return formula(fast, slow)

    return over_bars([close], offsets, each)


def absolute_price_oscillator(close, offsets, fast_window=12, slow_window=26, average="exponential"):
    return _oscillator(close, offsets, [fast_window, slow_window], average, lambda fast, slow: fast - slow)


def percentage_price_oscillator(close, offsets, fast_window=12, slow_window=26, average="exponential"):
    return _oscillator(close, offsets, [fast_window, slow_window], average, lambda fast, slow: 100 * (fast / slow - 1))


def triple_exponential_rate(close, offsets, window):
    def formula(close):
        for _ in range(3):
            close = exponential(close, window)
        return each_bar(len(close), 1, lambda i: 100 * (close[i] / close[i - 1] - 1))

    return over_bars([close], offsets, formula)
