import numpy as np

from naive.common import segments


def inferred_cancels(
    time,
    price_ticks,
    lots,
    side,
    action,
    offsets,
    trade_time,
    trade_ticks,
    trade_lots,
    aggressor,
    trade_offsets,
    *,
    patience_ns,
    levels=None,
):
    out = np.zeros((2, len(time)), np.int64)
    for (first, last), (begin, end) in zip(segments(offsets), segments(trade_offsets), strict=True):
        book, traded, known, trade = {}, {}, True, begin
        for row in range(first, last):
            while trade < end and trade_time[trade] <= time[row]:
                if aggressor[trade] and trade_lots[trade] > 0 and trade_ticks[trade] >= 0:
                    level = (-int(aggressor[trade]), int(trade_ticks[trade]))
                    traded[level] = (traded.get(level, (0, 0))[0] + int(trade_lots[trade]), int(trade_time[trade]))
                trade += 1
            if action[row] == 2:
                known = False
            elif action[row] == 1:
                book, traded, known = {}, {}, True
            if known and action[row] != 2 and price_ticks[row] >= 0 and lots[row] >= 0:
                level = (int(side[row]), int(price_ticks[row]))
                left = max(book.get(level, 0) - int(lots[row]), 0)
                open_lots, when = traded.get(level, (0, int(time[row])))
                if time[row] - when > patience_ns:
                    open_lots = 0
                out[:, row] = left - min(left, open_lots), min(left, open_lots)
                traded[level] = (open_lots - min(left, open_lots), when)
                book[level] = int(lots[row])
    return tuple(out)
