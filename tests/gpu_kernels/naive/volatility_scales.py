import numpy as np

from naive.common import output
from naive.volatility_noise import over, sessions


def averaged(r, every):
    return np.sum(over(r, every) ** 2) / every


def two_scale_variance(returns, offsets, slow, *, fast=1, small_sample="adjusted"):
    out = output(len(offsets) - 1, returns)
    for s, r in enumerate(sessions(returns, offsets)):
        wide = int(np.broadcast_to(slow, len(out))[s])
        if not fast < wide <= len(r):
            continue
        size = len(r) + 1 if small_sample == "highfrequency" else len(r)
        ratio = (size - wide + 1) / wide / ((size - fast + 1) / fast)
        out[s] = averaged(r, wide) - ratio * averaged(r, fast)
        if small_sample != "none":
            out[s] = (averaged(r, wide) - ratio * averaged(r, fast)) / (1 - ratio)
    return out


def multi_scale_variance(returns, offsets, scales):
    out = output(len(offsets) - 1, returns)
    for s, r in enumerate(sessions(returns, offsets)):
        m = int(np.broadcast_to(scales, len(out))[s])
        if 2 <= m <= len(r):
            i = np.arange(1, m + 1)
            weights = 12 * i / m**2 * (i / m - 1 / 2 - 1 / (2 * m)) / (1 - 1 / m**2)
            out[s] = sum(w * averaged(r, int(k)) for w, k in zip(weights, i, strict=True))
    return out
