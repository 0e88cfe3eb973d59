import numpy as np

from naive.book_state import levels_at, quote_at
from naive.common import output


def depth_within(bid_price, bid_size, ask_price, ask_size, bps):
    books = bid_price, bid_size, ask_price, ask_size
    out = [output(bid_price.shape[-1], *books) for _ in range(2)]
    for row in range(len(out[0])):
        quote = quote_at(*books, row)
        if quote is not None:
            mid = (quote[0] + quote[2]) / 2
            for side, sign, book in ((0, -1, books[:2]), (1, 1, books[2:])):
                reached = [(sign * (p - mid) <= mid * bps / 1e4, p, q) for p, q in levels_at(*book, row)]
                unknown = any(np.isnan(p) or (near and np.isnan(q)) for near, p, q in reached)
                out[side][row] = np.nan if unknown else sum(q for near, _, q in reached if near)
    return tuple(out)


def _side_slope(levels, mid, lot):
    depth = np.cumsum([q for _, q in levels])
    v = [np.log(d / lot) if d > lot else np.nan for d in depth]
    p = [price for price, _ in levels]
    terms = [v[0] / abs(p[0] / mid - 1)]
    terms += [(v[k] / v[k - 1] - 1) / abs(p[k] / p[k - 1] - 1) for k in range(1, len(levels))]
    return sum(terms) / len(levels)


def slope(bid_price, bid_size, ask_price, ask_size, lot=1.0):
    books = bid_price, bid_size, ask_price, ask_size
    out = output(bid_price.shape[-1], *books)
    for row in range(len(out)):
        quote = quote_at(*books, row)
        if quote is not None and quote[2] > quote[0]:
            mid = (quote[0] + quote[2]) / 2
            sides = [_side_slope(levels_at(*book, row), mid, lot) for book in (books[:2], books[2:])]
            out[row] = sum(sides) / 2
    return out


def cost_to_trade(bid_price, bid_size, ask_price, ask_size, size):
    books = bid_price, bid_size, ask_price, ask_size
    buy, sell = (output(bid_price.shape[-1], *books) for _ in range(2))
    for row in range(len(buy)):
        quote = quote_at(*books, row)
        if quote is not None:
            mid = (quote[0] + quote[2]) / 2
            for out, sign, book in ((buy, 1, books[2:]), (sell, -1, books[:2])):
                taken = []
                for price, held in levels_at(*book, row):
                    taken.append((price, min(held, size - sum(q for _, q in taken))))
                    # min() of a NaN depends on the order: an unknown size leaves everything unknown
                    if np.isnan(held) or sum(q for _, q in taken) >= size:
                        break
                if not any(np.isnan(q) for _, q in taken) and sum(q for _, q in taken) >= size:
                    mean = sum(p * q for p, q in taken) / size
                    out[row] = sign * (mean - mid) / mid * 1e4
    return buy, sell
