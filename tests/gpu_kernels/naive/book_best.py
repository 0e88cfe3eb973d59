import numpy as np

from naive.common import output, segments


def imbalance(bid_size, ask_size, levels=1):
    out = output(bid_size.shape[-1], bid_size, ask_size)
    for row in range(len(out)):
        bid = sum(float(x) for x in np.atleast_2d(bid_size)[:levels, row])
        ask = sum(float(x) for x in np.atleast_2d(ask_size)[:levels, row])
        if bid + ask > 0:
            out[row] = (bid - ask) / (bid + ask)
    return out


def _quotes(*books):
    return [np.atleast_2d(book)[0].astype(np.float64) for book in books]


def weighted_mid(bid_price, bid_size, ask_price, ask_size):
    out = output(bid_price.shape[-1], bid_price, bid_size, ask_price, ask_size)
    for row, (pb, qb, pa, qa) in enumerate(zip(*_quotes(bid_price, bid_size, ask_price, ask_size), strict=True)):
        if qb > 0 and qa > 0:
            out[row] = (pb * qa + pa * qb) / (qb + qa)
    return out


def order_flow_imbalance(bid_price, bid_size, ask_price, ask_size, offsets):
    out = output(bid_price.shape[-1], bid_price, bid_size, ask_price, ask_size)
    pb, qb, pa, qa = _quotes(bid_price, bid_size, ask_price, ask_size)
    missing = ~((qb > 0) & (qa > 0)) | np.isnan(pb) | np.isnan(pa)
    for first, last in segments(offsets):
        for row in range(first, last):
            if missing[row]:
                continue
            if row == first:
                out[row] = 0.0
            elif not missing[row - 1]:
                bid_part = (pb[row] >= pb[row - 1]) * qb[row] - (pb[row] <= pb[row - 1]) * qb[row - 1]
                ask_part = (pa[row] <= pa[row - 1]) * qa[row] - (pa[row] >= pa[row - 1]) * qa[row - 1]
                out[row] = bid_part - ask_part
    return out


def best_level(bid_price, bid_size, ask_price, ask_size, offsets):
    return (
        imbalance(bid_size, ask_size),
        weighted_mid(bid_price, bid_size, ask_price, ask_size),
        order_flow_imbalance(bid_price, bid_size, ask_price, ask_size, offsets),
    )
