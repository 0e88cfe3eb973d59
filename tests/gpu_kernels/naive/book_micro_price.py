from fractions import Fraction

from naive.book_state import quote_at
from naive.common import output


def bucket_of(bids, asks, buckets):
    """The bucket whose middle is nearest to the imbalance, ties to the even one counted from the centre."""
    lean = Fraction(bids - asks) / Fraction(bids + asks) * buckets / 2
    return buckets // 2 + max(-(buckets // 2), min(buckets // 2, round(lean)))


def micro_price(bid_price, bid_size, ask_price, ask_size, adjustment, tick=1.0):
    books = bid_price, bid_size, ask_price, ask_size
    out = output(bid_price.shape[-1], *books)
    for row in range(len(out)):
        quote = quote_at(*books, row)
        if quote is not None and round((quote[2] - quote[0]) / tick) > 0:
            bid, bids, ask, asks = quote
            wide = min(round((ask - bid) / tick), len(adjustment))
            move = adjustment[wide - 1][bucket_of(bids, asks, adjustment.shape[1])]
            out[row] = (bid + ask) / 2 + tick * move
    return out
