"""Calls of the kernels of realised volatility: returns and measures of a session."""

import numpy as np

from benchmarks.works.data import MINUTE, Data, Work
from gpu_kernels.volatility import realised, returns


def works(data: Data) -> list[Work]:
    close, time, offsets = data.close, data.time_ns, data.offsets
    opening = (close * np.asarray(1.001, data.dtype))[::-1].copy()
    starts = np.array([time[first] if first < len(time) else 0 for first in offsets[:-1]])
    ends = starts + 30 * MINUTE * (1 + np.arange(data.segments) % 3)
    sampled = returns.session_returns(data.values + np.asarray(5, data.dtype), offsets, every=2)
    measured = data.values, offsets
    return [
        Work(returns.session_returns, (close, offsets), {}),
        Work(returns.session_returns, (close, offsets), {"first_return": "zero", "every": 3, "phase": 0}),
        Work(returns.session_returns, (close, offsets, opening), {"first_return": "open", "every": 2}, ("opening",)),
        Work(returns.grid_returns, (time, close, offsets, starts, ends), {"interval_ns": 5 * MINUTE}),
        Work(
            returns.grid_returns,
            (time, close, offsets, starts, ends, opening),
            {"interval_ns": 4 * MINUTE, "first_return": "open", "repeat": False},
            ("opening",),
        ),
        Work(realised.session_measures, measured, {}),
        Work(realised.session_measures, measured, {"finite_sample": "none", "min_returns": 4}),
        Work(realised.session_measures, (sampled, offsets), {"finite_sample": "highfrequency"}),
        Work(realised.rolling_measures, measured, {"window": 20}),
        Work(realised.rolling_measures, (sampled, offsets), {"window": 5, "min_returns": 2, "finite_sample": "none"}),
        Work(realised.rolling_measures, measured, {"window": 3}),
        Work(realised.rolling_measure, measured, {"window": 300, "min_returns": 1, "name": "variance"}),
        Work(realised.rolling_measure, measured, {"window": 10, "name": "bipower"}),
    ]
