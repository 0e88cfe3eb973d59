import numpy as np

from naive.common import output
from naive.volatility_noise import sessions


def preaveraged_variance(returns, offsets, *, theta=0.8, delta=0.0, finite_sample="adjusted", bias_correction=True):
    out = output(len(offsets) - 1, returns)
    for s, r in enumerate(sessions(returns, offsets)):
        n = len(r) + (finite_sample == "highfrequency")
        k = int(np.floor(theta * n ** (0.5 + delta)))
        least = 3 if finite_sample == "adjusted" and bias_correction else 2
        if not least <= k <= len(r):
            continue
        g = np.minimum(np.arange(k + 1) / k, 1 - np.arange(k + 1) / k)
        y = np.array([np.sum(g[1:k] * r[i : i + k - 1]) for i in range(len(r) - k + 2)])
        p1, p2 = k * np.sum(np.diff(g) ** 2), np.sum(g**2) / k
        if finite_sample == "adjusted":
            out[s] = n / ((n - k + 2) * k * p2) * np.sum(y**2)
            if bias_correction:
                out[s] = (n / ((n - k + 2) * k * p2) * np.sum(y**2) - p1 / (2 * k**2 * p2) * np.sum(r**2)) / (
                    1 - p1 / (2 * k**2 * p2)
                )
            continue
        if finite_sample == "none":
            p1, p2 = 1.0, 1 / 12
        noisy = p1 / (2 * theta**2 * p2 * n) * np.sum(r**2)
        out[s] = np.sum(y**2) / (theta * np.sqrt(n) * p2) - (noisy if bias_correction else 0.0)
    return out
