import numpy as np
from scipy.special import gamma

from naive.common import output, segments

FIELDS = (
    "observations", "variance", "bipower", "min_rv", "med_rv", "quarticity", "tripower_quarticity",
    "quadpower_quarticity", "min_rq", "med_rq", "semivariance_up", "semivariance_down", "signed_jump", "skewness",
    "kurtosis",
)  # fmt: skip


def absolute_moment(power):
    """E |u|^power of a standard normal u."""
    return 2 ** (power / 2) * gamma((power + 1) / 2) / gamma(0.5)


def neighbourhoods(sizes, length):
    return [sizes[i : i + length] for i in range(len(sizes) - length + 1)]


def measures(r, finite_sample):
    """Every measure of the returns r, none of them missing."""
    count, sizes, measure = len(r), np.abs(r), {}

    def mean(length, function, factor, *, corrected=True):
        terms = [function(group) for group in neighbourhoods(sizes, length)]
        if not terms:
            return np.nan
        return factor * np.sum(terms) * (count / len(terms) if corrected and finite_sample != "none" else 1.0)

    def power(length, total, *, corrected=True):
        unit = absolute_moment(total / length) ** -length
        return mean(length, lambda group: np.prod(group ** (total / length)), unit, corrected=corrected)

    root = np.sqrt(3)
    measure["observations"] = count
    measure["variance"] = np.sum(r**2) if count else np.nan
    measure["bipower"] = power(2, 2, corrected=finite_sample == "adjusted")
    measure["min_rv"] = mean(2, lambda group: np.min(group) ** 2, np.pi / (np.pi - 2))
    measure["med_rv"] = mean(3, lambda group: np.median(group) ** 2, np.pi / (6 - 4 * root + np.pi))
    extra = 1 if finite_sample == "highfrequency" else 0
    measure["quarticity"] = (count + extra) / 3 * np.sum(r**4) if count else np.nan
    measure["tripower_quarticity"] = count * power(3, 4)
    measure["quadpower_quarticity"] = count * power(4, 4)
    measure["min_rq"] = count * mean(2, lambda group: np.min(group) ** 4, np.pi / (3 * np.pi - 8))
    unit = 3 * np.pi / (9 * np.pi + 72 - 52 * root)
    measure["med_rq"] = count * mean(3, lambda group: np.median(group) ** 4, unit)
    measure["semivariance_up"] = np.sum(r[r > 0] ** 2) if count else np.nan
    measure["semivariance_down"] = np.sum(r[r < 0] ** 2) if count else np.nan
    measure["signed_jump"] = measure["semivariance_up"] - measure["semivariance_down"]
    moving = count and measure["variance"] > 0
    measure["skewness"] = np.sqrt(count) * np.sum(r**3) / measure["variance"] ** 1.5 if moving else np.nan
    measure["kurtosis"] = count * np.sum(r**4) / measure["variance"] ** 2 if moving else np.nan
    return measure


def _place(out, at, r, least, finite_sample):
    found = measures(r, finite_sample)
    for name, array in out.items():
        array[at] = found[name] if name == "observations" or len(r) >= least else np.nan


def _present(returns):
    values = returns.astype(np.float64)
    return values[~np.isnan(values)]


def _empty(count, returns):
    out = {name: output(count, returns) for name in FIELDS}
    out["observations"] = np.zeros(count, np.int64)
    return out


def session_measures(returns, offsets, *, min_returns=1, finite_sample="adjusted"):
    out = _empty(len(offsets) - 1, returns)
    for segment, (first, last) in enumerate(segments(offsets)):
        _place(out, segment, _present(returns[first:last]), min_returns, finite_sample)
    return tuple(out.values())


def rolling_measures(returns, offsets, window, *, min_returns=None, finite_sample="adjusted"):
    out = _empty(len(returns), returns)
    for first, last in segments(offsets):
        for row in range(first, last):
            recent = _present(returns[first : row + 1])[-window:]
            _place(out, row, recent, min_returns or window, finite_sample)
    return tuple(out.values())


def rolling_measure(returns, offsets, window, name, *, min_returns=None, finite_sample="adjusted"):
    found = rolling_measures(returns, offsets, window, min_returns=min_returns, finite_sample=finite_sample)
    return found[FIELDS.index(name)]
