"""From the definition: every pair of events, O(n^2)."""

import numpy as np

from naive.common import segments


def _own(time, kind, cut, kinds):
    """(seconds, kind) of the events of the model in a segment."""
    return [(int(time[row]), int(kind[row])) for row in range(*cut) if 0 <= kind[row] < kinds]


def log_likelihood(time, kind, offsets, start, stop, segment, target, baseline, branching, decay):
    out = np.zeros(len(segment)), np.zeros(baseline.shape), np.zeros(branching.shape), np.zeros(decay.shape)
    kinds = branching.shape[1]
    for fit, (of, i) in enumerate(zip(segment, target, strict=True)):
        mu, n, beta = baseline[fit], branching[fit], decay[fit]
        events = _own(time, kind, segments(offsets)[of], kinds)
        begin, end = int(start[of]), int(stop[of])
        for t, own in events:
            if own != i or not begin <= t < end:
                continue
            ages = [((t - s) * 1e-9, j) for s, j in events if s < t]
            rate = mu + sum(n[j] * beta[j] * np.exp(-beta[j] * age) for age, j in ages)
            out[0][fit] += np.log(rate)
            out[1][fit] += 1 / rate
            for age, j in ages:
                fade = np.exp(-beta[j] * age)
                out[2][fit, j] += beta[j] * fade / rate
                out[3][fit, j] += n[j] * (1 - beta[j] * age) * fade / rate
        out[0][fit] -= mu * (end - begin) * 1e-9
        out[1][fit] -= (end - begin) * 1e-9
        for s, j in events:
            if s < end:
                young, old = max(begin - s, 0) * 1e-9, (end - s) * 1e-9
                part = np.exp(-beta[j] * young) - np.exp(-beta[j] * old)
                out[0][fit] -= n[j] * part
                out[2][fit, j] -= part
                out[3][fit, j] -= n[j] * (old * np.exp(-beta[j] * old) - young * np.exp(-beta[j] * young))
    return out


def _compensator(events, i, mu, n, beta, left, right):
    """Integral of lambda_i over [left, right]."""
    total = mu[i] * (right - left) * 1e-9
    for s, j in events:
        if s < right:
            young, old = max(left - s, 0) * 1e-9, (right - s) * 1e-9
            total += n[i, j] * (np.exp(-beta[i, j] * young) - np.exp(-beta[i, j] * old))
    return total


def residuals(time, kind, offsets, start, baseline, branching, decay):
    kinds = baseline.shape[1]
    out = np.full(len(time), np.nan)
    for segment, cut in enumerate(segments(offsets)):
        events = _own(time, kind, cut, kinds)
        last = [int(start[segment])] * kinds
        for row in range(*cut):
            i, t = int(kind[row]), int(time[row])
            if 0 <= i < kinds and t >= start[segment]:
                model = baseline[segment], branching[segment], decay[segment]
                out[row] = _compensator(events, i, *model, last[i], t)
                last[i] = t
    return out
