import numpy as np
from scipy.stats import norm

from naive.common import output, segments

# integrals over normals, to the digits that SciPy gives (tests/gpu_kernels/test_jumps.py takes them anew)
_THETA = {"bipower": np.pi**2 / 4 + np.pi - 3, "min_rv": 3.8098781011, "med_rv": 2.9589642193}


def bns_test(
    observations,
    variance,
    robust,
    quarticity,
    *,
    estimator="bipower",
    form="ratio",
    maximum=True,
    two_sided=False,
    alpha=0.001,
    theta=None,
):
    out = [output(len(variance), variance, robust, quarticity) for _ in range(4)]
    for i, (n, rv, iv, iq) in enumerate(
        zip(*(x.astype(np.float64) for x in (observations, variance, robust, quarticity)), strict=True)
    ):
        if not (n > 0 and rv > 0 and iv > 0 and iq > (-np.inf if maximum else 0) and np.isfinite(iq)):
            continue
        excess = (theta or _THETA[estimator]) - 2
        share = max(1.0, iq / iv**2) if maximum else iq / iv**2
        if form == "linear":
            z = np.sqrt(n) * (rv - iv) / np.sqrt(excess * share * iv**2)
        elif form == "log":
            z = np.sqrt(n) * (np.log(rv) - np.log(iv)) / np.sqrt(excess * share)
        else:
            z = np.sqrt(n) * (1 - iv / rv) / np.sqrt(excess * share)
        p = 2 * norm.sf(abs(z)) if two_sided else norm.sf(z)
        jump = rv - iv if p < alpha and rv > iv else 0.0
        for array, value in zip(out, (z, p, jump, rv - jump), strict=True):
            array[i] = value
    return tuple(out)


def threshold_split(returns, offsets, observations, robust, periodicity=None, *, multiple=3.0, rate=0.49):
    jump, continuous = output(len(returns), returns), output(len(returns), returns)
    for segment, (first, last) in enumerate(segments(offsets)):
        n, variance = float(observations[segment]), float(robust[segment])
        if n == 0 or not variance >= 0:
            continue
        for row in range(first, last):
            factor = 1.0 if periodicity is None else float(periodicity[row])
            r = float(returns[row])
            if not np.isnan(r) and 0 < factor < np.inf:
                jump[row] = r if abs(r) / factor > multiple * np.sqrt(variance) / n**rate else 0.0
                continuous[row] = r if jump[row] == 0 else 0.0
    return jump, continuous


def lee_mykland(returns, offsets, periodicity=None, *, observations, window=None, alpha=0.01, include_tested=False):
    out = [output(len(returns), returns) for _ in range(4)]
    k = window or int(np.ceil(np.sqrt(252 * observations)))
    c, root = np.sqrt(2 / np.pi), np.sqrt(2 * np.log(observations))
    # the paper's numbers: no pi/2 in the variance, so the constant stands in the limit
    centre = root / c - (np.log(np.pi) + np.log(np.log(observations))) / (2 * c * root)
    threshold = centre + 1 / (c * root) * -np.log(-np.log(1 - alpha))
    for first, last in segments(offsets):
        past = []
        for row in range(first, last):
            factor = 1.0 if periodicity is None else float(periodicity[row])
            r = float(returns[row])
            if np.isnan(r) or not 0 < factor < np.inf:
                continue
            seen = [*past, r / factor] if include_tested else list(past)
            length = k if include_tested else k - 1
            past.append(r / factor)
            if len(seen) < length:
                continue
            recent = np.abs(seen[-length:])
            sigma = np.sqrt(np.sum(recent[1:] * recent[:-1]) / (k - 2))
            out[1][row] = sigma / c * factor
            if sigma > 0:
                jump = r if abs(r / factor / sigma) > threshold else 0.0
                out[0][row], out[2][row], out[3][row] = r / factor / sigma * c, jump, r - jump
    return tuple(out)
