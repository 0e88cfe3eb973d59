import numpy as np

from naive.common import segments


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
