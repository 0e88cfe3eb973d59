"""Calls of the kernels of bars: moving statistics and prices."""

from benchmarks.works.data import MINUTE, Data, Work
from gpu_kernels import price, rolling, rolling_quantile


def works(data: Data) -> list[Work]:
    values, close, offsets = data.values, data.close, data.offsets
    windows = [{"window": 1}, {"window": 20}, {"window": 20, "min_periods": 3}, {"window": 300, "min_periods": 1}]
    return [
        *(
            Work(function, (values, offsets), window)
            for function in (rolling.mean, rolling.std, rolling.minimum, rolling.maximum)
            for window in windows
        ),
        *(Work(rolling_quantile.median, (values, offsets), window) for window in windows),
        Work(rolling_quantile.quantile, (values, offsets), {"window": 33, "probability": 0.9, "min_periods": 20}),
        Work(rolling.ema, (values, offsets), {"window": 10}),
        Work(rolling.ema, (values, offsets), {"window": 10, "initial": "first"}),
        Work(rolling.time_sum, (data.time_ns, values, offsets), {"window_ns": 7 * MINUTE}),
        Work(price.log_return, (close, offsets), {"lag": 3}),
    ]
