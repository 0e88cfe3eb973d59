"""From the definition: for every time, a sum over all earlier events of the segment."""

import numpy as np

from naive.common import segments


def _terms(time, kind, rows, at, decay):
    """(M, M): sum of exp(-decay_ij age) over the events of kind j strictly before `at`."""
    out = np.zeros(decay.shape)
    for row in rows:
        source = int(kind[row])
        if time[row] < at and 0 <= source < len(decay):
            out[:, source] += np.exp(-decay[:, source] * (float(at - time[row]) * 1e-9))
    return out


def _at(time, kind, offsets, at, at_offsets, decay):
    pairs = zip(segments(offsets), segments(at_offsets), strict=True)
    for segment, ((first, last), (begin, end)) in enumerate(pairs):
        for i in range(begin, end):
            yield segment, i, _terms(time, kind, range(first, last), at[i], decay[segment])


def intensity(time, kind, offsets, at, at_offsets, baseline, branching, decay):
    out = np.zeros((baseline.shape[1], len(at)))
    for segment, i, terms in _at(time, kind, offsets, at, at_offsets, decay):
        out[:, i] = baseline[segment] + (branching[segment] * decay[segment] * terms).sum(axis=1)
    return out


def intensity_asymmetry(time, kind, offsets, at, at_offsets, baseline, branching, decay):
    buy, sell = intensity(time, kind, offsets, at, at_offsets, baseline, branching, decay)[:2]
    return (buy - sell) / (buy + sell)


def _later(terms, baseline, branching, decay, horizon):
    """Expected counts by the Taylor series of the expected state: its derivatives follow from one another."""
    counts, state = np.zeros(len(baseline)), terms
    rate = baseline + (branching * decay * terms).sum(axis=1)
    for order in range(1, 400):
        # both carry horizon^order / order!, so that neither leaves the range of a float64
        rate, state = rate * horizon / order, state * horizon / order
        counts = counts + rate
        state = rate[np.newaxis, :] - decay * state
        if (np.abs(rate) <= 1e-18 * counts).all():
            break
        rate = (branching * decay * state).sum(axis=1)
    return counts


def expected_events(time, kind, offsets, at, at_offsets, baseline, branching, decay, horizon_ns):
    out = np.zeros((baseline.shape[1], len(at)))
    for segment, i, terms in _at(time, kind, offsets, at, at_offsets, decay):
        out[:, i] = _later(terms, baseline[segment], branching[segment], decay[segment], horizon_ns * 1e-9)
    return out
