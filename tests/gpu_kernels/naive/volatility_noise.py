import numpy as np

from naive.common import output, segments


def sessions(returns, offsets):
    """The returns of each session that are there."""
    for first, last in segments(offsets):
        part = returns[first:last].astype(np.float64)
        yield part[np.isfinite(part)]


def over(r, every):
    """All returns over `every` steps."""
    return np.array([np.sum(r[i : i + every]) for i in range(len(r) - every + 1)])


def grid(r, every):
    """Returns of one grid; the last may be short."""
    return np.array([np.sum(r[i : i + every]) for i in range(0, len(r), every)])


def on_grids(r, every, edge):
    n = len(r)
    if n < every or (edge == "highfrequency" and n == every and every > 1):
        return np.nan
    if edge == "first":
        return np.sum(grid(r[: n // every * every], every) ** 2)
    if edge == "highfrequency":
        total = np.sum(grid(r, every) ** 2)
        for left in range(1, every):
            kept = r[left : n - every + left]
            total += np.sum(grid(kept, every) ** 2) * (len(kept) / every + 1) / (len(kept) / every)
        return total / every
    grids = [grid(r[offset : offset + (n - offset) // every * every], every) for offset in range(every)]
    total = sum(np.sum(g**2) for g in grids) / every
    return total * n / (n - every + 1) if edge == "scaled" else total


def subsampled_variance(returns, offsets, every, *, edge="scaled"):
    out = output(len(offsets) - 1, returns)
    out[:] = [on_grids(r, every, edge) for r in sessions(returns, offsets)]
    return out


def signature(returns, offsets, intervals, *, edge="scaled"):
    table = np.stack([subsampled_variance(returns, offsets, k, edge=edge) for k in intervals], axis=1)
    mean = output(len(intervals), returns)
    for k, column in enumerate(table.T.astype(np.float64)):
        if np.isfinite(column).any():
            mean[k] = np.mean(column[np.isfinite(column)])
    return table, mean


def noise_measures(returns, offsets, *, sparse, dense=1):
    count = len(offsets) - 1
    out, whole = np.tile(output(count, returns), (7, 1)), np.full((2, count), -1)
    found = [len(r) for r in sessions(returns, offsets)]
    for s, r in enumerate(sessions(returns, offsets)):
        n = len(r)
        if n < max(2, dense, sparse):
            continue
        noise = np.mean(over(r, dense) ** 2) / 2
        neighbours = np.sum(r[1:] * r[:-1])
        integrated = n / sparse * np.mean(over(r, sparse) ** 2)
        quarticity = (n / sparse) ** 2 * np.mean(over(r, sparse) ** 4) / 3
        out[:6, s] = (
            noise, -neighbours / n, -neighbours / (n - 1), (np.sum(r**2) - integrated) / (2 * n), integrated, quarticity
        )  # fmt: skip
        if noise > 0 and quarticity > 0:
            out[6, s] = max(1.0, n / np.cbrt(quarticity / (2 * noise) ** 2))
            whole[0, s] = max(2, np.floor(min(n, np.cbrt(12 * noise**2 / quarticity) * n ** (2 / 3)) + 0.5))
            whole[1, s] = np.ceil(min(n, 3.5134 * np.sqrt(noise / integrated) ** 0.8 * n**0.6))
    return np.array(found, np.int64), *out, whole[0], whole[1]
