import numpy as np
from scipy import stats

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


def gaussian_filter(x, mean, covariance, start, transition, model, offsets):
    """Bayes' rule with SciPy's densities."""
    filtered, density = np.empty((len(x), start.shape[1])), np.zeros(len(x))
    for m, (first, last) in zip(model, segments(offsets), strict=True):
        predicted = start[m]
        for row in range(first, last):
            filtered[row] = predicted
            if np.isfinite(x[row]).all():
                each = [stats.multivariate_normal.pdf(x[row], *of) for of in zip(mean[m], covariance[m], strict=True)]
                joint = predicted * np.array(each)
                density[row] = np.log(joint.sum())
                filtered[row] = joint / joint.sum()
            predicted = filtered[row] @ transition[m]
    return filtered, density
