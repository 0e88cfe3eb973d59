"""Slow and obvious references of every kernel, from the definitions: one row at a time, no code of gpu_kernels.

Each has the signature of the public function that it stands for.
"""

from itertools import pairwise

import numpy as np


def segments(offsets):
    return list(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))


def output(count, *arrays):
    single = all(array.dtype == np.float32 for array in arrays)
    return np.full(count, np.nan, np.float32 if single else np.float64)


def _moving(values, offsets, window, min_periods, measure):
    out = output(len(values), values)
    needed = window if min_periods is None else min_periods
    for first, last in segments(offsets):
        for row in range(first, last):
            inside = values[max(first, row - window + 1) : row + 1].astype(np.float64)
            inside = inside[~np.isnan(inside)]
            if len(inside) >= needed:
                out[row] = measure(inside)
    return out


def mean(values, offsets, window, min_periods=None):
    return _moving(values, offsets, window, min_periods, np.mean)


def std(values, offsets, window, min_periods=None, ddof=1):
    return _moving(values, offsets, window, min_periods, lambda x: np.std(x, ddof=ddof) if len(x) > ddof else np.nan)


def minimum(values, offsets, window, min_periods=None):
    return _moving(values, offsets, window, min_periods, np.min)


def maximum(values, offsets, window, min_periods=None):
    return _moving(values, offsets, window, min_periods, np.max)


def ema(values, offsets, window, initial="sma"):
    out = output(len(values), values)
    needed = window if initial == "sma" else 1
    for first, last in segments(offsets):
        present = [row for row in range(first, last) if not np.isnan(values[row])]
        if len(present) < needed:
            continue
        average = float(np.mean(values[present[:needed]].astype(np.float64)))
        out[present[needed - 1]] = average
        for row in present[needed:]:
            average += 2.0 / (window + 1.0) * (float(values[row]) - average)
            out[row] = average
    return out


def time_sum(time, values, offsets, window_ns):
    out = output(len(values), values)
    for first, last in segments(offsets):
        for row in range(first, last):
            inside = [i for i in range(first, row + 1) if time[row] - window_ns < time[i] <= time[row]]
            out[row] = np.nansum(values[inside].astype(np.float64))
    return out


def log_return(close, offsets, lag):
    out = output(len(close), close)
    for first, last in segments(offsets):
        for row in range(first + lag, last):
            if close[row] > 0 and close[row - lag] > 0:
                out[row] = np.log(float(close[row])) - np.log(float(close[row - lag]))
    return out


def realised_variance(close, offsets, window):
    out = output(len(close), close)
    for first, last in segments(offsets):
        for row in range(first + window, last):
            prices = close[row - window : row + 1].astype(np.float64)
            if np.all(prices > 0):
                out[row] = np.sum(np.diff(np.log(prices)) ** 2)
    return out


def parkinson(high, low, offsets, window):
    out = output(len(high), high, low)
    for first, last in segments(offsets):
        for row in range(first + window - 1, last):
            top, bottom = (x[row - window + 1 : row + 1].astype(np.float64) for x in (high, low))
            if np.all(top > 0) and np.all(bottom > 0):
                out[row] = np.sum(np.log(top / bottom) ** 2) / (4.0 * window * np.log(2.0))
    return out


def wilder(terms, window):
    """Wilder's averages of the terms, from the window-th on."""
    if len(terms) < window:
        return []
    averages = [float(np.mean(terms[:window]))]
    for term in terms[window:]:
        averages.append(averages[-1] + (term - averages[-1]) / window)
    return averages


def rsi(close, offsets, window):
    out = output(len(close), close)
    for first, last in segments(offsets):
        present = [row for row in range(first, last) if not np.isnan(close[row])]
        changes = np.diff(close[present].astype(np.float64))
        gains, losses = wilder(np.maximum(changes, 0), window), wilder(np.maximum(-changes, 0), window)
        for row, gain, loss in zip(present[window:], gains, losses, strict=True):
            out[row] = 100.0 - 100.0 / (1.0 + gain / loss) if loss > 0 else (100.0 if gain >= 1e-14 else 0.0)
    return out


def atr(high, low, close, offsets, window):
    out = output(len(close), high, low, close)
    for first, last in segments(offsets):
        bars = [(high[row], low[row], close[row], row) for row in range(first, last)]
        bars = [(*map(float, bar[:3]), bar[3]) for bar in bars if not np.isnan(bar[:3]).any()]
        ranges = [max(h, before[2]) - min(low_, before[2]) for before, (h, low_, *_) in pairwise(bars)]
        for bar, average in zip(bars[window:], wilder(np.array(ranges), window), strict=True):
            out[bar[3]] = average
    return out


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


def microprice(bid_price, bid_size, ask_price, ask_size):
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
        microprice(bid_price, bid_size, ask_price, ask_size),
        order_flow_imbalance(bid_price, bid_size, ask_price, ask_size, offsets),
    )


def rebuild(side, price_ticks, size, offsets, levels, depth_ticks=None):
    count = len(side)
    out = {way: (np.full((levels, count), -1, np.int64), np.zeros((levels, count))) for way in (1, -1)}
    for first, last in segments(offsets):
        book = {1: {}, -1: {}}
        for row in range(first, last):
            book[int(side[row])][int(price_ticks[row])] = float(size[row])
            for way, (ticks, sizes) in out.items():
                live = sorted((tick for tick, quantity in book[way].items() if quantity > 0), reverse=way == 1)
                for level, tick in enumerate(live[:levels]):
                    ticks[level, row], sizes[level, row] = tick, book[way][tick]
    return *out[1], *out[-1]


def gather_map(known_time, event_time, offsets, decision_time, decision_offsets, max_age_ns):
    out = np.full(len(decision_time), -1, np.int64)
    for (first, last), (begin, end) in zip(segments(offsets), segments(decision_offsets), strict=True):
        for decision in range(begin, end):
            t = int(decision_time[decision])
            vintages = {}
            for row in range(first, last):
                if known_time[row] <= t:
                    vintages[int(event_time[row])] = row
            if vintages and t - max(vintages) <= max_age_ns:
                out[decision] = vintages[max(vintages)]
    return out


def take(values, index):
    out = output(len(index), values)
    for i, row in enumerate(index):
        if row >= 0:
            out[i] = values[row]
    return out


def _at(offsets, at_offsets):
    for (first, last), (begin, end) in zip(segments(offsets), segments(at_offsets), strict=True):
        for i in range(begin, end):
            yield i, range(first, last)


def last_index(time, offsets, at, at_offsets):
    out = np.full(len(at), -1, np.int64)
    for i, items in _at(offsets, at_offsets):
        out[i] = max((item for item in items if time[item] <= at[i]), default=-1)
    return out


def count_within(time, offsets, at, at_offsets, window_ns):
    out = np.zeros(len(at), np.int64)
    for i, items in _at(offsets, at_offsets):
        out[i] = sum(at[i] - window_ns < time[item] <= at[i] for item in items)
    return out


def decayed_sum(time, value, offsets, at, at_offsets, half_life_ns):
    out = np.zeros(len(at), np.float32 if value.dtype == np.float32 else np.float64)
    for i, items in _at(offsets, at_offsets):
        seen = [item for item in items if time[item] <= at[i] and not np.isnan(value[item])]
        out[i] = sum(float(value[item]) * 0.5 ** (float(at[i] - time[item]) / half_life_ns) for item in seen)
    return out


def forward_filter(log_emission, start, transition, offsets):
    """By the joint density of all paths: alpha is never scaled, which short segments allow."""
    filtered, likelihood = np.zeros(log_emission.shape), np.zeros(len(offsets) - 1)
    for segment, (first, last) in enumerate(segments(offsets)):
        alpha = start
        for row in range(first, last):
            alpha = alpha if row == first else alpha @ transition
            if not np.isnan(log_emission[row]).any():
                alpha = alpha * np.exp(log_emission[row])
            filtered[row] = alpha / alpha.sum()
        likelihood[segment] = np.log(alpha.sum()) if last > first else 0.0
    return filtered, likelihood
