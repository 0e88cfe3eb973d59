import numpy as np

from naive.common import output


def quote_at(bid_price, bid_size, ask_price, ask_size, row):
    """(bid, bid size, ask, ask size) of the best level, or None where it is missing."""
    quote = [float(np.atleast_2d(book)[0, row]) for book in (bid_price, bid_size, ask_price, ask_size)]
    there = quote[1] > 0 and quote[3] > 0 and not np.isnan(quote[0]) and not np.isnan(quote[2])
    return quote if there else None


def levels_at(price, size, row):
    """(price, size) of the levels of a row that hold something."""
    columns = zip(np.atleast_2d(price)[:, row], np.atleast_2d(size)[:, row], strict=True)
    return [(float(p), float(q)) for p, q in columns if q != 0]


def touch(bid_price, bid_size, ask_price, ask_size):
    books = bid_price, bid_size, ask_price, ask_size
    spread, mid, gap = (output(bid_price.shape[-1], *books) for _ in range(3))
    for row in range(len(mid)):
        quote = quote_at(*books, row)
        if quote is not None:
            bid, bids, ask, asks = quote
            spread[row], mid[row] = ask - bid, (bid + ask) / 2
            gap[row] = (bid * asks + ask * bids) / (bids + asks) - (bid + ask) / 2
    return spread, mid, gap


def shape(bid_price, bid_size, ask_price, ask_size):
    books = bid_price, bid_size, ask_price, ask_size
    depth, pressure, distance = (output(bid_price.shape[-1], *books) for _ in range(3))
    for row in range(len(depth)):
        bids, asks = levels_at(bid_price, bid_size, row), levels_at(ask_price, ask_size, row)
        depth[row] = total = sum(q for _, q in bids) + sum(q for _, q in asks)
        quote = quote_at(*books, row)
        if quote is not None and quote[2] > quote[0]:
            mid = (quote[0] + quote[2]) / 2
            near_bids, near_asks = sum(q / (mid - p) for p, q in bids), sum(q / (p - mid) for p, q in asks)
            pressure[row] = (near_bids - near_asks) / (near_bids + near_asks)
            distance[row] = (sum(q * (mid - p) for p, q in bids) + sum(q * (p - mid) for p, q in asks)) / total
    return depth, pressure, distance


def weighted_imbalance(bid_size, ask_size, weights):
    out = output(bid_size.shape[-1], bid_size, ask_size)
    for row in range(len(out)):
        bid, ask = (
            sum(w * float(q) for w, q in zip(weights, np.atleast_2d(side)[: len(weights), row], strict=True))
            for side in (bid_size, ask_size)
        )
        if bid + ask > 0:
            out[row] = (bid - ask) / (bid + ask)
    return out
