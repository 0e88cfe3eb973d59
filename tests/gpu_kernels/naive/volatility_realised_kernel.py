import numpy as np

from naive.common import output
from naive.volatility_noise import sessions

WEIGHTS = {
    "parzen": lambda x: 1 - 6 * x**2 + 6 * x**3 if x <= 0.5 else 2 * (1 - x) ** 3,
    "bartlett": lambda x: 1 - x,
    "second": lambda x: (1 - x) ** 2,
    "epanechnikov": lambda x: 1 - x**2,
    "cubic": lambda x: 1 - 3 * x**2 + 2 * x**3,
    "fifth": lambda x: 1 - 10 * x**3 + 15 * x**4 - 6 * x**5,
    "sixth": lambda x: 1 - 15 * x**4 + 24 * x**5 - 10 * x**6,
    "seventh": lambda x: 1 - 21 * x**5 + 35 * x**6 - 15 * x**7,
    "eighth": lambda x: 1 - 28 * x**6 + 48 * x**7 - 21 * x**8,
    "rectangular": lambda x: 1.0,
    "tukey_hanning": lambda x: (1 + np.cos(np.pi * x)) / 2,
    "modified_tukey_hanning": lambda x: (1 - np.cos(np.pi * (1 - x) ** 2)) / 2,
}


def realised_kernel(returns, offsets, bandwidth, *, kernel="parzen", flat_top=False, adjusted=False, jitter=2):
    out = output(len(offsets) - 1, returns)
    for s, r in enumerate(sessions(returns, offsets)):
        width = int(np.broadcast_to(bandwidth, len(out))[s])
        if len(r) < 2 * jitter or width < 0:
            continue
        prices = np.append(0.0, np.cumsum(r))
        inner = prices[jitter : len(prices) - jitter]
        x = np.diff([np.mean(prices[:jitter]), *inner, np.mean(prices[-jitter:])])
        n, total = len(x), np.sum(x**2)
        for h in range(1, min(width, n - 1) + 1):
            weight = WEIGHTS[kernel]((h - 1) / width if flat_top else h / (width + 1))
            total += 2 * weight * (n / (n - h) if adjusted else 1) * np.sum(x[h:] * x[:-h])
        out[s] = total
    return out
