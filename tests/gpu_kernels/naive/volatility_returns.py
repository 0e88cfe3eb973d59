import numpy as np

from naive.common import output, segments


def _there(price):
    return np.isfinite(price) and price > 0


def _chain(samples, opening, first_return):
    """Returns from one sampled price to the next; None and NaN where there is none."""
    out, base = [], opening
    for price in samples:
        if price is None:
            out.append(np.nan)
        elif base is None:
            out.append(0.0 if first_return == "zero" else np.nan)
        else:
            out.append(np.log(price) - np.log(base) if _there(base) else np.nan)
        base = price if price is not None else base
    return out


def _opening(close, opening, rows):
    """The opening price of the first row with a close."""
    there = [row for row in rows if _there(close[row])]
    return float(opening[there[0]]) if opening is not None and there else None


def session_returns(close, offsets, opening=None, *, first_return="none", every=1, phase=None):
    out = output(len(close), *([close] if opening is None else [close, opening]))
    for first, last in segments(offsets):
        sampled = range(first + (every - 1 if phase is None else phase), last, every)
        samples, before = [], first - 1
        for row in sampled:
            there = [float(close[i]) for i in range(before + 1, row + 1) if _there(close[i])]
            samples.append(there[-1] if there else None)
            before = row
        out[list(sampled)] = _chain(samples, _opening(close, opening, range(first, last)), first_return)
    return out


def grid_returns(time, close, offsets, begins, ends, opening=None, *, interval_ns, first_return="none", repeat=True):
    count = len(offsets) - 1
    starts, stops = np.broadcast_to(begins, count).tolist(), np.broadcast_to(ends, count).tolist()
    out, grid_time, grid_offsets = [], [], [0]
    for (first, last), start, stop in zip(segments(offsets), starts, stops, strict=True):
        grid = list(range(start, stop + 1, interval_ns))
        samples, before = [], None
        for at in grid:
            new = [i for i in range(first, last) if time[i] <= at and (before is None or time[i] > before)]
            there = [float(close[i]) for i in new if _there(close[i])]
            samples.append(there[-1] if there else None)
            before = at
        known = _opening(close, opening, [i for i in range(first, last) if time[i] <= grid[-1]])
        chain = _chain(samples, known, first_return)
        if repeat:
            for i in range(1, len(grid)):
                if samples[i] is None and any(price is not None for price in samples[:i]):
                    chain[i] = 0.0
        out += chain
        grid_time += grid
        grid_offsets.append(len(grid_time))
    dtype = output(0, *([close] if opening is None else [close, opening])).dtype
    return np.array(out, dtype), np.array(grid_time, np.int64), np.array(grid_offsets, np.int64)
