import math

import numpy as np
from scipy import stats

from naive.common import output, segments


def change(price, offsets):
    out = np.full(len(price), np.nan)
    for first, last in segments(offsets):
        out[first + 1 : last] = np.diff(price[first:last].astype(np.float64))
    return out


def bulk_weight(price, offsets, window, degrees=0.0):
    out, changes = output(len(price), price), change(price, offsets)
    for first, last in segments(offsets):
        for row in range(first + window + 1, last):
            past = changes[row - window : row]
            if np.isnan(past).any() or np.isnan(changes[row]):
                continue
            sigma = np.std(past, ddof=1)
            if sigma == 0 or changes[row] == 0:
                out[row] = np.sign(changes[row])
            else:
                z = changes[row] / sigma
                out[row] = 2 * (stats.t.cdf(z, degrees) if degrees else stats.norm.cdf(z)) - 1
    return out


def vpin(lots, weight, offsets, bucket_lots, window=50):
    out, buckets = np.full(len(lots), np.nan), np.zeros(len(lots), np.int64)
    sizes = np.broadcast_to(np.asarray(bucket_lots), len(offsets) - 1).tolist()
    for (first, last), size in zip(segments(offsets), sizes, strict=True):
        if size <= 0:
            continue
        full, imbalance, filled = [], 0, 0
        for row in range(first, last):
            share = float(weight[row])
            left = 0 if math.isnan(share) else int(lots[row])
            share = max(-1.0, min(1.0, share))
            while left > 0:
                piece = min(left, size - filled)
                whole = math.floor(abs(piece * share) + 0.5)
                imbalance += whole if share > 0 else -whole
                left, filled = left - piece, filled + piece
                if filled == size:
                    full.append(abs(imbalance))
                    imbalance = filled = 0
            buckets[row] = len(full)
            if len(full) >= window:
                out[row] = sum(full[-window:]) / float(window * size)
    return out, buckets
