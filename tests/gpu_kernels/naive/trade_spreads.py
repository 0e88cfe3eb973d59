import numpy as np

from naive.common import output, segments


def _mid(rows, bid, ask):
    """Mid of the last of the quotes, None where it is missing."""
    if not rows:
        return None
    low, high = float(bid[rows[-1]]), float(ask[rows[-1]])
    return (low + high) / 2 if low <= high and low + high > 0 else None


def _bps(share):
    return np.floor(share * 1e4 * 2**20 + 0.5) / 2**20


def spreads(
    time, price, side, offsets, quote_time, bid_price, ask_price, quote_offsets, until, *, horizon_ns, lag_ns=0
):
    out = [output(len(price), price, bid_price, ask_price) for _ in range(4)]
    untils = np.broadcast_to(np.asarray(until), len(offsets) - 1).tolist()
    both = zip(segments(offsets), segments(quote_offsets), untils, strict=True)
    for (first, last), (begin, end), known in both:
        for row in range(first, last):
            t, paid, way = int(time[row]), float(price[row]), int(side[row])
            before = [quote for quote in range(begin, end) if quote_time[quote] < t - lag_ns]
            after = [quote for quote in range(begin, end) if quote_time[quote] <= t + horizon_ns]
            mid, later = _mid(before, bid_price, ask_price), _mid(after, bid_price, ask_price)
            if mid is None:
                continue
            out[0][row] = _bps((float(ask_price[before[-1]]) - float(bid_price[before[-1]])) / mid)
            if way and not np.isnan(paid):
                effective = _bps(2 * way * (paid - mid) / mid)
                out[1][row] = effective
                if later is not None and t + horizon_ns <= known:
                    out[2][row] = _bps(2 * way * (paid - later) / mid)
                    out[3][row] = effective - _bps(2 * way * (paid - later) / mid)
    return *out, time + horizon_ns


def size_threshold(size, offsets, window, quantile):
    out = output(len(size), size)
    for first, last in segments(offsets):
        for row in range(first, last):
            past = [float(x) for x in size[first:row] if not np.isnan(x)]
            if len(past) >= window:
                out[row] = np.quantile(past[-window:], quantile)
    return out


def large_trade_deviation(
    time,
    price,
    size,
    threshold,
    offsets,
    quote_time,
    bid_price,
    ask_price,
    quote_offsets,
    *,
    window_ns,
    lag_ns=0,
):
    out = output(len(price), price, size, threshold, bid_price, ask_price)
    for (first, last), (begin, end) in zip(segments(offsets), segments(quote_offsets), strict=True):
        large = []
        for row in range(first, last):
            before = [quote for quote in range(begin, end) if quote_time[quote] < time[row] - lag_ns]
            mid = _mid(before, bid_price, ask_price)
            if mid is not None and size[row] >= threshold[row] and size[row] > 0 and not np.isnan(price[row]):
                large.append((int(time[row]), float(size[row]), (float(price[row]) / mid - 1) * 1e4))
            inside = [(q, d) for t, q, d in large if time[row] - window_ns < t <= time[row]]
            if inside:
                out[row] = sum(q * d for q, d in inside) / sum(q for q, _ in inside)
    return out
