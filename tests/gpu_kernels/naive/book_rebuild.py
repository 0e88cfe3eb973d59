import numpy as np

from naive.common import segments


def rebuild(
    side,
    price_ticks,
    size,
    offsets,
    levels,
    *,
    action=None,
    last=None,
    starts_empty=True,
    at=None,
    depth_ticks=None,
):
    count = len(side)
    out = {way: (np.full((levels, count), -1, np.int64), np.zeros((levels, count))) for way in (1, -1)}
    for begin, end in segments(offsets):
        empty = {1: {}, -1: {}}
        book = shown = empty if starts_empty else None
        for row in range(begin, end):
            what = 0 if action is None else action[row]
            if what == 2:
                book = shown = None
            elif what == 1:
                book = empty
            if book is not None:
                way = int(side[row])
                book = {**book, way: {**book[way], int(price_ticks[row]): float(size[row])}}
                if last is None or last[row]:
                    shown = book
            for way, (ticks, sizes) in out.items():
                if shown is None:
                    sizes[:, row] = np.nan
                    continue
                live = sorted((tick for tick, quantity in shown[way].items() if quantity > 0), reverse=way == 1)
                for level, tick in enumerate(live[:levels]):
                    ticks[level, row], sizes[level, row] = tick, shown[way][tick]
    where = slice(None) if at is None else at
    return tuple(array[:, where] for array in (*out[1], *out[-1]))
