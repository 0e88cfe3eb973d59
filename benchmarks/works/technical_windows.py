"""Calls of the technical indicators that look at a window: averages, lines, spreads, ranges."""

from benchmarks.works.data import Data, Work
from benchmarks.works.technical import Prices
from gpu_kernels.technical import averages, extremes, regression, statistics

LINES = (
    regression.linear_regression,
    regression.linear_regression_slope,
    regression.linear_regression_angle,
    regression.linear_regression_intercept,
    regression.time_series_forecast,
)


def works(data: Data) -> list[Work]:
    bars, offsets = Prices(data), data.offsets
    close, pair = (bars.close, offsets), (bars.high, bars.close, offsets)
    return [
        Work(averages.double_exponential_moving_average, close, {"window": 5}),
        Work(averages.triple_exponential_moving_average, close, {"window": 4}),
        Work(averages.tillson_moving_average, close, {"window": 3, "volume_factor": 0.7}),
        *(Work(averages.triangular_moving_average, close, {"window": window}) for window in (6, 7)),
        Work(averages.kaufman_moving_average, close, {"window": 6}),
        *(Work(regression.weighted_moving_average, close, {"window": window}) for window in (1, 9, 300)),
        *(Work(line, close, {"window": 8}) for line in LINES),
        *(Work(statistics.variance, close, {"window": window}) for window in (1, 7, 300)),
        Work(statistics.standard_deviation, close, {"window": 6, "deviations": 1.5}),
        Work(statistics.bollinger_bands, close, {"window": 6, "deviations_down": 1.0}),
        Work(statistics.correlation, pair, {"window": 9}),
        Work(statistics.beta, pair, {"window": 5}),
        Work(extremes.midpoint, close, {"window": 7}),
        Work(extremes.midprice, (bars.high, bars.low, offsets), {"window": 4}),
    ]
