import numpy as np

from naive.common import output, segments


def _episodes(time, level, trade, horizon_ns):
    """(row, before) of the trades that begin an episode, each judged from all rows up to it."""
    found = []
    for row in range(1, len(time)):
        fell = trade[row] > 0 and level[row] < level[row - 1]
        if fell and found:
            begun, before = found[-1]
            over = any(level[k] >= before for k in range(begun + 1, row))
            fell = over or time[row] > time[begun] + horizon_ns
        if fell:
            found.append((row, level[row - 1]))
    return found


def _recovered(level, begun, before, row):
    """(share at a row, row at which the episode was over or None)."""
    for k in range(begun + 1, row + 1):
        if level[k] >= before:
            return 1.0, k
    lowest = np.nanmin(level[begun : row + 1])
    return (level[row] - lowest) / (before - lowest), None


def resilience(time, level, trade, offsets, horizon_ns):
    outputs = [output(len(time), level) for _ in range(3)]
    for first, last in segments(offsets):
        t, x, hit = time[first:last], level[first:last].astype(np.float64), trade[first:last]
        for row in range(last - first):
            # every row from scratch
            episodes = _episodes(t[: row + 1], x[: row + 1], hit, horizon_ns)
            for number, (begun, before) in enumerate(episodes):
                end = episodes[number + 1][0] - 1 if number + 1 < len(episodes) else row
                share, over = _recovered(x, begun, before, row if number + 1 == len(episodes) else end)
                if over is not None:
                    outputs[2][first + row] = (t[over] - t[begun]) * 1e-9
                # the horizon has passed before this row, and before the next episode began or with its first row
                until = t[begun] + horizon_ns
                if t[row] > until and (number + 1 == len(episodes) or t[end + 1] > until):
                    stood = max(k for k in range(begun, row + 1) if t[k] <= until)
                    outputs[1][first + row] = _recovered(x, begun, before, stood)[0]
                if number + 1 == len(episodes) and not np.isnan(x[row]):
                    outputs[0][first + row] = share
    return tuple(outputs)
