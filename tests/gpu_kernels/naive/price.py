import numpy as np

from naive.common import output, segments


def log_return(close, offsets, lag):
    out = output(len(close), close)
    for first, last in segments(offsets):
        for row in range(first + lag, last):
            if close[row] > 0 and close[row - lag] > 0:
                out[row] = np.log(float(close[row])) - np.log(float(close[row - lag]))
    return out
