import numpy as np

from naive.common import segments


def _of_lists(ends):
    flat = [end for bars in ends for end in bars]
    return np.array(flat, np.int64), np.cumsum([0] + [len(bars) for bars in ends]).astype(np.int64)


def _each(parameter, offsets):
    return np.broadcast_to(np.asarray(parameter), len(offsets) - 1).tolist()


def tick_ends(offsets, trades):
    return _of_lists([[row for row in range(a, b) if (row - a + 1) % trades == 0] for a, b in segments(offsets)])


def volume_ends(size, offsets, threshold):
    return dollar_ends(np.ones(len(size)), size, offsets, threshold)


def dollar_ends(price, size, offsets, threshold):
    found = []
    for (first, last), limit in zip(segments(offsets), _each(threshold, offsets), strict=True):
        ends, begin = [], first
        for row in range(first, last):
            values = [float(price[i]) * float(size[i]) for i in range(begin, row + 1)]
            if sum(value for value in values if not np.isnan(value)) >= limit:
                ends.append(row)
                begin = row + 1
        found.append(ends)
    return _of_lists(found)


def imbalance_ends(
    signed, offsets, *, expected_trades, expected_imbalance, span, minimum_trades=1, maximum_trades=2**31
):
    found = []
    for (first, last), mean in zip(segments(offsets), _each(expected_imbalance, offsets), strict=True):
        ends, begin, length, per_trade = [], first, expected_trades, mean
        for row in range(first, last):
            bar = [float(x) for x in signed[begin : row + 1]]
            total = sum(x for x in bar if not np.isnan(x))
            full = len(bar) >= minimum_trades and abs(total) >= length * abs(per_trade)
            if full or len(bar) >= maximum_trades:
                length += 2 / (span + 1) * (len(bar) - length)
                per_trade += 2 / (span + 1) * (total / len(bar) - per_trade)
                ends.append(row)
                begin = row + 1
        found.append(ends)
    return _of_lists(found)


def time_ends(time, offsets, until, interval_ns):
    found = []
    for (first, last), known in zip(segments(offsets), _each(until, offsets), strict=True):
        of_interval = {int(time[row]) // interval_ns: row for row in range(first, last)}
        newest = max(of_interval, default=0)
        ends = [row for k, row in of_interval.items() if k < newest or (k + 1) * interval_ns <= known]
        found.append(sorted(ends))
    return _of_lists(found)


def aggregate(price, size, side, time, known_time, offsets, ends, bar_offsets, interval_ns=0):
    single = price.dtype == size.dtype == np.float32
    values = np.full((7, len(ends)), np.nan, np.float32 if single else np.float64)
    count, times = np.zeros(len(ends), np.int64), np.zeros((3, len(ends)), np.int64)
    for (first, _), (begin, end) in zip(segments(offsets), segments(bar_offsets), strict=True):
        for bar in range(begin, end):
            start = first if bar == begin else ends[bar - 1] + 1
            rows = range(start, ends[bar] + 1)
            there = [row for row in rows if not np.isnan(price[row]) and not np.isnan(size[row])]
            p, q = [float(price[row]) for row in there], [float(size[row]) for row in there]
            values[5:, bar] = sum(q), sum(a * int(side[row]) for a, row in zip(q, there, strict=True))
            if there:
                values[:4, bar] = p[0], max(p), min(p), p[-1]
            if sum(q) > 0:
                values[4, bar] = sum(a * b for a, b in zip(p, q, strict=True)) / sum(q)
            count[bar] = len(there)
            times[:, bar] = time[start], time[ends[bar]], max(known_time[row] for row in rows)
            if interval_ns:
                edge = int(time[start]) // interval_ns * interval_ns
                times[:, bar] = edge, edge + interval_ns, max(edge + interval_ns, int(times[2, bar]))
    return *values, count, *times
