import numpy as np

from naive.common import output, segments


def _side(price, size, bps, sign):
    """(price, size) of the levels near the touch, and what is wrong with them."""
    levels = [(p, s) for p, s in zip(price.tolist(), size.tolist(), strict=True) if s != 0]
    if not levels:
        return []
    best = levels[0][0]
    kept = []
    for p, s in levels:
        if sign * (p - best) > abs(best) * bps / 1e4:
            break
        kept.append((p, np.nan if np.isnan([p, best]).any() else s))
    return kept


def near_touch(bid_price, bid_size, ask_price, ask_size, offsets, bps):
    everything = (bid_price, bid_size, ask_price, ask_size)
    bids, asks, spread, bids_arrived, asks_arrived = (output(bid_price.shape[-1], *everything) for _ in range(5))
    for first, last in segments(offsets):
        for row in range(first, last):
            sides = ((bid_price, bid_size, -1, bids, bids_arrived), (ask_price, ask_size, 1, asks, asks_arrived))
            for price, size, sign, depth, arrived in sides:
                near = _side(price[:, row].astype(float), size[:, row].astype(float), bps, sign)
                depth[row] = sum(s for _, s in near)
                if row == first:
                    continue
                before = [
                    (p, s) for p, s in zip(price[:, row - 1].tolist(), size[:, row - 1].tolist(), strict=True) if s != 0
                ]
                total = 0.0
                for p, s in near:
                    passed = [q for q, _ in before if sign * (q - p) < 0]
                    if len(passed) == len(before):
                        # behind all that the row before showed
                        if np.isnan([s, *size[:, row - 1].astype(float)]).any():
                            total = np.nan
                        total += s if (size[:, row - 1] == 0).any() else 0.0
                        continue
                    q, rested = next((q, r) for q, r in before if not sign * (q - p) < 0)
                    unknown = np.isnan([s, rested, q, p]).any()
                    total += np.nan if unknown else max(s - (rested if q == p else 0.0), 0.0)
                arrived[row] = total
            known = bid_size[0, row] > 0 and ask_size[0, row] > 0
            if known:
                spread[row] = ask_price[0, row] - bid_price[0, row]
    return bids, asks, spread, bids_arrived, asks_arrived
