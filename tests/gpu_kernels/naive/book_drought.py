"""The drought written down plainly: each tick of the clock from the rows themselves, sums over all past ticks instead
of recursions where there is a closed form, dictionaries for the days."""

from itertools import pairwise

import numpy as np

from naive.common import output

CLIP = 0.5


class Entity:
    def __init__(self, p):
        self.p = p
        self.days = []  # (bucket -> 5 means) of each past session
        self.samples = 0
        self.level, self.scale = [0.0] * 5, [0.3] * 5

    def day(self, weigh):
        """Mean over past sessions of a number of theirs: plain until `memory` of them, then the newest has 1/memory."""
        mean, count = None, 0
        for value in filter(lambda value: value is not None, map(weigh, self.days)):
            count += 1
            mean = value if mean is None else mean + (value - mean) / min(count, self.p["memory"])
        return mean, count

    def base(self, bucket, j):
        whole, _ = self.day(lambda day: sum(v[j] for v in day.values()) / len(day) if day else None)
        if whole is None:
            return 0.0
        own, count = self.day(lambda day: day[bucket][j] if bucket in day else None)
        share = count / (count + self.p["shrinkage"]) if count else 0.0
        return whole + share * ((0.0 if own is None else own) - whole)


def _stretches(time, columns):
    """Runs of rows in which the book is known, as lists of rows; a lone unknown row ends a run."""
    found, open_run, has_spread = [], [], False
    for row in range(len(time)):
        known = not np.isnan(columns[0][row]) and not np.isnan(columns[1][row])
        known = known and (has_spread or not np.isnan(columns[2][row]))
        if known:
            open_run.append(row)
            has_spread = True
        else:
            found.append((open_run, row))
            open_run, has_spread = [], False
    found.append((open_run, None))
    return found


def _ticks(run, time, columns, opened, clock, until):
    """(tick, five means since the tick before, in units a second) while the run lasts."""
    first = int(time[run[0]])
    tick = opened + ((first - opened) // clock + 1) * clock
    before = first
    while tick <= until:
        values = []
        for j in range(3):
            total, stood = 0.0, None
            # what stood over [before, tick)
            edges = [before, *[int(time[r]) for r in run if before < time[r] < tick], tick]
            for a, b in pairwise(edges):
                rows = [r for r in run if time[r] <= a and not np.isnan(columns[j][r])]
                stood = columns[j][rows[-1]]
                total += float(stood) * (b - a) * 1e-9
            values.append(total / ((tick - before) * 1e-9))
        for j in (3, 4):
            # a run's first row tells what rests, not what arrived; a row at the tick itself comes after it
            rows = [r for r in run[1:] if before <= time[r] < tick and not np.isnan(columns[j][r])]
            values.append(sum(float(columns[j][r]) for r in rows) / ((tick - before) * 1e-9))
        yield tick, values
        before, tick = tick, tick + clock


def _session(entity, time, columns, opened, p):  # noqa: PLR0912
    """(row -> four outputs) of one session; teaches the entity."""
    clock, length = round(p["clock_seconds"] * 1e9), round(p["bucket_seconds"] * 1e9)
    fast = 1 - np.exp(-p["clock_seconds"] / p["smoothing_seconds"])
    slow = 1 - np.exp(-p["clock_seconds"] / p["replenishment_seconds"])
    settle = int(np.ceil(2 * max(p["smoothing_seconds"], p["replenishment_seconds"]) / p["clock_seconds"]))
    warm_up = int(np.ceil(p["warm_up_seconds"] / p["clock_seconds"]))
    rows = {row: (np.nan,) * 4 for row in range(len(time))}
    today, bucket, means, count = {}, None, None, 0

    def close_bucket():
        if bucket is not None and 2 * count * clock >= length:
            today[bucket] = [entity.base(bucket, j) + means[j] for j in range(5)]

    for run, unknown in _stretches(time, columns):
        if not run:
            continue
        until = int(time[run[-1]]) if unknown is None else int(time[unknown])
        history, onset, since, fallen, inside, state = [], None, None, None, False, []
        for tick, values in _ticks(run, time, columns, opened, clock, until):
            history.append(values)
            newest_first = history[::-1]
            smooth = []
            for j in range(5):
                a = fast if j < 3 else slow
                weights = [a * (1 - a) ** k for k in range(len(history))]
                mean = sum(w * v[j] for w, v in zip(weights, newest_first, strict=True)) / sum(weights)
                # thin and wide count only while they still are
                smooth.append([max(mean, values[j]), max(mean, values[j]), min(mean, values[j]), mean, mean][j])
            if not all(v > 0 for v in smooth) or len(history) < settle:
                inside, since = False, None
                state.append((tick, None, None))
                continue
            here = min(max((tick - 1 - opened) // length, 0), 10**6)
            if here != bucket:
                close_bucket()
                bucket, count = here, 0
            value = [np.log(smooth[j]) - entity.base(here, j) for j in range(5)]
            if entity.samples == 0:
                entity.level = list(value)
            if count == 0:
                means = list(value)
            residual = [value[j] - entity.level[j] for j in range(5)]
            z = [residual[j] / entity.scale[j] for j in range(5)]
            parts = [min(-z[0], -z[1]), z[2], min(-z[3], -z[4])]
            index = np.dot(p["weights"], parts) / sum(p["weights"])
            least = min(part for part, weight in zip(parts, p["weights"], strict=True) if weight > 0)
            if least < p["gate"]:
                index = min(index, least)
            if entity.samples < warm_up:
                index = np.nan
            if not inside:
                since = (since if since is not None else tick) if index >= p["enter"] else None
                if since is not None and tick - since >= round(p["hold_seconds"] * 1e9):
                    inside, onset, fallen = True, since, None
            else:
                fallen = (fallen if fallen is not None else tick) if index < p["leave"] else None
                if fallen is not None and tick - fallen >= round(p["release_seconds"] * 1e9):
                    inside, since = False, None
            gone = 1 - np.exp(min(max(residual[0], residual[1]), 0.0))
            state.append((tick, index, (onset, gone) if inside else None))
            entity.samples += 1
            count += 1
            gain = max(1 / entity.samples, p["clock_seconds"] / p["adapt_seconds"])
            for j in range(5):
                deviation = min(abs(residual[j]) / entity.scale[j], 2.0) - 1
                entity.scale[j] = max(entity.scale[j] * (1 + min(gain, 0.05) * deviation), 0.05)
                means[j] += np.clip(value[j] - means[j], -CLIP, CLIP) / count
                entity.level[j] += gain * np.clip(residual[j], -CLIP, CLIP)
        for row in run:
            told = [entry for entry in state if entry[0] <= time[row]]
            if told and told[-1][1] is not None and not np.isnan(told[-1][1]):
                _, index, open_drought = told[-1]
                if open_drought is None:
                    rows[row] = (0.0, 0.0, 0.0, index)
                else:
                    rows[row] = (1.0, open_drought[1], (time[row] - open_drought[0]) * 1e-9, index)
    close_bucket()
    if today:
        entity.days.append(today)
        entity.level = [0.0] * 5
    return rows


def drought(time, bid_depth, ask_depth, spread, bid_arrived, ask_arrived, offsets, opens, entities, **parameters):
    defaults = {
        "clock_seconds": 0.5,
        "bucket_seconds": 900.0,
        "smoothing_seconds": 2.0,
        "replenishment_seconds": 5.0,
        "warm_up_seconds": 300.0,
        "adapt_seconds": 1800.0,
        "shrinkage": 1.0,
        "memory": 20,
        "weights": (1.0, 1.0, 1.0),
        "enter": 2.0,
        "leave": 1.0,
        "gate": 0.25,
        "hold_seconds": 3.0,
        "release_seconds": 3.0,
    }
    p = {**defaults, **parameters}
    columns = (bid_depth, ask_depth, spread, bid_arrived, ask_arrived)
    outputs = [output(len(time), *columns) for _ in range(4)]
    for begin, end in pairwise(entities):
        entity = Entity(p)
        for session in range(begin, end):
            a, b = offsets[session], offsets[session + 1]
            found = _session(entity, time[a:b], [c[a:b] for c in columns], int(opens[session]), p)
            for row, values in found.items():
                for out, value in zip(outputs, values, strict=True):
                    out[a + row] = value
    return tuple(outputs)
