import numpy as np

from naive import book_best, book_flow, book_state
from naive.common import output


def ten_features(bid_price, bid_size, ask_price, ask_size, offsets, weights=None, out=None):
    books = [book[:10] for book in (bid_price, bid_size, ask_price, ask_size)]
    spread, _, gap = book_state.touch(*books)
    weights = np.full(10, 0.1) if weights is None else weights
    rows = [
        spread,
        gap,
        *(book_best.imbalance(books[1], books[3], levels) for levels in (1, 5, 10)),
        *book_state.shape(*books),
        book_best.order_flow_imbalance(*books, offsets),
        book_flow.weighted_flow(*books, offsets, weights),
    ]
    return np.array(rows, output(0, *books).dtype)
