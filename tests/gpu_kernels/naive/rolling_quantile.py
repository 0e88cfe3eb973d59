import numpy as np

from naive.rolling import _moving


def quantile(values, offsets, window, probability, min_periods=None):
    return _moving(values, offsets, window, min_periods, lambda x: np.quantile(x, probability))


def median(values, offsets, window, min_periods=None):
    return _moving(values, offsets, window, min_periods, np.median)
