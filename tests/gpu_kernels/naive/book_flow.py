import numpy as np

from naive.book_state import quote_at
from naive.common import output, segments


def _side(price, size, before, size_before, sign):
    """What came less what went on one side. A level that holds nothing lies beyond all prices; a price that is not
    known is neither better nor worse than another."""
    came = size_before == 0 or sign * float(price) >= sign * float(before)
    went = size == 0 or sign * float(price) <= sign * float(before)
    return (float(size) if came else 0.0) - (float(size_before) if went else 0.0)


def level_flows(bid_price, bid_size, ask_price, ask_size, offsets):
    books = [np.atleast_2d(book) for book in (bid_price, bid_size, ask_price, ask_size)]
    levels, count = books[0].shape
    out = np.stack([output(count, *books) for _ in range(levels)])
    for first, last in segments(offsets):
        for row in range(first, last):
            if quote_at(*books, row) is None or (row > first and quote_at(*books, row - 1) is None):
                continue
            for level in range(levels):
                bid, bids, ask, asks = (book[level] for book in books)
                out[level, row] = 0.0
                if row > first:
                    out[level, row] = _side(bid[row], bids[row], bid[row - 1], bids[row - 1], 1)
                    out[level, row] -= _side(ask[row], asks[row], ask[row - 1], asks[row - 1], -1)
    return out


def weighted_flow(bid_price, bid_size, ask_price, ask_size, offsets, weights):
    books = bid_price, bid_size, ask_price, ask_size
    flows = level_flows(*(np.asarray(book, np.float64) for book in books), offsets)[: len(weights)]
    out = output(bid_price.shape[-1], *books)
    out[:] = np.asarray(weights) @ flows
    return out
