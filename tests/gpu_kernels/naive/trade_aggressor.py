from itertools import pairwise

import numpy as np

from naive.common import segments


def tick_rule(price, offsets):
    out = np.zeros(len(price), np.int8)
    for first, last in segments(offsets):
        for row in range(first, last):
            if np.isnan(price[row]):
                continue
            seen = [float(p) for p in price[first : row + 1] if not np.isnan(p)]
            changes = [b - a for a, b in pairwise(seen) if b != a]
            out[row] = np.sign(changes[-1]) if changes else 0
    return out


def lee_ready(time, price, side, offsets, quote_time, bid_price, ask_price, quote_offsets, lag_ns=0):
    out, rule = np.zeros(len(price), np.int8), np.full(len(price), 3, np.int8)
    by_tick = tick_rule(price, offsets)
    for (first, last), (begin, end) in zip(segments(offsets), segments(quote_offsets), strict=True):
        for row in range(first, last):
            if side[row]:
                out[row], rule[row] = side[row], 0
                continue
            before = [quote for quote in range(begin, end) if quote_time[quote] < time[row] - lag_ns]
            if before:
                bid, ask = float(bid_price[before[-1]]), float(ask_price[before[-1]])
                above = 2 * float(price[row]) - (bid + ask)
                if bid <= ask and above != 0 and not np.isnan(above):
                    out[row], rule[row] = np.sign(above), 1
                    continue
            if by_tick[row]:
                out[row], rule[row] = by_tick[row], 2
    return out, rule
