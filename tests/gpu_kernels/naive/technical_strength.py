import numpy as np

from naive.common import after_first, over_bars, wilder


def _averages(close, window):
    changes = np.diff(close)
    return wilder(np.maximum(changes, 0), window), wilder(np.maximum(-changes, 0), window)


def relative_strength_index(close, offsets, window):
    def formula(close):
        if len(close) == 0:
            return close
        gains, losses = _averages(close, window)
        strength = [
            100.0 - 100.0 / (1.0 + gain / loss) if loss > 0 else (0.0 if gain == 0.0 else 100.0 if gain > 0 else np.nan)
            for gain, loss in zip(gains, losses, strict=True)
        ]
        return after_first(strength)

    return over_bars([close], offsets, formula)


def chande_momentum_oscillator(close, offsets, window):
    def formula(close):
        if len(close) == 0:
            return close
        gains, losses = _averages(close, window)
        totals = gains + losses
        return after_first(
            [100.0 * (g - s) / t if t != 0.0 else 0.0 for g, s, t in zip(gains, losses, totals, strict=True)]
        )

    return over_bars([close], offsets, formula)
