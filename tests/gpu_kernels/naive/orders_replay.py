import numpy as np

from naive.common import segments

_UNNAMED = -(2**63)


def _standing(queue, unnamed, number):
    """Lots and orders ahead in a level: a list of [order, lots], first come first."""
    place = [one for one, _ in queue].index(number)
    return unnamed + sum(lots for _, lots in queue[:place]), place


class _Book:
    def __init__(self):
        self.queues, self.unnamed, self.where, self.placed = {}, {}, {}, {}

    def total(self, level):
        return self.unnamed.get(level, 0) + sum(lots for _, lots in self.queues.get(level, []))

    def lots_of(self, number):
        return dict(self.queues[self.where[number]])[number]

    def drop(self, number):
        level = self.where.pop(number)
        self.queues[level] = [one for one in self.queues[level] if one[0] != number]

    def resize(self, number, lots):
        if lots == 0:
            self.drop(number)
        else:
            level = self.where[number]
            self.queues[level] = [[one, lots if one == number else has] for one, has in self.queues[level]]

    def join(self, number, level, lots):
        """Lots and orders ahead of an order that goes to the back, (-1, -1) for one of no lots."""
        if lots == 0:
            return -1, -1
        self.queues.setdefault(level, []).append([number, lots])
        self.where[number] = level
        return _standing(self.queues[level], self.unnamed.get(level, 0), number)


def _event(book, time, order, action, level, lots):
    """(problem, before, left, age, lots ahead, orders ahead), levels that it changes."""
    here = book.unnamed.get(level, 0)
    if order == _UNNAMED:
        left = {4: lots, 5: max(here - lots, 0), 6: max(here - lots, 0)}.get(action, here + lots)
        book.unnamed[level] = left
        return (2 if action in (5, 6) and lots > here else 0, here, left, -1, 0, 0), [level]
    if order in book.where:
        own, before, placed = book.where[order], book.lots_of(order), book.placed[order]
        found = _standing(book.queues[own], book.unnamed.get(own, 0), order)
        age = -1 if placed is None else time - placed
        if action in (5, 6):
            left = max(before - lots, 0)
            book.resize(order, left)
            return (2 if lots > before else 4 if own != level else 0, before, left, age, *found), [own]
        if action == 4 and own == level and lots <= before:
            book.resize(order, lots)
            return (0, before, lots, age, *found), [own]
        book.drop(order)
        stands = book.join(order, level, lots)
        if action != 4:
            book.placed[order] = time
        moved = [own] if own == level or lots == 0 else [own, level]
        return (0 if action == 4 else 3, before, lots, age if action == 4 else 0, *stands), moved
    if action in (5, 6):
        book.unnamed[level] = max(here - lots, 0)
        return (1, -1, -1, -1, -1, -1), [level] if min(here, lots) else []
    if action == 4:
        book.unnamed[level] = max(here - lots, 0)
    stands = book.join(order, level, lots)
    book.placed[order] = None if action == 4 else time
    age = 0 if action != 4 and lots else -1
    return (int(action == 4), -1 if action == 4 else 0, lots, age, *stands), [level]


def replay(time, order, action, side, price_ticks, lots, offsets, *, starts_empty=True, levels=None):
    told, updates, ends = [], [], [0]
    for first, last in segments(offsets):
        book, known, shown = _Book(), starts_empty, None
        for row in range(first, last):
            code, level = int(action[row]), (int(side[row]), int(price_ticks[row]))
            good = level[0] in (1, -1) and 0 <= level[1] < 2**61 and lots[row] >= 0 and 1 <= code <= 6
            if code == 1:
                book, known = _Book(), True
            known = known and code != 2
            changed = []
            if known and good:
                result, changed = _event(book, int(time[row]), int(order[row]), code, level, int(lots[row]))
            else:
                result = (6 if known else 5, -1, -1, -1, -1, -1)
            told.append(result)
            if code == 2 and shown is None:
                updates.append((*(level if good else (1, 0)), 0, 2, row, 1))
                continue
            shown = changed[-1] if changed else shown
            for place, at in enumerate(changed or ([shown] if shown else [])):
                whole = place == len(changed or [shown]) - 1
                kind = code if code in (1, 2) and whole else 0
                updates.append((*at, book.total(at), kind, row, int(whole)))
        ends.append(len(updates))
    columns = np.array(told, np.int64).reshape(-1, 6).T
    side_, tick, total, kind, event, whole = np.array(updates, np.int64).reshape(-1, 6).T
    small = np.int8
    return (
        columns[0].astype(small),
        *columns[1:],
        side_.astype(small),
        tick,
        total,
        kind.astype(small),
        event,
        whole.astype(small),
        np.array(ends),
    )
