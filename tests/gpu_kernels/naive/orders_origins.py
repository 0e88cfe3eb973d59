import numpy as np

from naive.common import segments


def order_origins(time, order, price_ticks, lots, action, offsets):
    placed, origin, gone = (
        np.zeros(len(time), np.int64),
        np.full(len(time), -1),
        np.zeros((2, len(time)), np.int64),
    )
    for first, last in segments(offsets):
        book, known, opened = {}, True, time[first] if last > first else None
        for row in range(first, last):
            if action[row] == 2:
                known = False
            if action[row] == 1:
                book, known, opened = {}, True, time[row]
            if not known or action[row] not in (1, 3, 4, 5, 6) or min(order[row], price_ticks[row], lots[row]) < 0:
                continue
            left, tick, source = book.get(order[row], (0, price_ticks[row], -1))
            size, there_before = int(lots[row]), time[row] == opened
            origin[row] = source
            if action[row] in (5, 6):
                gone[action[row] - 5, row] = min(size, left)
                book[order[row]] = (left - min(size, left), tick, source)
            elif action[row] == 4 and left >= size and tick == price_ticks[row]:
                gone[0, row] = left - size
                book[order[row]] = (size, tick, source)
            else:
                there_before = there_before or (action[row] == 4 and left == 0)
                gone[0, row] = left
                placed[row] = 0 if there_before else size
                book[order[row]] = (size, price_ticks[row], -1 if there_before else row)
    return placed, origin, gone
