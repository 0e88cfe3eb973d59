import numpy as np


def segments(offsets):
    return list(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True))


def output(count, *arrays):
    single = all(array.dtype == np.float32 for array in arrays)
    return np.full(count, np.nan, np.float32 if single else np.float64)


def over_bars(columns, offsets, formula):
    """The formula over each segment's bars without a NaN, NaN at the others. The formula takes the columns as float64
    and gives a value, or a tuple of them, for each bar."""
    outs = None
    for first, last in segments(offsets):
        part = [column[first:last].astype(np.float64) for column in columns]
        there = ~np.isnan(part).any(axis=0)
        found = formula(*(column[there] for column in part))
        found = found if isinstance(found, tuple) else (found,)
        outs = outs or [output(len(columns[0]), *columns) for _ in found]
        for out, values in zip(outs, found, strict=True):
            out[first:last][there] = values
    return outs[0] if len(outs) == 1 else tuple(outs)


def wilder(terms, window):
    """Wilder's averages of the terms, one for each, NaN before the window-th."""
    averages = np.full(len(terms), np.nan)
    for i in range(window - 1, len(terms)):
        if i == window - 1:
            averages[i] = np.mean(terms[:window])
        else:
            averages[i] = averages[i - 1] + (terms[i] - averages[i - 1]) / window
    return averages


def after_first(values):
    """One value for each bar, of one for each but the first."""
    return np.concatenate([[np.nan], values])


def exponential(terms, window):
    """Exponential averages of the terms, from the mean of the first `window` of them on; NaN terms before the first are
    left out."""
    averages, begin = np.full(len(terms), np.nan), int(np.isnan(terms).sum())
    for i in range(begin + window - 1, len(terms)):
        if i == begin + window - 1:
            averages[i] = np.mean(terms[begin : i + 1])
        else:
            averages[i] = averages[i - 1] + 2.0 / (window + 1) * (terms[i] - averages[i - 1])
    return averages


def simple(terms, window):
    """Mean of the last `window` terms; NaN where one is missing."""
    return np.array([np.mean(terms[i - window + 1 : i + 1]) if i >= window - 1 else np.nan for i in range(len(terms))])


AVERAGES = {"simple": simple, "exponential": exponential}


def each_bar(rows, first, value):
    """value(row) for each row from `first` on, NaN before."""
    return np.array([value(row) if row >= first else np.nan for row in range(rows)])
