import numpy as np

from naive.common import output, segments


def forecast(past, decay, initial, warm_up):
    """The variance after the returns `past`, by its weights."""
    squares, n = np.asarray(past, np.float64) ** 2, len(past)
    if not isinstance(initial, str):
        weights = (1 - decay) * decay ** np.arange(n)[::-1]
        return float(weights @ squares + decay**n * initial)
    if n < warm_up:
        return np.nan
    if initial == "weighted":
        weights = decay ** np.arange(n)[::-1]
        return float(weights @ squares / weights.sum())
    later = squares[warm_up:]
    weights = (1 - decay) * decay ** np.arange(len(later))[::-1]
    return float(weights @ later + decay ** len(later) * squares[:warm_up].mean())


def ewma_variance(returns, offsets, *, decay=None, half_life=None, initial="weighted", warm_up=1, include_current=True):
    out = output(len(returns), returns)
    decay = np.exp(-np.log(2) / half_life) if decay is None else decay
    for first, last in segments(offsets):
        for row in range(first, last):
            seen = returns[first : row + 1 if include_current else row]
            out[row] = forecast(seen[np.isfinite(seen)], decay, initial, warm_up)
    return out
