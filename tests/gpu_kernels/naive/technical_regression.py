import numpy as np

from naive.common import over_bars


def _windows(close, offsets, window, measure):
    def formula(x):
        return [measure(x[i - window + 1 : i + 1]) if i >= window - 1 else np.nan for i in range(len(x))]

    return over_bars([close], offsets, formula)


def _line(values):
    slope, middle = np.polynomial.polynomial.polyfit(np.arange(len(values)), values - values[0], 1)[::-1]
    return slope, middle + values[0]


def weighted_moving_average(close, offsets, window):
    return _windows(close, offsets, window, lambda x: np.average(x, weights=np.arange(1, window + 1)))


def linear_regression(close, offsets, window):
    return _windows(close, offsets, window, lambda x: _line(x)[1] + (window - 1) * _line(x)[0])


def linear_regression_slope(close, offsets, window):
    return _windows(close, offsets, window, lambda x: _line(x)[0])


def linear_regression_angle(close, offsets, window):
    return _windows(close, offsets, window, lambda x: np.degrees(np.arctan(_line(x)[0])))


def linear_regression_intercept(close, offsets, window):
    return _windows(close, offsets, window, lambda x: _line(x)[1])


def time_series_forecast(close, offsets, window):
    return _windows(close, offsets, window, lambda x: _line(x)[1] + window * _line(x)[0])
