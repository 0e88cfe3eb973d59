import numpy as np

from naive.common import segments


def level_origins(time, price_ticks, lots, cancelled, executed, side, action, offsets, *, memory_ns, levels=None):
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
            if not known or action[row] == 2 or price_ticks[row] < 0 or lots[row] < 0:
                continue
            key = (price_ticks[row], side[row] > 0)
            before, rises = book.get(key, (0, [(0, 0), (0, 0)]))  # a rise: (lots left, its row)
            now, rises = int(lots[row]), list(rises)
            if now > before and time[row] != opened:
                placed[row] = now - before
                held = [0 if left and time[row] - time[at] > memory_ns else left for left, at in rises]
                k = 0 if held[0] < held[1] else 1
                if held[k] <= placed[row]:
                    rises[k] = (placed[row], row)
            elif now < before:
                fall = int(cancelled[row])
                alike = [k for k in (0, 1) if rises[k][0] > 0 and abs(fall - rises[k][0]) <= 0.25 * rises[k][0]]
                if alike:
                    k = min(alike, key=lambda k: abs(fall - rises[k][0]))
                    origin[row], gone[0, row] = rises[k][1], min(fall, rises[k][0])
                    rises[k] = (0, rises[k][1])
                for k in (0, 1):
                    over = rises[k][0] - now
                    if over > 0:
                        if origin[row] < 0:
                            origin[row], gone[1, row] = rises[k][1], min(over, executed[row])
                            gone[0, row] = over - gone[1, row]
                        rises[k] = (now, rises[k][1])
            book[key] = (now, rises)
    return placed, origin, gone
