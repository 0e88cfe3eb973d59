import numpy as np

from naive.common import segments


def forward_filter(log_emission, start, transition, offsets):
    """By the joint density of all paths: alpha is never scaled, which short segments allow."""
    filtered, likelihood = np.zeros(log_emission.shape), np.zeros(len(offsets) - 1)
    for segment, (first, last) in enumerate(segments(offsets)):
        alpha = start
        for row in range(first, last):
            alpha = alpha if row == first else alpha @ transition
            if not np.isnan(log_emission[row]).any():
                alpha = alpha * np.exp(log_emission[row])
            filtered[row] = alpha / alpha.sum()
        likelihood[segment] = np.log(alpha.sum()) if last > first else 0.0
    return filtered, likelihood
