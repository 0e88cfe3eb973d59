"""Calls of the kernels of Hawkes processes and of the probability of informed trading."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from gpu_kernels.trade import hawkes, hawkes_likelihood, pin

KINDS = 3


def works(data: Data) -> list[Work]:
    return _hawkes(data) + _pin(data)


def _hawkes(data: Data) -> list[Work]:
    """Events that share stamps, some of them of no kind of the model; decays in the tens of minutes, one shared."""
    rng, segments = data.rng("hawkes"), data.segments
    kind = rng.integers(-1, KINDS + 1, data.rows).astype(np.int8)
    events, at = (data.time_ns, kind, data.offsets), (data.decision_time, data.decision_offsets)
    sets = 2 * segments
    baseline = rng.uniform(0.002, 0.01, (sets, KINDS))
    branching = rng.uniform(0.0, 0.3, (sets, KINDS, KINDS)) * (rng.random((sets, KINDS, KINDS)) < 0.8)
    decay = rng.uniform(0.0005, 0.005, (sets, KINDS, KINDS))
    decay[::2] = decay[::2, :1, :1]
    model = (baseline[:segments], branching[:segments], decay[:segments])
    ends = np.concatenate([np.zeros(1, np.int64), np.maximum.accumulate(data.time_ns)])[data.offsets[1:]]
    start = np.where(np.arange(segments) % 2, -MINUTE, 9 * MINUTE).astype(np.int64)
    stop = np.maximum(ends - 3 * MINUTE, start + 5 * MINUTE)
    segment = rng.permutation(np.repeat(np.arange(segments, dtype=np.int64), 2))
    target = rng.integers(0, KINDS, sets)
    each = np.arange(sets)
    rates = (baseline[each, target], branching[each, target], decay[each, target])
    likelihood = (*events, start, stop, segment, target, *rates)
    return [
        Work(hawkes.intensity, (*events, *at, *model), {}),
        Work(hawkes.intensity_asymmetry, (*events, *at, *model), {}),
        Work(hawkes.expected_events, (*events, *at, *model), {"horizon_ns": 30 * MINUTE}),
        Work(hawkes_likelihood.log_likelihood, likelihood, {}),
        Work(hawkes_likelihood.residuals, (*events, start, *model), {}),
    ]


def _pin(data: Data) -> list[Work]:
    """Days of few trades and of many, gaps, and parameters on their bounds: no shocks, no news, no uninformed buyer."""
    rng, segments = data.rng("pin"), data.segments
    buys, sells = (rng.poisson(rng.choice([0.5, 6.0, 40.0], data.rows)).astype(data.dtype) for _ in range(2))
    buys[rng.random(data.rows) < 0.05] = np.nan
    sells[rng.random(data.rows) < 0.02] = -1.0
    parameters = np.hstack([rng.uniform(0.1, 0.9, (segments, 4)), rng.uniform(0.5, 40.0, (segments, 6))])
    parameters[::3, 2:4] = 0.0
    parameters[1::3, 0] = 1.0
    parameters[4::5, 4] = 0.0
    segment = np.arange(segments, dtype=np.int64)[::-1].copy()
    return [
        Work(pin.log_likelihood, (buys, sells, data.offsets, segment, parameters), {}),
        Work(pin.day_probabilities, (buys, sells, data.offsets, parameters), {}),
    ]
