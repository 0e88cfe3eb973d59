"""The profile written down plainly: every event keeps the rows of all of its bins, and a stretch of time is cut at
every edge of every event."""

from itertools import pairwise

import numpy as np

from naive.common import output


class Event:
    def __init__(self, kind, time, known):
        self.kind, self.time, self.known = kind, time, known
        self.rows, self.done, self.surprise = {}, set(), None


class Entity:
    def __init__(self, events, types, edges, shrinkage, memory, clip, surprise):
        self.events, self.edges, self.shrinkage, self.memory, self.clip = events, edges, shrinkage, memory, clip
        self.scaled = surprise
        self.ratio, self.count = np.zeros((types, len(edges) - 1)), np.zeros((types, len(edges) - 1))
        self.pairs = {kind: [] for kind in range(types)}

    def bin_of(self, event, moment):
        for b in range(len(self.edges) - 1):
            if self.edges[b] <= moment - event.time < self.edges[b + 1]:
                return b
        return None

    def usual(self, kind, b):
        n = self.count[kind, b]
        return 1 + n / (n + self.shrinkage) * (self.ratio[kind, b] - 1) if n else 1.0

    def slope(self, kind):
        products = sum(p for p, _ in self.pairs[kind])
        return float(np.clip(products / (sum(q for _, q in self.pairs[kind]) + 10), 0, 1))

    def at_moment(self, moment, at, kinds):
        product = 1.0
        for kind in kinds:
            found = []
            for event in self.events:
                b = self.bin_of(event, moment)
                if b is not None and event.known <= at and event.kind == kind:
                    value = self.usual(kind, b)
                    if self.scaled and event.surprise is not None and self.edges[b] > 0 and value > 1:
                        value = 1 + (value - 1) * (1 + self.slope(kind) * (event.surprise - 1))
                    found.append(value)
            product *= max(found, default=1.0)
        return product

    def mean(self, begin, end, at, only=None):
        if end <= begin:
            return 1.0
        cuts = {begin, end, *(e.time + edge for e in self.events if e.known <= at for edge in self.edges)}
        cuts = sorted(c for c in cuts if begin <= c <= end)
        kinds = self.pairs if only is None else [only]
        return sum((b - a) * self.at_moment(a, at, kinds) for a, b in pairwise(cuts)) / (end - begin)

    def learn(self, until, at):
        for event in self.events:
            for b, rows in event.rows.items():
                if b in event.done or event.time + self.edges[b + 1] > until or not rows:
                    continue
                event.done.add(b)
                kind, own = event.kind, self.usual(event.kind, b)
                middle = event.time + (self.edges[b] + self.edges[b + 1]) // 2
                others = self.at_moment(middle, at, [other for other in self.pairs if other != kind])
                ratio = sum(r for r, _ in rows) / sum(e for _, e in rows) / max(others, 1e-3)
                ratio = min(ratio, self.clip * max(own, 1e-3))
                if self.edges[b] == 0:
                    event.surprise = min(ratio / max(own, 1e-3), 4.0)
                elif self.scaled and self.edges[b] > 0 and event.surprise is not None and own > 1:
                    more = (own - 1) * (event.surprise - 1)
                    self.pairs[kind].append(((ratio - own) * more, more * more))
                n = min(self.count[kind, b] + 1, self.memory)
                self.ratio[kind, b] += (ratio - self.ratio[kind, b]) / n
                self.count[kind, b] = n

    def add(self, middle, now, realised, expected):
        for event in self.events:
            b = self.bin_of(event, middle)
            if b is not None and event.known <= now and 0 <= realised < np.inf and 0 < expected < np.inf:
                event.rows.setdefault(b, []).append((float(realised), float(expected)))


def _entities(start, time, realised, expected, offsets, events, types, edges, horizons, **rules):
    event_type, event_time, known_time, event_offsets = events
    own = output(len(time), realised, expected)
    ahead = np.stack([own.copy() for _ in horizons]) if horizons else np.empty((0, len(time)), own.dtype)
    by_type = np.stack([own.copy() for _ in range(types)])
    entities = []
    for s in range(len(offsets) - 1):
        inside = range(event_offsets[s], event_offsets[s + 1])
        table = [Event(int(event_type[e]), int(event_time[e]), int(known_time[e])) for e in inside]
        entity = Entity(table, types, list(edges), **rules)
        entities.append(entity)
        for row in range(offsets[s], offsets[s + 1]):
            begin, now = int(start[row]), int(time[row])
            middle = begin + (now - begin) // 2
            # a bin is over when no later row's middle can lie in it
            entity.learn(middle, begin)
            own[row] = entity.mean(begin, now, begin)
            for kind in range(types):
                by_type[kind, row] = entity.mean(begin, now, begin, kind)
            entity.add(middle, now, realised[row], expected[row])
            entity.learn(now, now)
            for h, horizon in enumerate(horizons):
                ahead[h, row] = entity.mean(now, now + horizon, now)
    return own, ahead, by_type, entities


def multiplier(
    start,
    time,
    realised,
    expected,
    offsets,
    *events,
    types,
    edges_ns,
    horizons_ns=(),
    shrinkage=3.0,
    memory=40,
    clip=30.0,
    surprise=True,
):
    rules = {"shrinkage": shrinkage, "memory": memory, "clip": clip, "surprise": surprise}
    return _entities(start, time, realised, expected, offsets, events, types, edges_ns, horizons_ns, **rules)[:3]


def profile(
    start,
    time,
    realised,
    expected,
    offsets,
    *events,
    types,
    edges_ns,
    shrinkage=3.0,
    memory=40,
    clip=30.0,
    surprise=True,
):
    rules = {"shrinkage": shrinkage, "memory": memory, "clip": clip, "surprise": surprise}
    entities = _entities(start, time, realised, expected, offsets, events, types, edges_ns, (), **rules)[3]
    bins = len(edges_ns) - 1
    shape = (len(entities), types, bins)
    usual = [[[e.usual(kind, b) for b in range(bins)] for kind in range(types)] for e in entities]
    slopes = np.array([[e.slope(kind) for kind in range(types)] for e in entities])
    counts = np.array([e.count for e in entities])
    return np.array(usual).reshape(shape), counts.reshape(shape), slopes.reshape(shape[:2])
